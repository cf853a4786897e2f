"""The loop: while something can still move, start what may start, wait for something, commit it.

    start what may start  ->  wait  ->  commit what ended  ->  end what is done  ->  round again

Items are no nodes of the graph: an open step is one object with one lazy reader. A step opens when
its needs have ended (a stream: when the step above has opened), and ends when its reader has ended
and nothing of it is in flight. Nothing open, nothing in flight and a step still pending is a bug, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from penstock.core.approval import Approve
from penstock.core.errors import BugError
from penstock.core.states import ENDED, RunState, StepState, move
from penstock.core.views import StepView, Tally
from penstock.core.work import Outcome, Task
from penstock.core.workflow import FileSource, ListSource, Step, StepSource
from penstock.engine.backend import Backend
from penstock.engine.closing import End, end_of, end_unopened, finish
from penstock.engine.opening import give_up_rows, open_step, readiness
from penstock.engine.site import Site
from penstock.engine.step_run import StepRun
from penstock.store.call_log import CallLog
from penstock.store.facts import spending_if_any
from penstock.store.items import count
from penstock.store.logs import RunLog

if TYPE_CHECKING:
    from penstock.engine.approving import Approvals
    from penstock.models.budget import Exhausted

TICK_S = 0.05
IDLE_S = 0.5
PACE_S = 0.02
BEAT_S = 1.0


class Scheduler:
    """Drives one run of a workflow to its end, or to where it was told to stop."""

    def __init__(self, site: Site, backend: Backend, width: Callable[[Step], int], wait: bool = False) -> None:
        """`width` is how many tasks of a step are carried out at once. With `wait` the loop goes on while all that is
        left waits for a person's word."""
        self._site = site
        self._backend = backend
        self._width = width
        self._log = RunLog(site.journal, site.run_no, site.run_id, site.folder.log)
        self._call_log = (
            CallLog(site.journal, site.run_no, site.run_id, site.folder.calls) if site.calls is not None else None
        )
        self._states = {step_id: _state(site, step_no) for step_id, step_no in site.steps.items()}
        self._resumed = {step_id for step_id in site.active if self._states[step_id] is StepState.RUNNING}
        self._open: dict[str, StepRun] = {}
        self._approvals = _approvals(site)
        self._wait = wait
        self.stopping = False
        self.used_up: dict[str | None, Exhausted] = {}
        self.paused: Exhausted | None = None
        self._beat_at = (-BEAT_S, -BEAT_S)
        self._told_at = 0.0
        self._turned_at = 0.0
        self._settling: asyncio.Future[None] | None = None
        self._stood: object = None

    def stop(self) -> None:
        """No new task is started; those in flight end, and the run stays resumable."""
        self.stopping = True
        self._backend.stop()

    async def run(self) -> RunState:
        """The state in which the run ended; `INTERRUPTED` if it was stopped before its end."""
        try:
            while True:
                self._beat()
                self._watch_budget()
                self._open_steps()
                more = self._commit_and_start()
                more = self._end_steps() or more
                self._write_down()
                if self._over() or self._stands_still(more):
                    break
                await self._backend.wait(0 if more else TICK_S if self._site.journal.pending else IDLE_S)
                await self._gather()
        except asyncio.CancelledError:
            await self._backend.cancel()
            if self._site.calls is not None:
                await self._site.calls.drain()
            self._close()
            raise
        except BaseException:
            # Nothing more is written where something could not be: `resume` brings the files up to the journal.
            await self._backend.cancel()
            self._let_go()
            raise
        held = self.held or self.waiting
        if self._approvals is not None:
            await self._approvals.told()
        if self._site.calls is not None:
            await self._site.calls.drain()
        self._close()
        waits = self.paused is not None or (bool(held) and not self.stopping)
        return RunState.WAITING if waits else self._end_state()

    async def _gather(self) -> None:
        """Where models alone are asked, what ends within a few milliseconds is one turn: nobody waits for it."""
        if self._open and self._open.keys() <= self._site.askings.keys():
            early_s = self._turned_at + PACE_S - self._site.clock.monotonic()
            if early_s > 0:
                await asyncio.sleep(early_s)
            self._turned_at = self._site.clock.monotonic()

    # --- one turn ------------------------------------------------------------------------------

    def _beat(self) -> None:
        """The owner shows that it lives, once a second. OperatorError if another process has taken the run over.

        That can be while this one was suspended, so it is asked before anything is committed; either clock may stand
        still meanwhile.
        """
        site = self._site
        now = (site.clock.monotonic(), site.clock.now())
        if all(abs(new - old) < BEAT_S for new, old in zip(now, self._beat_at, strict=True)):
            return
        self._beat_at = now
        site.fence()
        site.journal.beat(site.run_no, site.epoch)

    def _watch_budget(self) -> None:
        """Where a budget is used up, the run pauses, or what it holds for takes no more rows."""
        budget = self._site.budget
        if budget is None or self.stopping:
            return
        budget.expire()
        whole = budget.exhausted()
        going = [step_id for step_id, run in self._open.items() if not run.has_ended]
        narrow = {step_id: whole or budget.exhausted(step_id) for step_id in going}
        for step_id, used_up in ((None, whole), *narrow.items()):
            if used_up is None:
                continue
            self.used_up.setdefault(used_up.level.step_id, used_up)
            if used_up.caps.when_exceeded == "pause":
                self.paused = used_up
                self.stop()
                return
            if step_id is not None:
                self._open[step_id].exhaust(str(used_up))

    def _open_steps(self) -> None:
        """Steps whose needs have ended open, or end unopened; one end may let others follow."""
        moved = True
        while moved and not self.stopping:
            moved = False
            for step in self._site.workflow.steps:
                if step.id not in self._site.active or step.id in self._open or self._states[step.id] in ENDED:
                    continue
                if self._open_one(step):
                    moved = True

    def _open_one(self, step: Step) -> bool:
        """Whether the step has opened, waits from now on, or has ended."""
        if self._approvals is not None and self._states[step.id] is StepState.WAITING:
            return self._go_on(step, self._approvals)
        resumed = step.id in self._resumed
        if not self._above_is_open(step, resumed):
            return False
        ready = resumed or readiness(self._site, step, self._states)
        if ready is False:
            return False
        if ready is True and not resumed and self._approvals is not None:
            ready = self._approvals.refusal(step) or True
            if ready is True and isinstance(step.spec, Approve):
                return self._ask(step, self._approvals)
        opened = ready if isinstance(ready, End) else self._opened(step, resumed)
        if isinstance(opened, End):
            return self._end_unopened(step, opened)
        self._resumed.discard(step.id)
        self._states[step.id] = StepState.RUNNING
        self._open[step.id] = opened
        self._expect(opened)
        self._site.listener.step(opened.view())
        return True

    def _ask(self, step: Step, approvals: Approvals) -> bool:
        """The step waits for a person's word, or has ended before it could ask for that."""
        end = approvals.ask(step)
        if end is not None:
            return self._end_unopened(step, end)
        self._states[step.id] = move(step.id, self._states[step.id], StepState.WAITING)
        return True

    def _go_on(self, step: Step, approvals: Approvals) -> bool:
        """Whether the step's word is there: then it has opened with its outcome, and ends as any other does."""
        decided = approvals.decided(step)
        if decided is None:
            return False
        if isinstance(decided, End):
            return self._end_unopened(step, decided)
        opened = self._opened(step, resumed=True)
        if isinstance(opened, End):
            return self._end_unopened(step, opened)
        approvals.settle(opened, decided)
        self._open[step.id] = opened
        return True

    def _end_unopened(self, step: Step, end: End) -> bool:
        if self._states[step.id] is StepState.PENDING:
            give_up_rows(self._site, step)
        end_unopened(self._site, step, end)
        self._ended(step, end, Tally(total=0), None)
        return True

    def _expect(self, run: StepRun) -> None:
        """How many rows are to come, for the screens: a file is counted in a thread that nobody waits for."""
        if self._site.sampling is not None and self._site.sampling.first:
            run.expected = self._site.sampling.expected(run.step.id)
            return
        match run.step.foreach:
            case ListSource(values):
                run.expected = len(values)
            case FileSource(path, format):
                counting = asyncio.get_running_loop().run_in_executor(
                    None, count, self._site.layout.folder / path, format
                )
                counting.add_done_callback(partial(_counted, run))
            case StepSource(above, None) if self._states[above] in ENDED:
                row = self._site.journal.database.one("accepted_count", {"step_no": self._site.steps[above]})
                run.expected = int(row[0]) if row is not None else None
            case _:
                pass

    def _above_is_open(self, step: Step, resumed: bool) -> bool:
        """Whether the step that this one streams from has opened in this life too, or ended: its files come first."""
        above = step.foreach.step if isinstance(step.foreach, StepSource) else None
        if above is None or above in self._open or self._states[above] in ENDED:
            return True
        return not resumed and self._states[above] is StepState.PENDING

    def _opened(self, step: Step, resumed: bool) -> StepRun | End:
        return open_step(self._site, step, self._states, self._open, resumed)

    def _commit_and_start(self) -> bool:
        """What has ended is committed and as much is taken in; whether there are rows that could be looked at at once.

        Both are one transaction, and a task is given out only when it is durable that its row is in flight.
        """
        tasks: list[tuple[Task, Step]] = []
        ended, unbegun = self._backend.poll(), self._backend.unbegun()
        with self._site.journal.turn():
            self._commit(ended, unbegun)
            wanting = [] if self.stopping else [run for run in self._open.values() if self._wants(run)]
            for run in wanting:
                self._take(run, tasks)
        for outcome in ended:
            self._backend.committed(outcome.task)
        for task, step in tasks:
            self._backend.submit(task, step)
        self._tell()
        return any(run.paused for run in wanting)

    def _wants(self, run: StepRun) -> bool:
        """Whether there is room for rows; where tasks wait for their turn anyway, for more than a few."""
        window = self._window(run.step)
        few = window // 4 if run.step.id in self._site.askings else 0
        return window - run.in_flight > few and not run.exhausted

    def _take(self, run: StepRun, tasks: list[tuple[Task, Step]]) -> None:
        """Fills an open step's window with the rows that are there."""
        window = self._window(run.step)
        while run.in_flight < window and not run.exhausted:
            task = run.next_task()
            if task is None:
                return
            tasks.append((task, run.step))

    def _window(self, step: Step) -> int:
        """How many tasks are given out: those that are under way and, of a step that asks models, as many again.

        A command that is given out is under way, so that what a crash finds in flight did run.
        """
        ahead = step.id in self._site.askings and step.idempotent and not step.fail_fast
        return self._width(step) * (2 if ahead else 1)

    def _commit(self, ended: list[Outcome], unbegun: list[Task]) -> None:
        if self._site.calls is not None:
            self._site.calls.flush_now()
        for task in unbegun:
            self._open[task.step_id].give_back(task)
        for outcome in ended:
            self._open[outcome.task.step_id].commit(outcome)

    def _tell(self) -> None:
        """The listener hears what is durable now; of the standing of each step at most ten times a second."""
        for run in self._open.values():
            for outcome in run.told():
                self._site.listener.outcome(outcome)
        now = self._site.clock.monotonic()
        if now - self._told_at >= 0.1:
            self._told_at = now
            for run in self._open.values():
                self._site.listener.step(run.view())

    def _end_steps(self) -> bool:
        """Ends every step that has nothing left; whether there was one."""
        done = [run for run in self._open.values() if run.has_ended]
        for run in done:
            self._end(run)
        return bool(done)

    def _end(self, run: StepRun) -> None:
        step = run.step
        above = self._states.get(step.foreach.step) if isinstance(step.foreach, StepSource) else None
        end = end_of(self._site, run, above)
        finish(self._site, run, end)
        del self._open[step.id]
        self._backend.left(step.id)
        self._ended(step, end, run.tally(), run.view().seconds)

    def _write_down(self) -> None:
        """The derived files follow the journal, and the journal goes to the disk."""
        site = self._site
        if site.journal.due() and (self._settling is None or self._settling.done()):
            for run in self._open.values():
                run.sequence.advance()
            self._log.advance()
            if self._call_log is not None:
                self._call_log.advance()
            self._settle()

    def _settle(self) -> None:
        """A sync is under way in another thread; what the one before came to is raised here."""
        if self._settling is not None:
            self._settling.result()
        self._settling = asyncio.get_running_loop().run_in_executor(None, self._site.journal.settling())

    # --- the end -------------------------------------------------------------------------------

    def _over(self) -> bool:
        if self.in_flight:
            return False
        return self.stopping or all(self._states[step_id] in ENDED for step_id in self._site.active)

    @property
    def in_flight(self) -> int:
        """Tasks that were given out and have not come back."""
        return sum(run.in_flight for run in self._open.values())

    def _stands_still(self, more: bool) -> bool:
        """Whether all that is left waits for a person's word. BugError if nothing can move for no such reason."""
        standing = (dict(self._states), sum(run.done for run in self._open.values()))
        still = not more and not self.in_flight and standing == self._stood
        self._stood = standing
        if not still:
            return False
        if self.held or self.waiting:
            return not (self._wait and self.waiting)
        pending = sorted(step_id for step_id in self._site.active if self._states[step_id] not in ENDED)
        raise BugError(f"nothing is in flight and nothing can start, but these steps have not ended: {pending}")

    @property
    def held(self) -> list[str]:
        """Tasks that were in flight in an earlier life and must not be done again without a person's word."""
        return [place for run in self._open.values() for place in run.held]

    @property
    def waiting(self) -> list[str]:
        """Steps that wait for a person's word."""
        return [step_id for step_id in self._site.active if self._states[step_id] is StepState.WAITING]

    def _close(self) -> None:
        for run in self._open.values():
            run.sequence.advance()
            run.close()
        self._log.advance()
        self._log.close()
        if self._call_log is not None:
            self._call_log.advance()
            self._call_log.close()
        self._site.journal.settle()

    def _let_go(self) -> None:
        logs = [log.close for log in (self._log, self._call_log) if log is not None]
        for close in (*(run.close for run in self._open.values()), *logs):
            with suppress(OSError):  # what is still in memory may not fit on the disk either
                close()

    def _end_state(self) -> RunState:
        states = {self._states[step_id] for step_id in self._site.active}
        if not states <= ENDED:
            return RunState.INTERRUPTED
        if StepState.FAILED in states:
            return RunState.FAILED
        return RunState.REJECTED if StepState.REJECTED in states else RunState.SUCCEEDED

    def _ended(self, step: Step, end: End, tally: Tally, seconds: float | None) -> None:
        self._states[step.id] = move(step.id, self._states[step.id], end.state)
        spent = spending_if_any(self._site.journal.database, self._site.steps[step.id], step.asks)
        view = StepView(step.id, end.state.value, end.reason, step.foreach is not None, tally, seconds, spent=spent)
        self._site.listener.step(view)


def _counted(run: StepRun, counting: asyncio.Future[int]) -> None:
    """A file that cannot be counted is told about when it is read."""
    if not counting.cancelled() and counting.exception() is None:
        run.expected = counting.result()


def _approvals(site: Site) -> Approvals | None:
    """None where no step asks for a person's word: templates take long to import."""
    if not any(isinstance(step.spec, Approve) for step in site.workflow.steps):
        return None
    from penstock.engine.approving import Approvals

    return Approvals(site)


def _state(site: Site, step_no: int) -> StepState:
    row = site.journal.database.one("step_by_no", (step_no,))
    assert row is not None
    return StepState(row["state"])
