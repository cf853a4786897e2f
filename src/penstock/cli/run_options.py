"""Words of the command line that several commands read alike."""

from __future__ import annotations

from penstock.core.errors import UsageError


def pairs(values: tuple[str, ...], option: str = "--var") -> tuple[tuple[str, str], ...]:
    """`KEY=VALUE` words as pairs; UsageError for a word that is none."""
    for value in values:
        if "=" not in value or value.startswith("="):
            raise UsageError(f"{option} {value}: write {option} KEY=VALUE")
    return tuple((key, value) for key, _, value in (word.partition("=") for word in values))
