"""The phases of a run with a sample: the drawn rows, the gate, and the rest.

    the sample goes through the steps that `require` needs  ->  the gate is asked  ->  the whole run follows

All are one run. That the gate has passed and that its steps begin once more is one transaction: whenever the process
dies, `resume` finds the phase that it was in. Where a step reads a file that other steps make of drawn rows, that file
is whole again before the step's rows get their new places, and the loop is begun anew there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from penstock.api.gate_report import Asked, report_of
from penstock.core.errors import ConditionError
from penstock.core.sampling import GateReport, GateState, Sample
from penstock.core.states import RunState, StepState
from penstock.core.work import UNREAD
from penstock.core.workflow import Step
from penstock.engine.sampling import Sampling, Watch
from penstock.engine.site import Site
from penstock.rules.conditions import decide
from penstock.rules.sampled_steps import Outline, lineage, outline, sees_every_row, withheld
from penstock.rules.sequential import Gate
from penstock.store import anew, gates
from penstock.store.database import Row
from penstock.store.reopen import count_failed, release_files

Ended = tuple[RunState, str | None]
Live = Callable[[Site], Awaitable[Ended]]
"""Carries what of a site's active steps has not ended: the state in which that ended, and why."""
UNENDED = (RunState.INTERRUPTED, RunState.WAITING)


async def phases(site: Site, live: Live) -> Ended:
    """Carries a run through its sample, its gate and the rest, from where it stands."""
    sample, found = site.workflow.sample, gates.standing(site.journal.database, site.run_no)
    if sample is None or found is None:
        return await live(site)
    run = _SampledRun(site, live, sample, outline(site.workflow, sample))
    if sample.require is None:
        return await run.explore()
    if found.state is GateState.SAMPLING:
        ended = await run.first()
        if ended is not None:
            return ended
    return await run.rest()


class _SampledRun:
    """One life of a run with a sample."""

    def __init__(self, site: Site, live: Live, sample: Sample, shape: Outline) -> None:
        self._site = site
        self._live = live
        self._sample = sample
        self._shape = shape

    async def explore(self) -> Ended:
        """A sample without a gate has gone through all steps but those that would act on the whole."""
        state, reason = await self._lives(self._sampling(first=True, held=True), self._site.active)
        if state not in UNENDED:
            rows = Asked.of(self._site, self._shape).told()
            self._site.listener.note(f"sample: {rows}; there is no gate, and the rest does not follow")
        return state, reason

    async def first(self) -> Ended | None:
        """How the run ended in its sample; None if the gate has been asked."""
        watch = self._watch(None)
        sampling = self._sampling(first=True, watch=watch)
        state, reason = await self._lives(sampling, self._shape.active & self._site.active)
        if state in UNENDED:
            return state, reason
        if sampling.stopped:
            return RunState.INTERRUPTED, None
        if self._fell():
            return state, reason
        self._settle(self._report(watch))
        return None

    async def rest(self) -> Ended:
        """The whole run has followed, if the gate lets it; otherwise what the gate found is said again."""
        site = self._site
        found = gates.standing(site.journal.database, site.run_no)
        assert found is not None
        if found.state in (GateState.FAILED, GateState.INCONCLUSIVE) and found.report is not None:
            site.listener.note(found.report.reason)
            return RunState.REJECTED, found.report.reason
        watch = self._watch(found) if found.state is GateState.PASSED else None
        sampling = self._sampling(first=False, watch=watch)
        state, reason = await self._lives(sampling, site.active)
        if watch is None or watch.decision != "fail" or state is not RunState.INTERRUPTED:
            return state, reason
        report = self._by_watch(watch, "the rest has shown that the rate is broken", GateState.PASSED)
        gates.tell(site.journal, site.run_no, report, found, site.clock.now())
        site.listener.note(report.reason)
        return RunState.WAITING, report.reason

    # --- lives -----------------------------------------------------------------------------------

    async def _lives(self, sampling: Sampling, steps: frozenset[str]) -> Ended:
        """These steps have ended, or the run was stopped. A life ends before a file is read that drawn rows made."""
        site, placed = replace(self._site, sampling=sampling), set[str]()
        while True:
            unplaced = {step.id for step in self._unplaced(steps) if step.id not in placed}
            later = {step_id for step_id in steps if self._before(step_id) & unplaced} | unplaced
            state, reason = await self._live(replace(site, active=steps - later))
            if state in UNENDED or not later:
                return state, reason
            if sampling.stopped:
                return RunState.INTERRUPTED, None
            for step_id in sorted(unplaced):
                if not self._before(step_id) & unplaced:
                    self._place(step_id)
                    placed.add(step_id)

    def _unplaced(self, steps: frozenset[str]) -> list[Step]:
        """The steps that read such a file once more, with rows that they have done."""
        rows = self._rows()
        waiting = [step_id for step_id in self._shape.refiled & steps if rows[step_id]["state"] == "pending"]
        return [
            self._site.workflow.step(step_id)
            for step_id in waiting
            if anew.has_rows(self._site.journal.database, rows[step_id]["step_no"])
        ]

    def _place(self, step_id: str) -> None:
        rows, workflow = self._rows(), self._site.workflow
        line = [step for step in workflow.steps if lineage(workflow, step)[-1].id == step_id and step.id in rows]
        line.sort(key=lambda step: len(lineage(workflow, step)))
        opened = [(step, rows[step.id]) for step in line]
        with suppress(FileNotFoundError):  # its writer has failed, or the step will
            anew.find_places(self._site.journal, self._site.layout, self._run(), opened)

    def _before(self, step_id: str) -> set[str]:
        return self._site.workflow.before(self._site.workflow.step(step_id))

    def _rows(self) -> dict[str, Row]:
        rows = self._site.journal.database.all("steps_of", {"run_no": self._site.run_no})
        return {row["step_id"]: row for row in rows}

    def _run(self) -> Row:
        row = self._site.journal.database.one("run_by_no", {"run_no": self._site.run_no})
        assert row is not None
        return row

    # --- the gate --------------------------------------------------------------------------------

    def _sampling(self, first: bool, watch: Watch | None = None, held: bool = False) -> Sampling:
        kept = withheld(self._site.workflow) if held else {}
        site = self._site
        return Sampling(site.journal, site.run_no, self._sample, self._shape, first, kept, watch)

    def _watch(self, found: gates.Standing | None) -> Watch | None:
        """What asks the gate after every row; None without a confidence."""
        sample, workflow = self._sample, self._site.workflow
        if sample.confidence is None or sample.step is None or sample.rate is None:
            return None
        line = lineage(workflow, workflow.step(sample.step))
        known = sees_every_row(workflow, line[0]) and line[-1].id in self._shape.roots
        make = partial(_gate, sample.rate, sample.confidence, known)
        numbered = [(step, self._site.steps[step.id]) for step in line]
        return Watch(self._site.journal, self._site.run_no, numbered, make, found)

    def _fell(self) -> bool:
        """Whether a step of the sample could not be done at all, so that there is nothing to ask the gate about.

        Rows that failed are the gate's affair, and so is what was blocked by them.
        """
        rows = self._rows()
        return any(
            self._has_fallen(self._site.workflow.step(step_id), rows[step_id])
            for step_id in self._shape.active & rows.keys()
        )

    def _has_fallen(self, step: Step, row: Row) -> bool:
        state = StepState(row["state"])
        if step.foreach is None or row["started_at"] is None:
            return state in (StepState.FAILED, StepState.REJECTED, StepState.CANCELLED)
        return state is StepState.FAILED and not self._count(row, "failed")

    def _count(self, row: Row, verdict: str) -> int:
        counts = self._site.journal.database.all("verdict_counts", {"step_no": row["step_no"]})
        return sum(count["count"] for count in counts if count["verdict"] == verdict)

    def _broken(self) -> str | None:
        """Which step of the sample ended badly, and why: then the gate passes for nobody. None if none did.

        A step whose rows `require` counts may have failed by rows that failed, unless it gave up and left some unread.
        """
        rows, found = self._rows(), []
        for step in self._site.workflow.steps:
            row = rows[step.id] if step.id in self._shape.active & rows.keys() else None
            if row is not None and row["state"] == StepState.FAILED.value and not self._is_excused(step, row):
                return f"step {step.id} failed: {row['reason']}"
            if row is not None and row["state"] == StepState.BLOCKED.value:
                found.append(f"step {step.id} was blocked: {row['reason']}")
        return found[0] if found else None

    def _is_excused(self, step: Step, row: Row) -> bool:
        unsettled = count_failed(self._site.journal, row["step_no"], UNREAD)
        return step.id in self._shape.asked and unsettled == self._count(row, "failed")

    def _report(self, watch: Watch | None) -> GateReport:
        """What the gate says of the sample."""
        broken = self._broken()
        because = f"failed because {broken}" if broken is not None else None
        if watch is None:
            return self._by_condition(because)
        decision = watch.look()
        if because is not None:
            return self._by_watch(watch, because, GateState.FAILED, by_rows=False)
        match decision:
            case "pass":
                return self._by_watch(watch, "passed", GateState.PASSED)
            case "fail":
                return self._by_watch(watch, "failed", GateState.FAILED)
            case None if self._sample.on_inconclusive == "expand":
                return self._by_watch(
                    watch, "inconclusive, and `on_inconclusive` lets the rest follow", GateState.PASSED
                )
            case None:
                return self._by_watch(watch, "inconclusive", GateState.INCONCLUSIVE)

    def _by_condition(self, because: str | None) -> GateReport:
        """What `require` says of the sample: where it has no answer, it does not hold."""
        asked = Asked.of(self._site, self._shape)
        if because is not None:
            return report_of(asked, GateState.FAILED, because)
        assert self._sample.require is not None
        try:
            answer = decide(self._sample.require, self._site.names)
        except ConditionError as error:
            return report_of(asked, GateState.FAILED, f"failed because `require` has no answer: {error}")
        state = GateState.PASSED if answer.value else GateState.FAILED
        return report_of(asked, state, f"{answer.shown}: {state.value}")

    def _by_watch(self, watch: Watch, word: str, state: GateState, by_rows: bool = True) -> GateReport:
        asked = Asked.of(self._site, self._shape)
        seen = replace(asked, rejects=watch.rejects, judged=watch.judged, lost=watch.lost)
        return report_of(seen, state, word, watch.gate, by_rows)

    def _settle(self, report: GateReport) -> None:
        """What the gate says holds from now on."""
        site, asked = self._site, Asked.of(self._site, self._shape)
        with site.journal.together():
            now = site.clock.now()
            gates.decide(site.journal, site.run_no, report, asked.rejects, asked.judged, asked.lost, now)
            site.journal.event(site.run_no, "gate", "sample", report.reason)
            if report.state is GateState.PASSED:
                anew.begin_rest(site.journal, site.workflow, site.run_no)
        site.journal.settle()
        release_files(site.journal, site.layout, self._run())
        if report.state is GateState.PASSED:
            site.listener.note(report.reason)


def _gate(rate: float, confidence: float, known: bool, total: int | None) -> Gate:
    return Gate(rate, confidence, total if known and total else None)
