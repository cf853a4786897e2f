"""Seeded draws: what is drawn depends on the request and on what it is drawn for, never on order, time or process."""

from __future__ import annotations

from hashlib import sha256


class Draws:
    """Numbers that are fixed by a root and a label: equal labels give equal draws."""

    __slots__ = ("_root",)

    def __init__(self, root: bytes) -> None:
        self._root = root

    def share(self, label: str) -> float:
        """A number from 0 up to, and without, 1."""
        digest = sha256(self._root + label.encode("utf-8", "surrogatepass")).digest()
        return (int.from_bytes(digest[:8], "big") >> 11) / 2**53

    def between(self, low: float, high: float, label: str) -> float:
        """A number from `low` up to `high`."""
        return low + (high - low) * self.share(label)

    def index(self, count: int, label: str) -> int:
        """A number from 0 to `count` - 1."""
        return int(self.share(label) * count)

    def digits(self, label: str) -> str:
        """32 hex digits."""
        return sha256(self._root + label.encode("utf-8", "surrogatepass")).hexdigest()[:32]
