"""Values to text: times, odd signs, the line of a step that runs. In this process, without a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from penstock.cli import show
from penstock.cli.progress import Pace, Plain, Quiet, screen
from penstock.core.errors import Place
from penstock.core.views import RunView, Spending, StepView, Tally


def view(state: str = "running", foreach: bool = True, **tally: int) -> StepView:
    """A step called `generate` that stands so."""
    place = Place("workflow.yaml", 12, 5)
    return StepView("generate", state, None, foreach, Tally(**tally), seconds=2.0, place=place)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (0.0, "0 ms"), (0.0424, "42 ms"), (0.0994, "99 ms"), (0.0996, "0.1 s"), (9.94, "9.9 s"),
        (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (3599.4, "59 min 59 s"),
        (3600, "1 h 00 min"), (97_000, "26 h 56 min"),
    ],
)  # fmt: skip
def test_a_span_of_time_is_short_and_never_says_sixty(value: float | None, text: str) -> None:
    assert show.seconds(value) == text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain, 한글, עברית", "plain, 한글, עברית"),
        ("no\u00a0break\u3000space", "no\u00a0break\u3000space"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
        ("a\tb", "a\tb"),
        ("\x1b[31mred\x1b[0m", "\ufffd[31mred\ufffd[0m"),
        ("a\rb\x08c\x07d\x00e\x9bf", "a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf"),
        ("\u202edrow\u2066\u2028\u2029", "\ufffddrow\ufffd\ufffd\ufffd"),
        ("half \ud83d", "half \ufffd"),
        ("x" * 400, "x" * 400),
        ("x" * 401, "x" * 400 + "…"),
    ],
)
def test_a_line_of_somebody_else_shows_letters_and_does_nothing(line: str, shown: str) -> None:
    assert show.printable(line) == shown


def test_a_name_is_cropped_to_its_column() -> None:
    assert [show.cropped("generate", width) for width in (8, 7, 1)] == ["generate", "genera…", "…"]


def test_a_running_step_tells_rows_rate_verdicts_and_the_time_left() -> None:
    pace = Pace(view(total=2000, accepted=100))
    pace.view = view(total=2000, accepted=150, rejected=20, failed=5, skipped=25)
    now = pace.told_at + 10
    told = "  generate  200/2,000  10.0/s  150 accepted, 20 rejected, 5 failed, 25 skipped  3 min 00 s left"
    assert pace.line(now, 8) == told
    pace.view = view(accepted=100)
    assert pace.line(now, 4) == "  gen…  100  0.0/s  100 accepted"
    assert Pace(view(foreach=False)).line(now, 10).startswith("  generate    running  ")


@pytest.mark.parametrize(
    ("value_bytes", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9949, "9.9 kB"), (9950, "10 kB"), (999_499, "999 kB"),
        (999_500, "1.0 MB"), (1_357_351, "1.4 MB"), (2_500_000_000, "2.5 GB"), (7 * 10**15, "7,000 TB"),
    ],
)  # fmt: skip
def test_a_size_has_two_digits_or_three(value_bytes: int, text: str) -> None:
    assert show.size(value_bytes) == text


@pytest.mark.parametrize(
    ("spent", "text"),
    [
        (Spending(), "$0"), (Spending(3), "$0"), (Spending(1, 31), "$0.000031"), (Spending(1, 12_300), "$0.0123"),
        (Spending(9, 12_345_678), "$12.35"), (Spending(9, 4_200_000_000), "$4,200.00"),
        (Spending(2, 31, 1), "$0.000031 and the unknown cost of 1 call"), (Spending(2, 0, 2), "cost unknown"),
    ],
)  # fmt: skip
def test_a_sum_is_as_precise_as_it_is_small_and_never_hides_what_is_unknown(spent: Spending, text: str) -> None:
    assert show.money(spent) == text


def test_a_running_step_that_asks_models_tells_calls_and_cost_within_the_terminal() -> None:
    pace = Pace(view(total=2000))
    pace.view = replace(view(total=2000, accepted=150, rejected=20), spent=Spending(1320, 70_300))
    now = pace.told_at + 10
    whole = "  generate  170/2,000  17.0/s  150 accepted, 20 rejected  1,320 calls $0.0703  1 min 48 s left"
    assert pace.line(now, 8) == pace.line(now, 8, len(whole)) == whole
    shorter = "  generate  170/2,000  150 accepted, 20 rejected  1,320 calls $0.0703  1 min 48 s left"
    assert pace.line(now, 8, len(shorter)) == shorter
    assert pace.line(now, 8, 80) == "  generate  170/2,000  150 accepted, 20 rejected  1,320 calls $0.0703"
    pace.view = replace(pace.view, spent=Spending(7, 100, 1))
    assert "  7 calls $?  " in pace.line(now, 8)
    pace.view = replace(pace.view, spent=Spending())
    assert "calls" not in pace.line(now, 8)
    single = replace(view(foreach=False), spent=Spending(1, 2_000))
    assert Pace(single).line(now, 8).startswith("  generate  running  1 call $0.002000  ")


def test_a_step_of_which_nothing_was_heard_gives_a_sign_of_life(capsys: pytest.CaptureFixture[str]) -> None:
    class Eager(Plain):
        EVERY_S = 0.0

    patient, eager = Plain(), Eager()
    for watching in (patient, eager):
        watching.begin(RunView("r1", "workflow.yaml", "Test", "running", None, 0.0, 0.0, Path(), (view(),)))
        watching.step(view(total=9, accepted=3))
        watching.tick()
    assert capsys.readouterr().err == "Test: run r1\n" * 2 + "  generate  3/9  0.0/s  3 accepted\n"
    eager.step(view("succeeded", total=9, accepted=9))
    eager.tick()
    assert capsys.readouterr().err == "  generate  succeeded  9 accepted  2.0 s\n"


def test_without_a_terminal_lines_are_plain_and_quiet_is_quiet() -> None:
    assert type(screen(quiet=True)) is Quiet
    assert type(screen(quiet=False)) is Plain
