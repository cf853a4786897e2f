"""The gate's test for a batch of known size: against exact fractions, and beside the test for rows without end."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.finite import Finite, breaking
from penstock.rules.sequential import CERTAIN, Gate, needed


def chance(bad: int, judged: int, all_bad: int, total: int) -> Fraction:
    """The probability of one sequence of `judged` rows of which `bad` are bad."""
    if bad > all_bad or judged - bad > total - all_bad:
        return Fraction(0)
    return Fraction(math.perm(all_bad, bad) * math.perm(total - all_bad, judged - bad), math.perm(total, judged))


@pytest.mark.parametrize(
    ("rate", "total", "least"),
    [
        ("0.95", 300, 16),
        ("0.9", 10, 2),
        ("0.9", 30, 4),
        ("0.7", 10, 4),
        ("1", 50, 1),
        ("0.95", 19, 1),
        ("0.999", 999, 1),
    ],
)
def test_the_fewest_rejects_that_break_a_rate_are_counted_without_floats(rate: str, total: int, least: int) -> None:
    assert breaking(1 - Fraction(rate), total) == least


@pytest.mark.parametrize(("least", "total"), [(1, 12), (3, 20), (16, 300), (12, 12), (63, 100), (64, 100)])
def test_the_evidence_is_the_mean_of_exact_ratios(least: int, total: int) -> None:
    process = Finite.of(least, total)
    for judged in range(0, total, max(1, total // 12)):
        for bad in range(0, min(judged, least - 1) + 1):
            below = chance(bad, judged, least, total)
            if below == 0:
                assert process.log(bad, judged - bad) == math.inf
                continue
            ratios = [chance(bad, judged, one, total) / below for one in range(least)]
            log = process.log(bad, judged - bad)
            assert math.exp(log) == pytest.approx(float(sum(ratios, Fraction(0)) / least), rel=1e-9)
            assert process.ceiling(bad, judged - bad) >= log


@given(st.integers(1, 60), st.integers(0, 60), st.data())
def test_one_more_row_raises_no_evidence_in_the_mean_where_the_rate_is_broken(
    total: int, above: int, data: st.DataObject
) -> None:
    least = data.draw(st.integers(1, total))
    all_bad = min(total, least + above)
    bad = data.draw(st.integers(0, min(least, all_bad)))
    good = data.draw(st.integers(0, total - all_bad))
    if bad + good == total:
        return
    process = Finite.of(least, total)
    here = process.log(bad, good)
    p = (all_bad - bad) / (total - bad - good)
    after = p * math.exp(process.log(bad + 1, good)) if p else 0.0
    if p < 1:
        after += (1 - p) * math.exp(process.log(bad, good + 1))
    assert after <= math.exp(here) * (1 + 1e-9)
    if all_bad == least and p < 1:
        assert after == pytest.approx(math.exp(here), rel=1e-9)


@given(st.integers(1, 3000), st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_bad_row_instead_of_a_good_one_never_raises_the_evidence(
    total: int, rate: float, seen: float, share: float
) -> None:
    gate, judged = Gate(rate, 0.95, total), int(seen * total)
    rejects = int(share * judged)
    found = gate.after(rejects, judged)
    assert gate.passes(rejects, judged) == (found.decision == "pass")
    assert gate.fails(rejects, judged) == (found.decision == "fail")
    assert not (gate.passes(rejects, judged) and gate.fails(rejects, judged))
    if rejects < judged:
        worse = gate.after(rejects + 1, judged)
        assert worse.evidence <= found.evidence * (1 + 1e-6)
        assert worse.against * (1 + 1e-6) >= found.against


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.95, 1])
@pytest.mark.parametrize("total", [1, 2, 7, 20, 41, 300])
def test_when_all_rows_are_known_the_gate_has_decided_surely_and_rightly(rate: float, total: int) -> None:
    gate = Gate(rate, 0.95, total)
    for rejects in range(total + 1):
        kept = Fraction(total - rejects, total) >= Fraction(repr(rate))
        found = gate.after(rejects, total)
        assert found.decision == ("pass" if kept else "fail")
        assert (found.evidence if kept else found.against) == CERTAIN


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_it_never_needs_more_rows_than_the_test_for_rows_without_end(rate: float, confidence: float) -> None:
    endless = Gate(rate, confidence)
    for total in (1, 5, 10, 20, 40, 60, 100, 150, 300, 1000, 10_000, 1_000_000):
        gate = Gate(rate, confidence, total)
        for rejects in (0, 1, 2, 3, 5, 10, 20, 50, 100):
            if rejects <= total and (judged := first_pass(rejects, endless)) <= total:
                assert gate.passes(rejects, judged)
            if rejects <= total and (judged := last_fail(rejects, endless)) >= rejects:
                assert gate.fails(rejects, min(judged, total))


def first_pass(rejects: int, gate: Gate) -> int:
    """The first number of rows at which so many rejects pass."""
    low, high = rejects, rejects + 1
    while not gate.passes(rejects, high):
        low, high = high, 2 * high
    return turning(low, high, lambda rows: gate.passes(rejects, rows))


def last_fail(rejects: int, gate: Gate) -> int:
    """The last number of rows at which so many rejects fail; fewer than `rejects` where none does."""
    if not gate.fails(rejects, rejects):
        return -1
    low, high = rejects, rejects + 1
    while gate.fails(rejects, high):
        low, high = high, 2 * high
    return turning(low, high, lambda rows: not gate.fails(rejects, rows)) - 1


def turning(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The first number at which it holds, where it does not at `low` and does at `high`."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def test_a_small_batch_saves_rows_and_a_large_one_hardly_any() -> None:
    firsts = [needed(0, 0, Gate(0.95, 0.95, total)) for total in (40, 100, 300, 1000, 10_000, 1_000_000)]
    assert firsts == [28, 49, 70, 82, 87, 88]


def test_a_rate_of_one_passes_when_a_single_reject_would_have_been_seen() -> None:
    gate = Gate(1, 0.95, 100)
    assert needed(0, 0, gate) == 95
    assert gate.after(1, 1).decision == "fail"
    assert needed(1, 1, gate) is None


def test_no_row_can_save_a_batch_with_too_many_rejects() -> None:
    gate = Gate(0.95, 0.95, 300)
    assert needed(16, 300, gate) is None
    assert needed(15, 299, gate) == 1
    assert needed(0, 70, gate) == 0
