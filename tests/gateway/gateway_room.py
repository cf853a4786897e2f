"""A gateway in this process, with a journal, a cache and a budget of its own, before an upstream on this machine."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

from penstock.api.clock import CLOCK
from penstock.core.budgets import Caps
from penstock.core.errors import Place
from penstock.core.models import Model, Price
from penstock.gateway.listening import Listening
from penstock.gateway.passes import Holder, IssuedPass, Passes
from penstock.gateway.relaying import Relaying
from penstock.gateway.server import Server
from penstock.gateway.upstreams import Upstreams
from penstock.models.budget import Budget
from penstock.models.client import Client
from penstock.models.guards import Guards
from penstock.models.limits import Limits
from penstock.models.transport import Transport
from penstock.models.wire import Endpoint
from penstock.store.answers import AnswerFiles
from tests.call_room import CallRoom

KEY = "sk-the-real-one"
PRICE = Price(Decimal(1), Decimal(2))
FREELY = Caps(Place("budget", 1, 1), micros=10**12)


class GatewayRoom:
    """An open gateway, for one event loop. `budget` has so much room that nothing is refused."""

    def __init__(self, folder: Path, url: str) -> None:
        self.ledger = CallRoom(folder)
        self.task = self.ledger.task()
        self.budget = Budget(CLOCK, FREELY)
        self.notes: list[str] = []
        model = Model("gpt-4o-mini", "openai", "gpt-4o-mini", f"{url}/v1", price=PRICE)
        endpoint = Endpoint(f"{url}/v1", KEY)
        self._upstreams = Upstreams({model.name: (model,)}, {model.name: endpoint}, {"openai": endpoint})
        self._behind = AsyncExitStack()

    async def __aenter__(self) -> GatewayRoom:
        listening = Listening()
        self._behind.callback(self.ledger.close)
        self._behind.callback(listening.close)
        transport = await self._behind.enter_async_context(Transport(CLOCK, {}, self.ledger.layout.folder))
        guards = Guards(Limits(CLOCK), self.budget)
        answers = AnswerFiles(self.ledger.layout.cache, self.ledger.database, self.notes.append)
        client = Client(
            answers,
            self.ledger.calls,
            transport,
            {},
            CLOCK,
            random.Random(1).random,
            asyncio.sleep,
            self.notes.append,
            guards,
        )
        self.address = listening.address
        self.passes = Passes(listening.address, {})
        self._server = Server(self.passes, Relaying(client, guards, self._upstreams, CLOCK))
        listening.serve(self._server.start)
        self._behind.push_async_callback(self._server.close)
        self._behind.push_async_callback(listening.settled)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._behind.aclose()

    def issue(self, attempt: int = 1) -> tuple[IssuedPass, Holder]:
        """A pass for one more script, and what is charged to it."""
        holder = Holder("a", self.task.number, attempt, local=False)
        return self.passes.issue(holder), holder
