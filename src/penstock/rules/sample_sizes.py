"""How many rows a gate takes until it passes, if the accept rate is what somebody guesses.

The number of rejects is a random walk that ends where the gate decides. Its distribution is carried on exactly, row by
row, as long as that takes a moment. A gate that needs more rows than that (a guess close to the rate) is answered
from the first passage of a Brownian motion with the walk's mean and variance through the line that touches the gate's
boundary where the mean crosses it: an inverse Gaussian time (A. Wald, Sequential Analysis, 1947, appendix A).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from penstock.rules.finite import breaking
from penstock.rules.sequential import FINITE_UP_TO, Gate, needed

STEPS = 2_000_000
"""Additions that are spent on an exact answer; about half a second."""

_ROW = 40
"""Additions that asking the gate takes as long as."""

_ENDLESS = 1 << 40
"""Rows after which a gate that has not passed never will: its alternatives are too coarse for a guess so close."""

_SLIGHT = 1e-12


@dataclass(frozen=True, slots=True)
class Expected:
    """Rows until the gate passes: `half` of all tries pass by then, `nine_in_ten` by the other; None: never so many do.

    `least` is with no reject at all. `exact` is False where the numbers are of the approximation.
    """

    least: int
    half: int | None
    nine_in_ten: int | None
    exact: bool


def expected_rows(rate: float, confidence: float, guess: float, total: int | None = None) -> Expected | None:
    """What to expect of a gate if the true accept rate is `guess`; None where it is not above `rate`.

    With `total`, the batch has the number of rejects that is next to the guess; None too where that breaks the rate.
    ValueError as of Gate.
    """
    gate = Gate(rate, confidence, total)
    rejecting = 1 - Fraction(repr(guess))
    if guess <= rate or guess > 1:
        return None
    bad = None if total is None or total > FINITE_UP_TO else round(rejecting * total)
    if bad is not None and total is not None and bad >= breaking(1 - Fraction(repr(rate)), total):
        return None
    least = needed(0, 0, gate)
    if least is None:
        return None
    return _walked(gate, float(rejecting), bad, least) or _approximated(gate, float(rejecting), least)


def _walked(gate: Gate, share: float, bad: int | None, least: int) -> Expected | None:
    """The exact answer; None where it would take more than STEPS."""
    batch = None if bad is None or gate.total is None else (bad, gate.total)
    alive, lowest, passed, half, spent = [1.0], 0, 0.0, None, 0
    for row in range(1, STEPS):
        spent += len(alive) * (1 if batch is None else 3) + _ROW
        if spent > STEPS:
            return None
        alive = _one_row(alive, lowest, row, share, batch)
        while alive and row >= least and gate.passes(lowest, row):
            passed += alive.pop(0)
            lowest += 1
        while alive and (alive[-1] < _SLIGHT or gate.fails(lowest + len(alive) - 1, row)):
            alive.pop()
        if half is None and passed >= 0.5:
            half = row
        if passed >= 0.9:
            return Expected(least, half, row, True)
        if passed + math.fsum(alive) < (0.5 if half is None else 0.9):
            return Expected(least, half, None, True)
    return None


def _one_row(alive: list[float], lowest: int, row: int, share: float, batch: tuple[int, int] | None) -> list[float]:
    """The chance of each number of rejects from `lowest` on, one row later. A batch is (its bad rows, all its rows)."""
    if batch is None:
        stay = 1 - share
        grown = [here * stay + before * share for before, here in pairwise(alive)]
        return [alive[0] * stay, *grown, alive[-1] * share] if alive else []
    bad, total = batch
    left = total - row + 1
    chances = [max(0, bad - lowest - more) / left for more in range(len(alive))]
    moved = [chance * here for chance, here in zip(chances, alive, strict=True)]
    return [here - gone + come for here, gone, come in zip([*alive, 0.0], [*moved, 0.0], [0.0, *moved], strict=True)]


def _approximated(gate: Gate, share: float, least: int) -> Expected:
    """The answer of the inverse Gaussian time whose mean is where the walk's mean crosses the boundary.

    It leaves out the tries that fail, and is some tenth too large where it can be compared with the exact answer.
    """
    most = gate.total or _ENDLESS
    low, high = least - 1, least
    while high < most and not gate.passes(round(share * high), high):
        low, high = high, min(2 * high, most)
    if not gate.passes(round(share * high), high):
        return Expected(least, None, None, False)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if gate.passes(round(share * middle), middle) else (middle, high)
    rejects = round(share * high)
    more = max(1, rejects // 20)
    slope = more / (more + (needed(rejects + more, high + more, gate) or 0))  # rejects that it allows for each row
    if slope <= share:
        return Expected(least, None, None, False)
    shape = ((slope - share) * high) ** 2 / (share * (1 - share))
    half, nine_in_ten = (min(most, _quantile(chance, high, shape)) for chance in (0.5, 0.9))
    return Expected(least, half, nine_in_ten, False)


def _quantile(chance: float, mean: float, shape: float) -> int:
    """The number of rows by which an inverse Gaussian time of this mean and shape is over with this chance."""
    low, high = 0.0, mean
    while _over(high, mean, shape) < chance:
        high *= 2
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (middle, high) if _over(middle, mean, shape) < chance else (low, middle)
    return math.ceil(high)


def _over(time: float, mean: float, shape: float) -> float:
    """The distribution function: Phi(a (t/m - 1)) + exp(2 s / m) Phi(-a (t/m + 1)) with a = sqrt(s / t)."""
    scale = math.sqrt(shape / time)
    reflected = math.exp(min(700.0, 2 * shape / mean)) * _normal(-scale * (time / mean + 1))
    return _normal(scale * (time / mean - 1)) + reflected


def _normal(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2
