"""The nouns of the gateway's protocols, and what each must be able to do so that the server is one loop over all.

A call comes in as an Inbound. It is sent on in its own protocol, and what comes back is heard as it passes; or its
model is mapped to another provider, and it is Translated: asked as a Request, the Reply said in the client's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from penstock.core.calls import Answer, Fault, Message, Reply, Request
from penstock.core.canon import Json
from penstock.core.models import Model


class Kind(str, Enum):
    """What a call is for. CHAT and EMBEDDING cost money, MODELS is free, of OTHER nothing is known."""

    CHAT = "chat"
    EMBEDDING = "embedding"
    MODELS = "models"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body says of itself. `model` is None where it names none.

    `max_tokens` is the most that each of `answers` answers may have, None where the client sets no limit.
    `wants_usage` tells that a stream is to end with its usage, as the client asked or as the protocol always does.
    """

    model: str | None
    stream: bool = False
    max_tokens: int | None = None
    answers: int = 1
    wants_usage: bool = True


@dataclass(frozen=True, slots=True)
class Inbound:
    """One call as a client made it. `protocol` says whose endpoint it is meant for: openai, anthropic or ollama.

    `endpoint` is the protocol's own word for what is called; `path` is without the token, `query` without the `?`.
    `body` is the JSON value of `raw`, None where there is none. `variant` holds the headers that change an answer.
    """

    protocol: str
    endpoint: str
    kind: Kind
    method: str
    path: str
    query: str
    raw: bytes
    body: Json
    asked: Asked
    variant: tuple[tuple[str, str], ...] = ()

    @property
    def metered(self) -> bool:
        """Whether it costs money in a way that is understood: it has a usage, a budget and a cache entry."""
        return self.kind in (Kind.CHAT, Kind.EMBEDDING)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a response says. `complete` is False for a stream that ended before its end was said.

    An answer of which no text is kept (an embedding) is a Reply with an empty one. A stream that broke off is a Reply
    of what came, without a usage: the servers say it last.
    """

    parsed: Reply | Fault
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Translated:
    """A call in words that every provider has. `params` go by neutral names; each target takes those that it knows.

    `tool` names the tool that the client forces: the schema is the tool's input, and the answer is said as its call.
    """

    messages: tuple[Message, ...]
    params: Mapping[str, Json] = field(default_factory=dict)
    schema: Json | None = None
    tool: str | None = None

    def request(self, model: Model, sample: int = 0) -> Request:
        """The question to `model`. Parameters that its provider does not have are left out."""
        known = KNOWN_PARAMS.get(model.provider)
        params = {name: value for name, value in self.params.items() if known is None or name in known}
        return Request(model, self.messages, params, self.schema, sample=sample)


_EVERYWHERE = frozenset(("temperature", "top_p", "stop", "max_tokens"))
KNOWN_PARAMS: Mapping[str, frozenset[str]] = {
    "openai": _EVERYWHERE | {"seed", "presence_penalty", "frequency_penalty", "reasoning_effort"},
    "anthropic": _EVERYWHERE | {"top_k"},
    "ollama": _EVERYWHERE | {"seed", "presence_penalty", "frequency_penalty", "top_k", "min_p", "num_ctx"},
}
"""The neutral parameters that each provider takes; one that is not listed takes all."""


class Untranslatable(ValueError):
    """A call that no other provider can be asked. The message says what of it, as a sentence without a full stop."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one made response from another: `id`, letters and digits, and `at`, seconds UTC."""

    id: str
    at: float


class Wrong(str, Enum):
    """Why the gateway answers a call with an error of its own."""

    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    BAD_REQUEST = "bad_request"
    TOO_LARGE = "too_large"
    BUDGET = "budget"
    RATE_LIMIT = "rate_limit"
    INTERNAL = "internal"
    UNREACHABLE = "unreachable"
    CLOSING = "closing"
    TIMEOUT = "timeout"


STATUSES: Mapping[Wrong, int] = {
    Wrong.UNAUTHORIZED: 401,
    Wrong.FORBIDDEN: 403,
    Wrong.NOT_FOUND: 404,
    Wrong.BAD_REQUEST: 400,
    Wrong.TOO_LARGE: 413,
    Wrong.BUDGET: 402,
    Wrong.RATE_LIMIT: 429,
    Wrong.INTERNAL: 500,
    Wrong.UNREACHABLE: 502,
    Wrong.CLOSING: 503,
    Wrong.TIMEOUT: 504,
}

NO_RETRY = (("x-should-retry", "false"),)
"""Heeded by the official SDKs of OpenAI and Anthropic before they look at the status. What could be tried again has
been tried by the gateway already; the tries of both would multiply."""


@dataclass(frozen=True, slots=True)
class Told:
    """A response of the gateway's own, ready to be sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Listener(Protocol):
    """Hears one stream as it passes."""

    def feed(self, chunk: bytes) -> bytes:
        """Takes the next bytes of the stream; what of them, and of those before, the client is to have now."""

    def end(self) -> bytes:
        """The stream is over: what the client is still to have."""

    def heard(self, answer: Answer) -> Heard:
        """What the stream has said so far. Of `answer` status, headers and times are looked at, not the body."""


class Speaks(Protocol):
    """One protocol's format, as a module. No I/O, no clock, no randomness; nothing raises but `translate`."""

    def asks(self, endpoint: str, body: Json) -> Asked:
        """What a call's body says of itself."""

    def edits(self, inbound: Inbound) -> Mapping[str, Json]:
        """Fields of the body that must be set so that the response can be metered; mostly none."""

    def listener(self, inbound: Inbound) -> Listener:
        """Hears the stream that answers this call."""

    def hear(self, inbound: Inbound, answer: Answer) -> Heard:
        """What a response that is not a stream says; one with an error status is a Fault."""

    def translate(self, inbound: Inbound) -> Translated:
        """The call in words that every provider has. Raises Untranslatable."""

    def say(self, inbound: Inbound, translated: Translated, reply: Reply, stamp: Stamp) -> bytes:
        """The reply as the JSON response of this protocol, the model by the name that was asked for."""

    def stream(self, inbound: Inbound, translated: Translated, reply: Reply, stamp: Stamp) -> list[bytes]:
        """The same as a stream: its pieces in order, each of them whole events or lines."""

    def error(self, wrong: Wrong, message: str) -> Told:
        """An error in this protocol's format."""

    def broken(self, wrong: Wrong, message: str) -> bytes:
        """An error as the last piece of a stream that has begun and cannot go on."""
