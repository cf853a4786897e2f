"""The bill of calls that are not made yet: its range, its time, and what of a step changed."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.calls import Usage
from penstock.core.errors import Place
from penstock.core.generation import Contract, Generate, Judge, Schema, Template, Verify
from penstock.core.models import Model, Price, Rates
from penstock.rules.bill import BYTES_A_TOKEN, Load, Speaker, cheapest, complaint, dearest, duration_s, retold
from penstock.rules.prices import cost
from penstock.rules.step_changes import step_changes

HERE = Place("flow.yaml", 1, 1)
PRICE = Price(Decimal(3), Decimal(15), Decimal("0.3"), Decimal("3.75"))
FREE = Price(Decimal(0), Decimal(0))
small = Speaker("small", 100, 50, 4, 200)


def loaded(*tokens: int | None) -> Load:
    load = Load()
    for each in tokens:
        load = load.plus(each)
    return load


# --- the range ---------------------------------------------------------------------------------


def test_the_high_end_is_every_call_at_its_worst() -> None:
    read = 4 * (30 + 2 * 100) + 3 * 2 * (50 * 4 + 200)
    wrote = 4 * 2 * 50
    expected = cost(Usage(read, wrote), replace(PRICE, input=Decimal("3.75"))).micros
    assert expected is not None
    assert dearest(loaded(10, 20), [(small, PRICE)]) == expected + 8


def test_a_price_or_a_bound_that_is_missing_makes_the_high_end_unknown() -> None:
    load = loaded(10)
    assert dearest(load, [(small, PRICE), (small, None)]) is None
    assert dearest(load, [(replace(small, written=None), PRICE)]) is None
    assert dearest(load, [(replace(small, complaint=None), PRICE)]) is None
    assert dearest(loaded(10, None), [(small, PRICE)]) is None


def test_what_is_free_needs_no_bound_and_what_is_not_sent_no_price() -> None:
    assert dearest(loaded(None), [(replace(small, written=None), FREE)]) == 0
    assert dearest(Load(), [(small, None)]) == 0
    assert cheapest(0, 0, None) == 0
    assert cheapest(1, 100, None) is None


@given(
    st.lists(st.integers(0, 10_000), min_size=1, max_size=5),
    st.lists(st.integers(0, 50), min_size=1, max_size=4),
    st.integers(0, 10_000),
)
def test_the_range_holds_any_calls_within_its_bounds(prompts: list[int], outputs: list[int], cached: int) -> None:
    """However many of a row's calls are made, and each billed by itself: the high end is above, the low end below."""
    high = dearest(loaded(*prompts), [(small, PRICE)])
    assert high is not None
    spent = 0
    for tokens in prompts:
        for number, output in enumerate(outputs[: small.calls]):
            reask = (small.reask or 0) if number else 0
            read = tokens + small.frame + reask
            told = cost(Usage(read, min(output, 50), min(cached, read)), PRICE).micros
            spent += told or 0
    assert spent <= high
    low = cheapest(len(prompts), sum(prompts), PRICE)
    billed = [cost(Usage(tokens, 1, tokens), PRICE).micros or 0 for tokens in prompts]
    assert low is not None
    assert low <= sum(billed)


def test_the_low_end_takes_eight_bytes_for_a_token_and_one_token_for_an_answer() -> None:
    assert cheapest(2, 1000 * BYTES_A_TOKEN, Price(Decimal(3), Decimal(15))) == 3030
    assert cheapest(2, 1000 * BYTES_A_TOKEN, PRICE) == 330


def test_an_answer_that_is_told_again_is_cut() -> None:
    assert (retold(10), retold(None), retold(1_000_000)) == (40, None, 80_000)


def test_a_complaint_has_the_words_of_the_judge_in_it() -> None:
    plain = complaint(b'{"type": "object"}', ())
    assert plain is not None
    assert complaint(b'{"type": "object"}', (), 50) == plain + 200
    assert complaint(b"", ("output.n > 3",), None) is None


@given(st.lists(st.integers(0, 10_000), max_size=6))
def test_a_load_sums_and_keeps_the_longest(tokens: list[int]) -> None:
    load = loaded(*tokens)
    assert (load.count, load.tokens, load.longest) == (len(tokens), sum(tokens), max(tokens, default=0))


# --- the time ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "width", "median_s", "limits", "seconds"),
    [
        (0, 16, None, [], 0.0),
        (10, 16, None, [], None),
        (100, 10, 2.0, [], 20.0),
        (101, 10, 2.0, [], 22.0),
        (100, 10, 2.0, [(100, 0, 60, None)], 100.0),
        (100, 10, 2.0, [(50, 30_000, 600, 60_000)], 30.0),
        (100, 10, None, [(100, 0, 6000, None)], 1.0),
    ],
)
def test_the_slowest_limit_tells_how_long_it_takes(
    calls: int,
    width: int,
    median_s: float | None,
    limits: list[tuple[int, int, int | None, int | None]],
    seconds: object,
) -> None:
    assert duration_s(calls, width, median_s, limits) == seconds


# --- what changed ------------------------------------------------------------------------------


def template(text: str) -> Template:
    return Template(text, None, HERE)


SMALL, LARGE = Model("small", "openai", "small-1"), Model("large", "openai", "large-1")
STRICT = Judge((LARGE,), template("rubric"), "score > 3")
SPEC = Generate((SMALL,), template("prompt"), Contract(Schema({"type": "object"}, None, HERE), ("output.n > 1",)))
JUDGED = replace(SPEC, contract=replace(SPEC.contract, judge=STRICT))


def judge(**changed: object) -> Generate:
    return replace(SPEC, contract=replace(SPEC.contract, judge=replace(STRICT, **changed)))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (SPEC, SPEC, ()),
        (SPEC, replace(SPEC, models=(SMALL, LARGE)), ("model small → small, large",)),
        (
            SPEC,
            replace(SPEC, models=(replace(SMALL, served="x"),)),
            ("model small changed: openai/small-1 → openai/x",),
        ),
        (
            SPEC,
            replace(SPEC, models=(replace(SMALL, base_url="http://key:word@a/b?c"),)),
            ("model small changed: its usual address → a",),
        ),
        (
            replace(SPEC, models=(replace(SMALL, base_url="http://a/v1"),)),
            replace(SPEC, models=(replace(SMALL, base_url="http://a/v2"),)),
            ("model small changed: its address",),
        ),
        (SPEC, replace(SPEC, models=(replace(SMALL, concurrency=3),)), ()),
        (
            replace(SPEC, models=(Model("s", "sim", "s"),)),
            replace(SPEC, models=(Model("s", "sim", "s", rates=Rates(quality=0.5)),)),
            ("model s changed: its rates",),
        ),
        (SPEC, replace(SPEC, prompt=template("other")), ("prompt changed",)),
        (SPEC, replace(SPEC, prompt=Template("prompt", "moved.md", HERE)), ()),
        (SPEC, replace(SPEC, system=template("be kind")), ("system changed",)),
        (SPEC, replace(SPEC, params=(("temperature", 0),)), ("params changed: temperature",)),
        (SPEC, replace(SPEC, vars=(("a", "1"), ("b", "2"))), ("vars changed: a, b",)),
        (SPEC, replace(SPEC, attempts=5), ("attempts 3 → 5",)),
        (SPEC, replace(SPEC, contract=replace(SPEC.contract, schema=None)), ("schema changed",)),
        (SPEC, replace(SPEC, contract=replace(SPEC.contract, checks=())), ("checks changed",)),
        (SPEC, JUDGED, ("a judge is new",)),
        (JUDGED, SPEC, ("the judge is gone",)),
        (JUDGED, judge(models=(SMALL,)), ("judge large → small",)),
        (JUDGED, judge(rubric=template("other")), ("rubric changed",)),
        (JUDGED, judge(passes="score > 4"), ("the judge's `pass` changed",)),
        (JUDGED, judge(params=(("top_p", 1),)), ("the judge's params changed: top_p",)),
        (SPEC, Verify(Contract()), ("it was a `generate` step",)),
    ],
)
def test_what_changed_is_told_in_a_few_words(
    old: Generate | Verify, new: Generate | Verify, told: tuple[str, ...]
) -> None:
    assert step_changes(old, new) == told


def test_env_counts_where_a_text_sees_it() -> None:
    assert step_changes(SPEC, SPEC, ({"A": "1", "B": "2"}, {"A": "1", "B": "3"})) == ("env changed: B",)
