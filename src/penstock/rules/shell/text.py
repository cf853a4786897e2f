"""A `run` text, understood: placeholders become environment variables, and what the text writes is known.

The promise is that *bash never evaluates a value*. It is kept in this order. `placeholders` finds the
placeholders. `shellreader` reads the text, placeholders included, into statements and words, and refuses
what it is not sure of. `shellplaces` gives each placeholder the expansion that fits its quotes. `shelltaint`
follows values through variables, functions and pipes, and `shellrules` and `shellcalls` refuse each place
where bash, or a program that takes program text, would evaluate one. Last, `shelltree` asks tree-sitter
whether it reads the placeholders' quotes in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from posixpath import normpath

from penstock.core.errors import AuthorError
from penstock.core.workflow import Part, Placeholder, Script, Target
from penstock.rules.placeholders import Fault, Found, find
from penstock.rules.shell.output import literal_words, whole_output
from penstock.rules.shell.places import expansion, misplaced, standings
from penstock.rules.shell.reader import Reader, read
from penstock.rules.shell.rules import evaluated
from penstock.rules.shell.syntax import Compound, Quote, Simple, Use, statements
from penstock.rules.shell.taint import Flow, Input
from penstock.rules.shell.targets import Written, written
from penstock.rules.shell.tree import disagreement
from penstock.rules.shell.words import Unreadable

SHELLS = ("bash", "sh", "zsh")
"""The interpreters whose texts may hold placeholders."""

_RESERVED = re.compile(r"PENSTOCK_(?:V[0-9]|PIECE_)\w*")
_UNPRINTABLE = re.compile("[\0\ud800-\udfff]")
_MAY_WRITE = re.compile(r">|\btee\b")


@dataclass(frozen=True, slots=True)
class Analysis:
    """A text that may run. `notes` are what `check` mentions; their offsets count characters of the text."""

    script: Script
    notes: tuple[Fault, ...] = ()


class ShellTextError(AuthorError):
    """A text that may not run. `faults` are all that is wrong with it, in its order."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(fault.message for fault in faults))
        self.faults = faults


def analyse(text: str, *, foreach: bool, shell: str = "bash") -> Analysis:
    """What a `run` text says, for a step with or without `foreach`. `shell` is the interpreter's name or path.

    ShellTextError with every fault if a placeholder, or a variable that holds one, stands where it
    would be evaluated, if the text cannot be read, or if what it writes cannot be known.
    """
    found = find(text, foreach=foreach)
    unprintable = _UNPRINTABLE.search(text)
    if unprintable:
        raise ShellTextError((Fault(unprintable.start(), 1, "this character cannot stand in a command.", "drop it"),))
    name = shell.rpartition("/")[2]
    if name not in SHELLS:
        return _foreign(text, found, name)
    marks = {each.offset: _placeholder(each, text) for each in found}
    try:
        reader = read(text, marks)
    except Unreadable as error:
        return _unread(text, found, foreach, error.fault)
    return _Analysis(text, reader, marks, foreach, name == "zsh").result(found)


def _placeholder(each: Found | Fault, text: str) -> Placeholder:
    """A placeholder; a faulty one has no root, and is reported once and not again for where it stands."""
    if isinstance(each, Found):
        return each.placeholder
    return Placeholder("", (), text[each.offset : each.offset + each.width])


def _foreign(text: str, found: tuple[Found | Fault, ...], name: str) -> Analysis:
    """A text for another interpreter: it has no placeholders, and what it writes is not looked for."""
    help = "read standard input, or the file that the variable PENSTOCK_ITEM_FILE names"
    faults = tuple(
        Fault(each.offset, each.width, f"{each.placeholder.text}: `{name}` has no placeholders.", help)
        for each in found
        if isinstance(each, Found)
    )
    if faults:
        raise ShellTextError(faults)
    return Analysis(Script(text, text))


def _unread(text: str, found: tuple[Found | Fault, ...], foreach: bool, fault: Fault) -> Analysis:
    """A text that cannot be read does no harm if it has no values, and no files that many items would write."""
    if found or (foreach and _MAY_WRITE.search(text)) or _RESERVED.search(text):
        wrong = [each for each in found if isinstance(each, Fault)]
        raise ShellTextError(tuple(sorted((*wrong, fault), key=lambda each: each.offset)))
    note = Fault(fault.offset, fault.width, f"{fault.message} What it writes is not known.", fault.help)
    return Analysis(Script(text, text), (note,))


class _Analysis:
    """One text on its way from statements to a Script."""

    def __init__(self, text: str, reader: Reader, marks: dict[int, Placeholder], foreach: bool, zsh: bool) -> None:
        self.text = text
        self.reader = reader
        self.block = reader.statements
        self.marks = marks
        self.foreach = foreach
        self.zsh = zsh
        self.flow = Flow(text, self.block, given=Input.ROW if foreach else Input.CLEAN)
        self.standing = sorted(standings(self.block), key=lambda each: each.value.start)
        self.files = written(self.block)
        self.pieces: dict[tuple[Part, ...], int] = {}

    def result(self, found: tuple[Found | Fault, ...]) -> Analysis:
        faults = dict.fromkeys(self._faults(found))
        if not faults and self.standing:
            other = disagreement(self.text, self.marks, [each.value for each in self.standing])
            faults = {other: None} if other else {}
        if faults:
            raise ShellTextError(tuple(sorted(faults, key=lambda fault: (fault.offset, fault.message))))
        targets = {id(file): self._target(file) for file in self.files}
        output = whole_output(self.block, self.files)
        bindings, edits = self._bindings()
        script = Script(
            source=self.text,
            text=_edited(self.text, edits + self._piece_edits(list(targets.values()))),
            bindings=bindings,
            targets=tuple(targets.values()),
            output=targets[id(output)] if output else None,
            reads=literal_words(self.block, self.files),
        )
        return Analysis(script, tuple(sorted(self._notes(), key=lambda note: note.offset)))

    def _faults(self, found: tuple[Found | Fault, ...]) -> Iterator[Fault]:
        for each in found:
            if isinstance(each, Fault) and not self._in_comment(each.offset):
                yield each
        for match in _RESERVED.finditer(self.text):
            if not self._in_comment(match.start()):
                help = "Penstock gives these names to values and pieces itself; use another"
                yield Fault(match.start(), len(match.group()), f"`{match.group()}` is a name of Penstock's own.", help)
        for standing in self.standing:
            fault = misplaced(standing, self.text) if standing.value.placeholder.root else None
            if fault:
                yield fault
        yield from evaluated(self.text, self.block, self.flow, self.zsh)
        if self.foreach:
            for file in self.files:
                yield from _shared(file, self.text)

    def _in_comment(self, offset: int) -> bool:
        return any(start <= offset < end for start, end in self.reader.comments)

    def _bindings(self) -> tuple[tuple[tuple[str, Placeholder], ...], list[tuple[int, int, str]]]:
        names: dict[tuple[str, tuple[str | int, ...]], tuple[str, Placeholder]] = {}
        edits = []
        for standing in self.standing:
            value = standing.value
            key = (value.placeholder.root, value.placeholder.path)
            variable, _ = names.setdefault(key, (f"PENSTOCK_V{len(names)}", value.placeholder))
            edits.append((value.start, value.end, expansion(value, variable)))
        return tuple(names.values()), edits

    def _target(self, file: Written) -> Target:
        start, end = file.word.start, file.word.end
        target = Target(file.parts, file.append, None, self.text[start:end], start, end - start)
        if not (self.foreach and file.append and file.parts) or target.per_item:
            return target
        piece = self.pieces.setdefault(_path_key(file.parts), len(self.pieces))
        return Target(target.parts, True, piece, target.text, target.offset, target.width)

    def _piece_edits(self, targets: list[Target]) -> list[tuple[int, int, str]]:
        return [
            (each.offset, each.offset + each.width, f'"${{PENSTOCK_PIECE_{each.piece}}}"')
            for each in targets
            if each.piece is not None
        ]

    def _notes(self) -> Iterator[Fault]:
        for file in self.files:
            start, width = file.word.start, file.word.end - file.word.start
            if file.moved:
                message = "Penstock does not follow what is written after a `cd`."
                yield Fault(start, width, message, "keep the `cd` in parentheses: (cd dir && command)")
            elif file.parts is None and self.foreach:
                yield Fault(start, width, "Penstock does not follow this file: its path is not known before the run.")
        for use in self._split_uses():
            shown = self.text[use.start : use.end]
            message = f"`{shown}` may hold a placeholder's value, and is split at blanks and taken for a pattern here."
            yield Fault(use.start, use.end - use.start, message, f'quote it: "{shown}"')

    def _split_uses(self) -> Iterator[Use]:
        for statement in statements(self.block):
            words = statement.words if isinstance(statement, (Simple, Compound)) else ()
            for piece in (piece for word in words for piece in word.pieces):
                if isinstance(piece, Use) and piece.quote is Quote.BARE and self.flow.carries(piece):
                    yield piece


def _shared(file: Written, text: str) -> Iterator[Fault]:
    """The fault if all items of a step would write to this file in a way that cannot be kept apart."""
    start, width = file.word.start, file.word.end - file.word.start
    shown = text[start : start + width]
    if file.append and file.backquoted:
        yield Fault(start, width, f"`{shown}` is appended to inside backquotes.", "write $(…) instead of backquotes")
    elif file.append and file.parts is None and not file.moved:
        help = "write the path out; only variables of `env` and placeholders may stand in it"
        yield Fault(start, width, f"`{shown}` is appended to, and cannot be known before the run.", help)
    elif not file.append and file.parts and not any(isinstance(part, Placeholder) for part in file.parts):
        help = "append with >> (tee -a), or give each item a file of its own: put {{i}} or {{key}} in the name"
        yield Fault(start, width, f"each item would overwrite `{shown}`.", help)


def _path_key(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """One key for spellings of one path, such as `./log` and `log`."""
    first = parts[0]
    if not isinstance(first, str):
        return parts
    return (normpath(first) if len(parts) == 1 else first.removeprefix("./"), *parts[1:])


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    done, written_ = 0, ""
    for start, end, replacement in sorted(edits):
        written_ += text[done:start] + replacement
        done = end
    return written_ + text[done:]
