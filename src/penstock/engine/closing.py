"""How a step ends: its files whole, its outputs read once, its rows counted, its state and the reason for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from penstock.core.canon import compact, parse, squeeze
from penstock.core.refusals import is_of_the_machine
from penstock.core.routing import Route
from penstock.core.states import StepState
from penstock.core.views import Tally
from penstock.core.work import Verdict
from penstock.core.workflow import Step
from penstock.engine.site import Site
from penstock.engine.step_run import StepRun
from penstock.rules.paths import fixed_path
from penstock.rules.sampling import accept_rate, lower_bound
from penstock.store.facts import spending_if_any
from penstock.store.inputs import change, opened
from penstock.store.targets import written

OUTPUT_BYTES = 16 << 20
"""A file under `outputs` up to this size is parsed; a larger one is no value."""


@dataclass(frozen=True, slots=True)
class End:
    """The state that a step ends with, and why."""

    state: StepState
    reason: str | None = None


def end_of(site: Site, run: StepRun, above: StepState | None) -> End:
    """The end of a step whose rows all have a verdict. `above` is how the step that it reads from ended, if any."""
    tally = run.tally()
    missing = [path for _, path in run.step.outputs if not (site.layout.folder / path).exists()]
    if run.broken is not None:
        return End(StepState.FAILED, run.broken)
    if run.exhausted_by is not None:
        return End(StepState.FAILED, run.exhausted_by)
    if run.step.foreach is None:
        end = _single_end(site, run)
        if end.state is not StepState.SUCCEEDED:
            return end
    elif run.too_many_failed():
        return End(StepState.FAILED, f"{tally.failed} of {tally.total} items failed ({_allowed(run.step)} allowed)")
    if above not in (None, StepState.SUCCEEDED, StepState.SKIPPED):  # skipped: only if the step accepts that
        return End(
            StepState.BLOCKED, f"the step that it reads from ended {above.value}: {tally.done} records were done"
        )
    if missing:
        return End(StepState.FAILED, f"it did not write {', '.join(missing)}, which its `outputs` name")
    return End(StepState.SUCCEEDED, (end.reason if run.step.foreach is None else None) or _why(site, run))


def _why(site: Site, run: StepRun) -> str | None:
    """The answer of the `when` that let the step run, with its operands."""
    values = {"run_no": site.run_no, "step_id": run.step.id}
    row = site.journal.database.one("when_answer", values) if run.step.when is not None else None
    return f"when: {row['detail']}" if row is not None else None


def finish(site: Site, run: StepRun, end: End) -> None:
    """The step's files are whole, its outputs are values, and the journal says that it has ended."""
    run.sequence.advance()
    run.check()
    run.close()
    _tell_of_change(site, run)
    with site.journal.together():
        for path in _append_paths(site, run.step):
            site.journal.file_written(site.run_no, written(site.layout.folder, path))
        if end.state in (StepState.SUCCEEDED, StepState.REJECTED):
            _keep_outputs(site, run)
        tally = run.tally()
        site.journal.end_step(
            run.step_no, end.state, end.reason, _summary(site, run.step, run.step_no, tally), tally.done
        )


def _tell_of_change(site: Site, run: StepRun) -> None:
    """An input that was written while it was read is not passed over in silence."""
    then = opened(site.journal, run.step_no)
    what = change(site.layout.folder, then) if then is not None else None
    if what is not None:
        sentence = f"{what} while step {run.step.id} read it: this run stands on the rows that it found"
        site.journal.event(site.run_no, "input", run.step.id, sentence)
        site.listener.note(sentence)


def end_unopened(site: Site, step: Step, end: End) -> None:
    """A step that never ran has ended: skipped, blocked, failed at its `when`, or cancelled."""
    site.journal.end_step(site.steps[step.id], end.state, end.reason, _summary(site, step, None, Tally(total=0)), 0)


def _single_end(site: Site, run: StepRun) -> End:
    row = site.journal.database.one("outcome_at", (run.step_no, 0))
    assert row is not None
    match Verdict(row["verdict"]):
        case Verdict.ACCEPTED:
            return End(StepState.SUCCEEDED, row["reason"])
        case Verdict.REJECTED:
            return End(StepState.REJECTED, row["reason"])
        case _:
            return End(StepState.FAILED, row["reason"])


def _allowed(step: Step) -> str:
    share = step.max_failures.share
    return f"{share:.4g} of all" if share is not None else str(step.max_failures.count)


def _append_paths(site: Site, step: Step) -> Iterator[str]:
    env = site.env_of(step)
    for target in step.script.targets:
        path = fixed_path(target, env) if target.piece is not None else None
        if path is not None:
            yield path


def _keep_outputs(site: Site, run: StepRun) -> None:
    """Values under `outputs`, parsed once; and, for reuse, the hash of every output of a step without items."""
    step, env = run.step, site.env_of(run.step)
    fixed = [fixed_path(target, env) for target in step.script.targets]
    declared = [path for _, path in step.outputs]
    for path in dict.fromkeys([*declared, *(path for path in fixed if path and path.endswith(".json"))]):
        site.journal.keep_output(run.step_no, path, *_value(site.layout.folder / path))
    if step.foreach is not None or not step.cache:
        return
    task = site.journal.taken(run.step_no, 0)
    for path in dict.fromkeys([*declared, *(path for path in fixed if path)]):
        if task is not None and (site.layout.folder / path).is_file():
            site.journal.claim_file(site.run_no, run.step_no, task.task_no, path, "output")
            site.journal.file_written(site.run_no, written(site.layout.folder, path))


def _value(path: Path) -> tuple[str | None, str | None]:
    """The JSON of an output's value (its text, for a file that is no .json), or the sentence why it has none."""
    try:
        if path.stat().st_size > OUTPUT_BYTES:
            return None, f"{path.name} is larger than {OUTPUT_BYTES >> 20} MiB"
        text = path.read_text(encoding="utf-8")
        if path.suffix != ".json":
            return compact(text), None
        parse(text, nan=True)
        return squeeze(text), None
    except OSError as error:
        if is_of_the_machine(error):
            raise
        return None, f"{path.name}: {error.strerror}"
    except ValueError as error:
        return None, f"{path.name} is not JSON: {error}"


def _summary(site: Site, step: Step, step_no: int | None, tally: Tally) -> dict[str, object]:
    counts = {name: count for name, count in asdict(tally).items() if name != "in_flight"}
    judged = tally.accepted + tally.rejected + tally.failed
    spent = spending_if_any(site.journal.database, step_no, step.asks) if step_no is not None else None
    return {
        **counts,
        "accept_rate": accept_rate(tally.accepted, tally.rejected, tally.failed),
        "accept_rate_low": lower_bound(tally.accepted, judged),
        "cost": spent.dollars if spent is not None else None,
        **({"calls": spent.calls} if spent is not None else {}),
        "latency_p50_ms": _latency_ms(site, step_no, judged, 0.50),
        "latency_p95_ms": _latency_ms(site, step_no, judged, 0.95),
        **_branches(site, step, step_no),
    }


def _branches(site: Site, step: Step, step_no: int | None) -> dict[str, int]:
    """How many items a `route` step sent to each of its branches; nothing for other steps."""
    if not isinstance(step.spec, Route):
        return {}
    rows = [] if step_no is None else site.journal.database.all("branch_counts", {"step_no": step_no})
    return dict.fromkeys(step.spec.branches, 0) | {row["branch"]: int(row["count"]) for row in rows}


def _latency_ms(site: Site, step_no: int | None, judged: int, quantile: float) -> float | None:
    """The nearest-rank quantile of the last attempts' seconds, in milliseconds."""
    if step_no is None or judged == 0:
        return None
    offset = max(0, -int(-quantile * judged // 1) - 1)
    row = site.journal.database.one("latency_at", {"step_no": step_no, "offset": offset})
    return round(row[0] * 1000, 3) if row is not None else None
