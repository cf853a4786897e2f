"""The loop of a model call, class by class: what the model is asked next, in which words, and when it is given up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.core.calls import CostStatus
from penstock.core.generation import Drop, Truncate
from penstock.core.work import Bill, Outcome, Verdict
from tests.model_double import (
    CUT,
    LARGE,
    PRICED,
    SMALL,
    TOO_LONG,
    Line,
    ModelRoom,
    Script,
    contract,
    error,
    generate,
    judge,
    refused,
    said,
    template,
)

NUMBER: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 10}},
    "required": ["n"],
}
ASKED = "Say it of a row."
AGAIN = "Answer again with the whole corrected JSON only."
GOOD = '{"n": 10}'
PASSED, FAILED = '{"score": 5, "failures": []}', '{"score": 2, "failures": []}'
FIVE = generate(contract=contract(NUMBER), attempts=5)


def complaint(*errors: str, last: str = AGAIN) -> str:
    """What a re-ask says of the answer before."""
    return "\n".join(["The answer does not meet the contract:", *(f"- {each}" for each in errors), last])


def done(script: Script, folder: Path, spec: Any, **fields: Any) -> tuple[Outcome, ModelRoom]:
    """What becomes of one item, and the room in which it was asked about."""
    room = ModelRoom(script)
    return room.perform(spec, folder, **fields), room


def body_of(outcome: Outcome) -> bytes:
    """The record."""
    assert outcome.verdict is Verdict.ACCEPTED, outcome.reason
    assert outcome.record is not None
    return outcome.record.body


# --- transport ---------------------------------------------------------------------------------


def test_transport_the_same_again_and_not_a_word_of_it_to_the_model(tmp_path: Path) -> None:
    slow = error(429, "slow down", {"retry-after": "3"})
    outcome, room = done([slow, error(503, "busy"), CUT, "no", slow, CUT, GOOD], tmp_path, FIVE)
    assert body_of(outcome) == b'{"n":10}'
    assert room.turns(0) == room.turns(1) == room.turns(2) == room.turns(3) == [("user", ASKED)]
    wrong = complaint('expected one JSON value, got line 1, column 1, before "no": a value was expected')
    assert room.turns(4) == room.turns(6) == [("user", ASKED), ("assistant", "no"), ("user", wrong)]
    assert [word for word in ("slow", "busy", "broke", "429", "503") if word in str(room.transport.bodies)] == []
    assert room.pauses == [3.0, 1.0, 2.0, 3.0, 1.0]
    assert [attempt.number for attempt in outcome.attempts] == [2]


def test_transport_spent_goes_to_the_next_model_with_the_plain_prompt(tmp_path: Path) -> None:
    down = generate(SMALL, LARGE, contract=contract(NUMBER))
    outcome, room = done(["no", *[CUT] * 6, GOOD], tmp_path, down)
    assert body_of(outcome) == b'{"n":10}'
    assert room.models == ["small-1"] * 7 + ["large-1"]
    assert room.turns(7) == [("user", ASKED)]


def test_transport_spent_with_no_model_left_fails_the_item(tmp_path: Path) -> None:
    outcome, _ = done(lambda body: CUT, tmp_path, FIVE)
    assert (outcome.verdict, outcome.reason) == (
        Verdict.FAILED,
        "small: the model could not be reached: the connection broke",
    )
    assert outcome.attempts[-1].kind == "transport"


# --- denied ------------------------------------------------------------------------------------


def test_denied_goes_to_the_next_model(tmp_path: Path) -> None:
    outcome, room = done([error(401, "wrong key"), "yes"], tmp_path, generate(SMALL, LARGE))
    assert body_of(outcome) == b"yes"
    assert room.models == ["small-1", "large-1"]
    assert outcome.bill is not None
    assert outcome.bill.model == "large"


def test_denied_by_the_last_model_fails_at_once_with_what_the_server_said(tmp_path: Path) -> None:
    outcome, room = done([error(403, "Your account is closed.")], tmp_path, FIVE)
    assert (outcome.verdict, outcome.reason) == (
        Verdict.FAILED,
        "small: the call was denied: Your account is closed.",
    )
    assert room.pauses == []


# --- overflow ----------------------------------------------------------------------------------

SHRINKING = generate(
    SMALL,
    replace(LARGE, context_tokens=1000),
    prompt="{{ examples }}|{{ item.text }}",
    vars=(("examples", "many"),),
    shrink=(Drop("examples"), Truncate(("item", "text"), 3)),
)


def test_overflow_takes_rung_after_rung_and_then_a_model_with_a_larger_window(tmp_path: Path) -> None:
    outcome, room = done([TOO_LONG, TOO_LONG, TOO_LONG, "yes"], tmp_path, SHRINKING)
    assert body_of(outcome) == b"yes"
    assert room.prompts == ["many|a row", "|a row", "|a r", "|a r"]
    assert room.models == ["small-1", "small-1", "small-1", "large-1"]


def test_overflow_with_nothing_left_fails_and_says_what_was_tried(tmp_path: Path) -> None:
    outcome, _ = done(lambda body: TOO_LONG, tmp_path, SHRINKING)
    assert (outcome.verdict, outcome.reason) == (
        Verdict.FAILED,
        "large: the prompt is too long for its window and nothing is left to shrink, and no later model has a larger "
        "one: maximum context length is 100 tokens",
    )


# --- truncated ---------------------------------------------------------------------------------


def test_truncated_raises_the_limit_to_its_cap_then_shrinks_then_asks_the_next_model(tmp_path: Path) -> None:
    capped = replace(SMALL, max_tokens=900)
    spec = replace(SHRINKING, models=(capped, LARGE), params=(("max_tokens", 40),), contract=contract(NUMBER))
    spec = replace(spec, shrink=spec.shrink[:1])
    outcome, room = done([said('{"n": 10}', "length")] * 3 + [GOOD], tmp_path, spec)
    assert body_of(outcome) == b'{"n":10}'
    assert [body["max_tokens"] for body in room.transport.bodies] == [40, 900, 900, 40]
    assert room.prompts == ["many|a row", "many|a row", "|a row", "|a row"]
    assert room.models == ["small-1"] * 3 + ["large-1"]


def test_truncated_doubles_a_limit_whose_cap_is_not_known(tmp_path: Path) -> None:
    spec = generate(contract=contract(NUMBER), params=(("max_tokens", 40),))
    outcome, room = done([said("{", "length"), GOOD], tmp_path, spec)
    assert body_of(outcome) == b'{"n":10}'
    assert [body["max_tokens"] for body in room.transport.bodies] == [40, 80]


@pytest.mark.parametrize("cut_off", [GOOD, "```json\n" + GOOD, '{"n": 10,}', "10"])
def test_a_truncated_answer_is_never_taken_whole_or_mended(tmp_path: Path, cut_off: str) -> None:
    for schema in (NUMBER, None):
        outcome, _ = done([said(cut_off, "length")], tmp_path, generate(contract=contract(schema)))
        assert (outcome.verdict, outcome.record) == (Verdict.REJECTED, None)
        assert outcome.reason == "small: the answer was cut off at the token limit, which cannot be raised further"


def test_a_truncated_re_ask_stays_one(tmp_path: Path) -> None:
    spec = generate(contract=contract(NUMBER), params=(("max_tokens", 40),))
    _, room = done(["no", said("{", "length"), GOOD], tmp_path, spec)
    assert room.turns(1) == room.turns(2)
    assert len(room.turns(2)) == 3


# --- refused -----------------------------------------------------------------------------------


def test_refused_goes_to_the_next_model_without_asking_again(tmp_path: Path) -> None:
    outcome, room = done([refused(), "yes"], tmp_path, generate(SMALL, LARGE))
    assert body_of(outcome) == b"yes"
    assert room.models == ["small-1", "large-1"]
    assert room.turns(1) == [("user", ASKED)]


@pytest.mark.parametrize("no", [refused("I will not."), error(400, "I will not.", code="content_policy_violation")])
def test_refused_by_the_last_model_is_rejected_with_its_words(tmp_path: Path, no: Any) -> None:
    outcome, _ = done([no], tmp_path, FIVE)
    assert (outcome.verdict, outcome.reason) == (
        Verdict.REJECTED,
        "small: the model refused to answer: I will not.",
    )


# --- not_json, schema, check -------------------------------------------------------------------


@pytest.mark.parametrize("fenced", ['```json\n{"n": 10}\n```', '{"n": 10,}', 'Here it is:\n{"n": 10}'])
def test_not_json_is_mended_where_no_value_changes(tmp_path: Path, fenced: str) -> None:
    outcome, room = done([fenced], tmp_path, FIVE)
    assert body_of(outcome) == b'{"n":10}'
    assert [judgement.mended for _, _, judgement in room.recorder.judgements] == [True]


def test_not_json_that_cannot_be_mended_is_asked_for_again(tmp_path: Path) -> None:
    outcome, room = done(["", GOOD], tmp_path, FIVE)
    assert body_of(outcome) == b'{"n":10}'
    wrong = complaint("expected one JSON value, got an empty answer")
    assert room.turns(1) == [("user", ASKED), ("assistant", "(an empty answer)"), ("user", wrong)]


def test_a_re_ask_has_the_prompt_the_last_bad_answer_and_its_errors_and_no_more(tmp_path: Path) -> None:
    spec = replace(FIVE, system=template("You are {{ item.text }}."))
    outcome, room = done(['{"n": 1}', '{"m": 2}', '{"n": "3"}', GOOD], tmp_path, spec)
    assert body_of(outcome) == b'{"n":10}'
    head = [("system", "You are a row."), ("user", ASKED)]
    assert room.turns(0) == head
    assert room.turns(1)[:3] == [*head, ("assistant", '{"n": 1}')]
    assert room.turns(1)[3] == ("user", complaint("/n: expected at least 10, got 1"))
    assert room.turns(2)[:3] == [*head, ("assistant", '{"m": 2}')]
    assert room.turns(3)[:3] == [*head, ("assistant", '{"n": "3"}')]
    assert [len(room.turns(number)) for number in range(4)] == [2, 4, 4, 4]


def test_a_re_ask_names_five_errors_in_a_fixed_order_and_counts_the_rest(tmp_path: Path) -> None:
    names = list("abcdefgh")
    schema = {"type": "object", "properties": {name: {"type": "integer"} for name in names}}
    bad = "{" + ",".join(f'"{name}": "x"' for name in reversed(names)) + "}"
    _, room = done([bad, "{}"], tmp_path, generate(contract=contract(schema)))
    lines = room.prompts[1].splitlines()
    assert [line[:4] for line in lines[1:-1]] == ["- /a", "- /b", "- /c", "- /d", "- /e", "- an"]
    assert lines[-2] == "- and 3 more"


def test_a_check_that_fails_is_told_with_its_operands(tmp_path: Path) -> None:
    spec = generate(contract=contract(NUMBER, "output.n > 10", "output.n < len(item.text) + 10"))
    outcome, room = done([GOOD, '{"n": 11}'], tmp_path, spec)
    assert body_of(outcome) == b'{"n":11}'
    assert room.prompts[1] == complaint("expected output.n > 10, got 10 > 10 → false")


def test_an_answer_that_may_be_a_text_is_asked_for_again_as_one(tmp_path: Path) -> None:
    outcome, room = done(["too long", "ok"], tmp_path, generate(contract=contract(None, "len(output) < 5")))
    assert body_of(outcome) == b"ok"
    assert room.prompts[1].splitlines()[1].startswith("- expected len(output) < 5, got ")
    assert room.prompts[1].splitlines()[2] == "Answer again, whole and corrected."


def test_attempts_are_counted_for_each_model_and_all_answers_are_kept(tmp_path: Path) -> None:
    answers = [f'{{"n": {n}}}' for n in range(4)]
    outcome, room = done(answers, tmp_path, generate(SMALL, LARGE, contract=contract(NUMBER), attempts=2))
    assert room.models == ["small-1", "small-1", "large-1", "large-1"]
    assert room.turns(2) == [("user", ASKED)]
    assert (outcome.verdict, outcome.reason) == (
        Verdict.REJECTED,
        "large: the answer does not meet its contract (schema) after 2 attempts: /n: expected at least 10, got 3",
    )
    assert [kept["answer"] for kept in outcome.trail] == answers
    assert [kept["model"] for kept in outcome.trail] == ["small", "small", "large", "large"]
    assert outcome.trail[3]["errors"] == [{"pointer": "/n", "expected": "at least 10", "got": "3"}]
    assert [attempt for attempt, _, _ in room.recorder.judgements] == [1, 2, 3, 4]
    assert [key for _, key, _ in room.recorder.judgements] == [intent.key for intent in room.recorder.intents]
    assert [attempt.number for attempt in outcome.attempts] == [4]


# --- stuck -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "second", ['{"n": 1}', '{"n": 1, "more": true}'], ids=["the same answer", "another with the same errors"]
)
def test_stuck_stops_asking_again_shrinks_and_then_asks_the_next_model(tmp_path: Path, second: str) -> None:
    spec = replace(SHRINKING, contract=contract(NUMBER), attempts=9, shrink=SHRINKING.shrink[:1])
    outcome, room = done(['{"n": 1}', second, '{"n": 2}', '{"n": 2}', GOOD], tmp_path, spec)
    assert body_of(outcome) == b'{"n":10}'
    assert room.models == ["small-1"] * 4 + ["large-1"]
    assert [len(room.turns(number)) for number in range(5)] == [1, 3, 1, 3, 1]
    assert [room.turns(number)[0][1] for number in range(5)] == ["many|a row"] * 2 + ["|a row"] * 3


def test_stuck_with_nothing_left_is_rejected_and_says_so(tmp_path: Path) -> None:
    outcome, _ = done(['{"n": 1}'] * 2, tmp_path, FIVE)
    assert (outcome.verdict, outcome.reason) == (
        Verdict.REJECTED,
        "small: the answer does not meet its contract (schema) after 2 attempts, the last one no better than one "
        "before: /n: expected at least 10, got 1",
    )


# --- judge -------------------------------------------------------------------------------------

JUDGED = generate(contract=contract(NUMBER, judge=judge()), attempts=3)


def test_an_answer_that_the_judge_lets_pass_is_accepted(tmp_path: Path) -> None:
    outcome, room = done([GOOD, PASSED], tmp_path, JUDGED)
    assert body_of(outcome) == b'{"n":10}'
    assert room.models == ["small-1", "large-1"]
    assert room.prompts[1].startswith('Is {"n":10} true?\n\nJudge the answer by these rules alone.')
    assert [intent.purpose for intent in room.recorder.intents] == ["answer", "judge"]
    ((_, _, judgement),) = room.recorder.judgements
    assert (judgement.ok, judgement.score) == (True, 5.0)
    assert outcome.bill is not None
    assert (outcome.bill.model, outcome.bill.sent) == ("small", 2)


def test_an_answer_that_the_judge_finds_fault_with_is_asked_for_again_in_the_judges_words(tmp_path: Path) -> None:
    verdict = '{"score": 2, "failures": [{"rule": "truth", "reason": "It is not.", "fix": "Say 12."}]}'
    outcome, room = done([GOOD, verdict, '{"n": 12}', PASSED], tmp_path, JUDGED)
    assert body_of(outcome) == b'{"n":12}'
    assert room.turns(2) == [
        ("user", ASKED),
        ("assistant", GOOD),
        ("user", complaint("truth: It is not. (fix: Say 12.)")),
    ]
    asked = [(intent.attempt, intent.purpose) for intent in room.recorder.intents]
    assert asked == [(1, "answer"), (1, "judge"), (2, "answer"), (2, "judge")]


def test_the_judge_is_not_asked_about_an_answer_that_an_earlier_tier_turns_away(tmp_path: Path) -> None:
    _, room = done(['{"n": 1}', GOOD, PASSED], tmp_path, JUDGED)
    assert room.models == ["small-1", "small-1", "large-1"]


def test_what_the_judge_never_lets_pass_is_rejected(tmp_path: Path) -> None:
    outcome, _ = done(
        [GOOD, FAILED, '{"n": 11}', '{"score": 3, "failures": []}'], tmp_path, replace(JUDGED, attempts=2)
    )
    assert (outcome.verdict, outcome.reason) == (
        Verdict.REJECTED,
        "small: the answer does not meet its contract (judge) after 2 attempts: "
        "expected score >= 4, got 3 >= 4 → false",
    )
    assert [kept["class"] for kept in outcome.trail] == ["judge", "judge"]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ([error(401, "wrong key")], "large: the call was denied: wrong key"),
        ([CUT] * 6, "large: the model could not be reached: the connection broke"),
        (["five", "six"], "large: the answer does not meet its contract (not_json) after 2 attempts: "),
    ],
)
def test_an_answer_that_nobody_can_judge_is_failed_and_kept(tmp_path: Path, script: list[Any], why: str) -> None:
    outcome, room = done([GOOD, *script], tmp_path, JUDGED)
    assert outcome.verdict is Verdict.FAILED
    assert (outcome.reason or "").startswith(f"the judge gave no verdict: {why}")
    assert [kept["answer"] for kept in outcome.trail] == [GOOD]
    assert room.models.count("small-1") == 1


def test_a_judge_that_writes_no_verdict_is_asked_again_and_the_answer_is_not(tmp_path: Path) -> None:
    outcome, room = done([GOOD, "It is fine.", PASSED], tmp_path, JUDGED)
    assert body_of(outcome) == b'{"n":10}'
    assert room.models == ["small-1", "large-1", "large-1"]
    assert room.turns(2)[1] == ("assistant", "It is fine.")


def test_a_judges_own_token_limit_stands_before_its_models(tmp_path: Path) -> None:
    ours = judge(replace(LARGE, max_tokens=4000), params=(("max_tokens", 50),))
    _, room = done([GOOD, PASSED], tmp_path, generate(contract=contract(NUMBER, judge=ours)))
    assert room.transport.bodies[1]["max_tokens"] == 50


# --- replays and bills -------------------------------------------------------------------------

STORY: list[Line] = ["no", CUT, '{"n": 1}', '{"n": 2}', TOO_LONG, GOOD, FAILED, '{"n": 12}', PASSED]
TOLD = replace(SHRINKING, contract=contract(NUMBER, judge=judge()), models=(SMALL, LARGE), attempts=3)


def test_a_whole_chain_of_re_asks_is_replayed_from_the_cache_without_a_send(tmp_path: Path) -> None:
    first, room = done(STORY, tmp_path, TOLD)
    assert body_of(first) == b'{"n":12}'
    later = ModelRoom([], room.store)
    again = later.perform(TOLD, tmp_path)
    assert (again.record, again.trail) == (first.record, first.trail)
    assert [attempt.number for attempt in again.attempts] == [attempt.number for attempt in first.attempts]
    assert later.prompts == []
    assert again.bill is not None
    assert (again.bill.sent, again.bill.cached, again.bill.cost_micros) == (0, len(room.recorder.intents) - 1, 0)


def test_a_chain_whose_last_answer_is_gone_buys_that_one_alone(tmp_path: Path) -> None:
    _, room = done(STORY, tmp_path, TOLD)
    del room.store.answers[room.recorder.intents[-2].key]
    later = ModelRoom(['{"n": 12}'], room.store)
    assert body_of(later.perform(TOLD, tmp_path)) == b'{"n":12}'
    assert len(later.prompts) == 1


def test_a_tighter_schema_costs_nothing_where_the_answer_passes_and_goes_on_where_it_does_not(tmp_path: Path) -> None:
    _, room = done(['{"n": 15}'], tmp_path, FIVE)
    passing, failing = ({**NUMBER, "properties": {"n": {"type": "integer", "minimum": least}}} for least in (15, 16))
    later = ModelRoom(['{"n": 16}'], room.store)
    assert body_of(later.perform(generate(contract=contract(passing)), tmp_path)) == b'{"n":15}'
    assert later.prompts == []
    assert body_of(later.perform(generate(contract=contract(failing)), tmp_path)) == b'{"n":16}'
    assert later.prompts == [complaint("/n: expected at least 16, got 15")]


def test_the_bill_counts_every_send_failed_attempts_and_the_judge_included(tmp_path: Path) -> None:
    spec = generate(PRICED, contract=contract(NUMBER, judge=judge(PRICED)))
    script = [said("no", tokens=(100, 1)), error(500, "oh"), said(GOOD, tokens=(200, 2)), said(PASSED, tokens=(50, 9))]
    outcome, room = done(script, tmp_path, spec)
    assert outcome.bill == Bill("priced", 350, 12, 100 + 2 + 200 + 4 + 50 + 18, 4, 0)
    assert {call.cost.status for call, _ in room.recorder.ends} == {CostStatus.EXACT}


def test_the_bill_is_not_known_as_soon_as_one_call_has_no_price(tmp_path: Path) -> None:
    outcome, _ = done(["no", "no", GOOD], tmp_path, generate(PRICED, SMALL, contract=contract(NUMBER)))
    assert outcome.bill is not None
    assert (outcome.bill.cost_micros, outcome.bill.sent) == (None, 3)
