"""A `generate` step: an answer of a model that meets its contract becomes the task's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from penstock.core.calls import FaultClass
from penstock.core.canon import compact
from penstock.core.errors import ConditionError
from penstock.core.work import UNREAD, Attempt, Form, Outcome, Record, Task, Verdict
from penstock.core.workflow import Step
from penstock.kinds.asking import Asking, Question, placed, seated
from penstock.kinds.permits import NotBegun
from penstock.kinds.settling import Account, Settled, settle
from penstock.kinds.tools import Tools
from penstock.models.budget import Exhausted
from penstock.rules.prompts import TemplateFault
from penstock.rules.repair import Stop
from penstock.rules.routing import choose, unmatched


async def perform(task: Task, step: Step, number: int, tools: Tools) -> Outcome:
    """What the models' answers came to: accepted with a record, rejected with all answers kept, or failed. With rules
    the outcome has what was chosen for the item, however it ended."""
    asking = tools.asking
    assert asking is not None
    assert asking.question is not None
    await tools.permit.begin()
    names = {**asking.vars, **(task.names or {})}
    local = task.local or step.local
    if not asking.rules:
        return await _answered(task, number, tools, asking, asking.question, names, local)
    try:
        choice = choose(asking.rules, names)
        reason = unmatched(asking.rules, names) if choice is None else ""
    except ConditionError as error:
        choice, reason = None, str(error)
    if choice is None or choice.rule is None:
        attempt = Attempt(number, tools.clock.now(), 0.0, "route", reason)
        return Outcome(task, Verdict.FAILED, (attempt,), reason=reason, bill=Account(task.number).bill())
    question = asking.routed[choice.rule - 1]
    outcome = await _answered(task, number, tools, asking, question, names, local or choice.local)
    return replace(outcome, choice=choice)


async def _answered(
    task: Task,
    number: int,
    tools: Tools,
    asking: Asking,
    question: Question,
    names: Mapping[str, object],
    local: bool,
) -> Outcome:
    """What comes of the question; with `local`, of asking no model elsewhere."""
    started_at, start = tools.clock.now(), tools.clock.monotonic()
    account = Account(task.number)
    try:
        settled = await _settled(asking, question, names, account, local)
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
    at = account.attempt or number
    if isinstance(settled, Stop):
        attempt = Attempt(at, started_at, elapsed_s, settled.cls.value, settled.reason)
        trail = tuple(account.trail)
        return Outcome(task, settled.verdict, (attempt,), reason=settled.reason, bill=account.bill(), trail=trail)
    attempt = Attempt(at, started_at, elapsed_s)
    return Outcome(task, Verdict.ACCEPTED, (attempt,), _record(settled, question.schema), bill=account.bill())


async def _settled(
    asking: Asking, question: Question, names: Mapping[str, object], account: Account, local: bool
) -> Settled | Stop:
    """An answer that will do, or why there is none. Nothing is bought where nobody may judge it."""
    asked = placed(question, local)
    judge = seated(asking.judge, local)
    if isinstance(asked, Stop):
        return asked
    return judge if isinstance(judge, Stop) else await settle(asking, asked, names, account, judge)


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
