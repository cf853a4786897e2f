"""The ledger of a budget: no cap is crossed at any concurrency, nothing leaks, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from random import Random
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.core.budgets import Amount, Caps
from penstock.core.calls import Message, Request
from penstock.core.errors import BugError, Place
from penstock.core.models import Model
from penstock.models import anthropic
from penstock.models.budget import FREE, Budget, Exhausted, Level, Past, Reservation, limit_sent
from penstock.rules.worst_case import Unbounded, Worst
from tests.doubles import TickingClock

T = TypeVar("T")
HERE = Place("flow.yaml", 1, 1)
DOLLAR = Caps(HERE, micros=1_000_000)
CENT = Worst(100, 10_000)
PAID = Amount(1, 100, 10_000)
NOTHING = Amount(1, 0, 0)


def budget_of(run: Caps | None = None, past: Past | None = None, **steps: Caps) -> Budget:
    return Budget(TickingClock(0.0), run, steps, past)


def level(budget: Budget, axis: str = "cost_usd", step_id: str | None = None) -> Level:
    (found,) = (each for each in budget.levels() if (each.axis, each.step_id) == (axis, step_id))
    return found


def run(test: Callable[[], Awaitable[T]]) -> T:
    async def whole() -> T:
        return await test()

    return asyncio.run(whole())


async def waiting(budget: Budget, step_id: str = "a", worst: Worst = CENT) -> asyncio.Task[Reservation]:
    """A task that has come as far as it can: it holds its reservation, has an error, or waits."""
    task = asyncio.create_task(budget.reserve(step_id, worst))
    await settled()
    return task


async def settled() -> None:
    """All that can go on without anybody's help has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)


# --- one reservation ---------------------------------------------------------------------------


def test_what_is_set_aside_becomes_what_was_used_and_the_rest_is_free() -> None:
    async def test() -> None:
        budget = budget_of(replace(DOLLAR, calls=10, tokens=1_000))
        with await budget.reserve("a", CENT) as held:
            assert level(budget) == Level(None, "cost_usd", 1_000_000, 0, 10_000, 0)
            assert held.settle(Amount(1, 40, 2_500)) is None
        assert level(budget) == Level(None, "cost_usd", 1_000_000, 2_500, 0, 0)
        assert level(budget, "tokens") == Level(None, "tokens", 1_000, 40, 0, 0)
        assert level(budget, "calls") == Level(None, "calls", 10, 1, 0, 0)
        assert (budget.in_flight, budget.overruns) == (0, 0)

    run(test)


def test_a_released_reservation_has_used_nothing() -> None:
    async def test() -> None:
        budget = budget_of(DOLLAR)
        (await budget.reserve("a", CENT)).release()
        assert level(budget) == Level(None, "cost_usd", 1_000_000, 0, 0, 0)

    run(test)


@pytest.mark.parametrize(
    ("actual", "exposed", "spent", "stays"),
    [
        (NOTHING, True, 0, 10_000),  # a timeout: all of it may have been billed
        (Amount(1, 0, 4_000), True, 4_000, 6_000),  # an estimate, and what may come on top of it
        (Amount(1, 40, None), False, 0, 10_000),  # answered, at a cost that nobody knows
        (Amount(1, 40, 3_000), False, 3_000, 0),
    ],
)
def test_what_may_have_been_billed_stays_exposed(actual: Amount, exposed: bool, spent: int, stays: int) -> None:
    async def test() -> None:
        budget = budget_of(DOLLAR)
        (await budget.reserve("a", CENT)).settle(actual, exposed)
        assert level(budget) == Level(None, "cost_usd", 1_000_000, spent, 0, stays)

    run(test)


def test_tokens_of_a_call_that_was_lost_are_exposed_and_the_call_itself_is_spent() -> None:
    async def test() -> None:
        budget = budget_of(Caps(HERE, calls=5, tokens=500))
        (await budget.reserve("a", CENT)).settle(NOTHING, exposed=True)
        assert level(budget, "tokens") == Level(None, "tokens", 500, 0, 0, 100)
        assert level(budget, "calls") == Level(None, "calls", 5, 1, 0, 0)

    run(test)


def test_a_server_that_uses_more_than_was_bounded_is_charged_in_full_and_told_of() -> None:
    async def test() -> None:
        budget = budget_of(DOLLAR)
        over = (await budget.reserve("a", CENT)).settle(Amount(1, 90, 1_200_000))
        assert over is not None
        assert (over.step_id, over.reserved, over.actual) == ("a", CENT, Amount(1, 90, 1_200_000))
        assert budget.overruns == 1
        assert level(budget).spent == 1_200_000
        with pytest.raises(Exhausted):
            await budget.reserve("a", CENT)

    run(test)


def test_a_reservation_ends_once() -> None:
    async def test() -> None:
        budget = budget_of(DOLLAR)
        held = await budget.reserve("a", CENT)
        held.settle(PAID)
        with pytest.raises(BugError, match="second time"):
            held.settle(PAID)
        with pytest.raises(BugError, match="second time"):
            held.release()
        assert level(budget) == Level(None, "cost_usd", 1_000_000, 10_000, 0, 0)
        with pytest.raises(BugError, match="cannot have used"):
            (await budget.reserve("a", CENT)).settle(Amount(1, -1, 0))

    run(test)


@pytest.mark.parametrize(("sent", "exposed"), [(False, 0), (True, 10_000)])
def test_a_reservation_that_is_left_by_an_error_is_free_before_the_send_and_exposed_after_it(
    sent: bool, exposed: int
) -> None:
    async def test() -> None:
        budget = budget_of(DOLLAR)
        held = await budget.reserve("a", CENT)
        with pytest.raises(OSError, match="gone"), held:  # noqa: PT012 (what stands in the block is what is tested)
            if sent:
                held.sent()
            raise OSError("gone")
        assert level(budget) == Level(None, "cost_usd", 1_000_000, 0, 0, exposed)
        assert budget.in_flight == 0

    run(test)


def test_where_no_cap_applies_the_reservation_is_one_for_all_and_may_end_often() -> None:
    async def test() -> None:
        budget = budget_of(None, other=DOLLAR)
        assert not budget.applies("a")
        assert budget.applies("other")
        held = await budget.reserve("a", Worst(None, None))
        assert held is FREE
        for _ in range(2):
            with held:
                held.sent()
                assert held.settle(Amount(1, 5, None)) is None
            held.release()
        assert budget.in_flight == 0

    run(test)


# --- caps that cannot be held ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caps", "worst"),
    [
        (DOLLAR, Worst(100, None)),
        (DOLLAR, Worst(None, None)),
        (Caps(HERE, tokens=100), Worst(None, 0)),
    ],
)
def test_a_cap_on_what_nothing_bounds_refuses_the_call_and_holds_nothing(caps: Caps, worst: Worst) -> None:
    async def test() -> None:
        budget = budget_of(None, a=caps)
        with pytest.raises(Unbounded, match="step a"):
            await budget.reserve("a", worst)
        assert budget.in_flight == 0

    run(test)


def test_a_cap_on_calls_needs_no_price() -> None:
    async def test() -> None:
        budget = budget_of(Caps(HERE, calls=1))
        (await budget.reserve("a", Worst(None, None))).settle(Amount(1, 5, None))
        with pytest.raises(Exhausted, match="1 calls for the run; 1 spent, nothing in flight; this would be one more"):
            await budget.reserve("a", Worst(None, None))

    run(test)


def test_a_cap_on_money_of_which_an_unknown_amount_is_spent_cannot_be_held() -> None:
    with pytest.raises(Unbounded, match="earlier calls"):
        budget_of(DOLLAR, Past(Amount(3, 10, None)))
    assert budget_of(Caps(HERE, calls=5), Past(Amount(3, 10, None))).levels()[0].spent == 3


@pytest.mark.parametrize(
    ("provider", "params", "dropped", "limit"),
    [
        ("openai", {"max_tokens": 40}, {"max_tokens"}, 40),  # it goes out under its other name
        ("openai", {"max_tokens": 40}, {"max_tokens", "max_completion_tokens"}, None),
        ("ollama", {"max_tokens": 40}, {"num_predict"}, None),
        ("ollama", {"num_predict": -1}, set(), -1),
        ("anthropic", {}, set(), anthropic.MAX_TOKENS),
        ("anthropic", {"max_tokens": 40}, {"max_tokens"}, 40),
        ("sim", {"max_tokens": 40}, {"max_tokens"}, 40),
        ("python", {}, set(), None),
    ],
)
def test_the_limit_is_the_one_that_is_really_sent(
    provider: str, params: Mapping[str, int], dropped: set[str], limit: int | None
) -> None:
    asked = Request(Model("m", provider, "m"), (Message("user", "?"),), params)
    assert limit_sent(asked, frozenset(dropped)) == limit


# --- who waits ---------------------------------------------------------------------------------


def test_what_does_not_fit_waits_for_room_and_is_served_in_order() -> None:
    async def test() -> None:
        budget = budget_of(Caps(HERE, micros=20_000))
        first, second = await budget.reserve("a", CENT), await budget.reserve("b", CENT)
        large, small = await waiting(budget, "a", Worst(1, 15_000)), await waiting(budget, "b", Worst(1, 1))
        first.settle(Amount(1, 1, 1_000))
        await settled()
        assert not large.done()
        assert not small.done()  # it would fit, and would take the room that the older one waits for
        second.settle(Amount(1, 1, 1_000))
        await settled()
        assert large.done()
        assert small.done()

    run(test)


def test_a_call_that_waits_for_room_in_its_own_step_holds_back_no_other_step() -> None:
    async def test() -> None:
        budget = budget_of(DOLLAR, a=Caps(HERE, calls=1))
        held = await budget.reserve("a", CENT)
        same, other = await waiting(budget, "a"), await waiting(budget, "b")
        assert not same.done()
        assert other.done()
        held.release()
        await settled()
        assert same.done()

    run(test)


def test_within_a_step_the_older_one_is_served_first_too() -> None:
    async def test() -> None:
        budget = budget_of(None, a=Caps(HERE, micros=20_000))
        first, second = await budget.reserve("a", CENT), await budget.reserve("a", CENT)
        large, small = await waiting(budget, "a", Worst(1, 15_000)), await waiting(budget, "a", Worst(1, 1))
        first.release()
        await settled()
        assert not small.done()
        second.release()
        await settled()
        assert large.done()
        assert small.done()

    run(test)


def test_a_waiter_that_is_cancelled_makes_way_for_those_behind_it() -> None:
    async def test() -> None:
        budget = budget_of(Caps(HERE, micros=20_000))
        held = await budget.reserve("a", CENT)
        large, small = await waiting(budget, "a", Worst(1, 15_000)), await waiting(budget)
        assert not small.done()
        large.cancel()
        await settled()
        assert small.done()
        held.release()
        (await small).release()
        assert level(budget).reserved == 0

    run(test)


def test_a_waiter_that_is_served_and_cancelled_in_the_same_turn_holds_nothing() -> None:
    async def test() -> None:
        budget = budget_of(Caps(HERE, micros=10_000))
        held = await budget.reserve("a", CENT)
        first, second = await waiting(budget), await waiting(budget)
        held.release()
        first.cancel()
        await settled()
        assert first.cancelled()
        assert second.done()
        (await second).release()
        assert (budget.in_flight, level(budget).reserved) == (0, 0)

    run(test)


def test_a_waiter_that_is_cancelled_and_then_has_room_holds_nothing() -> None:
    async def test() -> None:
        budget = budget_of(Caps(HERE, micros=10_000))
        held = await budget.reserve("a", CENT)
        first, second = await waiting(budget), await waiting(budget)
        first.cancel()
        held.release()
        await settled()
        assert first.cancelled()
        (await second).release()
        assert (budget.in_flight, level(budget).reserved) == (0, 0)

    run(test)


# --- when it ends ------------------------------------------------------------------------------


def test_the_sentence_says_what_is_left_and_what_was_asked_for() -> None:
    async def test() -> None:
        past = Past(Amount(90, 9_000, 4_930_000), Amount(0, 0, 50_000))
        budget = budget_of(Caps(HERE, micros=5_000_000), past)
        with pytest.raises(Exhausted) as caught:
            await budget.reserve("a", Worst(100, 110_000))
        assert str(caught.value) == (
            "budget: $5.00 for the run; $4.93 spent, $0.05 exposed, nothing in flight; this call may cost up to $0.11"
        )
        assert caught.value.level == Level(None, "cost_usd", 5_000_000, 4_930_000, 0, 50_000)
        assert (caught.value.wanted, caught.value.caps) == (110_000, Caps(HERE, micros=5_000_000))

    run(test)


def test_a_step_and_odd_amounts_are_told_exactly() -> None:
    async def test() -> None:
        budget = budget_of(None, a=Caps(HERE, micros=125), b=Caps(HERE, tokens=200_000))
        with pytest.raises(Exhausted, match=r"\$0\.000125 for step a; \$0\.00 spent, nothing .* up to \$1,234\.50$"):
            await budget.reserve("a", Worst(1, 1_234_500_000))
        with pytest.raises(Exhausted, match=r"200,000 tokens for step b; 0 spent, .* this call may use up to 200,001$"):
            await budget.reserve("b", Worst(200_001, None))

    run(test)


def test_a_call_that_cannot_fit_is_told_only_once_nothing_is_in_flight_and_then_all_are() -> None:
    async def test() -> None:
        budget = budget_of(Caps(HERE, micros=20_000))
        held = await budget.reserve("a", CENT)
        large, small = await waiting(budget, "a", Worst(1, 30_000)), await waiting(budget, "b")
        assert not large.done()
        held.settle(PAID)
        await settled()
        for task in (large, small):
            with pytest.raises(Exhausted, match=r"\$0\.02 for the run; \$0\.01 spent, .* up to \$0\.03"):
                await task
        with pytest.raises(Exhausted):
            await budget.reserve("c", Worst(0, 0))
        told = budget.exhausted("c")
        assert told is not None
        assert told.wanted == 30_000

    run(test)


def test_an_exhausted_step_ends_alone_even_where_its_call_does_not_fit_the_run_either() -> None:
    async def test() -> None:
        budget = budget_of(Caps(HERE, micros=20_000), a=Caps(HERE, micros=5_000, when_exceeded="stop"))
        with pytest.raises(Exhausted) as caught:
            await budget.reserve("a", Worst(1, 30_000))
        assert (caught.value.level.step_id, caught.value.caps.when_exceeded) == ("a", "stop")
        assert budget.exhausted() is None
        assert budget.exhausted("a") is not None
        (await budget.reserve("b", CENT)).release()

    run(test)


def test_what_is_in_flight_when_a_cap_closes_still_settles() -> None:
    async def test() -> None:
        budget = budget_of(Caps(HERE, micros=20_000, tokens=150))
        held = await budget.reserve("a", Worst(100, 0))
        with pytest.raises(Exhausted, match="cost"):
            await budget.reserve("b", Worst(1, 30_000))  # nothing that is in flight costs money
        held.settle(Amount(1, 60, 0))
        assert level(budget, "tokens") == Level(None, "tokens", 150, 60, 0, 0)

    run(test)


def test_a_call_that_lacks_tokens_for_now_and_money_for_good_is_told_at_once() -> None:
    async def test() -> None:
        budget = budget_of(Caps(HERE, micros=20_000, tokens=150))
        with await budget.reserve("a", Worst(100, 0)):
            task = await waiting(budget, "a", Worst(100, 30_000))
            with pytest.raises(Exhausted, match=r"up to \$0\.03"):
                await asyncio.wait_for(task, 5)

    run(test)


def test_earlier_lives_count_and_a_cap_below_them_is_exhausted_at_once() -> None:
    async def test() -> None:
        budget = Budget(TickingClock(0.0), None, {"a": Caps(HERE, calls=5)}, None, {"a": Past(Amount(6))})
        with pytest.raises(Exhausted, match="5 calls for step a; 6 spent"):
            await budget.reserve("a", CENT)

    run(test)


# --- time --------------------------------------------------------------------------------------


def test_the_time_of_a_run_counts_its_earlier_lives_and_closes_it() -> None:
    async def test() -> None:
        clock = TickingClock(0.0)
        budget = Budget(clock, Caps(HERE, seconds=600.0), past=Past(seconds=500.0))
        assert budget.seconds_left() == 100.0
        clock.pass_by(99.0)
        (await budget.reserve("a", Worst(None, None))).release()
        clock.pass_by(1.0)
        with pytest.raises(Exhausted, match=r"600 s for the run; 600\.0 s have passed"):
            await budget.reserve("a", Worst(None, None))
        clock.pass_by(5.0)
        assert (budget.seconds_left(), budget.seconds_used()) == (0.0, 605.0)

    run(test)


def test_the_time_of_a_step_begins_when_it_does() -> None:
    clock = TickingClock(0.0)
    budget = Budget(clock, Caps(HERE, seconds=600.0), {"a": Caps(HERE, seconds=50.0), "b": DOLLAR})
    clock.pass_by(100.0)
    assert budget.seconds_left("a") == 50.0
    budget.opened("a")
    clock.pass_by(20.0)
    budget.opened("a")
    assert (budget.seconds_left("a"), budget.seconds_left("b"), budget.seconds_left("c")) == (30.0, 480.0, 480.0)
    assert (budget.seconds_used("a"), budget.seconds_used("b"), budget.seconds_used("c")) == (20.0, 0.0, 0.0)
    assert level(budget, "seconds", "a") == Level("a", "seconds", 50.0, 20.0)
    assert budget_of(DOLLAR).seconds_left("a") is None


def test_those_who_wait_are_told_when_the_time_is_up() -> None:
    async def test() -> None:
        clock = TickingClock(0.0)
        budget = Budget(clock, Caps(HERE, micros=10_000, seconds=10.0))
        held = await budget.reserve("a", CENT)
        task = await waiting(budget)
        budget.expire()
        await settled()
        assert not task.done()
        clock.pass_by(10.0)
        budget.expire()
        with pytest.raises(Exhausted, match="10 s for the run"):
            await task
        held.settle(PAID)
        assert level(budget).spent == 10_000

    run(test)


# --- many at once ------------------------------------------------------------------------------


async def spend(
    budget: Budget, rng: Random, workers: int, calls: int, one: Callable[[Random, Reservation], None]
) -> int:
    """So many workers make calls until all are made or the budget is spent; how many were sent."""
    left, sent = calls, 0

    async def worker() -> None:
        nonlocal left, sent
        while left:
            left -= 1
            try:
                held = await budget.reserve(rng.choice("abc"), CENT)
            except Exhausted:
                return
            with held:
                sent += 1
                for _ in range(rng.randrange(4)):
                    await asyncio.sleep(0)
                    assert all(each.spent + each.reserved + each.exposed <= each.cap for each in budget.levels())
                one(rng, held)

    await asyncio.gather(*(worker() for _ in range(workers)))
    return sent


@pytest.mark.parametrize("seed", range(20))
def test_a_dollar_is_used_above_ninety_percent_and_never_crossed_at_64_in_flight(seed: int) -> None:
    def answered(rng: Random, held: Reservation) -> None:
        held.settle(Amount(1, 100, rng.randrange(8_000, 10_001)))

    async def test() -> int:
        budget = budget_of(DOLLAR)
        await spend(budget, Random(seed), 64, 10_000, answered)
        assert budget.exhausted() is not None
        assert (budget.in_flight, budget.overruns, level(budget).reserved) == (0, 0, 0)
        return int(level(budget).spent)

    assert 900_000 < run(test) <= 1_000_000


def test_worst_cases_far_above_the_use_leave_less_than_one_of_them() -> None:
    def short(rng: Random, held: Reservation) -> None:
        held.settle(Amount(1, 5, 500))

    async def test() -> int:
        budget = budget_of(DOLLAR)
        await spend(budget, Random(1), 64, 10_000, short)
        return int(level(budget).spent)

    assert 990_000 < run(test) <= 1_000_000


def test_ten_thousand_random_failures_leave_nothing_reserved() -> None:
    ends: list[Callable[[Reservation], object]] = [
        lambda held: held.settle(NOTHING, exposed=True),
        lambda held: held.settle(Amount(1, 7, None)),
        lambda held: held.settle(NOTHING),
        lambda held: held.release(),
        lambda held: held.sent(),  # and then forgotten
        lambda held: None,  # forgotten at once
    ]

    def fails(rng: Random, held: Reservation) -> None:
        rng.choice(ends)(held)

    async def test() -> None:
        caps = Caps(HERE, micros=10_000 * 10_000, calls=20_000, tokens=10_000 * 100)
        budget = budget_of(caps, b=caps, c=Caps(HERE, micros=90_000_000))
        assert await spend(budget, Random(7), 64, 10_000, fails) == 10_000
        assert budget.in_flight == 0
        assert all(each.reserved == 0 for each in budget.levels())
        assert level(budget).exposed % 10_000 == 0
        assert level(budget).exposed > 10_000_000

    run(test)


class Ledger(RuleBasedStateMachine):
    """Random reserving, settling, releasing and cancelling, with sums kept apart to compare with."""

    STEPS = ("a", "b", "c")
    CAPS = Caps(HERE, micros=1_000, calls=60, tokens=2_000)
    STEP_CAPS: Mapping[str, Caps] = {"a": Caps(HERE, micros=400), "b": Caps(HERE, calls=20, tokens=900)}

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.budget = Budget(TickingClock(0.0), self.CAPS, self.STEP_CAPS)
        self.tasks: list[tuple[str, Worst, asyncio.Task[Reservation]]] = []
        self.held: list[tuple[str, Worst, Reservation]] = []
        self.used: list[tuple[str, Amount]] = []

    def pump(self) -> None:
        self.loop.run_until_complete(settled())
        over = [each for each in self.tasks if each[2].done()]
        self.tasks = [each for each in self.tasks if not each[2].done()]
        for step_id, worst, task in over:
            if task.cancelled():
                continue
            error = task.exception()
            if error is None:
                self.held.append((step_id, worst, task.result()))
            else:
                assert isinstance(error, Exhausted)

    @precondition(lambda self: len(self.tasks) + len(self.held) < 64)
    @rule(
        step_id=st.sampled_from(STEPS), tokens=st.integers(0, 60), micros=st.integers(0, 60), count=st.integers(1, 16)
    )
    def reserve(self, step_id: str, tokens: int, micros: int, count: int) -> None:
        worst = Worst(tokens, micros)
        for _ in range(min(count, 64 - len(self.tasks) - len(self.held))):
            self.tasks.append((step_id, worst, self.loop.create_task(self.budget.reserve(step_id, worst))))
        self.pump()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), exposed=st.booleans(), known=st.booleans(), late=st.booleans())
    def settle(self, data: st.DataObject, exposed: bool, known: bool, late: bool) -> None:
        index = data.draw(st.integers(0, len(self.held) - 1))
        step_id, worst, held = self.held[index]
        tokens, micros = data.draw(st.integers(0, worst.tokens or 0)), data.draw(st.integers(0, worst.micros or 0))
        del self.held[index]  # only now: a draw may end the example
        held.settle(Amount(1, tokens, micros if known else None), exposed)
        stays = exposed or not known
        self.used.append(
            (step_id, Amount(1, (worst.tokens or 0) if exposed else tokens, worst.micros if stays else micros))
        )
        if not late:  # more may happen in the same turn of the loop
            self.pump()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))[2].release()
        self.pump()

    @precondition(lambda self: self.tasks)
    @rule(data=st.data(), late=st.booleans())
    def cancel(self, data: st.DataObject, late: bool) -> None:
        data.draw(st.sampled_from(self.tasks))[2].cancel()
        if not late:
            self.pump()

    @invariant()
    def no_cap_is_crossed(self) -> None:
        for each in self.budget.levels():
            assert each.spent + each.reserved + each.exposed <= each.cap
            assert min(each.spent, each.reserved, each.exposed) >= 0

    def check_sums(self) -> None:
        """For a moment at which nobody is between being served and knowing it."""
        self.pump()
        for each in self.budget.levels():
            held = [worst for step_id, worst, _ in self.held if each.step_id in (None, step_id)]
            used = [amount for step_id, amount in self.used if each.step_id in (None, step_id)]
            name = {"cost_usd": "micros"}.get(each.axis, each.axis)
            assert each.reserved == sum(getattr(worst, name) for worst in held)
            assert each.spent + each.exposed == sum(getattr(amount, name) for amount in used)
        assert self.budget.in_flight == len(self.held)

    @rule()
    def look(self) -> None:
        self.check_sums()
        if not self.held:
            assert not self.tasks  # nobody waits for what will not come

    def teardown(self) -> None:
        try:
            self.check_sums()
            while self.held or self.tasks:
                for _, _, held in self.held:
                    held.release()
                self.held = []
                self.pump()
            assert self.budget.in_flight == 0
            assert all(each.reserved == 0 for each in self.budget.levels())
        finally:
            self.loop.close()


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
