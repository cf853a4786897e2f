"""The gateway's HTTP: who may come in, what was said, and the answer as it comes.

Only this machine can reach it, and only with a token. A browser is kept out besides: the `Host` must be the gateway's
own address, so that no name that somebody points at this machine works (DNS rebinding), and no header ever allows
another origin.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

from aiohttp import web

from penstock.gateway.listening import BACKLOG, HOST
from penstock.gateway.passes import PREFIX, Holder, Passes
from penstock.gateway.protocols.calls import is_retry, read, route
from penstock.gateway.protocols.shape import Told, Wrong
from penstock.gateway.relaying import Live, Relaying

MOST_BYTES = 64 * 2**20
"""The longest request: a prompt with pictures in it has some megabytes."""
CLOSING_S = 1.0
"""How long the last answers may take to be fetched when the run is over."""

_OUR_NAMES = frozenset({HOST, "localhost"})
_IN_HEADERS = ("authorization", "x-api-key", "api-key")

_Refused = tuple[Wrong, str]
_HELP = "inside `run` the environment has one (OPENAI_API_KEY); `gateway: off` in the step lets it call by itself"
_NOBODY: _Refused = (Wrong.UNAUTHORIZED, f"Penstock's gateway: there is no token; {_HELP}")
_STALE: _Refused = (
    Wrong.UNAUTHORIZED,
    f"Penstock's gateway: this token is not valid, or its command has ended; {_HELP}",
)


class _Caller(NamedTuple):
    """Whose call it is, its path without the token, and whether the token stood there; or why nobody is let in."""

    holder: Holder | None
    path: str
    in_path: bool
    refused: _Refused | None = None


class Server:
    """Serves one socket until it is closed."""

    def __init__(self, passes: Passes, relaying: Relaying) -> None:
        self._passes = passes
        self._relaying = relaying
        self._runner: web.ServerRunner | None = None

    async def start(self, listening: socket.socket) -> None:
        """The socket is served."""
        server = web.Server(self._handle, request_factory=_request, access_log=None)
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=CLOSING_S)
        await self._runner.setup()
        await web.SockSite(self._runner, listening, backlog=BACKLOG).start()

    async def close(self) -> None:
        """Nobody is served any more; what was in flight has been kept."""
        await self._relaying.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        caller = self._caller(request.rel_url.raw_path, headers)
        path, in_path = caller.path, caller.in_path
        refused = _foreign(headers) or caller.refused
        if refused is not None or caller.holder is None:
            return _whole(route(request.method, path, headers, in_path).speaks.error(*(refused or _NOBODY)))
        if headers.get("expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        try:
            raw = await request.read()
        except web.HTTPRequestEntityTooLarge:
            speaks = route(request.method, path, headers, in_path).speaks
            return _whole(speaks.error(Wrong.TOO_LARGE, f"a request may have {MOST_BYTES >> 20} MiB"))
        except ConnectionError:
            return web.Response(status=400)  # it went away before it had asked, and nobody hears this
        query = request.rel_url.raw_query_string
        inbound, speaks = read(request.method, path, query, headers, raw, in_path)
        found = await self._relaying.answer(caller.holder, inbound, speaks, is_retry(headers))
        return _whole(found) if isinstance(found, Told) else await _streamed(request, found)

    def _caller(self, path: str, headers: Mapping[str, str]) -> _Caller:
        """Who calls, and what. A client that has the token in its address may send somebody else's key beside it."""
        first, _, rest = path.lstrip("/").partition("/")
        holder = self._passes.holder(first)
        if holder is not None:
            return _Caller(holder, f"/{rest}", True)
        tokens = [token for token in map(_token, map(headers.get, _IN_HEADERS)) if token]
        holder = next(filter(None, map(self._passes.holder, tokens)), None)
        if holder is not None:
            return _Caller(holder, path, False)
        in_path = first.startswith(PREFIX)
        return _Caller(None, f"/{rest}" if in_path else path, in_path, _STALE if in_path or tokens else _NOBODY)


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    """A request as aiohttp makes it, that may be longer than its 1 MiB."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MOST_BYTES)


def _token(value: str | None) -> str:
    """The token that a header holds; "" if it holds none."""
    scheme, _, rest = (value or "").strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else scheme


def _foreign(headers: Mapping[str, str]) -> _Refused | None:
    """Why a call does not come from a command of ours; None if it may."""
    host = headers.get("host", "")
    if host.rpartition(":")[0] not in _OUR_NAMES and host not in _OUR_NAMES:
        return Wrong.FORBIDDEN, f"this is Penstock's gateway, and not {host or 'a server without a name'}"
    if "origin" in headers:
        return Wrong.FORBIDDEN, "Penstock's gateway answers no page of a browser"
    return None


def _whole(told: Told) -> web.Response:
    return web.Response(status=told.status, headers=list(told.headers), body=told.body)


async def _streamed(request: web.BaseRequest, live: Live) -> web.StreamResponse:
    """The parts as they come. A client that goes away misses the rest; the call goes on without it."""
    response = web.StreamResponse(headers=list(live.headers))
    try:
        await response.prepare(request)
        async with aclosing(live.parts) as parts:
            async for part in parts:
                await response.write(part)
        await response.write_eof()
    except (ConnectionError, asyncio.TimeoutError):
        pass
    return response
