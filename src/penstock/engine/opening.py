"""How a step begins: whether it may, what its `when` says, its input, and its files."""

from __future__ import annotations

import os
from collections.abc import Mapping

from penstock.core.errors import ConditionError, OperatorError
from penstock.core.generation import Verify
from penstock.core.refusals import is_of_the_machine
from penstock.core.states import ENDED, StepState
from penstock.core.workflow import FileSource, ListSource, Need, Step, StepSource
from penstock.engine.closing import End
from penstock.engine.feeds import TAKEN_BY_BRANCH, Feed, RowFeed, StepFeed
from penstock.engine.reuse import Reuse, reusable
from penstock.engine.site import Site
from penstock.engine.step_run import StepRun
from penstock.rules.conditions import decide
from penstock.rules.paths import fixed_path
from penstock.store.derived import AppendTarget, Finished, Frontier, Sequence
from penstock.store.inputs import look, opened, same
from penstock.store.items import read, rows_of_list
from penstock.store.targets import begin_append


def readiness(site: Site, step: Step, states: Mapping[str, StepState]) -> End | bool:
    """Whether the step may open now; or how it ends without opening, because of a need."""
    ready = True
    for need in step.needs:
        state = states[need.step]
        end = _blocked(need, state, _streams_from(step, need.step))
        if end is not None:
            return end
        ready = ready and (state in ENDED or (state is StepState.RUNNING and _streams_from(step, need.step)))
    if not ready:
        return False
    return _when(site, step)


def open_step(
    site: Site, step: Step, states: Mapping[str, StepState], running: Mapping[str, StepRun], resumed: bool
) -> StepRun | End:
    """The step, running; or the end that it came to because its input or its files are not as they must be."""
    try:
        if resumed:
            _compare(site, step)
        else:
            site.journal.open_step(site.steps[step.id], _look(site, step))
        sequence = _sequence(site, step, running)
        feed = _feed(site, step, states)
        reuse = Reuse(site, step) if reusable(step) else None
    except OSError as error:
        if is_of_the_machine(error) or str(error.filename).startswith(str(site.folder.root)):
            raise
        return End(StepState.FAILED, f"{error.filename}: {error.strerror}")
    return StepRun(site, step, feed, sequence, reuse, _chain(site, step), resumed)


def _blocked(need: Need, state: StepState, streams: bool) -> End | None:
    if state is StepState.SUCCEEDED or state not in ENDED:
        return None
    if state is StepState.SKIPPED:
        return None if need.accept_skipped else End(StepState.SKIPPED, f"its need {need.step} was skipped")
    if streams and state in (StepState.FAILED, StepState.BLOCKED):
        return None
    return End(StepState.BLOCKED, f"its need {need.step} ended {state.value}")


def _streams_from(step: Step, above: str) -> bool:
    return isinstance(step.foreach, StepSource) and step.foreach.step == above and not step.barrier


def _when(site: Site, step: Step) -> End | bool:
    """True if the step runs. The answer is journalled with its operands."""
    if step.when is None:
        return True
    try:
        answer = decide(step.when, site.names.seen_by(step))
    except ConditionError as error:
        return End(StepState.FAILED, f"when: {error}")
    site.journal.event(site.run_no, "when", step.id, answer.shown)
    return answer.value or End(StepState.SKIPPED, f"when: {answer.shown}")


# --- input -------------------------------------------------------------------------------------


def _look(site: Site, step: Step) -> dict[str, object] | None:
    """What the step's input file is like now; None where it reads no file."""
    return look(site.layout.folder, step.foreach.path) if isinstance(step.foreach, FileSource) else None


def _compare(site: Site, step: Step) -> None:
    """OperatorError if the input is not what it was when this step opened it."""
    then = opened(site.journal, site.steps[step.id])
    if then is not None and not same(site.layout.folder, then):
        raise OperatorError(
            f"{then['path']} has changed since step {step.id} began to read it",
            "`penstock resume --reread` goes on with the file as it is now, or start a new run",
        )


def _feed(site: Site, step: Step, states: Mapping[str, StepState]) -> Feed | None:
    match step.foreach:
        case FileSource(path, format):
            return RowFeed(read(site.layout.folder / path, format, size_bytes=_size_then(site, step)))
        case ListSource(values):
            return RowFeed(rows_of_list(values))
        case StepSource(above, branch):
            judged = isinstance(site.workflow.step(above).spec, Verify)
            return StepFeed(site.journal, site.steps[above], branch, lambda: states[above] in ENDED, judged)
        case None:
            return None


def _size_then(site: Site, step: Step) -> int | None:
    """How long the input was when the step opened it: rows that are added meanwhile are none of this run's.

    None for what has no size of its own, a pipe say.
    """
    then = opened(site.journal, site.steps[step.id])
    return int(str(then["size"])) or None if then is not None else None


def _chain(site: Site, step: Step) -> tuple[StepSource, ...]:
    """From the step's own source up to the one that reads the root stream; empty where it reads that itself."""
    chain: list[StepSource] = []
    source = step.foreach
    while isinstance(source, StepSource):
        chain.append(source)
        source = site.workflow.step(source.step).foreach
    return tuple(chain)


# --- files -------------------------------------------------------------------------------------


def _sequence(site: Site, step: Step, running: Mapping[str, StepRun]) -> Sequence:
    above: Frontier | None = None
    branch = TAKEN_BY_BRANCH[None]
    if isinstance(step.foreach, StepSource):
        run = running.get(step.foreach.step)
        above = run.sequence if run is not None else Finished(site.steps[step.foreach.step])
        branch = TAKEN_BY_BRANCH[step.foreach.branch]
    lines = site.folder.steps / f"{step.id}.jsonl"
    targets = tuple(_append_targets(site, step).values())
    return Sequence(site.journal, site.run_no, site.steps[step.id], lines, targets, above, branch)


def _append_targets(site: Site, step: Step) -> dict[str, AppendTarget]:
    """The step's append targets by path, each owned by this run; and the folder of every fixed target is there."""
    env, folder = site.env_of(step), site.layout.folder
    targets: dict[str, AppendTarget] = {}
    for target in step.script.targets:
        path = fixed_path(target, env)
        if path is None:
            continue
        (folder / os.path.dirname(path)).mkdir(parents=True, exist_ok=True)
        if target.piece is None:
            continue
        ids = (site.run_no, site.steps[step.id])
        foreign_bytes = begin_append(site.journal, site.layout, site.run_id, ids, path, site.permit_of(step))
        targets[path] = AppendTarget(target.piece, folder / path, path, foreign_bytes)
    if targets:
        site.journal.settle()  # not even a power cut may leave a file of ours that we do not know
    return targets
