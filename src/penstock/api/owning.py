"""Who owns the runs of a folder: a living owner is left alone, and what a dead one left alive is ended."""

from __future__ import annotations

import re
import shutil

from penstock.api.clock import CLOCK
from penstock.core.errors import OperatorError
from penstock.core.seams import Listener
from penstock.kinds.groups import kill_leftovers
from penstock.store import facts
from penstock.store.database import Database, Row
from penstock.store.journal import Journal
from penstock.store.layout import Layout
from penstock.store.process import Owner, started, this_process


def take_over(journal: Journal, layout: Layout, listener: Listener) -> int:
    """No other process carries a run of this folder, and nothing that one started is alive; how many were killed.

    OperatorError names an owner that lives. The folder's lock keeps out those that take it; this is for an
    owner whose lock does not reach us, because it is on another host or somebody removed the lock's file.
    """
    killed = 0
    for owner in journal.database.all("owned_runs"):
        age_s = max(0.0, CLOCK.now() - owner["heartbeat_at"])
        if facts.is_alive(owner, CLOCK.now()):
            raise _owned(owner, age_s)
        if owner["released_at"] is None and owner["host"] != this_process().host:
            listener.note(f"{_told(owner)} has not been heard of for {age_s:,.0f} s: the run is taken over from it")
        folder = layout.run(owner["run_id"])
        killed += kill_leftovers(folder.groups, owner["run_id"])
        shutil.rmtree(folder.slots, ignore_errors=True)  # items in flight lie there, with their secrets
    return killed


def named(database: Database, holder: str) -> str:
    """The run that the process which holds the lock carries, and that process. `holder` is the lock file's text."""
    for owner in database.all("owned_runs"):
        if words(Owner(owner["host"], owner["boot"], owner["pid"], owner["pid_started"])) == holder:
            return _told(owner)
    return holder or "another process"


def words(owner: Owner) -> str:
    """`process 4711 on build-7`: what the lock file says of the process that holds it."""
    return f"process {owner.pid} on {owner.host}"


def is_dead(holder: str) -> bool:
    """Whether the process that the lock file's text names is one of this host's, and is no more."""
    found = re.fullmatch(r"process (\d+) on (.*)", holder)
    return found is not None and found[2] == this_process().host and started(int(found[1])) is None


def _owned(owner: Row, age_s: float) -> OperatorError:
    if owner["host"] == this_process().host:
        return OperatorError(
            f"{_told(owner)} is running", "watch it with `penstock status`, or stop it with Ctrl-C; then try again"
        )
    return OperatorError(
        f"{_told(owner)} was heard of {age_s:.0f} s ago: it may still be running there",
        f"stop it there; or wait until it has not been heard of for {facts.FRESH_S:.0f} s, then `penstock resume`",
    )


def _told(owner: Row) -> str:
    return f"run {owner['run_id']} (process {owner['pid']} on {owner['host']})"
