"""One life of a run: the journal, the loop, the machine and its signals put together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.api.asking import Cast
from penstock.api.clock import CLOCK
from penstock.api.folder import processors
from penstock.api.gatewaying import lets_in, open_door
from penstock.api.ledger import with_ledger
from penstock.api.masking import MaskedListener
from penstock.core.errors import OperatorError
from penstock.core.seams import Listener
from penstock.core.states import RunState
from penstock.core.views import Options, RunView
from penstock.core.workflow import Step, Workflow
from penstock.engine.local import LocalBackend
from penstock.engine.names import Names
from penstock.engine.scheduler import Scheduler
from penstock.engine.site import Site
from penstock.kinds.forking import SlotShell
from penstock.kinds.groups import Groups, Supervisor, watched
from penstock.kinds.permits import Permit
from penstock.kinds.shell_process import keep_descriptors
from penstock.kinds.tools import Tools
from penstock.rules.adapting import CEILING
from penstock.store import facts, targets
from penstock.store.database import DatabaseError, Row
from penstock.store.journal import Journal
from penstock.store.layout import Layout
from penstock.store.process import this_process

if TYPE_CHECKING:
    from penstock.api.calling import Voice

Life = Callable[[Site, Cast, Options], Coroutine[None, None, tuple[RunState, str | None]]]
"""Carries out a run: the state in which it ended, and why if it is paused."""
CALLS_AT_ONCE = CEILING
"""So many tasks of a model step at once, if nobody says otherwise; the servers' limits tell how many are sent."""
TERM_S = 10.0
"""After SIGTERM or SIGHUP, what is in flight has this long to end."""


def drive(
    journal: Journal,
    layout: Layout,
    found: Cast,
    run_no: int,
    options: Options,
    secrets: dict[str, str],
    listener: Listener,
    redo: frozenset[str] = frozenset(),
    life: Life | None = None,
) -> RunState:
    """Runs what of the run has not ended; the state that the journal has for it then.

    `found` is the workflow with the models that can be asked; the journal knows the secrets already (api/masking.py).
    `redo` are the tasks in flight (`STEP` or `STEP:KEY`) that a person allows to be done again. `life` carries it out
    in place of the loop over the workflow's steps.
    Whatever raises leaves the run interrupted, without an owner, and no process of it alive.
    """
    masker = journal.database.masker
    listener = MaskedListener(listener, masker) if masker is not None else listener
    epoch = journal.take_run(run_no, this_process())
    state, reason, writable = RunState.INTERRUPTED, None, True
    try:
        moved = targets.clear_the_way(journal, layout, found.workflow.file.name, run_no, options.only)
        if moved:
            journal.event(run_no, "moved", "files", f"{moved} files of earlier runs are in those runs' folders")
        row = journal.database.one("run_by_no", {"run_no": run_no})
        assert row is not None
        listener.begin(_with_places(facts.view(journal.database, layout, row, CLOCK), found.workflow))
        site = _site(journal, layout, found.workflow, row, epoch, secrets, listener, redo)
        state, reason = asyncio.run((life or _asking)(site, found, options))
    except OperatorError as error:
        reason = str(error)
        raise
    except DatabaseError:
        writable = False  # to ask again takes long, and would hide what was said first; a dead owner tells enough
        raise
    finally:
        if writable and facts.epoch_of(journal.database, run_no) == epoch:
            journal.end_run(run_no, epoch, state, reason)
    return state


def _with_places(view: RunView, workflow: Workflow) -> RunView:
    """The view, with where in the file each step stands: an error names it."""
    return replace(view, steps=tuple(replace(step, place=workflow.step(step.id).at) for step in view.steps))


async def _asking(site: Site, found: Cast, options: Options) -> tuple[RunState, str | None]:
    """The loop, with the models at hand if a step asks any; the state in which it ended, and why if it is paused."""
    for sentence in found.missing:
        site.listener.note(f"left out, {sentence}")
    if site.workflow.has_budget:
        from penstock.api.budgeting import budget_of

        site = replace(site, budget=budget_of(site))
    asks = any(step.asks for step in site.workflow.steps if step.id in site.active)
    open_door_for = lets_in(site.workflow, site.active)
    if not asks and not open_door_for:
        return await _phases(site, options)
    site = with_ledger(site)
    spoken: Voice | None = None
    async with contextlib.AsyncExitStack() as at_hand:
        if asks:
            from penstock.api.calling import voice, with_askings

            spoken = await at_hand.enter_async_context(voice(site, found.endpoints))
            site = with_askings(site, spoken.client, options.concurrency)
        if open_door_for:
            door = open_door(site, site.workflow, found.endpoints, options, spoken)
            site, _ = await at_hand.enter_async_context(door)
        return await _phases(site, options)


async def _phases(site: Site, options: Options) -> tuple[RunState, str | None]:
    """The loop, once; or where the run began with a sample, for its sample and for the rest."""
    live = partial(_loop, options=options)
    if site.workflow.sample is None:
        return await live(site)
    from penstock.api.sampling import phases

    return await phases(site, live)


async def _loop(site: Site, options: Options) -> tuple[RunState, str | None]:
    keep_descriptors()
    with contextlib.suppress(asyncio.CancelledError), watched(site.folder.groups, site.run_id) as (groups, watcher):
        width = partial(_width, options.concurrency, processors())
        backend = LocalBackend(site.folder.slots, partial(_tools, site, groups), width)
        keeping = asyncio.ensure_future(_keep(watcher))
        try:
            scheduler = Scheduler(site, backend, width, options.wait)
            if site.sampling is not None:
                site.sampling.loop = scheduler
            running = asyncio.ensure_future(scheduler.run())
            _obey_signals(scheduler, running, site.listener)
            state = await running
            for place in scheduler.held:
                site.listener.note(_held(place, site.run_id))
            for used_up in scheduler.used_up.values():
                from penstock.api.budgeting import tell_of_end

                tell_of_end(site, used_up)
            return state, str(scheduler.paused) if scheduler.paused is not None else None
        finally:
            keeping.cancel()
            backend.close()
    return RunState.INTERRUPTED, None


async def _keep(watcher: Supervisor) -> None:
    """There is a supervisor, whoever kills one."""
    while True:
        await asyncio.sleep(1)
        with contextlib.suppress(OSError):
            watcher.renew()


def _held(place: str, run_id: str) -> str:
    return (
        f"{place} was in flight when Penstock died, and its step is `idempotent: false`: it waits for your word\n"
        f"  `penstock resume {run_id} --redo {place}` does it again,\n"
        f"  `penstock resume {run_id} --settle {place}=accepted` (or =failed) says how it ended"
    )


def _obey_signals(scheduler: Scheduler, running: asyncio.Future[RunState], listener: Listener) -> None:
    """SIGINT: what is in flight ends and nothing new starts; again: it is killed. TERM and HUP: with a deadline."""
    loop = asyncio.get_running_loop()
    told: set[signal.Signals] = set()

    def interrupted(number: signal.Signals) -> None:
        if number in told or (number is signal.SIGINT and told):
            running.cancel()
            return
        told.add(number)
        scheduler.stop()
        if number is not signal.SIGINT:
            loop.call_later(TERM_S, running.cancel)
        if len(told) == 1:
            left = "Ctrl-C again kills them" if number is signal.SIGINT else f"they have {TERM_S:g} s"
            listener.note(f"stopping: {scheduler.in_flight} tasks in flight may end ({left}); nothing new starts")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # nohup
        loop.add_signal_handler(number, interrupted, number)


def _width(asked: int | None, processors: int, step: Step) -> int:
    """How many tasks of a step are carried out at once; `asked` on the command line comes before the file's word."""
    if asked or step.concurrency:
        return asked or step.concurrency or 1
    if step.shell is not None:
        return processors
    models = step.models
    return (models[0].concurrency if models else None) or CALLS_AT_ONCE


def _tools(site: Site, groups: Groups, step: Step, slot: Path, permit: Permit) -> Tools:
    told = site.env_of(step)
    if site.doorway is not None and step.gateway:
        told |= site.doorway.variables
    environment = {os.fsencode(name): os.fsencode(value) for name, value in told.items()}
    return Tools(
        recorder=site,
        clock=site.clock,
        random=random.Random(),
        pause=asyncio.sleep,
        folder=site.layout.folder,
        run=site.folder,
        slot=slot,
        environment=environment,
        permit=permit,
        asking=site.askings.get(step.id),
        groups=groups,
        shell=SlotShell(environment, groups),
        masker=site.journal.database.masker,
        doorway=site.doorway if step.gateway else None,
    )


def _site(
    journal: Journal,
    layout: Layout,
    workflow: Workflow,
    row: Row,
    epoch: int,
    secrets: dict[str, str],
    listener: Listener,
    redo: frozenset[str],
) -> Site:
    rows = journal.database.all("steps_of", {"run_no": row["run_no"]})
    active = {step["step_id"]: step["step_no"] for step in rows}
    steps = {step["step_id"]: step["step_no"] for step in facts.steps_at_hand(journal.database, row)}
    environ = {name: value for name, value in os.environ.items() if name not in workflow.secrets}
    about = {"id": row["run_id"], "dir": str(layout.run(row["run_id"]).root), "name": workflow.name}
    names = Names(workflow, environ, about)
    names.attach(journal, steps)
    return Site(
        workflow=workflow,
        journal=journal,
        layout=layout,
        run_no=row["run_no"],
        run_id=row["run_id"],
        epoch=epoch,
        steps=steps,
        active=frozenset(active),
        names=names,
        environ=environ,
        secrets=secrets,
        clock=CLOCK,
        listener=listener,
        redo=redo,
    )
