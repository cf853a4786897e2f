"""A call on its way in and out: whose it is, what it asks, the bytes that are sent for it, and what it is known by.

Which protocol a path belongs to:

    /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses   OpenAI's
    /v1/messages, /v1/messages/…                                           Anthropic's
    /v1/models, /v1/…                        Anthropic's if the headers are (`anthropic-version`), else OpenAI's
    /api/…, /                                                              Ollama's

Ollama serves the formats of the other two under `/v1` as well: a call whose token stands in its path is meant for
Ollama's server, whatever it speaks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from penstock.core.canon import Json, compact
from penstock.gateway.protocols import anthropic, ollama, openai, openai_responses
from penstock.gateway.protocols.editing import with_fields
from penstock.gateway.protocols.shape import Asked, Inbound, Kind, Speaks
from penstock.models.bodies import decode

_VARIANTS = ("anthropic-beta", "anthropic-version", "openai-beta")
"""Headers that change what is answered, so that they tell requests apart."""

_RETRY_COUNT = "x-stainless-retry-count"
_UNKNOWN = Asked(None)


class Route(NamedTuple):
    """What a method and a path mean. `endpoint` is "" where nothing is known of them."""

    protocol: str
    endpoint: str
    kind: Kind
    speaks: Speaks


class Outbound(NamedTuple):
    """A body to be sent: its bytes, and the JSON value that they mean, None where they are no JSON."""

    raw: bytes
    body: Json


_POSTS: Mapping[str, Route] = {
    "/v1/chat/completions": Route("openai", openai.CHAT, Kind.CHAT, openai),
    "/v1/completions": Route("openai", openai.COMPLETIONS, Kind.CHAT, openai),
    "/v1/embeddings": Route("openai", openai.EMBEDDINGS, Kind.EMBEDDING, openai),
    "/v1/responses": Route("openai", openai_responses.RESPONSES, Kind.CHAT, openai_responses),
    "/v1/messages": Route("anthropic", anthropic.MESSAGES, Kind.CHAT, anthropic),
    "/api/chat": Route("ollama", ollama.CHAT, Kind.CHAT, ollama),
    "/api/generate": Route("ollama", ollama.GENERATE, Kind.CHAT, ollama),
    "/api/embed": Route("ollama", ollama.EMBED, Kind.EMBEDDING, ollama),
    "/api/embeddings": Route("ollama", ollama.EMBEDDINGS, Kind.EMBEDDING, ollama),
}


def route(method: str, path: str, headers: Mapping[str, str], in_path: bool = False) -> Route:
    """Whose call this is. `path` is without token and query, `headers` have lower-case names; `in_path` tells that the
    token stood in the path, as Ollama's clients send it."""
    plain = path.rstrip("/") or "/"
    known = _POSTS.get(plain) if method == "POST" else None
    found = known or _unmetered(method, plain, "anthropic-version" in headers, in_path)
    return found._replace(protocol="ollama") if in_path else found


def read(
    method: str, path: str, query: str, headers: Mapping[str, str], raw: bytes, in_path: bool = False
) -> tuple[Inbound, Speaks]:
    """The call, and who speaks its protocol. A body that is no JSON object has no model: it is passed on as it is."""
    protocol, endpoint, kind, speaks = route(method, path, headers, in_path)
    body = decode(raw) if raw and kind is not Kind.MODELS else None
    asked = speaks.asks(endpoint, body) if isinstance(body, dict) else _UNKNOWN
    told = (*_VARIANTS, "content-type") if kind is Kind.OTHER else _VARIANTS  # an upload says how it is cut in parts
    variant = tuple((name, headers[name]) for name in told if name in headers)
    return Inbound(protocol, endpoint, kind, method, path, query, raw, body, asked, variant), speaks


def outbound(inbound: Inbound, speaks: Speaks, model: str | None, body: Json = None) -> Outbound:
    """What to send for the call: the client's own bytes, with `model` in the place of its model's name if that is
    another one, and with what metering needs.

    With a `body`, that one is said instead, as compact JSON: it is the call's own with secrets masked. A body that
    cannot be edited is sent as it is.
    """
    changes = dict(speaks.edits(inbound)) if inbound.metered else {}
    if inbound.asked.model is not None and model is not None and model != inbound.asked.model:
        changes["model"] = model
    if isinstance(body, dict):
        said = {**body, **changes}
        return Outbound(_written(said).encode("utf-8", "backslashreplace"), said)
    try:
        raw = with_fields(inbound.raw, changes)
    except (ValueError, RecursionError):
        return Outbound(inbound.raw, inbound.body)
    return Outbound(raw, {**inbound.body, **changes} if isinstance(inbound.body, dict) else inbound.body)


def identity(inbound: Inbound, sent: Outbound) -> Json:
    """What the call is known by in the cache: equal for every client that has the same bytes' meaning sent.

    A stream is another call than the same one without `stream`, for its answer is kept as the bytes of a stream.
    """
    return {
        "protocol": inbound.protocol,
        "method": inbound.method,
        "path": inbound.path,
        "query": inbound.query,
        "headers": dict(inbound.variant),
        "body": sent.raw.decode("utf-8", "replace") if sent.body is None else sent.body,
    }


def is_retry(headers: Mapping[str, str]) -> bool:
    """Whether a client marks this as a further try of a call that it made before. OpenAI's and Anthropic's SDKs count
    their tries from 0 in `x-stainless-retry-count`; Ollama's clients try once."""
    count = headers.get(_RETRY_COUNT, "")
    return count.isascii() and count.isdigit() and int(count) > 0


def _written(body: dict[str, Json]) -> str:
    """Compact JSON, with the NaN and the depth that Python's own parser let in."""
    try:
        return compact(body)
    except (ValueError, RecursionError):
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _unmetered(method: str, path: str, anthropics: bool, in_path: bool) -> Route:
    """A call that costs nothing, or of which nothing is known."""
    if path == "/api/tags" and method == "GET":
        return Route("ollama", ollama.TAGS, Kind.MODELS, ollama)
    if path == "/" or path == "/api" or path.startswith("/api/"):
        return Route("ollama", "", Kind.OTHER, ollama)
    anthropics = anthropics or path.startswith("/v1/messages/")
    protocol, speaks = ("anthropic", anthropic) if anthropics else ("openai", openai)
    if method == "GET" and (path == "/v1/models" or path.startswith("/v1/models/")):
        return Route(protocol, "models", Kind.MODELS, speaks)
    if in_path and not path.startswith("/v1/"):
        return Route("ollama", "", Kind.OTHER, ollama)
    return Route(protocol, "", Kind.OTHER, speaks)
