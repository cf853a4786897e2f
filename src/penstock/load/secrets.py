"""`secrets`: the names that a workflow declares, and where their values come from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from penstock.core.workflow import SecretSource
from penstock.load import tree
from penstock.load.fields import Fields
from penstock.load.findings import Findings
from penstock.load.shapes import Schema, Text, misfit
from penstock.load.structures import Key, Record
from penstock.load.suggest import either
from penstock.load.tree import Node, Scalar, Sequence

_EXAMPLE = 'write `{NAME: {command: "pass db"}}` or `{NAME: {keyring: SERVICE}}`, or the name alone'
_SOURCE = Record(
    "a secret",
    {
        "command": Key(Text("a shell text, such as `pass db`"), "A shell text that prints the value."),
        "keyring": Key(
            Text("the name of a service"), "The service under which the system's keyring has it, by the secret's name."
        ),
    },
    elsewhere={"cmd": "command", "run": "command", "shell": "command", "service": "keyring"},
    example=_EXAMPLE,
)


@dataclass(frozen=True, slots=True)
class Declared:
    """A secret's name, or its name and its source. What stands there instead may be the value: no message says it."""

    name: Text

    @property
    def expects(self) -> str:
        return self.name.expects

    def check(self, node: Node, name: str, findings: Findings) -> None:
        if isinstance(node, Scalar) and "=" in node.text:
            _written(node, node.start + node.text.index("="), findings)
        elif isinstance(node, Scalar):
            self.name.check(node, name, findings)
        elif isinstance(node, Sequence):
            misfit(node, name, self.expects, findings)
        elif len(node.entries) != 1:
            what = f"{name} names {len(node.entries)} secrets; it must name one"
            findings.wrong(node, what, "write an element of its own for each")
        else:
            self._entry(*node.entries[0], name, findings)

    def schema(self) -> Schema:
        entry: Schema = {
            "type": "object",
            "propertyNames": self.name.schema(),
            "additionalProperties": _SOURCE.schema() | {"minProperties": 1, "maxProperties": 1},
            "minProperties": 1,
            "maxProperties": 1,
        }
        return {"anyOf": [self.name.schema(), entry]}

    def _entry(self, key: Scalar, value: Node, name: str, findings: Findings) -> None:
        if isinstance(value, Scalar) and value.value is not None:
            _written(key, value.start, findings)
        elif not re.fullmatch(self.name.pattern or "", key.text):
            findings.wrong(key, f"`{key.text}` in {name} must be {self.name.expects}", self.name.help)
        elif isinstance(value, Scalar):
            findings.wrong(key, f"`{key.text}` in {name} says no source", _EXAMPLE)
        else:
            _SOURCE.check(value, f"`secrets.{key.text}`", findings)
            _one_source(key, value, findings)


def sources(fields: Fields) -> tuple[SecretSource, ...]:
    """The sound entries of `secrets`, in the file's order, each name once; two sources for one name are a problem."""
    found: dict[str, SecretSource] = {}
    for element in fields.elements("secrets"):
        source = _source(element, fields.findings)
        if source is None:
            continue
        first = found.setdefault(source.name, source)
        if replace(source, at=first.at) != first:
            what = f"a second source of the secret `{source.name}`; the first is on line {first.at.line}"
            fields.findings.wrong(element, what, "keep one of the two")
    return tuple(found.values())


def names(fields: Fields) -> frozenset[str]:
    """Every name that the file declares as a secret, be its source a wrong one."""
    return frozenset(name for name in _named(fields.mapping.get("secrets")) if name.isascii() and name.isidentifier())


def _one_source(key: Scalar, node: Node, findings: Findings) -> None:
    """A problem with a source that is none, or two. One with an unknown key has its problem already."""
    words = [word.text for word, _ in node.entries] if isinstance(node, tree.Mapping) else ["command"]
    if not words:
        findings.wrong(node, f"the secret `{key.text}` has no source", "add `command: …` or `keyring: …`")
    elif len(words) > 1 and set(words) <= set(_SOURCE.keys):
        what = f"the secret `{key.text}` has one source, not {either((f'`{word}`' for word in words), 'and')}"
        findings.wrong(node, what, "keep one of the two")


def _source(element: Node, findings: Findings) -> SecretSource | None:
    at = findings.document.place(element.start)
    if isinstance(element, Scalar):
        return SecretSource(element.text, at)
    if not isinstance(element, tree.Mapping):
        return None
    ((key, value),) = element.entries
    if not isinstance(value, tree.Mapping) or not (findings.sound(key) and findings.sound(value)):
        return None
    inner = Fields(value, findings)
    return SecretSource(key.text, at, inner.text("command"), inner.text("keyring"))


def _named(node: Node | None) -> Iterator[str]:
    if isinstance(node, Scalar):
        yield node.text.partition("=")[0].strip()
    elif isinstance(node, tree.Mapping):
        yield from (key.text for key, _ in node.entries)
    elif node is not None:
        for element in node.elements:
            yield from _named(element)


def _written(at: Scalar, start: int, findings: Findings) -> None:
    """The file holds what may be the value itself, from `start` on: the line is shown without it."""
    help = "put the value in the environment or in `.env`, and write the name alone"
    problem = findings.document.problem(at, "the value of a secret is never written into the file", help)
    place = findings.document.place(start)
    if problem.place and problem.source is not None and place.line == problem.place.line:
        shown = problem.source[: place.column - 1]
        problem = replace(problem, source=shown + "*" * (len(problem.source) - len(shown)))
    findings.distrust(at)
    findings.tell(problem)
