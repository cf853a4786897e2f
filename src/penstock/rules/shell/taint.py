"""Where values go in a shell text: the variables, functions and inputs that may carry one.

No order of time is followed: a name that carries a value anywhere in the text carries it everywhere.
A command's output counts as a value if the command was given one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum

from penstock.rules.shell.reader import read
from penstock.rules.shell.syntax import (
    Assign,
    Compound,
    Function,
    Piece,
    Pipeline,
    Quote,
    Simple,
    Statement,
    Sub,
    Sum,
    Text,
    Use,
    Value,
    Word,
    children,
    inner,
    literal,
    parts,
    pieces,
    redirects,
    statements,
)
from penstock.rules.shell.tables import ENVIRONMENT_PRINTERS, LANGUAGES, READERS, WRAPPERS
from penstock.rules.shell.words import Unreadable


class Input(IntEnum):
    """What standard input holds: a file, names of variables with values, the step's own input (the row), a value."""

    CLEAN = 0
    NAMES = 1
    ROW = 2
    GIVEN = 3


POSITIONAL = "@"
"""The name under which the positional parameters are followed, all of them together."""

_RUNNING = frozenset((*LANGUAGES, "eval", "trap"))
_ASSIGNING = frozenset(name for name, wrapper in WRAPPERS.items() if wrapper.assigns)
_ALWAYS = frozenset(("_", "BASH_REMATCH", "BASH_COMMAND", "BASH_ARGV"))
_NUMBERS = ("i", "attempt", "")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LENGTH = re.compile(r"\$\{#[A-Za-z_][A-Za-z0-9_]*\}")
_ARITHMETIC = re.compile(r"[\w\s+\-*/%()\[\]]+")


def is_number(value: Value) -> bool:
    """Whether only digits can stand for it: they mean nothing to a shell."""
    return value.placeholder.root in _NUMBERS


def holds_values(block: tuple[Statement, ...]) -> bool:
    """Whether a placeholder other than a number stands anywhere in it."""
    inside = (piece for part in _all_parts(block) for piece in pieces(part))
    return any(isinstance(piece, Value) and not is_number(piece) for piece in inside)


class Flow:
    """What carries values in a text: `names` (`@` for the positional parameters), `functions`, files `made`.

    `start` are the names that carry one before the text begins, `given` its standard input.
    """

    def __init__(
        self,
        text: str,
        block: tuple[Statement, ...],
        start: frozenset[str] = frozenset(),
        given: Input = Input.CLEAN,
    ) -> None:
        self.text = text
        self.active = bool(start) or holds_values(block)
        self.names: set[str] = set(start)
        self.functions: set[str] = set()
        self.made: set[str] = set()
        self._defined = {each.name for each in statements(block) if isinstance(each, Function)}
        self._fed_functions: set[str] = set()
        self._input: dict[tuple[int, int], Input] = {}
        if self.active:
            self.names |= _ALWAYS
            self._settle(block, given)

    def carries(self, piece: Piece | Word) -> bool:
        """Whether a value may be in what bash makes of it."""
        if isinstance(piece, Value):
            return not is_number(piece)
        if isinstance(piece, Sub):
            return self.says(piece.body) or any(self.input(each) is Input.GIVEN for each in piece.body)
        if isinstance(piece, Use) and self._names_value(piece):
            return True
        return any(self.carries(each) for each in inner(piece))

    def mentions(self, region: Sum) -> bool:
        """Whether arithmetic would read a value: there a bare word is a variable too."""
        return self.carries(region) or self.mentioned(region) is not None

    def mentioned(self, region: Sum) -> str | None:
        """The first bare word of arithmetic that is a variable with a value."""
        return self._mentioned(_LENGTH.sub("", self.text[region.start : region.end]))

    def is_made(self, word: Word) -> bool:
        """Whether a word names a file that the text itself writes a value to."""
        return self._path(word) in self.made

    def input(self, statement: Statement) -> Input:
        """What is on the standard input that this statement starts with."""
        return self._input.get((statement.start, statement.end), Input.CLEAN)

    def defines(self, name: str | None) -> bool:
        """Whether the text has a function of that name."""
        return name in self._defined

    def says(self, block: Sequence[Statement]) -> bool:
        """Whether a value may be in what these statements are given, or print of the environment."""
        return any(self._says(statement) for statement in statements(tuple(block)))

    def _names_value(self, use: Use) -> bool:
        if use.sign == "#":
            return False
        if use.sign == "!" and use.index is None:
            return self.active
        name = POSITIONAL if use.name == "*" or (use.name.isdigit() and use.name != "0") else use.name
        return name in self.names

    def _mentioned(self, text: str) -> str | None:
        return next((name for name in _NAME.findall(text) if name in self.names or name in self.functions), None)

    def _path(self, word: Word) -> str:
        source = (p.text if isinstance(p, Text) else self.text[p.start : p.end] for p in word.pieces)
        return "".join(source).removeprefix("./")

    def _says(self, statement: Statement) -> bool:
        if any(self.carries(part) or (isinstance(part, Word) and self.is_made(part)) for part in parts(statement)):
            return True
        if not isinstance(statement, Simple) or not statement.words:
            return False
        words = [literal(word) or "" for word in statement.words]
        if _RUNNING.intersection(words) and self._spells((statement,)):
            return True
        printing = words[0] == "printenv" or "-p" in words or all(word.startswith("-") for word in words[1:])
        prints = words[0] in ENVIRONMENT_PRINTERS and printing
        return words[0] in self.functions or (prints and self.active)

    def _spells(self, block: tuple[Statement, ...]) -> bool:
        """Whether variables with values are named in the literal text of these statements."""
        words = (part for statement in statements(block) for part in parts(statement) if isinstance(part, Word))
        texts = (literal(word, patterns=True) or "" for word in words)
        return any(self._mentioned(text) for text in texts if text != "_")

    def _makes(self, statement: Statement) -> Iterator[str]:
        """The files that this statement writes a value to."""
        given = self.says((statement,)) or self.input(statement) is Input.GIVEN
        if not given or _speaks_for_itself(statement):
            return
        for redirect in redirects(statement):
            if redirect.word and ">" in redirect.op:
                yield self._path(redirect.word)
        if isinstance(statement, Simple) and any(literal(word) == "tee" for word in statement.words):
            yield from map(self._path, statement.words[1:])

    def _settle(self, block: tuple[Statement, ...], given: Input) -> None:
        """Follows values until nothing new carries one."""
        before = -1
        while before != (before := self._found()):
            self._feed(block, given)
            for statement in statements(block):
                self.names.update(self.filled(statement))
                self.made.update(self._makes(statement))
                if isinstance(statement, Function) and self.says((statement.body,)):
                    self.functions.add(statement.name)

    def _found(self) -> int:
        return len(self.names) + len(self.functions) + len(self.made) + len(self._fed_functions)

    def filled(self, statement: Statement) -> Iterator[str]:
        """The names that this statement puts a value into."""
        for use in (piece for part in parts(statement) for piece in pieces(part)):
            if isinstance(use, Use) and use.op in ("=", ":=") and any(map(self.carries, use.operand)):
                yield use.name
        if isinstance(statement, Simple):
            for assign in (*statement.assigns, *statement.declares):
                if self._assigns_value(assign):
                    yield assign.name
            yield from self._filled_by_command(statement)
        elif isinstance(statement, Compound) and statement.variable:
            positional = not statement.words and POSITIONAL in self.names
            if positional or statement.kind == "select" or any(map(self._alias, statement.words)):
                yield from (statement.variable, "REPLY")

    def _assigns_value(self, assign: Assign) -> bool:
        values = (*(assign.elements or ()), *((assign.value,) if assign.value else ()))
        return any(map(self._alias, values)) or bool(assign.index and self.mentions(assign.index))

    def _alias(self, word: Word) -> bool:
        """Whether a word carries a value or is the name of what does, which arithmetic would follow."""
        return self.carries(word) or any(map(self._names_one, pieces(word)))

    def _names_one(self, piece: Piece) -> bool:
        if isinstance(piece, Sub):
            printing = [each for each in statements(piece.body) if _prints_its_words(each)]
            return self._spells(tuple(printing))
        return isinstance(piece, Text) and bool(_ARITHMETIC.fullmatch(piece.text) and self._mentioned(piece.text))

    def _filled_by_command(self, command: Simple) -> Iterator[str]:
        words = command.words
        while words and literal(words[0]) in ("command", "builtin"):
            words = words[1:]
        name, rest = (literal(words[0]) if words else None), words[1:]
        if name in _ASSIGNING:
            yield from (self.text[word.start : word.end].partition("=")[0] for word in rest if self.carries(word))
        given = any(map(self.carries, rest))
        if name in READERS and self.input(command):
            named = [text for word in rest if (text := variable(word))]
            yield from named or [READERS[name]]
        elif name == "getopts" and given:
            yield from (text for word in rest[1:2] if (text := variable(word)))
            yield "OPTARG"
        elif name == "printf" and len(rest) > 1 and literal(rest[0]) == "-v" and any(map(self._alias, rest)):
            yield from (text for text in [variable(rest[1])] if text)
        elif name in ("eval", "trap"):
            yield from self._filled_by_program(program(name, [literal(word, patterns=True) or "x" for word in rest]))
        elif given and (name == "set" or name in self._defined):
            yield POSITIONAL

    def _filled_by_program(self, text: str) -> Iterator[str]:
        """What fixed text of `eval` or `trap` puts values into."""
        try:
            block = read(text, {}).statements
        except Unreadable:
            return
        yield from Flow(text, block, frozenset(self.names)).names

    def _feed(self, block: Sequence[Statement], given: Input) -> None:
        """Notes for each statement what comes in; `given` is the input of what is around it."""
        for statement in block:
            found = self._redirected(statement, given)
            self._input[statement.start, statement.end] = found
            name = literal(statement.words[0]) if isinstance(statement, Simple) and statement.words else None
            if found is Input.GIVEN and name in self._defined:
                self._fed_functions.add(str(name))
            if name == "exec" and isinstance(statement, Simple) and len(statement.words) == 1:
                given = found
            for piece in (piece for part in parts(statement) for piece in pieces(part)):
                if isinstance(piece, Sub):
                    self._feed(piece.body, max(given, found))
            if isinstance(statement, Pipeline):
                self._feed_stages(statement, found)
            elif isinstance(statement, Function):
                self._feed((statement.body,), Input.GIVEN if statement.name in self._fed_functions else given)
            else:
                for child in children(statement):
                    self._feed(child, found)

    def _feed_stages(self, pipeline: Pipeline, given: Input) -> None:
        for stage in pipeline.stages:
            self._feed((stage,), given)
            if _speaks_for_itself(stage):
                given = Input.CLEAN
            elif self.says((stage,)) or given is Input.GIVEN:
                given = Input.GIVEN
            else:
                given = Input.NAMES if self._spells((stage,)) else Input.CLEAN

    def _redirected(self, statement: Statement, given: Input) -> Input:
        for redirect in redirects(statement):
            source = redirect.heredoc.body if redirect.heredoc else redirect.word
            if redirect.fd in ("", "0") and redirect.op in ("<", "<<<", "<>", "<<", "<<-") and source:
                if self.carries(source) or self.is_made(source):
                    given = Input.GIVEN
                else:
                    spelt = redirect.op != "<" and self._mentioned(self.text[source.start : source.end])
                    given = Input.NAMES if spelt else Input.CLEAN
        return given


def _speaks_for_itself(stage: Statement) -> bool:
    """Whether what a stage prints is its own program's text, and not the words that it was given."""
    words = stage.words if isinstance(stage, Simple) else ()
    name = literal(words[0]) if words else None
    if not name:
        return False
    script = literal(words[1]) if len(words) > 1 else None
    known = name.rstrip("0123456789.") in LANGUAGES and script is not None and "." in script and script[0] != "-"
    return "/" in name or known


def _prints_its_words(statement: Statement) -> bool:
    """Whether what a command prints may be the literal text that it is given."""
    inline = any(redirect.heredoc or redirect.op == "<<<" for redirect in redirects(statement))
    words = statement.words if isinstance(statement, Simple) else ()
    return inline or bool(words and literal(words[0]) in ("echo", "printf"))


def _all_parts(block: tuple[Statement, ...]) -> Iterator[Word | Sum]:
    for statement in statements(block):
        yield from parts(statement)


def program(name: str, words: Sequence[str]) -> str:
    """The text that `eval` or `trap` runs: all words of the one, each of the other's on a line."""
    kept = words[1:] if words[:1] == ["--"] else words
    return (" " if name == "eval" else "\n").join(kept)


def variable(word: Word) -> str | None:
    """The variable that a word names, without a subscript; None if it names none."""
    text = (literal(word, patterns=True) or "").partition("[")[0]
    return text if _NAME.fullmatch(text) else None


def is_open(word: Word) -> bool:
    """Whether bash may make none or several words of it: an expansion outside of quotes, or all of a list."""
    return any(_opens(piece) for piece in word.pieces)


def _opens(piece: Piece) -> bool:
    if isinstance(piece, Use):
        whole = piece.index is not None and any(isinstance(x, Text) and x.text == "@" for x in piece.index.pieces)
        return piece.quote is Quote.BARE or piece.name == "@" or whole
    return isinstance(piece, Sub) and piece.quote is Quote.BARE and piece.style in ("$(", "`")
