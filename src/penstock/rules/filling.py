"""The values that a script's placeholders have for one row, as the environment variables that carry them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from penstock.core.generation import Generate
from penstock.core.routing import Route
from penstock.core.workflow import Placeholder, Script, Step
from penstock.rules.conditions import references
from penstock.rules.placeholders import check_sizes, resolve

_ROW_NAMES = frozenset({"env", "outputs", "steps", "run", "item", "i", "key", "origin", "chain"})


def values_of(script: Script, names: Mapping[str, object], item_text: str | None) -> dict[str, str]:
    """The value of each variable that `script` binds, `{{attempt}}` excepted, which is known later.

    ValueFault, with the sentence that the item fails with, where a value does not exist or cannot be carried.
    """
    holders = {name: holder for name, holder in script.bindings if holder.root != "attempt"}
    values = {name: resolve(holder, names, item_text) for name, holder in holders.items()}
    check_sizes({holders[name].text: value for name, value in values.items()})
    return values


def uses_place(step: Step) -> bool:
    """Whether what the step does with a row depends on the row's place in the stream: `i`, `{{i}}`, `$PENSTOCK_I`."""
    script = step.script
    holders = [holder for _, holder in script.bindings]
    holders += [part for target in script.targets for part in target.parts or () if isinstance(part, Placeholder)]
    rules = step.spec.rules if isinstance(step.spec, (Generate, Route)) else ()
    conditions = [text for text in (step.where, *(rule.when for rule in rules)) if text is not None]
    asked = [one for text in conditions for one in references(text, names=_ROW_NAMES)]
    named = any(holder.root == "i" for holder in holders) or any(one.root == "i" for one in asked)
    return named or re.search(r"\bPENSTOCK_I\b", script.source) is not None
