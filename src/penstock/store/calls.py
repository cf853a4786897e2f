"""The journal of a run's model calls: what was about to be sent, what came back, and what was thought of it.

Intents and ends wait for the disk, and one wait serves many of them. A flush takes all that was queued so far, commits
it in one transaction, syncs the write-ahead log in another thread and wakes whoever waited; what arrives
meanwhile shares the next one. Replays and judgements cost nothing to get again, so nobody waits for them: they go with
the next flush, or into the transaction in which their task's outcome is committed (`flush_now`), never after it.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.core.calls import Answer, Call, Intent, Judgement
from penstock.core.canon import Json
from penstock.core.errors import BugError, OperatorError, PenstockError
from penstock.core.seams import Clock
from penstock.store.call_rows import (
    Values,
    answer_of,
    answer_values,
    call_values,
    end_values,
    judgement_values,
    lost_values,
    stopped_values,
)
from penstock.store.database import Database, Row, unreadable

SILENCE_S = 0.005
BUNCH = 8
"""What comes all at once after a silence is made durable so many ends at a time. A server that takes equally long for
each request answers in bunches, as it was asked: whoever goes on first asks again while the others still wait for the
disk, and after some rounds the bunch is spread over the time that an answer takes."""
SPREAD_S = 1.0
"""So long after a silence. Where none has come since, there is no time to be won by spreading, and a flush takes all
that waits: each of its pages is written once, where a call has three pages of its own otherwise."""


class CallJournal:
    """Makes the calls of one life of a run durable: a `CallRecorder`. For use in one event loop.

    Once the disk has refused something no intent is taken any more: what cannot be written down is not sent. Ends are
    still written as far as they can be, but raise: a sync that succeeds says nothing of what one before it lost.
    """

    def __init__(self, database: Database, run_no: int, epoch: int, clock: Clock) -> None:
        """`database` is the connection of the run's `Journal`, in the same thread."""
        self._database = database
        self._run_no = run_no
        self._epoch = epoch
        self._clock = clock
        self._queued = _Batch()
        self._in_hand = _Batch()
        self._quiet = _Quiet()
        self._flushing: asyncio.Task[None] | None = None
        self._fault: PenstockError | None = None
        self._silent_since, self._spread_until = math.inf, 0.0

    async def intent(self, intent: Intent) -> int:
        """When this returns, a power cut does not lose that the request is about to be sent; its number.

        OperatorError if the journal cannot be written. One that is cancelled counts as never sent.
        """
        self._refuse()
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queued.intents.append((intent, waiter))
        self._flush_soon()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._quiet.unsent.append(waiter.result())
            raise

    async def ended(self, number: int, call: Call, answer: Answer | None) -> None:
        """When this returns, the raw answer and what the call cost survive a power cut.

        OperatorError if the journal cannot be written. If it is cancelled they are written nevertheless.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queued.ends.append((number, call, answer, waiter))
        self._flush_soon()
        await waiter

    def bought(self, key: bytes) -> Answer | None:
        """The answer that this run has bought for this key, in any of its lives; None if it has bought none."""
        row = self._database.one("answer_of_run", (key, self._run_no))
        return answer_of(row) if row is not None else None

    def replayed(self, call: Call) -> None:
        """A call that was answered from the cache will be in the journal before its task's outcome."""
        self._quiet.replays.append(call)

    def judged(
        self,
        task_no: int,
        attempt: int,
        key: bytes | None,
        contract: bytes,
        judgement: Judgement,
        signals: Mapping[str, Json] | None = None,
    ) -> None:
        """What an answer was found to be will be in the journal before its task's outcome.

        `key` is the fingerprint of the request that the attempt's answer came from, None if no call gave it;
        `contract` the SHA-256 of the contract, `signals` what else is known of it.
        """
        values = judgement_values(task_no, self._epoch, attempt, key, contract, judgement, signals)
        self._quiet.judgements.append(values)

    def flush_now(self) -> None:
        """Replays and judgements so far are part of the transaction that is open; of one of their own if none is."""
        if self._quiet:
            with self._database.transaction():
                self._write_quiet(self._clock.now())

    async def drain(self) -> None:
        """Everything queued so far is durable. OperatorError if something could not be written, then or before."""
        self._refuse()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queued.drains.append(waiter)
        self._flush_soon()
        await waiter

    def close_lost(self) -> tuple[Row, ...]:
        """Calls of earlier lives of the run that have no end are ended as lost: what they cost is not known.

        They come back as rows of `calls`, with `step_id`, and `i`, `hash` and `occurrence` of their tasks.
        """
        with self._database.transaction():
            rows = self._database.all("calls_in_flight", {"run_no": self._run_no})
            lost = tuple(row for row in rows if row["epoch"] < self._epoch)
            now = self._clock.now()
            ends = [lost_values(row, self._run_no, now) for row in lost]
            self._database.many("insert_call_end", ends)
        return lost

    # --- the flush -----------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        if self._flushing is None:
            now = self._clock.monotonic()
            if now - self._silent_since > SILENCE_S:
                self._spread_until = now + SPREAD_S
            self._flushing = asyncio.get_running_loop().create_task(self._flush())
            self._flushing.add_done_callback(self._flushed)

    async def _flush(self) -> None:
        spreads = self._clock.monotonic() < self._spread_until
        most = BUNCH if spreads else len(self._queued.ends)
        self._in_hand, self._queued = self._queued.split(most)
        with self._database.transaction():
            self._write(self._in_hand)
        await asyncio.get_running_loop().run_in_executor(None, self._database.sync)

    def _flushed(self, flush: asyncio.Task[None]) -> None:
        """Wakes those who waited, each with what became of its own."""
        batch, self._in_hand, self._flushing = self._in_hand, _Batch(), None
        if flush.cancelled():
            batch.cancel()
            return
        if error := flush.exception():
            self._fault = _told(self._database, error)
        if self._fault is not None:
            batch.fail(self._fault)
            self._queued.fail_intents(self._fault)
        else:
            self._quiet.unsent += batch.wake()
        self._silent_since = self._clock.monotonic()
        if self._queued:
            self._flush_soon()

    def _refuse(self) -> None:
        if self._fault is not None:
            raise _again(self._fault)

    # --- rows ----------------------------------------------------------------------------------

    def _write(self, batch: _Batch) -> None:
        now = self._clock.now()
        self._write_quiet(now)
        if batch.intents:
            batch.intents = [pair for pair in batch.intents if not pair[1].cancelled()]
            batch.first = self._insert_calls([intent for intent, _ in batch.intents])
        if batch.ends:
            ends = [end_values(number, self._run_no, call, now) for number, call, _, _ in batch.ends]
            self._database.many("insert_call_end", ends)
            answers = [
                answer_values(number, call.intent.key, answer)
                for number, call, answer, _ in batch.ends
                if answer is not None
            ]
            self._database.many("insert_answer", answers)

    def _write_quiet(self, now: float) -> None:
        """In this order: a judgement looks for its call, whose row a replay has only now."""
        quiet, self._quiet = self._quiet, _Quiet()
        if quiet.replays:
            first = self._insert_calls([call.intent for call in quiet.replays])
            ends = [end_values(number, self._run_no, call, now) for number, call in enumerate(quiet.replays, first)]
            self._database.many("insert_call_end", ends)
        if quiet.unsent:
            stopped = [stopped_values(number, self._run_no, now) for number in quiet.unsent]
            self._database.many("insert_call_end", stopped)
        if quiet.judgements:
            self._database.many("insert_judgement", quiet.judgements)

    def _insert_calls(self, intents: list[Intent]) -> int:
        """The number of the first; the others follow it. Nobody else can take one while our transaction is open."""
        last = self._database.one("last_call")
        assert last is not None
        first: int = last[0] + 1
        rows = [call_values(number, self._run_no, self._epoch, intent) for number, intent in enumerate(intents, first)]
        self._database.many("insert_call", rows)
        return first


@dataclass(slots=True)
class _Batch:
    """What one flush writes, with who waits for it. `first` is the number of the first intent, once it is written."""

    intents: list[tuple[Intent, asyncio.Future[int]]] = field(default_factory=list)
    ends: list[tuple[int, Call, Answer | None, asyncio.Future[None]]] = field(default_factory=list)
    drains: list[asyncio.Future[None]] = field(default_factory=list)
    first: int = 0

    def __bool__(self) -> bool:
        return bool(self.intents or self.ends or self.drains)

    def split(self, most: int) -> tuple[_Batch, _Batch]:
        """All intents with so many ends, and the rest. Who waits for everything waits for the rest."""
        if len(self.ends) <= most:
            return self, _Batch()
        return _Batch(self.intents, self.ends[:most]), _Batch([], self.ends[most:], self.drains)

    def wake(self) -> list[int]:
        """Everything is durable; the numbers of intents for which nobody waits any more."""
        gone = []
        for number, (_, waiter) in enumerate(self.intents, self.first):
            if waiter.cancelled():
                gone.append(number)
            else:
                waiter.set_result(number)
        for done in self._others():
            if not done.done():
                done.set_result(None)
        return gone

    def fail(self, error: PenstockError) -> None:
        """Each waiter gets an exception of its own: they are raised in different tasks."""
        self.fail_intents(error)
        for waiter in self._others():
            if not waiter.done():
                waiter.set_exception(_again(error))

    def fail_intents(self, error: PenstockError) -> None:
        """Nothing of the queue is to be sent."""
        for _, waiter in self.intents:
            if not waiter.done():
                waiter.set_exception(_again(error))
        self.intents = []

    def cancel(self) -> None:
        """The event loop ends."""
        for _, waiter in self.intents:
            waiter.cancel()
        for done in self._others():
            done.cancel()

    def _others(self) -> list[asyncio.Future[None]]:
        return [*(end[3] for end in self.ends), *self.drains]


@dataclass(slots=True)
class _Quiet:
    """What nobody waits for: replays, the numbers of calls that were not sent, rows of judgements."""

    replays: list[Call] = field(default_factory=list)
    unsent: list[int] = field(default_factory=list)
    judgements: list[Values] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.replays or self.unsent or self.judgements)


def _told(database: Database, error: BaseException) -> PenstockError:
    """What to tell a person when calls cannot be made durable."""
    if isinstance(error, PenstockError):
        return error
    if isinstance(error, sqlite3.Error):
        return unreadable(database.path, error)
    if isinstance(error, OSError):
        return OperatorError(
            f"the journal {database.path} cannot be made safe on the disk: {error.strerror}",
            "mend that, then `penstock resume`; `penstock doctor` looks further",
        )
    return BugError(f"a call could not be written down: {type(error).__name__}: {error}")


def _again(error: PenstockError) -> PenstockError:
    if isinstance(error, OperatorError):
        return OperatorError(str(error), error.help)
    return BugError(str(error))
