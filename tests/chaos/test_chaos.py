"""A short seeded storm of kills; the long one is `python -m tests.chaos.chaos`. The seed is printed with the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.chaos import Subject, storm
from tests.chaos.evidence import marks, twice_at_once
from tests.processes import needs_proc

pytestmark = needs_proc


@pytest.mark.parametrize(("name", "rows", "kills"), [("rows", 300, 10), ("example", 0, 4)])
def test_a_run_that_is_killed_again_and_again_comes_to_what_an_undisturbed_one_does(
    tmp_path: Path, name: str, rows: int, kills: int
) -> None:
    report = storm(Subject(tmp_path.resolve(), name, rows), kills, seed=7)
    print(report)
    assert report.faults == [], report
    assert report.kills.total() == kills


def test_marks_of_two_processes_at_one_item_are_told_apart_from_those_of_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    path.write_text("begin a k 1 10 0.1\nbegin a k 1 11 0.2\nend a k 1 11 0.3\n")
    assert list(twice_at_once(marks(path))) == []
    path.write_text(path.read_text() + "end a k 1 10 0.4\n")
    assert list(twice_at_once(marks(path))) == ["('a', 'k') ran twice at once"]
