"""Which rules a row may go by, as far as that is known before the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from penstock.api.bill.unknown import Unknown
from penstock.core.errors import ConditionError
from penstock.core.generation import Generate, Rule
from penstock.core.routing import Branch, Route
from penstock.core.workflow import Step
from penstock.engine.step_run import ROOTS
from penstock.rules.conditions import decide, references


@dataclass(frozen=True, slots=True)
class Reach:
    """The rules, counted from 1, that a row may go by: `sure` if it is the only one, or none.

    With `by_none` it may be that no rule matches, with `fault` that one is reached whose condition has no answer.
    """

    rules: tuple[int, ...]
    sure: bool
    by_none: bool = False
    fault: bool = False


def rules_of(step: Step) -> tuple[Rule | Branch, ...]:
    """The rules by which the step's rows go; none where it has none."""
    return step.spec.rules if isinstance(step.spec, (Generate, Route)) else ()


def reach(rules: Sequence[Rule | Branch], names: Mapping[str, object]) -> Reach:
    """What is known of how a row goes. A condition that asks for what only the run will give may hold or not."""
    found: list[int] = []
    sure = True
    for number, rule in enumerate(rules, 1):
        if rule.when is not None and mentions_unknown(rule.when, names):
            found, sure = [*found, number], False
            continue
        try:
            if rule.when is None or decide(rule.when, names).value:
                return Reach((*found, number), sure)
        except ConditionError:
            return Reach(tuple(found), sure, fault=True)
    return Reach(tuple(found), sure, by_none=True)


def mentions_unknown(condition: str, names: Mapping[str, object]) -> bool:
    """Whether the condition asks for what is not known before the run."""
    return any(isinstance(names.get(root), Unknown) for root in _roots(condition))


@lru_cache(maxsize=256)
def _roots(condition: str) -> frozenset[str]:
    """What a condition mentions: it is asked for every row."""
    return frozenset(each.root for each in references(condition, names=ROOTS))
