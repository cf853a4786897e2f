"""The other files that a workflow names and that loading reads: prompts, schemas, variables.

All of them are read here, from the folder or from a run's snapshot in its place, and what was read is
kept: it is the part of the snapshot that is not the workflow file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock.load.folder import meant
from penstock.load.tree import Document, document


class Unreadable(Exception):
    """A file that loading needs and does not get. `help` is the line that helps, None if there is none."""

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


class Texts:
    """Reads each file once. `snapshot` has all that there is, by path; None: what lies in the folder."""

    def __init__(self, folder: Path, snapshot: Mapping[str, str] | None) -> None:
        self.folder = folder
        self._snapshot = snapshot
        self._documents: dict[str, Document] = {}

    @property
    def read(self) -> tuple[tuple[str, str], ...]:
        """(path, text) of every file that was read, by path."""
        return tuple((path, self._documents[path].source) for path in sorted(self._documents))

    def document(self, path: str) -> Document:
        """The text at a path relative to the workflow's folder. Unreadable if there is none, or no UTF-8."""
        if path not in self._documents:
            self._documents[path] = document(str(self.folder / path), self._text(path))
        return self._documents[path]

    def _text(self, path: str) -> str:
        if self._snapshot is None:
            return _of_file(self.folder, path)
        if path not in self._snapshot:
            raise Unreadable(f"the run's snapshot has no file `{path}`", "start a new run")
        return self._snapshot[path]


def _of_file(folder: Path, path: str) -> str:
    file = folder / path
    try:
        if file.is_dir():
            raise Unreadable(f"`{path}` is a folder", "name a file in it")
        if not file.is_file():
            raise Unreadable(f"there is no file `{path}`", meant(folder, path, ()))
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise Unreadable(f"`{path}` is not UTF-8: its byte {error.start} is 0x{byte:02X}", "save it as UTF-8") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable(f"`{path}` cannot be read: {reason}") from None
    if "\0" in text:
        raise Unreadable(f"`{path}` is no text: it holds a NUL", "name a text file")
    return text
