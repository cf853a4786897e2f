"""The names that a step's conditions, templates and text use, each with its place in the file."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.core.workflow import Script
from penstock.load.fields import Fields
from penstock.load.findings import Findings
from penstock.load.tree import Document, Scalar, Spelling
from penstock.rules.conditions import ExpressionError, Reference, references

_NAMES = frozenset({"env", "outputs", "steps", "run"})
ITEM_NAMES = frozenset({"item", "i", "key", "origin", "chain"})
CALL_NAMES = frozenset({"env", "outputs", "run"})
"""What templates and checks see, besides the item's names."""

GATE_NAMES = frozenset({"env", "outputs"})
"""What `sample.require` sees."""

JUDGED_NAMES = frozenset({"score", "failures"})


@dataclass(frozen=True, slots=True)
class Mention:
    """`outputs.x.y` has the root `outputs` and the path `("x", "y")`. `spot` is an index into the document:
    the workflow, or the file of a template.
    """

    root: str
    path: tuple[str | int, ...]
    document: Document
    spot: int
    width: int

    @property
    def name(self) -> str | None:
        """The first word after the root, if there is one that is known before the run."""
        return self.path[0] if self.path and isinstance(self.path[0], str) else None


def of_condition(key: str, fields: Fields) -> tuple[Mention, ...]:
    """What the condition under `when` or `where` refers to; a text that is no condition is a problem."""
    scalar = fields.scalar(key)
    names = _NAMES | ITEM_NAMES if key == "where" else _NAMES
    return of_text(scalar, names, fields.findings) if scalar else ()


def of_text(scalar: Scalar, names: frozenset[str], findings: Findings) -> tuple[Mention, ...]:
    """What a condition refers to, among `names`; a text that is no condition is a problem."""
    spelling = findings.document.spelling(scalar)
    return tuple(
        Mention(found.root, found.path, findings.document, spelling.spots[found.offset], found.width)
        for found in references_in(scalar, names, findings)
    )


def references_in(scalar: Scalar, names: frozenset[str], findings: Findings) -> tuple[Reference, ...]:
    """The references of a condition, by their places in its text; a text that is none is a problem."""
    try:
        return references(scalar.text, names=names)
    except ExpressionError as error:
        spots = findings.document.spelling(scalar).spots
        findings.distrust(scalar)
        findings.wrong(spots[min(error.offset, len(scalar.text))], error.message, error.help, width=error.width)
        return ()


def of_script(script: Script, spelling: Spelling, document: Document) -> tuple[Mention, ...]:
    """What the placeholders of a text refer to."""
    mentions = {}
    for _, value in script.bindings:
        offset = spelling.text.find(value.text)
        spot = spelling.spots[max(0, offset)]
        mentions[value.text] = Mention(value.root, value.path, document, spot, len(value.text))
    return tuple(mentions.values())
