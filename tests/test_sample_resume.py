"""A run with a sample that stops or is killed in its sample, at its gate or after it ends as if it had not."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from penstock.core.errors import OperatorError, UsageError
from penstock.core.sampling import GateState
from penstock.core.states import RunState
from tests.flows import Flow, numbered
from tests.sampled_flow import FILES, STREAM, explored, first_drawn, sampled
from tests.terminal import Project, until

ROWS, SIZE = 16, 5
GATES = {
    STREAM: f'size: {SIZE}, require: "outputs.b.accept_rate >= 0.2", seed: 4',
    FILES: f'size: {SIZE}, require: "outputs.below.accept_rate >= 0.2", seed: 4',
}


def left(made: Flow) -> dict[str, object]:
    """What a run leaves that must not depend on how often it died."""
    view = made.view()
    files = [
        path for path in made.folder.rglob("*") if path.is_file() and not {".penstock", "fixtures"} & {*path.parts}
    ]
    return {
        "states": {step.id: (step.state, step.tally.done) for step in view.steps},
        "files": {str(path.relative_to(made.folder)): path.read_text() for path in files if path.name != "begun"},
        "lines": {
            step.id: made.lines(step.id) for step in view.steps if (view.folder / f"steps/{step.id}.jsonl").exists()
        },
        "gate": (view.gate.state, view.gate.rejects, view.gate.judged) if view.gate else None,
    }


def prepared(folder: Path, steps: str) -> Flow:
    made = sampled(folder, GATES[steps], steps, ROWS)
    made.write("no-3", "")
    made.write("no-8", "")
    return made


@pytest.mark.parametrize("steps", [STREAM, FILES], ids=["stream", "files"])
def test_wherever_a_run_stops_it_ends_as_if_it_had_not(steps: str, tmp_path: Path) -> None:
    whole = prepared(tmp_path / "whole", steps)
    assert whole.run() is RunState.SUCCEEDED
    begun, expected = Counter(whole.begun()), left(whole)
    outcomes = sum(begun.values())
    for after in range(1, outcomes, 7 if steps is STREAM else 11):
        made = prepared(tmp_path / str(after), steps)
        assert made.run(stop_after=after) is None
        made.resume(stop_after=3)
        assert made.view().state == "succeeded" or made.resume() is RunState.SUCCEEDED
        assert left(made) == expected
        again = Counter(made.begun()) - begun
        assert sum(again.values()) <= 2 * 4 + 1, again  # what was in flight when it stopped, and no more


@pytest.mark.parametrize(
    ("after", "by"),
    [(3, signal.SIGKILL), (9, signal.SIGINT), (14, signal.SIGKILL), (30, signal.SIGINT), (45, signal.SIGKILL)],
)
def test_a_run_that_is_killed_ends_as_if_it_had_not(after: int, by: signal.Signals, tmp_path: Path) -> None:
    whole = prepared(tmp_path / "whole", FILES)
    assert whole.run() is RunState.SUCCEEDED
    begun, expected = Counter(whole.begun()), left(whole)
    made, project = prepared(tmp_path / "killed", FILES), Project(tmp_path / "killed")
    mark = tmp_path / "killed" / "begun"
    with project.running("run", "--quiet") as process:
        until(lambda: mark.exists() and len(mark.read_text().split()) >= after, process)
        os.kill(process.pid, by)
        assert process.wait(30) in (-signal.SIGKILL, 130)
    assert "no problems" in project.succeeds("doctor").out
    project.succeeds("resume", "--quiet")
    assert left(made) == expected
    again = Counter(made.begun()) - begun
    assert sum(again.values()) <= 5, again
    assert "no problems" in project.succeeds("doctor").out


def test_a_gated_run_shows_as_rejected_and_says_how_to_go_on(tmp_path: Path) -> None:
    made, project = sampled(tmp_path, GATES[STREAM], rows=ROWS), Project(tmp_path)
    for n in range(ROWS):
        made.write(f"no-{n}", "")
    made.write(
        "note.sh", '[ "$1" != p ] && [ "$1" != a ] || { printf \'{"n":%s}\' "$2"; exit 0; }\n' + made.read("note.sh")
    )
    said = project.penstock("run")
    assert said.status == 3
    assert "resume RUN --expand" in said.normal
    shown = project.penstock("status", "--json").value
    assert shown["status"] == "rejected"
    found = shown["gate"]
    assert isinstance(found, dict)
    assert (found["state"], found["judged"], found["rejects"]) == ("failed", SIZE, SIZE)
    assert "no problems" in project.succeeds("doctor").out
    assert project.penstock("resume").status == 3
    assert project.succeeds("resume", "--expand").status == 0
    assert project.runs()[0]["status"] == "succeeded"
    assert "no problems" in project.succeeds("doctor").out


def test_rows_that_failed_are_done_again_and_the_gate_is_asked_again(tmp_path: Path) -> None:
    made = sampled(tmp_path, f'size: {SIZE}, require: "outputs.b.accept_rate == 1"', rows=ROWS)
    bad = first_drawn(ROWS, SIZE)[0]
    made.write("note.sh", f'[ "$1" != b ] || [ ! -e failing ] || [ "$2" != {bad} ] || exit 1\n' + made.read("note.sh"))
    made.write("failing", "")
    assert made.run() is RunState.REJECTED
    (tmp_path / "failing").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    gate = made.view().gate
    assert gate is not None
    assert (gate.state, gate.rejects) == (GateState.PASSED, 0)
    begun = Counter(made.begun())
    assert {name: count for name, count in begun.items() if count > 1} == {}


def test_what_fails_after_the_gate_blocks_what_reads_its_file_until_it_is_mended(tmp_path: Path) -> None:
    made, project = sampled(tmp_path, GATES[FILES], FILES, ROWS), Project(tmp_path)
    order = first_drawn(ROWS, SIZE, seed=4)
    bad = next(n for n in range(1, ROWS) if n not in order)
    made.write(f"bad-{bad}", "")
    assert made.run() is RunState.FAILED
    assert [made.state(step) for step in ("generate", "verify", "below", "apply")] == ["failed", *["blocked"] * 3]
    assert made.counts("verify") == (0, 0, 0, 0)
    assert made.read("logs/verify.jsonl") == ""
    assert "no problems" in project.succeeds("doctor").out
    (tmp_path / f"bad-{bad}").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.records("below") == numbered(*range(ROWS))
    assert "no problems" in project.succeeds("doctor").out
    assert {name for name, count in Counter(made.begun()).items() if count > 1 and name[0] == "g"} == {f"g{bad}"}


def test_what_failed_in_the_sample_is_in_the_files_of_the_sample_once_it_is_mended(tmp_path: Path) -> None:
    gate = f'size: {SIZE}, require: "outputs.verify.total == {SIZE}"'
    made = sampled(tmp_path, gate, FILES.replace("concurrency: 2", "max_failures: 100%", 1), ROWS)
    bad = next(n for n in first_drawn(ROWS, SIZE) if n)
    made.write(f"bad-{bad}", "")
    assert made.run() is RunState.REJECTED
    (tmp_path / f"bad-{bad}").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.records("below") == numbered(*range(ROWS))
    assert {name: count for name, count in Counter(made.begun()).items() if name[0] == "g" and count > 1} == {
        f"g{bad}": 2
    }


def test_only_a_gate_that_shut_can_be_overridden(tmp_path: Path) -> None:
    made = sampled(tmp_path / "none", "", rows=ROWS)
    assert made.run(stop_after=3) is None
    with pytest.raises(UsageError, match="began without a sample"):
        made.resume(expand=True)
    made = sampled(tmp_path / "one", GATES[STREAM], rows=ROWS)
    assert made.run(stop_after=3) is None
    with pytest.raises(UsageError, match="has not been asked"):
        made.resume(expand=True)
    assert made.resume() is RunState.SUCCEEDED


def test_a_stream_that_changes_under_its_sample_is_refused(tmp_path: Path) -> None:
    made = sampled(tmp_path, GATES[STREAM], rows=ROWS)
    assert made.run(stop_after=4) is None
    made.rows(numbered(*range(ROWS + 1)))
    for reread in (False, True):
        with pytest.raises(OperatorError, match="changed since the sample was drawn"):
            made.resume(reread=reread)
    made.rows(numbered(*range(ROWS)))
    assert made.resume() is RunState.SUCCEEDED


def test_a_stream_that_changes_after_its_gate_shut_can_follow_with_a_persons_word(tmp_path: Path) -> None:
    made = sampled(tmp_path, GATES[STREAM].replace("0.2", "0.9"), rows=ROWS)
    order = first_drawn(ROWS, SIZE, seed=4)
    made.write(f"no-{order[0]}", "")
    assert made.run() is RunState.REJECTED
    gone = order[1]
    kept = [n for n in range(ROWS) if n != gone]
    made.rows(numbered(100, *kept))
    for reread, failed in ((False, False), (True, False), (False, True)):
        with pytest.raises(OperatorError, match="changed since the sample was drawn") as refused:
            made.resume(reread=reread, failed=failed)
        assert "resume --expand --reread" in str(refused.value.help)
    with pytest.raises(OperatorError, match="has changed since step a began") as changed:
        made.resume(expand=True)
    assert "resume --expand --reread" in str(changed.value.help)
    assert made.resume(expand=True, reread=True) is RunState.SUCCEEDED
    again = Counter(made.begun())
    assert {again[f"{name}{n}"] for name in "ab" for n in order} == {1}
    assert [line["record"] for line in made.lines("b")] == [
        {"ok": False, "n": n} if n == order[0] else {"n": n} for n in (100, *kept)
    ]
    assert made.counts("a") == (ROWS - 1, 1, 0, 0)


@pytest.mark.parametrize("after", [-1, 4, 30])
def test_files_made_of_a_stream_that_changed_after_its_gate_shut_are_made_anew(after: int, tmp_path: Path) -> None:
    rows = numbered(100, *range(1, ROWS))
    whole, made = sampled(tmp_path / "whole", "", FILES, ROWS), sampled(tmp_path / "made", GATES[FILES], FILES, ROWS)
    made.write("workflow.yaml", made.read("workflow.yaml").replace("0.2", "1.1"))
    assert made.run() is RunState.REJECTED
    for each in (whole, made):
        each.rows(rows)
    assert whole.run() is RunState.SUCCEEDED
    ended = made.resume(expand=True, reread=True, stop_after=after)
    assert ended is RunState.SUCCEEDED or made.resume() is RunState.SUCCEEDED
    assert {key: left(made)[key] for key in ("states", "lines")} == {
        key: left(whole)[key] for key in ("states", "lines")
    }
    assert made.read("logs/below.jsonl") == whole.read("logs/below.jsonl")
    begun = Counter(made.begun())
    assert {n: begun[f"g{n}"] for n in (100, *range(1, ROWS)) if begun[f"g{n}"] != 1 and after == -1} == {}
    assert "no problems" in Project(made.folder).succeeds("doctor").out


@pytest.mark.parametrize("after", [30, 40])
def test_what_streams_from_a_step_that_is_done_again_is_done_again(after: int, tmp_path: Path) -> None:
    made = sampled(tmp_path, "", FILES, ROWS)
    assert made.run(stop_after=after) is None
    made.rows(numbered(100, *range(1, ROWS)))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.records("below") == numbered(100, *range(1, ROWS))


def test_a_stream_that_grows_after_its_gate_can_be_read_anew(tmp_path: Path) -> None:
    made = sampled(tmp_path, GATES[STREAM], rows=ROWS)
    assert made.run(stop_after=2 * SIZE + 4) is None
    gate = made.view().gate
    assert gate is not None
    assert gate.state is GateState.PASSED
    made.rows(numbered(100, *range(ROWS)))
    with pytest.raises(OperatorError, match="has changed since step a began"):
        made.resume()
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.records("b") == numbered(100, *range(ROWS))
    assert max(Counter(made.begun()).values()) <= 2


def test_an_exploring_run_that_stopped_goes_on_exploring(tmp_path: Path) -> None:
    made = sampled(tmp_path, GATES[STREAM], rows=ROWS)
    assert explored(made, 4) is RunState.SUCCEEDED
    expected = left(made)
    made = sampled(tmp_path / "again", GATES[STREAM], rows=ROWS)
    project = Project(tmp_path / "again")
    mark = tmp_path / "again" / "begun"
    with project.running("run", "--sample", "4", "--quiet") as process:
        until(lambda: mark.exists() and len(mark.read_text().split()) >= 3, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    assert made.resume() is RunState.SUCCEEDED
    assert {key: left(made)[key] for key in ("states", "lines")} == {key: expected[key] for key in ("states", "lines")}
