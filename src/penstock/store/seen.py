"""What has been seen before, in a temporary database of its own: a million digests in a set would take 100 MB."""

from __future__ import annotations

import sqlite3

from penstock.store.database import statements


class Seen:
    """Counts keys. SQLite keeps the table in a file without a name, which is gone when this is closed."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute(statements()["begin_seen"])
        self._connection.execute("BEGIN")

    def before(self, key: bytes) -> int:
        """How often this key was asked about before; from now on once more."""
        row = self._connection.execute(statements()["times_seen"], (key,)).fetchone()
        self._connection.execute(statements()["see"], (key,))
        return int(row[0]) if row is not None else 0

    def close(self) -> None:
        """Nothing is left of it."""
        self._connection.close()
