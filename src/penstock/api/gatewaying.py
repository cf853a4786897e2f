"""The gateway of a run: its door is open from the beginning, and what is behind it is made when somebody comes.

A run whose commands ask no model pays for a socket and a token an attempt, and for no import.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.core.errors import OperatorError
from penstock.core.views import Options
from penstock.core.workflow import Workflow
from penstock.engine.site import Site
from penstock.gateway.listening import Listening
from penstock.gateway.passes import Passes

if TYPE_CHECKING:
    from penstock.api.calling import Voice
    from penstock.models.wire import Endpoint


def lets_in(workflow: Workflow, active: frozenset[str]) -> bool:
    """Whether a command of these steps may ask models through the gateway."""
    return any(step.gateway and step.shell is not None for step in workflow.steps if step.id in active)


@asynccontextmanager
async def open_door(
    site: Site,
    written: Workflow,
    endpoints: Mapping[str, Endpoint],
    options: Options,
    voice: Voice | None,
    port: int = 0,
) -> AsyncIterator[tuple[Site, Passes]]:
    """The site with a door for the calls of its commands. `written` is the workflow as its author wrote it, `voice` the
    client of its model steps, None if it has none. `port` 0 is any that is free; OperatorError if it cannot be had."""
    listening = _listening(port)
    passes = Passes(listening.address, {**site.environ, **dict(site.workflow.env)})
    async with AsyncExitStack() as behind:
        behind.callback(listening.close)

        async def start(door: socket.socket) -> None:
            from penstock.api.calling import voice as new_voice
            from penstock.api.upstreams import upstreams
            from penstock.gateway.relaying import Relaying
            from penstock.gateway.server import Server

            found = voice if voice is not None else await behind.enter_async_context(new_voice(site, endpoints))
            there = upstreams(written, site.secrets, options)
            relaying = Relaying(found.client, found.guards, there, site.clock, options.cache or "use")
            server = Server(passes, relaying)
            await server.start(door)
            behind.push_async_callback(server.close)

        listening.serve(start)
        try:
            yield replace(site, doorway=passes), passes
        finally:
            await listening.settled()


def _listening(port: int) -> Listening:
    try:
        return Listening(port)
    except OSError as error:
        raise OperatorError(
            f"the gateway cannot listen on port {port} of this machine: {error.strerror}",
            "name another one with `--port`, or `gateway: off` where no command asks a model",
        ) from error
