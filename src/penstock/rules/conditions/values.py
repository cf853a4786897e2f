"""JSON values as conditions meet them: their kind in words, their fields, equality, and how a log line shows them."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from json.encoder import encode_basestring
from types import NoneType

from penstock.core.canon import WrittenFloat
from penstock.core.errors import BugError, ConditionError

ANY = frozenset({"number", "text", "bool", "null", "list", "object"})
"""Every kind that a value can have. An int and a float are one kind; a bool is no number."""

_WITH_ARTICLE = {
    "number": "a number",
    "text": "a text",
    "bool": "true or false",
    "null": "null",
    "list": "a list",
    "object": "an object",
}
_KINDS: dict[type, str] = {
    int: "number",
    float: "number",
    WrittenFloat: "number",
    str: "text",
    bool: "bool",
    NoneType: "null",
    list: "list",
    tuple: "list",
    dict: "object",
}
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def kind(value: object) -> str:
    """The kind of a value, one of `ANY`."""
    known = _KINDS.get(type(value))
    if known is not None:
        return known
    for parent, name in ((int, "number"), (float, "number"), (str, "text"), (list, "list"), (Mapping, "object")):
        if isinstance(value, parent):
            return name
    raise BugError(f"a condition met a value of type {type(value).__name__}, which is not JSON")


def in_words(kinds: Iterable[str]) -> str:
    """`a number or a text`: what may stand somewhere, in a fixed order."""
    wanted = set(kinds)
    found = [words for name, words in _WITH_ARTICLE.items() if name in wanted]
    return f"{', '.join(found[:-1])} or {found[-1]}" if len(found) > 1 else found[0]


def described(value: object) -> str:
    """What a value is, for an error: `the text "0.95"`, `a list of 3 elements`, `an object with the fields a, b`."""
    match kind(value):
        case "null":
            return "null"
        case "list" if isinstance(value, (list, tuple)):
            return f"a list of {counted(len(value), 'element')}"
        case "object" if isinstance(value, Mapping):
            return f"an object with the fields {listed(value)}" if value else "an object without fields"
        case name:
            return f"the {name} {shown(value)}"


def counted(number: int, noun: str) -> str:
    """`1 element`, `3 elements`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names side by side, those that are no identifiers in quotes, and how many more there are beyond `most`."""
    every = [name if name.isidentifier() else shown(name) for name in map(str, names)]
    rest = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + rest


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name that a misspelt word most likely stands for, or None."""
    by_lower = {name.lower(): name for name in map(str, names)}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.65)
    return by_lower[close[0]] if close else None


def path_text(root: str, steps: Iterable[str | int]) -> str:
    """A path as an author writes it: `outputs["my-step"].rates[0]`."""
    written = (f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{shown(step)}]" for step in steps)
    return root + "".join(written)


# --- fields --------------------------------------------------------------------------------------


def field(value: object, step: object, owner: str) -> object:
    """The field or element `step` of a value; `owner` is how the expression writes the value.

    ConditionError names what is missing and lists what exists.
    """
    if isinstance(value, Mapping):
        return _named(value, step, owner)
    if isinstance(value, (list, tuple)):
        return _numbered(value, step, owner)
    if value is None:
        raise ConditionError(f"{owner} is null, and null has no {_spoken(step)}; test it first: {owner} != null and …")
    raise ConditionError(f"{owner} is {described(value)}, which has no {_spoken(step)}")


def _named(value: Mapping[str, object], step: object, owner: str) -> object:
    if not isinstance(step, str):
        raise ConditionError(f"{owner} is an object, and its fields go by name: {listed(value)}; got {described(step)}")
    try:
        return value[step]
    except KeyError:
        close = nearest(step, value)
        hint = f"; did you mean {listed([close])}?" if close else "."
        exists = f"It has: {listed(value)}" if value else "It is empty"
        raise ConditionError(f"{owner} has no {_spoken(step)}{hint} {exists}") from None


def _numbered(value: list[object] | tuple[object, ...], step: object, owner: str) -> object:
    if type(step) is not int:
        raise ConditionError(f"{owner} is a list, and its elements go by whole numbers from 0; got {described(step)}")
    if -len(value) <= step < len(value):
        return value[step]
    exists = f"has {counted(len(value), 'element')}, counted from 0" if value else "is empty"
    raise ConditionError(f"{owner} has no element {shown(step)}: the list {exists}")


def _spoken(step: object) -> str:
    return f"field {shown(step)}" if isinstance(step, str) else f"element {shown(step)}"


# --- equality ------------------------------------------------------------------------------------


class Unlike(Exception):
    """Two values of different kinds were compared. No error yet: the caller knows their names and makes one."""

    def __init__(self, left: object, right: object) -> None:
        super().__init__()
        self.left = left
        self.right = right


def equal(left: object, right: object) -> bool:
    """Whether two values are the same JSON, at any depth; numbers by value. Null equals only null.

    `Unlike` where two kinds meet. All pairs are looked at, so the answer never hangs on the order of fields.
    """
    one = kind(left)
    if one != kind(right):
        if left is None or right is None:
            return False
        raise Unlike(left, right)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and not [1 for pair in zip(left, right, strict=True) if not equal(*pair)]
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and not [1 for name in left if not equal(left[name], right[name])]
    if one == "number":
        finite(left)
        finite(right)
    return left == right


def finite(value: object) -> None:
    """ConditionError for NaN and the infinities, which JSON does not have: nothing is decided by them."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConditionError(f"{shown(value)} is no number that can be compared or counted with")


# --- a line of the log ---------------------------------------------------------------------------


def shown(value: object, limit: int = 60) -> str:
    """A value for a log line: its JSON, numbers as they were written, cut to `limit` characters with `…`."""
    if isinstance(value, str):
        return _quoted(value, limit)
    text = ""
    for piece in _pieces(value, limit):
        text += piece
        if len(text) > limit:
            return text[: limit - 1] + "…"
    return text


def _pieces(value: object, limit: int) -> Iterator[str]:
    """The JSON of a value bit by bit: a list of a million elements costs no more than what is shown of it."""
    match value:
        case None:
            yield "null"
        case bool():
            yield "true" if value else "false"
        case WrittenFloat():
            yield value.text
        case int() | float():
            yield repr(value)
        case str():
            yield _quoted(value, limit)
        case list() | tuple():
            yield "["
            for number, element in enumerate(value):
                yield "," if number else ""
                yield from _pieces(element, limit)
            yield "]"
        case dict():
            yield "{"
            for number, (name, element) in enumerate(value.items()):
                yield ("," if number else "") + _quoted(str(name), limit) + ":"
                yield from _pieces(element, limit)
            yield "}"
        case _:
            # A mapping that reads its values on demand is not made to read them for a log line.
            yield "{…}"


def _quoted(text: str, limit: int) -> str:
    if len(text) <= limit:
        quoted = _printable(encode_basestring(text))
        if len(quoted) <= limit:
            return quoted
    kept = text[: limit - 3]
    while len(quoted := _printable(encode_basestring(kept))) > limit - 1:
        kept = kept[:-1]
    return quoted[:-1] + '…"'


def _printable(quoted: str) -> str:
    """Escapes what a terminal would obey or turn around: C1 controls, line separators, direction marks."""
    if quoted.isascii() and "\x7f" not in quoted:
        return quoted
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
