"""The journal as a file: whether SQLite can open it and finds it whole, its schema, its write-ahead log.

It is opened for reading alone, so that looking at a broken journal does not write into it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from penstock.store.audit.finding import Finding, Grade, note, ok, problem
from penstock.store.database import VERSION

NEEDS = (3, 25, 0)
"""`row_number() OVER` came with SQLite 3.25, `ON CONFLICT … DO UPDATE` with 3.24."""
LARGE_WAL_BYTES = 256 << 20
RESCUE = (
    "`sqlite3 .penstock/journal.db .recover | sqlite3 rescued.db` may save it (put rescued.db in its place);\n"
    "else move .penstock away and start a new run: the records of every run are also in .penstock/runs/*/steps"
)


def sqlite() -> Finding:
    """Whether the SQLite that Python was built with knows every statement that we send."""
    if sqlite3.sqlite_version_info < NEEDS:
        needed = ".".join(map(str, NEEDS))
        return problem(
            "sqlite", f"{sqlite3.sqlite_version}, and {needed} or later is needed", "use a Python with a newer SQLite"
        )
    return ok("sqlite", sqlite3.sqlite_version)


def examine(path: Path) -> list[Finding]:
    """What is to say of the journal's file; the last finding is a problem if nothing in it can be relied on."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as connection:
            return [_write_ahead_log(path), *_whole(connection), _schema(connection)]
    except sqlite3.Error as error:
        return [problem("journal", f"{path} cannot be read: {error}", RESCUE)]


def readable(findings: list[Finding]) -> bool:
    """Whether a journal of which this was found can be asked."""
    return all(finding.grade is not Grade.PROBLEM for finding in findings)


def _whole(connection: sqlite3.Connection) -> Iterator[Finding]:
    broken = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    if broken != ["ok"]:
        yield problem("journal", f"it is damaged: {'; '.join(broken)}", RESCUE)
        return
    lost = connection.execute("PRAGMA foreign_key_check").fetchmany(1000)
    if lost:
        tables = ", ".join(sorted({str(row[0]) for row in lost}))
        yield problem("journal", f"rows of {tables} point to rows that are gone: somebody edited it", RESCUE)
        return
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    yield ok("journal", f"whole, {pages * size / 1e6:,.1f} MB")


def _schema(connection: sqlite3.Connection) -> Finding:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        return problem(
            "schema", f"{found}: a newer Penstock wrote it, this one knows {VERSION}", "upgrade Penstock to read it"
        )
    if found < VERSION:
        return note("schema", f"{found}: the next command leads it to {VERSION}")
    return ok("schema", str(found))


def _write_ahead_log(path: Path) -> Finding:
    wal = path.with_name(f"{path.name}-wal")
    size = wal.stat().st_size if wal.exists() else 0
    if size > LARGE_WAL_BYTES:
        return note(
            "write-ahead log",
            f"{size / 1e6:,.0f} MB",
            "a program that reads the journal keeps it from being folded in: close it",
        )
    return ok("write-ahead log", f"{size / 1e6:,.1f} MB")
