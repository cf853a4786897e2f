"""Ollama's own API, as clients speak it: https://docs.ollama.com/api.

It streams unless told not to, a JSON object a line; the last one has `"done": true` and the counts. An error in
mid-stream is a line with `error` alone (https://docs.ollama.com/api/errors).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from penstock.core.calls import Answer, Finish, Message, Reply
from penstock.core.canon import Json
from penstock.gateway.protocols import hearing
from penstock.gateway.protocols.saying import told, written
from penstock.gateway.protocols.shape import (
    Asked,
    Heard,
    Inbound,
    Stamp,
    Told,
    Translated,
    Untranslatable,
    Wrong,
)
from penstock.gateway.protocols.translating import OBJECT, neutral, only, refuse, text_of
from penstock.gateway.streams import Event, Passing, lines, parts, read_line, write_line
from penstock.models import bodies
from penstock.models import ollama as adapter

CHAT = "api.chat"
GENERATE = "api.generate"
EMBED = "api.embed"
EMBEDDINGS = "api.embeddings"
TAGS = "api.tags"

_PARAMS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "stop": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "num_ctx": "num_ctx",
}
_REFUSED = {
    "images": "holds pictures, and only text can be translated",
    "tools": "lets the model choose among tools, and only a text can be translated",
    "suffix": "asks for a text to be filled in",
    "context": "goes on from tokens of the model's own",
    "template": "is a prompt template of the model's own",
    "raw": "says that the prompt is written in the model's own template",
    "logprobs": "asks for log-probabilities",
}
_CALLS = {"images": _REFUSED["images"], "tool_calls": "tells of calls of tools"}
_TEXTS = {"text": "text"}


def asks(endpoint: str, body: Json) -> Asked:
    """What a call's body says of itself. A limit that is not above 0 is none."""
    whole = bodies.fields(body)
    model = next((whole[name] for name in ("model", "name") if isinstance(whole.get(name), str)), None)
    name = model if isinstance(model, str) else None
    if endpoint in (EMBED, EMBEDDINGS):
        return Asked(name, max_tokens=0)
    most = bodies.count(bodies.fields(whole.get("options")).get("num_predict")) or None
    return Asked(name, endpoint in (CHAT, GENERATE) and whole.get("stream") is not False, most)


def edits(inbound: Inbound) -> Mapping[str, Json]:
    """Nothing: the last line has the counts."""
    return {}


def listener(inbound: Inbound) -> OllamaStream:
    """Hears the lines."""
    return OllamaStream(inbound)


def hear(inbound: Inbound, answer: Answer) -> Heard:
    """The message or the response, or that there are embeddings: `/api/embeddings` does not count them."""
    if inbound.endpoint in (EMBED, EMBEDDINGS):
        return hearing.embedded(inbound, answer, "prompt_eval_count")
    chat = _as_chat(bodies.decode(answer.body)) if inbound.endpoint == GENERATE else None
    if chat is not None:
        return hearing.hear_told(adapter, inbound, answer, "ollama", chat, complete=True)
    return hearing.hear_with(adapter, inbound, answer, "ollama")


def translate(inbound: Inbound) -> Translated:
    """The call in words that every provider has. Raises Untranslatable."""
    body = bodies.fields(inbound.body)
    if inbound.endpoint in (EMBED, EMBEDDINGS):
        raise Untranslatable("it asks for embeddings, which only its own provider can make")
    refuse(body, _REFUSED)
    form = body.get("format")
    params = neutral(bodies.fields(body.get("options")), _PARAMS)
    if inbound.asked.max_tokens is not None:
        params["max_tokens"] = inbound.asked.max_tokens
    schema = form if isinstance(form, dict) else OBJECT if form == "json" else None
    return Translated(only(_prompt(body) if inbound.endpoint == GENERATE else _turns(body)), params, schema)


def say(inbound: Inbound, translated: Translated, reply: Reply, stamp: Stamp) -> bytes:
    """A response in one piece."""
    return written({**_line(inbound, reply.text, stamp), **_end(reply)})


def stream(inbound: Inbound, translated: Translated, reply: Reply, stamp: Stamp) -> list[bytes]:
    """The lines."""
    told = [{**_line(inbound, part, stamp), "done": False} for part in parts(reply.text)]
    return [write_line(line) for line in (*told, {**_line(inbound, "", stamp), **_end(reply)})]


def error(wrong: Wrong, message: str) -> Told:
    """An error in Ollama's format."""
    return told(wrong, {"error": message})


def broken(wrong: Wrong, message: str) -> bytes:
    """A line with an error."""
    return write_line({"error": message})


class OllamaStream:
    """The lines of one stream, put together to the response that they are pieces of."""

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound
        self._passing = Passing(lines(), read_line, self._told)
        self._texts: list[str] = []
        self._calls: list[Json] = []
        self._last: dict[str, Json] = {}
        self._complete = False

    def feed(self, chunk: bytes) -> bytes:
        """Takes the next bytes; what of them the client is to have now: all whole lines."""
        return self._passing.feed(chunk)

    def end(self) -> bytes:
        """What the client is still to have."""
        return self._passing.end()

    def heard(self, answer: Answer) -> Heard:
        """The message as far as it has come; the counts come with the last line."""
        message = {"content": "".join(self._texts), "tool_calls": self._calls}
        whole = {name: value for name, value in self._last.items() if name != "done"}
        if "error" not in whole:
            whole["message"] = message
        return hearing.hear_told(adapter, self._inbound, answer, "ollama", whole, self._complete, bool(self._texts))

    def _told(self, event: Event) -> bool:
        line = bodies.fields(event.data)
        if not line:
            return True
        self._last = line
        self._complete = self._complete or line.get("done") is True
        message = bodies.fields(line.get("message"))
        self._calls += bodies.elements(message.get("tool_calls"))
        said = message.get("content", line.get("response"))
        if isinstance(said, str):
            self._texts.append(said)
        return True


def _as_chat(body: Json) -> Json | None:
    """A response to `/api/generate` as one to `/api/chat`: its text is a message. None for what is no response."""
    whole = bodies.fields(body)
    if "response" not in whole or "error" in whole:
        return None
    return {**whole, "message": {"role": "assistant", "content": whole["response"]}}


def _line(inbound: Inbound, text: str, stamp: Stamp) -> dict[str, Json]:
    at = datetime.fromtimestamp(stamp.at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    chat = inbound.endpoint == CHAT
    said = {"message": {"role": "assistant", "content": text}} if chat else {"response": text}
    return {"model": inbound.asked.model or "", "created_at": at, **said}


def _end(reply: Reply) -> dict[str, Json]:
    """What the last line says. Ollama has no word for a refusal."""
    usage = reply.usage
    counts = {"prompt_eval_count": usage.input_tokens, "eval_count": usage.output_tokens} if usage else {}
    return {"done": True, "done_reason": "length" if reply.finish is Finish.LENGTH else "stop", **counts}


def _prompt(body: Mapping[str, Json]) -> list[Message]:
    """The turns of `/api/generate`. Without a prompt it loads a model, and asks nothing."""
    system, prompt = body.get("system"), body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise Untranslatable("it has no prompt")
    before = [Message("system", system)] if isinstance(system, str) and system else []
    return [*before, Message("user", prompt)]


def _turns(body: Mapping[str, Json]) -> list[Message]:
    turns: list[Message] = []
    for at, each in enumerate(bodies.elements(body.get("messages"))):
        message, where = bodies.fields(each), f"messages[{at}]"
        role = message.get("role")
        if role not in ("system", "user", "assistant"):
            raise Untranslatable(f"{where} has the role {role}, and only system, user and assistant can be translated")
        refuse(message, _CALLS)
        turns.append(Message(str(role), text_of(message.get("content"), where, _TEXTS)))
    return turns
