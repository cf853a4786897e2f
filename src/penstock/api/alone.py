"""A run that is no workflow's: what `penstock gateway` does, and `penstock call` outside a run.

It has one step with one task, to which all its calls belong, so that journal, logs, cache, budget and masks are those
of any run. Only the loop is another, since nothing waits for anything. There is nothing to resume in such a run: what
was paid for is in the cache, and the next one ends the calls that a killed one left open.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from penstock.api.asking import Cast, with_forced
from penstock.api.budgeting import budget_of
from penstock.api.clock import CLOCK
from penstock.api.driving import drive
from penstock.api.folder import held
from penstock.api.ledger import lost_sentence, with_ledger
from penstock.api.loading import NAMES, load, locate
from penstock.api.masking import masked, masker_of, unspoken
from penstock.api.naming import name_alone, new_id
from penstock.api.owning import take_over
from penstock.api.secrets import values_of
from penstock.api.upstreams import upstreams
from penstock.core.errors import Place
from penstock.core.seams import Listener
from penstock.core.states import RunState, StepState
from penstock.core.views import Options, RunView, Tally
from penstock.core.work import Attempt, Bill, Outcome, Record, Task, Verdict
from penstock.core.workflow import NOTHING, Shell, Step, Workflow
from penstock.engine.site import Site
from penstock.gateway.upstreams import Upstreams
from penstock.store import facts
from penstock.store.call_log import CallLog
from penstock.store.calls import CallJournal
from penstock.store.derived import Sequence
from penstock.store.journal import NO_ITEM
from penstock.store.layout import Layout
from penstock.store.logs import RunLog

BEAT_S = 1.0
_STATES = {
    Verdict.ACCEPTED: (StepState.SUCCEEDED, RunState.SUCCEEDED),
    Verdict.REJECTED: (StepState.REJECTED, RunState.REJECTED),
    Verdict.FAILED: (StepState.FAILED, RunState.FAILED),
}


@dataclass(frozen=True, slots=True)
class Done:
    """What became of the one task: accepted, rejected or failed, why, and what its calls came to."""

    verdict: Verdict
    reason: str | None = None
    bill: Bill | None = None
    kind: str | None = None
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """Where the one task is carried out: its run, its number in the journal, whom it may ask, and how."""

    site: Site
    task_number: int
    upstreams: Upstreams
    options: Options


Work = Callable[[Post], Coroutine[None, None, Done]]


def surroundings(path: Path | None) -> Workflow:
    """The workflow whose models, secrets and budget hold: that of the path, or of this folder; one that says nothing
    where it has none. WorkflowError if it cannot be loaded."""
    if path is not None or any(Path(name).is_file() for name in NAMES):
        return load(locate(path or Path()))
    return Workflow(Path().absolute().name or "/", Path(NAMES[0]), "", ())


def carry(command: str, workflow: Workflow, options: Options, listener: Listener, work: Work) -> RunView:
    """A run of this command's own, to its end. OperatorError if another run goes on in the workflow's folder."""
    layout = Layout(workflow.folder.absolute())
    step = Step(command, Shell(NOTHING, ()), Place(str(workflow.file), 1, 1))
    own = workflow.folder / name_alone(command)
    alone = replace(workflow, file=own, steps=(step,), outputs=(), sample=None, notes=())
    options, values = with_forced(options, os.environ), values_of(alone)
    with held(layout) as journal:
        take_over(journal, layout, listener)
        with unspoken(masker_of(layout, values, {})):
            there = upstreams(alone, values, options)
        keys = {**{f"{name}/": endpoint for name, endpoint in there.protocols.items()}, **there.endpoints}
        with masked(journal, layout, values, keys) as masker:
            run_id = new_id(journal)
            folder = layout.run(run_id)
            folder.make()
            folder.snapshot.write_text(masker.text(workflow.source) if masker else workflow.source, encoding="utf-8")
            told = {"simulate": options.simulate, "cache": options.cache, "forced": options.forced}
            run_no = journal.begin_run(run_id, own.name, workflow.name, [command], told, None)
            journal.supersede(run_no, own.name)
            life = partial(_life, there=there, work=work)
            drive(journal, layout, Cast(alone, there.endpoints), run_no, options, values, listener, life=life)
            row = journal.database.one("run_by_no", {"run_no": run_no})
            assert row is not None
            return facts.view(journal.database, layout, row, CLOCK)


async def _life(
    site: Site, found: Cast, options: Options, *, there: Upstreams, work: Work
) -> tuple[RunState, str | None]:
    """The one task, from its beginning to its verdict; interrupted if it was cancelled."""
    _tell_of_lost(site)
    site = with_ledger(site)
    calls = site.calls
    assert calls is not None
    if site.workflow.has_budget:
        site = replace(site, budget=budget_of(site))
    (step_no,) = site.steps.values()
    site.journal.open_step(step_no, None)
    number = site.journal.start_task(step_no, NO_ITEM, 0, site.epoch, keep_input=False)
    started_at, start = site.clock.now(), site.clock.monotonic()
    with _logs(site) as advance:
        doing = asyncio.ensure_future(work(Post(site, number, there, options)))
        try:
            await _watched(site, doing, advance)
        finally:
            doing.cancel()
            await asyncio.wait({doing})
            await calls.drain()
            advance()
        if doing.cancelled():
            return RunState.INTERRUPTED, None
        done = doing.result()
        attempt = Attempt(1, started_at, site.clock.monotonic() - start, done.kind, done.reason)
        return _ended(site, number, done, attempt), None


async def _watched(site: Site, doing: asyncio.Future[Done], advance: Callable[[], None]) -> None:
    """Until it is done the journal knows that its owner lives, and the logs follow the journal."""
    while not doing.done():
        site.fence()
        site.journal.beat(site.run_no, site.epoch)
        advance()
        await asyncio.get_running_loop().run_in_executor(None, site.journal.settling())
        await asyncio.wait({doing}, timeout=BEAT_S)


def _ended(site: Site, number: int, done: Done, attempt: Attempt) -> RunState:
    """The verdict is in the journal, and the step has ended."""
    (step_id, step_no), *_ = site.steps.items()
    task = Task(site.run_id, step_id, number, None)
    outcome = Outcome(task, done.verdict, (attempt,), done.record, done.reason, bill=done.bill)
    step_state, state = _STATES[done.verdict]
    spent = facts.spending(site.journal.database, step_no)
    tally = asdict(Tally(total=1, **{done.verdict.value: 1}))
    del tally["in_flight"]
    with site.journal.together():
        site.journal.commit(site.run_no, step_no, outcome, None, None)
        summary = {**tally, "cost": spent.dollars, "calls": spent.calls}
        site.journal.end_step(step_no, step_state, done.reason, summary, 1)
    lines = Sequence(site.journal, site.run_no, step_no, site.folder.steps / f"{step_id}.jsonl")
    lines.advance()
    lines.close()
    return state


@contextmanager
def _logs(site: Site) -> Iterator[Callable[[], None]]:
    """The run's log and its call log, and what brings them up to the journal; that is done at the end as well."""
    log = RunLog(site.journal, site.run_no, site.run_id, site.folder.log)
    call_log = CallLog(site.journal, site.run_no, site.run_id, site.folder.calls)

    def advance() -> None:
        if site.calls is not None:
            site.calls.flush_now()
        call_log.advance()
        log.advance()

    try:
        yield advance
        advance()
    finally:
        log.close()
        call_log.close()


def _tell_of_lost(site: Site) -> None:
    """Calls that a killed run of this command left open are ended as lost, and told."""
    before = {"workflow": site.workflow.file.name, "before": site.run_no}
    row = site.journal.database.one("newest_run_of", before)
    if row is None:
        return
    epoch = facts.epoch_of(site.journal.database, row["run_no"]) + 1
    lost = CallJournal(site.journal.database, row["run_no"], epoch, site.clock).close_lost()
    if not lost:
        return
    site.listener.note(lost_sentence(lost))
    log = CallLog(site.journal, row["run_no"], row["run_id"], site.layout.run(row["run_id"]).calls)
    log.advance()
    log.close()
