"""Model steps carried out as a run would, row by row, as far as bought answers go: nothing is sent, nothing is written.

It is the run's own way (`kinds`) with two doubles: a client that answers from the cache and stops at the first
question it has no answer to, and a recorder that keeps nothing. What an answer that is not bought yet would say is
`Unknown`, and so is a row that would be made of it: then the first answer counts as one that will do.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import cast

from penstock.api.asking import Cast
from penstock.api.bill.dry import Dry, Missed, Silent, no_pause
from penstock.api.bill.reach import Reach, mentions_unknown, reach, rules_of
from penstock.api.bill.unknown import GIVEN, RECORD, UNKNOWN_ROOTS, Unknown, question_key
from penstock.api.clock import CLOCK
from penstock.core.canon import compact, item_key, parse
from penstock.core.errors import ConditionError
from penstock.core.generation import Generate, Verify
from penstock.core.routing import Branch, Choice, Route
from penstock.core.work import Form, Item, Outcome, Record, Task, Verdict
from penstock.core.workflow import FileSource, ListSource, Placeholder, Step, StepSource, Workflow
from penstock.engine.feeds import Arrival, taken_by
from penstock.engine.names import Names
from penstock.engine.step_run import ROOTS
from penstock.kinds.asking import Asking, prepare_asking
from penstock.kinds.permits import Permit, Permits
from penstock.kinds.registry import KINDS
from penstock.kinds.route import by_rules
from penstock.kinds.tools import Tools
from penstock.models.client import Client
from penstock.rules.conditions import decide
from penstock.rules.placeholders import ValueFault, value_of
from penstock.rules.routing import choose
from penstock.store import items
from penstock.store.database import Database
from penstock.store.layout import Layout
from penstock.store.seen import Seen


@dataclass(frozen=True, slots=True)
class Part:
    """What is asked about rows of a step: by the step itself, or by the step as one of its rules would have it."""

    step: Step
    asking: Asking


@dataclass(frozen=True, slots=True)
class Row:
    """One row that a step would take. Where it is not known, its value is `Unknown`, and rows that would be equal
    have equal texts all the same. `assumed`: it comes if an answer that is not bought yet will do, or if a condition
    holds that only the run can answer; `possible`: it comes only if such an answer will not do. `local`: no model
    elsewhere may see it. `origin` and `chain` are as templates see them."""

    arrival: Arrival
    occurrence: int = 0
    known: bool = True
    assumed: bool = False
    possible: bool = False
    local: bool = False
    origin: object = None
    chain: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """What would become of a row. `outcome` is None if a call is sent for it: `missed` is the first one, None if its
    prompt is not known. `skipped` by `where`, or `replaced` by an `else` that is not known yet, or `faulty`: it fails
    without a call. `replayed` answers were bought. `reach` are the rules that it may go by, None where it comes to no
    rules.

    `key` is equal for rows that would ask the same: that of `missed`, or one that stands for it.
    """

    names: Mapping[str, object]
    outcome: Outcome | None = None
    missed: Missed | None = None
    key: bytes = b""
    skipped: bool = False
    replaced: bool = False
    faulty: bool = False
    replayed: int = 0
    reach: Reach | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing would be bought."""
        return self.outcome is not None or self.skipped or self.replaced or self.faulty

    @property
    def left_out(self) -> bool:
        """Whether `where` is false, so that the step asks nothing of the row."""
        return self.skipped or self.replaced or (self.outcome is not None and not self.outcome.attempts)

    @property
    def sent_to(self) -> str | None:
        """The branch to which a `route` step sends the row; None where that is not known, or it is none."""
        return self.outcome.choice.to if self.outcome is not None and self.outcome.choice is not None else None


class Rehearsal:
    """The model steps of one workflow, with the answers that are there."""

    def __init__(self, found: Cast, layout: Layout, database: Database | None) -> None:
        self._workflow: Workflow = found.workflow
        self._layout = layout
        environ = {name: value for name, value in os.environ.items() if name not in self._workflow.secrets}
        self._names = Names(self._workflow, environ, {})
        self._dry = Dry(found, layout, database)
        asking = [step for step in self._workflow.steps if step.asks]
        self._askings = {step.id: self._prepared(step) for step in asking}
        self._parts = {step.id: self._parted(step) for step in asking}

    def asking(self, step: Step) -> Asking:
        """The step's templates and contract, compiled."""
        return self._askings[step.id]

    def parts(self, step: Step) -> tuple[Part, ...]:
        """What a model step asks: one part for each of its rules, in their order, or one for all of its rows."""
        return self._parts[step.id]

    def _prepared(self, step: Step) -> Asking:
        return prepare_asking(step, cast(Client, self._dry), Silent())

    def _parted(self, step: Step) -> tuple[Part, ...]:
        question = step.question
        if question is None or not question.rules:
            return (Part(step, self._askings[step.id]),)
        parts = []
        for rule in question.rules:
            asked = replace(question, models=rule.models, prompt=rule.prompt, system=rule.system, params=rule.params)
            ruled = replace(step, spec=replace(asked, rules=()), local=step.local or rule.local)
            parts.append(Part(ruled, self._prepared(ruled)))
        return tuple(parts)

    async def results(self, step: Step) -> AsyncIterator[tuple[Row, Found]]:
        """Each row that the step would take, and what would become of it. OperatorError if its file cannot be read."""
        seen = Seen()
        try:
            async for row in self._rows(step):
                yield await self._result(step, replace(row, occurrence=seen.before(row.arrival.digest)))
        finally:
            seen.close()

    async def _rows(self, step: Step) -> AsyncIterator[Row]:
        match step.foreach:
            case None:
                yield Row(Arrival(0, b"", None))
            case FileSource(path, format):
                for each in items.read(self._layout.folder / path, format):
                    yield _root(each)
            case ListSource(values):
                for each in items.rows_of_list(values):
                    yield _root(each)
            case StepSource(above_id, branch):
                above = self._workflow.step(above_id)
                taken, to = taken_by(branch)
                async for row, found in self.results(above):
                    if to is not None and not _may_go(above, found, to):
                        continue
                    for verdict, given in _below(above, row, found):
                        if verdict.value in taken:
                            yield replace(given, local=_is_local(above, row, found, to))
                            break

    async def _result(self, step: Step, row: Row) -> tuple[Row, Found]:
        """What would become of the row, and the row as it would then be known."""
        key = item_key(row.arrival.digest, row.occurrence)
        names = self._seen(step, row, key)
        arrival = row.arrival
        if arrival.fault is not None:
            return row, Found(names, faulty=True)
        item = Item(arrival.index, key, arrival.digest, arrival.text)
        task = Task("plan", step.id, 0, item if step.foreach is not None else None, local=row.local)
        try:
            if step.where is not None and mentions_unknown(step.where, names):
                row = replace(row, assumed=True)
            elif step.where is not None and not decide(step.where, names).value:
                return row, _instead(task, step, names)
        except (ConditionError, ValueFault):
            return row, Found(names, faulty=True)
        rules = rules_of(step)
        if not rules:
            return row, await self._asked(task, self._parts[step.id][0], row, names)
        reached = reach(rules, names)
        if isinstance(step.spec, Route):
            outcome = by_rules(task, step.spec, names) if reached.sure else None
            return row, Found(names, outcome, reach=reached)
        return row, replace(await self._ruled(task, step, reached, row, names), reach=reached)

    async def _ruled(self, task: Task, step: Step, reached: Reach, row: Row, names: Mapping[str, object]) -> Found:
        """What would become of a row of a `generate` step with rules."""
        parts = tuple(self._parts[step.id][number - 1] for number in reached.rules)
        if not reached.sure:
            return Found(names, key=_key_of(step, parts, row, names))
        if not parts:  # it fails, and says why
            return await self._asked(task, Part(step, self._askings[step.id]), row, names)
        found = await self._asked(task, parts[0], row, names)
        if found.outcome is None:
            return found
        return replace(found, outcome=replace(found.outcome, choice=_choice(step, names)))

    async def _asked(self, task: Task, part: Part, row: Row, names: Mapping[str, object]) -> Found:
        step, asking = part.step, part.asking
        unknown = not asking.rules and any(isinstance(names.get(root), Unknown) for root in asking.roots)
        if unknown or (isinstance(step.spec, Verify) and not row.known):
            return Found(names, key=_key_of(step, (part,), row, names))
        told = {root: names[root] for root in asking.roots if root in ROOTS}
        self._dry.replayed = 0
        try:
            outcome = await KINDS[type(step.spec)](replace(task, names=told), step, 1, self._tools(asking))
        except Missed as missed:
            return Found(names, missed=missed, key=missed.key, replayed=self._dry.replayed)
        return Found(names, outcome, replayed=self._dry.replayed)

    def _seen(self, step: Step, row: Row, key: str) -> dict[str, object]:
        chain: object = dict(row.chain)
        if any(isinstance(value, Unknown) for value in row.chain.values()):
            chain = RECORD
        own = {"item": row.arrival.value, "i": row.arrival.index, "key": key, "origin": row.origin, "chain": chain}
        return {**own, "env": self._names.seen_by(step)["env"], **dict.fromkeys(UNKNOWN_ROOTS, GIVEN)}

    def _tools(self, asking: Asking) -> Tools:
        folder = self._layout.folder
        return Tools(
            recorder=Silent(),
            clock=CLOCK,
            random=Random(0),
            pause=no_pause,
            folder=folder,
            run=self._layout.run("plan"),
            slot=folder,
            environment={},
            permit=Permit(Permits(1)),
            asking=asking,
        )


def _root(row: items.Row) -> Row:
    return Row(Arrival(row.index, row.text, row.data, row.fault), origin=row.data)


def _instead(task: Task, step: Step, names: Mapping[str, object]) -> Found:
    """What becomes of a row for which `where` is false (engine/step_run.py). ValueFault if its `else` names nothing."""
    if not step.otherwise:
        return Found(names, skipped=True)
    root, *path = step.otherwise
    if isinstance(names.get(str(root)), Unknown):
        return Found(names, replaced=True)
    value = value_of(Placeholder(str(root), tuple(path), "else"), names)
    return Found(names, Outcome(task, Verdict.ACCEPTED, record=Record(Form.JSON, compact(value).encode())))


def _choice(step: Step, names: Mapping[str, object]) -> Choice | None:
    """What the rules of a `generate` step choose for a row of which all is known that they ask for."""
    assert isinstance(step.spec, Generate)
    try:
        return choose(step.spec.rules, names)
    except ConditionError:
        return None


def _key_of(step: Step, parts: tuple[Part, ...], row: Row, names: Mapping[str, object]) -> bytes:
    """What stands for the question that one of the parts will ask: equal for rows that may ask the same."""
    told = []
    for part in parts:
        if part.asking.question is not None:
            asked = b"".join(model.name.encode() for model in part.asking.question.policy.models)
            told.append(question_key(step.id, part.asking.question, names, row.arrival, asked))
    return told[0] if len(told) == 1 else hashlib.sha256(b"".join(told)).digest() if told else b""


# --- what a step below reads -------------------------------------------------------------------


def _may_go(above: Step, found: Found, to: str) -> bool:
    """Whether a `route` step may send the row to that branch."""
    if found.outcome is not None or found.reach is None:
        return found.outcome is None or found.sent_to == to
    rules = rules_of(above)
    return any(isinstance(rule := rules[number - 1], Branch) and rule.to == to for number in found.reach.rules)


def _is_local(above: Step, row: Row, found: Found, to: str | None) -> bool:
    """Whether no model elsewhere may see the row from the step above on: if whatever rule it came by says so."""
    rules = [rules_of(above)[number - 1] for number in (found.reach.rules if found.reach is not None else ())]
    taken = [rule.local for rule in rules if not isinstance(rule, Branch) or to in (None, rule.to)]
    return row.local or above.local or (bool(taken) and all(taken))


def _below(above: Step, row: Row, found: Found) -> list[tuple[Verdict, Row]]:
    """What a step below would be given of a row, by its verdict: none of a skipped one, and of one whose verdict is not
    known yet what is assumed first, then what else may be."""
    if found.skipped:
        return []
    identity = row.arrival.digest + row.occurrence.to_bytes(8, "big")
    if found.replaced:
        instead = replace(_assumed(above, row, found, identity), assumed=row.assumed)
        return [(Verdict.ACCEPTED, instead)]
    if not found.settled:
        return _undecided(above, row, found, identity)
    outcome = found.outcome
    if outcome is None or outcome.verdict is Verdict.FAILED or outcome.record is None:
        verdict = Verdict.FAILED if outcome is None else outcome.verdict
        return [(verdict, _failure(row, outcome, identity))]
    text = outcome.record.body
    record = text.decode("utf-8", "surrogateescape") if outcome.record.form is Form.TEXT else parse(text)
    passes_on = isinstance(above.spec, (Verify, Route))
    given, value = (row.arrival.text, row.arrival.value) if passes_on else (text, record)
    arrival = Arrival(row.arrival.index, given, value, above=identity)
    return [(outcome.verdict, replace(row, arrival=arrival, chain={**row.chain, above.id: record}))]


def _undecided(above: Step, row: Row, found: Found, identity: bytes) -> list[tuple[Verdict, Row]]:
    assumed = _assumed(above, row, found, identity)
    failure = Arrival(row.arrival.index, assumed.arrival.text, GIVEN, above=identity)
    failed = replace(assumed, arrival=failure, known=False, assumed=True, possible=True)
    rejected = replace(assumed, possible=True) if isinstance(above.spec, Verify) else failed
    return [(Verdict.ACCEPTED, assumed), (Verdict.REJECTED, rejected), (Verdict.FAILED, failed)]


def _failure(row: Row, outcome: Outcome | None, identity: bytes) -> Row:
    """What a step below reads of an item without a record: its input, and `failure` (engine/feeds.py)."""
    index, text, given = row.arrival.index, row.arrival.text, row.arrival.value
    if outcome is None or not row.known:
        return replace(row, arrival=Arrival(index, text, RECORD, above=identity), known=False)
    last = outcome.attempts[-1] if outcome.attempts else None
    kind, number = (last.kind, last.number) if last is not None else (None, 0)
    failure = {"reason": outcome.reason, "kind": kind, "attempt": number}
    told = {**given, "failure": failure} if isinstance(given, dict) else {"input": given, "failure": failure}
    return replace(row, arrival=Arrival(index, compact(told).encode(), told, above=identity))


def _assumed(above: Step, row: Row, found: Found, identity: bytes) -> Row:
    """A row whose first answer is not bought yet, as if that would do. Rows with one question have one answer."""
    chain = {**row.chain, above.id: RECORD}
    if isinstance(above.spec, (Verify, Route)):
        return replace(row, arrival=replace(row.arrival, above=identity), assumed=True, chain=chain)
    stands = found.key or row.arrival.digest
    unknown = Arrival(row.arrival.index, hashlib.sha256(stands).digest(), RECORD, above=identity)
    return replace(row, arrival=unknown, known=False, assumed=True, chain=chain)
