"""The folder of a workflow, held by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from penstock.api import owning
from penstock.api.clock import CLOCK
from penstock.core.errors import OperatorError, UsageError
from penstock.store.database import DatabaseError, unreadable
from penstock.store.filesystem import network_type
from penstock.store.journal import Journal
from penstock.store.layout import Layout
from penstock.store.process import this_process

FULL = ("the disk is full", "make room, then `penstock resume`: nothing is lost")
CLOSED = ("", "Penstock must be able to write in {folder}; then `penstock resume`")
FILES = ("too many files are open", "raise the limit (`ulimit -n`) or lower --concurrency, then `penstock resume`")
REFUSALS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: ("a file is too large", "raise the limit (`ulimit -f`), then `penstock resume`: nothing is lost"),
    errno.EROFS: CLOSED,
    errno.EACCES: CLOSED,
    errno.EPERM: CLOSED,
    errno.EMFILE: FILES,
    errno.ENFILE: FILES,
    errno.EAGAIN: (
        "no more processes can be started",
        "raise the limit (`ulimit -u`) or lower --concurrency, then `penstock resume`",
    ),
    errno.EIO: ("the disk fails", "see the system's log; mend that, then `penstock resume`"),
}
"""What the system may refuse: in our words, and what to do."""
LINGERS, LINGERS_S = 100, 0.02
"""The lock of a process that was killed may be held a moment longer, by a child that has not become its command yet."""
TAKEN_AWAY = "leave the folder in place while a run goes on; `penstock doctor` says what is left of it"


@contextmanager
def held(layout: Layout) -> Iterator[Journal]:
    """The journal, while no other process runs a workflow in this folder. OperatorError says which one does.

    What the machine refuses while it is held (a full disk, a broken journal) becomes an OperatorError that says
    what to do; the run stays resumable.
    """
    _refuse_network(layout.folder)
    layout.make()
    with _explained(layout), layout.lock.open("a+") as lock:
        _take(lock, layout)
        lock.truncate(0)
        lock.write(owning.words(this_process()))
        lock.flush()
        journal = Journal(layout.journal, CLOCK)
        try:
            yield journal
        finally:
            journal.close()


def _take(lock: IO[str], layout: Layout) -> None:
    """The lock is ours; OperatorError where somebody has it. The dead are given a moment to let it go."""
    for _ in range(LINGERS):
        if _taken(lock):
            return
        holder = _holder(lock)
        if not owning.is_dead(holder):
            break
        time.sleep(LINGERS_S)
    raise _busy(layout, holder)


def _taken(lock: IO[str]) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: IO[str]) -> str:
    """Who holds the lock, in its own words; it may have taken the lock a moment ago and not said so yet."""
    for _ in range(50):
        lock.seek(0)
        if words := lock.read():
            return words
        time.sleep(0.02)
    return ""


@contextmanager
def _explained(layout: Layout) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise unreadable(layout.journal, error) from error
    except OSError as error:
        raise refused(layout.folder, error) from error


def existing(folder: Path) -> Layout:
    """The layout of a folder in which something has run; UsageError if nothing has."""
    layout = Layout(folder.absolute())
    if not layout.journal.exists():
        raise UsageError(f"there is no run in {folder.resolve()}", "go to the workflow's folder, or name it with -C")
    return layout


def refused(folder: Path, error: OSError) -> OperatorError:
    """What to tell a person when the system refuses what a run needs."""
    named = os.fspath(error.filename) if isinstance(error.filename, (str, os.PathLike)) else ""
    what = f"{named}: {error.strerror}" if named else str(error.strerror or error)
    if error.errno == errno.ENOENT and named.startswith(str(folder)):
        return OperatorError(f"{what}: somebody took it away while Penstock was at work", TAKEN_AWAY)
    said, help = REFUSALS.get(error.errno or 0, ("", "mend that, then `penstock resume`"))
    return OperatorError(f"{said} ({what})" if said else what, help.format(folder=folder))


def _refuse_network(folder: Path) -> None:
    kind = network_type(folder)
    if kind is not None:
        raise OperatorError(
            f"{folder.resolve()} is on a network filesystem ({kind}), where a journal's locks do not hold",
            "copy the project to a local disk and run it there",
        )


def _busy(layout: Layout, holder: str) -> OperatorError:
    by = holder or "another process"
    if layout.journal.exists():
        journal = Journal(layout.journal, CLOCK)
        try:
            by = owning.named(journal.database, holder)
        finally:
            journal.close()
    return OperatorError(
        f"{by} is running in this folder",
        "wait until it has ended, watch it with `penstock status`, or stop it with Ctrl-C",
    )


def processors() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
