"""Places: from an offset in a value back to the file, in every style that YAML has."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.load.source import parse
from penstock.load.tree import Scalar, document


def scalar_of(text: str) -> tuple[Scalar, str]:
    tree = parse(text, "f.yaml")
    value = tree.root.get("run")
    assert isinstance(value, Scalar)
    return value, text


def traced(text: str) -> list[tuple[str, str]]:
    """Each character of the value that is not white space, with what stands at its place in the file."""
    scalar, source = scalar_of(text)
    spots = parse(text, "f.yaml").document.spelling(scalar).spots
    assert len(spots) == len(scalar.text) + 1
    return [(letter, source[spot]) for letter, spot in zip(scalar.text, spots, strict=False) if letter not in " \t\n"]


@pytest.mark.parametrize(
    "text",
    [
        "run: echo one two\n",
        "run: echo one\n  two\n\n  three # comment\n",
        "run: 'it''s one\n  line'\n",
        'run: "one\n  two"\n',
        "run: |\n  echo a\n    echo b\n\n  echo c\nname: x\n",
        "run: |+\n\n   echo a\n\n\nname: x\n",
        "run: |2-\n    echo a\n  echo b",
        "run: >\n  echo a\n  echo b\n\n    more\n  last\n",
        "run: >- # folded\n  예시: 모델\n  호출\n",
        "run: &anchor !!str echo one\n",
        "run: |\r\n  echo a\r\n  echo b\r\n",
        "run: echo 'a' \\\n  | tee b\n",
    ],
)
def test_every_letter_of_a_value_is_found_where_it_stands(text: str) -> None:
    pairs = traced(text)
    assert pairs
    assert all(letter == found for letter, found in pairs)


def test_escapes_are_found_at_their_backslash() -> None:
    scalar, source = scalar_of('run: "a\\tb\\u00e9\\x41\\\\c\\\n  d\\"e"\n')
    assert scalar.text == 'a\tbéA\\cd"e'
    spots = parse(source, "f.yaml").document.spelling(scalar).spots
    assert [source[spots[scalar.text.index(letter)]] for letter in 'éA\\d"e'] == ["\\", "\\", "\\", "d", "\\", "e"]


def test_the_place_of_an_offset_in_a_literal_block_is_exact() -> None:
    text = "name: x\nrun: |\n  echo one\n    echo two\n\n  echo three\n"
    tree = parse(text, "f.yaml")
    run = tree.root.get("run")
    assert isinstance(run, Scalar)
    places = {
        word: str(tree.document.locate(run, run.text.index(word))) for word in ("one", "two", "three", "  echo t")
    }
    assert places == {"one": "f.yaml:3:8", "two": "f.yaml:4:10", "three": "f.yaml:6:8", "  echo t": "f.yaml:4:3"}
    assert str(tree.document.locate(run, 10_000)) == "f.yaml:6:13"


def test_lines_are_counted_as_editors_count_them() -> None:
    tree = parse("name: x\r\nrun: a\rother: b\n", "f.yaml")
    places = [str(tree.document.place(key.start)) for key, _ in tree.root.entries]
    assert places == ["f.yaml:1:1", "f.yaml:2:1", "f.yaml:3:1"]


def test_columns_count_characters_not_bytes() -> None:
    tree = parse("name: {한글: 값, b: c}\n", "f.yaml")
    name = tree.root.get("name")
    assert name is not None
    assert str(tree.document.problem(name, "x").place) == "f.yaml:1:7"
    assert tree.document.problem(name, "x").width == len("{한글: 값, b: c}")


def test_the_line_that_is_shown_holds_no_control_characters() -> None:
    shown = document("f.yaml", "na\x1b[31mme: x")
    assert shown.problem(0, "x").source == "na\N{REPLACEMENT CHARACTER}[31mme: x"


LETTERS = st.sampled_from(list("ab é한'\"\\#:{}[]|>-$ \t\n"))


@settings(derandomize=True, max_examples=400, deadline=None)
@given(st.text(LETTERS, max_size=40), st.sampled_from(["|", ">", "'", '"', None]))
def test_what_yaml_writes_in_any_style_is_traced_back(value: str, style: str | None) -> None:
    text = yaml.safe_dump({"run": value}, default_style=style, allow_unicode=True, width=12)
    tree = parse(text, "f.yaml")
    scalar = next(node for key, node in tree.root.entries if key.text == "run")
    assert isinstance(scalar, Scalar)
    assert scalar.text == value
    spots = tree.document.spelling(scalar).spots
    for letter, spot in zip(value, spots, strict=False):
        assert letter in " \t\n" or text[spot] in (letter, "\\")
