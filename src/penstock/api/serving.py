"""`penstock gateway`: the gateway of a run, for whoever has its token, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from penstock.api.alone import Done, Post, carry, surroundings
from penstock.api.driving import TERM_S
from penstock.api.gatewaying import open_door
from penstock.api.naming import GATEWAY
from penstock.core.calls import Call
from penstock.core.seams import Listener
from penstock.core.views import Options, RunView
from penstock.core.work import Bill, Verdict
from penstock.engine.notifying import notify
from penstock.engine.site import Site
from penstock.gateway.passes import Holder
from penstock.rules.billing import bill_of

LOOK_S = 0.1
"""How often it is looked which calls have ended."""


class Face(Listener, Protocol):
    """Who watches the gateway."""

    def opened(self, variables: Mapping[str, str]) -> None:
        """It listens. These are the variables in which clients look for it, the token among them."""

    def call(self, call: Call) -> None:
        """A call was answered or has failed; it is in the journal."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says. `workflow` None is that of the folder, if there is one; `port` 0 any that is free."""

    workflow: Path | None
    port: int
    options: Options


class _Anyone(Holder):
    """Whoever has the token. Nobody knows where one program's calls end and the next one's begin, so equal requests are
    one question, which is bought once."""

    __slots__ = ()

    def sample(self, key: bytes, again: bool) -> int:
        """Always the first."""
        return 0


def serve(asked: Asked, face: Face) -> RunView:
    """Serves until it is told to stop; what the journal says of it then."""

    async def work(post: Post) -> Done:
        return await _served(post, asked, face)

    return carry(GATEWAY, surroundings(asked.workflow), asked.options, face, work)


async def _served(post: Post, asked: Asked, face: Face) -> Done:
    site, tally = post.site, _Tally(face)
    stop = _obey_signals(site)
    async with open_door(site, site.workflow, {}, post.options, None, asked.port) as (_, passes):
        holder = _Anyone(GATEWAY, post.task_number, 1, local=False)
        issued = passes.issue(holder)
        own = {name.decode(): value.decode() for name, value in issued.variables.items()}
        face.opened({**passes.variables, **own})
        try:
            await _until(stop, site, tally, holder)
            await issued.close()
            while holder.flying:
                await asyncio.wait(holder.flying)
        except asyncio.CancelledError:
            for flying in holder.flying:
                flying.cancel()
            raise
        tally.take(holder)
    return Done(Verdict.ACCEPTED, bill=tally.bill if tally.bill.sent or tally.bill.cached else None)


async def _until(stop: asyncio.Future[None], site: Site, tally: _Tally, holder: Holder) -> None:
    """Calls are told as they end, and that the budget is used up when it is."""
    told = False
    while not stop.done():
        told = told or await _told_of_end(site)
        tally.take(holder)
        await asyncio.wait({stop}, timeout=LOOK_S)  # wait_for of Python 3.11 may swallow a cancellation


def _obey_signals(site: Site) -> asyncio.Future[None]:
    """Done with the first SIGINT, SIGTERM or SIGHUP. The second one ends the gateway at once; so does the first of the
    other two when what is in flight takes too long."""
    loop, serving = asyncio.get_running_loop(), asyncio.current_task()
    stop: asyncio.Future[None] = loop.create_future()
    assert serving is not None

    def interrupted(number: signal.Signals) -> None:
        if stop.done():
            serving.cancel()
            return
        stop.set_result(None)
        if number is not signal.SIGINT:
            loop.call_later(TERM_S, serving.cancel)
        left = "Ctrl-C again gives them up" if number is signal.SIGINT else f"they have {TERM_S:g} s"
        site.listener.note(f"stopping: nobody is let in any more, and calls in flight may end ({left})")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # nohup
        loop.add_signal_handler(number, interrupted, number)
    return stop


async def _told_of_end(site: Site) -> bool:
    """Whether the budget is used up; then it has been said, and the command that it names was run."""
    if site.budget is None:
        return False
    site.budget.expire()
    used_up = site.budget.exhausted()
    if used_up is None:
        return False
    site.journal.event(site.run_no, "budget", "", str(used_up))
    site.listener.note(f"{used_up}: only what is in the cache is answered from now on")
    if used_up.caps.notify is not None:
        told = {"PENSTOCK_RUN_ID": site.run_id, "PENSTOCK_REASON": str(used_up)}
        call = partial(notify, site.workflow, site.environ, used_up.caps.notify, told, "the budget's")
        complaint = await asyncio.get_running_loop().run_in_executor(None, call)
        if complaint is not None:
            site.listener.note(complaint)
    return True


class _Tally:
    """Tells of each call once and sums them up; what is told is not kept, however long the gateway stays open."""

    def __init__(self, face: Face) -> None:
        self.bill = Bill()
        self._face = face

    def take(self, holder: Holder) -> None:
        """The calls that have ended since the last time are told, and are the holder's no more."""
        ended = holder.calls[:]
        holder.calls.clear()
        for call in ended:
            self._face.call(call)
        self.bill = _plus(self.bill, bill_of(ended, holder.model))


def _plus(first: Bill, then: Bill) -> Bill:
    costs = (first.cost_micros, then.cost_micros)
    return Bill(
        then.model or first.model,
        first.tokens_in + then.tokens_in,
        first.tokens_out + then.tokens_out,
        None if costs[0] is None or costs[1] is None else costs[0] + costs[1],
        first.sent + then.sent,
        first.cached + then.cached,
    )
