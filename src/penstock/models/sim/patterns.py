"""A text that matches a regular expression, for the part of the language that schemas use (ECMA 262 as JSON Schema
names it): literals, classes, groups, alternatives, quantifiers and anchors. No look-around, no back-references."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

import re2  # type: ignore[import-untyped]  # ships no types

_WORD = string.ascii_lowercase + string.digits
_CLASSES = {"d": string.digits, "w": _WORD, "s": " ", "D": string.ascii_lowercase, "W": "-. ", "S": _WORD}
_PRINTABLE = "".join(map(chr, range(32, 127)))
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_PROPERTIES = {"L": "aZ", "Lu": "AZ", "Ll": "az", "N": "17", "Nd": "17", "P": "-.", "Letter": "aZ"}
_MORE = 3
_MOST_REPEATS = 2000
_MOST_PICKS = 20_000

Pick = Callable[[int], int]
"""Given a count, a number below it."""


class UnknownPattern(ValueError):
    """The expression uses what is not generated here."""


@dataclass(frozen=True, slots=True)
class _Letters:
    """One character of these."""

    options: str


@dataclass(frozen=True, slots=True)
class _Repeat:
    """A part, `least` to `most` times; `most` None for any number."""

    part: _Part
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class _Either:
    """One of several sequences."""

    options: tuple[tuple[_Part, ...], ...]


_Part = _Letters | _Repeat | _Either


def example(pattern: str, pick: Pick, more: int = 0) -> str:
    """A text that the pattern is meant to match; `more` is how many more than the least an open quantifier may repeat.

    UnknownPattern where the expression uses what is not known here.
    """
    return _written(_parsed(pattern), pick, more)


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found in the text. A pattern that linear time cannot do is tried on short texts only."""
    known = _compiled(pattern)
    if known is not None:
        return known.search(text) is not None
    try:
        return len(text) <= _MORE * 20 and re.search(pattern, text) is not None
    except re.error:
        return False


def fitting(
    patterns: Sequence[str], candidates: Sequence[str], pick: Callable[[str, int], int], length: tuple[int, float]
) -> str | None:
    """A text that matches every pattern and is as long as it may be: one of the candidates, else one that is made up.

    `pick` takes a label beside the count. None where nothing was found.
    """

    def fits(text: str) -> bool:
        return length[0] <= len(text) <= length[1] and all(matches(pattern, text) for pattern in patterns)

    found = next((text for text in candidates if fits(text)), None)
    if found is not None:
        return found
    for number, more in enumerate((2, 2, 2, 0, 4, 8, 16, 32, length[0])):
        for pattern in patterns:
            text = _tried(pattern, pick, number, more)
            if text is not None and fits(text):
                return text
    return None


def _tried(pattern: str, pick: Callable[[str, int], int], tried: int, more: int) -> str | None:
    drawn = count(1)

    def next_pick(options: int) -> int:
        number = next(drawn)
        if number > _MOST_PICKS:
            raise UnknownPattern(f"{pattern!r} makes too long a text")
        return pick(f"{pattern} {tried} {number}", options)

    try:
        return example(pattern, next_pick, min(more, _MOST_REPEATS))
    except (UnknownPattern, RecursionError):
        return None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None


@lru_cache(maxsize=256)
def _parsed(pattern: str) -> _Either:
    reader = _Reader(pattern)
    whole = reader.either()
    if reader.left:
        raise UnknownPattern(f"{pattern!r}: unmatched )")
    return whole


def _written(part: _Part, pick: Pick, more: int) -> str:
    match part:
        case _Letters(options):
            return options[pick(len(options))] if len(options) > 1 else options
        case _Repeat(inner, least, most):
            ceiling = least + more if most is None else min(most, least + more)
            times = ceiling if more > _MORE else least + pick(ceiling - least + 1)
            return "".join(_written(inner, pick, more) for _ in range(times))
        case _Either(options):
            return "".join(_written(each, pick, more) for each in options[pick(len(options))])


class _Reader:
    """Reads an expression from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    @property
    def left(self) -> str:
        """What was not read yet."""
        return self._pattern[self._at :]

    def either(self) -> _Either:
        """Alternatives up to a closing parenthesis or the end."""
        options = [self._sequence()]
        while self._skip("|"):
            options.append(self._sequence())
        return _Either(tuple(options))

    def _sequence(self) -> tuple[_Part, ...]:
        parts: list[_Part] = []
        while self.left and self.left[0] not in "|)":
            part = self._atom()
            if part is not None:
                parts.append(self._quantified(part))
        return tuple(parts)

    def _atom(self) -> _Part | None:
        """One part; None for an anchor, which takes no character."""
        letter = self._next()
        if letter in "^$":
            return None
        if letter == ".":
            return _Letters(_WORD)
        if letter == "(":
            return self._group()
        if letter == "[":
            return _Letters(self._class())
        if letter == "\\":
            return self._escape()
        return _Letters(letter)

    def _group(self) -> _Part:
        if self._skip("?") and not self._skip(":"):
            named = re.match(r"P?<(\w+)>", self.left)
            if named is None:
                raise UnknownPattern(f"{self._pattern!r}: (?{self.left[:1]} is not generated")
            self._at += named.end()
        inner = self.either()
        self._expect(")")
        return inner

    def _escape(self) -> _Part | None:
        letter = self._next()
        if letter in "bBAzZ":
            return None
        if letter.isdigit() and letter != "0":
            raise UnknownPattern(f"{self._pattern!r}: back-references are not generated")
        return _Letters(self._escaped(letter))

    def _escaped(self, letter: str) -> str:
        """The characters that an escape stands for."""
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter in "pP":
            return self._property(letter == "P")
        digits = re.match(r"[0-9a-fA-F]{4}" if letter == "u" else r"[0-9a-fA-F]{2}", self.left)
        if letter in "ux" and digits:
            self._at += digits.end()
            return chr(int(digits.group(), 16))
        return _CONTROLS.get(letter, letter)

    def _property(self, other: bool) -> str:
        named = re.match(r"\{(\w+)\}|(\w)", self.left)
        known = _PROPERTIES.get(named.group(1) or named.group(2)) if named else None
        if named is None or known is None or other:
            raise UnknownPattern(f"{self._pattern!r}: this character property is not generated")
        self._at += named.end()
        return known

    def _class(self) -> str:
        """The characters of `[…]`."""
        negated = self._skip("^")
        options = ""
        while not self._skip("]"):
            letter = self._next()
            found = self._escaped(self._next()) if letter == "\\" else letter
            if len(found) == 1 and re.match(r"-[^\]]", self.left):
                self._at += 1
                end = self._next()
                end = self._escaped(self._next()) if end == "\\" else end
                found = "".join(map(chr, range(ord(found), min(ord(end[0]), ord(found) + 255) + 1)))
            options += found
        allowed = "".join(each for each in _PRINTABLE if each not in options) if negated else options
        if not allowed:
            raise UnknownPattern(f"{self._pattern!r}: a class without a character that can be written")
        return allowed

    def _quantified(self, part: _Part) -> _Part:
        least, most = self._bounds()
        if (least, most) == (1, 1):
            return part
        self._skip("?")
        return _Repeat(part, least, most)

    def _bounds(self) -> tuple[int, int | None]:
        if self._skip("*"):
            return 0, None
        if self._skip("+"):
            return 1, None
        if self._skip("?"):
            return 0, 1
        counted = re.match(r"\{(\d+)(,?)(\d*)\}", self.left)
        if counted is None:
            return 1, 1
        self._at += counted.end()
        least = min(int(counted.group(1)), _MOST_REPEATS)
        if not counted.group(2):
            return least, least
        return least, int(counted.group(3)) if counted.group(3) else None

    def _next(self) -> str:
        if not self.left:
            raise UnknownPattern(f"{self._pattern!r} ends too early")
        self._at += 1
        return self._pattern[self._at - 1]

    def _skip(self, letter: str) -> bool:
        found = self._pattern.startswith(letter, self._at)
        self._at += found
        return found

    def _expect(self, letter: str) -> None:
        if not self._skip(letter):
            raise UnknownPattern(f"{self._pattern!r}: {letter} is missing")
