"""The nouns of a shell text: words and their pieces, commands and what they are made of.

Offsets count characters of the source text. A tree covers what Penstock reads of bash and no
more: a text that does not fit is refused by `shellreader`, never guessed at. Nodes are equal only
to themselves, so that what is asked of each many times (`literal`, `statements` …) can be remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from penstock.core.workflow import Placeholder


class Quote(Enum):
    """How bash reads the place where something stands."""

    BARE = "bare"
    DOUBLE = "inside double quotes"
    SINGLE = "inside single quotes"
    ANSI = "inside $'…'"
    HERE = "in a here-document"
    FIXED = "in a here-document with a quoted delimiter"
    SUM = "in arithmetic"


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """Literal characters. `text` is what bash makes of them, quotes and backslashes taken away.

    A character behind a backslash counts as quoted. Escapes of `$'…'` are not worked out: NUL stands for them.
    """

    start: int
    end: int
    text: str
    quote: Quote


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A placeholder."""

    start: int
    end: int
    placeholder: Placeholder
    quote: Quote


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """`$name` or `${name…}`. `sign` is `!` or `#` before the name; `op` and `operand` are what follows it.

    `index` is the subscript. `operand` of `${x:from:length}` (`op` is `:`) is arithmetic, else words.
    """

    start: int
    end: int
    name: str
    quote: Quote
    sign: str = ""
    index: Sum | None = None
    op: str = ""
    operand: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Sub:
    """`$(…)`, backquotes, `<(…)` or `>(…)`; `style` is the opening sign."""

    start: int
    end: int
    style: str
    body: tuple[Statement, ...]
    quote: Quote


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """A region that bash evaluates as arithmetic: `$((…))`, `((…))`, a subscript, a substring's bounds."""

    start: int
    end: int
    pieces: tuple[Piece, ...]


Piece = Text | Value | Use | Sub | Sum


@dataclass(frozen=True, slots=True, eq=False)
class Word:
    """One word of the text: adjoining pieces. Without quotes, its expansions may make several of it."""

    start: int
    end: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Assign:
    """`name=value`, `name+=value`, `name[index]=value` or `name=(elements)`."""

    start: int
    end: int
    name: str
    index: Sum | None
    value: Word | None
    elements: tuple[Word, ...] | None


@dataclass(slots=True, eq=False)
class Heredoc:
    """The lines that a `<<` takes: empty until the reader comes to them, which is after the command."""

    delimiter: str
    fixed: bool
    tabs: bool
    at: int
    body: Word | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Redirect:
    """`fd op word`; a here-document has `heredoc` instead of `word`."""

    start: int
    end: int
    fd: str
    op: str
    word: Word | None
    heredoc: Heredoc | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Simple:
    """A command with its words. `declares` are what follows `export` and its like as `name=value`."""

    start: int
    end: int
    assigns: tuple[Assign, ...]
    words: tuple[Word, ...]
    declares: tuple[Assign, ...]
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Test:
    """`[[ … ]]`: its operands and operators, each a word, in order."""

    start: int
    end: int
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Compound:
    """A statement made of statements. `kind` is its first word: `{ ( (( if while until for select case`.

    `words` are the list of a `for`, or a case's subject and patterns; `variable` is what a loop sets.
    """

    start: int
    end: int
    kind: str
    bodies: tuple[tuple[Statement, ...], ...]
    words: tuple[Word, ...] = ()
    sums: tuple[Sum, ...] = ()
    variable: str | None = None
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Pipeline:
    """Two or more statements, each reading what the one before it writes."""

    start: int
    end: int
    stages: tuple[Statement, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function's definition: nothing runs until its name does."""

    start: int
    end: int
    name: str
    body: Statement


Statement = Simple | Test | Compound | Pipeline | Function


def redirects(statement: Statement) -> tuple[Redirect, ...]:
    """The redirections written at this statement itself."""
    return () if isinstance(statement, (Pipeline, Function)) else statement.redirects


def children(statement: Statement) -> tuple[tuple[Statement, ...], ...]:
    """The blocks of statements right inside a statement; those in substitutions are not among them."""
    if isinstance(statement, Compound):
        return statement.bodies
    if isinstance(statement, Pipeline):
        return tuple((stage,) for stage in statement.stages)
    if isinstance(statement, Function):
        return ((statement.body,),)
    return ()


@lru_cache(maxsize=1024)
def parts(statement: Statement) -> tuple[Word | Sum, ...]:
    """Every word and every arithmetic region written at this statement itself, its redirections included."""
    return tuple(_parts(statement))


def _parts(statement: Statement) -> Iterator[Word | Sum]:
    if isinstance(statement, Simple):
        for assign in (*statement.assigns, *statement.declares):
            yield from assign_parts(assign)
        yield from statement.words
    elif isinstance(statement, Test):
        yield from statement.words
    elif isinstance(statement, Compound):
        yield from statement.words
        yield from statement.sums
    for redirect in redirects(statement):
        if redirect.word:
            yield redirect.word
        if redirect.heredoc and redirect.heredoc.body:
            yield redirect.heredoc.body


def assign_parts(assign: Assign) -> Iterator[Word | Sum]:
    """The subscript, the value and the elements of an assignment."""
    if assign.index:
        yield assign.index
    if assign.value:
        yield assign.value
    yield from assign.elements or ()


def inner(piece: Piece | Word) -> tuple[Piece, ...]:
    """The pieces right inside a piece; the statements of a substitution are not among them."""
    if isinstance(piece, (Word, Sum)):
        return piece.pieces
    if isinstance(piece, Use):
        return ((piece.index,) if piece.index else ()) + piece.operand
    return ()


@lru_cache(maxsize=4096)
def pieces(top: Piece | Word) -> tuple[Piece, ...]:
    """A piece and all the pieces in it, at any depth, those of substitutions' statements excepted."""
    own = () if isinstance(top, Word) else (top,)
    return own + tuple(below for piece in inner(top) for below in pieces(piece))


@lru_cache(maxsize=1024)
def statements(block: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Every statement at any depth, in the order of the text where they nest, substitutions included."""
    found: list[Statement] = []
    for statement in block:
        found.append(statement)
        for part in parts(statement):
            for piece in pieces(part):
                if isinstance(piece, Sub):
                    found += statements(piece.body)
        for child in children(statement):
            found += statements(child)
    return tuple(found)


@lru_cache(maxsize=4096)
def literal(word: Word, patterns: bool = False) -> str | None:
    """What a word says if bash makes exactly this one word of it in every run, else None.

    With `patterns`, a word that is also a file pattern says what is written.
    """
    if (spreads(word) and not patterns) or not all(isinstance(piece, Text) for piece in word.pieces):
        return None
    text = "".join(piece.text for piece in word.pieces if isinstance(piece, Text))
    return None if "\0" in text else text


def spreads(word: Word) -> bool:
    """Whether unquoted signs make a file pattern, a brace expansion or a home folder of it."""
    bare = "".join(_bare(piece) for piece in word.pieces)
    braces = "{" in bare and "}" in bare and ("," in bare or ".." in bare)
    return braces or "*" in bare or "?" in bare or ("[" in bare and "]" in bare) or bare.startswith("~")


def _bare(piece: Piece) -> str:
    return piece.text if isinstance(piece, Text) and piece.quote is Quote.BARE else "\0"
