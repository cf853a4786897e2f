"""What a plan says of a step that is another than it was: its rules, what it asks, and whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.core.errors import Place
from penstock.core.generation import Contract, Generate, Rule, Template, Verify
from penstock.core.models import Model
from penstock.core.routing import Branch, Route
from penstock.rules.step_changes import Spec, step_changes

AT = Place("flow.yaml", 1, 1)
SMALL, LARGE = Model("small", "sim", "small"), Model("large", "sim", "large")


def text(said: str) -> Template:
    """A prompt."""
    return Template(said, None, AT)


def rule(when: str | None, model: Model = SMALL, prompt: str = "Say") -> Rule:
    """A rule of `generate.route`."""
    return Rule(when, (model,), text(prompt))


PLAIN = Generate((SMALL,), text("Say"), Contract())
RULED = replace(PLAIN, rules=(rule("item.a > 1"), rule("item.b > 2", LARGE), rule(None)))
ROUTE = Route(("low", "high"), (Branch("item.a > 1", "low"), Branch(None, "high")))
CHOSEN = Route(("low", "high"), (), PLAIN)


def ruled(*rules: Rule) -> Generate:
    """The step with these rules."""
    return replace(PLAIN, rules=rules)


CASES: dict[str, tuple[Spec, Spec, tuple[str, ...]]] = {
    "nothing": (RULED, RULED, ()),
    "a rule is new": (
        RULED,
        ruled(rule("item.a > 1"), rule("item.c > 3"), *RULED.rules[1:]),
        ("rule 2 is new: item.c > 3",),
    ),
    "a rule is gone": (RULED, ruled(RULED.rules[0], RULED.rules[2]), ("rule 2 is gone: item.b > 2",)),
    "a condition": (
        RULED,
        ruled(rule("item.a > 9"), *RULED.rules[1:]),
        ("rule 1: `when` changed",),
    ),
    "the order": (
        RULED,
        ruled(RULED.rules[1], RULED.rules[0], RULED.rules[2]),
        ("the rules stand in another order",),
    ),
    "a rule's model and prompt": (
        RULED,
        ruled(rule("item.a > 1", LARGE, "Tell"), *RULED.rules[1:]),
        ("rule 1: model small → large", "rule 1: prompt changed"),
    ),
    "a rule's system, parameters and place": (
        RULED,
        ruled(replace(RULED.rules[0], system=text("Be"), params=(("n", 1),), local=True), *RULED.rules[1:]),
        ("rule 1: system changed", "rule 1: params changed: n", "rule 1: its items stay here now"),
    ),
    "rules where there were none": (PLAIN, RULED, ("3 rules are new",)),
    "no rules any more": (ruled(rule(None)), PLAIN, ("1 rule is gone",)),
    "what is asked where rules say it all": (RULED, replace(RULED, prompt=text("Unused"), models=(LARGE,)), ()),
    "accept_when": (PLAIN, replace(PLAIN, accept_when="output.sure > 0.5"), ("accept_when changed",)),
    "a plain step": (PLAIN, replace(PLAIN, models=(LARGE,)), ("model small → large",)),
    "a branch": (
        ROUTE,
        Route(("low", "top"), (Branch("item.a > 1", "low"), Branch(None, "top"))),
        ("rule 2: to high → top",),
    ),
    "a chooser": (
        CHOSEN,
        Route(("low", "top"), (), replace(PLAIN, prompt=text("Where?"))),
        ("prompt changed", "choices low, high → low, top"),
    ),
    "who chooses": (CHOSEN, ROUTE, ("a model chose the branch",)),
    "rules chose": (ROUTE, CHOSEN, ("rules chose the branch",)),
    "another kind": (ROUTE, PLAIN, ("it was a `route` step",)),
    "a kind without an answer": (PLAIN, Verify(Contract()), ("it was a `generate` step",)),
    "two conditions that are equal": (
        ruled(rule("item.a > 1"), rule("item.a > 1", LARGE)),
        ruled(rule("item.a > 1")),
        ("rule 2 is gone: item.a > 1",),
    ),
    "a long condition": (
        RULED,
        ruled(*RULED.rules, rule("item.a > 1 and " * 9 + "item.b")),
        (f"rule 4 is new: {('item.a > 1 and ' * 9)[:59]}…",),
    ),
}


@pytest.mark.parametrize(("old", "new", "told"), CASES.values(), ids=CASES.keys())
def test_what_changed_is_told(old: Spec, new: Spec, told: tuple[str, ...]) -> None:
    assert step_changes(old, new) == told
