"""The gate's test for a batch whose number of rows is known: exact, without replacement.

Of N rows K are bad. `breaking` is K0, the fewest that break the rate. A sequence of n rows with k bad ones, drawn
without replacement, has the probability P_K = (K)_k (N - K)_(n - k) / (N)_n, where (a)_b = a (a - 1) ... (a - b + 1).
E is the mean of P_K / P_K0 over up to 64 alternatives K below K0, evenly spread.

E is a supermartingale for every K of K0 and more. After n rows, k of them bad, one more row multiplies the ratio of an
alternative A by (A - k) / (K0 - k) if it is bad and by (N - A - n + k) / (N - K0 - n + k) if it is good: the first is
below 1, the second above, as A < K0. Under K0 the next is bad with probability (K0 - k) / (N - n), and the mean of the
two is exactly 1 (less where no good row is left). Under a larger K a bad row is likelier, so the mean is smaller. Where
the bad rows come to K0, which only a larger K allows, every A < K0 has become impossible and E is and remains 0. So
Ville's inequality holds as it does for rows without end (rules/sequential.py), and E falls as k grows while n stays.

When more than N - K0 rows are good the hypothesis has become impossible, and E is infinite. In the same way the mirror
is once k comes to K0. One of the two is so when all rows are known, at the latest: then the gate decides surely.

I. Waudby-Smith, A. Ramdas, Confidence sequences for sampling without replacement, NeurIPS 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

_ALTERNATIVES = 64


def breaking(share: Fraction, total: int) -> int:
    """The smallest number of bad rows whose share of `total` is more than `share`: floor(share total) + 1."""
    return math.floor(share * total) + 1


@dataclass(frozen=True, slots=True)
class Finite:
    """The e-process against "`least` or more of `total` rows are bad". `least` is from 0 to total + 1.

    Each alternative has the logarithm of its K! (N - K)! before it, over that of `least`.
    """

    least: int
    total: int
    alternatives: tuple[tuple[int, float], ...]

    @classmethod
    def of(cls, least: int, total: int) -> Finite:
        """The process with its alternatives: all below `least`, or the middles of 64 equal parts of them."""
        count = min(least, _ALTERNATIVES)
        chosen = [(2 * j + 1) * least // (2 * count) for j in range(count)]
        return cls(least, total, tuple((bad, _ratio(bad, least, total)) for bad in chosen))

    def log(self, bad: int, good: int) -> float:
        """ln E; infinite where `least` is impossible, and minus infinite where each alternative is."""
        if good > self.total - self.least:
            return math.inf
        terms = [head - _left(one - bad, self.total - one - good) for one, head in self.alternatives if one >= bad]
        if not terms:
            return -math.inf
        top = max(terms)
        mean = math.fsum([math.exp(term - top) for term in terms]) / len(self.alternatives)
        return top + math.log(mean) + _left(self.least - bad, self.total - self.least - good)

    def ceiling(self, bad: int, good: int) -> float:
        """The ratio of the likeliest number below `least`: P_K rises up to k (N + 1) / n and falls from there on."""
        if good > self.total - self.least:
            return math.inf
        if bad >= self.least:
            return -math.inf
        likeliest = bad * (self.total + 1) // (bad + good) if bad + good else 0
        one = max(bad, min(self.least - 1, likeliest))
        left = _left(self.least - bad, self.total - self.least - good) - _left(one - bad, self.total - one - good)
        return _ratio(one, self.least, self.total) + left + 1e-6


def _ratio(one: int, other: int, total: int) -> float:
    """ln of one! (total - one)! / (other! (total - other)!); of no meaning, and not asked for, where other > total."""
    return _left(one, total - one) - _left(other, total - other) if other <= total else 0.0


def _left(bad: int, good: int) -> float:
    return math.lgamma(bad + 1) + math.lgamma(good + 1)
