"""The journal of calls on bad days: its process is killed, its disk takes no more, its file is taken away."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from penstock.core.errors import BugError, OperatorError
from penstock.core.work import Task
from penstock.store.call_facts import asked_for
from penstock.store.database import Database
from tests.call_room import CallRoom, call, intent

ROOT = Path(__file__).parents[2]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[CallRoom]:
    made = CallRoom(tmp_path)
    yield made
    made.close()


# --- death -------------------------------------------------------------------------------------

CHILD = """
import asyncio, os, sys
from pathlib import Path
from tests.call_room import CallRoom, answer, call, intent

room = CallRoom(Path(sys.argv[1]))

def body_of(number):
    return b"%d," % number * (number % 7 * 900)

async def ask():
    while True:
        task = room.task()
        for attempt in (1, 2):
            asked = intent(task, attempt)
            number = await room.calls.intent(asked)
            os.write(1, b"sent %d %d\\n" % (number, task.number))
            await room.calls.ended(number, call(asked), answer(body_of(number)))
            os.write(1, b"kept %d %d\\n" % (number, task.number))

async def main():
    await asyncio.gather(*(ask() for _ in range(24)))

asyncio.run(main())
"""


def body_of(number: int) -> bytes:
    """What the process above got for a call: of every size up to one that is compressed."""
    return b"%d," % number * (number % 7 * 900)


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_process_has_kept_every_intent_and_answer_that_it_was_told_is_kept(tmp_path: Path, seed: int) -> None:
    enough = random.Random(seed).randrange(1, 4000)
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    words = [sys.executable, "-c", CHILD, str(tmp_path)]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path})
    assert child.stdout is not None
    told = [child.stdout.readline().split() for _ in range(enough)]
    child.send_signal(signal.SIGKILL)
    told += [line.split() for line in child.stdout.read().splitlines()]
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()

    with closing(sqlite3.connect(tmp_path / ".penstock" / "journal.db")) as plain:
        intents = plain.execute("SELECT call_no, task_no FROM calls").fetchall()
        ended_calls = {number for (number,) in plain.execute("SELECT call_no FROM call_ends")}
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        twice = "SELECT count(*) FROM (SELECT 1 FROM calls GROUP BY task_no, attempt, send HAVING count(*) > 1)"
        assert plain.execute(twice).fetchone() == (0,)
    sent = {(int(number), int(task)) for word, number, task in told if word == b"sent"}
    kept = {int(number) for word, number, _ in told if word == b"kept"}
    assert sent <= set(intents)
    assert len(intents) - len(sent) <= 24
    assert kept <= ended_calls
    assert bodies(tmp_path, {task for _, task in intents}) == {number: body_of(number) for number in ended_calls}


def bodies(folder: Path, tasks: set[int]) -> dict[int, bytes]:
    """The bodies that are in the journal, by the numbers of their calls."""
    with closing(Database(folder / ".penstock" / "journal.db")) as database:
        asked = (one for task in tasks for one in asked_for(database, task))
        return {one.row["call_no"]: one.answer.body for one in asked if one.answer is not None}


# --- a disk that refuses -----------------------------------------------------------------------

LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from penstock.core.errors import OperatorError
from tests.call_room import CallRoom, answer, call, intent

room = CallRoom(Path(sys.argv[1]))
tasks = [room.task() for _ in range(16)]

async def ask(task):
    asked = intent(task)
    number = await room.calls.intent(asked)
    await room.calls.ended(number, call(asked), answer(b"x" * 16000))

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    found = await asyncio.gather(*(ask(task) for task in tasks), return_exceptions=True)
    print(sorted({(type(one).__name__, str(one).split()[0], len(str(one).splitlines())) for one in found}), len(found))
    print(len({id(one) for one in found}), "ulimit -f" in found[0].help)
    for awaitable in (room.calls.intent(intent(tasks[0], 2)), room.calls.drain()):
        try:
            await awaitable
        except OperatorError as error:
            print("may not become larger" in str(error))
    print(room.database._connection.in_transaction)

asyncio.run(main())
"""


def test_a_disk_that_takes_no_more_is_told_to_everybody_who_waits_and_nothing_more_is_sent(tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    words = [sys.executable, "-c", LIMITED, str(tmp_path)]
    told = subprocess.run(
        words, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=60
    )
    assert told.stderr == ""
    assert told.stdout.splitlines() == ["[('OperatorError', 'the', 1)] 16", "16 True", "True", "True", "False"]


def test_a_journal_that_somebody_deleted_is_told_to_everybody_who_waits(room: CallRoom) -> None:
    async def ask_all() -> list[object]:
        return list(await asyncio.gather(*(room.bought(task) for task in tasks), return_exceptions=True))

    tasks = [room.task() for _ in range(8)]
    room.layout.journal.unlink()
    found = asyncio.run(ask_all())
    assert all(isinstance(one, OperatorError) for one in found)
    assert str(found[0]).endswith("cannot be made safe on the disk: No such file or directory")
    with pytest.raises(OperatorError):
        asyncio.run(room.calls.intent(intent(tasks[0])))


def test_a_row_that_cannot_be_written_is_a_bug_that_nobody_waits_for_in_vain(room: CallRoom) -> None:
    async def ask() -> None:
        asked = intent(task)
        number = await room.calls.intent(asked)
        await room.calls.ended(number, call(asked, status=1 << 70), None)

    task = room.task()
    with pytest.raises(BugError, match="a call could not be written down: OverflowError"):
        asyncio.run(ask())


def test_a_call_of_no_task_that_there_is_is_refused(room: CallRoom) -> None:
    with pytest.raises(OperatorError, match="NOT NULL"):
        asyncio.run(room.calls.intent(intent(Task("r1", "a", 4711, None))))
