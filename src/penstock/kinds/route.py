"""A `route` step: each item goes to one named branch, by the first rule that it matches or by a model's choice.

Its record is `{"to", "rule", "why"}`. What is passed on to a step that reads `steps.ID` or `steps.ID.BRANCH` is the
item itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from penstock.core.canon import compact, parse, sayable
from penstock.core.errors import ConditionError
from penstock.core.routing import Choice, Route
from penstock.core.work import Form, Outcome, Record, Task, Verdict
from penstock.core.workflow import Step
from penstock.kinds.tools import Tools
from penstock.rules.routing import choose, unmatched


def by_rules(task: Task, route: Route, names: Mapping[str, object]) -> Outcome:
    """Where the item goes by the rules, without an attempt; failed where none matches or a condition has no answer."""
    try:
        choice = choose(route.rules, names)
        if choice is None:
            return Outcome(task, Verdict.FAILED, reason=unmatched(route.rules, names))
    except ConditionError as error:
        return Outcome(task, Verdict.FAILED, reason=str(error))
    return Outcome(task, Verdict.ACCEPTED, record=_record(choice), choice=choice)


async def perform(task: Task, step: Step, number: int, tools: Tools) -> Outcome:
    """Where a model sends the item: accepted with its choice, else what a `generate` step would come to."""
    from penstock.kinds import generate  # takes 30 ms to import, and most workflows route by rules

    outcome = await generate.perform(task, step, number, tools)
    if outcome.verdict is not Verdict.ACCEPTED or outcome.record is None:
        return outcome
    assert isinstance(step.spec, Route)
    answer = parse(outcome.record.body)
    assert isinstance(answer, dict)  # the contract of a `route` step says so
    to, model = str(answer["choice"]), outcome.bill.model if outcome.bill else None
    choice = Choice(None, to, f"{model or 'a model'} chose it of {', '.join(step.spec.branches)}")
    return replace(outcome, record=_record(choice), choice=choice)


def _record(choice: Choice) -> Record:
    told = {"to": choice.to, "rule": choice.rule, "why": sayable(choice.why)}
    return Record(Form.JSON, compact(told).encode())
