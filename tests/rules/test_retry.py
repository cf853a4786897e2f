"""Which tries are made again, and how long the wait may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.workflow import Retry
from penstock.rules.retry import again, wait_s

THREE = Retry(attempts=3, on=("exit", "timeout"))


@pytest.mark.parametrize("kind", [None, "start", "error", "", "exit "])
def test_what_is_no_accident_of_the_command_is_never_tried_again(kind: str | None) -> None:
    assert not again(THREE, 1, kind)


@pytest.mark.parametrize(
    ("kind", "on", "expected"),
    [
        ("exit", ("exit",), True),
        ("output", ("exit",), True),
        ("timeout", ("exit",), False),
        ("timeout", ("timeout",), True),
        ("exit", ("timeout",), False),
        ("exit", (), False),
    ],
)
def test_an_accident_is_tried_again_if_its_class_is_named(kind: str, on: tuple[str, ...], expected: bool) -> None:
    assert again(Retry(attempts=2, on=on), 1, kind) is expected


def test_the_attempts_count_the_first() -> None:
    assert [again(THREE, number, "exit") for number in (1, 2, 3, 4)] == [True, True, False, False]
    assert not again(Retry(), 1, "exit")


@given(
    st.integers(1, 100_000),
    st.floats(0, 1),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
)
def test_the_wait_is_never_negative_and_never_over_the_cap(
    number: int, drawn: float, base_s: float, cap_s: float
) -> None:
    retry = Retry(base_s=base_s, cap_s=cap_s)
    assert 0 <= wait_s(retry, number, drawn) <= cap_s


def test_the_wait_may_be_up_to_twice_as_long_each_time_until_the_cap() -> None:
    retry = Retry(base_s=1.5, cap_s=10)
    assert [wait_s(retry, number, 1.0) for number in range(1, 6)] == [1.5, 3.0, 6.0, 10, 10]
    assert wait_s(retry, 3, 0.5) == 3.0
    assert wait_s(retry, 3, 0.0) == 0.0
