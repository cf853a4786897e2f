"""What kind of filesystem a folder is on."""

from __future__ import annotations

import os
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "ncpfs"}
NETWORK_FUSE = {"fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.glusterfs", "fuse.gcsfuse", "fuse.ceph"}


def network_type(folder: Path, mounts: str | None = None) -> str | None:
    """The type of the network filesystem that the folder is on; None for a local disk, or where nobody says.

    `mounts` is the text of /proc/self/mountinfo (proc(5)), read from the system if it is not given.
    """
    kind = filesystem_type(folder, mounts)
    return kind if kind in NETWORK | NETWORK_FUSE else None


def filesystem_type(folder: Path, mounts: str | None = None) -> str | None:
    """The type of the filesystem that the folder is on; None where the system does not say (macOS)."""
    if mounts is None:
        try:
            mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
    path = os.path.realpath(folder)
    best, kind = -1, None
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point = _unescaped(before.split(" ")[4])
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= best:
            best, kind = len(point), after.split(" ")[0]
    return kind


def _unescaped(point: str) -> str:
    """mountinfo writes space, tab, newline and backslash as three octal digits."""
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, sign)
    return point
