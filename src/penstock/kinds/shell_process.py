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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from penstock.kinds.groups import Groups, boot_time

RESTORED = [signal.SIGPIPE, signal.SIGXFSZ]
"""Signals that Python ignores for itself and that a command expects to be as the system has them."""
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
        timed_out = not await _ends_within(pid, timeout_s)
        if timed_out:
            await _end_group(pid)
    except BaseException:
        _signal_group(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        left_behind = await _sweep(pid)
    except BaseException:
        _signal_group(pid, signal.SIGKILL)
        raise
    if groups is not None and slot is not None:
        groups.ended(slot)
    return Exit(status, timed_out, left_behind)


def keep_descriptors() -> None:
    """No descriptor that we were started with, but the three standard ones, reaches a command."""
    listed = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    for name in os.listdir(listed):
        with contextlib.suppress(OSError):
            if int(name) > 2:
                os.set_inheritable(int(name), False)


def _start(words: Sequence[str], cwd: Path, environment: Mapping[bytes, bytes], streams: Streams) -> int:
    """The number of the process, which leads a session and a group of its own."""
    opened: list[int] = []
    try:
        opened.append(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        opened.append(os.open(streams.stdin or os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        for path in (streams.stdout, streams.stderr):
            opened.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
        os.chdir(str(cwd))
        try:
            return os.posix_spawn(
                _program(words[0], environment.get(b"PATH")),
                list(words),
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, mine, theirs) for theirs, mine in enumerate(opened[1:])],
                setsid=True,
                setsigdef=RESTORED,
            )
        finally:
            os.fchdir(opened[0])
    finally:
        for descriptor in opened:
            os.close(descriptor)


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
    _signal_group(pid, signal.SIGTERM)
    if not await _ends_within(pid, GRACE_S):
        _signal_group(pid, signal.SIGKILL)
        await _end_of(pid)


async def _sweep(group: int) -> bool:
    """Ends what a command left running in its group; whether there was anything.

    A process substitution may outlive its shell by a moment, so the group first has that moment.
    """
    if await _is_gone(group, GRACE_S):
        return False
    _signal_group(group, signal.SIGKILL)
    await _is_gone(group, KILLED_S)
    return True


async def _is_gone(group: int, within_s: float) -> bool:
    waited_s, step_s = 0.0, 0.001
    while _signal_group(group, 0):
        if waited_s >= within_s:
            return False
        await asyncio.sleep(step_s)
        waited_s, step_s = waited_s + step_s, min(0.1, step_s * 2)
    return True


def _signal_group(group: int, number: int) -> bool:
    """Whether there was a group to signal."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
