"""Many workers against servers that refuse, in virtual time: nothing is lost, little is wasted, no limit is passed."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

import pytest

from penstock.core.calls import Fault, Reply, TransportKind
from penstock.core.models import Model
from penstock.rules.waits import Setback, wait_s
from tests.limited import MODEL, entered, limiter_of, refusal, reply
from tests.virtual_time import virtually


class Steady:
    """Takes `latency_s` for each request and refuses those that `refuses` says, of (time, in flight)."""

    def __init__(self, latency_s: float, refuses: Callable[[float, int], Fault | None] = lambda *_: None) -> None:
        self.sent: list[float] = []
        self.refused: list[float] = []
        self.most = 0
        self.in_flight = 0
        self._latency_s = latency_s
        self._refuses = refuses

    async def serve(self) -> Reply | Fault:
        now = asyncio.get_running_loop().time()
        self.sent.append(now)
        fault = self._refuses(now, self.in_flight + 1)
        if fault is not None:
            self.refused.append(now)
            await asyncio.sleep(0.02)
            return fault
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(self._latency_s)
        self.in_flight -= 1
        return reply()


async def all_done(
    concurrency: int | None, server: Steady, items: int, workers: int, tokens: int = 10, model: Model = MODEL
) -> int:
    """How many of the items are done when every worker has ended: each sends until it is answered or may no more."""
    limiter = limiter_of(concurrency, model)
    left, done, draw = deque(range(items)), 0, random.Random(3).random

    async def work() -> None:
        nonlocal done
        while left:
            left.popleft()
            setbacks: list[Setback] = []
            while True:
                permit = await entered(limiter, tokens)
                result = await server.serve()
                limiter.left(permit, result, None)
                if isinstance(result, Reply):
                    done += 1
                    break
                setbacks.append(Setback(result.kind or TransportKind.SERVER, result.retry_after_s))
                pause_s = wait_s(setbacks, draw())
                if pause_s is None:
                    break
                await asyncio.sleep(pause_s)

    await asyncio.gather(*(work() for _ in range(workers)))
    assert limiter.in_flight == 0
    return done


@pytest.mark.parametrize("latency_s", [0.05, 1.0])
def test_a_storm_of_429_loses_no_item_and_wastes_few_requests(latency_s: float) -> None:
    items = 64 * round(60 / latency_s) if latency_s > 0.5 else 10_000
    server = Steady(latency_s, lambda now, _: refusal(2.0) if 3 <= now < 33 else None)
    assert virtually(lambda: all_done(64, server, items, 64)) == items
    first = server.refused[0]
    wasted = [at for at in server.refused if at > first + max(2.0, latency_s)]
    assert len(wasted) <= 0.03 * len(server.sent)
    assert len(wasted) <= 16  # one probe a window
    assert min(at for at in server.sent if at >= 33) < 35.5  # and it is found out soon that the storm is over


def test_the_rate_is_whole_again_soon_after_a_storm() -> None:
    server = Steady(0.05, lambda now, _: refusal(2.0) if 1 <= now < 31 else None)
    virtually(lambda: all_done(64, server, 12_000, 64))
    assert sum(36 <= at < 37 for at in server.sent) >= 0.9 * 64 / 0.05


@pytest.mark.parametrize("asked_s", [None, 1.0])
def test_a_server_that_bears_a_hundred_at_once_is_used_for_more_than_four_fifths(asked_s: float | None) -> None:
    server = Steady(1.0, lambda _, in_flight: refusal(asked_s) if in_flight > 100 else None)
    assert virtually(lambda: all_done(200, server, 20_000, 200)) == 20_000
    settled = [at for at in server.sent if 50 <= at < 200]
    refused = [at for at in server.refused if 50 <= at < 200]
    assert len(settled) - len(refused) > 0.8 * 100 * 150
    assert len(refused) < 0.02 * len(settled)


def test_without_limits_everything_that_the_step_allows_is_in_flight() -> None:
    server = Steady(0.5)
    virtually(lambda: all_done(48, server, 48 * 20, 48))
    assert server.most == 48
    assert server.sent[-1] == pytest.approx(0.5 * 19)


def test_a_step_without_a_figure_starts_at_sixteen_and_adapts_up_to_sixty_four() -> None:
    server = Steady(0.5)
    virtually(lambda: all_done(None, server, 6_000, 100))
    assert sum(at == 0 for at in server.sent) == 16
    assert server.most == 64


def most_in(times: list[float], seconds: float = 60.0, weight: int = 1) -> int:
    """The most that lies in any half-open stretch of so many seconds."""
    most, first = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds + 1e-6:
            first += 1
        most = max(most, last - first + 1)
    return most * weight


@pytest.mark.parametrize("rpm", [1, 7, 60, 600])
def test_no_minute_has_more_requests_than_rpm_says_and_a_long_time_nearly_as_many(rpm: int) -> None:
    server = Steady(0.1)
    model = Model("m", "openai", "x", rpm=rpm)
    virtually(lambda: all_done(64, server, rpm * 5, 64, model=model))
    assert most_in(server.sent) <= rpm
    assert server.sent[-1] < 60 * 5 * 1.02
    assert sum(at < 0.5 for at in server.sent) <= max(1, rpm / 60) + rpm / 60


@pytest.mark.parametrize("tokens", [50, 2_000])
def test_no_minute_has_more_tokens_than_tpm_says_but_for_one_request(tokens: int) -> None:
    server = Steady(0.1)
    model = Model("m", "openai", "x", tpm=30_000)
    virtually(lambda: all_done(64, server, 30_000 * 4 // tokens, 64, tokens, model))
    assert most_in(server.sent, weight=tokens) <= 30_000 + tokens
    assert server.sent[-1] < 60 * 4 * 1.03
