"""A number for a flat schema: at a wanted share of its range, whole or not, a multiple of what it must be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from penstock.core.canon import Json

Number = int | float

_WIDE = 100
_FROM_0_TO_1 = frozenset({"confidence", "probability", "likelihood", "certainty", "score", "ratio", "share", "weight"})
_MOST_TRIED = 50


def number(flat: Mapping[str, Json], name_words: Sequence[str], share: float, whole: bool) -> Number:
    """The number that lies `share` (0 to 1) of the way through the range that the schema gives.

    Where the schema gives none, it is 0 to 1 for a field that is called confidence or the like, else 0 to 100.
    """
    low, high = _range(flat, name_words)
    target = low * (1 - share) + high * share
    step = _step(flat.get("multiples"), whole)
    if step is not None:
        return _multiple(flat, step, target, low, high)
    shown = round(target, 2)
    return shown if low < shown < high else target


def _range(flat: Mapping[str, Json], name_words: Sequence[str]) -> tuple[float, float]:
    low = max(_bound(flat, "minimum", -math.inf), _bound(flat, "exclusiveMinimum", -math.inf))
    high = min(_bound(flat, "maximum", math.inf), _bound(flat, "exclusiveMaximum", math.inf))
    wide = 1 if _FROM_0_TO_1.intersection(name_words) else _WIDE
    if math.isinf(low):
        low = 0 if high > 0 else high - wide
    if math.isinf(high):
        high = wide if low < wide else low + wide
    return low, high


def _bound(flat: Mapping[str, Json], keyword: str, otherwise: float) -> float:
    value = flat.get(keyword)
    return value if isinstance(value, (int, float)) else otherwise


def _step(multiples: Json, whole: bool) -> Fraction | None:
    """The least number that every multiple of each is a multiple of; None where any number will do."""
    steps = [Fraction(str(one)) for one in multiples if one] if isinstance(multiples, list) else []
    if whole:
        steps.append(Fraction(1))
    if not steps:
        return None
    step = steps[0]
    for other in steps[1:]:
        over = step.denominator * other.denominator
        step = Fraction(math.lcm(step.numerator * other.denominator, other.numerator * step.denominator), over)
    return step


def _multiple(flat: Mapping[str, Json], step: Fraction, target: float, low: float, high: float) -> Number:
    """The multiple of `step` nearest to the target that lies in the range; one outside where none lies in it.

    Some validators divide binary fractions (0.3 / 0.1 is less than 3), so one whose quotient is whole there as well
    comes first.
    """
    first = math.ceil(Fraction(low) / step)
    last = math.floor(Fraction(high) / step)
    first += first * step == _bound(flat, "exclusiveMinimum", -math.inf)
    last -= last * step == _bound(flat, "exclusiveMaximum", math.inf)
    middle = max(first, min(last, round(Fraction(target) / step)))
    near = sorted(
        range(max(first, middle - _MOST_TRIED), min(last, middle + _MOST_TRIED) + 1), key=lambda k: abs(k - middle)
    )
    values = [_value(step * count) for count in near] or [_value(step * middle)]
    return next((value for value in values if _divides(value, flat.get("multiples"))), values[0])


def _value(exact: Fraction) -> Number:
    return exact.numerator if exact.denominator == 1 else float(exact)


def _divides(value: Number, multiples: Json) -> bool:
    steps = multiples if isinstance(multiples, list) else []
    return all(isinstance(step, int) or float(value / step).is_integer() for step in steps)
