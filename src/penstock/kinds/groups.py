"""The process groups that a run has started, and the supervisor that knows of them.

The table is a file written through shared memory: no system call and no wake-up a start. The kernel keeps its
pages when the writer is killed, so whoever comes after (the supervisor, `resume`) knows who may still live.
It is there as long as anything may: a run that ended in order, or a supervisor that did its work, has removed it.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from penstock.core.errors import OperatorError
from penstock.kinds import supervisor
from penstock.kinds.supervisor import DONE, HEADER, RECORD

SLOTS = 16_384
PART = 1 << 16
"""So many bytes of the table are allotted at once: a whole number of pages on every machine."""
CLEARING_S = 5.0
"""A supervisor that has not ended its work so long after its Penstock died is stuck (stopped, say)."""


class Groups:
    """The table, open for writing and locked. Slot numbers are the caller's; each holds one group or none."""

    def __init__(self, path: Path) -> None:
        """Makes it. What an earlier life left must have been dealt with (`kill_leftovers`)."""
        self.path = path.absolute()
        self._free: list[int] = []
        self._allotted = 0
        self._next = 0
        path.unlink(missing_ok=True)
        self._file = path.open("w+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._file.truncate(HEADER.size + SLOTS * RECORD.size)
            self._allot(0)
            self._map = mmap.mmap(self._file.fileno(), 0)
        except BaseException:
            self._file.close()
            raise
        self.watched_by(0)

    def fileno(self) -> int:
        """The descriptor, which holds the lock."""
        return self._file.fileno()

    def watched_by(self, pid: int) -> None:
        """The supervisor's process number is in the table."""
        HEADER.pack_into(self._map, 0, supervisor.boot_id().encode(), pid)

    def started(self, number: int, started_s: float) -> int:
        """The group is in the table; the slot that it took."""
        slot = self._free.pop() if self._free else self._new_slot()
        RECORD.pack_into(self._map, HEADER.size + slot * RECORD.size, number, started_s)
        return slot

    def ended(self, slot: int) -> None:
        """Nothing of the group is alive any more."""
        RECORD.pack_into(self._map, HEADER.size + slot * RECORD.size, 0, 0.0)
        self._free.append(slot)

    def close(self) -> None:
        """The table is closed and its lock let go."""
        self._map.close()
        self._file.close()

    def _new_slot(self) -> int:
        slot, self._next = self._next, self._next + 1
        if slot >= SLOTS:
            raise OSError(f"more than {SLOTS} commands at once")
        end = HEADER.size + self._next * RECORD.size
        if end > self._allotted:
            self._allot(self._allotted)
        return slot

    def _allot(self, start: int) -> None:
        """Room on the disk for the next part: a full disk is an OSError here, and in shared memory a SIGBUS."""
        os.pwrite(self._file.fileno(), bytes(PART), start)
        self._allotted = start + PART


class Supervisor:
    """The running supervisor, as Penstock sees it."""

    def __init__(self, groups: Groups, run_id: str) -> None:
        """Starts it. OSError if it cannot be started."""
        self._groups = groups
        self._run_id = run_id
        self._process, self._writing = self._started()

    def renew(self) -> None:
        """Another one is started if somebody killed it."""
        if self._process.poll() is not None:
            before = self._writing
            self._process, self._writing = self._started()
            os.close(before)

    def dismiss(self, kill: bool) -> None:
        """It has gone, and the table with it; with `kill`, nothing of the run is alive then."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._writing, b"" if kill else DONE)
        os.close(self._writing)
        self._process.wait()

    def _started(self) -> tuple[subprocess.Popen[bytes], int]:
        """The process, and the end of its pipe that must stay open while the run lives."""
        reading, writing = os.pipe()
        table = str(self._groups.fileno())
        words = [sys.executable, "-I", "-S", supervisor.__file__, str(self._groups.path), self._run_id, table]
        try:
            process = subprocess.Popen(
                words,
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
                pass_fds=(self._groups.fileno(),),
            )
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        self._groups.watched_by(process.pid)
        return process, writing


@contextlib.contextmanager
def watched(table: Path, run_id: str) -> Iterator[tuple[Groups, Supervisor]]:
    """A table of groups with its supervisor. What leaves this with an exception leaves no process of the run alive."""
    groups = Groups(table)
    try:
        watcher = Supervisor(groups, run_id)
        try:
            yield groups, watcher
        except BaseException:
            watcher.dismiss(kill=True)
            raise
        watcher.dismiss(kill=False)
        table.unlink(missing_ok=True)
    finally:
        groups.close()
        kill_leftovers(table, run_id)


def kill_leftovers(table: Path, run_id: str) -> int:
    """Nothing of an earlier life of the run is alive when this returns; how many processes had to be killed.

    Where a supervisor is still at work it is waited for. OperatorError if a process cannot be killed.
    """
    try:
        file = table.open("rb")
    except FileNotFoundError:
        return 0
    with file:
        _wait_for_supervisor(file)
        if not table.exists():
            return 0
        groups, folder = supervisor.groups_in(file.read()), str(table.parent.absolute())
        killed, left = supervisor.kill_survivors(groups, run_id, folder)
        if left:
            raise OperatorError(
                f"processes of run {run_id} are still alive and could not be killed: {', '.join(map(str, left))}",
                "end them, then `penstock resume`",
            )
        table.unlink(missing_ok=True)
    return killed


def _wait_for_supervisor(table: BinaryIO) -> None:
    """The lock that a dead Penstock's supervisor holds is free. One that does not end its work is killed."""
    _, pid = HEADER.unpack(table.read(HEADER.size).ljust(HEADER.size, b"\0"))
    table.seek(0)
    begin = time.monotonic()
    while not _lock(table):
        if time.monotonic() - begin > CLEARING_S and pid > 0:
            # It holds the lock, so it lives, so the number is still its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() - begin > 2 * CLEARING_S:
            raise OperatorError(
                f"the supervisor of this run (process {pid}) is still at work", "end it, then `penstock resume`"
            )
        time.sleep(0.02)


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


boot_time = supervisor.now_s
"""When a group that is started next was started at the earliest."""
