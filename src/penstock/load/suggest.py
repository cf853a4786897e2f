"""Did you mean: the known words nearest to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Up to three known words that look like `word`, the nearest first; case does not matter."""
    folded: dict[str, str] = {}
    for candidate in known:
        folded.setdefault(candidate.casefold(), candidate)
    return [folded[match] for match in get_close_matches(word.casefold(), folded, n=3, cutoff=cutoff)]


def did_you_mean(word: str, known: Iterable[str], prefix: str = "", cutoff: float = 0.6) -> str | None:
    """`did you mean …?` with the nearest words in backquotes; None if none is near."""
    words = [f"`{prefix}{match}`" for match in nearest(word, known, cutoff)]
    return f"did you mean {either(words)}?" if words else None


def either(words: Iterable[str], last: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`."""
    *most, final = words
    return f"{', '.join(most)} {last} {final}" if most else final


def lines(*parts: str | None) -> str | None:
    """The parts that there are, one a line; None if there are none."""
    return "\n".join(part for part in parts if part) or None
