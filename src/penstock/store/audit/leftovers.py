"""What dead processes left lying: private files of tasks, halves of files, folders of runs that nobody knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from penstock.store.audit.finding import Finding, note, ok
from penstock.store.database import Database, Row
from penstock.store.layout import Layout
from penstock.store.process import started

MOST_TOLD = 3


def slots(layout: Layout, run: Row) -> Finding:
    """Private files of tasks in flight, of a run that does not run."""
    folder = layout.run(run["run_id"]).slots
    left = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if not left:
        return ok("private files", "none are left")
    return note(
        "private files",
        f"those of {len(left)} tasks were left in {folder}; they hold what the items read",
        f"`penstock resume` uses and removes them; for a run that is not resumed: rm -r {folder}",
    )


def halves(layout: Layout) -> Finding:
    """Fixtures and derived files that were being written when their process died."""
    left = [str(path) for path in _halves(layout)]
    if not left:
        return ok("half files", "none are left")
    return note("half files", f"a process died while it wrote {_named(left)}", f"remove them: rm {' '.join(left)}")


def folders(database: Database, layout: Layout) -> Finding:
    """Folders of runs that the journal does not know: it was deleted, or is another one."""
    there = layout.root / "runs"
    names = sorted(path.name for path in there.iterdir()) if there.is_dir() else []
    unknown = [name for name in names if database.one("run_by_id", {"run_id": name}) is None]
    if not unknown:
        return ok("run folders", f"{len(names):,}, all known to the journal")
    return note(
        "run folders",
        f"the journal knows nothing of {_named(unknown)}: it was deleted, or is a newer one",
        f"their records can be read, not resumed; if they are not needed: rm -r {there / unknown[0]}",
    )


def _halves(layout: Layout) -> Iterator[Path]:
    places = (layout.fixtures.glob("*/.*.json.*"), (layout.root / "runs").glob("*/**/.*.jsonl.*"))
    for path in (path for found in places for path in sorted(found)):
        number = path.name.rpartition(".")[2]
        if number.isdigit() and started(int(number)) is None:
            yield path


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
    return ", ".join(names[:MOST_TOLD]) + more
