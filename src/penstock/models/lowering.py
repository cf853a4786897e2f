"""A JSON Schema lowered to the subset that a provider can hold its model to, and an answer lifted back.

The author's whole schema is always enforced here; lowering only decides what of it the server is asked as well. It
loosens (a keyword that the provider does not know is left out, and said) or closes (an object may have the properties
that the schema names and no others), so that every answer within the subset can be judged. Where a schema cannot be
said at all, an object with properties of any name for one, the server is not asked.

Subsets, after the providers' own pages on structured outputs:

- OpenAI, `strict`: every property is required, every object closed, the root an object; anyOf, enum, $ref, $defs and
  recursion; pattern, nine formats, numeric bounds, minItems and maxItems. Not allOf, oneOf, not, if, minLength,
  maxLength, uniqueItems, contains, prefixItems, default.
- Anthropic: every object closed, enum and const of plain values, anyOf, $ref, $defs without recursion, optional
  properties; pattern, ten formats, minItems 0 or 1. No numeric bounds, minLength, maxLength or maxItems.

OpenAI's "required" takes optional properties away: they become required and nullable; lifting.py takes the nulls out
of the answer again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from penstock.core.canon import Encoded, Json, compact
from penstock.models.schemas import (
    Unsayable,
    definition,
    is_of,
    listed,
    resolve,
    takes_null,
    target,
    type_of,
    values_of,
)

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
_ANNOTATIONS = ("title", "description")
_SILENT = {"$schema", "$comment", "$defs", "definitions", "$id", "default", "examples", "deprecated", "readOnly"} | {
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "unevaluatedProperties",
    "unevaluatedItems",
}
"""Keywords that say nothing of an answer, or nothing more once every object is closed."""

_KNOWN = {"type", "enum", "const", "properties", "required", "additionalProperties", "items", "prefixItems", "$ref"} | {
    "format",
    "pattern",
    "minItems",
    "maxItems",
    *_ANNOTATIONS,
    *_BOUNDS,
}
_TYPED = {
    "string": ("pattern", "format", "minLength", "maxLength"),
    "number": _BOUNDS,
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "object": ("properties", "required", "additionalProperties", "patternProperties", "minProperties"),
}
_HARD_PATTERN = re.compile(r"\(\?[=!<>]|\\[1-9bBpPkAzZG]")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What of JSON Schema a provider can hold its model to."""

    all_required: bool
    recursive: bool
    bounds: bool
    formats: frozenset[str]
    most_items: int | None = None


OPENAI = Dialect(all_required=True, recursive=True, bounds=True, formats=frozenset(_FORMATS))
ANTHROPIC = Dialect(False, recursive=False, bounds=False, formats=frozenset((*_FORMATS, "uri")), most_items=1)


@dataclass(frozen=True, slots=True)
class Lowered:
    """`schema` is None where the server cannot be asked. `said` tells, some words each, what it is not asked.

    They follow words that name the model: many servers speak one provider's protocol, and none is meant by its name.
    `encoded` is the schema as it is sent, written once for all requests that ask for it.
    `nullable` tells that optional properties have become nullable: answers are to be lifted.
    """

    schema: Json | None
    said: tuple[str, ...]
    nullable: bool = False
    encoded: Encoded | None = None


class _Same:
    """A schema as a key: equal to itself alone. A step's rows share one schema object."""

    __slots__ = ("schema",)

    def __init__(self, schema: Json) -> None:
        self.schema = schema

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.schema is self.schema

    def __hash__(self) -> int:
        return id(self.schema)


def lower(schema: Json, dialect: Dialect = OPENAI) -> Lowered:
    """The schema in the provider's subset. It is remembered by identity: a schema is never changed in place."""
    return _remembered(_Same(schema), dialect)


@lru_cache(maxsize=64)
def _remembered(key: _Same, dialect: Dialect) -> Lowered:
    work = _Work(dialect, key.schema)
    try:
        root = _root(work)
        defs = _definitions(root, work)
        schema = {**root, "$defs": defs} if defs else root
        encoded = Encoded(compact(schema))
    except (Unsayable, RecursionError) as error:
        why = str(error) if isinstance(error, Unsayable) else "it is nested too deeply"
        return Lowered(None, (f"nothing of it, since {why}",))
    return Lowered(schema, work.sentences(), work.nullable, encoded)


@dataclass(slots=True)
class _Work:
    """One lowering as it goes: what was left out and where, and which definitions are meant by whom."""

    dialect: Dialect
    root: Json
    left_out: dict[str, list[str]] = field(default_factory=dict)
    meant: dict[str, set[str]] = field(default_factory=dict)
    within: str = "#"
    nullable: bool = False

    def leave_out(self, keyword: str, at: str) -> None:
        places = self.left_out.setdefault(keyword, [])
        if at not in places:
            places.append(at)

    def sentences(self) -> tuple[str, ...]:
        return tuple(
            f"not for `{keyword}` at {', '.join(_place(at) for at in places)}"
            for keyword, places in sorted(self.left_out.items())
        )


def _root(work: _Work) -> dict[str, Json]:
    schema = resolve(work.root, work.root)
    lowered = _node(schema, "", work)
    if lowered.get("type") != "object":
        raise Unsayable("its root is not an object")
    return lowered


def _definitions(root: Mapping[str, Json], work: _Work) -> dict[str, Json]:
    """The definitions that are meant from the root on, lowered; each may mean more of them."""
    found: dict[str, Json] = {}
    while missing := [name for name in sorted(set().union(*work.meant.values())) if name not in found and name != "#"]:
        for name in missing:
            work.within = name
            found[name] = _node(definition(name, work.root), f"/$defs/{name}", work)
    if not work.dialect.recursive and _circles(work.meant):
        raise Unsayable("it refers to itself")
    return found


def _circles(meant: Mapping[str, set[str]]) -> bool:
    open_ends = {name: set(targets) for name, targets in meant.items()}
    while leaves := [name for name, targets in open_ends.items() if not targets & open_ends.keys()]:
        for name in leaves:
            del open_ends[name]
    return bool(open_ends)


def _node(schema: Json, at: str, work: _Work) -> dict[str, Json]:
    if not isinstance(schema, dict):
        raise Unsayable(f"{_place(at)} takes {'any value' if schema is True else 'no value'}")
    schema = _single(schema)
    notes = {name: schema[name] for name in _ANNOTATIONS if isinstance(schema.get(name), str)}
    if "$ref" in schema:
        return _reference(schema, at, work)
    choice = "anyOf" if "anyOf" in schema else "oneOf"
    if choice in schema and not schema.keys() & {"properties", "items", "enum", "const"}:
        return {**notes, "anyOf": _branches(schema, choice, at, work)}
    types = _types(schema)
    if not types:
        raise Unsayable(f"{_place(at)} takes values of any type")
    _tell(schema, at, work)
    plain = tuple(name for name in types if name not in ("object", "array"))
    parts = [_object(schema, at, work) for name in types if name == "object"]
    parts += [_array(schema, at, work) for name in types if name == "array"]
    if plain:
        parts.append(_plain(schema, plain, at, work))
    return {**notes, **parts[0]} if len(parts) == 1 else {**notes, "anyOf": list(parts)}


def _single(schema: dict[str, Json]) -> dict[str, Json]:
    """The schema with an allOf of one schema taken into it, where the two do not speak of the same."""
    parts = schema.get("allOf")
    if not (isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], dict)):
        return schema
    rest = {name: value for name, value in schema.items() if name != "allOf"}
    clash = (rest.keys() & parts[0].keys()) - set(_ANNOTATIONS)
    return schema if clash else {**parts[0], **rest}


def _reference(schema: Mapping[str, Json], at: str, work: _Work) -> dict[str, Json]:
    """`$ref` alone: OpenAI refuses one with siblings."""
    name = target(schema["$ref"])
    if name is None:
        raise Unsayable(f"{_place(at)} refers to {schema['$ref']}")
    definition(name, work.root)
    work.meant.setdefault(work.within, set()).add(name)
    work.meant.setdefault(name, set())
    for keyword in schema.keys() - _SILENT - {"$ref", *_ANNOTATIONS}:
        work.leave_out(keyword, at)
    return {"$ref": "#" if name == "#" else f"#/$defs/{_escaped(name)}"}


def _branches(schema: Mapping[str, Json], choice: str, at: str, work: _Work) -> list[Json]:
    """The branches of a choice, each with the type that stands beside it."""
    for keyword in schema.keys() - _SILENT - {choice, "type", *_ANNOTATIONS}:
        work.leave_out(keyword, at)
    if choice == "oneOf":
        work.leave_out("oneOf (only anyOf)", at)
    kind = {"type": schema["type"]} if "type" in schema else {}
    branches: list[Json] = []
    for i, part in enumerate(listed(schema, choice)):
        typed = {**kind, **part} if isinstance(part, dict) and not part.keys() & {"$ref", "anyOf", "oneOf"} else part
        if part is not False:
            branches.append(_node(typed, f"{at}/{choice}/{i}", work))
    if not branches:
        raise Unsayable(f"{_place(at)} takes no value")
    return branches


def _tell(schema: Mapping[str, Json], at: str, work: _Work) -> None:
    """Notes what no subset knows, and a choice beside properties or items of its own."""
    for keyword in schema.keys() - _KNOWN - _SILENT:
        work.leave_out(keyword, at)


def _types(schema: Mapping[str, Json]) -> tuple[str, ...]:
    """The types that the schema takes; where it names none, those of its values or the one its keywords speak of."""
    written = schema.get("type")
    values = values_of(schema)
    if isinstance(written, str):
        return (written,)
    if isinstance(written, list):
        return tuple(dict.fromkeys(name for name in written if isinstance(name, str)))
    if values is not None:
        return tuple(dict.fromkeys(map(type_of, values)))
    return tuple(name for name, keywords in _TYPED.items() if any(word in schema for word in keywords))


def _plain(schema: Mapping[str, Json], types: tuple[str, ...], at: str, work: _Work) -> dict[str, Json]:
    lowered: dict[str, Json] = {"type": types[0] if len(types) == 1 else list(types)}
    values = values_of(schema)
    if values is not None:
        kept = [value for value in values if is_of(value, types)]
        if not kept:
            raise Unsayable(f"{_place(at)} takes no plain value")
        return {**lowered, "enum": kept}
    if "string" in types:
        lowered |= _text_keywords(schema, at, work)
    if {"number", "integer"} & set(types):
        bounds = {name: schema[name] for name in _BOUNDS if name in schema}
        if work.dialect.bounds:
            return lowered | bounds
        for keyword in bounds:
            work.leave_out(keyword, at)
    return lowered


def _text_keywords(schema: Mapping[str, Json], at: str, work: _Work) -> dict[str, Json]:
    kept: dict[str, Json] = {}
    pattern, form = schema.get("pattern"), schema.get("format")
    if isinstance(pattern, str) and not _HARD_PATTERN.search(pattern):
        kept["pattern"] = pattern
    if isinstance(form, str) and form in work.dialect.formats:
        kept["format"] = form
    for keyword in ("pattern", "format"):
        if keyword in schema and keyword not in kept:
            work.leave_out(keyword, at)
    return kept


def _array(schema: Mapping[str, Json], at: str, work: _Work) -> dict[str, Json]:
    if values_of(schema) is not None:
        raise Unsayable(f"{_place(at)} lists arrays as values")
    first = schema.get("prefixItems")
    prefix = first if isinstance(first, list) else []
    items = schema.get("items", True)
    if not prefix and items is False:
        raise Unsayable(f"{_place(at)} takes the empty array alone")
    parts = [_node(part, f"{at}/prefixItems/{i}", work) for i, part in enumerate(prefix)]
    if items is not False:
        parts.append(_node(items, f"{at}/items", work))
    if prefix:
        work.leave_out("prefixItems (only the kinds of its elements)", at)
    lowered: dict[str, Json] = {"type": "array", "items": parts[0] if len(parts) == 1 else {"anyOf": list(parts)}}
    for keyword in ("minItems", "maxItems"):
        most = work.dialect.most_items
        if keyword not in schema:
            continue
        if most is None or (keyword == "minItems" and schema[keyword] in range(most + 1)):
            lowered[keyword] = schema[keyword]
        else:
            work.leave_out(keyword, at)
    return lowered


def _object(schema: Mapping[str, Json], at: str, work: _Work) -> dict[str, Json]:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if values_of(schema) is not None or not isinstance(properties, dict) or not isinstance(required, list):
        raise Unsayable(f"{_place(at)} lists objects as values")
    others = schema.get("additionalProperties", bool(not properties))
    if others is not False or "patternProperties" in schema or set(map(str, required)) - properties.keys():
        raise Unsayable(f"{_place(at)} takes properties of any name")
    lowered: dict[str, Json] = {}
    for name, sub in properties.items():
        below = f"{at}/properties/{_escaped(name)}"
        if name in required:
            lowered[name] = _node(sub, below, work)
        elif sub is not False:
            lowered[name] = _optional(sub, below, work)
    wanted = list(lowered) if work.dialect.all_required else [name for name in lowered if name in required]
    return {"type": "object", "properties": lowered, "required": list(wanted), "additionalProperties": False}


def _optional(schema: Json, at: str, work: _Work) -> dict[str, Json]:
    """A property that may be absent; where all are required, one that may be null."""
    lowered = _node(schema, at, work)
    if not work.dialect.all_required:
        return lowered
    work.nullable = work.nullable or not takes_null(schema, work.root)
    types = lowered.get("type")
    if types is None and "anyOf" in lowered:
        return {**lowered, "anyOf": [*listed(lowered, "anyOf"), {"type": "null"}]}
    if types is None or types in ("object", "array"):
        notes = {name: lowered.pop(name) for name in _ANNOTATIONS if name in lowered}
        return {**notes, "anyOf": [lowered, {"type": "null"}]}
    names = types if isinstance(types, list) else [types]
    nullable = {**lowered, "type": names if "null" in names else [*names, "null"]}
    values = listed(lowered, "enum")
    return {**nullable, "enum": [*values, None]} if values and None not in values else nullable


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _place(at: str) -> str:
    return at or "the root"
