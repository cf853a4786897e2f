"""How long a request waits before it is sent again, and when it is given up: for transport faults only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.core.calls import TransportKind

SENDS = 6
"""How often a request is sent, the first time included, if its step says nothing else."""

BASE_S = 1.0
CAP_S = 60.0

ASKED_S = 900.0
"""The most that one request sleeps because servers asked for it, all its waits together."""

_NO_BUDGETS: Mapping[TransportKind, int] = {}


@dataclass(frozen=True, slots=True)
class Setback:
    """One send that came to nothing. `asked_s` is the wait that the server asked for, above 0;
    None where it said nothing, or 0."""

    kind: TransportKind
    asked_s: float | None = None


def wait_s(
    setbacks: Sequence[Setback],
    drawn: float,
    budgets: Mapping[TransportKind, int] = _NO_BUDGETS,
    longest_s: float = ASKED_S,
    sends: int = SENDS,
) -> float | None:
    """Seconds until the request is sent again after the last of its setbacks; None: it is given up.

    A wait that the server asks for is kept as asked and uses up no send, 15 minutes in all; one longer than
    `longest_s`, or than what is left of them, ends the request, since to send earlier would be useless. Any other
    wait has full jitter: `drawn` (from 0 to 1) times min(60 s, 1 s x 2^(n-1)) after the n-th send that counts.
    (Exponential backoff and jitter, AWS Architecture Blog, 2015.) A kind with a budget of its own is held to
    that; all others share `sends`. A hint shorter than a second takes a
    second of the 15 minutes.
    """
    last = setbacks[-1]
    if last.asked_s:
        asked_s = sum(max(one.asked_s, 1.0) for one in setbacks if one.asked_s)
        return last.asked_s if last.asked_s <= longest_s and asked_s <= ASKED_S else None
    counted = [one.kind for one in setbacks if not one.asked_s]
    if last.kind in budgets:
        spent = counted.count(last.kind) >= budgets[last.kind]
    else:
        spent = sum(kind not in budgets for kind in counted) >= sends
    return None if spent else drawn * min(CAP_S, BASE_S * 2.0 ** min(len(counted) - 1, 62))
