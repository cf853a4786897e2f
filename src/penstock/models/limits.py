"""When a request may be sent: one queue for a model behind a key, held by its window, its rates and closed times.

    enter -> (wait: room in the window, requests and tokens a minute, until a named wait is over) -> send -> left

What an answer changes is decided in rules/adapting.py. Here the state is held, who waits is queued in order of
arrival, and one timer at most runs for a queue. Where nobody waits and there is room, `enter` makes no task and no
timer.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field

from penstock.core.calls import Answer, Fault, FaultClass, Reply, TransportKind
from penstock.core.models import Model
from penstock.core.seams import Clock
from penstock.models.waits import quotas
from penstock.models.wire import Endpoint
from penstock.rules import adapting
from penstock.rules.adapting import Bucket, Happened, Sent, Window
from penstock.rules.waits import ASKED_S


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to send one request, to be given back with `left`. `waited_s` is how long it took to get it.

    `requests` and `tokens_before` count what had been sent by then, this request included.
    """

    tokens: int
    at: float
    waited_s: float
    probe: bool
    requests: int
    tokens_before: int


@dataclass(frozen=True, slots=True)
class Closed:
    """No leave, and none soon: the server asked for a wait of which `left_s` are left, longer than one waits.

    `why` is a sentence with the numbers.
    """

    left_s: float
    why: str
    waited_s: float = 0.0


class Limits:
    """The limits of every model that a run asks. Two names for one model behind one key share theirs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limiters: dict[tuple[str, str | None, str], Limiter] = {}

    def limiter_of(self, model: Model, endpoint: Endpoint, step_id: str, concurrency: int | None = None) -> Limiter:
        """The limiter of the model, which has room for this step from now on.

        `concurrency` is the step's own figure, at which it starts and beyond which it does not go; without one it
        starts at 16 and adapts up to 64. Steps add up; `model.concurrency` is the ceiling of all of them.
        """
        key = (endpoint.url, endpoint.key, model.served)
        limiter = self._limiters.get(key)
        if limiter is None:
            limiter = self._limiters[key] = Limiter(f"{model.provider}/{model.served}", self._clock)
        limiter.admit(step_id, model, concurrency)
        return limiter

    def stalls(self) -> tuple[str, ...]:
        """A sentence for each model that requests wait for: for how long, and why."""
        return tuple(stall for limiter in self._limiters.values() if (stall := limiter.stall()) is not None)


def longest_s(model: Model) -> float:
    """The longest wait in seconds that a server of the model may ask for."""
    return ASKED_S if model.max_wait_s is None else model.max_wait_s


def happened(result: Reply | Fault | None) -> Happened:
    """What a send's result means for the limits; None is a send that was given up before it ended.

    An overloaded server (529) and one that fails and names a wait mean the same. Any other failure of it says nothing
    of limits, and whatever else it answers, a refusal for want of money included, shows that it takes requests.
    """
    if result is None:
        return Happened.OTHER
    if isinstance(result, Reply) or result.cls is not FaultClass.TRANSPORT:
        return Happened.TAKEN
    match result.kind:
        case TransportKind.RATE_LIMIT:
            return Happened.LIMITED
        case TransportKind.TIMEOUT:
            return Happened.TIMED_OUT
        case TransportKind.SERVER if result.status == 529 or result.retry_after_s:
            return Happened.OVERLOADED
    return Happened.OTHER


@dataclass(eq=False, slots=True)
class _Waiter:
    """A request in the queue. One that is cancelled stays there, done, until its turn comes."""

    tokens: int
    since: float
    longest_s: float
    in_all_s: float
    turn: asyncio.Future[Permit | Closed] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Limiter:
    """The queue before one model behind one key. Used in one event loop."""

    def __init__(self, name: str, clock: Clock) -> None:
        """`name` is what messages call the model."""
        self._name = name
        self._clock = clock
        self._window = adapting.SHUT
        self._buckets: dict[str, Bucket] = {}
        self._queue: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._in_flight = self._requests = self._tokens = 0
        self._model_ceiling = math.inf
        self._ceilings: dict[str, int] = {}
        self._names: set[str] = set()
        self._reason = ""

    @property
    def in_flight(self) -> int:
        """Requests that entered and have not left."""
        return self._in_flight

    @property
    def window(self) -> Window:
        """The window as it is now."""
        return self._window

    def admit(self, step_id: str, model: Model, concurrency: int | None) -> None:
        """The step's requests come through here too, and the model's own limits hold. Once for a step and a name."""
        if step_id in self._ceilings and model.name in self._names:
            return
        start, ceiling = (concurrency, concurrency) if concurrency else (adapting.START, adapting.CEILING)
        start = 0 if step_id in self._ceilings else start
        self._ceilings.setdefault(step_id, ceiling)
        self._names.add(model.name)
        self._model_ceiling = min(self._model_ceiling, model.concurrency or math.inf)
        self._window = adapting.widened(self._window, start, min(sum(self._ceilings.values()), self._model_ceiling))
        for unit, limit in (("rpm", model.rpm), ("tpm", model.tpm)):
            if limit is not None and (unit not in self._buckets or limit < self._buckets[unit].limit):
                self._buckets[unit] = adapting.declared(limit, self._clock.monotonic())
        if self._queue:
            self._pump()

    async def enter(self, tokens: int, longest_s: float = ASKED_S, in_all_s: float = ASKED_S) -> Permit | Closed:
        """Leave to send a request of about so many tokens, input and output; in order of arrival.

        Closed, if the server has asked everybody for a wait of more than `longest_s` seconds, or waits that it asked
        for come to more than `in_all_s`. Cancelled, it leaves nothing taken.
        """
        now = self._clock.monotonic()
        if not self._queue and not self._room_in_s(tokens, now):
            return self._leave(tokens, now, now)
        waiter = _Waiter(tokens, now, longest_s, in_all_s)
        closed = self._closed(waiter, now)
        if closed is not None:
            return closed
        self._queue.append(waiter)
        if len(self._queue) == 1:
            self._pump()
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            self._withdrawn(waiter)
            raise

    def left(self, permit: Permit, result: Reply | Fault | None, answer: Answer | None) -> str | None:
        """The request of the permit is over: once for each permit, None and None if it was given up.

        Whoever may follow is woken. A sentence with numbers if this narrowed, closed or opened the window, else None.
        """
        now = self._clock.monotonic()
        before, what = self._window, happened(result)
        asked_s = result.retry_after_s if isinstance(result, Fault) else None
        self._window = adapting.answered(before, Sent(permit.at, permit.probe, self._in_flight), what, asked_s, now)
        self._in_flight -= 1
        self._correct(permit, result, now)
        if answer is not None:
            self._learn(permit, answer, now)
        told = self._told(before, what, asked_s)
        if self._queue:
            self._turn_away(now)
            self._pump()
        return told

    def stall(self) -> str | None:
        """Why requests wait for this model and for how long, `waiting 42 s for openai/gpt-4o: 429, Retry-After 60 s`;
        None if none does."""
        waiting = [waiter for waiter in self._queue if not waiter.turn.done()]
        if not waiting:
            return None
        now, window = self._clock.monotonic(), self._window
        if window.closed_until is not None:
            wait_s = window.closed_until - now
            for_s = f"{wait_s:.0f} s for" if wait_s > 0 else "for one probe of"
            return f"waiting {for_s} {self._name}: {self._reason}"
        slow_s, slowest = max(
            ((self._holds_in_s(unit, waiting[0].tokens, now), unit) for unit in self._buckets), default=(0.0, "")
        )
        if slow_s > 0 and adapting.room_in_s(window, self._in_flight, now) == 0:
            return f"waiting {slow_s:.3g} s for {self._name}: {self._scarce(slowest)}"
        if not self._reason:  # as many are in flight as somebody asked for
            return None
        waits = f"{len(waiting)} wait for {self._name}"
        return f"{waits}: {self._in_flight} of {int(window.size)} are in flight ({self._reason})"

    # --- the queue -----------------------------------------------------------------------------

    def _room_in_s(self, tokens: int, now: float) -> float:
        room_s = adapting.room_in_s(self._window, self._in_flight, now)
        for unit in self._buckets:
            room_s = max(room_s, self._holds_in_s(unit, tokens, now))
        return room_s

    def _holds_in_s(self, unit: str, tokens: int, now: float) -> float:
        return adapting.holds_in_s(self._buckets[unit], 1 if unit in _OF_REQUESTS else tokens, now)

    def _leave(self, tokens: int, since: float, now: float) -> Permit:
        probe = self._window.closed_until is not None
        if probe:
            self._window = adapting.probed(self._window)
        for unit, bucket in self._buckets.items():
            self._buckets[unit] = adapting.taken(bucket, 1 if unit in _OF_REQUESTS else tokens, now)
        self._in_flight += 1
        self._requests += 1
        self._tokens += tokens
        return Permit(tokens, now, now - since, probe, self._requests, self._tokens)

    def _pump(self) -> None:
        """Everybody who may go now goes; the timer is set for the first of the others."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock.monotonic()
        while self._queue:
            first = self._queue[0]
            if not first.turn.done():
                wait_s = self._room_in_s(first.tokens, now)
                if wait_s:
                    if wait_s < math.inf:
                        self._timer = asyncio.get_running_loop().call_later(wait_s, self._pump)
                    return
                first.turn.set_result(self._leave(first.tokens, first.since, now))
            self._queue.popleft()

    def _withdrawn(self, waiter: _Waiter) -> None:
        """The waiter was cancelled: its turn, if it came in the same moment, is given back as if never had."""
        permit = None if waiter.turn.cancelled() else waiter.turn.result()
        if isinstance(permit, Permit):
            now = self._clock.monotonic()
            for unit, bucket in self._buckets.items():
                self._buckets[unit] = adapting.taken(bucket, -1 if unit in _OF_REQUESTS else -permit.tokens, now)
            self._requests -= 1
            self._tokens -= permit.tokens
            self.left(permit, None, None)
        else:
            self._pump()

    def _turn_away(self, now: float) -> None:
        """Who would wait longer than it may does not wait at all."""
        if self._window.closed_until is None and self._closed(self._queue[0], now) is None:
            return
        for waiter in self._queue:
            closed = None if waiter.turn.done() else self._closed(waiter, now)
            if closed is not None:
                waiter.turn.set_result(closed)

    def _closed(self, waiter: _Waiter, now: float) -> Closed | None:
        window, waited_s = self._window, now - waiter.since
        for unit in _OF_THE_SERVER:
            short_s = self._holds_in_s(unit, waiter.tokens, now) if unit in self._buckets else 0.0
            if short_s > waiter.longest_s:
                most = f"{short_s:.0f} s are more than the {waiter.longest_s:g} s that it may wait"
                return Closed(short_s, f"{self._name}: {self._scarce(unit)}, and {most}", waited_s)
        if window.closed_until is None:
            return None
        left_s = max(0.0, window.closed_until - now)
        in_all_s = now + left_s - max(waiter.since, window.closed_since)
        if left_s > waiter.longest_s:
            most = f"{left_s:.0f} s are left of it, more than the {waiter.longest_s:g} s that it may wait"
        elif in_all_s > waiter.in_all_s:
            most = f"the waits come to {in_all_s:.0f} s, more than {waiter.in_all_s:g} s in all"
        else:
            return None
        return Closed(left_s, f"{self._name} takes no requests ({self._reason}): {most}", waited_s)

    def _scarce(self, unit: str) -> str:
        return _SCARCE[unit].format(self._buckets[unit].limit)

    # --- what answers change -------------------------------------------------------------------

    def _correct(self, permit: Permit, result: Reply | Fault | None, now: float) -> None:
        """The tokens that were used take the place of those that were estimated."""
        usage = result.usage if result is not None else None
        if usage is None:
            return
        over = usage.input_tokens + usage.output_tokens - permit.tokens
        self._tokens += over
        for unit in _OF_TOKENS:
            if unit in self._buckets:
                self._buckets[unit] = adapting.taken(self._buckets[unit], over, now)

    def _learn(self, permit: Permit, answer: Answer, now: float) -> None:
        """A limit of which twice what may be in flight is left is not kept: the next answers tell when it gets less."""
        crowd = 2 * self._window.ceiling
        plenty = {"requests": crowd, "tokens": crowd * max(permit.tokens, 1)}
        sought = [math.inf if unit in self._buckets else plenty[unit] for unit in _OF_THE_SERVER]
        told = quotas(answer, *sought)
        since = (self._requests - permit.requests, max(0, self._tokens - permit.tokens_before))
        for unit, quota, sent in zip(_OF_THE_SERVER, (told.requests, told.tokens), since, strict=True):
            if quota is None:
                continue
            if quota.remaining > plenty[unit]:
                del self._buckets[unit]
            else:
                self._buckets[unit] = adapting.learned(quota, sent, now - permit.at, now)

    def _told(self, before: Window, what: Happened, asked_s: float | None) -> str | None:
        after = self._window
        if before.closed_until is not None and after.closed_until is None:
            self._reason = ""
            return f"{self._name} takes requests again: its probe came through"
        if after.closed_until is not None and after.closed_until != before.closed_until:
            asked = f", Retry-After {asked_s:g} s" if asked_s else f" again, so {after.closed_for_s:g} s more"
            self._reason = what.value + asked
            known = before.closed_until is not None
            return None if known else f"{self._name}: {self._reason}; nobody sends meanwhile, then one probe goes first"
        if after.cut_at != before.cut_at:
            self._reason = what.value
            refused = int(after.refused_at or 0)
            return f"{self._name}: {what.value} with {refused} in flight, so {int(after.size)} at most from now on"
        return None


_OF_REQUESTS = ("rpm", "requests")
_OF_TOKENS = ("tpm", "tokens")
_OF_THE_SERVER = ("requests", "tokens")
_SCARCE = {
    "rpm": "at most {} requests a minute (`rpm`)",
    "tpm": "at most {} tokens a minute (`tpm`)",
    "requests": "too little is left of its server's limit of {} requests",
    "tokens": "too little is left of its server's limit of {} tokens",
}
"""Why there is a wait for a bucket, by its unit: two of the file and two that the server tells of."""
