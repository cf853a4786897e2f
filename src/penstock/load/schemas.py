"""`schema`: a JSON Schema with every file that it refers to, made to stand alone.

Each file that a `$ref` leads to is put once under `$defs` of the first, and the reference becomes one within the
document: `common.json#/$defs/id` turns into `#/$defs/common/$defs/id`. So circles between files stay references, and
whoever reads the schema later (the judge of answers, a provider's server, the simulator) needs no other file.
Nothing is ever fetched. The schemas that a `$ref` names may lie in the workflow's folder only.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from penstock.core.canon import Json
from penstock.core.generation import Schema
from penstock.load import tree
from penstock.load.findings import Findings
from penstock.load.json_tree import NotJson, tree_of
from penstock.load.metaschema import draft_of, judge, native, place_of
from penstock.load.outputs import stem
from penstock.load.suggest import did_you_mean, lines
from penstock.load.texts import Texts, Unreadable
from penstock.load.tree import Node, Scalar, Sequence, plain

_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_VALUES = ("const", "enum", "default", "examples", "example", "required")
_ANCHORS = ("$anchor", "$dynamicAnchor", "$dynamicRef")
_OF_A_FILE = ("$schema", "$id", *_ANCHORS)
_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:|//)")


class Schemas:
    """Reads schemas; each file once, however many steps and files refer to it."""

    def __init__(self, texts: Texts, findings: Findings) -> None:
        self._texts = texts
        self._findings = findings
        self._files: dict[str, _File | None] = {}

    def of_file(self, path: str, at: Scalar) -> Schema | None:
        """The schema in a file that has been read; None if something is wrong with it."""
        file = self.file(path)
        return self._whole(file, at) if file else None

    def of_mapping(self, node: tree.Mapping) -> Schema | None:
        """The schema that stands in the workflow itself."""
        file = _File(None, node, self._findings)
        return self._whole(file, node) if judge(node, self._findings) else None

    def file(self, path: str) -> _File | None:
        """A file with its problems told; None if it is no schema. Unreadable if it cannot be read."""
        if path not in self._files:
            self._files[path] = self._read(path)
        return self._files[path]

    def _whole(self, file: _File, at: Node) -> Schema | None:
        bundle = _Bundle(self, file)
        value = bundle.value()
        if not bundle.sound or not bundle.usable(value):
            return None
        return Schema(value, file.path, self._findings.document.place(at.start))

    def _read(self, path: str) -> _File | None:
        document = self._texts.document(path)
        inside = self._findings.within(document)
        try:
            root = tree_of(document)
        except NotJson as fault:
            inside.tell(fault.problem)
            return None
        return _File(path, root, inside) if judge(root, inside) else None


@dataclass(frozen=True, slots=True)
class _File:
    """A schema's document. `path` is None for one that stands in the workflow."""

    path: str | None
    root: Node
    findings: Findings

    @property
    def ids(self) -> frozenset[str]:
        """What the document calls itself by `$id`, at its root."""
        found = self.root.get("$id") if isinstance(self.root, tree.Mapping) else None
        return frozenset({found.text.removesuffix("#")} if isinstance(found, Scalar) else ())


@dataclass(slots=True)
class _Bundle:
    """One schema on its way to standing alone: the files that it took in, and where each was put."""

    schemas: Schemas
    root: _File
    _names: dict[str, str] = field(default_factory=dict)
    _waiting: list[_File] = field(default_factory=list)
    sound: bool = True

    def value(self) -> Json:
        """The document; not `sound` if a reference in it leads nowhere, which is a problem."""
        value = self._schema(self.root.root, self.root)
        taken: dict[str, Json] = {}
        while self._waiting:
            file = self._waiting.pop(0)
            taken[self._names[file.path or ""]] = self._schema(file.root, file)
        if taken:
            whole = value if isinstance(value, dict) else {}
            own = whole.get("$defs")
            value = {**whole, "$defs": {**(own if isinstance(own, dict) else {}), **taken}}
        return value

    def usable(self, value: Json) -> bool:
        """Whether answers can be held against the whole; a problem at the keyword if not."""
        from penstock.rules.json_schema import SchemaFault, compile_schema  # 30 ms, for those who have a schema

        try:
            compile_schema(value)
        except SchemaFault as fault:
            file, pointer = self.root, fault.pointer
            for path, name in self._names.items():
                inside, rest = fault.pointer[: len(name) + 7], fault.pointer[len(name) + 7 :]
                if inside == f"/$defs/{name}" and rest[:1] in ("", "/"):
                    file, pointer = self.schemas.file(path) or file, rest
            what = f"`{pointer}` of the schema cannot be used: {fault.message}"
            file.findings.wrong(place_of(file.root, pointer), what, fault.help)
            return False
        return True

    def _schema(self, node: Node, file: _File) -> Json:
        if isinstance(node, Sequence):
            return [self._schema(element, file) for element in node.elements]
        if isinstance(node, Scalar):
            return native(node.value)
        return {
            key.text: self._keyword(key.text, value, file)
            for key, value in node.entries
            if not self._left_out(key, value, node, file)
        }

    def _keyword(self, key: str, value: Node, file: _File) -> Json:
        if key in _VALUES:
            return native(plain(value))
        if key in _BY_NAME and isinstance(value, tree.Mapping):
            return {name.text: self._schema(inner, file) for name, inner in value.entries}
        if key == "$ref" and isinstance(value, Scalar):
            return self._reference(value, file)
        return self._schema(value, file)

    def _left_out(self, key: Scalar, value: Node, node: tree.Mapping, file: _File) -> bool:
        """Whether a keyword is about the document that it stood in, and not about what is valid."""
        if key.text not in _OF_A_FILE or not isinstance(value, Scalar):
            return False
        if key.text == "$schema":
            if draft_of(self.root.root) != draft_of(file.root):
                what = "this schema is of another draft than the one that refers to it"
                self._wrong(value, file, what, f"that one is of {draft_of(self.root.root)}")
            return file is not self.root
        if key.text == "$id" and node is not file.root:
            help = "remove it, and refer to the place itself: `#/$defs/NAME`"
            self._wrong(key, file, "an `$id` within a schema", help)
        if key.text in _ANCHORS and file is self.root and (key.text != "$dynamicRef" or value.text.startswith("#")):
            return False
        if key.text.startswith("$dynamic"):
            help = "write `$ref`, and `$anchor` or a place in `$defs`"
            self._wrong(key, file, f"`{key.text}` cannot lead from file to file", help)
        return True

    def _reference(self, scalar: Scalar, file: _File) -> str:
        target, _, fragment = scalar.text.partition("#")
        other = file if not target or target in file.ids else self._other(unquote(target), scalar, file)
        if other is None:
            return scalar.text
        return self._place_of(other) + self._pointer(unquote(fragment), other, scalar, file)

    def _other(self, target: str, scalar: Scalar, file: _File) -> _File | None:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(file.path or ""), target))
        found = None
        if _SCHEME.match(target):
            help = "save it in the workflow's folder and refer to the file"
            self._wrong(scalar, file, f"`{target}` is elsewhere, and schemas are never fetched", help)
        elif path.startswith(("/", "../")) or path == "..":
            what = f"`{target}` lies outside the workflow's folder"
            self._wrong(scalar, file, what, "copy it into the folder and refer to the copy")
        elif path == self.root.path:
            found = self.root
        else:
            try:
                found = self.schemas.file(path)
            except Unreadable as missing:
                self._wrong(scalar, file, missing.message, missing.help)
        self.sound = self.sound and found is not None
        return found

    def _place_of(self, other: _File) -> str:
        """Where a file is in the whole. One that is met for the first time waits to be put there."""
        if other is self.root:
            return "#"
        path = other.path or ""
        if path not in self._names:
            self._names[path] = self._free_name(path)
            self._waiting.append(other)
        return f"#/$defs/{self._names[path]}"

    def _free_name(self, path: str) -> str:
        """A name under `$defs` that says which file it was, in characters that need no escape."""
        own = self.root.root.get("$defs") if isinstance(self.root.root, tree.Mapping) else None
        taken = {
            *self._names.values(),
            *(key.text for key, _ in (own.entries if isinstance(own, tree.Mapping) else ())),
        }
        name = re.sub(r"[^A-Za-z0-9_]+", "_", stem(path)).strip("_") or "schema"
        numbered = (f"{name}_{number}" for number in range(2, len(taken) + 3))
        return name if name not in taken else next(one for one in numbered if one not in taken)

    def _pointer(self, fragment: str, other: _File, scalar: Scalar, file: _File) -> str:
        """The place within `other` that a fragment means, as the end of a reference."""
        if fragment and not fragment.startswith("/"):
            path = _anchor(other.root, fragment)
            if path is None:
                self._wrong(scalar, file, f"nothing has the `$anchor` `{fragment}`", None)
            return "".join(f"/{_escaped(word)}" for word in path or ())
        node: Node | None = other.root
        for word in fragment.split("/")[1:]:
            name = word.replace("~1", "/").replace("~0", "~")
            inner = _inner(node, name)
            if inner is None:
                where = f" of `{other.path}`" if other.path and other is not file else ""
                help = _near(node, name)
                self._wrong(scalar, file, f"there is nothing at `{fragment}`{where}: it has no `{name}`", help)
                return ""
            node = inner
        return "".join(f"/{_escaped(word.replace('~1', '/').replace('~0', '~'))}" for word in fragment.split("/")[1:])

    def _wrong(self, scalar: Scalar, file: _File, message: str, help: str | None) -> None:
        self.sound = False
        file.findings.wrong(scalar, message, help)


def _inner(node: Node | None, name: str) -> Node | None:
    if isinstance(node, tree.Mapping):
        return node.get(name)
    if isinstance(node, Sequence) and name.isdecimal() and int(name) < len(node.elements):
        return node.elements[int(name)]
    return None


def _near(node: Node | None, name: str) -> str | None:
    names = [key.text for key, _ in node.entries] if isinstance(node, tree.Mapping) else []
    return lines(
        did_you_mean(name, names), f"it has {', '.join(f'`{word}`' for word in names[:12])}" if names else None
    )


def _anchor(node: Node, name: str) -> list[str] | None:
    """The path to the schema that has this `$anchor`; None if none has."""
    inside: list[tuple[str, Node]] = []
    if isinstance(node, tree.Mapping):
        anchors = (node.get("$anchor"), node.get("$dynamicAnchor"))
        if any(isinstance(own, Scalar) and own.text == name for own in anchors):
            return []
        inside = [(key.text, value) for key, value in node.entries]
    elif isinstance(node, Sequence):
        inside = [(str(number), element) for number, element in enumerate(node.elements)]
    paths = ((word, _anchor(inner, name)) for word, inner in inside)
    return next(([word, *path] for word, path in paths if path is not None), None)


def _escaped(word: str) -> str:
    """A name as it stands in the pointer of a reference (RFC 6901, section 6)."""
    return quote(word.replace("~", "~0").replace("/", "~1"), safe="~$")
