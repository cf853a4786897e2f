"""The bound on a rate, against sums of exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.sampling import accept_rate, beta_probability, lower_bound


def at_least(successes: int, trials: int, rate: Fraction) -> Fraction:
    """The probability of `successes` or more of `trials`, exactly."""
    return sum(
        (math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(successes, trials + 1)), Fraction(0)
    )


def exact_bound(successes: int, trials: int, alpha: Fraction) -> float:
    """The rate at which `successes` or more have probability `alpha`, by bisection over fractions of 2**48."""
    low, high = 0, 1 << 48
    while high - low > 1:
        middle = (low + high) // 2
        if at_least(successes, trials, Fraction(middle, 1 << 48)) < alpha:
            low = middle
        else:
            high = middle
    return low / (1 << 48)


def test_nothing_tried_has_no_bound_and_no_rate() -> None:
    assert lower_bound(0, 0) is None
    assert accept_rate(0, 0, 0) is None


def test_the_rate_counts_rejected_and_failed_alike() -> None:
    assert accept_rate(3, 1, 0) == accept_rate(3, 0, 1) == 0.75
    assert accept_rate(0, 2, 2) == 0.0


@pytest.mark.parametrize("trials", [1, 2, 10, 1000, 1_000_000])
def test_no_success_gives_zero(trials: int) -> None:
    assert lower_bound(0, trials) == 0.0


@pytest.mark.parametrize(("trials", "bound"), [(1, 0.05), (2, 0.2236), (10, 0.7411), (29, 0.9019), (59, 0.9505)])
def test_nothing_but_success_gives_the_nth_root(trials: int, bound: float) -> None:
    assert lower_bound(trials, trials) == pytest.approx(bound, abs=5e-5)
    assert lower_bound(trials, trials) == pytest.approx(0.05 ** (1 / trials), abs=1e-12)


@pytest.mark.parametrize("trials", [1, 2, 3, 7, 12, 20])
def test_the_bound_is_that_of_exact_binomial_sums(trials: int) -> None:
    for successes in range(1, trials + 1):
        for confidence, alpha in ((0.95, Fraction(1, 20)), (0.5, Fraction(1, 2)), (0.999, Fraction(1, 1000))):
            bound = lower_bound(successes, trials, confidence)
            assert bound == pytest.approx(exact_bound(successes, trials, alpha), abs=1e-10)


@pytest.mark.parametrize(("successes", "trials"), [(195, 200), (180, 200), (1, 200)])
def test_at_the_bound_two_hundred_trials_have_the_probability_that_was_asked_for(successes: int, trials: int) -> None:
    bound = lower_bound(successes, trials)
    assert bound is not None
    assert float(at_least(successes, trials, Fraction(bound))) == pytest.approx(0.05, abs=1e-9)


@given(st.integers(1, 5000), st.data())
def test_the_bound_lies_below_the_rate_and_grows_with_each_success(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(1, trials))
    below, bound = lower_bound(successes - 1, trials), lower_bound(successes, trials)
    assert below is not None
    assert bound is not None
    assert 0.0 <= below < bound < successes / trials


def test_more_of_the_same_rate_tells_more() -> None:
    bounds = [lower_bound(9 * 10**n, 10 * 10**n) or 0 for n in range(6)]
    assert all(earlier < later for earlier, later in pairwise(bounds))
    assert bounds[-1] == pytest.approx(0.9, abs=0.001)


def test_a_million_trials_agree_with_the_normal_approximation() -> None:
    trials, rate = 1_000_000, 0.9
    normal = rate - 1.6448536 * math.sqrt(rate * (1 - rate) / trials)
    assert lower_bound(900_000, trials) == pytest.approx(normal, abs=5e-6)


def test_the_beta_function_has_its_ends_and_its_symmetry() -> None:
    assert beta_probability(3, 4, 0.0) == 0.0
    assert beta_probability(3, 4, 1.0) == 1.0
    assert beta_probability(1, 1, 0.37) == pytest.approx(0.37)
    for x in (0.01, 0.3, 0.5, 0.9):
        assert beta_probability(3, 7, x) == pytest.approx(1 - beta_probability(7, 3, 1 - x), abs=1e-14)
