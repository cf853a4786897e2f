"""What a number of accepted rows says about the rate."""

from __future__ import annotations

import math


def accept_rate(accepted: int, rejected: int, failed: int) -> float | None:
    """accepted / (accepted + rejected + failed); None when that is nothing."""
    judged = accepted + rejected + failed
    return accepted / judged if judged else None


def lower_bound(successes: int, trials: int, confidence: float = 0.95) -> float | None:
    """The one-sided Clopper-Pearson bound: the rate is at least this, with that confidence; None without trials.

    It is the p at which `successes` or more of `trials` have probability 1 - confidence, which is the
    (1 - confidence) quantile of the beta distribution with parameters successes and trials - successes + 1
    (C. J. Clopper, E. S. Pearson, Biometrika 26, 1934). Found by bisection to 1e-12.
    """
    if trials == 0:
        return None
    if successes == 0:
        return 0.0
    alpha = 1.0 - confidence
    if successes == trials:
        return float(alpha ** (1.0 / trials))
    low, high = 0.0, successes / trials
    while high - low > 1e-12:
        middle = (low + high) / 2
        if beta_probability(successes, trials - successes + 1, middle) < alpha:
            low = middle
        else:
            high = middle
    return low


def beta_probability(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22).

    Evaluated by the modified Lentz method; for x beyond the mean, by the symmetry I_x(a, b) = 1 - I_(1-x)(b, a).
    """
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - beta_probability(b, a, 1.0 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) / a / _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    tiny = 1e-300
    value, numerator, denominator = 1.0, 1.0, 0.0
    for step in range(1, 10_000):
        m = step // 2
        if step % 2:
            factor = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            factor = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1.0 / (1.0 + factor * denominator or tiny)
        numerator = 1.0 + factor / numerator or tiny
        change = numerator * denominator
        value *= change
        if abs(change - 1.0) < 1e-15:
            break
    return value
