"""Mending an answer that is not JSON, by taking characters away and never changing a value.

What may go: a byte order mark, Markdown fences and prose around the one value, and commas before a closing bracket.
What was cut off is not mended: nothing is ever added. Where two values could be meant, none is chosen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock.core import canon

_OPENING = re.compile(r"[\[{\]}]")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]|,|[^\s\[\]{},"]+|"', re.DOTALL)
_FENCED = re.compile(r"\s*(?P<fence>`{3,}|~{3,})[^\n`]*\n(?P<body>.*?)\n?[ \t]*(?P=fence)\s*", re.DOTALL)
_LIKE_JSON = re.compile("""["':]""")
_PAIRS = {"[": "]", "{": "}"}
_MARK_AND_SPACE = "\ufeff \t\r\n"


def mend(text: str) -> str | None:
    """The one JSON value that a text holds, as JSON; None if there is none, or two, or if it was cut off.

    A valid JSON text comes back as it is. The result is the text less some characters, none of them inside a string.
    """
    for whole in (text, text.strip(_MARK_AND_SPACE), _unfenced(text)):
        if whole is not None and _is_json(whole):
            return whole
    return _only_value(text)


def _unfenced(text: str) -> str | None:
    fenced = _FENCED.fullmatch(text.strip(_MARK_AND_SPACE))
    return fenced["body"] if fenced else None


def _is_json(text: str) -> bool:
    try:
        canon.parse(text)
    except ValueError:
        return False
    return True


def _only_value(text: str) -> str | None:
    """The one object or array in the text. Anything else that could be one, whole or broken, makes it ambiguous."""
    found: str | None = None
    at = 0
    while bracket := _OPENING.search(text, at):
        span = _span(text, bracket.start())
        if span is None:
            return None
        at = span.end
        piece = _without(text, span)
        if _is_json(piece):
            if found is not None:
                return None
            found = piece
        elif _LIKE_JSON.search(piece):
            return None
    return found


@dataclass(frozen=True, slots=True)
class _Span:
    """From an opening bracket to behind the one that closes it, and where commas stand that end a list."""

    start: int
    end: int
    commas: tuple[int, ...]


def _span(text: str, start: int) -> _Span | None:
    """None if the bracket is never closed, closed by another one, or itself a closing one."""
    closing: list[str] = []
    commas: list[int] = []
    comma, before, last = 0, "", ""
    for token in _TOKEN.finditer(text, start):
        word = token[0]
        if word in _PAIRS:
            closing.append(_PAIRS[word])
        elif word in "]}":
            if not closing or closing.pop() != word:
                return None
            if last == "," and before not in ("", ",", "[", "{"):
                commas.append(comma)
            if not closing:
                return _Span(start, token.end(), tuple(commas))
        elif word == ",":
            comma = token.start()
        elif word == '"':
            return None
        before, last = last, word
    return None


def _without(text: str, span: _Span) -> str:
    """The span's text less its trailing commas."""
    starts = (span.start, *(comma + 1 for comma in span.commas))
    ends = (*span.commas, span.end)
    return "".join(text[start:end] for start, end in zip(starts, ends, strict=True))
