"""What a person is shown before a decision, by its hashes: files and folders of the workflow, records of its steps."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from penstock.core.approval import Asked, Shown
from penstock.core.canon import fingerprint
from penstock.core.refusals import is_of_the_machine
from penstock.store.database import Database
from penstock.store.derived import record_line
from penstock.store.targets import digest_of

STEPS = "steps."
"""How the name of a step's records begins."""
PAGE = 256
SHORT = 12
"""So many digits of a hash are told to a person."""
OWN = ".penstock"
"""Penstock's own folder changes with every word that is written."""
MOST_LINKED = 10_000
"""So many links, and things that only links lead to, are looked at, so that a link to `/` has an end."""


def look(database: Database, folder: Path, steps: Mapping[str, int], names: Iterable[str]) -> tuple[Shown, ...]:
    """Each of these as it is now. `steps` are the journal's numbers of the steps by their ids. OSError if one cannot
    be read.

    A folder is hashed over the names of what is below it, in their order, and what each is: a file's hash; a link's
    text, and what it leads to; the kind of anything else. `.penstock` is left out of it. The records of a step are
    hashed as the lines of `steps/ID.jsonl`. What is itself neither file nor folder counts as absent.
    """
    return tuple(_look(database, folder, steps, name) for name in names)


def digest(shown: Sequence[Shown]) -> bytes:
    """The SHA-256 over all that is shown."""
    return bytes.fromhex(fingerprint([[each.what, each.sha256, each.size_bytes] for each in shown]))


def differences(then: Sequence[Shown], now: Sequence[Shown]) -> list[str]:
    """What is no longer as it was, each as `logs/x.json (was 12 digits, is 12 digits)`. Both name the same things."""
    pairs = zip(then, now, strict=True)
    return [f"{old.what} (was {_short(old)}, is {_short(new)})" for old, new in pairs if old.sha256 != new.sha256]


def changes(database: Database, folder: Path, steps: Mapping[str, int], asked: Asked) -> list[str]:
    """What is no longer as it was when it was asked about, a phrase each; what cannot be read is not."""
    try:
        now = look(database, folder, steps, [each.what for each in asked.shown])
    except OSError as error:
        if is_of_the_machine(error):
            raise
        return [f"{error.filename}: {error.strerror}"]
    return differences(asked.shown, now)


def _short(shown: Shown) -> str:
    return shown.sha256[:SHORT] if shown.sha256 is not None else "absent"


def _look(database: Database, folder: Path, steps: Mapping[str, int], name: str) -> Shown:
    if name.startswith(STEPS):
        step_no = steps.get(name.removeprefix(STEPS))
        return _records(database, name, step_no) if step_no is not None else Shown(name, None)
    path = folder / name
    if path.is_file():
        return Shown(name, digest_of(path).hex(), path.stat().st_size)
    return _below(path, name, folder / OWN) if path.is_dir() else Shown(name, None)


def _records(database: Database, name: str, step_no: int) -> Shown:
    hashed, size, start = hashlib.sha256(), 0, 0
    while rows := database.all("records_in_order", {"step_no": step_no, "from": start, "most": PAGE}):
        for row in rows:
            line = record_line(row)
            hashed.update(line)
            size += len(line)
        start = rows[-1]["i"] + 1
    return Shown(name, hashed.hexdigest(), size) if start else Shown(name, None)


# --- folders -----------------------------------------------------------------------------------


def _below(path: Path, name: str, own: Path) -> Shown:
    hashed, size = hashlib.sha256(), 0
    for inner, what, size_bytes in _entries(path, os.path.realpath(own)):
        told = os.fsencode(inner)
        hashed.update(b"%d:%s:%d:%s:" % (len(told), told, len(what), what))
        size += size_bytes
    return Shown(name, hashed.hexdigest(), size)


def _entries(root: Path, own: str) -> Iterator[tuple[str, bytes, int]]:
    """What is below a folder: the path there, what it is, and the bytes of a file; a folder's files come before what
    is below its folders.

    A folder to which links lead is looked into once, so that links in a circle have an end. `own` is left out under
    any name.
    """
    met, linked = {_place(os.stat(root))}, 0
    waiting = [(os.fspath(root), "", False)]
    while waiting:
        folder, above, by_link = waiting.pop()
        below: list[tuple[str, str, bool]] = []
        for entry in _listed(folder):
            inner = os.path.join(above, entry)
            path = os.path.join(folder, entry)
            is_link = os.path.islink(path)
            linked += is_link or by_link
            if linked > MOST_LINKED:
                raise OSError(errno.E2BIG, f"links lead to more than {MOST_LINKED:,} files", os.fspath(root))
            if is_link:
                yield inner, b"link " + os.fsencode(os.readlink(path)), 0
            status = _status(path, is_link, own)
            if status is None:
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield inner, *_what(path, status)
            elif not is_link or _place(status) not in met:
                met.add(_place(status))
                below.append((path, inner, is_link or by_link))
        waiting += reversed(below)


def _listed(folder: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name != OWN)


def _status(path: str, is_link: bool, own: str) -> os.stat_result | None:
    """What a path leads to; None for a link that leads nowhere, or into `own`."""
    try:
        status = os.stat(path)
    except OSError as error:
        if is_link and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    real = os.path.realpath(path) if is_link else path
    return None if is_link and (real == own or real.startswith(f"{own}{os.sep}")) else status


def _what(path: str, status: os.stat_result) -> tuple[bytes, int]:
    if stat.S_ISREG(status.st_mode):
        return b"file " + digest_of(path), status.st_size
    return b"kind %o" % stat.S_IFMT(status.st_mode), 0


def _place(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
