"""One command as a process group of its own: started with vfork, waited for without polling, ended as a whole.

`posix_spawn` shares our memory with the child until that executes its program, and costs our own processor half of
what `subprocess.Popen` does. It cannot change the folder, so we are in the command's while we start it: nothing else
of ours runs meanwhile. An end is seen on a pidfd (Linux 5.3) or by a thread that waits (macOS).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from penstock.kinds.groups import Groups, boot_time

RESTORED = [signal.SIGPIPE, signal.SIGXFSZ]
"""Signals that Python ignores for itself and that a command expects to be as the system has them."""
Opened = tuple[int, int, str, int, int] | tuple[int, int, int]
"""One of the file actions of `posix_spawn`."""
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
GRACE_S = 5.0
"""How long a group that was told to end has before it is killed."""
KILLED_S = 1.0
"""How long a killed group may take to be gone: a process that hangs in the kernel is not waited for without end."""


@dataclass(frozen=True, slots=True)
class Streams:
    """Where a command reads and writes. `stdin` is None for an empty input."""

    stdin: str | None
    stdout: str
    stderr: str

    @property
    def outputs(self) -> tuple[str, str]:
        """Where it writes."""
        return self.stdout, self.stderr


@dataclass(frozen=True, slots=True)
class Exit:
    """How a command ended: its status (negative: the signal that killed it), whether its time was up, what it left."""

    status: int
    timed_out: bool
    left_behind: bool


async def run(
    words: Sequence[str],
    cwd: Path,
    environment: Mapping[bytes, bytes],
    streams: Streams,
    timeout_s: float | None,
    groups: Groups | None = None,
) -> Exit:
    """Runs the command to its end; when this returns or raises, no process of its group is alive.

    OSError if it could not be started. On timeout the group is told to end (TERM), and killed
    `GRACE_S` seconds later; on cancellation it is killed. `groups` knows of it while it lives.
    """
    started_s = boot_time()
    pid = _start(words, cwd, environment, streams)
    slot = groups.started(pid, started_s) if groups is not None else None
    try:
        return await _to_its_end(pid, timeout_s)
    finally:
        if groups is not None and slot is not None:
            groups.ended(slot)


async def _to_its_end(pid: int, timeout_s: float | None) -> Exit:
    try:
        timed_out = not await _ends_within(pid, timeout_s)
        if timed_out:
            await _end_group(pid)
    except BaseException:
        signal_group(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        left_behind = await sweep(pid)
    except BaseException:
        signal_group(pid, signal.SIGKILL)
        raise
    return Exit(status, timed_out, left_behind)


def keep_descriptors() -> None:
    """No descriptor that we were started with, but the three standard ones, reaches a command."""
    listed = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    for name in os.listdir(listed):
        with contextlib.suppress(OSError):
            if int(name) > 2:
                os.set_inheritable(int(name), False)


def start(words: Sequence[str], cwd: Path, environment: Mapping[bytes, bytes], opened: Sequence[Opened]) -> int:
    """The number of a new process, which leads a session and a group of its own. OSError if it could not be started."""
    program = _program(words[0], environment.get(b"PATH"))
    with _inside(os.fspath(cwd)):
        return os.posix_spawn(program, list(words), environment, file_actions=opened, setsid=True, setsigdef=RESTORED)


def _start(words: Sequence[str], cwd: Path, environment: Mapping[bytes, bytes], streams: Streams) -> int:
    opened = [
        (os.POSIX_SPAWN_OPEN, 0, streams.stdin or os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, streams.stdout, _APPEND, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, streams.stderr, _APPEND, 0o600),
    ]
    try:
        return start(words, cwd, environment, opened)
    except OSError as error:
        raise _named(error, streams) from None


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    """We are in that folder."""
    if os.getcwd() == folder:
        yield
        return
    before = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(folder)
        try:
            yield
        finally:
            os.fchdir(before)
    finally:
        os.close(before)


def _named(error: OSError, streams: Streams) -> OSError:
    """The error, about the stream that we cannot open either: the child's own does not tell what it is about."""
    for path, flags in ((streams.stdin or os.devnull, os.O_RDONLY), *((path, _APPEND) for path in streams.outputs)):
        try:
            os.close(os.open(path, flags | os.O_CLOEXEC, 0o600))
        except OSError as found:
            return found
    return error


@lru_cache(maxsize=64)
def _program(name: str, path: bytes | None) -> str:
    """Where the interpreter is: looked for once, not in every folder of PATH at every start."""
    return shutil.which(name, path=None if path is None else os.fsdecode(path)) or name


async def _ends_within(pid: int, timeout_s: float | None) -> bool:
    """Waits for the leader of the group; False if the time was up first."""
    if timeout_s is None:
        await _end_of(pid)
        return True
    try:
        await asyncio.wait_for(_end_of(pid), timeout_s)
    except asyncio.TimeoutError:
        return False
    return True


async def _end_of(pid: int) -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    if sys.platform == "linux":
        descriptor = os.pidfd_open(pid)
        loop.add_reader(descriptor, _resolve, ended)
        try:
            await ended
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return

    def wait() -> None:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        loop.call_soon_threadsafe(_resolve, ended)

    threading.Thread(target=wait, daemon=True).start()
    await ended


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _end_group(pid: int) -> None:
    signal_group(pid, signal.SIGTERM)
    if not await _ends_within(pid, GRACE_S):
        signal_group(pid, signal.SIGKILL)
        await _end_of(pid)


async def sweep(group: int) -> bool:
    """Nothing of the group is alive: ends what a command left running in its group; whether there was anything.

    A process substitution may outlive its shell by a moment, so the group first has that moment.
    """
    if await _is_gone(group, GRACE_S):
        return False
    signal_group(group, signal.SIGKILL)
    await _is_gone(group, KILLED_S)
    return True


async def _is_gone(group: int, within_s: float) -> bool:
    waited_s, step_s = 0.0, 0.001
    while signal_group(group, 0):
        if waited_s >= within_s:
            return False
        await asyncio.sleep(step_s)
        waited_s, step_s = waited_s + step_s, min(0.1, step_s * 2)
    return True


def signal_group(group: int, number: int) -> bool:
    """Whether there was a group to signal."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
