"""Where placeholders stand in a shell text, and the expansion that fits each place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from penstock.rules.placeholders import Fault
from penstock.rules.shell.syntax import (
    Piece,
    Quote,
    Statement,
    Sub,
    Sum,
    Text,
    Use,
    Value,
    Word,
    children,
    inner,
    parts,
)

_RANGE = re.compile(r"\{[^{},\s]*\.\.[^{},\s]*\}")


@dataclass(frozen=True, slots=True)
class Standing:
    """A placeholder and what is around it: `within` from the outermost piece in, `word` the whole."""

    value: Value
    within: tuple[Piece, ...]
    word: Word | Sum


def standings(block: tuple[Statement, ...]) -> Iterator[Standing]:
    """Every placeholder of a text, in no particular order."""
    for statement in block:
        for part in parts(statement):
            yield from _inside(part, (), part)
        for child in children(statement):
            yield from standings(child)


def _inside(part: Piece | Word, within: tuple[Piece, ...], word: Word | Sum) -> Iterator[Standing]:
    if isinstance(part, Value):
        yield Standing(part, within, word)
        return
    around = within if isinstance(part, Word) else (*within, part)
    if isinstance(part, Sub):
        for statement in part.body:
            for each in standings((statement,)):
                yield Standing(each.value, (*around, *each.within), each.word)
    for piece in inner(part):
        yield from _inside(piece, around, word)


def expansion(value: Value, variable: str) -> str:
    """What is written in the place of a placeholder, so that bash expands it there and nothing more."""
    if value.quote is Quote.BARE:
        return f'"${{{variable}}}"'
    if value.quote is Quote.SINGLE:
        return f"'\"${{{variable}}}\"'"
    return f"${{{variable}}}"


def misplaced(standing: Standing, text: str) -> Fault | None:
    """The fault if no expansion fits there, whatever its value."""
    value = standing.value
    name = value.placeholder.text
    wrong = _quoted(value) or _within(standing, name) or _beside(standing, text)
    return Fault(value.start, value.end - value.start, f"{name} {wrong[0]}.", wrong[1]) if wrong else None


def _quoted(value: Value) -> tuple[str, str] | None:
    name = value.placeholder.text
    if value.quote is Quote.ANSI:
        return "stands inside $'…', where bash expands nothing", f"end the quotes before it: $'…'{name}$'…'"
    if value.quote is Quote.FIXED:
        return (
            "stands in a here-document whose delimiter is quoted, so that bash expands nothing in it",
            "drop the quotes of the delimiter, or let the program read standard input or an argument",
        )
    return None


def _within(standing: Standing, name: str) -> tuple[str, str] | None:
    for at, piece in enumerate(standing.within):
        if isinstance(piece, Sub) and piece.style == "`":
            return "stands inside backquotes, whose quoting has rules of its own", "write $(…) instead"
        if isinstance(piece, Use):
            below = standing.within[at + 1] if at + 1 < len(standing.within) else standing.value
            if not isinstance(below, Sum):
                return "is nested inside ${…}", f"assign it first: value={name}, and use $value there"
    return None


def _beside(standing: Standing, text: str) -> tuple[str, str] | None:
    value = standing.value
    before = text[: value.start]
    dollars = len(before) - len(before.rstrip("$"))
    slashes = len(before.rstrip("$")) - len(before.rstrip("$").rstrip("\\"))
    if dollars % 2 and not (slashes % 2) and value.quote in (Quote.BARE, Quote.DOUBLE, Quote.HERE, Quote.SUM):
        return "has a `$` before it, which bash would read with it", "drop the `$`, or write \\$ for the sign itself"
    if value.quote is not Quote.BARE:
        return None
    if before.endswith("~") and standing.word.start == value.start - 1:
        return "comes after `~`, and a home folder is not looked up for a value", 'write "$HOME" or the path'
    bare = "".join(_sign(piece) for piece in inner(standing.word))
    if _RANGE.search(bare):
        seq = f"write $(seq 1 {value.placeholder.text})"
        return "stands in {a..b}, which bash works out before it expands anything", seq
    return None


def _sign(piece: Piece) -> str:
    return piece.text if isinstance(piece, Text) and piece.quote is Quote.BARE else "\0"
