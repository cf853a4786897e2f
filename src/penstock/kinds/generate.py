"""A `generate` step: an answer of a model that meets its contract becomes the task's record."""

from __future__ import annotations

from penstock.core.calls import FaultClass
from penstock.core.canon import compact
from penstock.core.work import UNREAD, Attempt, Form, Outcome, Record, Task, Verdict
from penstock.core.workflow import Step
from penstock.kinds.permits import NotBegun
from penstock.kinds.settling import Account, Settled, settle
from penstock.kinds.tools import Tools
from penstock.models.budget import Exhausted
from penstock.rules.prompts import TemplateFault
from penstock.rules.repair import Stop


async def perform(task: Task, step: Step, number: int, tools: Tools) -> Outcome:
    """What the models' answers came to: accepted with a record, rejected with all answers kept, or failed."""
    asking = tools.asking
    assert asking is not None
    assert asking.question is not None
    await tools.permit.begin()
    started_at, start = tools.clock.now(), tools.clock.monotonic()
    account = Account(task.number)
    names = {**asking.vars, **(task.names or {})}
    try:
        settled = await settle(asking, asking.question, names, account, asking.judge)
    except TemplateFault as fault:
        reason = f"its prompt cannot be written: {one_line(fault)}"
        attempt = Attempt(number, started_at, tools.clock.monotonic() - start, "prompt", reason)
        trail = tuple(account.trail)
        return Outcome(task, Verdict.FAILED, (attempt,), reason=reason, bill=account.bill(), trail=trail)
    except Exhausted as error:
        stop = out_of_budget(error, account)
        if stop is None:
            return Outcome(task, Verdict.SKIPPED, reason=f"{UNREAD}{error}")
        settled = stop
    tools.permit.end()  # what was bought is durable: the next task need not wait for the outcome
    elapsed_s = tools.clock.monotonic() - start
    if isinstance(settled, Stop):
        attempt = Attempt(account.attempt, started_at, elapsed_s, settled.cls.value, settled.reason)
        trail = tuple(account.trail)
        return Outcome(task, settled.verdict, (attempt,), reason=settled.reason, bill=account.bill(), trail=trail)
    attempt = Attempt(account.attempt, started_at, elapsed_s)
    return Outcome(task, Verdict.ACCEPTED, (attempt,), _record(settled, asking.question.schema), bill=account.bill())


def out_of_budget(error: Exhausted, account: Account) -> Stop | None:
    """The task has failed where its budget says `stop`; None if nothing of it was begun.

    NotBegun where it says `pause`: what was bought is found again.
    """
    if error.caps.when_exceeded == "pause":
        raise NotBegun(str(error)) from error
    return Stop(Verdict.FAILED, FaultClass.DENIED, str(error)) if account.calls else None


def one_line(fault: TemplateFault) -> str:
    """What is wrong with a template, and where, for a reason."""
    problem = fault.problem
    return f"{problem.place}: {problem.message}" if problem.place else problem.message


def _record(settled: Settled, schema: object) -> Record:
    """JSON as the model wrote its numbers; a text where the contract asks for no JSON and it gave none."""
    value = settled.judgement.value
    if schema is None and isinstance(value, str):
        return Record(Form.TEXT, settled.text.encode("utf-8", "replace"))
    return Record(Form.JSON, compact(value).encode())
