"""Files in the workflow's folder that belong to a run: append targets and the files of single items.

A file that no run of this workflow wrote, or that somebody changed since, is never touched: the run stops before
it begins and asks for `keep` or `replace`. What earlier runs wrote goes to the folder of the run
that wrote it, before the first step of a new one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from penstock.core.errors import OperatorError
from penstock.core.work import WrittenFile
from penstock.store.database import Row
from penstock.store.journal import Journal
from penstock.store.layout import Layout, move

CHUNK = 1 << 16
PAGE = 512


@dataclass(frozen=True, slots=True)
class Permit:
    """What the author said about files that were there before: patterns of paths in the workflow's folder."""

    keep: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()

    def keeps(self, path: str) -> bool:
        """Whether our lines come after what the file holds."""
        return any(fnmatch(path, os.path.normpath(pattern)) for pattern in self.keep)

    def replaces(self, path: str) -> bool:
        """Whether the file may be moved away."""
        return any(fnmatch(path, os.path.normpath(pattern)) for pattern in self.replace)


def strangers(
    journal: Journal | None, layout: Layout, workflow: str, paths: Iterable[str], permit: Permit
) -> dict[str, str]:
    """Of the append targets `paths`, those that may not be written, each with the sentence that says why.

    Without a journal nothing has ever run, so that all that is there is somebody else's.
    """
    refused: dict[str, str] = {}
    for path in paths:
        if not os.path.lexists(layout.folder / path) or permit.keeps(path) or permit.replaces(path):
            continue
        owner = journal.database.one("owner_of_file", (path,)) if journal is not None else None
        if owner is None:
            refused[path] = f"{path} is there already and no Penstock run wrote it"
        elif owner["workflow"] != workflow:
            refused[path] = f"{path} belongs to run {owner['run_id']} of {owner['workflow']}"
        elif _changed(layout.folder / path, owner):
            refused[path] = f"{path} was changed after run {owner['run_id']} wrote it"
        elif owner["foreign_bytes"]:
            refused[path] = f"{path} begins with what was there before run {owner['run_id']} appended to it"
    return refused


def changed_items(journal: Journal, layout: Layout, workflow: str, step_id: str, permit: Permit) -> dict[str, str]:
    """Files of the step's items that somebody changed after an earlier run wrote them, each with a sentence."""
    return {
        row["path"]: f"{row['path']} was changed after run {row['run_id']} wrote it"
        for row in _in_the_way(journal, workflow, 1 << 62)
        if (row["kind"], row["step_id"]) == ("item", step_id)
        and not permit.replaces(row["path"])
        and _changed(layout.folder / row["path"], row)
    }


def clear_the_way(journal: Journal, layout: Layout, workflow: str, run_no: int, only: str | None) -> int:
    """Files of every earlier run of the workflow are in those runs' folders; how many were moved.

    With `only`, those of that step. What somebody changed stays where it is and is no longer ours. A file counts as
    moved in the journal after it has been moved: a crash between the two is mended by the next run, which finds it
    gone.
    """
    moved = 0
    for row in _in_the_way(journal, workflow, run_no):
        if only is not None and row["step_id"] != only:
            continue
        path = layout.folder / row["path"]
        if _ours(path, row):
            kept = layout.run(row["run_id"]).files / row["path"]
            _give_back(path, kept, row["foreign_bytes"]) if row["foreign_bytes"] else move(path, kept)
            moved += 1
        journal.file_moved(row["file_no"])
    return moved


def begin_append(journal: Journal, layout: Layout, run_id: str, ids: tuple[int, int], path: str, permit: Permit) -> int:
    """The run (`ids`: its number and the step's) owns the append target; how many bytes of it are not ours.

    OperatorError if something that is not ours is there after all: an earlier step of the run may have written it.
    """
    run_no, step_no = ids
    claim = journal.database.one("file_claim", (run_no, path))
    if claim is not None:
        journal.database.run("file_begun", (claim["file_no"],))
        return int(claim["foreign_bytes"])
    place, foreign_bytes = layout.folder / path, 0
    if os.path.lexists(place):
        if permit.keeps(path):
            foreign_bytes = place.stat().st_size
        elif permit.replaces(path):
            move(place, layout.run(run_id).replaced / path)
        elif lost_claim(journal, layout, run_no, path):
            move(place, layout.run(run_id).failed / path)
        else:
            raise OperatorError(
                f"{path} is there already and no Penstock run wrote it",
                f"move it away, or say `keep: [{path}]` (append after it) or `replace: [{path}]`",
            )
    journal.claim_file(run_no, step_no, None, path, "append", foreign_bytes)
    return foreign_bytes


def lost_claim(journal: Journal, layout: Layout, run_no: int, path: str) -> bool:
    """Whether a file that nobody has claimed was made in an earlier life of this run.

    The claim is in the journal before the file is made, but a power cut may take the last rows of the journal and
    leave the file. It is younger than the run then, and what we do with it is to move it, not to delete it.
    """
    run, owner = (journal.database.one(name, {"run_no": run_no}) for name in ("run_by_no", "owner_of"))
    if run is None or owner is None or owner["epoch"] == 1 or journal.database.one("owner_of_file", (path,)):
        return False
    return os.lstat(layout.folder / path).st_ctime >= float(run["started_at"])


def written(folder: Path, path: str) -> WrittenFile:
    """The file as it is now."""
    place = os.path.join(folder, path)
    return WrittenFile(path, os.stat(place).st_size, digest_of(place))


def digest_of(path: str | Path) -> bytes:
    """The SHA-256 of a file's content."""
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while chunk := os.read(descriptor, CHUNK):
            digest.update(chunk)
    finally:
        os.close(descriptor)
    return digest.digest()


def _in_the_way(journal: Journal, workflow: str, run_no: int) -> Iterator[Row]:
    """The files of runs before `run_no` that are still in their places, a page at a time: there is one an item."""
    values: dict[str, object] = {"workflow": workflow, "run_no": run_no, "after": 0, "most": PAGE}
    while rows := journal.database.all("files_in_the_way", values):
        yield from rows
        values["after"] = rows[-1]["file_no"]


def _ours(path: Path, row: Row) -> bool:
    """Whether what stands there is what that run wrote. A task that ended without the file never wrote it."""
    never_written = row["state"] == "claimed" and row["ended"]
    return os.path.lexists(path) and not never_written and not _changed(path, row)


def _changed(path: Path, row: Row) -> bool:
    """Whether a file differs from what the journal says of it; a file that was still being written does not."""
    if row["state"] != "present" or not path.is_file():
        return False
    return bool(path.stat().st_size != row["size_bytes"] or digest_of(path) != row["hash"])


def _give_back(path: Path, kept: Path, foreign_bytes: int) -> None:
    """A copy of the whole goes to the run's folder; what was there before it stays."""
    if path.stat().st_size <= foreign_bytes:
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, kept)
    with path.open("r+b") as file:
        file.truncate(foreign_bytes)
