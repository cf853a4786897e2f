"""Which rule an item goes by: the first whose condition holds, with the values that it saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.core.errors import ConditionError
from penstock.core.generation import Rule
from penstock.core.routing import Branch, Choice
from penstock.rules.conditions import decide

ROUTED_NAMES = frozenset({"item", "i", "key", "origin", "chain", "env", "outputs", "steps", "run"})
"""What the condition of a rule may refer to."""

_MOST_RULES = 5
_MOST_CHARACTERS = 240


def choose(rules: Sequence[Rule | Branch], names: Mapping[str, object]) -> Choice | None:
    """The first rule that the item matches and why; None where it matches none (`unmatched` says it).

    ConditionError, with the rule's number, where a condition has no answer: no later rule is looked at then.
    """
    for number, rule in enumerate(rules, 1):
        holds, why = _looked_at(number, rule, names)
        if holds:
            return Choice(number, rule.to if isinstance(rule, Branch) else None, why, rule.local)
    return None


def unmatched(rules: Sequence[Rule | Branch], names: Mapping[str, object]) -> str:
    """Why an item that no rule matches goes by none: each condition with the values that it saw, as far as fits."""
    seen = [
        f"{number}: {_cut(_looked_at(number, rule, names)[1])}" for number, rule in enumerate(rules[:_MOST_RULES], 1)
    ]
    more = len(rules) - len(seen)
    return f"no rule matches: {'; '.join(seen)}" + (f"; and {more} more" if more > 0 else "")


def _looked_at(number: int, rule: Rule | Branch, names: Mapping[str, object]) -> tuple[bool, str]:
    if rule.when is None:
        return True, "no rule before it matched" if number > 1 else "it has no condition"
    try:
        answer = decide(rule.when, names)
    except ConditionError as error:
        raise ConditionError(f"rule {number}: {error}") from error
    return answer.value, answer.shown


def _cut(shown: str) -> str:
    return shown if len(shown) <= _MOST_CHARACTERS else f"{shown[: _MOST_CHARACTERS - 1]}…"
