"""OpenAI's errors, and its stream of chunks as it passes."""

from __future__ import annotations

from penstock.core.calls import Answer
from penstock.core.canon import Json
from penstock.gateway.protocols import hearing
from penstock.gateway.protocols.saying import told
from penstock.gateway.protocols.shape import Heard, Inbound, Told, Wrong
from penstock.gateway.streams import Event, Passing, events, read_event
from penstock.models import bodies
from penstock.models import openai as adapter

_TYPES = {
    Wrong.UNAUTHORIZED: ("invalid_request_error", "invalid_api_key"),
    Wrong.FORBIDDEN: ("invalid_request_error", "forbidden"),
    Wrong.NOT_FOUND: ("invalid_request_error", "not_found"),
    Wrong.BAD_REQUEST: ("invalid_request_error", None),
    Wrong.TOO_LARGE: ("invalid_request_error", "request_too_large"),
    Wrong.BUDGET: ("insufficient_quota", "insufficient_quota"),
    Wrong.RATE_LIMIT: ("requests", "rate_limit_exceeded"),
    Wrong.INTERNAL: ("server_error", None),
    Wrong.UNREACHABLE: ("server_error", "upstream_unreachable"),
    Wrong.CLOSING: ("server_error", "closing"),
    Wrong.TIMEOUT: ("server_error", "timeout"),
}


def error(wrong: Wrong, message: str) -> Told:
    """An error in OpenAI's format."""
    return told(wrong, said_error(wrong, message))


def said_error(wrong: Wrong, message: str) -> Json:
    """The body of an error: its message, the type and the code that OpenAI's own have."""
    kind, code = _TYPES[wrong]
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


class OpenAIStream:
    """The chunks of one stream, put together to the response that they are chunks of."""

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound
        self._passing = Passing(events(), read_event, self._told)
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._arguments: list[str] = []
        self._model: Json = None
        self._usage: Json = None
        self._finish: Json = None
        self._error: Json = None
        self._complete = False

    def feed(self, chunk: bytes) -> bytes:
        """Takes the next bytes; what of them the client is to have now."""
        return self._passing.feed(chunk)

    def end(self) -> bytes:
        """What the client is still to have."""
        return self._passing.end()

    def heard(self, answer: Answer) -> Heard:
        """The first choice as far as it has come, and the usage once it was said."""
        if self._error is not None:
            whole: dict[str, Json] = {"error": self._error}
        else:
            message = {
                "content": "".join(self._texts),
                "refusal": "".join(self._refusals) or None,
                "tool_calls": [{"function": {"arguments": "".join(self._arguments)}}] if self._arguments else None,
            }
            choice = {"message": message, "finish_reason": self._finish}
            whole = {"model": self._model, "choices": [choice], "usage": self._usage}
        return hearing.hear_told(adapter, self._inbound, answer, "openai", whole, self._complete, bool(self._texts))

    def _told(self, event: Event) -> bool:
        if event.text.startswith("[DONE]"):
            self._complete = True
            return True
        chunk = bodies.fields(event.data)
        self._error = chunk.get("error") or self._error
        self._model = chunk.get("model") or self._model
        choices = bodies.elements(chunk.get("choices"))
        for choice in choices:
            self._add(bodies.fields(choice))
        used = chunk.get("usage")
        if used is None:
            return True
        self._usage = used
        return bool(choices) or self._inbound.asked.wants_usage

    def _add(self, choice: dict[str, Json]) -> None:
        """One choice of a chunk. Only the first of several is kept."""
        if choice.get("index") not in (None, 0):
            return
        delta = bodies.fields(choice.get("delta"))
        self._finish = choice.get("finish_reason") or self._finish
        for kept, value in (
            (self._texts, delta.get("content", choice.get("text"))),
            (self._refusals, delta.get("refusal")),
        ):
            if isinstance(value, str):
                kept.append(value)
        for call in bodies.elements(delta.get("tool_calls")):
            written = bodies.fields(bodies.fields(call).get("function")).get("arguments")
            if isinstance(written, str) and bodies.fields(call).get("index") in (None, 0):
                self._arguments.append(written)
