"""Mending: what may be taken away, what is left alone, and what is never a value again."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.core import canon
from penstock.rules.mending import mend

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["```", ",}", "[1,]", "{", "}", "\ufeff", '"', "\\", "// no", "a, ]", "```json\n{}\n```"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
SPELLINGS = st.builds(
    lambda value, indent, ascii, before, after: before + json.dumps(value, indent=indent, ensure_ascii=ascii) + after,
    JSON,
    st.sampled_from([None, 0, 2]),
    st.booleans(),
    st.sampled_from(["", " ", "\n\t"]),
    st.sampled_from(["", "\r\n"]),
)
PROSE = st.text(st.characters(exclude_characters="{}[]\"'`~", exclude_categories=["Cs"]), max_size=20)
NESTED = (st.lists(JSON, max_size=3) | st.dictionaries(TEXTS, JSON, max_size=3)).map(
    lambda value: json.dumps(value, ensure_ascii=False)
)
STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


@settings(max_examples=300, deadline=None)
@given(SPELLINGS)
@example("1.10")
@example('{"a":1,"a":2}')
@example("-0")
@example("1e400")
@example("123456789012345678901234567890")
@example('"```json {} ```"')
def test_valid_json_is_never_changed(text: str) -> None:
    assert mend(text) == text


@settings(max_examples=300, deadline=None)
@given(PROSE, NESTED, PROSE, st.sampled_from([("", ""), ("```json\n", "\n```"), ("~~~\n", "\n~~~"), ("\ufeff", "")]))
def test_a_value_in_prose_or_fences_comes_out_as_it_was_written(
    before: str, value: str, after: str, fence: tuple[str, str]
) -> None:
    mended = mend(f"{before}{fence[0]}{value}{fence[1]}{after}")
    assert mended is not None
    assert mended.strip() == value.strip()  # white space around a JSON text is no prose: such a text stays as it is


def with_trailing_commas(text: str) -> str:
    """Every bracket that closes something gets a comma before it, outside strings."""
    pieces = re.split(f"({STRING.pattern})", text, flags=re.DOTALL)
    for number in range(0, len(pieces), 2):
        pieces[number] = re.sub(r"(?<=[^\s\[{,:])([\]}])", r", \1", pieces[number])
        if number and pieces[number][:1] in {"]", "}"}:
            pieces[number] = "," + pieces[number]
    return "".join(pieces)


@settings(max_examples=300, deadline=None)
@given(NESTED)
@example('{"a":[1,{"b":",}"}]}')
def test_trailing_commas_go_and_nothing_else(text: str) -> None:
    spoilt = with_trailing_commas(text)
    mended = mend(spoilt)
    assert mended is not None
    assert canon.parse(mended) == canon.parse(text)
    assert STRING.findall(mended) == STRING.findall(text)


NOISE = st.sampled_from([",", ", ", "{", "}", "]", "```", "so ", "\n", "1", '"', '"a"', ":"])
TOKEN = re.compile(rf"{STRING.pattern}|[^\s\"]", re.DOTALL)


@settings(max_examples=500, deadline=None)
@given(NESTED, st.lists(st.tuples(st.integers(0, 60), NOISE), min_size=1, max_size=3))
@example('["a", 1]', [(4, ",")])
@example('["a", 1]', [(0, "so "), (6, "```")])
def test_what_is_mended_is_json_made_by_deletion_outside_strings(json_text: str, noise: list[tuple[int, str]]) -> None:
    tokens = TOKEN.findall(json_text)
    for position, token in noise:
        tokens.insert(min(position, len(tokens)), token)
    text = "".join(tokens)
    mended = mend(text)
    if mended is None:
        return
    canon.parse(mended)
    at = 0
    for piece in re.split(f"({STRING.pattern})", mended, flags=re.DOTALL):
        for token in [piece] if piece.startswith('"') else piece:
            found = text.find(token, at)
            assert found >= 0
            at = found + len(token)


@settings(max_examples=200, deadline=None)
@given(NESTED, st.data())
def test_what_is_cut_off_is_never_mended(text: str, data: st.DataObject) -> None:
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    assert mend(cut) is None
    assert mend(f"```json\n{cut}") is None


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ('Sure! Here it is: {"a": 1} Hope it helps.', '{"a": 1}'),
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('```\n"text"\n```', '"text"'),
        ("```json\n4.50\n```\n", "4.50"),
        ("\ufeff 7", "7"),
        ('{"a": [1, 2, ], }', '{"a": [1, 2 ] }'),
        ('I use {curly} words: {"a": 1}', '{"a": 1}'),
        ('{"s": "```", }', '{"s": "```" }'),
        ('<think>hm</think>\n{"a": 1}', '{"a": 1}'),
    ],
)
def test_examples_that_are_mended(text: str, mended: str) -> None:
    assert mend(text) == mended


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON at all",
        "the answer is 5",
        '{"a": 1} or {"a": 2}',
        '{"a": 1}\n{"a": 1}',
        '{"a": 1',
        '{"a": "b',
        '[{"a": 1}, {"a": 2}',
        'first {"a": 1} then {"b": ',
        '"a": {"b": 1}}',
        '{"a": 1]',
        "{'a': 1}",
        "{a: 1}",
        '{"a": 1 "b": 2} and {"c": 3}',
        "[,]",
        "[1,,]",
        '{"a":,}',
        "[1,,2]",
        '{"a": NaN}',
        '{"a": 01}',
        '{"a": 1} // {',
        '{"a": "x\ny"}',
        "```json\n4\n```\n```json\n5\n```",
        "[" * 50_000,
        "[" * 50_000 + "]" * 50_000,
    ],
)
def test_examples_that_are_not_mended(text: str) -> None:
    assert mend(text) is None
