"""What people do to the cache: count it, check it, give back what is stored twice. No only copy is ever dropped.

`prune` reads a file, syncs it and then drops the journal's body. Between the two a run could put another answer in the
file's place, and the older one would be nowhere. So whoever calls it holds the folder's lock; it
refuses by itself while a run has a living owner, and looks once more at the file in the transaction that drops.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.core.errors import OperatorError
from penstock.store.answer_file import decode, request_in
from penstock.store.answers import TEMPORARY, AnswerFiles
from penstock.store.call_rows import answer_of
from penstock.store.database import Database, Row
from penstock.store.facts import is_alive

PAGE = 256
DAY_S = 86_400.0
STALE_S = 3600.0
"""A temporary file that is older than this is nobody's: it lives for as long as one write takes."""
AGES = (("a day", 1), ("a week", 7), ("a month", 30), ("a year", 365))


@dataclass(frozen=True, slots=True)
class Stats:
    """What is in the cache. `ages` are counts of files: younger than a day, than a week …, and the rest as `older`.

    `journal_only` are keys whose answer has no file, with `journal_bytes` of them as the journal keeps them.
    """

    files: int
    bytes: int
    ages: tuple[tuple[str, int], ...]
    journal_only: int
    journal_bytes: int


@dataclass(frozen=True, slots=True)
class Verified:
    """Files that are as they were written; those that were put aside; and those written again from the journal."""

    sound: int
    corrupt: int
    rewritten: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was given back: bodies that the journal no longer keeps beside their files, and files that nobody needs."""

    answers: int
    answers_bytes: int
    files: int
    files_bytes: int


def stats(cache: AnswerFiles, now: float) -> Stats:
    """Counts files, and what only the journal has; reads no file. `now` is seconds since 1970."""
    total = size = 0
    counts = dict.fromkeys([*(name for name, _ in AGES), "older"], 0)
    for _, entry in cache.files():
        found = entry.stat(follow_symlinks=False)
        total, size = total + 1, size + found.st_size
        counts[_age(now - found.st_mtime)] += 1
    missing = [row["bytes"] for row in _without_file(cache)]
    return Stats(total, size, tuple(counts.items()), len(missing), sum(missing))


def verify(cache: AnswerFiles, on_progress: Callable[[int], None] = lambda done: None) -> Verified:
    """Reads every file, puts corrupt ones aside and writes what is missing from the journal.

    The journal does not know what was asked: that is taken from a file that was put aside, if one still tells.
    `on_progress` hears after each file how many were read. OSError if a file cannot be written.
    """
    sound = corrupt = rewritten = 0
    for key, _ in cache.files():
        if cache.read(key) is not None:
            sound += 1
        else:
            corrupt += 1
        on_progress(sound + corrupt)
    aside = _aside(cache)
    for row in _without_file(cache):
        answer = cache.journalled(row["key"])
        assert answer is not None
        cache.write(row["key"], _request(row["key"], aside[row["key"].hex()]), answer)
        rewritten += 1
    return Verified(sound, corrupt, rewritten)


def prune(cache: AnswerFiles, now: float, corrupt_days: int = 30) -> Pruned:
    """Drops the journal's copy of every answer whose file is whole and on the disk, and files that nobody needs.

    Those are temporary files of processes that died, and files put aside more than `corrupt_days` ago. To be called
    by who holds the folder; OperatorError while a run goes on there. The journal's file shrinks.
    """
    answers = answers_bytes = 0
    if cache.database is not None:
        _refuse_while_owned(cache.database, now)
        for page in _pages(cache.database):
            dropped = _leave_to_files(cache, cache.database, page)
            answers, answers_bytes = answers + len(dropped), answers_bytes + sum(dropped)
        if answers:
            cache.database.run("vacuum")
    stale = [*_stale(cache, now), *_older(cache.corrupt, now - corrupt_days * DAY_S)]
    for path, _ in stale:
        os.unlink(path)
    return Pruned(answers, answers_bytes, len(stale), sum(size for _, size in stale))


def _age(seconds: float) -> str:
    return next((name for name, days in AGES if seconds < days * DAY_S), "older")


def _without_file(cache: AnswerFiles) -> Iterator[Row]:
    """`key` and `bytes` of usable answers in the journal that have no file."""
    after = b""
    while cache.database is not None and (rows := cache.database.all("answer_keys_after", (after, PAGE))):
        yield from (row for row in rows if not os.path.exists(cache.path_of(row["key"])))
        after = rows[-1]["key"]


def _aside(cache: AnswerFiles) -> defaultdict[str, list[Path]]:
    """The files that were put aside, by the key in their name."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in cache.corrupt.iterdir() if cache.corrupt.is_dir() else ():
        found[path.name[:64]].append(path)
    return found


def _request(key: bytes, aside: Sequence[Path]) -> Mapping[str, object] | None:
    """What was asked, from the first of these files that tells."""
    told = (request_in(path.read_bytes(), key) for path in aside)
    return next((request for request in told if request is not None), None)


def _pages(database: Database) -> Iterator[list[Row]]:
    after = 0
    while rows := database.all("answers_after", (after, PAGE)):
        yield rows
        after = rows[-1]["call_no"]


def _leave_to_files(cache: AnswerFiles, database: Database, rows: list[Row]) -> list[int]:
    """Drops the bodies whose files hold the same answers, once these are on the disk; the sizes of the bodies."""
    found = [(row, cache.path_of(row["key"])) for row in rows]
    synced = [(row, path, stat) for row, path in found if (stat := _synced(path, row)) is not None]
    _sync_folders({os.path.dirname(path) for _, path, _ in synced} | {os.fspath(cache.folder)} if synced else set())
    with database.transaction():
        kept = [row for row, path, stat in synced if _is_still(path, stat)]
        database.many("leave_to_file", [(row["call_no"],) for row in kept])
    return [len(row["body"]) for row in kept]


def _synced(path: str, row: Row) -> os.stat_result | None:
    """What file it is that holds this row's answer, now that its content is on the disk; None if there is none."""
    try:
        with open(path, "rb") as file:
            if not _same(file.read(), row):
                return None
            os.fsync(file.fileno())
            return os.fstat(file.fileno())
    except FileNotFoundError:
        return None


def _is_still(path: str, verified: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), verified)
    except FileNotFoundError:
        return False


def _same(text: bytes, row: Row) -> bool:
    try:
        found = decode(text, row["key"])
    except ValueError:
        return False
    kept = answer_of(row)
    return (found.status, found.headers, found.body) == (kept.status, kept.headers, kept.body)


def _sync_folders(folders: set[str]) -> None:
    """The names in these folders are on the disk."""
    for folder in folders:
        opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _refuse_while_owned(database: Database, now: float) -> None:
    for owner in database.all("owned_runs"):
        if is_alive(owner, now):
            raise OperatorError(
                f"run {owner['run_id']} (process {owner['pid']} on {owner['host']}) is using the cache",
                "wait until it has ended, watch it with `penstock status`, or stop it with Ctrl-C",
            )


def _stale(cache: AnswerFiles, now: float) -> list[tuple[str, int]]:
    """Temporary files whose writer died, with their sizes."""
    found = [entry for entry in cache.entries() if TEMPORARY.fullmatch(entry.name)]
    return [(entry.path, entry.stat().st_size) for entry in found if now - entry.stat().st_mtime > STALE_S]


def _older(folder: Path, than: float) -> list[tuple[str, int]]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        found = [(entry.path, entry.stat()) for entry in entries if entry.is_file(follow_symlinks=False)]
    return [(path, stat.st_size) for path, stat in found if max(stat.st_mtime, stat.st_ctime) < than]
