"""How many rows a gate is expected to take: against simulations, and at the ends."""

from __future__ import annotations

import random

import pytest

from penstock.rules.sample_sizes import Expected, _approximated, expected_rows
from penstock.rules.sequential import Gate


def simulated(gate: Gate, guess: float, tries: int = 1000, most: int = 1500) -> list[int]:
    """The rows after which each try passes, in order; `most` for those that fail or go on."""
    chance = random.Random("tries")
    return sorted(one_try(gate, guess, chance, most) for _ in range(tries))


def one_try(gate: Gate, guess: float, chance: random.Random, most: int) -> int:
    total = gate.total
    bad = None if total is None else round((1 - guess) * total)
    rejects = 0
    for judged in range(1, (total or most) + 1):
        share = 1 - guess if bad is None or total is None else (bad - rejects) / (total - judged + 1)
        rejects += chance.random() < share
        if gate.passes(rejects, judged):
            return judged
        if gate.fails(rejects, judged):
            return most
    return most


@pytest.mark.parametrize(
    ("rate", "guess", "total"), [(0.95, 0.98, None), (0.9, 0.95, None), (0.5, 0.7, None), (0.95, 0.98, 300)]
)
def test_half_and_nine_in_ten_of_simulated_tries_pass_by_the_rows_that_are_told(
    rate: float, guess: float, total: int | None
) -> None:
    found = expected_rows(rate, 0.95, guess, total)
    assert found is not None
    assert found.exact
    assert found.half is not None
    assert found.nine_in_ten is not None
    tries = simulated(Gate(rate, 0.95, total), guess)
    for chance, row in ((0.5, found.half), (0.9, found.nine_in_ten)):
        # A batch passes at few different rows, so that many tries may end at one of them.
        assert sum(rows <= row for rows in tries) / len(tries) > chance - 0.05
        assert sum(rows < row for rows in tries) / len(tries) < chance + 0.05


def test_a_guess_between_the_rate_and_the_nearest_alternative_never_passes() -> None:
    assert expected_rows(0.9, 0.95, 0.9001) == Expected(least=43, half=None, nine_in_ten=None, exact=False)


def test_two_rejects_in_a_hundred_where_five_are_allowed() -> None:
    assert expected_rows(0.95, 0.95, 0.98) == Expected(least=88, half=244, nine_in_ten=545, exact=True)


def test_perfect_rows_take_the_least() -> None:
    assert expected_rows(0.95, 0.95, 1.0) == Expected(least=88, half=88, nine_in_ten=88, exact=True)
    assert expected_rows(0.95, 0.95, 1.0, 10) == Expected(least=10, half=10, nine_in_ten=10, exact=True)


@pytest.mark.parametrize(("rate", "guess"), [(0.95, 0.95), (0.95, 0.9), (1.0, 1.0)])
def test_a_guess_that_is_not_above_the_rate_expects_nothing(rate: float, guess: float) -> None:
    assert expected_rows(rate, 0.95, guess) is None


def test_a_guess_that_whole_rows_turn_into_a_broken_rate_expects_nothing() -> None:
    assert expected_rows(0.9, 0.95, 0.93, 9) is None
    assert expected_rows(0.9, 0.95, 0.99, 9) is not None


def test_little_confidence_may_never_let_nine_in_ten_pass() -> None:
    found = expected_rows(0.5, 0.4, 0.7)
    assert found is not None
    assert found.half is not None
    assert found.nine_in_ten is None


@pytest.mark.parametrize(
    ("rate", "guess", "total"), [(0.95, 0.955, None), (0.9, 0.902, None), (0.95, 0.951, 1_000_000)]
)
def test_a_guess_close_to_the_rate_is_answered_about(rate: float, guess: float, total: int | None) -> None:
    found = expected_rows(rate, 0.95, guess, total)
    assert found is not None
    assert not found.exact
    assert found.half is not None
    assert found.nine_in_ten is not None
    assert found.least < found.half < found.nine_in_ten <= (total or 10**10)


@pytest.mark.parametrize(
    ("rate", "guess", "total"), [(0.95, 0.96, None), (0.9, 0.92, None), (0.5, 0.55, None), (0.95, 0.96, 20_000)]
)
def test_about_is_within_a_fifth_of_the_exact_answer(rate: float, guess: float, total: int | None) -> None:
    exact = expected_rows(rate, 0.95, guess, total)
    assert exact is not None
    assert exact.exact
    about = _approximated(Gate(rate, 0.95, total), 1 - guess, exact.least)
    assert about.half == pytest.approx(exact.half, rel=0.2)
    assert about.nine_in_ten == pytest.approx(exact.nine_in_ten, rel=0.2)
