"""The most tokens that a value takes in a prompt which only the run will give."""

from __future__ import annotations

from penstock.api.bill.reach import rules_of
from penstock.api.bill.rehearsing import Part, Rehearsal
from penstock.api.bill.speaking import most_written
from penstock.api.bill.unknown import GIVEN, OUTPUT, RECORD
from penstock.core.generation import Generate, Verify
from penstock.core.routing import Route
from penstock.core.workflow import Step, StepSource, Workflow
from penstock.kinds.asking import placed
from penstock.rules.bill import EXPECTED_TOKENS, retold, summed
from penstock.rules.repair import Stop


def bounds_of(workflow: Workflow, rehearsal: Rehearsal, part: Part) -> dict[str, int | None]:
    """The bound of each unknown value by its mark, where it stands in a prompt of this part; None where nothing bounds
    it."""
    above: list[int | None] = []
    source = part.step.foreach
    while isinstance(source, StepSource):
        upper = workflow.step(source.step)
        above.append(_record_of(workflow, rehearsal, upper))
        source = upper.foreach
    return {OUTPUT.mark: retold(_written(part)), RECORD.mark: retold(summed(above)), GIVEN.mark: None}


def _record_of(workflow: Workflow, rehearsal: Rehearsal, step: Step) -> int | None:
    """The most tokens of the step's record, as far as it is written by models or tells of a rule."""
    if isinstance(step.spec, Generate):
        written = [_written(part) for part in rehearsal.parts(step)]
        known = [tokens for tokens in written if tokens is not None]
        return max(known) if len(known) == len(written) and _is_record(workflow, step) else None
    if isinstance(step.spec, Route):  # `why` is a condition with its operands, or names the model and the branches
        told = [len(rule.when.encode()) for rule in rules_of(step) if rule.when is not None]
        named = sum(len(name.encode()) for name in (*step.spec.branches, *(model.name for model in step.models)))
        return 2 * max(told, default=0) + 2 * named + EXPECTED_TOKENS
    return 0


def _written(part: Part) -> int | None:
    """The most tokens of an answer, whoever may give it."""
    question = part.asking.question
    if question is None:
        return 0
    here = placed(question, local=True)
    written = [most_written(each) for each in (question, here) if not isinstance(each, Stop)]
    known = [tokens for tokens in written if tokens is not None]
    return max(known) if len(known) == len(written) else None


def _is_record(workflow: Workflow, step: Step) -> bool:
    """Whether what its `else` names, if it has one, was written by a step above; a row of a file nothing bounds."""
    if not step.otherwise:
        return True
    root, *path = step.otherwise
    by_id = {each.id: each for each in workflow.steps}
    if root == "chain":
        named = by_id.get(str(path[0])) if path else None
        return named is not None and isinstance(named.spec, Generate)
    above = step
    while root == "item" and isinstance(above.foreach, StepSource):
        above = workflow.step(above.foreach.step)
        if not isinstance(above.spec, (Verify, Route)):
            return isinstance(above.spec, Generate)
    return False
