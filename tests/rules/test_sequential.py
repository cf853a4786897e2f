"""The gate's test for rows without end: its values, its symmetry, and when it decides."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.sequential import CERTAIN, FINITE_UP_TO, Gate, Mixture, needed

RATES = st.floats(0.001, 0.999)
COUNTS = st.integers(0, 10_000_000)


def direct(rejects: int, judged: int, epsilon: float, low: float, high: float) -> float:
    """ln E as the formula stands, with the 64 midpoints of (low, high)."""
    ratios = []
    for j in range(64):
        q = low + (high - low) * (j + 0.5) / 64
        ratios.append((q / epsilon) ** rejects * ((1 - q) / (1 - epsilon)) ** (judged - rejects))
    return math.log(math.fsum(ratios) / 64)


@pytest.mark.parametrize(
    ("rejects", "judged", "log"), [(0, 60, 1.917611), (1, 100, 1.813314), (2, 150, 2.222294), (5, 200, 0.957128)]
)
def test_the_evidence_has_the_values_that_were_worked_out_beforehand(rejects: int, judged: int, log: float) -> None:
    assert math.log(Gate(0.95).after(rejects, judged).evidence) == pytest.approx(log, abs=5e-7)


def test_without_a_reject_the_gate_passes_at_row_88_and_at_none_before() -> None:
    gate = Gate(0.95, 0.95)
    assert [row for row in range(100) if gate.passes(0, row)] == list(range(88, 100))
    assert gate.after(0, 87).decision is None
    assert gate.after(0, 88).decision == "pass"
    assert gate.after(0, 88).evidence == pytest.approx(20.2923, abs=1e-4)
    assert gate.limit == 20.0


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize(("rejects", "judged"), [(0, 0), (0, 1), (1, 1), (3, 40), (20, 40), (40, 40), (17, 300)])
def test_both_processes_are_what_the_formula_says(rate: float, rejects: int, judged: int) -> None:
    epsilon = 1 - rate
    found = Gate(rate).after(rejects, judged)
    assert math.log(found.evidence) == pytest.approx(direct(rejects, judged, epsilon, 0, epsilon), abs=1e-9)
    assert math.log(found.against) == pytest.approx(direct(rejects, judged, epsilon, epsilon, 1), abs=1e-9)


@given(RATES, st.floats(0, 1), COUNTS)
def test_ten_million_rows_are_finite_and_never_decided_both_ways(rate: float, share: float, judged: int) -> None:
    gate, rejects = Gate(rate), int(share * judged)
    found = gate.after(rejects, judged)
    assert 0 <= found.evidence <= CERTAIN
    assert 0 <= found.against <= CERTAIN
    assert not (found.evidence >= gate.limit and found.against >= gate.limit)
    assert gate.passes(rejects, judged) == (found.decision == "pass")
    assert gate.fails(rejects, judged) == (found.decision == "fail")


@given(RATES, st.integers(0, 5000), st.integers(0, 5000))
def test_a_good_row_raises_the_evidence_and_a_bad_one_lowers_it(rate: float, bad: int, good: int) -> None:
    process = Gate(rate)._for
    here = process.log(bad, good)
    assert process.log(bad, good + 1) > here > process.log(bad + 1, good)
    assert process.ceiling(bad, good) >= here


@given(st.sampled_from([0.05, 0.3, 0.9]), st.floats(0, 1), st.integers(0, 400), st.integers(0, 400))
def test_one_more_row_raises_no_evidence_in_the_mean_where_the_rate_is_broken(
    epsilon: float, above: float, bad: int, good: int
) -> None:
    process = Gate(1 - epsilon)._for
    p = epsilon + (1 - epsilon) * above
    here = process.log(bad, good)
    growth = p * math.exp(process.log(bad + 1, good) - here) + (1 - p) * math.exp(process.log(bad, good + 1) - here)
    assert growth <= 1 + 1e-9
    if above == 0:
        assert growth == pytest.approx(1)


def test_the_rate_is_taken_as_it_is_written() -> None:
    process = Gate(0.95)._for
    assert isinstance(process, Mixture)
    assert process.share == 0.05 != 1 - 0.95


def test_rejects_alone_fail_the_gate_and_few_are_enough() -> None:
    gate = Gate(0.95)
    assert [rejects for rejects in range(6) if gate.fails(rejects, rejects)] == [2, 3, 4, 5]
    assert gate.after(2, 2).decision == "fail"
    assert [row for row in range(2, 30) if gate.fails(2, row)] == [2, 3]
    assert not gate.fails(3, 60)


def test_more_confidence_takes_more_rows() -> None:
    firsts = [needed(0, 0, Gate(0.95, confidence)) for confidence in (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)]
    assert all(less is not None and more is not None and less < more for less, more in pairwise(firsts))


@given(st.floats(0.5, 0.99), st.integers(0, 60), st.integers(0, 600))
def test_so_many_accepted_rows_are_needed_and_not_one_less(rate: float, rejects: int, accepted: int) -> None:
    gate, judged = Gate(rate), rejects + accepted
    more = needed(rejects, judged, gate)
    if gate.fails(rejects, judged):
        assert more is None
    else:
        assert more is not None
        assert gate.passes(rejects, judged + more)
        assert more == 0 or not gate.passes(rejects, judged + more - 1)


def test_a_rate_of_one_is_refuted_by_a_reject_and_shown_by_no_number_of_rows() -> None:
    gate = Gate(1)
    assert gate.after(0, 1000).decision is None
    assert gate.after(0, 1000).evidence == 1
    assert gate.after(1, 1000).decision == "fail"
    assert gate.after(1, 1000).against == CERTAIN
    assert needed(0, 1000, gate) is None


def test_a_batch_that_is_too_large_for_factorials_counts_as_endless() -> None:
    assert Gate(0.95, 0.95, FINITE_UP_TO + 1).after(7, 300) == Gate(0.95).after(7, 300)
    assert Gate(0.95, 0.95, FINITE_UP_TO).after(7, 300).evidence == pytest.approx(
        Gate(0.95).after(7, 300).evidence, rel=1e-3
    )


@pytest.mark.parametrize(
    ("rate", "confidence", "total"),
    [(0, 0.95, None), (1.1, 0.95, None), (math.nan, 0.95, None), (0.9, 0, None), (0.9, 1, None), (0.9, 0.95, 0)],
)
def test_a_gate_of_numbers_that_mean_nothing_is_refused(rate: float, confidence: float, total: int | None) -> None:
    with pytest.raises(ValueError, match="no gate has"):
        Gate(rate, confidence, total)


@pytest.mark.parametrize(("rejects", "judged"), [(-1, 5), (6, 5), (0, 11)])
def test_numbers_of_rows_that_cannot_be_are_refused(rejects: int, judged: int) -> None:
    for ask in (Gate(0.9, total=10).after, Gate(0.9, total=10).passes, Gate(0.9, total=10).fails):
        with pytest.raises(ValueError, match="cannot be"):
            ask(rejects, judged)
