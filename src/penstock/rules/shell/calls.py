"""The faults of commands: words that bash, or the program that it runs, would evaluate, and that hold values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from penstock.core.workflow import Placeholder
from penstock.rules.placeholders import Fault
from penstock.rules.shell.builtins import culprit, printing, refuse, refuse_names, setting, subscripted, testing
from penstock.rules.shell.forward import Forwarding
from penstock.rules.shell.options import Role, place, unwrap
from penstock.rules.shell.syntax import Quote, Simple, Text, Use, Value, Word, literal
from penstock.rules.shell.tables import (
    ALL_TEXT,
    EVALUATING,
    EVALUATING_IN_ZSH,
    EXPLICIT,
    LANGUAGES,
    RUNNERS,
    SHELLS,
    WRAPPERS,
    Language,
    special,
)
from penstock.rules.shell.taint import POSITIONAL, Flow, Input, is_open, program

Nested = Callable[[str, frozenset[str]], "str | None"]
"""Judges fixed program text of a shell, given the names that carry values in it: what is wrong with it, or None."""

Literals = dict[str, list["tuple[Word, ...] | None"]]
"""What the variables of a text may hold, as far as it is written out: words, or None for what is not."""

_FIX_NAME = "write the program's name out; to choose by a value: case {{item.kind}} in a) python a.py ;; esac"
_FIXED_IN_VARIABLES = "keep the text fixed: assign the value to a variable and use that, quoted, in single-quoted text"
_EXPLICIT = re.compile(r"-[A-Za-z]*[ceE]|--eval")
_VERSION = re.compile(r"[0-9][0-9.]*$")


@dataclass(frozen=True, slots=True)
class Scene:
    """What the judging of a command needs to know of the text around it.

    `filled` are the variables that are sure to hold a word, each with the offset from which on it does.
    """

    flow: Flow
    zsh: bool
    nested: Nested
    literals: Literals
    filled: dict[str, int]
    forwarding: Forwarding


def judge(command: Simple, scene: Scene) -> Iterator[Fault]:
    """The faults of a command's words."""
    if command.words:
        bodies = [each.heredoc.body for each in command.redirects if each.heredoc and each.heredoc.body]
        yield from _Caller(scene, scene.flow.input(command), bodies[-1] if bodies else None).run(command.words)


class _Caller:
    """One command, looked at as whatever it runs; `heredoc` is what it reads, if that is in the text."""

    def __init__(self, scene: Scene, given: Input, heredoc: Word | None) -> None:
        self.scene = scene
        self.flow = scene.flow
        self.given = given >= Input.ROW
        self.heredoc = heredoc

    def run(self, words: Sequence[Word]) -> Iterator[Fault]:
        """The faults of a command, its name included."""
        name = words[0]
        if self.scene.forwarding.runs_here(name):
            return
        for piece in name.pieces:
            if isinstance(piece, Value) or self.flow.carries(piece):
                offset, width, what = culprit(self.flow, piece)
                yield Fault(offset, width, f"{what} would name the command that runs.", _FIX_NAME)
                return
        if len(words) > 1 and self._may_vanish(name):
            yield from self.run(words[1:])
        for reading in _readings(words, self.scene.literals):
            if reading is None:
                yield from self._refuse(words[1:], "{} stands after a command whose name is not known.", _FIX_NAME)
            elif self.flow.defines(called := literal(reading[0])):
                for shifted in range(min(self.scene.forwarding.shifted.get(called or "", -1) + 1, len(reading) - 1)):
                    yield from self.run(reading[shifted + 1 :])
            else:
                yield from self._dispatch(reading)

    def _may_vanish(self, name: Word) -> bool:
        """Whether bash may make no word at all of a command's name, so that the next word is the command."""
        use = name.pieces[0]
        if not is_open(name) or any(isinstance(piece, Text) and piece.text for piece in name.pieces):
            return False
        if not isinstance(use, Use) or len(name.pieces) > 1:
            return True
        filled = use.op in (":-", ":=") and any(isinstance(piece, Text) and piece.text for piece in use.operand)
        return not filled and self.scene.filled.get(use.name, name.start) >= name.start

    def _dispatch(self, words: Sequence[Word]) -> Iterator[Fault]:
        name, rest = _base(words[0], self.scene.zsh), words[1:]
        builtin = "/" not in self.flow.text[words[0].start : words[0].end]
        evaluating = {**EVALUATING, **EVALUATING_IN_ZSH} if self.scene.zsh else EVALUATING
        if builtin and name == "alias" and rest and self.flow.active:
            start, end = words[0].start, words[0].end
            yield Fault(start, end - start, "an alias hides which command a value goes to.", "write a function")
        elif builtin and name in evaluating:
            yield from self._evaluating(name, rest, evaluating[name])
        elif builtin and name in ("test", "["):
            yield from testing(rest[:-1] if name == "[" else rest, self.flow, self.scene.zsh)
        elif builtin and name == "printf":
            yield from printing(rest, self.flow, self.scene.zsh)
        elif builtin and name == "set":
            yield from setting(rest, self.flow)
        elif builtin and name in ("export", "local", "readonly"):
            message = f"{{}} would name a variable for `{name}`."
            yield from refuse_names(self.flow, subscripted(rest), message, "write name={{item}}")
            yield from self._refuse(rest, message, "write name={{item}}")
        elif name in WRAPPERS:
            yield from self._wrapped(name, rest)
        elif name == "find":
            yield from self._found(rest)
        elif name in ALL_TEXT:
            yield from self._refuse(rest, f"{{}} stands in program text of `{name}`.", ALL_TEXT[name])
        elif name in LANGUAGES:
            yield from self._language(name, LANGUAGES[name], words[0], rest)
        else:
            yield from self._scan(name, rest)

    def _refuse(self, words: Sequence[Word], message: str, help: str) -> Iterator[Fault]:
        return refuse(self.flow, words, message, help)

    def _evaluating(self, name: str, words: Sequence[Word], help: str) -> Iterator[Fault]:
        named = words if name == "let" else subscripted(words)
        message = f"{{}} stands in the words of `{name}`, which evaluates them."
        if name not in ("eval", "trap"):
            yield from refuse_names(self.flow, named, message, help)
        yield from self._refuse(words, message, help)
        if name in ("source", ".") and words:
            yield from self._placed(name, Role.SCRIPT, words[0], None, help)
        if name in ("eval", "trap") and words and not any(map(self.flow.carries, words)):
            yield from self._nested(words[0], program(name, list(map(_fixed, words))), frozenset(self.flow.names))

    def _nested(self, word: Word, text: str, names: frozenset[str]) -> Iterator[Fault]:
        wrong = self.scene.nested(text, names)
        if wrong:
            yield Fault(word.start, word.end - word.start, f"This program text: {wrong}", _FIXED_IN_VARIABLES)

    def _wrapped(self, name: str, words: Sequence[Word]) -> Iterator[Fault]:
        placing = unwrap(words, WRAPPERS[name])
        for word, role in placing.roles:
            named = self.flow.text[word.start : word.end].partition("=")[0]
            if role is Role.ASSIGN and special(named, self.scene.zsh):
                yield from self._refuse([word], "{} would be run by way of `" + named + "`.", "use another name")
            elif role in (Role.TEXT, Role.UNSURE):
                yield from self._placed(name, role, word, placing.unknown, "write it as words: command {{item}}")
        rest = placing.rest
        if name == "xargs" and rest and self.given:
            rest = _appended(words, rest)
        if rest:
            yield from self.run(rest)

    def _placed(self, name: str, role: Role, word: Word, unknown: Word | None, help: str) -> Iterator[Fault]:
        if role is Role.TEXT:
            yield from self._refuse([word], f"{{}} stands in program text of `{name}`.", help)
        elif role is Role.SCRIPT and self.flow.is_made(word):
            width = word.end - word.start
            made = f"this file, which `{name}` runs, is written in the text with a value in it."
            yield Fault(word.start, width, made, "keep the program fixed, and pass the value to it")
        elif role is Role.SCRIPT:
            yield from self._refuse([word], f"{{}} would name the program that `{name}` runs.", _FIX_NAME)
        elif role is Role.DASHED:
            dashed = f"{{}} would be an option of `{name}` if it begins with `-`."
            yield from self._refuse([word], dashed, "write -- before it, or ./ for a file")
        elif role is Role.UNSURE and unknown:
            shown = self.flow.text[unknown.start : unknown.end]
            unsure = f"what `{name}` makes of {{}} after `{shown}` is not known."
            yield from self._refuse([word], unsure, "quote a variable there, or move the call to a script")

    def _found(self, words: Sequence[Word]) -> Iterator[Fault]:
        """`find`: the commands of its -exec, where `{}` is a path that a value may have begun."""
        risky = any(map(self.flow.carries, words))
        inside: list[Word] | None = None
        for word in words:
            text = literal(word)
            if text in ("-exec", "-execdir", "-ok", "-okdir"):
                inside = []
            elif inside is not None and text in (";", "+"):
                if inside:
                    yield from _Caller(self.scene, Input.CLEAN, None).run(inside)
                inside = None
            elif inside is not None:
                inside.append(_replaced(word, "{}", "{}") if risky else word)

    def _language(self, name: str, language: Language, at: Word, words: Sequence[Word]) -> Iterator[Fault]:
        placing = place(words, language, self.flow.carries)
        for word, role in placing.roles:
            yield from self._placed(name, role, word, placing.unknown, language.help)
        if language.stdin and not placing.program:
            yield from self._program_read(name, at, language)
        texts = [word for word, role in placing.roles if role is Role.TEXT and not self.flow.carries(word)]
        if name in SHELLS and texts:
            yield from self._nested(texts[0], _fixed(texts[0]), self._names_inside(words))
        elif name in SHELLS and self.heredoc and not placing.program and not self.flow.carries(self.heredoc):
            yield from self._nested(at, _fixed(self.heredoc), self._names_inside(words))
        elif name == "ssh" and texts:
            there = [part for word in texts for part in _split(word)]
            yield from self.run(there) if there else ()

    def _names_inside(self, words: Sequence[Word]) -> frozenset[str]:
        given = any(map(self.flow.carries, words))
        return frozenset(self.flow.names - {POSITIONAL}) | (frozenset([POSITIONAL]) if given else frozenset())

    def _program_read(self, name: str, at: Word, language: Language) -> Iterator[Fault]:
        if self.heredoc and self.flow.carries(self.heredoc):
            offset, width, what = culprit(self.flow, self.heredoc)
        elif self.given:
            offset, width, what = at.start, at.end - at.start, "a value"
        else:
            return
        message = f"`{name}` reads its program from standard input here, and {what} is in it."
        yield Fault(offset, width, message, language.help)

    def _scan(self, name: str, words: Sequence[Word]) -> Iterator[Fault]:
        """A program that is not listed: it may run a language that its words name."""
        if not name:
            yield from self._unnamed(words)
        for at, word in enumerate(words):
            inside = _base(word, False)
            if name in RUNNERS and inside in LANGUAGES:
                yield from self._dispatch(words[at:])
            elif inside in EXPLICIT:
                for each, role in place(words[at + 1 :], LANGUAGES[inside], self.flow.carries).roles:
                    if role is Role.TEXT:
                        yield from self._placed(inside, role, each, None, LANGUAGES[inside].help)

    def _unnamed(self, words: Sequence[Word]) -> Iterator[Fault]:
        """A program that a variable of the environment names: it may be any language."""
        for at, word in enumerate(words[1:]):
            if _EXPLICIT.fullmatch(literal(words[at]) or ""):
                yield from self._refuse([word], "{} may stand in program text.", "write the program's name out")


def _readings(words: Sequence[Word], literals: Literals) -> Iterator[Sequence[Word] | None]:
    """The words with the command's name worked out, once for each that it may be; None where it is not known."""
    name = words[0]
    use = name.pieces[0]
    if literal(name) is not None or any(isinstance(piece, Text) and "/" in piece.text for piece in name.pieces):
        yield words
    elif len(name.pieces) > 1 or not isinstance(use, Use) or use.sign or (use.index and not is_open(name)):
        yield None
    else:
        default = tuple(piece for piece in use.operand if isinstance(piece, Text))
        if use.op in ("-", ":-", "=", ":="):
            known = default and len(default) == len(use.operand)
            yield (*_split(Word(use.start, use.end, default)), *words[1:]) if known else None
        elif use.op:
            yield None
        for held in literals.get(use.name, []):
            yield (*held, *words[1:]) if held else None
        if use.name not in literals:
            yield words if use.name.isidentifier() else None


def _base(word: Word, zsh: bool) -> str:
    """A program's name without its folder and version; empty if it is not written out."""
    text = literal(word)
    if text is None:
        tail = word.pieces[-1]
        text = tail.text if isinstance(tail, Text) and "/" in tail.text else ""
    if zsh and text.startswith("="):
        text = text[1:]
    name = text.rpartition("/")[2]
    short = _VERSION.sub("", name)
    return short if short in LANGUAGES and name not in LANGUAGES else name


def _fixed(word: Word) -> str:
    """A word's text, with an `x` for each expansion in it."""
    return "".join(piece.text if isinstance(piece, Text) and piece.text != "\0" else "x" for piece in word.pieces)


def _split(word: Word) -> tuple[Word, ...]:
    """The words that a shell makes of a text once more."""
    parts = _fixed(word).split()
    return tuple(Word(word.start, word.end, (Text(word.start, word.end, part, Quote.SINGLE),)) for part in parts)


def _appended(words: Sequence[Word], command: Sequence[Word]) -> tuple[Word, ...]:
    """A command of xargs with what it takes from standard input in its place: at the sign of -I, or at the end."""
    sign = ""
    options = words[: len(words) - len(command)]
    for at, option in enumerate(options):
        text = literal(option) or ""
        if text in ("-I", "-J"):
            sign = literal(words[at + 1]) or "{}"
        elif text.startswith(("-I", "-i", "--replace")):
            sign = (text.partition("=")[2] if text.startswith("--") else text[2:]) or "{}"
    if sign:
        return tuple(_replaced(word, sign, "standard input") for word in command)
    last = command[-1]
    return (*command, Word(last.start, last.end, (_stand_in(last, "standard input"),)))


def _replaced(word: Word, sign: str, source: str) -> Word:
    before, found, after = _fixed(word).partition(sign)
    if not found:
        return word
    first = (_text(word, before),) if before else ()
    return Word(word.start, word.end, (*first, _stand_in(word, source), _text(word, after)))


def _stand_in(word: Word, source: str) -> Value:
    return Value(word.start, word.end, Placeholder("item", (), source), Quote.BARE)


def _text(word: Word, text: str) -> Text:
    return Text(word.start, word.end, text, Quote.SINGLE)
