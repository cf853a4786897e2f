"""Contracts: answers parsed and held against schema and checks, with the verdicts of the jsonschema package."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from penstock.core import canon
from penstock.core.calls import FaultClass, Flaw, Judgement
from penstock.core.canon import Json
from penstock.core.errors import Place
from penstock.core.generation import Contract, Schema
from penstock.rules.contract import Checker, SchemaFault, compile_contract, judge_schema, judged

AT = Place("workflow.yaml", 1, 1)

# A schema and values that it is to be tried on, in the spirit of the official test suite.
TABLE: list[tuple[str, str]] = [
    ("true", '1 null {} [] ""'),
    ("false", '1 null {} [] ""'),
    ("{}", "1 null {} []"),
    ('{"type":"integer"}', '1 1.0 1.5 -0 -0.0 1e3 1E-2 "1" true null [] {} 123456789012345678901234567890 1e30'),
    ('{"type":"number"}', '1 1.5 1e400 true "1" null -0'),
    ('{"type":"string"}', '"" "a" 1 null'),
    ('{"type":"boolean"}', 'true false 0 1 "true"'),
    ('{"type":"null"}', 'null 0 false ""'),
    ('{"type":"array"}', '[] [1] {} ""'),
    ('{"type":"object"}', '{} {"a":1} [] null'),
    ('{"type":["integer","null"]}', "1 1.0 null 1.5 false"),
    ('{"enum":[1,"a",null,[1],{"a":1}]}', '1 1.0 "a" null [1] [1.0] {"a":1} {"a":1.0} true 2 []'),
    ('{"enum":[true]}', "true 1 1.0 false"),
    ('{"enum":[0]}', "0 0.0 -0 false"),
    ('{"const":1}', "1 1.0 1e0 true 2"),
    ('{"const":1.5}', "1.5 1.50 15e-1 1"),
    ('{"const":{"a":[1,null]}}', '{"a":[1,null]} {"a":[1.0,null]} {"a":[1]} {}'),
    ('{"const":123456789012345678901234567890}', "123456789012345678901234567890 123456789012345678901234567891"),
    ('{"const":false}', "false 0 null"),
    ('{"minimum":3}', '2 3 3.0 4 "2" null'),
    ('{"maximum":3.5}', "3.5 3.50 3.6 1e400 -1e400"),
    ('{"exclusiveMinimum":0}', "0 -0 -0.0 1e-9 -1"),
    ('{"exclusiveMaximum":0.5}', "0.5 0.4999 1"),
    ('{"minimum":123456789012345678901234567890}', "123456789012345678901234567889 123456789012345678901234567890"),
    ('{"maximum":9007199254740993}', "9007199254740992 9007199254740993 9007199254740994"),
    ('{"multipleOf":2}', '4 3 0 4.0 -2 "3"'),
    ('{"multipleOf":2.5}', "5 7.5 6 0"),
    ('{"multipleOf":7}', "123456789012345678901234567890 14 15"),
    ('{"multipleOf":0.0001}', "0.0075 0.00751"),
    ('{"minLength":2}', '"" "a" "ab" "한글" "😀" "😀😀" 1'),
    ('{"maxLength":1}', '"" "a" "ab" "한" "é" "e\\u0301"'),
    ('{"pattern":"^a+$"}', '"a" "aa" "b" "" 1 "ba"'),
    ('{"pattern":"b"}', '"abc" "ac"'),
    ('{"pattern":"^[0-9]{3}-[A-Z]{2}$"}', '"123-AB" "12-AB" "123-ab"'),
    ('{"pattern":"^.$"}', '"한" "😀" "ab" ""'),
    ('{"format":"email"}', '"no" "a@b.c" 1'),
    ('{"format":"no-such-format"}', '"x"'),
    ('{"contentEncoding":"base64"}', '"!!" "YQ=="'),
    ('{"minItems":1}', "[] [1] {}"),
    ('{"maxItems":2.0}', "[] [1,2] [1,2,3]"),
    ('{"uniqueItems":true}', '[] [1,2] [1,1] [1,1.0] [1,true] [0,false] [[1],[true]] [{"a":1},{"a":1.0}] ["a","a"]'),
    ('{"uniqueItems":true}', "[123456789012345678901234567890,123456789012345678901234567891] [null,null]"),
    ('{"uniqueItems":false}', "[1,1]"),
    ('{"items":{"type":"integer"}}', '[] [1,2] [1,"a"] {} "a"'),
    ('{"items":false}', "[] [1]"),
    ('{"prefixItems":[{"type":"integer"},{"type":"string"}]}', '[] [1] [1,"a"] ["a"] [1,"a",null]'),
    ('{"prefixItems":[{"type":"integer"}],"items":false}', "[1] [1,2] []"),
    ('{"prefixItems":[{}],"items":{"type":"string"}}', '[1,"a"] [1,2]'),
    ('{"contains":{"const":1}}', "[] [1] [2] [2,1.0] {}"),
    ('{"contains":{"const":1},"minContains":2}', "[1] [1,1] [1,1,1]"),
    ('{"contains":{"const":1},"maxContains":1}', "[1] [1,1] []"),
    ('{"contains":{"const":1},"minContains":0}', "[] [2]"),
    ('{"minContains":2}', "[] [1]"),
    ('{"properties":{"a":{"type":"integer"},"b":false}}', '{} {"a":1} {"a":"x"} {"b":1} {"c":1} []'),
    ('{"required":["a"]}', '{} {"a":null} {"b":1} []'),
    ('{"required":[]}', "{}"),
    ('{"additionalProperties":false,"properties":{"a":{}}}', '{} {"a":1} {"b":1} {"a":1,"b":1}'),
    ('{"additionalProperties":{"type":"string"}}', '{} {"a":"x"} {"a":1}'),
    ('{"patternProperties":{"^x":{"type":"integer"}},"additionalProperties":false}', '{"x1":1} {"x1":"a"} {"y":1}'),
    ('{"propertyNames":{"maxLength":1}}', '{} {"a":1} {"ab":1} []'),
    ('{"propertyNames":{"pattern":"^a"}}', '{"a":1} {"b":1}'),
    ('{"minProperties":1,"maxProperties":2}', '{} {"a":1} {"a":1,"b":2} {"a":1,"b":2,"c":3}'),
    ('{"dependentRequired":{"a":["b"]}}', '{} {"a":1} {"a":1,"b":2} {"b":2}'),
    ('{"dependentSchemas":{"a":{"required":["b"]}}}', '{} {"a":1} {"a":1,"b":2}'),
    ('{"allOf":[{"minimum":1},{"maximum":3}]}', "0 1 2 4"),
    ('{"anyOf":[{"type":"string"},{"minimum":3}]}', '"a" 3 2 null'),
    ('{"oneOf":[{"type":"integer"},{"minimum":3}]}', "1 3.5 4 2.5"),
    ('{"oneOf":[true,true]}', "1"),
    ('{"not":{"type":"string"}}', '1 "a"'),
    ('{"not":{}}', "1"),
    ('{"if":{"minimum":0},"then":{"multipleOf":2},"else":{"maximum":-5}}', '2 3 -5 -4 "a"'),
    ('{"if":{"const":1}}', "1 2"),
    ('{"then":{"const":1}}', "2"),
    (
        '{"unevaluatedProperties":false,"properties":{"a":{}},"allOf":[{"properties":{"b":{}}}]}',
        '{"a":1,"b":1} {"c":1}',
    ),
    ('{"unevaluatedProperties":{"type":"string"}}', '{"a":"x"} {"a":1}'),
    ('{"unevaluatedItems":false,"prefixItems":[{}],"allOf":[{"prefixItems":[{},{}]}]}', "[1] [1,2] [1,2,3]"),
    ('{"$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}', '"a" 1'),
    ('{"$ref":"#/$defs/a~1b%20c","$defs":{"a/b c":{"type":"string"}}}', '"a" 1'),
    ('{"$defs":{"a":{"$anchor":"here","minimum":3}},"$ref":"#here"}', "3 2"),
    ('{"$ref":"#/$defs/a","maximum":5,"$defs":{"a":{"minimum":3}}}', "2 4 6"),
    ('{"properties":{"a":{"$ref":"#"}},"additionalProperties":false}', '{"a":{"a":{}}} {"a":{"b":1}}'),
    ('{"$id":"http://x.y/root","$ref":"part","$defs":{"p":{"$id":"part","type":"string"}}}', '"a" 1'),
    ('{"$dynamicRef":"#n","$defs":{"n":{"$dynamicAnchor":"n","type":"string"}}}', '"a" 1'),
    ('{"const":{"$ref":"http://not.a/reference"}}', '{"$ref":"http://not.a/reference"} 1'),
    ('{"unknown":1,"x-note":{"type":5}}', "1"),
    ('{"$comment":"c","title":"t","default":1,"examples":[2],"deprecated":true}', "1"),
]
OLDER: list[tuple[str, str]] = [
    ('{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"string"}]}', '["a"] [1] ["a",1]'),
    (
        '{"$schema":"http://json-schema.org/draft-07/schema#","items":[{}],"additionalItems":false}',
        "[1] [1,2]",
    ),
    ('{"$schema":"http://json-schema.org/draft-07/schema#","dependencies":{"a":["b"]}}', '{"a":1} {"a":1,"b":2}'),
    ('{"$schema":"http://json-schema.org/draft-07/schema#","format":"ipv4"}', '"no"'),
    ('{"$schema":"http://json-schema.org/draft-04/schema#","minimum":3,"exclusiveMinimum":true}', "3 4"),
    ('{"$schema":"https://json-schema.org/draft/2019-09/schema","items":[{"type":"string"}]}', "[1]"),
    ('{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"string"}', '1 "a"'),
]

# Where the package says otherwise: schema, value, what is right here and why.
DIFFERENT: list[tuple[str, str, bool, str]] = [
    ('{"multipleOf":0.01}', "19.99", True, "decimals are exact, its floats are not"),
    ('{"multipleOf":0.1}', "0.3", True, "decimals are exact"),
    ('{"type":"integer"}', "1e400", True, "a float has no such number, JSON has"),
    ('{"type":"integer"}', "1e-400", False, "a float makes it 0"),
    ('{"uniqueItems":true}', "[1e400,2e400]", True, "a float makes both infinite"),
    ('{"const":1000000000000000000000000000000}', "1e30", True, "the nearest float is another number"),
    ('{"exclusiveMinimum":0.1}', "0.10000000000000000001", True, "a float has 17 digits"),
    ('{"pattern":"^\\\\d$"}', '"٣"', False, "ECMA 262: digits are ASCII"),
    ('{"pattern":"^\\\\w$"}', '"한"', False, "ECMA 262: word characters are ASCII"),
    ('{"pattern":"a$"}', '"a\\n"', False, "ECMA 262: $ is the end alone"),
    ('{"dependencies":{"a":["b"]}}', '{"a":1}', False, "an old keyword is held rather than passed over in silence"),
    (
        '{"$schema":"http://json-schema.org/draft-07/schema#","contentEncoding":"base64"}',
        '"!!"',
        False,
        "draft 7 lets it be checked",
    ),
]


def checker(schema: str, *checks: str) -> Checker:
    return compile_contract(Contract(Schema(canon.parse(schema), None, AT), checks))


def values(texts: str) -> Iterator[str]:
    """The JSON values of a row of the table, which spaces part."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(texts):
        _, end = decoder.raw_decode(texts, at)
        yield texts[at:end]
        at = end + 1


def theirs(schema: str, value: str) -> bool:
    parsed = json.loads(schema)
    return bool(validator_for(parsed, Draft202012Validator)(parsed).is_valid(json.loads(value)))


@pytest.mark.parametrize(("schema", "texts"), TABLE + OLDER, ids=[schema[:60] for schema, _ in TABLE + OLDER])
def test_verdicts_are_those_of_the_jsonschema_package(schema: str, texts: str) -> None:
    mine = checker(schema)
    assert {text: mine.judge(text, {}).ok for text in values(texts)} == {
        text: theirs(schema, text) for text in values(texts)
    }


def test_the_table_has_values_that_pass_and_values_that_do_not() -> None:
    verdicts = [checker(schema).judge(text, {}).ok for schema, texts in TABLE for text in values(texts)]
    assert len(TABLE) > 60
    assert min(verdicts.count(True), verdicts.count(False)) > 80


@pytest.mark.parametrize(("schema", "value", "right", "why"), DIFFERENT, ids=[row[3] for row in DIFFERENT])
def test_known_differences_from_the_package_are_these(schema: str, value: str, right: bool, why: str) -> None:
    assert checker(schema).judge(value, {}).ok is right
    assert theirs(schema, value) is not right


NAMES = st.sampled_from(["a", "b", "ab"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-4, 4),
    st.sampled_from([0.5, 1.0, -1.5, 2.0]),
    st.sampled_from(["", "a", "ab"]),
)
VALUES: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
SMALL = st.integers(0, 3)


def keywords(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
            "const": VALUES,
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "minimum": st.integers(-3, 3),
            "exclusiveMaximum": st.sampled_from([0.5, 1, 2.0]),
            "multipleOf": st.sampled_from([1, 2, 0.5]),
            "minLength": SMALL,
            "maxLength": SMALL,
            "pattern": st.sampled_from(["^a", "b$", "^(a|b)*$"]),
            "minItems": SMALL,
            "uniqueItems": st.booleans(),
            "items": inner,
            "prefixItems": several,
            "contains": inner,
            "maxContains": SMALL,
            "properties": st.dictionaries(NAMES, inner, max_size=2),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$"]), inner, max_size=1),
            "additionalProperties": inner,
            "propertyNames": inner,
            "required": st.lists(NAMES, max_size=2, unique=True),
            "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2, unique=True), max_size=1),
            "minProperties": SMALL,
            "allOf": several,
            "anyOf": several,
            "oneOf": several,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
        },
    ).map(lambda schema: dict(list(schema.items())[:4]))


SCHEMAS: st.SearchStrategy[Json] = st.recursive(st.booleans() | keywords(st.booleans()), keywords, max_leaves=5)


@settings(max_examples=300, deadline=None)
@given(SCHEMAS, st.lists(VALUES, min_size=1, max_size=6))
def test_verdicts_on_generated_schemas_are_those_of_the_package(schema: Json, given_values: list[Json]) -> None:
    mine = checker(json.dumps(schema))
    for value in given_values:
        text = json.dumps(value)
        judgement = mine.judge(text, {})
        assert judgement.ok == theirs(json.dumps(schema), text)
        assert judgement.ok == (not judgement.flaws)
        assert judgement == mine.judge(text, {})


# --- flaws ---------------------------------------------------------------------------------------


def flaws(schema: str, answer: str) -> list[tuple[str, str, str]]:
    judgement = checker(schema).judge(answer, {})
    assert judgement.tier is FaultClass.SCHEMA
    return [(flaw.pointer, flaw.expected, flaw.got) for flaw in judgement.flaws]


@pytest.mark.parametrize(
    ("schema", "answer", "expected", "got"),
    [
        ('{"type":["string","null"]}', "1.50", "null or a string", "1.50"),
        ('{"minimum":0.10}', "0.05", "at least 0.10", "0.05"),
        ('{"exclusiveMaximum":3}', "3.0", "less than 3", "3.0"),
        ('{"multipleOf":2.5}', "3", "a multiple of 2.5", "3"),
        ('{"maxLength":2}', '"abc"', "at most 2 characters", '3 characters: "abc"'),
        ('{"minItems":1}', "[]", "at least 1 element", "0 elements: []"),
        ('{"pattern":"^a"}', '"b"', "a string that matches ^a", '"b"'),
        ('{"enum":[1,"a",null]}', "2", 'one of 1, "a", null', "2"),
        ('{"const":{"a":1.0}}', "{}", '{"a":1.0}', "{}"),
        ('{"required":["name"]}', '{"nam":1}', 'the field "name"', "an object with the fields nam"),
        ('{"dependentRequired":{"a":["b"]}}', '{"a":1}', 'the field "b"', "an object with the fields a"),
        (
            '{"properties":{"a":{}},"additionalProperties":false}',
            '{"c":1,"b":1}',
            "no other fields than a",
            "the fields b, c",
        ),
        ('{"uniqueItems":true}', "[1,1.0]", "elements that all differ", "[1,1.0]"),
        ('{"contains":{"const":1},"minContains":2}', "[1]", 'at least 2 elements like {"const":1}', "[1]"),
        ('{"contains":{"const":1}}', "[2]", 'an element like {"const":1}', "[2]"),
        ('{"not":{"type":"string"}}', '"a"', 'anything but {"type":"string"}', '"a"'),
        ('{"oneOf":[true,true]}', "1", "exactly one of the alternatives to fit", "1, which fits several"),
        ('{"anyOf":[{"type":"string"},{"minimum":3}]}', "1", "at least 3", "1"),
        ('{"anyOf":[{"minimum":5},{"multipleOf":2}]}', "1", "at least 5 or a multiple of 2", "1"),
        ('{"propertyNames":{"maxLength":1}}', '{"ab":1}', "field names that are at most 1 character", '"ab"'),
        ("false", "1", "nothing here", "1"),
        ('{"unevaluatedItems":false}', "[1]", "no further elements", "[1]"),
        ('{"$ref":"#/$defs/n","$defs":{"n":{"maximum":1.50}}}', "2", "at most 1.50", "2"),
    ],
)
def test_a_flaw_says_what_was_expected_and_what_was_got(schema: str, answer: str, expected: str, got: str) -> None:
    assert flaws(schema, answer) == [("", expected, got)]


def test_all_flaws_are_found_and_sorted_by_pointer_then_keyword() -> None:
    schema = (
        '{"properties":{"b":{"type":"string","minimum":9},"a":{"items":{"type":"integer"}}},"required":["d","c"],'
        '"additionalProperties":false}'
    )
    assert flaws(schema, '{"b":3,"a":["x",1,2.5],"z":0}') == [
        ("", "no other fields than b, a", "the field z"),
        ("", 'the field "c"', "an object with the fields b, a, z"),
        ("", 'the field "d"', "an object with the fields b, a, z"),
        ("/a/0", "an integer", '"x"'),
        ("/a/2", "an integer", "2.5"),
        ("/b", "at least 9", "3"),
        ("/b", "a string", "3"),
    ]


def test_an_alternative_of_the_right_kind_speaks_for_itself() -> None:
    schema = '{"anyOf":[{"type":"null"},{"type":"object","properties":{"n":{"type":"integer"}},"required":["m"]}]}'
    assert flaws(schema, '{"n":"x"}') == [
        ("", 'the field "m"', "an object with the fields n"),
        ("/n", "an integer", '"x"'),
    ]


def test_pointers_are_escaped() -> None:
    assert flaws('{"additionalProperties":{"type":"string"}}', '{"a/b~c":1}') == [("/a~1b~0c", "a string", "1")]


def test_values_are_shown_short() -> None:
    ((_, _, got),) = flaws('{"type":"integer"}', json.dumps("x" * 5000))
    assert len(got) == 80


# --- parsing -------------------------------------------------------------------------------------


def test_a_good_answer_keeps_the_spelling_of_its_numbers() -> None:
    judgement = checker('{"type":"object"}').judge('{"a": 1.10, "b": 123456789012345678901234567890}', {})
    assert judgement.ok
    assert not judgement.mended
    assert canon.compact(judgement.value) == '{"a":1.10,"b":123456789012345678901234567890}'


def test_a_fenced_answer_is_mended_and_said_to_be() -> None:
    judgement = checker('{"required":["a"]}').judge('Here it is:\n```json\n{"a": 1.10,}\n```\nBye.', {})
    assert judgement == Judgement(True, None, {"a": canon.WrittenFloat("1.10")}, mended=True)


def test_a_mended_answer_is_held_to_the_schema() -> None:
    judgement = checker('{"required":["a"]}').judge("```\n{}\n```", {})
    assert (judgement.tier, judgement.mended) == (FaultClass.SCHEMA, True)


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        ("", "an empty answer"),
        (" \n", "an empty answer"),
        ("I am sorry", 'line 1, column 1, before "I am sorry": a value was expected'),
        ('{"a":\n  1', "line 2, column 4, at the end: a comma or a closing bracket was expected"),
        ('{"a":1} {"b":2}', 'line 1, column 9, before "{\\"b\\":2}": the end was expected'),
        ('["abc', 'line 1, column 2, before "\\"abc": the string that begins here does not end'),
        ('{"a":NaN}', "NaN is not a JSON number"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    ],
)
def test_an_answer_that_is_no_json_says_where_and_what_was_expected(answer: str, got: str) -> None:
    judgement = checker("{}").judge(answer, {})
    assert judgement == Judgement(False, FaultClass.NOT_JSON, None, (Flaw("", "one JSON value", got),))


@pytest.mark.parametrize(
    ("answer", "value"), [("hello", "hello"), ('{"a":1}', {"a": 1}), ("[1", "[1"), ("```\n1\n```", "```\n1\n```")]
)
def test_without_a_schema_an_answer_is_json_or_text_and_never_mended(answer: str, value: Json) -> None:
    assert compile_contract(Contract()).judge(answer, {}) == Judgement(True, None, value)


# --- checks --------------------------------------------------------------------------------------


def test_checks_come_after_the_schema_and_all_of_them_are_asked() -> None:
    mine = checker('{"type":"object"}', "output.x >= 0.5", "output.x < 1", "output.y == item.y")
    assert mine.judge("[]", {"item": {}}).tier is FaultClass.SCHEMA
    judgement = mine.judge('{"x": 0.42, "y": 1}', {"item": {"y": 2}})
    assert (judgement.tier, judgement.value) == (FaultClass.CHECK, {"x": 0.42, "y": 1})
    assert judgement.flaws == (
        Flaw("", "output.x >= 0.5", "0.42 >= 0.5 → false"),
        Flaw("", "output.y == item.y", "1 == 2 → false"),
    )


def test_an_answer_that_lacks_what_a_check_needs_does_not_meet_it() -> None:
    (flaw,) = compile_contract(Contract(checks=("output.score > 1",))).judge('{"scor":2}', {}).flaws
    assert flaw.expected == "output.score > 1"
    assert "did you mean scor?" in flaw.got


def test_a_check_over_plain_text_sees_the_text() -> None:
    mine = compile_contract(Contract(checks=("len(output) <= 5",)))
    assert mine.judge("hello", {}).ok
    assert mine.judge("hello!", {}).tier is FaultClass.CHECK


# --- schemas that cannot be used -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "pointer", "said"),
    [
        ("[]", "", "a JSON Schema is an object, or true or false"),
        ('{"properties":{"a":{"type":"strin"}}}', "/properties/a/type", 'got "strin"'),
        ('{"minLength":-1}', "/minLength", "expected at least 0, got -1"),
        ('{"items":[{}]}', "/items", "expected a boolean or an object, got [{}]"),
        ('{"$ref":"http://a.b/c.json"}', "/$ref", "it refers to http://a.b/c.json, which is not in the schema; remote"),
        ('{"items":{"$ref":"file:///etc/passwd"}}', "/items/$ref", "it refers to file:///etc/passwd"),
        ('{"properties":{"a":{"$ref":"b.json#/x"}}}', "/properties/a/$ref", "it refers to b.json#/x"),
        ('{"$defs":{"unused":{"$ref":"http://a.b/c"}}}', "/$defs/unused/$ref", "it refers to http://a.b/c"),
        ('{"$ref":"#/$defs/no"}', "/$ref", "it refers to #/$defs/no, which is not in the schema"),
        ('{"$ref":"#no"}', "/$ref", "it refers to #no"),
        ('{"$schema":"http://no.where/x"}', "/$schema", "nobody here knows the dialect http://no.where/x"),
        ('{"pattern":"(?=a)"}', "/pattern", "(?=a) is no regular expression; look-ahead"),
        ('{"patternProperties":{"(a)\\\\1":{}}}', "/patternProperties/(a)\\1", "is no regular expression"),
        ('{"pattern":"["}', "/pattern", "[ is no regular expression"),
        ('{"$id":"::"}', "", "Invalid URI reference"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_with_its_place(schema: str, pointer: str, said: str) -> None:
    with pytest.raises(SchemaFault) as caught:
        checker(schema)
    assert caught.value.pointer == pointer
    assert said in str(caught.value)


def test_a_pattern_that_stalls_a_backtracking_engine_takes_no_time() -> None:
    assert not checker('{"pattern":"^(a+)+$"}').judge(json.dumps("a" * 50_000 + "b"), {}).ok


@pytest.mark.parametrize("number", ["1e1000000", "-1e-1000000", "9" * 4000])
@pytest.mark.parametrize("rule", ['{"type":"integer"}', '{"multipleOf":0.3}', '{"enum":[1.5]}', '{"maximum":5}'])
def test_a_huge_number_is_judged_like_any_other(rule: str, number: str) -> None:
    assert checker(rule).judge(number, {}).tier in {None, FaultClass.SCHEMA}


def test_a_schema_that_refers_to_itself_in_a_circle_is_judged() -> None:
    assert checker('{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}').judge("1", {}).ok


# --- the judge -----------------------------------------------------------------------------------


def test_a_judge_that_is_content_passes_the_answer() -> None:
    answer: Json = {"score": 4.5, "failures": []}
    assert judged("score >= 4", answer) == Judgement(True, None, answer, score=4.5)


def test_a_judge_s_failures_are_the_flaws() -> None:
    failures: list[Json] = [
        {"rule": "cites a source", "reason": "there is none", "fix": "add one"},
        {"rule": "is short", "reason": "900 words", "fix": ""},
    ]
    judgement = judged("score >= 4 and len(failures) == 0", {"score": 4, "failures": failures})
    assert (judgement.ok, judgement.tier, judgement.score) == (False, FaultClass.JUDGE, 4.0)
    assert judgement.flaws == (
        Flaw("", "cites a source", "there is none (fix: add one)"),
        Flaw("", "is short", "900 words"),
    )


def test_a_score_too_low_without_failures_is_its_own_flaw() -> None:
    assert judged("score >= 4", {"score": 3, "failures": []}).flaws == (Flaw("", "score >= 4", "3 >= 4 → false"),)


def test_a_judge_s_answer_is_held_to_its_schema() -> None:
    mine = compile_contract(Contract(Schema(judge_schema(), None, AT)))
    assert mine.judge('{"score":4,"failures":[{"rule":"a","reason":"b","fix":"c"}]}', {}).ok
    assert not mine.judge('{"score":"4","failures":[]}', {}).ok
    assert not mine.judge('{"score":4,"failures":[{"rule":"a"}]}', {}).ok


@pytest.mark.parametrize("deep", ["[" * 201 + "]" * 201, '{"a":' * 201 + "1" + "}" * 201, "[" * 100_000])
def test_an_answer_that_is_nested_too_deeply_is_not_json_and_harms_nobody(deep: str) -> None:
    judgement = checker('{"type": ["array", "object"]}').judge(deep, {})
    assert judgement.tier is FaultClass.NOT_JSON
    assert judgement.flaws == (Flaw("", "one JSON value", "nested too deeply"),)
    assert compile_contract(Contract()).judge(deep, {}).value == deep


def test_brackets_in_strings_are_no_levels() -> None:
    text = json.dumps(["[" * 500, "{" * 500])
    assert checker('{"type": "array"}').judge(text, {}).ok
