"""Requests over the network, through one aiohttp session.

Proxies: `https_proxy` and `http_proxy` of the environment (lower case first, as curl does) less what `no_proxy` lists,
and never for a server on the loopback interface. aiohttp's own `trust_env` is off: it asks for proxies in a thread for
each request, and takes credentials from ~/.netrc that nobody named.
Redirects are not followed: the credential would go along to another host.
Certificates are checked against the system's authorities, or those in `SSL_CERT_FILE`, which OpenSSL reads.
"""

from __future__ import annotations

import asyncio
import io
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import aiohttp
from yarl import URL

from penstock import __version__
from penstock.core.calls import Answer, Fault, FaultClass, TransportKind
from penstock.core.seams import Clock
from penstock.models.wire import Hear, HttpRequest

MOST_BYTES = 64 * 2**20
"""The longest response that is read, unpacked. Answers have kilobytes; this is a broken or hostile server."""

CONNECT_S = 30.0
"""How long a connection may take to be made, if the request's own time is not shorter."""

KEEP_ALIVE_S = 4.0
"""How long an idle connection is kept. uvicorn, which serves vLLM and many others, closes one after 5 s, and a request
that crosses with the closing is lost, with no word on whether it was worked on."""

_CONNECT_SHARE = 0.9
_LARGE_BYTES = 2**20
_REDIRECTS = (301, 302, 303, 307, 308)
_KEPT = frozenset(
    ("content-type", "date", "openai-processing-ms", "request-id", "retry-after", "retry-after-ms", "x-request-id")
)
_KEPT_PREFIXES = ("x-ratelimit", "anthropic-ratelimit")


@dataclass(frozen=True, slots=True)
class _Target:
    """An address, ready to be sent to; `where` is what messages call it: never a user, a password or a query."""

    url: URL
    where: str
    proxy: URL | None


class HttpClient:
    """One session for all servers. To be made and used inside one event loop."""

    def __init__(self, clock: Clock, environ: Mapping[str, str], most_bytes: int = MOST_BYTES) -> None:
        self._clock = clock
        self._environ = environ
        self._most_bytes = most_bytes
        self._targets: dict[str, _Target] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"penstock/{__version__}"},
        )

    async def close(self) -> None:
        """Every connection is closed."""
        await self._session.close()

    async def send(self, request: HttpRequest, timeout_s: float, hear: Hear | None = None) -> Answer | Fault:
        """The whole response, or why there is none. `hear` gets the parts of a good one as they arrive."""
        began = self._clock.monotonic()
        try:
            target = self._targets.get(request.url) or self._new_target(request.url)
        except ValueError as error:
            return Fault(FaultClass.DENIED, f"not an address: {error}")
        body = io.BytesIO(request.body) if len(request.body) > _LARGE_BYTES else request.body
        try:
            async with self._session.request(
                request.method,
                target.url,
                data=body,
                headers=request.headers,
                allow_redirects=False,
                timeout=_timeout(timeout_s),
                proxy=target.proxy,
            ) as response:
                if response.status in _REDIRECTS:
                    return _redirected(response, target)
                whole = await self._whole(response, hear if response.status == 200 else None)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            return _fault(error, target, timeout_s)
        if whole is None:
            message = f"{target.where} answered with more than {self._most_bytes:,} bytes, which no answer has"
            return Fault(FaultClass.DENIED, message, status=response.status, billed=True)
        return Answer(response.status, _kept(response), whole, self._clock.now(), self._clock.monotonic() - began)

    async def _whole(self, response: aiohttp.ClientResponse, hear: Hear | None) -> bytes | None:
        """The body, unpacked; None where it is longer than it may be."""
        if (response.content_length or 0) > self._most_bytes:
            return None
        parts: list[bytes] = []
        size = 0
        while part := await response.content.readany():
            size += len(part)
            if size > self._most_bytes:
                return None
            parts.append(part)
            if hear is not None:
                hear(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _new_target(self, address: str) -> _Target:
        url = URL(address)
        if not url.host:
            raise ValueError(f"{url.scheme}:// without a host")
        where = url.host if url.is_default_port() else f"{url.host}:{url.port}"
        target = _Target(url, where, _proxy(url, self._environ))
        self._targets[address] = target
        return target


@lru_cache(maxsize=64)
def _timeout(timeout_s: float) -> aiohttp.ClientTimeout:
    """A little less for the connection than for the whole, so that it is known which of the two was too slow."""
    return aiohttp.ClientTimeout(total=timeout_s, connect=_connect_s(timeout_s), sock_connect=None)


def _connect_s(timeout_s: float) -> float:
    return min(CONNECT_S, timeout_s * _CONNECT_SHARE)


def _proxy(url: URL, environ: Mapping[str, str]) -> URL | None:
    """The proxy for an address; None for the direct way. ValueError for a proxy that cannot be used."""
    host = url.host or ""
    named = next((environ[name] for name in _both_cases(f"{url.scheme}_proxy") if environ.get(name)), None)
    bypassed = next((environ[name] for name in _both_cases("no_proxy") if environ.get(name)), "")
    if named is None or _is_loopback(host) or _is_bypassed(host, url.port, bypassed):
        return None
    proxy = URL(named if "://" in named else f"http://{named}")
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise ValueError(f"{url.scheme}_proxy names a {proxy.scheme} proxy, and only http and https proxies are known")
    return proxy


def _is_bypassed(host: str, port: int | None, listed: str) -> bool:
    """Whether `no_proxy` lists the host, a domain that it lies in, or `*`."""
    entries = [
        entry.strip().lower().removeprefix("*").removeprefix(".") for entry in listed.split(",") if entry.strip()
    ]
    whole = host.lower()
    return any(not entry or entry in (whole, f"{whole}:{port}") or whole.endswith(f".{entry}") for entry in entries)


def _both_cases(name: str) -> tuple[str, str]:
    return name, name.upper()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _kept(response: aiohttp.ClientResponse) -> tuple[tuple[str, str], ...]:
    """The headers that are read later. The others are dropped here: a cookie is never stored."""
    named = ((name.lower(), value) for name, value in response.headers.items())
    return tuple(pair for pair in named if pair[0] in _KEPT or pair[0].startswith(_KEPT_PREFIXES))


def _redirected(response: aiohttp.ClientResponse, target: _Target) -> Fault:
    try:
        onward = URL(response.headers.get("location", ""))
        place = str(target.url.join(onward).with_user(None).with_query(None).with_fragment(None))
    except ValueError:
        place = "an address that makes no sense"
    message = f"{target.where} redirects to {place}; redirects are not followed, so put the address into `base_url`"
    return Fault(FaultClass.DENIED, message, status=response.status)


def _fault(error: Exception, target: _Target, timeout_s: float) -> Fault:
    """What kept the response away, and whether the request can have been worked on."""
    where = target.where
    match error:
        case aiohttp.ConnectionTimeoutError():
            return _timed_out(f"no connection to {where} within {_connect_s(timeout_s):g} s", billed=False)
        case asyncio.TimeoutError():
            return _timed_out(f"no whole answer from {where} within {timeout_s:g} s", billed=True)
        case aiohttp.ClientConnectorCertificateError():
            return _unconnected(
                f"the certificate of {where} is not trusted: {_certificate(error.certificate_error)}; "
                "for an authority of your own, name its file in SSL_CERT_FILE"
            )
        case aiohttp.ClientConnectorSSLError():
            return _unconnected(f"no secure connection to {where}: {_reason(error.os_error)}")
        case aiohttp.ClientProxyConnectionError():
            return _unconnected(f"cannot connect to {_proxy_name(target)}: {_reason(error.os_error)}")
        case aiohttp.ClientConnectorDNSError():
            return _unconnected(f"the name {target.url.host} is not known: {_reason(error.os_error)}")
        case aiohttp.ClientConnectorError():
            return _unconnected(f"cannot connect to {where}: {_reason(error.os_error)}; is a server running there?")
        case aiohttp.ClientHttpProxyError():
            return _unconnected(f"{_proxy_name(target)} does not let us through to {where}: status {error.status}")
        case aiohttp.ServerDisconnectedError():
            return _cut_off(f"{where} closed the connection without an answer")
        case aiohttp.ClientPayloadError():
            return _cut_off(f"the answer of {where} was cut short or garbled")
        case aiohttp.ClientResponseError():
            return _cut_off(f"what {where} answered is not HTTP: {error.message}")
        case aiohttp.ClientConnectionError() | OSError():
            return _cut_off(f"the connection to {where} broke: {_reason(error)}")
        case ValueError():
            message = f"the request to {where} cannot be sent: its address or its key holds what HTTP does not allow"
            return Fault(FaultClass.DENIED, message)
    return _cut_off(f"{where}: {type(error).__name__}")


def _timed_out(message: str, billed: bool) -> Fault:
    return Fault(FaultClass.TRANSPORT, message, TransportKind.TIMEOUT, billed=billed)


def _unconnected(message: str) -> Fault:
    """Not a byte of the request was sent."""
    return Fault(FaultClass.TRANSPORT, message, TransportKind.CONNECTION)


def _cut_off(message: str) -> Fault:
    """The request was sent, in part or whole, and what became of it is not known."""
    return Fault(FaultClass.TRANSPORT, message, TransportKind.CONNECTION, billed=True)


def _proxy_name(target: _Target) -> str:
    return f"the proxy {target.proxy.host}:{target.proxy.port}" if target.proxy else "the proxy"


def _certificate(error: Exception) -> str:
    return getattr(error, "verify_message", "") or str(error)


def _reason(error: BaseException) -> str:
    """The system's words for an error, without Python's."""
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number > 0:
        return os.strerror(number)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
