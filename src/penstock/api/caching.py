"""The cache of bought answers, for people: counted, checked, and given back what is stored twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.api.clock import CLOCK
from penstock.api.folder import existing, held
from penstock.store import answer_upkeep
from penstock.store.answer_upkeep import Pruned, Stats, Verified
from penstock.store.answers import AnswerFiles
from penstock.store.database import Database, DatabaseError, unreadable

__all__ = ["Pruned", "Stats", "Verified", "prune", "stats", "verify"]

Hear = Callable[[str], None]


def stats(folder: Path) -> Stats:
    """What is in the folder's cache; no file is read. UsageError if nothing has run in the folder."""
    with _cache(folder, _nobody) as cache:
        return answer_upkeep.stats(cache, CLOCK.now())


def verify(folder: Path, note: Hear, on_progress: Callable[[int], None]) -> Verified:
    """Every file was read: what was not whole is put aside, and what only the journal had has its file.

    `note` hears of each file that is put aside, `on_progress` after each file how many were read. Runs may go on
    meanwhile.
    """
    with _cache(folder, note) as cache:
        return answer_upkeep.verify(cache, on_progress)


def prune(folder: Path, note: Hear) -> Pruned:
    """The journal keeps no copy of an answer whose file is whole, and files that nobody needs are gone.

    OperatorError while a process runs a workflow in this folder.
    """
    layout = existing(folder)
    with held(layout) as journal:
        return answer_upkeep.prune(AnswerFiles(layout.cache, journal.database, note), CLOCK.now())


@contextmanager
def _cache(folder: Path, note: Hear) -> Iterator[AnswerFiles]:
    layout = existing(folder)
    database = Database(layout.journal)
    try:
        yield AnswerFiles(layout.cache, database, note)
    except DatabaseError as error:
        raise unreadable(layout.journal, error) from error
    finally:
        database.close()


def _nobody(text: str) -> None:
    """Hears nothing."""
