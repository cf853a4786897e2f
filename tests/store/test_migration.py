"""The way of a journal from every older version to today's: it ends where a fresh one begins, and keeps its rows."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from penstock.core.work import Verdict
from penstock.store.database import VERSION, Database, migrate
from penstock.store.journal import Journal
from tests.doubles import TickingClock, ended, item, take

V1 = Path(__file__).with_name("schema_v1.sql").read_text(encoding="utf-8")
"""The schema as version 1 had it."""

ROWS = """
INSERT INTO runs (run_no, run_id, workflow, name, state, options, started_at)
VALUES (1, 'r', 'w', 'n', 'running', '{}', 1);
INSERT INTO steps (step_no, run_no, step_id, position, state) VALUES (1, 1, 'a', 0, 'running');
INSERT INTO tasks (task_no, step_no, i, hash, occurrence, epoch, started_at) VALUES (1, 1, 0, x'00', 0, 1, 1);
INSERT INTO outcomes (task_no, step_no, i, verdict, attempt, ended_at, elapsed_s) VALUES (1, 1, 0, 'accepted', 1, 2, 1);
"""


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A journal of version 1 with a run in it."""
    path = tmp_path / "older.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(V1 + ROWS)
        connection.execute("PRAGMA user_version = 1")
    return path


@pytest.fixture
def fresh() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        yield connection


def schema(connection: sqlite3.Connection) -> dict[str, str]:
    """Every table and index by its name, as it was said, whatever its white space."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    bare = {name: re.sub(r" ?([(),]) ?", r"\1", re.sub(r"\s+", " ", sql)) for name, sql in rows}
    return {name: sql.replace(f'"{name}"', name) for name, sql in bare.items()}  # a table that was renamed is quoted


def test_a_journal_of_version_1_ends_with_the_schema_of_a_fresh_one(older: Path, fresh: sqlite3.Connection) -> None:
    with closing(sqlite3.connect(older, isolation_level=None)) as connection:
        assert "calls" not in schema(connection)
        migrate(connection)
        assert schema(connection) == schema(fresh)
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_journal_of_version_1_keeps_its_rows_and_goes_on(older: Path) -> None:
    journal = Journal(older, TickingClock())
    try:
        task = take(journal, 1, item(1))
        journal.commit(1, 1, ended(task, Verdict.REJECTED), None, None)
        rows = journal.database.all("records_in_order", {"step_no": 1, "from": 0, "most": 9})
        assert [(row["i"], row["verdict"]) for row in rows] == [(0, "accepted"), (1, "rejected")]
    finally:
        journal.close()


def test_those_that_lead_a_journal_on_at_once_lead_it_once(older: Path) -> None:
    together = threading.Barrier(4)

    def open_it() -> str:
        together.wait()
        with closing(Database(older)) as database:
            return str(database.all("runs_newest_first", {"most": 9})[0]["run_id"])

    with ThreadPoolExecutor(4) as threads:
        opened = [threads.submit(open_it) for _ in range(4)]
    assert [one.result() for one in opened] == ["r"] * 4
