"""`accept_when`: an answer that meets its contract and is doubted goes to the next model; the last one is taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.core.calls import FaultClass
from penstock.core.generation import Drop
from penstock.core.work import Verdict
from penstock.rules.repair import Past, Policy, Try, after
from tests.model_double import (
    LARGE,
    PRICED,
    SMALL,
    MemoryStore,
    ModelRoom,
    contract,
    error,
    generate,
    judge,
    said,
)

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"sure": {"type": "number"}}, "required": ["sure"]}
CASCADE = generate(SMALL, LARGE, contract=contract(SCHEMA), accept_when="output.sure >= 0.7")


def body_of(outcome: Any) -> bytes:
    """The record of an item that was accepted."""
    assert outcome.verdict is Verdict.ACCEPTED, outcome.reason
    return bytes(outcome.record.body)


def test_doubtful_is_no_reason_to_ask_the_same_model_again() -> None:
    doubted = Past(Try(0), FaultClass.DOUBTFUL, "{}")
    assert after(Policy((SMALL, LARGE), attempts=9, rungs=2), [doubted]) == Try(1)


def test_an_answer_that_is_not_doubted_is_taken_from_the_first_model(tmp_path: Path) -> None:
    room = ModelRoom(['{"sure": 0.9}'])
    assert body_of(room.perform(CASCADE, tmp_path)) == b'{"sure":0.9}'
    assert room.models == ["small-1"]
    assert room.recorder.signals == [
        {"attempts": 1, "mended": False, "judge_score": None, "logprob": None, "accept_when": "0.9 >= 0.7 → true"}
    ]


def test_a_doubtful_answer_goes_to_the_next_model_with_the_plain_prompt_and_the_last_is_taken(tmp_path: Path) -> None:
    room = ModelRoom(['{"sure": 0.2}', '{"sure": 0.1}'])
    assert body_of(room.perform(CASCADE, tmp_path)) == b'{"sure":0.1}'
    assert room.models == ["small-1", "large-1"]
    assert room.turns(1) == room.turns(0)
    (_, _, first), (_, _, last) = room.recorder.judgements
    assert (first.ok, first.tier, first.flaws[0].got) == (False, FaultClass.DOUBTFUL, "0.2 >= 0.7 → false")
    assert (last.ok, last.tier) == (True, None)
    assert [(told or {}).get("accept_when") for told in room.recorder.signals] == ["0.2 >= 0.7 → false", None]


def test_if_no_later_model_gives_an_answer_the_row_ends_as_that_says_and_the_trail_has_the_doubted_one(
    tmp_path: Path,
) -> None:
    room = ModelRoom(['{"sure": 0.2}', error(401, "no such key")])
    outcome = room.perform(CASCADE, tmp_path)
    assert (outcome.verdict, outcome.reason) == (Verdict.FAILED, "large: the call was denied: no such key")
    assert (outcome.trail[0]["class"], outcome.trail[0]["answer"]) == ("doubtful", '{"sure": 0.2}')
    assert outcome.trail[0]["errors"] == [
        {"pointer": "", "expected": "output.sure >= 0.7", "got": "0.2 >= 0.7 → false"}
    ]
    room = ModelRoom(['{"sure": 0.2}', *['{"n": 1}'] * 2])
    outcome = room.perform(CASCADE, tmp_path)
    assert outcome.verdict is Verdict.REJECTED
    assert [kept["class"] for kept in outcome.trail] == ["doubtful", "schema", "schema"]


def test_a_doubt_counts_for_nothing_at_the_model_behind_it(tmp_path: Path) -> None:
    three = replace(CASCADE, models=(SMALL, PRICED, LARGE), shrink=(Drop("examples"),), vars=(("examples", "x"),))
    room = ModelRoom(['{"sure": 0.2}', '{"sure": 0.2}', '{"n": 1}', '{"sure": 0.2}'])
    assert body_of(room.perform(three, tmp_path)) == b'{"sure":0.2}'
    assert room.models == ["small-1", "priced-1", "large-1", "large-1"]


@pytest.mark.parametrize(
    ("accept_when", "answers", "models"),
    [
        ("signals.attempts == 1", ["no", '{"sure": 1}', '{"sure": 2}'], ["small-1", "small-1", "large-1"]),
        ("signals.attempts <= 2", ["no", '{"sure": 1}'], ["small-1", "small-1"]),
        ("not signals.mended", ['{"sure": 1,}', '{"sure": 2}'], ["small-1", "large-1"]),
        ("item.text == 'a row' and output.sure == 1", ['{"sure": 1}'], ["small-1"]),
        ("signals.judge_score == null", ['{"sure": 1}'], ["small-1"]),
    ],
)
def test_the_condition_sees_the_signals_of_the_attempt(
    tmp_path: Path, accept_when: str, answers: list[str], models: list[str]
) -> None:
    room = ModelRoom(answers)
    assert room.perform(replace(CASCADE, accept_when=accept_when), tmp_path).verdict is Verdict.ACCEPTED
    assert room.models == models


def test_the_condition_sees_the_judges_score(tmp_path: Path) -> None:
    judged = contract(SCHEMA, judge=judge(PRICED))
    spec = replace(CASCADE, contract=judged, accept_when="signals.judge_score >= 4.5")
    passed = ['{"sure": 1}', '{"score": 4, "failures": []}', '{"sure": 2}', '{"score": 4, "failures": []}']
    room = ModelRoom(passed)
    assert body_of(room.perform(spec, tmp_path)) == b'{"sure":2}'
    assert room.models == ["small-1", "priced-1", "large-1", "priced-1"]
    assert [(told or {})["judge_score"] for told in room.recorder.signals] == [4.0, 4.0]


def test_a_condition_that_has_no_answer_fails_the_item_and_keeps_what_was_bought(tmp_path: Path) -> None:
    room = ModelRoom(['{"sure": 0.2}'])
    outcome = room.perform(replace(CASCADE, accept_when="output.certain > 1"), tmp_path)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.reason == 'accept_when: output has no field "certain". It has: sure'
    assert [kept["answer"] for kept in outcome.trail] == ['{"sure": 0.2}']
    assert len(room.store.answers) == len(room.recorder.judgements) == 1
    assert room.models == ["small-1"]


def test_the_only_model_is_not_doubted(tmp_path: Path) -> None:
    for spec in (replace(CASCADE, models=(SMALL,)), replace(CASCADE, forced=LARGE)):
        room = ModelRoom(['{"sure": 0.2}'])
        assert body_of(room.perform(spec, tmp_path)) == b'{"sure":0.2}'
    here = (replace(SMALL, placement="local"), LARGE)
    assert body_of(ModelRoom(['{"sure": 0.2}']).perform(replace(CASCADE, models=here), tmp_path, local=True))


def test_a_cascade_is_played_again_for_nothing(tmp_path: Path) -> None:
    store = MemoryStore([])
    first = ModelRoom(['{"sure": 0.2}', '{"sure": 0.1}'], store).perform(CASCADE, tmp_path)
    again = ModelRoom([], store)
    assert body_of(again.perform(CASCADE, tmp_path)) == body_of(first)
    assert [(told or {}).get("accept_when") for told in again.recorder.signals] == ["0.2 >= 0.7 → false", None]


# --- log-probabilities -------------------------------------------------------------------------

LIKELY = replace(CASCADE, accept_when="signals.logprob > -0.5")


def test_servers_are_asked_how_likely_an_answer_was_where_that_is_looked_at_and_nowhere_else(tmp_path: Path) -> None:
    room = ModelRoom([said('{"sure": 1}', logprobs=[-1.0, -0.5]), said('{"sure": 2}', logprobs=[-0.1])])
    assert body_of(room.perform(LIKELY, tmp_path)) == b'{"sure":2}'
    assert [body["logprobs"] for body in room.transport.bodies] == [True, True]
    assert [(told or {})["logprob"] for told in room.recorder.signals] == [-0.75, -0.1]
    plain, other = ModelRoom(['{"sure": 1}']), ModelRoom(['{"sure": 1}'])
    plain.perform(CASCADE, tmp_path)
    other.perform(replace(CASCADE, accept_when=None), tmp_path)
    assert "logprobs" not in plain.transport.bodies[0]
    assert plain.store.answers.keys() == other.store.answers.keys()
    assert plain.store.answers.keys().isdisjoint(room.store.answers)


def test_a_model_that_gives_no_log_probabilities_is_asked_without_and_the_condition_may_test_for_that(
    tmp_path: Path,
) -> None:
    no = error(403, "You are not allowed to request logprobs from this model")
    spec = replace(LIKELY, accept_when="signals.logprob != null and signals.logprob > -0.5")
    room = ModelRoom([no, '{"sure": 1}', said('{"sure": 2}', logprobs=[-0.1])])
    assert body_of(room.perform(spec, tmp_path)) == b'{"sure":2}'
    assert ["logprobs" in body for body in room.transport.bodies] == [True, False, True]
    assert room.notes == [
        "small does not take `logprobs`, so it is left out (You are not allowed to request logprobs from this model)"
    ]


def test_the_authors_own_word_on_log_probabilities_stands(tmp_path: Path) -> None:
    room = ModelRoom([said('{"sure": 1}', logprobs=[-0.1])])
    room.perform(replace(LIKELY, params=(("logprobs", False),)), tmp_path)
    assert room.transport.bodies[0]["logprobs"] is False


def test_the_judge_is_not_asked_how_likely_its_verdict_was(tmp_path: Path) -> None:
    spec = replace(LIKELY, contract=contract(SCHEMA, judge=judge(PRICED)))
    room = ModelRoom([said('{"sure": 1}', logprobs=[-0.1]), '{"score": 5, "failures": []}'])
    assert room.perform(spec, tmp_path).verdict is Verdict.ACCEPTED
    assert ["logprobs" in body for body in room.transport.bodies] == [True, False]
