"""`approve` becomes what it says: a message over outputs, what is shown, and the time there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.core.approval import Approve
from penstock.core.errors import WorkflowError
from penstock.core.workflow import Need, OutputName, Retry, Workflow
from penstock.load.build import load

Load = Callable[..., Workflow]
GOOD = Path(__file__).parent / "good"


def approve(workflow: Workflow, step_id: str = "ok") -> Approve:
    spec = workflow.step(step_id).spec
    assert isinstance(spec, Approve)
    return spec


def shown(show: str) -> str:
    return f"""
        name: x
        env: {{LOGS: out/logs}}
        steps:
          - {{id: work, run: make > out/logs/report.json}}
          - {{id: count, needs: [work], foreach: data/rows.jsonl, run: "cat > out/{{{{i}}}}.json"}}
          - {{id: ok, needs: [count], approve: {{message: Go?, show: {show}}}}}
    """


def test_every_key_of_an_approval_has_its_value() -> None:
    workflow = load(GOOD / "decisions.yaml", overrides={}, environ={})
    step, spec = workflow.step("sign_off"), approve(workflow, "sign_off")
    assert spec.message.text.startswith("{{ env.TEAM }}: apply {{ outputs.triage.legal }}")
    assert spec.show == ("out/count.json", "steps.press", "out")
    assert (spec.timeout_s, spec.on_timeout, spec.notify) == (86400.0, "reject", "mail ops")
    assert (step.local, step.needs, step.foreach) == (True, (Need("count"),), None)
    outputs = dict(workflow.outputs)
    assert outputs["triage"] == OutputName("triage", None)
    assert outputs["sign_off"] == OutputName("sign_off", None)


def test_a_message_alone_waits_without_end(loaded: Load) -> None:
    workflow = loaded("name: x\nsteps: [{id: ok, approve: {message: Go on?}}]")
    spec = approve(workflow)
    assert (spec.message.text, spec.show, spec.timeout_s, spec.on_timeout, spec.notify) == (
        "Go on?",
        (),
        None,
        "reject",
        None,
    )


def test_defaults_are_about_commands_and_calls_and_not_about_people(loaded: Load) -> None:
    (step,) = loaded("""
        name: x
        keep: [old.jsonl]
        defaults: {timeout: 5m, concurrency: 3, cache: true, retry: {attempts: 2}}
        steps: [{id: ok, approve: {message: Go on?}}]
    """).steps
    assert (step.timeout_s, step.concurrency, step.cache, step.retry, step.keep) == (None, None, False, Retry(), ())


def test_a_message_may_stand_in_a_file(loaded: Load, tmp_path: Path) -> None:
    (tmp_path / "ask.md").write_text("Apply {{ outputs.work.n }}?\n")
    workflow = loaded("name: x\nsteps: [{id: work, run: echo}, {id: ok, needs: [work], approve: {message: ask.md}}]")
    assert approve(workflow).message.file == "ask.md"
    assert workflow.texts == (("ask.md", "Apply {{ outputs.work.n }}?\n"),)


@pytest.mark.parametrize(
    ("show", "meant"),
    [
        ("data/rows.jsonl", ("data/rows.jsonl",)),
        ("[out/logs/report.json, steps.work]", ("out/logs/report.json", "steps.work")),
        ("['${LOGS}/report.json', ./data/../data/rows.jsonl]", ("out/logs/report.json", "data/rows.jsonl")),
        ("[steps.count, out/logs, steps.count, data]", ("steps.count", "out/logs", "data")),
        ("[]", ()),
    ],
)
def test_what_is_shown_are_files_folders_and_records_each_once(loaded: Load, show: str, meant: tuple[str, ...]) -> None:
    assert approve(loaded(shown(show))).show == meant


def test_a_file_that_is_called_like_a_step_is_written_as_a_path(loaded: Load, tmp_path: Path) -> None:
    (tmp_path / "steps.md").write_text("One, two.")
    assert approve(loaded(shown("./steps.md"))).show == ("./steps.md",)
    with pytest.raises(WorkflowError) as caught:
        loaded(shown("steps.md"))
    assert "there is no step `md`" in str(caught.value)


def test_a_step_that_is_needed_through_others_may_be_shown_and_another_may_not(loaded: Load) -> None:
    text = shown("[steps.work]")
    assert approve(loaded(text)).show == ("steps.work",)
    with pytest.raises(WorkflowError) as caught:
        loaded(text.replace("needs: [count], approve", "approve"))
    (problem,) = caught.value.problems
    assert problem.message == "`ok` does not need step `work`"
    assert problem.help == "add to step `ok`: needs: [work]"


def test_on_timeout_without_a_timeout_is_noted(loaded: Load) -> None:
    workflow = loaded("name: x\nsteps: [{id: ok, approve: {message: Go?, on_timeout: reject}}]")
    assert [note.message for note in workflow.notes] == [
        "`on_timeout` says what holds when the time is up, and there is no `timeout`"
    ]


def test_a_snapshot_is_loaded_though_what_was_shown_is_gone(tmp_path: Path) -> None:
    text = "name: x\nsteps: [{id: ok, approve: {message: Go?, show: gone.json}}]"
    workflow = load(tmp_path / "flow.yaml", overrides={}, environ={}, text=text)
    assert approve(workflow).show == ("gone.json",)
