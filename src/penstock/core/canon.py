"""JSON as people wrote it, and fingerprints.

Numbers keep their spelling: `1.10` stays `1.10` and a 30-digit id stays exact, because a row's
text is data. NaN and Infinity are not JSON (RFC 8259, section 6) and are refused, as is a lone surrogate,
which no UTF-8 text can hold.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any, NoReturn

Json = object
"""A value of the user's JSON: dict, list, str, int, float, bool or None. Nothing else comes in."""


class WrittenFloat(float):
    """A float that remembers how it was written."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        number = super().__new__(cls, text)
        number.text = text
        return number


class Encoded(str):
    """A value that is JSON text already: `compact` writes it as it is. For what stands in many requests."""

    __slots__ = ()


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")


def _whole(text: str) -> int | WrittenFloat:
    if text == "-0":
        return WrittenFloat(text)
    try:
        return int(text)
    except ValueError as error:
        said = str(error).partition(":")[0]  # what follows is advice to a programmer
        raise ValueError(re.sub(r"\((\d+)\)", r"(\1 digits)", said)) from None  # as Python 3.11 says it


_decoder = json.JSONDecoder(parse_float=WrittenFloat, parse_int=_whole, parse_constant=_refuse)
_sorted = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_lenient = json.JSONDecoder(parse_float=WrittenFloat, parse_int=_whole, parse_constant=float)
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONE = "holds a lone surrogate (\\ud800 to \\udfff), which is no character"
_SPACE = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\r\n]+')


def parse(text: str | bytes, nan: bool = False) -> object:
    """The value of a JSON text. ValueError (UnicodeDecodeError included) says what is wrong with it.

    With `nan`, NaN and Infinity are let through as floats, so that whoever reads the field can name it.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    elif _SURROGATE.search(text):
        raise ValueError(_LONE)
    try:
        value: object = (_lenient if nan else _decoder).decode(text)
        flat = json.dumps(value, ensure_ascii=False) if nan else compact(value) if "\\u" in text else ""
        broken = _SURROGATE.search(flat)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if broken:
        raise ValueError(_LONE)
    return value


def squeeze(text: str) -> str:
    """A valid JSON text without the white space between its tokens; strings and numbers unchanged."""
    return _SPACE.sub(lambda match: match.group(1) or "", text)


def compact(value: object) -> str:
    """Compact JSON of a value that `parse` gave, numbers as they were written, no ASCII escapes."""
    write = _WRITERS.get(type(value))
    return write(value) if write is not None else _of_subclass(value)


def _object(value: Mapping[object, object]) -> str:
    return "{" + ",".join([f"{encode_basestring(str(name))}:{compact(field)}" for name, field in value.items()]) + "}"


def _array(value: Iterable[object]) -> str:
    return "[" + ",".join([compact(element) for element in value]) + "]"


def _number(value: float) -> str:
    return json.dumps(value, allow_nan=False)


_WRITERS: Mapping[type, Callable[[Any], str]] = {
    str: encode_basestring,
    dict: _object,
    int: int.__repr__,
    WrittenFloat: attrgetter("text"),
    list: _array,
    tuple: _array,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): lambda _: "null",
    Encoded: str,
    float: _number,
}
"""By the exact type, which most values have: a look-up for each value, in place of a row of questions."""


def _of_subclass(value: object) -> str:
    for kind in (str, int, float, dict, list, tuple):
        if isinstance(value, kind):
            return _WRITERS[kind](value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def canonical(value: object) -> bytes:
    """One spelling for equal values: keys sorted, no spaces, UTF-8. What fingerprints are made of."""
    return _sorted(value).encode("utf-8", "surrogatepass")


def fingerprint(value: object) -> str:
    """SHA-256 of the canonical form, 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def sayable(text: str) -> str:
    """The text as UTF-8 can hold it: a lone surrogate (a byte of a row that is no UTF-8) is written as an escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def item_hash(text: bytes) -> bytes:
    """What an item is known by: the first 16 bytes of the SHA-256 of its exact text."""
    return hashlib.sha256(text).digest()[:16]


def item_key(digest: bytes, occurrence: int) -> str:
    """An item's key: 16 hex digits of its hash, and `.2`, `.3` … for later rows with the same text."""
    return digest[:8].hex() + (f".{occurrence + 1}" if occurrence else "")
