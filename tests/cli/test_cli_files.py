"""Append targets and files of items: fresh each run, kept, replaced, or refused; what is foreign is never touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.terminal import Project

APPEND = """\
steps:
  - id: a
    foreach: rows.jsonl
    run: echo "{{item}}" >> log.txt
"""
ITEMS = """\
steps:
  - id: a
    foreach: rows.jsonl
    run: echo "{{item.n}}" > "out/{{item.n}}.txt"
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("rows.jsonl", '{"n":1}\n{"n":2}\n')
    return project


def assert_untouched_and_refused(project: Project, message: str, help: str) -> None:
    """The next run is refused with this text, the plan says the same, and no file has changed."""
    before = project.files()
    runs = sorted(path.name for path in project.folder.glob(".penstock/runs/*"))
    said = project.penstock("run")
    text = f"workflow.yaml:3:5: {message}\n  3 |   - id: a\n    |     ^\n  help: {help}\n"
    assert (said.status, said.out, said.normal_err) == (2, "", text)
    assert project.succeeds("plan").normal.startswith("  BLOCK  a             " + message)
    assert project.files() == before
    assert sorted(path.name for path in project.folder.glob(".penstock/runs/*")) == runs


def test_an_append_target_that_no_run_wrote_is_refused_kept_or_replaced(project: Project) -> None:
    project.write("log.txt", "theirs\n")
    project.workflow(APPEND)
    assert_untouched_and_refused(
        project,
        "log.txt is there already and no Penstock run wrote it: step a would write it",
        "move it away, or add to the step `keep: [log.txt]` (append after what it holds)\n"
        "        or `replace: [log.txt]` (it is moved into the run's folder)",
    )

    project.workflow(APPEND + "    keep: [log.txt]\n")
    for _ in range(2):
        project.succeeds("run")
        assert project.read("log.txt") == 'theirs\n{"n":1}\n{"n":2}\n'
    project.write("rows.jsonl", '{"n":3}\n')
    project.succeeds("run")
    assert project.read("log.txt") == 'theirs\n{"n":3}\n'

    (project.folder / "log.txt").write_text("theirs again\n")
    project.workflow(APPEND + "    replace: [log.txt]\n")
    project.succeeds("run")
    assert project.read("log.txt") == '{"n":3}\n'
    assert (project.run_folder() / "replaced/log.txt").read_text() == "theirs again\n"


def test_keep_and_replace_hold_for_the_whole_workflow_too_and_as_patterns(project: Project) -> None:
    project.write("log.txt", "theirs\n")
    project.workflow('keep: ["*.txt"]\n' + APPEND)
    project.succeeds("run")
    assert project.read("log.txt").startswith("theirs\n")


def test_an_append_target_that_was_changed_after_a_run_is_refused(project: Project) -> None:
    project.workflow(APPEND)
    project.succeeds("run")
    run = project.runs()[0]["run"]
    with (project.folder / "log.txt").open("a") as file:
        file.write("a line of mine\n")
    assert_untouched_and_refused(
        project,
        "log.txt was changed after run RUN wrote it: step a would write it",
        "move it away, or add to the step `keep: [log.txt]` (append after what it holds)\n"
        "        or `replace: [log.txt]` (it is moved into the run's folder)",
    )
    (project.folder / "log.txt").unlink()
    project.succeeds("run")
    assert project.runs()[0]["run"] != run


def test_each_run_begins_anew_and_the_last_ones_files_are_in_its_folder(project: Project) -> None:
    project.workflow(ITEMS.replace("out/", "out/") + "  - id: b\n    foreach: rows.jsonl\n    run: cat >> all.txt\n")
    project.succeeds("run")
    first = project.run_folder()
    project.write("rows.jsonl", '{"n":2}\n{"n":3}\n')
    project.succeeds("run")
    assert project.files("out") == {"2.txt": b"2\n", "3.txt": b"3\n"}
    assert project.read("all.txt") == '{"n":2}\n{"n":3}\n'
    kept = {path.relative_to(first / "files").as_posix() for path in (first / "files").rglob("*.txt")}
    assert kept == {"out/1.txt", "out/2.txt", "all.txt"}
    assert (first / "files/all.txt").read_text() == '{"n":1}\n{"n":2}\n'


def test_a_file_of_an_item_that_no_run_wrote_fails_its_item_and_is_not_touched(project: Project) -> None:
    theirs = project.write("out/2.txt", "theirs\n")
    project.workflow(ITEMS)
    said = project.penstock("run")
    assert said.status == 1
    reason = (
        "out/2.txt is there already and no Penstock run wrote it: "
        "move it away, or say `replace: [out/2.txt]` in the step"
    )
    assert f"workflow.yaml:3: step a, item 1 ({project.records('a')[1]['key']}): {reason}\n" in said.err
    assert theirs.read_text() == "theirs\n"
    assert project.read("out/1.txt") == "1\n"

    project.workflow(ITEMS + '    replace: ["out/*.txt"]\n')
    project.succeeds("run")
    assert theirs.read_text() == "2\n"
    assert [path.read_text() for path in project.run_folder().rglob("*2.txt*")] == ["theirs\n"]


def test_a_file_of_an_item_that_was_changed_after_a_run_is_refused(project: Project) -> None:
    project.workflow(ITEMS)
    project.succeeds("run")
    project.write("out/2.txt", "mine\n")
    assert_untouched_and_refused(
        project,
        "out/2.txt was changed after run RUN wrote it: step a would write it",
        "move it away, or add to the step `replace: [out/2.txt]` (it is moved into the run's folder)",
    )


def test_two_items_with_one_file_and_a_failed_item_leave_only_what_was_accepted(project: Project) -> None:
    project.write("rows.jsonl", '{"n":1}\n{"n":1,"again":true}\n{"n":7}\n')
    project.workflow("""\
steps:
  - id: a
    foreach: rows.jsonl
    concurrency: 1
    run: echo "{{item.n}}" | tee -a all.txt > "out/{{item.n}}.txt"; [ "{{item.n}}" != 7 ]
""")
    said = project.penstock("run")
    assert said.status == 1
    assert "): out/1.txt is written by another task of this run\n" in said.err
    assert project.files("out") == {"1.txt": b"1\n"}
    assert project.read("all.txt") == "1\n"
    assert (project.run_folder() / "failed/out/7.txt").read_text() == "7\n"


def test_another_workflow_of_the_folder_does_not_take_the_files_of_the_first(project: Project) -> None:
    project.workflow(APPEND)
    project.workflow(APPEND, "other.yaml")
    project.succeeds("run")
    owner = project.runs()[0]["run"]
    said = project.penstock("run", "other.yaml")
    assert said.status == 2
    assert f"other.yaml:3:5: log.txt belongs to run {owner} of workflow.yaml: step a would write it\n" in said.err
    assert project.read("log.txt") == '{"n":1}\n{"n":2}\n'


def test_an_only_run_moves_the_files_of_its_step_alone(project: Project) -> None:
    project.workflow(APPEND + ITEMS.removeprefix("steps:\n").replace("id: a", "id: b"))
    project.succeeds("run")
    first = project.run_folder()
    project.write("rows.jsonl", '{"n":5}\n')
    project.succeeds("run", "--only", "b")
    assert project.read("log.txt") == '{"n":1}\n{"n":2}\n'
    assert project.files("out") == {"5.txt": b"5\n"}
    assert sorted(path.name for path in (first / "files").rglob("*.txt")) == ["1.txt", "2.txt"]
