"""One step alone, on a stage of its own: what it reads stands in a journal as if the steps above had run.

A replay is an `--only` run of one step. The run that it stands on is made here: an outcome for each row in every step
above, with the row's own place, and the outputs of the steps before it as the newest run of the folder left them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from penstock.core.canon import compact, item_key, parse
from penstock.core.generation import Generate, Verify
from penstock.core.routing import Choice, Route
from penstock.core.states import RunState, StepState
from penstock.core.work import Form, Item, Outcome, Record, Task, Verdict
from penstock.core.workflow import (
    NOTHING,
    ListSource,
    OutputName,
    Shell,
    Step,
    StepSource,
    Tolerance,
    Variable,
    Workflow,
)
from penstock.rules.recasting import in_mode, mode_of
from penstock.rules.shell.text import ShellTextError, analyse
from penstock.store.database import Database, Row
from penstock.store.journal import NO_ITEM, Journal
from penstock.store.layout import Layout
from penstock.store.process import this_process


class ReplayRoom(Layout):
    """Where replays lie: `.penstock/replay`, with a journal and runs of their own. Commands work in the workflow's
    folder, and bought answers are in the folder's one cache."""

    __slots__ = ()

    @property
    def root(self) -> Path:
        """The folder itself."""
        return self.folder / ".penstock" / "replay"

    @property
    def cache(self) -> Path:
        """The cache of the workflow's folder: an answer is bought once."""
        return Layout(self.folder).cache

    @property
    def fixtures(self) -> Path:
        """What fails again is told here in full; the workflow's own fixtures stay as they are."""
        return self.root / "fixtures" / "failures"


@dataclass(frozen=True, slots=True)
class Given:
    """A row as the step was given it: its place, its exact text and what that is, and the JSON texts of `origin` (None
    where it is the row itself) and of `chain` by step. `local`: a rule of a step above kept it from models elsewhere,
    or it is not known that none did."""

    index: int
    text: bytes
    form: Form
    origin: str | None
    chain: Mapping[str, str]
    local: bool = False


class CannotMove(Exception):
    """What a step writes cannot be written elsewhere; the sentence says why."""


def above(workflow: Workflow, step: Step) -> tuple[str, ...]:
    """The steps from the one that the step reads up to the one that reads the root stream; one without a name in the
    workflow where it reads rows itself."""
    ids: list[str] = []
    source = step.foreach
    while isinstance(source, StepSource):
        ids.append(source.step)
        source = workflow.step(source.step).foreach
    return tuple(ids) or (f"{step.id} (rows)",)


def alone(workflow: Workflow, step: Step, prefix: str, before: Iterable[str]) -> Workflow:
    """The workflow with the step and what it stands on, the steps `before` it among them. CannotMove if it cannot be.

    Files that the step's text names with `>`, `>>` or `tee` lie under `prefix`, a path in the workflow's folder.
    """
    ids = above(workflow, step)
    known = {each.id: each for each in workflow.steps}
    rows = Step(ids[-1], Shell(NOTHING, ("bash",)), step.at, foreach=step.foreach)
    stood_on = [replace(known.get(step_id, rows), needs=()) for step_id in dict.fromkeys([*ids, *before])]
    spec = step.spec
    if isinstance(spec, Shell):
        spec = _moved(spec, prefix, workflow, step)
    elif mode_of(step) == "refresh":
        spec = in_mode(step, "use").spec
    played = replace(
        step,
        spec=spec,
        needs=(),
        foreach=StepSource(ids[0], None),
        when=None,
        cache=False,
        inputs=(),
        outputs=(),
        max_failures=Tolerance(share=1.0),
        fail_fast=False,
        idempotent=True,
        keep=(),
        replace=(),
        barrier=True,
    )
    return replace(workflow, steps=(*stood_on, played))


def stand(
    journal: Journal,
    run_id: str,
    staged: Workflow,
    rows: Sequence[Given],
    found: Mapping[str, Row],
    database: Database,
) -> int:
    """The run on which the last step of `staged` stands; its number. `found` are the steps of the folder's own journal
    (`database`) whose outputs it may read."""
    played = staged.steps[-1]
    ids = above(staged, played)
    run_no = journal.begin_run(
        f"{run_id}-stage", staged.file.name, staged.name, [s.id for s in staged.steps[:-1]], {}, None
    )
    epoch = journal.take_run(run_no, this_process())
    with journal.together():
        for row in journal.database.all("steps_of", {"run_no": run_no}):
            step, step_no = staged.step(row["step_id"]), row["step_no"]
            journal.open_step(step_no, None)
            if step.id in ids:
                _fill(journal, (run_no, step_no), step, ids.index(step.id), ids, rows)
            summary = _copy(journal, (run_no, step_no), found[step.id], database, staged) if step.id in found else {}
            journal.end_step(step_no, StepState.SUCCEEDED, None, summary, len(rows))
    journal.end_run(run_no, epoch, RunState.SUCCEEDED, None)
    return run_no


def has_value(workflow: Workflow, meant: OutputName, found: Mapping[str, Row], database: Database) -> bool:
    """Whether the folder's own journal has a value for an output."""
    row = found.get(meant.step)
    if row is None:
        return False
    if meant.path is not None:
        output = database.one("output_of", (row["step_no"], meant.path))
        return output is not None and output["fault"] is None
    if workflow.step(meant.step).foreach is not None:
        return bool(row["summary"])
    outcome = database.one("outcome_at", (row["step_no"], 0))
    return outcome is not None and outcome["record"] is not None


def form_of(workflow: Workflow, step: Step, text: bytes) -> Form | None:
    """How the step above would have kept this text as a record; None if it can be no row of the step's source."""
    try:
        value = parse(text)
    except ValueError:
        return Form.TEXT if isinstance(step.foreach, (ListSource, StepSource)) else None
    if isinstance(step.foreach, ListSource) and text.decode() in step.foreach.values:
        return Form.TEXT
    if isinstance(step.foreach, StepSource) and isinstance(value, str):
        spec = workflow.step(step.foreach.step).spec
        return Form.TEXT if isinstance(spec, Generate) and spec.contract.schema is None else Form.JSON
    return Form.JSON


# --- rows --------------------------------------------------------------------------------------


def _fill(
    journal: Journal, numbers: tuple[int, int], step: Step, level: int, ids: tuple[str, ...], rows: Sequence[Given]
) -> None:
    """An outcome for each row in a step above. The nearest holds the row itself, the topmost the origin."""
    run_no, step_no = numbers
    judged = isinstance(step.spec, (Verify, Route))
    for row in rows:
        is_row = level == 0 and not judged
        given = row.text if level == 0 and judged else _origin(row) if level == len(ids) - 1 else b""
        digest = sha256(row.text).digest()[:16]
        occurrence = journal.occurrence(step_no, digest)
        item = Item(row.index, item_key(digest, occurrence), digest, given)
        number = journal.start_task(step_no, item, occurrence, 1, keep_input=True)
        record = Record(row.form, row.text) if is_row else Record(Form.JSON, row.chain.get(step.id, "null").encode())
        task = Task("", step.id, number, item)
        choice = Choice(None, None, "as in the run that it was kept in", row.local)
        journal.commit(run_no, step_no, Outcome(task, Verdict.ACCEPTED, (), record, choice=choice), None, None)


def _origin(row: Given) -> bytes:
    """The row of the root stream, as JSON where it is known to be a text."""
    if row.origin is not None:
        return row.origin.encode()
    if row.form is Form.JSON:
        return row.text
    return compact(row.text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _copy(
    journal: Journal, numbers: tuple[int, int], row: Row, database: Database, workflow: Workflow
) -> dict[str, object]:
    """A step's outputs as an earlier run left them are this step's outputs; its summary."""
    run_no, step_no = numbers
    paths = {meant.path for _, meant in workflow.outputs if meant.step == row["step_id"] and meant.path is not None}
    for path in sorted(paths):
        output = database.one("output_of", (row["step_no"], path))
        if output is not None:
            journal.keep_output(step_no, path, output["value"], output["fault"])
    if workflow.step(row["step_id"]).foreach is None:
        outcome = database.one("outcome_at", (row["step_no"], 0))
        if outcome is not None and outcome["record"] is not None:
            number = journal.start_task(step_no, NO_ITEM, 0, 1, keep_input=False)
            task = Task("", row["step_id"], number, None)
            record = Record(Form(outcome["form"]), outcome["record"])
            journal.commit(run_no, step_no, Outcome(task, Verdict.ACCEPTED, (), record), None, None)
    summary = parse(row["summary"]) if row["summary"] else {}
    assert isinstance(summary, dict)
    return summary


# --- what a command writes ---------------------------------------------------------------------


def _moved(shell: Shell, prefix: str, workflow: Workflow, step: Step) -> Shell:
    """The text with the files that it writes under `prefix`; what it reads by the same words is there too."""
    script = shell.script
    if not script.targets:
        return shell
    env = {**dict(workflow.env), **dict(step.env)}
    offsets: set[int] = set()
    for target in script.targets:
        if target.parts is None:
            continue
        texts = [env.get(part.name, "") if isinstance(part, Variable) else part for part in target.parts]
        if any(isinstance(text, str) and ".." in text.split("/") for text in texts):
            raise CannotMove(f"it writes {target.text}, which climbs out of the workflow's folder")
        offsets.add(target.offset)
        if target.piece is None:
            word = rf"(?<![^\s<>(=]){re.escape(target.text)}(?![^\s;)|&<>])"
            offsets |= {match.start() for match in re.finditer(word, script.source)}
    text = script.source
    for offset in sorted(offsets, reverse=True):
        text = f"{text[:offset]}{prefix}{text[offset:]}"
    try:
        return replace(shell, script=analyse(text, foreach=True, shell=shell.interpreter[0]).script)
    except ShellTextError as error:
        raise CannotMove(f"what it writes cannot be written elsewhere: {error.faults[0].message}") from error
