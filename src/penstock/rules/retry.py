"""Whether a failed try is made again, and after what wait."""

from __future__ import annotations

from penstock.core.workflow import Retry

CLASSES = {"exit": "exit", "output": "exit", "timeout": "timeout"}
"""The `retry.on` word that each kind of accident belongs to; a kind that is missing is never tried again."""


def again(retry: Retry, number: int, kind: str | None) -> bool:
    """Whether attempt `number` (from 1), which ended in an accident of `kind`, is followed by another."""
    return number < retry.attempts and kind is not None and CLASSES.get(kind) in retry.on


def wait_s(retry: Retry, number: int, drawn: float) -> float:
    """Seconds to wait after attempt `number`; `drawn` is a random number from 0 to 1. See `Retry`."""
    return drawn * min(retry.cap_s, retry.base_s * 2.0 ** min(number - 1, 62))
