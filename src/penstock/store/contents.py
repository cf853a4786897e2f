"""What is in the files that a step reads, as hashes; an unchanged file is read once, not once a run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from glob import glob
from pathlib import Path

from penstock.store.journal import Journal
from penstock.store.targets import digest_of


def contents(journal: Journal, folder: Path, inputs: Iterable[str], reads: Iterable[str]) -> dict[str, str]:
    """The hex SHA-256 of each file by its path.

    `inputs` are files, folders (all below) and glob patterns; one that matches nothing is told as `missing`.
    `reads` are words that count where a file of that name exists.
    """
    found: dict[str, str] = {}
    for name in inputs:
        matches = list(_matches(folder, name))
        found |= {path: _digest(journal, folder / path) for path in matches} or {name: "missing"}
    words = (name for name in reads if name not in found and (folder / name).is_file())
    return found | {name: _digest(journal, folder / name) for name in words}


def _matches(folder: Path, name: str) -> Iterator[str]:
    path = folder / name
    if path.is_file():
        yield name
    elif path.is_dir():
        yield from (os.path.relpath(file, folder) for file in sorted(path.rglob("*")) if file.is_file())
    elif any(sign in name for sign in "*?["):
        found = glob(os.path.join(folder, name), recursive=True)
        yield from (os.path.relpath(file, folder) for file in sorted(found) if os.path.isfile(file))


def _digest(journal: Journal, path: Path) -> str:
    """The file's hash, from the journal if size, time and inode are what they were when it was read."""
    stat = path.stat()
    name = os.path.realpath(path)
    known = journal.database.one("file_hash", (name,))
    seen = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    if known is not None and (known["size"], known["mtime_ns"], known["inode"]) == seen:
        return str(known["hash"].hex())
    digest = digest_of(path)
    journal.keep_hash(name, *seen, digest)
    return digest.hex()
