"""A step that runs: its rows on the way in, its tasks in flight, its verdicts, its files in order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.core.canon import compact, item_key, parse
from penstock.core.errors import BugError, ConditionError, OperatorError
from penstock.core.generation import Generate
from penstock.core.routing import Route
from penstock.core.states import StepState
from penstock.core.views import Spending, StepView, Tally
from penstock.core.work import UNREAD, Bill, Form, Item, Outcome, Record, Task, Verdict
from penstock.core.workflow import Placeholder, Step, StepSource
from penstock.engine.feeds import Arrival, Feed
from penstock.engine.reuse import Found, Reuse
from penstock.engine.site import Site
from penstock.kinds import route
from penstock.rules.conditions import decide
from penstock.rules.filling import values_of
from penstock.rules.paths import fixed_path, item_path
from penstock.rules.placeholders import ValueFault, resolve, value_of
from penstock.store import fixtures
from penstock.store.derived import Sequence
from penstock.store.facts import spending_if_any
from penstock.store.journal import NO_ITEM, Taken
from penstock.store.layout import move
from penstock.store.targets import lost_claim

if TYPE_CHECKING:
    from penstock.kinds.asking import Asking

PAGE = 256
ROOTS = frozenset({"item", "i", "key", "origin", "chain", "env", "outputs", "steps", "run"})
COUNTED = ("accepted", "rejected", "failed", "skipped", "cached")
FAILED_FAST = f"{UNREAD}the step had failed before (fail_fast)"


class StepRun:
    """The live part of one step: everything else about it is in the journal."""

    def __init__(
        self,
        site: Site,
        step: Step,
        feed: Feed | None,
        sequence: Sequence,
        reuse: Reuse | None,
        chain: tuple[StepSource, ...],
        resumed: bool,
    ) -> None:
        """`chain` leads from this step's source up to the one that reads the root stream."""
        self.step = step
        self.step_no = site.steps[step.id]
        self.sequence = sequence
        self.paused = False
        self.expected: int | None = None
        self.broken: str | None = None
        self.held: list[str] = []
        self.exhausted_by: str | None = None
        self.given_back = 0
        self._untold: list[Outcome] = []
        self._site = site
        self._feed = feed
        self._reuse = reuse
        self._chain = chain
        self._resumed = resumed
        self._started = site.clock.monotonic()
        self._env = site.env_of(step)
        self._names = site.names.seen_by(step)
        above = [site.workflow.step(source.step) for source in chain]
        self._rules = step.spec if isinstance(step.spec, Route) and step.spec.chooser is None else None
        self._local = any(each.local for each in (step, *above))
        self._placing = () if self._local else tuple(site.steps[each.id] for each in above if _places(each))
        self._counts = self._counted() if resumed else dict.fromkeys(COUNTED, 0)
        self._flying = 0
        before = spending_if_any(site.journal.database, self.step_no, step.asks) if resumed else None
        self._spent, self._spent_any = before or Spending(), before is not None
        self._keeps_input = site.streamed(step.id)
        self._one_task = feed is None
        self.draining = step.fail_fast and self._too_many(None)

    # --- taking rows in ------------------------------------------------------------------------

    def next_task(self) -> Task | None:
        """The next task to carry out; None if no row is there now.

        Rows that need no command (skipped, reused, unreadable, sent to a branch by a rule) are settled on the way, up
        to a page of them: then `paused` is true, so that the loop can turn.
        """
        if self._one_task:
            self._one_task = False
            return self._take(Arrival(0, b"", None))
        for _ in range(PAGE):
            arrival = self._next_row()
            if arrival is None:
                self.paused = False
                return None
            task = self._take(arrival)
            if task is not None:
                return task
        self.paused = True
        return None

    @property
    def exhausted(self) -> bool:
        """Whether no row will come any more."""
        return not self._one_task and (self._feed is None or self._feed.ended or self.broken is not None)

    @property
    def has_ended(self) -> bool:
        """Whether every row has a verdict, and none will come: none is in flight, held, or given back for `resume`."""
        return self.exhausted and not (self._flying or self.held or self.given_back)

    @property
    def in_flight(self) -> int:
        """Tasks that were given out and have not come back."""
        return self._flying

    def _next_row(self) -> Arrival | None:
        """The next row; None if there is none now. Where the input cannot be read on, `broken` says why."""
        try:
            return self._feed.take() if self._feed is not None else None
        except OperatorError as error:
            self.broken = str(error)
            return None

    def _take(self, arrival: Arrival) -> Task | None:
        journal, no = self._site.journal, self.step_no
        digest = arrival.digest if self._feed is not None else NO_ITEM.digest
        known = journal.taken(no, arrival.index) if self._resumed else None
        if known is not None and known.digest != digest:
            raise OperatorError(
                f"row {arrival.index + 1} of step {self.step.id}'s input is not the row that this run read before",
                "start a new run, which reads the input as it is now",
            )
        if known is not None and (known.verdict is not None or self._held(known)):
            return None
        occurrence = known.occurrence if known else journal.occurrence(no, digest)
        item = Item(arrival.index, item_key(digest, occurrence), digest, arrival.text, arrival.fault)
        names = ItemNames(self._site, self._names, item, arrival.value, self._chain)
        # A row that is half taken in when this is cut off is one in flight, and is taken in again.
        number = (
            known.task_no if known else journal.start_task(no, item, occurrence, self._site.epoch, self._keeps_input)
        )
        whose = item if self._feed is not None else None
        spent, local = known.spent if known else 0, self._is_local(arrival.index)
        task = Task(self._site.run_id, self.step.id, number, whose, spent=spent, local=local)
        if known and known.epoch == 0:
            journal.begin_task(number, self._site.epoch)
        ready = self._ready(task, arrival, names)
        match ready:
            case Task():
                self._flying += 1
                return ready
            case Found(outcome, outcome_no):
                self._commit(outcome, 0, outcome_no)
            case Outcome():
                self._commit(ready, 0, None)
        return None

    def _is_local(self, index: int) -> bool:
        """Whether no model elsewhere may see the row: all of the step's, or this one by the choice of a rule above."""
        database = self._site.journal.database
        return self._local or any(database.one("kept_local", (no, index)) is not None for no in self._placing)

    def _held(self, known: Taken) -> bool:
        """Whether a task that was in flight when Penstock died must wait for a person's word."""
        if self.step.idempotent or known.epoch == 0:
            return False
        key = item_key(known.digest, known.occurrence)
        place = f"{self.step.id}:{key}" if self._feed is not None else self.step.id
        if place in self._site.redo:
            return False
        self.held.append(place)
        return True

    def _ready(self, task: Task, arrival: Arrival, names: ItemNames) -> Task | Outcome | Found:
        """The task with its values and files, or what becomes of it without a command."""
        if self.draining:
            why = f"{UNREAD}{self.exhausted_by}" if self.exhausted_by else FAILED_FAST
            return Outcome(task, Verdict.SKIPPED, reason=why)
        if arrival.fault is not None:
            return Outcome(task, Verdict.FAILED, reason=arrival.fault)
        asking = self._site.askings.get(self.step.id)
        try:
            skipped = self._where(names)
            if skipped is not None:
                return self._instead(task, names, skipped)
            if self._rules is not None:
                return route.by_rules(task, self._rules, names)
            task = self._seeing(task, names, asking) if asking is not None else self._filled(task, names)
        except (ConditionError, ValueFault, ValueError) as error:
            return Outcome(task, Verdict.FAILED, reason=str(error))
        found = self._reuse.find(task) if self._reuse is not None else None
        if found is not None:
            return found
        complaint = self._claim(task)
        return task if complaint is None else Outcome(task, Verdict.FAILED, reason=complaint)

    def _where(self, names: ItemNames) -> str | None:
        """Why the row is skipped; None if it is not."""
        if self.step.where is None:
            return None
        try:
            answer = decide(self.step.where, names)
        except ConditionError as error:
            raise ConditionError(f"where: {error}") from error
        return None if answer.value else f"where: {answer.shown}"

    def _instead(self, task: Task, names: ItemNames, reason: str) -> Outcome:
        """What becomes of a row for which `where` is false: it is skipped, or its `else` stands for its record."""
        if not self.step.otherwise:
            return Outcome(task, Verdict.SKIPPED, reason=reason)
        value = _otherwise(self.step, names)
        return Outcome(task, Verdict.ACCEPTED, record=Record(Form.JSON, compact(value).encode()), reason=reason)

    def _seeing(self, task: Task, names: ItemNames, asking: Asking) -> Task:
        """The task with what its templates and checks mention."""
        return replace(task, names={root: names[root] for root in asking.roots if root in ROOTS})

    def _filled(self, task: Task, names: ItemNames) -> Task:
        """The task with its placeholders' values and the paths of its own files."""
        script = self.step.script
        row_text = names.text if self._feed is not None else None
        values = values_of(script, names, row_text)

        def text_of(holder: Placeholder) -> str:
            return resolve(holder, names, row_text)

        per_item = [target for target in script.targets if target.per_item]
        paths = {target: item_path(target, self._env, text_of) for target in per_item}
        output = paths.get(script.output) if script.output else None
        if output is None and script.output is not None:
            output = fixed_path(script.output, self._env)
        json_output = output if output is not None and output.endswith(".json") else None
        return replace(
            task, values=tuple(values.items()), files=tuple(dict.fromkeys(paths.values())), output=json_output
        )

    def _claim(self, task: Task) -> str | None:
        """The task's files belong to it, or the sentence why they cannot."""
        site = self._site
        permit = site.permit_of(self.step)
        for path in task.files:
            there = os.path.lexists(os.path.join(site.layout.folder, path))
            if there and site.journal.database.one("file_claim", (site.run_no, path)) is None:
                lost = lost_claim(site.journal, site.layout, site.run_no, path)
                if not lost and not permit.replaces(path):
                    return (
                        f"{path} is there already and no Penstock run wrote it: "
                        f"move it away, or say `replace: [{path}]` in the step"
                    )
                move(site.layout.folder / path, (site.folder.failed if lost else site.folder.replaced) / path)
            complaint = site.journal.claim_file(site.run_no, self.step_no, task.number, path, "item")
            if complaint is not None:
                return complaint
        return None

    # --- verdicts ------------------------------------------------------------------------------

    def commit(self, outcome: Outcome) -> None:
        """The outcome of a task that was given out is in the journal and counted."""
        self._commit(outcome, 1, None)

    def give_back(self, task: Task) -> None:
        """A task that was given out and not begun is to be begun anew by `resume`."""
        self._site.journal.begin_task(task.number, 0)
        self._flying -= 1
        self.given_back += 1

    def told(self) -> list[Outcome]:
        """The outcomes since the last call, which the listener has not heard of."""
        told, self._untold = self._untold, []
        return told

    def _commit(self, outcome: Outcome, in_flight: int, reused: int | None) -> None:
        site = self._site
        fingerprint = self._reuse.fingerprint(outcome) if self._reuse is not None else None
        if outcome.verdict in (Verdict.REJECTED, Verdict.FAILED):
            run = {"run": site.run_id, "workflow": site.workflow.file.name}
            fixtures.keep(site.journal, site.layout.fixtures, self.step, self.step_no, run, outcome)
        site.journal.commit(site.run_no, self.step_no, outcome, fingerprint, reused)
        self._counts[outcome.verdict.value] += 1
        self._counts["cached"] += reused is not None or _bought_nothing(outcome)
        if outcome.bill is not None:
            self._spent, self._spent_any = self._spent.plus(_spending(outcome.bill)), True
        self._flying -= in_flight
        if outcome.verdict is Verdict.FAILED and self.step.fail_fast and self._too_many(None):
            self.draining = True
        self._untold.append(outcome)

    def exhaust(self, why: str) -> None:
        """Nothing of it may be begun any more: rows that are still to come are skipped, and the step fails."""
        self.draining = True
        self.exhausted_by = why

    def tally(self) -> Tally:
        """The accounting as it stands; `total` is known once the source has ended."""
        known = self.exhausted
        return Tally(total=self.done + self._flying if known else None, in_flight=self._flying, **self._counts)

    @property
    def done(self) -> int:
        """How many rows have a verdict."""
        return sum(self._counts[verdict.value] for verdict in Verdict)

    def view(self) -> StepView:
        """What the screens show of it."""
        seconds, tally = self._site.clock.monotonic() - self._started, self.tally()
        if tally.total is None:
            tally = replace(tally, total=self.expected)
        mapped = self.step.foreach is not None
        return StepView(self.step.id, StepState.RUNNING.value, None, mapped, tally, seconds, spent=self.spent)

    @property
    def spent(self) -> Spending | None:
        """What its model calls came to so far; None where neither the step nor its commands have asked any model."""
        return self._spent if self.step.asks or self._spent_any else None

    def too_many_failed(self) -> bool:
        """Whether more items failed than `max_failures` allows, now that all have ended."""
        return self._too_many(self.done)

    def _too_many(self, total: int | None) -> bool:
        allowed = self.step.max_failures
        if allowed.share is None:
            return self._counts["failed"] > allowed.count
        return bool(total) and self._counts["failed"] / (total or 1) > allowed.share

    def check(self) -> None:
        """BugError if a row was taken in and has no verdict, or the journal counts otherwise than we did."""
        kept, taken = self._counted(), self.tasks_taken()
        if kept != self._counts or taken != self.done:
            raise BugError(f"step {self.step.id}: {taken} rows in, {self._counts} counted, {kept} in the journal")

    def tasks_taken(self) -> int:
        """How many rows the journal says were taken in."""
        row = self._site.journal.database.one("tasks_taken", (self.step_no,))
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Nothing is held open."""
        if self._feed is not None:
            self._feed.close()
        self.sequence.close()

    def _counted(self) -> dict[str, int]:
        rows = self._site.journal.database.all("verdict_counts", {"step_no": self.step_no})
        reused = self._site.journal.database.one("reused_count", {"step_no": self.step_no})
        counts = {row["verdict"]: int(row["count"]) for row in rows}
        return dict.fromkeys(COUNTED, 0) | counts | {"cached": int(reused[0]) if reused else 0}


def _otherwise(step: Step, names: Mapping[str, object]) -> object:
    """The value that `else` names; ValueFault if there is none."""
    root, *path = step.otherwise
    return value_of(Placeholder(str(root), tuple(path), "else"), names)


def _bought_nothing(outcome: Outcome) -> bool:
    """Whether a model step's task was answered from the cache alone."""
    return outcome.bill is not None and outcome.bill.cached > 0 and not outcome.bill.sent


def _places(step: Step) -> bool:
    """Whether a rule of the step's keeps some of its rows from models elsewhere."""
    rules = step.spec.rules if isinstance(step.spec, (Generate, Route)) else ()
    return any(rule.local for rule in rules)


def _spending(bill: Bill) -> Spending:
    return Spending(bill.sent, bill.cost_micros or 0, int(bill.cost_micros is None))


class ItemNames(Mapping[str, object]):
    """The names of the run and, before them, those of one row. `origin` and `chain` are read when asked for."""

    def __init__(
        self, site: Site, names: Mapping[str, object], item: Item, value: object, chain: tuple[StepSource, ...]
    ) -> None:
        self._site = site
        self._names = names
        self._item = item
        self._value = value
        self._chain = chain

    @property
    def text(self) -> str:
        """The row's exact text; bytes that are no UTF-8 as lone surrogates."""
        return self._item.text.decode("utf-8", "surrogateescape")

    def __getitem__(self, name: str) -> object:
        match name:
            case "item":
                return self._value
            case "i":
                return self._item.index
            case "key":
                return self._item.key
            case "origin":
                return self._origin()
            case "chain":
                return {source.step: self._record(source.step) for source in self._chain}
            case _:
                return self._names[name]

    def __iter__(self) -> Iterator[str]:
        return iter(("item", "i", "key", "origin", "chain", *self._names))

    def __len__(self) -> int:
        return 5 + len(self._names)

    def _origin(self) -> object:
        if not self._chain:
            return self._value
        row = self._site.journal.database.one("task_input", (self._site.steps[self._chain[-1].step], self._item.index))
        text: bytes = row["input"] if row is not None and row["input"] is not None else b""
        try:
            return parse(text)
        except ValueError:
            return text.decode("utf-8", "surrogateescape")

    def _record(self, step_id: str) -> object:
        row = self._site.journal.database.one("outcome_at", (self._site.steps[step_id], self._item.index))
        if row is None or row["record"] is None:
            return None
        return parse(row["record"]) if row["form"] != "text" else row["record"].decode("utf-8", "surrogateescape")
