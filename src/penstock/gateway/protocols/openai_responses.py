"""OpenAI's responses, as clients speak them: https://platform.openai.com/docs/api-reference/responses.

A stream's last event (`response.completed`, `.incomplete` or `.failed`) holds the whole response with its usage, so it
is metered as it is. Nothing that the provider has to remember can be translated: it is not there for another one.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.core.calls import Answer, Fault, FaultClass, Finish, Message, Reply, TransportKind, Usage
from penstock.core.canon import Json, sayable
from penstock.gateway.protocols import hearing
from penstock.gateway.protocols.openai_words import error, said_error
from penstock.gateway.protocols.responses_saying import say, stream
from penstock.gateway.protocols.shape import Asked, Heard, Inbound, Translated, Untranslatable, Wrong
from penstock.gateway.protocols.translating import OBJECT, Forced, forced, neutral, only, refuse, text_of
from penstock.gateway.streams import Event, Passing, events, read_event, write_event
from penstock.models import bodies

__all__ = ["asks", "broken", "edits", "error", "hear", "listener", "say", "stream", "translate"]

RESPONSES = "responses"

_ENDS = ("response.completed", "response.incomplete", "response.failed")
_PARAMS = {"temperature": "temperature", "top_p": "top_p", "max_output_tokens": "max_tokens"}
_REFUSED = {
    "previous_response_id": "goes on from a response that the provider keeps",
    "conversation": "is kept by the provider",
    "background": "asks for an answer to be fetched later",
    "prompt": "names a prompt that the provider keeps",
}
_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def asks(endpoint: str, body: Json) -> Asked:
    """What a call's body says of itself."""
    whole = bodies.fields(body)
    model = whole.get("model")
    most = bodies.count(whole.get("max_output_tokens")) or None
    return Asked(model if isinstance(model, str) else None, whole.get("stream") is True, most)


def edits(inbound: Inbound) -> Mapping[str, Json]:
    """Nothing: a stream ends with its usage."""
    return {}


def listener(inbound: Inbound) -> ResponsesStream:
    """Hears the events."""
    return ResponsesStream(inbound)


def hear(inbound: Inbound, answer: Answer) -> Heard:
    """The output's text; where there is none, the arguments of the first call of a function."""
    return Heard(_parsed(inbound, answer, bodies.decode(answer.body)))


def translate(inbound: Inbound) -> Translated:
    """The call in words that every provider has. Raises Untranslatable."""
    body = bodies.fields(inbound.body)
    refuse(body, _REFUSED)
    turns: list[Message] = []
    instructions = body.get("instructions")
    if isinstance(instructions, str) and instructions:
        turns.append(Message("system", instructions))
    asked = body.get("input")
    if isinstance(asked, str):
        turns.append(Message("user", asked))
    for at, item in enumerate(bodies.elements(asked)):
        turns += _turn(bodies.fields(item), f"input[{at}]")
    params = neutral(body, _PARAMS)
    effort = bodies.fields(body.get("reasoning")).get("effort")
    tool = _forced(body)
    schema = tool.schema if tool else _schema(bodies.fields(body.get("text")).get("format"))
    messages = only(turns)
    return Translated(
        messages,
        {**params, **({"reasoning_effort": effort} if effort is not None else {})},
        schema,
        tool.name if tool else None,
    )


def broken(wrong: Wrong, message: str) -> bytes:
    """An `error` event. Both of its forms are said: older clients look into `error`, newer ones beside it."""
    said = bodies.fields(bodies.fields(said_error(wrong, message)).get("error"))
    event = {"type": "error", "code": said.get("code"), "message": message, "param": None, "sequence_number": 0}
    return write_event({**event, "error": said}, "error")


class ResponsesStream:
    """The events of one stream. The last one tells all; before it there are pieces of the text."""

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound
        self._passing = Passing(events(), read_event, self._told)
        self._texts: list[str] = []
        self._response: dict[str, Json] = {}
        self._error: Json = None
        self._complete = False

    def feed(self, chunk: bytes) -> bytes:
        """Takes the next bytes; what of them the client is to have now: all."""
        return self._passing.feed(chunk)

    def end(self) -> bytes:
        """What the client is still to have."""
        return self._passing.end()

    def heard(self, answer: Answer) -> Heard:
        """The whole response if its last event has come; else the text as far as it has."""
        if self._error is not None:
            return Heard(_parsed(self._inbound, answer, {"error": self._error}), complete=False)
        if self._complete:
            return Heard(_parsed(self._inbound, answer, self._response))
        served = _served(self._inbound, self._response)
        return Heard(Reply(sayable("".join(self._texts)), Finish.STOP, None, served), complete=False)

    def _told(self, event: Event) -> bool:
        data = bodies.fields(event.data)
        kind, delta = data.get("type"), data.get("delta")
        if kind == "response.output_text.delta" and isinstance(delta, str):
            self._texts.append(delta)
        elif kind == "error":
            self._error = data.get("error") or data
        elif isinstance(data.get("response"), dict):
            self._response = bodies.fields(data["response"])
            self._complete = kind in _ENDS
        return True


def _parsed(inbound: Inbound, answer: Answer, body: Json) -> Reply | Fault:
    whole = bodies.fields(body)
    failed = _failure(answer, whole)
    if failed is not None:
        return failed
    output = whole.get("output")
    if not isinstance(output, list):
        return bodies.unreadable(answer, "has no output")
    items = [bodies.fields(item) for item in output]
    parts = [bodies.fields(part) for item in items for part in bodies.elements(item.get("content"))]
    texts = [part.get("text") for part in parts if part.get("type") == "output_text"]
    refusals = [part.get("refusal") for part in parts if part.get("type") == "refusal"]
    calls = [item.get("arguments") for item in items if item.get("type") == "function_call"]
    said = next((words for words in (refusals, texts, calls[:1]) if words), [])
    reason = bodies.fields(whole.get("incomplete_details")).get("reason")
    finish = Finish.REFUSED if refusals or reason == "content_filter" else Finish.LENGTH if reason else Finish.STOP
    text = "".join(each for each in said if isinstance(each, str))
    return Reply(sayable(text), finish, _usage(whole.get("usage")), _served(inbound, whole))


def _failure(answer: Answer, whole: Mapping[str, Json]) -> Fault | None:
    """The fault of an error response, or of a response that failed on its way. The latter may have been billed."""
    fault = hearing.failed(answer, dict(whole))
    if fault is None or answer.status >= 300:
        return fault
    limited = bodies.fields(whole.get("error")).get("code") == "rate_limit_exceeded"
    kind = TransportKind.RATE_LIMIT if limited else TransportKind.SERVER
    usage = _usage(whole.get("usage"))
    status = 429 if limited else 500
    return Fault(FaultClass.TRANSPORT, fault.message, kind, status, billed=not limited, usage=usage)


def _served(inbound: Inbound, whole: Mapping[str, Json]) -> str:
    served = whole.get("model")
    return served if isinstance(served, str) and served else inbound.asked.model or ""


def _usage(value: Json) -> Usage | None:
    usage = bodies.fields(value)
    read, wrote = bodies.count(usage.get("input_tokens")), bodies.count(usage.get("output_tokens"))
    if read is None or wrote is None:
        return None
    details = bodies.fields(usage.get("input_tokens_details"))
    cached = min(bodies.count(details.get("cached_tokens")) or 0, read)
    stored = min(bodies.count(details.get("cache_write_tokens")) or 0, read - cached)
    return Usage(read, wrote, cached, stored)


def _turn(item: Mapping[str, Json], where: str) -> list[Message]:
    """The item as a message; none for a model's thoughts, which mean nothing to another model."""
    kind = item.get("type", "message")
    if kind == "reasoning":
        return []
    if kind != "message":
        raise Untranslatable(f"{where} is a {kind}, and only messages can be translated")
    role = item.get("role")
    if role not in _ROLES:
        raise Untranslatable(f"{where} has the role {role}, and only system, user and assistant can be translated")
    return [Message(_ROLES[str(role)], text_of(item.get("content"), where, _TEXTS))]


def _forced(body: Mapping[str, Json]) -> Forced | None:
    tools: list[Json] = []
    for tool in map(bodies.fields, bodies.elements(body.get("tools"))):
        if tool.get("type") != "function":
            raise Untranslatable(f"it offers the tool {tool.get('type')}, which is the provider's own")
        tools.append({"name": tool.get("name"), "schema": tool.get("parameters")})
    choice = body.get("tool_choice")
    named = bodies.fields(choice).get("name")
    return forced(tools, choice, named if isinstance(named, str) else None, choice == "required")


def _schema(form: Json) -> Json:
    form = bodies.fields(form)
    if form.get("type") == "json_schema":
        return form.get("schema", OBJECT)
    return OBJECT if form.get("type") == "json_object" else None
