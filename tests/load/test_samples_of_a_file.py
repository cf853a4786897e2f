"""`sample` becomes the rows that are tried first and the gate before the rest; a forced model is found by its name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.core.errors import UsageError, WorkflowError
from penstock.core.models import Model
from penstock.core.sampling import Sample
from penstock.core.workflow import OutputName, Workflow
from penstock.load.forced import model_named

Load = Callable[..., Workflow]
STEPS = """
steps:
  - {id: work, foreach: data/rows.jsonl, run: cat}
  - {id: my-step, foreach: steps.work, run: cat}
  - {id: sum, needs: [work], run: wc > out/report.json}
  - {id: word, run: echo}
"""


def sampled(loaded: Load, keys: str) -> Workflow:
    return loaded(f"name: x\nenv: {{STRICT: a}}\nsample: {{{keys}}}{STEPS}")


def sample(loaded: Load, keys: str) -> Sample:
    found = sampled(loaded, keys).sample
    assert found is not None
    return found


def test_without_the_key_there_is_no_sample(loaded: Load) -> None:
    assert loaded(f"name: x{STEPS}").sample is None


def test_every_key_of_a_sample_has_its_value(loaded: Load) -> None:
    found = sample(
        loaded,
        "size: 200, require: outputs.work.accept_rate >= 0.950, confidence: 0.99, seed: 7, on_inconclusive: expand",
    )
    assert found.at is not None
    assert (found.at.line, found.at.column) == (3, 9)
    assert found == Sample(
        200, found.at, "outputs.work.accept_rate >= 0.950", 7, 0.99, "work", 0.95, on_inconclusive="expand"
    )


def test_without_a_confidence_any_condition_on_outputs_is_a_gate(loaded: Load) -> None:
    text = 'outputs.work.accept_rate > 0.9 and outputs.report.n < 3 and env.STRICT == \\"a\\"'
    workflow = sampled(loaded, f'size: 20, require: "{text}"')
    assert workflow.sample is not None
    assert (workflow.sample.confidence, workflow.sample.step, workflow.sample.rate) == (None, None, None)
    assert (workflow.sample.seed, workflow.sample.on_inconclusive) == (0, "stop")
    assert workflow.outputs == (
        ("report", OutputName("sum", "out/report.json")),
        ("work", OutputName("work", None)),
    )


@pytest.mark.parametrize(
    ("written", "step", "rate"),
    [
        ("outputs.work.accept_rate >= 0.5", "work", 0.5),
        ("  outputs . work . accept_rate>=.75 ", "work", 0.75),
        ('outputs["my-step"].accept_rate >= 0.999', "my-step", 0.999),
        ("outputs[ ''my-step'' ].accept_rate >= 0.9", "my-step", 0.9),
    ],
)
def test_the_rate_that_a_test_is_about_is_read_from_the_condition(
    loaded: Load, written: str, step: str, rate: float
) -> None:
    found = sample(loaded, f"size: 9000, require: '{written}', confidence: 0.9")
    assert (found.step, found.rate) == (step, rate)


@pytest.mark.parametrize(
    "written",
    [
        "outputs.work.accept_rate > 0.9",
        "outputs.work.accept_rate <= 0.9",
        "0.9 <= outputs.work.accept_rate",
        "outputs.work.accept_rate >= 0.9 and true",
        "not outputs.work.accept_rate >= 0.9",
        "(outputs.work.accept_rate >= 0.9)",
        "outputs.work.accept_rate_low >= 0.9",
        "outputs.work.accept_rate >= 0.8 + 0.1",
        "outputs.work.accept_rate >= outputs.report.rate",
        "outputs.work.accept_rate >= 0",
        "outputs.work.accept_rate >= 1",
        "outputs.work.accept_rate >= 90",
        "outputs.word.accept_rate >= 0.9",
        "outputs.sum.accept_rate >= 0.9",
        "outputs.report.accept_rate >= 0.9",
    ],
)
def test_with_a_confidence_nothing_else_can_be_tested(loaded: Load, written: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        sampled(loaded, f"size: 900, require: {written}, confidence: 0.95")
    (problem,) = caught.value.problems
    assert "with `confidence`" in problem.message or "is no summary of a foreach step" in problem.message


@pytest.mark.parametrize(
    "confidence", ["0.5", "1", "1.0", "95", "95%", '"0.95"', "0.4", ".nan", "true", "[0.9]", "0.99999999999999999999"]
)
def test_a_confidence_lies_between_a_half_and_one(loaded: Load, confidence: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        sampled(loaded, f"size: 900, require: outputs.work.accept_rate >= 0.9, confidence: {confidence}")
    (problem,) = caught.value.problems
    assert problem.message.startswith("`sample.confidence` must be a number between 0.5 and 1 such as `0.95`, not")


@pytest.mark.parametrize(("size", "noted"), [(87, True), (88, False)])
def test_a_sample_that_is_too_small_to_show_anything_is_noted(loaded: Load, size: int, noted: bool) -> None:
    workflow = sampled(loaded, f"size: {size}, require: outputs.work.accept_rate >= 0.95, confidence: 0.95")
    assert [note.message for note in workflow.notes] == [
        f"{size} rows cannot show this: even if all are accepted it takes 88"
    ] * noted


def test_a_gate_makes_no_step_need_another_and_no_stream_a_barrier(loaded: Load) -> None:
    require = "outputs.work.accept_rate > 0.9 and outputs['my-step'].total > 3"
    with_gate = sampled(loaded, f'size: 20, require: "{require}"')
    assert [step.barrier for step in with_gate.steps] == [step.barrier for step in loaded(f"name: x{STEPS}").steps]


# --- the forced model ---------------------------------------------------------------------------

NAMED = "name: x\nmodels: {small: sim/a, large: {model: openai/gpt-4o, rpm: 5}}\nsteps: [{id: a, run: echo}]"


def test_a_forced_model_is_one_of_the_file_or_any_of_a_provider(loaded: Load) -> None:
    workflow = loaded(NAMED)
    assert model_named(workflow, "large") == Model("large", "openai", "gpt-4o", rpm=5)
    assert model_named(workflow, "ollama/llama3.1:8b") == Model("ollama/llama3.1:8b", "ollama", "llama3.1:8b")
    assert model_named(workflow, "openai/org/model").served == "org/model"


@pytest.mark.parametrize(
    ("name", "message", "help"),
    [
        ("lrge", "PENSTOCK_FORCE_MODEL: there is no model `lrge`", "did you mean `large`?"),
        ("opnai/gpt", "PENSTOCK_FORCE_MODEL: there is no provider `opnai`", "did you mean `openai`?"),
        ("openai/", "PENSTOCK_FORCE_MODEL: `openai/` names no model", "write `openai/MODEL`"),
        ("python/x", "PENSTOCK_FORCE_MODEL: `python/x` names no function", "write `python/pkg.module:function`"),
        ("", "PENSTOCK_FORCE_MODEL: there is no model ``", "the models of this file are `small` and `large`"),
    ],
)
def test_a_forced_model_that_is_neither_is_refused_with_what_there_is(
    loaded: Load, name: str, message: str, help: str
) -> None:
    with pytest.raises(UsageError) as caught:
        model_named(loaded(NAMED), name)
    assert str(caught.value) == message
    assert (caught.value.help or "").startswith(help)
