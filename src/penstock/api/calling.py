"""The models of one life of a run, at hand: the cache, its limits and budget, the client; shared by model steps and by
the gateway, through which the calls of commands come."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from penstock.api.masking import mask_key
from penstock.core.models import Model
from penstock.engine.site import Site
from penstock.kinds.asking import prepare_asking
from penstock.models.budget import Budget
from penstock.models.client import Client
from penstock.models.guards import Guards
from penstock.models.limits import Limits
from penstock.models.pricelist import data_version
from penstock.models.pricing import is_listed
from penstock.models.transport import Transport
from penstock.models.wire import Endpoint
from penstock.store.answers import AnswerFiles

STALL_S = 15.0
SIMULATED = "simulated: every answer comes from the simulator, and nothing is billed"


@dataclass(frozen=True, slots=True)
class Voice:
    """Whom a run asks models through, and what stands between."""

    client: Client
    guards: Guards


@asynccontextmanager
async def voice(site: Site, endpoints: Mapping[str, Endpoint]) -> AsyncIterator[Voice]:
    """The client of a run that has a journal of calls; `endpoints` are those of the models that its steps ask."""
    assert site.calls is not None

    def note(sentence: str) -> None:
        site.journal.event(site.run_no, "models", "", sentence)
        site.listener.note(sentence)

    limits, budget = Limits(site.clock), site.budget or Budget(site.clock)
    guards = Guards(limits, budget, site.journal.database.masker, mask_key(site.layout))
    answers = AnswerFiles(site.layout.cache, site.journal.database, note)
    answers.survey()
    draw = random.Random().random
    async with Transport(site.clock, site.environ, site.layout.folder) as transport:
        client = Client(answers, site.calls, transport, endpoints, site.clock, draw, asyncio.sleep, note, guards)
        telling = asyncio.ensure_future(_tell_of_stalls(site, limits))
        try:
            yield Voice(client, guards)
        finally:
            telling.cancel()


def with_askings(site: Site, client: Client, at_once: int | None) -> Site:
    """The site with every active model step ready to ask. `at_once` is the command line's word on how many."""
    assert site.calls is not None
    steps = [step for step in site.workflow.steps if step.id in site.active and step.asks]
    _tell_of_models(site, [model for step in steps for model in step.models])
    return replace(site, askings={step.id: prepare_asking(step, client, site.calls, at_once) for step in steps})


async def _tell_of_stalls(site: Site, limits: Limits) -> None:
    """Nobody who watches wonders for long what is waited for."""
    while True:
        await asyncio.sleep(STALL_S)
        for sentence in limits.stalls():
            site.listener.note(sentence)


def _tell_of_models(site: Site, models: Sequence[Model]) -> None:
    """That nobody but the simulator is asked is said; which price list is used is in the journal."""
    if models and all(model.provider == "sim" for model in models):
        site.listener.note(SIMULATED)
    listed = sorted({model.name for model in models if is_listed(model)})
    if listed:
        site.journal.event(site.run_no, "prices", ", ".join(listed), data_version())
