"""Whole runs with a `route` step: what is printed and kept of it, killed runs, and rows that are taken back."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from penstock.core.states import RunState
from tests.flows import flow, numbered
from tests.terminal import Project, jsonl, until

ROUTE = """\
steps:
  - id: triage
    foreach: rows.jsonl
    route:
      - {when: "item.n < 3", to: low}
      - {when: "item.n < 6", to: mid}
      - {when: "item.n > 99", to: top}
  - id: low
    foreach: steps.triage.low
    run: echo {{item.n}} | tee -a low.txt
  - id: report
    needs: [triage]
    when: "outputs.triage.low == 3 and outputs.triage.top == 0"
    run: echo "{{outputs.triage.mid}}"
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.workflow(ROUTE)
    made.write("rows.jsonl", "".join(f'{{"n": {number}}}\n' for number in range(6)))
    return made


# --- what is told ------------------------------------------------------------------------------


def test_a_run_tells_how_many_went_where(project: Project) -> None:
    said = project.succeeds("run")
    assert said.normal == (
        "succeeded in SPAN: run RUN\n"
        "\n"
        "  rows    in  accepted  rejected  failed  skipped  accept rate\n"
        "  triage   6         6         0       0        0        1.000\n"
        "  low      3         3         0       0        0        1.000\n"
        "\n"
        "  triage  low 3, mid 3, top 0\n"
        "\n"
        "  log     .penstock/runs/RUN/log.jsonl\n"
    )
    assert "  triage  low 3, mid 3, top 0\n" in project.succeeds("status").out
    assert told_branches(project) == {"low": 3, "mid": 3, "top": 0}
    assert project.state("report") == ("succeeded", "when: 3 == 3 and 0 == 0 → true")
    assert project.read("low.txt") == "0\n1\n2\n"


def test_the_journal_log_and_records_of_a_routed_run_agree(project: Project) -> None:
    project.succeeds("run")
    routed = {line["i"]: line for line in project.log() if line["step"] == "triage" and line["key"]}
    for line in project.records("triage"):
        record, told = line["record"], routed[line["i"]]["route"]
        assert record == told
    assert routed[4]["route"] == {"rule": 2, "to": "mid", "why": "4 < 6 → true"}
    assert "no problems" in project.succeeds("doctor").out


def test_a_row_that_no_rule_takes_fails_the_step_and_is_kept_as_a_fixture(project: Project) -> None:
    project.write("rows.jsonl", '{"n": 1}\n{"n": 50}\n')
    said = project.penstock("run")
    assert said.status == 1
    reason = "no rule matches: 1: 50 < 3 → false; 2: 50 < 6 → false; 3: 50 > 99 → false"
    assert reason in said.err
    (kept,) = (project.folder / "fixtures" / "failures" / "triage").iterdir()
    assert json.loads(kept.read_text())["reason"] == reason


def test_the_last_finished_run_serves_one_branch_alone(project: Project) -> None:
    project.succeeds("run")
    project.succeeds("run", "--only", "low")
    assert project.read("low.txt") == "0\n1\n2\n"


def told_branches(project: Project) -> dict[str, int]:
    """The branches of the step `triage`, which alone has any."""
    steps = project.succeeds("status", "--json").value["steps"]
    assert isinstance(steps, dict)
    assert [step_id for step_id, step in steps.items() if "branches" in step] == ["triage"]
    found = steps["triage"]["branches"]
    assert isinstance(found, dict)
    return found


# --- models ------------------------------------------------------------------------------------

CHOSEN = """\
models: {cheap: {model: sim/cheap, quality: 0.7, refused: 0.2, seed: 3, price: {input: 1, output: 2}}}
steps:
  - id: triage
    foreach: rows.jsonl
    route: {model: cheap, prompt: "Which? {{ item.n }}", choices: [legal, sales, other]}
  - id: legal
    foreach: steps.triage.legal
    run: echo {{item.n}} {{chain.triage.to}} >> legal.txt
  - id: lost
    foreach: steps.triage.rejected
    run: echo {{item.failure.kind}} >> lost.txt
"""


def test_a_model_sends_rows_to_branches_and_is_not_asked_twice(project: Project) -> None:
    project.workflow(CHOSEN)
    project.write("rows.jsonl", "".join(f'{{"n": {number}}}\n' for number in range(30)))
    project.succeeds("run")
    went = chosen(project)
    assert {*went} == {"legal", "sales", "other", None}
    assert project.read("legal.txt").splitlines() == [f"{n} legal" for n, to in enumerate(went) if to == "legal"]
    assert project.read("lost.txt").split() == ["refused"] * went.count(None)
    calls = jsonl(project.run_folder() / "calls.jsonl")
    assert {call["purpose"] for call in calls} == {"route"}
    assert {call["cached"] for call in calls} == {False}
    project.succeeds("run")
    again = jsonl(project.run_folder() / "calls.jsonl")
    assert {call["cached"] for call in again} == {True}
    assert chosen(project) == went


def chosen(project: Project) -> list[str | None]:
    """Where each row of the `route` step went; None where no model could say."""
    records: list[Any] = [line["record"] for line in project.records("triage")]
    return [record and record["to"] for record in records]


PLACED = """\
models:
  far: {model: sim/far, seed: 1, placement: remote, invalid: 0.3}
  near: {model: sim/near, seed: 1}
steps:
  - id: triage
    foreach: rows.jsonl
    route:
      - {when: "item.n % 3 == 0", to: careful, placement: local}
      - {to: quick}
  - id: between
    foreach: steps.triage
    run: echo '{"m":{{item.n}}}'
  - id: say
    foreach: steps.between
    generate: {model: MODEL, prompt: "Say {{ item.m }}", schema: {type: object, required: [text]}}
    max_failures: 100%
"""


def test_no_model_elsewhere_sees_a_row_that_a_rule_above_keeps_here(project: Project) -> None:
    project.workflow(PLACED.replace("MODEL", "[far, near]"))
    project.succeeds("run")
    asked = {(line["i"], line["model"]) for line in jsonl(project.run_folder() / "calls.jsonl")}
    assert {i for i, model in asked if model == "far"} == {1, 2, 4, 5}
    assert {0, 3} <= {i for i, model in asked if model == "near"}
    project.workflow(PLACED.replace("MODEL", "far"))
    project.succeeds("run")
    failed = [line["i"] for line in project.records("say") if line["verdict"] == "failed"]
    assert failed == [0, 3]


# --- lives -------------------------------------------------------------------------------------

SLOW = """\
steps:
  - id: slow
    foreach: rows.jsonl
    concurrency: 1
    run: bash note.sh {{item.n}}
  - id: triage
    foreach: steps.slow
    route:
      - {when: "item.n % 2 == 0", to: even}
      - {to: odd}
  - id: even
    foreach: steps.triage.even
    run: echo {{item.n}} | tee -a even.txt
  - id: odd
    foreach: steps.triage.odd
    run: echo {{item.n}} | tee -a odd.txt
"""


def test_a_run_that_is_killed_while_it_routes_goes_on_where_it_was(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(SLOW)
    project.write("note.sh", 'echo "$1" >> begun\nsleep 0.02\nprintf \'{"n":%s}\\n\' "$1"\n')
    project.write("rows.jsonl", "".join(f'{{"n": {number}}}\n' for number in range(30)))
    for words, rows in ((("run",), 6), (("resume",), 15)):
        with project.running(*words) as process:
            until(partial(has_routed, project, rows), process)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    assert 15 <= sum(told_branches(project).values()) < 30
    project.succeeds("resume")
    assert project.read("even.txt").split() == [str(number) for number in range(0, 30, 2)]
    assert project.read("odd.txt").split() == [str(number) for number in range(1, 30, 2)]
    assert [line["i"] for line in project.records("triage")] == list(range(30))
    routed = Counter(line["i"] for line in project.log() if line["step"] == "triage" and line["key"])
    assert routed == Counter(range(30))
    assert told_branches(project) == {"even": 15, "odd": 15}
    begun = Counter(project.read("begun").split())
    assert set(begun) == {str(number) for number in range(30)}
    assert sum(begun.values()) <= 32  # no more than what was in flight at each death


def has_routed(project: Project, rows: int) -> bool:
    logs = list((project.folder / ".penstock" / "runs").glob("*/log.jsonl"))
    return bool(logs) and logs[0].read_text().count('"step":"triage"') >= rows


BELOW = """\
steps:
  - id: a
    foreach: rows.jsonl
    concurrency: 1
    run: bash note.sh {{item.n}}
  - id: triage
    foreach: steps.a
    route:
      - {when: "item.n % 2 == 0", to: even}
      - {to: odd}
  - id: odd
    foreach: steps.triage.odd
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a odd.jsonl
"""


def test_items_that_are_done_again_are_routed_then(tmp_path: Path) -> None:
    made = flow(tmp_path, BELOW, numbered(*range(4)))
    for n in (2, 3):
        made.write(f"bad-{n}", "")
    assert made.run() is RunState.FAILED
    assert made.counts("triage") == (2, 0, 0, 0)
    made.begun()
    for n in (2, 3):
        (tmp_path / f"bad-{n}").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert sorted(made.begun()) == ["2", "3", "3"]
    assert made.counts("triage") == (4, 0, 0, 0)
    assert made.read("odd.jsonl") == '{"n":1}\n{"n":3}\n'
    assert branches(made.view().steps) == {"even": 2, "odd": 2}


TOP = """\
steps:
  - id: triage
    foreach: rows.jsonl
    route:
      - {when: "RULE", to: even}
      - {to: odd}
  - id: even
    foreach: steps.triage.even
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a even.jsonl
  - id: odd
    foreach: steps.triage.odd
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a odd.jsonl
"""


def test_rows_that_have_moved_stay_in_their_branch(tmp_path: Path) -> None:
    made = flow(tmp_path, TOP.replace("RULE", "item.n % 2 == 0"), numbered(*range(6)))
    assert made.run(stop_after=10) is None
    done = made.begun()
    made.rows(numbered(8, *range(6)))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert not set(made.begun()) & set(done[:-2])
    assert made.read("even.jsonl") == '{"n":8}\n{"n":0}\n{"n":2}\n{"n":4}\n'
    assert made.read("odd.jsonl") == '{"n":1}\n{"n":3}\n{"n":5}\n'
    assert branches(made.view().steps) == {"even": 4, "odd": 3}


def test_rows_that_have_moved_are_routed_anew_by_a_rule_that_reads_their_place(tmp_path: Path) -> None:
    made = flow(tmp_path, TOP.replace("RULE", "i % 2 == 0"), numbered(*range(6)))
    assert made.run(stop_after=10) is None
    made.rows(numbered(8, *range(6)))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.read("even.jsonl") == '{"n":8}\n{"n":1}\n{"n":3}\n{"n":5}\n'
    assert made.read("odd.jsonl") == '{"n":0}\n{"n":2}\n{"n":4}\n'
    assert branches(made.view().steps) == {"even": 4, "odd": 3}


def branches(steps: object) -> dict[str, int]:
    """The branches of the only `route` step."""
    assert isinstance(steps, tuple)
    (found,) = [dict(step.branches) for step in steps if step.branches]
    return found
