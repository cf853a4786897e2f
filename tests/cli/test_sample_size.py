"""`penstock sample-size`: what it prints, and which numbers it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.terminal import Project


def test_it_says_how_many_rows_to_expect(tmp_path: Path) -> None:
    said = Project(tmp_path).succeeds("sample-size", "--accept-rate", "0.95", "--guess", "0.98")
    printed = "about 244 rows (half of all tries pass by then; nine in ten by 545); with no rejects at all 88\n"
    assert (said.out, said.err) == (printed, "")


def test_a_small_batch_and_a_program_that_reads(tmp_path: Path) -> None:
    said = Project(tmp_path).succeeds(
        "sample-size", "--accept-rate", "0.95", "--guess", "0.98", "--rows", "300", "--json"
    )
    assert said.value == {"least": 70, "half": 130, "nine_in_ten": 193, "exact": True}


def test_large_numbers_are_rounded_because_they_are_approximate(tmp_path: Path) -> None:
    said = Project(tmp_path).succeeds("sample-size", "--accept-rate", "0.95", "--guess", "0.955")
    assert said.out.startswith("about 18,000 rows (")


def test_little_confidence_is_told_as_it_is(tmp_path: Path) -> None:
    words = ("sample-size", "--accept-rate", "0.5", "--guess", "0.7", "--confidence", "0.4")
    assert "; nine in ten never do); " in Project(tmp_path).succeeds(*words).out


def test_a_guess_that_would_not_pass_is_refused(tmp_path: Path) -> None:
    said = Project(tmp_path).penstock("sample-size", "--accept-rate", "0.95", "--guess", "0.95")
    printed = """\
penstock: with an accept rate of 0.95 a gate at 0.95 is not expected to pass, whatever the sample
  help: guess above the rate, or lower the rate that is required
"""
    assert (said.status, said.out, said.err) == (2, "", printed)
    said = Project(tmp_path).penstock("sample-size", "--accept-rate", "0.9", "--guess", "0.93", "--rows", "9")
    assert said.status == 2
    assert "of 9 rows with an accept rate of 0.93, rounded to whole rows, too many are rejected" in said.err


@pytest.mark.parametrize(
    "words",
    [
        ("--accept-rate", "1.5", "--guess", "0.98"),
        ("--accept-rate", "0", "--guess", "0.98"),
        ("--accept-rate", "nan", "--guess", "0.98"),
        ("--accept-rate", "0.9", "--guess", "nan"),
        ("--accept-rate", "0.9", "--guess", "98"),
        ("--accept-rate", "0.9", "--guess", "0.98", "--confidence", "1"),
        ("--accept-rate", "0.9", "--guess", "0.98", "--confidence", "nan"),
        ("--accept-rate", "0.9", "--guess", "0.98", "--rows", "0"),
        ("--accept-rate", "much", "--guess", "0.98"),
        ("--guess", "0.98"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    said = Project(tmp_path).penstock("sample-size", *words)
    assert (said.status, said.out) == (2, "")
    assert "Traceback" not in said.err
