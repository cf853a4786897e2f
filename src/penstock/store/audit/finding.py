"""What an examination says of one thing: that it is as it must be, or what is not and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Grade(str, Enum):
    """`note`: worth knowing, nothing is wrong. `problem`: something is, and a person must act."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of an examination. `name` is what was looked at; `help` says what to do, where there is something."""

    name: str
    grade: Grade
    message: str
    help: str | None = None


def ok(name: str, message: str) -> Finding:
    """It is as it must be."""
    return Finding(name, Grade.OK, message)


def note(name: str, message: str, help: str | None = None) -> Finding:
    """Worth knowing."""
    return Finding(name, Grade.NOTE, message, help)


def problem(name: str, message: str, help: str) -> Finding:
    """Wrong, and what to do about it."""
    return Finding(name, Grade.PROBLEM, message, help)
