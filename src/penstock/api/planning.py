"""Plan: what a run would do, and why; nothing is run and nothing written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from penstock import plan as plans
from penstock.api.clock import CLOCK
from penstock.api.loading import load, locate
from penstock.api.strangers import strangers
from penstock.core.errors import UsageError
from penstock.core.views import Options, Plan
from penstock.core.workflow import FileSource, Step, Workflow
from penstock.store import items
from penstock.store.contents import contents
from penstock.store.journal import Journal
from penstock.store.layout import Layout


def plan(path: Path, options: Options) -> Plan:
    """What `run` with these options would do now."""
    workflow = load(locate(path), dict(options.variables))
    if options.only is not None and options.only not in {step.id for step in workflow.steps}:
        raise UsageError(
            f"the workflow has no step {options.only}",
            f"its steps are: {', '.join(step.id for step in workflow.steps)}",
        )
    layout = Layout(workflow.folder.absolute())
    journal = Journal(layout.journal, CLOCK) if layout.journal.exists() else None
    try:
        refused = strangers(journal, layout, workflow, {}, options.only)
        blocked = {
            _step_of(workflow, problem.place.line): problem.message for problem in refused.values() if problem.place
        }
        facts = FolderFacts(workflow, layout, journal)
        return plans.make(workflow, facts, os.environ, blocked, options.only)
    finally:
        if journal is not None:
            journal.close()


def _step_of(workflow: Workflow, line: int) -> str:
    return next(step.id for step in workflow.steps if step.at.line == line)


class FolderFacts:
    """The workflow's folder and its journal, as a plan sees them. Without a journal nothing has ever run."""

    def __init__(self, workflow: Workflow, layout: Layout, journal: Journal | None) -> None:
        self._workflow = workflow
        self._folder = layout.folder
        self._journal = journal

    def rows(self, source: FileSource) -> Iterator[tuple[int, bytes, object, str | None]]:
        """Index, exact text, value and fault of each row."""
        for row in items.read(self._folder / source.path, source.format):
            yield row.index, row.text, row.data, row.fault

    def exists(self, path: str) -> bool:
        """Whether there is a file of that name in the workflow's folder."""
        return (self._folder / path).exists()

    def count(self, source: FileSource) -> int:
        """How many rows the file has."""
        return items.count(self._folder / source.path, source.format)

    def contents(self, step: Step) -> dict[str, str]:
        """The hash of each file that the step reads; nothing where nothing could be reused anyway."""
        if self._journal is None:
            return {}
        return contents(self._journal, self._folder, step.inputs, step.script.reads)

    def stands(self, fingerprint: bytes) -> str | None:
        """The run whose outcome would be reused."""
        row = self._journal.database.one("reusable", {"fingerprint": fingerprint}) if self._journal else None
        return str(row["run_id"]) if row is not None else None

    def ended(self, step_id: str) -> str | None:
        """The state of the step in the newest run of the workflow."""
        if self._journal is None:
            return None
        values = {"workflow": self._workflow.file.name, "step_id": step_id}
        row = self._journal.database.one("newest_state_of_step", values)
        return str(row["state"]) if row is not None else None
