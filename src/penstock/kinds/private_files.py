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
from penstock.rules.restoring import restored
from penstock.rules.secrets import Masker

TAIL_BYTES, TAIL_LINES = 4096, 20
CHUNK = 1 << 16
WRITE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class PrivateFiles:
    """Paths; `item` is None for a step without items. `out` is where what is in `stdout` and `stderr` must be kept in
    the end, as `OUT.out` and `OUT.err`; None where it lies there already."""

    item: str | None
    stdout: str
    stderr: str
    pieces: tuple[tuple[int, str], ...]
    out: str | None = None


def prepare(task: Task, pieces: tuple[int, ...], tools: Tools) -> PrivateFiles:
    """The files, with the item's text in place and everything else empty or not there.

    The outputs of a step without items go straight to the run's `out` folder, where they can be watched; not so where
    there are secrets, which must be masked first.
    """
    slot = os.fspath(tools.slot)
    paths = tuple((number, f"{slot}/piece{number}") for number in pieces)
    for _, path in paths:
        remove(path)
    outputs = os.fspath(tools.run.out / task.step_id)
    if task.item is not None:
        files = PrivateFiles(f"{slot}/item", f"{slot}/stdout", f"{slot}/stderr", paths)
        _write_item(f"{slot}/item", _restored_bytes(task.item.text, tools.masker))
    elif tools.masker is not None:
        files = PrivateFiles(None, f"{slot}/stdout", f"{slot}/stderr", paths, outputs)
    else:
        files = PrivateFiles(None, f"{outputs}.out", f"{outputs}.err", paths)
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


def tail(path: str, masker: Masker | None) -> str:
    """The last lines of a file, decoded as well as can be, its secrets masked; empty where there is none."""
    if not size(path):
        return ""
    before = CHUNK if masker is not None else 0  # a secret is found only where it is whole
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES - before))
        said = file.read()
    shown = (masker.data(said) if masker is not None else said)[-TAIL_BYTES:]
    return "\n".join(shown.decode("utf-8", "replace").rstrip().splitlines()[-TAIL_LINES:])


def keep_stderr(files: PrivateFiles, item: Item, number: int, kept: Path, masker: Masker | None) -> None:
    """What an item's command said is at the end of its step's file, after a line that tells whose words they are."""
    if not size(files.stderr):
        return
    with kept.open("ab") as file:
        file.write(f"--- i={item.index} key={item.key} attempt={number}\n".encode())
    append(files.stderr, kept, masker)


def keep_outputs(files: PrivateFiles, masker: Masker | None) -> None:
    """What a step without items printed lies in the run's `out` folder."""
    if files.out is not None:
        for source, kind in ((files.stdout, "out"), (files.stderr, "err")):
            kept = Path(f"{files.out}.{kind}")
            kept.unlink(missing_ok=True)
            append(source, kept, masker)


def append(source: str, kept: Path, masker: Masker | None) -> None:
    """What is in `source` is at the end of `kept`, its secrets masked."""
    with open(source, "rb") as said, kept.open("ab") as file:
        if masker is None:
            shutil.copyfileobj(said, file)
            return
        masked = masker.stream()
        while chunk := said.read(CHUNK):
            file.write(masked.feed(chunk))
        file.write(masked.end())


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


def _restored_bytes(text: bytes, masker: Masker | None) -> bytes:
    if masker is None:
        return text
    return restored(text.decode("utf-8", "surrogateescape"), masker).encode("utf-8", "surrogateescape")


def _write_item(path: str, item: bytes) -> None:
    text = item + b"\n"
    descriptor = os.open(path, WRITE, 0o600)
    try:
        written = 0
        while written < len(text):
            written += os.pwrite(descriptor, memoryview(text)[written:], written)
        os.ftruncate(descriptor, len(text))
    finally:
        os.close(descriptor)
