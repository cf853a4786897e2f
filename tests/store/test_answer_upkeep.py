"""The upkeep of the cache: it is counted, checked and pruned, and nothing that was paid for is ever lost by that."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.core.errors import OperatorError
from penstock.core.states import RunState
from penstock.store.answer_file import decode
from penstock.store.answer_upkeep import DAY_S, prune, stats, verify
from penstock.store.process import this_process
from tests.call_room import KEY, OTHER, REQUEST, Cache, CallRoom, CountedDatabase, answer, damage, intent, key_of


@pytest.fixture
def room(tmp_path: Path) -> Iterator[CallRoom]:
    made = CallRoom(tmp_path)
    yield made
    made.close()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache without a journal."""
    return Cache(tmp_path, None)


@pytest.fixture
def backed(tmp_path: Path, room: CallRoom) -> Cache:
    """A cache with the room's journal behind it."""
    return Cache(tmp_path, room)


def test_stats_count_files_by_age_and_what_only_the_journal_has(room: CallRoom, backed: Cache) -> None:
    tasks = [room.task() for _ in range(5)]
    for task in tasks:
        room.buy(task, body=b"12345")
    for task, days in zip(tasks[:3], (0, 3, 400), strict=True):
        backed.put(intent(task).key, REQUEST, answer(b"12345"))
        at = room.clock.now() - days * DAY_S
        os.utime(backed.file(intent(task).key), (at, at))
    found = stats(backed, room.clock.now())
    assert (found.files, found.journal_only, found.journal_bytes) == (3, 2, 10)
    assert dict(found.ages) == {"a day": 1, "a week": 1, "a month": 0, "a year": 0, "older": 1}
    assert found.bytes == sum(entry.stat().st_size for entry in backed.entries())


def test_stats_of_a_cache_that_was_never_used_are_nothing(cache: Cache) -> None:
    found = stats(cache, 0.0)
    assert (found.files, found.bytes, found.journal_only) == (0, 0, 0)


def test_verify_puts_aside_what_is_damaged_and_writes_what_is_missing(room: CallRoom, backed: Cache) -> None:
    tasks = [room.task() for _ in range(4)]
    for task in tasks:
        room.buy(task, body=b"paid")
        backed.put(intent(task).key, REQUEST, answer(b"paid"))
    damage(backed.file(intent(tasks[0]).key), "changed")
    backed.file(intent(tasks[1]).key).unlink()
    backed.put(OTHER, REQUEST, answer(b"paid"))
    damage(backed.file(OTHER), "cut")
    heard: list[int] = []
    found = verify(backed, heard.append)
    assert (found.sound, found.corrupt, found.rewritten) == (2, 2, 2)
    assert heard == [1, 2, 3, 4]
    assert len(backed.aside()) == len(backed.notes) == 2
    assert [backed.read(intent(task).key) for task in tasks] == [answer(b"paid")] * 4
    again = verify(backed)
    assert (again.sound, again.corrupt, again.rewritten) == (4, 0, 0)


@pytest.mark.parametrize(
    ("how", "kept"), [("changed", True), ("cut", True), ("empty", False), ("foreign", False), ("swapped", False)]
)
def test_a_file_that_verify_writes_again_keeps_what_was_asked_if_the_damaged_one_still_tells(
    room: CallRoom, backed: Cache, how: str, kept: bool
) -> None:
    task = room.task()
    room.buy(task, body=b"paid")
    key = intent(task).key
    backed.put(key, REQUEST, answer(b"paid"))
    damage(backed.file(key), how)
    assert verify(backed).rewritten == 1
    assert json.loads(backed.file(key).read_bytes())["request"] == (REQUEST if kept else None)
    assert backed.read(key) == answer(b"paid")


def test_what_a_run_put_aside_earlier_still_tells_verify_what_was_asked(room: CallRoom, backed: Cache) -> None:
    task = room.task()
    room.buy(task, body=b"paid")
    key = intent(task).key
    backed.put(key, REQUEST, answer(b"paid"))
    damage(backed.file(key), "cut")
    assert backed.get(key) == answer(b"paid")
    assert not backed.file(key).exists()
    assert verify(backed).rewritten == 1
    assert json.loads(backed.file(key).read_bytes())["request"] == REQUEST


def test_verify_writes_more_missing_files_than_a_page(room: CallRoom, backed: Cache) -> None:
    with room.database.transaction():
        for number in range(600):
            row = (number, key_of(str(number)), 200, "[]", "raw", b"paid", 1.0, 1.0)
            room.database.run("insert_answer", row)
            usual = (number, room.run_no, *[None] * 9, 0, "exact", 0, 0.0, 0.0, 1.0, None, None)
            room.database.run("insert_call_end", usual)
    assert verify(backed).rewritten == 600
    assert stats(backed, 0.0).journal_only == 0


def test_prune_drops_what_is_stored_twice_and_nothing_that_is_stored_once(room: CallRoom, backed: Cache) -> None:
    both, missing, damaged, differing = tasks = [room.task() for _ in range(4)]
    for task in tasks:
        room.buy(task, body=b"paid" * 1000)
    backed.put(intent(both).key, REQUEST, answer(b"paid" * 1000))
    backed.put(intent(damaged).key, REQUEST, answer(b"paid" * 1000))
    damage(backed.file(intent(damaged).key), "changed")
    backed.put(intent(differing).key, REQUEST, answer(b"a later one"))
    pruned = prune(backed, room.clock.now())
    assert (pruned.answers, pruned.answers_bytes) == (1, 4000)
    forms = {task.number: room.asked(task)[0].row["form"] for task in tasks}
    assert forms == {both.number: "file", missing.number: "raw", damaged.number: "raw", differing.number: "raw"}
    assert backed.journalled(intent(both).key) is None
    assert [backed.get(intent(task).key) for task in (both, missing, damaged)] == [answer(b"paid" * 1000)] * 3
    assert prune(backed, room.clock.now()).answers == 0


def test_prune_gives_the_disk_back(room: CallRoom, backed: Cache) -> None:
    tasks = [room.task() for _ in range(40)]
    for task in tasks:
        body = os.urandom(30_000)
        room.buy(task, body=body)
        backed.put(intent(task).key, REQUEST, answer(body))
    room.journal.close()
    assert prune(backed, room.clock.now()).answers == 40
    room.database.close()
    assert room.layout.journal.stat().st_size < 300_000


def test_an_only_copy_is_kept_when_its_request_is_bought_again(room: CallRoom, backed: Cache) -> None:
    task = room.task()
    key = intent(task).key
    room.buy(task, body=b"first")
    backed.put(key, REQUEST, answer(b"first"))
    prune(backed, room.clock.now())
    room.buy(task, attempt=1, body=b"second")
    backed.put(key, REQUEST, answer(b"second"))
    assert backed.get(key) == answer(b"second")
    (kept,) = backed.replaced.iterdir()
    assert decode(kept.read_bytes(), key) == answer(b"first")
    assert prune(backed, room.clock.now()).answers == 1
    assert kept.exists()


def test_what_is_also_in_the_journal_is_replaced_without_a_copy(room: CallRoom, backed: Cache) -> None:
    task = room.task()
    room.buy(task, body=b"first")
    for body in (b"first", b"second"):
        backed.put(intent(task).key, REQUEST, answer(body))
    assert not backed.replaced.exists()


def test_prune_removes_what_dead_writers_left_and_what_was_put_aside_long_ago(cache: Cache) -> None:
    cache.put(KEY, REQUEST, answer())
    cache.put(OTHER, REQUEST, answer())
    damage(cache.file(OTHER), "cut")
    assert cache.get(OTHER) is None
    left = cache.file().with_name(f"{KEY.hex()}.json.00c0ffee-12.tmp")
    left.write_bytes(b"half")
    foreign = cache.file().with_name("notes.txt")
    foreign.write_text("mine")
    now = left.stat().st_mtime
    assert prune(cache, now + 60).files == 0
    pruned = prune(cache, now + DAY_S)
    assert (pruned.files, pruned.files_bytes, left.exists(), len(cache.aside())) == (1, 4, False, 1)
    assert prune(cache, now + 31 * DAY_S).files == 1
    assert cache.aside() == []
    assert foreign.exists()
    assert cache.get(KEY) == answer()


class MeddledDatabase(CountedDatabase):
    """Somebody does something at the last moment before each transaction."""

    def __init__(self, path: Path, meddle: Callable[[], None]) -> None:
        super().__init__(path)
        self._meddle = meddle

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """As ever, but somebody was quicker."""
        self._meddle()
        with super().transaction():
            yield


@pytest.mark.parametrize("gone", [False, True])
def test_prune_keeps_what_another_process_replaced_at_the_last_moment(
    tmp_path: Path, room: CallRoom, backed: Cache, gone: bool
) -> None:
    task = room.task()
    key = intent(task).key
    room.buy(task, body=b"paid")
    backed.put(key, REQUEST, answer(b"paid"))
    database = MeddledDatabase(
        room.layout.journal,
        backed.file(key).unlink if gone else lambda: Cache(tmp_path, None).put(key, REQUEST, answer(b"new")),
    )
    backed.database = database
    assert prune(backed, room.clock.now()).answers == 0
    database.close()
    assert [asked.answer for asked in room.asked(task)] == [answer(b"paid")]


def test_prune_waits_for_the_end_of_a_run(room: CallRoom, backed: Cache) -> None:
    task = room.task()
    room.buy(task, body=b"paid")
    backed.put(intent(task).key, REQUEST, answer(b"paid"))
    epoch = room.journal.take_run(room.run_no, this_process())
    with pytest.raises(OperatorError, match=r"run r1 \(process \d+ on .*\) is using the cache"):
        prune(backed, room.clock.now())
    assert backed.journalled(intent(task).key) == answer(b"paid")
    room.journal.end_run(room.run_no, epoch, RunState.SUCCEEDED, None)
    assert prune(backed, room.clock.now()).answers == 1
