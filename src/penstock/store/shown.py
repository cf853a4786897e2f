"""What a person is shown before a decision, by its hashes: files and folders of the workflow, records of its steps."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from penstock.core.approval import Shown
from penstock.core.canon import fingerprint
from penstock.store.database import Database
from penstock.store.derived import record_line
from penstock.store.targets import digest_of

STEPS = "steps."
"""How the name of a step's records begins."""
PAGE = 256
SHORT = 12
"""So many digits of a hash are told to a person."""


def look(database: Database, folder: Path, steps: Mapping[str, int], names: Iterable[str]) -> tuple[Shown, ...]:
    """Each of these as it is now. `steps` are the journal's numbers of the steps by their ids. OSError if one cannot
    be read.

    A folder is hashed over the names and hashes of the files below it, in the order of their names; the records of a
    step as the lines of `steps/ID.jsonl`. What is neither file nor folder counts as absent.
    """
    return tuple(_look(database, folder, steps, name) for name in names)


def digest(shown: Sequence[Shown]) -> bytes:
    """The SHA-256 over all that is shown."""
    return bytes.fromhex(fingerprint([[each.what, each.sha256, each.size_bytes] for each in shown]))


def differences(then: Sequence[Shown], now: Sequence[Shown]) -> list[str]:
    """What is no longer as it was, each as `logs/x.json (was 12 digits, is 12 digits)`. Both name the same things."""
    pairs = zip(then, now, strict=True)
    return [f"{old.what} (was {_short(old)}, is {_short(new)})" for old, new in pairs if old.sha256 != new.sha256]


def _short(shown: Shown) -> str:
    return shown.sha256[:SHORT] if shown.sha256 is not None else "absent"


def _look(database: Database, folder: Path, steps: Mapping[str, int], name: str) -> Shown:
    if name.startswith(STEPS):
        step_no = steps.get(name.removeprefix(STEPS))
        return _records(database, name, step_no) if step_no is not None else Shown(name, None)
    path = folder / name
    if path.is_file():
        return Shown(name, digest_of(path).hex(), path.stat().st_size)
    return _below(path, name) if path.is_dir() else Shown(name, None)


def _records(database: Database, name: str, step_no: int) -> Shown:
    hashed, size, start = hashlib.sha256(), 0, 0
    while rows := database.all("records_in_order", {"step_no": step_no, "from": start, "most": PAGE}):
        for row in rows:
            line = record_line(row)
            hashed.update(line)
            size += len(line)
        start = rows[-1]["i"] + 1
    return Shown(name, hashed.hexdigest(), size) if start else Shown(name, None)


def _below(path: Path, name: str) -> Shown:
    hashed, size = hashlib.sha256(), 0
    for file in _files(path):
        inner = os.fsencode(file.relative_to(path))
        hashed.update(b"%d:%s:" % (len(inner), inner) + digest_of(file))
        size += file.stat().st_size
    return Shown(name, hashed.hexdigest(), size)


def _files(path: Path) -> Iterator[Path]:
    """The files below a folder by their names; no link to a folder is followed, so that this has an end."""
    for root, folders, files in os.walk(path, onerror=_raised):
        folders.sort()
        yield from (place for place in (Path(root, file) for file in sorted(files)) if place.is_file())


def _raised(error: OSError) -> None:
    """A folder that cannot be read is no empty one."""
    raise error
