"""Which function carries out which kind of step.

What a step needs that asks models (templates, contracts, the client) takes some 30 ms to import, so it is imported
when there is such a step.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from penstock.core.generation import Generate, Verify
from penstock.core.routing import Route
from penstock.core.work import Outcome, Task
from penstock.core.workflow import Shell, Step
from penstock.kinds import route, shell
from penstock.kinds.tools import Tools

Perform = Callable[[Task, Step, int, Tools], Awaitable[Outcome]]
"""One attempt at a task: the task, its step, the attempt's number from 1, and the tools for it."""


def _generate(task: Task, step: Step, number: int, tools: Tools) -> Awaitable[Outcome]:
    from penstock.kinds import generate

    return generate.perform(task, step, number, tools)


def _verify(task: Task, step: Step, number: int, tools: Tools) -> Awaitable[Outcome]:
    from penstock.kinds import verify

    return verify.perform(task, step, number, tools)


KINDS: dict[type, Perform] = {Shell: shell.perform, Generate: _generate, Verify: _verify, Route: route.perform}
