"""The shapes that values of a workflow file can have.

A shape says what it expects, checks a node and describes itself as JSON Schema, so one table of shapes
(keys.py) is the language, its messages and the schema for editors. pydantic would check as well, but in
its own words, with a branch's name in every place for each union, and it takes 110 ms to import: a
third of what `penstock check` may take.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from penstock.core.canon import Json
from penstock.load import tree
from penstock.load.findings import Findings, found
from penstock.load.suggest import did_you_mean, either
from penstock.load.tree import Node, Scalar, Sequence

Schema = dict[str, Json]


class Shape(Protocol):
    """`expects` is a noun phrase: what a value of this shape is."""

    @property
    def expects(self) -> str: ...

    def check(self, node: Node, name: str, findings: Findings) -> None:
        """Finds what is wrong with a node; `name` is what messages call it."""

    def schema(self) -> Schema:
        """The shape as JSON Schema 2020-12."""


def kind_of(node: Node) -> str:
    """`text whole number flag nothing list mapping`: what a node is."""
    if isinstance(node, Sequence):
        return "list"
    if isinstance(node, tree.Mapping):
        return "mapping"
    if isinstance(node.value, bool):
        return "flag"
    if node.value is None:
        return "nothing"
    return "text" if isinstance(node.value, str) else "whole" if isinstance(node.value, int) else "number"


def misfit(node: Node, name: str, expects: str, findings: Findings, help: str | None = None) -> None:
    """Says that a node is not what is expected."""
    if kind_of(node) == "nothing" and isinstance(node, Scalar) and not node.text:
        findings.wrong(node, f"{name} is empty; it must be {expects}", help)
    else:
        findings.wrong(node, f"{name} must be {expects}, not {found(node)}", help)


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is not empty. With `flags`, `true` and `false` count as texts: they are commands and conditions."""

    expects: str = "text"
    pattern: str | None = None
    help: str | None = None
    flags: bool = False

    def check(self, node: Node, name: str, findings: Findings) -> None:
        kind = kind_of(node)
        if kind == "flag" and self.flags:
            return
        if not isinstance(node, Scalar) or kind != "text":
            misfit(node, name, self.expects, findings, self.help or (None if self.flags else _quoted(node)))
        elif not node.text.strip():
            findings.wrong(node, f"{name} is empty; it must be {self.expects}")
        elif self.pattern and not re.fullmatch(self.pattern, node.text):
            misfit(node, name, self.expects, findings, self.help)

    def schema(self) -> Schema:
        shape: Schema = {"type": ["string", "boolean"] if self.flags else "string"}
        return shape | ({"pattern": f"^(?:{self.pattern})$"} if self.pattern else {"pattern": r"\S"})


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time, `300ms` to `1d`."""

    expects: str = "a duration such as `300ms`, `30s`, `5m`, `2h` or `1d`"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        if kind_of(node) in ("whole", "number") and isinstance(node, Scalar):
            misfit(node, name, self.expects, findings, f"for seconds write `{node.text}s`")
        elif not isinstance(node, Scalar) or not re.fullmatch(_DURATION, node.text):
            misfit(node, name, self.expects, findings)

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^{_DURATION}$"}


_DURATION = r"[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|s|m|h|d)"
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(duration: str) -> float:
    """The seconds of a duration that has the shape."""
    number = duration.rstrip("mshd")
    return float(number) * _UNIT_S[duration[len(number) :]]


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number."""

    least: int

    @property
    def expects(self) -> str:
        return f"a whole number of at least {self.least}"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        value = node.value if isinstance(node, Scalar) and kind_of(node) == "whole" else None
        if not isinstance(value, int) or value < self.least:
            misfit(node, name, self.expects, findings)

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.least}


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`."""

    expects: str = "`true` or `false`"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        if kind_of(node) == "flag":
            return
        word = node.text.lower() if isinstance(node, Scalar) else ""
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(word)
        misfit(node, name, self.expects, findings, meant and f"in YAML 1.2 `{word}` is text; write `{meant}`")

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, or a number or bool that stands for the text it is written as."""

    expects: str = "text"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        if kind_of(node) in ("list", "mapping"):
            misfit(node, name, self.expects, findings)
        elif kind_of(node) == "nothing":
            findings.wrong(node, f"{name} is empty; it must be {self.expects}", 'write `""` for an empty text')

    def schema(self) -> Schema:
        return {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True, slots=True)
class Version:
    """The version of the language that the file is written in."""

    expects: str = "1"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        if not (kind_of(node) == "whole" and isinstance(node, Scalar) and node.value == 1):
            help = "it is the version of the language, not of your workflow"
            misfit(node, name, f"{self.expects}, the one version that there is", findings, help)

    def schema(self) -> Schema:
        return {"const": 1}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words. `notes` are words that some will try, each with the line that helps."""

    words: tuple[str, ...]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def expects(self) -> str:
        return either(f"`{word}`" for word in self.words)

    def check(self, node: Node, name: str, findings: Findings) -> None:
        if not isinstance(node, Scalar) or node.value not in self.words:
            word = node.text if isinstance(node, Scalar) else ""
            misfit(node, name, self.expects, findings, self.notes.get(word) or did_you_mean(word, self.words))

    def schema(self) -> Schema:
        return {"enum": list(self.words)}


def _quoted(node: Node) -> str | None:
    return f'put it in quotes: "{node.text}"' if isinstance(node, Scalar) and node.text else None
