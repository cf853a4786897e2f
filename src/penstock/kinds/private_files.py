"""The private files of one attempt: what its command reads, and where it writes.

They lie in a slot's folder and are used again by the next task there. No file is emptied by opening it: ext4
forces a file that was cut to nothing to the disk when it is closed ("replace via truncate", ext4(5),
auto_da_alloc), which costs more than starting the command. An output that something was written to is unlinked
after it has been read, so that a process which left its group and still holds it cannot write into a
later item's.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from penstock.core.work import Item, Task
from penstock.kinds.tools import Tools

TAIL_BYTES, TAIL_LINES = 4096, 20
CHUNK = 1 << 16
WRITE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class PrivateFiles:
    """Paths; `item` is None for a step without items, whose outputs lie in the run's `out` folder and stay there."""

    item: str | None
    stdout: str
    stderr: str
    pieces: tuple[tuple[int, str], ...]


def prepare(task: Task, pieces: tuple[int, ...], tools: Tools) -> PrivateFiles:
    """The files, with the item's text in place and everything else empty or not there."""
    slot = os.fspath(tools.slot)
    paths = tuple((number, f"{slot}/piece{number}") for number in pieces)
    for _, path in paths:
        remove(path)
    if task.item is None:
        outputs = os.fspath(tools.run.out / task.step_id)
        files = PrivateFiles(None, f"{outputs}.out", f"{outputs}.err", paths)
    else:
        files = PrivateFiles(f"{slot}/item", f"{slot}/stdout", f"{slot}/stderr", paths)
        _write_item(f"{slot}/item", task.item)
    for path in (files.stdout, files.stderr):
        _empty(path)
    return files


def size(path: str) -> int:
    """The file's bytes; 0 where there is none."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def read(path: str) -> bytes:
    """The whole of a file; nothing where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        parts = []
        while chunk := os.read(descriptor, CHUNK):
            parts.append(chunk)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def tail(path: str) -> str:
    """The last lines of a file, decoded as well as can be; empty where there is none."""
    if not size(path):
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").rstrip().splitlines()
    return "\n".join(lines[-TAIL_LINES:])


def keep_stderr(files: PrivateFiles, item: Item, number: int, kept: Path) -> None:
    """What an item's command said is at the end of its step's file, after a line that tells whose words they are."""
    if not size(files.stderr):
        return
    with open(files.stderr, "rb") as said, kept.open("ab") as file:
        file.write(f"--- i={item.index} key={item.key} attempt={number}\n".encode())
        shutil.copyfileobj(said, file)


def remove(path: str) -> None:
    """There is no such file."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _empty(path: str) -> None:
    """There is an empty file, which nobody holds who wrote to it."""
    try:
        if not os.stat(path).st_size:
            return
        os.unlink(path)
    except FileNotFoundError:
        pass
    os.close(os.open(path, WRITE, 0o600))


def _write_item(path: str, item: Item) -> None:
    text = item.text + b"\n"
    descriptor = os.open(path, WRITE, 0o600)
    try:
        written = 0
        while written < len(text):
            written += os.pwrite(descriptor, memoryview(text)[written:], written)
        os.ftruncate(descriptor, len(text))
    finally:
        os.close(descriptor)
