"""What is said to somebody who asks for what does not exist: the whole text, and the exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.terminal import Project, normal

STEPS = """\
steps:
  - id: a
    run: echo hi
  - id: b
    needs: [a]
    foreach: [1, 2]
    run: echo {{item}}
"""

NOTHING_HERE = "penstock: there is no run in HERE\n  help: go to the workflow's folder, or name it with -C\n"

BEFORE_A_RUN: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("run", "nowhere.yaml"),
        "penstock: nowhere.yaml does not exist\n  help: name a workflow file, or the folder that it is in\n",
    ),
    (
        ("run", "empty"),
        "penstock: there is no workflow in empty: it has no workflow.yaml or penstock.yaml\n"
        "  help: name the file, or make a new project with `penstock init`\n",
    ),
    (
        ("run", "words.txt"),
        "words.txt:1:1: a workflow is a mapping of keys to values, not a single value\n"
        "  1 | just words\n"
        "    | ^^^^^^^^^^\n"
        "  help: it begins with `name: …` and has `steps:`; `penstock init` writes one\n",
    ),
    (
        ("check", "nothing.yaml"),
        "nothing.yaml holds no workflow: it is empty\n"
        "  help: it begins with `name: …` and has `steps:`; `penstock init` writes one\n",
    ),
    (("run", "--only", "c"), "penstock: the workflow has no step c\n  help: its steps are: a, b\n"),
    (("plan", "--only", "c"), "penstock: the workflow has no step c\n  help: its steps are: a, b\n"),
    (("run", "--var", "X"), "penstock: --var X: write --var KEY=VALUE\n"),
    (("check", "--var", "=x"), "penstock: --var =x: write --var KEY=VALUE\n"),
    (
        ("run", "--var", "X=1"),
        "--var X: the workflow's `env` has no entry `X`\n  help: entries of `env` that it can set: none\n",
    ),
    (("status",), NOTHING_HERE),
    (("runs",), NOTHING_HERE),
    (("log",), NOTHING_HERE),
    (("resume",), NOTHING_HERE),
)

SHAPES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("run", "--concurrency", "0"), "Invalid value for '--concurrency': 0 is not in the range 1<=x<=10000."),
    (("run", "--concurrency", "many"), "Invalid value for '--concurrency': 'many' is not a valid integer range."),
    (("run", "--onyl", "a"), "No such option '--onyl'."),
    (("run", "a", "b"), "Got unexpected extra argument (b)"),
    (("rnu",), "there is no command 'rnu'; did you mean run?"),
    (("fly",), "there is no command 'fly'"),
    (("-C", "nowhere", "run"), "Invalid value for '-C': Directory 'nowhere' does not exist."),
    (("completion", "tcsh"), "'tcsh' is not one of 'bash', 'zsh', 'fish'."),
    (
        ("resume", "--settle", "a=maybe"),
        "--settle a=maybe: write --settle STEP:KEY=accepted or --settle STEP:KEY=failed",
    ),
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.workflow(STEPS)
    project.write("words.txt", "just words\n")
    project.write("nothing.yaml", "")
    (tmp_path / "empty").mkdir()
    return project


def test_what_does_not_exist_is_said_with_what_does(project: Project) -> None:
    for words, text in BEFORE_A_RUN:
        said = project.penstock(*words)
        assert (said.status, said.out, said.err.replace(str(project.folder), "HERE")) == (2, "", text), words
    assert not (project.folder / ".penstock").exists()


def test_words_that_do_not_fit_are_said(project: Project) -> None:
    for words, text in SHAPES:
        said = project.penstock(*words)
        assert (said.status, said.out) == (2, ""), words
        assert text in said.err
        assert "Traceback" not in said.err


def test_a_run_that_does_not_exist_or_cannot_go_on_is_said(project: Project) -> None:
    project.succeeds("run")
    for words in (("status", "nope"), ("log", "nope"), ("resume", "nope")):
        said = project.penstock(*words)
        assert said.status == 2
        assert said.normal_err == "penstock: no run is called nope\n  help: `penstock runs` lists them: RUN\n"
    said = project.penstock("resume")
    assert (said.status, said.normal_err) == (
        2,
        "penstock: run RUN has succeeded: there is nothing to resume\n  help: `penstock run` starts a new one\n",
    )
    project.succeeds("run")
    newest, oldest = (str(run["run"]) for run in project.runs())
    said = project.penstock("status", newest[:4])
    assert said.err.startswith(f"penstock: several runs are called {newest[:4]}\n")
    assert normal(project.succeeds("status", oldest[-4:]).out).startswith("run RUN  workflow.yaml (Test)  succeeded")


def test_an_only_step_stands_on_the_newest_run_and_may_be_any_step(project: Project) -> None:
    said = project.penstock("run", "--only", "b")
    assert (said.status, said.err) == (
        2,
        "penstock: --only b needs a run before it: a has not run\n  help: run the whole first\n",
    )
    project.succeeds("run", "--only", "a")
    said = project.succeeds("run", "--only", "b")
    assert said.normal_err == "Test: run RUN\n  b  succeeded  2 accepted  SPAN\n"
    project.succeeds("run", "--only", "a")
    assert project.succeeds("status").normal.splitlines()[1:] == [
        "  a  succeeded  SPAN",
        "  log     .penstock/runs/RUN/log.jsonl",
    ]
    project.workflow(STEPS + "  - id: c\n    needs: [b]\n    run: exit 1\n  - id: d\n    needs: [c]\n    run: echo\n")
    assert project.penstock("run").status == 1
    said = project.penstock("run", "--only", "d")
    assert (said.status, said.normal_err) == (
        2,
        "penstock: --only d stands on steps that did not succeed in run RUN: c (failed)\n  help: run the whole first\n",
    )
    project.succeeds("run", "--only", "b")


def test_a_workflow_is_found_by_its_path_by_its_folder_and_by_minus_c(tmp_path: Path) -> None:
    project = Project(tmp_path / "up here")
    project.workflow(
        "steps:\n"
        "  - id: a\n"
        "    foreach: 'my rows.jsonl'\n"
        '    run: cd /; cat "$PENSTOCK_ITEM_FILE" | tee -a "$OUT/all of it.txt" > "$OUT/one {{item.n}}.txt"\n',
        "sub dir/my flow.yaml",
    )
    text = project.read("sub dir/my flow.yaml").replace("cd /; ", "").replace("$OUT", "out put")
    project.write("sub dir/my flow.yaml", text)
    project.write("sub dir/my rows.jsonl", '{"n": "a b"}\n{"n": 2}\n')
    ways = (
        ("run", "sub dir/my flow.yaml"),
        ("-C", "sub dir", "run", "my flow.yaml"),
        ("run", str(tmp_path / "up here/sub dir/my flow.yaml")),
    )
    for words in ways:
        project.succeeds(*words)
        assert project.files("sub dir/out put") == {
            "all of it.txt": b'{"n": "a b"}\n{"n": 2}\n',
            "one 2.txt": b'{"n": 2}\n',
            "one a b.txt": b'{"n": "a b"}\n',
        }
    assert len(project.succeeds("-C", "sub dir", "runs").out.splitlines()) == 3
    project.write("sub dir/workflow.yaml", text)
    assert project.penstock("run", "sub dir").status == 2
    assert project.succeeds("check", "sub dir").out == "sub dir/workflow.yaml: Test, 1 step, no errors\n"
    said = project.penstock("run", cwd=tmp_path / "up here" / "sub dir" / "out put")
    assert said.err.startswith("penstock: there is no workflow in this folder")
