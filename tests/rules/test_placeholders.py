"""Placeholders: which braces are one, what is wrong with the others, and the text of their values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core import canon
from penstock.core.workflow import Placeholder
from penstock.rules.placeholders import (
    SUM_LIMIT_BYTES,
    VALUE_LIMIT_BYTES,
    Fault,
    Found,
    ValueFault,
    check_sizes,
    find,
    resolve,
)


@pytest.mark.parametrize(
    ("text", "root", "path"),
    [
        ("{{item}}", "item", ()),
        ("{{ item }}", "item", ()),
        ("{{\titem }}", "item", ()),
        ("{{i}}", "i", ()),
        ("{{key}}", "key", ()),
        ("{{attempt}}", "attempt", ()),
        ("{{origin}}", "origin", ()),
        ("{{item.a.b}}", "item", ("a", "b")),
        ("{{item.제목}}", "item", ("제목",)),
        ("{{item.été_1}}", "item", ("été_1",)),
        ('{{item["a b"]}}', "item", ("a b",)),
        ("{{item['a b']}}", "item", ("a b",)),
        ('{{item["a\\"b"]}}', "item", ('a"b',)),
        ('{{item["}}"].x}}', "item", ("}}", "x")),
        ("{{item[0]}}", "item", (0,)),
        ("{{item[ -1 ]}}", "item", (-1,)),
        ("{{item.a[0].b}}", "item", ("a", 0, "b")),
        ('{{outputs["my-step"].x}}', "outputs", ("my-step", "x")),
        ("{{outputs.verify}}", "outputs", ("verify",)),
        ("{{chain.verify.ok}}", "chain", ("verify", "ok")),
        ("{{env.MODEL}}", "env", ("MODEL",)),
        ('{{env["X"]}}', "env", ("X",)),
        ("{{run.id}}", "run", ("id",)),
        ("{{run.dir}}", "run", ("dir",)),
    ],
)
def test_a_placeholder_is_found_with_its_path(text: str, root: str, path: tuple[str | int, ...]) -> None:
    assert find(f"가 {text} b") == (Found(2, len(text), Placeholder(root, path, text)),)


@pytest.mark.parametrize(
    "text",
    ["{{ .Values.x }}", "{{.Names}}", "{{#if x}}", "{{/if}}", "{{> part}}", "{{json .Config}}", "{{range .Items}}",
     "{% if item %}", "{{", "}}", "{{}}", "{{ }}", "{item}", "{ {item}}", "{{1}}", "{{-1}}", "{{$x}}", '{{"item"}}',
     "{{!item}}", "{{item", "{{x + 1}}", "{{format . }}", "{{printf \"%s\" .X}}", "${x}", "{{name|upper}}",
     "{{\nitem}}", "{{item\n}}"],
)  # fmt: skip
def test_other_braces_are_left_alone(text: str) -> None:
    assert find(text) == ()


@pytest.mark.parametrize(
    ("text", "message", "help"),
    [
        ("{{itme}}", "no placeholder `itme`", "did you mean {{item}}?"),
        ("{{Item}}", "no placeholder `Item`", "did you mean {{item}}?"),
        ("{{items.x}}", "no placeholder `items`", "did you mean {{item}}?"),
        ("{{index}}", "no placeholder `index`", "did you mean {{i}}?"),
        ("{{row.x}}", "no placeholder `row`", "did you mean {{item}}?"),
        ("{{steps.a}}", "no placeholder `steps`", "did you mean {{outputs}}?"),
        ("{{vars.a}}", "no placeholder `vars`", "did you mean {{env}}?"),
        ("{{whatever.else}}", "no placeholder `whatever`", "There are: item"),
        ("{{제목}}", "no placeholder `제목`", 'part them: "{""{"'),
        ("{{i.x}}", "`i` has no fields", "write {{i}}"),
        ("{{key[0]}}", "`key` has no fields", "write {{key}}"),
        ("{{attempt.x}}", "`attempt` has no fields", "write {{attempt}}"),
        ("{{env}}", "`env` is read by one name", "{{env.NAME}}"),
        ("{{env.a.b}}", "`env` is read by one name", "{{env.NAME}}"),
        ("{{env[0]}}", "`env` is read by one name", "{{env.NAME}}"),
        ("{{outputs}}", "`outputs` is read by the name", "{{outputs.NAME}}"),
        ("{{outputs[0]}}", "`outputs` is read by the name", "{{outputs.NAME}}"),
        ("{{chain}}", "`chain` is read by the name", "{{chain.NAME}}"),
        ("{{run}}", "`run` has `id` and `dir`", "{{run.id}}"),
        ("{{run.foo}}", "`run` has `id` and `dir`", "{{run.id}}"),
        ("{{item.first-name}}", "cannot be read as a placeholder", "a placeholder is a name and its fields"),
        ("{{item.}}", "cannot be read as a placeholder", '{{item["a-b"]}}'),
        ("{{item.1}}", "cannot be read as a placeholder", '{{item["a-b"]}}'),
        ("{{item[x]}}", "cannot be read as a placeholder", "{{item[0]}}"),
        ("{{itme[x]}}", "cannot be read as a placeholder", "{{item[0]}}"),
        ("{{item | upper}}", "cannot be read as a placeholder", "nothing more: {{item}}"),
        ("{{i + 1}}", "cannot be read as a placeholder", "calculate in the command"),
        ("{{item}", "ends with one brace", "write }}"),
    ],
)
def test_what_looks_like_a_placeholder_and_is_none_is_a_fault(text: str, message: str, help: str) -> None:
    (fault,) = find(f"가 {text} b")
    assert isinstance(fault, Fault)
    assert (fault.offset, fault.width) == (2, len(text))
    assert message in fault.message
    assert help in (fault.help or "")


def test_a_backslash_before_a_placeholder_is_a_fault() -> None:
    (fault,) = find("a \\{{item}}")
    assert isinstance(fault, Fault)
    assert (fault.offset, fault.width) == (2, 9)
    assert "drop the backslash" in (fault.help or "")


@pytest.mark.parametrize("text", ["{{item}}", "{{item.x}}", "{{i}}", "{{key}}", "{{origin.x}}", "{{chain.a}}"])
def test_without_foreach_there_is_no_item(text: str) -> None:
    (fault,) = find(text, foreach=False)
    assert isinstance(fault, Fault)
    assert "no `foreach`" in fault.message
    assert fault.help == "add `foreach:` to the step"


def test_without_foreach_the_others_remain() -> None:
    assert len([each for each in find("{{env.A}} {{run.id}} {{outputs.x}} {{attempt}}", foreach=False)
                if isinstance(each, Found)]) == 4  # fmt: skip


def test_all_are_found_in_order_and_adjoining() -> None:
    text = "{{{item}}}{{i}}{{itme}}{{ .x }}\n{{key}}"
    assert [(each.offset, each.width) for each in find(text)] == [(1, 8), (10, 5), (15, 8), (32, 7)]


@given(st.lists(st.sampled_from([*"{}[]\"'\\. i0가\n", "{{", "}}", "item", "{{item}}"])).map("".join))
def test_what_is_found_stands_there_and_does_not_overlap(text: str) -> None:
    end = 0
    for each in find(text):
        assert each.offset >= end
        end = each.offset + each.width
        assert end <= len(text)
        if isinstance(each, Found):
            assert text[each.offset : end] == each.placeholder.text
            assert find(each.placeholder.text) == (Found(0, each.width, each.placeholder),)


def value_of(text: str, names: dict[str, object], item_text: str | None = None) -> str:
    (found,) = find(text)
    assert isinstance(found, Found)
    return resolve(found.placeholder, names, item_text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{item}}", '{"a": {"b": [1, 2.50]} }'),
        ("{{item.a}}", '{"b":[1,2.50]}'),
        ("{{item.a.b}}", "[1,2.50]"),
        ("{{item.a.b[1]}}", "2.50"),
        ("{{item.a.b[-2]}}", "1"),
        ("{{i}}", "3"),
        ("{{key}}", "abc"),
        ("{{env.X}}", "y"),
        ("{{outputs.s.ok}}", "true"),
        ("{{outputs.s.none}}", "null"),
        ("{{outputs.s.text}}", '한 "q" \n'),
        ("{{outputs.s}}", '{"ok":true,"none":null,"text":"한 \\"q\\" \\n"}'),
    ],
)
def test_a_string_is_given_as_it_is_and_all_else_as_compact_json(text: str, value: str) -> None:
    row = '{"a": {"b": [1, 2.50]} }'
    record = {"ok": True, "none": None, "text": '한 "q" \n'}
    names = {"item": canon.parse(row), "i": 3, "key": "abc", "env": {"X": "y"}, "outputs": {"s": record}}
    assert value_of(text, names, row) == value


def test_an_item_without_its_own_text_is_compact_json() -> None:
    assert value_of("{{item}}", {"item": {"a": 1}}) == '{"a":1}'
    assert value_of("{{item}}", {"item": "plain text"}) == "plain text"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{{item.titel}}", r"\{\{item.titel\}\}: item has no `titel`, only `title`, `tags`; did you mean `title`\?"),
        ("{{item.zzz}}", r"item has no `zzz`, only `title`, `tags`\."),
        ("{{item.title.x}}", r"item\.title is text, not an object, so it has no `x`"),
        ("{{item.tags.x}}", r"item\.tags is a list, not an object"),
        ("{{item.tags[2]}}", r"item\.tags has 2 elements, and no \[2\]"),
        ("{{item.tags[-3]}}", r"item\.tags has 2 elements, and no \[-3\]"),
        ("{{item[0]}}", r"item is an object, not a list"),
        ('{{item["a b"].c}}', r"item has no `a b`"),
        ("{{item.tags[0].x}}", r"item\.tags\[0\] is a number"),
        ("{{item.tags[1].x}}", r"item\.tags\[1\] is null"),
        ("{{origin.x}}", r"there is no `origin` here"),
        ("{{env.NOPE}}", r"env has no `NOPE`, only nothing"),
    ],
)
def test_a_value_that_is_not_there_is_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueFault, match=sentence):
        value_of(text, {"item": {"title": "x", "tags": [1, None]}, "env": {}})


@pytest.mark.parametrize("name", ["items", "keys", "__class__", "get", "values"])
def test_a_field_is_never_a_method(name: str) -> None:
    with pytest.raises(ValueFault, match="has no"):
        value_of(f"{{{{item.{name}}}}}", {"item": {"a": 1}})
    with pytest.raises(ValueFault, match="is text"):
        value_of(f"{{{{item.{name}}}}}", {"item": "a"})


def test_many_fields_are_listed_in_part() -> None:
    with pytest.raises(ValueFault, match="and 80 more"):
        value_of("{{item.zzz}}", {"item": {f"f{number}": 1 for number in range(100)}})


@pytest.mark.parametrize(("value", "sentence"), [("a\0b", "NUL"), ("\ud800", "lone surrogate")])
def test_a_value_that_no_argument_can_hold_is_a_sentence(value: str, sentence: str) -> None:
    with pytest.raises(ValueFault, match=sentence):
        value_of("{{item.a}}", {"item": {"a": value}})


def test_sizes_are_bytes_of_utf_8_and_the_limit_is_met_exactly() -> None:
    check_sizes({"{{item}}": "a" * VALUE_LIMIT_BYTES})
    check_sizes({"{{item}}": "한" * (VALUE_LIMIT_BYTES // 3)})
    for value in ("a" * (VALUE_LIMIT_BYTES + 1), "한" * (VALUE_LIMIT_BYTES // 3 + 1)):
        with pytest.raises(ValueFault, match=r"\{\{item\}\} is 122,88\d bytes.*standard input or \$PENSTOCK_ITEM_FILE"):
            check_sizes({"{{item}}": value})


def test_values_have_a_limit_together() -> None:
    each = "a" * (SUM_LIMIT_BYTES // 5)
    check_sizes({str(number): each for number in range(5)})
    with pytest.raises(ValueFault, match="together"):
        check_sizes({str(number): each for number in range(6)})
