"""What the commands print, word for word, with ids and times taken out."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.terminal import Project

COMMANDS = (
    "run",
    "plan",
    "check",
    "resume",
    "waiting",
    "approve",
    "reject",
    "replay",
    "status",
    "runs",
    "log",
    "doctor",
    "cache",
    "sample-size",
    "call",
    "gateway",
    "graph",
    "schema",
    "init",
    "completion",
)
HELP = Path(__file__).parent / "help"

STEPS = """\
name: Marks
description: Three rows, one of which is rejected.
env:
  LEAST: "3"
steps:
  - id: fetch
    run: printf '{"n":%s}\\n' 5 2 9 > marks.jsonl

  - id: grade
    needs: [fetch]
    foreach: marks.jsonl
    concurrency: 1
    run: |
      if [ "{{item.n}}" -ge "$LEAST" ]; then echo '{"ok": true}'; else echo '{"ok": false}'; fi

  - id: passed
    foreach: steps.grade.accepted
    run: cat

  - id: praise
    needs: [grade]
    when: outputs.grade.accept_rate > 0.9
    run: echo well done
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.workflow(STEPS)
    return project


def test_a_run_without_a_terminal_prints_a_line_a_step_and_the_accounting(project: Project) -> None:
    said = project.succeeds("run")
    printed = """\
Marks: run RUN
  fetch   succeeded  SPAN
  grade   succeeded  2 accepted, 1 rejected  SPAN
  praise  skipped    (when: 0.6666666666666666 > 0.9 → false)
  passed  succeeded  2 accepted  SPAN
"""
    assert said.normal_err == printed
    printed = """\
succeeded in SPAN: run RUN

  rows    in  accepted  rejected  failed  skipped  accept rate
  grade    3         2         1       0        0        0.667
  passed   2         2         0       0        0        1.000

  log     .penstock/runs/RUN/log.jsonl
  kept    fixtures/failures/grade (rejected and failed rows)
"""
    assert said.normal == printed
    printed = """\
run RUN  workflow.yaml (Marks)  succeeded  SPAN
  fetch   succeeded  SPAN
  grade   succeeded  2 accepted, 1 rejected  SPAN
  passed  succeeded  2 accepted  SPAN
  praise  skipped    (when: 0.6666666666666666 > 0.9 → false)

  rows    in  accepted  rejected  failed  skipped  accept rate
  grade    3         2         1       0        0        0.667
  passed   2         2         0       0        0        1.000

  log     .penstock/runs/RUN/log.jsonl
"""
    assert project.succeeds("status").normal == printed
    assert project.succeeds("runs").normal.split() == ["RUN", "succeeded", "SPAN", "workflow.yaml"]
    logged = [line.removeprefix("TIME  ") for line in project.succeeds("log").normal.splitlines()]
    assert sorted(logged) == [
        "fetch  succeeded  SPAN",
        "grade  succeeded",
        "grade 0  accepted  SPAN",
        'grade 1  rejected  SPAN  (its output says "ok": false)',
        "grade 2  accepted  SPAN",
        "passed  succeeded",
        "passed 0  accepted  SPAN",
        "passed 2  accepted  SPAN",
        "praise  skipped  (when: 0.6666666666666666 > 0.9 → false)",
    ]


def test_a_run_from_another_folder_names_paths_as_they_are_typed_there(project: Project, tmp_path: Path) -> None:
    project.write("deep/er/workflow.yaml", STEPS)
    said = project.succeeds("run", "deep/er")
    assert "  log     deep/er/.penstock/runs/RUN/log.jsonl\n  kept    deep/er/fixtures/failures/grade" in said.normal


def test_a_plan_says_what_would_be_done_why_and_for_how_many_items(project: Project) -> None:
    printed = """\
  RUN    fetch           1  a step without `inputs` always runs
  RUN    grade              the rows of marks.jsonl, which fetch writes
  RUN    passed             those that end accepted in grade
  MAYBE  praise          1  when: outputs.grade.accept_rate > 0.9
"""
    assert project.succeeds("plan").out == printed
    printed = """\
  BLOCK  grade             its need fetch has not run
"""
    assert project.succeeds("plan", "--only", "grade").out == printed
    assert not (project.folder / ".penstock").exists()


def test_check_says_that_all_is_well_and_what_is_worth_knowing(project: Project) -> None:
    assert project.succeeds("check").out == "workflow.yaml: Marks, 4 steps, no errors\n"
    project.workflow("steps:\n  - id: a\n    run: printf '%s' \\\n      b\n")
    printed = """\
note: workflow.yaml:4:22: YAML folds this line and the next into one; the backslash joins them as in a script
  4 |     run: printf '%s' \\
    |                      ^
  help: below `|` the text reaches the shell as it stands
workflow.yaml: Test, 1 step, no errors
"""
    assert project.succeeds("check").out == printed
    told = project.succeeds("check", "--json").value
    assert told["ok"] is True
    assert told["steps"] == ["a"]
    assert told["notes"] == [
        {
            "file": "workflow.yaml",
            "line": 4,
            "column": 22,
            "message": "YAML folds this line and the next into one; the backslash joins them as in a script",
            "help": "below `|` the text reaches the shell as it stands",
        }
    ]


def test_check_tells_a_program_every_problem(project: Project) -> None:
    project.workflow("steps:\n  - id: a\n    rum: x\n  - id: b\n    needs: [c]\n    run: x\n")
    said = project.penstock("check", "--json")
    assert said.status == 2
    assert said.err == ""
    problems = said.value["problems"]
    assert isinstance(problems, list)
    assert [(problem["line"], problem["column"]) for problem in problems] == [(3, 5), (4, 5), (6, 13)]
    assert project.penstock("check").err.count("\nworkflow.yaml:") == 2


def test_the_graph_is_drawn_as_text_and_as_mermaid(project: Project) -> None:
    printed = """\
  fetch
  grade  *  <- fetch
  passed *  <- grade
  praise    <- grade

  * once for each row
"""
    assert project.succeeds("graph").out == printed
    printed = """\
flowchart TD
  fetch["fetch"]
  grade[["grade"]]
  passed[["passed"]]
  praise["praise"]
  fetch --> grade
  grade -.-> passed
  grade --> praise
"""
    assert project.succeeds("graph", "--mermaid").out == printed


def test_the_schema_is_json_schema_and_accepts_the_workflow(project: Project) -> None:
    schema = json.loads(project.succeeds("schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(STEPS), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "x", "steps": [{"id": "a", "rum": "x"}]}, schema)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str, tmp_path: Path) -> None:
    assert Project(tmp_path).succeeds(command, "--help").out == (HELP / f"{command}.txt").read_text(encoding="utf-8")


def test_the_program_lists_its_commands(tmp_path: Path) -> None:
    project = Project(tmp_path)
    text = (HELP / "penstock.txt").read_text(encoding="utf-8")
    assert project.succeeds("--help").out == text
    assert project.succeeds("-h").out == text
    listed = text.partition("Commands:\n")[2].split("\n")
    assert tuple(line.split()[0] for line in listed if line) == COMMANDS
    bare = project.penstock()
    assert (bare.status, bare.out + bare.err) == (2, text)


def test_init_makes_a_project_that_runs_and_overwrites_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path)
    printed = """\
  made  data/inputs.jsonl
  made  scripts/count.py
  made  scripts/report.py
  made  workflow.yaml
  next  penstock run
"""
    assert project.succeeds("init").out == printed
    project.succeeds("check")
    project.succeeds("run")
    assert project.state("report") == ("succeeded", "when: 0.6666666666666666 > 0.5 → true")
    assert project.read("report.md").startswith("| id | words | enough |\n")
    before = project.files()
    again = project.penstock("init")
    assert (again.status, again.err) == (
        1,
        """\
penstock: data/inputs.jsonl, scripts/count.py, scripts/report.py, workflow.yaml is there already
  help: choose an empty folder: penstock init NAME
""",
    )
    assert project.files() == before
    assert project.succeeds("init", "one more").out.endswith("  next  penstock run 'one more'\n")
    project.succeeds("run", "one more")
