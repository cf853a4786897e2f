"""What YAML's parser complains of, said so that the author of a workflow knows what to write instead.

libyaml and PyYAML's own parser word the same complaint differently, and neither knows what was meant.
So the line itself is looked at, and the parser's words only choose where to look.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from penstock.core.errors import Problem
from penstock.load.tree import Document

QUOTE_IT = 'put the value in quotes: "…", or write it below `|`'
QUOTE_BRACES = 'put the value in quotes: "{{item}} …", or write it below `|`'

_Explain = Callable[[Document, int, int], Problem]
"""Makes the problem from the document, where the parser stopped, and where what it was reading began."""


def explain(document: Document, complaint: str, stopped: int, began: int) -> Problem:
    """The first thing that stops the document from being YAML, with its place and what helps.

    `complaint` are the parser's words for what it was doing and what it met, `stopped` where it met it and
    `began` where it began: indices into the document.
    """
    if document.source[stopped : stopped + 1] == "\t":
        return document.problem(stopped, "a tab, where YAML takes only spaces", "indent with spaces")
    for pattern, say in _COMPLAINTS:
        if re.search(pattern, complaint):
            return say(document, stopped, began)
    return document.problem(stopped, f"this is not YAML: {complaint}")


def _colon(document: Document, stopped: int, began: int) -> Problem:
    before = _line_before(document, stopped)
    if re.search(r":\s", before):
        return document.problem(stopped, "`: ` within a value, where YAML expects the value to end", QUOTE_IT)
    line = document.place(stopped).line
    above = next((n for n in range(line - 1, 0, -1) if document.line(n).strip()), line)
    if re.search(r":(\s|$)", document.line(above)):
        return document.problem(
            document.starts[line - 1] + _indent(document.line(line)),
            f"this key stands below line {above}, which has a value already",
            "begin it in the same column as the key above",
            width=len(document.line(line)),
        )
    return document.problem(
        document.starts[above - 1] + _indent(document.line(above)),
        f"this line is no key, but line {line} below it is one",
        "a key is followed by `: `, with the space",
        width=len(document.line(above)),
    )


def _start(document: Document, stopped: int, began: int) -> Problem:
    letter = document.source[stopped]
    return document.problem(stopped, f"a value cannot begin with {letter}", QUOTE_IT)


def _key(document: Document, stopped: int, began: int) -> Problem:
    before = _line_before(document, stopped)
    braces = re.search(r"(?:^|[:-]\s+)(\{\{.*)$", before)
    if braces:
        return document.problem(stopped - len(braces.group(1)), "`{{` begins a mapping in YAML", QUOTE_BRACES, width=2)
    if before.rstrip()[-1:] in ('"', "'"):
        quote = before.rstrip()[-1]
        return document.problem(stopped, f"text after the closing {quote} of a value", QUOTE_IT)
    return document.problem(
        stopped,
        "the indentation of this line fits no line above it",
        f"keys of one mapping begin in the same column; this mapping began on line {document.place(began).line}",
        width=len(document.source),
    )


def _element(document: Document, stopped: int, began: int) -> Problem:
    line = document.place(began).line
    return document.problem(
        stopped,
        f"this line is no element of the list that begins on line {line}",
        "an element begins with `- `; the keys of a step stand under its first key, in the same column",
        width=len(document.source),
    )


def _quote(document: Document, stopped: int, began: int) -> Problem:
    quote = document.source[began]
    return document.problem(began, f"this {quote} is never closed", f"close it with {quote}")


def _bracket(document: Document, stopped: int, began: int) -> Problem:
    opened = document.source[began]
    closing = "]" if opened == "[" else "}"
    if document.source.startswith("{{", began):
        return document.problem(began, "`{{` begins a mapping in YAML", QUOTE_BRACES, width=2)
    return document.problem(
        began, f"this `{opened}` is not closed", f"close it with `{closing}`, and separate the elements with commas"
    )


def _escape(document: Document, stopped: int, began: int) -> Problem:
    backslash = document.source.rfind("\\", 0, stopped + 1)
    written = document.source[backslash : backslash + 2]
    if written[1:] in ("x", "u", "U"):
        return document.problem(
            backslash, f"`{written}…` stands for no character", "write the character itself", width=2
        )
    return document.problem(
        backslash,
        f'`{written}` is no escape that a "…" value knows',
        f"write `\\{written}`, or put the value in '…', where a backslash is a backslash",
        width=2,
    )


def _anchor(document: Document, stopped: int, began: int) -> Problem:
    letter = document.source[began]
    what = "an alias" if letter == "*" else "an anchor"
    return document.problem(began, f"`{letter}` at the start of a value begins {what} in YAML", QUOTE_IT)


def _block(document: Document, stopped: int, began: int) -> Problem:
    letter = document.source[began]
    return document.problem(
        stopped, f"text on the line of `{letter}`", f"`{letter}` ends its line; the text begins on the next, indented"
    )


def _no_key(document: Document, stopped: int, began: int) -> Problem:
    return document.problem(
        began,
        "this line is no key, and does not go on with the value above",
        "a key is followed by `: `, with the space; a value of several lines stands below `|`, indented",
        width=len(document.source),
    )


def _document(document: Document, stopped: int, began: int) -> Problem:
    return document.problem(stopped, "text after the end of the document", "remove the line `...`, or what follows it")


def _tag(document: Document, stopped: int, began: int) -> Problem:
    return document.problem(began, "`!` at the start of a value begins a tag in YAML", QUOTE_IT)


def _directive(document: Document, stopped: int, began: int) -> Problem:
    return document.problem(began, "`%` at the start of a line begins a directive in YAML", "remove the line")


def _line_before(document: Document, index: int) -> str:
    place = document.place(index)
    return document.line(place.line)[: place.column - 1]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


_COMPLAINTS: tuple[tuple[str, _Explain], ...] = (
    ("mapping values are not allowed", _colon),
    ("cannot start any token", _start),
    ("quoted scalar: .*end of stream|quoted scalar: .*document separator|quoted scalar: .*document indicator", _quote),
    ("escape character|invalid Unicode character escape|escape sequence", _escape),
    ("flow (sequence|mapping)", _bracket),
    ("block collection", _element),
    ("block mapping", _key),
    ("an (alias|anchor)", _anchor),
    ("a tag", _tag),
    ("a block scalar", _block),
    ("a simple key", _no_key),
    ("directive", _directive),
    ("document start", _document),
)
