"""What a person takes back in a run: failed items, whole steps, the rows of an input that has changed.

Nothing is deleted: tasks and outcomes that no longer count are marked so, and stay as history. The derived
files of a step that was opened again are written anew from its first row. Files are moved last, when what they belong
to no longer counts for good: `release_files` can be called again after a crash.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping

from penstock.core.states import StepState
from penstock.store.call_log import CALLS
from penstock.store.database import Row
from penstock.store.derived import own_name
from penstock.store.journal import Journal
from penstock.store.layout import Layout, move
from penstock.store.logs import LOG, STEPS


def count_failed(journal: Journal, step_no: int, unread: str) -> int:
    """How many items of the step have failed, or were left unread for a reason that begins so."""
    row = journal.database.one("failed_count", {"step_no": step_no, "unread": unread})
    return int(row[0]) if row is not None else 0


def has_effects(journal: Journal, step_no: int) -> bool:
    """Whether any of the step's commands has done its work, or may have."""
    accepted = journal.database.one("accepted_count", {"step_no": step_no})
    begun = journal.database.one("begun_count", {"step_no": step_no})
    return any(row is not None and int(row[0]) > 0 for row in (accepted, begun))


def redo_failed(journal: Journal, run_no: int, row: Row, unread: str, now: float) -> None:
    """The failed items of the step (a row of `steps`) are as if they had been read and not begun; the step is open."""
    values = {"step_no": row["step_no"], "unread": unread}
    journal.database.run("lay_aside_failed", values)
    journal.database.run("renew_failed", {**values, "now": now})
    journal.database.run("take_back_failed", values)
    _open(journal, run_no, row, StepState.RUNNING)


def continue_below(journal: Journal, run_no: int, row: Row, above_no: int) -> None:
    """A step that streams from one that was opened again is open too, without what it made of rows taken back there."""
    values = {"step_no": row["step_no"], "above_no": above_no}
    journal.database.run("take_back_below", values)
    journal.database.run("take_back_orphans", values)
    _open(journal, run_no, row, StepState.RUNNING)


def reset(journal: Journal, run_no: int, row: Row) -> None:
    """The step has not begun: everything that it did in this run is taken back."""
    for name in ("take_back_tasks", "take_back_outcomes", "take_back_outputs"):
        journal.database.run(name, {"step_no": row["step_no"]})
    _open(journal, run_no, row, StepState.PENDING)


def wait_again(journal: Journal, run_no: int, row: Row) -> None:
    """The step waits for its needs once more; what it did for its rows stands."""
    journal.database.run("wait_again", {"step_no": row["step_no"]})
    journal.database.run("take_back_outputs", {"step_no": row["step_no"]})
    _forget_files(journal, run_no, row)


class Moving:
    """The rows of an input file that has changed, from their old places to their new ones.

    A row is known by its content. First the tasks of rows that are gone are taken back in every step of the stream,
    then what is left takes its new places: between the two nothing may look at places.
    """

    def __init__(self, journal: Journal, step_no: int, digests: Iterable[bytes]) -> None:
        """`step_no` is the step that reads the file, `digests` are those of the file's rows as it is now, in order."""
        self._database = journal.database
        self._database.run("begin_reread")
        for i, digest in enumerate(digests):
            self._database.run("fresh_row", (i, digest))
        self._database.run("find_moved", {"step_no": step_no})
        self._database.run("index_moved")
        kept = self._database.one("kept_count")
        self.kept = int(kept[0]) if kept is not None else 0

    def drop(self, row: Row, by_place: bool) -> None:
        """What the step made of rows that are gone is taken back; `by_place`, of rows that are elsewhere too."""
        values = {"step_no": row["step_no"]}
        self._database.run("drop_displaced_tasks" if by_place else "drop_unmoved_tasks", values)
        self._database.run("take_back_orphans", values)

    def shift(self, rows: Iterable[Row]) -> None:
        """Everything that these steps kept is in its new place."""
        for row in rows:
            for name in ("lift_tasks", "land_tasks", "lift_outcomes", "land_outcomes"):
                self._database.run(name, {"step_no": row["step_no"]})

    def end(self) -> None:
        """Nothing is held any more."""
        self._database.run("end_moved")
        self._database.run("end_fresh")


def reopen(journal: Journal, run_no: int, row: Row) -> None:
    """A step that stands on a changed input is open."""
    _open(journal, run_no, row, StepState.RUNNING)
    for name in (LOG, STEPS, CALLS):  # lines of rows that moved tell their new places
        journal.database.run("forget_derived", {"run_no": run_no, "path": name})


def set_opened(journal: Journal, step_no: int, opened: Mapping[str, object]) -> None:
    """The step's input is taken to be as `opened` tells."""
    journal.database.run("set_opened", {"step_no": step_no, "opened": json.dumps(opened)})


def release_files(journal: Journal, layout: Layout, run: Row) -> None:
    """Files of tasks that no longer count are in the run's folder, and their paths are free."""
    for file in journal.database.all("files_taken_back", {"run_no": run["run_no"]}):
        path = layout.folder / file["path"]
        if file["kind"] == "item" and os.path.lexists(path):
            move(path, layout.run(run["run_id"]).failed / file["path"])
        journal.file_moved(file["file_no"])


def _open(journal: Journal, run_no: int, row: Row, state: StepState) -> None:
    # A step that waits for its needs with rows that it has done goes on waiting.
    if row["state"] != StepState.PENDING.value or state is StepState.PENDING:
        journal.database.run("reopen_step", {"step_no": row["step_no"], "state": state.value})
    _forget_files(journal, run_no, row)


def _forget_files(journal: Journal, run_no: int, row: Row) -> None:
    """The files that are derived from the step's outcomes are to be written from their first row."""
    for path in journal.database.all("derived_paths", {"run_no": run_no, "step_no": row["step_no"]}):
        journal.database.run("forget_derived", {"run_no": run_no, "path": path["path"]})
    journal.database.run("forget_derived", {"run_no": run_no, "path": own_name(row["step_id"])})
