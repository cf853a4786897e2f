"""One SQLite connection: named statements, transactions, and the way from any older schema to today's.

It is the one door to the journal, so secrets are masked here: every text and every blob of a statement's values, in
queries as well, so that what was written under a mask is found under it.

WAL with synchronous=NORMAL: a commit survives the death of the process. What must survive a power
cut is followed by `sync`, which flushes the write-ahead log to the disk, and with it every commit before
(https://www.sqlite.org/wal.html, "Performance Considerations").
"""

from __future__ import annotations

import fcntl
import os
import re
import resource
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.core.errors import OperatorError

if TYPE_CHECKING:
    from penstock.rules.secrets import Masker

VERSION = 4
MIGRATIONS: tuple[tuple[int, str], ...] = (
    (2, "migration_2.sql"),
    (3, "migration_3.sql"),
    (4, "migration_4.sql"),
)
"""(version, file) in order: each file's statements lead from the version before it to that version."""

Row = sqlite3.Row
Values = Sequence[object] | Mapping[str, object]

_OUTER = ("BEGIN IMMEDIATE", ("ROLLBACK",), "COMMIT")
_INNER = ("SAVEPOINT inside", ("ROLLBACK TO inside", "RELEASE inside"), "RELEASE inside")
"""How a transaction begins, is undone and ends."""
DatabaseError = sqlite3.Error


class Database:
    """A connection to the journal's file. Not for use from two threads, `sync` excepted."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file and brings its schema up to date; OperatorError if that cannot be."""
        self.path = path
        self.masker: Masker | None = None
        self._wal: int | None = None
        self._opening = threading.Lock()
        try:
            self._connection = _connect(path)
        except sqlite3.Error as error:
            raise unreadable(path, error) from error

    def run(self, name: str, values: Values = ()) -> int:
        """Runs a statement that changes rows; the id of the last row it inserted."""
        return self._connection.execute(statements()[name], self._masked(values)).lastrowid or 0

    def many(self, name: str, rows: Iterable[Sequence[object]]) -> None:
        """Runs a statement that changes rows once for each of these rows of values."""
        self._connection.executemany(statements()[name], map(self._masked, rows) if self.masker else rows)

    def one(self, name: str, values: Values = ()) -> Row | None:
        """The first row of a query, or None."""
        row: Row | None = self._connection.execute(statements()[name], self._masked(values)).fetchone()
        return row

    def all(self, name: str, values: Values = ()) -> list[Row]:
        """All rows of a query; callers bound them by a LIMIT or know that they are few."""
        return self._connection.execute(statements()[name], self._masked(values)).fetchall()

    def _masked(self, values: Values) -> Values:
        if self.masker is None:
            return values
        if isinstance(values, Mapping):
            return {name: _without_secrets(value, self.masker) for name, value in values.items()}
        return [_without_secrets(value, self.masker) for value in values]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside are committed together, or none if one raises. Inside another, it ends with that."""
        inside = self._connection.in_transaction
        begin, undo, end = _INNER if inside else _OUTER
        self._connection.execute(begin)
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # a full disk ends it by itself
                for statement in undo:
                    self._connection.execute(statement)
            raise
        self._connection.execute(end)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """All statements inside are committed together, those before an exception as well."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            if self._connection.in_transaction:  # a full disk ends it by itself
                self._connection.execute("COMMIT")

    def sync(self) -> None:
        """Everything committed so far is on the disk when this returns. May be called from any thread.

        FileNotFoundError if somebody deleted the file: what is written to it now is seen by nobody.
        """
        os.stat(self.path)
        with self._opening:
            if self._wal is None:
                self._wal = os.open(f"{self.path}-wal", os.O_RDONLY)
        full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync alone stops at the drive's own cache
        if full is not None:
            fcntl.fcntl(self._wal, full)
        else:
            os.fdatasync(self._wal)

    def close(self) -> None:
        """The connection is closed and the log folded into the main file if nobody else has it open."""
        if self._wal is not None:
            os.close(self._wal)
            self._wal = None
        self._connection.close()


def _without_secrets(value: object, masker: Masker) -> object:
    if isinstance(value, str):
        return masker.text(value)
    return masker.data(value) if isinstance(value, bytes) else value


def migrate(connection: sqlite3.Connection, migrations: Sequence[tuple[int, str]] | None = None) -> None:
    """Makes the schema in an empty file, or leads an older one to the newest version, in one transaction.

    `migrations` are (version, SQL), ours if they are not given.
    """
    newest = max([VERSION, *(version for version, _ in migrations or ())])
    if _version(connection) == newest:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _version(connection)  # another process may have been quicker
        if found > newest:
            raise OperatorError(
                f"the journal was written by a newer Penstock (its schema is {found}, this version knows {newest})",
                "upgrade Penstock, or run in another folder",
            )
        known = _migrations() if migrations is None else migrations
        texts = [_text("schema.sql")] if found == 0 else [text for version, text in known if version > found]
        for statement in _split("\n".join(texts) if found < newest else ""):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {newest}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@cache
def statements() -> dict[str, str]:
    """The statements of queries.sql by name."""
    parts = re.split(r"^-- name: (\w+)\n", _text("queries.sql"), flags=re.MULTILINE)
    bodies = (re.sub(r"^--.*\n?", "", body, flags=re.MULTILINE).strip() for body in parts[2::2])
    return dict(zip(parts[1::2], bodies, strict=True))


def unreadable(path: Path, error: sqlite3.Error) -> OperatorError:
    """What to tell a person when SQLite cannot work with the journal."""
    said = str(error)
    if "full" in said or ("I/O" in said and _is_full(path.parent)):
        return OperatorError(
            f"the disk is full (the journal {path} cannot be written)",
            "make room, then `penstock resume`: nothing is lost",
        )
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if "I/O" in said and limit != resource.RLIM_INFINITY:
        return OperatorError(
            f"the journal {path} may not become larger: files of this process are limited to {limit:,} bytes",
            "raise the limit (`ulimit -f`), then `penstock resume`: nothing is lost",
        )
    help = next((help for word, help in _HELP.items() if word in said), _HELP[""])
    return OperatorError(f"the journal {path} cannot be used: {said}", help)


_HELP = {
    "locked": "another program has held it for over 10 s (a SQLite browser?): close that, then `penstock resume`",
    "malformed": "`penstock doctor` says what can be saved",
    "not a database": "`penstock doctor` says what can be saved",
    "readonly": "check that the folder is writable",
    "unable to open": "check that the folder is writable, and that it was not moved away",
    "I/O": "the disk fails, or was taken away: see the system's log, mend that, then `penstock resume`",
    "": "`penstock doctor` looks further",
}
"""By a word of what SQLite says (its codes are not in Python 3.10)."""


def _is_full(folder: Path) -> bool:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize < _LITTLE_BYTES


_LITTLE_BYTES = 1 << 20


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=10.0, cached_statements=256)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -8000")
        # A checkpoint syncs two files: one in 8,000 pages (32 MB) instead of in 1,000 keeps it out of the way.
        connection.execute("PRAGMA wal_autocheckpoint = 8000")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrations() -> list[tuple[int, str]]:
    return [(version, _text(file)) for version, file in MIGRATIONS]


def _split(script: str) -> Iterator[str]:
    """The statements of a script: `executescript` would end our transaction before it begins."""
    statement = ""
    for piece in script.split(";"):
        statement += f"{piece};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _text(name: str) -> str:
    return resources.files("penstock.store").joinpath(name).read_text(encoding="utf-8")
