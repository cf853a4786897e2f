"""Where the text goes: programs that read JSON, readers that leave, disks that are full, terminals, shells."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.terminal import Project

STEPS = """\
steps:
  - id: a
    foreach: [1, 2, 3]
    run: echo {{item}}
  - id: b
    needs: [a]
    run: echo '{"ok":false}'
"""
REJECTED = 3
STEPS_JSON = {
    "a": {
        "status": "succeeded", "reason": None, "total": 3, "accepted": 3, "rejected": 0, "failed": 0, "skipped": 0,
        "cached": 0, "accept_rate": 1.0, "cost": None,
    },
    "b": {
        "status": "rejected", "reason": 'its output says "ok": false', "total": 1, "accepted": 0, "rejected": 1,
        "failed": 0, "skipped": 0, "cached": 0, "accept_rate": 0.0, "cost": None,
    },
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.workflow(STEPS)
    return project


def test_json_is_one_line_on_standard_output_and_nothing_else_there(project: Project) -> None:
    said = project.penstock("run", "--json")
    assert said.status == REJECTED
    assert said.out.count("\n") == 1
    assert said.out.endswith("\n")
    assert said.value["steps"] == STEPS_JSON
    assert said.err.startswith("Test: run ")
    silent = project.penstock("run", "--json", "--quiet")
    assert (silent.status, silent.err) == (REJECTED, "")
    assert silent.value["steps"] == STEPS_JSON
    assert list(json.loads(project.succeeds("runs", "--json").out)[0]) == [
        "run", "workflow", "status", "started", "seconds", "cost",
    ]  # fmt: skip
    for words in (("status",), ("plan",), ("graph",), ("check",), ("runs",)):
        assert project.succeeds(*words, "--json").out.count("\n") == 1


def test_quiet_says_nothing_but_what_failed(project: Project) -> None:
    said = project.penstock("run", "--quiet")
    assert (said.status, said.out, said.err) == (REJECTED, "", "")
    project.workflow("steps:\n  - id: a\n    run: exit 4\n  - id: b\n    foreach: [1]\n    run: exit 5\n")
    said = project.penstock("run", "--quiet")
    assert (said.status, said.out) == (1, "")
    assert sorted(said.err.splitlines())[0] == "workflow.yaml:3: step a failed: exit status 4"
    assert sorted(said.err.splitlines())[1].startswith("workflow.yaml:5: step b failed: 1 of 1 items failed")


@pytest.mark.parametrize(
    "ending",
    [
        "| head -1",
        "2>&1 | head -1",
        "| true",
        "2>&-",
        ">&-",
        "<&- >&- 2>&-",
        ">/dev/full",
        "2>/dev/full",
        "2>&1 | true",
    ],
)
def test_a_reader_that_is_gone_loses_neither_the_run_nor_its_exit_status(project: Project, ending: str) -> None:
    project.bash(f"(penstock run; echo $? > status; penstock run --json; echo $? >> status) {ending}")
    assert project.read("status") == f"{REJECTED}\n{REJECTED}\n"
    assert [run["status"] for run in project.runs()] == ["rejected", "rejected"]
    assert project.state("a") == ("succeeded", None)


def test_other_commands_end_without_a_word_when_their_reader_is_gone(project: Project) -> None:
    project.penstock("run")
    said = project.bash("(sleep 0.3; penstock schema) | true; echo ${PIPESTATUS[0]}")
    assert (said.out, said.err) == ("1\n", "")
    full = project.bash("penstock status > /dev/full")
    assert (full.status, full.err) == (1, "penstock: No space left on device\n")


def test_a_terminal_of_eighty_columns_shows_a_table_that_fits(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("evil", "\x1b]0;title\x07\x1b[31mred\x1b[2J\n")
    long = "a_step_with_a_name_that_goes_on_and_on_for_longer_than_is_good_for_any_table"
    project.workflow(f"""\
steps:
  - id: {long}
    foreach: {list(range(12))}
    run: |
      sleep 0.1
      [ {{{{i}}}} -ne 5 ] || {{ cat evil >&2; exit 1; }}
  - id: b
    run: sleep 0.5; cat evil >&2; exit 3
""")
    said = project.on_terminal("run", "--concurrency", "2")
    assert said.status == 1
    clears, shows = "\x1b[2K", "\x1b[1A"
    drawn = [re.sub(r"\x1b\[[0-9?]*[a-zA-Z]|\r", "", text) for text in re.split(r"\x1b\[2K|\r\n", said.out)]
    table = [line for line in drawn if re.match(r"  (a_step\S*…|b) +(\d+|running)\b", line)]
    assert clears in said.out
    assert shows in said.out
    assert len(table) > 4
    assert all(len(line) <= 80 for line in table)
    assert any(re.fullmatch(r"  a_step_with_a\S*…  \d+(/12)?  [\d.]+/s  \d+ accepted.*", line) for line in table)
    assert any(re.fullmatch(r"  b +running  0\.\d s|  b +running  \d+ ms", line) for line in table)
    ours = {"\x1b[2K", "\x1b[1A", "\x1b[?25l", "\x1b[?25h"}
    assert set(re.findall(r"\x1b(?:\[[0-9?]*[a-zA-Z]|.)", said.out)) <= ours
    assert "\x07" not in said.out
    assert "�]0;title��[31mred" in said.out
    assert f"workflow.yaml:3: step {long}, item 5" in said.out
    assert "workflow.yaml:8: step b: exit status 3" in said.out
    assert said.out.rstrip().splitlines()[-1].startswith("  next    penstock resume")


def test_a_failed_run_on_a_narrow_terminal_leaves_no_table_behind(project: Project) -> None:
    said = project.on_terminal("run", columns=40)
    assert said.status == REJECTED
    left = re.sub(r"\x1b\[[0-9?]*[a-zA-Z]", "", said.out).replace("\r", "")
    assert left.count("  a  succeeded  3 accepted") == 1
    assert left.splitlines()[-1].startswith("  log     .penstock/runs/")


def test_completion_scripts_are_printed_and_that_of_bash_completes(project: Project) -> None:
    for shell, mark in (("zsh", "#compdef penstock"), ("fish", "complete --no-files --command penstock")):
        assert mark in project.succeeds("completion", shell).out
    complete = """
        eval "$(penstock completion bash)"
        COMP_WORDS=(%s); COMP_CWORD=%d
        _penstock_completion penstock
        printf '%%s\\n' "${COMPREPLY[@]}"
    """
    assert project.bash(complete % ("penstock res", 1)).out == "resume\n"
    assert set(project.bash(complete % ("penstock run --", 2)).out.split()) >= {"--only", "--var", "--concurrency"}
    assert project.bash(complete % ("penstock completion f", 2)).out == "fish\n"


def test_odd_signs_are_printed_whatever_the_terminal_can_show(project: Project) -> None:
    project.workflow('name: "긴 이름 🎉"\nsteps:\n  - id: a\n    foreach: [1]\n    where: item > 2\n    run: echo\n')
    project.environ |= {"PYTHONIOENCODING": "latin-1:strict"}
    assert project.succeeds("run").out.startswith("succeeded in ")
    assert "where: 1 > 2 \\u2192 false" in project.succeeds("log").out
