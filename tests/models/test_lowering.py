"""Schemas in a provider's subset: within it, no narrower than the author's, and answers lifted back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from penstock.core.canon import Json
from penstock.models.lifting import lift, lift_text
from penstock.models.lowering import ANTHROPIC, OPENAI, Dialect, lower

FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
ALLOWED = {
    OPENAI: {"type", "enum", "properties", "required", "additionalProperties", "items", "anyOf", "$ref", "$defs"}
    | {"title", "description", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
    | {"multipleOf", "minItems", "maxItems"},
    ANTHROPIC: {"type", "enum", "properties", "required", "additionalProperties", "items", "anyOf", "$ref", "$defs"}
    | {"title", "description", "pattern", "format", "minItems"},
}
NAMES = st.sampled_from(["a", "b/c", "d~", "e"])


def assert_within(schema: Any, root: Any, dialect: Dialect) -> None:
    """The schema and all below it keep the subset's rules."""
    assert isinstance(schema, dict)
    assert schema.keys() <= ALLOWED[dialect]
    assert schema.keys() & {"type", "anyOf", "$ref"}
    if "$ref" in schema:
        assert schema.keys() == {"$ref"}
        name = schema["$ref"].removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
        assert schema["$ref"] == "#" or name in root["$defs"]
    assert schema.get("format", "date") in FORMATS | dialect.formats
    types = schema.get("type", [])
    if "object" in types:
        assert schema["additionalProperties"] is False
        if dialect.all_required:
            assert schema["required"] == list(schema["properties"])
    if "array" in types:
        assert_within(schema["items"], root, dialect)
    if not dialect.bounds:
        assert schema.get("minItems", 0) in (0, 1)
    for below in [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]:
        assert_within(below, root, dialect)
    for below in schema.get("$defs", {}).values():
        assert_within(below, root, dialect)


def valid(value: Any, schema: Any) -> bool:
    """Whether the value meets the schema, after the jsonschema package."""
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


LEAVES: list[Any] = [
    {"type": "string", "minLength": 1, "description": "A text."},
    {"type": "string", "pattern": "^x", "format": "uri"},
    {"type": ["string", "null"]},
    {"type": "integer", "minimum": 0, "exclusiveMaximum": 9},
    {"type": ["number", "string"], "multipleOf": 0.5},
    {"enum": ["p", 1, None]},
    {"type": "string", "enum": ["p", "q"]},
    {"const": True},
    {"type": "null"},
    {"$ref": "#/$defs/D"},
    {"allOf": [{"$ref": "#/$defs/D"}], "description": "One of many."},
]


def _objects(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda properties, keep, closed: {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if name in keep],
            **({"additionalProperties": False} if closed else {}),
        },
        st.dictionaries(NAMES, below, min_size=1, max_size=3),
        st.sets(NAMES),
        st.booleans(),
    )


def _deeper(below: st.SearchStrategy[Any], choice: str) -> st.SearchStrategy[Any]:
    items = {"type": st.just("array"), "items": below, "minItems": st.integers(0, 2), "maxItems": st.integers(2, 3)}
    branches = st.lists(below, min_size=1, max_size=3)
    return st.fixed_dictionaries(items) | st.fixed_dictionaries({choice: branches}) | _objects(below)


def schemas(choice: str) -> st.SearchStrategy[Any]:
    """Schemas of objects with anyOf or oneOf in them."""
    below = st.recursive(st.sampled_from(LEAVES), lambda deeper: _deeper(deeper, choice), max_leaves=6)
    defined = _objects(st.recursive(st.sampled_from(LEAVES[:-2]), _objects, max_leaves=3))
    draft = "https://json-schema.org/draft/2020-12/schema"
    return st.builds(lambda root, shared: {"$schema": draft, **root, "$defs": {"D": shared}}, _objects(below), defined)


def drawn(draw: Callable[[Any], Any], schema: Any, root: Any) -> Any:
    """A value that most often meets the schema."""
    if "$ref" in schema or "allOf" in schema:
        return drawn(draw, root["$defs"]["D"], root)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return drawn(draw, draw(st.sampled_from(schema[word])), root)
    if "enum" in schema or "const" in schema:
        return draw(st.sampled_from(schema.get("enum", [schema.get("const")])))
    kind = schema["type"] if isinstance(schema["type"], str) else draw(st.sampled_from(schema["type"]))
    if kind == "object":
        names = [n for n in schema["properties"] if n in schema["required"] or draw(st.booleans())]
        return {name: drawn(draw, schema["properties"][name], root) for name in names}
    if kind == "array":
        return [drawn(draw, schema["items"], root) for _ in range(2)]
    plain = {"string": st.sampled_from(["x", "xyz"]), "integer": st.integers(0, 8), "number": st.just(1.5)}
    return draw(plain.get(kind, st.none()))


def with_nulls(value: Any, schema: Any, root: Any) -> Any:
    """The value as a model writes it that may leave no property out."""
    if "$ref" in schema or "allOf" in schema:
        return with_nulls(value, root["$defs"]["D"], root)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            met = next(branch for branch in schema[word] if valid(value, {**branch, "$defs": root["$defs"]}))
            return with_nulls(value, met, root)
    if isinstance(value, list) and "items" in schema:
        return [with_nulls(each, schema["items"], root) for each in value]
    if isinstance(value, dict) and "properties" in schema:
        properties = schema["properties"]
        return {n: with_nulls(value[n], sub, root) if n in value else None for n, sub in properties.items()}
    return value


@st.composite
def answered(draw: Callable[[Any], Any]) -> tuple[Any, Any]:
    """A schema and a value that meets it.

    No uniqueItems and no oneOf: under them an absent property and a null can differ, which no subset can tell.
    """
    schema = draw(schemas("anyOf"))
    value = drawn(draw, schema, schema)
    assume(valid(value, schema))
    return schema, value


@given(schemas("anyOf") | schemas("oneOf"), st.sampled_from([OPENAI, ANTHROPIC]))
@settings(derandomize=True, deadline=None, max_examples=100)
def test_what_is_lowered_keeps_the_subsets_rules(schema: Any, dialect: Dialect) -> None:
    lowered = lower(schema, dialect)
    assert lowered.schema is not None
    assert_within(lowered.schema, lowered.schema, dialect)
    assert isinstance(lowered.schema, dict)
    assert lowered.schema["type"] == "object"
    jsonschema.Draft202012Validator.check_schema(lowered.schema)


@given(answered())
@settings(derandomize=True, deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
def test_an_answer_within_the_subset_is_lifted_to_one_that_meets_the_authors_schema(pair: tuple[Any, Any]) -> None:
    schema, value = pair
    full = with_nulls(value, schema, schema)
    lowered = lower(schema, OPENAI)
    assert valid(full, lowered.schema)
    assert valid(lift(full, schema), schema)
    assert lowered.nullable or valid(full, schema)


@given(answered())
@settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_lifting_leaves_an_answer_alone_that_meets_the_schema_already(pair: tuple[Any, Any]) -> None:
    schema, value = pair
    assert lift(value, schema) == value
    assert valid(value, lower(schema, ANTHROPIC).schema)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda deeper: (
        st.lists(deeper, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "required", "items", "anyOf", "allOf", "$ref", "enum", "if", "not", "a"]
            ),
            deeper | st.sampled_from(["object", "#", "#/$defs/a", "string", ["object", "null"]]),
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(derandomize=True, deadline=None)
@given(JUNK, JUNK)
def test_neither_lowering_nor_lifting_raises_on_what_is_no_schema(schema: Json, value: Json) -> None:
    lower(schema, OPENAI)
    lower(schema, ANTHROPIC)
    lift(value, schema)


def object_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "array", "items": {"type": "string"}}, "its root is not an object"),
        ({"anyOf": [object_of(), object_of()]}, "/anyOf/0 takes properties of any name"),
        ({"anyOf": [object_of(a={"type": "null"})]}, "its root is not an object"),
        (True, "the root takes any value"),
        (object_of(a={}), "/properties/a takes values of any type"),
        (object_of(a=True), "/properties/a takes any value"),
        (object_of(a={"type": "object"}), "/properties/a takes properties of any name"),
        (object_of(a={"type": "array"}), "/properties/a/items takes any value"),
        (object_of(a={"$ref": "https://example.com/x"}), "/properties/a refers to https://example.com/x"),
        (object_of(a={"$ref": "#/$defs/x"}), "it refers to x, which it does not define"),
        ({**object_of(a={"type": "null"}), "additionalProperties": True}, "the root takes properties of any name"),
        ({**object_of(a={"type": "null"}), "required": ["z"]}, "the root takes properties of any name"),
        ({"$ref": "#"}, "its $ref goes in a circle"),
        (object_of(a={"enum": [{"x": 1}]}), "/properties/a lists objects as values"),
    ],
)
def test_a_schema_that_cannot_be_said_is_not_asked_and_the_reason_is_told(schema: Json, why: str) -> None:
    lowered = lower(schema, OPENAI)
    assert lowered.schema is None
    assert lowered.said == (f"nothing of it, since {why}",)


def test_what_is_left_out_is_told_once_a_keyword_with_its_places() -> None:
    text = {"type": "string", "minLength": 1, "default": "x", "format": "uri"}
    schema = object_of(a=text, b={"type": "array", "items": text, "uniqueItems": True}, c={"oneOf": [text]})
    assert lower(schema, OPENAI).said == (
        "not for `format` at /properties/a, /properties/b/items, /properties/c/oneOf/0",
        "not for `minLength` at /properties/a, /properties/b/items, /properties/c/oneOf/0",
        "not for `oneOf (only anyOf)` at /properties/c",
        "not for `uniqueItems` at /properties/b",
    )
    assert "`format`" not in "".join(lower(schema, ANTHROPIC).said)


def test_a_recursive_schema_is_asked_of_openai_and_not_of_anthropic() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    schema: Json = {"$ref": "#/$defs/Node", "$defs": {"Node": node, "Unused": {}}}
    closed = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
        "required": ["next"],
        "additionalProperties": False,
    }
    assert lower(schema, OPENAI).schema == {**closed, "$defs": {"Node": closed}}
    assert lower(schema, ANTHROPIC).said == ("nothing of it, since it refers to itself",)
    assert lift({"next": {"next": None}}, schema) == {"next": {}}


@pytest.mark.parametrize(
    ("optional", "lowered"),
    [
        ({"type": "string"}, {"type": ["string", "null"]}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"enum": ["p", "q"]}, {"type": ["string", "null"], "enum": ["p", "q", None]}),
        ({"const": 1, "title": "T"}, {"title": "T", "type": ["integer", "null"], "enum": [1, None]}),
        ({"type": ["string", "null"], "enum": ["p"]}, {"type": ["string", "null"], "enum": ["p", None]}),
        ({"anyOf": [{"type": "string"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (
            {"type": "array", "items": {"type": "null"}, "description": "D"},
            {"description": "D", "anyOf": [{"type": "array", "items": {"type": "null"}}, {"type": "null"}]},
        ),
    ],
)
def test_an_optional_property_becomes_one_that_may_be_null(optional: Json, lowered: Json) -> None:
    schema: Json = {"type": "object", "properties": {"a": optional}}
    whole = lower(schema, OPENAI).schema
    assert isinstance(whole, dict)
    assert whole["properties"] == {"a": lowered}
    assert whole["required"] == ["a"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"type": "string", "anyOf": [{"pattern": "^a"}, {"format": "date"}]}, ["pattern", "format"]),
        ({"type": ["object", "null"], "properties": {}, "additionalProperties": False}, ["properties", None]),
    ],
)
def test_a_type_beside_a_choice_and_a_choice_of_types_are_branches(before: Json, after: list[str | None]) -> None:
    whole: Any = lower(object_of(a=before), OPENAI).schema
    branches = whole["properties"]["a"]["anyOf"]
    assert all("type" in branch for branch in branches)
    assert [keyword is None or keyword in branch for keyword, branch in zip(after, branches, strict=True)] == [
        True,
        True,
    ]


def test_a_tuple_becomes_an_array_of_the_kinds_of_its_elements() -> None:
    pair = {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False, "minItems": 2}
    whole: Any = lower(object_of(a=pair), OPENAI).schema
    kinds = [{"type": "string"}, {"type": "integer"}]
    assert whole["properties"]["a"] == {"type": "array", "items": {"anyOf": kinds}, "minItems": 2}


def test_a_pattern_that_looks_around_or_back_is_left_out() -> None:
    schema = object_of(a={"type": "string", "pattern": r"^(?!x)"}, b={"type": "string", "pattern": r"^[a-z]+$"})
    whole: Any = lower(schema, ANTHROPIC).schema
    assert whole["properties"] == {"a": {"type": "string"}, "b": {"type": "string", "pattern": "^[a-z]+$"}}


def test_the_same_schema_is_lowered_once() -> None:
    schema = object_of(a={"type": "string"})
    assert lower(schema, OPENAI) is lower(schema, OPENAI)
    assert lower(schema, OPENAI) is not lower(dict(schema), OPENAI)


def test_lifting_a_text_keeps_the_spelling_of_numbers_and_the_text_itself_where_nothing_is_lifted() -> None:
    schema: Json = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": ["string", "null"]}}}
    assert lift_text('{ "a": 1.10, "b": null }', schema) == '{ "a": 1.10, "b": null }'
    assert lift_text('{ "a": null, "b": null, "c": 1.10 }', schema) == '{"b":null,"c":1.10}'
    assert lift_text('{"a": null, "b"', schema) == '{"a": null, "b"'


def test_a_null_is_kept_where_the_property_is_required_or_not_named() -> None:
    schema: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    assert lift({"a": None, "z": None}, schema) == {"a": None, "z": None}


def test_the_branch_that_an_answer_fits_as_it_is_counts_first() -> None:
    loose: Json = {"type": "object", "properties": {"a": {"type": "string"}}}
    nullable: Json = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]}
    assert lift({"a": None}, {"anyOf": [loose, nullable]}) == {"a": None}
    assert lift({"a": None}, {"anyOf": [loose, {"type": "array"}]}) == {}
