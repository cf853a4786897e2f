"""Conditions: text and names in, a bool and the reason for it out.

One small language for `when`, `where`, route rules, checks and gates. It is Python's expression grammar, read
with `ast` and let in by a whitelist, with strict kinds where Python is lenient: no coercion, no truthiness,
no methods, no attribute but a field of the user's JSON. What has no answer is an error, never false.

    condition_text       what is refused or explained before Python reads it
    condition_syntax     Python's tree → parts, by whitelist
    condition_nodes      the parts: value, and how they are shown
    condition_operators  comparisons and arithmetic
    condition_functions  len, matches, get and the others
    condition_values     kinds, fields, equality, values in a line of the log

simpleeval was looked at and left: its attribute access finds methods, its `not` and `==` coerce, and it keeps no
operands; what would be left of it is a call of `ast.parse`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.core.errors import ConditionError
from penstock.rules.conditions.nodes import UNSEEN, Node, headline
from penstock.rules.conditions.operators import truth
from penstock.rules.conditions.syntax import Reference, parse
from penstock.rules.conditions.text import ExpressionError
from penstock.rules.conditions.values import nearest

__all__ = ["Answer", "ExpressionError", "Reference", "decide", "references"]

_DASHED = re.compile(r"([\w.]+)\.([^\W\d]\w*(?:-\w+)+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """The value of a condition, and `shown`, the operands that it saw: `0.873 > 0.9 → false`."""

    value: bool
    _root: Node = field(repr=False)
    _seen: list[object] = field(repr=False)

    @property
    def shown(self) -> str:
        """One line for the log. Values are cut to 60 characters; what was not reached stands as it was written."""
        return f"{headline(self._root, self._seen)} → {'true' if self.value else 'false'}"


def references(text: str, *, names: frozenset[str]) -> tuple[Reference, ...]:
    """What a condition refers to, in order. `names` are the roots that exist where it stands.

    ExpressionError, with its place, if it is no condition, if no values could give it an answer, or if a root
    is not among `names`.
    """
    found = parse(text).references
    for reference in found:
        if reference.root not in names:
            raise _unknown(text, reference, names)
    return found


def decide(text: str, names: Mapping[str, object]) -> Answer:
    """The answer for these values. A root may be a mapping that reads its fields on demand and raises ConditionError.

    ConditionError where there is no answer: the message names the reference, what was found and what exists.
    ExpressionError if the text is no condition.
    """
    expression = parse(text)
    seen = [UNSEEN] * expression.slots
    try:
        found = expression.root.value(names, seen)
    except RecursionError:
        raise ConditionError(f"{text}: a value is nested too deeply to be compared") from None
    return Answer(truth(expression.root, found, "a condition is"), expression.root, seen)


def _unknown(text: str, reference: Reference, names: frozenset[str]) -> ExpressionError:
    message = f"there is no name {reference.root} here"
    here = f"names here: {', '.join(sorted(names))}"
    for dashed in _DASHED.finditer(text):
        if dashed.start(2) < reference.offset < dashed.end(2):
            help = f'write {dashed[1]}["{dashed[2]}"]; a - between names is a minus'
            return ExpressionError(message, reference.offset, len(reference.root), help)
    close = nearest(reference.root, [*names, "true", "false", "null", "None"])
    hint = f"did you mean {close}?" if close else f'if it is a text, write "{reference.root}"'
    return ExpressionError(message, reference.offset, len(reference.root), f"{hint}\n{here}")
