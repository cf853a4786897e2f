"""A `route` step at one item: by its rules, without asking anybody; by a model, under a contract of branches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from penstock.core.routing import Branch, Choice, Route
from penstock.core.work import Outcome, Task, Verdict
from penstock.kinds.route import by_rules
from tests.doubles import item
from tests.model_double import LARGE, SMALL, ModelRoom, Script, contract, error, generate, refused

BRANCHES = ("legal", "sales")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"choice": {"enum": list(BRANCHES)}},
    "required": ["choice"],
    "additionalProperties": False,
}
LEGAL = Branch("matches(item.text, '(?i)court|legal')", "legal", local=True)
SALES = Branch("len(item.text) < 9", "sales")


def ruled(value: object, *rules: Branch) -> Outcome:
    """What becomes of a row with this value."""
    route = Route(tuple(rule.to for rule in rules), rules)
    return by_rules(Task("r1", "a", 1, item(0)), route, {"item": value, "i": 0})


def asked(folder: Path, script: Script, *models: Any, local: bool = False, **fields: Any) -> tuple[Outcome, ModelRoom]:
    """What becomes of one item that a model is to route, and the room of that model."""
    room = ModelRoom(script)
    question = generate(*models, prompt="Where does {{ item.text }} go?", contract=contract(SCHEMA), **fields)
    return room.perform(cast(Any, Route(BRANCHES, chooser=question)), folder, local=local), room


def record_of(outcome: Outcome) -> Any:
    """The record, as a value."""
    assert outcome.record is not None
    return json.loads(outcome.record.body)


# --- by rules ----------------------------------------------------------------------------------


def test_the_first_rule_that_matches_decides_and_says_why(tmp_path: Path) -> None:
    outcome = ruled({"text": "Court"}, SALES, LEGAL)
    assert outcome.choice == Choice(1, "sales", 'len("Court")=5 < 9 → true')
    assert record_of(outcome) == {"to": "sales", "rule": 1, "why": 'len("Court")=5 < 9 → true'}
    assert (outcome.verdict, outcome.attempts, outcome.bill) == (Verdict.ACCEPTED, (), None)


def test_a_rule_may_keep_what_it_sends_here() -> None:
    choices = [ruled({"text": text}, LEGAL, SALES).choice for text in ("a court of law", "short")]
    assert [(choice.to, choice.local) for choice in choices if choice] == [("legal", True), ("sales", False)]


def test_a_row_that_no_rule_matches_is_failed_and_was_sent_nowhere() -> None:
    outcome = ruled({"text": "something else"}, LEGAL, SALES)
    assert (outcome.verdict, outcome.record, outcome.choice) == (Verdict.FAILED, None, None)
    assert (outcome.reason or "").startswith("no rule matches: 1: ")
    assert 'len("something else")=14 < 9 → false' in (outcome.reason or "")


@pytest.mark.parametrize("value", [{}, {"text": 7}, "a text", None, {"text": float("nan")}])
def test_a_row_that_a_rule_cannot_read_is_failed_with_the_number_of_the_rule(value: object) -> None:
    outcome = ruled(value, LEGAL, Branch(None, "sales"))
    assert (outcome.verdict, outcome.choice) == (Verdict.FAILED, None)
    assert (outcome.reason or "").startswith("rule 1: ")


def test_a_value_that_is_no_utf8_makes_a_record_of_json_all_the_same() -> None:
    outcome = ruled({"text": "caf\udce9"}, SALES)
    assert record_of(outcome)["why"] == 'len("caf\\udce9")=4 < 9 → true'


# --- by a model --------------------------------------------------------------------------------


def test_a_model_sends_the_item_where_it_chooses(tmp_path: Path) -> None:
    outcome, room = asked(tmp_path, ['{"choice": "legal"}'])
    assert outcome.verdict is Verdict.ACCEPTED
    assert outcome.choice == Choice(None, "legal", "small chose it of legal, sales")
    assert record_of(outcome) == {"to": "legal", "rule": None, "why": "small chose it of legal, sales"}
    assert [intent.purpose for intent in room.recorder.intents] == ["route"]
    assert "Where does a row go?" in room.prompts[0]
    assert outcome.bill is not None
    assert (outcome.bill.sent, outcome.bill.model, outcome.attempts[0].number) == (1, "small", 1)


def test_a_model_that_names_no_branch_is_asked_again(tmp_path: Path) -> None:
    outcome, room = asked(tmp_path, ['{"choice": "Legal"}', '{"choice": "legal"}'])
    assert outcome.choice is not None
    assert outcome.choice.to == "legal"
    assert (len(room.prompts), outcome.attempts[-1].number) == (2, 2)
    assert [ok for _, _, judgement in room.recorder.judgements for ok in [judgement.ok]] == [False, True]


def test_an_item_that_no_model_can_place_is_rejected_and_was_sent_nowhere(tmp_path: Path) -> None:
    outcome, room = asked(tmp_path, [refused(), '{"choice": "elsewhere"}'], SMALL, LARGE, attempts=1)
    assert (outcome.verdict, outcome.choice, outcome.record) == (Verdict.REJECTED, None, None)
    assert len(outcome.trail) == len(room.prompts) == 2


def test_an_item_about_which_nobody_could_be_asked_is_failed(tmp_path: Path) -> None:
    outcome, _ = asked(tmp_path, [error(401, "who are you?")])
    assert (outcome.verdict, outcome.choice) == (Verdict.FAILED, None)


def test_no_model_elsewhere_is_asked_where_an_item_of_this_place_goes(tmp_path: Path) -> None:
    outcome, room = asked(tmp_path, [], local=True)
    assert (outcome.verdict, room.prompts) == (Verdict.FAILED, [])
    assert "placement: local" in (outcome.reason or "")
