"""What the journal promises: nothing that it reported is lost, nothing is there twice, and no half of anything."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from penstock.core.states import RunState, StepState
from penstock.core.work import Attempt, Piece, Task, Verdict, WrittenFile
from penstock.store.database import Database, Row
from penstock.store.journal import NO_ITEM, Journal
from penstock.store.layout import Layout
from penstock.store.process import this_process
from tests.doubles import TickingClock, begin, ended, item, take

SOURCE = Path(__file__).parents[2] / "src"


@dataclass
class Room:
    """A journal with one run of the steps `a` and `b`."""

    journal: Journal
    clock: TickingClock
    run_no: int
    steps: dict[str, int] = field(default_factory=dict)

    def take(self, index: int, text: bytes = b"", step_id: str = "a") -> Task:
        return take(self.journal, self.steps[step_id], item(index, text), step_id=step_id)

    def commit(self, task: Task, *pieces: Piece, files: tuple[WrittenFile, ...] = ()) -> int:
        outcome = ended(task, pieces=pieces, files=files)
        return self.journal.commit(self.run_no, self.steps[task.step_id], outcome, None, None)

    def seen_by_others(self, name: str, values: tuple[object, ...] | dict[str, object]) -> list[Row]:
        """The answer that another connection gets, which sees nothing that is not committed."""
        other = Database(self.journal.database.path)
        try:
            return other.all(name, values)
        finally:
            other.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    layout, clock = Layout(tmp_path), TickingClock()
    layout.make()
    journal = Journal(layout.journal, clock)
    run_no, steps = begin(journal, layout, "a", "b")
    yield Room(journal, clock, run_no, steps)
    journal.close()


# --- death -------------------------------------------------------------------------------------

CHILD = """
import itertools, os, sys
from pathlib import Path
from penstock.api.clock import CLOCK
from penstock.core.work import Form, Item, Outcome, Piece, Record, Task, Verdict, WrittenFile
from penstock.store.journal import Journal

journal = Journal(Path(sys.argv[1]), CLOCK)
run_no = journal.begin_run("r1", "flow.yaml", "Flow", ["a"], {}, None)
step_no = journal.database.all("steps_of", {"run_no": run_no})[0]["step_no"]
for i in itertools.count():
    row = Item(i, str(i), b"%016d" % i, b"{}")
    number = journal.start_task(step_no, row, 0, 1, False)
    journal.claim_file(run_no, step_no, number, f"out_{i}", "item")
    outcome = Outcome(
        Task("r1", "a", number, row), Verdict.ACCEPTED, (), Record(Form.JSON, b"%d" % i),
        None, (Piece(1, b"%d\\n" % i),), (WrittenFile(f"out_{i}", i, b""),),
    )
    journal.commit(run_no, step_no, outcome, None, None)
    os.write(1, b"%d\\n" % i)
    if journal.due():
        journal.settle()
"""


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_process_loses_nothing_that_it_reported_and_repeats_nothing(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "journal.db"
    enough = random.Random(seed).randrange(1, 2500)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(SOURCE)}
    )
    assert child.stdout is not None
    reported = [int(child.stdout.readline()) for _ in range(enough)]
    child.send_signal(signal.SIGKILL)
    reported += [int(line) for line in child.stdout.read().split()]
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()

    plain = sqlite3.connect(path)
    kept = plain.execute(
        "SELECT o.i, CAST(o.record AS TEXT), CAST(p.body AS TEXT), f.state, f.size_bytes FROM outcomes o "
        "JOIN pieces p USING (outcome_no) JOIN files f USING (task_no) WHERE o.current = 1 ORDER BY o.outcome_no"
    ).fetchall()
    assert kept == [(i, f"{i}", f"{i}\n", "present", i) for i in range(len(kept))]
    assert len(reported) <= len(kept) <= len(reported) + 1
    assert reported == list(range(len(reported)))
    assert plain.execute("SELECT count(*) FROM outcomes").fetchone() == (len(kept),)
    assert plain.execute("SELECT count(*) FROM tasks").fetchone()[0] - len(kept) in (0, 1)
    assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    plain.close()


# --- all or nothing ----------------------------------------------------------------------------


def test_an_outcome_of_which_a_part_cannot_be_kept_is_not_kept_at_all(room: Room) -> None:
    task = room.take(0)
    with pytest.raises(sqlite3.IntegrityError):
        room.commit(task, Piece(1, b"x"), Piece(1, b"y"))
    assert room.journal.database.one("outcome_at", (room.steps["a"], 0)) is None
    number = room.commit(task, Piece(1, b"x"))
    assert [piece["body"] for piece in room.journal.database.all("pieces_of", (number,))] == [b"x"]


def test_what_is_written_together_is_durable_together_or_not_at_all(room: Room) -> None:
    def write_and_fail() -> None:
        with room.journal.together():
            room.commit(room.take(0))
            room.journal.claim_file(room.run_no, room.steps["a"], None, "x", "append")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write_and_fail()
    assert room.seen_by_others("tasks_taken", (room.steps["a"],))[0][0] == 0
    assert room.seen_by_others("file_claim", (room.run_no, "x")) == []


def test_an_outcome_is_seen_by_others_when_its_commit_returns(room: Room) -> None:
    room.commit(room.take(0))
    rows = room.seen_by_others("outcome_at", (room.steps["a"], 0))
    assert [(row["verdict"], row["record"]) for row in rows] == [("accepted", b'{"i":0}')]


def test_an_attempt_is_seen_by_others_when_it_is_recorded(room: Room) -> None:
    task = room.take(0)
    room.journal.attempt_ended(task, Attempt(1, 5.0, 0.5, "exit", "exit status 3", "oh"))
    (row,) = room.seen_by_others("task_at", (room.steps["a"], 0))
    assert row["spent"] == 1


def test_an_attempt_that_is_told_twice_counts_once(room: Room) -> None:
    task = room.take(0)
    for _ in range(2):
        room.journal.attempt_ended(task, Attempt(1, 5.0, 0.5, "exit", None))
    taken = room.journal.taken(room.steps["a"], 0)
    assert taken is not None
    assert taken.spent == 1


# --- invariants --------------------------------------------------------------------------------


def test_two_current_outcomes_for_one_place_are_refused(room: Room) -> None:
    task = room.take(0)
    room.commit(task)
    with pytest.raises(sqlite3.IntegrityError, match=r"outcomes\.step_no, outcomes\.i"):
        room.commit(task)


def test_one_place_is_taken_in_once(room: Room) -> None:
    room.take(0, b"x")
    with pytest.raises(sqlite3.IntegrityError, match=r"tasks\.step_no, tasks\.i"):
        room.take(0, b"y")


def test_one_identity_is_taken_in_once(room: Room) -> None:
    row = item(0, b"x")
    room.journal.start_task(room.steps["a"], row, 0, 1, False)
    with pytest.raises(sqlite3.IntegrityError, match=r"tasks\.hash, tasks\.occurrence"):
        room.journal.start_task(room.steps["a"], item(1, b"x"), 0, 1, False)


def test_one_path_is_claimed_by_one_task(room: Room) -> None:
    values = (room.run_no, room.steps["a"], 1, "out.json", "item", 0)
    room.journal.database.run("claim_file", values)
    with pytest.raises(sqlite3.IntegrityError, match=r"files\.run_no, files\.path"):
        room.journal.database.run("claim_file", (room.run_no, room.steps["a"], 2, "out.json", "item", 0))


def test_the_second_task_that_claims_a_path_is_told_so(room: Room) -> None:
    claim = room.journal.claim_file
    assert claim(room.run_no, room.steps["a"], 1, "out.json", "item") is None
    assert claim(room.run_no, room.steps["a"], 1, "out.json", "item") is None
    told = "out.json is written by another task of this run"
    assert claim(room.run_no, room.steps["a"], 2, "out.json", "item") == told
    assert claim(room.run_no, room.steps["b"], 1, "out.json", "item") == told


def test_a_verdict_that_is_none_is_refused(room: Room) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        room.journal.database.run(
            "insert_outcome", (1, 1, 0, "maybe", *[None] * 3, 1, *[None] * 2, 1.0, 1.0, *[None] * 10, 0)
        )


def test_a_run_id_is_given_once(room: Room) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=r"runs\.run_id"):
        room.journal.begin_run("r1", "flow.yaml", "Flow", ["a"], {}, None)
    assert len(room.journal.database.all("runs_newest_first", {"most": 9})) == 1


def test_a_step_is_in_a_run_once_and_a_run_that_cannot_have_its_steps_is_not_begun(room: Room) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=r"steps\.step_id"):
        room.journal.begin_run("r2", "flow.yaml", "Flow", ["a", "a"], {}, None)
    assert room.journal.database.one("run_by_id", {"run_id": "r2"}) is None


# --- what it knows -----------------------------------------------------------------------------


def test_rows_with_one_text_are_counted_and_those_of_another_step_are_not(room: Room) -> None:
    row = item(0, b"same")
    assert room.journal.occurrence(room.steps["a"], row.digest) == 0
    room.take(0, b"same")
    room.take(1, b"other")
    room.take(2, b"same")
    assert room.journal.occurrence(room.steps["a"], row.digest) == 2
    assert room.journal.occurrence(room.steps["b"], row.digest) == 0


def test_a_row_that_was_met_is_known_with_what_became_of_it(room: Room) -> None:
    assert room.journal.taken(room.steps["a"], 0) is None
    task = room.take(0, b"x")
    met = room.journal.taken(room.steps["a"], 0)
    assert met is not None
    assert (met.task_no, met.digest, met.occurrence, met.verdict) == (task.number, item(0, b"x").digest, 0, None)
    room.commit(task)
    met = room.journal.taken(room.steps["a"], 0)
    assert met is not None
    assert met.verdict == "accepted"


def test_outcomes_are_numbered_in_the_order_of_their_ends(room: Room) -> None:
    tasks = [room.take(index) for index in range(5)]
    numbers = [room.commit(tasks[index]) for index in (3, 0, 4, 2, 1)]
    assert numbers == sorted(numbers)


def test_a_file_is_present_once_the_outcome_that_wrote_it_is_committed(room: Room) -> None:
    task = room.take(0)
    room.journal.claim_file(room.run_no, room.steps["a"], task.number, "out.json", "item")
    (claim,) = room.seen_by_others("file_claim", (room.run_no, "out.json"))
    assert claim["state"] == "claimed"
    room.commit(task, files=(WrittenFile("out.json", 3, b"abc"),))
    (claim,) = room.seen_by_others("file_claim", (room.run_no, "out.json"))
    assert claim["state"] == "present"


def test_a_step_without_items_is_a_task_of_its_own(room: Room) -> None:
    number = room.journal.start_task(room.steps["b"], NO_ITEM, 0, 1, False)
    outcome = ended(Task("r1", "b", number, None), Verdict.REJECTED)
    room.journal.commit(room.run_no, room.steps["b"], outcome, None, None)
    row = room.journal.database.one("outcome_at", (room.steps["b"], 0))
    assert row is not None
    assert row["verdict"] == "rejected"


# --- how far it is on the disk -----------------------------------------------------------------


def test_a_sync_is_due_fifty_milliseconds_after_the_first_write(room: Room) -> None:
    room.journal.settle()
    assert not room.journal.pending
    room.clock.pass_by(3600)
    assert not room.journal.due()
    room.take(0)
    assert room.journal.pending
    assert not room.journal.due()
    room.clock.pass_by(0.05)
    assert room.journal.due()
    room.journal.settle()
    assert not room.journal.due()


def test_a_sync_is_due_after_a_hundred_writes_however_quick_they_were(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make()
    journal = Journal(layout.journal, TickingClock(tick_s=0.0))
    _, steps = begin(journal, layout, "a")
    for index in range(99):
        take(journal, steps["a"], item(index))
    assert not journal.due()
    take(journal, steps["a"], item(99))
    assert journal.due()
    journal.close()


# --- runs --------------------------------------------------------------------------------------


def test_each_life_of_a_run_has_a_later_epoch_and_the_last_one_can_let_go(room: Room) -> None:
    epochs = [room.journal.take_run(room.run_no, this_process()) for _ in range(3)]
    assert epochs == [1, 2, 3]
    room.journal.beat(room.run_no, 3)
    room.journal.end_run(room.run_no, 3, RunState.FAILED, "because")
    owner = room.journal.database.one("owner_of", {"run_no": room.run_no})
    row = room.journal.database.one("run_by_no", {"run_no": room.run_no})
    assert owner is not None
    assert row is not None
    assert owner["epoch"] == 3
    assert owner["taken_at"] < owner["heartbeat_at"] < owner["released_at"]
    assert (row["state"], row["reason"]) == ("failed", "because")


def test_a_run_that_is_taken_again_is_running_again(room: Room) -> None:
    room.journal.end_run(room.run_no, room.journal.take_run(room.run_no, this_process()), RunState.INTERRUPTED, "x")
    room.journal.take_run(room.run_no, this_process())
    row = room.journal.database.one("run_by_no", {"run_no": room.run_no})
    assert row is not None
    assert (row["state"], row["reason"], row["ended_at"]) == ("running", None, None)


def test_a_new_run_supersedes_those_of_its_workflow_that_did_not_end(room: Room) -> None:
    journal = room.journal
    ends = {"r2": RunState.SUCCEEDED, "r3": RunState.INTERRUPTED, "r4": RunState.FAILED, "r5": RunState.WAITING}
    for run_id, state in ends.items():
        run_no = journal.begin_run(run_id, "flow.yaml", "Flow", ["a"], {}, None)
        journal.end_run(run_no, journal.take_run(run_no, this_process()), state, None)
    journal.begin_run("other", "other.yaml", "Flow", ["a"], {}, None)
    newest = journal.begin_run("r6", "flow.yaml", "Flow", ["a"], {}, None)
    journal.supersede(newest, "flow.yaml")
    rows = journal.database.all("runs_newest_first", {"most": 9})
    assert {row["run_id"] for row in rows if row["superseded_by"] == newest} == {"r1", "r3", "r5"}


def test_the_ends_of_steps_are_numbered_and_know_the_outcomes_before_them(room: Room) -> None:
    journal = room.journal
    journal.open_step(room.steps["a"], None)
    first = room.commit(room.take(0))
    journal.end_step(room.steps["b"], StepState.SKIPPED, "why", {}, 0)
    last = room.commit(room.take(1))
    journal.end_step(room.steps["a"], StepState.SUCCEEDED, None, {"total": 2}, 2)
    rows = journal.database.all("steps_ended", {"run_no": room.run_no, "after": 0})
    assert [(row["step_id"], row["ended_after"]) for row in rows] == [("b", first), ("a", last)]
    assert [row["end_order"] for row in rows] == [1, 2]
