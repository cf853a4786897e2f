"""The process outside all groups that kills them when Penstock dies.

It is started once a run, in a session of its own, and does nothing but read from a pipe whose other end
Penstock holds. When Penstock dies in any way (SIGKILL included) the kernel closes that end: the read returns,
the table of groups says who may be alive, and they are killed. A run that ends in order writes one byte first.

    python -I -S supervisor.py TABLE RUN_ID DESCRIPTOR < pipe

DESCRIPTOR is the table, open and locked: the lock is let go when both Penstock and its supervisor are gone, so
whoever comes after can wait for that. Once nothing of the run is alive the table is removed.

This file is a program by itself: it imports nothing of Penstock and little else, so that it starts in a few
milliseconds whatever the environment says. `resume` calls the same functions before it starts anything.

Who counts as a survivor: a process of a group in the table, one with the run's id in its environment (which also
finds those that left their group), and whatever these have started. A group is known by its leader's start time as
well as by its number, so that a stranger with a number that was used again is never killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator, Mapping

DONE = b"."
HEADER = struct.Struct("<48sq8x")
"""The table begins with the boot in which it was written and the supervisor's process number."""
RECORD = struct.Struct("<qd")
"""One slot of the table: the group's number (0: none) and when it was started, as `now_s` counts."""
ROUNDS = 100
QUIET_S = 0.03
"""A process between fork and exec carries no mark yet: after nobody was found, one more look after this time."""
LATE_S = 10.0
"""A busy machine may start a group so long after its start was noted; a later leader is a stranger."""

PROC = os.path.isdir("/proc/self")
SLACK_S = 0.05 if PROC else 1.5
"""The kernel counts start times in ticks of 10 ms, `ps` in seconds; ours are taken just before the start."""

Process = tuple[int, int, int, float]
"""Its number, its parent's, its group's, and when it was started."""


def watch(table: int, path: str, run_id: str) -> None:
    """Returns when the other end of standard input is closed; then nothing of the run is alive, unless it said DONE."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    if os.read(0, 1) != DONE:
        size = os.fstat(table).st_size
        _, left = kill_survivors(groups_in(os.pread(table, size, 0)), run_id, os.path.dirname(path), just_now=True)
        if left:
            return
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.stat(path), os.fstat(table)):
            os.unlink(path)


def groups_in(table: bytes) -> dict[int, float]:
    """The groups in a table, with their start times; none if the machine has been started anew since.

    A table without its head is one that Penstock died over: nothing had been started yet.
    """
    if len(table) < HEADER.size or HEADER.unpack_from(table)[0].rstrip(b"\0").decode() != boot_id():
        return {}
    slots = (len(table) - HEADER.size) // RECORD.size * RECORD.size
    records = RECORD.iter_unpack(table[HEADER.size : HEADER.size + slots])
    return {number: started_s for number, started_s in records if number > 0}


def kill_survivors(
    groups: Mapping[int, float], run_id: str, run_folder: str, just_now: bool = False
) -> tuple[int, set[int]]:
    """Kills what of the run is alive: how many processes that were, and those that could not be killed.

    `just_now`: Penstock died a moment ago. No number can have been used again since, so a group whose leader is gone
    is still ours; and what it was starting as it died may come up only now.
    """
    killed: set[int] = set()
    found: set[int] = set()
    quiet = False
    for _ in range(ROUNDS):
        found = set(survivors(list(processes()), groups, run_id, run_folder, just_now))
        if not found and (quiet or not just_now):
            break
        quiet = not found
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= found
        time.sleep(QUIET_S if quiet else 0.01)
    return len(killed), found


def survivors(
    alive: list[Process], groups: Mapping[int, float], run_id: str, run_folder: str, just_now: bool = False
) -> Iterator[int]:
    """Those of these processes that belong to the run, and their descendants.

    This process and those above it are spared: a `resume` that was started from inside a step must not end itself.
    """
    parents = {pid: parent for pid, parent, _, _ in alive}
    leaders = {pid: started_s for pid, _, group, started_s in alive if pid == group}
    spared = {0, 1, *_line(os.getpid(), parents)}

    def ours(process: Process) -> bool:
        pid, _, group, started_s = process
        return _of_group(group, started_s, groups, leaders, just_now) or _marked(pid, run_id, run_folder)

    found = {process[0] for process in alive if process[0] not in spared and ours(process)}
    for pid in parents:
        if pid not in spared and found.intersection(_line(pid, parents)):
            yield pid


def processes() -> Iterator[Process]:
    """All processes that are alive, as far as the system shows them."""
    if not PROC:
        yield from listed_by_ps()
        return
    ticks_a_second = os.sysconf("SC_CLK_TCK")
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            fields = _read(f"/proc/{entry}/stat").rpartition(b")")[2].split()
            if fields[0] not in (b"Z", b"X"):
                yield int(entry), int(fields[1]), int(fields[2]), int(fields[19]) / ticks_a_second
        except (OSError, IndexError):
            continue


def listed_by_ps() -> Iterator[Process]:
    """All processes as POSIX `ps` lists them; start times are seconds since 1970, whole ones."""
    reading, writing = os.pipe()
    words = ["ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "pgid=", "-o", "stat=", "-o", "lstart="]
    actions = [(os.POSIX_SPAWN_DUP2, writing, 1)]
    environment = {"LC_ALL": "C", "PATH": os.defpath + ":/usr/bin:/bin"}
    pid = os.posix_spawnp("ps", words, environment, file_actions=actions)
    os.close(writing)
    with open(reading, "rb") as answer:
        lines = answer.read().decode("ascii", "replace").splitlines()
    os.waitpid(pid, 0)
    for line in lines:
        number, parent, group, state, *started = line.split()
        if not state.startswith("Z") and int(number) != pid:
            at = time.mktime(time.strptime(" ".join(started), "%a %b %d %H:%M:%S %Y"))
            yield int(number), int(parent), int(group), at


def now_s() -> float:
    """The time as start times are counted here: seconds since boot, or since 1970 where there is no /proc."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if PROC else time.time()


def boot_id() -> str:
    """Which start of the machine this is; `unknown` where the system does not say."""
    try:
        return _read("/proc/sys/kernel/random/boot_id").decode().strip()
    except OSError:
        return "unknown"


def _of_group(
    group: int, started_s: float, groups: Mapping[int, float], leaders: Mapping[int, float], just_now: bool
) -> bool:
    noted_s = groups.get(group)
    if noted_s is None or started_s < noted_s - SLACK_S:
        return False
    if group in leaders:
        return noted_s - SLACK_S <= leaders[group] <= noted_s + LATE_S
    return just_now


def _marked(pid: int, run_id: str, run_folder: str) -> bool:
    """Whether the process carries this run's id; that of a copy of the project in another folder does not count."""
    try:
        environment = _read(f"/proc/{pid}/environ").split(b"\0")
    except OSError:
        return False
    if f"PENSTOCK_RUN_ID={run_id}".encode() not in environment:
        return False
    name = b"PENSTOCK_RUN_DIR="
    folder = next((entry[len(name) :] for entry in environment if entry.startswith(name)), b"")
    try:
        return os.path.samefile(folder, run_folder)
    except OSError:
        return True


def _line(pid: int, parents: Mapping[int, int]) -> set[int]:
    """A process and those above it."""
    line: set[int] = set()
    while pid in parents and pid not in line:
        line.add(pid)
        pid = parents[pid]
    return line


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


if __name__ == "__main__":
    watch(int(sys.argv[3]), sys.argv[1], sys.argv[2])
