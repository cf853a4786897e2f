"""The files that a shell text writes: redirections and `tee`, each with its path as far as it is known before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from penstock.core.workflow import Part, Placeholder, Variable
from penstock.rules.shell.options import unwrap
from penstock.rules.shell.syntax import (
    Compound,
    Piece,
    Pipeline,
    Redirect,
    Simple,
    Statement,
    Sub,
    Text,
    Use,
    Value,
    Word,
    children,
    literal,
    parts,
    pieces,
    redirects,
    spreads,
    statements,
)
from penstock.rules.shell.tables import READERS, WRAPPERS

_DESCRIPTOR = re.compile(r"[0-9]*-?")
WRITING = (">", ">>", ">|", "&>", "&>>", ">&", "<>")
_APPENDING = (">>", "&>>")
LOOPS = ("while", "until", "for", "select")
_CHANGING = ("cd", "pushd", "popd")
_CHANGES_ALWAYS = frozenset(("RANDOM", "SRANDOM", "SECONDS", "LINENO", "BASHPID", "EPOCHSECONDS", "EPOCHREALTIME",
                             "PWD", "OLDPWD", "FUNCNAME", "PENSTOCK_ITEM_FILE"))  # fmt: skip
_OWN_NAMES = {
    "PENSTOCK_I": ("i", ()),
    "PENSTOCK_ATTEMPT": ("attempt", ()),
    "PENSTOCK_RUN_ID": ("run", ("id",)),
    "PENSTOCK_RUN_DIR": ("run", ("dir",)),
}


@dataclass(frozen=True, slots=True)
class Written:
    """A word that names a file to write. `parts` are None where the path is not known; `moved`: after a `cd`.

    `redirect` is None for an operand of `tee`; `backquoted`: inside backquotes.
    """

    word: Word
    parts: tuple[Part, ...] | None
    append: bool
    moved: bool
    backquoted: bool
    redirect: Redirect | None


def written(block: tuple[Statement, ...]) -> list[Written]:
    """Every file that the text writes to by redirection or tee, in the order of the text. Devices are no files."""
    found = list(_Finder(block).find(block, _Around()))
    return sorted((each for each in found if not _is_device(each.parts)), key=lambda each: each.word.start)


def is_copy(redirect: Redirect) -> bool:
    """Whether it joins one descriptor to another (`2>&1`, `>&-`), and names no file."""
    text = literal(redirect.word) if redirect.word else None
    return redirect.op in (">&", "<&") and (text is None or bool(_DESCRIPTOR.fullmatch(text)))


def command_words(words: Sequence[Word]) -> Sequence[Word]:
    """The words of the command that really runs: wrappers such as `env` or `timeout 5` taken away."""
    while words and (name := literal(words[0])) in WRAPPERS:
        placing = unwrap(words[1:], WRAPPERS[str(name)])
        if not placing.rest:
            return words
        words = placing.rest
    return words


def names_set(block: tuple[Statement, ...]) -> set[str]:
    """The variables that the text itself gives values to."""
    found: set[str] = set()
    for statement in statements(block):
        for piece in (piece for part in parts(statement) for piece in pieces(part)):
            if isinstance(piece, Use) and piece.op in ("=", ":="):
                found.add(piece.name)
        if isinstance(statement, Compound) and statement.variable:
            found.add(statement.variable)
        if isinstance(statement, Simple):
            found.update(assign.name for assign in (*statement.assigns, *statement.declares))
            texts = [literal(word) or "" for word in command_words(statement.words)]
            if texts and texts[0] in (*READERS, "getopts", "unset", "printf", "declare", "local", "typeset", "let"):
                found.update(texts[1:])
    return found


@dataclass(frozen=True, slots=True)
class _Around:
    """What is around a statement: whether a `cd` came before it, and whether backquotes are."""

    moved: bool = False
    backquoted: bool = False


class _Finder:
    """Goes through a text and keeps the variables that it sets."""

    def __init__(self, block: tuple[Statement, ...]) -> None:
        self.set = names_set(block)

    def find(self, block: Sequence[Statement], around: _Around) -> Iterator[Written]:
        for statement in block:
            loops = isinstance(statement, Compound) and statement.kind in LOOPS
            inside = _Around(around.moved or (loops and _moves(statement)), around.backquoted)
            yield from self._own(statement, around)
            for piece in (piece for part in parts(statement) for piece in pieces(part)):
                if isinstance(piece, Sub):
                    yield from self.find(piece.body, _Around(around.moved, around.backquoted or piece.style == "`"))
            for child in children(statement):
                yield from self.find(child, inside)
                if not isinstance(statement, Pipeline):
                    inside = _Around(inside.moved or any(map(_moves, child)), inside.backquoted)
            around = _Around(around.moved or _moves(statement), around.backquoted)

    def _own(self, statement: Statement, around: _Around) -> Iterator[Written]:
        for redirect in redirects(statement):
            if redirect.word and redirect.op in WRITING and not is_copy(redirect) and not _is_pipe(redirect.word):
                yield self._written(redirect.word, redirect.op in _APPENDING, around, redirect)
        words = command_words(statement.words) if isinstance(statement, Simple) else ()
        if words and (literal(words[0]) or "").rpartition("/")[2] == "tee":
            for word, append in _tee(words[1:]):
                yield self._written(word, append, around, None)

    def _written(self, word: Word, append: bool, around: _Around, redirect: Redirect | None) -> Written:
        path = self._path(word)
        first = path[0] if path else None
        moved = around.moved and not (isinstance(first, str) and first.startswith("/"))
        return Written(word, None if moved else path, append, moved, around.backquoted, redirect)

    def _path(self, word: Word) -> tuple[Part, ...] | None:
        if spreads(word):
            return None
        path: list[Part] = []
        for piece in word.pieces:
            part = self._part(piece)
            if part is None:
                return None
            if isinstance(part, str) and path and isinstance(path[-1], str):
                path[-1] += part
            elif part != "":
                path.append(part)
        return tuple(path) or None

    def _part(self, piece: Piece) -> Part | None:
        if isinstance(piece, Text):
            return None if "\0" in piece.text else piece.text
        if isinstance(piece, Value):
            return piece.placeholder
        if not isinstance(piece, Use) or piece.op or piece.sign or piece.index or not piece.name.isidentifier():
            return None
        if piece.name in self.set or piece.name in _CHANGES_ALWAYS or piece.name == "_":
            return None
        own = _OWN_NAMES.get(piece.name)
        return Placeholder(own[0], own[1], f"${piece.name}") if own else Variable(piece.name)


def _moves(statement: Statement) -> bool:
    """Whether the working folder may be another one after it. A subshell and a pipeline keep it to themselves."""
    if isinstance(statement, Simple):
        words = statement.words
        while words and literal(words[0]) in ("command", "builtin"):
            words = words[1:]
        return bool(words) and literal(words[0]) in _CHANGING
    if isinstance(statement, Pipeline) or (isinstance(statement, Compound) and statement.kind == "("):
        return False
    return any(_moves(each) for child in children(statement) for each in child)


def _tee(words: Sequence[Word]) -> list[tuple[Word, bool]]:
    """The files of a `tee`, and whether it appends to them."""
    append, closed = False, False
    files: list[Word] = []
    for word in words:
        text = literal(word)
        if text is not None and text.startswith("-") and not closed:
            closed = text == "--"
            append = append or ("a" in text if text[:2] != "--" else text.startswith("--a"))
        elif not _is_pipe(word):
            files.append(word)
    return [(word, append) for word in files]


def _is_pipe(word: Word) -> bool:
    """Whether a word is `>(…)` or `<(…)`, which is a command and not a file."""
    return len(word.pieces) == 1 and isinstance(word.pieces[0], Sub) and word.pieces[0].style in ("<(", ">(")


def _is_device(path: tuple[Part, ...] | None) -> bool:
    return bool(path) and path is not None and isinstance(path[0], str) and path[0].startswith("/dev/")
