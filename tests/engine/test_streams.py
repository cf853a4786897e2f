"""Steps that read the records of another step."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.core.states import RunState
from penstock.core.work import Outcome, Piece, Task, Verdict
from penstock.core.workflow import FileSource, ListSource, Step, Tolerance
from tests.doubles import (
    HERE,
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
    text_record,
)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def reading(above: str, branch: str | None = None, step_id: str = "b", barrier: bool = False, **bindings: str) -> Step:
    spec = shell(bindings=bindings)
    return Step(step_id, spec, HERE, needs=after(above), foreach=stream(above, branch), barrier=barrier)


def lines(ground: Ground, step_id: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (ground.run.steps / f"{step_id}.jsonl").read_text().splitlines()]


def by_verdict(verdicts: list[Verdict], pick: Callable[[Sequence[Task]], int] = lambda tasks: 0) -> ScriptedBackend:
    """Rows of step a end as the list says, all others accepted."""

    def answer(task: Task, step: Step) -> Outcome:
        return ended(task, verdicts[task.index] if step.id == "a" else Verdict.ACCEPTED, reason="why")

    return ScriptedBackend(answer, pick)


ANY = Tolerance(share=1.0)
ALL = [Verdict.ACCEPTED, Verdict.REJECTED, Verdict.FAILED, Verdict.ACCEPTED]


# --- when rows come ----------------------------------------------------------------------------


def test_a_row_starts_as_soon_as_its_record_is_there(ground: Ground) -> None:
    above = Step("a", shell(), HERE, foreach=rows(6), concurrency=1)
    backend = ScriptedBackend()
    ground.live(flow(ground.folder, above, reading("a")), backend)
    order = [(task.step_id, task.index) for task in backend.submitted]
    assert order.index(("b", 0)) < order.index(("a", 2))


def test_a_barrier_waits_for_the_end_of_the_step_above(ground: Ground) -> None:
    above = Step("a", shell(), HERE, foreach=rows(6), concurrency=1)
    backend = ScriptedBackend()
    ground.live(flow(ground.folder, above, reading("a", barrier=True)), backend)
    assert [task.step_id for task in backend.submitted] == ["a"] * 6 + ["b"] * 6


def test_a_row_keeps_its_place_and_records_come_out_in_the_order_of_the_root(ground: Ground) -> None:
    above = Step("a", shell(), HERE, foreach=rows(9), concurrency=9)
    backend = ScriptedBackend(pick=lambda tasks: len(tasks) - 1)
    ground.live(flow(ground.folder, above, reading("a")), backend)
    assert backend.submitted_of("b")[0] != 0
    assert [line["i"] for line in lines(ground, "b")] == list(range(9))


@given(
    st.integers(0, 2**32),
    st.lists(st.sampled_from(Verdict), max_size=8),
    st.sampled_from([None, "accepted", "rejected"]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_order_rows_end_in_the_files_are_in_order(
    tmp_path_factory: pytest.TempPathFactory, seed: int, verdicts: list[Verdict], branch: str | None
) -> None:
    ground = Ground(tmp_path_factory.mktemp("flow"))
    chance = random.Random(seed)
    backend = by_verdict(verdicts, pick=lambda tasks: chance.randrange(len(tasks)))
    above = Step("a", shell(), HERE, foreach=rows(len(verdicts)), max_failures=ANY)
    last = reading("b", step_id="c")
    ground.live(flow(ground.folder, above, reading("a", branch), last), backend, concurrency=3)
    kept = {None: ("accepted", "rejected"), "accepted": ("accepted",), "rejected": ("rejected",)}[branch]
    taken = [index for index, verdict in enumerate(verdicts) if verdict.value in kept]
    assert [line["i"] for line in lines(ground, "a")] == list(range(len(verdicts)))
    assert [line["i"] for line in lines(ground, "b")] == taken
    assert [line["i"] for line in lines(ground, "c")] == taken


# --- branches ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("branch", "taken"), [(None, [0, 1, 3]), ("accepted", [0, 3]), ("rejected", [1]), ("failed", [2])]
)
def test_each_branch_has_its_records(ground: Ground, branch: str | None, taken: list[int]) -> None:
    above = Step("a", shell(), HERE, foreach=rows(4), max_failures=ANY)
    backend = by_verdict(ALL)
    assert ground.live(flow(ground.folder, above, reading("a", branch)), backend) is RunState.SUCCEEDED
    assert sorted(backend.submitted_of("b")) == taken


def test_the_failed_branch_gives_the_input_with_the_failure_beside_it(ground: Ground) -> None:
    above = Step("a", shell(), HERE, foreach=ListSource(({"n": 1.0}, "plain")), max_failures=ANY)
    backend = by_verdict([Verdict.FAILED, Verdict.FAILED])
    ground.live(flow(ground.folder, above, reading("a", "failed")), backend)
    given = [json.loads(task.item.text) for task in backend.submitted if task.step_id == "b" and task.item]
    failure = {"reason": "why", "kind": None, "attempt": 1}
    assert given == [{"n": 1.0, "failure": failure}, {"input": "plain", "failure": failure}]


def test_a_stream_of_a_step_that_failed_ends_blocked_after_the_records_there_are(ground: Ground) -> None:
    above = Step("a", shell(), HERE, foreach=rows(4))
    backend = by_verdict(ALL)
    assert ground.live(flow(ground.folder, above, reading("a")), backend) is RunState.FAILED
    assert ground.states()["b"] == ("blocked", "the step that it reads from ended failed: 3 records were done")
    assert sorted(backend.submitted_of("b")) == [0, 1, 3]


# --- what a row sees ---------------------------------------------------------------------------


def test_a_row_sees_its_record_its_origin_and_the_records_between(ground: Ground) -> None:
    def answer(task: Task, step: Step) -> Outcome:
        return ended(task, record=json_record(b'{"from":"%s","i":%d}' % (step.id.encode(), task.index)))

    above = Step("a", shell(), HERE, foreach=ListSource(({"text": "한 $(x)"}, {"text": "two"})))
    last = reading("b", step_id="c", I="item.from", O="origin.text", A="chain.a.from", B="chain.b.i", N="i")
    backend = ScriptedBackend(answer)
    ground.live(flow(ground.folder, above, reading("a"), last), backend)
    values = {task.index: dict(task.values) for task in backend.submitted if task.step_id == "c"}
    assert values[0] == {"I": "b", "O": "한 $(x)", "A": "a", "B": "0", "N": "0"}
    assert values[1]["O"] == "two"


def test_a_record_that_is_text_is_given_byte_for_byte(ground: Ground) -> None:
    body = b"not json \xff\n"
    above = Step("a", shell(), HERE, foreach=rows(1))
    backend = ScriptedBackend(lambda task, step: ended(task, record=text_record(body)))
    ground.live(flow(ground.folder, above, reading("a")), backend)
    assert [task.item.text for task in backend.submitted if task.step_id == "b" and task.item] == [body]


def test_a_condition_on_a_text_that_is_no_utf8_can_be_journalled(ground: Ground) -> None:
    above = Step("a", shell(), HERE, foreach=rows(1))
    below = Step("b", shell(), HERE, needs=after("a"), foreach=stream("a"), barrier=False, where='item == "x"')
    backend = ScriptedBackend(lambda task, step: ended(task, record=text_record(b"caf\xe9")))
    assert ground.live(flow(ground.folder, above, below), backend) is RunState.SUCCEEDED
    assert ground.verdicts("b") == {0: "skipped"}


def test_a_step_may_read_the_file_that_another_appends_to_whole_and_in_order(ground: Ground) -> None:
    above = Step("a", shell(targets=(appends("logs/a.jsonl"),)), HERE, foreach=rows(30))
    below = Step(
        "b", shell(bindings={"V": "item"}), HERE, needs=after("a"), foreach=FileSource("logs/a.jsonl", "jsonl")
    )

    def answer(task: Task, step: Step) -> Outcome:
        return ended(task, pieces=(Piece(1, b'{"row":%d}\n' % task.index),) if step.id == "a" else ())

    chance = random.Random(3)
    backend = ScriptedBackend(answer, pick=lambda tasks: chance.randrange(len(tasks)))
    ground.live(flow(ground.folder, above, below), backend, concurrency=8)
    texts = {task.index: task.item.text for task in backend.submitted if task.step_id == "b" and task.item}
    assert texts == {index: b'{"row":%d}' % index for index in range(30)}


def test_a_chain_of_streams_with_a_thousand_rows_that_are_passed_by_comes_to_its_end(ground: Ground) -> None:
    above = Step("a", shell(), HERE, foreach=rows(1000), where="item.n % 250 == 0")
    backend = ScriptedBackend()
    assert (
        ground.live(flow(ground.folder, above, reading("a"), reading("b", step_id="c")), backend) is RunState.SUCCEEDED
    )
    assert backend.submitted_of("c") == [0, 250, 500, 750]
