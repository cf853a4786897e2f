"""The operators of the condition language: strict about kinds, with errors that name both operands.

Each takes an operand as the part of the expression (for its source, in an error) and the value that it had.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Protocol

from penstock.core.errors import ConditionError
from penstock.rules.conditions.values import Unlike, described, equal, in_words, kind, listed, shown

_NUMBER = frozenset({"number"})
_ORDERED = frozenset({"number", "text"})
_LARGEST_BITS = 4096
_LIKE_A_NUMBER = re.compile(r"\s*[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?\s*")


class Written(Protocol):
    """A part of an expression, as far as an error needs it."""

    @property
    def source(self) -> str: ...


def compare(sign: str, left: Written, a: object, right: Written, b: object) -> bool:
    """`a sign b`. ConditionError where the two kinds have no such comparison."""
    return COMPARISONS[sign](sign, left, a, right, b)


def calculate(sign: str, left: Written, a: object, right: Written, b: object) -> object:
    """`a sign b` for numbers, and `+` for two texts. ConditionError for other kinds, and for no finite answer."""
    for operand, found in ((left, a), (right, b)):
        if kind(found) not in operands_of(sign):
            raise wrong_operand(sign, operand, found)
    if kind(a) != kind(b):
        raise _unlike(left, a, right, b)
    source = f"{left.source} {sign} {right.source}"
    try:
        return bounded(ARITHMETIC[sign](a, b), source)
    except ZeroDivisionError:
        raise ConditionError(f"{source}: {right.source} is 0, and nothing is divided by 0") from None
    except OverflowError:
        raise too_large(source) from None


def operands_of(sign: str) -> frozenset[str]:
    """The kinds that an arithmetic operator takes."""
    return _ORDERED if sign == "+" else _NUMBER


def truth(part: Written, found: object, taker: str) -> bool:
    """The value of a part that must be a bool; `taker` is what needs it."""
    if found is True or found is False:
        return found
    match kind(found):
        case "text":
            instead = f"{part.source} == {shown(found, 30)}"
        case "number":
            instead = f"{part.source} > 0"
        case "null":
            instead = f"{part.source} != null"
        case _:
            instead = f"len({part.source}) > 0"
    raise ConditionError(f"{is_what(part, found)}, and {taker} true or false; compare it: {instead}")


def is_what(part: Written, found: object) -> str:
    """`item.score is the text "0.95"`; a constant is said once: `0.9 is a number`."""
    same = part.source == shown(found)
    return f"{part.source} is {in_words([kind(found)]) if same else described(found)}"


def wrong_operand(sign: str, part: Written, found: object) -> ConditionError:
    """The error for an operand that an arithmetic operator does not take."""
    return ConditionError(f"{is_what(part, found)}, and `{sign}` takes numbers{_as_number(part, found)}")


def bounded(answer: object, source: str) -> object:
    """The answer of a calculation, unless it is NaN, infinite or an integer of over 4096 bits."""
    if isinstance(answer, float) and not math.isfinite(answer):
        raise too_large(source)
    if isinstance(answer, int) and answer.bit_length() > _LARGEST_BITS:
        raise too_large(source)
    return answer


def too_large(source: str) -> ConditionError:
    """The error for a calculation that leaves the range of numbers."""
    return ConditionError(f"{source} is too large a number")


# --- comparisons ---------------------------------------------------------------------------------


def _order(sign: str, left: Written, a: object, right: Written, b: object) -> bool:
    one = kind(a)
    if one != kind(b) and a is not None and b is not None:
        raise _unlike(left, a, right, b)
    for part, found in ((left, a), (right, b)):
        if found is None:
            test = f"{part.source} != null and …"
            raise ConditionError(f"{part.source} is null, and null has no order; test it first: {test}")
    if one not in _ORDERED:
        raise ConditionError(f"{is_what(left, a)}, and `{sign}` compares numbers or texts")
    return _ORDERS[sign](a, b)


_ORDERS: Mapping[str, Callable[..., bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _same(sign: str, left: Written, a: object, right: Written, b: object) -> bool:
    try:
        return equal(a, b) == (sign == "==")
    except Unlike as unlike:
        if kind(a) != kind(b):
            raise _unlike(left, a, right, b) from None
        inside = f"{described(unlike.left)} against {described(unlike.right)}"
        raise ConditionError(f"{left.source} and {right.source} hold different types: {inside}") from None


def _within(sign: str, left: Written, a: object, right: Written, b: object) -> bool:
    if isinstance(b, (list, tuple)):
        found = _listed_in(left, a, right, b)
    elif not isinstance(b, (str, Mapping)):
        raise ConditionError(f"{is_what(right, b)}, and `in` looks into a list, an object or a text")
    elif not isinstance(a, str):
        inside = "a text" if isinstance(b, str) else "an object's names"
        raise ConditionError(f"{is_what(left, a)}, and only a text is looked for in {inside}: {right.source}")
    else:
        found = a in b
    return found == (sign == "in")


def _listed_in(left: Written, a: object, right: Written, b: list[object] | tuple[object, ...]) -> bool:
    """Elements of another kind are passed over, but not if all are: then nothing could ever be found."""
    alike = [element for element in b if kind(element) == kind(a)]
    others = {kind(element) for element in b} - {"null"}
    if not alike and a is not None and others:
        kinds = listed(sorted(f"{name}s" for name in others))
        raise ConditionError(f"{is_what(left, a)}, and {right.source} holds only {kinds}{_as_number(left, a)}")
    try:
        return any([equal(a, element) for element in alike])  # noqa: C419 - all of them: the answer has no order
    except Unlike as unlike:
        inside = f"{described(unlike.left)} against {described(unlike.right)}"
        raise ConditionError(f"{left.source} and {right.source} hold different types: {inside}") from None


COMPARISONS: Mapping[str, Callable[[str, Written, object, Written, object], bool]] = {
    "<": _order,
    "<=": _order,
    ">": _order,
    ">=": _order,
    "==": _same,
    "!=": _same,
    "in": _within,
    "not in": _within,
}

ARITHMETIC: Mapping[str, Callable[..., object]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


def _unlike(left: Written, a: object, right: Written, b: object) -> ConditionError:
    hint = ""
    if kind(b) == "number":
        hint = _as_number(left, a)
    elif kind(a) == "number":
        hint = _as_number(right, b)
    return ConditionError(f"{is_what(left, a)}, and {is_what(right, b)}{hint}")


def _as_number(part: Written, found: object) -> str:
    readable = isinstance(found, str) and _LIKE_A_NUMBER.fullmatch(found)
    return f"; write number({part.source})" if readable else ""
