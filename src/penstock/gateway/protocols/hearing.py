"""What responses say, read by the adapters that read the answers of model steps: one reader for a provider's words."""

from __future__ import annotations

import json
from dataclasses import replace

from penstock.core.calls import Answer, Fault, FaultClass, Finish, Reply, Request, Usage
from penstock.core.canon import Json
from penstock.core.models import Model
from penstock.gateway.protocols.shape import Heard, Inbound
from penstock.gateway.streams import value_of
from penstock.models import bodies
from penstock.models.wire import Adapter


def request_of(inbound: Inbound, provider: str) -> Request:
    """The request that an adapter reads a response by: the model, and nothing that it would hold the answer to."""
    name = inbound.asked.model or ""
    return Request(Model(name, provider, name), (), {})


def hear_with(adapter: Adapter, inbound: Inbound, answer: Answer, provider: str) -> Heard:
    """What the adapter makes of a whole response."""
    return Heard(served_whole(adapter.parse(request_of(inbound, provider), answer)))


def hear_told(
    adapter: Adapter, inbound: Inbound, answer: Answer, provider: str, told: Json, complete: bool, begun: bool = False
) -> Heard:
    """What the adapter makes of a stream, whose events have been put together to the `told` whole response.

    An error after the answer had `begun` leaves something that may have been billed.
    """
    body = json.dumps(told, ensure_ascii=False).encode("utf-8", "surrogatepass")
    parsed = adapter.parse(request_of(inbound, provider), replace(answer, body=body))
    if isinstance(parsed, Fault) and begun:
        parsed = replace(parsed, billed=True)
    return Heard(served_whole(parsed), complete)


def served_whole(parsed: Reply | Fault) -> Reply | Fault:
    """An answer that ended at the model's window is a fault to a step, and to a script an answer: it is billed."""
    if isinstance(parsed, Fault) and parsed.cls is FaultClass.OVERFLOW and parsed.usage is not None:
        return Reply("", Finish.LENGTH, parsed.usage, "")
    return parsed


def failed(answer: Answer, body: Json) -> Fault | None:
    """The fault that an error response tells of, None if it is none. For endpoints that no adapter reads."""
    if answer.status < 300 and not bodies.fields(body).get("error"):
        return None
    return bodies.fault(answer, bodies.complaint(answer, body))


def embedded(inbound: Inbound, answer: Answer, used: str, within: str = "") -> Heard:
    """What a response with embeddings says: no text, and its input tokens, which stand in the field `used` of the
    object `within`, or at the top. It is thousands of numbers, whose spelling is not kept: that would take longer."""
    whole = bodies.fields(value_of(answer.body.decode("utf-8-sig", "replace")))
    fault = failed(answer, whole)
    if fault is not None:
        return Heard(fault)
    if not whole:
        return Heard(bodies.unreadable(answer))
    read = bodies.count((bodies.fields(whole.get(within)) if within else whole).get(used))
    served = whole.get("model")
    name = served if isinstance(served, str) and served else inbound.asked.model or ""
    return Heard(Reply("", Finish.STOP, None if read is None else Usage(read, 0), name))
