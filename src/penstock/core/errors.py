"""Every error that Penstock raises on purpose, by who must act.

PenstockError
├── AuthorError            the workflow's author: the file says something wrong        exit 2
│   ├── WorkflowError      the file cannot be loaded; carries every problem at once
│   └── ConditionError     an expression has no answer for the values it met
├── OperatorError          who runs it: machine, folder, input, key, lock              exit 1
│   └── UsageError         the command line asks for what does not exist               exit 2
└── BugError               us: an invariant does not hold                              exit 1
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or worth knowing: where, what, and what to do about it.

    `source` is the line of the file itself, None where there is none to show;
    `width` how many characters of it the caret underlines, at least 1.
    """

    place: Place | None
    message: str
    help: str | None = None
    source: str | None = None
    width: int = 1

    def __str__(self) -> str:
        head = f"{self.place}: {self.message}" if self.place else self.message
        lines = [head]
        if self.place and self.source is not None:
            number = str(self.place.line)
            shown = self.source.replace("\t", " ")
            start = self.place.column - 1
            indent = " " * _columns(shown[:start])
            caret = "^" * max(1, _columns(shown[start : start + self.width]))
            lines.append(f"  {number} | {shown}")
            lines.append(f"  {' ' * len(number)} | {indent}{caret}")
        if self.help:
            first, *rest = self.help.split("\n")
            lines += [f"  help: {first}", *(f"        {line}" for line in rest)]
        return "\n".join(lines)


def _columns(text: str) -> int:
    """How many terminal columns a text takes: East Asian wide characters take two, combining marks none."""

    def width(letter: str) -> int:
        wide = unicodedata.east_asian_width(letter) in "WF"
        return 0 if unicodedata.combining(letter) else 2 if wide else 1

    return sum(map(width, text))


class PenstockError(Exception):
    """Root of everything that is raised on purpose; `exit_status` is what the process ends with."""

    exit_status = 1


class AuthorError(PenstockError):
    """The author of the workflow must change the file."""

    exit_status = 2


class WorkflowError(AuthorError):
    """The workflow cannot be loaded. `problems` holds all of them, in the file's order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class ConditionError(AuthorError):
    """An expression that has no answer: a missing field, two types, a NaN. Never `false`."""


class OperatorError(PenstockError):
    """The person at the machine must act. `help` is the one line that says how."""

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.help = help


class UsageError(OperatorError):
    """The command line names something that does not exist or does not fit."""

    exit_status = 2


class BugError(PenstockError):
    """An invariant of ours is broken. The run stops loudly and nothing is thrown away."""
