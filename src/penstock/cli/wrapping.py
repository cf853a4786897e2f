"""Text in lines that fit a terminal: East Asian wide characters take two columns of it, combining marks none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_WORD = re.compile(r"(\s*)(\S+)")


def columns(text: str) -> int:
    """How many columns a terminal shows the text in."""
    return sum(map(_columns, text))


def wrapped(text: str, head: str, width: int) -> list[str]:
    """The words of the text in lines of at most `width` columns: the first after `head`, the others as far in.

    The space between two words of a line is as it was. A word that is wider than a line is cut. An empty text is the
    head alone.
    """
    indent = " " * columns(head)
    room = max(1, width - len(indent))
    lines: list[str] = []
    for gap, word in _WORD.findall(text.expandtabs(4)):
        first, *others = _parts(word, room)
        if lines and columns(f"{lines[-1]}{gap}{first}") <= room:
            lines[-1] = f"{lines[-1]}{gap}{first}"
        else:
            lines.append(first)
        lines += others
    return [f"{indent if number else head}{line}" for number, line in enumerate(lines)] or [head.rstrip()]


def _parts(word: str, room: int) -> Iterator[str]:
    """The word in pieces that fit; the last may share its line with what follows."""
    taken, part = 0, ""
    for sign in word:
        wide = _columns(sign)
        if part and taken + wide > room:
            yield part
            taken, part = 0, ""
        taken, part = taken + wide, part + sign
    yield part


def _columns(sign: str) -> int:
    if unicodedata.combining(sign):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1
