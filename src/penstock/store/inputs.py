"""Whether an input file is what it was when a step began to read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock.core.canon import parse
from penstock.store.journal import Journal
from penstock.store.targets import digest_of

HASHED_BYTES = 64 << 20
"""A file up to this size is known by its content; of a larger one, size and time of change must do."""


def look(folder: Path, path: str) -> dict[str, object]:
    """What the file is like now: path, size, time of change, and the SHA-256 of one that is not too large."""
    stat = (folder / path).stat()
    told: dict[str, object] = {"path": path, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    return told | ({"sha256": digest_of(folder / path).hex()} if stat.st_size <= HASHED_BYTES else {})


def same(folder: Path, then: Mapping[str, object]) -> bool:
    """Whether the file that `look` told of is what it was; one that was only touched is. OSError if it is gone."""
    place = folder / str(then["path"])
    stat = place.stat()
    if (stat.st_size, stat.st_mtime_ns) == (then["size"], then["mtime_ns"]):
        return True
    return stat.st_size == then["size"] and then.get("sha256") == digest_of(place).hex()


def opened(journal: Journal, step_no: int) -> Mapping[str, object] | None:
    """What `look` told of the step's input when the step opened it; None where it reads no file, or did not open."""
    row = journal.database.one("step_by_no", (step_no,))
    told = parse(row["opened"]) if row is not None and row["opened"] else None
    return told if isinstance(told, dict) else None


def change(folder: Path, then: Mapping[str, object]) -> str | None:
    """What has happened to the file since `look` told of it, in words; None if it is what it was, or is gone."""
    path = str(then["path"])
    try:
        size = (folder / path).stat().st_size
        if same(folder, then):
            return None
    except OSError:
        return None
    added = size - int(str(then["size"]))
    return f"{added:,} bytes were added to {path}" if added > 0 else f"{path} was changed"
