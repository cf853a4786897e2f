"""The doubles of a rehearsal: a client that answers from the cache and sends nothing, a recorder that keeps nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace

from penstock.api.asking import Cast
from penstock.api.clock import CLOCK
from penstock.api.masking import mask_key, masker_of
from penstock.core.calls import Answer, Call, Intent, Judgement, Request
from penstock.core.canon import Json
from penstock.core.models import Model
from penstock.core.work import Attempt, Task
from penstock.load.dotenv import read as read_dotenv
from penstock.models.budget import Budget
from penstock.models.client import Asked, Client, Manner, Whose, fingerprint
from penstock.models.guards import Guards
from penstock.models.limits import Limits
from penstock.models.transport import Transport
from penstock.rules.secret_forms import SHORTEST
from penstock.store.answer_file import decode
from penstock.store.answers import AnswerFiles
from penstock.store.database import Database
from penstock.store.layout import Layout


class Missed(Exception):
    """The question that would be sent next, and its key."""

    def __init__(self, request: Request, purpose: str, key: bytes) -> None:
        super().__init__(purpose)
        self.request = request
        self.purpose = purpose
        self.key = key


class Dry:
    """A client that sends nothing: it raises `Missed` where another would send. `replayed` counts what it answered."""

    def __init__(self, found: Cast, layout: Layout, database: Database | None) -> None:
        self.replayed = 0
        self._endpoints = found.endpoints
        store = _Bought(AnswerFiles(layout.cache, database, _unheard))
        transport, guards = Transport(CLOCK, {}, layout.folder), _guards(found, layout)
        client = Client(store, Silent(), transport, found.endpoints, CLOCK, _zero, asyncio.sleep, _unheard, guards)
        self._client = client

    def address(self, model: Model) -> str:
        """Where the model would be asked."""
        return self._endpoints[model.name].url

    async def ask(self, request: Request, whose: Whose, manner: Manner) -> Asked:
        """The answer as it was bought; or the fault of a prompt that is sent to nobody, which has no key."""
        if manner.cache in ("off", "refresh"):
            raise Missed(request, whose.purpose, fingerprint(request, self._endpoints[request.model.name]))
        asked = await self._client.ask(request, whose, replace(manner, cache="only"))
        if not asked.calls and manner.cache != "only" and any(asked.key):
            raise Missed(request, whose.purpose, asked.key)
        self.replayed += len(asked.calls)
        return asked


class Silent:
    """Keeps nothing of what it is told."""

    def attempt_ended(self, task: Task, attempt: Attempt) -> None:
        """Nothing."""

    async def intent(self, intent: Intent) -> int:
        """Nothing is sent."""
        return 0

    async def ended(self, number: int, call: Call, answer: Answer | None) -> None:
        """Nothing was sent."""

    def bought(self, key: bytes) -> Answer | None:
        """Nothing was bought."""
        return None

    def replayed(self, call: Call) -> None:
        """Nothing."""

    def judged(
        self,
        task_no: int,
        attempt: int,
        key: bytes | None,
        contract: bytes,
        judgement: Judgement,
        signals: Mapping[str, Json] | None = None,
    ) -> None:
        """Nothing."""


async def no_pause(seconds: float) -> None:
    """Time does not pass."""


class _Bought:
    """The cache, as it is: a file that is not whole stays where it is."""

    def __init__(self, files: AnswerFiles) -> None:
        self._files = files

    def get(self, key: bytes) -> Answer | None:
        """The answer that was bought for this key; None if there is none."""
        try:
            with open(self._files.path_of(key), "rb", buffering=0) as file:
                return decode(file.readall(), key)
        except (OSError, ValueError):
            return self._files.journalled(key)

    def put(self, key: bytes, request: Mapping[str, object], answer: Answer) -> None:
        """Nothing is bought, so nothing is kept."""


def _guards(found: Cast, layout: Layout) -> Guards:
    """What masks the prompts, so that answers are found. Without the project's key none was ever masked; and no command
    and no keyring is asked for a secret."""
    if not (layout.root / "mask.key").exists():
        return Guards(Limits(CLOCK), Budget(CLOCK))
    file = found.workflow.folder / ".env"
    environ = {**(read_dotenv(file) if file.is_file() else {}), **os.environ}
    sources = (each.name for each in found.workflow.secret_sources if each.command is each.keyring is None)
    values = {name: environ[name] for name in sources if len(environ.get(name, "")) >= SHORTEST}
    return Guards(Limits(CLOCK), Budget(CLOCK), masker_of(layout, values, found.endpoints), mask_key(layout))


def _zero() -> float:
    return 0.0


def _unheard(text: str) -> None:
    """Nobody hears it."""
