"""Runs that wait for a person's word: asked, shown, decided once, gone on with, and held against what was shown."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from penstock.api import deciding, running
from penstock.core.errors import OperatorError, UsageError
from penstock.core.states import RunState
from penstock.core.views import Options, Waiting
from penstock.store.database import Database
from tests.doubles import MemoryListener
from tests.flows import Flow
from tests.processes import soon
from tests.terminal import Project, normal, until

STEPS = """\
steps:
  - id: judge
    foreach: [1, 2, 3]
    run: |
      test {{item}} != 2 || { echo '{"ok": false}'; exit 1; }
      echo '{"ok": true}'
  - id: route
    needs: [judge]
    run: echo '{"accept_rate":0.66}' > logs/route.json
  - id: sign_off
    needs: [route]
    approve:
      message: "Apply {{ outputs.judge.accepted }} changes, which is what this run found fit to be written to disk?"
      show: [logs/route.json, steps.judge]
  - id: apply
    needs: [sign_off]
    run: echo "for {{outputs.sign_off.by}}" >> applied
  - id: tell
    needs: [apply]
    run: echo told >> told
"""


def waits(folder: Path, extra: str = "", steps: str = STEPS) -> Flow:
    """A run that waits for a word; `extra` are more keys of its `approve`."""
    flow = Flow(folder, steps.replace("      show: [logs", f"{extra}      show: [logs"))
    assert flow.run() is RunState.WAITING
    return flow


def decide(flow: Flow, approved: bool = True, by: str = "lead", comment: str | None = None) -> deciding.Decision:
    return deciding.decide(flow.folder, (), approved, by, comment)


def refused(flow: Flow, *words: str) -> str:
    with pytest.raises(OperatorError) as error:
        deciding.decide(flow.folder, words, True, "late")
    return str(error.value)


# --- the way of a decision ---------------------------------------------------------------------


def test_an_approved_run_goes_on_and_its_record_says_who_and_what(tmp_path: Path) -> None:
    flow = waits(tmp_path)
    assert [flow.state(step) for step in ("sign_off", "apply")] == ["waiting", "pending"]
    decision = decide(flow, comment="looks fine")
    assert not (tmp_path / "applied").exists()
    assert flow.resume() is RunState.SUCCEEDED
    assert flow.read("applied") == "for lead\n"
    records = (flow.view().folder / "steps" / "judge.jsonl").read_bytes()
    things = {"logs/route.json": b'{"accept_rate":0.66}\n', "steps.judge": records}
    assert flow.records("sign_off") == [
        {
            "approved": True,
            "by": "lead",
            "comment": "looks fine",
            "at": deciding.stamp(decision.word.at),
            "via": "person",
            "shown": [{"what": what, "sha256": hashlib.sha256(text).hexdigest()} for what, text in things.items()],
        }
    ]
    assert next(step.reason for step in flow.view().steps if step.id == "sign_off") == "approved by lead: looks fine"


def test_a_rejected_run_ends_rejected_and_applies_nothing(tmp_path: Path) -> None:
    flow = waits(tmp_path)
    decide(flow, approved=False)
    assert flow.resume() is RunState.REJECTED
    assert [flow.state(step) for step in ("sign_off", "apply", "tell")] == ["rejected", "blocked", "blocked"]
    assert not (tmp_path / "applied").exists()
    assert not (tmp_path / "fixtures" / "failures" / "sign_off").exists()
    with pytest.raises(UsageError, match="was rejected: there is nothing to resume"):
        flow.resume()


def test_without_a_decision_a_resumed_run_waits_again_with_the_same_words(tmp_path: Path) -> None:
    flow = Flow(tmp_path, STEPS)
    listener = MemoryListener()
    assert running.run(tmp_path, Options(), listener).state is RunState.WAITING
    (said,) = [note for note in listener.notes if "waits for a person" in note]
    assert flow.resume() is RunState.WAITING
    assert said in flow.notes
    assert len(asked(flow)) == 1


def test_a_run_whose_other_branch_fails_still_asks(tmp_path: Path) -> None:
    flow = Flow(tmp_path, STEPS + "  - id: bad\n    run: exit 1\n")
    assert flow.run() is RunState.WAITING
    decide(flow)
    assert flow.resume() is RunState.FAILED
    assert [flow.state(step) for step in ("sign_off", "tell", "bad")] == ["succeeded", "succeeded", "failed"]


def test_a_message_that_has_no_text_fails_the_step(tmp_path: Path) -> None:
    flow = Flow(tmp_path, STEPS.replace("outputs.judge.accepted", "outputs.route.nothing"))
    assert flow.run() is RunState.FAILED
    assert flow.state("sign_off") == "failed"
    assert flow.state("apply") == "blocked"


# --- who may still decide ----------------------------------------------------------------------


def test_the_second_to_decide_is_told_who_was_first(tmp_path: Path) -> None:
    flow = waits(tmp_path)
    first = deciding.stamp(decide(flow).word.at)
    assert refused(flow) == f"sign_off is already approved by lead at {first}"
    flow.resume()
    assert refused(flow, flow.view().id) == f"sign_off is already approved by lead at {first}"
    assert refused(flow) == "nothing waits for a person's word here"


def test_words_that_name_nothing_that_was_asked_are_refused(tmp_path: Path) -> None:
    flow = waits(tmp_path)
    run = flow.view().id
    assert refused(flow, run, "apply") == f"step apply of run {run} has asked nobody for a word"
    assert refused(flow, "nosuch") == "no run is called nosuch"
    with pytest.raises(UsageError, match="a decision needs a name"):
        deciding.decide(tmp_path, (), True, " \n")
    for name, said in (("lead\x1b[2J", r"the name holds U\+001B"), ("l" * 5000, "the name has 5,000 characters")):
        with pytest.raises(UsageError, match=said):
            deciding.decide(tmp_path, (), True, name)
    deciding.decide(tmp_path, ("sign_off",), True, "lead")


def test_where_two_steps_wait_the_one_that_is_meant_is_named(tmp_path: Path) -> None:
    steps = "steps:\n" + "".join(f"  - id: {name}\n    approve: {{message: Go?}}\n" for name in ("one", "two"))
    flow = Flow(tmp_path, steps)
    assert flow.run() is RunState.WAITING
    assert [waits.asked.step_id for waits in deciding.waiting(tmp_path)] == ["two", "one"]
    assert refused(flow) == "2 steps wait for a word: say which"
    deciding.decide(tmp_path, ("two",), True, "lead")
    deciding.decide(tmp_path, (), True, "lead")
    assert flow.resume() is RunState.SUCCEEDED


def test_a_run_that_a_later_one_has_followed_takes_no_word(tmp_path: Path) -> None:
    flow = waits(tmp_path)
    old = flow.view().id
    assert flow.run() is RunState.WAITING
    assert refused(flow, old, "sign_off") == f"run {old} can no longer go on: run {flow.view().id} came after it"
    assert [waits.asked.run_id for waits in deciding.waiting(tmp_path)] == [flow.view().id]


def test_after_the_deadline_the_timer_has_rejected(tmp_path: Path) -> None:
    flow = late(waits(tmp_path, "      timeout: 1h\n"))
    assert "too late: sign_off had to be decided until" in refused(flow)
    (waiting,) = deciding.waiting(tmp_path)
    assert waiting.word is not None
    assert (waiting.word.approved, waiting.word.via, waiting.word.by) == (False, "timer", "")
    assert flow.resume() is RunState.REJECTED
    assert flow.records("sign_off")[0]["via"] == "timer"  # type: ignore[index]  # a record of ours


def test_whoever_resumes_after_the_deadline_fires_the_timer(tmp_path: Path) -> None:
    flow = late(waits(tmp_path, "      timeout: 1h\n"))
    assert flow.resume() is RunState.REJECTED
    assert "rejected by its timer: nobody decided until" in str(flow.view().steps[2].reason)


def late(flow: Flow) -> Flow:
    """The same, and the time to decide is over."""
    with closing(sqlite3.connect(flow.folder / ".penstock" / "journal.db")) as journal, journal:
        journal.execute("UPDATE approvals SET deadline_at = asked_at")
    return flow


# --- what was shown ----------------------------------------------------------------------------


def test_what_changed_before_the_decision_is_asked_anew(tmp_path: Path) -> None:
    flow = waits(tmp_path)
    flow.write("logs/route.json", '{"accept_rate": 1}')
    was, now = (hashlib.sha256(text).hexdigest()[:12] for text in (b'{"accept_rate":0.66}\n', b'{"accept_rate": 1}'))
    change = f"logs/route.json (was {was}, is {now})"
    assert refused(flow) == f"what sign_off shows has changed since it asked: {change}; nothing was decided"
    assert deciding.waiting(tmp_path)[0].changed == (change,)
    assert flow.resume() is RunState.WAITING
    assert f"sign_off is asked again: what it shows has changed: {change}" in flow.notes
    assert len(asked(flow)) == 2
    decide(flow)
    assert flow.resume() is RunState.SUCCEEDED
    shown = flow.records("sign_off")[0]["shown"]  # type: ignore[index]  # a record of ours
    assert shown[0]["sha256"].startswith(now)
    assert len(asked(flow)) == 2


@pytest.mark.parametrize("change", ["another", "gone"])
def test_what_changed_after_the_decision_is_not_applied(tmp_path: Path, change: str) -> None:
    flow = waits(tmp_path)
    decide(flow)
    kept = flow.read("logs/route.json")
    if change == "another":
        flow.write("logs/route.json", "{}")
    else:
        (tmp_path / "logs" / "route.json").unlink()
    assert flow.resume() is RunState.FAILED
    assert [flow.state(step) for step in ("sign_off", "apply", "tell")] == ["succeeded", "failed", "blocked"]
    reason = str(next(step.reason for step in flow.view().steps if step.id == "apply"))
    assert reason.startswith("what sign_off approved has changed since: logs/route.json (was ")
    assert not (tmp_path / "applied").exists()
    flow.write("logs/route.json", kept)
    assert flow.resume(failed=True) is RunState.SUCCEEDED
    assert flow.read("applied") == "for lead\n"


def test_a_step_further_down_is_held_against_what_was_shown_as_well(tmp_path: Path) -> None:
    flow = waits(tmp_path, steps=STEPS.replace('echo "for', "echo '{}' > logs/route.json; echo \"for"))
    decide(flow)
    assert flow.resume() is RunState.FAILED
    assert [flow.state(step) for step in ("apply", "tell")] == ["succeeded", "failed"]
    assert not (tmp_path / "told").exists()


def test_a_step_run_alone_later_is_held_against_what_was_shown(tmp_path: Path) -> None:
    flow = waits(tmp_path)
    decide(flow)
    assert flow.resume() is RunState.SUCCEEDED
    assert flow.run(only="apply") is RunState.SUCCEEDED
    flow.write("logs/route.json", "{}")
    assert flow.run(only="apply") is RunState.FAILED
    assert flow.read("applied") == "for lead\n" * 2


def asked(flow: Flow) -> list[object]:
    """Every time that something was asked, in the whole folder."""
    database = Database(flow.folder / ".penstock" / "journal.db")
    try:
        numbers = range(1, 10)
        rows = [database.one("approval_by_no", {"number": number}) for number in numbers]
        return [row["approval_no"] for row in rows if row is not None]
    finally:
        database.close()


# --- telling a person --------------------------------------------------------------------------

NOTIFY = '      notify: echo "$PENSTOCK_RUN_ID $PENSTOCK_STEP $PENSTOCK_MESSAGE" >> notified; exit $STATUS\n'


@pytest.mark.parametrize(("status", "said"), [("0", None), ("7", "sign_off's `notify` ended with status 7")])
def test_the_command_that_tells_a_person_is_run_once(tmp_path: Path, status: str, said: str | None) -> None:
    flow = Flow(tmp_path, STEPS.replace("      show: [", f"{NOTIFY}      show: [").replace("$STATUS", status))
    listener = MemoryListener()
    assert running.run(tmp_path, Options(), listener).state is RunState.WAITING
    assert flow.resume() is RunState.WAITING
    message = "Apply 2 changes, which is what this run found fit to be written to disk?"
    assert flow.read("notified") == f"{flow.view().id} sign_off {message}\n"
    assert [note for note in listener.notes if "notify" in note] == ([said] if said else [])


def test_the_summary_tells_what_follows_and_what_is_at_risk(tmp_path: Path) -> None:
    summary = deciding.waiting(waits(tmp_path).folder)[0].asked.summary
    assert summary == {
        "applies": [
            {
                "step": "apply",
                "kind": "run",
                "text": ['echo "for {{outputs.sign_off.by}}" >> applied'],
                "more_lines": 0,
            },
            {"step": "tell", "kind": "run", "text": ["echo told >> told"], "more_lines": 0},
        ],
        "ended": [],
        "rates": [
            {
                "step": "judge",
                "accepted": 2,
                "judged": 3,
                "accept_rate": 2 / 3,
                "accept_rate_low": pytest.approx(0.1353504),
            }
        ],
        "rejections": [{"step": "judge", "reason": 'its output says "ok": false', "count": 1}],
        "cost": None,
        "calls": 0,
        "risk": {"rejected": 1, "failed": 0, "unverified": None, "escalated": None},
    }


MODELS = """\
models:
  small: {model: sim/small, refused: 1, seed: 1}
  large: {model: sim/large, seed: 2}
steps:
  - id: write
    foreach: [1, 2, 3, 4]
    generate: {model: [small, large], prompt: "{{ item }}", schema: {type: object}, attempts: 1}
  - id: look
    foreach: steps.write
    where: i < 3
    verify: {schema: {type: object}}
  - id: sign_off
    needs: [look]
    approve: {message: Go?}
"""


def test_rows_that_nobody_verified_and_rows_of_a_later_model_are_counted(tmp_path: Path) -> None:
    flow = Flow(tmp_path, MODELS)
    assert flow.run() is RunState.WAITING
    summary = deciding.waiting(tmp_path)[0].asked.summary
    assert summary["risk"] == {"rejected": 0, "failed": 0, "unverified": 1, "escalated": 4}
    assert summary["calls"] == 8
    assert summary["applies"] == []


def test_no_secret_that_a_shown_file_holds_is_printed(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.environ["DOOR"] = "open-sesame-4711"
    project.workflow(
        """\
secrets: [DOOR]
steps:
  - id: say
    secrets: [DOOR]
    run: echo "key $DOOR" > said.txt
  - id: sign_off
    needs: [say]
    approve: {message: Go?, show: [said.txt]}
"""
    )
    ran = project.penstock("run")
    assert ran.status == 4
    for text in (ran.out, project.succeeds("waiting").out):
        assert "                key " in text
        assert "open-sesame" not in text


# --- the command line --------------------------------------------------------------------------

PRINTED = """\
sign_off of run RUN waits since TIME
  > Apply 2 changes, which is what this run found fit to be written to disk?

  would run   apply: echo "for {{outputs.sign_off.by}}" >> applied
              tell: echo told >> told
  shown       logs/route.json, 21 B, sha256 091005f4bbbe…
                {"accept_rate":0.66}
              steps.judge, 226 B, sha256 HASH
                {"i":0,"key":"6b86b273ff34fce1","verdict":"accepted","record":{…
                {"i":1,"key":"d4735e3a265e16ee","verdict":"rejected","record":{…
                {"i":2,"key":"4e07408562bedb8b","verdict":"accepted","record":{…
  accept rate judge: 2/3 = 0.667 (95 % sure of 0.135 or more)
  rejected    1 of judge: its output says "ok": false
  at risk     rows: 1 rejected, 0 failed

  penstock approve RUN sign_off --as NAME
  penstock reject RUN sign_off --as NAME
  penstock resume RUN
"""


def test_an_approval_outlives_every_process_and_is_told_in_80_columns(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(STEPS)
    ran = project.penstock("run")
    assert ran.status == 4
    shown = project.succeeds("waiting")
    records = hashlib.sha256((project.run_folder() / "steps" / "judge.jsonl").read_bytes()).hexdigest()
    assert shown.normal.replace(f"{records[:12]}…", "HASH") == PRINTED
    assert ran.out.endswith(f"\n\n{shown.out}")
    assert max(map(len, shown.out.splitlines())) <= 80
    said = project.succeeds("approve", "--as", "lead")
    assert said.normal == "sign_off of run RUN is approved by lead\n  next    penstock resume RUN\n"
    again = project.penstock("reject", "--as", "ops")
    assert again.status == 1
    assert again.normal_err == (
        "penstock: sign_off is already approved by lead at TIME\n  help: the first word stands; yours was not kept\n"
    )
    assert project.penstock("resume").status == 0
    assert project.succeeds("waiting").out == "nothing waits for a person's word here\n"
    assert json.loads(project.succeeds("waiting", "--json").out) == []
    assert project.read("applied") == "for lead\n"
    assert project.succeeds("doctor").out.endswith("no problems\n")


def test_a_run_that_stays_goes_on_with_the_word(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(STEPS)
    with project.running("run", "--wait") as process:
        until(lambda: bool(found(tmp_path)), process)
        project.write("logs/route.json", "{}")
        assert "has changed since it asked" in normal(project.penstock("approve", "--as", "lead").err)
        assert soon(lambda: not found(tmp_path)[0].changed)
        said = project.succeeds("approve", "--as", "lead", "--comment", "go")
        assert "nothing: a process carries the run and takes the word up\n" in said.out
        assert process.wait() == 0
    assert project.read("applied") == "for lead\n"


def test_a_run_that_stays_can_be_left_and_decided_later(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(STEPS)
    with project.running("run", "--wait") as process:
        until(lambda: bool(found(tmp_path)), process)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    said = project.succeeds("approve", "sign_off", "--json").value
    assert (said["step"], said["approved"], said["via"]) == ("sign_off", True, "person")
    assert said["by"] == pwd.getpwuid(os.getuid()).pw_name
    assert json.loads(project.succeeds("waiting", "--json").out)[0]["decision"]["by"] == said["by"]
    assert project.penstock("resume", "--wait").status == 0


def test_a_run_that_stays_ends_when_the_time_is_up(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(STEPS.replace("      show:", "      timeout: 200ms\n      show:"))
    assert project.penstock("run", "--wait", "--quiet").status == 3


def found(folder: Path) -> list[Waiting]:
    """What waits in a folder in which nothing may have run yet."""
    return deciding.waiting(folder) if (folder / ".penstock" / "journal.db").exists() else []


def test_text_of_rows_moves_no_cursor(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("shown.txt", "\x1b[2Jred\u202e\n")
    project.workflow("""\
steps:
  - id: say
    run: cat shown.txt
  - id: sign_off
    needs: [say]
    approve: {message: "Apply {{ outputs.say }}?", show: [shown.txt]}
""")
    assert project.penstock("run").status == 4
    said = project.succeeds("waiting").out
    assert said.count("\ufffd[2Jred\ufffd") == 2
    assert not {"\x1b", "\u202e"} & set(said)
