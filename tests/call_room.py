"""A run whose tasks ask models: intents, calls and answers for tests, and a journal that counts its syncs."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from penstock.core.calls import Answer, Call, Cost, CostStatus, Fault, FaultClass, Intent, TransportKind, Usage
from penstock.core.work import Task
from penstock.store.answer_file import encode
from penstock.store.answers import AnswerFiles
from penstock.store.call_facts import Asked, asked_for
from penstock.store.calls import CallJournal
from penstock.store.database import Database, Row
from penstock.store.journal import Journal
from penstock.store.layout import Layout
from tests.doubles import BEGAN_AT, TickingClock, begin, item, take

HEADERS = (("content-type", "application/json"), ("x-request-id", "r-\udc80é"))
EXACT = Cost(31, CostStatus.EXACT)
UNKNOWN = Cost(None, CostStatus.UNKNOWN)
RATE_LIMIT = Fault(FaultClass.TRANSPORT, "slow\ndown", TransportKind.RATE_LIMIT, 429)


class CountedDatabase(Database):
    """Counts how often it was synced."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.syncs = 0

    def sync(self) -> None:
        """As ever, and counted."""
        self.syncs += 1
        super().sync()


class CallRoom:
    """A journal with one run of the steps `a` and `b` and the journal of its calls."""

    def __init__(self, folder: Path) -> None:
        self.layout, self.clock = Layout(folder), TickingClock()
        self.layout.make()
        self.journal = Journal(self.layout.journal, self.clock)
        self.run_no, self.steps = begin(self.journal, self.layout, "a", "b")
        self.database = CountedDatabase(self.layout.journal)
        self.calls = self.life(1)
        self._rows = 0

    def close(self) -> None:
        """Both connections are closed."""
        self.database.close()
        self.journal.close()

    def life(self, epoch: int, run_no: int | None = None) -> CallJournal:
        """The journal of calls in a life of the run."""
        return CallJournal(self.database, run_no or self.run_no, epoch, self.clock)

    def task(self, step_id: str = "a") -> Task:
        """A new row is in flight."""
        self._rows += 1
        return take(self.journal, self.steps[step_id], item(self._rows), step_id=step_id)

    def asked(self, task: Task) -> list[Asked]:
        """The calls of a task."""
        return list(asked_for(self.database, task.number))

    def seen(self, name: str, values: tuple[object, ...] | dict[str, object] = ()) -> list[Row]:
        """What another connection is told, which sees nothing that is not committed."""
        other = Database(self.layout.journal)
        try:
            return other.all(name, values)
        finally:
            other.close()

    def ends(self) -> list[Row]:
        """How the run's calls ended, as others see it."""
        return self.seen("calls_after", {"run_no": self.run_no, "after": 0, "most": 1 << 20})

    def buy(self, task: Task, attempt: int = 1, body: bytes = b"{}", status: int = 200, **told: object) -> int:
        """One call is sent and ends; its number."""
        return asyncio.run(self.bought(task, attempt, body, status, **told))

    async def bought(self, task: Task, attempt: int = 1, body: bytes = b"{}", status: int = 200, **told: object) -> int:
        """The same, inside a loop."""
        asked = intent(task, attempt)
        number = await self.calls.intent(asked)
        await self.calls.ended(number, call(asked, status=status, **told), answer(body, status))
        return number


def key_of(text: str) -> bytes:
    """A fingerprint."""
    return hashlib.sha256(text.encode()).digest()


def intent(task: Task, attempt: int = 1, send: int = 1, purpose: str = "answer", key: bytes | None = None) -> Intent:
    """A request of this task; its key is told by task and attempt."""
    key = key or key_of(f"{task.number}/{attempt}")
    return Intent(task.number, attempt, send, purpose, key, "small", "openai", BEGAN_AT)


def call(asked: Intent, **told: object) -> Call:
    """A call that gave a reply, or what is told of it instead."""
    usual = {
        "served": "gpt-4o-mini",
        "usage": Usage(100, 50, 64, 0),
        "cost": EXACT,
        "fault": None,
        "status": 200,
        "elapsed_s": 0.5,
        "wait_s": 0.25,
    }
    return Call(asked, **{**usual, **told})  # type: ignore[arg-type]  # each test tells it by name


def replay(asked: Intent) -> Call:
    """A call that the cache answered."""
    return call(asked, cached=True, cost=Cost(0, CostStatus.EXACT), elapsed_s=0.0, wait_s=0.0)


def answer(body: bytes = b"{}", status: int = 200) -> Answer:
    """A response with this body."""
    return Answer(status, HEADERS, body, BEGAN_AT + 0.125, 0.5)


KEY, OTHER = key_of("one"), key_of("another")
REQUEST = {"model": "small", "messages": [{"role": "user", "content": "안녕 \ud800"}], "temperature": 0.2}


class Cache(AnswerFiles):
    """A cache that remembers what it noted; a run's journal stands behind it unless it is told not to."""

    def __init__(self, folder: Path, room: CallRoom | None) -> None:
        self.notes: list[str] = []
        super().__init__(folder / "cache", room.database if room is not None else None, self.notes.append)

    def file(self, key: bytes = KEY) -> Path:
        """The file of an answer."""
        return Path(self.path_of(key))

    def aside(self) -> list[str]:
        """The names of what was put aside."""
        return sorted(path.name for path in self.corrupt.iterdir()) if self.corrupt.exists() else []


def damage(path: Path, how: str) -> None:
    """What disks and people do to files."""
    text = path.read_bytes()
    match how:
        case "changed":
            path.write_bytes(text.replace(b"paid", b"PAID"))
        case "cut":
            path.write_bytes(text[:-40])
        case "empty":
            path.write_bytes(b"")
        case "foreign":
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(300))
        case "swapped":
            path.write_bytes(encode(OTHER, REQUEST, answer(b"of another request")))
