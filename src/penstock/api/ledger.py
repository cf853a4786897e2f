"""The journal of a run's model calls, opened for one life of it; what a crash left in flight is told and ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from penstock.engine.site import Site
from penstock.store.calls import CallJournal
from penstock.store.database import Row


def with_ledger(site: Site) -> Site:
    """The site with its journal of calls. Calls of earlier lives that have no end are ended as lost, and count as
    exposed in the budget."""
    calls = CallJournal(site.journal.database, site.run_no, site.epoch, site.clock)
    lost = calls.close_lost()
    if lost:
        from penstock.api.budgeting import budget_of

        site.listener.note(lost_sentence(lost))
        site = replace(site, budget=budget_of(site))
    return replace(site, calls=calls)


def lost_sentence(lost: Sequence[Row]) -> str:
    """The ledger of a crash: what was in flight, and the most that may have been billed for it."""
    calls = "1 model call was" if len(lost) == 1 else f"{len(lost)} model calls were"
    most = [row["worst_micros"] for row in lost]
    if None in most:
        cost = "what may have been billed for that is not known"
    else:
        cost = f"at most ${sum(most) / 1_000_000:.6f} may have been billed for that"
    return f"{calls} in flight when Penstock died: {cost}, and what is not in the cache is sent again"
