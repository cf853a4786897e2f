"""Bad workflows: every problem of a file at once, each on its line, with a sentence that helps.

Beside each `bad/NAME.yaml` stands `bad/NAME.txt`, what its author is shown, to the letter. After a change of
words, `python -m tests.load.test_bad_workflows` writes these files anew; read the difference before you keep it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.core.errors import Problem, WorkflowError
from penstock.load.build import load
from tests.load.bad_table import EXPECTED

BAD = Path(__file__).parent / "bad"
ENVIRON = {"HOME": "/home/you", "OUTPUTS": "out"}
NAMES = sorted(file.stem for file in BAD.glob("*.yaml"))


def problems_of(name: str) -> tuple[Problem, ...]:
    """The problems of a bad file, as they are told to somebody who works in its folder."""
    before = os.getcwd()
    os.chdir(BAD)
    try:
        load(Path(f"{name}.yaml"), overrides={}, environ=ENVIRON)
    except WorkflowError as error:
        return error.problems
    finally:
        os.chdir(before)
    return ()


def shown(problems: tuple[Problem, ...]) -> str:
    return "\n".join(str(problem) for problem in problems) + "\n"


def test_every_bad_file_is_expected_and_every_expected_one_is_there() -> None:
    assert sorted(EXPECTED) == NAMES
    assert len(NAMES) >= 70


@pytest.mark.parametrize("name", NAMES)
def test_each_problem_is_told_once_on_its_line(name: str) -> None:
    problems = problems_of(name)
    assert [problem.place.line if problem.place else 0 for problem in problems] == [line for line, _ in EXPECTED[name]]
    for problem, (_, phrase) in zip(problems, EXPECTED[name], strict=True):
        assert phrase in problem.message


@pytest.mark.parametrize("name", NAMES)
def test_what_the_author_is_shown_is_held_to_the_letter(name: str) -> None:
    assert shown(problems_of(name)) == (BAD / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_caret_stands_under_the_line_and_within_it(name: str) -> None:
    for problem in problems_of(name):
        if problem.place:
            source = problem.source or ""
            line = (BAD / problem.place.file).read_text(encoding="utf-8").splitlines()[problem.place.line - 1]
            assert len(source) == len(line)
            assert all(shown in (written, "*") for shown, written in zip(source, line, strict=True))
            assert 1 <= problem.place.column <= len(source) + 1
            assert problem.place.column - 1 + problem.width <= max(len(source), problem.place.column)


@pytest.mark.parametrize("name", NAMES)
def test_a_key_that_stands_in_the_file_is_never_shown(name: str) -> None:
    assert "1234567890abcdef" not in shown(problems_of(name))


if __name__ == "__main__":
    for bad_name in NAMES:
        (BAD / f"{bad_name}.txt").write_text(shown(problems_of(bad_name)), encoding="utf-8")
