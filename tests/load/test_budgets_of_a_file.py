"""`budget`, as a workflow file says it: caps that are exact, for the run and for a step."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.budgets import Caps
from penstock.core.errors import WorkflowError
from penstock.core.generation import Generate, Verify
from penstock.core.workflow import Workflow
from penstock.load.budgets import Dollars, budget
from penstock.load.fields import Fields
from penstock.load.findings import Findings
from penstock.load.source import parse

Load = Callable[..., Workflow]


def caps_of(text: str) -> Caps:
    tree = parse(f"budget: {text}", "flow.yaml")
    caps = budget(Fields(tree.root, Findings(tree.document)))
    assert caps is not None
    return caps


def problems_with_dollars(text: str) -> tuple[str, ...]:
    tree = parse(f"cost_usd: {text}", "flow.yaml")
    findings = Findings(tree.document)
    Dollars().check(tree.root.entries[0][1], "`cost_usd`", findings)
    return tuple(problem.message for problem in findings.problems)


def test_a_budget_of_the_workflow_and_of_a_step_are_read(loaded: Load) -> None:
    workflow = loaded("""
        name: x
        budget: {cost_usd: 5, calls: 500, tokens: 200000, seconds: 600, when_exceeded: stop, notify: "mail me"}
        steps:
          - {id: a, generate: {model: sim/a, prompt: Hello}, budget: {cost_usd: 0.1}}
          - {id: b, generate: {model: sim/a, prompt: Hello}}
    """)
    caps = workflow.budget
    assert caps is not None
    assert (caps.micros, caps.calls, caps.tokens, caps.seconds) == (5_000_000, 500, 200_000, 600.0)
    assert (caps.when_exceeded, caps.notify, caps.at.line, caps.at.column) == ("stop", "mail me", 3, 9)
    own = workflow.step("a").budget
    assert own is not None
    assert (own.micros, own.calls, own.tokens, own.seconds) == (100_000, None, None, None)
    assert (own.when_exceeded, own.notify, own.at.line) == ("pause", None, 5)
    assert workflow.step("b").budget is None
    assert workflow.notes == ()


def test_without_a_budget_there_are_no_caps(loaded: Load) -> None:
    workflow = loaded("name: x\nsteps: [{id: a, run: echo}]")
    assert workflow.budget is None


@pytest.mark.parametrize(
    ("written", "micros"),
    [
        ("0.1", 100_000),
        ("0.3", 300_000),
        ("1.005", 1_005_000),
        ("0.000001", 1),
        ("0.1000000", 100_000),
        ("1e-6", 1),
        ("2.5e1", 25_000_000),
        ("999999999.999999", 999_999_999_999_999),
        ("1000000000", 10**15),
    ],
)
def test_dollars_are_read_as_they_are_written(written: str, micros: int) -> None:
    assert problems_with_dollars(written) == ()
    assert caps_of(f"{{cost_usd: {written}}}").micros == micros


@given(st.integers(1, 10**15))
def test_every_whole_number_of_micro_dollars_can_be_written(micros: int) -> None:
    written = f"{Decimal(micros).scaleb(-6):f}"
    assert problems_with_dollars(written) == ()
    assert caps_of(f"{{cost_usd: {written}}}").micros == micros


@given(st.integers(1, 10**12).filter(lambda number: number % 10), st.integers(7, 300))
def test_what_is_finer_than_a_micro_dollar_is_refused(digits: int, places: int) -> None:
    written = f"{Decimal(digits).scaleb(-places):f}"
    assert len(problems_with_dollars(written)) == 1


@pytest.mark.parametrize(
    "written", ["0.10000000000000000000000000000000001", "1e-999999999", "0e-99999999999999999999"]
)
def test_no_spelling_of_a_number_is_rounded_or_takes_for_ever(written: str) -> None:
    assert len(problems_with_dollars(written)) == 1


@pytest.mark.parametrize(("written", "seconds"), [("600", 600.0), ("1.5", 1.5), ("10m", 600.0), ("250ms", 0.25)])
def test_seconds_are_a_number_or_a_duration(written: str, seconds: float) -> None:
    assert caps_of(f"{{seconds: {written}}}").seconds == seconds


def test_a_budget_of_a_command_counts_what_it_asks_and_is_noted_where_nothing_is_seen_of_that(loaded: Load) -> None:
    workflow = loaded("name: x\nsteps: [{id: a, run: echo, budget: {calls: 3}}]")
    caps = workflow.step("a").budget
    assert caps is not None
    assert caps.calls == 3
    assert workflow.notes == ()
    (note,) = loaded("name: x\nsteps: [{id: a, run: echo, budget: {calls: 3}, gateway: off}]").notes
    assert "with `gateway: off` none does" in note.message
    assert note.place is not None
    assert note.place.column == 28


def test_a_wrong_budget_of_a_command_is_one_problem(loaded: Load) -> None:
    with pytest.raises(WorkflowError) as caught:
        loaded("name: x\nsteps: [{id: a, run: echo, budget: {call: 3}}]")
    (problem,) = caught.value.problems
    assert problem.help is not None
    assert "did you mean `calls`?" in problem.help


@pytest.mark.parametrize(("said", "mask"), [("", True), (", mask: on", True), (", mask: off", False)])
def test_masking_is_on_unless_a_step_says_off(loaded: Load, said: str, mask: bool) -> None:
    workflow = loaded(f"""
        name: x
        steps:
          - {{id: a, foreach: [1], generate: {{model: sim/a, prompt: Hello{said}}}}}
          - {{id: b, foreach: steps.a, verify: {{checks: item.n > 3{said}}}}}
    """)
    generate, verify = workflow.step("a").spec, workflow.step("b").spec
    assert isinstance(generate, Generate)
    assert isinstance(verify, Verify)
    assert (generate.mask, verify.mask) == (mask, mask)
