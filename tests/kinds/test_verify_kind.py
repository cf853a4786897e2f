"""A `verify` step at one item: held against a contract, asked of a judge at most, and never generated."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.core.generation import Verify
from penstock.core.work import Outcome, Verdict
from tests.model_double import CUT, ModelRoom, Script, contract, error, judge, template

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 10}, "m": {"type": "string"}},
    "required": ["n"],
}
GOOD = b'{"id": "r-1", "n": 12}'


def verified(text: bytes, spec: Verify, folder: Path, script: Script = ()) -> tuple[Outcome, ModelRoom]:
    """What becomes of one item, and the room of its judge."""
    room = ModelRoom(script)
    try:
        value = json.loads(text)
    except ValueError:
        value = text.decode("utf-8", "surrogateescape")
    return room.perform(spec, folder, names=value, text=text), room


def record_of(outcome: Outcome) -> Any:
    """The record, as a value."""
    assert outcome.record is not None
    return json.loads(outcome.record.body)


def test_an_item_that_meets_the_contract_is_accepted_and_nobody_is_asked(tmp_path: Path) -> None:
    outcome, room = verified(GOOD, Verify(contract(SCHEMA, "output.n < 20", "item.n == output.n")), tmp_path)
    assert (outcome.verdict, outcome.reason) == (Verdict.ACCEPTED, None)
    assert record_of(outcome) == {"ok": True, "id": "r-1", "errors": []}
    assert room.events == ["judged"]
    assert outcome.bill is not None
    assert (outcome.bill.sent, outcome.bill.cost_micros, outcome.bill.model) == (0, 0, None)


def test_an_item_that_does_not_is_rejected_with_every_error(tmp_path: Path) -> None:
    outcome, _ = verified(b'{"id": 7, "n": 3, "m": 4}', Verify(contract(SCHEMA)), tmp_path)
    assert (outcome.verdict, outcome.reason) == (
        Verdict.REJECTED,
        "/m: expected a string, got 4 (and 1 more)",
    )
    assert record_of(outcome) == {
        "ok": False,
        "id": 7,
        "errors": [
            {"pointer": "/m", "expected": "a string", "got": "4"},
            {"pointer": "/n", "expected": "at least 10", "got": "3"},
        ],
    }
    assert outcome.attempts[0].kind == "schema"


@pytest.mark.parametrize("text", [b'{"n": 12}', b'{"id": null, "n": 12}'])
def test_an_item_without_an_id_goes_by_its_key(tmp_path: Path, text: bytes) -> None:
    outcome, _ = verified(text, Verify(contract(SCHEMA)), tmp_path)
    assert outcome.task.item is not None
    assert record_of(outcome)["id"] == outcome.task.item.key


def test_a_check_that_fails_is_an_error_with_its_operands(tmp_path: Path) -> None:
    outcome, _ = verified(GOOD, Verify(contract(SCHEMA, "output.n < 12", "output.n > 0")), tmp_path)
    assert record_of(outcome)["errors"] == [
        {"pointer": "", "expected": "output.n < 12", "got": "12 < 12 → false"},
    ]
    assert outcome.attempts[0].kind == "check"


def test_what_a_check_needs_and_the_item_lacks_is_an_error_and_no_accident(tmp_path: Path) -> None:
    outcome, _ = verified(b'{"n": 12}', Verify(contract(None, "output.score > 0.5")), tmp_path)
    assert outcome.verdict is Verdict.REJECTED
    assert "score" in record_of(outcome)["errors"][0]["got"]


def test_an_item_that_is_no_json_is_rejected_where_there_is_a_schema_and_a_text_where_there_is_none(
    tmp_path: Path,
) -> None:
    outcome, _ = verified(b"just words", Verify(contract(SCHEMA)), tmp_path)
    assert (outcome.verdict, outcome.attempts[0].kind) == (Verdict.REJECTED, "not_json")
    outcome, _ = verified(b"just words", Verify(contract(None, "len(output) == 10")), tmp_path)
    assert outcome.verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("checks", [("len(output) == 99",), ('output == "cafe"',)])
def test_an_item_with_bytes_that_are_no_utf8_is_rejected_in_words_that_are(tmp_path: Path, checks: Any) -> None:
    outcome, _ = verified(b"caf\xe9", Verify(contract(None, *checks)), tmp_path)
    assert outcome.verdict is Verdict.REJECTED
    assert record_of(outcome)["ok"] is False


# --- the judge ---------------------------------------------------------------------------------

JUDGED = Verify(contract(SCHEMA, judge=judge()))


def test_the_judge_is_asked_about_the_item_and_its_score_is_in_the_record(tmp_path: Path) -> None:
    outcome, room = verified(GOOD, JUDGED, tmp_path, ['{"score": 4.5, "failures": []}'])
    assert outcome.verdict is Verdict.ACCEPTED
    assert record_of(outcome) == {"ok": True, "id": "r-1", "errors": [], "score": 4.5}
    assert room.prompts[0].startswith('Is {"id":"r-1","n":12} true?\n\n')
    assert [intent.purpose for intent in room.recorder.intents] == ["judge"]
    assert outcome.bill is not None
    assert (outcome.bill.sent, outcome.bill.model) == (1, "large")


def test_an_item_that_the_judge_finds_fault_with_is_rejected_in_the_judges_words(tmp_path: Path) -> None:
    verdict = '{"score": 1, "failures": [{"rule": "truth", "reason": "It is not.", "fix": "Say 12."}]}'
    outcome, _ = verified(GOOD, JUDGED, tmp_path, [verdict])
    assert (outcome.verdict, outcome.reason) == (Verdict.REJECTED, "expected truth, got It is not. (fix: Say 12.)")
    assert record_of(outcome)["score"] == 1


def test_the_judge_is_not_asked_about_an_item_that_the_schema_turns_away(tmp_path: Path) -> None:
    outcome, room = verified(b'{"n": 1}', JUDGED, tmp_path)
    assert (outcome.verdict, room.prompts) == (Verdict.REJECTED, [])


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ([error(401, "wrong key")], "large: the call was denied: wrong key"),
        ([CUT] * 6, "large: the model could not be reached: the connection broke"),
        (["It is fine.", "It is fine."], "large: the answer does not meet its contract (not_json) after 2 attempts"),
    ],
)
def test_an_item_that_nobody_can_judge_is_failed_and_not_rejected(tmp_path: Path, script: Any, why: str) -> None:
    outcome, _ = verified(GOOD, JUDGED, tmp_path, script)
    assert (outcome.verdict, outcome.record) == (Verdict.FAILED, None)
    assert (outcome.reason or "").startswith(f"the judge gave no verdict: {why}")
    assert outcome.bill is not None
    assert outcome.bill.sent == len(script)


def test_a_rubric_that_cannot_be_written_fails_the_item(tmp_path: Path) -> None:
    spec = Verify(contract(SCHEMA, judge=replace(judge(), rubric=template("Of {{ output.txet }}."))))
    outcome, _ = verified(GOOD, spec, tmp_path)
    assert outcome.verdict is Verdict.FAILED
    assert (outcome.reason or "").startswith("its rubric cannot be written: ")


def test_a_judges_verdict_is_bought_once(tmp_path: Path) -> None:
    _, room = verified(GOOD, JUDGED, tmp_path, ['{"score": 5, "failures": []}'])
    later = ModelRoom([], room.store)
    outcome = later.perform(JUDGED, tmp_path, names=json.loads(GOOD), text=GOOD)
    assert (outcome.verdict, later.prompts) == (Verdict.ACCEPTED, [])
