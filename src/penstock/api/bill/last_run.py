"""The last run of a workflow's model steps, as far as the next one can be compared with it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from penstock.api.loading import load
from penstock.core.errors import PenstockError
from penstock.core.generation import Generate, Rule
from penstock.core.workflow import Step, Workflow
from penstock.rules.prompts import compile_template, mentioned
from penstock.rules.step_changes import step_changes
from penstock.store.database import Database, Row
from penstock.store.facts import options_of
from penstock.store.layout import Layout
from penstock.store.past_calls import PastCalls, had_item, last_run_of, past_calls


class LastRun:
    """For each step its newest run; nothing where there is no journal, or the step has never run."""

    def __init__(self, workflow: Workflow, layout: Layout, database: Database | None, simulate: bool) -> None:
        """`simulate`: the next run is a rehearsal."""
        self._workflow = workflow
        self._layout = layout
        self._database = database
        self._simulate = simulate
        self._rows: dict[str, Row | None] = {}
        self._flows: dict[str, Workflow | str] = {}
        self._told: dict[str, tuple[str, ...]] = {}

    def step_no(self, step: Step) -> int | None:
        """The step's row in the journal in that run."""
        row = self._row(step)
        return int(row["step_no"]) if row is not None else None

    def had(self, step: Step, digest: bytes) -> bool:
        """Whether it took in this item then."""
        number = self.step_no(step)
        return number is not None and self._database is not None and had_item(self._database, number, digest)

    def past(self, step: Step, firsts: frozenset[str]) -> PastCalls | None:
        """What the step's newest calls came to that were sent to the models that may be asked now; None if one of
        `firsts`, the models that are asked first, is not among those that replied."""
        if self._database is None:
            return None
        models = frozenset((model.name, model.provider) for model in step.models)
        found = past_calls(self._database, self._workflow.file.name, step.id, models)
        return found if found is not None and firsts <= found.models else None

    def changes(self, step: Step) -> tuple[str, ...]:
        """What of the step changed since; nothing where it has not run."""
        if step.id not in self._told:
            self._told[step.id] = self._compared(step)
        return self._told[step.id]

    def _compared(self, step: Step) -> tuple[str, ...]:
        row = self._row(step)
        if row is None:
            return ()
        flow = self._flow(row)
        if isinstance(flow, str):
            return (f"what changed since run {row['run_id']} is not known: {flow}",)
        old = next((each for each in flow.steps if each.id == step.id), None)
        new = self._workflow.step(step.id)
        if old is None:
            return ()
        simulated = options_of(row).get("simulate") is True
        told = (*self._forced(row, new), *step_changes(old.spec, new.spec, self._envs(flow, old, new)))
        if simulated != self._simulate:
            return ("the last run was simulated" if simulated else "the last run was not simulated", *told)
        return told

    def _forced(self, row: Row, new: Step) -> tuple[str, ...]:
        """Whether another model is forced now than was in that run."""
        before = options_of(row).get("forced") or None
        now = new.question.forced if new.question is not None else None
        names = [str(before) if before else "none", now.name if now is not None else "none"]
        return (f"model forced: {names[0]} → {names[1]}",) if names[0] != names[1] and new.question is not None else ()

    def _envs(self, flow: Workflow, old: Step, new: Step) -> tuple[Mapping[str, str], Mapping[str, str]] | None:
        """The `env` of both, as far as the step's templates name its entries."""
        named = {path[1] for path in _env_paths(new) if len(path) > 1}
        if not named:
            return None
        both = [{**dict(each.env), **dict(step.env)} for each, step in ((flow, old), (self._workflow, new))]
        before, after = ({name: env[name] for name in sorted(named & set(env))} for env in both)
        return before, after

    def _row(self, step: Step) -> Row | None:
        if step.id not in self._rows:
            found = last_run_of(self._database, self._workflow.file.name, step.id) if self._database else None
            self._rows[step.id] = found
        return self._rows[step.id]

    def _flow(self, row: Row) -> Workflow | str:
        """The workflow as it was in that run, or why it cannot be read."""
        run_id = str(row["run_id"])
        if run_id not in self._flows:
            try:
                self._flows[run_id] = self._snapshot(row)
            except OSError as error:
                self._flows[run_id] = f"its copy of the workflow cannot be read ({error.strerror})"
            except (PenstockError, ValueError):
                self._flows[run_id] = "its copy of the workflow does not load today"
        return self._flows[run_id]

    def _snapshot(self, row: Row) -> Workflow:
        folder = self._layout.run(str(row["run_id"]))
        told = options_of(row).get("vars")
        variables = {str(name): str(value) for name, value in told.items()} if isinstance(told, dict) else {}
        texts = json.loads(folder.texts.read_text(encoding="utf-8")) if folder.texts.exists() else {}
        text = folder.snapshot.read_text(encoding="utf-8")
        return load(self._layout.folder / str(row["workflow"]), variables, text, texts)


def _env_paths(step: Step) -> set[tuple[str, ...]]:
    """What the step's templates mention of `env`."""
    asked: list[Generate | Rule] = [step.question, *step.question.rules] if step.question else []
    templates = [template for one in asked for template in (one.prompt, one.system) if template is not None]
    if step.contract is not None and step.contract.judge is not None:
        templates.append(step.contract.judge.rubric)
    paths = {path for template in templates for path in mentioned(compile_template(template))}
    return {path for path in paths if path[0] == "env"}
