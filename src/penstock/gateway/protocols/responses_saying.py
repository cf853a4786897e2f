"""A reply in the words of OpenAI's responses: the whole, and its stream of events.

https://platform.openai.com/docs/api-reference/responses-streaming. A stream tells the same thing five times over: the
response in progress, its item, the item's part, the text in pieces, and each of them once more when it is done.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.core.calls import Finish, Reply, Usage
from penstock.core.canon import Json
from penstock.gateway.protocols.saying import written
from penstock.gateway.protocols.shape import Inbound, Stamp, Translated
from penstock.gateway.streams import parts, write_event
from penstock.models import bodies

_ECHOED: dict[str, Json] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
}
"""Fields of the request that a response says again, and what stands where the client has set none."""


def say(inbound: Inbound, translated: Translated, reply: Reply, stamp: Stamp) -> bytes:
    """A response."""
    return written(_response(inbound, reply, stamp, [_item(translated, reply, stamp)]))


def stream(inbound: Inbound, translated: Translated, reply: Reply, stamp: Stamp) -> list[bytes]:
    """The events, numbered from 0."""
    item = _item(translated, reply, stamp)
    opened = {**_response(inbound, reply, stamp, []), "status": "in_progress", "incomplete_details": None}
    started = {**opened, "usage": None, "completed_at": None}
    called = item["type"] == "function_call"
    empty: dict[str, Json] = {"arguments": ""} if called else {"content": []}
    begun = {**item, "status": "in_progress", **empty}
    whole = _response(inbound, reply, stamp, [item])
    told: list[tuple[str, dict[str, Json]]] = [
        ("response.created", {"response": started}),
        ("response.in_progress", {"response": started}),
        ("response.output_item.added", {"output_index": 0, "item": begun}),
        *(_arguments(item, reply) if called else _content(item, reply)),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.incomplete" if reply.finish is Finish.LENGTH else "response.completed", {"response": whole}),
    ]
    return [
        write_event({"type": kind, **data, "sequence_number": number}, kind) for number, (kind, data) in enumerate(told)
    ]


def _response(inbound: Inbound, reply: Reply, stamp: Stamp, output: list[Json]) -> dict[str, Json]:
    body = bodies.fields(inbound.body)
    cut = reply.finish is Finish.LENGTH
    return {
        "id": f"resp_{stamp.id}",
        "object": "response",
        "created_at": int(stamp.at),
        "status": "incomplete" if cut else "completed",
        "completed_at": None if cut else int(stamp.at),
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "model": inbound.asked.model or "",
        "output": output,
        **{name: usual if body.get(name) is None else body[name] for name, usual in _ECHOED.items()},
        "previous_response_id": None,
        "store": False,
        "truncation": "disabled",
        "usage": _usage_of(reply.usage) if reply.usage else None,
    }


def _usage_of(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _item(translated: Translated, reply: Reply, stamp: Stamp) -> dict[str, Json]:
    status = "incomplete" if reply.finish is Finish.LENGTH else "completed"
    if translated.tool is not None and reply.finish is not Finish.REFUSED:
        named = {"call_id": f"call_{stamp.id}", "name": translated.tool, "arguments": reply.text}
        return {"id": f"fc_{stamp.id}", "type": "function_call", "status": status, **named}
    content = [_part(reply, reply.text)]
    return {"id": f"msg_{stamp.id}", "type": "message", "role": "assistant", "status": status, "content": content}


def _part(reply: Reply, text: str) -> dict[str, Json]:
    if reply.finish is Finish.REFUSED:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _content(item: Mapping[str, Json], reply: Reply) -> list[tuple[str, dict[str, Json]]]:
    at: dict[str, Json] = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    refused = reply.finish is Finish.REFUSED
    word, field = ("refusal", "refusal") if refused else ("output_text", "text")
    more: dict[str, Json] = {} if refused else {"logprobs": []}
    return [
        ("response.content_part.added", {**at, "part": _part(reply, "")}),
        *((f"response.{word}.delta", {**at, "delta": part, **more}) for part in parts(reply.text)),
        (f"response.{word}.done", {**at, field: reply.text, **more}),
        ("response.content_part.done", {**at, "part": _part(reply, reply.text)}),
    ]


def _arguments(item: Mapping[str, Json], reply: Reply) -> list[tuple[str, dict[str, Json]]]:
    at: dict[str, Json] = {"item_id": item["id"], "output_index": 0}
    word = "response.function_call_arguments"
    done = {**at, "name": item["name"], "arguments": reply.text}
    return [*((f"{word}.delta", {**at, "delta": part}) for part in parts(reply.text)), (f"{word}.done", done)]
