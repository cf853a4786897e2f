"""The journal's file: its schema, its statements, the way from an older version, and what all of that promises."""

from __future__ import annotations

import ast
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.core.errors import OperatorError
from penstock.store import database
from penstock.store.database import VERSION, Database, migrate, statements

STORE = Path(database.__file__).parent
SCHEMA = (STORE / "schema.sql").read_text(encoding="utf-8")
MADE_UP = (
    (VERSION + 1, "ALTER TABLE runs ADD COLUMN colour TEXT; CREATE TABLE paints (name TEXT);"),
    (VERSION + 2, "INSERT INTO paints SELECT 'red; ' || name FROM runs;\nUPDATE runs SET colour = 'red';"),
)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(tmp_path / "plain.db", isolation_level=None)
    yield opened
    opened.close()


@pytest.fixture
def older(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A journal of today's version with one run in it."""
    migrate(connection, ())
    connection.execute(
        "INSERT INTO runs (run_id, workflow, name, state, options, started_at) "
        "VALUES ('r', 'w', 'Old', 'running', '{}', 1)"
    )
    return connection


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


# --- versions ----------------------------------------------------------------------------------


def test_a_journal_of_a_newer_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    plain = sqlite3.connect(path)
    plain.execute("PRAGMA user_version = 7000")
    plain.close()
    with pytest.raises(OperatorError) as refusal:
        Database(path)
    said = f"the journal was written by a newer Penstock (its schema is 7000, this version knows {VERSION})"
    assert str(refusal.value) == said
    assert refusal.value.help == "upgrade Penstock, or run in another folder"


def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"dear diary, " * 1000)
    with pytest.raises(OperatorError, match=r"the journal .*journal\.db cannot be used: file is not a database"):
        Database(path)
    assert path.read_bytes() == b"dear diary, " * 1000


def test_a_folder_that_is_not_there_is_an_error_for_a_person(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="unable to open database file") as refusal:
        Database(tmp_path / "nowhere" / "journal.db")
    assert "check that the folder is writable" in (refusal.value.help or "")


def test_an_older_journal_is_led_through_every_later_migration_and_keeps_its_rows(older: sqlite3.Connection) -> None:
    migrate(older, MADE_UP)
    assert version(older) == VERSION + 2
    assert older.execute("SELECT name, colour FROM runs").fetchall() == [("Old", "red")]
    assert older.execute("SELECT name FROM paints").fetchall() == [("red; Old",)]


def test_a_migration_that_was_made_before_is_not_made_again(older: sqlite3.Connection) -> None:
    migrate(older, MADE_UP[:1])
    migrate(older, MADE_UP)
    migrate(older, MADE_UP)
    assert older.execute("SELECT count(*) FROM paints").fetchone() == (1,)


def test_a_migration_that_fails_leaves_the_journal_as_it_was(older: sqlite3.Connection) -> None:
    broken = (MADE_UP[0], (VERSION + 2, "UPDATE runs SET colour = 'red'; DELETE FROM no_such_table;"))
    with pytest.raises(sqlite3.OperationalError, match="no_such_table"):
        migrate(older, broken)
    assert version(older) == VERSION
    assert "paints" not in tables(older)
    assert not older.in_transaction


def test_an_empty_file_gets_todays_schema_and_no_migration(connection: sqlite3.Connection) -> None:
    migrate(connection, ((VERSION + 1, "CREATE TABLE paints (name TEXT);"),))
    assert version(connection) == VERSION + 1
    assert {"runs", "outcomes"} <= tables(connection)
    assert "paints" not in tables(connection)


def test_the_last_migration_leads_to_the_version_of_the_schema() -> None:
    versions = [number for number, _ in database.MIGRATIONS]
    assert versions == list(range(2, VERSION + 1))


def test_two_processes_that_meet_an_empty_file_make_one_schema(tmp_path: Path) -> None:
    path, failures = tmp_path / "journal.db", list[Exception]()
    first = sqlite3.connect(path, isolation_level=None)
    first.execute("PRAGMA journal_mode = WAL")
    first.execute("BEGIN IMMEDIATE")

    def come_second() -> None:
        try:
            Database(path).close()
        except OperatorError as error:
            failures.append(error)

    second = threading.Thread(target=come_second)
    second.start()
    time.sleep(0.3)  # it has seen an empty file by now and waits for our lock
    for statement in re.split(r";\n", SCHEMA):
        first.execute(statement)
    first.execute(f"PRAGMA user_version = {VERSION}")
    first.execute("COMMIT")
    second.join()
    first.close()
    assert failures == []


# --- schema ------------------------------------------------------------------------------------


def test_every_table_and_every_column_is_explained(connection: sqlite3.Connection) -> None:
    """A column is explained where its table's comment, or the head of the file, names it in backquotes."""
    migrate(connection, ())
    head, _, _ = SCHEMA.partition("\n\n")
    for table in sorted(tables(connection)):
        comment = re.search(rf"((?:^--.*\n)+)^CREATE TABLE {table} ", SCHEMA, re.MULTILINE)
        assert comment, f"{table} has no comment"
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        explained = re.findall(r"`(\w+)`", head + comment[1])
        assert sorted(set(columns) - set(explained)) == [], f"columns of {table} that no comment explains"


def test_what_refers_to_another_row_says_to_which(connection: sqlite3.Connection) -> None:
    migrate(connection, ())
    for table in sorted(tables(connection)):
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table}) ") if row[1].endswith("_no")}
        own = {row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5] == 1}
        referring = {row[3] for row in connection.execute(f"PRAGMA foreign_key_list({table})")}
        assert columns - own <= referring


# --- statements --------------------------------------------------------------------------------


class Anything(dict[str, object]):
    """A value for every name."""

    def __missing__(self, name: str) -> object:
        return 1


def test_every_statement_fits_the_schema(connection: sqlite3.Connection) -> None:
    migrate(connection, ())
    for name, statement in statements().items():
        values = [1] * statement.count("?") if "?" in statement else Anything()
        try:
            connection.execute(f"EXPLAIN {statement}", values)
            if statement.startswith("CREATE TEMP"):
                connection.execute(statement, values)
        except sqlite3.Error as error:
            pytest.fail(f"{name}: {error}")


def test_a_statement_names_its_values_or_counts_them_but_not_both() -> None:
    mixed = [name for name, text in statements().items() if "?" in text and re.search(r":[a-z]", text)]
    assert mixed == []


def test_every_name_occurs_once() -> None:
    names = re.findall(r"^-- name: (\w+)$", (STORE / "queries.sql").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(names) == sorted(set(names)) == sorted(statements())


def test_every_statement_is_used_and_every_name_that_is_used_exists() -> None:
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in sorted(STORE.parent.rglob("*.py"))]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    written = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert sorted(set(statements()) - written) == []
    assert sorted(set(asked_for(nodes)) - set(statements())) == []


def asked_for(nodes: list[ast.AST]) -> Iterator[str]:
    """The names in `….database.one("name", …)` and its kin."""
    for node in nodes:
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="database") | ast.Attribute(attr="database"), attr=method),
                args=[ast.Constant(value=str(name)), *_],
            ) if method in {"run", "one", "all"}:
                yield name


# --- transactions ------------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "journal.db")
    yield opened
    opened.close()


def add_run(journal: Database, run_id: str) -> None:
    values = {"run_id": run_id, "workflow": "w", "name": "n", "options": "{}", "base_no": None, "now": 1.0}
    journal.run("insert_run", values)


def run_ids(journal: Database) -> list[str]:
    other = Database(journal.path)
    try:
        return sorted(row["run_id"] for row in other.all("runs_newest_first", {"most": 10}))
    finally:
        other.close()


def test_a_transaction_that_raises_leaves_nothing(journal: Database) -> None:
    def write_and_stop() -> None:
        with journal.transaction():
            add_run(journal, "a")
            add_run(journal, "b")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_stop()
    assert run_ids(journal) == []
    add_run(journal, "c")
    assert run_ids(journal) == ["c"]


def test_nobody_sees_a_transaction_before_its_end(journal: Database) -> None:
    with journal.transaction():
        add_run(journal, "a")
        assert run_ids(journal) == []
    assert run_ids(journal) == ["a"]


def test_an_inner_transaction_belongs_to_the_outer_one(journal: Database) -> None:
    def write_and_fail() -> None:
        with journal.transaction():
            with journal.transaction():
                add_run(journal, "a")
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        write_and_fail()
    assert run_ids(journal) == []


def test_an_inner_transaction_that_fails_leaves_nothing_of_itself_in_the_outer_one(journal: Database) -> None:
    def fail_inside() -> None:
        with journal.transaction():
            add_run(journal, "lost")
            raise ValueError

    with journal.transaction():
        add_run(journal, "a")
        with pytest.raises(ValueError, match=r"^$"):
            fail_inside()
        add_run(journal, "b")
    assert run_ids(journal) == ["a", "b"]


def test_a_turn_keeps_what_was_whole_before_an_exception_and_nothing_half(journal: Database) -> None:
    def turn() -> None:
        with journal.turn():
            add_run(journal, "whole")
            with journal.transaction():
                add_run(journal, "half")
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        turn()
    assert run_ids(journal) == ["whole"]


def test_what_is_committed_is_there_after_the_connection_closed_and_the_log_was_folded_in(journal: Database) -> None:
    add_run(journal, "a")
    journal.sync()
    path = journal.path
    journal.close()
    assert not path.with_name("journal.db-wal").exists()
    again = Database(path)
    assert run_ids(again) == ["a"]
    again.close()
