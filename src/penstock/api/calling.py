"""The models of one life of a run, at hand: the journal of its calls, the cache, its limits and budget, the client."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from penstock.api.budgeting import budget_of
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
from penstock.store.calls import CallJournal
from penstock.store.database import Row

STALL_S = 15.0
SIMULATED = "simulated: every answer comes from the simulator, and nothing is billed"


@asynccontextmanager
async def at_hand(site: Site, endpoints: Mapping[str, Endpoint], at_once: int | None) -> AsyncIterator[Site]:
    """The site with every active model step ready to ask. `at_once` is the command line's word on how many.

    Calls of earlier lives that have no end are ended as lost.
    """
    steps = [step for step in site.workflow.steps if step.id in site.active and step.asks]
    _tell_of_models(site, [model for step in steps for model in step.models])
    calls = CallJournal(site.journal.database, site.run_no, site.epoch, site.clock)
    lost = calls.close_lost()
    if lost:
        site.listener.note(_lost(lost))
        site = replace(site, budget=budget_of(site))

    def note(sentence: str) -> None:
        site.journal.event(site.run_no, "models", "", sentence)
        site.listener.note(sentence)

    budget = site.budget or Budget(site.clock)
    limits = Limits(site.clock)
    guards = Guards(limits, budget, site.journal.database.masker, mask_key(site.layout))
    answers = AnswerFiles(site.layout.cache, site.journal.database, note)
    draw = random.Random().random
    async with Transport(site.clock, site.environ, site.layout.folder) as transport:
        client = Client(answers, calls, transport, endpoints, site.clock, draw, asyncio.sleep, note, guards)
        askings = {step.id: prepare_asking(step, client, calls, at_once) for step in steps}
        telling = asyncio.ensure_future(_tell_of_stalls(site, limits))
        try:
            yield replace(site, askings=askings, calls=calls)
        finally:
            telling.cancel()


async def _tell_of_stalls(site: Site, limits: Limits) -> None:
    """Nobody who watches wonders for long what is waited for."""
    while True:
        await asyncio.sleep(STALL_S)
        for sentence in limits.stalls():
            site.listener.note(sentence)


def _tell_of_models(site: Site, models: list[Model]) -> None:
    """That nobody but the simulator is asked is said; which price list is used is in the journal."""
    if models and all(model.provider == "sim" for model in models):
        site.listener.note(SIMULATED)
    listed = sorted({model.name for model in models if is_listed(model)})
    if listed:
        site.journal.event(site.run_no, "prices", ", ".join(listed), data_version())


def _lost(lost: Sequence[Row]) -> str:
    """The ledger of a crash: what was in flight, and the most that may have been billed for it."""
    calls = "1 model call was" if len(lost) == 1 else f"{len(lost)} model calls were"
    most = [row["worst_micros"] for row in lost]
    if None in most:
        cost = "what may have been billed for that is not known"
    else:
        cost = f"at most ${sum(most) / 1_000_000:.6f} may have been billed for that"
    return f"{calls} in flight when Penstock died: {cost}, and what is not in the cache is sent again"
