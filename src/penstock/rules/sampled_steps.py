"""Which steps a sample goes through, what each of them reads, and what begins once more when the rest follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from penstock.core.approval import Approve
from penstock.core.sampling import Sample
from penstock.core.workflow import FileSource, Step, StepSource, Workflow
from penstock.rules.conditions import references
from penstock.rules.paths import fixed_path

_NAMES = frozenset({"env", "outputs", "steps", "run"})


@dataclass(frozen=True, slots=True)
class Outline:
    """A workflow as its sample sees it.

    `active` are the steps that the sample goes through, and `asked` those of them that `require` itself reads. `roots`
    read a root stream, of which rows are drawn; `refiled` a file that such rows were made into by steps before.
    `swayed` are all that look otherwise when there are more rows. `counted` is the step whose accept rate `require`
    holds; None where it is about something else, or about more than that step.
    """

    active: frozenset[str]
    asked: frozenset[str]
    roots: frozenset[str]
    refiled: frozenset[str]
    swayed: frozenset[str]
    counted: str | None


def outline(workflow: Workflow, sample: Sample) -> Outline:
    """What a sample of the workflow goes through: what `require` needs, or all of it where nothing is required."""
    mapped = {step.id for step in workflow.steps if step.foreach is not None}
    swayed = {step.id for step in workflow.steps if step.id in mapped or workflow.before(step) & mapped}
    refiled = {step.id for step in workflow.steps if _writers(workflow, step) & swayed}
    streams = {step.id for step in workflow.steps if isinstance(step.foreach, StepSource)}
    asked = _steps_read(workflow, sample.require) if sample.require is not None else [s.id for s in workflow.steps]
    active = set(asked).union(*(workflow.before(workflow.step(step_id)) for step_id in asked))
    return Outline(
        frozenset(active),
        frozenset(asked),
        frozenset(mapped - streams - refiled),
        frozenset(refiled),
        frozenset(swayed),
        asked[0] if sample.require is not None and asked and _is_rate(workflow, sample.require, asked) else None,
    )


def lineage(workflow: Workflow, step: Step) -> tuple[Step, ...]:
    """The step, the one whose records it reads, and so on up to the one that reads a file or a list."""
    line = [step]
    while isinstance(line[-1].foreach, StepSource):
        line.append(workflow.step(line[-1].foreach.step))
    return tuple(line)


def sees_every_row(workflow: Workflow, step: Step) -> bool:
    """Whether the step judges as many rows as the root stream has: none is left out by a `where` or a branch."""
    line = lineage(workflow, step)
    branches = [each.foreach.branch for each in line if isinstance(each.foreach, StepSource)]
    return not any(branches) and all(each.where is None for each in line)


def withheld(workflow: Workflow) -> dict[str, str]:
    """The steps that are not run on a sample without a gate, each with the reason: they would act on the whole."""
    approvals = {step.id for step in workflow.steps if isinstance(step.spec, Approve)}
    counting = outline(workflow, Sample(1)).swayed
    why: dict[str, str] = {}
    for step in workflow.steps:
        followed = sorted(workflow.before(step) & approvals)
        told = sorted(set(_steps_read(workflow, step.when)) & counting) if step.when is not None else []
        if step.id in approvals:
            why[step.id] = "nobody is asked to approve a sample"
        elif followed:
            why[step.id] = f"it follows {followed[0]}, and nobody is asked to approve a sample"
        elif told:
            why[step.id] = f"its `when` is about what {told[0]} comes to, and this is a sample"
    return why


def name_of(step: Step) -> str:
    """What the rows of a root stream are called for people, and drawn under."""
    return step.foreach.path if isinstance(step.foreach, FileSource) else f"the list of {step.id}"


def written_before(workflow: Workflow, step: Step) -> bool:
    """Whether a step before this one writes the file that it reads."""
    return bool(_writers(workflow, step))


def _writers(workflow: Workflow, reader: Step) -> set[str]:
    """The steps before it that write the file whose rows it reads."""
    source = reader.foreach
    if not isinstance(source, FileSource):
        return set()
    before = workflow.before(reader)
    return {step.id for step in workflow.steps if step.id in before and source.path in set(_written(workflow, step))}


def _written(workflow: Workflow, step: Step) -> Iterator[str | None]:
    env = {**dict(workflow.env), **dict(step.env)}
    yield from (fixed_path(target, env) for target in step.script.targets)
    yield from (path for _, path in step.outputs)


def _is_rate(workflow: Workflow, condition: str, asked: list[str]) -> bool:
    """Whether the condition holds the accept rate of one step, and no other step to anything."""
    names, meanings = ("accept_rate", "accept_rate_low"), dict(workflow.outputs)
    rates = [(asked[0], name) for name in names if f"{asked[0]}.{name}" not in meanings]
    paths = {reference.path for reference in references(condition, names=_NAMES)}
    return len(asked) == 1 and workflow.step(asked[0]).foreach is not None and not paths.isdisjoint(rates)


def _steps_read(workflow: Workflow, condition: str) -> list[str]:
    """The steps whose outputs or counts a condition reads, in its order."""
    ids, meanings = {step.id for step in workflow.steps}, dict(workflow.outputs)
    found: list[str] = []
    for reference in references(condition, names=_NAMES):
        path = [str(part) for part in reference.path]
        if reference.root == "outputs" and path:
            names = [path[0], ".".join(path[:2])]
            found += [meanings[name].step for name in names if name in meanings] or [path[0]]
        elif reference.root == "steps" and path:
            found.append(path[0])
    return [step_id for step_id in dict.fromkeys(found) if step_id in ids]
