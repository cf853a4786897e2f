"""Where a step may go from where it stands, and what a process ends with."""

from __future__ import annotations

import itertools

import pytest

from penstock.core.errors import BugError
from penstock.core.states import ENDED, STEP_MOVES, RunState, StepState, exit_status, move

ALLOWED = {
    "pending": "running waiting skipped failed blocked cancelled",
    "running": "waiting succeeded failed rejected blocked cancelled",
    "waiting": "running succeeded rejected failed cancelled",
}
MOVES = {(now, to) for now, words in ALLOWED.items() for to in words.split()}


@pytest.mark.parametrize(("now", "to"), list(itertools.product(StepState, StepState)))
def test_a_step_makes_the_moves_of_the_table_and_no_other(now: StepState, to: StepState) -> None:
    if (now.value, to.value) in MOVES:
        assert move("x", now, to) is to
    else:
        with pytest.raises(BugError, match=f"step x cannot go from {now.value} to {to.value}"):
            move("x", now, to)


def test_an_ended_step_stays_where_it_is() -> None:
    assert {state.value for state in ENDED} == {"succeeded", "skipped", "failed", "rejected", "blocked", "cancelled"}


def test_every_state_can_be_reached_from_pending() -> None:
    reached, fresh = {StepState.PENDING}, {StepState.PENDING}
    while fresh:
        fresh = {to for now in fresh for to in STEP_MOVES[now]} - reached
        reached |= fresh
    assert reached == set(StepState)


def test_the_exit_status_of_a_run() -> None:
    statuses = {state: exit_status(state) for state in RunState if state is not RunState.RUNNING}
    assert {state.value: status for state, status in statuses.items()} == {
        "succeeded": 0,
        "failed": 1,
        "rejected": 3,
        "waiting": 4,
        "interrupted": 130,
    }
    with pytest.raises(BugError, match="no exit status"):
        exit_status(RunState.RUNNING)
