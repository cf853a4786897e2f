"""OpenAI's chat completions, completions, embeddings and models, as clients speak them.

https://platform.openai.com/docs/api-reference/chat, and …/chat-streaming for the stream: chunks, then, if
`stream_options.include_usage` is true, one chunk without choices that holds the usage, then `data: [DONE]`. Clients
rarely ask for that chunk, and without it nobody knows what a stream cost: it is asked for here, and kept from the
clients that did not.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.core.calls import Answer, Finish, Message, Reply, Usage
from penstock.core.canon import Json
from penstock.gateway.protocols import hearing
from penstock.gateway.protocols.openai_words import OpenAIStream, error, said_error
from penstock.gateway.protocols.saying import written
from penstock.gateway.protocols.shape import (
    Asked,
    Heard,
    Inbound,
    Listener,
    Stamp,
    Translated,
    Untranslatable,
    Wrong,
)
from penstock.gateway.protocols.translating import OBJECT, Forced, forced, neutral, only, refuse, text_of
from penstock.gateway.streams import parts, write_event
from penstock.models import bodies
from penstock.models import openai as adapter

__all__ = ["asks", "broken", "edits", "error", "hear", "listener", "say", "stream", "translate"]

CHAT = "chat.completions"
COMPLETIONS = "completions"
EMBEDDINGS = "embeddings"

DONE = b"data: [DONE]\n\n"

_PARAMS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "reasoning_effort": "reasoning_effort",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
}
_REFUSED = {
    "functions": "offers functions, and only one forced tool can be translated",
    "audio": "asks for speech",
    "logprobs": "asks for log-probabilities",
    "web_search_options": "asks for a search",
    "suffix": "asks for a text to be filled in",
    "echo": "asks for the prompt to be repeated",
}
_TEXTS = {"text": "text", "refusal": "refusal"}
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_FINISHES = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.REFUSED: "content_filter"}


def asks(endpoint: str, body: Json) -> Asked:
    """What a call's body says of itself. `best_of` answers are billed too, though one of them comes."""
    whole = bodies.fields(body)
    model = whole.get("model")
    name = model if isinstance(model, str) else None
    if endpoint == EMBEDDINGS:
        return Asked(name, max_tokens=0)
    most = bodies.count(whole.get("max_completion_tokens")) or bodies.count(whole.get("max_tokens"))
    answers = max(1, bodies.count(whole.get("n")) or 1, bodies.count(whole.get("best_of")) or 1)
    if endpoint == COMPLETIONS:
        answers *= _prompts(whole.get("prompt"))
    streams = whole.get("stream") is True
    wants = bodies.fields(whole.get("stream_options")).get("include_usage") is True
    return Asked(name, streams, most, answers, wants or not streams)


def edits(inbound: Inbound) -> Mapping[str, Json]:
    """A stream is asked for its usage."""
    if not inbound.asked.stream or inbound.asked.wants_usage or inbound.endpoint not in (CHAT, COMPLETIONS):
        return {}
    given = bodies.fields(bodies.fields(inbound.body).get("stream_options"))
    return {"stream_options": {**given, "include_usage": True}}


def listener(inbound: Inbound) -> Listener:
    """Hears the chunks. The one with the usage is kept from a client that has not asked for it."""
    return OpenAIStream(inbound)


def hear(inbound: Inbound, answer: Answer) -> Heard:
    """The first choice, or that there are embeddings."""
    if inbound.endpoint == EMBEDDINGS:
        return hearing.embedded(inbound, answer, "prompt_tokens", "usage")
    if inbound.endpoint == COMPLETIONS:
        chat = _as_chat(bodies.decode(answer.body))
        if chat is not None:
            return hearing.hear_told(adapter, inbound, answer, "openai", chat, complete=True)
    return hearing.hear_with(adapter, inbound, answer, "openai")


def translate(inbound: Inbound) -> Translated:
    """The call in words that every provider has. Raises Untranslatable."""
    body = bodies.fields(inbound.body)
    if inbound.endpoint == EMBEDDINGS:
        raise Untranslatable("it asks for embeddings, which only its own provider can make")
    if inbound.asked.answers > 1:
        raise Untranslatable(f"it asks for {inbound.asked.answers} answers at once")
    refuse(body, _REFUSED)
    params = neutral(body, _PARAMS)
    if inbound.endpoint == COMPLETIONS:
        return Translated((Message("user", _prompt(body.get("prompt"))),), params)
    messages = only(
        [_message(each, f"messages[{at}]") for at, each in enumerate(bodies.elements(body.get("messages")))]
    )
    tool = _forced(body)
    schema = tool.schema if tool else _schema(body.get("response_format"))
    return Translated(messages, params, schema, tool.name if tool else None)


def say(inbound: Inbound, translated: Translated, reply: Reply, stamp: Stamp) -> bytes:
    """A chat completion, or a completion."""
    if inbound.endpoint == COMPLETIONS:
        kind = "text_completion"
        choice: dict[str, Json] = {"text": reply.text}
    else:
        kind = "chat.completion"
        choice = {"message": {"role": "assistant", **_message_of(translated, reply)}}
    body = {
        **_head(inbound, kind, stamp),
        "choices": [{"index": 0, **choice, "logprobs": None, "finish_reason": _finish(reply)}],
        **({"usage": usage_of(reply.usage)} if reply.usage else {}),
    }
    return written(body)


def stream(inbound: Inbound, translated: Translated, reply: Reply, stamp: Stamp) -> list[bytes]:
    """The chunks, the usage if it was asked for, and that it is done."""
    chat = inbound.endpoint == CHAT
    head = _head(inbound, "chat.completion.chunk" if chat else "text_completion", stamp)
    wants = inbound.asked.wants_usage

    def chunk(choice: Mapping[str, Json], finish: str | None) -> bytes:
        choices = [{"index": 0, **choice, "logprobs": None, "finish_reason": finish}]
        return write_event({**head, "choices": choices, **({"usage": None} if wants else {})})

    deltas = _deltas(translated, reply) if chat else [{"text": part} for part in parts(reply.text)]
    pieces = [chunk({"delta": delta} if chat else delta, None) for delta in deltas]
    pieces.append(chunk({"delta": {}} if chat else {"text": ""}, _finish(reply)))
    if wants and reply.usage:
        pieces.append(write_event({**head, "choices": [], "usage": usage_of(reply.usage)}))
    return [*pieces, DONE]


def broken(wrong: Wrong, message: str) -> bytes:
    """An event with an error, which OpenAI's SDKs raise. `[DONE]` does not follow: nothing is done."""
    return write_event(said_error(wrong, message))


def usage_of(usage: Usage) -> dict[str, Json]:
    """The usage in OpenAI's words."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
    }


def _as_chat(body: Json) -> Json | None:
    """A completion as a chat completion: its text is a message. None for what is no completion."""
    whole = bodies.fields(body)
    choices = [bodies.fields(choice) for choice in bodies.elements(whole.get("choices"))]
    if not choices or whole.get("error"):
        return None
    return {**whole, "choices": [{**each, "message": {"content": each.get("text")}} for each in choices]}


def _head(inbound: Inbound, kind: str, stamp: Stamp) -> dict[str, Json]:
    prefix = "chatcmpl" if inbound.endpoint == CHAT else "cmpl"
    model = inbound.asked.model or ""
    return {"id": f"{prefix}-{stamp.id}", "object": kind, "created": int(stamp.at), "model": model}


def _finish(reply: Reply) -> str:
    """OpenAI's models "stop" after a forced call too; a refusal with words is said in the message."""
    return "stop" if reply.finish is Finish.REFUSED and reply.text else _FINISHES[reply.finish]


def _message_of(translated: Translated, reply: Reply) -> dict[str, Json]:
    if reply.finish is Finish.REFUSED:
        return {"content": None, "refusal": reply.text or None}
    if translated.tool is None:
        return {"content": reply.text, "refusal": None}
    function = {"name": translated.tool, "arguments": reply.text}
    return {"content": None, "refusal": None, "tool_calls": [{"id": _CALL, "type": "function", "function": function}]}


_CALL = "call_0"
"""The id of the one call that a translated answer can have."""


def _deltas(translated: Translated, reply: Reply) -> list[dict[str, Json]]:
    called = translated.tool is not None and reply.finish is not Finish.REFUSED
    start: dict[str, Json] = {"role": "assistant", "content": None if called else ""}
    rest: list[dict[str, Json]]
    if called:
        function: dict[str, Json] = {"name": translated.tool, "arguments": ""}
        start["tool_calls"] = [{"index": 0, "id": _CALL, "type": "function", "function": function}]
        rest = [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in parts(reply.text)]
    elif reply.finish is Finish.REFUSED:
        rest = [{"refusal": part} for part in parts(reply.text)]
    else:
        rest = [{"content": part} for part in parts(reply.text)]
    return [start, *rest]


def _message(value: Json, where: str) -> Message:
    message = bodies.fields(value)
    role = message.get("role")
    if role not in _ROLES:
        raise Untranslatable(f"{where} has the role {role}, and only system, user and assistant can be translated")
    refuse(message, {"tool_calls": "tells of calls of tools", "function_call": "tells of a call", "audio": "is speech"})
    return Message(_ROLES[str(role)], text_of(message.get("content"), where, _TEXTS))


def _forced(body: Mapping[str, Json]) -> Forced | None:
    tools: list[Json] = []
    for tool in bodies.elements(body.get("tools")):
        function = bodies.fields(bodies.fields(tool).get("function"))
        tools.append({"name": function.get("name"), "schema": function.get("parameters")})
    choice = body.get("tool_choice")
    named = bodies.fields(bodies.fields(choice).get("function")).get("name")
    return forced(tools, choice, named if isinstance(named, str) else None, choice == "required")


def _schema(form: Json) -> Json:
    form = bodies.fields(form)
    if form.get("type") == "json_schema":
        return bodies.fields(form.get("json_schema")).get("schema", OBJECT)
    return OBJECT if form.get("type") == "json_object" else None


def _prompts(prompt: Json) -> int:
    return len(prompt) if isinstance(prompt, list) and prompt and isinstance(prompt[0], (str, list)) else 1


def _prompt(prompt: Json) -> str:
    one = prompt[0] if isinstance(prompt, list) and len(prompt) == 1 else prompt
    if not isinstance(one, str):
        raise Untranslatable("`prompt` is no text")
    return one
