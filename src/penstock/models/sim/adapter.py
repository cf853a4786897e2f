"""The wire of the simulated model: a request that holds all it needs to know, and a response that says it plainly.

Request:  `{"model", "messages", "params", "schema", "max_tokens", "raised", "context_tokens", "sample", "rates"}`, with
`schema` the text of the JSON Schema or null, and the least of the token limits that are known as `max_tokens`.
Response: `{"model": "sim/NAME", "text", "finish": "stop" | "length" | "refused", "usage": {"input_tokens",
"output_tokens"}}`, or a status from 400 with `{"error": {"type", "message"}}`.
"""

from __future__ import annotations

import json

from penstock.core.calls import Answer, Fault, FaultClass, Finish, Reply, Request, Usage
from penstock.core.canon import canonical
from penstock.core.models import Rates
from penstock.models import bodies
from penstock.models.wire import Built, Endpoint, HttpRequest

SCHEME = "sim:"
SEND_HEADER = "x-penstock-send"
"""The header in which the sender says which send of the same request this is, from 1: a retry is drawn anew."""

_HEADERS = (("content-type", "application/json"),)


def endpoint(base_url: str | None, key: str | None) -> Endpoint:
    """No server and no key, whatever the workflow says: the transport asks the simulator in this process."""
    return Endpoint(SCHEME)


def build(request: Request, endpoint: Endpoint, dropped: frozenset[str]) -> Built:
    """The request. The model is asked for the whole schema, and heeds no parameter but the token limit."""
    model = request.model
    asked = {
        "model": model.served,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "params": bodies.wanted(request, (), dropped),
        "schema": None if request.schema is None else json.dumps(request.schema, ensure_ascii=False),
        "max_tokens": _limit(request),
        "raised": request.raised,
        "context_tokens": model.context_tokens,
        "sample": request.sample,
        "rates": _plain(model.rates),
    }
    return Built(HttpRequest(f"{SCHEME}{model.served}", _HEADERS, canonical(asked)))


def parse(request: Request, answer: Answer) -> Reply | Fault:
    """What the simulated model said, or why it said nothing."""
    if answer.status != 200:
        said = bodies.complaint(answer, bodies.decode(answer.body))
        return bodies.fault(answer, said, FaultClass.OVERFLOW if bodies.overflows(said) else None)
    try:
        body = json.loads(answer.body)
        usage = Usage(int(body["usage"]["input_tokens"]), int(body["usage"]["output_tokens"]))
        return Reply(str(body["text"]), Finish(body["finish"]), usage, str(body["model"]))
    except (ValueError, KeyError, TypeError):
        return bodies.unreadable(answer)


def _limit(request: Request) -> int | None:
    """The most tokens that the answer may have: Penstock's limit or else the author's, within the model's own."""
    limits = [limit for limit in (bodies.limit(request), request.model.max_tokens) if isinstance(limit, int)]
    return min(limits, default=None)


def _plain(rates: Rates) -> dict[str, float]:
    return {
        "quality": rates.quality,
        "invalid": rates.invalid,
        "truncated": rates.truncated,
        "refused": rates.refused,
        "error_429": rates.error_429,
        "error_500": rates.error_500,
        "latency_s": rates.latency_s,
        "seed": rates.seed,
    }
