"""JSON keeps the spelling that people gave it, and what is no JSON is refused."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.canon import canonical, compact, fingerprint, item_hash, item_key, parse, squeeze

NUMBERS = ["0", "-0", "-0.0", "1.10", "1e5", "1E+05", "1e400", "0.1000000000000000055", "9" * 30]

numbers = st.sampled_from(NUMBERS) | st.integers().map(str) | st.floats(allow_nan=False, allow_infinity=False).map(repr)
strings = st.text().map(json.dumps) | st.text().map(lambda text: json.dumps(text, ensure_ascii=False))
words = st.sampled_from(["true", "false", "null"])
spaces = st.text(" \t\r\n", max_size=3)


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    elements = draw(st.lists(inner, max_size=4))
    return "[" + ",".join(f"{draw(spaces)}{element}{draw(spaces)}" for element in elements) + "]"


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    names = draw(st.lists(st.text(), max_size=4, unique=True))
    pairs = [f"{draw(spaces)}{json.dumps(name)}{draw(spaces)}:{draw(spaces)}{draw(inner)}" for name in names]
    return "{" + ",".join(pairs) + draw(spaces) + "}"


documents = st.recursive(numbers | strings | words, lambda inner: arrays(inner) | objects(inner), max_leaves=12)


def is_surrogate(letter: str) -> bool:
    return "\ud800" <= letter <= "\udfff"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", '{"score": NaN}', "[1, -Infinity]"])
def test_what_is_no_json_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"(NaN|Infinity) is not a JSON number"):
        parse(text)


@pytest.mark.parametrize("text", ['"\\ud800"', '{"\\udfff": 1}', '["a", {"b": "x\\udc80y"}]', '"\\ude00\\ud83d"'])
def test_a_lone_surrogate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="lone surrogate"):
        parse(text)


def test_a_lone_surrogate_that_came_without_an_escape_is_refused() -> None:
    with pytest.raises(ValueError, match="lone surrogate"):
        parse('"\ud800"')


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert parse('"\\ud83d\\ude00"') == "😀"


@pytest.mark.parametrize("text", ["", " ", "{", "[1,]", "01", "+1", "1.", "'a'", "tru", "1 2", '{"a" 1}', "\ufeff1"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        parse(text)


def test_bytes_that_are_no_utf8_are_a_value_error() -> None:
    with pytest.raises(UnicodeDecodeError):
        parse(b'"\xff"')


@pytest.mark.parametrize("depth", [900, 100_000])
def test_what_is_nested_too_deeply_is_refused_and_no_recursion_error(depth: int) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse("[" * depth + '"\\u00e9"' + "]" * depth)


def test_three_hundred_levels_are_not_too_deep() -> None:
    text = "[" * 300 + '"\\u00e9"' + "]" * 300
    assert compact(parse(text)) == text.replace("\\u00e9", "é")


def test_an_integer_of_five_thousand_digits_is_refused_without_advice_to_a_programmer() -> None:
    with pytest.raises(ValueError, match=r"^Exceeds the limit \(4300 digits\) for integer string conversion$"):
        parse('{"n": -' + "1" * 5000 + "}")


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_keeps_its_spelling(text: str) -> None:
    assert compact(parse(text)) == text
    assert compact(parse(f'{{"a": [{text}]}}')) == f'{{"a":[{text}]}}'


def test_a_written_number_is_still_a_number() -> None:
    assert parse("1.10") == 1.1
    assert parse("-0") == 0
    assert parse("1e400") == math.inf


@given(documents)
def test_squeezing_takes_out_white_space_and_nothing_else(text: str) -> None:
    squeezed = squeeze(text)
    assert parse(squeezed) == parse(text)
    assert squeeze(squeezed) == squeezed
    assert squeezed.replace(" ", "") == "".join(letter for letter in text if letter not in " \t\r\n")


@given(documents)
def test_compact_json_has_the_same_value_and_the_same_numbers(text: str) -> None:
    value = parse(text)
    once = compact(value)
    assert parse(once) == value
    assert compact(parse(once)) == once
    assert squeeze(once) == once


@given(numbers)
def test_every_number_comes_out_as_it_was_written(text: str) -> None:
    assert compact(parse(text)) == text


@given(st.text().filter(lambda text: not any(map(is_surrogate, text))))
def test_text_is_kept_without_ascii_escapes(text: str) -> None:
    shown = compact(text)
    assert json.loads(shown) == text
    assert "\\u" not in shown or any(letter < " " or letter == "\\" for letter in text)


def test_a_value_that_is_no_json_is_not_shown_as_if_it_were() -> None:
    with pytest.raises(TypeError, match="set is not JSON"):
        compact({"a": {1}})
    with pytest.raises(ValueError, match="JSON"):
        compact(math.nan)


@given(st.dictionaries(st.text(), st.integers() | st.text()), st.randoms(use_true_random=False))
def test_equal_values_have_one_canonical_spelling(value: dict[str, object], order: random.Random) -> None:
    names = list(value)
    order.shuffle(names)
    shuffled = {name: value[name] for name in names}
    assert canonical(shuffled) == canonical(value)
    assert fingerprint(shuffled) == fingerprint(value)
    assert len(fingerprint(value)) == 64


def test_different_values_have_different_fingerprints() -> None:
    values: list[object] = ["1", 1, [1], {"1": 1}, None, "null", "", [], {}]
    assert len({fingerprint(value) for value in values}) == len(values)


def test_a_key_is_sixteen_digits_and_later_rows_with_the_same_text_are_numbered() -> None:
    digest = item_hash(b"x")
    assert digest.hex() == "2d711642b726b04401627ca9fbac32f5"
    assert [item_key(digest, number) for number in range(3)] == [
        "2d711642b726b044",
        "2d711642b726b044.2",
        "2d711642b726b044.3",
    ]
