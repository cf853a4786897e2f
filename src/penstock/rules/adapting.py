"""How many requests may be in flight at once, and how many a minute: what each send and each answer changes.

The window is TCP's (RFC 5681), with gentler figures. An answer that came through a full window widens it by 1 / size,
so by one a round trip. A refusal takes it to 0.7 of what was in flight: once a second at most, and never for a request
that left before the last cut, which tells of the crowd that was cut already. Near the size that was refused last the
window widens ten times slower, so that it stays most of the time just below what the server bears (the plateau of
CUBIC, RFC 9438).

A server that names a wait closes the window. When the wait is over one request goes as a probe. Until a probe comes
through nobody else sends; then the window widens by one an answer up to its threshold, and from there as above.

Nothing here reads a clock: times are seconds of one that never goes back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

START = 16
CEILING = 64
"""Requests in flight to one model where no `concurrency` is given: at first, and at most."""

CUT = 0.7
COOLDOWN_S = 1.0
PROBE_S = 1.0
"""The wait before the next probe where the server named none, ever."""

_NEAR = 0.95
_SLOWLY = 0.1
_MINUTE_S = 60.0
_CLEAR_S = 5.0
_HAIR = 1e-6


class Happened(str, Enum):
    """What became of a send, as the limits see it. TAKEN: the server worked on it, whatever it said then."""

    TAKEN = "taken"
    LIMITED = "429"
    OVERLOADED = "the server is overloaded"
    TIMED_OUT = "no answer in time"
    OTHER = "no answer"


_REFUSALS = (Happened.LIMITED, Happened.OVERLOADED, Happened.TIMED_OUT)


@dataclass(frozen=True, slots=True)
class Window:
    """How many requests may be in flight. `size` is from 1 to `ceiling`; its whole part counts.

    Up to `threshold` it widens by one an answer. `refused_at` is the size at which it was last cut, `cut_at` when.
    `closed_until` is None while it is open; `closed_since` is when it closed first without having opened again, and
    `closed_for_s` the last wait that was named. `probing` tells that a probe is out.
    """

    size: float
    ceiling: float
    threshold: float
    refused_at: float | None = None
    cut_at: float = -math.inf
    closed_until: float | None = None
    closed_since: float = 0.0
    closed_for_s: float = PROBE_S
    probing: bool = False


SHUT = Window(0.0, 0.0, 0.0)
"""A window before any step has a place in it."""


def widened(window: Window, start: float, ceiling: float) -> Window:
    """The window with `start` more places and a new ceiling: another step sends through it.

    While it is closed, the places are added to what it will widen to quickly.
    """
    threshold = min(window.threshold + start, ceiling)
    size = window.size if window.closed_until is not None else window.size + start
    return replace(window, size=min(size, ceiling), ceiling=ceiling, threshold=threshold)


def room_in_s(window: Window, in_flight: int, now: float) -> float:
    """Seconds until one more may be sent; infinite where only an answer can make room."""
    if window.closed_until is None:
        return 0.0 if in_flight + 1 <= window.size else math.inf
    return math.inf if window.probing else max(0.0, window.closed_until - now)


def probed(window: Window) -> Window:
    """The closed window, while its probe is out."""
    return replace(window, probing=True)


@dataclass(frozen=True, slots=True)
class Sent:
    """A send that is answered now: when it began, whether it was a probe, and how many were in flight, itself
    included."""

    at: float
    probe: bool
    in_flight: int


def answered(window: Window, sent: Sent, happened: Happened, asked_s: float | None, now: float) -> Window:
    """The window after an answer, or after none. `asked_s` is the wait that the server named."""
    if happened in _REFUSALS:
        return _refused(window, sent, asked_s, now)
    if happened is Happened.OTHER:
        return replace(window, probing=False) if sent.probe else window
    if sent.probe and window.closed_until is not None:
        return replace(window, size=min(2.0, window.ceiling), closed_until=None, probing=False)
    return _grown(window, sent)


def _grown(window: Window, sent: Sent) -> Window:
    full = sent.in_flight > window.size - 1
    if window.closed_until is not None or not full or sent.at <= window.cut_at or window.size >= window.ceiling:
        return window
    if window.size < window.threshold:
        step = 1.0
    else:
        refused = window.refused_at
        near = refused is not None and _NEAR * refused <= window.size <= refused + 1
        step = (_SLOWLY if near else 1.0) / window.size
    return replace(window, size=min(window.size + step, window.ceiling))


def _refused(window: Window, sent: Sent, asked_s: float | None, now: float) -> Window:
    again_s = asked_s or (window.closed_for_s if sent.probe else None)
    if window.closed_until is None:
        window = _cut(window, sent, now)
        if again_s is None:
            return window
        return replace(window, size=1.0, closed_until=now + again_s, closed_since=now, closed_for_s=again_s)
    if again_s is None:
        return window
    until = max(window.closed_until, now + again_s)
    return replace(window, closed_until=until, closed_for_s=again_s, probing=window.probing and not sent.probe)


def _cut(window: Window, sent: Sent, now: float) -> Window:
    if sent.at <= window.cut_at or now - window.cut_at < COOLDOWN_S:
        return window
    refused = min(window.size, sent.in_flight)
    size = max(1.0, CUT * refused)
    return replace(window, size=size, threshold=size, refused_at=refused, cut_at=now)


# --- so many a minute --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quota:
    """What a server says of one limit: the most, what is left of it, and in how many seconds it is whole again."""

    limit: int
    remaining: int
    reset_s: float | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: it holds `level` at time `at`, gains `per_s` up to `capacity`, and may go below zero.

    What is given back may lift it `spare` above its capacity. `limit` is the figure it was made from.
    """

    limit: int
    per_s: float
    capacity: float
    level: float
    at: float
    spare: float = 0.0


def declared(limit: int, now: float) -> Bucket:
    """The bucket of a limit a minute that the file gives.

    Its burst is one second's share, at least one request: OpenAI's guide on rate limits says that 60,000 a minute may
    be held as 1,000 a second, and Anthropic's the like. The refill is so much smaller that burst and refill together
    are the limit in any 60 s.
    """
    burst = max(1.0, limit / _MINUTE_S)
    return Bucket(limit, (limit - burst + 1) / _MINUTE_S, burst, burst, now, spare=limit / 20)


def learned(quota: Quota, since: float, elapsed_s: float, now: float) -> Bucket:
    """The bucket that a server tells of in an answer. `since` is what was sent after the answer's request was, which
    took `elapsed_s`.

    The reset is when the bucket is full again, by steady refill: that gives the rate, whatever period the limit is for
    (Groq's is a day). Where it is too near to be exact (Anthropic's are whole seconds), the period is a minute.
    """
    missing = quota.limit - quota.remaining
    clear = quota.reset_s is not None and quota.reset_s >= _CLEAR_S and missing > 0
    per_s = missing / quota.reset_s if clear and quota.reset_s else quota.limit / _MINUTE_S
    level = min(float(quota.limit), quota.remaining + per_s * elapsed_s) - since
    return Bucket(quota.limit, per_s, quota.limit, level, now)


def holds_in_s(bucket: Bucket, amount: float, now: float) -> float:
    """Seconds until the bucket holds so much. What is more than it can ever hold needs a full one."""
    missing = min(amount, bucket.capacity) - _level(bucket, now)
    return missing / bucket.per_s if missing > _HAIR else 0.0


def taken(bucket: Bucket, amount: float, now: float) -> Bucket:
    """The bucket without so much; a negative amount is given back."""
    level = min(_level(bucket, now) - amount, bucket.capacity + bucket.spare)
    return replace(bucket, level=level, at=max(now, bucket.at))


def _level(bucket: Bucket, now: float) -> float:
    if bucket.level >= bucket.capacity:
        return bucket.level
    return min(bucket.capacity, bucket.level + bucket.per_s * max(0.0, now - bucket.at))
