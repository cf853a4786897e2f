"""Repair: what follows each class of fault, when a loop stops, and how long a request waits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.calls import FaultClass, Flaw, TransportKind
from penstock.core.errors import Place
from penstock.core.generation import Contract, Drop, Generate, Template
from penstock.core.models import Model
from penstock.core.work import Verdict
from penstock.rules.reask import LONGEST_ANSWER, messages
from penstock.rules.repair import Past, Policy, Previous, Stop, Try, after, first, most_tries, policy_of
from penstock.rules.waits import Setback, wait_s

SMALL = Model("small", "ollama", "llama3.1:8b")
LARGE = Model("large", "openai", "gpt-4o", max_tokens=4096, context_tokens=128_000)
HUGE = Model("huge", "openai", "gpt-5", max_tokens=8192, context_tokens=400_000)

F = FaultClass
LOW = (Flaw("/score", "at least 0.5", "0.2"),)
LOWER = (Flaw("/score", "at least 0.5", "0.1"),)


def bad(tried: Try, text: str = "{}", flaws: tuple[Flaw, ...] = LOW, cls: FaultClass = F.SCHEMA) -> Past:
    return Past(tried, cls, text, flaws)


def said(cls: FaultClass, tried: Try, message: str = "") -> Past:
    return Past(tried, cls, message=message)


def test_the_first_try_is_the_cheapest_model_with_nothing_changed() -> None:
    assert first(Policy((SMALL, LARGE), 3)) == Try(0, 0, None, False, None)


def test_a_policy_is_read_from_the_step() -> None:
    prompt = Template("x", None, Place("w.yaml", 1, 1))
    params = (("temperature", 0.2), ("max_tokens", 400))
    step = Generate((SMALL,), prompt, Contract(), params=params, attempts=2, shrink=(Drop("a"), Drop("b")))
    assert policy_of(step) == Policy((SMALL,), 2, 2, 400)


# --- denied, refused, transport ------------------------------------------------------------------


@pytest.mark.parametrize("cls", [F.DENIED, F.REFUSED, F.TRANSPORT])
def test_what_no_second_question_helps_goes_to_the_next_model(cls: FaultClass) -> None:
    assert after(Policy((SMALL, LARGE), 3, rungs=2), [said(cls, Try(0, 1, 800, True))]) == Try(1, 1)


@pytest.mark.parametrize(
    ("cls", "verdict", "reason"),
    [
        (F.DENIED, Verdict.FAILED, "small: the call was denied: no such key"),
        (F.TRANSPORT, Verdict.FAILED, "small: the model could not be reached: no such key"),
        (F.REFUSED, Verdict.REJECTED, "small: the model refused to answer: no such key"),
        (
            F.TRUNCATED,
            Verdict.REJECTED,
            "small: the answer was cut off at the token limit, which cannot be raised further: no such key",
        ),
        (
            F.OVERFLOW,
            Verdict.FAILED,
            "small: the prompt is too long for its window, and no later model has a larger one: no such key",
        ),
    ],
)
def test_the_last_model_stops_with_what_was_said(cls: FaultClass, verdict: Verdict, reason: str) -> None:
    assert after(Policy((SMALL,), 3), [said(cls, Try(0), "no such key")]) == Stop(verdict, cls, reason)


# --- overflow ------------------------------------------------------------------------------------


def test_an_overflow_shrinks_first_and_keeps_the_rest() -> None:
    tried = Try(0, 0, 800, True, Previous("{}", F.SCHEMA, LOW))
    assert after(Policy((SMALL, LARGE), 3, rungs=1), [said(F.OVERFLOW, tried)]) == Try(0, 1, 800, True, tried.previous)


def test_an_overflow_with_nothing_to_shrink_looks_for_a_larger_window() -> None:
    twin = Model("twin", "openai", "gpt-4o", context_tokens=128_000)
    assert after(Policy((LARGE, twin, SMALL, HUGE), 3, rungs=1), [said(F.OVERFLOW, Try(0, 1))]) == Try(3, 1)


def test_an_unknown_window_is_not_larger_but_a_known_one_is_larger_than_it() -> None:
    assert isinstance(after(Policy((LARGE, SMALL), 3), [said(F.OVERFLOW, Try(0))]), Stop)
    assert after(Policy((SMALL, LARGE), 3), [said(F.OVERFLOW, Try(0))]) == Try(1)


# --- truncated -----------------------------------------------------------------------------------


def test_a_truncated_answer_raises_the_limit_to_the_model_s_cap() -> None:
    policy = Policy((LARGE,), 3, max_tokens=400)
    assert after(policy, [said(F.TRUNCATED, Try(0))]) == Try(0, 0, 4096, True)


def test_where_no_cap_is_known_the_limit_is_doubled_once() -> None:
    policy = Policy((SMALL, LARGE), 3, rungs=1, max_tokens=400)
    doubled = after(policy, [said(F.TRUNCATED, Try(0))])
    assert doubled == Try(0, 0, 800, True)
    history = [said(F.TRUNCATED, Try(0)), said(F.TRUNCATED, doubled)]
    shrunk = after(policy, history)
    assert shrunk == Try(0, 1, 800, True)
    assert after(policy, [*history, said(F.TRUNCATED, shrunk)]) == Try(1, 1)


def test_a_limit_that_is_the_cap_or_that_nobody_knows_cannot_be_raised() -> None:
    assert after(Policy((LARGE, HUGE), 3, max_tokens=4096), [said(F.TRUNCATED, Try(0))]) == Try(1)
    assert after(Policy((SMALL, HUGE), 3), [said(F.TRUNCATED, Try(0))]) == Try(1)


def test_what_was_sent_and_what_the_server_said_of_its_cap_count_first() -> None:
    past = Past(Try(0), F.TRUNCATED, max_tokens_sent=1000, max_tokens_cap=3000)
    assert after(Policy((LARGE,), 3, max_tokens=400), [past]) == Try(0, 0, 3000, True)


def test_the_next_model_has_a_limit_of_its_own_to_raise() -> None:
    policy = Policy((LARGE, HUGE), 3, max_tokens=400)
    history = [said(F.TRUNCATED, Try(0)), said(F.TRUNCATED, Try(0, 0, 4096, True)), said(F.TRUNCATED, Try(1))]
    assert after(policy, history) == Try(1, 0, 8192, True)


# --- the contract --------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [F.NOT_JSON, F.SCHEMA, F.CHECK, F.JUDGE])
def test_a_contract_that_is_not_met_is_asked_again_with_the_answer_and_its_flaws(cls: FaultClass) -> None:
    following = after(Policy((SMALL, LARGE), 3, rungs=1), [bad(Try(0), "{1}", LOW, cls)])
    assert following == Try(0, 0, None, False, Previous("{1}", cls, LOW))


def test_attempts_count_the_first_answer_and_only_answers_that_were_judged() -> None:
    policy = Policy((LARGE, HUGE), 2, max_tokens=400)
    again = Try(0, 0, 4096, True, Previous("a", F.SCHEMA, LOW))
    history = [bad(Try(0), "a", LOW), said(F.TRUNCATED, again), bad(again, "b", LOWER)]
    assert after(policy, history[:1]) == Try(0, 0, None, False, Previous("a", F.SCHEMA, LOW))
    assert after(policy, history) == Try(1)


def test_attempts_are_counted_for_each_model() -> None:
    history = [bad(Try(0), "a", LOW), bad(Try(0), "b", LOWER), bad(Try(1), "a", LOW)]
    assert after(Policy((SMALL, LARGE), 2), history) == Try(1, 0, None, False, Previous("a", F.SCHEMA, LOW))


def test_a_spent_loop_is_rejected_with_its_first_flaw() -> None:
    stop = after(Policy((SMALL,), 2), [bad(Try(0), "a", LOWER), bad(Try(0), "b", LOW, F.CHECK)])
    assert stop == Stop(
        Verdict.REJECTED,
        F.CHECK,
        "small: the answer does not meet its contract (check) after 2 attempts: /score: expected at least 0.5, got 0.2",
    )


# --- stuck ---------------------------------------------------------------------------------------


def test_the_same_errors_twice_stop_re_asking_and_shrink() -> None:
    policy = Policy((SMALL, LARGE), 5, rungs=1)
    history = [bad(Try(0), "a", LOW), bad(Try(0, previous=Previous("a", F.SCHEMA, LOW)), "b", LOW)]
    assert after(policy, history) == Try(0, 1)
    history += [bad(Try(0, 1), "b", LOW), bad(Try(0, 1), "c", LOW)]
    assert after(policy, history) == Try(1, 1)


def test_an_answer_that_was_given_before_is_stuck_too() -> None:
    history = [bad(Try(0), "a", LOW), bad(Try(0), "b", LOWER), bad(Try(0), "a", LOW)]
    assert after(Policy((SMALL, LARGE), 5), history) == Try(1)


def test_an_error_that_moves_is_not_stuck() -> None:
    history = [bad(Try(0), "a", LOWER), bad(Try(0), "b", LOW)]
    assert after(Policy((SMALL, LARGE), 5), history) == Try(0, previous=Previous("b", F.SCHEMA, LOW))


def test_answers_of_another_model_or_another_prompt_do_not_make_one_stuck() -> None:
    policy = Policy((SMALL, LARGE), 5, rungs=1)
    for other in (Try(0), Try(1)):
        following = after(policy, [bad(other, "a", LOW), bad(Try(1, 1), "a", LOW)])
        assert following == Try(1, 1, previous=Previous("a", F.SCHEMA, LOW))


def test_a_stuck_loop_with_no_way_out_says_so() -> None:
    stop = after(Policy((SMALL,), 5), [bad(Try(0), "a", LOW), bad(Try(0), "a", LOW)])
    assert isinstance(stop, Stop)
    assert stop.verdict is Verdict.REJECTED
    assert "after 2 attempts, the last one no better than one before" in stop.reason


# --- every sequence of faults --------------------------------------------------------------------

MODELS = st.lists(st.sampled_from([SMALL, LARGE, HUGE]), min_size=1, max_size=4).map(tuple)
POLICIES = st.builds(Policy, MODELS, st.integers(1, 4), st.integers(0, 3), st.none() | st.integers(1, 9000))
FAULTS = st.lists(
    st.tuples(st.sampled_from(FaultClass), st.sampled_from(["a", "b", "c"]), st.sampled_from([LOW, LOWER, ()])),
    min_size=1,
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(POLICIES, FAULTS)
def test_every_loop_ends_within_its_bound_and_never_goes_back(
    policy: Policy, faults: list[tuple[FaultClass, str, tuple[Flaw, ...]]]
) -> None:
    history: list[Past] = []
    following: Try | Stop = first(policy)
    while isinstance(following, Try):
        cls, text, flaws = faults[len(history) % len(faults)]
        history.append(Past(following, cls, text, flaws))
        following = after(policy, history)
        assert after(policy, history) == following
        assert len(history) <= most_tries(policy)
    places = [(past.tried.model, past.tried.rung) for past in history]
    assert places == sorted(places)
    assert all(rungs == sorted(rungs) for rungs in [[rung for _, rung in places]])
    for index in range(len(policy.models)):
        judged = [past for past in history if past.tried.model == index and past.cls in JUDGED]
        assert len(judged) <= policy.attempts + policy.rungs
        assert len({past.tried.max_tokens for past in history if past.tried.model == index}) <= 2
    failed = history[-1].cls in {F.DENIED, F.OVERFLOW, F.TRANSPORT}
    assert following.verdict is (Verdict.FAILED if failed else Verdict.REJECTED)


JUDGED = {F.NOT_JSON, F.SCHEMA, F.CHECK, F.JUDGE}


def test_the_bound_is_reached_by_a_loop_that_takes_every_way_out() -> None:
    policy = Policy((SMALL, LARGE), 2, 1, 100)
    order = [F.TRUNCATED, F.OVERFLOW, F.SCHEMA, F.CHECK, F.TRUNCATED, F.SCHEMA, F.CHECK]
    history: list[Past] = []
    following: Try | Stop = first(policy)
    for number, cls in enumerate(order):
        assert isinstance(following, Try)
        history.append(Past(following, cls, str(number), (Flaw("", "x", str(number)),)))
        following = after(policy, history)
    assert isinstance(following, Stop)
    assert len(history) == most_tries(policy) == 7


# --- the conversation ----------------------------------------------------------------------------


def turns(*flaws: Flaw, text: str = "{}", cls: FaultClass = F.SCHEMA, json: bool = True) -> list[tuple[str, str]]:
    previous = Previous(text, cls, flaws)
    return [(turn.role, turn.content) for turn in messages("Be exact.", "Summarise.", previous, json=json)]


def test_a_first_question_is_the_prompt_with_the_system_before_it() -> None:
    assert [(turn.role, turn.content) for turn in messages("S", "P")] == [("system", "S"), ("user", "P")]
    assert [turn.role for turn in messages(None, "P")] == ["user"]


def test_a_re_ask_holds_the_last_answer_and_its_flaws() -> None:
    assert turns(Flaw("/score", "at least 0.5", "0.2"), Flaw("", "output.ok", "false")) == [
        ("system", "Be exact."),
        ("user", "Summarise."),
        ("assistant", "{}"),
        (
            "user",
            "The answer does not meet the contract:\n"
            "- /score: expected at least 0.5, got 0.2\n"
            "- expected output.ok, got false\n"
            "Answer again with the whole corrected JSON only.",
        ),
    ]


def test_a_re_ask_holds_five_flaws_and_says_how_many_there_were_more() -> None:
    complaint = turns(*(Flaw(f"/{number}", "x", "y") for number in range(7)))[-1][1]
    assert complaint.count("- /") == 5
    assert "- and 2 more" in complaint


def test_a_judge_s_flaws_are_its_rules_reasons_and_fixes() -> None:
    complaint = turns(Flaw("", "is short", "900 words (fix: cut it)"), cls=F.JUDGE)[-1][1]
    assert "- is short: 900 words (fix: cut it)" in complaint


def test_a_text_answer_is_not_asked_for_json() -> None:
    assert "JSON" not in turns(Flaw("", "len(output) < 5", "6"), json=False)[-1][1]


def test_a_very_long_answer_is_cut_and_said_to_be() -> None:
    shown = turns(text="x" * 30_000)[2][1]
    assert shown.startswith("x" * LONGEST_ANSWER)
    assert shown.endswith("\n[cut: the first 20000 of 30000 characters]")


# --- waits ---------------------------------------------------------------------------------------

K = TransportKind


def test_waits_without_a_hint_double_up_to_a_minute_with_full_jitter() -> None:
    many = {K.SERVER: 20}
    waits = [wait_s([Setback(K.SERVER)] * sends, 1.0, many) for sends in range(1, 10)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert wait_s([Setback(K.SERVER)] * 3, 0.25, many) == 1.0
    assert wait_s([Setback(K.SERVER)] * 3, 0.0, many) == 0.0


def test_a_request_is_sent_six_times() -> None:
    assert wait_s([Setback(K.SERVER)] * 5, 0.5) is not None
    assert wait_s([Setback(K.SERVER)] * 6, 0.5) is None
    assert wait_s([Setback(K.SERVER), Setback(K.TIMEOUT)] * 3, 0.5) is None


def test_a_kind_with_a_budget_is_held_to_it_and_leaves_the_others_theirs() -> None:
    budgets = {K.TIMEOUT: 2, K.RATE_LIMIT: 8}
    assert wait_s([Setback(K.TIMEOUT)] * 2, 0.5, budgets) is None
    assert wait_s([Setback(K.RATE_LIMIT)] * 7, 0.5, budgets) is not None
    assert wait_s([Setback(K.RATE_LIMIT)] * 8, 0.5, budgets) is None
    assert wait_s([Setback(K.TIMEOUT)] + [Setback(K.SERVER)] * 5, 0.5, budgets) is not None
    assert wait_s([Setback(K.TIMEOUT)] + [Setback(K.SERVER)] * 6, 0.5, budgets) is None


def test_a_budget_of_one_is_no_second_send() -> None:
    assert wait_s([Setback(K.SERVER)], 0.5, {K.SERVER: 1}) is None


def test_a_wait_that_the_server_asks_for_is_kept_and_uses_up_no_send() -> None:
    assert wait_s([Setback(K.RATE_LIMIT, 20.0)], 0.1) == 20.0
    assert wait_s([Setback(K.RATE_LIMIT, 20.0)] * 30, 0.1) == 20.0
    assert wait_s([Setback(K.RATE_LIMIT, 20.0)] * 30 + [Setback(K.SERVER)], 1.0) == 1.0


def test_asked_waits_are_fifteen_minutes_in_all() -> None:
    assert wait_s([Setback(K.RATE_LIMIT, 300.0)] * 3, 0.1) == 300.0
    assert wait_s([Setback(K.RATE_LIMIT, 300.0)] * 4, 0.1) is None
    assert wait_s([Setback(K.RATE_LIMIT, 901.0)], 0.1) is None


def test_a_wait_longer_than_the_longest_ends_the_request() -> None:
    assert wait_s([Setback(K.RATE_LIMIT, 61.0)], 0.1, longest_s=60.0) is None
    assert wait_s([Setback(K.RATE_LIMIT, 60.0)], 0.1, longest_s=60.0) == 60.0


def test_hints_of_milliseconds_do_not_go_on_for_ever() -> None:
    assert wait_s([Setback(K.RATE_LIMIT, 0.02)] * 900, 0.1) == 0.02
    assert wait_s([Setback(K.RATE_LIMIT, 0.02)] * 901, 0.1) is None


def test_a_hint_of_zero_is_none_and_uses_up_a_send() -> None:
    assert wait_s([Setback(K.RATE_LIMIT, 0.0)] * 5, 1.0) == 16.0
    assert wait_s([Setback(K.RATE_LIMIT, 0.0)] * 6, 1.0) is None
