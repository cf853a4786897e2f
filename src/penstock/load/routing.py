"""Rules of `route`, in `generate` and as a step: their order, and the branches that items can go to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.core.canon import Json
from penstock.core.routing import RESERVED
from penstock.load import tree
from penstock.load.fields import Fields
from penstock.load.findings import Findings
from penstock.load.tree import Node, Scalar


def rules(fields: Fields) -> tuple[Fields, ...]:
    """The rules of a mapping's `route`, in the file's order. One that can never match is a problem."""
    found = [Fields(node, fields.findings) for node in fields.elements("route") if isinstance(node, tree.Mapping)]
    catching = next((number for number, rule in enumerate(found) if rule.mapping.get("when") is None), len(found))
    for rule in found[catching + 1 : catching + 2]:
        what = f"this rule can never match: rule {catching + 1} has no `when`, so it takes all that comes to it"
        fields.findings.wrong(rule.mapping.start, what, "put the rule without `when` last, or give it a `when`")
    return tuple(found)


def destination(scalar: Scalar | None, findings: Findings) -> str | None:
    """The branch that a value names; a name that means something already is a problem."""
    if scalar is None:
        return None
    if scalar.text in RESERVED:
        what = (
            f"no branch can be called `{scalar.text}`: under `steps.ID` and `outputs.ID` that means something already"
        )
        findings.wrong(scalar, what, "give it another name")
        return None
    return scalar.text


def choices(fields: Fields) -> tuple[str, ...]:
    """The branches that a model chooses from; empty if they are not all sound."""
    scalars = fields.scalars("choices")
    found = [name for scalar in scalars if (name := destination(scalar, fields.findings))]
    for number, scalar in enumerate(scalars):
        if scalar.text in (earlier.text for earlier in scalars[:number]):
            fields.findings.wrong(scalar, f"`{scalar.text}` is named twice", "name each choice once")
    return tuple(dict.fromkeys(found))


def one_choice(branches: Iterable[str]) -> Json:
    """The JSON Schema of `{"choice": BRANCH}`."""
    return {
        "type": "object",
        "properties": {"choice": {"enum": list(branches)}},
        "required": ["choice"],
        "additionalProperties": False,
    }


def branches_of(step: tree.Mapping) -> tuple[str, ...] | None:
    """Where a step can send its items, by what it names alone; empty for all but `route` steps.

    None where that is not known, because something is wrong with the step.
    """
    route = step.get("route")
    if route is None:
        return ()
    named: Sequence[Node | None] = ()
    if isinstance(route, tree.Sequence):
        named = [rule.get("to") if isinstance(rule, tree.Mapping) else None for rule in route.elements]
    elif isinstance(route, tree.Mapping):
        listed = route.get("choices")
        named = listed.elements if isinstance(listed, tree.Sequence) else ()
    names = [node.text for node in named if isinstance(node, Scalar)]
    return tuple(dict.fromkeys(names)) if names and len(names) == len(named) else None
