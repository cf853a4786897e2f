"""The states of runs and steps, and the only moves between them."""

from __future__ import annotations

from enum import Enum

from penstock.core.errors import BugError


class StepState(str, Enum):
    """Where a step stands. The last six are ends."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    FAILED = "failed"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"


class RunState(str, Enum):
    """Where a run stands. `interrupted`: its process died or was told to stop; `resume` goes on."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    WAITING = "waiting"
    INTERRUPTED = "interrupted"


STEP_MOVES: dict[StepState, frozenset[StepState]] = {
    StepState.PENDING: frozenset(
        {
            StepState.RUNNING,
            StepState.WAITING,
            StepState.SKIPPED,
            StepState.FAILED,
            StepState.BLOCKED,
            StepState.CANCELLED,
        }
    ),
    StepState.RUNNING: frozenset(
        {
            StepState.WAITING,
            StepState.SUCCEEDED,
            StepState.FAILED,
            StepState.REJECTED,
            StepState.BLOCKED,
            StepState.CANCELLED,
        }
    ),
    StepState.WAITING: frozenset(
        {StepState.RUNNING, StepState.SUCCEEDED, StepState.REJECTED, StepState.FAILED, StepState.CANCELLED}
    ),
    StepState.SUCCEEDED: frozenset(),
    StepState.SKIPPED: frozenset(),
    StepState.FAILED: frozenset(),
    StepState.REJECTED: frozenset(),
    StepState.BLOCKED: frozenset(),
    StepState.CANCELLED: frozenset(),
}

ENDED = frozenset(state for state, moves in STEP_MOVES.items() if not moves)
"""The states that a step does not leave within a run."""


def move(step_id: str, now: StepState, to: StepState) -> StepState:
    """`to`, if a step may go there from `now`; BugError otherwise."""
    if to not in STEP_MOVES[now]:
        raise BugError(f"step {step_id} cannot go from {now.value} to {to.value}")
    return to


def exit_status(state: RunState) -> int:
    """What a process ends with for a run that ended so."""
    match state:
        case RunState.SUCCEEDED:
            return 0
        case RunState.FAILED:
            return 1
        case RunState.REJECTED:
            return 3
        case RunState.WAITING:
            return 4
        case RunState.INTERRUPTED:
            return 130
        case RunState.RUNNING:
            raise BugError("a run that goes on has no exit status")
