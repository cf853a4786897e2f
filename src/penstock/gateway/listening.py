"""The gateway's address, there from the beginning; the server behind it, only once somebody comes.

The server takes a tenth of a second to import, which a run whose commands ask no model never pays: a socket is bound
and listens, and the first connection that waits there has the server started.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

HOST = "127.0.0.1"
BACKLOG = 1024


class Listening:
    """A socket on the loopback interface, and who serves it. For one event loop."""

    def __init__(self, port: int = 0) -> None:
        """`port` 0 is any that is free. OSError if it cannot be had."""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left is free
            self.socket.bind((HOST, port))
            self.socket.listen(BACKLOG)
            self.socket.setblocking(False)
        except OSError:
            self.socket.close()
            raise
        self._starting: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://{HOST}:{self.socket.getsockname()[1]}"

    def serve(self, start: Callable[[socket.socket], Coroutine[Any, Any, None]]) -> None:
        """`start` is called with the socket when the first connection waits there."""
        loop = asyncio.get_running_loop()

        def first() -> None:
            loop.remove_reader(self.socket)
            self._starting = loop.create_task(start(self.socket))
            self._starting.add_done_callback(self._started)

        loop.add_reader(self.socket, first)

    async def settled(self) -> None:
        """The server has started, or never will. What went wrong with its start is raised here."""
        if self._starting is not None:
            await self._starting
        else:
            asyncio.get_running_loop().remove_reader(self.socket)

    def _started(self, starting: asyncio.Task[None]) -> None:
        """Who waits for a server that cannot start learns of it now, and not when their time is up."""
        if starting.cancelled() or starting.exception() is not None:
            self.close()

    def close(self) -> None:
        """Nobody is let in any more."""
        self.socket.close()
