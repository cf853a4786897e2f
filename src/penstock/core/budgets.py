"""The nouns of `budget`: how much a run or a step may use, and an amount of what is used."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.core.errors import Place


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that may be used; None where nothing is said. Money is whole micro-dollars.

    `seconds` is wall-clock time, summed over the lives of a run. `when_exceeded` is `pause` (the run can be resumed) or
    `stop` (it fails); `notify` is a shell text that is run either way.
    """

    at: Place
    micros: int | None = None
    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    when_exceeded: str = "pause"
    notify: str | None = None


@dataclass(frozen=True, slots=True)
class Amount:
    """So much used, or at stake. `micros` is None where the price is not known."""

    calls: int = 0
    tokens: int = 0
    micros: int | None = 0
