"""The gate's test: is the accept rate high enough, looking at the evidence after every row.

Let epsilon = 1 - rate be the share of rejects that is still bearable, k the rejects among the first n rows of a random
sample. For an alternative q below epsilon, the likelihood ratio of q against epsilon is

    (q / epsilon)^k ((1 - q) / (1 - epsilon))^(n - k)

and E is its mean over 64 alternatives, the midpoints of 64 equal parts of (0, epsilon). If the true share of rejects
p is epsilon or more, E is a non-negative supermartingale that begins at 1: one more row multiplies a ratio, in the
mean, by p q / epsilon + (1 - p) (1 - q) / (1 - epsilon). That is linear in p, falls as p grows (q / epsilon is below 1,
the other factor above), and is 1 at p = epsilon. So it is at most 1 for every p from epsilon up, not only at epsilon,
and also where p changes from row to row; a mean of supermartingales is one too. By Ville's inequality E ever comes to
1 / alpha with a probability of at most alpha. Whoever lets the rows through when E is there, and at no other time, is
wrong with at most that probability, however often he looks and whenever he stops.

The mirror is the same with accepted and rejected rows exchanged: it tests that the rate is kept, its alternatives are
the midpoints of (epsilon, 1), and the gate fails when it comes to 1 / alpha. Of a batch of known size the exact
version, without replacement, is used (rules/finite.py).

J. Ville, Étude critique de la notion de collectif, 1939. H. Robbins, Statistical methods related to the law of the
iterated logarithm, Ann. Math. Stat. 41, 1970 (mixtures). S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, Time-uniform,
nonparametric, nonasymptotic confidence sequences, Ann. Stat. 49, 2021. A. Ramdas, P. Grünwald, V. Vovk, G. Shafer,
Game-theoretic statistics and safe anytime-valid inference, Stat. Sci. 38, 2023.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, Protocol

from penstock.rules.finite import Finite, breaking

Decision = Literal["pass", "fail"]

CERTAIN = 1e300
"""Stands for evidence of that size and above, infinite too, so that every value can be written as JSON."""

FINITE_UP_TO = 10_000_000
"""Batches of more rows count as endless. Both versions cost microseconds, but logarithms of the factorials of larger
numbers lose digits, and what the size of such a batch could save is nothing (docs/decisions/sequential-gate.md)."""

_ALTERNATIVES = 64

_ROUNDING = 1e-9
"""What the logarithms may lack of the limit, so that 95 of 100 rows, which is exactly 20, are not 19.999999999."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a gate stands: the values of both e-processes, at most CERTAIN, and which of them decides, None if none."""

    evidence: float
    against: float
    decision: Decision | None


class EProcess(Protocol):
    """The logarithm of an e-process, by the rows that count against it (`bad`) and those that speak for it (`good`)."""

    def log(self, bad: int, good: int) -> float:
        """ln E; infinite where the hypothesis that is tested is impossible."""

    def ceiling(self, bad: int, good: int) -> float:
        """A number that is not below `log`, found in a fraction of its time."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """The e-process against "the share of bad rows is `share` or more", for rows without end.

    `rest` is 1 - share, kept apart because a float near 1 has lost digits of it. `terms` are ln(q / share) and
    ln((1 - q) / rest) of each alternative q.
    """

    share: float
    rest: float
    terms: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, share: Fraction) -> Mixture:
        """The process with its alternatives. A share of 0 is never refuted, and one of 1 is by the first good row."""
        part, rest = float(share), float(1 - share)
        parts = [(j + 0.5) / _ALTERNATIVES for j in range(_ALTERNATIVES)]
        terms = tuple((math.log(x), math.log1p((1 - x) * part / rest) if rest else 0.0) for x in parts)
        return cls(part, rest, terms)

    def log(self, bad: int, good: int) -> float:
        """ln E after so many bad and good rows; 64 terms, so that ten million rows are no worse than ten."""
        if self.rest == 0 and good:
            return math.inf
        terms = [bad * lost + good * gained for lost, gained in self.terms]
        top = max(terms)
        return top + math.log(math.fsum([math.exp(term - top) for term in terms]) / len(terms))

    def ceiling(self, bad: int, good: int) -> float:
        """The largest that any one likelihood ratio can be: that of the share which was seen."""
        rows = bad + good
        if bad >= self.share * rows:
            return 0.0
        if self.rest == 0:
            return math.inf
        seen = bad * math.log(bad / rows / self.share) if bad else 0.0
        # A little above, so that no rounding lets a row slip that `log` would find at the limit.
        return seen + good * math.log(good / rows / self.rest) + 1e-6


@dataclass(frozen=True, slots=True)
class Gate:
    """The test of "accept rate >= `rate`" with errors of at most 1 - `confidence` either way.

    `total` is how many rows the whole batch has that the judged ones are a sample of; None where nobody knows.
    ValueError unless 0 < rate <= 1, 0 < confidence < 1 and total > 0, and for numbers of rows that cannot be. A gate
    keeps no state: it answers for numbers of rows, in sample order, and the first decision is the one that counts.
    """

    rate: float
    confidence: float = 0.95
    total: int | None = None
    limit: float = field(init=False, repr=False, compare=False)
    _for: EProcess = field(init=False, repr=False, compare=False)
    _against: EProcess = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (0 < self.rate <= 1 and 0 < self.confidence < 1 and (self.total is None or self.total > 0)):
            raise ValueError(f"no gate has rate {self.rate}, confidence {self.confidence} and {self.total} rows")
        rate = Fraction(repr(self.rate))  # the number as it is written: 1 - 0.95 is 1/20, and no float says so
        object.__setattr__(self, "limit", float(1 / (1 - Fraction(repr(self.confidence)))))
        object.__setattr__(self, "_for", _process(1 - rate, self.total))
        object.__setattr__(self, "_against", _mirror(rate, self.total))

    def after(self, rejects: int, judged: int) -> Standing:
        """What `rejects` of the first `judged` rows say. For each row in turn, `passes` and `fails` are quicker."""
        good = self._accepted(rejects, judged)
        evidence, against = self._for.log(rejects, good), self._against.log(good, rejects)
        decision: Decision | None = None
        if max(evidence, against) >= math.log(self.limit) - _ROUNDING:
            decision = "pass" if evidence > against else "fail"
        return Standing(_value(evidence), _value(against), decision)

    def passes(self, rejects: int, judged: int) -> bool:
        """Whether the rows let the rest through."""
        return _reaches(self._for, rejects, self._accepted(rejects, judged), self.limit)

    def fails(self, rejects: int, judged: int) -> bool:
        """Whether the rows show that the rate is broken. Never so together with `passes`."""
        return _reaches(self._against, self._accepted(rejects, judged), rejects, self.limit)

    def _accepted(self, rejects: int, judged: int) -> int:
        if not 0 <= rejects <= judged or (self.total is not None and judged > self.total):
            of = "" if self.total is None else f" of {self.total}"
            raise ValueError(f"{rejects} rejects in {judged} rows{of} cannot be")
        return judged - rejects


def needed(rejects: int, judged: int, gate: Gate) -> int | None:
    """How many more accepted rows in a row would make the gate pass, 0 if it has; None where it failed or none would.

    Accepted rows only raise the evidence, so bisection finds the first that is enough.
    """
    if gate.passes(rejects, judged):
        return 0
    most = (1 << 60) if gate.total is None else gate.total - judged
    if gate.fails(rejects, judged) or most <= 0:
        return None
    high = 1
    while high < most and not gate.passes(rejects, judged + high):
        high *= 2
    low, high = high // 2, min(high, most)
    if not gate.passes(rejects, judged + high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if gate.passes(rejects, judged + middle) else (middle, high)
    return high


def _process(share: Fraction, total: int | None) -> EProcess:
    if total is None or total > FINITE_UP_TO:
        return Mixture.of(share)
    return Finite.of(breaking(share, total), total)


def _mirror(rate: Fraction, total: int | None) -> EProcess:
    """The same seen from the other side: accepted rows are the bad ones, and there are enough of them."""
    if total is None or total > FINITE_UP_TO:
        return Mixture.of(rate)
    return Finite.of(total + 1 - breaking(1 - rate, total), total)


def _reaches(process: EProcess, bad: int, good: int, limit: float) -> bool:
    enough = math.log(limit) - _ROUNDING
    return process.ceiling(bad, good) >= enough and process.log(bad, good) >= enough


def _value(log: float) -> float:
    return math.exp(log) if log < math.log(CERTAIN) else CERTAIN
