"""What has happened: runs, one run, its log. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.api.clock import CLOCK
from penstock.core.errors import UsageError
from penstock.core.views import RunView
from penstock.store import facts
from penstock.store.database import Database, DatabaseError, unreadable
from penstock.store.layout import Layout, RunFolder
from penstock.store.logs import stamp

__all__ = ["log_lines", "runs", "stamp", "status"]


def runs(folder: Path) -> list[RunView]:
    """All runs of the workflows in a folder, the newest first, without their steps."""
    with _database(folder) as (database, layout):
        return facts.runs(database, layout, CLOCK)


def status(folder: Path, run_id: str | None) -> RunView:
    """One run with its steps; the newest if none is named."""
    with _database(folder) as (database, layout):
        return facts.view(database, layout, facts.find(database, run_id), CLOCK)


def log_lines(view: RunView, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """The whole lines of the run's log from byte `start`, each with the place after it."""
    path = RunFolder(view.folder).log
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            start += len(line)
            yield start, line


@contextmanager
def _database(folder: Path) -> Iterator[tuple[Database, Layout]]:
    layout = Layout(folder.absolute())
    if not layout.journal.exists():
        raise UsageError(f"there is no run in {folder.resolve()}", "go to the workflow's folder, or name it with -C")
    database = Database(layout.journal)
    try:
        yield database, layout
    except DatabaseError as error:
        raise unreadable(layout.journal, error) from error
    finally:
        database.close()
