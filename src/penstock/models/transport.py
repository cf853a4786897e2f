"""The way out of this process: one request goes to its address, and one whole response or a fault comes back.

`http:` and `https:` go over the network (transport_http.py), `sim:` to the simulated model and `python:` to a function
of the user's, both in this process. Nothing is tried again here, and no answer is read: a response with status 500 is
an answer. A Fault says that there is no response, and by `billed` whether the request can have been worked on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from penstock.core.calls import Answer, Fault, FaultClass, TransportKind
from penstock.core.seams import Clock
from penstock.models.sim.adapter import SEND_HEADER
from penstock.models.transport_python import Functions
from penstock.models.wire import Hear, HttpRequest

if TYPE_CHECKING:
    from penstock.models.transport_http import HttpClient

Pause = Callable[[float], Awaitable[object]]

_JSON_HEADERS = (("content-type", "application/json"),)


class Transport:
    """Sends requests, any number at once, in the event loop in which the first one is sent. To be closed at the end.

    `environ` says which proxies there are (transport_http.py); `folder` is where a `python:` module may lie that is not
    installed: the workflow's. `pause` waits out a simulated latency.
    """

    def __init__(
        self,
        clock: Clock,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._environ = dict(environ or {})
        self._pause = pause
        self._functions = Functions(folder)
        self._http: HttpClient | None = None

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """No connection is open any more. What is still being sent ends with a fault."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def send(self, request: HttpRequest, timeout_s: float, hear: Hear | None = None) -> Answer | Fault:
        """The whole response to the request, or why there is none within `timeout_s` seconds. Sent once.

        `hear` gets its parts as they arrive, if it comes over the network.
        """
        scheme, _, place = request.url.partition(":")
        match scheme:
            case "http" | "https":
                return await self._client().send(request, timeout_s, hear)
            case "sim":
                return await self._simulated(request, timeout_s)
            case "python":
                began = self._clock.monotonic()
                returned = await self._functions.call(place, request.body, timeout_s)
                return returned if isinstance(returned, Fault) else self._answer(200, _JSON_HEADERS, returned, began)
        message = f"{scheme}: is no address of a model: expected http://, https://, sim: or python:"
        return Fault(FaultClass.DENIED, message)

    def _client(self) -> HttpClient:
        """The network's client, made when it is first needed: importing it takes longer than most commands run."""
        if self._http is None:
            from penstock.models.transport_http import HttpClient

            self._http = HttpClient(self._clock, self._environ)
        return self._http

    async def _simulated(self, request: HttpRequest, timeout_s: float) -> Answer | Fault:
        from penstock.models.sim.behaviour import respond

        began = self._clock.monotonic()
        send = next((value for name, value in request.headers if name == SEND_HEADER), "1")
        response = respond(request.body, int(send))
        await self._pause(min(response.latency_s, timeout_s))
        if response.latency_s > timeout_s:
            message = f"the simulated model takes {response.latency_s:.3g} s, and the timeout is {timeout_s:g} s"
            return Fault(FaultClass.TRANSPORT, message, TransportKind.TIMEOUT, billed=True)
        return self._answer(response.status, response.headers, response.body, began)

    def _answer(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes, began: float) -> Answer:
        return Answer(status, headers, body, self._clock.now(), self._clock.monotonic() - began)
