"""Reads a simple command: assignments, words, redirections and here-documents, and the blanks between them."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping

from penstock.core.workflow import Placeholder
from penstock.rules.shell.syntax import Assign, Heredoc, Quote, Redirect, Simple, Statement, Text, Word, literal
from penstock.rules.shell.words import BLANKS, WORD_ENDS, WordReader

DECLARING = frozenset({"export", "local", "readonly", "declare", "typeset", "integer", "float"})

_REDIRECT = re.compile(r"([0-9]*|\{[A-Za-z_][A-Za-z0-9_]*\})(&>>|&>|<<<|<<-|<<|<>|<&|>&|>>|>\||<|>)")
_ASSIGN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?=\[|\+?=)")


class CommandReader(WordReader):
    """A position that moves over simple commands. `comments` are the (start, end) of those it passed."""

    def __init__(self, text: str, marks: Mapping[int, Placeholder]) -> None:
        super().__init__(text, marks)
        self.comments: list[tuple[int, int]] = []
        self.pending: list[Heredoc] = []

    @abstractmethod
    def defined(self, start: int, name: str | None) -> Statement:
        """The function of that name, whose body starts here."""

    def simple(self) -> Statement:
        start, end = self.at, self.at
        assigns: list[Assign] = []
        words: list[Word] = []
        declares: list[Assign] = []
        found: list[Redirect] = []
        while self.next() not in ("", "\n", ";", "|", ")", "&") or self.text.startswith("&>", self.at):
            if redirect := self._redirect():
                found.append(redirect)
            elif not words and (assign := self._assign()):
                assigns.append(assign)
            elif words and literal(words[0]) in DECLARING and (assign := self._assign()):
                declares.append(assign)
            elif self.next() == "(" and len(words) == 1 and not assigns and not found:
                return self._parentheses(start, words[0])
            else:
                words.append(self.word())
            end = self.at
            self.blank()
        if not (assigns or words or found):
            self.refuse(f"a command was expected, not {self.next()!r}")
        return Simple(start, end, tuple(assigns), tuple(words), tuple(declares), tuple(found))

    def redirects(self) -> tuple[Redirect, ...]:
        found = []
        self.blank()
        while redirect := self._redirect():
            found.append(redirect)
            self.blank()
        return tuple(found)

    def shut(self, sign: str) -> None:
        if self.next() != sign:
            self.refuse(f"`{sign}` was expected")
        self.at += 1

    def blank(self) -> None:
        """Passes blanks, line continuations and a comment."""
        while self.at < self.limit:
            if self.next() in BLANKS:
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            elif self.next() == "#":
                end = self.text.find("\n", self.at, self.limit)
                end = self.limit if end < 0 else end
                self.comments.append((self.at, end))
                self.at = end
            else:
                return

    def gap(self) -> None:
        """Passes blanks, comments and line ends, with the here-documents that come after them."""
        self.blank()
        while self.next() == "\n":
            self.at += 1
            self.bodies(self.at)
            self.blank()

    def bodies(self, start: int) -> None:
        pending, self.pending = self.pending, []
        for heredoc in pending:
            if heredoc is pending[0] and "\n" in self.text[heredoc.at : start - 1]:
                self.at = heredoc.at
                self.refuse("a line break between a here-document's `<<` and the end of its line")
            start = self.at = self._body(heredoc, start)

    def _body(self, heredoc: Heredoc, start: int) -> int:
        """Reads one here-document and gives where the line after its delimiter starts."""
        line, joined = start, False
        while line < self.limit:
            end = self.text.find("\n", line, self.limit)
            stop = self.limit if end < 0 else end
            written = self.text[line:stop]
            if not joined and (written.lstrip("\t") if heredoc.tabs else written) == heredoc.delimiter:
                pieces = self.fixed(start, line, Quote.FIXED) if heredoc.fixed else self.here(start, line)
                heredoc.body = Word(start, line, pieces)
                return min(stop + 1, self.limit)
            joined = not heredoc.fixed and (len(written) - len(written.rstrip("\\"))) % 2 == 1
            line = stop + 1
        self.at = heredoc.at
        self.refuse(f"no line says just `{heredoc.delimiter}`, which would end this here-document")

    def _redirect(self) -> Redirect | None:
        start = self.at
        match = _REDIRECT.match(self.text, start, self.limit)
        if start in self.marks or not match or (not match.group(1) and self.text.startswith(("<(", ">("), start)):
            return None
        self.at = match.end()
        self.blank()
        fd, op = match.groups()
        if op.startswith("<<") and op != "<<<":
            heredoc = self._heredoc(op)
            return Redirect(start, self.at, fd, op, None, heredoc)
        word = self.word()
        return Redirect(start, self.at, fd, op, word)

    def _heredoc(self, op: str) -> Heredoc:
        delimiter = self.word()
        written = self.text[delimiter.start : delimiter.end]
        if not all(isinstance(piece, Text) for piece in delimiter.pieces):
            self.at = delimiter.start
            self.refuse("a here-document's delimiter that is not plain")
        text = "".join(piece.text for piece in delimiter.pieces if isinstance(piece, Text))
        heredoc = Heredoc(text, any(sign in written for sign in "'\"\\"), op == "<<-", self.at)
        self.pending.append(heredoc)
        return heredoc

    def _parentheses(self, start: int, name: Word) -> Statement:
        self.at += 1
        self.blank()
        self.shut(")")
        return self.defined(start, literal(name))

    def _assign(self) -> Assign | None:
        start = self.at
        name = _ASSIGN.match(self.text, start, self.limit)
        if start in self.marks or not name:
            return None
        self.at = name.end()
        index = self._index() if self.next() == "[" else None
        sign = "+=" if self.text.startswith("+=", self.at) else "="
        if not self.text.startswith(sign, self.at):
            self.at = start
            return None
        self.at += len(sign)
        if self.next() == "(":
            elements = self._elements()
            return Assign(start, self.at, name.group(), index, None, elements)
        empty = self.next() in WORD_ENDS and not self.text.startswith(("<(", ">("), self.at)
        value = None if empty else self.word()
        return Assign(start, self.at, name.group(), index, value, None)

    def _elements(self) -> tuple[Word, ...]:
        self.at += 1
        words = []
        self.gap()
        while self.next() not in (")", ""):
            words.append(self._indexed() or self.word())
            self.gap()
        self.shut(")")
        return tuple(words)

    def _indexed(self) -> Word | None:
        """An element `[index]=value`, in which blanks may stand; None if it is another word."""
        start = self.at
        if self.next() != "[":
            return None
        index = self._index()
        sign = re.compile(r"\+?=").match(self.text, self.at, self.limit)
        if not sign:
            self.at = start
            return None
        self.at = sign.end()
        value = () if self.next() in WORD_ENDS else self.word().pieces
        equals = Text(sign.start(), sign.end(), sign.group(), Quote.BARE)
        return Word(start, self.at, (index, equals, *value))
