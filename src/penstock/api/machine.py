"""What a run needs of the machine: bash, SQLite, room on a local disk, limits. Nothing is changed."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from penstock.kinds.shell_process import Streams, run
from penstock.store.audit import journal_file
from penstock.store.audit.finding import Finding, note, ok, problem
from penstock.store.filesystem import filesystem_type, network_type

NEEDS_BASH = (3, 2)
GOOD_BASH = (4, 4)
"""Before 4.4 an empty array under `set -u` is an error, and macOS's 3.2 lacks `mapfile`, `declare -A` and `wait -n`."""
FEW_BYTES, LITTLE_BYTES = 64 << 20, 1 << 30
FEW_INODES = 1000
BASE_FILES, FILES_A_TASK, FILES_A_STEP = 40, 4, 4
"""Open files: Penstock's own; of a task: a handle of its process and, while it starts, three streams; of a step: the
input, the records and two append targets."""
BASE_PROCESSES, PROCESSES_A_TASK = 8, 4
IN_MEMORY = {"tmpfs", "ramfs"}
OF_A_CONTAINER = {"overlay", "aufs"}


def examine(folder: Path, tasks: int, steps: int) -> Iterator[Finding]:
    """What is to say of this machine for a workflow in `folder` with so many steps and tasks side by side."""
    yield _python()
    yield journal_file.sqlite()
    yield _bash()
    yield from _disk(folder)
    yield _open_files(tasks, steps)
    yield _processes(tasks)
    yield _process_handles()


def _python() -> Finding:
    return ok("python", f"{platform.python_version()} on {platform.system()} {platform.release()} ({sys.executable})")


# --- bash --------------------------------------------------------------------------------------

PROBE = """printf '%s\\n' "${BASH_VERSINFO[0]}.${BASH_VERSINFO[1]}" "$BASH_VERSION" "$PENSTOCK_PROBE"
"""
VALUE = "() { :; }; echo evaluated"
"""A shell of before September 2014 runs what follows the braces (CVE-2014-6271). Values travel in the environment."""


def _bash() -> Finding:
    path = shutil.which("bash")
    if path is None:
        return problem("bash", "it is not on the PATH, and steps are run by it", "install bash")
    try:
        said = asyncio.run(_said(path))
    except OSError as error:
        return problem("bash", f"{path} cannot be started: {error.strerror}", "install bash anew")
    if not said.endswith(f"\n{VALUE}\n") or said.count("\n") != 3:
        help = "upgrade bash before you run anything: it executes what is in rows"
        return problem("bash", f"{path} evaluates values of the environment (CVE-2014-6271), or does not work", help)
    short, full, *_ = said.splitlines()
    version = tuple(map(int, short.split(".")))
    if version < NEEDS_BASH:
        return problem("bash", f"{full} ({path}), and 3.2 or later is needed", "install a newer bash")
    if version < GOOD_BASH:
        return note(
            "bash",
            f"{full} ({path}): `mapfile`, `declare -A` and empty arrays under `set -u` do not work in it",
            "where a step needs them: install a newer bash and put it first on the PATH (macOS: brew install bash)",
        )
    return ok("bash", f"{full} ({path})")


async def _said(bash: str) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        streams = Streams(None, str(folder / "out"), str(folder / "err"))
        environment = {b"PATH": os.fsencode(os.environ.get("PATH", os.defpath)), b"PENSTOCK_PROBE": VALUE.encode()}
        await run((bash, "-euo", "pipefail", "-c", PROBE), folder, environment, streams, 10.0)
        return (folder / "out").read_text(encoding="utf-8", errors="replace")


# --- the disk ----------------------------------------------------------------------------------


def _disk(folder: Path) -> Iterator[Finding]:
    yield _filesystem(folder)
    found = os.statvfs(folder)
    if found.f_flag & os.ST_RDONLY or not os.access(folder, os.W_OK | os.X_OK):
        help = "make it writable: Penstock keeps its journal beside the workflow file"
        yield problem("folder", f"{folder} cannot be written", help)
    free = found.f_bavail * found.f_frsize
    told = f"{free / 1e9:,.1f} GB free" if free >= LITTLE_BYTES else f"{free / 1e6:,.1f} MB free"
    if free < FEW_BYTES:
        yield problem("disk", told, "make room; a run that stopped because the disk was full can be resumed")
    elif free < LITTLE_BYTES:
        yield note("disk", told, "make room before a long run: see docs/operations.md")
    elif found.f_files and found.f_favail < FEW_INODES:
        yield problem("disk", f"{told}, but only {found.f_favail} more files can be made", "remove files")
    else:
        yield ok("disk", told)


def _filesystem(folder: Path) -> Finding:
    kind = filesystem_type(folder)
    if network_type(folder) is not None:
        help = "copy the project to a local disk: a journal's locks do not hold on a network"
        return problem("filesystem", f"{kind}, a network filesystem", help)
    if kind in IN_MEMORY:
        return note("filesystem", f"{kind}: it is gone when the machine is started anew")
    if kind in OF_A_CONTAINER:
        return note("filesystem", f"{kind}: it is gone with its container", "keep the project on a volume")
    return ok("filesystem", kind or "not told by the system")


# --- limits ------------------------------------------------------------------------------------


def _open_files(tasks: int, steps: int) -> Finding:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = BASE_FILES + steps * FILES_A_STEP + tasks * FILES_A_TASK
    if limit != resource.RLIM_INFINITY and limit < needed:
        return problem(
            "open files",
            f"at most {limit:,}, and {tasks:,} tasks at once may need {needed:,}",
            f"`ulimit -n {needed}`, or lower `concurrency`",
        )
    return ok("open files", f"at most {_limit(limit)}; {tasks:,} tasks at once may need {needed:,}")


def _processes(tasks: int) -> Finding:
    limits = [resource.getrlimit(resource.RLIMIT_NPROC)[0], *_limits_of_groups()]
    finite = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    needed = BASE_PROCESSES + tasks * PROCESSES_A_TASK
    if finite and min(finite) < needed:
        return problem(
            "processes",
            f"at most {min(finite):,}, and {tasks:,} tasks at once may need {needed:,}",
            f"`ulimit -u {needed}` (in a container: --pids-limit {needed}), or lower `concurrency`",
        )
    return ok("processes", f"at most {_limit(min(finite)) if finite else 'any number'}")


def _limits_of_groups() -> Iterator[int]:
    """What the control groups that this process is in allow (Linux): cgroups(7), pids.max."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "pids"):
            continue
        place = Path("/sys/fs/cgroup", controllers, path.lstrip("/"), "pids.max")
        try:
            said = place.read_text(encoding="utf-8").strip()
        except OSError:
            continue
        if said.isdigit():
            yield int(said)


def _process_handles() -> Finding:
    if sys.platform != "linux":
        return ok("process handles", "the end of a command is waited for in a thread")
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        return problem("process handles", f"pidfd_open does not work: {error}", "Linux 5.3 or later is needed")
    return ok("process handles", "pidfd")


def _limit(number: int) -> str:
    return "any number" if number == resource.RLIM_INFINITY else f"{number:,}"
