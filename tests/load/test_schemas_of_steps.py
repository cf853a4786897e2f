"""`schema`: a document that stands alone, whatever files it was spread over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from penstock.core.canon import Json
from penstock.core.errors import WorkflowError
from penstock.core.generation import Schema, Verify
from penstock.load.build import load


def schema_of(folder: Path, files: dict[str, Json], written: str = "s.json") -> Schema:
    """The schema of a step that names `written`, in a folder with these files."""
    for name, value in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    text = f"name: x\nsteps:\n  - id: a\n    foreach: [1]\n    verify:\n      schema: {written}\n"
    spec = load(folder / "flow.yaml", overrides={}, environ={}, text=text).steps[0].spec
    assert isinstance(spec, Verify)
    assert spec.contract.schema is not None
    return spec.contract.schema


def messages(folder: Path, files: dict[str, Json], written: str = "s.json") -> list[str]:
    with pytest.raises(WorkflowError) as caught:
        schema_of(folder, files, written)
    return [f"{problem.place}: {problem.message}".removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_a_schema_without_references_is_the_document(tmp_path: Path) -> None:
    value = {"type": "object", "properties": {"$id": {"const": {"$ref": "x"}}}, "required": ["$id"], "title": "T"}
    schema = schema_of(tmp_path, {"s.json": value})
    assert schema.value == value
    assert schema.file == "s.json"


def test_a_schema_may_stand_in_the_workflow_and_refer_to_files_beside_it(tmp_path: Path) -> None:
    schema = schema_of(tmp_path, {"d/n.json": {"minimum": 3}}, "{type: array, items: {$ref: d/n.json}, maxItems: 2.0}")
    assert schema.value == {
        "type": "array",
        "items": {"$ref": "#/$defs/n"},
        "maxItems": 2.0,
        "$defs": {"n": {"minimum": 3}},
    }
    assert schema.file is None


def test_numbers_are_plain_floats(tmp_path: Path) -> None:
    schema = schema_of(tmp_path, {"s.json": '{"multipleOf": 0.10, "enum": [1.50]}'})
    assert isinstance(schema.value, dict)
    assert type(schema.value["multipleOf"]) is float
    assert type(schema.value["enum"][0]) is float


def test_every_file_is_taken_in_once_and_references_within_it_lead_there(tmp_path: Path) -> None:
    schema = schema_of(
        tmp_path,
        {
            "s.json": {
                "$id": "https://example.com/s.json",
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "properties": {
                    "a": {"$ref": "lib/common.json#/$defs/id"},
                    "b": {"$ref": "./lib/common.json"},
                    "c": {"$ref": "https://example.com/s.json#/$defs/common"},
                    "d": {"$ref": "#own"},
                },
                "$defs": {"common": {"type": "string"}, "x": {"$anchor": "own", "maximum": 7}},
            },
            "lib/common.json": {
                "$id": "common",
                "$schema": "https://json-schema.org/draft/2020-12/schema#",
                "$ref": "#named",
                "$defs": {
                    "id": {"allOf": [{"$ref": "other%20file.json"}, {"$ref": "#/$defs/a~1b"}]},
                    "a/b": {"minLength": 2},
                    "n": {"$anchor": "named", "$ref": "../s.json#/$defs/x"},
                },
            },
            "lib/other file.json": {"$ref": "common.json#/$defs/n"},
        },
    )
    assert schema.value == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {
            "a": {"$ref": "#/$defs/common_2/$defs/id"},
            "b": {"$ref": "#/$defs/common_2"},
            "c": {"$ref": "#/$defs/common"},
            "d": {"$ref": "#/$defs/x"},
        },
        "$defs": {
            "common": {"type": "string"},
            "x": {"$anchor": "own", "maximum": 7},
            "common_2": {
                "$ref": "#/$defs/common_2/$defs/n",
                "$defs": {
                    "id": {"allOf": [{"$ref": "#/$defs/other_file"}, {"$ref": "#/$defs/common_2/$defs/a~1b"}]},
                    "a/b": {"minLength": 2},
                    "n": {"$ref": "#/$defs/x"},
                },
            },
            "other_file": {"$ref": "#/$defs/common_2/$defs/n"},
        },
    }
    Draft202012Validator.check_schema(schema.value)


def test_files_that_refer_to_each_other_stay_references_and_judge_as_they_should(tmp_path: Path) -> None:
    schema = schema_of(
        tmp_path,
        {
            "s.json": {"properties": {"child": {"$ref": "node.json"}}, "required": ["name"]},
            "node.json": {"type": "object", "properties": {"root": {"$ref": "s.json"}, "node": {"$ref": "#"}}},
        },
    )
    assert isinstance(schema.value, dict)
    judge = Draft202012Validator(schema.value)
    good = {"name": 1, "child": {"node": {"node": {}, "root": {"name": 2}}}}
    assert judge.is_valid(good)
    assert not judge.is_valid({"name": 1, "child": {"node": {"node": {"root": {}}}}})
    assert not judge.is_valid({"name": 1, "child": {"node": 3}})


def test_a_file_in_any_alphabet_is_found(tmp_path: Path) -> None:
    schema = schema_of(
        tmp_path, {"s.json": {"$ref": "공통.json#/$defs/이름"}, "공통.json": {"$defs": {"이름": {"type": "string"}}}}
    )
    assert schema.value == {
        "$ref": "#/$defs/schema/$defs/%EC%9D%B4%EB%A6%84",
        "$defs": {"schema": {"$defs": {"이름": {"type": "string"}}}},
    }


def test_an_older_draft_is_judged_by_its_own_rules(tmp_path: Path) -> None:
    seven = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}], "definitions": {}}
    assert schema_of(tmp_path, {"s.json": seven}).value == seven
    assert messages(tmp_path, {"s.json": {"items": [{}]}}) == [
        's.json:1:11: `/items` of the schema is no JSON Schema: [{}] is not of types "boolean", "object"'
    ]
    assert messages(tmp_path, {"s.json": {"$ref": "seven.json"}, "seven.json": seven}) == [
        "seven.json:1:13: this schema is of another draft than the one that refers to it"
    ]
    assert messages(tmp_path, {"s.json": {"$schema": "https://example.com/mine"}}) == [
        "s.json:1:13: there is no draft `https://example.com/mine` of JSON Schema"
    ]


def test_a_reference_by_a_dynamic_name_stays_in_the_first_file_only(tmp_path: Path) -> None:
    tree = {"$dynamicAnchor": "node", "properties": {"next": {"$dynamicRef": "#node"}}}
    assert schema_of(tmp_path, {"s.json": tree}).value == tree
    assert messages(tmp_path, {"s.json": {"$ref": "tree.json"}, "tree.json": tree}) == [
        "tree.json:1:2: `$dynamicAnchor` cannot lead from file to file",
        "tree.json:1:52: `$dynamicRef` cannot lead from file to file",
    ]


def test_a_pattern_that_cannot_be_matched_in_linear_time_is_placed_in_the_file_that_has_it(tmp_path: Path) -> None:
    files: dict[str, Json] = {"s.json": {"$ref": "n.json"}, "n.json": {"properties": {"a": {"pattern": "(?=a)"}}}}
    (told,) = messages(tmp_path, files)
    assert told.startswith("n.json:1:34: `/properties/a/pattern` of the schema cannot be used:")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "s.json:1:1: this is not JSON: expecting value"),
        ("{'a': 1}", "s.json:1:2: this is not JSON: expecting property name enclosed in double quotes"),
        ('{"a": 1,\n}', "s.json:1:8: this is not JSON: a comma, and then `}`"),
        ('{"a": [1,]}', "s.json:1:9: this is not JSON: a comma, and then `]`"),
        ('{"a": 1} x', "s.json:1:10: this is not JSON: extra data"),
        ('{"minimum": NaN}', "s.json:1:1: this is not JSON: NaN is not a JSON number"),
        ('{"minimum": 1e999}', "s.json:1:13: this number is too large"),
        (
            '{"a": "\\ud800"}',
            "s.json:1:1: this is not JSON: holds a lone surrogate (\\ud800 to \\udfff), which is no character",
        ),
        ('"text"', 's.json:1:1: this is no JSON Schema: "text" is not of types "boolean", "object"'),
        ("[" * 70 + "]" * 70, "s.json:1:62: nested deeper than 60 levels"),
    ],
)
def test_a_file_that_is_no_schema_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    assert messages(tmp_path, {"s.json": text}) == [told]


def test_a_schema_may_be_true_or_false(tmp_path: Path) -> None:
    assert schema_of(tmp_path, {"s.json": "false"}).value is False
    assert schema_of(tmp_path, {"s.json": {"not": {"$ref": "t.json"}}, "t.json": "true"}).value == {
        "not": {"$ref": "#/$defs/t"},
        "$defs": {"t": True},
    }
