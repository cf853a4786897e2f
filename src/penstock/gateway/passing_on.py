"""A call in its own words, on its way to a server that speaks its protocol: built, sent, and what comes back read."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from penstock.core.calls import Answer, Fault, FaultClass, Finish, Reply, Request, TransportKind, Usage
from penstock.core.models import Model
from penstock.gateway.protocols.calls import Outbound, identity
from penstock.gateway.protocols.shape import Inbound, Kind, Speaks
from penstock.models.client import Passing
from penstock.models.pricing import NOTHING
from penstock.models.wire import Built, Endpoint, Hear, HttpRequest

_VERSION = ("anthropic-version", "2023-06-01")
_FREE = ("/v1/messages/count_tokens", "/v1/responses/input_tokens")
_ONE = 1
"""An embedding and a list have no answer in tokens; the ledger wants a limit, and one is the smallest."""


class OwnWords:
    """An adapter for one call, which says it as its client did. `answer` is the last response, whatever its status."""

    def __init__(self, inbound: Inbound, speaks: Speaks, sent: bytes) -> None:
        self._inbound = inbound
        self._speaks = speaks
        self._sent = sent
        self.answer: Answer | None = None

    def endpoint(self, base_url: str | None, key: str | None) -> Endpoint:
        """The address as it is."""
        return Endpoint(base_url or "", key)

    def build(self, request: Request, endpoint: Endpoint, dropped: frozenset[str]) -> Built:
        """The client's own body, with the real key in the place of the token. Nothing is ever dropped."""
        headers = headers_to(self._inbound, endpoint)
        return Built(HttpRequest(address(self._inbound, endpoint), headers, self._sent, self._inbound.method))

    def parse(self, request: Request, answer: Answer) -> Reply | Fault:
        """What the response says: text, usage, or what went wrong. A stream that ended before its end is a fault."""
        self.answer = answer
        if is_free(self._inbound) and answer.status < 300:
            return Reply("", Finish.STOP, Usage(0, 0), "")
        if self._inbound.kind is Kind.OTHER and answer.status < 300:
            return Fault(FaultClass.DENIED, "what it was for and what it cost is not known", billed=True)
        if self._inbound.asked.stream and answer.status < 300 and not self._is_whole(answer):
            listener = self._speaks.listener(self._inbound)
            listener.feed(answer.body)
            listener.end()
            heard = listener.heard(answer)
        else:
            heard = self._speaks.hear(self._inbound, answer)
        if not heard.complete and isinstance(heard.parsed, Reply):
            return Fault(FaultClass.TRANSPORT, "the stream broke off", TransportKind.CONNECTION, billed=True)
        return replace(heard.parsed, param=None) if isinstance(heard.parsed, Fault) else heard.parsed

    def _is_whole(self, answer: Answer) -> bool:
        """Whether a server that was asked for events has answered with an object: not every one streams."""
        return not self._inbound.path.startswith("/api/") and answer.body.lstrip().startswith(b"{")


def passing(
    inbound: Inbound, speaks: Speaks, model: Model, endpoint: Endpoint, sent: Outbound, hear: Hear | None
) -> tuple[Passing, OwnWords]:
    """The call as the models' client takes it, its sample number still 0, and the adapter that reads what comes."""
    asked = inbound.asked
    free = is_free(inbound)
    most = _ONE if free or inbound.kind is Kind.EMBEDDING else asked.max_tokens
    model = replace(model, price=NOTHING) if free else model
    request = Request(model, (), {"n": asked.answers} if asked.answers > 1 else {}, max_tokens=most)
    words = OwnWords(inbound, speaks, sent.raw)
    told = identity(inbound, sent)
    assert isinstance(told, dict)
    return Passing(request, words, endpoint, told, hear if asked.stream else None), words


def is_free(inbound: Inbound) -> bool:
    """Whether it is no call of a model: what only looks something up costs nothing with any provider."""
    looks = inbound.kind is Kind.OTHER and (inbound.method in ("GET", "HEAD") or inbound.path in _FREE)
    return looks or inbound.kind is Kind.MODELS


def address(inbound: Inbound, endpoint: Endpoint) -> str:
    """Where the call goes. A base of OpenAI's ends with the version that the paths begin with, and may have a query of
    its own (Azure's `?api-version=`)."""
    base, _, own = endpoint.url.partition("?")
    path = inbound.path.removeprefix("/v1") if inbound.protocol == "openai" else inbound.path
    query = "&".join(part for part in (own, inbound.query) if part)
    return f"{base.rstrip('/')}{path}" + (f"?{query}" if query else "")


def headers_to(inbound: Inbound, endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    """The real credential, and the client's headers that change an answer. No other header of the client's leaves."""
    streamed = "text/event-stream, application/json" if inbound.asked.stream else "application/json"
    headers = [("accept", "*/*" if inbound.kind is Kind.OTHER else streamed)]
    said = {name for name, _ in inbound.variant}
    if inbound.raw and "content-type" not in said:
        headers.append(("content-type", "application/json"))
    if inbound.protocol == "anthropic" and _VERSION[0] not in said:
        headers.append(_VERSION)
    return (*headers, *inbound.variant, *_credential(inbound.protocol, endpoint))


def _credential(protocol: str, endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    if endpoint.key is None:
        return ()
    if protocol == "anthropic":
        return (("x-api-key", endpoint.key),)
    if (urlsplit(endpoint.url).hostname or "").endswith(".azure.com"):
        return (("api-key", endpoint.key),)
    return (("authorization", f"Bearer {endpoint.key}"),)
