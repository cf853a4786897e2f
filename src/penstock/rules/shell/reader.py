"""Reads a shell text into statements: a strict reader of the bash that workflows are written in.

tree-sitter repairs what it cannot parse and reads some valid bash as something else (words after a
redirection become file names, `time {` and `coproc` become commands, backquotes in a here-document
are text). Penstock rewrites the text and answers for where each word stands, so it reads the text itself,
raises `Unreadable` where it is not sure, and asks tree-sitter for a second opinion (`shelltree`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from penstock.core.workflow import Placeholder
from penstock.rules.shell.simple import CommandReader
from penstock.rules.shell.syntax import (
    Compound,
    Function,
    Pipeline,
    Quote,
    Statement,
    Sum,
    Test,
    Text,
    Word,
    literal,
)
from penstock.rules.shell.words import WORD_ENDS

_KEYWORD = re.compile(
    r"(?:if|then|elif|else|fi|for|while|until|do|done|case|esac|select|function|coproc|time|[{}!]|\[\[)"
    r"(?=[ \t\n;&|<>()]|\Z)"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IN = re.compile(r"in(?=[ \t\n;]|\Z)")
_PATTERN_AFTER = ("=~", "==", "=", "!=")


def read(text: str, marks: Mapping[int, Placeholder]) -> Reader:
    """The reader at the end of its work: `statements` and `comments` are what it found. Unreadable otherwise."""
    reader = Reader(text, marks)
    reader.statements = reader.all()
    return reader


class Reader(CommandReader):
    """A position that moves over statements."""

    statements: tuple[Statement, ...] = ()

    def all(self) -> tuple[Statement, ...]:
        pending, self.pending = self.pending, []
        block = self._block()
        if self.at < self.limit:
            self.refuse(f"{self.next()!r} closes nothing")
        self.bodies(self.limit)
        self.pending = pending
        return block

    def enclosed(self) -> tuple[Statement, ...]:
        pending, self.pending = self.pending, []
        block = self._block(")")
        if self.pending:
            self.refuse("a here-document that starts inside parentheses and ends outside")
        self.pending = pending
        return block

    def _block(self, *ends: str) -> tuple[Statement, ...]:
        """Statements up to one of `ends`, which is left unread, or to the limit."""
        block: list[Statement] = []
        while True:
            self.gap()
            if self.at >= self.limit or self._at_end(ends):
                return tuple(block)
            block.extend(self._and_or())
            self.blank()
            if self.next() in (";", "&") and not self.text.startswith((";;", ";&"), self.at):
                self.at += 1
            elif self.next() not in ("\n", "") and not self._at_end(ends):
                self.refuse(f"{self.next()!r} was not expected here")

    def _at_end(self, ends: tuple[str, ...]) -> bool:
        if ";;" in ends and self.text.startswith((";;", ";&"), self.at):
            return True
        if self.next() == ")":
            return True
        keyword = self._keyword()
        return keyword in ends or keyword in ("then", "elif", "else", "fi", "do", "done", "esac", "}")

    def _keyword(self) -> str:
        match = None if self.at in self.marks else _KEYWORD.match(self.text, self.at, self.limit)
        return match.group() if match else ""

    def _expect(self, *words: str) -> str:
        self.gap()
        word = self._keyword()
        if word not in words:
            self.refuse(f"`{words[0]}` was expected")
        self.at += len(word)
        return word

    def _and_or(self) -> list[Statement]:
        found = [self._pipeline()]
        self.blank()
        while self.text.startswith(("&&", "||"), self.at):
            self.at += 2
            self.gap()
            found.append(self._pipeline())
            self.blank()
        return found

    def _pipeline(self) -> Statement:
        start = self.at
        while (word := self._keyword()) in ("time", "!"):
            self.at += len(word)
            self.blank()
            if word == "time" and self.text.startswith(("-p ", "-p\t"), self.at):
                self.at += 2
                self.blank()
        stages = [self._command()]
        self.blank()
        while self.next() == "|" and not self.text.startswith("||", self.at):
            self.at += 2 if self.text.startswith("|&", self.at) else 1
            self.gap()
            stages.append(self._command())
            self.blank()
        return stages[0] if len(stages) == 1 else Pipeline(start, self.at, tuple(stages))

    def _command(self) -> Statement:
        self.deeper()
        found = self._one_command()
        self.depth -= 1
        return found

    def _one_command(self) -> Statement:
        keyword = self._keyword()
        if self.next() == "(":
            return self._sum_command() if self.text.startswith("((", self.at) else self._subshell()
        if keyword == "{":
            return self._group()
        if keyword == "[[":
            return self._test()
        if keyword == "if":
            return self._if()
        if keyword in ("while", "until"):
            return self._while(keyword)
        if keyword in ("for", "select"):
            return self._for(keyword)
        if keyword == "case":
            return self._case()
        if keyword == "function":
            return self._function()
        if keyword:
            self.refuse(f"`{keyword}` is not read here")
        return self.simple()

    def _sum_command(self) -> Statement:
        start = self.at
        self.at += 2
        inside = self.sum("))")
        self.at += 2
        return self._compound(start, "((", (), sums=(inside,))

    def _subshell(self) -> Statement:
        start = self.at
        self.at += 1
        body = self._block(")")
        self.shut(")")
        return self._compound(start, "(", (body,))

    def _group(self) -> Compound:
        start = self.at
        self._expect("{")
        body = self._block("}")
        self._expect("}")
        return self._compound(start, "{", (body,))

    def _if(self) -> Statement:
        start, bodies = self.at, []
        word = self._expect("if")
        while word in ("if", "elif"):
            bodies.append(self._block("then"))
            self._expect("then")
            bodies.append(self._block("elif", "else", "fi"))
            word = self._expect("fi", "elif", "else")
        if word == "else":
            bodies.append(self._block("fi"))
            self._expect("fi")
        return self._compound(start, "if", tuple(bodies))

    def _while(self, keyword: str) -> Statement:
        start = self.at
        self._expect(keyword)
        condition = self._block("do")
        return self._compound(start, keyword, (condition, self._do()))

    def _do(self) -> tuple[Statement, ...]:
        self.gap()
        if self._keyword() == "{":
            return self._group().bodies[0]
        self._expect("do")
        body = self._block("done")
        self._expect("done")
        return body

    def _for(self, keyword: str) -> Statement:
        start = self.at
        self._expect(keyword)
        self.blank()
        if self.text.startswith("((", self.at):
            return self._counted(start)
        variable = self._name("a loop's variable")
        self.gap()
        words: list[Word] = []
        if _IN.match(self.text, self.at):
            self.at += 2
            self.blank()
            while self.next() not in (";", "\n", "&", ""):
                words.append(self.word())
                self.blank()
        if self.next() == ";":
            self.at += 1
        return self._compound(start, keyword, (self._do(),), words=tuple(words), variable=variable)

    def _counted(self, start: int) -> Statement:
        self.at += 2
        sums = []
        for closing in (";", ";", "))"):
            sums.append(self.sum(closing))
            self.at += len(closing)
        self.blank()
        if self.next() == ";":
            self.at += 1
        return self._compound(start, "for", (self._do(),), sums=tuple(sums))

    def _case(self) -> Statement:
        start = self.at
        self._expect("case")
        self.blank()
        words, bodies = [self.word()], []
        self.gap()
        if not _IN.match(self.text, self.at):
            self.refuse("`in` was expected")
        self.at += 2
        self.gap()
        while self._keyword() != "esac":
            words.extend(self._patterns())
            bodies.append(self._block(";;", "esac"))
            if self.text.startswith((";;", ";&"), self.at):
                self.at += 3 if self.text.startswith(";;&", self.at) else 2
            elif self._keyword() != "esac":
                self.refuse("`;;` was expected")
            self.gap()
        self._expect("esac")
        return self._compound(start, "case", tuple(bodies), words=tuple(words))

    def _patterns(self) -> list[Word]:
        if self.next() == "(":
            self.at += 1
        patterns = []
        while True:
            self.blank()
            patterns.append(self.word())
            self.blank()
            if self.next() != "|":
                break
            self.at += 1
        self.shut(")")
        return patterns

    def _function(self) -> Statement:
        start = self.at
        self._expect("function")
        self.blank()
        name = literal(self.word())
        self.blank()
        if self.text.startswith("()", self.at):
            self.at += 2
        return self.defined(start, name)

    def defined(self, start: int, name: str | None) -> Statement:
        if name is None:
            self.at = start
            self.refuse("a function's name that is not plain", "give the function a fixed name")
        self.gap()
        if self.next() != "(" and self._keyword() not in ("{", "[[", "if", "for", "while", "until", "case", "select"):
            self.refuse("a function's body was expected")
        body = self._command()
        return Function(start, self.at, name, body)

    def _test(self) -> Statement:
        start = self.at
        self._expect("[[")
        words: list[Word] = []
        self.gap()
        while not (self.text.startswith("]]", self.at) and self.text[self.at + 2 : self.at + 3] in WORD_ENDS):
            words.append(self._operand_of_test(words))
            self.gap()
        self.at += 2
        return Test(start, self.at, tuple(words), self.redirects())

    def _operand_of_test(self, before: list[Word]) -> Word:
        start = self.at
        if before and self.text[before[-1].start : before[-1].end] in _PATTERN_AFTER:
            return self.word(" \t\n&)|", nests=True)
        for sign in ("&&", "||", "(", ")", "<", ">"):
            if self.text.startswith(sign, start) and not self.text.startswith(("<(", ">("), start):
                self.at += len(sign)
                return Word(start, self.at, (Text(start, self.at, sign, Quote.BARE),))
        return self.word()

    def _compound(
        self,
        start: int,
        kind: str,
        bodies: tuple[tuple[Statement, ...], ...],
        words: tuple[Word, ...] = (),
        sums: tuple[Sum, ...] = (),
        variable: str | None = None,
    ) -> Compound:
        end = self.at
        return Compound(start, end, kind, bodies, words, sums, variable, self.redirects())

    def _name(self, what: str) -> str:
        name = _NAME.match(self.text, self.at, self.limit)
        if not name:
            self.refuse(f"{what} that is not a plain name", f"give {what} a fixed name")
        self.at = name.end()
        return name.group()
