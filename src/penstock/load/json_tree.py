"""JSON text to the tree that YAML becomes, so that a place in a schema's file can be told like one in the workflow."""

from __future__ import annotations

import json
import re
from json import JSONDecodeError
from math import isinf

from penstock.core import canon
from penstock.core.errors import Problem
from penstock.load.tree import Document, Mapping, Node, Scalar, Sequence

_BLANK = " \t\r\n"
_SPACE = re.compile(r"[ \t\r\n]*")
_decode = json.JSONDecoder(parse_float=canon.WrittenFloat).raw_decode
_DEEPEST = 60


class NotJson(Exception):
    """The text is not JSON; `problem` says where."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def tree_of(document: Document) -> Node:
    """The root of a JSON document. NotJson if it is none, gives a key twice, or is nested too deeply."""
    try:
        canon.parse(document.source)
    except JSONDecodeError as error:
        raise NotJson(_explained(document, error)) from None
    except ValueError as error:
        raise NotJson(document.problem(0, f"this is not JSON: {error}")) from None
    return _Reader(document).node(0, 0)[0]


def _explained(document: Document, error: JSONDecodeError) -> Problem:
    """What is wrong where JSON ends. For a comma too many each version of Python has words and a place of its own."""
    source, at = document.source, min(error.pos, len(document.source))
    before = len(source[:at].rstrip(_BLANK)) - 1
    comma = at if source[at : at + 1] == "," else before
    after = source[comma + 1 :].lstrip(_BLANK)[:1]
    if source[comma : comma + 1] == "," and after in ("}", "]"):
        return document.problem(comma, f"this is not JSON: a comma, and then `{after}`", "remove the comma")
    return document.problem(at, f"this is not JSON: {error.msg[:1].lower()}{error.msg[1:]}")


class _Reader:
    """Reads a text that is JSON for certain, minding where things stand."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._text = document.source

    def node(self, at: int, depth: int) -> tuple[Node, int]:
        """The value that begins at or after an index, and where it ends."""
        at = self._skip(at)
        if depth > _DEEPEST:
            raise NotJson(self._document.problem(at, f"nested deeper than {_DEEPEST} levels"))
        if self._text[at] == "{":
            return self._mapping(at, depth)
        if self._text[at] == "[":
            return self._sequence(at, depth)
        return self._scalar(at)

    def _scalar(self, at: int) -> tuple[Scalar, int]:
        value, end = _decode(self._text, at)
        if isinstance(value, str):
            return Scalar(value, value, '"', at, end), end
        scalar = Scalar(self._text[at:end], value, "", at, end)
        if isinstance(value, float) and isinf(value):
            raise NotJson(self._document.problem(scalar, "this number is too large"))
        return scalar, end

    def _sequence(self, start: int, depth: int) -> tuple[Sequence, int]:
        elements: list[Node] = []
        at = self._skip(start + 1)
        while self._text[at] != "]":
            element, at = self.node(at + (self._text[at] == ","), depth + 1)
            elements.append(element)
            at = self._skip(at)
        return Sequence(tuple(elements), start, at + 1), at + 1

    def _mapping(self, start: int, depth: int) -> tuple[Mapping, int]:
        entries: dict[str, tuple[Scalar, Node]] = {}
        at = self._skip(start + 1)
        while self._text[at] != "}":
            key, at = self._scalar(self._skip(at + (self._text[at] == ",")))
            value, at = self.node(self._skip(at) + 1, depth + 1)
            if key.text in entries:
                line = self._document.place(entries[key.text][0].start).line
                wrong = f"`{key.text}` is given twice; the first is on line {line}"
                raise NotJson(self._document.problem(key, wrong, "keep one of the two"))
            entries[key.text] = (key, value)
            at = self._skip(at)
        return Mapping(tuple(entries.values()), start, at + 1), at + 1

    def _skip(self, at: int) -> int:
        space = _SPACE.match(self._text, at)
        return space.end() if space else at
