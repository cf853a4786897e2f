"""The nouns of routing: rules that send an item to a model or to a branch, and what was chosen for it.

Two places have rules. `generate.route` picks who is asked, and what; a `route` step sends items to named branches,
which later steps read as `foreach: steps.ID.BRANCH`.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.core.generation import Generate

RESERVED = frozenset(
    {
        *("accepted", "rejected", "failed", "skipped", "total", "cached", "pending", "accept_rate", "accept_rate_low"),
        *("cost", "calls", "latency_p50_ms", "latency_p95_ms", "status"),
    }
)
"""What no branch may be called: `foreach: steps.ID.accepted` and `outputs.ID.total` mean something already."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A rule of a `route` step: items for which `when` holds (None: all that come so far) go to the branch `to`.

    `local`: from here on no model elsewhere sees such an item.
    """

    when: str | None
    to: str
    local: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A `route` step: by `rules`, the first that matches, or by a model. `branches` are all names that items can go to.

    `chooser` is then what the model is asked, under a contract whose answer is `{"choice": BRANCH}`; else None.
    """

    branches: tuple[str, ...]
    rules: tuple[Branch, ...] = ()
    chooser: Generate | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for an item, and why. `rule` counts from 1; None where a model chose.

    `to` is the branch; None in `generate`, where a rule picks models. `why` is the condition with the values that it
    saw, or what the model was asked. `local`: no model elsewhere may see the item from here on.
    """

    rule: int | None
    to: str | None
    why: str
    local: bool = False
