"""Shapes of numbers that are no counts: a chance, and a price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import isfinite

from penstock.load.findings import Findings
from penstock.load.shapes import Schema, kind_of, misfit
from penstock.load.tree import Node, Scalar


def exact(node: Node | None) -> Decimal | None:
    """The number as it is written, not as a float holds it; None where no finite number stands."""
    if not isinstance(node, Scalar) or isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
        return None
    if isinstance(node.value, int):
        return Decimal(node.value)
    try:
        return Decimal(node.text) if isfinite(node.value) else None
    except InvalidOperation:  # an exponent of more digits than any number has
        return None


@dataclass(frozen=True, slots=True)
class Share:
    """A number from 0 to 1."""

    expects: str = "a number from 0 to 1"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        number = exact(node)
        if number is None or not 0 <= number <= 1:
            percent = kind_of(node) == "text" and isinstance(node, Scalar) and node.text.strip().endswith("%")
            misfit(node, name, self.expects, findings, "write `0.05` for 5 %" if percent else None)

    def schema(self) -> Schema:
        return {"type": "number", "minimum": 0, "maximum": 1}


@dataclass(frozen=True, slots=True)
class Between:
    """A number between two others, which it may not be itself; `like` is one that fits."""

    low: str
    high: str
    like: str

    @property
    def expects(self) -> str:
        return f"a number between {self.low} and {self.high} such as `{self.like}`"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        number = exact(node)
        if number is None or not float(self.low) < float(number) < float(self.high):
            percent = kind_of(node) == "text" and isinstance(node, Scalar) and node.text.strip().endswith("%")
            misfit(node, name, self.expects, findings, f"write `{self.like}` and no percentage" if percent else None)

    def schema(self) -> Schema:
        return {"type": "number", "exclusiveMinimum": float(self.low), "exclusiveMaximum": float(self.high)}


@dataclass(frozen=True, slots=True)
class Money:
    """Dollars per million tokens."""

    expects: str = "dollars per million tokens, a number such as `0.15`"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        number = exact(node)
        if number is None or number < 0:
            marked = kind_of(node) == "text" and isinstance(node, Scalar) and node.text.strip().startswith("$")
            misfit(node, name, self.expects, findings, "leave out the `$`" if marked else None)

    def schema(self) -> Schema:
        return {"type": "number", "minimum": 0}
