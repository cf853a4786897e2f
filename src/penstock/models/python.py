"""The protocol with a Python function of the user's own, `python/pkg.module:function`.

Request: `{"messages": [{"role", "content"}], "model", "params": {…}, "schema": {…} | null}` to the address
`python:pkg.module:function`. Response: `{"text": …, "usage": {"input_tokens", "output_tokens", …} | null,
"finish": "stop" | "length" | "refused", "served": NAME, "logprob": NUMBER}`, of which only `text` must be there.
A `text` that is no string is the JSON that it is. An error is `{"error": {"message": …}}` with an HTTP status: 404
where there is no such function, 500 where it raised.
"""

from __future__ import annotations

from penstock.core.calls import Answer, Fault, Finish, Reply, Request, Usage
from penstock.core.canon import Json
from penstock.models import bodies
from penstock.models.wire import Built, Endpoint, HttpRequest

SCHEME = "python:"
_FINISHES = {finish.value: finish for finish in Finish}


def endpoint(base_url: str | None, key: str | None) -> Endpoint:
    """No server: the transport calls the function in this process."""
    return Endpoint(SCHEME)


def build(request: Request, endpoint: Endpoint, dropped: frozenset[str]) -> Built:
    """The request as the function is given it. The whole schema is passed on."""
    params = dict(sorted(bodies.wanted(request, (), dropped).items()))
    most = bodies.limit(request)
    if most is not None and "max_tokens" not in dropped:
        params["max_tokens"] = most
    body: dict[str, Json] = {
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "model": request.model.served,
        "params": params,
        "schema": request.schema,
    }
    return Built(HttpRequest(f"{SCHEME}{request.model.served}", (), bodies.encode(body)))


def parse(request: Request, answer: Answer) -> Reply | Fault:
    """What the function returned. A function that raised is a transport fault: it is called again."""
    body = bodies.fields(bodies.decode(answer.body))
    if answer.status >= 300 or "error" in body:
        return bodies.fault(answer, bodies.complaint(answer, body))
    if "text" not in body:
        return bodies.unreadable(answer, "has no `text`")
    finish = body.get("finish")
    served = body.get("served")
    logprob = body.get("logprob")
    return Reply(
        text=bodies.written(body["text"]),
        finish=_FINISHES.get(finish, Finish.STOP) if isinstance(finish, str) else Finish.STOP,
        usage=_usage(body.get("usage")),
        served=served if isinstance(served, str) and served else request.model.served,
        logprob=bodies.mean_logprob([{"logprob": logprob}]),
    )


def _usage(value: Json) -> Usage | None:
    usage = bodies.fields(value)
    read, wrote = bodies.count(usage.get("input_tokens")), bodies.count(usage.get("output_tokens"))
    if read is None or wrote is None:
        return None
    cached = bodies.count(usage.get("cache_read_tokens")) or 0
    return Usage(read, wrote, cached, bodies.count(usage.get("cache_write_tokens")) or 0)
