"""Anthropic's messages, as clients speak them: https://platform.claude.com/docs/en/api/messages.

A stream (…/build-with-claude/streaming) tells its usage twice: `message_start` what was read, `message_delta` what was
written in all; `message_stop` ends it. Each event is named, and clients pass over one without a name.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.core.calls import Answer, Finish, Message, Reply, Usage
from penstock.core.canon import Json
from penstock.gateway.protocols import hearing
from penstock.gateway.protocols.anthropic_stream import AnthropicStream
from penstock.gateway.protocols.saying import told, written
from penstock.gateway.protocols.shape import (
    Asked,
    Heard,
    Inbound,
    Listener,
    Stamp,
    Told,
    Translated,
    Untranslatable,
    Wrong,
)
from penstock.gateway.protocols.translating import Forced, forced, neutral, only, refuse, text_of
from penstock.gateway.streams import parts, write_event
from penstock.models import anthropic as adapter
from penstock.models import bodies

MESSAGES = "messages"

_PARAMS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop_sequences": "stop",
    "max_tokens": "max_tokens",
}
_REFUSED = {"container": "is kept by the provider", "mcp_servers": "asks for the provider's own tools"}
_TEXTS = {"text": "text"}
_THOUGHTS = ("thinking", "redacted_thinking")
_FINISHES = {Finish.STOP: "end_turn", Finish.LENGTH: "max_tokens", Finish.REFUSED: "refusal"}
_TYPES = {
    Wrong.UNAUTHORIZED: "authentication_error",
    Wrong.FORBIDDEN: "permission_error",
    Wrong.NOT_FOUND: "not_found_error",
    Wrong.BAD_REQUEST: "invalid_request_error",
    Wrong.TOO_LARGE: "request_too_large",
    Wrong.BUDGET: "billing_error",
    Wrong.RATE_LIMIT: "rate_limit_error",
    Wrong.INTERNAL: "api_error",
    Wrong.UNREACHABLE: "api_error",
    Wrong.CLOSING: "api_error",
    Wrong.TIMEOUT: "timeout_error",
}


def asks(endpoint: str, body: Json) -> Asked:
    """What a call's body says of itself."""
    whole = bodies.fields(body)
    model = whole.get("model")
    most = bodies.count(whole.get("max_tokens")) or None
    return Asked(model if isinstance(model, str) else None, whole.get("stream") is True, most)


def edits(inbound: Inbound) -> Mapping[str, Json]:
    """Nothing: a stream tells its usage."""
    return {}


def listener(inbound: Inbound) -> Listener:
    """Hears the events."""
    return AnthropicStream(inbound)


def hear(inbound: Inbound, answer: Answer) -> Heard:
    """The text blocks; where there are none, the input of the tool that is called."""
    return hearing.hear_with(adapter, inbound, answer, "anthropic")


def translate(inbound: Inbound) -> Translated:
    """The call in words that every provider has. Raises Untranslatable."""
    body = bodies.fields(inbound.body)
    refuse(body, _REFUSED)
    system = text_of(body.get("system"), "system", _TEXTS)
    turns = [Message("system", system)] if system else []
    for at, each in enumerate(bodies.elements(body.get("messages"))):
        message, where = bodies.fields(each), f"messages[{at}]"
        role = message.get("role")
        if role not in ("user", "assistant", "system"):
            raise Untranslatable(f"{where} has the role {role}, and only user and assistant can be translated")
        turns.append(Message(str(role), text_of(message.get("content"), where, _TEXTS, _THOUGHTS)))
    tool = _forced(body)
    schema = tool.schema if tool else _schema(body)
    return Translated(only(turns), neutral(body, _PARAMS), schema, tool.name if tool else None)


def say(inbound: Inbound, translated: Translated, reply: Reply, stamp: Stamp) -> bytes:
    """A message."""
    block = _block(translated, reply, stamp)
    message = _message(inbound, stamp, _usage_of(reply.usage))
    return written({**message, "content": [block], "stop_reason": _stop(block, reply)})


def stream(inbound: Inbound, translated: Translated, reply: Reply, stamp: Stamp) -> list[bytes]:
    """The events of a message with one block."""
    block, usage = _block(translated, reply, stamp), _usage_of(reply.usage)
    called = block["type"] == "tool_use"
    begun = {**block, "input": {}} if called else {**block, "text": ""}
    word, field = ("input_json_delta", "partial_json") if called else ("text_delta", "text")
    told: list[dict[str, Json]] = [
        {"type": "message_start", "message": _message(inbound, stamp, {**usage, "output_tokens": 0})},
        {"type": "content_block_start", "index": 0, "content_block": begun},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": word, field: part}}
            for part in parts(reply.text)
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": _stop(block, reply), "stop_sequence": None},
            "usage": usage,
        },
        {"type": "message_stop"},
    ]
    return [write_event(event, str(event["type"])) for event in told]


def error(wrong: Wrong, message: str) -> Told:
    """An error in Anthropic's format."""
    return told(wrong, _said(wrong, message))


def broken(wrong: Wrong, message: str) -> bytes:
    """An `error` event, which the SDKs raise."""
    return write_event(_said(wrong, message), "error")


def _said(wrong: Wrong, message: str) -> Json:
    return {"type": "error", "error": {"type": _TYPES[wrong], "message": message}, "request_id": None}


def _message(inbound: Inbound, stamp: Stamp, usage: Json) -> dict[str, Json]:
    return {
        "id": f"msg_{stamp.id}",
        "type": "message",
        "role": "assistant",
        "model": inbound.asked.model or "",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def _block(translated: Translated, reply: Reply, stamp: Stamp) -> dict[str, Json]:
    """The text, or the call of the forced tool if the text is an object, as a tool's input must be."""
    value = bodies.decode(reply.text.encode("utf-8", "backslashreplace")) if translated.tool is not None else None
    if isinstance(value, dict) and reply.finish is not Finish.REFUSED:
        return {"type": "tool_use", "id": f"toolu_{stamp.id}", "name": translated.tool, "input": value}
    return {"type": "text", "text": reply.text}


def _stop(block: Mapping[str, Json], reply: Reply) -> str:
    return "tool_use" if block["type"] == "tool_use" and reply.finish is Finish.STOP else _FINISHES[reply.finish]


def _usage_of(usage: Usage | None) -> dict[str, Json]:
    """Anthropic counts the cached input apart. Its clients require numbers, so what is not known is 0."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    return {
        "input_tokens": max(0, usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens),
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
    }


def _forced(body: Mapping[str, Json]) -> Forced | None:
    tools: list[Json] = []
    for tool in map(bodies.fields, bodies.elements(body.get("tools"))):
        if "input_schema" not in tool:
            raise Untranslatable(f"it offers the tool {tool.get('type')}, which is the provider's own")
        tools.append({"name": tool.get("name"), "schema": tool["input_schema"]})
    choice = bodies.fields(body.get("tool_choice"))
    named = choice.get("name") if choice.get("type") == "tool" else None
    return forced(tools, choice, named if isinstance(named, str) else None, choice.get("type") == "any")


def _schema(body: Mapping[str, Json]) -> Json:
    """The schema of the answer: `output_config.format`, or `output_format` as it was called in the beta."""
    form = bodies.fields(body.get("output_config")).get("format") or body.get("output_format")
    return bodies.fields(form).get("schema")
