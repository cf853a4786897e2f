"""`penstock cache`: what it counts, what it finds broken, what it gives back; never an only copy."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.call_room import damage
from tests.graded import answer_files, graded
from tests.terminal import Project, Said, until

SIZE = re.compile(r"\b[\d.]+ (?:B|kB)(?!\w)")
DAY_S = 86_400


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return graded(Project(tmp_path))


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = graded(Project(tmp_path_factory.mktemp("once") / "project"))
    project.succeeds("run", "--quiet")
    return project.folder


@pytest.fixture
def bought(once: Path, tmp_path: Path) -> Project:
    """Three answers were bought."""
    shutil.copytree(once, tmp_path / "project")
    return Project(tmp_path / "project")


def printed(said: Said) -> str:
    """Standard output, with sizes taken out."""
    return SIZE.sub("SIZE", said.out)


def aged(path: Path, days: int) -> None:
    then = time.time() - days * DAY_S - 60
    os.utime(path, (then, then))


@pytest.mark.parametrize("word", ["stats", "verify", "prune"])
def test_where_nothing_has_run_it_says_so_and_makes_nothing(project: Project, word: str) -> None:
    said = project.penstock("cache", word)
    assert (said.status, said.out) == (2, "")
    assert said.err == (
        f"penstock: there is no run in {project.folder}\n  help: go to the workflow's folder, or name it with -C\n"
    )
    assert not (project.folder / ".penstock").exists()


def test_where_no_model_was_asked_there_is_nothing_to_tell(project: Project) -> None:
    project.workflow("steps:\n  - id: a\n    run: 'true'\n")
    project.succeeds("run", "--quiet")
    empty = "no answers are kept here: nothing has been bought yet\n"
    assert [project.succeeds("cache", word).out for word in ("stats", "verify", "prune")] == [
        empty,
        empty,
        "nothing to drop\n",
    ]
    assert project.succeeds("cache", "stats", "--json").value == {
        "files": 0,
        "bytes": 0,
        "ages": {"a day": 0, "a week": 0, "a month": 0, "a year": 0, "older": 0},
        "journal_only": 0,
        "journal_bytes": 0,
    }


def test_answers_are_counted_by_age_and_those_without_a_file_as_well(bought: Project) -> None:
    young, aging, gone = answer_files(bought)
    aged(aging, 400)
    gone.unlink()
    assert printed(bought.succeeds("cache", "stats")) == (
        "2 answers in .penstock/cache, SIZE\n"
        "  younger than a day            1\n"
        "  older than a year             1\n"
        "1 answer in the journal alone, SIZE: `penstock cache verify` writes their files\n"
    )
    told = bought.succeeds("cache", "stats", "--json").value
    assert told["bytes"] == young.stat().st_size + aging.stat().st_size
    assert (told["files"], told["journal_only"]) == (2, 1)


def test_what_is_whole_is_whole(bought: Project) -> None:
    said = bought.succeeds("cache", "verify")
    assert (said.out, said.err) == ("3 answers as written\n", "")


def test_a_broken_answer_is_put_aside_and_written_again_and_one_that_is_gone_too(bought: Project) -> None:
    broken, gone, _ = answer_files(bought)
    before = [path.read_bytes() for path in answer_files(bought)]
    damage(broken, "cut")
    gone.unlink()
    said = bought.penstock("cache", "verify")
    assert (said.status, said.out) == (
        1,
        "1 answer as written, 1 not whole, put aside in .penstock/cache/corrupt, 2 written again from the journal\n",
    )
    assert said.err.startswith(f"the cached answer {broken} is not used, it is not whole: it is ")
    assert (broken.parent.parent / "corrupt" / broken.name).exists()
    assert bought.succeeds("cache", "verify", "--json").value == {"sound": 3, "corrupt": 0, "rewritten": 0}
    assert len(before) == len(answer_files(bought)) == 3
    assert bought.succeeds("run", "--json").value["calls"] == 0


def test_what_is_stored_twice_is_dropped_once_and_is_still_found(bought: Project) -> None:
    said = bought.succeeds("cache", "prune")
    assert printed(said) == "dropped from the journal: 3 answers that have files, SIZE\n"
    assert bought.succeeds("cache", "prune").out == "nothing to drop\n"
    assert bought.succeeds("cache", "prune", "--json").value == {
        "answers": 0, "answers_bytes": 0, "files": 0, "files_bytes": 0,
    }  # fmt: skip
    assert bought.succeeds("run", "--json").value["calls"] == 0


def test_the_only_copy_of_an_answer_is_never_dropped(bought: Project) -> None:
    broken, gone, _ = answer_files(bought)
    damage(broken, "cut")
    gone.unlink()
    assert printed(bought.succeeds("cache", "prune")).startswith("dropped from the journal: 1 answer that")
    assert bought.succeeds("run", "--json").value["calls"] == 0


def test_files_that_nobody_needs_are_removed(bought: Project) -> None:
    bought.succeeds("cache", "prune")
    answer = answer_files(bought)[0]
    half = answer.with_name(f"{answer.name}.0a1b2c3d-7.tmp")
    half.write_bytes(bytes(1500))
    aged(half, 1)
    assert bought.succeeds("cache", "prune").out == "removed: 1 file that nobody needs, 1.5 kB\n"
    assert not half.exists()
    assert len(answer_files(bought)) == 3


def test_while_a_run_goes_on_nothing_is_dropped_but_it_can_be_looked_at(project: Project) -> None:
    project.write("wait", "")
    with project.running("run", "--quiet") as process:
        until(lambda: (project.folder / "asked.1").exists(), process)
        refused = project.penstock("cache", "prune")
        assert (refused.status, refused.normal_err) == (
            1,
            "penstock: run RUN (process PID on HOST) is running in this folder\n"
            "  help: wait until it has ended, watch it with `penstock status`, or stop it with Ctrl-C\n",
        )
        assert project.succeeds("cache", "stats").out.startswith("no answers are kept here")
        (project.folder / "wait").unlink()
        assert process.wait() == 0
    assert project.succeeds("cache", "prune").out.startswith("dropped from the journal: 3 answers")


def test_after_a_run_was_killed_the_cache_can_be_trimmed(project: Project) -> None:
    project.write("wait", "")
    with project.running("run", "--quiet") as process:
        until(lambda: (project.folder / "asked.1").exists(), process)
        os.kill(process.pid, signal.SIGKILL)
    assert project.succeeds("cache", "prune").out == "nothing to drop\n"


def test_a_word_that_is_no_command_of_the_cache_is_refused(project: Project) -> None:
    said = project.penstock("cache", "clear")
    assert said.status == 2
    assert "No such command 'clear'" in said.err
