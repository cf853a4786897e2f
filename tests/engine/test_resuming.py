"""Runs that are stopped or die, at any moment, and the lives after that finish them."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.core.errors import OperatorError
from penstock.core.states import RunState
from penstock.core.work import Attempt, Outcome, Piece, Task, Verdict
from penstock.core.workflow import FileSource, Step, Tolerance, Workflow
from penstock.store.journal import Journal
from tests.doubles import (
    HERE,
    Ground,
    ScriptedBackend,
    after,
    appends,
    ended,
    flow,
    holder,
    rows,
    shell,
    stream,
    writes,
)


class Died(BaseException):
    """What stands for the death of the process in the middle of a turn."""


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def everything(folder: Path) -> Workflow:
    """A workflow with a bit of everything, the steps in an order that is not theirs.

    prepare -> many (appends, where) -> below (streams) -> last (streams) -> report; aside is a step by itself.
    """
    many = Step(
        "many",
        shell(targets=(appends("logs/many.txt"), writes("out/", holder("i"), ".txt"))),
        HERE,
        needs=after("prepare"),
        foreach=rows(12),
        where="item.n != 7",
        max_failures=Tolerance(count=3),
    )
    below = Step("below", shell(), HERE, needs=after("many"), foreach=stream("many"), barrier=False)
    last = Step("last", shell(), HERE, needs=after("below"), foreach=stream("below", "accepted"), barrier=False)
    report = Step("report", shell(), HERE, needs=after("last"))
    aside = Step("aside", shell(), HERE, foreach=rows(3))
    return flow(folder, report, last, below, aside, many, Step("prepare", shell(), HERE))


def answer(ground: Ground) -> Callable[[Task, Step], Outcome]:
    """Every seventh row is rejected, every fifth fails; rows of `many` append and write a file."""

    def end(task: Task, step: Step) -> Outcome:
        if step.foreach is None:
            return ended(task)
        if step.id == "many" and task.index % 5 == 4:
            return ended(task, Verdict.FAILED, kind="exit", reason="exit status 1")
        pieces = (Piece(1, b"%d\n" % task.index),) if step.id == "many" else ()
        verdict = Verdict.REJECTED if task.index % 7 == 3 else Verdict.ACCEPTED
        return ended(task, verdict, pieces=pieces)

    return end


def left(ground: Ground) -> dict[str, Any]:
    """What a run leaves that must not depend on how often it died: records, append targets, states, accounting."""
    steps = {path.name: path.read_text() for path in sorted(ground.run.steps.iterdir())}
    summaries = {step_id: json.loads(row["summary"]) for step_id, row in ground.steps().items()}
    states = {step_id: row["state"] for step_id, row in ground.steps().items()}
    return {
        "records": steps,
        "appended": (ground.folder / "logs/many.txt").read_text(),
        "states": states,
        "counts": {
            step_id: {name: told[name] for name in ("total", "accepted")} for step_id, told in summaries.items()
        },
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    ground = Ground(tmp_path_factory.mktemp("undisturbed"))
    state = ground.live(everything(ground.folder), ScriptedBackend(answer(ground)))
    assert state is RunState.SUCCEEDED
    return left(ground)


def test_the_undisturbed_run_is_what_it_should_be(undisturbed: dict[str, Any]) -> None:
    assert undisturbed["appended"] == "0\n1\n2\n3\n5\n6\n8\n10\n11\n"
    assert set(undisturbed["states"].values()) == {"succeeded"}


lives = st.lists(st.tuples(st.sampled_from(["stop", "die"]), st.integers(0, 12)), max_size=6)


@given(lives, st.integers(0, 2**32))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_however_often_a_run_stops_or_dies_it_ends_as_if_it_had_not(
    tmp_path_factory: pytest.TempPathFactory,
    undisturbed: dict[str, Any],
    deaths: list[tuple[str, int]],
    seed: int,
) -> None:
    ground, chance = Ground(tmp_path_factory.mktemp("run")), random.Random(seed)
    workflow = everything(ground.folder)
    begun, settled = Counter[tuple[str, int]](), set[tuple[str, int]]()

    def life(how: str | None, after_ends: int) -> RunState | None:
        def each_wait(backend: ScriptedBackend) -> None:
            if how is not None and len(backend.ended) >= after_ends:
                if how == "die":
                    raise Died
                ground.stop()

        backend = ScriptedBackend(answer(ground), lambda tasks: chance.randrange(len(tasks)), each_wait)
        try:
            state: RunState | None = ground.live(workflow, backend, concurrency=chance.randrange(1, 5))
        except Died:
            state = None
        again = [place for place in map(place_of, backend.submitted) if place in settled]
        assert again == []
        begun.update(map(place_of, backend.submitted))
        settled.update((outcome.task.step_id, outcome.task.index) for outcome in ground.listener.outcomes)
        return state

    for how, after_ends in deaths:
        if life(how, after_ends) not in (None, RunState.INTERRUPTED):
            break
    else:
        assert life(None, 0) is RunState.SUCCEEDED
    assert left(ground) == undisturbed
    assert max(begun.values()) <= len(deaths) + 1
    assert_log_is_whole(ground)


def place_of(task: Task) -> tuple[str, int]:
    return task.step_id, task.index


def assert_log_is_whole(ground: Ground) -> None:
    """One line an item and a step, none twice."""
    told = [json.loads(line) for line in ground.run.log.read_text().splitlines()]
    places = Counter((line["step"], line["i"]) for line in told)
    assert set(places.values()) == {1}
    expected: set[tuple[str, int | None]] = {(step_id, None) for step_id in ground.steps()}
    expected |= {("many", i) for i in range(12)} | {("aside", i) for i in range(3)}
    expected |= {("below", i) for i in (0, 1, 2, 3, 5, 6, 8, 10, 11)}
    assert {place for place in places if place[0] != "last"} == {place for place in expected if place[0] != "last"}


# --- one thing at a time -----------------------------------------------------------------------


def test_a_stopped_run_lets_what_is_in_flight_end_and_can_be_resumed(ground: Ground) -> None:
    step = Step("a", shell(), HERE, foreach=rows(10))
    workflow = flow(ground.folder, step)
    backend = ScriptedBackend(each_wait=lambda backend: ground.stop() if len(backend.ended) == 3 else None)
    assert ground.live(workflow, backend, concurrency=2) is RunState.INTERRUPTED
    assert len(backend.ended) == len(backend.submitted) == 5
    again = ScriptedBackend()
    assert ground.live(workflow, again) is RunState.SUCCEEDED
    assert again.submitted_of("a") == list(range(5, 10))


def test_a_run_that_died_does_again_what_was_in_flight_and_nothing_else(ground: Ground) -> None:
    def die(backend: ScriptedBackend) -> None:
        if len(backend.ended) == 4:
            raise Died

    step = Step("a", shell(), HERE, foreach=rows(10))
    backend = ScriptedBackend(pick=lambda tasks: len(tasks) - 1, each_wait=die)
    with pytest.raises(Died):
        ground.live(flow(ground.folder, step), backend, concurrency=3)
    assert backend.cancelled
    ended_before = {outcome.task.index for outcome in backend.ended}
    again = ScriptedBackend()
    assert ground.live(flow(ground.folder, step), again) is RunState.SUCCEEDED
    assert set(again.submitted_of("a")) == set(range(10)) - ended_before
    assert len(again.submitted) == 6


def test_a_run_with_thousands_of_settled_items_is_resumed(ground: Ground) -> None:
    step = Step("a", shell(), HERE, foreach=rows(2000), where="item.n >= 1500")
    backend = ScriptedBackend(each_wait=lambda backend: ground.stop() if len(backend.ended) == 300 else None)
    assert ground.live(flow(ground.folder, step), backend) is RunState.INTERRUPTED
    again = ScriptedBackend()
    assert ground.live(flow(ground.folder, step), again) is RunState.SUCCEEDED
    assert len(backend.submitted) + len(again.submitted) == 500


def test_nothing_is_done_where_all_had_ended_but_the_step_itself(ground: Ground) -> None:
    def stop_at_last(task: Task, step: Step) -> Outcome:
        if task.index == 3:
            ground.stop()
        return ended(task)

    step = Step("a", shell(), HERE, foreach=rows(4))
    first = ground.live(flow(ground.folder, step), ScriptedBackend(stop_at_last), concurrency=1)
    again = ScriptedBackend()
    second = ground.live(flow(ground.folder, step), again)
    assert (first, second) in {(RunState.INTERRUPTED, RunState.SUCCEEDED), (RunState.SUCCEEDED, RunState.SUCCEEDED)}
    assert again.submitted == []


def test_a_finished_run_that_is_lived_again_does_nothing(ground: Ground) -> None:
    workflow = everything(ground.folder)
    ground.live(workflow, ScriptedBackend(answer(ground)))
    before = left(ground)
    again = ScriptedBackend()
    assert ground.live(workflow, again) is RunState.SUCCEEDED
    assert again.submitted == []
    assert left(ground) == before


def test_attempts_of_an_earlier_life_are_told_to_the_task(ground: Ground) -> None:
    def die(backend: ScriptedBackend) -> None:
        raise Died

    step = Step("a", shell(), HERE, foreach=rows(1))
    backend = ScriptedBackend(each_wait=die)
    with pytest.raises(Died):
        ground.live(flow(ground.folder, step), backend)
    journal = Journal(ground.layout.journal, ground.clock)
    for number in (1, 2):
        journal.attempt_ended(backend.submitted[0], Attempt(number, 1.0, 1.0, "exit", "exit status 1"))
    journal.close()
    again = ScriptedBackend()
    ground.live(flow(ground.folder, step), again)
    assert again.submitted[0].spent == 2


def test_an_answer_of_a_condition_is_not_asked_for_again(ground: Ground) -> None:
    step = Step("a", shell(), HERE, foreach=rows(4), when='env.GO == "yes"')
    backend = ScriptedBackend(each_wait=lambda backend: ground.stop())
    assert ground.live(flow(ground.folder, step, GO="yes"), backend, concurrency=1) is RunState.INTERRUPTED
    assert ground.live(flow(ground.folder, step, GO="no"), ScriptedBackend()) is RunState.SUCCEEDED
    assert ground.verdicts("a") == dict.fromkeys(range(4), "accepted")


# --- what may not be done again ----------------------------------------------------------------


def test_a_task_that_may_not_be_done_twice_waits_for_a_persons_word(ground: Ground) -> None:
    def die(backend: ScriptedBackend) -> None:
        if len(backend.ended) == 2:
            raise Died

    step = Step("a", shell(), HERE, foreach=rows(5), idempotent=False)
    workflow = flow(ground.folder, step)
    backend = ScriptedBackend(each_wait=die)
    with pytest.raises(Died):
        ground.live(workflow, backend, concurrency=1)
    (lost,) = set(backend.submitted_of("a")) - {outcome.task.index for outcome in backend.ended}
    again = ScriptedBackend()
    assert ground.live(workflow, again) is RunState.WAITING
    assert again.submitted_of("a") == [index for index in range(5) if index > lost]
    held = f"a:{backend.submitted[-1].item.key}" if backend.submitted[-1].item else ""
    last = ScriptedBackend()
    assert ground.live(workflow, last, redo=frozenset({held})) is RunState.SUCCEEDED
    assert last.submitted_of("a") == [lost]


# --- what changed meanwhile --------------------------------------------------------------------


def stopped_over_file(ground: Ground, content: str) -> Workflow:
    (ground.folder / "rows.jsonl").write_text(content)
    step = Step("a", shell(), HERE, foreach=FileSource("rows.jsonl", "jsonl"))
    workflow = flow(ground.folder, step)
    backend = ScriptedBackend(each_wait=lambda backend: ground.stop())
    assert ground.live(workflow, backend, concurrency=1) is RunState.INTERRUPTED
    return workflow


def test_an_input_that_changed_while_the_run_was_stopped_is_refused(ground: Ground) -> None:
    workflow = stopped_over_file(ground, "1\n2\n3\n")
    (ground.folder / "rows.jsonl").write_text("1\n2\n4\n")
    again = ScriptedBackend()
    with pytest.raises(OperatorError, match=r"rows\.jsonl has changed since step a began to read it"):
        ground.live(workflow, again)
    assert again.submitted == []


def test_an_input_that_was_only_touched_is_what_it_was(ground: Ground) -> None:
    workflow = stopped_over_file(ground, "1\n2\n3\n")
    (ground.folder / "rows.jsonl").write_text("1\n2\n3\n")
    assert ground.live(workflow, ScriptedBackend()) is RunState.SUCCEEDED


def test_append_targets_that_were_harmed_while_the_run_was_stopped_are_written_anew(ground: Ground) -> None:
    step = Step("a", shell(targets=(appends("log"),)), HERE, foreach=rows(6))
    workflow = flow(ground.folder, step)

    def append(task: Task, step: Step) -> Outcome:
        return ended(task, pieces=(Piece(1, b"%d\n" % task.index),))

    stop = ScriptedBackend(append, each_wait=lambda backend: ground.stop() if len(backend.ended) == 3 else None)
    ground.live(workflow, stop, concurrency=1)
    (ground.folder / "log").write_text("0\n")
    ground.live(workflow, ScriptedBackend(append))
    assert (ground.folder / "log").read_text() == "0\n1\n2\n3\n4\n5\n"
