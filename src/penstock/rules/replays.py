"""What a replay says of a fixture, what its exit status stands on, and what a step reads besides its item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from penstock.core.generation import Contract, Generate, Template, Verify
from penstock.core.routing import Route
from penstock.core.views import Replayed, Standing
from penstock.core.work import Verdict
from penstock.core.workflow import Placeholder, Shell, Step
from penstock.rules.conditions import references
from penstock.rules.filling import uses_place
from penstock.rules.prompts import compile_template, mentioned

ROOTS = frozenset({"item", "i", "key", "origin", "chain", "env", "outputs", "steps", "run", "output", "signals"})


def standing(regression: bool, verdict: Verdict, had: str, has: str) -> Standing:
    """Where a fixture stands whose item got this verdict now; `had` and `has` are the two error signatures.

    `where` leaves out an item that is skipped: nothing was shown, so it stands as not replayed.
    """
    if verdict is Verdict.SKIPPED:
        return Standing.NOT_REPLAYED
    if regression:
        return Standing.GREEN if verdict is Verdict.ACCEPTED else Standing.BROKEN
    if verdict is Verdict.ACCEPTED:
        return Standing.FIXED
    return Standing.STILL_FAILING if had == has else Standing.CHANGED


def passes(replayed: Iterable[Replayed], strict: bool) -> bool:
    """Whether every regression was replayed and is green; with `strict`, and every failure is fixed.

    What was not replayed was not shown to be green: silence passes nothing.
    """
    wanted = {True: Standing.GREEN, False: Standing.FIXED}
    return all(one.standing is wanted[one.regression] for one in replayed if one.regression or strict)


def is_unrecorded(offline: bool, verdict: Verdict, kind: str | None, reason: str | None) -> bool:
    """Whether an item failed only because an answer that it needs was never bought, and none may be bought now.

    Nothing is sent offline, so that nobody else can have denied a call.
    """
    if not offline or verdict is not Verdict.FAILED:
        return False
    return kind == "denied" or (kind == "judge" and "is not in the cache" in (reason or ""))


def mentions(step: Step) -> frozenset[tuple[str, ...]]:
    """What the step's texts refer to, as paths: `("item", "text")`, `("outputs", "limits", "top")`, `("i",)`."""
    found = {tuple(str(part) for part in path) for path in _paths(step)}
    return frozenset(found | ({("i",)} if uses_place(step) else set()))


def _paths(step: Step) -> Iterator[tuple[object, ...]]:
    conditions = [step.where] if step.where is not None else []
    if step.otherwise:
        yield step.otherwise
    match step.spec:
        case Shell(script):
            holders = [holder for _, holder in script.bindings]
            parts = [part for target in script.targets for part in target.parts or ()]
            holders += [part for part in parts if isinstance(part, Placeholder)]
            yield from ((holder.root, *holder.path) for holder in holders)
        case Generate() | Verify() | Route() as spec:
            conditions += _conditions(spec)
            for template in _templates(spec):
                yield from mentioned(compile_template(template))
    for condition in conditions:
        yield from ((one.root, *one.path) for one in references(condition, names=ROOTS))


def _conditions(spec: Generate | Verify | Route) -> Iterator[str]:
    """Those of the rules, then what answers are held to."""
    if not isinstance(spec, Verify):
        yield from (rule.when for rule in spec.rules if rule.when is not None)
    if isinstance(spec, Generate) and spec.accept_when is not None:
        yield spec.accept_when
    contract = _contract(spec)
    yield from contract.checks if contract is not None else ()


def _templates(spec: Generate | Verify | Route) -> Iterator[Template]:
    """What is asked of models: by the step or by each of its rules, and of the judge."""
    question = spec.chooser if isinstance(spec, Route) else spec
    if isinstance(question, Generate):
        for asked in question.rules or (question,):
            yield asked.prompt
            if asked.system is not None:
                yield asked.system
    contract = _contract(spec)
    if contract is not None and contract.judge is not None:
        yield contract.judge.rubric


def _contract(spec: Generate | Verify | Route) -> Contract | None:
    if isinstance(spec, Route):
        return spec.chooser.contract if spec.chooser is not None else None
    return spec.contract
