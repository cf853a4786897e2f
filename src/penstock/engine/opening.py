"""How a step begins: whether it may, what its `when` says, its input, and its files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial

from penstock.core.errors import ConditionError, OperatorError
from penstock.core.generation import Verify
from penstock.core.refusals import is_of_the_machine
from penstock.core.routing import Route
from penstock.core.states import ENDED, StepState
from penstock.core.workflow import FileSource, ListSource, Need, Step, StepSource
from penstock.engine.closing import End
from penstock.engine.feeds import Feed, RowFeed, StepFeed, taken_by
from penstock.engine.reuse import Reuse, reusable
from penstock.engine.site import Site
from penstock.engine.step_run import StepRun
from penstock.rules.conditions import decide
from penstock.rules.paths import fixed_path
from penstock.rules.sampled_steps import lineage
from penstock.store.anew import has_rows
from penstock.store.derived import AppendTarget, Finished, Frontier, Sequence
from penstock.store.inputs import look, opened, same
from penstock.store.items import Row, read, rows_of_list
from penstock.store.reopen import release_files, reset
from penstock.store.targets import begin_append, written


def readiness(site: Site, step: Step, states: Mapping[str, StepState]) -> End | bool:
    """Whether the step may open now; or how it ends without opening, because of a need or of its `when`."""
    if site.sampling is not None and step.id in site.sampling.withheld:
        return End(StepState.SKIPPED, site.sampling.withheld[step.id])
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
    known = resumed or has_rows(site.journal.database, site.steps[step.id])
    try:
        if known:
            _compare(site, step)
        if not resumed:
            site.journal.open_step(site.steps[step.id], _look(site, step))
        feed = _feed(site, step, states)
        sequence = _sequence(site, step, running, feed)
        reuse = Reuse(site, step) if step.shell is not None and reusable(step) else None
    except OSError as error:
        if is_of_the_machine(error) or str(error.filename).startswith(str(site.folder.root)):
            raise
        return End(StepState.FAILED, f"{error.filename}: {error.strerror}")
    return StepRun(site, step, feed, sequence, reuse, _chain(site, step), known)


def give_up_rows(site: Site, step: Step) -> None:
    """A step that ends without opening has done nothing: what it did for rows of a sample is taken back.

    So is what was made of them by steps that stream from it. The files that they were written to are empty.
    """
    database = site.journal.database
    below = [each for each in site.workflow.steps if step in lineage(site.workflow, each)]
    waiting = [each for each in below if has_rows(database, site.steps[each.id])]
    run = database.one("run_by_no", {"run_no": site.run_no})
    assert run is not None
    with site.journal.together():
        for each in waiting:
            row = database.one("step_by_no", (site.steps[each.id],))
            assert row is not None
            reset(site.journal, site.run_no, row)
    for each in waiting:
        _sequence(site, each, {}, None).close()
        for path in _append_targets(site, each):
            site.journal.file_written(site.run_no, written(site.layout.folder, path))
    release_files(site.journal, site.layout, run)


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
    if step.foreach is None:
        return None
    feed = _rows_or_records(site, step, states)
    return feed if site.sampling is None else site.sampling.feed(site.steps[step.id], feed)


def _rows_or_records(site: Site, step: Step, states: Mapping[str, StepState]) -> Feed:
    if isinstance(step.foreach, StepSource):
        above, branch = step.foreach.step, step.foreach.branch
        passes_on = isinstance(site.workflow.step(above).spec, (Verify, Route))
        return StepFeed(site.journal, site.steps[above], branch, lambda: states[above] in ENDED, passes_on)
    rows = partial(_rows, site, step)
    sampled = site.sampling is not None and site.sampling.first
    return RowFeed(site.sampling.rows(step, rows) if site.sampling is not None and sampled else rows())


def _rows(site: Site, step: Step) -> Iterator[Row]:
    """The rows of the step's file or list."""
    if isinstance(step.foreach, ListSource):
        return rows_of_list(step.foreach.values)
    assert isinstance(step.foreach, FileSource)
    path = site.layout.folder / step.foreach.path
    return read(path, step.foreach.format, size_bytes=_size_then(site, step))


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


def _sequence(site: Site, step: Step, running: Mapping[str, StepRun], feed: Feed | None) -> Sequence:
    above: Frontier | None = None
    verdicts, to = taken_by(None)
    if isinstance(step.foreach, StepSource):
        run = running.get(step.foreach.step)
        above = run.sequence if run is not None else Finished(site.steps[step.foreach.step])
        verdicts, to = taken_by(step.foreach.branch)
    lines = site.folder.steps / f"{step.id}.jsonl"
    targets = tuple(_append_targets(site, step).values())
    number = site.steps[step.id]
    if feed is not None and site.sampling is not None and site.sampling.first:
        whole = partial(_is_whole, site, number, feed)
        return Sequence(site.journal, site.run_no, number, lines, targets, whole=whole)
    return Sequence(site.journal, site.run_no, number, lines, targets, above, verdicts, to)


def _is_whole(site: Site, step_no: int, feed: Feed) -> bool:
    """Whether each row that was drawn has a verdict."""
    left = site.journal.database.one("tasks_without_outcome", (step_no,)) if feed.ended else None
    return left is not None and not left[0]


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
