"""A scripted model: what it is asked is kept, and what it answers is a script. With a store and a recorder in memory.

    room = ModelRoom(["no JSON", '{"ok": true}'])          # or a function of the request's body
    asked = room.ask(request("Is it so?"))
    assert room.prompts == ["Is it so?"]

It speaks OpenAI's protocol, so that requests are really built and responses really read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from penstock.core.calls import Answer, Call, Fault, FaultClass, Intent, Judgement, Message, Request, TransportKind
from penstock.core.canon import Json
from penstock.core.errors import Place
from penstock.core.generation import Contract, Generate, Judge, Schema, Template, Verify
from penstock.core.models import Model, Price
from penstock.core.work import Item, Outcome, Task
from penstock.core.workflow import Step
from penstock.kinds.asking import prepare_asking
from penstock.kinds.permits import Permit, Permits
from penstock.kinds.registry import KINDS
from penstock.kinds.tools import Tools
from penstock.load.settings import OF_A_MODEL_CALL
from penstock.models.client import Asked, Client, Manner, Whose
from penstock.models.transport import Transport
from penstock.models.wire import Endpoint, Hear, HttpRequest
from penstock.store.layout import Layout
from tests.doubles import BEGAN_AT, MemoryRecorder, TickingClock, item

HERE = Place("flow.yaml", 1, 1)
URL = "http://double/v1"
SMALL = Model("small", "openai", "small-1", base_url=URL)
LARGE = Model("large", "openai", "large-1", base_url=URL)
PRICED = Model("priced", "openai", "priced-1", base_url=URL, price=Price(Decimal(1), Decimal(2)))

Line = str | Answer | Fault
Script = Sequence[Line] | Callable[[Mapping[str, Any]], Line]


def said(
    text: str,
    finish: str = "stop",
    tokens: tuple[int, int] | None = (10, 5),
    refusal: str | None = None,
    logprobs: Sequence[float] = (),
) -> Answer:
    """A response that says this text; `tokens` are those in and out, None where the server does not tell."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice: dict[str, Any] = {"message": message, "finish_reason": finish}
    if logprobs:
        choice["logprobs"] = {"content": [{"token": "t", "logprob": each} for each in logprobs]}
    body: dict[str, Any] = {"model": "served-1", "choices": [choice]}
    if tokens is not None:
        body["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    return response(200, body)


def refused(text: str = "I will not.") -> Answer:
    """A response in which the model declines."""
    return said("", refusal=text)


def error(status: int, message: str, headers: Mapping[str, str] | None = None, **fields: str) -> Answer:
    """A response that tells of an error."""
    return response(status, {"error": {"message": message, **fields}}, headers)


def response(status: int, body: Json, headers: Mapping[str, str] | None = None) -> Answer:
    """A response with this JSON in it."""
    named = (("content-type", "application/json"), *(headers or {}).items())
    return Answer(status, named, json.dumps(body).encode(), BEGAN_AT, 0.1)


CUT = Fault(FaultClass.TRANSPORT, "the connection broke", TransportKind.CONNECTION)
TIMED_OUT = Fault(FaultClass.TRANSPORT, "no whole answer within 120 s", TransportKind.TIMEOUT, billed=True)
TOO_LONG = error(400, "maximum context length is 100 tokens", code="context_length_exceeded")
"""Things that go wrong."""


class ScriptedTransport(Transport):
    """Answers from a script instead of sending. A text is a whole response that says it.

    `bodies` are the requests as they came; `held` keeps every answer back until it is set.
    """

    def __init__(self, script: Script, clock: TickingClock, events: list[str]) -> None:
        super().__init__(clock)
        self.requests: list[HttpRequest] = []
        self.bodies: list[dict[str, Any]] = []
        self.in_flight = self.most_in_flight = 0
        self.held: asyncio.Event | None = None
        self._script = script if callable(script) else _in_turn(script)
        self._events = events

    async def send(self, request: HttpRequest, timeout_s: float, hear: Hear | None = None) -> Answer | Fault:
        """What the script says next."""
        self.requests.append(request)
        body = json.loads(request.body)
        self.bodies.append(body)
        self._events.append("sent")
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await (self.held.wait() if self.held is not None else asyncio.sleep(0))
        self.in_flight -= 1
        line = self._script(body)
        return said(line) if isinstance(line, str) else line


def _in_turn(lines: Sequence[Line]) -> Callable[[Mapping[str, Any]], Line]:
    left = iter(lines)

    def line(body: Mapping[str, Any]) -> Line:
        following = next(left, None)
        assert following is not None, f"the script has ended, and this was asked: {body['messages'][-1]['content']}"
        return following

    return line


class MemoryStore:
    """An AnswerStore in a dictionary. `described` has the request of each answer, as a person would read it."""

    def __init__(self, events: list[str]) -> None:
        self.answers: dict[bytes, Answer] = {}
        self.described: dict[bytes, Mapping[str, object]] = {}
        self._events = events

    def get(self, key: bytes) -> Answer | None:
        """The answer of this key."""
        return self.answers.get(key)

    def put(self, key: bytes, request: Mapping[str, object], answer: Answer) -> None:
        """The answer has this key from now on."""
        self._events.append("kept")
        self.answers[key] = answer
        self.described[key] = request


class MemoryCallRecorder:
    """A CallRecorder that keeps what it is told. What it is told is durable a turn of the loop later."""

    def __init__(self, events: list[str]) -> None:
        self.intents: list[Intent] = []
        self.ends: list[tuple[Call, Answer | None]] = []
        self.replays: list[Call] = []
        self.judgements: list[tuple[int, bytes | None, Judgement]] = []
        self.signals: list[Mapping[str, Json] | None] = []
        self._events = events

    async def intent(self, intent: Intent) -> int:
        """Kept in `intents`."""
        await asyncio.sleep(0)
        self.intents.append(intent)
        self._events.append("intent durable")
        return len(self.intents)

    async def ended(self, number: int, call: Call, answer: Answer | None) -> None:
        """Kept in `ends`."""
        assert self.intents[number - 1] == call.intent
        await asyncio.sleep(0)
        self.ends.append((call, answer))
        self._events.append("answer durable")

    def bought(self, key: bytes) -> Answer | None:
        """Nothing: each question is one of a run of its own."""
        return None

    def replayed(self, call: Call) -> None:
        """Kept in `replays`."""
        self.replays.append(call)
        self._events.append("replayed")

    def judged(
        self,
        task_no: int,
        attempt: int,
        key: bytes | None,
        contract: bytes,
        judgement: Judgement,
        signals: Mapping[str, Json] | None = None,
    ) -> None:
        """Kept in `judgements`, and its `signals`."""
        self.judgements.append((attempt, key, judgement))
        self.signals.append(signals)
        self._events.append("judged")


class ModelRoom:
    """A client with a scripted model behind it; what it notes, how long it pauses, and what happened in which order.

    Waits are as long as they may be, and take no time.
    """

    def __init__(self, script: Script, store: MemoryStore | None = None) -> None:
        self.events: list[str] = []
        self.notes: list[str] = []
        self.pauses: list[float] = []
        self.clock = TickingClock()
        self.store = store or MemoryStore(self.events)
        self.recorder = MemoryCallRecorder(self.events)
        self.transport = ScriptedTransport(script, self.clock, self.events)
        endpoints = {model.name: Endpoint(URL) for model in (SMALL, LARGE, PRICED)}
        parts = (self.store, self.recorder, self.transport, endpoints, self.clock, lambda: 1.0)
        self.client = Client(*parts, self.pause, self.notes.append)

    async def pause(self, seconds: float) -> None:
        """The time has passed."""
        self.pauses.append(seconds)
        self.clock.pass_by(seconds)
        await asyncio.sleep(0)

    # --- the client ----------------------------------------------------------------------------

    def ask(self, asked: Request, cache: str = "use", tries: Mapping[str, int] | None = None) -> Asked:
        """What comes of one question."""
        return asyncio.run(self.client.ask(asked, Whose(1, 1), Manner(120.0, cache, tries or {})))

    # --- a step --------------------------------------------------------------------------------

    def perform(
        self, spec: Generate | Verify, folder: Path, names: Json = None, text: bytes = b"", local: bool = False
    ) -> Outcome:
        """What becomes of one item, `{"text": "a row"}` if nothing else is said; `text` is the row's own."""
        value: Json = {"text": "a row"} if names is None else names
        row = item(0, text or json.dumps(value).encode())
        return asyncio.run(self.performing(spec, folder, row, {"item": value}, local))

    async def performing(
        self, spec: Generate | Verify, folder: Path, row: Item, names: Mapping[str, object], local: bool = False
    ) -> Outcome:
        """The same, inside a loop, of a row with these names; with `local` no model elsewhere may see it."""
        step = Step("a", spec, HERE, retry=OF_A_MODEL_CALL.retry)
        layout = Layout(folder)
        tools = Tools(
            recorder=MemoryRecorder(),
            clock=self.clock,
            random=Random(1),
            pause=self.pause,
            folder=folder,
            run=layout.run("r1"),
            slot=folder,
            environment={},
            permit=Permit(Permits(1)),
            asking=prepare_asking(step, self.client, self.recorder),
        )
        return await KINDS[type(spec)](Task("r1", "a", 1, row, names=names, local=local), step, 1, tools)

    # --- what was asked ------------------------------------------------------------------------

    @property
    def prompts(self) -> list[str]:
        """The last message of each request."""
        return [body["messages"][-1]["content"] for body in self.transport.bodies]

    @property
    def models(self) -> list[str]:
        """Which model each request was for, by the provider's name."""
        return [body["model"] for body in self.transport.bodies]

    def turns(self, number: int) -> list[tuple[str, str]]:
        """Role and text of each message of a request, the first of which is number 0."""
        return [(turn["role"], turn["content"]) for turn in self.transport.bodies[number]["messages"]]


def request(prompt: str = "Is it so?", model: Model = SMALL, **fields: Any) -> Request:
    """A question of one user message."""
    return Request(model, (Message("user", prompt),), fields.pop("params", {}), **fields)


def generate(*models: Model, prompt: str = "Say it of {{ item.text }}.", **fields: Any) -> Generate:
    """A `generate` step with these models (`small` if none), and no contract if none is given."""
    return Generate(models or (SMALL,), template(prompt), fields.pop("contract", Contract()), **fields)


def contract(schema: Mapping[str, Any] | None = None, *checks: str, judge: Judge | None = None) -> Contract:
    """A contract of a schema, checks and a judge."""
    return Contract(Schema(dict(schema), None, HERE) if schema is not None else None, checks, judge)


def judge(*models: Model, passes: str = "score >= 4", **fields: Any) -> Judge:
    """A judge with a rubric that shows the answer."""
    return Judge(models or (LARGE,), template("Is {{ output }} true?"), passes, **fields)


def template(text: str) -> Template:
    """A template that stands in the workflow."""
    return Template(text, None, HERE)
