"""What of a run's input files has changed since its steps began to read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from penstock.core.canon import item_hash, parse
from penstock.core.errors import OperatorError
from penstock.core.states import StepState
from penstock.core.workflow import FileSource, Step, Workflow
from penstock.rules.paths import fixed_path
from penstock.store.database import Row
from penstock.store.inputs import same
from penstock.store.items import read
from penstock.store.journal import Journal
from penstock.store.layout import Layout


def difference(journal: Journal, layout: Layout, workflow: Workflow, step: Step, row: Row) -> str | None:
    """How the file that the step reads differs from what it was; None if it does not, or the step reads none.

    `row` is the step's in the journal. OperatorError if the file is gone before it was read whole.
    """
    source = step.foreach
    then = parse(row["opened"]) if row["opened"] else None
    if not isinstance(source, FileSource) or not isinstance(then, dict):
        return None
    reading = row["state"] == StepState.RUNNING.value
    try:
        if same(layout.folder, then) or (not reading and _written_later(workflow, step, source.path)):
            return None
    except FileNotFoundError as error:
        if not reading:
            return None
        said = f"{source.path} is gone, and step {step.id} has not read it whole"
        raise OperatorError(said, "put it back") from error
    size = (layout.folder / source.path).stat().st_size
    sizes = f"{then['size']} bytes then, {size} now" if size != then["size"] else f"{size} bytes as before"
    return f"{sizes}; {_first_difference(journal, layout, source, row['step_no'])}"


def digests(layout: Layout, source: FileSource) -> Iterator[bytes]:
    """What each row of the file is known by, in order."""
    for found in read(layout.folder / source.path, source.format):
        yield item_hash(found.text)


def _first_difference(journal: Journal, layout: Layout, source: FileSource, step_no: int) -> str:
    number = 0
    for i, digest in enumerate(digests(layout, source)):
        number = i + 1
        task = journal.taken(step_no, i)
        if task is not None and task.digest != digest:
            return f"row {number} is another"
    if journal.taken(step_no, number) is not None:
        return f"it ends after row {number}"
    return "the rows that were read are the same"


def _written_later(workflow: Workflow, step: Step, path: str) -> bool:
    """Whether a step that does not come before this one writes that file: then it is no stranger's change."""
    before = workflow.before(step)
    return any(other.id not in before and path in _writes(workflow, other) for other in workflow.steps)


def _writes(workflow: Workflow, step: Step) -> set[str | None]:
    env: Mapping[str, str] = {**dict(workflow.env), **dict(step.env)}
    return {fixed_path(target, env) for target in step.script.targets} | {path for _, path in step.outputs}
