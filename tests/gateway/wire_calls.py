"""Calls as clients make them, for the tests of the gateway's protocols."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from penstock.core.calls import Answer, Finish, Reply, Usage
from penstock.gateway.protocols.calls import read
from penstock.gateway.protocols.shape import Heard, Inbound, Speaks, Stamp

STAMP = Stamp("0a1b2c", 1_700_000_000.25)
USAGE = Usage(20, 5, 8, 2)

BODIES: Mapping[str, Mapping[str, Any]] = {
    "/v1/chat/completions": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "/v1/completions": {"model": "m", "prompt": "Hi"},
    "/v1/responses": {"model": "m", "input": "Hi"},
    "/v1/messages": {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}]},
    "/api/chat": {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": False},
    "/api/generate": {"model": "m", "prompt": "Hi", "stream": False},
}
"""The least that each chat endpoint is asked, not streamed."""


def called(path: str, body: Mapping[str, Any] | None = None, **fields: Any) -> tuple[Inbound, Speaks]:
    """A POST of this body, or of the least one, with these fields added."""
    whole = {**(BODIES[path] if body is None else body), **fields}
    return read("POST", path, "", {}, json.dumps(whole).encode())


def answered(body: Any, status: int = 200, kind: str = "application/json") -> Answer:
    """A response with this body: bytes and texts as they are, all else as JSON."""
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return Answer(status, (("content-type", kind),), raw, STAMP.at, 0.1)


def listened(inbound: Inbound, speaks: Speaks, stream: bytes, cut: int = 7) -> tuple[Heard, bytes]:
    """What is heard of a stream that comes in pieces of `cut` bytes, and what the client has of it."""
    listener = speaks.listener(inbound)
    had = b"".join(listener.feed(stream[at : at + cut]) for at in range(0, len(stream), cut))
    had += listener.end()
    return listener.heard(answered(b"", kind="text/event-stream")), had


def said(text: str, usage: tuple[int, ...] | None, finish: str = "stop", served: str = "served") -> Reply:
    """The reply that a response is expected to be."""
    return Reply(text, Finish(finish), None if usage is None else Usage(*usage), served)


def events(*data: Any) -> bytes:
    """A stream of events without names."""
    texts = [each if isinstance(each, str) else json.dumps(each) for each in data]
    return "".join(f"data: {text}\n\n" for text in texts).encode()


def named_events(*data: Mapping[str, Any]) -> bytes:
    """A stream of events, each named as its type."""
    return "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in data).encode()


def lines(*data: Any) -> bytes:
    """A stream of lines."""
    return "".join(f"{json.dumps(each)}\n" for each in data).encode()
