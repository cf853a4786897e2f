"""`allow_hosts`: the shape of its entries."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.load.findings import Findings
from penstock.load.shapes import Schema, kind_of, misfit
from penstock.load.structures import Listed
from penstock.load.tree import Node, Scalar
from penstock.rules.hosts import entry_fault


@dataclass(frozen=True, slots=True)
class Host:
    """A host, HOST:PORT, or `*.` and the end of a host's name."""

    expects: str = "a host such as `api.openai.com`, `gpu.internal:8000` or `*.internal`"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        if not isinstance(node, Scalar) or kind_of(node) != "text" or not node.text:
            misfit(node, name, self.expects, findings)
            return
        fault = entry_fault(node.text)
        if fault:
            findings.wrong(node, *fault)

    def schema(self) -> Schema:
        return {"type": "string", "pattern": r"^[^/@${}\s]+$"}


HOSTS = Listed(Host(), "a list of hosts")
