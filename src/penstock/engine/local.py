"""The default backend: tasks side by side on this machine's event loop, each in a slot with private files."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from penstock.core.work import Outcome, Task
from penstock.core.workflow import Step
from penstock.engine.worker import carry_out
from penstock.kinds.tools import Tools


class LocalBackend:
    """Runs each task as a coroutine. A slot's folder is used again by the next task of the same step."""

    def __init__(self, slots: Path, tools_for: Callable[[Step, Path], Tools]) -> None:
        self._slots = slots
        self._tools_for = tools_for
        self._free: dict[str, list[Tools]] = {}
        self._made: dict[str, int] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._ended: list[Outcome] = []
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None

    def submit(self, task: Task, step: Step) -> None:
        """The task is on its way."""
        running = asyncio.get_running_loop().create_task(self._carry_out(task, step))
        self._running.add(running)
        running.add_done_callback(self._left)

    async def wait(self, at_most_s: float) -> None:
        """Returns when something has ended, or after that time."""
        if self._ended or self._error is not None or at_most_s <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(at_most_s, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()

    def poll(self) -> list[Outcome]:
        """What has ended since the last call, in the order of the ends; then raises what kept a task from ending."""
        ended, self._ended = self._ended, []
        if not ended and self._error is not None:
            raise self._error
        return ended

    async def cancel(self) -> None:
        """What is under way is killed and gives no outcome."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def close(self) -> None:
        """The slots and what is in them are gone."""
        shutil.rmtree(self._slots, ignore_errors=True)

    async def _carry_out(self, task: Task, step: Step) -> None:
        tools = self._take_slot(step)
        outcome = await carry_out(task, step, tools)
        self._free[step.id].append(tools)
        self._ended.append(outcome)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _left(self, running: asyncio.Task[None]) -> None:
        """A coroutine that raised (the journal could not be written, say) stops the run at the next poll."""
        self._running.discard(running)
        if not running.cancelled() and running.exception() is not None:
            self._error = running.exception()
            self._wake()

    def _take_slot(self, step: Step) -> Tools:
        free = self._free.setdefault(step.id, [])
        if free:
            return free.pop()
        number = self._made[step.id] = self._made.get(step.id, 0) + 1
        folder = self._slots / f"{step.id}.{number}"
        folder.mkdir(parents=True, exist_ok=True)
        return self._tools_for(step, folder)
