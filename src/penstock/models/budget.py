"""The ledger of a run's budget: room is set aside for the worst case of a send before it is sent.

    reserve -> reserved -> settle -> spent      what the server says it used
                  |           +----> exposed    what it may have charged without a word: a timeout, a lost connection
                  +-----> release             it was never sent

A send is let through only if, under each cap of the run and of its step, for calls, tokens and money alike,

    spent + reserved + exposed + worst case <= cap

so no cap is crossed, however many calls are in flight, unless a server uses more than its worst case (an overrun).

**Who waits.** What does not fit waits while something that could free room is in flight. The oldest is served first: it
holds back every later send under the cap that it does not fit, smaller ones included, so nobody waits for ever; sends
of other steps pass one that waits for room in its own step alone. Letting small ones overtake would use the last cents
better, and would starve the large model of a cascade until the run is over.

**When it ends.** Where the oldest does not fit and nothing is in flight, its cap is exhausted, and closed: the run's
for everybody, a step's for that step. All who wait and all who come later are told at once; what is in flight settles.

**Near the end.** With worst cases close to what is used, all but about one call's worth of a cap is used. Where they
are far above it (a short answer under a high token limit), fewer calls fit side by side as the room gets less, at last
one at a time, until not even one fits: what is left then is less than one worst case.

Whoever holds a reservation must settle it before asking for another, or two of them could wait for each other. All of
it runs in one event loop; nothing here is durable, and the journal says what earlier lives of the run have used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from penstock.core.budgets import Amount, Caps
from penstock.core.calls import Request
from penstock.core.canon import Json
from penstock.core.errors import BugError, OperatorError
from penstock.core.seams import Clock
from penstock.models import anthropic, bodies
from penstock.rules.worst_case import Unbounded, Worst, unbounded_by

_AXES = ("calls", "tokens", "cost_usd")
_COLUMNS = (0, 1, 2)
_COST = 2
_LIMIT_WORDS = {"openai": {"max_tokens", "max_completion_tokens"}, "ollama": {"num_predict"}, "python": {"max_tokens"}}

_NOTHING = Amount()

_Three = tuple[int, int, int]
"""Calls, tokens and micro-dollars."""


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier lives of a run have used, of the whole of it or of one step."""

    spent: Amount = _NOTHING
    exposed: Amount = _NOTHING
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Level:
    """How full one cap is. `step_id` is None for the run's; `axis` is cost_usd (in micro-dollars here), calls, tokens
    or seconds (of which none are reserved or exposed)."""

    step_id: str | None
    axis: str
    cap: float
    spent: float
    reserved: float = 0
    exposed: float = 0


@dataclass(frozen=True, slots=True)
class Overrun:
    """A send that used more than was set aside for it."""

    step_id: str
    reserved: Worst
    actual: Amount


class Exhausted(OperatorError):
    """A cap has no room for a call and none can come: `level` as it was then, `wanted` by the call that did not fit.

    `caps` are those of the run or the step that is closed: what is to happen now stands there.
    """

    def __init__(self, level: Level, caps: Caps, wanted: int = 0) -> None:
        super().__init__(_exhausted(level, wanted))
        self.level = level
        self.caps = caps
        self.wanted = wanted


class Reservation:
    """Room that is set aside for one send, until it is settled or released: exactly once, or BugError.

    As a context manager it cannot be forgotten: what was neither is released at the end, or stays exposed at its worst
    case if `sent` was called before.
    """

    __slots__ = ("_budget", "_is_sent", "_scopes", "_step_id", "_wanted", "_worst")

    def __init__(self, budget: Budget | None, step_id: str, scopes: tuple[_Scope, ...], worst: Worst) -> None:
        self._budget = budget
        self._step_id = step_id
        self._scopes = scopes
        self._worst = worst
        self._wanted = _wanted(scopes, step_id, worst)
        self._is_sent = False

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._wanted is _ENDED:
            return
        if self._is_sent:
            self.settle(Amount(calls=1), exposed=True)
        else:
            self.release()

    def sent(self) -> None:
        """The request is about to leave: from now on the server may charge for it."""
        if self._budget is not None:
            self._is_sent = True

    def settle(self, actual: Amount, exposed: bool = False) -> Overrun | None:
        """`actual` is spent, and the rest of the reservation free, or with `exposed` charged as exposed.

        Where `actual.micros` is None, all the money that was set aside is exposed. What is more than was set aside is
        charged in full and comes back as an overrun.
        """
        if self._budget is None:
            return None
        spent = (actual.calls, actual.tokens, actual.micros or 0)
        if min(spent) < 0:
            raise BugError(f"a call of step {self._step_id} cannot have used {actual}")
        calls, tokens, micros = (max(0, self._wanted[axis] - spent[axis]) if exposed else 0 for axis in _COLUMNS)
        kept = (calls, tokens, self._wanted[_COST] if actual.micros is None else micros)
        over = _is_over(self._worst, actual)
        self._end(spent, kept, over)
        return Overrun(self._step_id, self._worst, actual) if over else None

    def release(self) -> None:
        """It was never sent: all of it is free again."""
        if self._budget is not None:
            self._end(_NONE, _NONE, over=False)

    def _end(self, spent: _Three, exposed: _Three, over: bool) -> None:
        if self._wanted is _ENDED:
            raise BugError(f"a reservation of step {self._step_id} ends a second time")
        assert self._budget is not None
        wanted, self._wanted = self._wanted, _ENDED
        for scope in self._scopes:
            scope.end(wanted, spent, exposed)
        self._budget._ended(over)


class Budget:
    """What a run and its steps may still use. One for a run, in one event loop."""

    def __init__(
        self,
        clock: Clock,
        run: Caps | None = None,
        steps: Mapping[str, Caps] | None = None,
        past: Past | None = None,
        steps_past: Mapping[str, Past] | None = None,
    ) -> None:
        """`steps` are the caps of those steps that have any; `past` and `steps_past` what earlier lives have used.

        Unbounded if money is capped of which an unknown amount is spent. The run's time begins now.
        """
        befores = steps_past or {}
        self._clock = clock
        self._run = None if run is None else _Scope(run, None, past or Past(), clock.monotonic())
        self._steps = {name: _Scope(caps, name, befores.get(name, Past())) for name, caps in (steps or {}).items()}
        self._all = (*self._scopes(None), *self._steps.values())
        self._is_timed = any(scope.caps.seconds is not None for scope in self._all)
        self._waiting: dict[Reservation, asyncio.Future[None]] = {}
        self.in_flight = 0
        """Reservations that are neither settled nor released."""
        self.overruns = 0
        """Sends that used more than was set aside for them."""

    def applies(self, step_id: str) -> bool:
        """Whether any cap holds for the step: if not, no worst case needs to be worked out."""
        return self._run is not None or step_id in self._steps

    async def reserve(self, step_id: str, worst: Worst) -> Reservation:
        """Room for one send, once there is some. Unbounded or Exhausted where there can be none.

        Where no cap applies, the answer comes at once and costs nothing. Whoever is cancelled here holds nothing.
        """
        scopes = self._scopes(step_id)
        if not scopes:
            return FREE
        reservation = Reservation(self, step_id, scopes, worst)
        self.opened(step_id)
        self.expire()
        closed = _closed(scopes)
        if closed is not None:
            raise closed
        if self._waiting or _full(reservation) is not None:
            await self._room(reservation)
        else:
            self._take(reservation)
        return reservation

    def opened(self, step_id: str) -> None:
        """The step runs: the time that its own cap counts begins, if it has not yet."""
        scope = self._steps.get(step_id)
        if scope is not None and scope.began is None:
            scope.began = self._clock.monotonic()

    def seconds_used(self, step_id: str | None = None) -> float:
        """How long the run, or a step that has caps, has been running, earlier lives included; 0 without caps."""
        scope = self._run if step_id is None else self._steps.get(step_id)
        return 0.0 if scope is None else scope.seconds(self._clock.monotonic())

    def seconds_left(self, step_id: str | None = None) -> float | None:
        """Seconds, from 0, until the time of the run, or of run or step, is up; None where none of them has a cap."""
        now = self._clock.monotonic()
        caps = [(scope.caps.seconds, scope.seconds(now)) for scope in self._scopes(step_id)]
        return min((max(0.0, cap - used) for cap, used in caps if cap is not None), default=None)

    def expire(self) -> None:
        """Caps whose time is up are closed, and those who wait under them told. For a timer; `reserve` looks too."""
        now = self._clock.monotonic() if self._is_timed else 0.0
        late = [scope for scope in self._all if self._is_timed and scope.closed is None and scope.is_late(now)]
        for scope in late:
            scope.close("seconds", now)
        if late:
            self._serve()

    def exhausted(self, step_id: str | None = None) -> Exhausted | None:
        """Why nothing more is sent for the run, or for the step; None while something may be."""
        return _closed(self._scopes(step_id))

    def levels(self) -> tuple[Level, ...]:
        """How full each cap is: the run's first, then the steps' in their order."""
        now = self._clock.monotonic()
        return tuple(level for scope in self._all for level in scope.levels(now))

    # --- waiting -------------------------------------------------------------------------------

    async def _room(self, reservation: Reservation) -> None:
        """Returns once the reservation is taken."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[reservation] = future
        self._serve()
        try:
            await future
        except asyncio.CancelledError:
            if self._waiting.pop(reservation, None) is not None:
                self._serve()
            elif not future.cancelled() and future.exception() is None:  # served in the turn in which it was cancelled
                reservation.release()
            raise

    def _serve(self) -> None:
        """Gives room to those who wait, oldest first. One who does not fit holds back the later ones of that scope."""
        full: set[_Scope] = set()
        for reservation, future in tuple(self._waiting.items()):
            scopes = reservation._scopes
            if future.done() or not full.isdisjoint(scopes) or _closed(scopes):
                continue  # a cancelled one takes itself off the list when its task goes on
            scope = _full(reservation)
            if scope is None:
                del self._waiting[reservation]
                self._take(reservation)
                future.set_result(None)
            elif scope is self._run:
                break
            else:
                full.add(scope)
        self._turn_away()

    def _turn_away(self) -> None:
        """Tells those who wait for room under a cap that is closed."""
        if all(scope.closed is None for scope in self._all):
            return
        for reservation, future in tuple(self._waiting.items()):
            closed = _closed(reservation._scopes)
            if closed is not None and not future.done():
                del self._waiting[reservation]
                future.set_exception(closed)

    # --- the ledger ----------------------------------------------------------------------------

    def _take(self, reservation: Reservation) -> None:
        for scope in reservation._scopes:
            scope.take(reservation._wanted)
        self.in_flight += 1

    def _ended(self, over: bool) -> None:
        """For a reservation that has ended and given its room back."""
        self.in_flight -= 1
        self.overruns += over
        if self._waiting:
            self.expire()
            self._serve()

    def _scopes(self, step_id: str | None) -> tuple[_Scope, ...]:
        """What holds for a step, the narrower one first, or with None for the run alone."""
        both = (None if step_id is None else self._steps.get(step_id), self._run)
        return tuple(scope for scope in both if scope is not None)


class _Scope:
    """What holds for the run, or for one step: its caps, and three columns of calls, tokens and micro-dollars."""

    __slots__ = ("before_s", "began", "caps", "closed", "exposed", "limits", "reserved", "spent", "step_id")

    def __init__(self, caps: Caps, step_id: str | None, past: Past, began: float | None = None) -> None:
        limits = enumerate((caps.calls, caps.tokens, caps.micros))
        self.caps = caps
        self.step_id = step_id
        self.limits = tuple((axis, cap) for axis, cap in limits if cap is not None)
        self.spent = self._column(past.spent)
        self.exposed = self._column(past.exposed)
        self.reserved = [0, 0, 0]
        self.before_s = past.seconds
        self.began = began
        self.closed: Exhausted | None = None

    def _column(self, amount: Amount) -> list[int]:
        if amount.micros is None and self.caps.micros is not None:
            said = (
                f"budget: cost_usd cannot be held for {_whose(self.step_id)}, as what earlier calls cost is not known"
            )
            raise Unbounded(said, "leave cost_usd out, or start a new run with a price for each model")
        return [amount.calls, amount.tokens, amount.micros or 0]

    def lacking(self, wanted: _Three) -> int | None:
        """The axis on which there is no room for so much; one on which none can come before one that may get some."""
        found: int | None = None
        for axis, cap in self.limits:
            if self.spent[axis] + self.reserved[axis] + self.exposed[axis] + wanted[axis] > cap:
                if not self.reserved[axis]:
                    return axis
                found = axis if found is None else found
        return found

    def take(self, wanted: _Three) -> None:
        for axis, much in enumerate(wanted):
            self.reserved[axis] += much

    def end(self, wanted: _Three, spent: _Three, exposed: _Three) -> None:
        for axis in _COLUMNS:
            self.reserved[axis] -= wanted[axis]
            self.spent[axis] += spent[axis]
            self.exposed[axis] += exposed[axis]

    def close(self, axis: str, now: float, wanted: int = 0) -> None:
        level = next(level for level in self.levels(now) if level.axis == axis)
        self.closed = Exhausted(level, self.caps, wanted)

    def seconds(self, now: float) -> float:
        return self.before_s + (0.0 if self.began is None else now - self.began)

    def is_late(self, now: float) -> bool:
        return self.caps.seconds is not None and self.seconds(now) >= self.caps.seconds

    def levels(self, now: float) -> list[Level]:
        levels = [
            Level(self.step_id, _AXES[axis], cap, self.spent[axis], self.reserved[axis], self.exposed[axis])
            for axis, cap in self.limits
        ]
        if self.caps.seconds is not None:
            levels.append(Level(self.step_id, "seconds", self.caps.seconds, self.seconds(now)))
        return levels


def limit_sent(request: Request, dropped: frozenset[str]) -> Json:
    """The token limit as the adapters send it, None where they send none. `dropped` are the parameters left out."""
    most = bodies.limit(request)
    if request.model.provider == "anthropic":
        return anthropic.MAX_TOKENS if most is None else most
    words = _LIMIT_WORDS.get(request.model.provider)
    return None if words is not None and words <= dropped else most


def _full(reservation: Reservation) -> _Scope | None:
    """The first scope without room for it; that scope is closed where none can come any more."""
    for scope in reservation._scopes:
        axis = scope.lacking(reservation._wanted)
        if axis is not None:
            if not scope.reserved[axis]:
                scope.close(_AXES[axis], 0.0, reservation._wanted[axis])
            return scope
    return None


def _closed(scopes: tuple[_Scope, ...]) -> Exhausted | None:
    """Why one of them is closed, the run's first: a new exception each time, as tracebacks gather in one."""
    for scope in reversed(scopes):
        if scope.closed is not None:
            return Exhausted(scope.closed.level, scope.closed.caps, scope.closed.wanted)
    return None


def _wanted(scopes: tuple[_Scope, ...], step_id: str, worst: Worst) -> _Three:
    """The worst case in numbers; 0 for what is unknown and not capped."""
    for scope in scopes:
        unbounded = unbounded_by(worst, scope.caps, f"a call of step {step_id}")
        if unbounded is not None:
            raise unbounded
    return worst.calls, worst.tokens or 0, worst.micros or 0


def _is_over(worst: Worst, actual: Amount) -> bool:
    pairs = ((worst.calls, actual.calls), (worst.tokens, actual.tokens), (worst.micros, actual.micros))
    return any(most is not None and used is not None and used > most for most, used in pairs)


def _exhausted(level: Level, wanted: int) -> str:
    """The sentence for people: what may be used, what is, and what was asked for."""
    whose = _whose(level.step_id)
    if level.axis == "seconds":
        return f"budget: {level.cap:g} s for {whose}; {level.spent:.1f} s have passed"
    shown = _dollars if level.axis == "cost_usd" else "{:,.0f}".format
    word = "" if level.axis == "cost_usd" else f" {level.axis}"
    exposed = f"{shown(level.exposed)} exposed, " if level.exposed else ""
    asks = {"calls": "this would be one more", "tokens": f"this call may use up to {shown(wanted)}"}
    asked = asks.get(level.axis, f"this call may cost up to {shown(wanted)}")
    had = f"{shown(level.cap)}{word} for {whose}; {shown(level.spent)} spent"
    return f"budget: {had}, {exposed}nothing in flight; {asked}"


def _whose(step_id: str | None) -> str:
    return "the run" if step_id is None else f"step {step_id}"


def _dollars(micros: float) -> str:
    """Exact, with at least two decimals: `$4.93`, `$0.000125`."""
    whole, rest = divmod(int(micros), 1_000_000)
    return f"${whole:,}.{f'{rest:06}'[:2]}{f'{rest:06}'[2:].rstrip('0')}"


_NONE: _Three = (0, 0, 0)
_ENDED: _Three = (-1, -1, -1)
FREE = Reservation(None, "", (), Worst(0, 0))
"""The reservation of a send to which no cap applies: shared by all, and never at an end."""
