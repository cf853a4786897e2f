"""Requests are let through in turn, wait for what a server asks for, and leave nothing behind. Time is virtual."""

from __future__ import annotations

import asyncio
import random

import pytest

from penstock.core.calls import Fault, FaultClass, Reply, TransportKind
from penstock.core.models import Model
from penstock.models.limits import Closed, Limits, Permit, happened, longest_s
from penstock.models.wire import Endpoint
from penstock.rules.adapting import Happened
from tests.limited import MODEL, THERE, answer, entered, limiter_of, refusal, reply
from tests.virtual_time import LoopClock, virtually

# --- one wait, one probe -------------------------------------------------------------------------


def test_after_the_wait_one_goes_first_and_the_others_only_when_it_came_through() -> None:
    async def main() -> list[tuple[float, str]]:
        limiter, told = limiter_of(), []
        limiter.left(await entered(limiter), refusal(5), answer())

        async def one(name: str) -> None:
            permit = await entered(limiter)
            told.append((asyncio.get_running_loop().time(), name))
            await asyncio.sleep(1)
            limiter.left(permit, refusal(5) if name == "a" else reply(), None)

        await asyncio.gather(*map(one, "abcde"))
        return told

    assert virtually(main) == [(5, "a"), (11, "b"), (12, "c"), (12, "d"), (13, "e")]


def test_a_probe_that_is_cancelled_makes_way_for_the_next_one() -> None:
    async def main() -> float:
        limiter = limiter_of()
        limiter.left(await entered(limiter), refusal(5), None)
        permit = await entered(limiter)
        assert permit.probe
        limiter.left(permit, None, None)
        second = await entered(limiter)
        assert second.probe
        return second.at

    assert virtually(main) == 5


@pytest.mark.parametrize("when", ["queued", "just woken"])
def test_a_waiter_that_is_cancelled_takes_no_place_and_the_next_one_goes(when: str) -> None:
    async def main() -> None:
        limiter = limiter_of(1, Model("m", "openai", "x", rpm=60_000))
        permit = await entered(limiter)
        first, second = asyncio.ensure_future(limiter.enter(1)), asyncio.ensure_future(limiter.enter(1))
        await asyncio.sleep(1)
        if when == "queued":
            first.cancel()
            await asyncio.sleep(0)
            limiter.left(permit, reply(), None)
        else:
            limiter.left(permit, reply(), None)
            first.cancel()
        got = await second
        assert isinstance(got, Permit)
        assert first.cancelled()
        limiter.left(got, reply(), None)
        assert limiter.in_flight == 0

    virtually(main)


def test_random_cancellations_leave_nothing_behind() -> None:
    async def main() -> None:
        limiter, draw = limiter_of(4, Model("m", "openai", "x", rpm=6_000, tpm=900_000)), random.Random(5)

        async def one() -> None:
            permit = await entered(limiter, draw.randrange(1, 400))
            result: Reply | Fault | None = None
            try:
                await asyncio.sleep(draw.random())
                results: list[Reply | Fault] = [reply(7), refusal(), refusal(0.3), refusal(kind=TransportKind.SERVER)]
                result = draw.choice(results)
            finally:
                limiter.left(permit, result, None)

        tasks = [asyncio.ensure_future(one()) for _ in range(400)]
        for task in draw.sample(tasks, 250):
            await asyncio.sleep(0.02 * draw.random())
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert limiter.in_flight == 0
        assert limiter.stall() is None
        await asyncio.sleep(60)
        assert (await entered(limiter)).waited_s == 0

    virtually(main)


# --- waits that are too long ---------------------------------------------------------------------


def test_the_longest_wait_is_what_the_file_says_and_a_quarter_of_an_hour_without_a_word() -> None:
    assert longest_s(Model("m", "openai", "x", max_wait_s=30)) == 30
    assert longest_s(Model("m", "openai", "x", max_wait_s=0)) == 0
    assert longest_s(MODEL) == 900


def test_whoever_may_not_wait_so_long_is_told_at_once_and_the_others_wait() -> None:
    async def main() -> tuple[Permit | Closed, Permit | Closed, Permit | Closed]:
        limiter = limiter_of(1)
        permit = await entered(limiter)
        short, long = asyncio.ensure_future(limiter.enter(1, 30)), asyncio.ensure_future(limiter.enter(1, 90))
        await asyncio.sleep(1)
        limiter.left(permit, refusal(60), None)
        return await short, await limiter.enter(1, 30), await long

    short, late, long = virtually(main)
    assert short == Closed(
        60,
        "openai/gpt-4o takes no requests (429, Retry-After 60 s): "
        "60 s are left of it, more than the 30 s that it may wait",
        1,
    )
    assert isinstance(late, Closed)
    assert isinstance(long, Permit)
    assert (long.at, long.waited_s) == (61, 61)


def test_a_storm_that_does_not_end_is_waited_for_a_quarter_of_an_hour_and_no_longer() -> None:
    async def behind() -> float:
        limiter = limiter_of()
        limiter.left(await entered(limiter), refusal(400), None)
        ahead = [asyncio.ensure_future(limiter.enter(1)) for _ in range(3)]
        last = asyncio.ensure_future(limiter.enter(1))
        for probe in ahead[:2]:
            permit = await probe
            assert isinstance(permit, Permit)
            limiter.left(permit, refusal(400), None)
        assert isinstance(await last, Closed)
        assert isinstance(await ahead[2], Closed)
        return asyncio.get_running_loop().time()

    assert virtually(behind) == 800  # the next probe would be after 1,200 s


# --- what the server says ------------------------------------------------------------------------


def test_what_a_server_says_is_left_is_not_overdrawn() -> None:
    async def main() -> list[float]:
        limiter, sent = limiter_of(), []
        permit = await entered(limiter)
        told = answer(x_ratelimit_limit_requests="60", x_ratelimit_remaining_requests="3")
        limiter.left(permit, reply(), told)
        for _ in range(6):
            limiter.left(await entered(limiter), reply(), None)
            sent.append(asyncio.get_running_loop().time())
        return sent

    assert virtually(main) == pytest.approx([0, 0, 0, 1, 2, 3])


def test_a_limit_a_day_with_much_left_slows_nothing() -> None:
    async def main() -> float:
        limiter = limiter_of()
        told = {"x_ratelimit_limit_requests": "14400", "x_ratelimit_reset_requests": "2m59.56s"}
        for left in range(14370, 14270, -1):
            permit = await entered(limiter)
            limiter.left(permit, reply(), answer(**told, x_ratelimit_remaining_requests=str(left)))
        return asyncio.get_running_loop().time()

    assert virtually(main) == 0


def test_a_scarce_limit_is_remembered_until_an_answer_tells_of_plenty() -> None:
    async def main() -> list[float]:
        limiter, waits = limiter_of(), []
        for left in ("0", None, "9999", None):
            permit = await entered(limiter)
            waits.append(permit.waited_s)
            told = {} if left is None else {"x_ratelimit_limit_requests": "600", "x_ratelimit_remaining_requests": left}
            limiter.left(permit, reply(), answer(**told))
        return waits

    assert virtually(main) == pytest.approx([0, 0.1, 0.1, 0])


def test_a_day_that_is_used_up_is_too_long_a_wait() -> None:
    async def main() -> Permit | Closed:
        limiter = limiter_of()
        told = answer(
            x_ratelimit_limit_requests="200", x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="86400s"
        )
        limiter.left(await entered(limiter), reply(), told)
        return await limiter.enter(1, 60)

    closed = virtually(main)
    assert isinstance(closed, Closed)
    assert closed.left_s == pytest.approx(432)
    assert "too little is left of its server's limit of 200 requests, and 432 s are more than the 60 s" in closed.why


def test_scarce_tokens_of_a_server_make_a_large_request_wait() -> None:
    async def main() -> float:
        limiter = limiter_of()
        told = answer(
            anthropic_ratelimit_tokens_limit="60000",
            anthropic_ratelimit_tokens_remaining="1000",
            anthropic_ratelimit_tokens_reset="2023-11-14T22:14:19Z",
        )
        limiter.left(await entered(limiter), reply(), told)
        return (await entered(limiter, 5_000)).waited_s

    assert virtually(main) == pytest.approx(4, abs=0.1)


def test_tokens_that_were_estimated_and_not_used_can_be_used_by_others() -> None:
    async def main() -> float:
        limiter = limiter_of(8, Model("m", "openai", "x", tpm=6_000))

        async def work() -> None:
            for _ in range(25):
                permit = await entered(limiter, 500)
                await asyncio.sleep(0.5)
                limiter.left(permit, reply(used=100), None)

        await asyncio.gather(*(work() for _ in range(8)))
        return asyncio.get_running_loop().time()

    # 200 x 100 tokens are 200 s at 6,000 a minute; by the estimates it would be 1,000 s
    assert 180 <= virtually(main) < 260


# --- who shares, and what is said ----------------------------------------------------------------


def test_two_names_for_one_model_behind_one_key_share_their_limits() -> None:
    async def main() -> None:
        limits = Limits(LoopClock())
        first = limits.limiter_of(MODEL, THERE, "a", 4)
        assert limits.limiter_of(Model("big", "openai", "gpt-4o", rpm=60), THERE, "a", 4) is first
        assert first.window.size == 4
        assert limits.limiter_of(MODEL, Endpoint(THERE.url, "other"), "a", 4) is not first
        assert limits.limiter_of(Model("m", "openai", "gpt-4o-mini"), THERE, "a", 4) is not first
        assert (await entered(first)).waited_s == 0
        assert (await entered(first)).waited_s == pytest.approx(1)

    virtually(main)


def test_places_of_steps_add_up_and_the_model_has_the_last_word() -> None:
    async def main() -> None:
        limits, model = Limits(LoopClock()), Model("m", "openai", "x", concurrency=40)
        limiter = limits.limiter_of(model, THERE, "a", 24)
        assert (limiter.window.size, limiter.window.ceiling) == (24, 24)
        limits.limiter_of(model, THERE, "b")
        assert (limiter.window.size, limiter.window.ceiling) == (40, 40)
        limits.limiter_of(model, THERE, "a", 24)
        assert (limiter.window.size, limiter.window.ceiling) == (40, 40)

    virtually(main)


def test_what_is_decided_is_said_with_its_numbers() -> None:
    async def main() -> list[str | None]:
        limits = Limits(LoopClock())
        limiter = limits.limiter_of(MODEL, THERE, "a", 10)
        permits = [await entered(limiter) for _ in range(10)]
        await asyncio.sleep(1)
        said = [limiter.left(permits[0], refusal(), None), limiter.left(permits[1], refusal(60), None)]
        waiting = asyncio.ensure_future(limiter.enter(1))
        await asyncio.sleep(18)
        said += limits.stalls()
        permit = await waiting
        assert isinstance(permit, Permit)
        said += [limiter.left(permit, reply(), None), *limits.stalls()]
        assert not limits.stalls()
        return said

    assert virtually(main) == [
        "openai/gpt-4o: 429 with 10 in flight, so 7 at most from now on",
        "openai/gpt-4o: 429, Retry-After 60 s; nobody sends meanwhile, then one probe goes first",
        "waiting 42 s for openai/gpt-4o: 429, Retry-After 60 s",
        "openai/gpt-4o takes requests again: its probe came through",
    ]


def test_a_wait_for_a_rate_says_so_and_one_for_the_room_that_somebody_asked_for_does_not() -> None:
    async def main() -> list[str]:
        limits, said = Limits(LoopClock()), list[str]()
        for model, places in ((Model("m", "openai", "x", rpm=60), 4), (MODEL, 1)):
            limiter = limits.limiter_of(model, THERE, "a", places)
            permit = await entered(limiter)
            waiting = asyncio.ensure_future(limiter.enter(1))
            await asyncio.sleep(0.25)
            said += limits.stalls()
            limiter.left(permit, reply(), None)
            await waiting
        return said

    assert virtually(main) == [
        "waiting 0.75 s for openai/x: at most 60 requests a minute (`rpm`)",
    ]


@pytest.mark.parametrize(
    ("result", "what"),
    [
        (None, Happened.OTHER),
        (reply(), Happened.TAKEN),
        (Fault(FaultClass.DENIED, "no money", status=429), Happened.TAKEN),
        (refusal(), Happened.LIMITED),
        (refusal(kind=TransportKind.TIMEOUT), Happened.TIMED_OUT),
        (refusal(kind=TransportKind.SERVER, status=529), Happened.OVERLOADED),
        (refusal(3.0, kind=TransportKind.SERVER, status=503), Happened.OVERLOADED),
        (refusal(kind=TransportKind.SERVER, status=500), Happened.OTHER),
        (refusal(kind=TransportKind.CONNECTION), Happened.OTHER),
    ],
)
def test_a_result_means_one_thing_for_the_limits(result: Reply | Fault | None, what: Happened) -> None:
    assert happened(result) is what


def test_where_there_is_room_nobody_waits_and_no_timer_is_set() -> None:
    async def main() -> int:
        limiter, loop = limiter_of(), asyncio.get_running_loop()
        before = len(asyncio.all_tasks(loop))
        for _ in range(100):
            limiter.left(await entered(limiter), reply(), None)
        assert loop.time() == 0
        return len(asyncio.all_tasks(loop)) - before

    assert virtually(main) == 0
