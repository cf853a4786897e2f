"""A JSON Schema made flat at one place: references followed, `allOf` joined, one branch of `anyOf` and `oneOf` chosen.

A flat schema holds plain keywords only. `const` has become `enum`, `pattern` the list `patterns` and `multipleOf` the
list `multiples`, so that two of each can be joined. Sub-schemas of two that are joined become an `allOf`, which is made
flat when it is reached. `not` and `unevaluated…` are left to the validator: whoever answers tries again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import unquote

import jsonschema_rs

from penstock.core.canon import Json

Flat = dict[str, Json]
Choose = Callable[[int], int]
"""Given the number of branches, the one to begin with."""

_COMBINING = frozenset({"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "then", "else", "const"})
_RENAMED = {"pattern": "patterns", "multipleOf": "multiples"}
_LARGEST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_BOUNDS = (*_LARGEST, "maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
_BY_NAME = ("properties", "patternProperties", "dependentSchemas")
_BOTH = ("items", "contains", "additionalProperties", "propertyNames")
_MOST_NESTED = 40
_NO_HEIGHT = math.inf


class Compiled:
    """A schema that answers are made for and held against."""

    def __init__(self, text: str) -> None:
        self.root: Json = json.loads(text)
        parts = list(_parts(self.root))
        self._named = {name: part for part in parts for name in _names(part)}
        self._own = {id(part) for part in parts}  # an object made on the way may leave its id to another
        self._validator = _validator(self.root)
        self._heights: dict[int, float] = {}
        self._plain: dict[int, Flat] = {}

    def valid(self, value: Json) -> bool:
        """Whether the value meets the whole schema; True where the schema is none that can be asked."""
        return self._validator is None or self._validator.is_valid(value)

    def flat(self, schema: Json, choose: Choose, shallow: bool = False, nested: int = 0) -> Flat | None:
        """The plain keywords that hold here; None where nothing can meet them. `shallow` asks for the branches that
        end soonest."""
        if schema is True:
            return {}
        if not isinstance(schema, dict) or nested > _MOST_NESTED:
            return None
        if id(schema) in self._plain:
            return self._plain[id(schema)]
        plain = _plain(schema)
        if not _COMBINING.intersection(schema) and id(schema) in self._own:
            self._plain[id(schema)] = plain
        result: Flat | None = plain
        for part in self._always(schema):
            result = joined(result, self.flat(part, choose, shallow, nested + 1))
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                result = self._with_branch(result, schema[keyword], choose, shallow, nested)
        if "if" in schema:
            result = self._with_branch(result, _arms(schema), choose, shallow, nested)
        return result

    def height(self, schema: Json, visiting: frozenset[int] = frozenset()) -> float:
        """How deep the least nested value is: 0 for a scalar; infinite where every value holds another like it."""
        if not isinstance(schema, dict):
            return 0 if schema is True else _NO_HEIGHT
        if id(schema) in visiting:
            return _NO_HEIGHT
        if not visiting and id(schema) in self._heights:
            return self._heights[id(schema)]
        height = self._measured(schema, visiting | {id(schema)})
        if not visiting and id(schema) in self._own:
            self._heights[id(schema)] = height
        return height

    def _measured(self, schema: Mapping[str, Json], visiting: frozenset[int]) -> float:
        heights = [self.height(part, visiting) for part in self._always(schema)]
        for branches in (schema.get("anyOf"), schema.get("oneOf")):
            if isinstance(branches, list) and branches:
                heights.append(min(self.height(branch, visiting) for branch in branches))
        if "null" in _types(schema):
            return max(heights, default=0)
        properties = schema.get("properties")
        if isinstance(properties, dict):
            required = [name for name in _strings(schema.get("required")) if name in properties]
            heights += [1 + self.height(properties[name], visiting) for name in required]
        if schema.get("minItems") and "items" in schema:
            heights.append(1 + self.height(schema["items"], visiting))
        return max(heights, default=0)

    def _always(self, schema: Mapping[str, Json]) -> Iterator[Json]:
        """The schemas that a value must meet beside this one."""
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in schema:
                yield self._target(schema[keyword])
        members = schema.get("allOf")
        if isinstance(members, list):
            yield from members

    def _with_branch(
        self, result: Flat | None, branches: Json, choose: Choose, shallow: bool, nested: int
    ) -> Flat | None:
        """The schema joined with the first branch, from the chosen one on, that it does not contradict."""
        if result is None or not isinstance(branches, list) or not branches:
            return result
        ordered = sorted(branches, key=_is_null)
        if shallow:
            ordered.sort(key=self.height)
        else:
            telling = [branch for branch in ordered if not _is_null(branch)] or ordered
            start = choose(len(telling))
            ordered = telling[start:] + telling[:start] + ordered[len(telling) :]
        parts = (joined(result, self.flat(branch, choose, shallow, nested + 1)) for branch in ordered)
        return next((part for part in parts if part is not None), None)

    def _target(self, reference: Json) -> Json:
        """What a reference inside this document points to; False, which nothing meets, where it points nowhere."""
        if not isinstance(reference, str):
            return False
        if reference in self._named:
            return self._named[reference]
        if not reference.startswith("#"):
            return False
        here: Json = self.root
        for step in unquote(reference[1:]).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(here, dict) and name in here:
                here = here[name]
            elif isinstance(here, list) and name.isdigit() and int(name) < len(here):
                here = here[int(name)]
            else:
                return False
        return here


@lru_cache(maxsize=128)
def compiled(text: str) -> Compiled:
    """The schema of this JSON text, ready for use. Kept: a run asks for few schemas many times."""
    return Compiled(text)


def joined(one: Flat | None, other: Flat | None) -> Flat | None:
    """What meets both; None where nothing does."""
    if one is None or other is None:
        return None
    result = dict(one)
    for keyword, value in other.items():
        result[keyword] = _both(keyword, result[keyword], value) if keyword in result else value
    return None if result.get("type") == [] or result.get("enum") == [] else result


def _both(keyword: str, one: Json, other: Json) -> Json:
    """The value of a keyword that two joined schemas have."""
    if isinstance(one, (int, float)) and isinstance(other, (int, float)) and keyword in _BOUNDS:
        return max(one, other) if keyword in _LARGEST else min(one, other)
    if keyword in _BOTH:
        return {"allOf": [one, other]}
    if isinstance(one, dict) and isinstance(other, dict) and keyword in _BY_NAME:
        shared = {name: {"allOf": [one[name], other[name]]} for name in one if name in other}
        return {**one, **other, **shared}
    if isinstance(one, dict) and isinstance(other, dict) and keyword == "dependentRequired":
        names = {name: [*_strings(one.get(name)), *_strings(other.get(name))] for name in (*one, *other)}
        return {**one, **other, **names}
    if keyword == "uniqueItems":
        return bool(one or other)
    if isinstance(one, list) and isinstance(other, list):
        return _both_lists(keyword, one, other)
    return one


def _both_lists(keyword: str, one: list[Json], other: list[Json]) -> Json:
    if keyword == "type":
        return _both_types(one, other)
    if keyword == "enum":
        return [option for option in one if option in other]
    if keyword == "required":
        return [*one, *(name for name in other if name not in one)]
    if keyword == "prefixItems":
        longer = one if len(one) > len(other) else other
        return [{"allOf": list(pair)} for pair in zip(one, other, strict=False)] + longer[min(len(one), len(other)) :]
    return one + other if keyword in ("patterns", "multiples") else one


def _both_types(one: list[Json], other: list[Json]) -> Json:
    shared = [name for name in one if name in other]
    whole = (
        "integer" not in shared and ("integer" in one or "integer" in other) and ("number" in one or "number" in other)
    )
    return [*shared, "integer"] if whole else shared


def _plain(schema: Mapping[str, Json]) -> Flat:
    """The keywords of a schema that stand for themselves."""
    plain: Flat = {name: value for name, value in schema.items() if name not in _COMBINING}
    if "const" in schema:
        options = plain.get("enum")
        plain["enum"] = [schema["const"]] if not isinstance(options, list) or schema["const"] in options else []
    if "type" in plain:
        plain["type"] = _types(schema)
    for name, list_name in _RENAMED.items():
        if name in plain:
            plain[list_name] = [plain.pop(name)]
    return plain


def _arms(schema: Mapping[str, Json]) -> Json:
    """`if`, `then`, `else` as two branches: what meets the condition and its `then`, and the `else` alone."""
    return [{"allOf": [schema["if"], schema.get("then", True)]}, schema.get("else", True)]


def _types(schema: Mapping[str, Json]) -> list[Json]:
    named = schema.get("type")
    return list(named) if isinstance(named, list) else [named] if named is not None else []


def _is_null(branch: Json) -> bool:
    return isinstance(branch, dict) and (branch.get("type") == "null" or branch.get("const", 0) is None)


def _strings(value: Json) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _parts(schema: Json, nested: int = 0) -> Iterator[dict[str, Json]]:
    """Every object in a schema's document."""
    if isinstance(schema, dict):
        yield schema
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    if nested < 10 * _MOST_NESTED:
        for part in parts:
            yield from _parts(part, nested + 1)


def _names(schema: Mapping[str, Json]) -> list[str]:
    """What a schema can be referred to by: `#anchor`, or its `$id`."""
    anchors = [f"#{name}" for name in (schema.get("$anchor"), schema.get("$dynamicAnchor")) if isinstance(name, str)]
    return [*anchors, *(name for name in (schema.get("$id"),) if isinstance(name, str))]


def _validator(schema: Json) -> jsonschema_rs.Draft202012Validator | None:
    if not isinstance(schema, (dict, bool)):
        return None
    try:
        return jsonschema_rs.Draft202012Validator(schema, offline=True)
    except (ValueError, jsonschema_rs.ReferencingError):  # a ValidationError is a ValueError
        return None
