"""How many rows a gate is likely to take: the question of `penstock sample-size`."""

from __future__ import annotations

from penstock.core.errors import UsageError
from penstock.rules.sample_sizes import Expected, expected_rows

__all__ = ["Expected", "sample_size"]


def sample_size(rate: float, confidence: float, guess: float, rows: int | None) -> Expected:
    """Rows until "accept rate >= `rate`" passes if the true one is `guess`, in a batch of `rows` if that is known.

    UsageError where it would not pass: the guess is not above the rate, or not by a single row of the batch.
    """
    if not 0 < confidence < 1:
        raise UsageError(f"a confidence of {confidence} is none", "write a number between 0 and 1, such as 0.95")
    if not guess > rate:  # which is so of NaN, too
        raise UsageError(
            f"with an accept rate of {guess} a gate at {rate} is not expected to pass, whatever the sample",
            "guess above the rate, or lower the rate that is required",
        )
    found = expected_rows(rate, confidence, guess, rows)
    if found is None:
        raise UsageError(
            f"of {rows} rows with an accept rate of {guess}, rounded to whole rows, too many are rejected for {rate}",
            "guess higher, or lower the rate that is required",
        )
    return found
