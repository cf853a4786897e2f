"""What `resume` takes up, takes back and refuses: its words, the records, the files and the accounting afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from penstock.api import reading, running
from penstock.core.errors import OperatorError, UsageError
from penstock.core.states import RunState
from penstock.core.views import Options, Resumption, RunView
from penstock.core.work import Outcome
from penstock.store.facts import find
from penstock.store.journal import Journal
from penstock.store.layout import Layout
from penstock.store.reopen import reset
from tests.doubles import MemoryListener, TickingClock
from tests.terminal import Project, jsonl, until


class Stop(BaseException):
    """Raised in the midst of a run: as if somebody had pulled the plug, but that the test goes on."""


class Stopping(MemoryListener):
    """Stops the run after so many outcomes."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def outcome(self, outcome: Outcome) -> None:
        super().outcome(outcome)
        if len(self.outcomes) == self._after:
            raise Stop


class Flow:
    """A workflow's folder, and its runs in this process."""

    def __init__(self, folder: Path, steps: str, rows: list[object] | None = None) -> None:
        self.folder = folder
        self.write("workflow.yaml", f"name: Test\nversion: 1\n{steps}")
        if rows is not None:
            self.rows(rows)
        self.notes: list[str] = []

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def rows(self, rows: list[object], name: str = "rows.jsonl") -> None:
        self.write(name, "".join(f"{json.dumps(row)}\n" for row in rows))

    def run(self, stop_after: int = -1, only: str | None = None) -> RunState | None:
        """A new run; its state, or None if it was stopped."""
        listener = Stopping(stop_after)
        try:
            return running.run(self.folder, Options(only=only), listener).state
        except Stop:
            return None

    def resume(self, stop_after: int = -1, run: str | None = None, **asked: object) -> RunState | None:
        """The newest run goes on; its state, or None if it was stopped again."""
        listener = Stopping(stop_after)
        try:
            return running.resume(self.folder, run, Resumption(**asked), listener).state  # type: ignore[arg-type] # by name
        except Stop:
            return None
        finally:
            self.notes = listener.notes

    def view(self) -> RunView:
        return reading.status(self.folder, None)

    def state(self, step: str) -> str:
        return next(view.state for view in self.view().steps if view.id == step)

    def counts(self, step: str) -> tuple[int, int, int, int]:
        """Accepted, rejected, failed, skipped; every row of the step is one of them."""
        tally = next(view.tally for view in self.view().steps if view.id == step)
        assert tally.in_flight == 0
        assert tally.total == tally.done
        return tally.accepted, tally.rejected, tally.failed, tally.skipped

    def records(self, step: str) -> list[object]:
        """The records of the step in order, which are numbered without a gap or follow a stream's places."""
        return [line["record"] for line in self.lines(step)]

    def lines(self, step: str) -> list[dict[str, object]]:
        return jsonl(reading.status(self.folder, None).folder / "steps" / f"{step}.jsonl")

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def begun(self, name: str = "begun") -> list[str]:
        """What the items' program has noted, and forgets it."""
        path = self.folder / name
        noted = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return noted


def flow(folder: Path, steps: str, rows: list[object] | None = None) -> Flow:
    """A flow whose items can note that they begin, with `bash note.sh N`, which also prints `{"n": N}`."""
    made = Flow(folder, steps, rows)
    made.write("note.sh", 'echo "$1" >> begun\n[ ! -e "bad-$1" ] || exit 1\nprintf \'{"n":%s}\\n\' "$1"\n')
    return made


def numbered(*numbers: int) -> list[object]:
    return [{"n": number} for number in numbers]


ONE = """\
steps:
  - id: a
    foreach: rows.jsonl
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a all.jsonl > "out/{{key}}.json"
"""

BELOW = """\
  - id: b
    foreach: steps.a
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a below.jsonl
"""


# --- taking up -----------------------------------------------------------------------------------


def test_what_has_a_verdict_stands_and_the_rest_is_done(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(6)))
    assert made.run(stop_after=3) is None
    assert made.view().state == "interrupted"
    assert made.begun()[:3] == ["0", "1", "2"]
    assert made.resume() is RunState.SUCCEEDED
    assert made.begun() == ["3", "4", "5"]
    assert made.counts("a") == (6, 0, 0, 0)
    assert made.records("a") == numbered(*range(6))
    assert made.read("all.jsonl") == "".join(f'{{"n":{n}}}\n' for n in range(6))
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_it_says_what_is_finished_and_what_was_in_flight(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(6)))
    made.run(stop_after=3)
    (flying,) = made.view().in_flight
    made.resume()
    assert made.notes[0] == (
        f"resuming run {made.view().id}: 3 tasks are finished and stand, 1 in flight, done again: {flying}"
    )


def test_a_resumed_run_can_be_stopped_and_resumed_again_and_again(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(7)))
    made.run(stop_after=1)
    for _ in range(5):
        assert made.resume(stop_after=1) is None
    assert made.resume() is RunState.SUCCEEDED
    assert made.records("a") == numbered(*range(7))


def test_the_snapshot_counts_and_not_the_file_as_it_is_now(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(4)))
    made.run(stop_after=2)
    made.write("workflow.yaml", "this is no workflow: [")
    assert made.resume(stop_after=1) is None
    (tmp_path / "workflow.yaml").unlink()
    assert made.resume() is RunState.SUCCEEDED
    assert made.records("a") == numbered(*range(4))


def test_overrides_of_the_first_command_line_hold_for_the_whole_run(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(
        "env: {WORD: one}\nsteps:\n  - id: a\n    foreach: [1, 2]\n    concurrency: 1\n"
        "    run: '[ -e go ] || touch wait; until [ -e go ]; do sleep 0.02; done; echo \"$WORD\"'\n"
    )
    with project.running("run", "--var", "WORD=two") as process:
        until((tmp_path / "wait").exists, process)
        os.kill(process.pid, signal.SIGKILL)
    project.write("go", "")
    project.succeeds("resume")
    assert [line["record"] for line in project.records("a")] == ["two", "two"]


def test_an_only_run_is_resumed_as_one(tmp_path: Path) -> None:
    steps = ONE + "  - id: b\n    foreach: steps.a\n    concurrency: 1\n    run: bash note.sh {{item.n}}\n"
    made = flow(tmp_path, steps, numbered(*range(4)))
    assert made.run() is RunState.SUCCEEDED
    made.begun()
    assert made.run(stop_after=2, only="b") is None
    assert made.resume() is RunState.SUCCEEDED
    assert [view.id for view in made.view().steps] == ["b"]
    assert made.records("b") == numbered(*range(4))
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_attempts_are_counted_across_lives_and_one_lost_to_a_crash_is_not(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("try.sh", 'echo "$1" >> tried\n[ -e go ] || [ "$1" != 2 ] || { touch held; sleep 300; }\nexit 1\n')
    project.workflow(
        "steps:\n  - id: a\n    foreach: [0]\n"
        "    retry: {attempts: 3, on: [exit], backoff: {base: 1ms, cap: 1ms}}\n"
        '    run: bash try.sh "{{attempt}}"\n'
    )
    with project.running("run") as process:
        until((tmp_path / "held").exists, process)
        os.kill(process.pid, signal.SIGKILL)
    project.write("go", "")
    assert project.penstock("resume").status == 1
    assert project.read("tried").split() == ["1", "2", "2", "3"]


def test_a_stream_goes_on_in_both_of_its_steps_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    made = flow(tmp_path, "steps:\n" + BELOW + ONE.removeprefix("steps:\n"), numbered(*range(8)))
    assert made.run(stop_after=7) is None
    assert made.resume(stop_after=3) is None
    assert made.resume() is RunState.SUCCEEDED
    assert made.records("a") == made.records("b") == numbered(*range(8))
    assert made.read("below.jsonl") == made.read("all.jsonl")


# --- refusals ------------------------------------------------------------------------------------


def test_a_run_that_succeeded_has_nothing_to_resume(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(0))
    made.run()
    with pytest.raises(UsageError, match="has succeeded: there is nothing to resume"):
        made.resume()


def test_a_run_that_failed_is_told_of_failed(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(0, 1))
    made.write("bad-1", "")
    assert made.run() is RunState.FAILED
    with pytest.raises(UsageError, match="has failed: there is nothing to resume") as refused:
        made.resume()
    assert "`penstock resume --failed`" in str(refused.value.help)


def test_a_run_whose_files_a_later_one_moved_is_refused_and_names_it(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(4)))
    made.run(stop_after=2)
    first = made.view().id
    made.run(stop_after=2)
    second = made.view().id
    with pytest.raises(UsageError, match=f"run {first} cannot be resumed: run {second} came after it"):
        made.resume(run=first)
    assert made.resume() is RunState.SUCCEEDED
    assert made.view().id == second


def test_failed_items_of_a_run_that_is_not_the_newest_are_not_done_again(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(0, 1))
    made.write("bad-1", "")
    made.run()
    first = made.view().id
    (tmp_path / "bad-1").unlink()
    assert made.run() is RunState.SUCCEEDED
    with pytest.raises(UsageError, match="came after it and moved its files"):
        made.resume(run=first, failed=True)


def test_a_run_that_does_not_exist_is_not_resumed(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(0))
    with pytest.raises(UsageError, match="there is no run"):
        made.resume()
    made.run()
    with pytest.raises(UsageError, match="no run is called nonsense"):
        made.resume(run="nonsense")


# --- an input that has changed -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (numbered(0, 1, 2, 3, 4), r"32 bytes then, 40 now; the rows that were read are the same"),
        (numbered(0, 7, 2, 3), r"32 bytes as before; row 2 is another"),
        (numbered(0, 1, 2, 7), r"32 bytes as before; the rows that were read are the same"),
        (numbered(0), r"32 bytes then, 8 now; it ends after row 1"),
        (numbered(9, 0, 1, 2, 3), r"32 bytes then, 40 now; row 1 is another"),
    ],
)
def test_an_input_that_has_changed_is_refused_with_what_changed(tmp_path: Path, rows: list[object], said: str) -> None:
    made = flow(tmp_path, ONE, [])
    made.write("rows.jsonl", '{"n":0}\n{"n":1}\n{"n":2}\n{"n":3}\n')
    made.run(stop_after=2)
    made.begun()
    made.write("rows.jsonl", "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
    with pytest.raises(OperatorError, match=f"rows.jsonl has changed since step a began to read it: {said}") as refused:
        made.resume()
    assert "--reread" in str(refused.value.help)
    assert made.begun() == []
    assert made.view().state == "interrupted"


def test_an_input_that_was_only_touched_has_not_changed(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(4)))
    made.run(stop_after=2)
    os.utime(tmp_path / "rows.jsonl", (1, 1))
    assert made.resume() is RunState.SUCCEEDED


def test_an_input_that_is_gone_must_be_put_back(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(4)))
    made.run(stop_after=2)
    text = made.read("rows.jsonl")
    (tmp_path / "rows.jsonl").unlink()
    for reread in (False, True):
        with pytest.raises(OperatorError, match=r"rows\.jsonl is gone, and step a has not read it whole"):
            made.resume(reread=reread)
    made.write("rows.jsonl", text)
    assert made.resume() is RunState.SUCCEEDED


def test_an_input_of_a_step_that_has_ended_is_compared_too(tmp_path: Path) -> None:
    steps = ONE + "  - id: b\n    needs: [a]\n    foreach: [1, 2]\n    concurrency: 1\n    run: cat\n"
    made = flow(tmp_path, steps, numbered(*range(3)))
    assert made.run(stop_after=4) is None
    made.begun()
    made.rows(numbered(*range(4)))
    with pytest.raises(OperatorError, match=r"rows\.jsonl has changed"):
        made.resume()
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.begun() == ["3"]
    assert made.records("a") == numbered(*range(4))
    assert made.counts("b") == (2, 0, 0, 0)


def test_an_input_that_a_later_step_of_the_run_writes_is_its_own_affair(tmp_path: Path) -> None:
    after = "  - id: b\n    needs: [a]\n    run: echo '{\"n\":7}' > rows.jsonl\n"
    last = "  - id: c\n    needs: [b]\n    foreach: [1, 2]\n    concurrency: 1\n    run: cat\n"
    made = flow(tmp_path, ONE + after + last, numbered(*range(2)))
    assert made.run(stop_after=4) is None
    assert made.resume() is RunState.SUCCEEDED


@pytest.mark.parametrize(
    ("now", "again"),
    [
        ((9, 0, 1, 2, 3, 4), [9, 3, 4]),
        ((1, 2, 3, 4), [3, 4]),
        ((0, 8, 2, 3, 4), [8, 3, 4]),
        ((2, 1, 0), []),
        ((4, 3, 2, 1, 0), [4, 3]),
        ((0, 1, 2, 0, 1), [0, 1]),
        ((5, 6), [5, 6]),
        ((), []),
    ],
)
def test_reread_does_the_rows_that_are_new_and_keeps_those_that_are_still_there(
    tmp_path: Path, now: tuple[int, ...], again: list[int]
) -> None:
    made = flow(tmp_path, ONE, numbered(*range(5)))
    made.run(stop_after=3)
    made.begun()
    made.rows(numbered(*now))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.begun() == [str(n) for n in again]
    assert made.records("a") == numbered(*now)
    assert [line["i"] for line in made.lines("a")] == list(range(len(now)))
    assert made.counts("a") == (len(now), 0, 0, 0)
    assert made.read("all.jsonl") == "".join(f'{{"n":{n}}}\n' for n in now)
    keys = [str(line["key"]) for line in made.lines("a")]
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_reread_knows_equal_rows_by_their_number(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(0, 0, 1, 0, 2))
    made.run(stop_after=4)
    made.begun()
    made.rows(numbered(0, 5, 0, 0, 0, 2))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.begun() == ["5", "0", "2"]
    assert made.records("a") == numbered(0, 5, 0, 0, 0, 2)


PLACED = """\
steps:
  - id: a
    foreach: rows.jsonl
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a all.jsonl > "out/{{i}}.json"
  - id: b
    foreach: steps.a
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a below.jsonl
"""


def test_rows_that_have_moved_are_done_again_where_the_text_uses_their_place(tmp_path: Path) -> None:
    made = flow(tmp_path, PLACED, numbered(*range(4)))
    made.run(stop_after=5)
    made.rows(numbered(0, 9, 1, 2, 3))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.records("a") == made.records("b") == numbered(0, 9, 1, 2, 3)
    for place, n in enumerate((0, 9, 1, 2, 3)):
        assert json.loads(made.read(f"out/{place}.json")) == {"n": n}
    assert len(list((tmp_path / "out").iterdir())) == 5
    assert made.read("below.jsonl") == made.read("all.jsonl")


def test_rows_that_have_moved_keep_their_records_where_only_the_step_below_uses_places(tmp_path: Path) -> None:
    steps = ONE + '  - id: b\n    foreach: steps.a\n    concurrency: 1\n    run: echo {{item.n}} > "at/{{i}}.txt"\n'
    made = flow(tmp_path, steps, numbered(*range(4)))
    assert made.run(stop_after=7) is None
    made.begun()
    made.rows(numbered(3, 0, 1, 2))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.begun() == []
    assert [made.read(f"at/{place}.txt") for place in range(4)] == ["3\n", "0\n", "1\n", "2\n"]


def test_reread_writes_the_records_anew_where_a_step_has_no_other_file(tmp_path: Path) -> None:
    bare = "steps:\n  - id: a\n    foreach: rows.jsonl\n    concurrency: 1\n    run: bash note.sh {{item.n}}\n"
    made = flow(tmp_path, bare, numbered(*range(4)))
    made.run(stop_after=3)
    made.rows(numbered(9, 0, 1, 2, 3))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.records("a") == numbered(9, 0, 1, 2, 3)


def test_a_row_that_has_moved_keeps_what_is_too_large_for_the_journal(tmp_path: Path) -> None:
    large = "printf '%01100000d\\n' {{item.n}}"
    made = flow(tmp_path, ONE.replace("bash note.sh {{item.n}} | tee -a all.jsonl", f"{large} | tee -a all.txt"))
    made.rows(numbered(1, 2, 3))
    made.write("workflow.yaml", made.read("workflow.yaml").replace(' > "out/{{key}}.json"', ""))
    made.run(stop_after=2)
    made.rows(numbered(9, 1, 2, 3))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert [line[-1] for line in made.read("all.txt").splitlines()] == ["9", "1", "2", "3"]
    for line, n in zip(made.lines("a"), (9, 1, 2, 3), strict=True):
        record = line["record"]
        assert isinstance(record, dict)
        assert made.read(str(record["file"]))[-2] == str(n)


def test_reread_does_barriers_again_and_lets_streams_go_on(tmp_path: Path) -> None:
    sums = "  - id: sum\n    needs: [b]\n    run: cat below.jsonl | wc -l > sum.txt\n"
    hold = "  - id: hold\n    needs: [sum]\n    foreach: [1, 2]\n    concurrency: 1\n    run: cat\n"
    made = flow(tmp_path, ONE + BELOW + sums + hold, numbered(*range(3)))
    assert made.run(stop_after=8) is None
    assert made.read("sum.txt").strip() == "3"
    made.begun()
    made.rows(numbered(7, 0, 2))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.begun() == ["7", "7"]
    assert made.records("b") == numbered(7, 0, 2)
    assert made.read("sum.txt").strip() == "3"
    assert "sum is done again" in " ".join(made.notes)
    told = r"rows\.jsonl is read anew \(.*\): 2 rows that were read are still in it"
    assert any(re.search(told, note) for note in made.notes)


def test_reread_without_a_change_is_a_plain_resume(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(4)))
    made.run(stop_after=2)
    made.begun()
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.begun() == ["2", "3"]


# --- failed items --------------------------------------------------------------------------------

MANY = """\
steps:
  - id: a
    foreach: rows.jsonl
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a all.jsonl > "out/{{key}}.json"
  - id: b
    foreach: steps.a
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a below.jsonl
  - id: sum
    needs: [b]
    run: wc -l < below.jsonl > sum.txt
"""


def test_failed_items_are_done_again_and_what_stands_on_them(tmp_path: Path) -> None:
    made = flow(tmp_path, MANY, numbered(*range(5)))
    for n in (1, 3):
        made.write(f"bad-{n}", "")
    assert made.run() is RunState.FAILED
    assert made.counts("a") == (3, 0, 2, 0)
    assert (made.state("b"), made.state("sum")) == ("blocked", "blocked")
    assert made.read("below.jsonl").count("\n") == 3
    made.begun()
    (tmp_path / "bad-1").unlink()
    assert made.resume(failed=True) is RunState.FAILED
    assert sorted(made.begun()) == ["1", "1", "3"]
    assert made.counts("a") == (4, 0, 1, 0)
    (tmp_path / "bad-3").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.begun() == ["3", "3"]
    assert made.counts("a") == made.counts("b") == (5, 0, 0, 0)
    assert made.records("a") == made.records("b") == numbered(*range(5))
    assert made.read("all.jsonl") == made.read("below.jsonl") == "".join(f'{{"n":{n}}}\n' for n in range(5))
    assert len(list((tmp_path / "out").iterdir())) == 5
    assert made.read("sum.txt").strip() == "5"
    assert "  a: 1 failed items are done again" in made.notes


def test_a_run_that_succeeded_with_failures_within_its_tolerance_can_do_them_again(tmp_path: Path) -> None:
    made = flow(tmp_path, MANY.replace("concurrency: 1", "concurrency: 1\n    max_failures: 2", 1), numbered(*range(4)))
    made.write("bad-2", "")
    assert made.run() is RunState.SUCCEEDED
    assert made.read("sum.txt").strip() == "3"
    made.begun()
    (tmp_path / "bad-2").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.begun() == ["2", "2"]
    assert made.read("sum.txt").strip() == "4"
    assert "  sum is done again" in made.notes


def test_a_failed_item_has_all_its_attempts_again(tmp_path: Path) -> None:
    retry = "    retry: {attempts: 2, on: [exit], backoff: {base: 1ms, cap: 1ms}}\n"
    made = flow(tmp_path, ONE + retry, numbered(0))
    made.write("bad-0", "")
    assert made.run() is RunState.FAILED
    assert made.begun() == ["0", "0"]
    assert made.resume(failed=True) is RunState.FAILED
    assert made.begun() == ["0", "0"]


def test_items_left_unread_after_a_quick_failure_are_done_too(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE + "    fail_fast: true\n", numbered(*range(6)))
    made.write("bad-1", "")
    assert made.run() is RunState.FAILED
    assert made.counts("a")[2] == 1
    assert made.counts("a")[3] >= 3
    (tmp_path / "bad-1").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.records("a") == numbered(*range(6))
    assert made.counts("a") == (6, 0, 0, 0)


def test_doing_failed_items_again_can_be_interrupted_and_goes_on(tmp_path: Path) -> None:
    made = flow(tmp_path, MANY, numbered(*range(6)))
    for n in (0, 2, 4):
        made.write(f"bad-{n}", "")
    made.run()
    for n in (0, 2, 4):
        (tmp_path / f"bad-{n}").unlink()
    assert made.resume(failed=True, stop_after=1) is None
    assert made.view().state == "interrupted"
    assert made.resume() is RunState.SUCCEEDED
    assert made.records("a") == made.records("b") == numbered(*range(6))
    assert made.counts("b") == (6, 0, 0, 0)


def test_a_step_that_failed_as_a_whole_is_done_again(tmp_path: Path) -> None:
    steps = """\
steps:
  - id: a
    run: '[ ! -e bad-a ] && echo 1 > a.txt'
    outputs: [a.txt]
  - id: lists
    needs: [a]
    run: bash note.sh 1
    outputs: [made.txt]
  - id: last
    needs: [lists]
    run: echo done
"""
    made = flow(tmp_path, steps)
    made.write("bad-a", "")
    assert made.run() is RunState.FAILED
    (tmp_path / "bad-a").unlink()
    assert made.resume(failed=True) is RunState.FAILED
    assert (made.state("a"), made.state("lists"), made.state("last")) == ("succeeded", "failed", "blocked")
    made.write("made.txt", "here")
    assert made.begun() == ["1"]
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.begun() == ["1"]
    assert made.state("last") == "succeeded"


def test_a_step_whose_condition_had_no_answer_is_asked_again(tmp_path: Path) -> None:
    steps = """\
steps:
  - id: a
    foreach: rows.jsonl
    max_failures: 1
    run: bash note.sh {{item.n}}
  - id: b
    needs: [a]
    run: if [ -e good ]; then echo '{"rate":1.0}'; else echo '{}'; fi > rate.json
  - id: c
    needs: [b]
    when: outputs.rate.rate > 0.5
    run: echo yes
"""
    made = flow(tmp_path, steps, numbered(0, 1))
    made.write("bad-1", "")
    assert made.run() is RunState.FAILED
    assert made.state("c") == "failed"
    made.write("good", "")
    (tmp_path / "bad-1").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.records("c") == ["yes"]


def test_what_a_step_made_of_failures_is_taken_back_when_they_are_done_again(tmp_path: Path) -> None:
    steps = """\
steps:
  - id: a
    foreach: rows.jsonl
    concurrency: 1
    max_failures: 5
    run: bash note.sh {{item.n}}
  - id: mend
    foreach: steps.a.failed
    run: echo '{"mended":{{item.n}}}' | tee -a mended.jsonl > "mended/{{item.n}}.json"
  - id: after
    foreach: steps.mend
    run: cat >> after.jsonl
"""
    made = flow(tmp_path, steps, numbered(*range(4)))
    for n in (1, 2):
        made.write(f"bad-{n}", "")
    assert made.run() is RunState.SUCCEEDED
    assert [line["i"] for line in made.lines("after")] == [1, 2]
    (tmp_path / "bad-1").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.counts("a") == (3, 0, 1, 0)
    assert [line["i"] for line in made.lines("mend")] == [line["i"] for line in made.lines("after")] == [2]
    assert made.counts("mend") == made.counts("after") == (1, 0, 0, 0)
    assert made.read("mended.jsonl") == made.read("after.jsonl") == '{"mended":2}\n'
    assert [path.name for path in (tmp_path / "mended").iterdir()] == ["2.json"]


def test_failed_items_of_an_input_that_was_mended_are_done_with_both_words(tmp_path: Path) -> None:
    made = flow(tmp_path, MANY, numbered(*range(4)))
    made.write("bad-2", "")
    assert made.run() is RunState.FAILED
    made.begun()
    made.rows(numbered(0, 1, 9, 3))
    with pytest.raises(OperatorError, match=r"rows\.jsonl has changed") as refused:
        made.resume(failed=True)
    assert "--failed --reread" in str(refused.value.help)
    assert made.state("a") == "failed"
    assert made.resume(failed=True, reread=True) is RunState.SUCCEEDED
    assert made.begun() == ["9", "9"]
    assert made.records("b") == numbered(0, 1, 9, 3)
    assert made.read("sum.txt").strip() == "4"


def test_failed_without_failures_changes_nothing(tmp_path: Path) -> None:
    made = flow(tmp_path, MANY, numbered(*range(3)))
    made.run()
    made.begun()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.begun() == []


def test_the_log_keeps_what_was_and_what_became_of_it(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(0, 1))
    made.write("bad-1", "")
    made.run()
    (tmp_path / "bad-1").unlink()
    made.resume(failed=True)
    log = [(line["step"], line["i"], line["verdict"]) for line in jsonl(made.view().folder / "log.jsonl")]
    assert log == [
        ("a", 0, "accepted"),
        ("a", 1, "failed"),
        ("a", None, "failed"),
        ("a", 1, "accepted"),
        ("a", None, "succeeded"),
    ]


def test_files_of_what_was_taken_back_are_moved_by_the_next_resume_if_a_crash_came_between(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE + "  - id: hold\n    needs: [a]\n    run: '[ -e go ]'\n", numbered(*range(3)))
    made.run(stop_after=2)
    layout, name = Layout(tmp_path), made.view().id
    journal = Journal(layout.journal, TickingClock())
    run = find(journal.database, None)
    with journal.together():
        reset(journal, run["run_no"], journal.database.all("steps_of", {"run_no": run["run_no"]})[0])
    journal.close()
    made.begun()
    made.write("go", "")
    assert made.resume() is RunState.SUCCEEDED
    assert made.begun() == ["0", "1", "2"]
    assert made.records("a") == numbered(*range(3))
    assert made.read("all.jsonl").count("\n") == 3
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert len(list((layout.run(name).failed / "out").iterdir())) >= 2


def test_a_new_run_after_failed_items_were_done_again_moves_the_files_and_complains_of_nothing(tmp_path: Path) -> None:
    made = flow(tmp_path, MANY, numbered(*range(4)))
    made.write("bad-2", "")
    made.run()
    (tmp_path / "bad-2").unlink()
    assert made.resume(failed=True, stop_after=1) is None
    assert made.run() is RunState.SUCCEEDED
    assert made.records("b") == numbered(*range(4))


# --- tasks that must not be done twice without a word ----------------------------------------------

EFFECT = """\
steps:
  - id: pay
    foreach: rows.jsonl
    concurrency: 2
    idempotent: false
    run: bash pay.sh {{item.n}}
  - id: after
    needs: [pay]
    run: echo done
"""

PAY = """\
echo "$1" >> begun
if [ ! -e go ] && { [ "$1" = 1 ] || [ "$1" = 2 ]; }; then touch "held-$1"; sleep 300; fi
printf '{"paid":%s}\\n' "$1"
"""


def paying(folder: Path) -> Flow:
    """A run that was killed while it paid 1 and 2; 0 is paid, 3 has not begun."""
    project = Project(folder)
    made = Flow(folder, EFFECT, numbered(*range(4)))
    made.write("pay.sh", PAY)
    with project.running("run") as process:
        until(lambda: (folder / "held-1").exists() and (folder / "held-2").exists(), process)
        os.kill(process.pid, signal.SIGKILL)
    made.write("go", "")
    assert sorted(made.begun()) == ["0", "1", "2"]
    return made


def test_what_was_in_flight_waits_for_a_word_and_the_others_go_on(tmp_path: Path) -> None:
    made = paying(tmp_path)
    for _ in range(2):
        assert made.resume() is RunState.WAITING
        assert made.view().state == "waiting"
        assert len(made.view().in_flight) == 2
    assert made.begun() == ["3"]
    run, (first, second) = made.view().id, made.view().in_flight
    for place in (first, second):
        note = next(note for note in made.notes if note.startswith(place))
        assert "`idempotent: false`: it waits for your word" in note
        assert f"`penstock resume {run} --redo {place}`" in note
        assert f"`penstock resume {run} --settle {place}=accepted`" in note


def test_the_program_ends_with_status_4_while_a_word_is_awaited(tmp_path: Path) -> None:
    paying(tmp_path)
    said = Project(tmp_path).penstock("resume")
    assert said.status == 4
    assert "waits for your word" in said.err


def test_redo_of_one_does_that_one_again(tmp_path: Path) -> None:
    made = paying(tmp_path)
    first, second = made.view().in_flight
    assert made.resume(redo=(first,)) is RunState.WAITING
    assert sorted(made.begun()) == ["1", "3"]
    assert made.view().in_flight == (second,)
    assert made.resume(redo=(second[:9],)) is RunState.SUCCEEDED
    assert made.begun() == ["2"]
    assert made.records("pay") == [{"paid": n} for n in range(4)]
    assert made.state("after") == "succeeded"


def test_redo_of_a_step_does_all_of_it_that_was_in_flight(tmp_path: Path) -> None:
    made = paying(tmp_path)
    assert made.resume(redo=("pay",)) is RunState.SUCCEEDED
    assert sorted(made.begun()) == ["1", "2", "3"]


def test_what_is_settled_is_not_done_again(tmp_path: Path) -> None:
    made = paying(tmp_path)
    first, second = made.view().in_flight
    assert made.resume(settle=((first, "accepted"), (second, "failed"))) is RunState.FAILED
    assert made.begun() == ["3"]
    assert made.counts("pay") == (3, 0, 1, 0)
    assert made.records("pay") == [{"paid": 0}, "", None, {"paid": 3}]
    assert f"  {first} is accepted" in made.notes
    assert f"  {second} is failed" in made.notes


def test_a_whole_step_can_be_settled(tmp_path: Path) -> None:
    made = paying(tmp_path)
    assert made.resume(settle=(("pay", "accepted"),)) is RunState.SUCCEEDED
    assert made.begun() == ["3"]
    assert made.counts("pay") == (4, 0, 0, 0)


def test_a_step_without_items_is_redone_or_settled_by_its_name(tmp_path: Path) -> None:
    steps = "steps:\n  - id: send\n    idempotent: false\n    run: bash pay.sh 1\n"
    for asked, begun in (({"redo": ("send",)}, ["1"]), ({"settle": (("send", "accepted"),)}, [])):
        folder = tmp_path / str(len(begun))
        project, made = Project(folder), Flow(folder, steps)
        made.write("pay.sh", PAY)
        with project.running("run") as process:
            until((folder / "held-1").exists, process)
            os.kill(process.pid, signal.SIGKILL)
        made.write("go", "")
        made.begun()
        assert made.resume() is RunState.WAITING
        assert any("`penstock resume" in note and "--redo send`" in note for note in made.notes)
        assert made.resume(**asked) is RunState.SUCCEEDED
        assert made.begun() == begun


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("pay:0000", "pay:0000 means no tasks in flight"),
        ("other", "other means no tasks in flight"),
        ("after", "after means no tasks in flight"),
    ],
)
def test_a_place_where_nothing_is_in_flight_is_refused(tmp_path: Path, word: str, said: str) -> None:
    made = paying(tmp_path)
    flying = made.view().in_flight
    for asked in ({"redo": (word,)}, {"settle": ((word, "accepted"),)}):
        with pytest.raises(UsageError, match=said) as refused:
            made.resume(**asked)
        assert str(refused.value.help) == f"in flight: {', '.join(flying)}"


def test_a_key_that_another_one_continues_is_the_key_that_is_meant(tmp_path: Path) -> None:
    project = Project(tmp_path)
    made = Flow(tmp_path, EFFECT, numbered(1, 1, 3))
    made.write("pay.sh", 'echo "$1" >> begun\n[ -e go ] || { sleep 300; }\nprintf \'{"paid":%s}\\n\' "$1"\n')
    with project.running("run") as process:
        until(lambda: (tmp_path / "begun").exists() and made.read("begun").count("\n") == 2, process)
        os.kill(process.pid, signal.SIGKILL)
    made.write("go", "")
    made.begun()
    first, second = made.view().in_flight
    assert second == f"{first}.2"
    assert made.resume(redo=(first,)) is RunState.WAITING
    assert made.view().in_flight == (second,)
    assert sorted(made.begun()) == ["1", "3"]


def test_failed_items_of_a_step_with_effects_are_done_again_when_a_person_asks(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE + "    idempotent: false\n", numbered(0, 1, 2))
    made.write("bad-1", "")
    assert made.run() is RunState.FAILED
    made.begun()
    (tmp_path / "bad-1").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.begun() == ["1"]


def test_a_step_with_effects_is_not_done_again_as_a_whole(tmp_path: Path) -> None:
    effect = "  - id: send\n    needs: [a]\n    idempotent: false\n    run: bash note.sh 7\n"
    tolerant = ONE.replace("concurrency: 1", "concurrency: 1\n    max_failures: 1")
    made = flow(tmp_path, tolerant + effect, numbered(0, 1))
    made.write("bad-1", "")
    assert made.run() is RunState.SUCCEEDED
    made.begun()
    (tmp_path / "bad-1").unlink()
    with pytest.raises(OperatorError, match="step send has run, is `idempotent: false`, and would have to be done"):
        made.resume(failed=True)
    assert made.begun() == []
    assert made.view().state == "succeeded"
    assert made.counts("a") == (1, 0, 1, 0)
