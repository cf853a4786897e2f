"""Which function carries out which kind of step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from penstock.core.generation import Generate, Verify
from penstock.core.work import Outcome, Task
from penstock.core.workflow import Shell, Step
from penstock.kinds import generate, shell, verify
from penstock.kinds.tools import Tools

Perform = Callable[[Task, Step, int, Tools], Awaitable[Outcome]]
"""One attempt at a task: the task, its step, the attempt's number from 1, and the tools for it."""

KINDS: dict[type, Perform] = {Shell: shell.perform, Generate: generate.perform, Verify: verify.perform}
