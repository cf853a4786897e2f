"""Functions that run their arguments as a command, such as `retry() { "$@" || "$@"; }`."""

from __future__ import annotations

from dataclasses import dataclass, field

from penstock.rules.shell.syntax import Compound, Function, Quote, Simple, Statement, Use, Word, literal, statements
from penstock.rules.shell.targets import LOOPS, command_words

ANY = 1 << 30
"""More words than a command has: where it is not known how many are shifted away."""


@dataclass(frozen=True, slots=True)
class Forwarding:
    """`shifted`: by function, how many of its arguments may be gone before the rest is run. `inside`: its spans."""

    shifted: dict[str, int] = field(default_factory=dict)
    inside: tuple[tuple[int, int], ...] = ()

    def runs_here(self, name: Word) -> bool:
        """Whether a command's name is `"$@"` in a function: then each call of it is looked at instead."""
        return is_all(name) and any(start <= name.start < end for start, end in self.inside)


def forwarding(block: tuple[Statement, ...]) -> Forwarding:
    """The functions of a text that run their arguments, directly or by way of one another."""
    functions = [each for each in statements(block) if isinstance(each, Function)]
    shifted: dict[str, int] = {}
    for _ in range(len(functions) + 1):
        for function in functions:
            commands = [each for each in statements((function.body,)) if isinstance(each, Simple)]
            if any(is_all(name) for command in commands for name in command_words(command.words)[:1]):
                shifted.setdefault(function.name, _shifts(commands, function))
            elif any(_passes_on(command, shifted) for command in commands):
                shifted[function.name] = ANY
    return Forwarding(shifted, tuple((each.start, each.end) for each in functions if each.name in shifted))


def is_all(word: Word) -> bool:
    """Whether a word is `"$@"`."""
    use = word.pieces[0]
    plain = isinstance(use, Use) and use.name == "@" and not use.op and not use.sign and use.quote is Quote.DOUBLE
    return plain and len(word.pieces) == 1


def _passes_on(command: Simple, shifted: dict[str, int]) -> bool:
    words = command_words(command.words)
    return bool(words) and literal(words[0]) in shifted and any(is_all(word) for word in words[1:])


def _shifts(commands: list[Simple], function: Function) -> int:
    """How many arguments the function shifts away; any number if it does so in a loop, or by a count."""
    found = [command for command in commands if command.words and literal(command.words[0]) in ("shift", "set")]
    loops = [each for each in statements((function.body,)) if isinstance(each, Compound) and each.kind in LOOPS]
    looped = any(command in statements((loop,)) for loop in loops for command in found)
    counted = any(len(command.words) > 1 for command in found)
    return ANY if looped or counted else len(found)
