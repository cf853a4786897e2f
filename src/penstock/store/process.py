"""Who owns a run: this process, told apart from any other that may ever have its number."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Owner:
    """A process on a host. `pid_started` and `boot` tell it from a later process with the same number."""

    host: str
    boot: str
    pid: int
    pid_started: str

    def columns(self) -> dict[str, object]:
        """Its fields by the names of the journal's columns."""
        return {"host": self.host, "boot": self.boot, "pid": self.pid, "pid_started": self.pid_started}

    def lives(self) -> bool | None:
        """Whether that process is alive; None when it is on another host and cannot be asked."""
        here = this_process()
        if self.host != here.host:
            return None
        return self.boot == here.boot and started(self.pid) == self.pid_started


def this_process() -> Owner:
    """The process that runs this code."""
    pid = os.getpid()
    return Owner(socket.gethostname(), _boot(), pid, started(pid) or "")


def started(pid: int) -> str | None:
    """When a process of this host began, in the system's own terms; None if there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return _started_without_proc(pid)
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


def _started_without_proc(pid: int) -> str | None:
    """macOS has no /proc: that the process exists is all that can be said without a library."""
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"
