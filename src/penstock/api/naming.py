"""What runs are called: ids that sort by time, and the runs that belong to no workflow file."""

from __future__ import annotations

import secrets as randomness
from datetime import datetime, timezone

from penstock.api.clock import CLOCK
from penstock.core.errors import UsageError
from penstock.store.database import Row
from penstock.store.journal import Journal

GATEWAY, CALL = "gateway", "call"
"""The commands that make a run of their own, each with one step that has the command's name."""


def name_alone(command: str) -> str:
    """What stands for the workflow's file in the run of such a command."""
    return f"penstock {command}"


def is_alone(workflow: str) -> bool:
    """Whether this stands for a workflow's file, in the run of such a command."""
    return workflow in map(name_alone, (GATEWAY, CALL))


def refuse_alone(run: Row) -> None:
    """UsageError if the run was such a command: it has no steps of a file that could go on."""
    if is_alone(run["workflow"]):
        raise UsageError(
            f"run {run['run_id']} was `{run['workflow']}` by itself: there is nothing to resume",
            f"`{run['workflow']}` begins a new one, and what was bought is in the cache",
        )


def new_id(journal: Journal) -> str:
    """An id that sorts after every earlier one, even if the clock was set back."""
    row = journal.database.one("newest_run_id")
    mark = datetime.fromtimestamp(CLOCK.now(), timezone.utc).strftime("%Y%m%d-%H%M%S")
    if row is not None and row["run_id"][:15] >= mark:
        last = datetime.strptime(row["run_id"][:15], "%Y%m%d-%H%M%S").replace(tzinfo=timezone.utc).timestamp()
        mark = datetime.fromtimestamp(last + 1, timezone.utc).strftime("%Y%m%d-%H%M%S")
    return f"{mark}-{randomness.token_hex(2)}"
