"""`run --only STEP`: its needs stand as they are in the newest run that has them, whichever that is."""

from __future__ import annotations

from pathlib import Path

from tests.terminal import Project


def test_each_need_is_the_newest_of_the_runs_that_have_it(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(
        "name: O\nsteps:\n  - {id: a, run: echo 1}\n  - {id: b, needs: [a], run: cat n.txt}\n"
        '  - {id: c, needs: [b], run: "echo b was {{outputs.b}}"}\n'
    )
    project.write("n.txt", "1\n")
    project.succeeds("run")
    project.write("n.txt", "2\n")
    project.succeeds("run", "--only", "b")
    project.succeeds("run", "--only", "c")
    assert (project.run_folder() / "out" / "c.out").read_text() == "b was 2\n"


def test_a_persons_newest_word_holds_and_a_no_is_not_gone_around(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(
        "name: O\nsteps:\n  - {id: make, run: echo 1}\n  - {id: ok, needs: [make], approve: {message: Go?}}\n"
        "  - {id: after, needs: [ok], run: echo done >> marks}\n"
    )
    project.penstock("run")
    project.succeeds("approve", "--as", "me")
    project.succeeds("resume")
    assert project.penstock("run", "--only", "ok").status == 4
    waits = project.penstock("run", "--only", "after")
    assert (waits.status, "ok (waiting)" in waits.err) == (2, True)
    project.succeeds("reject", "--as", "you")
    assert project.penstock("resume").status == 3
    refused = project.penstock("run", "--only", "after")
    assert (refused.status, "ok (rejected)" in refused.err) == (2, True)
    assert project.read("marks") == "done\n"
