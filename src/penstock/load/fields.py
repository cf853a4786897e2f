"""The values of a mapping that has been checked: what is absent or was found wrong reads as absent."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.load.findings import Findings
from penstock.load.tree import Mapping, Node, Scalar, Sequence


@dataclass(frozen=True, slots=True)
class Fields:
    """Sound values by key."""

    mapping: Mapping
    findings: Findings

    def node(self, name: str) -> Node | None:
        """The node itself."""
        node = self.mapping.get(name)
        return node if node is not None and self.findings.sound(node) else None

    def scalar(self, name: str) -> Scalar | None:
        """A single value."""
        node = self.node(name)
        return node if isinstance(node, Scalar) else None

    def text(self, name: str) -> str | None:
        """A single value as it is written."""
        scalar = self.scalar(name)
        return scalar.text if scalar else None

    def flag(self, name: str) -> bool | None:
        """`true` or `false`."""
        scalar = self.scalar(name)
        return scalar.value if scalar and isinstance(scalar.value, bool) else None

    def whole(self, name: str) -> int | None:
        """A whole number."""
        scalar = self.scalar(name)
        return scalar.value if scalar and isinstance(scalar.value, int) else None

    def elements(self, name: str) -> tuple[Node, ...]:
        """The sound elements of a list; a value that stands alone is a list of one."""
        node = self.node(name)
        listed = node.elements if isinstance(node, Sequence) else (node,) if isinstance(node, Scalar) else ()
        return tuple(element for element in listed if self.findings.sound(element))

    def scalars(self, name: str) -> tuple[Scalar, ...]:
        """The elements of a list that are single values."""
        return tuple(element for element in self.elements(name) if isinstance(element, Scalar))

    def inner(self, name: str) -> Fields | None:
        """The fields of a mapping within."""
        node = self.node(name)
        return Fields(node, self.findings) if isinstance(node, Mapping) else None
