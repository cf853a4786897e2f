"""The default backend: tasks side by side on this machine's event loop, each in a slot with private files."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from penstock.core.work import Outcome, Task
from penstock.core.workflow import Step
from penstock.engine.worker import carry_out
from penstock.kinds.permits import NotBegun, Permit, Permits
from penstock.kinds.tools import Tools


class LocalBackend:
    """Runs each task as a coroutine in a slot, which a later task of the same step gets once it is committed."""

    def __init__(
        self, slots: Path, tools_for: Callable[[Step, Path, Permit], Tools], width: Callable[[Step], int]
    ) -> None:
        """`width` is how many tasks of a step may be under way at once."""
        self._slots = slots
        self._tools_for = tools_for
        self._width = width
        self._permits: dict[str, Permits] = {}
        self._unbegun: list[Task] = []
        self._stopped = False
        self._uncommitted: dict[int, Tools] = {}
        self._free: dict[str, list[Tools]] = {}
        self._made: dict[str, list[Tools]] = {}
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
        if self._ended or self._unbegun or self._error is not None or at_most_s <= 0:
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

    def committed(self, task: Task) -> None:
        """The task's outcome is durable: another one of its step may begin."""
        tools = self._uncommitted.pop(task.number)
        tools.permit.end()
        self._free[task.step_id].append(tools)

    def stop(self) -> None:
        """No command is started any more; `unbegun` then has the tasks that waited for their turn."""
        self._stopped = True
        for permits in self._permits.values():
            permits.close()

    def unbegun(self) -> list[Task]:
        """The tasks that came back without having been begun, since the last call."""
        unbegun, self._unbegun = self._unbegun, []
        return unbegun

    async def cancel(self) -> None:
        """What is under way is killed and gives no outcome."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def left(self, step_id: str) -> None:
        """The step has ended: what was kept for its next task is let go."""
        self._free.pop(step_id, None)
        for tools in self._made.pop(step_id, []):
            if tools.shell is not None:
                tools.shell.close()

    def close(self) -> None:
        """The slots and what is in them are gone."""
        for step_id in list(self._made):
            self.left(step_id)
        shutil.rmtree(self._slots, ignore_errors=True)

    async def _carry_out(self, task: Task, step: Step) -> None:
        tools = self._take_slot(step)
        try:
            outcome = await carry_out(task, step, tools)
        except NotBegun:
            self._unbegun.append(task)
        else:
            self._uncommitted[task.number] = tools
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
        made = self._made.setdefault(step.id, [])
        folder = self._slots / f"{step.id}.{len(made) + 1}"
        if step.shell is not None:  # 64 folders that nobody writes into cost 0.2 s to remove again
            folder.mkdir(parents=True, exist_ok=True)
        made.append(self._tools_for(step, folder, Permit(self._permits_of(step))))
        return made[-1]

    def _permits_of(self, step: Step) -> Permits:
        permits = self._permits.get(step.id)
        if permits is None:
            permits = self._permits[step.id] = Permits(self._width(step))
            if self._stopped:
                permits.close()
        return permits
