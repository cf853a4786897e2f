"""A JSON object with some of its fields set, and every other byte of its text as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from penstock.core.canon import Json, compact

_SPACE = re.compile(r"[ \t\n\r]*")
_decoder = json.JSONDecoder()


class Field(NamedTuple):
    """Where a field's value stands in the text: from `start` up to `end`."""

    name: str
    start: int
    end: int


def with_fields(raw: bytes, changes: Mapping[str, Json]) -> bytes:
    """The object's text with these fields set: in their place where they stand, else at the end. A field that stands
    twice is set twice, since servers differ on which of them counts.

    ValueError if the text is no JSON object in UTF-8.
    """
    if not changes:
        return raw
    text = raw.decode("utf-8")
    opening = _skip(text, 0)
    if text[opening : opening + 1] != "{":
        raise ValueError("is no JSON object")
    found = list(_fields(text, opening + 1))
    pieces: list[str] = []
    at = 0
    for field in found:
        if field.name in changes:
            pieces += [text[at : field.start], compact(changes[field.name])]
            at = field.end
    names = {field.name for field in found}
    added = [f"{compact(name)}:{compact(value)}" for name, value in changes.items() if name not in names]
    last = found[-1].end if found else opening + 1
    pieces += [text[at:last], *(["," if found else "", ",".join(added)] if added else []), text[last:]]
    return "".join(pieces).encode("utf-8", "backslashreplace")


def _fields(text: str, at: int) -> Iterator[Field]:
    """The fields of the object whose brace is before `at`, in the order in which they stand."""
    at = _skip(text, at)
    while text[at : at + 1] != "}":
        if text[at : at + 1] != '"':
            raise ValueError("is no JSON object")
        name, at = _decoder.raw_decode(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise ValueError("is no JSON object")
        start = _skip(text, at + 1)
        _, end = _decoder.raw_decode(text, start)
        yield Field(name, start, end)
        at = _skip(text, end)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match is not None else at
