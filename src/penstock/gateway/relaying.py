"""From what a command's client said to what it hears: by way of the cache, the budget, the limits and the journal.

    who may ask -> whom -> masked -> (own words | translated) -> client.relay | client.ask -> told, or heard as it comes

The command may die at any moment. The call goes on without it: what was paid for is kept, and is charged to it.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from penstock.core.calls import Answer, Fault, FaultClass, Reply, TransportKind
from penstock.core.errors import PenstockError
from penstock.core.models import Model
from penstock.core.seams import Clock
from penstock.gateway.listing import listed
from penstock.gateway.passes import Holder
from penstock.gateway.passing_on import is_free, passing
from penstock.gateway.protocols.calls import outbound
from penstock.gateway.protocols.shape import (
    NO_RETRY,
    Inbound,
    Kind,
    Listener,
    Speaks,
    Stamp,
    Told,
    Translated,
    Untranslatable,
    Wrong,
)
from penstock.gateway.streams import EVENT_STREAM, NDJSON
from penstock.gateway.upstreams import Upstreams
from penstock.models.budget import Exhausted
from penstock.models.client import Asked, Client, Manner, Whose
from penstock.models.guards import Guards
from penstock.models.wire import Hear
from penstock.rules.hosts import refused_host
from penstock.rules.placement import is_local, told_elsewhere
from penstock.rules.restoring import restored, restored_lines
from penstock.rules.secrets import Masker
from penstock.rules.worst_case import Unbounded

TIMEOUT_S = 600.0
"""How long one send may take where the step says nothing: what the providers' own clients wait."""

LAST_S = 10.0
"""How long a run that ends waits for calls whose commands have died."""

_JSON = (("content-type", "application/json"),)
_NOT_PASSED = ("date", "content-length", "x-should-retry")
_TRIED_NEXT = frozenset({FaultClass.TRANSPORT, FaultClass.DENIED, FaultClass.REFUSED, FaultClass.OVERFLOW})


@dataclass(frozen=True, slots=True)
class Live:
    """A response that is still coming: its head, and its parts."""

    headers: tuple[tuple[str, str], ...]
    parts: AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True)
class _Ended:
    """What a call came to: a response that the client gets as it is, or what went wrong on the way."""

    told: Told | None = None
    wrong: tuple[Wrong, str] | None = None


class Relaying:
    """Carries the calls of commands. One for a run, in one event loop."""

    def __init__(self, client: Client, guards: Guards, upstreams: Upstreams, clock: Clock, cache: str = "use") -> None:
        self._client = client
        self._guards = guards
        self._upstreams = upstreams
        self._clock = clock
        self._cache = cache
        self._going: set[asyncio.Task[_Ended]] = set()

    async def answer(self, holder: Holder, inbound: Inbound, speaks: Speaks, again: bool) -> Told | Live:
        """What the client hears; `again` tells that it marked the call as a further try."""
        if not inbound.asked.stream:
            going = self._spawn(holder, self._carried(holder, inbound, speaks, again))
            return _said(await asyncio.shield(going), speaks)
        stream = _Stream(speaks.listener(inbound), partial(self._restored, restored_lines))
        going = self._spawn(holder, self._carried(holder, inbound, speaks, again, stream.hear))
        going.add_done_callback(lambda _: stream.end())
        first = await stream.parts.get()
        if first is None:
            return _said(going.result(), speaks)
        return Live(_stream_headers(inbound), _heard(first, stream, going, speaks))

    async def close(self) -> None:
        """No call is in flight: what was is waited for, so that its answer is kept; but not for long, for nobody is
        there to hear it. One that is given up has no end in the journal, and what it may have cost stays exposed."""
        if self._going:
            _, left = await asyncio.wait(self._going, timeout=LAST_S)
            for call in left:
                call.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _spawn(self, holder: Holder, call: Coroutine[Any, Any, _Ended]) -> asyncio.Task[_Ended]:
        """The call, which goes on whatever becomes of its client."""
        task = asyncio.ensure_future(call)
        self._going.add(task)
        holder.flying.add(task)
        task.add_done_callback(self._going.discard)
        task.add_done_callback(holder.flying.discard)
        return task

    # --- one call ------------------------------------------------------------------------------

    async def _carried(
        self, holder: Holder, inbound: Inbound, speaks: Speaks, again: bool, hear: Hear | None = None
    ) -> _Ended:
        """The call, carried to whoever can answer it. A budget without room and a journal that cannot be written are
        errors to the client, with the reason; the run itself learns of a journal's at its next word to it."""
        try:
            return await self._asked(holder, inbound, speaks, again, hear)
        except Exhausted as error:
            if error.caps.when_exceeded == "pause":
                holder.exhausted = str(error)
            return _Ended(wrong=(Wrong.BUDGET, f"Penstock's budget is used up: {error}"))
        except Unbounded as error:
            return _Ended(wrong=(Wrong.BUDGET, f"Penstock does not send this: {error}"))
        except PenstockError as error:
            return _Ended(wrong=(Wrong.INTERNAL, f"Penstock cannot go on: {error}"))

    async def _asked(self, holder: Holder, inbound: Inbound, speaks: Speaks, again: bool, hear: Hear | None) -> _Ended:
        if inbound.kind is Kind.MODELS and self._upstreams.only_named(inbound.protocol):
            found = listed(inbound, [*self._upstreams.named])
            return _Ended(found, (Wrong.NOT_FOUND, f"the workflow names no model for {inbound.path}"))
        models = self._models(holder, inbound)
        if isinstance(models, _Ended):
            return models
        ended = _Ended(wrong=(Wrong.UNREACHABLE, "no model can be asked"))
        number = holder.sample(_spelled(inbound), again)
        for place, model in enumerate(models):
            lack = self._upstreams.lack(model)
            if lack is not None:
                ended = _Ended(wrong=(Wrong.UNAUTHORIZED, f"{model.name} cannot be asked: {lack}"))
                continue
            by_itself = model.provider == inbound.protocol
            carry = self._relayed if by_itself else self._translated
            last = place + 1 == len(models)
            ended, more = await carry(holder, inbound, speaks, model, number, hear if last else None)
            if not more:
                break
        return ended

    def _models(self, holder: Holder, inbound: Inbound) -> tuple[Model, ...] | _Ended:
        """Who may be asked; what may not leave this machine is asked of nobody elsewhere."""
        name, upstreams = inbound.asked.model or "", self._upstreams
        models = upstreams.asked(inbound.protocol, name)
        if holder.local:
            here = self._local(models) or self._local(upstreams.own(inbound.protocol, name))
            if not here:
                where = told_elsewhere(models, lambda model: upstreams.endpoint(model).url)
                return _Ended(wrong=(Wrong.FORBIDDEN, f"this item is `placement: local`, and {where}"))
            models = here
        hosts = [refused_host(upstreams.allow_hosts, upstreams.endpoint(model).url) for model in models]
        allowed = tuple(model for model, host in zip(models, hosts, strict=True) if host is None)
        if not allowed:
            return _Ended(wrong=(Wrong.FORBIDDEN, f"`allow_hosts` does not list {hosts[0]}"))
        return allowed

    def _local(self, models: tuple[Model, ...]) -> tuple[Model, ...]:
        return tuple(model for model in models if is_local(model, self._upstreams.endpoint(model).url))

    async def _relayed(
        self, holder: Holder, inbound: Inbound, speaks: Speaks, model: Model, number: int, hear: Hear | None
    ) -> tuple[_Ended, bool]:
        """The call in its own words; and whether the next model is to be asked."""
        endpoint = self._upstreams.endpoint(model)
        body = self._guards.concealed_value(inbound.body, model, endpoint, True)
        if isinstance(body, Fault):
            return _Ended(wrong=(Wrong.FORBIDDEN, body.message)), False
        sent = outbound(inbound, speaks, model.served, None if body == inbound.body else body)
        way, words = passing(inbound, speaks, model, endpoint, sent, hear)
        way = replace(way, request=replace(way.request, sample=number))
        asked = await self._client.relay(way, self._whose(holder), self._manner(holder, inbound))
        if not is_free(inbound):
            self._charge(holder, model, asked)
        answer = asked.answer or words.answer
        if answer is not None and (isinstance(asked.result, Reply) or inbound.kind is Kind.OTHER):
            restore = restored_lines if inbound.asked.stream else restored
            whole = replace(answer, body=self._restored(restore, answer.body))
            return _Ended(_told(inbound, speaks, whole, asked)), False
        assert isinstance(asked.result, Fault)
        if answer is not None and answer.status >= 300:
            told = Told(answer.status, (*_passed_headers(answer), *NO_RETRY), answer.body)
            return _Ended(told), asked.result.cls in _TRIED_NEXT
        return _Ended(wrong=_wrong(asked.result)), asked.result.cls in _TRIED_NEXT

    async def _translated(
        self, holder: Holder, inbound: Inbound, speaks: Speaks, model: Model, number: int, hear: Hear | None
    ) -> tuple[_Ended, bool]:
        """The call in the words of another provider; and whether the next model is to be asked."""
        if not inbound.metered:
            return _Ended(wrong=(Wrong.NOT_FOUND, f"{model.name} has no {inbound.path}")), True
        try:
            translated = speaks.translate(inbound)
        except Untranslatable as error:
            why = f"the call cannot be put to {model.name} ({model.provider}): {error}"
            return _Ended(wrong=(Wrong.BAD_REQUEST, why)), True
        request = translated.request(model, number)
        endpoint = self._upstreams.endpoint(model)
        whose, manner = self._whose(holder), self._manner(holder, inbound)
        asked = await self._client.ask(request, whose, manner, endpoint, judged_here=False)
        self._charge(holder, model, asked)
        if isinstance(asked.result, Fault):
            return _Ended(wrong=_wrong(asked.result)), asked.result.cls in _TRIED_NEXT
        return _Ended(self._spoken(inbound, speaks, translated, asked.result)), False

    def _spoken(self, inbound: Inbound, speaks: Speaks, translated: Translated, reply: Reply) -> Told:
        stamp = Stamp(secrets.token_hex(12), self._clock.now())
        reply = replace(reply, text=restored(reply.text, self._guards.masker))
        if inbound.asked.stream:
            return Told(200, _stream_headers(inbound), b"".join(speaks.stream(inbound, translated, reply, stamp)))
        return Told(200, _JSON, speaks.say(inbound, translated, reply, stamp))

    def _restored(self, restore: Callable[[str, Masker | None], str], body: bytes) -> bytes:
        """What is on its way into the command that asked: its own secrets in the place of their masks."""
        masker = self._guards.masker
        if masker is None:
            return body
        return restore(body.decode("utf-8", "surrogateescape"), masker).encode("utf-8", "surrogateescape")

    def _whose(self, holder: Holder) -> Whose:
        return Whose(holder.task_number, holder.attempt, "script", holder.step_id)

    def _manner(self, holder: Holder, inbound: Inbound) -> Manner:
        timeout_s = min(TIMEOUT_S, holder.timeout_s or TIMEOUT_S)
        return Manner(timeout_s, self._cache if inbound.metered else "off")

    def _charge(self, holder: Holder, model: Model, asked: Asked) -> None:
        holder.calls += asked.calls
        if isinstance(asked.result, Reply):
            holder.model = asked.result.served if model.provider == "sim" else model.name


class _Stream:
    """The parts of a response on their way from who hears it to who passes it on; None after the last."""

    __slots__ = ("_listener", "_restored", "parts")

    def __init__(self, listener: Listener, restored: Callable[[bytes], bytes]) -> None:
        self._listener = listener
        self._restored = restored
        self.parts: asyncio.Queue[bytes | None] = asyncio.Queue()

    def hear(self, part: bytes) -> None:
        """What of it the client is to have now is there."""
        now = self._listener.feed(part)
        if now:
            self.parts.put_nowait(self._restored(now))

    def rest(self) -> bytes:
        """What the client is still to have when nothing more comes."""
        return self._restored(self._listener.end())

    def end(self) -> None:
        """Nothing more comes."""
        self.parts.put_nowait(None)


async def _heard(
    first: bytes, stream: _Stream, going: asyncio.Task[_Ended], speaks: Speaks
) -> AsyncGenerator[bytes, None]:
    """The parts as they come; the last one when the whole is in the journal."""
    part: bytes | None = first
    while part is not None:
        yield part
        part = await stream.parts.get()
    ended = going.result()
    rest = stream.rest()
    if rest:
        yield rest
    if ended.wrong is not None:
        yield speaks.broken(*ended.wrong)


def _spelled(inbound: Inbound) -> bytes:
    """What tells the calls of one attempt apart: the client's own bytes, which it repeats where it means the same."""
    told = (inbound.protocol, inbound.method, inbound.path, inbound.query, *map(repr, inbound.variant))
    return hashlib.sha256("\n".join(told).encode() + b"\n" + inbound.raw).digest()


def _said(ended: _Ended, speaks: Speaks) -> Told:
    if ended.told is not None:
        return ended.told
    assert ended.wrong is not None
    return speaks.error(*ended.wrong)


def _told(inbound: Inbound, speaks: Speaks, answer: Answer, asked: Asked) -> Told:
    """The response as its client would have had it from the server."""
    body = answer.body
    if inbound.asked.stream:
        listener = speaks.listener(inbound)
        body = listener.feed(answer.body) + listener.end()
    bought = all(call.cached for call in asked.calls) and bool(asked.calls)
    return Told(answer.status, (*_passed_headers(answer), ("x-penstock-cache", "hit" if bought else "miss")), body)


def _passed_headers(answer: Answer) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in answer.headers if name not in _NOT_PASSED)


def _stream_headers(inbound: Inbound) -> tuple[tuple[str, str], ...]:
    kind = NDJSON if inbound.endpoint.startswith("api.") else EVENT_STREAM
    return (("content-type", kind), ("cache-control", "no-cache"))


def _wrong(fault: Fault) -> tuple[Wrong, str]:
    """Which error of the gateway's own a fault without a response is."""
    if fault.cls is FaultClass.TRANSPORT:
        match fault.kind:
            case TransportKind.RATE_LIMIT:
                return Wrong.RATE_LIMIT, fault.message
            case TransportKind.TIMEOUT:
                return Wrong.TIMEOUT, fault.message
        return Wrong.UNREACHABLE, fault.message
    return Wrong.BAD_REQUEST, fault.message
