"""How many tasks of a step may be under way at once, and which is next.

More tasks are given out than may be under way, so that the next one is ready to start the moment there is room. A task
is under way from its first attempt until its outcome is committed: so a crash never finds more of them begun than that.
"""

from __future__ import annotations

import asyncio
from collections import deque


class NotBegun(Exception):
    """The run was stopped before this task was begun."""


class Permits:
    """So many at once, in the order in which they were asked for."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def close(self) -> None:
        """Whoever waits, or will ask, gets `NotBegun`."""
        self._closed = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(NotBegun())

    async def take(self) -> None:
        """One is taken, as soon as there is one. NotBegun if the run is stopped first."""
        if self._closed:
            raise NotBegun
        if self._free:
            self._free -= 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back()
            raise

    def give_back(self) -> None:
        """One is free again, or goes to who waits longest."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1


class Permit:
    """The permit of one slot: taken when its task begins, given back when that has been committed."""

    def __init__(self, permits: Permits) -> None:
        self._permits = permits
        self._held = False

    async def begin(self) -> None:
        """The slot's task may begin; at once if it has. NotBegun if the run is stopped first."""
        if not self._held:
            await self._permits.take()
            self._held = True

    def end(self) -> None:
        """Another task may begin."""
        if self._held:
            self._held = False
            self._permits.give_back()
