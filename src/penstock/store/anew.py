"""Steps that begin once more with the rows that they have done: when the rest of a stream follows its sample."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.core.canon import item_hash
from penstock.core.states import StepState
from penstock.core.workflow import FileSource, Step, StepSource, Workflow
from penstock.rules.filling import uses_place
from penstock.rules.sampled_steps import outline
from penstock.store import reopen
from penstock.store.database import Database, Row
from penstock.store.inputs import look
from penstock.store.items import read
from penstock.store.journal import Journal
from penstock.store.layout import Layout


def begin_rest(journal: Journal, workflow: Workflow, run_no: int) -> None:
    """The steps of the run's sample wait for their needs again, as far as more rows make a difference to them.

    What was done for rows stands; a step without rows is done once more. `release_files` of reopen.py is to follow.
    """
    assert workflow.sample is not None
    shape = outline(workflow, workflow.sample)
    for row in journal.database.all("steps_of", {"run_no": run_no}):
        if row["step_id"] not in shape.active & shape.swayed or row["state"] == StepState.PENDING.value:
            continue
        if workflow.step(row["step_id"]).foreach is None or row["started_at"] is None:
            reopen.reset(journal, run_no, row)
        else:
            reopen.wait_again(journal, run_no, row)
    draw_again(journal, workflow, run_no)


def draw_again(journal: Journal, workflow: Workflow, run_no: int) -> None:
    """Files that are made of drawn rows may hold others now: they are drawn from once more."""
    assert workflow.sample is not None
    for step_id in outline(workflow, workflow.sample).refiled:
        journal.database.run("forget_drawn", {"run_no": run_no, "step_id": step_id})


def has_rows(database: Database, step_no: int) -> bool:
    """Whether the step has met any row before."""
    return database.one("first_task", (step_no,)) is not None


def find_places(journal: Journal, layout: Layout, run: Row, stream: Sequence[tuple[Step, Row]]) -> None:
    """Rows of a file that has grown meanwhile, and what streams from them, have the places that they have there now.

    `stream` begins with the step that reads the file. What was done for a row that is gone is taken back, and for one
    that is elsewhere where the step depends on its place. FileNotFoundError, with nothing changed, if the file is gone.
    """
    root, root_row = stream[0]
    assert isinstance(root.foreach, FileSource)
    path = layout.folder / root.foreach.path
    seen = look(layout.folder, root.foreach.path)
    with journal.together():
        digests = (item_hash(found.text) for found in read(path, root.foreach.format))
        moving = reopen.Moving(journal, root_row["step_no"], digests)
        above: dict[str, Row] = {}
        for step, row in stream:
            moving.drop(row, by_place=uses_place(step))
            if isinstance(step.foreach, StepSource):
                reopen.continue_below(journal, run["run_no"], row, above[step.foreach.step]["step_no"])
            reopen.reopen(journal, run["run_no"], row)
            above[step.id] = row
        moving.shift(row for _, row in stream)
        moving.end()
        reopen.set_opened(journal, root_row["step_no"], seen)
    reopen.release_files(journal, layout, run)
