"""The invariants are found to hold where they do, and not where a file or a row was touched."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.core.states import StepState
from penstock.core.work import Piece, Verdict
from penstock.store.audit import accounting, derived_files, journal_file, leftovers, recorded_files
from penstock.store.audit.finding import Finding, Grade
from penstock.store.database import VERSION, Row
from penstock.store.derived import AppendTarget, Sequence
from penstock.store.journal import Journal
from penstock.store.layout import Layout
from penstock.store.logs import RunLog
from penstock.store.targets import written
from tests.doubles import TickingClock, begin, ended, item, json_record, take

PIECE = 3


class Room:
    """A run of the steps `a` (which appends to `all.txt` after five bytes that are not ours) and `b`, never run."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        self.layout.make()
        self.journal = Journal(self.layout.journal, TickingClock())
        self.run_no, self.steps = begin(self.journal, self.layout, "a", "b")
        self.append = folder / "all.txt"
        self.append.write_text("ours?")
        self.journal.claim_file(self.run_no, self.steps["a"], None, "all.txt", "append", foreign_bytes=5)
        self.records = self.layout.run("r1").steps / "a.jsonl"
        self.layout.run("r1").snapshot.write_text("name: Flow\n")

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()

    def item(self, index: int, verdict: Verdict = Verdict.ACCEPTED, size: int = 10) -> None:
        """Row `index` of `a` has its verdict, a record and a piece of that many bytes, and a file of its own."""
        task = take(self.journal, self.steps["a"], item(index))
        own = f"out_{index}"
        self.journal.claim_file(self.run_no, self.steps["a"], task.number, own, "item")
        (self.layout.folder / own).write_text(f"file {index}")
        kept = (Piece(PIECE, b"%d " % index + b"." * size),) if verdict is not Verdict.FAILED else ()
        record = json_record(b'{"text":"%s"}' % (b"r" * size)) if kept else None
        outcome = ended(task, verdict, record, pieces=kept, files=(written(self.layout.folder, own),))
        self.journal.commit(self.run_no, self.steps["a"], outcome, None, None)

    def write_down(self) -> None:
        """The derived files follow the journal, as they do in a run."""
        targets = (AppendTarget(PIECE, self.append, "all.txt", 5),)
        for file in (
            Sequence(self.journal, self.run_no, self.steps["a"], self.records, targets),
            RunLog(self.journal, self.run_no, "r1", self.layout.run("r1").log),
        ):
            file.advance()
            file.close()

    def end(self, total: int, **counts: int) -> None:
        """Step `a` has ended, and `b` was skipped."""
        told = {"accepted": 0, "rejected": 0, "failed": 0, "skipped": 0, **counts}
        self.journal.end_step(self.steps["a"], StepState.SUCCEEDED, None, {"total": total, **told}, total)
        nothing = dict.fromkeys(told, 0)
        self.journal.end_step(self.steps["b"], StepState.SKIPPED, "no need", {"total": 0, **nothing}, 0)
        self.write_down()
        self.journal.file_written(self.run_no, written(self.layout.folder, "all.txt"))

    @property
    def run(self) -> Row:
        row = self.journal.database.one("run_by_no", {"run_no": self.run_no})
        assert row is not None
        return row

    def step(self, name: str) -> Row:
        row = self.journal.database.one("step_by_no", (self.steps[name],))
        assert row is not None
        return row

    def derived(self) -> list[Finding]:
        """What is to say of the three derived files."""
        database, run, step = self.journal.database, self.run, self.step("a")
        (file,) = database.all("append_targets", {"run_no": self.run_no, "step_no": self.steps["a"]})
        return [
            derived_files.compare(derived_files.log_file(database, self.layout, run)),
            derived_files.compare(derived_files.records_file(database, self.layout, run, step)),
            derived_files.compare(derived_files.append_file(database, self.layout, run, step, file, PIECE)),
        ]

    def change(self, statement: str) -> None:
        """Somebody edits the journal."""
        with closing(sqlite3.connect(self.layout.journal)) as connection, connection:
            assert connection.execute(statement).rowcount > 0


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with Room(tmp_path) as made:
        yield made


@pytest.fixture
def whole(room: Room) -> Room:
    """A run that has ended: 600 rows, which are more than a page."""
    with room.journal.together():
        for index in range(600):
            room.item(index, list(Verdict)[index % 3])
    room.end(600, accepted=200, rejected=200, failed=200)
    return room


def grades(findings: list[Finding]) -> list[Grade]:
    return [finding.grade for finding in findings]


# --- derived files -----------------------------------------------------------------------------


def test_what_a_run_wrote_is_what_the_journal_would_write(whole: Room) -> None:
    assert grades(whole.derived()) == [Grade.OK] * 3
    assert whole.derived()[1].message == "as the journal has it, 600 parts"


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
def test_no_touch_of_a_derived_file_goes_unseen(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, Room(Path(folder)) as room:
        for index in range(8):
            room.item(index, list(Verdict)[index % 4])
        room.end(8, accepted=2, rejected=2, failed=2, skipped=2)
        assert grades(room.derived()) == [Grade.OK] * 3
        which = data.draw(st.integers(0, 2))
        path = (room.layout.run("r1").log, room.records, room.append)[which]
        body = path.read_bytes()
        at = data.draw(st.integers(5, len(body) - 1))
        touched = data.draw(
            st.sampled_from(
                [
                    body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :],
                    body[:at] + body[at + 1 :],
                    body[:at] + b"\n" + body[at:],
                    body[:at],
                    body + b"\n",
                    body + body[5:],
                    body[:5],
                ]
            )
        )
        path.write_bytes(touched)
        expected = [Grade.OK] * 3
        if touched != body:
            expected[which] = Grade.PROBLEM
        assert grades(room.derived()) == expected


def test_a_derived_file_that_is_gone_is_a_problem(whole: Room) -> None:
    whole.records.unlink()
    assert grades(whole.derived()) == [Grade.OK, Grade.PROBLEM, Grade.OK]
    assert whole.derived()[1].help == "`penstock doctor --rebuild` writes it anew from the journal"


def test_of_a_step_that_goes_on_only_what_was_written_is_compared(room: Room) -> None:
    for index in (0, 1, 3):
        room.item(index)
    assert [finding.message for finding in room.derived()[:2]] == ["not begun", "not begun"]
    room.write_down()
    assert grades(room.derived()) == [Grade.OK] * 3
    room.item(2)
    assert grades(room.derived()) == [Grade.OK] * 3
    with room.records.open("ab") as file:
        file.write(b'{"i": 2, "ke')
    (_, torn, _) = room.derived()
    assert (torn.grade, "`penstock resume` mends that" in torn.message) == (Grade.NOTE, True)
    room.records.write_bytes(room.records.read_bytes()[:10])
    assert grades(room.derived()) == [Grade.OK, Grade.PROBLEM, Grade.OK]


def test_an_append_target_is_found_in_the_runs_folder_after_a_later_run(whole: Room) -> None:
    (file,) = whole.journal.database.all("append_targets", {"run_no": whole.run_no, "step_no": whole.steps["a"]})
    kept = whole.layout.run("r1").files / "all.txt"
    kept.parent.mkdir()
    whole.append.rename(kept)
    assert grades(whole.derived())[2] is Grade.PROBLEM
    whole.journal.file_moved(file["file_no"])
    assert grades(whole.derived())[2] is Grade.OK


@pytest.mark.parametrize("harm", ["gone", "shorter", "other"])
def test_what_is_rebuilt_equals_what_was_written(whole: Room, harm: str) -> None:
    log = whole.layout.run("r1").log
    before = log.read_bytes(), whole.records.read_bytes()
    for path in (log, whole.records):
        if harm == "gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-9] if harm == "shorter" else b"{}\n")
    derived_files.rebuild_log(whole.journal, whole.layout, whole.run)
    for name in ("a", "b"):
        derived_files.rebuild_records(whole.journal, whole.layout, whole.run, whole.step(name))
    assert (log.read_bytes(), whole.records.read_bytes()) == before
    assert grades(whole.derived()) == [Grade.OK] * 3


def test_a_rebuilt_log_goes_on_where_it_was_rebuilt_to(room: Room) -> None:
    room.item(0)
    room.item(1)
    room.write_down()
    log = room.layout.run("r1").log
    log.write_bytes(b"")
    derived_files.rebuild_log(room.journal, room.layout, room.run)
    derived_files.rebuild_records(room.journal, room.layout, room.run, room.step("a"))
    room.item(2)
    room.end(3, accepted=3)
    assert grades(room.derived()) == [Grade.OK] * 3
    assert log.read_bytes().count(b"\n") == 5


# --- accounting --------------------------------------------------------------------------------


def test_a_run_that_adds_up_has_nothing_to_complain_of(whole: Room) -> None:
    assert set(grades(list(accounting.examine(whole.journal.database, whole.run)))) <= {Grade.OK, Grade.NOTE}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ("UPDATE outcomes SET verdict = 'failed' WHERE i = 7", "200 rejected told, 199 in the journal"),
        ("DELETE FROM outcomes WHERE i = 7", "600 rows in, 600 taken, 599 with a verdict"),
        ("UPDATE outcomes SET current = 0 WHERE i = 7", "1 of its tasks have no outcome"),
        ("UPDATE tasks SET current = 0 WHERE i = 7", "600 rows in, 599 taken, 600 with a verdict"),
        ("UPDATE outcomes SET task_no = 9 WHERE i = 7", "1 of its outcomes belong to no task of its own"),
        ("UPDATE steps SET total = 601 WHERE step_id = 'a'", "601 rows in, 600 taken, 600 with a verdict"),
        ("UPDATE runs SET state = 'succeeded' WHERE (SELECT step_no FROM steps LIMIT 1)", None),
        ("UPDATE steps SET state = 'failed' WHERE step_id = 'a'", None),
    ],
)
def test_a_row_too_many_or_too_few_is_a_problem_that_says_the_numbers(whole: Room, edit: str, said: str | None) -> None:
    whole.change(edit)
    found = list(accounting.examine(whole.journal.database, whole.run))
    problems = [finding for finding in found if finding.grade is Grade.PROBLEM]
    assert any(said in problem.message for problem in problems) if said else problems == []


@pytest.mark.parametrize(
    ("step_state", "said"),
    [("running", "the run has succeeded, and these steps have not: a"), ("failed", "and a step of it has not")],
)
def test_a_run_that_ended_otherwise_than_its_steps_is_a_problem(whole: Room, step_state: str, said: str) -> None:
    whole.change("UPDATE runs SET state = 'succeeded'")
    whole.change(f"UPDATE steps SET state = '{step_state}' WHERE step_id = 'a'")
    state = next(accounting.examine(whole.journal.database, whole.run))
    assert (state.grade, said in state.message) == (Grade.PROBLEM, True)


# --- files that the journal names --------------------------------------------------------------


def recorded(room: Room) -> list[Finding]:
    return list(recorded_files.examine(room.journal.database, room.layout, room.run))


def touch(path: Path) -> None:
    path.write_text("touched")


def other_size(path: Path) -> None:
    path.write_text("much longer than before")


@pytest.mark.parametrize(
    ("name", "harm", "said"),
    [
        ("out_7", Path.unlink, "1 of 601 written by the run are not as recorded"),
        ("out_7", other_size, "has 23 bytes, not 6"),
        ("out_12", touch, "has another content"),
        ("all.txt", Path.unlink, "all.txt is gone"),
        (".penstock/runs/r1/workflow.yaml", Path.unlink, "the run's copy of the workflow is gone"),
    ],
)
def test_a_file_that_is_not_as_recorded_is_named(
    whole: Room, name: str, harm: Callable[[Path], None], said: str
) -> None:
    assert set(grades(recorded(whole))) == {Grade.OK}
    harm(whole.layout.folder / name)
    found = recorded(whole)
    (problem,) = (finding for finding in found if finding.grade is Grade.PROBLEM)
    assert said in problem.message
    assert problem.help


def test_of_many_wrong_files_three_are_named(whole: Room) -> None:
    for index in range(20):
        (whole.layout.folder / f"out_{index}").unlink()
    found = recorded(whole)
    (problem,) = (finding for finding in found if finding.grade is Grade.PROBLEM)
    assert problem.message.count(" is gone") == 3
    assert problem.message.endswith("and 17 more")


# --- leftovers ---------------------------------------------------------------------------------


def test_private_files_halves_and_strange_folders_are_noted(whole: Room) -> None:
    layout = whole.layout
    found = [leftovers.slots(layout, whole.run), leftovers.halves(layout)]
    assert grades([*found, leftovers.folders(whole.journal.database, layout)]) == [Grade.OK] * 3
    (layout.run("r1").slots / "a.1").mkdir()
    (layout.fixtures / "a").mkdir(parents=True)
    (layout.fixtures / "a" / ".0123.json.99999999").touch()
    (layout.run("r1").steps / ".a.jsonl.99999999").touch()
    layout.run("r0").make()
    found = [leftovers.slots(layout, whole.run), leftovers.halves(layout)]
    found.append(leftovers.folders(whole.journal.database, layout))
    assert grades(found) == [Grade.NOTE] * 3
    assert (
        found[1].help
        == f"remove them: rm {layout.fixtures}/a/.0123.json.99999999 {layout.root}/runs/r1/steps/.a.jsonl.99999999"
    )
    assert "r0" in found[2].message


# --- the journal as a file ---------------------------------------------------------------------


def test_a_journal_is_whole_and_looking_at_it_writes_nothing(whole: Room) -> None:
    whole.journal.close()
    before = whole.layout.journal.read_bytes()
    found = journal_file.examine(whole.layout.journal)
    assert set(grades(found)) == {Grade.OK}
    assert journal_file.readable(found)
    assert whole.layout.journal.read_bytes() == before


@pytest.mark.parametrize("page", range(1, 40, 3))
def test_a_page_that_was_overwritten_is_a_problem_or_was_not_used(whole: Room, page: int) -> None:
    whole.journal.close()
    body = whole.layout.journal.read_bytes()
    pages = len(body) // 4096
    damaged = body[: page % pages * 4096] + b"\x55" * 4096 + body[(page % pages + 1) * 4096 :]
    whole.layout.journal.write_bytes(damaged)
    found = journal_file.examine(whole.layout.journal)
    assert not journal_file.readable(found)
    assert all(finding.help for finding in found if finding.grade is Grade.PROBLEM)
    assert whole.layout.journal.read_bytes() == damaged


def test_rows_that_point_nowhere_and_a_newer_schema_are_problems(whole: Room) -> None:
    whole.change("DELETE FROM tasks WHERE i = 3")
    (lost,) = (one for one in journal_file.examine(whole.layout.journal) if one.grade is Grade.PROBLEM)
    assert "rows of files, outcomes point to rows that are gone" in lost.message
    with closing(sqlite3.connect(whole.layout.journal)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    found = journal_file.examine(whole.layout.journal)
    assert any("a newer Penstock wrote it" in finding.message for finding in found)
    assert not journal_file.readable(found)


def test_a_file_that_is_no_journal_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("not a database at all, " * 100)
    (found,) = journal_file.examine(tmp_path / "journal.db")
    assert (found.grade, "file is not a database" in found.message) == (Grade.PROBLEM, True)
