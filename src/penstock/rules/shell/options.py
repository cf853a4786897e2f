"""What part each word plays for the command that gets it: option, program text, script, data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from penstock.rules.shell.syntax import Text, Word, literal
from penstock.rules.shell.tables import Language, Wrapper
from penstock.rules.shell.taint import is_open

_ASSIGN = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\+?=")


class Role(Enum):
    """What a command makes of a word."""

    DATA = "data"
    TEXT = "program text"
    SCRIPT = "the program's file"
    DASHED = "data, or an option if it begins with `-`"
    UNSURE = "unknown"
    ASSIGN = "a variable for the command"


@dataclass(slots=True)
class Placing:
    """The words of a command by their parts. `program`: whether one of them is the program, or names it.

    `rest` is what a wrapper runs. `unknown` is the word after which nothing is sure.
    """

    roles: list[tuple[Word, Role]] = field(default_factory=list)
    program: bool = False
    rest: tuple[Word, ...] = ()
    unknown: Word | None = None


@dataclass(frozen=True, slots=True)
class _Taken:
    """One option word: `own` is the part of what is attached to it, `following` that of the next word."""

    names: frozenset[str]
    own: Role = Role.DATA
    following: Role | None = None
    sure: bool = True


def head(word: Word) -> tuple[str, bool]:
    """The literal characters that a word begins with, and whether that is all of it."""
    found = ""
    for piece in word.pieces:
        if not isinstance(piece, Text):
            return found, False
        found += piece.text
    return found, True


def unwrap(words: Sequence[Word], wrapper: Wrapper) -> Placing:
    """The parts of the words after a wrapper's name, up to the command that it runs."""
    roles = {
        **dict.fromkeys(wrapper.values, Role.DATA),
        **dict.fromkeys(wrapper.texts, Role.TEXT),
    }
    placing = Placing()
    following: Role | None = None
    operands, closed = wrapper.operands, False
    for at, word in enumerate(words):
        start, whole = head(word)
        name = _ASSIGN.match(start)
        if (following or operands) and is_open(word):
            return _lost(placing, words[at:])
        if following:
            placing.roles.append((word, following))
            following = None
        elif not closed and start.startswith("-") and not (start == "--" and whole):
            taken = _option(word, roles, wrapper.flags, frozenset(), single=False)
            placing.roles.append((word, taken.own))
            following = taken.following
            if not taken.sure:
                return _lost(placing, words[at:])
        elif not closed and start == "--":
            closed = True
        elif wrapper.assigns and name:
            placing.roles.append((word, Role.ASSIGN))
        elif operands:
            operands -= 1
            placing.roles.append((word, Role.DATA))
        else:
            placing.rest = tuple(words[at:])
            return placing
    return placing


def _lost(placing: Placing, words: Sequence[Word]) -> Placing:
    """From the first of these words on nothing is sure: it is an unknown option, or may be none or several words."""
    placing.unknown = words[0]
    placing.roles += [(each, Role.UNSURE) for each in words[1:]]
    return placing


def place(words: Sequence[Word], language: Language, carries: Callable[[Word], bool]) -> Placing:
    """The parts of the words after an interpreter's name."""
    return _Placer(language, carries).place(words)


class _Placer:
    """Goes over the words of an interpreter once, from left to right."""

    def __init__(self, language: Language, carries: Callable[[Word], bool]) -> None:
        self.language = language
        self.carries = carries
        self.placing = Placing()
        self.first = language.first
        self.operands = 0
        self.closed = False
        self.ended = False
        self.following: list[Role] = []
        self.roles: Mapping[str, Role] = {
            **dict.fromkeys(language.values, Role.DATA),
            **dict.fromkeys(language.texts | language.guarded, Role.TEXT),
            **dict.fromkeys(language.files, Role.SCRIPT),
            **dict.fromkeys(language.ends, Role.TEXT),
        }

    def place(self, words: Sequence[Word]) -> Placing:
        for word in words:
            role = self._role(word)
            unsure = self.placing.unknown is not None and self.carries(word)
            self.placing.roles.append((word, Role.UNSURE if unsure else role))
        return self.placing

    def _role(self, word: Word) -> Role:
        start, whole = head(word)
        if self.following:
            if is_open(word) and not self.ended:
                self.placing.unknown = word
            return self.following.pop(0)
        if self.ended:
            return Role.DATA
        signs = ("-", "+") if self.language.arms else ("-",)
        if not self.closed and start.startswith(signs) and len(start) > 1 and self._options_here():
            return self._option(word, start, whole)
        return self._operand(word, start)

    def _options_here(self) -> bool:
        return self.operands == 0 or self.language.permutes

    def _option(self, word: Word, start: str, whole: bool) -> Role:
        if start == "--" and whole:
            self.closed = True
            return Role.DATA
        language = self.language
        if start in language.pairs and whole:
            self.following = [Role.TEXT, Role.DATA]
            return Role.DATA
        flags = language.flags | language.arms
        taken = _option(word, self.roles, flags, language.sticky, language.single)
        if not taken.sure:
            self.placing.unknown = word
        if taken.following:
            self.following = [taken.following]
        if taken.names & language.arms:
            self.first = "text"
        elif language.arms and "-s" in taken.names:
            self.first = "data"
        if taken.names & (language.texts | language.files | language.ends):
            self.placing.program = True
        self.ended = bool(taken.names & language.ends)
        return taken.own

    def _operand(self, word: Word, start: str) -> Role:
        language = self.language
        if self.operands == 0 and is_open(word) and not self.carries(word):
            return Role.DATA
        self.operands += 1
        role = self.first if self.operands == 1 else language.rest
        if self.operands == 1 and self.placing.program and self.first != "data":
            role = language.rest if self.first == language.first else self.first
        if role == "text":
            # Some seds take an empty suffix as a word of its own after -i; the program comes after it.
            suffix = literal(word) == "" and bool(language.sticky)
            self.operands -= suffix
            self.placing.program = not suffix
            return Role.TEXT
        if role == "script":
            self.placing.program = literal(word) not in ("-", "/dev/stdin")
            return Role.SCRIPT
        if language.assigns and _ASSIGN.match(start):
            return Role.TEXT
        dashed = not start and not self.closed and language.dashes
        return Role.DASHED if dashed and (self.operands == 1 or language.permutes) else Role.DATA


def _option(
    word: Word, roles: Mapping[str, Role], flags: frozenset[str], sticky: frozenset[str], single: bool
) -> _Taken:
    start, whole = head(word)
    name, sign, _ = start.partition("=")
    if start.startswith("--") or single:
        if sign:
            return _Taken(frozenset([name]), roles.get(name, Role.DATA if name in flags else Role.UNSURE))
        if not whole:
            return _Taken(frozenset(), Role.UNSURE)
        return _Taken(frozenset([name]), following=roles.get(name), sure=name in roles or name in flags)
    seen: set[str] = set()
    for at, letter in enumerate(start[1:], 1):
        option = start[0] + letter
        seen.add(option)
        if option in roles:
            attached = at + 1 < len(start) or not whole
            role = roles[option]
            return _Taken(frozenset(seen), role if attached else Role.DATA, None if attached else role)
        if option in flags:
            continue
        return _Taken(frozenset(seen), Role.DATA if option in sticky else Role.UNSURE, sure=option in sticky)
    return _Taken(frozenset(seen), Role.DATA if whole else Role.UNSURE)
