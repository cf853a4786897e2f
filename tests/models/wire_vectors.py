"""Recorded responses of providers, each with what an adapter must make of it: `vectors/PROVIDER/*.json`.

A vector's `request` holds what of the request matters to the response: `params`, `schema`, and `user_words`, the number
of words of its user message. Its `body` is JSON, or the exact text where it is a string.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.core.calls import Answer, Fault, Message, Reply, Request, Usage
from penstock.core.models import Model

AT = 1_700_000_000.0
"""When every vector's response came: 2023-11-14 22:13:20 UTC."""

FOLDER = Path(__file__).parent / "vectors"
SERVED = {"ollama": "llama3.1:8b"}


@dataclass(frozen=True, slots=True)
class Vector:
    """One recorded response."""

    name: str
    request: Request
    answer: Answer
    expect: Mapping[str, Any]


def asked(provider: str, params: Mapping[str, Any] | None = None, **fields: Any) -> Request:
    """A request of one user message."""
    served = fields.pop("served", SERVED.get(provider, "small"))
    messages = fields.pop("messages", (Message("user", "Summarise."),))
    return Request(Model("m", provider, served), messages, params or {}, **fields)


def answer(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    """A response that came at AT."""
    return Answer(status, tuple((headers or {"content-type": "application/json"}).items()), body, AT, 0.1)


def vectors(provider: str) -> list[Vector]:
    """The provider's vectors in order of their names."""
    return [_read(provider, path) for path in sorted((FOLDER / provider).glob("*.json"))]


def assert_parsed(parsed: Reply | Fault, expect: Mapping[str, Any]) -> None:
    """The reply is exactly what is expected; of a fault, what the vector speaks of, and no wait that it does not."""
    if isinstance(parsed, Reply):
        usage = expect["usage"]
        assert parsed.text == expect["text"]
        assert parsed.finish.value == expect["finish"]
        assert parsed.usage == (None if usage is None else Usage(*usage))
        assert (parsed.served, parsed.logprob) == (expect["served"], expect.get("logprob"))
        return
    assert parsed.cls.value == expect["cls"]
    assert (parsed.kind.value if parsed.kind else None) == expect.get("kind")
    assert (parsed.param, parsed.retry_after_s) == (expect.get("param"), expect.get("retry_after_s"))
    assert parsed.billed == expect.get("billed", parsed.billed)
    assert parsed.status == expect.get("status", parsed.status)
    assert expect.get("contains", "") in parsed.message
    assert parsed.message


def _read(provider: str, path: Path) -> Vector:
    recorded = json.loads(path.read_bytes())
    given = recorded["request"]
    words = " ".join(["word"] * given.get("user_words", 1))
    request = asked(provider, given.get("params"), schema=given.get("schema"), messages=(Message("user", words),))
    body = recorded["body"]
    raw = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return Vector(path.stem, request, answer(recorded["status"], raw.encode(), recorded["headers"]), recorded["expect"])
