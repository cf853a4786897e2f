"""YAML as Penstock reads it: 1.2's core schema, every key once, one document, and no surprises."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from penstock.core import canon
from penstock.core.canon import Json
from penstock.core.errors import WorkflowError
from penstock.load.source import parse, read
from penstock.load.tree import Mapping, Scalar, Sequence, plain

if TYPE_CHECKING:
    from penstock.load.source import Loader

LOADERS = pytest.mark.parametrize("loader", [yaml.CSafeLoader, yaml.SafeLoader])


def value_of(text: str) -> Json:
    node = parse(f"a: {text}\n", "f.yaml").root.get("a")
    assert isinstance(node, Scalar)
    return node.value


TEXTS = """
    on off yes no y n 1:30 010 -010 01.5 2024-01-31 12e03x 0b11 1_000 0o8 = 0xg + . -.nan NaN inf tRUE nULL ~x 1e e5
    '1' "true"
"""


@pytest.mark.parametrize("text", [*TEXTS.split(), "!!str 1", "! 1"])
def test_these_are_texts(text: str) -> None:
    assert isinstance(value_of(text), str)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1", 1), ("-1", -1), ("+1", 1), ("0", 0), ("0o14", 12), ("0x1f", 31)),
        *(("true", True), ("True", True), ("FALSE", False), ("null", None), ("~", None), ("", None)),
        *(("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-1.5E-2", -0.015)),
    ],
)
def test_these_are_numbers_bools_and_null(text: str, value: Json) -> None:
    found = value_of(text)
    assert found == value
    assert type(found) is type(value) or isinstance(found, float)


def test_infinity_and_nan_are_floats_that_are_no_json() -> None:
    assert value_of(".inf") == math.inf
    assert value_of("-.Inf") == -math.inf
    nan = value_of(".NaN")
    assert isinstance(nan, float)
    assert math.isnan(nan)


def test_numbers_keep_their_spelling() -> None:
    rows = parse("a: [1.10, 1e400, 30, {b: 0.50}]\n", "f.yaml").root.get("a")
    assert rows is not None
    assert canon.compact(plain(rows)) == '[1.10,1e400,30,{"b":0.50}]'


def test_a_number_of_ten_thousand_digits_is_refused_and_does_no_harm() -> None:
    tree = parse(f"a: {'1' * 10_000}\n", "f.yaml")
    assert [problem.message for problem in tree.problems] == ["a number of over 400 digits"]


def test_an_alias_stands_for_what_it_names_and_costs_nothing() -> None:
    root = parse("a: &x [1, &y two]\nb: *x\nc: *y\n", "f.yaml").root
    assert root.get("a") is root.get("b")
    assert plain(root) == {"a": [1, "two"], "b": [1, "two"], "c": "two"}


def test_keys_are_texts_whatever_they_look_like() -> None:
    assert plain(parse("on: 1\nno: 2\n1: 3\nnull: 4\n", "f.yaml").root) == {"on": 1, "no": 2, "1": 3, "null": 4}


@LOADERS
@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("a: b\n\tc: d\n", "a tab, where YAML takes only spaces", "2:1"),
        ("a: echo b: c\n", "`: ` within a value, where YAML expects the value to end", "1:10"),
        ("a: {{x}} y\n", "`{{` begins a mapping in YAML", "1:4"),
        ("a: [b\nc: d\n", "this `[` is not closed", "1:4"),
        ("a: {b\n", "this `{` is not closed", "1:4"),
        ("a: 'b\n", "this ' is never closed", "1:4"),
        ("a: 'b' c\n", "text after the closing ' of a value", "1:8"),
        ("a: `b`\n", "a value cannot begin with `", "1:4"),
        ("a: *.b\n", "`*` at the start of a value begins an alias in YAML", "1:4"),
        ("a: &\n", "`&` at the start of a value begins an anchor in YAML", "1:4"),
        ("a: *b\n", "`*b` names nothing: no `&b` above", "1:4"),
        ("a: | b\n", "text on the line of `|`", "1:6"),
        ("a: b\n c: d\n", "this key stands below line 1, which has a value already", "2:2"),
        ("a:b\nc: d\n", "this line is no key, but line 2 below it is one", "1:1"),
        ("a: |\n   b\n  c\nd: e\n", "the indentation of this line fits no line above it", "3:3"),
        ("a:\n  - b\n  c: d\n", "this line is no element of the list that begins on line 2", "3:3"),
        ("a: b\n...\nc\n", "text after the end of the document", "3:1"),
        ("a: b\n--- c\n", "a second YAML document begins here", "2:1"),
        ("a: b\nc\n", "this line is no key, and does not go on with the value above", "2:1"),
        ("é: 한\x07\n", "the character U+0007, which a YAML file cannot hold", "1:5"),
        ("a: b\u2028\n", "the character U+2028, which ends a line in YAML and in no editor", "1:5"),
        ("a: " + "[" * 60, "nested deeper than 50 levels", "1:53"),
        ("a: &b [*b]\n", "`*b` stands within what it names", "1:8"),
    ],
)
def test_what_yaml_complains_of_is_said_in_our_words(text: str, message: str, place: str, loader: Loader) -> None:
    with pytest.raises(WorkflowError) as caught:
        parse(text, "f.yaml", loader)
    (problem,) = caught.value.problems
    assert (problem.message, str(problem.place)) == (message, f"f.yaml:{place}")
    assert problem.help


@LOADERS
def test_ten_to_the_ninth_laughs_are_refused_at_once(loader: Loader) -> None:
    names = "abcdefghi"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in pairwise(names)]
    with pytest.raises(WorkflowError, match="unfold to over 200,000 values"):
        parse("\n".join(lines), "f.yaml", loader)


def test_what_is_wrong_with_a_tree_that_can_be_read_is_told_all_at_once() -> None:
    tree = parse('a: 1\na: 2\nb: !x 3\nc: {<<: {d: 4}, e: 5}\n? [f]\n: 6\ng: "\\0"\n', "f.yaml")
    assert [(str(problem.place), problem.message) for problem in tree.problems] == [
        ("f.yaml:3:4", "the tag `!x`: a workflow file has no tags"),
        ("f.yaml:4:5", "`<<` merges mappings in YAML 1.1 only"),
        ("f.yaml:7:4", "a NUL or half a surrogate pair, which no text can hold"),
        ("f.yaml:2:1", "`a` is given twice; the first is on line 1"),
        ("f.yaml:5:3", "a key must be text"),
    ]
    assert plain(tree.root) == {"a": 1, "b": 3, "c": {"e": 5}, "g": "\0"}


def test_a_surrogate_is_refused_by_the_pure_parser_too() -> None:
    tree = parse('a: "\\ud83d"\n', "f.yaml", yaml.SafeLoader)
    assert [problem.message for problem in tree.problems] == ["a NUL or half a surrogate pair, which no text can hold"]
    with pytest.raises(WorkflowError, match="stands for no character"):
        parse('a: "\\ud83d"\n', "f.yaml", yaml.CSafeLoader)


def problem_of(path: Path) -> str:
    with pytest.raises(WorkflowError) as caught:
        read(path)
    return str(caught.value)


def test_a_file_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("flow.yaml").write_text("name: x\n")
    Path("notes.txt").write_text("")
    assert problem_of(Path("flow.yml")) == "flow.yml: there is no such file\n  help: there is flow.yaml"
    assert problem_of(Path("zzz")) == "zzz: there is no such file\n  help: there is flow.yaml"
    assert problem_of(Path("no/such")) == "no/such: there is no such file\n  help: there is no folder no either"
    Path("folder").mkdir()
    assert problem_of(Path("folder")) == "folder is a folder, not a workflow file"


def test_the_encoding_is_utf_8_and_a_byte_order_mark_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("flow.yaml")
    file.write_bytes("name: 요약\n".encode("utf-8-sig"))
    assert plain(read(file).root) == {"name": "요약"}
    file.write_bytes("name: x\n".encode("utf-16"))
    assert problem_of(file) == "flow.yaml is UTF-16; a workflow file is UTF-8\n  help: save it as UTF-8"
    file.write_bytes(b"\xef\xbb\xbfname: x\ndescription: caf\xe9 \xff\n")
    assert problem_of(file) == (
        "flow.yaml:2:17: the byte 0xE9 is not UTF-8, the encoding of a workflow file\n"
        "  2 | description: caf� �\n"
        "    |                 ^\n"
        "  help: save it as UTF-8"
    )


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "~\n", "---\n...\n"])
def test_an_empty_file_is_said_to_be_empty(text: str) -> None:
    with pytest.raises(WorkflowError, match=r"^f\.yaml holds no workflow: it is empty\n  help: it begins with `name"):
        parse(text, "f.yaml")


@LOADERS
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{b: ${X}}", {"b": "${X}"}),
        ("{b: ${X}/c, d: 1}", {"b": "${X}/c", "d": 1}),
        ("[x/${A_1}, $${B}]", ["x/${A_1}", "$${B}"]),
        ("{${X}: 1}", {"${X}": 1}),
        ("{b: '${X}', c: \"${Y} \\u00e9\"}", {"b": "${X}", "c": "${Y} \u00e9"}),
        ("\n  |\n  echo ${X}", "echo ${X}"),
        ("[\ue000, ${X}\ue001]", ["\ue000", "${X}\ue001"]),
    ],
)
def test_the_braces_of_a_variable_need_no_quotes(text: str, value: Json, loader: Loader) -> None:
    tree = parse(f"a: {text}", "f.yaml", loader)
    assert plain(tree.root) == {"a": value}
    assert tree.problems == ()


def test_a_value_behind_a_variable_in_brackets_keeps_its_place() -> None:
    tree = parse("a: {b: ${X}, c: [${Y}, d]}", "f.yaml")
    inner = tree.root.get("a")
    assert isinstance(inner, Mapping)
    listed = inner.get("c")
    assert isinstance(listed, Sequence)
    assert [tree.document.text_of(node) for node in listed.elements] == ["${Y}", "d"]
