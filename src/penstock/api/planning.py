"""Plan: what a run would do, and why; nothing is run and nothing written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from penstock import plan as plans
from penstock.api.clock import CLOCK
from penstock.api.loading import load, locate
from penstock.api.masking import KEY_BYTES, at_hand, mask_key, masked_plan
from penstock.api.strangers import strangers
from penstock.core.errors import UsageError
from penstock.core.routing import Route
from penstock.core.views import Action, Decision, Matched, Options, Plan, RoutePlan
from penstock.core.workflow import FileSource, Step, Workflow
from penstock.load.forced import model_named
from penstock.rules.forcing import forced
from penstock.rules.secrets import Masker
from penstock.store import items
from penstock.store.contents import contents
from penstock.store.journal import Journal
from penstock.store.layout import Layout

if TYPE_CHECKING:
    from penstock.api.bill.billing import Biller


def plan(path: Path, options: Options, hear: Callable[[str, int], None] | None = None, routes: bool = False) -> Plan:
    """What `run` with these options would do now, and what its model calls would come to; none is made.

    `hear` is told now and then which step's rows are looked at, and how many have been. With `routes` the plan tells
    what the rules of each step would do with its rows.
    """
    workflow = load(locate(path), dict(options.variables))
    if options.only is not None and options.only not in {step.id for step in workflow.steps}:
        raise UsageError(
            f"the workflow has no step {options.only}",
            f"its steps are: {', '.join(step.id for step in workflow.steps)}",
        )
    layout = Layout(workflow.folder.absolute())
    with ExitStack() as open_things:
        journal = None
        if layout.journal.exists():
            journal = open_things.enter_context(closing(Journal(layout.journal, CLOCK)))
        refused = strangers(journal, layout, workflow, {}, options.only)
        blocked = {
            _step_of(workflow, problem.place.line): problem.message for problem in refused.values() if problem.place
        }
        facts = FolderFacts(workflow, layout, journal)
        estimate = None
        if any(step.asks or (routes and isinstance(step.spec, Route)) for step in workflow.steps):
            biller = open_things.enter_context(closing(_biller(workflow, layout, journal, options, hear, routes)))
            estimate = _Estimates(biller)
            workflow = _forced(workflow, options)
        made = plans.make(workflow, facts, os.environ, blocked, options.only, estimate)
        return masked_plan(_unsaid(made, layout), layout)


def _forced(workflow: Workflow, options: Options) -> Workflow:
    """The workflow with the one model that is asked, if one is forced."""
    from penstock.api.asking import with_forced

    name = with_forced(options, os.environ).forced
    if name is None:
        return workflow
    sole = model_named(workflow, name)
    return replace(workflow, steps=tuple(forced(step, sole) for step in workflow.steps))


def _unsaid(made: Plan, layout: Layout) -> Plan:
    """The plan without the secrets at hand in what it tells of rules and of rows."""
    values = at_hand(made.workflow)
    if not values or not any(each.routes for each in made.decisions):
        return made
    known = (layout.root / "mask.key").exists()
    masker = Masker(
        values, mask_key(layout) if known else bytes(KEY_BYTES)
    )  # a plan makes no key, since it writes nothing

    def matched(found: Matched) -> Matched:
        return replace(found, examples=tuple(replace(one, text=masker.text(one.text)) for one in found.examples))

    def told(routes: RoutePlan) -> RoutePlan:
        rules = (
            replace(rule, when=rule.when and masker.text(rule.when), matched=matched(rule.matched))
            for rule in routes.rules
        )
        return replace(
            routes, rules=tuple(rules), unmatched=matched(routes.unmatched), unanswered=matched(routes.unanswered)
        )

    decisions = (replace(each, routes=told(each.routes) if each.routes else None) for each in made.decisions)
    return replace(made, decisions=tuple(decisions))


def _biller(
    workflow: Workflow,
    layout: Layout,
    journal: Journal | None,
    options: Options,
    hear: Callable[[str, int], None] | None,
    routes: bool,
) -> Biller:
    # 100 ms to import, for workflows that ask models
    from penstock.api.asking import cast, with_forced
    from penstock.api.bill.billing import Biller
    from penstock.api.bill.keyless import without_keyless
    from penstock.api.bill.last_run import LastRun
    from penstock.api.bill.rehearsing import Rehearsal

    database = journal.database if journal is not None else None
    found = cast(workflow, {}, with_forced(options, os.environ), frozenset())
    if not options.simulate:
        found = replace(found, workflow=without_keyless(workflow, found))
    last = LastRun(workflow, layout, database, options.simulate)
    rehearsal = Rehearsal(found, layout, database)
    return Biller(found, rehearsal, last, options.concurrency, hear or _unheard, routes)


def _unheard(step_id: str, rows: int) -> None:
    """Nobody hears it."""


class _Estimates:
    """Puts the bill of a step into the decision to run it."""

    def __init__(self, biller: Biller) -> None:
        self._biller = biller

    def __call__(self, decision: Decision, bound: int | None, unread: str | None) -> Decision:
        """The decision with its estimate; REUSE where every answer was bought before."""
        billed = self._biller.bill(decision.step_id, bound, unread)
        items = decision.items if billed.items is None else billed.items
        cached = decision.cached if billed.estimate is None else billed.cached
        told = replace(decision, items=items, cached=cached, estimate=billed.estimate, routes=billed.routes)
        if not billed.settled:
            return told
        return replace(told, action=Action.REUSE, reason="every answer was bought before")


def _step_of(workflow: Workflow, line: int) -> str:
    return next(step.id for step in workflow.steps if step.at.line == line)


class FolderFacts:
    """The workflow's folder and its journal, as a plan sees them. Without a journal nothing has ever run."""

    def __init__(self, workflow: Workflow, layout: Layout, journal: Journal | None) -> None:
        self._workflow = workflow
        self._folder = layout.folder
        self._journal = journal

    def rows(self, source: FileSource) -> Iterator[tuple[int, bytes, object, str | None]]:
        """Index, exact text, value and fault of each row."""
        for row in items.read(self._folder / source.path, source.format):
            yield row.index, row.text, row.data, row.fault

    def exists(self, path: str) -> bool:
        """Whether there is a file of that name in the workflow's folder."""
        return (self._folder / path).exists()

    def count(self, source: FileSource) -> int:
        """How many rows the file has."""
        return items.count(self._folder / source.path, source.format)

    def contents(self, step: Step) -> dict[str, str]:
        """The hash of each file that the step reads; nothing where nothing could be reused anyway."""
        if self._journal is None:
            return {}
        return contents(self._journal, self._folder, step.inputs, step.script.reads)

    def stands(self, fingerprint: bytes) -> str | None:
        """The run whose outcome would be reused."""
        row = self._journal.database.one("reusable", {"fingerprint": fingerprint}) if self._journal else None
        return str(row["run_id"]) if row is not None else None

    def ended(self, step_id: str) -> str | None:
        """The state of the step in the newest run of the workflow."""
        if self._journal is None:
            return None
        values = {"workflow": self._workflow.file.name, "step_id": step_id}
        row = self._journal.database.one("newest_state_of_step", values)
        return str(row["state"]) if row is not None else None
