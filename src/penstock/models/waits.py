"""How long a server asks to wait before the next try, as its headers say it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from penstock.core.calls import Answer

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_SECONDS = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)
_LIMITS = (
    "x-ratelimit-{}-requests",
    "x-ratelimit-{}-tokens",
    "anthropic-ratelimit-requests-{}",
    "anthropic-ratelimit-tokens-{}",
    "anthropic-ratelimit-input-tokens-{}",
    "anthropic-ratelimit-output-tokens-{}",
)
"""What remains of a limit, and when it is whole again: OpenAI's and Anthropic's reference pages on rate limits."""


def retry_after_s(answer: Answer) -> float | None:
    """Seconds that the server asks to wait, None if it does not say: `retry-after-ms`, then `retry-after` (RFC 9110,
    section 10.2.3: seconds or a date), then the reset of whichever rate limit has nothing left.

    A date counts from `answer.at`; one that has passed is 0.
    """
    headers = dict(answer.headers)
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    return _moment(headers.get("retry-after"), answer.at) if "retry-after" in headers else _reset(headers, answer.at)


def _reset(headers: Mapping[str, str], now: float) -> float | None:
    spent = [name for name in _LIMITS if headers.get(name.format("remaining"), "").strip() == "0"]
    waits = [_moment(headers.get(name.format("reset")), now) for name in spent]
    return max((wait for wait in waits if wait is not None), default=None)


def _moment(text: str | None, now: float) -> float | None:
    """Seconds from now, of a number of seconds, a duration (`6m0s`), or a date of HTTP or RFC 3339."""
    if text is None:
        return None
    text = text.strip()
    seconds = _number(text)
    if seconds is not None:
        return seconds
    duration = _DURATION.fullmatch(text)
    if text and duration:
        total = sum(float(part) * unit for part, unit in zip(duration.groups(), _SECONDS, strict=True) if part)
        return total if math.isfinite(total) else None
    moment = _http_date(text) or _iso_date(text)
    return None if moment is None else max(0.0, _utc(moment) - now)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _http_date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _iso_date(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


def _utc(moment: datetime) -> float:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return (aware - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds()
