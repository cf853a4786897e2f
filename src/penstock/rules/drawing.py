"""A uniform sample of a stream whose length nobody knows, drawn by a seed and kept in a random order.

The rows are chosen with Li's Algorithm L, which works out how many rows to pass over before the next one enters, so a
stream of n rows costs about size (1 + ln(n / size)) draws: K.-H. Li, Reservoir-sampling algorithms of time complexity
O(n(1 + log(N/n))), ACM TOMS 20, 1994, after J. S. Vitter, Random sampling with a reservoir, ACM TOMS 11, 1985. A
reservoir's own order is not uniform (early rows keep early places), so it is shuffled at the end.

The draws are SHA-256 in counter mode over the seed and the stream's name: the same in each version of Python, on each
machine and whatever else is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Drawn(Generic[Row]):
    """A row of a sample, and its place in the stream, counted from 0."""

    index: int
    row: Row


def draw(stream: Iterable[Row], size: int, seed: int, name: str) -> list[Drawn[Row]]:
    """`size` rows of the stream in a random order, all of them if there are fewer. Equal arguments, equal sample."""
    reservoir: Reservoir[Row] = Reservoir(size, seed, name)
    for row in stream:
        reservoir.add(row)
    return reservoir.sample()


class Reservoir(Generic[Row]):
    """A sample that grows with its stream: after each row it holds a uniform sample of all that came, in `size` places.

    `seen` is how many rows came. ValueError unless size > 0.
    """

    __slots__ = ("_draws", "_kept", "_next", "_threshold", "seen", "size")

    def __init__(self, size: int, seed: int, name: str) -> None:
        if size < 1:
            raise ValueError(f"a sample of {size} rows is none")
        self.size = size
        self.seen = 0
        self._kept: list[Drawn[Row]] = []
        self._draws = _Draws(f"{seed} {name}")
        # ln W of the algorithm: W is the largest of `size` uniform keys that the rows in the reservoir might have.
        self._threshold = 0.0
        self._next = size

    def add(self, row: Row) -> None:
        """The next row of the stream came."""
        index = self.seen
        self.seen += 1
        if index < self.size:
            self._kept.append(Drawn(index, row))
            if self.seen == self.size:
                self._pass_over()
        elif index == self._next:
            self._kept[self._draws.below(self.size)] = Drawn(index, row)
            self._next += 1
            self._pass_over()

    def sample(self) -> list[Drawn[Row]]:
        """The rows in sample order, which is a uniform one too. Draws nothing that a later row would miss."""
        rows = list(self._kept)
        order = self._draws.apart("order")
        for place in range(len(rows) - 1, 0, -1):  # Fisher-Yates
            other = order.below(place + 1)
            rows[place], rows[other] = rows[other], rows[place]
        return rows

    def _pass_over(self) -> None:
        self._threshold += math.log(self._draws.share()) / self.size
        kept = -math.expm1(self._threshold)  # 1 - W, of which a small W takes no digit
        self._next += math.floor(math.log(self._draws.share()) / math.log(kept)) if kept < 1 else 1 << 62


class _Draws:
    """Independent draws, one after another, that are fixed by a text."""

    __slots__ = ("_count", "_root")

    def __init__(self, text: str) -> None:
        self._root = sha256(text.encode("utf-8", "surrogatepass")).digest()
        self._count = 0

    def share(self) -> float:
        """A number above 0 and below 1."""
        return ((self._bits() >> 204) + 0.5) / 2**52

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1. Of 256 bits: how much likelier the low ones are could never be seen."""
        return self._bits() % limit

    def apart(self, label: str) -> _Draws:
        """Draws of their own, which take none from these."""
        return _Draws(f"{self._root.hex()} {label}")

    def _bits(self) -> int:
        self._count += 1
        return int.from_bytes(sha256(self._root + self._count.to_bytes(8, "big")).digest(), "big")
