"""A disk far away: a real mount of type `fuse.sshfs` with a few files, served by a thread of this process.

The kernel's side of FUSE is spoken directly (linux/fuse.h, protocol 7.x): as much of it as reading files takes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HEAD = struct.Struct("<IIQQIIII")
"""A request: length, opcode, unique, node, uid, gid, pid, padding."""
LOOKUP, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, OPENDIR, RELEASEDIR = 1, 3, 14, 15, 17, 18, 25, 26, 27, 29
FORGET, BATCH_FORGET, INTERRUPT = 2, 42, 36
UNMOUNT_AT_ONCE = 2


@contextmanager
def mounted_network_disk(folder: Path, files: Mapping[str, bytes]) -> Iterator[Path]:
    """The folder holds these files, and the system says that it is on a network. For root alone."""
    folder.mkdir()
    device = os.open("/dev/fuse", os.O_RDWR)
    _mount(folder, f"fd={device},rootmode=40755,user_id={os.getuid()},group_id={os.getgid()},allow_other")
    server = threading.Thread(target=_serve, args=(device, list(files.items())), daemon=True)
    server.start()
    try:
        yield folder
    finally:
        _libc().umount2(os.fsencode(folder), UNMOUNT_AT_ONCE)
        server.join()
        os.close(device)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _mount(folder: Path, options: str) -> None:
    if _libc().mount(b"ann@far:/", os.fsencode(folder), b"fuse.sshfs", 0, options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"no FUSE mount can be made here, run the tests as root: {os.strerror(number)}")


def _serve(device: int, files: list[tuple[str, bytes]]) -> None:
    """Answers until the disk is unmounted. Node 1 is the folder, node 2 the first file."""
    while True:
        try:
            request = os.read(device, 1 << 20)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            continue
        _, opcode, unique, node, *_ = HEAD.unpack_from(request)
        if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
            continue
        answer = _answer(opcode, node, request[HEAD.size :], files)
        body, failure = (answer, 0) if isinstance(answer, bytes) else (b"", -answer)
        os.write(device, struct.pack("<IiQ", 16 + len(body), failure, unique) + body)


def _answer(opcode: int, node: int, said: bytes, files: list[tuple[str, bytes]]) -> bytes | int:
    """The body of the reply, or the number of an error."""
    match opcode:
        case 26:
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, 1 << 16, 0, 12, 9, 1 << 16, 1, 0, 0, 0)
        case 1:
            names = [name for name, _ in files]
            name = os.fsdecode(said.rstrip(b"\0"))
            if name not in names:
                return errno.ENOENT
            found = names.index(name) + 2
            return struct.pack("<QQQQII", found, 0, 1, 1, 0, 0) + _attributes(found, files)
        case 3:
            return struct.pack("<QII", 1, 0, 0) + _attributes(node, files)
        case 14 | 27:
            return struct.pack("<QII", 0, 0, 0)
        case 15:
            _, offset, size = struct.unpack_from("<QQI", said)
            return files[node - 2][1][offset : offset + size]
        case 17:
            return struct.pack("<QQQQQIII28x", 1 << 20, 1 << 20, 1 << 20, 1000, 1000, 4096, 255, 4096)
        case 18 | 25 | 29:
            return b""
        case _:
            return errno.ENOSYS


def _attributes(node: int, files: list[tuple[str, bytes]]) -> bytes:
    mode, size = (stat.S_IFDIR | 0o755, 0) if node == 1 else (stat.S_IFREG | 0o644, len(files[node - 2][1]))
    return struct.pack("<QQQQQQIIIIIIIIII", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
