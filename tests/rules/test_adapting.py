"""What an answer changes in the window and in the buckets, with times made by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.adapting import (
    CUT,
    SHUT,
    Bucket,
    Happened,
    Quota,
    Sent,
    Window,
    answered,
    declared,
    holds_in_s,
    learned,
    probed,
    room_in_s,
    taken,
    widened,
)

FULL = Window(10.0, 20, 10.0)
REFUSALS = (Happened.LIMITED, Happened.OVERLOADED, Happened.TIMED_OUT)


def sent(at: float = 1.0, in_flight: int = 10, probe: bool = False) -> Sent:
    return Sent(at, probe, in_flight)


def closed(window: Window = FULL, asked_s: float = 5.0, now: float = 2.0) -> Window:
    return answered(window, sent(), Happened.LIMITED, asked_s, now)


def test_a_window_has_room_for_its_whole_part() -> None:
    assert [room_in_s(Window(2.9, 9, 2.9), flying, 0) for flying in (0, 1, 2, 3)] == [0, 0, math.inf, math.inf]


def test_answers_through_a_full_window_widen_it_by_one_a_round_trip() -> None:
    window = FULL
    for _ in range(10):
        window = answered(window, sent(), Happened.TAKEN, None, 2)
    assert window.size == pytest.approx(11, abs=0.1)
    assert answered(window, sent(in_flight=5), Happened.TAKEN, None, 2) == window, "nothing is learned half empty"
    assert answered(Window(20, 20, 20), sent(in_flight=20), Happened.TAKEN, None, 2).size == 20


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_cuts_to_seven_tenths_of_what_was_in_flight_and_the_crowd_with_it_cuts_no_more(
    refusal: Happened,
) -> None:
    window = answered(FULL, sent(), refusal, None, 2.0)
    assert (window.size, window.refused_at, window.cut_at) == (7, 10, 2)
    assert answered(window, sent(at=1.9), refusal, None, 9.0) == window
    assert answered(window, sent(at=2.1, in_flight=7), refusal, None, 2.9) == window
    assert answered(window, sent(at=2.1, in_flight=7), refusal, None, 3.0).size == pytest.approx(4.9)
    assert answered(FULL, sent(in_flight=4), refusal, None, 2.0).size == pytest.approx(2.8)


def test_answers_of_before_the_cut_widen_nothing() -> None:
    window = answered(FULL, sent(), Happened.LIMITED, None, 2.0)
    assert answered(window, sent(at=1.5), Happened.TAKEN, None, 3) == window
    assert answered(window, sent(at=2.5, in_flight=7), Happened.TAKEN, None, 3).size > window.size


def test_near_the_size_that_was_refused_the_window_widens_ten_times_slower() -> None:
    def step(size: float) -> float:
        window = Window(size, 200, 70, refused_at=100)
        return answered(window, sent(in_flight=int(size)), Happened.TAKEN, None, 2).size - size

    assert step(94) == pytest.approx(1 / 94)
    assert [step(96), step(101)] == pytest.approx([0.1 / 96, 0.1 / 101])
    assert step(102) == pytest.approx(1 / 102)


def test_what_says_nothing_of_limits_changes_nothing() -> None:
    assert answered(FULL, sent(), Happened.OTHER, None, 2) == FULL


# --- closed times --------------------------------------------------------------------------------


def test_a_named_wait_closes_the_window_and_then_one_probe_goes() -> None:
    window = closed()
    assert (window.closed_until, window.threshold) == (7, 7)
    assert [room_in_s(window, 0, now) for now in (2, 6.5, 7, 9)] == [5, 0.5, 0, 0]
    assert room_in_s(probed(window), 0, 9) == math.inf


def test_the_longest_of_several_named_waits_holds() -> None:
    window = answered(closed(), sent(), Happened.LIMITED, 1.0, 2.5)
    assert window.closed_until == 7
    assert answered(window, sent(), Happened.OVERLOADED, 9.0, 3.0).closed_until == 12
    assert answered(window, sent(), Happened.LIMITED, None, 3.0) == window


def test_only_a_probe_opens_the_window_and_it_opens_by_one_an_answer_up_to_the_threshold() -> None:
    window = probed(closed())
    assert answered(window, sent(), Happened.TAKEN, None, 8) == window
    window = answered(window, sent(at=7, probe=True), Happened.TAKEN, None, 8)
    assert (window.closed_until, window.probing, window.size) == (None, False, 2)
    for expected in (3, 4, 5, 6, 7, 7 + 1 / 7):
        window = answered(window, sent(at=8, in_flight=int(window.size)), Happened.TAKEN, None, 9)
        assert window.size == pytest.approx(expected)


@pytest.mark.parametrize(("asked_s", "until"), [(3.0, 11.0), (None, 13.0)])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refused_probe_closes_it_again_for_the_named_wait_or_the_last_one(
    refusal: Happened, asked_s: float | None, until: float
) -> None:
    window = answered(probed(closed()), sent(at=7, probe=True), refusal, asked_s, 8)
    assert (window.closed_until, window.probing, window.closed_since) == (until, False, 2)
    assert window.threshold == 7, "a probe says nothing of how many the server bears"


def test_a_probe_that_got_no_answer_makes_way_for_another_at_once() -> None:
    window = answered(probed(closed()), sent(at=7, probe=True), Happened.OTHER, None, 8)
    assert room_in_s(window, 0, 8) == 0
    assert window.closed_until is not None


def test_the_first_step_opens_the_window_and_others_add_to_it() -> None:
    window = widened(SHUT, 16, 64)
    assert (window.size, window.threshold, window.ceiling) == (16, 16, 64)
    assert widened(window, 8, 72).size == 24
    assert widened(window, 60, 40).size == 40
    later = widened(closed(), 5, 25)
    assert (later.size, later.threshold, later.ceiling) == (1, 12, 25)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(Happened),
        st.none() | st.floats(0.01, 100),
        st.floats(0, 3),
        st.floats(0, 5),
        st.booleans(),
        st.integers(1, 80),
    ),
    max_size=60,
)


@given(st.integers(1, 64), st.integers(0, 64), EVENTS)
def test_whatever_happens_the_window_lets_one_through_in_the_end(
    start: int, more: int, events: list[tuple[Happened, float | None, float, float, bool, int]]
) -> None:
    window, now = widened(SHUT, start, start + more), 0.0
    for what, asked_s, passed_s, ago_s, probes, in_flight in events:
        now += passed_s
        probe = probes and room_in_s(window, 0, now) == 0 and window.closed_until is not None
        if probe:
            window = probed(window)
        before = window
        window = answered(window, Sent(now - ago_s, probe, in_flight), what, asked_s, now)
        assert 1 <= window.size <= window.ceiling
        assert window.size >= min(before.size, CUT * min(before.size, in_flight), 1) or window.closed_until is not None
        assert not window.probing
        assert room_in_s(window, 0, now) < math.inf
        assert room_in_s(window, 0, now + 200) == 0


# --- so many a minute ----------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "burst", "per_s"), [(1, 1, 1 / 60), (60, 1, 1), (600, 10, 591 / 60)])
def test_a_declared_limit_has_a_second_of_burst_and_never_more_than_itself_in_a_minute(
    limit: int, burst: float, per_s: float
) -> None:
    bucket = declared(limit, 5.0)
    assert (bucket.level, bucket.capacity, bucket.per_s) == pytest.approx((burst, burst, per_s))
    assert bucket.capacity + bucket.per_s * 60 == pytest.approx(limit + 1), "the last one comes as the minute ends"


def test_a_bucket_refills_steadily_up_to_its_capacity() -> None:
    bucket = taken(Bucket(60, 2.0, 10.0, 10.0, 0.0), 10, 0.0)
    assert [holds_in_s(bucket, 1, now) for now in (0, 0.25, 0.5, 9)] == [0.5, 0.25, 0, 0]
    assert holds_in_s(bucket, 10, 100) == 0
    assert holds_in_s(taken(bucket, 10, 100), 10, 100) == 5


def test_what_no_bucket_could_hold_goes_when_it_is_full_and_is_made_good_afterwards() -> None:
    bucket = Bucket(60, 2.0, 10.0, 8.0, 0.0)
    assert holds_in_s(bucket, 50, 0) == 1
    assert holds_in_s(taken(bucket, 50, 1), 1, 1) == (40 + 1) / 2


def test_what_was_not_used_is_given_back_up_to_the_spare() -> None:
    bucket = taken(Bucket(60, 2.0, 10.0, 10.0, 0.0, spare=5.0), -100, 0.0)
    assert bucket.level == 15
    assert holds_in_s(taken(bucket, 5, 60), 10, 60) == 0
    assert holds_in_s(taken(bucket, 6, 60), 10, 60) == 0.5


def test_time_that_goes_back_takes_nothing_away() -> None:
    bucket = Bucket(60, 2.0, 10.0, 4.0, 7.0)
    assert taken(bucket, 1, 3.0) == Bucket(60, 2.0, 10.0, 3.0, 7.0)


@pytest.mark.parametrize(
    ("quota", "per_s"),
    [
        (Quota(60, 59, 1.0), 1.0),  # OpenAI's example: too near to be exact, so a minute
        (Quota(60, 0, 60.0), 1.0),
        (Quota(14_400, 14_370, 180.0), 30 / 180),  # Groq's limit a day
        (Quota(50, 50, 30.0), 50 / 60),
        (Quota(50, 10, None), 50 / 60),
        (Quota(50, 10, 0.0), 50 / 60),
    ],
)
def test_the_rate_of_a_servers_limit_comes_from_its_reset(quota: Quota, per_s: float) -> None:
    bucket = learned(quota, since=0, elapsed_s=0.0, now=3.0)
    assert bucket == Bucket(quota.limit, per_s, quota.limit, quota.remaining, 3.0)


def test_what_was_sent_and_what_came_back_since_the_server_counted_is_reckoned_in() -> None:
    assert learned(Quota(60, 20, 40.0), since=12, elapsed_s=5.0, now=0).level == 20 + 5 - 12
    assert learned(Quota(60, 58, None), since=0, elapsed_s=30.0, now=0).level == 60


@given(st.integers(1, 5_000), st.lists(st.floats(0, 2), max_size=200))
def test_a_declared_limit_is_never_passed_in_any_minute(limit: int, gaps: list[float]) -> None:
    bucket, now, times = declared(limit, 0.0), 0.0, []
    for gap in gaps:
        now += gap
        now += holds_in_s(bucket, 1, now)
        bucket = taken(bucket, 1, now)
        times.append(now)
    for start in times:
        assert sum(start <= at < start + 60 - 1e-3 for at in times) <= limit
