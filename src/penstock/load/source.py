"""YAML text to a tree with line and column: the one door to `yaml`.

PyYAML follows YAML 1.1, where `on` is a bool, `1:30` is ninety and `010` is eight, and it lets the
last of two equal keys win. So only its parser is used (libyaml's, where it is there): events are
composed here, scalars resolved by YAML 1.2's core schema, less numbers with leading zeros, which stay text.
Aliases share their node; merge keys (`<<`), which 1.2 does not have, and tags other than `!!str` are refused.
In one thing more is read than YAML has: the braces of `${NAME}` need no quotes in `{…}` and `[…]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from penstock.core.errors import Problem, WorkflowError
from penstock.load.scalars import MAX_DIGITS, is_endless, resolve
from penstock.load.suggest import did_you_mean, nearest
from penstock.load.syntax import QUOTE_BRACES, QUOTE_IT, explain
from penstock.load.tree import Document, Mapping, Node, Scalar, Sequence, Tree, content_start, document

if TYPE_CHECKING:
    Loader = type[yaml.SafeLoader] | type[yaml.CSafeLoader]

FASTEST: Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MAX_DEPTH = 50
_MAX_NODES = 200_000
_TEXT_TAGS = (None, "tag:yaml.org,2002:str", "!")
_UNREADABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x85\u2028\u2029]")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def read(path: Path) -> Tree:
    """The tree of a workflow file. WorkflowError if it cannot be read, is not UTF-8 or is not YAML."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise WorkflowError((Problem(None, f"{path}: there is no such file", _neighbours(path)),)) from None
    except IsADirectoryError:
        raise WorkflowError((Problem(None, f"{path} is a folder, not a workflow file", _inside(path)),)) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise WorkflowError((Problem(None, f"{path} cannot be read: {reason}"),)) from None
    return parse(_decode(str(path), data), str(path))


def parse(text: str, file: str, loader: Loader = FASTEST) -> Tree:
    """The tree of a workflow's text, called `file` in messages. WorkflowError if it is not YAML.

    What leaves a tree all the same (a key given twice, a tag) stands in its `problems`.
    """
    source = document(file, text)
    odd = _UNREADABLE.search(text)
    if odd:
        raise WorkflowError((_odd_character(source, odd.start()),))
    brackets = _brackets(text)
    composer = _Composer(source, brackets)
    try:
        root = composer.compose(yaml.parse(_VARIABLE.sub(rf"${brackets[0]}\1{brackets[1]}", text), Loader=loader))
    except yaml.YAMLError as error:
        raise WorkflowError((_not_yaml(source, error),)) from None
    except _Refused as refusal:
        raise WorkflowError((refusal.problem,)) from None
    if isinstance(root, Mapping):
        return Tree(source, root, tuple(composer.problems))
    raise WorkflowError((*composer.problems, _no_mapping(source, root)))


class _Refused(Exception):
    """Stops the composing."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(slots=True)
class _Frame:
    """A list or mapping that is not closed yet: its nodes so far, keys and values taking turns."""

    start: int
    mapping: bool
    anchor: str | None
    nodes: list[Node] = field(default_factory=list)
    size: int = 1


class _Composer:
    """Events to nodes. `problems` are what it goes on after."""

    def __init__(self, source: Document, brackets: tuple[str, str]) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._braces = str.maketrans(dict(zip(brackets, "{}", strict=True)))
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._open: list[_Frame] = []
        self._root: Node | None = None

    def compose(self, events: Iterable[Any]) -> Node | None:
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _Refused(self._second(_index(event)))
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.ScalarEvent):
                self._take(self._scalar(event), event.anchor, 1)
            elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
                self._push(event)
            elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                self._pop(event)
        return self._root

    def _take(self, node: Node, anchor: str | None, size: int) -> None:
        if anchor:
            self._anchors[anchor] = (node, size)
        if not self._open:
            self._root = node
            return
        frame = self._open[-1]
        frame.nodes.append(node)
        frame.size += size
        if frame.size > _MAX_NODES:
            raise _Refused(
                self._source.problem(
                    node, f"the aliases of this file unfold to over {_MAX_NODES:,} values", "write out what is meant"
                )
            )

    def _push(self, event: Any) -> None:
        start = event.start_mark.index
        if len(self._open) == _MAX_DEPTH:
            raise _Refused(self._source.problem(start, f"nested deeper than {_MAX_DEPTH} levels", "take levels away"))
        self._tag(event, (None, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"))
        mapping = isinstance(event, yaml.MappingStartEvent)
        self._open.append(_Frame(content_start(self._source.source, start), mapping, event.anchor))

    def _pop(self, event: Any) -> None:
        frame = self._open.pop()
        end = max(event.end_mark.index, frame.start)
        if frame.mapping and self._is_placeholder(frame):
            text = self._source.source[frame.start : end]
            node: Node = Scalar(text, text, "", frame.start, end)
        elif frame.mapping:
            node = Mapping(self._entries(frame.nodes), frame.start, end)
        else:
            node = Sequence(tuple(frame.nodes), frame.start, end)
        self._take(node, frame.anchor, frame.size)

    def _is_placeholder(self, frame: _Frame) -> bool:
        """Whether this is `{{…}}`, for which YAML sees a mapping with a mapping as its key. It goes on as the text
        that was meant.
        """
        if not self._source.source.startswith("{{", frame.start) or not isinstance(frame.nodes[0], Mapping):
            return False
        self.problems.append(self._source.problem(frame.start, "`{{` begins a mapping in YAML", QUOTE_BRACES, width=2))
        return True

    def _entries(self, nodes: list[Node]) -> tuple[tuple[Scalar, Node], ...]:
        entries: dict[str, tuple[Scalar, Node]] = {}
        for key, value in zip(nodes[::2], nodes[1::2], strict=True):
            if not isinstance(key, Scalar):
                self.problems.append(self._odd_key(key))
            elif key.text == "<<" and not key.style:
                self.problems.append(self._merge(key))
            elif key.text in entries:
                self.problems.append(self._twice(entries[key.text][0], key))
            else:
                entries[key.text] = (key, value)
        return tuple(entries.values())

    def _alias(self, event: Any) -> None:
        start, name = event.start_mark.index, event.anchor
        if any(frame.anchor == name for frame in self._open):
            help = "an alias repeats what is complete above it"
            raise _Refused(self._source.problem(start, f"`*{name}` stands within what it names", help, len(name) + 1))
        if name not in self._anchors:
            help = did_you_mean(name, self._anchors, prefix="*") or f"`*` begins an alias; else {QUOTE_IT}"
            width = len(name) + 1
            raise _Refused(self._source.problem(start, f"`*{name}` names nothing: no `&{name}` above", help, width))
        self._take(self._anchors[name][0], None, self._anchors[name][1])

    def _scalar(self, event: Any) -> Scalar:
        start = content_start(self._source.source, event.start_mark.index)
        end = max(start, event.end_mark.index)
        style = event.style or ""
        text = event.value.translate(self._braces)
        scalar = Scalar(text, text, "" if style == ":" else style, start, end)
        self._tag(event, _TEXT_TAGS)
        if _NO_TEXT.search(text):
            self.problems.append(
                self._source.problem(scalar, "a NUL or half a surrogate pair, which no text can hold", "remove it")
            )
        if event.tag in _TEXT_TAGS and (scalar.style or event.tag):
            return scalar
        if is_endless(text):
            self.problems.append(self._source.problem(scalar, f"a number of over {MAX_DIGITS} digits", QUOTE_IT))
            return scalar
        return Scalar(text, resolve(text), "", start, end)

    def _tag(self, event: Any, allowed: tuple[str | None, ...]) -> None:
        if event.tag in allowed:
            return
        start = event.start_mark.index
        anchor = re.compile(r"&\S+\s+").match(self._source.source, start)
        start = anchor.end() if anchor else start
        written = self._source.source[start:].split(maxsplit=1)[0]
        self.problems.append(
            self._source.problem(
                start,
                f"the tag `{written}`: a workflow file has no tags",
                "remove it, or put the value in quotes",
                len(written),
            )
        )

    def _odd_key(self, key: Node) -> Problem:
        return self._source.problem(key, "a key must be text", "write `key: value`")

    def _merge(self, key: Scalar) -> Problem:
        return self._source.problem(
            key, "`<<` merges mappings in YAML 1.1 only", "write the keys out, or set them for all steps in `defaults:`"
        )

    def _twice(self, first: Scalar, again: Scalar) -> Problem:
        line = self._source.place(first.start).line
        return self._source.problem(
            again, f"`{again.text}` is given twice; the first is on line {line}", "keep one of the two"
        )

    def _second(self, start: int) -> Problem:
        return self._source.problem(start, "a second YAML document begins here", "a file holds one workflow", width=3)


def _brackets(text: str) -> tuple[str, str]:
    """Two characters of no meaning that the text does not have, to stand for the braces of `${NAME}` while YAML reads
    it: as long as these, so that every place holds, and allowed where YAML would take a brace for its own."""
    taken = set(text)
    free = (chr(code) for code in (*range(0xE000, 0xF900), *range(0xF0000, 0xFFFFE)) if chr(code) not in taken)
    return next(free), next(free)


def _index(event: Any) -> int:
    index: int = event.start_mark.index
    return index


def _not_yaml(source: Document, error: yaml.YAMLError) -> Problem:
    stopped = began = 0
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        stopped = min(error.problem_mark.index, len(source.source))
        began = error.context_mark.index if error.context_mark else stopped
    words = (getattr(error, "context", None), getattr(error, "problem", None) or str(error))
    return explain(source, ": ".join(word for word in words if word), stopped, began)


def _decode(file: str, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        problem = Problem(None, f"{file} is UTF-16; a workflow file is UTF-8", "save it as UTF-8")
        raise WorkflowError((problem,))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = document(file, error.object[: error.start].decode("utf-8-sig"))
        shown = document(file, good.source + error.object[error.start :].decode("utf-8", "replace"))
        byte = error.object[error.start]
        problem = shown.problem(
            len(good.source), f"the byte 0x{byte:02X} is not UTF-8, the encoding of a workflow file", "save it as UTF-8"
        )
        raise WorkflowError((problem,)) from None


def _odd_character(source: Document, index: int) -> Problem:
    code = ord(source.source[index])
    if code not in (0x85, 0x2028, 0x2029):
        return source.problem(index, f"the character U+{code:04X}, which a YAML file cannot hold", "remove it")
    return source.problem(
        index,
        f"the character U+{code:04X}, which ends a line in YAML and in no editor",
        f'remove it, or write it as `\\u{code:04x}` in a "…" value',
    )


def _no_mapping(source: Document, root: Node | None) -> Problem:
    help = "it begins with `name: …` and has `steps:`; `penstock init` writes one"
    if root is None or (isinstance(root, Scalar) and root.value is None):
        return Problem(None, f"{source.file} holds no workflow: it is empty", help)
    kind = "a list" if isinstance(root, Sequence) else "a single value"
    return source.problem(root, f"a workflow is a mapping of keys to values, not {kind}", help)


def _neighbours(path: Path) -> str | None:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml")]
    except OSError:
        return f"there is no folder {path.parent} either"
    near = nearest(path.name, names) or sorted(names)[:3]
    return f"there is {', '.join(str(path.parent / name) for name in near)}" if near else None


def _inside(path: Path) -> str | None:
    names = sorted(entry for entry in path.iterdir() if entry.suffix in (".yaml", ".yml"))[:3]
    return f"it holds {', '.join(map(str, names))}" if names else None
