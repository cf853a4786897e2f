"""Files that stand where a run would write and that no run of this workflow wrote."""

from __future__ import annotations

import os
from collections.abc import Mapping

from penstock.core.errors import Problem
from penstock.core.workflow import Step, Workflow
from penstock.rules.paths import fixed_path
from penstock.store import targets
from penstock.store.journal import Journal
from penstock.store.layout import Layout

KEEP_OR_REPLACE = (
    "move it away, or add to the step `keep: [{path}]` (append after what it holds)\n"
    "or `replace: [{path}]` (it is moved into the run's folder)"
)
REPLACE = "move it away, or add to the step `replace: [{path}]` (it is moved into the run's folder)"


def strangers(
    journal: Journal | None, layout: Layout, workflow: Workflow, secrets: Mapping[str, str], only: str | None
) -> dict[str, Problem]:
    """The problem of each such file by its path; empty if a run may begin. Nothing is touched.

    Without a journal nothing has ever run here.
    """
    found: dict[str, Problem] = {}
    for step in workflow.steps:
        if only not in (None, step.id) or step.foreach is None:
            continue
        env = {**os.environ, **dict(workflow.env), **dict(step.env), **secrets}
        paths = [fixed_path(target, env) for target in step.script.targets if target.piece is not None]
        permit = targets.Permit(step.keep, step.replace)
        refused = targets.strangers(journal, layout, workflow.file.name, [path for path in paths if path], permit)
        found |= {path: _problem(step, path, why, workflow, KEEP_OR_REPLACE) for path, why in refused.items()}
        if journal is not None:
            changed = targets.changed_items(journal, layout, workflow.file.name, step.id, permit)
            found |= {path: _problem(step, path, why, workflow, REPLACE) for path, why in changed.items()}
    return found


def _problem(step: Step, path: str, why: str, workflow: Workflow, help: str) -> Problem:
    lines = workflow.source.splitlines()
    source = lines[step.at.line - 1] if step.at.line <= len(lines) else None
    return Problem(step.at, f"{why}: step {step.id} would write it", help.format(path=path), source)
