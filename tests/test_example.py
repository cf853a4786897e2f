"""The shipped example, run by the real program: first run, again, after edits, after a crash, and below the gate."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tests.terminal import EXAMPLE, Project, example, jsonl, until

CONTRACT = "fde144ceedc254d269ab9b0e1281387010494805fac62a1a4e0d3d4d183a39a1"
"""SHA-256 of the workflow in section 1 of the language's definition, byte for byte."""

DOCUMENTS = 30


def rate(project: Project) -> float:
    """What the route step found."""
    found = json.loads(project.read("logs/route_summary.json"))["accept_rate"]
    assert isinstance(found, float)
    return found


def by_id(project: Project) -> dict[str, dict[str, object]]:
    """The records of the generate step by the id of their document."""
    records = (line["record"] for line in project.records("generate"))
    return {str(record["id"]): record for record in records if isinstance(record, dict)}


def ids_in(lines: list[dict[str, object]]) -> list[object]:
    return [line["id"] for line in lines]


def input_ids(project: Project) -> list[object]:
    return ids_in(jsonl(project.folder / "data/inputs.jsonl"))


def test_the_workflow_is_the_one_of_the_language_definition_byte_for_byte() -> None:
    assert hashlib.sha256((EXAMPLE / "workflow.yaml").read_bytes()).hexdigest() == CONTRACT


def test_it_is_right_on_the_first_run_and_on_the_second_and_after_an_edit_and_after_a_removal(tmp_path: Path) -> None:
    project = example(tmp_path)
    first = project.succeeds("run")
    assert "verify    30        28         2       0        0        0.933" in first.out
    assert 0.9 < rate(project) < 1
    applied = project.read("applied/summaries.md")
    assert applied.count("\n## ") + 1 == 28
    assert len(list((tmp_path / ".cache").glob("out_*.json"))) == DOCUMENTS
    assert project.state("apply") == ("succeeded", "when: 0.9333 > 0.9 → true")
    assert project.log()[-1]["reason"] == "when: 0.9333 > 0.9 → true"
    records, rate_first = by_id(project), rate(project)

    project.succeeds("run")
    assert rate(project) == rate_first
    assert project.read("applied/summaries.md") == applied
    assert by_id(project) == records
    for log in ("logs/generate.jsonl", "logs/verify.jsonl"):
        assert ids_in(jsonl(tmp_path / log)) == input_ids(project)

    edited = tmp_path / "data/raw/sourdough.txt"
    edited.write_text(
        edited.read_text() + "\nA starter that smells of acetone is hungry and wants feeding twice a day.\n"
    )
    project.succeeds("run")
    after = by_id(project)
    assert {name for name in records if after[name] != records[name]} == {"sourdough"}
    assert after.keys() == records.keys()

    (tmp_path / "data/raw/apollo-13.txt").unlink()
    project.succeeds("run")
    assert "apollo-13" not in project.read("applied/summaries.md")
    assert {path.name for path in (tmp_path / ".cache").iterdir()} == {f"out_{i}.json" for i in range(DOCUMENTS - 1)}
    here = {name: body for name, body in project.files().items() if not name.startswith("data-low")}
    assert [name for name, body in here.items() if b"apollo-13" in body] == []
    assert ids_in(jsonl(tmp_path / "logs/generate.jsonl")) == input_ids(project)
    assert set(by_id(project)) == set(records) - {"apollo-13"}


def test_with_eight_at_once_the_log_has_whole_lines_in_input_order(tmp_path: Path) -> None:
    project = example(tmp_path)
    script = tmp_path / "scripts/generate.py"
    slowest_first = "import os, time\ntime.sleep(max(0, 6 - int(os.environ['PENSTOCK_I'])) / 10)\n"
    script.write_text(slowest_first + script.read_text())
    project.succeeds("run", "--concurrency", "8")
    ended = [line["i"] for line in project.log() if line["step"] == "generate" and line["i"] is not None]
    assert len(ended) == DOCUMENTS
    assert ended != list(range(DOCUMENTS))
    assert ids_in(jsonl(tmp_path / "logs/generate.jsonl")) == input_ids(project)
    assert [line["i"] for line in project.records("generate")] == list(range(DOCUMENTS))


def test_with_worse_documents_beside_the_others_nothing_is_applied_and_why_is_said(tmp_path: Path) -> None:
    project = example(tmp_path)
    shutil.copytree(tmp_path / "data-low/raw", tmp_path / "data/raw", dirs_exist_ok=True)
    said = project.succeeds("run")
    assert rate(project) == 0.8684
    assert project.state("apply") == ("skipped", "when: 0.8684 > 0.9 → false")
    assert "apply     skipped    (when: 0.8684 > 0.9 → false)" in said.err
    last = project.log()[-1]
    assert (last["step"], last["verdict"], last["reason"]) == ("apply", "skipped", "when: 0.8684 > 0.9 → false")
    assert re.search(r"apply  skipped  \(when: 0\.8684 > 0\.9 → false\)", project.succeeds("log").out)
    assert not (tmp_path / "applied").exists()


def test_after_a_kill_in_the_middle_resume_ends_as_an_undisturbed_run_does(tmp_path: Path) -> None:
    undisturbed, killed = example(tmp_path / "undisturbed"), example(tmp_path / "killed")
    undisturbed.succeeds("run")
    log = killed.folder / "logs/generate.jsonl"
    with killed.running("run", "--concurrency", "3") as process:
        until(lambda: log.exists() and log.read_bytes().count(b"\n") >= 5, process)
        process.kill()
        process.wait()
    assert killed.runs()[0]["status"] == "interrupted"
    assert log.read_bytes().count(b"\n") < DOCUMENTS
    before = [line for line in killed.log() if line["step"] == "generate" and line["i"] is not None]

    said = killed.succeeds("resume")
    assert re.search(r"resuming run \S+: \d+ tasks are finished and stand", said.err)
    assert killed.runs()[0]["status"] == "succeeded"
    assert len(killed.runs()) == 1
    assert killed.log()[1 : len(before) + 1] == before
    verdicts = [line["verdict"] for line in killed.log() if line["step"] == "generate"]
    assert verdicts == ["accepted"] * DOCUMENTS + ["succeeded"]
    for step in ("prepare", "generate", "verify", "route", "apply"):
        assert killed.records(step) == undisturbed.records(step)
    results, expected = killed.files(), undisturbed.files()
    assert results == expected


def test_what_the_commands_print_for_programs_has_the_fields_that_are_promised(tmp_path: Path) -> None:
    project = example(tmp_path)
    plan = project.succeeds("plan", "--json").value["steps"]
    assert isinstance(plan, dict)
    assert {name: step["action"] for name, step in plan.items()} == {
        "prepare": "RUN", "generate": "RUN", "verify": "RUN", "route": "RUN", "apply": "MAYBE",
    }  # fmt: skip
    fields = {"action", "reason", "items", "cached", "to_buy", "cost_low", "cost_high"}
    assert all(set(step) == fields for step in plan.values())

    began = datetime.now(timezone.utc)
    said = project.succeeds("run", "--json")
    assert said.out.count("\n") == 1
    assert set(said.value) == {"run", "status", "steps", "cost", "calls", "simulated", "seconds"}
    verify = said.value["steps"]
    assert isinstance(verify, dict)
    assert verify["verify"] == {
        "status": "succeeded", "reason": None, "total": 30, "accepted": 28, "rejected": 2, "failed": 0, "skipped": 0,
        "cached": 0, "accept_rate": 28 / 30, "cost": None,
    }  # fmt: skip
    assert project.succeeds("status", "--json").value == said.value

    runs = project.runs()
    assert [set(run) for run in runs] == [{"run", "workflow", "status", "started", "seconds", "cost"}]
    assert runs[0]["run"] == said.value["run"]
    started = datetime.fromisoformat(str(runs[0]["started"]).replace("Z", "+00:00"))
    assert began - timedelta(milliseconds=1) <= started <= datetime.now(timezone.utc)

    logged = project.log()
    promised = ["ts", "run", "step", "i", "key", "input_hash", "attempt", "latency_ms", "cost", "verdict"]
    assert all(list(line)[:10] == promised for line in logged)
    assert project.succeeds("log", "--json").out == (project.run_folder() / "log.jsonl").read_text()
    assert [line["step"] for line in logged if line["i"] is None] == ["prepare", "generate", "verify", "route", "apply"]
    assert [set(line) for line in project.records("verify")] == [{"i", "key", "verdict", "record"}] * DOCUMENTS
    assert project.succeeds("graph", "--json").value == {
        "prepare": {"needs": [], "foreach": False},
        "generate": {"needs": ["prepare"], "foreach": True},
        "verify": {"needs": ["generate"], "foreach": True},
        "route": {"needs": ["verify"], "foreach": False},
        "apply": {"needs": ["route"], "foreach": False},
    }
    assert {path.name for path in (tmp_path / "fixtures/failures/verify").iterdir()} == {
        f"{line['input_hash']}"[:16] + ".json" for line in logged if line["verdict"] == "rejected"
    }
