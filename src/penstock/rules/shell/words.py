"""Reads the words of a shell text: quotes, expansions, substitutions, arithmetic, and the placeholders in them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NoReturn

from penstock.core.workflow import Placeholder
from penstock.rules.placeholders import Fault
from penstock.rules.shell.syntax import Piece, Quote, Statement, Sub, Sum, Text, Use, Value, Word

BLANKS = " \t"
WORD_ENDS = " \t\n;&|<>()"
_SIMPLIFY = "write it more simply, or move it to a script file that the step calls"
_DEPTH = 60

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]")
_BRACED = re.compile(r"([!#](?=[A-Za-z_0-9@*]))?([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-])")
_OP = re.compile(r":[-=?+]|[-=?+]|##?|%%?|//?|\^\^?|,,?|@[A-Za-z](?=\})|[@*](?=\})|:")
_DEFAULTS = ("-", "=", "?", "+")


class Unreadable(Exception):
    """The text, or this part of it, is not bash as Penstock reads it."""

    def __init__(self, offset: int, message: str, help: str = _SIMPLIFY) -> None:
        super().__init__(message)
        self.fault = Fault(offset, 1, f"Penstock cannot read this part of the text as bash: {message}.", help)


class WordReader(ABC):
    """A position in a text that moves over words. `marks` are the placeholders by where they start."""

    def __init__(self, text: str, marks: Mapping[int, Placeholder]) -> None:
        self.text = text
        self.marks = marks
        self.at = 0
        self.limit = len(text)
        self.depth = 0

    @abstractmethod
    def enclosed(self) -> tuple[Statement, ...]:
        """The statements up to a closing parenthesis, which is left unread."""

    @abstractmethod
    def all(self) -> tuple[Statement, ...]:
        """The statements up to the limit."""

    def word(self, ends: str = WORD_ENDS, nests: bool = False) -> Word:
        """The word that starts here. With `nests`, parentheses belong to it, as in a pattern of `[[ ]]`."""
        start = self.at
        pieces = self._bare(ends, nests)
        if not pieces:
            self.refuse(f"a word was expected, not {self.next()!r}" if self.next() else "the text ends too early")
        return Word(start, self.at, pieces)

    def sum(self, closing: str) -> Sum:
        """The arithmetic from here to `closing`, which is left unread."""
        start, nested = self.at, 0
        pieces: list[Piece] = []
        while self.at < self.limit and not (nested == 0 and self.text.startswith(closing, self.at)):
            sign = self.next()
            if self.at in self.marks:
                pieces.append(self._value(Quote.SUM))
            elif sign == '"':
                pieces.extend(self._double())
            elif sign == "'":
                pieces.extend(self._single())
            elif sign == "$" or sign == "`":
                pieces.append(self._expansion(Quote.SUM))
            else:
                nested += (sign in "([") - (sign in ")]")
                width = 2 if sign == "\\" else 1
                pieces.append(Text(self.at, self.at + width, self.text[self.at : self.at + width], Quote.SUM))
                self.at += width
            if nested < 0:
                self.refuse("arithmetic ends in the middle; put a space between `(` and `(` for a subshell")
        if self.at >= self.limit and closing:
            self.refuse(f"arithmetic has no closing `{closing}`")
        return Sum(start, self.at, tuple(pieces))

    def here(self, start: int, end: int) -> tuple[Piece, ...]:
        """The pieces of a here-document's lines, whose delimiter is not quoted."""
        saved, self.at, self.limit = (self.at, self.limit), start, end
        pieces = self._expandable("", Quote.HERE)
        self.at, self.limit = saved
        return pieces

    def fixed(self, start: int, end: int, quote: Quote) -> tuple[Piece, ...]:
        """The pieces of a region where nothing is expanded: text, and the placeholders in it."""
        pieces: list[Piece] = []
        saved, self.at = self.at, start
        while self.at < end:
            if self.at in self.marks:
                pieces.append(self._value(quote))
                continue
            from_ = self.at
            self.at += 1
            while self.at < end and self.at not in self.marks:
                self.at += 1
            text = self.text[from_ : self.at]
            pieces.append(Text(from_, self.at, "\0" if quote is Quote.ANSI and "\\" in text else text, quote))
        self.at = saved
        return tuple(pieces)

    def next(self) -> str:
        """The next character, or nothing at the limit."""
        return self.text[self.at] if self.at < self.limit else ""

    def deeper(self) -> None:
        """Counts one level of nesting more; whoever reads it takes it away from `depth` again."""
        self.depth += 1
        if self.depth > _DEPTH:
            self.refuse("nested too deeply")

    def refuse(self, message: str, help: str = _SIMPLIFY) -> NoReturn:
        raise Unreadable(min(self.at, len(self.text) - 1), message, help)

    def _value(self, quote: Quote) -> Value:
        start, placeholder = self.at, self.marks[self.at]
        self.at += len(placeholder.text)
        return Value(start, self.at, placeholder, quote)

    def _bare(self, ends: str, nests: bool = False) -> tuple[Piece, ...]:
        pieces: list[Piece] = []
        nested = 0
        while self.at < self.limit:
            sign, two = self.next(), self.text[self.at : min(self.at + 2, self.limit)]
            if self.at in self.marks:
                pieces.append(self._value(Quote.BARE))
            elif two in ("<(", ">(") and ("<" in ends or nests):
                pieces.append(self._substitution(two, Quote.BARE))
            elif nests and sign in "()" and (nested or sign == "("):
                nested += 1 if sign == "(" else -1
                pieces.append(self._plain(1))
            elif sign in ends and not (nested and sign != "\n") and not (nests and sign == "|" and two != "||"):
                break
            elif sign == "'":
                pieces.extend(self._single())
            elif sign == '"':
                pieces.extend(self._double())
            elif sign == "\\":
                pieces.extend(self._backslash())
            elif two in ("$'", '$"'):
                pieces.extend(self._dollar_quote())
            elif sign in "$`":
                pieces.append(self._expansion(Quote.BARE))
            else:
                pieces.append(self._run(ends + "'\"\\$`<>" + ("()" if nests else ""), Quote.BARE))
        return tuple(pieces)

    def _run(self, specials: str, quote: Quote) -> Text:
        start = self.at
        self.at += 1
        while self.at < self.limit and self.text[self.at] not in specials and self.at not in self.marks:
            self.at += 1
        return Text(start, self.at, self.text[start : self.at], quote)

    def _plain(self, width: int) -> Text:
        self.at += width
        return Text(self.at - width, self.at, self.text[self.at - width : self.at], Quote.BARE)

    def _backslash(self) -> tuple[Piece, ...]:
        start = self.at
        self.at += 2
        if self.at > self.limit:
            self.at = self.limit
            self.refuse("the text ends with a backslash")
        text = self.text[start + 1 : self.at]
        return (Text(start, self.at, "" if text == "\n" else text, Quote.SINGLE),)

    def _single(self) -> tuple[Piece, ...]:
        start = self.at
        end = self._close(start + 1, "'", escapes=False)
        pieces = self.fixed(start + 1, end, Quote.SINGLE)
        self.at = end + 1
        return pieces or (Text(start, self.at, "", Quote.SINGLE),)

    def _dollar_quote(self) -> tuple[Piece, ...]:
        start = self.at
        if self.text[start + 1] == "'":
            end = self._close(start + 2, "'", escapes=True)
            pieces = self.fixed(start + 2, end, Quote.ANSI)
            self.at = end + 1
            return pieces or (Text(start, self.at, "", Quote.ANSI),)
        self.at += 1
        pieces = self._double()
        if not all(isinstance(piece, Text) for piece in pieces):
            self.at = start
            self.refuse('$"…" is a text to translate', 'drop the `$` before `"`')
        return pieces

    def _close(self, at: int, sign: str, escapes: bool) -> int:
        """Where a quote ends, what stands in a placeholder not counted."""
        while at < self.limit and self.text[at] != sign:
            if at in self.marks:
                at += len(self.marks[at].text)
            else:
                at += 2 if escapes and self.text[at] == "\\" else 1
        if at >= self.limit:
            self.refuse(f"this {sign} is never closed")
        return at

    def _double(self) -> tuple[Piece, ...]:
        start = self.at
        self.at += 1
        pieces = self._expandable('"', Quote.DOUBLE)
        if self.next() != '"':
            self.at = start
            self.refuse('this " is never closed')
        self.at += 1
        return pieces or (Text(start, self.at, "", Quote.DOUBLE),)

    def _expandable(self, closing: str, quote: Quote) -> tuple[Piece, ...]:
        """Text where `$`, backquotes and backslashes mean something and blanks do not."""
        escaped = '$`\\"' if quote is Quote.DOUBLE else "$`\\"
        pieces: list[Piece] = []
        while self.at < self.limit and self.next() != closing:
            sign, following = self.next(), self.text[self.at + 1 : self.at + 2]
            if self.at in self.marks:
                pieces.append(self._value(quote))
            elif sign == "\\" and following and following in escaped + "\n":
                pieces.append(Text(self.at, self.at + 2, "" if following == "\n" else following, quote))
                self.at += 2
            elif sign in "$`":
                pieces.append(self._expansion(quote))
            else:
                pieces.append(self._run(f"\\$`{closing}", quote))
        return tuple(pieces)

    def _expansion(self, quote: Quote) -> Piece:
        """What a `$` or a backquote begins; a `$` that begins nothing is text."""
        start, text = self.at, self.text
        if text[start] == "`":
            return self._backquotes(quote)
        if text.startswith("$((", start):
            return self._arithmetic("$((", "))")
        if text.startswith("$[", start):
            return self._arithmetic("$[", "]")
        if text.startswith("$(", start):
            return self._substitution("$(", quote)
        if start + 2 in self.marks and text.startswith("${", start):
            return self._braced(quote)
        if start + 1 in self.marks or not text.startswith("${", start):
            name = _NAME.match(text, start + 1, self.limit)
            if start + 1 in self.marks or not name:
                self.at += 1
                return Text(start, self.at, "$", quote)
            self.at = name.end()
            return Use(start, self.at, name.group(), quote)
        return self._braced(quote)

    def _arithmetic(self, opening: str, closing: str) -> Sum:
        start = self.at
        self.at += len(opening)
        self.deeper()
        inside = self.sum(closing)
        self.depth -= 1
        self.at += len(closing)
        return Sum(start, self.at, inside.pieces)

    def _substitution(self, style: str, quote: Quote) -> Sub:
        start = self.at
        self.at += 2
        self.deeper()
        body = self.enclosed()
        if self.next() != ")":
            self.at = start
            self.refuse(f"this {style} is never closed")
        self.at += 1
        self.depth -= 1
        return Sub(start, self.at, style, body, quote)

    def _backquotes(self, quote: Quote) -> Sub:
        start, limit = self.at, self.limit
        end = self._close(start + 1, "`", escapes=True)
        if "\\" in self.text[start:end]:
            self.refuse("a backslash inside backquotes", "write $(…) instead of backquotes")
        self.deeper()
        self.at, self.limit = start + 1, end
        body = self.all()
        self.at, self.limit = end + 1, limit
        self.depth -= 1
        return Sub(start, self.at, "`", body, quote)

    def _braced(self, quote: Quote) -> Use:
        start = self.at
        self.at += 2
        head = _BRACED.match(self.text, self.at, self.limit)
        if self.at in self.marks or not head:
            if self.at not in self.marks and self.at + 1 not in self.marks:
                self.refuse("`${` with no variable's name after it")
            sign, name = "", ""
        else:
            sign, name = head.group(1) or "", head.group(2)
            self.at = head.end()
        if name in ("#", "?", "$", "!", "-") and self.next() != "}":
            self.refuse(f"`${{{name}` with more after it")
        index = self._index() if self.next() == "[" else None
        op = _OP.match(self.text, self.at, self.limit)
        if op and name:
            self.at = op.end()
        sort = op.group() if op and name else ""
        self.deeper()
        operand = self._operand(sort, quote)
        self.depth -= 1
        if self.next() != "}":
            self.at = start
            self.refuse("this ${ is never closed")
        self.at += 1
        if operand and not sort and not any(isinstance(piece, Value) for piece in operand):
            self.at = start
            self.refuse("this ${…} is none that bash has")
        return Use(start, self.at, name, quote, sign, index, sort, operand)

    def _index(self) -> Sum:
        start = self.at
        self.at += 1
        self.deeper()
        inside = self.sum("]")
        self.depth -= 1
        self.at += 1
        return Sum(start, self.at, inside.pieces)

    def _operand(self, op: str, quote: Quote) -> tuple[Piece, ...]:
        if op == ":":
            return (self.sum("}"),)
        if quote is Quote.BARE:
            return self._bare("}")
        pieces: list[Piece] = []
        while self.at < self.limit and self.next() != "}":
            sign = self.next()
            if self.at in self.marks:
                pieces.append(self._value(quote))
            elif sign in "'\"" and quote is not Quote.DOUBLE:
                self.refuse("quotes inside ${…} outside of quotes")
            elif sign == '"':
                pieces.extend(self._double())
            elif sign == "'" and op[-1:] not in _DEFAULTS:
                pieces.extend(self._single())
            elif sign == "\\":
                pieces.extend(self._backslash())
            elif sign in "$`":
                pieces.append(self._expansion(quote))
            else:
                pieces.append(self._run("}\\$`'\"", quote))
        return tuple(pieces)
