"""Rules: the first that an item matches wins and says why, and an item that matches none says what each one saw."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import ConditionError, Place
from penstock.core.generation import Rule, Template
from penstock.core.models import Model
from penstock.core.routing import Branch, Choice
from penstock.rules.routing import choose, unmatched

SMALL = Model("small", "sim", "small")
LOW = {"item": {"risk": "low", "text": "a few words"}}


def rule(when: str | None, local: bool = False) -> Rule:
    """A rule of `generate`."""
    return Rule(when, (SMALL,), Template("x", None, Place("w.yaml", 1, 1)), local=local)


def test_the_first_rule_that_holds_wins_and_says_what_it_saw() -> None:
    rules = [rule("item.risk == 'high'"), rule("len(item.text) > 3", local=True), rule("true"), rule(None)]
    assert choose(rules, LOW) == Choice(2, None, 'len("a few words")=11 > 3 → true', local=True)


def test_a_rule_of_a_route_step_says_where_to() -> None:
    rules = [Branch("item.risk == 'high'", "legal", local=True), Branch(None, "sales")]
    assert choose(rules, LOW) == Choice(2, "sales", "no rule before it matched")
    assert choose(rules, {"item": {"risk": "high"}}) == Choice(1, "legal", '"high" == "high" → true', local=True)


def test_a_rule_without_a_condition_that_stands_first_takes_every_item() -> None:
    assert choose([rule(None), rule("item.nothing")], LOW) == Choice(1, None, "it has no condition")


def test_an_item_that_no_rule_matches_says_what_each_one_saw() -> None:
    rules = [rule("item.risk == 'high'"), rule("len(item.text) > 100")]
    assert choose(rules, LOW) is None
    assert (
        unmatched(rules, LOW) == 'no rule matches: 1: "low" == "high" → false; 2: len("a few words")=11 > 100 → false'
    )


def test_of_many_rules_that_do_not_match_five_are_shown_and_the_others_counted() -> None:
    rules = [rule(f"len(item.text) > {100 + number} and {' and '.join(['true'] * 200)}") for number in range(40)]
    said = unmatched(rules, LOW)
    assert said.count("→") + said.count("…") == 5
    assert said.endswith("; and 35 more")
    assert len(said) < 1500


@pytest.mark.parametrize("when", ["item.score > 0.5", "item.risk > 3", "item.risk"])
def test_a_condition_that_has_no_answer_is_an_error_of_its_rule_and_no_later_rule_is_taken(when: str) -> None:
    with pytest.raises(ConditionError, match=r"^rule 2: "):
        choose([rule("item.risk == 'high'"), rule(when), rule(None)], LOW)


def test_what_stands_behind_the_rule_that_wins_is_not_looked_at() -> None:
    assert choose([rule("item.risk == 'low'"), rule("item.nothing > 1")], LOW) is not None


@given(st.lists(st.booleans(), max_size=8))
def test_the_first_that_holds_is_chosen_whatever_follows(holds: list[bool]) -> None:
    found = choose([Branch(str(each).lower(), f"b{number}") for number, each in enumerate(holds)], {})
    if True in holds:
        assert found is not None
        assert (found.rule, found.to) == (holds.index(True) + 1, f"b{holds.index(True)}")
    else:
        assert found is None
