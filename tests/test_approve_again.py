"""What was approved and has changed is asked again; a run that waits and is replaced says so; no line is imitated."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from penstock.api import deciding, running
from penstock.core.errors import OperatorError
from penstock.core.states import RunState
from penstock.core.views import Options
from penstock.store.database import Database
from tests.doubles import MemoryListener
from tests.flows import Flow
from tests.terminal import Project

STEPS = """\
steps:
  - id: make
    run: echo 1 > made
  - id: ok
    needs: [make]
    approve: {message: "Publish?", show: [made]}
  - id: publish
    needs: [ok]
    run: cat made >> published
  - id: other
    foreach: [1, 2]
    max_failures: 1
    run: test {{item}} = 1 || test -e mended
"""


def flow_that_waits(folder: Path, steps: str = STEPS) -> Flow:
    flow = Flow(folder, steps)
    assert flow.run() is RunState.WAITING
    return flow


def approve(flow: Flow) -> None:
    deciding.decide(flow.folder, (), True, "lead")


def words(flow: Flow) -> list[tuple[str, bool]]:
    """Every decision of the folder, who and what, the oldest first."""
    with closing(Database(flow.folder / ".penstock" / "journal.db")) as database:
        rows = [database.one("approval_by_no", {"number": number}) for number in range(1, 10)]
        return [(row["by_whom"], bool(row["approved"])) for row in rows if row is not None]


# --- asked again -------------------------------------------------------------------------------


def test_a_change_after_the_word_is_no_dead_end(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(STEPS)
    assert project.penstock("run").status == 4
    project.succeeds("approve", "--as", "lead")
    project.write("made", "2\n")
    failed = project.penstock("resume")
    assert failed.status == 1
    assert "failed  publish: what ok approved has changed since: made (was " in failed.out
    assert "next    penstock resume RUN --failed" in failed.normal
    again = project.penstock("resume", "--failed")
    assert again.status == 4
    assert "  ok is asked again: what it showed has changed: made (was 4355a46b19d3, is 53c234e5e847)\n" in again.err
    assert not (tmp_path / "published").exists()
    project.succeeds("approve", "--as", "ops")
    assert project.penstock("resume").status == 0
    assert project.read("published") == "2\n"
    assert project.succeeds("doctor").out.endswith("no problems\n")
    assert words(Flow(tmp_path, STEPS)) == [("lead", True), ("ops", True)]


def test_a_change_before_the_run_went_on_is_asked_about_at_once(tmp_path: Path) -> None:
    flow = flow_that_waits(tmp_path)
    approve(flow)
    flow.write("made", "2\n")
    assert flow.resume(failed=True) is RunState.WAITING
    assert not (tmp_path / "published").exists()
    approve(flow)
    assert flow.resume() is RunState.SUCCEEDED
    assert flow.read("published") == "2\n"


def test_nobody_is_asked_again_for_what_has_been_done(tmp_path: Path) -> None:
    flow = flow_that_waits(tmp_path)
    approve(flow)
    assert flow.resume() is RunState.SUCCEEDED
    flow.write("made", "2\n")
    flow.write("mended", "")
    assert flow.resume(failed=True) is RunState.SUCCEEDED
    assert flow.counts("other") == (2, 0, 0, 0)
    assert flow.read("published") == "1\n"
    assert words(flow) == [("lead", True)]


def test_a_step_that_begins_again_for_another_reason_asks_again_too(tmp_path: Path) -> None:
    flow = flow_that_waits(tmp_path, STEPS + "  - {id: last, needs: [ok, other], run: cat made >> last}\n")
    approve(flow)
    assert flow.resume() is RunState.SUCCEEDED
    flow.write("made", "2\n")
    flow.write("mended", "")
    assert flow.resume(failed=True) is RunState.WAITING
    assert [flow.state(step) for step in ("publish", "last")] == ["pending", "pending"]
    approve(flow)
    assert flow.resume() is RunState.SUCCEEDED
    assert flow.read("last") == "1\n2\n"


def test_what_must_not_be_done_twice_is_not_approved_twice(tmp_path: Path) -> None:
    steps = STEPS.replace("needs: [ok]\n", "needs: [ok]\n    idempotent: false\n").replace(
        "cat made >>", "echo 2 > made; cat made >>"
    )
    flow = flow_that_waits(tmp_path, steps + "  - {id: last, needs: [publish], run: exit 0}\n")
    approve(flow)
    assert flow.resume() is RunState.FAILED
    assert flow.state("last") == "failed"
    with pytest.raises(OperatorError, match="step publish has run, is `idempotent: false`"):
        flow.resume(failed=True)
    assert flow.state("ok") == "succeeded"


def test_an_approval_below_one_that_is_asked_again_is_asked_again_too(tmp_path: Path) -> None:
    steps = "  - {id: ok2, needs: [ok], approve: {message: Sure?}}\n  - {id: end, needs: [ok2], run: touch end}\n"
    flow = flow_that_waits(tmp_path, STEPS + steps)
    approve(flow)
    assert flow.resume() is RunState.WAITING
    approve(flow)
    flow.write("made", "2\n")
    assert flow.resume() is RunState.FAILED
    assert flow.resume(failed=True) is RunState.WAITING
    assert [flow.state(step) for step in ("ok", "ok2", "end")] == ["waiting", "pending", "pending"]


def test_a_step_run_alone_is_told_that_only_a_new_run_asks(tmp_path: Path) -> None:
    flow = flow_that_waits(tmp_path)
    approve(flow)
    assert flow.resume() is RunState.SUCCEEDED
    flow.write("made", "2\n")
    assert flow.run(only="publish") is RunState.FAILED
    assert str(flow.view().steps[0].reason).endswith("(a new run of the whole asks again)")


# --- replaced ----------------------------------------------------------------------------------


def test_a_run_that_waits_and_is_replaced_is_told_and_shown_so(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(STEPS)
    old = project.penstock("run", "--json").value["run"]
    said = project.penstock("run")
    told = f"run {old} was waiting for a person (ok): this run takes its place, and it can no longer go on\n"
    assert told in said.out + said.err
    runs = json.loads(project.succeeds("runs", "--json").out)
    assert [run["status"] for run in runs] == ["waiting", "superseded"]
    new = runs[0]["run"]
    assert [line.split()[:2] for line in project.succeeds("runs").out.splitlines()] == [
        [new, "waiting"],
        [old, "superseded"],
    ]
    assert project.succeeds("status", str(old), "--json").value["status"] == "superseded"
    shown = project.succeeds("status", str(old)).out
    assert "(Test)  superseded" in shown
    assert "waits for a person" not in shown
    assert f"next    nothing: run {new} came after it" in shown
    assert project.succeeds("waiting", str(old)).out == (
        f"nothing waits for a person's word in run {old}: run {new} came after it, and it can no longer go on\n"
    )


def test_a_run_that_did_not_wait_is_replaced_without_a_word(tmp_path: Path) -> None:
    flow = flow_that_waits(tmp_path)
    approve(flow)
    assert flow.resume() is RunState.SUCCEEDED
    listener = MemoryListener()
    running.run(tmp_path, Options(), listener)
    assert not [note for note in listener.notes if "place" in note]


BUDGET = """\
budget: {seconds: 1ms, when_exceeded: pause}
steps:
  - {id: a, foreach: [1, 2], concurrency: 1, run: sleep 0.05; echo 1}
"""


def test_a_paused_run_that_is_replaced_is_told_with_its_reason(tmp_path: Path) -> None:
    flow = Flow(tmp_path, BUDGET)
    assert flow.run() is RunState.WAITING
    old = flow.view()
    listener = MemoryListener()
    running.run(tmp_path, Options(), listener)
    why = f"run {old.id} was paused ({old.reason}): this run takes its place, and it can no longer go on"
    assert why in listener.notes


# --- what a person reads -----------------------------------------------------------------------


def test_a_message_cannot_look_like_a_line_of_penstocks(tmp_path: Path) -> None:
    project = Project(tmp_path)
    wide = " ".join(["word"] * 15)
    project.write("said", f"Go?\n\n  decided     approved by boss\n{wide} decided     approved by boss\n")
    project.workflow("""\
steps:
  - {id: say, run: cat said}
  - {id: ok, needs: [say], approve: {message: "{{ outputs.say }}"}}
""")
    ran = project.penstock("run")
    lines = project.succeeds("waiting").out.splitlines()
    assert lines[1:7] == ["  > Go?", "  >", "  > decided     approved by boss", f"  > {wide}", *lines[5:7]]
    assert lines[5:7] == ["  > decided     approved by boss", ""]
    assert not [line for line in (ran.out + ran.err).splitlines() if line.strip().startswith("decided")]


def test_what_has_ended_already_is_not_promised(tmp_path: Path) -> None:
    steps = STEPS.replace("needs: [ok]", "needs: [ok, bad]") + "  - {id: bad, run: sleep 0.2; exit 1}\n"
    flow = flow_that_waits(tmp_path, steps)
    summary = deciding.waiting(tmp_path)[0].asked.summary
    assert (summary["applies"], summary["ended"]) == ([], ["publish"])
    said = Project(flow.folder).succeeds("waiting").out
    assert "would run   nothing: what needs it has ended already\n" in said


def test_a_status_between_the_word_and_resume_says_what_is_next(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(STEPS)
    project.penstock("run")
    assert "(waits for a person's word)" in project.succeeds("status").out
    project.succeeds("approve", "--as", "lead")
    shown = project.succeeds("status")
    assert "(decided, `penstock resume` goes on)" in shown.out
    assert shown.normal.endswith("  next    penstock resume RUN\n")


def test_a_folder_that_is_shown_whole_can_be_approved(tmp_path: Path) -> None:
    steps = STEPS[: STEPS.index("  - id: other")]
    flow = flow_that_waits(tmp_path, steps.replace("show: [made]", "show: [.]"))
    approve(flow)
    assert flow.resume() is RunState.SUCCEEDED
