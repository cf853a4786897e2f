"""The most that a send can use: never less than what it did use, and raised where a server reports more."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.budgets import Amount, Caps
from penstock.core.calls import (
    Call,
    Cost,
    CostStatus,
    Fault,
    FaultClass,
    Intent,
    Message,
    Request,
    TransportKind,
    Usage,
)
from penstock.core.canon import Json
from penstock.core.errors import Place
from penstock.core.models import Model, Price
from penstock.rules.prices import cost
from penstock.rules.worst_case import (
    HIDDEN_TOKENS,
    MESSAGE_TOKENS,
    REQUEST_TOKENS,
    START,
    Worst,
    answers,
    most_input,
    most_output,
    raised,
    unbounded_by,
    unheld,
    used,
    worst,
)

HERE = Place("flow.yaml", 1, 1)
PLAIN = Model("plain", "openai", "plain-1")
ABLE = Model("able", "openai", "able-1", max_tokens=4_096, context_tokens=100_000)
ROOMY = Model("roomy", "openai", "roomy-1", context_tokens=8_000)
PRICE = Price(Decimal(3), Decimal(15))
ASKED = Request(PLAIN, (Message("system", "Be brief."), Message("user", "Hello")), {})
BODY = b'{"messages":[]}'
ADDED = 2 * MESSAGE_TOKENS + REQUEST_TOKENS

prices = st.decimals(0, 100, allow_nan=False, places=4)


def ended(usage: Usage | None, micros: int | None, fault: Fault | None = None, cached: bool = False) -> Call:
    intent = Intent(1, 1, 1, "answer", b"", "plain", "openai", 0.0)
    return Call(intent, None, usage, Cost(micros, CostStatus.EXACT), fault, 200, 0.1, cached=cached)


# --- input -------------------------------------------------------------------------------------


def test_input_is_bounded_by_a_token_a_byte_and_what_servers_add() -> None:
    assert most_input(ASKED, BODY) == len(BODY) + ADDED


@pytest.mark.parametrize("word", ["tools", "output_config"])
def test_what_a_server_writes_about_tools_and_forms_is_counted(word: str) -> None:
    body = json.dumps({word: []}).encode()
    assert most_input(ASKED, body) == len(body) + ADDED + HIDDEN_TOKENS


def test_a_text_that_quotes_the_word_tools_is_no_tool() -> None:
    body = json.dumps({"content": 'say "tools"'}).encode()
    assert most_input(ASKED, body) == len(body) + ADDED


def test_the_ratio_of_the_model_raises_the_bound_and_is_rounded_up() -> None:
    assert most_input(ASKED, b"1234567", Fraction(3, 2)) == 11 + ADDED


def test_a_report_within_the_bound_leaves_the_ratio() -> None:
    assert raised(START, ASKED, BODY, most_input(ASKED, BODY)) == START
    assert raised(Fraction(5), ASKED, BODY, 1) == Fraction(5)


@given(st.binary(max_size=300), st.integers(0, 10**7), st.fractions(1, 50))
def test_the_ratio_after_a_report_would_have_bounded_it_and_never_falls(
    body: bytes, reported: int, ratio: Fraction
) -> None:
    after = raised(ratio, ASKED, body, reported)
    assert after >= ratio
    assert not body or most_input(ASKED, body, after) >= reported


# --- output ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "limit", "most"),
    [
        (ABLE, 400, 400),
        (ABLE, 9_000, 9_000),  # the server may know of a larger limit than the workflow does
        (ABLE, 399.5, 400),
        (ABLE, None, 4_096),
        (ABLE, -1, 4_096),  # Ollama: without end
        (ABLE, "many", 4_096),
        (ABLE, True, 4_096),
        (ABLE, float("inf"), 4_096),
        (ABLE, float("nan"), 4_096),
        (ROOMY, None, 8_000),
        (PLAIN, None, None),
        (PLAIN, 0, None),
    ],
)
def test_output_is_bounded_by_the_limit_that_is_sent_or_else_by_the_model(
    model: Model, limit: Json, most: int | None
) -> None:
    assert most_output(model, limit) == most


@pytest.mark.parametrize(
    ("params", "count"),
    [({}, 1), ({"n": 3}, 3), ({"n": 2, "best_of": 5}, 5), ({"n": 0}, 1), ({"n": -4}, 1), ({"n": "3"}, 1)],
)
def test_each_answer_that_is_asked_for_counts(params: dict[str, Json], count: int) -> None:
    asked = Request(ABLE, ASKED.messages, params)
    assert answers(asked) == count
    assert worst(asked, BODY, 100, PRICE).tokens == most_input(asked, BODY) + 100 * count


# --- money -------------------------------------------------------------------------------------


def test_a_worst_case_worked_by_hand() -> None:
    # 15 bytes and 144 added are 159 tokens: 159 x 3.75 + 400 x 15 = 596.25 + 6,000, rounded up
    dear = Price(Decimal(3), Decimal(15), Decimal("0.3"), Decimal("3.75"))
    assert worst(ASKED, BODY, 400, dear) == Worst(559, 6_597)


def test_without_a_price_the_tokens_are_bounded_alone() -> None:
    assert worst(ASKED, BODY, 400, None) == Worst(559, None)


def test_without_a_limit_neither_tokens_nor_money_are_bounded() -> None:
    assert worst(ASKED, BODY, None, PRICE) == Worst(None, None)


def test_an_answer_without_end_that_costs_nothing_costs_nothing() -> None:
    assert worst(ASKED, BODY, None, Price(Decimal(0), Decimal(0))) == Worst(None, 0)


@given(st.data(), prices, prices, st.none() | prices, st.none() | prices)
def test_no_usage_within_the_bounds_costs_more_than_the_worst_case(
    data: st.DataObject, read: Decimal, wrote: Decimal, cached: Decimal | None, stored: Decimal | None
) -> None:
    price = Price(read, wrote, cached, stored)
    most = worst(ASKED, BODY, 400, price)
    tokens = data.draw(st.integers(0, most_input(ASKED, BODY)))
    hits = data.draw(st.integers(0, tokens))
    writes = data.draw(st.integers(0, tokens - hits))
    micros = cost(Usage(tokens, data.draw(st.integers(0, 400)), hits, writes), price).micros
    assert micros is not None
    assert most.micros is not None
    assert micros <= most.micros


# --- what cannot be held -----------------------------------------------------------------------


def test_caps_that_do_not_concern_what_is_unknown_can_be_held() -> None:
    assert unbounded_by(Worst(None, None), Caps(HERE, calls=5, seconds=1.0), "x") is None
    assert unbounded_by(Worst(10, None), Caps(HERE, tokens=5), "x") is None
    assert unbounded_by(Worst(None, 0), Caps(HERE, micros=5), "x") is None
    assert unheld(PLAIN, None, None, Caps(HERE, calls=5)) is None
    assert unheld(PLAIN, Price(Decimal(1), Decimal(0)), None, Caps(HERE, micros=5)) is None
    assert unheld(ABLE, PRICE, None, Caps(HERE, micros=5, tokens=5)) is None


def test_a_model_without_a_price_is_told_with_the_line_to_add() -> None:
    told = unheld(PLAIN, None, None, Caps(HERE, micros=5))
    assert told is not None
    assert str(told) == "budget: cost_usd cannot be held, as the price of plain is not known"
    assert told.help is not None
    assert "price: {input: …, output: …}" in told.help


@pytest.mark.parametrize("caps", [Caps(HERE, micros=5), Caps(HERE, tokens=5)])
def test_a_model_whose_answers_nothing_limits_is_told_with_the_line_to_add(caps: Caps) -> None:
    told = unheld(PLAIN, PRICE, None, caps)
    assert told is not None
    assert str(told) == "budget: it cannot be held, as nothing limits how much plain may write"
    assert told.help is not None
    assert "max_tokens" in told.help
    assert unheld(PLAIN, PRICE, 400, caps) is None


# --- what was used -----------------------------------------------------------------------------


def test_a_reply_used_what_the_server_says() -> None:
    assert used(ended(Usage(100, 20, 50), 360)) == (Amount(1, 120, 360), False)


def test_a_reply_with_a_usage_and_no_price_has_an_unknown_cost() -> None:
    assert used(ended(Usage(100, 20), None)) == (Amount(1, 120, None), False)


def test_a_reply_without_a_usage_is_charged_its_estimate_and_the_rest_stays_exposed() -> None:
    assert used(ended(None, 200)) == (Amount(1, 0, 200), True)


def test_a_timeout_stays_exposed_and_a_refused_connection_does_not() -> None:
    late = Fault(FaultClass.TRANSPORT, "too late", TransportKind.TIMEOUT, billed=True)
    away = Fault(FaultClass.TRANSPORT, "nobody there", TransportKind.CONNECTION)
    assert used(ended(None, None, late)) == (Amount(1, 0, 0), True)
    assert used(ended(None, 0, away)) == (Amount(1, 0, 0), False)


def test_a_replay_uses_nothing() -> None:
    assert used(ended(Usage(100, 20), 0, cached=True)) == (Amount(), False)
