"""Failures of one cause have one signature, those of two causes have two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.failures import signature

SAME = [
    ("KeyError: 'name'", "KeyError: 'age'"),
    ('line 3: "x" is missing', 'line 14: "a \\"quoted\\" y" is missing'),
    ("exit after 1.5 s", "exit after 12,300 s"),
    ("object at 0x7f00dead", "object at 0x1a2b"),
    ("commit deadbeefcafe failed", "commit 0123456789abcdef failed"),
    ("no 6f1c2a34-9b1d-4e0f-8a77-aa55bb66cc77", "no 01234567-89ab-cdef-0123-456789abcdef"),
    ("can't open 'a.txt'", "can't open 'other.txt'"),
    ("the users' file 'a' isn't there", "the users' file 'b c' isn't there"),
    ("at 12:30:05", "at 2:03:04"),
]
DIFFERENT = [
    ("KeyError: 'name'", "IndexError: 'name'"),
    ("connection refused", "connection reset"),
    ("can't read it, it's empty", "can't write it, it's full"),
    ("파일이 없습니다", "권한이 없습니다"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_varies_by_row_makes_no_other_signature(one: str, other: str) -> None:
    assert signature("failed", "exit", None, one) == signature("failed", "exit", None, other)
    assert signature("failed", "exit", one, "") == signature("failed", "exit", other, "")


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_causes_have_two_signatures(one: str, other: str) -> None:
    assert signature("failed", "exit", None, one) != signature("failed", "exit", None, other)


def test_verdict_and_kind_tell_causes_apart() -> None:
    kinds = [("failed", "exit"), ("failed", "timeout"), ("rejected", None)]
    assert len({signature(verdict, kind, "why", "said") for verdict, kind in kinds}) == 3


def test_the_last_line_that_is_not_blank_counts() -> None:
    said = "Traceback (most recent call last):\n  File …\nValueError: bad\n\n   \n"
    assert signature("failed", "exit", "exit status 1", said) == "failed | exit | exit status # | ValueError: bad"


def test_nothing_said_leaves_no_empty_part() -> None:
    assert signature("rejected", None, None, "") == "rejected"


JUDGED = "the answer does not meet its contract (judge) after"
JUDGED_ALIKE = [
    (
        f"large: {JUDGED} 1 attempt: expected Be kind, got it shouts (fix: do not)",
        f"large: {JUDGED} 3 attempts: expected x, got y",
    ),
    (
        f"large: {JUDGED} 2 attempts, the last one no better than one before: expected a: b, got c",
        f"large: {JUDGED} 2 attempts: expected a",
    ),
    ("expected Be kind, got it shouts", "expected Be brief, got it goes\non (and 2 more)"),
]


@pytest.mark.parametrize(("one", "other"), JUDGED_ALIKE)
def test_a_judges_own_words_make_no_other_signature(one: str, other: str) -> None:
    assert signature("rejected", "judge", one, "") == signature("rejected", "judge", other, "")


def test_a_judge_that_gave_no_verdict_is_another_cause_than_its_no() -> None:
    none = signature("failed", "judge", "the judge gave no verdict: large: the call was denied: no credit", "")
    assert none == "failed | judge | the judge gave no verdict: large: the call was denied: no credit"


def test_what_a_check_expected_still_tells_causes_apart() -> None:
    one, other = (f"small: expected output.{name} > 1, got 0 > 1" for name in ("n", "m"))
    assert signature("rejected", "check", one, "") != signature("rejected", "check", other, "")


@given(st.text(), st.text())
def test_a_signature_is_one_line_of_three_hundred_characters_at_most(reason: str, said: str) -> None:
    sign = signature("failed", "exit", reason.replace("\n", " "), said)
    assert len(sign) <= 300
    assert "\n" not in sign
    assert sign == signature("failed", "exit", reason.replace("\n", " "), said)
