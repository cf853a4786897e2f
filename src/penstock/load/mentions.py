"""The names that a step's conditions and text use, each with its place in the file."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.core.workflow import Script
from penstock.load.fields import Fields
from penstock.load.tree import Spelling
from penstock.rules.conditions import ExpressionError, references

_NAMES = frozenset({"env", "outputs", "steps", "run"})
_ITEM_NAMES = frozenset({"item", "i", "key", "origin", "chain"})


@dataclass(frozen=True, slots=True)
class Mention:
    """`outputs.x.y` has the root `outputs` and the path `("x", "y")`. `spot` is an index into the document."""

    root: str
    path: tuple[str | int, ...]
    spot: int
    width: int

    @property
    def name(self) -> str | None:
        """The first word after the root, if there is one that is known before the run."""
        return self.path[0] if self.path and isinstance(self.path[0], str) else None


def of_condition(key: str, fields: Fields) -> tuple[Mention, ...]:
    """What the condition under `when` or `where` refers to; a text that is no condition is a problem."""
    scalar = fields.scalar(key)
    if scalar is None:
        return ()
    names = _NAMES | _ITEM_NAMES if key == "where" else _NAMES
    spelling = fields.findings.document.spelling(scalar)
    try:
        found = references(scalar.text, names=names)
    except ExpressionError as error:
        offset = min(error.offset, len(scalar.text))
        fields.findings.wrong(spelling.spots[offset], error.message, error.help, width=error.width)
        return ()
    return tuple(
        Mention(reference.root, reference.path, spelling.spots[reference.offset], reference.width)
        for reference in found
    )


def of_script(script: Script, spelling: Spelling) -> tuple[Mention, ...]:
    """What the placeholders of a text refer to."""
    mentions = {}
    for _, value in script.bindings:
        offset = spelling.text.find(value.text)
        spot = spelling.spots[max(0, offset)]
        mentions[value.text] = Mention(value.root, value.path, spot, len(value.text))
    return tuple(mentions.values())
