"""One task from its first attempt to its outcome: the kind, the retries, and no journal."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from penstock.core.errors import BugError, OperatorError
from penstock.core.refusals import is_of_the_machine
from penstock.core.work import Attempt, Outcome, Task, Verdict
from penstock.core.workflow import Step
from penstock.kinds.permits import NotBegun
from penstock.kinds.registry import KINDS
from penstock.kinds.tools import Tools
from penstock.rules.retry import again, wait_s


async def carry_out(task: Task, step: Step, tools: Tools) -> Outcome:
    """The task's outcome, after as many attempts as the step's `retry` allows. NotBegun if it was stopped before one.

    An attempt that is followed by another is durable before the wait between them begins.
    """
    attempts: list[Attempt] = []
    number = task.spent
    while True:
        number += 1
        outcome = await _attempt(task, step, number, tools)
        attempts += outcome.attempts
        if outcome.verdict is not Verdict.FAILED or not again(step.retry, number, attempts[-1].kind):
            return outcome if number == task.spent + 1 else replace(outcome, attempts=tuple(attempts))
        tools.recorder.attempt_ended(task, attempts[-1])
        await tools.pause(wait_s(step.retry, number, tools.random.random()))


async def _attempt(task: Task, step: Step, number: int, tools: Tools) -> Outcome:
    """One attempt; whatever a kind raises becomes a failed one, so that no row is lost by a bug of ours.

    What the machine refuses us, and what a person must mend, is no fault of the item: it is raised and stops the run.
    """
    started_at, start = tools.clock.now(), tools.clock.monotonic()
    try:
        return await KINDS[type(step.spec)](task, step, number, tools)
    except (OperatorError, BugError, NotBegun):
        raise
    except Exception as error:
        if isinstance(error, OSError) and (is_of_the_machine(error) or _is_about_ours(error, tools)):
            raise
        reason = f"{type(error).__name__}: {error}"
        attempt = Attempt(number, started_at, tools.clock.monotonic() - start, "error", reason)
        return Outcome(task, Verdict.FAILED, (attempt,), reason=reason)


def _is_about_ours(error: OSError, tools: Tools) -> bool:
    """Whether it tells of the workflow's folder itself or of a file in the run's folder."""
    named = [name for name in (error.filename, error.filename2) if isinstance(name, (str, bytes, os.PathLike))]
    paths = [Path(os.fsdecode(name)) for name in named]
    return any(path == tools.folder or path.is_relative_to(tools.run.root) for path in paths)
