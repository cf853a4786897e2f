"""An answer under a lowered schema, lifted back to the author's: nulls that stand for absent properties go.

OpenAI lets no property be optional, so lowering makes the optional ones required and nullable, and the model writes
null where it would leave one out. Only such nulls are taken out: the property is optional and the author's own schema
would refuse the null. Nothing else of the answer changes, numbers keep their spelling.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.core.canon import Json, compact, parse
from penstock.models.schemas import Unsayable, is_of, listed, resolve, takes_null, values_of


def lift_text(text: str, schema: Json) -> str:
    """The answer's text, lifted; the very text that it was where there is nothing to lift or it is no JSON."""
    if "null" not in text:
        return text
    try:
        value = parse(text)
        lifted = lift(value, schema)
        return text if lifted == value else compact(lifted)
    except (ValueError, RecursionError):
        return text


def lift(value: Json, schema: Json) -> Json:
    """The value without the nulls that stand for absent properties.

    A null is taken out where the property is optional and the author's schema would not allow the null. Of several
    branches of anyOf, the first counts that the value fits as it is, else the first that it fits once lifted.
    """
    try:
        return _lift(value, schema, schema)
    except (RecursionError, Unsayable):
        return value


def _lift(value: Json, schema: Json, root: Json) -> Json:
    if not isinstance(schema, dict) or not isinstance(value, (dict, list)):
        return value
    if "$ref" in schema:
        value = _lift(value, resolve(schema, root), root)
    for part in listed(schema, "allOf"):
        value = _lift(value, part, root)
    for choice in ("anyOf", "oneOf"):
        parts = listed(schema, choice)
        fitting = (part for absent in (False, True) for part in parts if _fits(value, part, root, absent))
        value = _lift(value, next(fitting, None), root)
    if isinstance(value, list):
        first = listed(schema, "prefixItems")
        return [_lift(each, first[i] if i < len(first) else schema.get("items"), root) for i, each in enumerate(value)]
    properties = schema.get("properties")
    if not isinstance(value, dict) or not isinstance(properties, dict):
        return value
    return {
        name: _lift(each, properties.get(name), root)
        for name, each in value.items()
        if not (each is None and _stands_for_absent(name, schema, root))
    }


def _stands_for_absent(name: str, schema: Mapping[str, Json], root: Json) -> bool:
    properties = schema.get("properties")
    optional = isinstance(properties, dict) and name in properties and name not in listed(schema, "required")
    return isinstance(properties, dict) and optional and not takes_null(properties[name], root)


def _fits(value: Json, schema: Json, root: Json, absent: bool) -> bool:
    """Whether the value has the shape of the schema: its types, values and properties. With `absent`, a null may stand
    for a property that is not there."""
    if value is None:
        return takes_null(schema, root)
    if not isinstance(schema, dict):
        return schema is not False
    if "$ref" in schema and not _fits(value, resolve(schema, root), root, absent):
        return False
    types = schema.get("type")
    names = (types,) if isinstance(types, str) else listed(schema, "type")
    values = values_of(schema)
    if (names and not is_of(value, tuple(map(str, names)))) or (values is not None and value not in values):
        return False
    if not all(_fits(value, part, root, absent) for part in listed(schema, "allOf")):
        return False
    for choice in ("anyOf", "oneOf"):
        if choice in schema and not any(_fits(value, part, root, absent) for part in listed(schema, choice)):
            return False
    if isinstance(value, list):
        first = listed(schema, "prefixItems")
        rest = schema.get("items", True)
        return all(_fits(each, first[i] if i < len(first) else rest, root, absent) for i, each in enumerate(value))
    return not isinstance(value, dict) or _fits_object(value, schema, root, absent)


def _fits_object(value: Mapping[str, Json], schema: Mapping[str, Json], root: Json, absent: bool) -> bool:
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    if not value.keys() >= set(map(str, listed(schema, "required"))):
        return False
    if known and not value.keys() <= known.keys():
        return False
    return all(
        _fits(each, known.get(name, True), root, absent)
        or (absent and each is None and _stands_for_absent(name, schema, root))
        for name, each in value.items()
    )
