"""What passes over the wire, and what an adapter is: two pure functions, from a request and from a response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol
from urllib.parse import urlsplit

from penstock.core.calls import Answer, Fault, Reply, Request


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is served: `url` is the base without a trailing slash, `key` the credential, None for none.

    A `sim:` or `python:` address names no server: the transport answers it inside this process.
    """

    url: str
    key: str | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"


Hear = Callable[[bytes], None]
"""Hears the parts of a good response (200) as they arrive."""


@lru_cache(maxsize=64)
def host_of(url: str) -> str:
    """The host that an endpoint's address names, empty if it names none. Asked for each request."""
    return urlsplit(url).hostname or ""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, ready to be sent. `headers` hold the credential, so the repr leaves them out."""

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    method: str = "POST"

    def __repr__(self) -> str:
        return f"HttpRequest({self.url!r}, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True)
class Built:
    """A request as a provider wants it. `lowered` says, some words each, what of the schema the server is not asked."""

    http: HttpRequest
    lowered: tuple[str, ...] = ()


class Adapter(Protocol):
    """One provider's wire format. No I/O, no clock, no randomness."""

    def endpoint(self, base_url: str | None, key: str | None) -> Endpoint:
        """Where its models are, if `base_url` does not say otherwise."""

    def build(self, request: Request, endpoint: Endpoint, dropped: frozenset[str]) -> Built:
        """The request in this provider's words, without the parameters in `dropped`."""

    def parse(self, request: Request, answer: Answer) -> Reply | Fault:
        """What the response says. Never raises: a body that makes no sense is a transport fault."""


KEY_VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""Where a provider's key is looked for, if the workflow names no variable. The others need none."""
