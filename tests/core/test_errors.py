"""What a person reads when something is wrong, to the letter."""

from __future__ import annotations

import pytest

from penstock.core import errors
from penstock.core.errors import BugError, OperatorError, PenstockError, Place, Problem, UsageError, WorkflowError

HERE = Place("flow.yaml", 12, 10)


def test_the_caret_stands_under_a_word_that_follows_korean() -> None:
    problem = Problem(Place("flow.yaml", 7, 15), "unknown step", source="  # 예시: 모델 needs: gnerate", width=7)
    assert str(problem) == "\n".join(
        [
            "flow.yaml:7:15: unknown step",
            "  7 |   # 예시: 모델 needs: gnerate",
            "    |                   ^^^^^^^",
        ]
    )


def test_a_korean_word_is_underlined_two_columns_a_letter() -> None:
    problem = Problem(Place("flow.yaml", 12, 9), "no such field", source="when: i.모델 > 3", width=2)
    assert str(problem).splitlines()[1:] == ["  12 | when: i.모델 > 3", "     |         ^^^^"]


def test_tabs_are_shown_as_one_space_so_that_the_caret_fits() -> None:
    problem = Problem(Place("f", 1, 3), "tab", source="\t\tx: 1")
    assert str(problem) == "f:1:3: tab\n  1 |   x: 1\n    |   ^"


def test_a_combining_mark_takes_no_column() -> None:
    problem = Problem(Place("f", 1, 4), "here", source="e\u0301 x")
    assert str(problem).splitlines()[-1] == "    |   ^"


def test_a_caret_is_shown_even_past_the_end_of_the_line() -> None:
    problem = Problem(Place("f", 1, 4), "more was expected", source="abc", width=5)
    assert str(problem) == "f:1:4: more was expected\n  1 | abc\n    |    ^"


def test_a_help_of_two_lines_is_indented_under_its_first() -> None:
    assert str(Problem(HERE, "wrong", "did you mean x?\nthere are: x, y")) == (
        "flow.yaml:12:10: wrong\n  help: did you mean x?\n        there are: x, y"
    )


def test_a_problem_without_a_place_has_no_caret() -> None:
    assert str(Problem(None, "wrong", source="abc")) == "wrong"


def test_a_workflow_error_holds_and_prints_every_problem() -> None:
    problems = (Problem(HERE, "one"), Problem(None, "two", "do this"))
    error = WorkflowError(problems)
    assert error.problems == problems
    assert str(error) == "flow.yaml:12:10: one\ntwo\n  help: do this"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (WorkflowError(()), 2),
        (errors.ConditionError("x"), 2),
        (UsageError("x"), 2),
        (OperatorError("x", "y"), 1),
        (BugError("x"), 1),
    ],
)
def test_the_exit_status_tells_who_must_act(error: PenstockError, status: int) -> None:
    assert error.exit_status == status


def test_every_error_of_ours_is_in_the_tree_that_the_file_draws() -> None:
    drawn = errors.__doc__ or ""
    ours = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)]
    assert [name for name in ours if name not in drawn] == []
