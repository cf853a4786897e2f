"""Model steps carried out as a run would, row by row, as far as bought answers go: nothing is sent, nothing is written.

It is the run's own way (`kinds`) with two doubles: a client that answers from the cache and stops at the first
question it has no answer to, and a recorder that keeps nothing. What an answer that is not bought yet would say is
`Unknown`, and so is a row that would be made of it: then the first answer counts as one that will do.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import cast

from penstock.api.asking import Cast
from penstock.api.bill.unknown import GIVEN, RECORD, UNKNOWN_ROOTS, Unknown, question_key
from penstock.api.clock import CLOCK
from penstock.api.masking import mask_key, masker_of
from penstock.core.calls import Answer, Call, Intent, Judgement, Request
from penstock.core.canon import compact, item_key, parse
from penstock.core.errors import ConditionError
from penstock.core.generation import Verify
from penstock.core.work import Attempt, Form, Item, Outcome, Task, Verdict
from penstock.core.workflow import FileSource, ListSource, Step, StepSource, Workflow
from penstock.engine.feeds import TAKEN_BY_BRANCH, Arrival
from penstock.engine.names import Names
from penstock.engine.step_run import ROOTS
from penstock.kinds.asking import Asking, prepare_asking
from penstock.kinds.permits import Permit, Permits
from penstock.kinds.registry import KINDS
from penstock.kinds.tools import Tools
from penstock.load.dotenv import read as read_dotenv
from penstock.models.budget import Budget
from penstock.models.client import Asked, Client, Manner, Whose, fingerprint
from penstock.models.guards import Guards
from penstock.models.limits import Limits
from penstock.models.transport import Transport
from penstock.rules.conditions import decide, references
from penstock.rules.secret_forms import SHORTEST
from penstock.store import items
from penstock.store.answer_file import decode
from penstock.store.answers import AnswerFiles
from penstock.store.database import Database
from penstock.store.layout import Layout
from penstock.store.seen import Seen


class Missed(Exception):
    """The question that would be sent next, and its key."""

    def __init__(self, request: Request, purpose: str, key: bytes) -> None:
        super().__init__(purpose)
        self.request = request
        self.purpose = purpose
        self.key = key


@dataclass(frozen=True, slots=True)
class Row:
    """One row that a step would take. Where it is not known, its value is `Unknown`, and rows that would be equal
    have equal texts all the same. `assumed`: it comes if an answer that is not bought yet will do;
    `possible`: it comes only if such an answer will not. `origin` and
    `chain` are as templates see them."""

    arrival: Arrival
    occurrence: int = 0
    known: bool = True
    assumed: bool = False
    possible: bool = False
    origin: object = None
    chain: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """What would become of a row. `outcome` is None if a call is sent for it: `missed` is the first one, None if its
    prompt is not known. `skipped` by `where`, or `faulty`: it fails without a call. `replayed` answers were bought.

    `key` is equal for rows that would ask the same: that of `missed`, or one that stands for it.
    """

    names: Mapping[str, object]
    outcome: Outcome | None = None
    missed: Missed | None = None
    key: bytes = b""
    skipped: bool = False
    faulty: bool = False
    replayed: int = 0

    @property
    def settled(self) -> bool:
        """Whether nothing would be bought."""
        return self.outcome is not None or self.skipped or self.faulty


class Rehearsal:
    """The model steps of one workflow, with the answers that are there."""

    def __init__(self, found: Cast, layout: Layout, database: Database | None) -> None:
        self._workflow: Workflow = found.workflow
        self._layout = layout
        environ = {name: value for name, value in os.environ.items() if name not in self._workflow.secrets}
        self._names = Names(self._workflow, environ, {})
        recorder = _Silent()
        store = _Bought(AnswerFiles(layout.cache, database, _unheard))
        transport = Transport(CLOCK, {}, layout.folder)
        guards = _guards(found, layout)
        client = Client(store, recorder, transport, found.endpoints, CLOCK, _zero, asyncio.sleep, _unheard, guards)
        self._dry = _Dry(client, found)
        self._askings = {
            step.id: prepare_asking(step, cast(Client, self._dry), recorder)
            for step in self._workflow.steps
            if step.asks
        }

    def asking(self, step: Step) -> Asking:
        """The step's templates and contract, compiled."""
        return self._askings[step.id]

    async def results(self, step: Step) -> AsyncIterator[tuple[Row, Found]]:
        """Each row that the step would take, and what would become of it. OperatorError if its file cannot be read."""
        asking, seen = self._askings[step.id], Seen()
        tools = self._tools(asking)
        try:
            async for row in self._rows(step):
                row = replace(row, occurrence=seen.before(row.arrival.digest))
                yield row, await self._result(step, asking, tools, row)
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
            case StepSource(above, branch):
                taken = TAKEN_BY_BRANCH[branch]
                async for row, found in self.results(self._workflow.step(above)):
                    for verdict, given in _below(self._workflow.step(above), row, found):
                        if verdict.value in taken:
                            yield given
                            break

    async def _result(self, step: Step, asking: Asking, tools: Tools, row: Row) -> Found:
        key = item_key(row.arrival.digest, row.occurrence)
        names = self._seen(step, row, key)
        if row.arrival.fault is not None:
            return Found(names, faulty=True)
        try:
            asked = step.where is not None and not _mentions_unknown(step.where, names)
            if asked and not decide(step.where or "", names).value:
                return Found(names, skipped=True)
        except ConditionError:
            return Found(names, faulty=True)
        unknown = any(isinstance(names.get(root), Unknown) for root in asking.roots)
        if unknown or (isinstance(step.spec, Verify) and not row.known):
            question = asking.question
            stands = question_key(step.id, question, names, row.arrival) if question is not None else b""
            return Found(names, key=stands)
        arrival = row.arrival
        item = Item(arrival.index, key, arrival.digest, arrival.text)
        whose = item if step.foreach is not None else None
        told = {root: names[root] for root in asking.roots if root in ROOTS}
        self._dry.replayed = 0
        try:
            task = Task("plan", step.id, 0, whose, names=told)
            outcome = await KINDS[type(step.spec)](task, step, 1, tools)
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
            recorder=_Silent(),
            clock=CLOCK,
            random=Random(0),
            pause=_no_pause,
            folder=folder,
            run=self._layout.run("plan"),
            slot=folder,
            environment={},
            permit=Permit(Permits(1)),
            asking=asking,
        )


def _root(row: items.Row) -> Row:
    return Row(Arrival(row.index, row.text, row.data, row.fault), origin=row.data)


def _mentions_unknown(condition: str, names: Mapping[str, object]) -> bool:
    mentioned = {each.root for each in references(condition, names=ROOTS)}
    return any(isinstance(names.get(root), Unknown) for root in mentioned)


# --- what a step below reads -------------------------------------------------------------------


def _below(above: Step, row: Row, found: Found) -> list[tuple[Verdict, Row]]:
    """What a step below would be given of a row, by its verdict: none of a skipped one, and of one whose verdict is not
    known yet what is assumed first, then what else may be."""
    if found.skipped:
        return []
    identity = row.arrival.digest + row.occurrence.to_bytes(8, "big")
    if not found.settled:
        return _undecided(above, row, found, identity)
    outcome = found.outcome
    if outcome is None or outcome.verdict is Verdict.FAILED or outcome.record is None:
        verdict = Verdict.FAILED if outcome is None else outcome.verdict
        return [(verdict, _failure(row, outcome, identity))]
    text = outcome.record.body
    record = text.decode("utf-8", "surrogateescape") if outcome.record.form is Form.TEXT else parse(text)
    passes_on = isinstance(above.spec, Verify)
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
    if isinstance(above.spec, Verify):
        return replace(row, arrival=replace(row.arrival, above=identity), assumed=True, chain=chain)
    unknown = Arrival(row.arrival.index, hashlib.sha256(found.key).digest(), RECORD, above=identity)
    return replace(row, arrival=unknown, known=False, assumed=True, chain=chain)


# --- the doubles -------------------------------------------------------------------------------


class _Dry:
    """A client that sends nothing: it raises `Missed` where another would send."""

    def __init__(self, client: Client, found: Cast) -> None:
        self.replayed = 0
        self._client = client
        self._endpoints = found.endpoints

    async def ask(self, request: Request, whose: Whose, manner: Manner) -> Asked:
        """The answer as it was bought; or the fault of a prompt that is sent to nobody, which has no key."""
        if manner.cache in ("off", "refresh"):
            raise Missed(request, whose.purpose, fingerprint(request, self._endpoints[request.model.name]))
        asked = await self._client.ask(request, whose, replace(manner, cache="only"))
        if not asked.calls and manner.cache != "only" and any(asked.key):
            raise Missed(request, whose.purpose, asked.key)
        self.replayed += len(asked.calls)
        return asked


class _Bought:
    """The cache, as it is: a file that is not whole stays where it is."""

    def __init__(self, files: AnswerFiles) -> None:
        self._files = files

    def get(self, key: bytes) -> Answer | None:
        """The answer that was bought for this key; None if there is none."""
        try:
            with open(self._files.path_of(key), "rb", buffering=0) as file:
                return decode(file.readall(), key)
        except (OSError, ValueError):
            return self._files.journalled(key)

    def put(self, key: bytes, request: Mapping[str, object], answer: Answer) -> None:
        """Nothing is bought, so nothing is kept."""


class _Silent:
    """Keeps nothing of what it is told."""

    def attempt_ended(self, task: Task, attempt: Attempt) -> None:
        """Nothing."""

    async def intent(self, intent: Intent) -> int:
        """Nothing is sent."""
        return 0

    async def ended(self, number: int, call: Call, answer: Answer | None) -> None:
        """Nothing was sent."""

    def replayed(self, call: Call) -> None:
        """Nothing."""

    def judged(self, task_no: int, attempt: int, key: bytes | None, contract: bytes, judgement: Judgement) -> None:
        """Nothing."""


def _guards(found: Cast, layout: Layout) -> Guards:
    """What masks the prompts, so that answers are found. Without the project's key none was ever masked; and no command
    and no keyring is asked for a secret."""
    if not (layout.root / "mask.key").exists():
        return Guards(Limits(CLOCK), Budget(CLOCK))
    file = found.workflow.folder / ".env"
    environ = {**(read_dotenv(file) if file.is_file() else {}), **os.environ}
    sources = (each.name for each in found.workflow.secret_sources if each.command is each.keyring is None)
    values = {name: environ[name] for name in sources if len(environ.get(name, "")) >= SHORTEST}
    return Guards(Limits(CLOCK), Budget(CLOCK), masker_of(layout, values, found.endpoints), mask_key(layout))


def _zero() -> float:
    return 0.0


async def _no_pause(seconds: float) -> None:
    """Time does not pass."""


def _unheard(text: str) -> None:
    """Nobody hears it."""
