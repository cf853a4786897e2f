"""Reading a JSON Schema: what a `$ref` means, what types there are, whether null is valid."""

from __future__ import annotations

import re
from collections.abc import Mapping

from penstock.core.canon import Json


class Unsayable(Exception):
    """A part of a schema that cannot be passed on, or that means nothing here; the message says which."""


def takes_null(schema: Json, root: Json) -> bool:
    """Whether null is valid: only these keywords speak of it."""
    if not isinstance(schema, dict):
        return schema is not False
    types = schema.get("type", "null")
    if types != "null" and not (isinstance(types, list) and "null" in types):
        return False
    if schema.get("const") is not None or ("enum" in schema and None not in listed(schema, "enum")):
        return False
    if "$ref" in schema and not takes_null(resolve(schema, root), root):
        return False
    if not all(takes_null(part, root) for part in listed(schema, "allOf")):
        return False
    if "anyOf" in schema and not any(takes_null(part, root) for part in listed(schema, "anyOf")):
        return False
    if "oneOf" in schema and sum(takes_null(part, root) for part in listed(schema, "oneOf")) != 1:
        return False
    if "not" in schema and takes_null(schema["not"], root):
        return False
    branch = "then" if takes_null(schema.get("if", True), root) else "else"
    return "if" not in schema or takes_null(schema.get(branch, True), root)


def resolve(schema: Json, root: Json) -> Json:
    """The schema that a `$ref` means, through several of them; `Unsayable` for one that means nothing here."""
    for _ in range(64):
        if not (isinstance(schema, dict) and "$ref" in schema):
            return schema
        name = target(schema["$ref"])
        if name is None:
            raise Unsayable(f"it refers to {schema['$ref']}")
        schema = definition(name, root)
    raise Unsayable("its $ref goes in a circle")


def target(reference: Json) -> str | None:
    """The definition's name, `#` for the root, None for what is neither."""
    if reference == "#":
        return "#"
    match = re.fullmatch(r"#/(?:\$defs|definitions)/([^/]+)", reference) if isinstance(reference, str) else None
    return match[1].replace("~1", "/").replace("~0", "~") if match else None


def definition(name: str, root: Json) -> Json:
    if name == "#":
        return root
    for key in ("$defs", "definitions"):
        found = root.get(key) if isinstance(root, dict) else None
        if isinstance(found, dict) and name in found:
            return found[name]
    raise Unsayable(f"it refers to {name}, which it does not define")


def listed(schema: Mapping[str, Json], keyword: str) -> list[Json]:
    value = schema.get(keyword)
    return value if isinstance(value, list) else []


def values_of(schema: Mapping[str, Json]) -> list[Json] | None:
    if "const" in schema:
        return [schema["const"]]
    return listed(schema, "enum") if "enum" in schema else None


def type_of(value: Json) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    names = {str: "string", int: "integer", list: "array", dict: "object"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "number")


def is_of(value: Json, types: tuple[str, ...]) -> bool:
    """Whether the value is of one of the types; `1.0` is an integer (JSON Schema 2020-12, section 6.1.1)."""
    name = type_of(value)
    whole = isinstance(value, float) and value.is_integer()
    return name in types or (name == "integer" and "number" in types) or (whole and "integer" in types)
