"""What a server's headers say of its limits: how long to wait before the next try, and what is left of each."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from penstock.core.calls import Answer
from penstock.rules.adapting import Quota

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_FRACTION = re.compile(r"\.(\d+)")
_SECONDS = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)
_Names = tuple[tuple[str, ...], ...]
_WORDS = ("limit", "remaining", "reset")
_REQUESTS, _TOKENS = (
    tuple(tuple(name.format(word) for word in _WORDS) for name in names)
    for names in (
        ("x-ratelimit-{}-requests", "anthropic-ratelimit-requests-{}"),
        (
            "x-ratelimit-{}-tokens",
            "anthropic-ratelimit-tokens-{}",
            "anthropic-ratelimit-input-tokens-{}",
            "anthropic-ratelimit-output-tokens-{}",
        ),
    )
)
"""The most, what remains of it, and when it is whole again: OpenAI's and Anthropic's reference pages on rate limits."""


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


@dataclass(frozen=True, slots=True)
class Quotas:
    """The limits that an answer tells of; None for one that it does not. Of several on tokens, the scarcest."""

    requests: Quota | None = None
    tokens: Quota | None = None


def quotas(answer: Answer, requests: float = math.inf, tokens: float = math.inf) -> Quotas:
    """What is left of the server's limits on requests and on tokens, as OpenAI's and Anthropic's headers say it.

    Limits of which more is left than `requests` or `tokens` are passed over: most answers tell of plenty. A reset that
    is a date counts from `answer.at`. A limit without its figure or without what remains of it is none.
    """
    if not any("ratelimit-" in name for name, _ in answer.headers):
        return _NO_QUOTAS
    headers = dict(answer.headers)
    return Quotas(_scarcest(_REQUESTS, headers, requests, answer.at), _scarcest(_TOKENS, headers, tokens, answer.at))


_NO_QUOTAS = Quotas()


def _scarcest(names: _Names, headers: Mapping[str, str], plenty: float, now: float) -> Quota | None:
    found = [quota for name in names if (quota := _quota(name, headers, plenty, now)) is not None]
    return min(found, key=lambda quota: quota.remaining / quota.limit, default=None)


def _quota(name: tuple[str, ...], headers: Mapping[str, str], plenty: float, now: float) -> Quota | None:
    of_limit, of_remaining, of_reset = name
    remaining = _number(headers.get(of_remaining))
    if remaining is None or remaining > plenty:
        return None
    limit = _number(headers.get(of_limit))
    if limit is None or limit < 1:
        return None
    return Quota(int(limit), min(int(remaining), int(limit)), _moment(headers.get(of_reset), now))


def _reset(headers: Mapping[str, str], now: float) -> float | None:
    spent = [of_reset for _, left, of_reset in (*_REQUESTS, *_TOKENS) if headers.get(left, "").strip() == "0"]
    waits = [_moment(headers.get(of_reset), now) for of_reset in spent]
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
    if text is None:
        return None
    try:
        number = float(text)
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
        return datetime.fromisoformat(_FRACTION.sub(_six_digits, text.replace("Z", "+00:00")))
    except ValueError:
        return None


def _six_digits(fraction: re.Match[str]) -> str:
    """As many digits of a second as Python 3.10 reads."""
    return f".{fraction[1][:6].ljust(6, '0')}"


def _utc(moment: datetime) -> float:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return (aware - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds()
