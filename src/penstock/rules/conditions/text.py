"""The text of a condition before and after Python reads it: traps refused, keywords masked, slips explained."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

from penstock.core.errors import AuthorError

_LONGEST = 4000
_DEEPEST_BRACKETS = 64
_CLOSES = {")": "(", "]": "[", "}": "{"}

_TOKEN = re.compile(
    r"""
      (?P<prefix>[A-Za-z]{0,2}) (?P<string> "(?:[^"\\\r\n]|\\.)*" | '(?:[^'\\\r\n]|\\.)*' )
    | (?P<quote> ["'] )
    | (?P<number> 0[xXoObB][0-9a-fA-F_]+ | (?: [0-9][0-9_]*\.?[0-9_]* | \.[0-9]+ ) (?: [eE][+-]?[0-9]+ )? )
      (?P<glued> [^\W0-9]\w* )?
    | \.\s* (?P<field> [^\W0-9]\w* )
    | \w+
    | (?P<open> [(\[{] )
    | (?P<close> [)\]}] )
    | (?P<comment> \# )
    | [\s\S]
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = frozenset("\\'\"abfnrtvxuUN")

# What other languages, and keyboards, write for it. The longest come first.
_SLIPS = {
    "&&": "and",
    "||": "or",
    "!==": "!=",
    "===": "==",
    "<>": "!=",
    "=>": ">=",
    "=<": "<=",
    "=": "==",
    "!": "not",
    "?": "a if test else b",
    "AND": "and",
    "OR": "or",
    "NOT": "not",
    "≥": ">=",
    "≤": "<=",
    "≠": "!=",
    "×": "*",
    "÷": "/",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "（": "(",
    "）": ")",
    "，": ",",
}
_SLIP = re.compile(r"&&|\|\||!==|===|<>|=>|=<|(?<![=!<>])=(?!=)|!(?!=)|\?|\b(?:AND|OR|NOT)\b|[≥≤≠×÷“”‘’（），]")


class ExpressionError(AuthorError):
    """A condition that cannot be one. `offset` and `width` place it in its text, in characters from 0."""

    def __init__(self, message: str, offset: int, width: int, help: str) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.width = width
        self.help = help


def masked(text: str) -> str:
    """The text as Python may read it, of the same length. ExpressionError for what Python would misread."""
    if not text.strip():
        raise ExpressionError("the condition is empty", 0, 1, "write a comparison, such as item.score > 0.5")
    if len(text) > _LONGEST:
        raise ExpressionError(f"the condition has over {_LONGEST:,} characters", 0, 1, "split it in two steps")
    surrogate = re.search("[\ud800-\udfff\0]", text)
    if surrogate:
        raise ExpressionError("this is no character", surrogate.start(), 1, "take it out")
    _check_brackets(text)
    _check_strings(text)
    pieces = [_masked_token(token) for token in _TOKEN.finditer(text)]
    return "".join(pieces)


def syntax_slip(text: str, readable: str, error: SyntaxError) -> ExpressionError:
    """What an author most likely meant with a text that Python could not read."""
    bare = "".join("_" * len(token[0]) if token["string"] else token[0] for token in _TOKEN.finditer(text))
    slip = _SLIP.search(bare)
    if slip:
        written = _SLIPS[slip[0]]
        return ExpressionError(f"`{slip[0]}` is not part of the language", *_extent(slip), f"write {written}")
    if "unicode" in (error.msg or ""):
        return ExpressionError("a \\ escape in this text is not complete", 0, len(text), 'for a plain \\, write r"…"')
    offset = min(max((error.offset or 1) - 2, 0), len(text))
    if not text[offset:].strip():
        help = "something is missing after this"
        return ExpressionError("the condition ends too early", len(text.rstrip()) - 1, 1, help)
    help = "an operator, a comma or a quote is missing, or one too many"
    return ExpressionError("this is not understood here", offset, 1, help)


def _extent(match: re.Match[str]) -> tuple[int, int]:
    return match.start(), match.end() - match.start()


def _masked_token(token: re.Match[str]) -> str:
    """A field may have the name of a keyword, `item.class`; its name is read from the text later."""
    if token["field"] and keyword.iskeyword(token["field"]):
        return token[0].replace(token["field"], "x" * len(token["field"]))
    return " " if token[0].isspace() else token[0]


def _check_brackets(text: str) -> None:
    opened: list[re.Match[str]] = []
    for token in _TOKEN.finditer(text):
        if token["comment"]:
            # YAML may fold lines into one, and all after the sign would be lost in silence.
            raise ExpressionError("a condition has no comments", *_extent(token), "put it in the YAML, before the key")
        if token["open"]:
            opened.append(token)
        if token["close"] and (not opened or opened.pop()[0] != _CLOSES[token[0]]):
            help = f"is a {_CLOSES[token[0]]} missing?"
            raise ExpressionError(f"this {token[0]} closes nothing", *_extent(token), help)
        if len(opened) > _DEEPEST_BRACKETS:
            raise ExpressionError("the condition is nested too deeply", *_extent(token), "split it in two steps")
    if opened:
        raise ExpressionError(f"this {opened[-1][0]} is not closed", *_extent(opened[-1]), "is a bracket missing?")


def _check_strings(text: str) -> None:
    for before, token in _pairs(text):
        if token["quote"]:
            raise ExpressionError("this quote is not closed", *_extent(token), f"is a {token[0]} missing at the end?")
        if token["glued"]:
            help = f"write {token['number']} {token['glued']}"
            raise ExpressionError("a number ends where a word begins", *_extent(token), help)
        if token["string"] and before and before["string"]:
            help = "put a comma, + or an operator between"
            raise ExpressionError("two texts stand side by side", *_extent(token), help)
        if token["string"] and "r" not in token["prefix"].lower():
            _check_escapes(token)


def _pairs(text: str) -> Iterator[tuple[re.Match[str] | None, re.Match[str]]]:
    """Each token with the one before it, white space left out."""
    before = None
    for token in _TOKEN.finditer(text):
        if not token[0].isspace():
            yield before, token
            before = token


def _check_escapes(token: re.Match[str]) -> None:
    for escape in _ESCAPE.finditer(token["string"]):
        if escape[1] not in _ESCAPES:
            start = token.start("string") + escape.start()
            raise ExpressionError(f"{escape[0]} is no escape in a text", start, 2, f"write r{token['string']}")
