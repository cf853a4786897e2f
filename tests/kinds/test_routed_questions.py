"""Rules of a `generate` step at one item: which one asks whom, what local items are kept from, and what is forced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.core.generation import Rule, Verify
from penstock.core.models import Model
from penstock.core.routing import Choice
from penstock.core.work import Verdict
from tests.model_double import LARGE, PRICED, SMALL, ModelRoom, contract, error, generate, judge, template

HERE = replace(SMALL, placement="local")
HERE_TOO = replace(PRICED, placement="local")
HIGH, LOW = {"risk": "high", "text": "a row"}, {"risk": "low", "text": "a row"}
PASSED = '{"score": 5, "failures": []}'
GOOD: dict[str, Any] = {"type": "object", "required": ["n"]}


def rule(*models: Model, when: str | None = None, prompt: str = "Say it.", **fields: Any) -> Rule:
    """A rule that asks these models."""
    return Rule(when, models, template(prompt), **fields)


def routed(*rules: Rule, **fields: Any) -> Any:
    """A `generate` step with these rules."""
    named = dict.fromkeys(model for each in rules for model in each.models)
    return generate(*named, rules=rules, **fields)


# --- rules -------------------------------------------------------------------------------------

BY_RISK = routed(
    rule(LARGE, when="item.risk == 'high'", prompt="With care: {{ item.text }}", params=(("temperature", 0.1),)),
    rule(SMALL, prompt="Quickly: {{ item.text }}", system=template("Be brief.")),
)


def test_the_rule_that_wins_says_who_is_asked_what_and_how(tmp_path: Path) -> None:
    room = ModelRoom(["one", "two"])
    first, second = room.perform(BY_RISK, tmp_path, HIGH), room.perform(BY_RISK, tmp_path, LOW)
    assert room.models == ["large-1", "small-1"]
    assert room.turns(0) == [("user", "With care: a row")]
    assert room.turns(1) == [("system", "Be brief."), ("user", "Quickly: a row")]
    assert [body.get("temperature") for body in room.transport.bodies] == [0.1, None]
    assert first.choice == Choice(1, None, '"high" == "high" → true')
    assert second.choice == Choice(2, None, "no rule before it matched")


def test_what_was_chosen_is_told_although_the_item_failed(tmp_path: Path) -> None:
    outcome = ModelRoom([error(401, "no")]).perform(BY_RISK, tmp_path, HIGH)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.choice == Choice(1, None, '"high" == "high" → true')


def test_an_item_that_no_rule_matches_fails_with_the_values_and_asks_nobody(tmp_path: Path) -> None:
    room = ModelRoom([])
    outcome = room.perform(routed(*BY_RISK.rules[:1]), tmp_path, LOW)
    assert (outcome.verdict, outcome.reason) == (Verdict.FAILED, 'no rule matches: 1: "low" == "high" → false')
    assert (outcome.attempts[0].kind, outcome.choice, room.prompts) == ("route", None, [])


def test_a_rule_that_has_no_answer_fails_the_item_and_asks_nobody(tmp_path: Path) -> None:
    room = ModelRoom([])
    outcome = room.perform(BY_RISK, tmp_path, {"text": "a row"})
    assert outcome.verdict is Verdict.FAILED
    assert (outcome.reason or "").startswith("rule 1: ")
    assert "risk" in (outcome.reason or "")
    assert room.prompts == []


def test_the_models_of_a_rule_are_a_cascade_of_their_own(tmp_path: Path) -> None:
    spec = routed(rule(SMALL, when="item.risk == 'high'"), rule(LARGE, SMALL), contract=contract(GOOD), attempts=1)
    room = ModelRoom(["no", '{"n": 1}'])
    assert room.perform(spec, tmp_path, LOW).verdict is Verdict.ACCEPTED
    assert room.models == ["large-1", "small-1"]


# --- local -------------------------------------------------------------------------------------


def test_an_item_that_stays_here_is_never_seen_by_a_model_elsewhere_however_often_it_fails(tmp_path: Path) -> None:
    room = ModelRoom(lambda body: error(500, "busy"))
    spec = generate(LARGE, HERE, LARGE, HERE_TOO, contract=contract(GOOD))
    outcome = room.perform(spec, tmp_path, local=True)
    assert outcome.verdict is Verdict.FAILED
    assert set(room.models) == {"small-1", "priced-1"}
    assert room.perform(spec, tmp_path).verdict is Verdict.FAILED
    assert "large-1" in room.models


def test_a_rule_that_keeps_items_here_asks_those_of_its_models_that_are_here(tmp_path: Path) -> None:
    spec = routed(rule(LARGE, HERE, when="item.risk == 'high'", local=True), rule(LARGE, HERE))
    room = ModelRoom(["one", "two"])
    first, _ = room.perform(spec, tmp_path, HIGH), room.perform(spec, tmp_path, LOW)
    assert room.models == ["small-1", "large-1"]
    assert first.choice is not None
    assert first.choice.local


def test_an_item_that_nobody_here_can_be_asked_about_fails_and_says_where_the_models_are(tmp_path: Path) -> None:
    room = ModelRoom([])
    outcome = room.perform(generate(SMALL, replace(LARGE, placement="remote")), tmp_path, local=True)
    assert (outcome.verdict, outcome.reason) == (
        Verdict.FAILED,
        "the item is `placement: local`, and every model that may be asked is elsewhere: "
        "small: its server is at double; large: it is `placement: remote`",
    )
    assert (room.prompts, outcome.attempts[0].kind) == ([], "denied")


def test_the_judge_of_an_item_that_stays_here_is_here_as_well(tmp_path: Path) -> None:
    spec = generate(HERE, contract=contract(GOOD, judge=judge(LARGE, HERE_TOO)))
    room = ModelRoom(['{"n": 1}', PASSED])
    assert room.perform(spec, tmp_path, local=True).verdict is Verdict.ACCEPTED
    assert room.models == ["small-1", "priced-1"]


def test_nothing_is_bought_where_nobody_here_may_judge_it(tmp_path: Path) -> None:
    room = ModelRoom([])
    outcome = room.perform(generate(HERE, contract=contract(GOOD, judge=judge(LARGE))), tmp_path, local=True)
    assert (outcome.verdict, outcome.reason) == (
        Verdict.FAILED,
        "the item is `placement: local`, and every judge that may be asked is elsewhere: "
        "large: its server is at double",
    )
    assert room.prompts == []


def test_verify_asks_a_judge_that_is_here_or_fails_the_item(tmp_path: Path) -> None:
    room = ModelRoom([PASSED])
    both, away = Verify(contract(GOOD, judge=judge(LARGE, HERE))), Verify(contract(GOOD, judge=judge(LARGE)))
    assert room.perform(both, tmp_path, {"n": 1}, local=True).verdict is Verdict.ACCEPTED
    outcome = room.perform(away, tmp_path, {"n": 1}, local=True)
    assert outcome.verdict is Verdict.FAILED
    assert "large: its server is at double" in (outcome.reason or "")
    assert room.models == ["small-1"]


def test_an_item_that_its_contract_turns_away_needs_no_judge(tmp_path: Path) -> None:
    away = Verify(contract(GOOD, judge=judge(LARGE)))
    assert ModelRoom([]).perform(away, tmp_path, {"m": 1}, local=True).verdict is Verdict.REJECTED


# --- forced ------------------------------------------------------------------------------------


def test_a_forced_model_is_asked_by_every_rule_and_as_the_judge(tmp_path: Path) -> None:
    spec = routed(*BY_RISK.rules, forced=PRICED, contract=contract(GOOD, judge=judge(forced=PRICED)))
    room = ModelRoom(['{"n": 1}', PASSED, '{"n": 2}', PASSED])
    assert room.perform(spec, tmp_path, HIGH).verdict is Verdict.ACCEPTED
    assert room.perform(spec, tmp_path, LOW).verdict is Verdict.ACCEPTED
    assert room.models == ["priced-1"] * 4
    assert room.turns(0) == [("user", "With care: a row")]


@pytest.mark.parametrize(("forced", "asked"), [(PRICED, "small-1"), (HERE_TOO, "priced-1")])
def test_an_item_that_stays_here_goes_before_the_forced_model(tmp_path: Path, forced: Model, asked: str) -> None:
    room = ModelRoom(["one"])
    assert room.perform(generate(LARGE, HERE, forced=forced), tmp_path, local=True).verdict is Verdict.ACCEPTED
    assert room.models == [asked]
