"""Files that the journal names: what the items wrote, outputs too large for it, the copy of the workflow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from penstock.core.canon import parse
from penstock.store.audit.finding import Finding, ok, problem
from penstock.store.database import Database, Row
from penstock.store.layout import Layout
from penstock.store.targets import digest_of

PAGE = 256
MOST_TOLD = 3
"""So many files are named where many are wrong alike."""


def examine(database: Database, layout: Layout, run: Row) -> Iterator[Finding]:
    """What is to say of each kind of file that a run has left."""
    yield _snapshot(layout, run)
    yield _told(
        "files",
        "written by the run",
        (_complaint(_place(layout, run, row), row["size_bytes"], row["hash"]) for row in _files(database, run)),
        "a file that was changed: move it away before the next run, or put it back; one that is gone is written anew",
    )
    yield _told(
        "large outputs",
        "kept beside the journal",
        (_complaint(*kept) for kept in _kept(database, layout, run)),
        "they were the only copy: `penstock run` makes them again",
    )


def _snapshot(layout: Layout, run: Row) -> Finding:
    path = layout.run(run["run_id"]).snapshot
    if path.is_file():
        return ok("workflow", f"its copy is there ({path.stat().st_size:,} bytes)")
    help = "the run cannot be resumed: start a new one"
    return problem("workflow", f"the run's copy of the workflow is gone: {path}", help)


def _told(name: str, what: str, complaints: Iterator[str | None], help: str) -> Finding:
    """One finding for many files: how many there are, and those that are wrong."""
    seen, wrong, first = 0, 0, list[str]()
    for complaint in complaints:
        seen += 1
        if complaint is not None:
            wrong += 1
            first += [complaint] if wrong <= MOST_TOLD else []
    if wrong:
        more = f" and {wrong - MOST_TOLD:,} more" if wrong > MOST_TOLD else ""
        return problem(name, f"{wrong:,} of {seen:,} {what} are not as recorded: {'; '.join(first)}{more}", help)
    if seen == 0:
        return ok(name, f"none {what}")
    return ok(name, f"{seen:,} {what}, with the size and hash that the journal has")


def _complaint(path: Path, size: int, digest: bytes) -> str | None:
    """Why the file is not what was recorded; None if it is."""
    try:
        found = path.stat().st_size
        if found != size:
            return f"{path} has {found:,} bytes, not {size:,}"
        return None if digest_of(path) == digest else f"{path} has another content"
    except FileNotFoundError:
        return f"{path} is gone"
    except OSError as error:
        return f"{path}: {error.strerror}"


def _place(layout: Layout, run: Row, row: Row) -> Path:
    """Where the file is by the journal: in its place, or in the run's folder if a later run moved it there."""
    return (layout.run(run["run_id"]).files if row["state"] == "moved" else layout.folder) / Path(row["path"])


def _files(database: Database, run: Row) -> Iterator[Row]:
    values = {"run_no": run["run_no"], "after": 0, "most": PAGE}
    while rows := database.all("files_recorded", values):
        yield from rows
        values["after"] = rows[-1]["file_no"]


def _kept(database: Database, layout: Layout, run: Row) -> Iterator[tuple[Path, int, bytes]]:
    """Path, size and hash of every record that is a file."""
    values = {"run_no": run["run_no"], "after": 0, "most": PAGE}
    while rows := database.all("records_in_files", values):
        for row in rows:
            told = parse(row["record"])
            assert isinstance(told, dict)
            yield layout.folder / str(told["file"]), int(str(told["bytes"])), bytes.fromhex(str(told["sha256"]))
        values["after"] = rows[-1]["outcome_no"]
