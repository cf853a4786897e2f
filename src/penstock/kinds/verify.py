"""A `verify` step: each item of a stream is held against a contract; nothing is generated.

Its record is `{"ok", "id", "errors"}`, with the judge's `score` where there was one. What is passed on to a
step that reads `steps.ID` is the item itself.
"""

from __future__ import annotations

from penstock.core.calls import FaultClass, Judgement
from penstock.core.canon import Json, compact
from penstock.core.work import UNREAD, Attempt, Form, Outcome, Record, Task, Verdict
from penstock.core.workflow import Step
from penstock.kinds.asking import Bench, seated
from penstock.kinds.generate import out_of_budget
from penstock.kinds.settling import Account, flaws, second_opinion
from penstock.kinds.tools import Tools
from penstock.models.budget import Exhausted
from penstock.rules.prompts import TemplateFault
from penstock.rules.repair import Stop


async def perform(task: Task, step: Step, number: int, tools: Tools) -> Outcome:
    """Whether the item meets the contract: accepted or rejected; failed if no judge could be asked, or none may be."""
    asking, item = tools.asking, task.item
    assert asking is not None
    assert item is not None
    await tools.permit.begin()
    started_at, start = tools.clock.now(), tools.clock.monotonic()
    account = Account(task.number, attempt=number)
    names = {**asking.vars, **(task.names or {})}
    found: Judgement | Stop = asking.checker.judge(item.text.decode("utf-8", "surrogateescape"), names)
    if isinstance(found, Judgement):
        value = found.value
        judge = seated(asking.judge, task.local or step.local)
        if found.ok and isinstance(judge, Stop):
            found = judge
        elif found.ok and isinstance(judge, Bench):
            try:
                found = await second_opinion(asking, judge, {**names, "output": value}, found, account)
            except TemplateFault as fault:
                found = Stop(Verdict.FAILED, FaultClass.JUDGE, f"its rubric cannot be written: {fault}")
            except Exhausted as error:
                stop = out_of_budget(error, account)
                if stop is None:
                    return Outcome(task, Verdict.SKIPPED, reason=f"{UNREAD}{error}")
                found = stop
    tools.permit.end()  # what was bought is durable: the next task need not wait for the outcome
    bill, elapsed_s = account.bill(), tools.clock.monotonic() - start
    if isinstance(found, Stop):
        attempt = Attempt(number, started_at, elapsed_s, found.cls.value, found.reason)
        return Outcome(task, Verdict.FAILED, (attempt,), reason=found.reason, bill=bill, trail=tuple(account.trail))
    asking.recorder.judged(task.number, number, None, asking.contract, found)
    verdict = Verdict.ACCEPTED if found.ok else Verdict.REJECTED
    reason = None if found.ok else _reason(found)
    attempt = Attempt(number, started_at, elapsed_s, None if found.tier is None else found.tier.value, reason)
    return Outcome(task, verdict, (attempt,), _record(task, found), reason, bill=bill, trail=tuple(account.trail))


def _record(task: Task, found: Judgement) -> Record:
    assert task.item is not None
    value = found.value
    own = value.get("id") if isinstance(value, dict) else None
    told: dict[str, Json] = {"ok": found.ok, "id": task.item.key if own is None else own, "errors": flaws(found.flaws)}
    if found.score is not None:
        told["score"] = found.score
    return Record(Form.JSON, compact(told).encode())


def _reason(found: Judgement) -> str:
    flaw = found.flaws[0]
    more = f" (and {len(found.flaws) - 1} more)" if len(found.flaws) > 1 else ""
    place = f"{flaw.pointer}: " if flaw.pointer else ""
    return f"{place}expected {flaw.expected}, got {flaw.got}{more}"
