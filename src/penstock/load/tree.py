"""A YAML document as a tree that knows where each of its characters came from.

YAML folds lines, doubles quotes and undoes escapes, so an offset in a value is not an offset in the
file. But what it changes is white space and escapes only: the other characters of a value stand in
the file in the same order. Pairing them gives the way back.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from penstock.core.canon import Json
from penstock.core.errors import Place, Problem

_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)+")
_SINGLE_QUOTED = re.compile(r"''|.", re.DOTALL)
_DOUBLE_QUOTED = re.compile(r"\\(?:x..|u.{4}|U.{8}|\r\n|.)|.", re.DOTALL)
_KEY_WRITTEN = re.compile(r"""(api[_-]?key["']?\s*:\s*)(?!["']?\$\{\w+\}["']?\s*(?:[,}#]|$))(\S.*)""", re.IGNORECASE)
_USER_WRITTEN = re.compile(r"(://)([^/\s@]+)(?=@)")
_WHITE = frozenset(" \t\r\n")
_SHOWN = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")
_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A single value: `text` as YAML reads it, `value` by the core schema, `style` one of `"" ' " | >`.

    `start` and `end` are character indices into the document, tag and anchor left out.
    """

    text: str
    value: Json
    style: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """A list."""

    elements: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """Keys and values in the document's order; every key once."""

    entries: tuple[tuple[Scalar, Node], ...]
    start: int
    end: int

    def get(self, name: str) -> Node | None:
        """The value of that key, None where there is none."""
        return next((value for key, value in self.entries if key.text == name), None)

    def key(self, name: str) -> Scalar | None:
        """The key itself, None where there is none."""
        return next((key for key, _ in self.entries if key.text == name), None)


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Spelling:
    """A text and, for each of its characters and its end, the index in the document it came from."""

    text: str
    spots: tuple[int, ...]

    def without(self, start: int, end: int) -> Spelling:
        """The same text with a part left out."""
        return Spelling(self.text[:start] + self.text[end:], self.spots[:start] + self.spots[end:])


@dataclass(frozen=True, slots=True)
class Document:
    """A text and its name as the user gave it; `starts` are the indices at which its lines begin."""

    file: str
    source: str
    starts: tuple[int, ...]

    def place(self, index: int) -> Place:
        """Line and column of a character index, both from 1."""
        line = bisect_right(self.starts, index) - 1
        return Place(self.file, line + 1, index - self.starts[line] + 1)

    def line(self, number: int) -> str:
        """The text of a line, counted from 1, without its end."""
        end = self.starts[number] if number < len(self.starts) else len(self.source)
        return self.source[self.starts[number - 1] : end].rstrip("\r\n")

    def text_of(self, node: Node) -> str:
        """What stands in the document for a node."""
        return self.source[node.start : node.end]

    def problem(self, at: Node | int, message: str, help: str | None = None, width: int | None = None) -> Problem:
        """A problem at a node, or at a character index; the caret stays on the line on which it begins."""
        start, end = (at, at + 1) if isinstance(at, int) else (at.start, at.end)
        place = self.place(start)
        line = self.line(place.line)
        room = len(line.rstrip()) - (place.column - 1)
        return Problem(place, message, help, _masked(line.translate(_SHOWN)), max(1, min(width or end - start, room)))

    def spelling(self, scalar: Scalar) -> Spelling:
        """The scalar's text with the way back; its start stands for what cannot be traced."""
        return Spelling(scalar.text, _spots(self.source, scalar))

    def locate(self, scalar: Scalar, offset: int) -> Place:
        """Line and column of the character at `offset` in a scalar's value."""
        spots = self.spelling(scalar).spots
        return self.place(spots[min(offset, len(spots) - 1)])


@dataclass(frozen=True, slots=True)
class Tree:
    """A document that YAML can read: its root, and what is wrong with it all the same."""

    document: Document
    root: Mapping
    problems: tuple[Problem, ...] = ()


def document(file: str, source: str) -> Document:
    """A text with its lines counted as editors count them, which is not how YAML 1.1 does."""
    return Document(file, source, (0, *(match.end() for match in _LINE_BREAK.finditer(source))))


def plain(node: Node) -> Json:
    """The node as JSON: mappings with text keys, numbers as they were written."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(element) for element in node.elements]
    return {key.text: plain(value) for key, value in node.entries}


def content_start(source: str, start: int) -> int:
    """Where a node's content begins, after `&anchor` and `!tag`."""
    found = _PROPERTIES.match(source, start)
    return found.end() if found else start


def _masked(line: str) -> str:
    """The line without what somebody may have written into it that nobody should see: what follows `api_key:` and is
    no `${NAME}`, and the user and password of an address."""
    for pattern in (_KEY_WRITTEN, _USER_WRITTEN):
        line = pattern.sub(lambda match: match.group(1) + "*" * len(match.group(2)), line)
    return line


def _spots(source: str, scalar: Scalar) -> tuple[int, ...]:
    text = scalar.text
    spots = [-1] * (len(text) + 1)
    written = _written(source, scalar)
    for offset, letter in enumerate(text):
        if letter in _WHITE:
            continue
        found, index = next(written, ("", -1))
        if found != letter:
            return (scalar.start,) * (len(text) + 1)
        spots[offset] = index
    return _fill(text, spots, scalar.start)


def _fill(text: str, spots: list[int], start: int) -> tuple[int, ...]:
    """White space that leads a line is counted back from what follows it, all other on from what precedes it."""
    for offset in range(len(text) - 2, -1, -1):
        if spots[offset] < 0 <= spots[offset + 1] and text[offset] != "\n" and _leads(text, offset):
            spots[offset] = spots[offset + 1] - 1
    for offset, spot in enumerate(spots):
        if spot < 0:
            spots[offset] = spots[offset - 1] + 1 if offset else start
    spots[-1] = spots[len(text.rstrip())]
    return tuple(spots)


def _leads(text: str, offset: int) -> bool:
    before = text[text.rfind("\n", 0, offset) + 1 : offset]
    return "\n" in text[:offset] and not before.strip(" \t")


def _written(source: str, scalar: Scalar) -> Iterator[tuple[str, int]]:
    """Each character of the scalar that is not white space, escapes undone, with its index."""
    start, end = scalar.start, scalar.end
    if scalar.style in ("|", ">"):
        header = _LINE_BREAK.search(source, start, end)
        start = header.end() if header else end
    elif scalar.style:
        start, end = start + 1, end - 1
    pattern = {"'": _SINGLE_QUOTED, '"': _DOUBLE_QUOTED}.get(scalar.style)
    if pattern is None:
        yield from ((source[index], index) for index in range(start, end) if source[index] not in _WHITE)
        return
    for match in pattern.finditer(source, start, end):
        letter = _unescaped(match.group())
        if letter and letter not in _WHITE:
            yield letter, match.start()


def _unescaped(written: str) -> str:
    if len(written) == 1:
        return written
    if written == "''":
        return "'"
    mark, digits = written[1], written[2:]
    if mark in "xuU":
        return chr(int(digits, 16))
    return "" if mark in "\r\n" else _ESCAPES.get(mark, mark)
