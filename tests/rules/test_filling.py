"""The values of a script's placeholders for one row."""

from __future__ import annotations

import pytest

from penstock.rules.filling import values_of
from penstock.rules.placeholders import SUM_LIMIT_BYTES, VALUE_LIMIT_BYTES, ValueFault
from tests.doubles import shell

NAMES = {"item": {"a": {"b": 1, "c": "x y"}, "big": "x" * (VALUE_LIMIT_BYTES + 1)}, "i": 4, "env": {"M": "m"}}


def test_a_field_that_is_missing_is_a_sentence_with_what_there_is() -> None:
    with pytest.raises(ValueFault, match=r"\{\{item\.a\.d\}\}: item\.a has no `d`, only `b`, `c`"):
        values_of(shell(bindings={"V": "item.a.d"}).script, NAMES, "{}")


def test_a_value_that_is_too_long_is_a_sentence_that_says_where_to_read_it() -> None:
    with pytest.raises(
        ValueFault, match=r"\{\{item\.big\}\} is 122,881 bytes.* read standard input or \$PENSTOCK_ITEM_FILE"
    ):
        values_of(shell(bindings={"V": "item.big"}).script, NAMES, "{}")


def test_values_that_are_too_long_together_are_refused_though_each_is_short_enough() -> None:
    names = {"item": dict.fromkeys("abcdef", "x" * (SUM_LIMIT_BYTES // 5))}
    five = {f"V{letter}": f"item.{letter}" for letter in "abcde"}
    assert len(values_of(shell(bindings=five).script, names, "{}")) == 5
    with pytest.raises(ValueFault, match="together, over 524,288"):
        values_of(shell(bindings={**five, "VF": "item.f"}).script, names, "{}")


def test_the_whole_item_is_the_rows_exact_text() -> None:
    text = '{ "a" : 1.10 }'
    assert values_of(shell(bindings={"V": "item", "W": "i"}).script, NAMES, text) == {"V": text, "W": "4"}


def test_each_variable_has_its_value() -> None:
    script = shell(bindings={"A": "item.a", "B": "item.a.c", "C": "env.M"}).script
    assert values_of(script, NAMES, "{}") == {"A": '{"b":1,"c":"x y"}', "B": "x y", "C": "m"}


def test_the_number_of_the_attempt_is_left_for_later() -> None:
    assert values_of(shell(bindings={"V": "attempt", "W": "i"}).script, NAMES, None) == {"W": "4"}
