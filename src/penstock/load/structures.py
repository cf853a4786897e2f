"""Shapes made of shapes: lists, mappings, and mappings with keys of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite

from penstock.core.canon import WrittenFloat
from penstock.load import tree
from penstock.load.findings import Findings
from penstock.load.shapes import Schema, Shape, kind_of, misfit
from penstock.load.suggest import did_you_mean, either, lines
from penstock.load.tree import Node, Scalar, Sequence


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of one shape."""

    of: Shape
    expects: str
    least: int = 0

    def check(self, node: Node, name: str, findings: Findings) -> None:
        if not isinstance(node, Sequence):
            misfit(node, name, self.expects, findings, _as_list(node))
            return
        count = len(node.elements)
        if count < self.least:
            what = f"must be {self.expects}, not of {count}" if count else f"is empty; it must be {self.expects}"
            findings.wrong(node, f"{name} {what}")
        for element in node.elements:
            self.of.check(element, f"an element of {name}", findings)

    def schema(self) -> Schema:
        least: Schema = {"minItems": self.least} if self.least else {}
        return {"type": "array", "items": self.of.schema()} | least


@dataclass(frozen=True, slots=True)
class Keyed:
    """A mapping whose keys the author chooses. `dotted`: messages call its values `models.small`."""

    of: Shape
    expects: str
    pattern: str
    key_expects: str
    key_help: str
    dotted: bool = False

    def check(self, node: Node, name: str, findings: Findings) -> None:
        if not isinstance(node, tree.Mapping):
            misfit(node, name, self.expects, findings)
            return
        for key, value in node.entries:
            if not re.fullmatch(self.pattern, key.text):
                findings.wrong(key, f"`{key.text}` in {name} must be {self.key_expects}", self.key_help)
            _show_at_key(key, value, findings)
            self.of.check(value, f"{name[:-1]}.{key.text}`" if self.dotted else f"`{key.text}` in {name}", findings)

    def schema(self) -> Schema:
        names: Schema = {"pattern": f"^(?:{self.pattern})$"}
        return {"type": "object", "propertyNames": names, "additionalProperties": self.of.schema()}


@dataclass(frozen=True, slots=True)
class Rows:
    """A list of any JSON values."""

    expects: str = "a list of rows"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        for row in node.elements if isinstance(node, Sequence) else ():
            if _holds_no_json(row, f"a row of {name}", findings):
                findings.distrust(row)

    def schema(self) -> Schema:
        return {"type": "array"}


@dataclass(frozen=True, slots=True)
class Values:
    """A mapping of names to any JSON values."""

    expects: str

    def check(self, node: Node, name: str, findings: Findings) -> None:
        if not isinstance(node, tree.Mapping):
            misfit(node, name, self.expects, findings)
        elif _holds_no_json(node, f"a value in {name}", findings):
            findings.distrust(node)

    def schema(self) -> Schema:
        return {"type": "object"}


@dataclass(frozen=True, slots=True)
class Either:
    """One shape or another, told apart by what kind of node stands there."""

    options: Mapping[str, Shape]
    expects: str

    def check(self, node: Node, name: str, findings: Findings) -> None:
        option = self.options.get(kind_of(node))
        if option:
            option.check(node, name, findings)
        else:
            misfit(node, name, self.expects, findings)

    def schema(self) -> Schema:
        distinct = {id(option): option for option in self.options.values()}
        schemas = [option.schema() for option in distinct.values()]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a record: the shape of its value, and what it means, for editors."""

    shape: Shape
    about: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with keys of its own.

    `later` are keys that the language knows and this version does not, each with what messages call it, and
    `later_help` what to do until then; `instead` is a key beside which none is required, for what it holds can say it;
    `one_of` are keys of which exactly one must be there, and `parted` says what to do where there are more;
    `some_of` are keys of which one at least must be there; `elsewhere` are the words of other tools for our keys;
    `example` helps where something else stands.
    """

    what: str
    keys: Mapping[str, Key]
    example: str | None = None
    later: Mapping[str, str] = field(default_factory=dict)
    later_help: str = "leave it out"
    instead: str = ""
    one_of: tuple[str, ...] = ()
    some_of: tuple[str, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    parted: str = "make two steps of it"

    @property
    def expects(self) -> str:
        return f"a mapping with {either(f'`{name}`' for name in self.keys)}"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        if not isinstance(node, tree.Mapping):
            misfit(node, name, "a mapping of keys to values", findings, self.example or self._known())
            return
        for key, value in node.entries:
            self._entry(key, value, name, findings)
        for required in self._required() if not (self.instead and node.get(self.instead)) else ():
            if not node.get(required):
                findings.wrong(node.start, f"{self.what} has no `{required}`", f"add `{required}: …`")
        self._choices(node, findings)

    def schema(self) -> Schema:
        properties: Schema = {word: key.shape.schema() | {"description": key.about} for word, key in self.keys.items()}
        closed: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        kinds: list[Schema] = [{"required": [word]} for word in self.one_of]
        some: list[Schema] = [{"required": [word]} for word in self.some_of]
        required: Schema = {"required": list(self._required())} if self._required() else {}
        if self.instead:
            required = {"anyOf": [required, {"required": [self.instead]}]}
        return closed | required | ({"oneOf": kinds} if kinds else {}) | ({"anyOf": some} if some else {})

    def _entry(self, key: Scalar, value: Node, name: str, findings: Findings) -> None:
        if key.text in self.keys:
            _show_at_key(key, value, findings)
            inner = f"{name[:-1]}.{key.text}`" if name.startswith("`") else f"`{key.text}`"
            self.keys[key.text].shape.check(value, inner, findings)
        elif key.text in self.later:
            what = f"this version of Penstock does not know {self.later[key.text]} yet"
            findings.wrong(key, what, self.later_help)
        else:
            same = self.elsewhere.get(key.text)
            near = f"did you mean `{same}`?" if same else did_you_mean(key.text, self.keys)
            findings.wrong(key, f"`{key.text}` is no key of {self.what}", lines(near, self._known()))

    def _choices(self, node: tree.Mapping, findings: Findings) -> None:
        present = [key for key, _ in node.entries if key.text in self.one_of]
        if len(present) > 1:
            names = either((f"`{key.text}`" for key in present), "and")
            findings.wrong(present[1], f"{self.what} does one thing, not {names}", self.parted)
        elif self.one_of and not present:
            known = either(f"`{word}: …`" for word in self.one_of)
            findings.wrong(node.start, f"{self.what} must say what it does", f"add {known}")
        if self.some_of and not any(node.get(word) for word in self.some_of):
            known = either(f"`{word}`" for word in self.some_of)
            findings.wrong(node.start, f"{self.what} has neither {_nor(self.some_of)}", f"add {known}")

    def _required(self) -> tuple[str, ...]:
        return tuple(word for word, key in self.keys.items() if key.required)

    def _known(self) -> str:
        return f"the keys of {self.what} are {', '.join(self.keys)}"


def _nor(words: tuple[str, ...]) -> str:
    return " nor ".join(f"`{word}`" for word in words)


def _show_at_key(key: Scalar, value: Node, findings: Findings) -> None:
    if isinstance(value, Scalar) and value.start == value.end:
        findings.show_at(value, key)


def _as_list(node: Node) -> str | None:
    if isinstance(node, tree.Mapping):
        return "write `- ` before each element"
    return f"write `[{node.text}]`" if isinstance(node, Scalar) and node.value is not None else None


def _holds_no_json(node: Node, name: str, findings: Findings) -> bool:
    """Whether there is a number in it that JSON does not have, each of which is a problem."""
    odd = [scalar for scalar in _scalars(node) if _is_no_json(scalar)]
    for scalar in odd:
        misfit(scalar, name, "JSON, which has no infinity and no NaN", findings)
    return bool(odd)


def _is_no_json(scalar: Scalar) -> bool:
    value = scalar.value
    return isinstance(value, float) and not isinstance(value, WrittenFloat) and not isfinite(value)


def _scalars(node: Node) -> Iterator[Scalar]:
    if isinstance(node, Scalar):
        yield node
        return
    nodes = node.elements if isinstance(node, Sequence) else [value for _, value in node.entries]
    for inner in nodes:
        yield from _scalars(inner)
