"""Where a workflow says that items stay here, and whom it would ask about them there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from penstock.core.generation import Generate
from penstock.core.models import Model
from penstock.core.routing import Branch, Route
from penstock.core.workflow import Step, StepSource, Workflow


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A step, or a rule of it, at which only models that are here may be asked. `where` names it in a sentence; `what`
    its `models` are for, `model` or `judge`."""

    where: str
    what: str
    models: tuple[Model, ...]


def local_places(workflow: Workflow, step: Step) -> Iterator[LocalPlace]:
    """The places of a step where all items that come are to stay here, its judge last."""
    question, judge = step.question, step.contract.judge if step.contract is not None else None
    whole, found = keeps_here(workflow, step), False
    for number, rule in enumerate(question.rules if question is not None else (), 1):
        if whole or rule.local:
            found = True
            yield LocalPlace(f"step {step.id}, rule {number}", "model", rule.models)
    if question is not None and not question.rules and whole:
        yield LocalPlace(f"step {step.id}", "model", question.models)
    if judge is not None and (whole or found):
        yield LocalPlace(f"step {step.id}", "judge", judge.models)


def keeps_here(workflow: Workflow, step: Step) -> bool:
    """Whether no model elsewhere may see any item of the step: it says so, or one says so that they come through."""
    if step.local:
        return True
    source = step.foreach
    if not isinstance(source, StepSource):
        return False
    above = workflow.step(source.step)
    return _all_local(above, source.branch) or keeps_here(workflow, above)


def _all_local(above: Step, branch: str | None) -> bool:
    """Whether whatever rule lets an item through to this branch keeps it here. Which rule an item that failed went by,
    if any, is not known."""
    rules = above.spec.rules if isinstance(above.spec, (Generate, Route)) else ()
    named = branch not in (None, "accepted", "rejected")
    taken = [rule.local for rule in rules if not named or (isinstance(rule, Branch) and rule.to == branch)]
    return bool(taken) and all(taken)
