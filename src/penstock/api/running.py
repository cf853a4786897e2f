"""Run and resume: what must hold before a run begins or goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from penstock.api import reopening
from penstock.api.asking import cast, with_forced
from penstock.api.clock import CLOCK
from penstock.api.driving import drive
from penstock.api.folder import existing, held
from penstock.api.loading import load, locate, require_bash
from penstock.api.masking import masked, masker_of, unspoken
from penstock.api.naming import new_id, refuse_alone
from penstock.api.owning import take_over
from penstock.api.replacing import replaced
from penstock.api.secrets import values_of
from penstock.api.strangers import strangers
from penstock.core.errors import OperatorError, UsageError, WorkflowError
from penstock.core.sampling import Sample
from penstock.core.seams import Listener
from penstock.core.states import RunState, StepState
from penstock.core.views import Options, Resumption, RunView
from penstock.core.workflow import Step, Workflow
from penstock.rules.secrets import Masker
from penstock.store import facts, gates
from penstock.store.database import Row
from penstock.store.journal import Journal
from penstock.store.layout import Layout, RunFolder


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended or was stopped: its state, and what the journal says of it."""

    state: RunState
    view: RunView
    fixtures: Path


def run(path: Path, options: Options, listener: Listener) -> Ended:
    """Runs a workflow from its beginning in this process; returns when it has ended or was interrupted."""
    file = locate(path)
    options = with_forced(options, os.environ)
    loaded = load(file, dict(options.variables))
    workflow = _sampled(loaded, options)
    _named(workflow, options.only)
    if loaded.sample is not None and workflow.sample is None:
        listener.note("its `sample` is not asked: --only runs one step")
    values = values_of(workflow)
    require_bash(workflow)
    layout = Layout(workflow.folder.absolute())
    with held(layout) as journal:
        take_over(journal, layout, listener)
        base = _base(journal, workflow, options.only)
        found = strangers(journal, layout, workflow, values, options.only)
        if found:
            raise WorkflowError(tuple(found.values()))
        ids = [options.only] if options.only else [step.id for step in workflow.steps]
        with unspoken(masker_of(layout, values, {})):
            asked = cast(workflow, values, options, frozenset(ids))
        _refuse_unheld(asked.workflow, ids)
        with masked(journal, layout, values, asked.endpoints) as masker:
            run_id = new_id(journal)
            _keep_snapshot(layout.run(run_id), workflow, masker)
            variables = dict(options.variables)
            told = {**asdict(options), "vars": masker.value(variables) if masker else variables, "budget": {}}
            del told["variables"]
            base_no = base["run_no"] if base else None
            with journal.together():
                run_no = journal.begin_run(run_id, file.name, workflow.name, ids, told, base_no)
                if workflow.sample is not None:
                    gates.begin(journal, run_no, workflow.sample.size, workflow.sample.seed)
            journal.supersede(run_no, file.name)
            for sentence in replaced(journal.database, run_no):
                listener.note(sentence)
            return _ended(journal, layout, run_no, drive(journal, layout, asked, run_no, options, values, listener))


def resume(folder: Path, run_id: str | None, asked: Resumption, listener: Listener) -> Ended:
    """Goes on with a run that did not end: what has a verdict stands, what was in flight is done again."""
    layout = existing(folder)
    with held(layout) as journal:
        row = facts.find(journal.database, run_id)
        refuse_alone(row)
        run_no = row["run_no"]
        killed = take_over(journal, layout, listener)
        later = journal.database.one("newest_run_of", {"workflow": row["workflow"], "before": 1 << 62})
        newer = later["run_id"] if later is not None and later["run_no"] > run_no else None
        reopening.refuse(facts.view(journal.database, layout, row, CLOCK), newer, asked)
        workflow, values, options = _as_it_was(layout, row)
        workflow = _sampled(workflow, options)
        raised = tuple({**dict(options.budget), **dict(asked.budget)}.items())
        options = replace(options, budget=raised, wait=asked.wait)
        if options.budget:
            from penstock.api.budgeting import with_caps

            workflow = with_caps(workflow, options.budget)
        require_bash(workflow)
        steps = frozenset(step["step_id"] for step in journal.database.all("steps_of", {"run_no": run_no}))
        with unspoken(masker_of(layout, values, {})):
            asking = cast(workflow, values, options, steps)
        _refuse_unheld(asking.workflow, steps)
        with masked(journal, layout, values, asking.endpoints):
            listener.note(_found(facts.view(journal.database, layout, row, CLOCK), killed))
            reopened = reopening.apply(journal, layout, workflow, row, asked)
            journal.set_options(run_no, {**facts.options_of(row), "budget": dict(options.budget)})
            for sentence in reopened.told:
                listener.note(f"  {sentence}")
            state = drive(journal, layout, asking, run_no, options, values, listener, reopened.redo)
            return _ended(journal, layout, run_no, state)


def _sampled(workflow: Workflow, options: Options) -> Workflow:
    """The workflow with the sample that the command line asks for in place of its own; without one for a single step.

    UsageError if both are asked for.
    """
    if options.sample is None:
        return replace(workflow, sample=None) if options.only else workflow
    if options.only is not None:
        raise UsageError("--sample and --only do not go together", "a sample goes through the steps of a whole run")
    seed = workflow.sample.seed if workflow.sample is not None else 0
    return replace(workflow, sample=Sample(options.sample, seed=seed))


def _refuse_unheld(workflow: Workflow, steps: Collection[str]) -> None:
    if workflow.has_budget:
        from penstock.api.budgeting import refuse_unheld

        refuse_unheld(workflow, steps, CLOCK.now())


def _keep_snapshot(folder: RunFolder, workflow: Workflow, masker: Masker | None) -> None:
    """The run's copies of the workflow and its texts, from which `resume` works."""
    source, texts = workflow.source, dict(workflow.texts)
    folder.make()
    folder.snapshot.write_text(masker.text(source) if masker else source, encoding="utf-8")
    kept = masker.value(texts) if masker else texts
    folder.texts.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")


def _as_it_was(layout: Layout, row: Row) -> tuple[Workflow, dict[str, str], Options]:
    """The workflow that the run began with, its secrets and options.

    Which secrets its copy may hold masks of is only known from the copy itself, so it is read twice if it does.
    """
    text, files = _snapshot(layout, row["run_id"])
    options = _options(row)
    file = layout.folder / row["workflow"]
    workflow = load(file, dict(options.variables), text, files)
    values = values_of(workflow)
    masker = masker_of(layout, values, {})
    if masker is None:
        return workflow, values, options
    variables = tuple((name, masker.restored(value)) for name, value in options.variables)
    restored = {name: masker.restored(content) for name, content in files.items()}
    if (masker.restored(text), restored, variables) != (text, files, options.variables):
        options = replace(options, variables=variables)
        workflow = load(file, dict(variables), masker.restored(text), restored)
    return workflow, values, options


def _snapshot(layout: Layout, run_id: str) -> tuple[str, dict[str, str]]:
    """The workflow's text, and its prompts and schemas by path, as they were when the run began."""
    folder = layout.run(run_id)
    try:
        text = folder.snapshot.read_text(encoding="utf-8")
        texts = json.loads(folder.texts.read_text(encoding="utf-8")) if folder.texts.exists() else {}
        return text, texts
    except FileNotFoundError as error:
        raise OperatorError(
            f"run {run_id} cannot go on: its copy of the workflow is gone ({error.filename})",
            "start a new run; what this one did stays in the journal (`penstock status`)",
        ) from error


def _options(row: Row) -> Options:
    """What the command line asked of a run when it began."""
    told = facts.options_of(row)
    only, variables, concurrency = told.get("only"), told.get("vars"), told.get("concurrency")
    cache, budget, forced, sample = (told.get(name) for name in ("cache", "budget", "forced", "sample"))
    return Options(
        only if isinstance(only, str) else None,
        tuple(variables.items()) if isinstance(variables, dict) else (),
        concurrency if isinstance(concurrency, int) else None,
        told.get("simulate") is True,
        cache if isinstance(cache, str) else None,
        tuple(budget.items()) if isinstance(budget, dict) else (),
        sample=sample if isinstance(sample, int) else None,
        forced=forced if isinstance(forced, str) else None,
    )


def _ended(journal: Journal, layout: Layout, run_no: int, state: RunState) -> Ended:
    row = journal.database.one("run_by_no", {"run_no": run_no})
    assert row is not None
    return Ended(state, facts.view(journal.database, layout, row, CLOCK), layout.fixtures)


# --- before a run ------------------------------------------------------------------------------


def _named(workflow: Workflow, only: str | None) -> None:
    """UsageError if `--only` names no step of the workflow."""
    if only not in {None, *(step.id for step in workflow.steps)}:
        named = ", ".join(step.id for step in workflow.steps)
        raise UsageError(f"the workflow has no step {only}", f"its steps are: {named}")


def _base(journal: Journal, workflow: Workflow, only: str | None) -> Row | None:
    """The run on whose finished steps an `--only` run stands; UsageError where they did not finish."""
    if only is None:
        return None
    step = workflow.step(only)
    base = journal.database.one("newest_run_of", {"workflow": workflow.file.name, "before": 1 << 62})
    if base is None:
        if step.needs:
            raise UsageError(
                f"--only {only} needs a run before it: {step.needs[0].step} has not run", "run the whole first"
            )
        return None
    return _standing(journal, workflow, step, base)


def _standing(journal: Journal, workflow: Workflow, step: Step, base: Row) -> Row:
    """The newest run, where all that the step stands on succeeded in it or in the runs that it stands on itself;
    UsageError if any of it did not."""
    states = {row["step_id"]: row["state"] for row in facts.steps_at_hand(journal.database, base)}
    below = workflow.before(step)
    lacking = [need for need in sorted(below) if states.get(need) != StepState.SUCCEEDED.value]
    if lacking:
        told = ", ".join(f"{need} ({states.get(need, 'not run')})" for need in lacking)
        raise UsageError(
            f"--only {step.id} stands on steps that did not succeed in run {base['run_id']}: {told}",
            "run the whole first",
        )
    return base


def _found(view: RunView, killed: int) -> str:
    """What a resumed run starts from, in one sentence."""
    done = sum(step.tally.done for step in view.steps)
    flying = len(view.in_flight)
    named = ", ".join(view.in_flight[:5]) + (" …" if flying > 5 else "")
    again = f"{flying} in flight, done again: {named}" if flying else "none was in flight"
    survivors = f"; {killed} processes of it were still alive and were killed" if killed else ""
    return f"resuming run {view.id}: {done} tasks are finished and stand, {again}{survivors}"
