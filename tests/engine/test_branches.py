"""A `route` step and the streams that read its branches."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.core.generation import Contract, Generate, Rule, Template
from penstock.core.routing import Branch, Choice, Route
from penstock.core.states import RunState
from penstock.core.work import Outcome, Piece, Task, Verdict
from penstock.core.workflow import FileSource, ListSource, OutputName, Source, Step, Tolerance, Workflow
from tests.doubles import (
    HERE,
    Answer,
    Ground,
    ScriptedBackend,
    after,
    appends,
    ended,
    flow,
    json_record,
    rows,
    shell,
    stream,
)
from tests.terminal import jsonl

ANY = Tolerance(share=1.0)
LOW, MID, HIGH = Branch("item.n < 2", "low"), Branch("item.n < 5", "mid"), Branch(None, "high")


class Died(BaseException):
    """What stands for the death of the process in the middle of a turn."""


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def triage(*rules: Branch, foreach: Source | None = None, **more: Any) -> Step:
    """A `route` step by these rules, over seven rows unless others are given."""
    branches = tuple(dict.fromkeys(rule.to for rule in rules))
    return Step("triage", Route(branches, rules), HERE, foreach=foreach or rows(7), **more)


def reader(branch: str | None, step_id: str | None = None, above: str = "triage", **bindings: str) -> Step:
    """A step that streams what went to the branch, called like it."""
    spec = shell(bindings=bindings)
    needs = after(above)
    return Step(step_id or branch or "all", spec, HERE, needs=needs, foreach=stream(above, branch), barrier=False)


def chooser(branches: tuple[str, ...], **more: Any) -> Step:
    """A `route` step by a model; the backend tells what that says."""
    template = Template("which?", None, HERE)
    return Step("triage", Route(branches, chooser=Generate((), template, Contract())), HERE, foreach=rows(7), **more)


def chosen(task: Task, to: str) -> Outcome:
    """The outcome of a model that sends an item there."""
    made = ended(task, record=json_record(b'{"to":"%s","rule":null,"why":"asked"}' % to.encode()))
    return replace(made, choice=Choice(None, to, "asked"))


def lines(ground: Ground, step_id: str) -> list[dict[str, Any]]:
    return jsonl(ground.run.steps / f"{step_id}.jsonl")


def summary(ground: Ground, step_id: str = "triage") -> dict[str, Any]:
    found = json.loads(ground.steps()[step_id]["summary"])
    assert isinstance(found, dict)
    return found


def given_to(backend: ScriptedBackend, step_id: str) -> dict[int, bytes]:
    """The exact text of each row that a step was given."""
    return {task.index: task.item.text for task in backend.submitted if task.step_id == step_id and task.item}


# --- by rules ----------------------------------------------------------------------------------


def test_each_row_goes_where_the_first_rule_that_matches_sends_it(ground: Ground) -> None:
    backend = ScriptedBackend()
    readers = [reader(branch) for branch in ("low", "mid", "high")]
    assert ground.live(flow(ground.folder, triage(LOW, MID, HIGH), *readers), backend) is RunState.SUCCEEDED
    assert [sorted(backend.submitted_of(branch)) for branch in ("low", "mid", "high")] == [[0, 1], [2, 3, 4], [5, 6]]
    assert backend.submitted_of("triage") == []


def test_a_routed_row_keeps_the_rule_that_won_and_the_values_it_saw(ground: Ground) -> None:
    ground.live(flow(ground.folder, triage(LOW, MID, HIGH)), ScriptedBackend())
    records = [line["record"] for line in lines(ground, "triage")]
    assert records[1] == {"to": "low", "rule": 1, "why": "1 < 2 → true"}
    assert records[4] == {"to": "mid", "rule": 2, "why": "4 < 5 → true"}
    assert records[6] == {"to": "high", "rule": 3, "why": "no rule before it matched"}
    logged = [line for line in jsonl(ground.run.log) if line["key"] is not None]
    assert [line["route"] for line in logged] == [
        {"rule": record["rule"], "to": record["to"], "why": record["why"]} for record in records
    ]


def test_what_comes_is_the_row_that_was_routed_beside_the_choice(ground: Ground) -> None:
    texts = ListSource(({"n": 1.50, "text": "한 $(x)"}, "plain"))
    route = triage(Branch("len(item) > 1", "one"), foreach=texts)
    backend = ScriptedBackend()
    below = reader("one", V="item", T="chain.triage.to", R="chain.triage.rule", O="origin")
    last = reader(None, "last", above="one", O="origin", W="chain.triage.why")
    ground.live(flow(ground.folder, route, below, last), backend)
    values = {(task.step_id, task.index): dict(task.values) for task in backend.submitted}
    assert values["one", 0] == {
        "V": '{"n":1.5,"text":"한 $(x)"}',
        "T": "one",
        "R": "1",
        "O": '{"n":1.5,"text":"한 $(x)"}',
    }
    assert values["one", 1]["V"] == "plain"
    assert values["last", 1] == {"O": "plain", "W": 'len("plain")=5 > 1 → true'}


def test_without_a_branch_all_routed_rows_come(ground: Ground) -> None:
    backend = ScriptedBackend()
    ground.live(flow(ground.folder, triage(LOW, MID, HIGH), reader(None)), backend)
    assert given_to(backend, "all") == {index: b'{"n":%d}' % index for index in range(7)}


def test_a_row_that_no_rule_matches_is_failed_with_the_values(ground: Ground) -> None:
    backend = ScriptedBackend()
    below, failed = reader("low"), reader("failed")
    assert ground.live(flow(ground.folder, triage(LOW), below, failed), backend) is RunState.FAILED
    assert [line["verdict"] for line in lines(ground, "triage")] == ["accepted"] * 2 + ["failed"] * 5
    assert json.loads(given_to(backend, "failed")[6]) == {
        "n": 6,
        "failure": {"reason": "no rule matches: 1: 6 < 2 → false", "kind": None, "attempt": 0},
    }
    assert ground.states()["low"] == ("blocked", "the step that it reads from ended failed: 2 records were done")


def test_a_rule_that_has_no_answer_fails_the_row_and_no_later_rule_takes_it(ground: Ground) -> None:
    backend = ScriptedBackend()
    step = triage(Branch("item.risk == 'high'", "legal"), Branch(None, "sales"), max_failures=ANY)
    assert ground.live(flow(ground.folder, step, reader("sales")), backend) is RunState.SUCCEEDED
    assert set(ground.verdicts("triage").values()) == {"failed"}
    assert backend.submitted_of("sales") == []
    reason = next(line["reason"] for line in jsonl(ground.run.log) if line["verdict"] == "failed")
    assert str(reason).startswith("rule 1: ")


def test_a_row_that_where_leaves_out_goes_nowhere(ground: Ground) -> None:
    backend = ScriptedBackend()
    ground.live(flow(ground.folder, triage(HIGH, where="item.n > 4"), reader("high"), reader(None)), backend)
    assert sorted(backend.submitted_of("high")) == sorted(backend.submitted_of("all")) == [5, 6]
    assert summary(ground)["high"] == 2


def test_a_barrier_reads_its_branch_when_all_are_routed(ground: Ground) -> None:
    above = Step("a", shell(), HERE, foreach=rows(7), concurrency=1)
    route = triage(LOW, HIGH, foreach=stream("a"), needs=after("a"), barrier=False)
    below = Step("high", shell(), HERE, needs=after("triage"), foreach=stream("triage", "high"), barrier=True)
    backend = ScriptedBackend(lambda task, step: ended(task, record=json_record(b'{"n":%d}' % task.index)))
    ground.live(flow(ground.folder, above, route, below), backend)
    assert [task.step_id for task in backend.submitted] == ["a"] * 7 + ["high"] * 5


def test_a_thousand_rows_are_routed_while_no_task_is_in_flight(ground: Ground) -> None:
    backend = ScriptedBackend()
    step = triage(Branch("item.n % 500 == 499", "few"), Branch(None, "many"), foreach=rows(1000))
    assert ground.live(flow(ground.folder, step, reader("few")), backend) is RunState.SUCCEEDED
    assert backend.submitted_of("few") == [499, 999]
    assert (summary(ground)["few"], summary(ground)["many"]) == (2, 998)


# --- by a model --------------------------------------------------------------------------------


def test_rows_go_where_a_model_sends_them(ground: Ground) -> None:
    backend = ScriptedBackend(
        lambda task, step: chosen(task, "odd" if task.index % 2 else "even") if step.id == "triage" else ended(task)
    )
    ground.live(flow(ground.folder, chooser(("odd", "even", "none")), reader("odd"), reader("even")), backend)
    assert sorted(backend.submitted_of("odd")) == [1, 3, 5]
    assert given_to(backend, "even")[6] == b'{"n":6}'
    assert [summary(ground)[name] for name in ("odd", "even", "none")] == [3, 4, 0]


def test_what_a_model_could_not_route_is_in_no_branch_and_comes_with_the_reason(ground: Ground) -> None:
    def answer(task: Task, step: Step) -> Outcome:
        if step.id != "triage" or task.index:
            return chosen(task, "odd") if step.id == "triage" else ended(task)
        return Outcome(task, Verdict.REJECTED, ended(task, kind="schema").attempts, reason="no choice")

    backend = ScriptedBackend(answer)
    readers = reader("odd"), reader(None), reader("rejected")
    assert ground.live(flow(ground.folder, chooser(("odd", "even")), *readers), backend) is RunState.SUCCEEDED
    assert sorted(backend.submitted_of("odd")) == [1, 2, 3, 4, 5, 6]
    assert sorted(backend.submitted_of("all")) == [0, 1, 2, 3, 4, 5, 6]
    failure = {"reason": "no choice", "kind": "schema", "attempt": 1}
    assert json.loads(given_to(backend, "rejected")[0]) == {"n": 0, "failure": failure}


# --- files and accounting ----------------------------------------------------------------------


@given(st.integers(0, 2**32), st.lists(st.sampled_from([LOW, MID, HIGH]), min_size=1, max_size=3, unique=True))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_order_rows_come_in_each_branch_is_in_input_order_and_every_row_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, seed: int, rules: list[Branch]
) -> None:
    ground = Ground(tmp_path_factory.mktemp("flow"))
    numbers = [random.Random(seed).randrange(8) for _ in range(9)]

    def answer(task: Task, step: Step) -> Outcome:
        record = json_record(b'{"n":%d}' % numbers[task.index])
        return ended(task, record=record, pieces=(Piece(1, b"%d " % task.index),) if step.id != "a" else ())

    chance = random.Random(seed)
    backend = ScriptedBackend(answer, pick=lambda tasks: chance.randrange(len(tasks)))
    above = Step("a", shell(), HERE, foreach=rows(len(numbers)))
    route = triage(*rules, foreach=stream("a"), needs=after("a"), barrier=False, max_failures=ANY)
    readers = [
        Step(
            rule.to,
            shell(targets=(appends(f"{rule.to}.txt"),)),
            HERE,
            needs=after("triage"),
            foreach=stream("triage", rule.to),
            barrier=False,
        )
        for rule in rules
    ]
    assert ground.live(flow(ground.folder, *readers, route, above), backend, concurrency=3) is RunState.SUCCEEDED
    went = {index: where(number, rules) for index, number in enumerate(numbers)}
    for rule in rules:
        mine = [index for index, to in went.items() if to == rule.to]
        assert [line["i"] for line in lines(ground, rule.to)] == mine
        assert (ground.folder / f"{rule.to}.txt").read_text() == "".join(f"{index} " for index in mine)
        assert summary(ground, rule.to)["total"] == summary(ground)[rule.to] == len(mine)
    told = summary(ground)
    assert told["accepted"] == sum(told[rule.to] for rule in rules)
    assert told["total"] == told["accepted"] + told["failed"] == len(numbers)


def where(number: int, rules: Sequence[Branch]) -> str | None:
    """Where a row of this number goes, reckoned without the language of conditions."""
    bounds = {"low": 2, "mid": 5, "high": 99}
    return next((rule.to for rule in rules if number < bounds[rule.to]), None)


def test_a_condition_may_read_how_many_went_to_a_branch_also_to_one_that_nobody_went_to(ground: Ground) -> None:
    check = Step(
        "check", shell(), HERE, needs=after("triage"), when="outputs.triage.low == 2 and outputs.triage.top == 0"
    )
    step = triage(LOW, HIGH, Branch("item.n > 99", "top"))
    named = {"triage": OutputName("triage", None)}
    ground.live(flow(ground.folder, step, check, outputs=named), ScriptedBackend())
    assert ground.states()["check"] == ("succeeded", "when: 2 == 2 and 0 == 0 → true")


def test_a_route_that_never_ran_sent_nothing_anywhere(ground: Ground) -> None:
    ground.live(flow(ground.folder, triage(LOW, HIGH, when="1 > 2"), reader("low")), ScriptedBackend())
    assert (summary(ground)["low"], summary(ground)["high"], summary(ground)["total"]) == (0, 0, 0)
    assert "low" not in summary(ground, "low")


# --- placement ---------------------------------------------------------------------------------


def placed(backend: ScriptedBackend, step_id: str) -> dict[int, bool]:
    """Which rows of a step no model elsewhere may see."""
    return {task.index: task.local for task in backend.submitted if task.step_id == step_id}


def test_what_a_rule_keeps_here_stays_here_in_every_step_below(ground: Ground) -> None:
    backend = ScriptedBackend(lambda task, step: ended(task, record=json_record(b'{"n":9}')))
    route = triage(Branch("item.n < 2", "low", local=True), HIGH)
    below = [reader(None), reader(None, "next", above="all"), reader(None, "last", above="next")]
    ground.live(flow(ground.folder, route, reader("low"), reader("high"), *below), backend)
    kept = {index: index < 2 for index in range(7)}
    assert placed(backend, "all") == placed(backend, "next") == placed(backend, "last") == kept
    assert placed(backend, "low") == {0: True, 1: True}
    assert not any(placed(backend, "high").values())


def test_what_a_second_router_sends_on_is_still_kept_here(ground: Ground) -> None:
    first = triage(Branch("item.n < 2", "low", local=True), HIGH)
    second = Step(
        "again",
        Route(("x",), (Branch(None, "x"),)),
        HERE,
        needs=after("triage"),
        foreach=stream("triage"),
        barrier=False,
    )
    backend = ScriptedBackend()
    ground.live(flow(ground.folder, first, second, reader("x", above="again")), backend)
    assert placed(backend, "x") == {index: index < 2 for index in range(7)}


def test_a_rule_of_generate_that_keeps_a_row_here_keeps_it_here_below(ground: Ground) -> None:
    template = Template("say", None, HERE)
    rules = (Rule("item.n == 3", (), template, local=True), Rule(None, (), template))
    asks = Step("ask", Generate((), template, Contract(), rules=rules), HERE, foreach=rows(5))

    def answer(task: Task, step: Step) -> Outcome:
        choice = Choice(1, None, "3 == 3 → true", local=True) if task.index == 3 and step.id == "ask" else None
        return replace(ended(task), choice=choice)

    backend = ScriptedBackend(answer)
    ground.live(flow(ground.folder, asks, reader(None, above="ask")), backend)
    assert placed(backend, "all") == {index: index == 3 for index in range(5)}


def test_a_step_that_is_placed_here_keeps_all_of_its_rows_here_and_below(ground: Ground) -> None:
    above = Step("a", shell(), HERE, foreach=rows(3))
    kept = Step("b", shell(), HERE, needs=after("a"), foreach=stream("a"), barrier=False, local=True)
    backend = ScriptedBackend()
    single = Step("once", shell(), HERE, local=True)
    ground.live(flow(ground.folder, above, kept, reader(None, "c", above="b"), single), backend)
    assert not any(placed(backend, "a").values())
    assert all([*placed(backend, "b").values(), *placed(backend, "c").values(), *placed(backend, "once").values()])
    assert len(placed(backend, "c")) == 3


# --- lives -------------------------------------------------------------------------------------


def three(folder: Path) -> Workflow:
    """A stream that is routed, with a reader of each branch, one of which appends."""
    above = Step("a", shell(), HERE, foreach=rows(12))
    route = triage(LOW, MID, HIGH, foreach=stream("a"), needs=after("a"), barrier=False)
    high = Step(
        "high",
        shell(targets=(appends("high.txt"),)),
        HERE,
        needs=after("triage"),
        foreach=stream("triage", "high"),
        barrier=False,
    )
    return flow(folder, above, route, reader("low"), reader("mid"), high)


def numbered() -> Answer:
    """Rows of `a` give numbers from 0 to 6, those of `high` append theirs."""

    def answer(task: Task, step: Step) -> Outcome:
        pieces = (Piece(1, b"%d " % task.index),) if step.id == "high" else ()
        return ended(task, record=json_record(b'{"n":%d}' % (task.index % 7)), pieces=pieces)

    return answer


@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 2**16))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_run_that_died_while_it_routed_ends_as_if_it_had_not(
    tmp_path_factory: pytest.TempPathFactory, first: int, second: int, seed: int
) -> None:
    ground = Ground(tmp_path_factory.mktemp("flow"))
    chance = random.Random(seed)
    done: Counter[tuple[str, int]] = Counter()
    for waits in (first, second, None):
        backend = ScriptedBackend(numbered(), lambda tasks: chance.randrange(len(tasks)), dies_after(waits))
        try:
            state = ground.live(three(ground.folder), backend, concurrency=2)
        except Died:
            continue
        finally:
            done.update((task.step_id, task.index) for task in backend.submitted)
        assert state is RunState.SUCCEEDED
        break
    by_branch = {"low": [0, 1, 7, 8], "mid": [2, 3, 4, 9, 10, 11], "high": [5, 6]}
    for branch, mine in by_branch.items():
        assert [line["i"] for line in lines(ground, branch)] == mine
        assert {index for step_id, index in done if step_id == branch} == set(mine)
    assert (ground.folder / "high.txt").read_text() == "5 6 "
    assert [summary(ground)[branch] for branch in by_branch] == [4, 6, 2]
    log: list[Any] = jsonl(ground.run.log)
    routed = [line["i"] for line in log if line["step"] == "triage" and line["key"] is not None]
    assert sorted(routed) == list(range(12))


def dies_after(waits: int | None) -> Callable[[ScriptedBackend], None]:
    """Raises at the wait of that number."""
    left = iter(range(waits if waits is not None else 1 << 30))

    def each_wait(backend: ScriptedBackend) -> None:
        if next(left, None) is None:
            raise Died

    return each_wait


def test_a_branch_that_is_read_from_a_file_is_a_stream_of_its_own(ground: Ground) -> None:
    route = triage(LOW, Branch(None, "high", local=True))
    writer = Step(
        "high",
        shell(targets=(appends("high.jsonl"),)),
        HERE,
        needs=after("triage"),
        foreach=stream("triage", "high"),
        barrier=False,
    )
    last = Step("last", shell(), HERE, needs=after("high"), foreach=FileSource("high.jsonl", "jsonl"))
    backend = ScriptedBackend(lambda task, step: ended(task, pieces=(Piece(1, b'{"n":%d}\n' % task.index),)))
    ground.live(flow(ground.folder, route, writer, last), backend)
    assert given_to(backend, "last") == {place: b'{"n":%d}' % (place + 2) for place in range(5)}
    assert not any(placed(backend, "last").values())  # a file does not carry where its rows came from
