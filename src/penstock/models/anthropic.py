"""Anthropic's messages, version 2023-06-01: https://platform.claude.com/docs/en/api/messages.

The schema is asked as `output_config.format`, generally available for Claude 4.5 and later, without a beta header.
Where its subset cannot say the schema, or a model refuses `output_config` (it is then among the dropped), the answer is
asked as the input of a tool that must be called; `parse` takes either. Dropping `tools` too leaves the schema to be
enforced here alone. A tool cannot be forced while a model thinks, so with `thinking` the tool is not asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from penstock.core.calls import Answer, Fault, FaultClass, Finish, Reply, Request, Usage
from penstock.core.canon import Json, sayable
from penstock.models import bodies
from penstock.models.lowering import ANTHROPIC, lower
from penstock.models.wire import Built, Endpoint, HttpRequest

BASE_URL = "https://api.anthropic.com"
VERSION = "2023-06-01"
MAX_TOKENS = 4096
"""The limit where nobody sets one: the API requires one, and every Claude model can write as much."""

_RESERVED = ("model", "messages", "system", "stream")
_TOOL = "answer"
_FINISHES = {"max_tokens": Finish.LENGTH, "refusal": Finish.REFUSED}
_SCHEMA = re.compile(r"output_config|output_format|structured output|compiled grammar|schema is too complex|grammar")


def endpoint(base_url: str | None, key: str | None) -> Endpoint:
    """Anthropic's own, if no other is named. A base that ends in `/v1` is meant without it."""
    return Endpoint((base_url or BASE_URL).rstrip("/").removesuffix("/v1"), key)


def build(request: Request, endpoint: Endpoint, dropped: frozenset[str]) -> Built:
    """A message; system messages apart from the turns, `max_tokens` always."""
    turns = [message for message in request.messages if message.role != "system"]
    system = "\n\n".join(message.content for message in request.messages if message.role == "system")
    most = bodies.limit(request)
    body: dict[str, Json] = {
        "model": request.model.served,
        "messages": [{"role": message.role, "content": message.content} for message in turns],
        "max_tokens": MAX_TOKENS if most is None else most,
        **({"system": system} if system else {}),
        **bodies.wanted(request, _RESERVED, dropped),
    }
    if isinstance(body.get("stop"), (str, list)) and "stop_sequences" not in body:
        stop = body.pop("stop")
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    asked, said = _structure(request.schema, body, dropped) if request.schema is not None else ({}, ())
    address = f"{endpoint.url}/v1/messages"
    return Built(HttpRequest(address, _headers(endpoint), bodies.encode({**body, **asked})), said)


def parse(request: Request, answer: Answer) -> Reply | Fault:
    """The text blocks, or the input of the tool that was forced."""
    body = bodies.decode(answer.body)
    whole = bodies.fields(body)
    if answer.status >= 300 or whole.get("type") == "error":
        return _fault(request, answer, body)
    content = whole.get("content")
    if not isinstance(content, list):
        return bodies.unreadable(answer, "has no content")
    stop = whole.get("stop_reason")
    if stop == "model_context_window_exceeded":
        message = "The model stopped because its context window is full."
        usage = _usage(whole.get("usage"))
        return Fault(FaultClass.OVERFLOW, message, status=answer.status, billed=True, usage=usage)
    served = whole.get("model")
    return Reply(
        text=_text(content),
        finish=_FINISHES.get(str(stop), Finish.STOP),
        usage=_usage(whole.get("usage")),
        served=served if isinstance(served, str) and served else request.model.served,
    )


def _headers(endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    headers = (
        ("accept", "application/json"),
        ("anthropic-version", VERSION),
        ("content-type", "application/json"),
    )
    return headers if endpoint.key is None else (*headers, ("x-api-key", endpoint.key))


def _structure(
    schema: Json, body: Mapping[str, Json], dropped: frozenset[str]
) -> tuple[dict[str, Json], tuple[str, ...]]:
    """The fields that ask for the schema, and what they do not ask."""
    lowered = lower(schema, ANTHROPIC)
    if lowered.schema is not None and "output_config" not in dropped:
        form = {"type": "json_schema", "schema": lowered.encoded}
        return {"output_config": {**bodies.fields(body.get("output_config")), "format": form}}, lowered.said
    hindrance = _hindrance(schema, body, dropped)
    if hindrance:
        return {}, (f"nothing of it, since {hindrance}",)
    tool: dict[str, Json] = {"name": _TOOL, "description": "Takes the answer.", "input_schema": schema}
    loose = "it is a tool's input, which the model is not held to"
    return {"tools": [tool], "tool_choice": {"type": "tool", "name": _TOOL}}, (loose,)


def _hindrance(schema: Json, body: Mapping[str, Json], dropped: frozenset[str]) -> str | None:
    """Why no tool can be forced to take the answer, None if one can."""
    if dropped & {"tools", "tool_choice"}:
        return "the model takes neither output_config nor a forced tool"
    if "tools" in body or bodies.fields(body.get("thinking")).get("type", "disabled") != "disabled":
        return "`tools` or `thinking` among the parameters leaves no room for a tool that must be called"
    if not isinstance(schema, dict) or schema.get("type") != "object" or schema.keys() & {"anyOf", "oneOf", "allOf"}:
        return "its root is not a plain object"
    return None


def _text(content: list[Json]) -> str:
    blocks = [bodies.fields(block) for block in content]
    for block in blocks:
        if block.get("type") == "tool_use" and block.get("name") == _TOOL:
            return bodies.written(block.get("input"))
    texts = [block.get("text") for block in blocks if block.get("type") == "text"]
    text = "".join(text for text in texts if isinstance(text, str))
    used = [block.get("input") for block in blocks if block.get("type") == "tool_use"]
    return sayable(text) if text or not used else bodies.written(used[0])


def _usage(value: Json) -> Usage | None:
    """Anthropic counts what was read from and written to its cache apart from the rest of the input."""
    usage = bodies.fields(value)
    fresh, wrote = bodies.count(usage.get("input_tokens")), bodies.count(usage.get("output_tokens"))
    if fresh is None or wrote is None:
        return None
    cached = bodies.count(usage.get("cache_read_input_tokens")) or 0
    stored = bodies.count(usage.get("cache_creation_input_tokens")) or 0
    return Usage(fresh + cached + stored, wrote, cached, stored)


def _fault(request: Request, answer: Answer, body: Json) -> Fault:
    said = bodies.complaint(answer, body)
    if answer.status < 300:
        said = bodies.Complaint(_STATUSES.get(said.code, 500), said.message, said.code)
    if said.status in (400, 413) and bodies.overflows(said):
        return bodies.fault(answer, said, FaultClass.OVERFLOW)
    return bodies.fault(answer, said, param=_param(request, said) if said.status == 400 else None)


_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The statuses of the kinds of error, for an error that comes with a status of success (proxies, ended streams)."""


def _param(request: Request, said: bodies.Complaint) -> str | None:
    if request.schema is not None:
        if _SCHEMA.search(said.message):
            return "output_config"
        if re.search(r"\btool_choice\b|\btools\b", said.message):
            return "tools"
    return bodies.blamed(said, bodies.wanted(request, _RESERVED, ()))
