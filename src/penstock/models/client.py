"""One question to one model: from the cache if it was bought before, else sent, kept, and only then read.

    mask -> key -> bought before? -> being asked by somebody?
      -> reserve -> wait for the server's limits -> intent -> send -> keep the raw answer -> settle -> read
            ^---- wait, while the transport is at fault

What was paid for is durable before anybody looks at it, and is found again by the fingerprint of its request.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field

from penstock.core.calls import (
    Answer,
    Call,
    Cost,
    CostStatus,
    Fault,
    FaultClass,
    Intent,
    Reply,
    Request,
    TransportKind,
)
from penstock.core.canon import Json, canonical
from penstock.core.models import Model
from penstock.core.seams import AnswerStore, CallRecorder, Clock
from penstock.models.adapters import ADAPTERS
from penstock.models.guards import Guards, overrun_sentence, unguarded
from penstock.models.limits import Closed, longest_s
from penstock.models.pricing import cost_of
from penstock.models.sim.adapter import SEND_HEADER
from penstock.models.transport import Transport
from penstock.models.wire import Adapter, Built, Endpoint, Hear, HttpRequest
from penstock.rules.waits import SENDS, Setback, wait_s
from penstock.rules.worst_case import Worst, used

_LASTING = frozenset({FaultClass.OVERFLOW, FaultClass.REFUSED})
KEY_VERSION = 1
"""Goes up when equal requests would get other keys: what was bought before is then not found any more."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Which task of which step asks, in which attempt of its loop (from 1), and what for (`Intent.purpose`)."""

    task_number: int
    attempt: int
    purpose: str = "answer"
    step_id: str = ""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a step wants to be served: the time for one send, the cache mode, how often each kind of fault is tried.

    Kinds that `tries` does not name share `sends`, the first one included. `at_once` is the step's own word on how many
    may be in flight, None where it has none; with `mask`, key formats are masked in what goes elsewhere.
    """

    timeout_s: float
    cache: str = "use"
    tries: Mapping[str, int] = field(default_factory=dict)
    sends: int = SENDS
    at_once: int | None = None
    mask: bool = True


@dataclass(frozen=True, slots=True)
class Passing:
    """A request that somebody else wrote, to be passed on in its own words. `adapter` builds and reads those.

    `request` stands for it where costs and limits are reckoned: its model, parameters and sample number. `told` is what
    tells it from every other request to the same address, the sample number aside. `hear` gets the parts of a good
    response as they come over the network: once it has, nothing is sent again.
    """

    request: Request
    adapter: Adapter
    endpoint: Endpoint
    told: Mapping[str, Json]
    hear: Hear | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    """A request on its way, whoever wrote it, with its key and how it is read in a cached answer's file."""

    request: Request
    adapter: Adapter
    endpoint: Endpoint
    key: bytes
    described: Mapping[str, Json]
    hear: Hear | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a question: the reply, or why there is none; its key; and every send, or the one replay."""

    result: Reply | Fault
    key: bytes
    calls: tuple[Call, ...] = ()
    answer: Answer | None = None


class Client:
    """Asks models. One for a run: equal requests that are in flight at once are sent once."""

    def __init__(
        self,
        store: AnswerStore,
        recorder: CallRecorder,
        transport: Transport,
        endpoints: Mapping[str, Endpoint],
        clock: Clock,
        draw: Callable[[], float],
        pause: Callable[[float], Awaitable[object]],
        note: Callable[[str], None],
        guards: Guards | None = None,
    ) -> None:
        """`endpoints` are those of the models, by name; `draw` gives numbers from 0 to 1 for the waits between sends;
        `note` hears once what a person should know, such as a parameter that a model does not take."""
        self._store = store
        self._recorder = recorder
        self._transport = transport
        self._endpoints = endpoints
        self._clock = clock
        self._draw = draw
        self._pause = pause
        self._note = note
        self._guards = guards or unguarded(clock)
        self._dropped: dict[str, frozenset[str]] = {}
        self._flying: dict[bytes, asyncio.Future[Asked | None]] = {}
        self._said: set[str] = set()

    def address(self, model: Model) -> str:
        """Where the model is asked: its server's address, or `sim:` or `python:`."""
        return self._endpoints[model.name].url

    async def ask(
        self,
        request: Request,
        whose: Whose,
        manner: Manner,
        endpoint: Endpoint | None = None,
        judged_here: bool = True,
    ) -> Asked:
        """The reply, or why there is none. Raises what the journal does (the run cannot go on then), and Exhausted
        where a budget has no room for the call. `endpoint` is where a model is that is none of those at hand.

        Where nobody holds an old answer against today's schema (`judged_here` false), the schema tells requests apart.
        """
        endpoint = endpoint or self._endpoints[request.model.name]
        concealed = self._guards.concealed(request, endpoint, manner.mask)
        if isinstance(concealed, Fault):
            return Asked(concealed, bytes(32))
        adapter = ADAPTERS[concealed.model.provider]
        key = fingerprint(concealed, endpoint)
        if not judged_here and concealed.schema is not None:
            key = hashlib.sha256(key + canonical(concealed.schema)).digest()
        return await self._answered(_Question(concealed, adapter, endpoint, key, described(concealed)), whose, manner)

    async def relay(self, passing: Passing, whose: Whose, manner: Manner) -> Asked:
        """As `ask`, for a request that somebody else wrote, its secrets masked (`Guards.concealed_value`)."""
        request, endpoint = passing.request, passing.endpoint
        told = {**passing.told, "version": KEY_VERSION, "url": endpoint.url, "sample": request.sample}
        key = hashlib.sha256(canonical(told)).digest()
        said = {"provider": request.model.provider, "model": request.model.served, **passing.told}
        return await self._answered(
            _Question(request, passing.adapter, endpoint, key, said, passing.hear), whose, manner
        )

    async def _answered(self, question: _Question, whose: Whose, manner: Manner) -> Asked:
        bought = self._bought(question.key, manner.cache)
        replayed = self._replayed(question, bought, whose) if bought is not None else None
        if replayed is not None:
            return replayed
        if manner.cache == "only":
            why = "its answer is not in the cache, and `cache: only` buys none"
            return Asked(Fault(FaultClass.DENIED, why), question.key)
        if manner.cache == "off":
            return await self._sent(question, whose, manner)
        return await self._once(question, whose, manner)

    def _bought(self, key: bytes, cache: str) -> Answer | None:
        """The answer that may be used; with `refresh` only one that this very run has bought."""
        match cache:
            case "use" | "only":
                return self._store.get(key)
            case "refresh":
                return self._recorder.bought(key)
        return None

    def _replayed(self, question: _Question, answer: Answer, whose: Whose) -> Asked | None:
        """The answer as it was bought; the call log tells that nothing was sent. None for a response that answers
        nothing: the journal has those too."""
        result = question.adapter.parse(question.request, answer)
        if not _is_an_answer(result):
            return None
        intent = self._intent(question, whose, 1)
        call = self._call(intent, result, Cost(0, CostStatus.EXACT), answer.status)
        self._recorder.replayed(call)
        return Asked(result, question.key, (call,), answer)

    async def _once(self, question: _Question, whose: Whose, manner: Manner) -> Asked:
        """Sent by the first who asks; whoever asks meanwhile gets what that one gets."""
        key = question.key
        while key in self._flying:
            first = await asyncio.shield(self._flying[key])
            if first is None:
                continue
            if first.answer is None:
                return Asked(first.result, key)
            replayed = self._replayed(question, first.answer, whose)
            if replayed is not None:
                return replayed
        future: asyncio.Future[Asked | None] = asyncio.get_running_loop().create_future()
        self._flying[key] = future
        asked = None
        try:
            asked = await self._sent(question, whose, manner)
            return asked
        finally:
            del self._flying[key]
            future.set_result(asked)

    # --- sending -------------------------------------------------------------------------------

    async def _sent(self, question: _Question, whose: Whose, manner: Manner) -> Asked:
        """Sent until there is an answer, or a fault that no other send would mend."""
        request, first = question.request, _FirstPart(question.hear)
        calls: list[Call] = []
        setbacks: list[Setback] = []
        denied, waited_s = 0, 0.0
        while True:
            dropped = self._dropped.get(request.model.name, frozenset())
            asked = await self._send(question, whose, manner, dropped, calls, waited_s, first)
            fault = asked.result
            if isinstance(fault, Reply) or first.heard:
                return asked
            if fault.param is not None and fault.param not in dropped:
                self._drop(request, fault.param, fault.message)
                continue
            kind = fault.kind if fault.cls is FaultClass.TRANSPORT else None
            if kind is not None:
                setbacks.append(Setback(kind, fault.retry_after_s))
                budgets = {word: manner.tries[word.value] for word in TransportKind if word.value in manner.tries}
                wait = wait_s(setbacks, self._draw(), budgets, longest_s(request.model), manner.sends)
            else:
                denied += 1
                again = fault.cls is FaultClass.DENIED and denied < manner.tries.get("denied", 1)
                budget = {TransportKind.SERVER: denied + 1}
                wait = wait_s([Setback(TransportKind.SERVER)] * denied, self._draw(), budget) if again else None
            if wait is None:
                return asked
            paused_at = self._clock.monotonic()
            await self._pause(wait)
            waited_s = self._clock.monotonic() - paused_at

    async def _send(
        self,
        question: _Question,
        whose: Whose,
        manner: Manner,
        dropped: frozenset[str],
        calls: list[Call],
        waited_s: float,
        first: _FirstPart,
    ) -> Asked:
        """One send: the intent durable before it, the raw answer durable after it. `calls` gets the call."""
        request, adapter, endpoint, key = question.request, question.adapter, question.endpoint, question.key
        guards = self._guards
        built = adapter.build(request, endpoint, dropped)
        self._tell_lowered(request, built)
        body = built.http.body
        worst = guards.worst(request, body, dropped, self._clock.now())
        with await guards.budget.reserve(whose.step_id, worst) as held:
            limiter = guards.limits.limiter_of(request.model, endpoint, whose.step_id, manner.at_once)
            permit = await limiter.enter(guards.estimate(request, body), longest_s(request.model))
            if isinstance(permit, Closed):
                return Asked(_shut(permit), key, tuple(calls))
            result: Reply | Fault | None = None
            answer: Answer | None = None
            try:
                intent = self._intent(question, whose, len(calls) + 1, worst)
                number = await self._recorder.intent(intent)
                held.sent()
                began = self._clock.monotonic()
                hear = first if question.hear is not None else None
                got = await self._transport.send(_numbered(built.http, intent.send), manner.timeout_s, hear)
                elapsed_s = got.elapsed_s if isinstance(got, Answer) else self._clock.monotonic() - began
                answer = guards.answer(got) if isinstance(got, Answer) else None
                result = guards.fault(got) if isinstance(got, Fault) else adapter.parse(request, answer or got)
            finally:
                self._tell(limiter.left(permit, result, answer))
            cost = cost_of(request, result, self._clock.now())
            status, waited_s = (answer.status if answer else None), waited_s + permit.waited_s
            call = self._call(intent, result, cost, status, elapsed_s, waited_s, cached=False)
            await self._recorder.ended(number, call, answer)
            over = held.settle(*used(call))
        if over is not None:
            self._note(overrun_sentence(request.model.name, over))
        guards.learned(request, body, call)
        calls.append(call)
        kept = answer if answer is not None and _is_an_answer(result) else None
        if kept is not None and manner.cache != "off":
            self._store.put(key, question.described, kept)
        return Asked(result, key, tuple(calls), kept)

    def _tell(self, sentence: str | None) -> None:
        if sentence is not None:
            self._note(sentence)

    def _drop(self, request: Request, param: str, said: str) -> None:
        """The model does not take the parameter: it is left out from now on, and that is said."""
        name = request.model.name
        known = self._dropped.get(name, frozenset())
        if param not in known:  # of requests in flight together, each comes here, with words of its own
            self._dropped[name] = known | {param}
            self._note(f"{name} does not take `{param}`, so it is left out ({said})")

    def _tell_lowered(self, request: Request, built: Built) -> None:
        if built.lowered:
            told = "; ".join(built.lowered)
            self._once_said(f"{request.model.name} is not asked for all of the schema, which is enforced here: {told}")

    def _once_said(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self._note(sentence)

    def _intent(self, question: _Question, whose: Whose, send: int, worst: Worst | None = None) -> Intent:
        model, key, now = question.request.model, question.key, self._clock.now()
        number, attempt, purpose = whose.task_number, whose.attempt, whose.purpose
        most = (worst.tokens, worst.micros) if worst is not None else (None, None)
        return Intent(number, attempt, send, purpose, key, model.name, model.provider, now, *most)

    def _call(
        self,
        intent: Intent,
        result: Reply | Fault,
        cost: Cost,
        status: int | None,
        elapsed_s: float = 0.0,
        waited_s: float = 0.0,
        cached: bool = True,
    ) -> Call:
        served = result.served if isinstance(result, Reply) else None
        fault = result if isinstance(result, Fault) else None
        return Call(intent, served, result.usage, cost, fault, status, elapsed_s, waited_s, cached)


class _FirstPart:
    """Passes the parts of a response on, and remembers that there was one."""

    __slots__ = ("_hear", "heard")

    def __init__(self, hear: Hear | None) -> None:
        self._hear = hear
        self.heard = False

    def __call__(self, part: bytes) -> None:
        self.heard = True
        if self._hear is not None:
            self._hear(part)


def _shut(closed: Closed) -> Fault:
    """Why nothing was sent: the server asked for a longer wait than there may be."""
    return Fault(FaultClass.TRANSPORT, closed.why, TransportKind.RATE_LIMIT, retry_after_s=closed.left_s)


def fingerprint(request: Request, endpoint: Endpoint) -> bytes:
    """The SHA-256 of the whole request, 32 bytes.

    Left out are the output schema, so that a changed one is tried on what was bought already, the credential, and
    a token limit that Penstock chose; one that it raised after a truncated answer counts, or that answer would come
    again. A simulated model is another model with other rates or another window.
    """
    told = described(request) | {"version": KEY_VERSION, "url": endpoint.url, "sample": request.sample}
    if request.model.provider == "sim":
        told["rates"] = asdict(request.model.rates) | {"latency_s": None}
        told["context_tokens"] = request.model.context_tokens
    return hashlib.sha256(canonical(told)).digest()


def described(request: Request) -> dict[str, Json]:
    """The request as a person reads it in a cached answer's file."""
    raised = {"max_tokens": request.max_tokens} if request.raised else {}
    return {
        "provider": request.model.provider,
        "model": request.model.served,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "params": dict(request.params) | raised,
    }


def _numbered(http: HttpRequest, send: int) -> HttpRequest:
    """The simulator draws its faults anew for each send, so it is told which one this is."""
    if not http.url.startswith("sim:"):
        return http
    return HttpRequest(http.url, (*http.headers, (SEND_HEADER, str(send))), http.body)


def _is_an_answer(result: Reply | Fault) -> bool:
    """Whether the response says something that was paid for, or that would be said again: it is not asked for twice."""
    return isinstance(result, Reply) or result.usage is not None or result.cls in _LASTING
