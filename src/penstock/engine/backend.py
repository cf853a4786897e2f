"""Where tasks are carried out: submit, wait, poll, cancel."""

from __future__ import annotations

from typing import Protocol

from penstock.core.work import Outcome, Task
from penstock.core.workflow import Step


class Backend(Protocol):
    """Carries out tasks side by side. Each submitted task comes back once, as an outcome or unbegun."""

    def submit(self, task: Task, step: Step) -> None:
        """The task is on its way."""

    async def wait(self, at_most_s: float) -> None:
        """Returns when something has ended, or after that time."""

    def poll(self) -> list[Outcome]:
        """What has ended since the last call, in the order of the ends."""

    def committed(self, task: Task) -> None:
        """The task's outcome is durable: another one of its step may begin."""

    def left(self, step_id: str) -> None:
        """The step has ended: no task of it will come."""

    def stop(self) -> None:
        """No command is started any more; `unbegun` then has the tasks that waited for their turn."""

    def unbegun(self) -> list[Task]:
        """The tasks that came back without having been begun, since the last call."""

    async def cancel(self) -> None:
        """What is under way is killed and gives no outcome."""
