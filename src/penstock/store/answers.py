"""The cache of raw answers: a file each, `.penstock/cache/a/KEY.json`, found by the fingerprint of its request.

A file is written under another name and renamed, so that nobody ever reads a half; it is not synced, because the
journal has the answer too. What a crash, a disk or a person made of a file, its checksum tells: such a file is put
aside, and the journal answers in its place. Any number of processes may use one cache: answers to one request are
worth the same, and the last one stays. There are sixteen folders and not 256: to make a folder costs ext4 on a large
disk some milliseconds, since each is put into another part of it.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import count, islice
from pathlib import Path

from penstock.core.calls import Answer
from penstock.store.answer_file import decode, encode
from penstock.store.call_rows import answer_of
from penstock.store.database import Database

NAME = re.compile(r"[0-9a-f]{64}\.json")
MOST_KNOWN = 10_000
"""So many names of files are remembered at most: some 1 MB of them."""
TEMPORARY = re.compile(r"[0-9a-f]{64}\.json\.[0-9a-f-]+\.tmp")
ROOM = re.compile(r"[0-9a-f]")


class AnswerFiles:
    """Raw answers by key: an `AnswerStore`. `database` is asked where there is no file; None asks nobody."""

    def __init__(self, folder: Path, database: Database | None, note: Callable[[str], None]) -> None:
        """`folder` is made when the first answer comes. `note` hears what a person should know."""
        self.folder = folder
        self.corrupt = folder / "corrupt"
        self.replaced = folder / "replaced"
        self.database = database
        self._note = note
        self._writable = True
        self._there: set[str] | None = None
        self._prefix = os.path.join(folder, "")
        own = secrets.token_hex(4)
        self._names = (f"{own}-{number}" for number in count())

    def survey(self, most: int = MOST_KNOWN) -> None:
        """From now on the disk is not asked for files that are not there: for a run, at its beginning.

        Once is enough. What is bought meanwhile, by whomever, the journal answers with, and `prune`, which could leave
        it to the files alone, waits for the end of every run. A cache of more than `most` files is not remembered.
        """
        with suppress(OSError):
            found = {entry.name for entry in islice(self.entries(), most + 1)}
            self._there = found if len(found) <= most else None

    def get(self, key: bytes) -> Answer | None:
        """The answer that was bought for this key; None if there is none. A corrupt file is put aside, and said."""
        return (self.read(key) if self._may_have(key) else None) or self.journalled(key)

    def put(self, key: bytes, request: Mapping[str, object] | None, answer: Answer) -> None:
        """The answer is in its file. One that cannot be written is said once: the journal has the answer."""
        if self._there is not None and answer.status != 200:  # the journal does not answer with it
            self._there.add(f"{key.hex()}.json")
        try:
            self.write(key, request, answer)
        except OSError as error:
            if self._writable:
                self._note(f"answers cannot be kept in {self.folder}: {error.strerror}; the journal has them")
            self._writable = False

    def path_of(self, key: bytes) -> str:
        """Where the answer of a key lies, or would."""
        name = key.hex()
        return f"{self._prefix}{name[0]}/{name}.json"

    def read(self, key: bytes) -> Answer | None:
        """The answer in the key's file; None if there is no such file, or it was not whole and is put aside now."""
        path = self.path_of(key)
        if not os.access(path, os.F_OK):  # most are not there, and an exception takes longer than to ask
            return None
        try:
            with open(path, "rb", buffering=0) as file:
                return decode(file.readall(), key)
        except FileNotFoundError:
            return None
        except ValueError as error:
            self._put_aside(path, str(error))
        except OSError as error:
            self._note(f"the cached answer {path} cannot be read: {error.strerror}")
        return None

    def journalled(self, key: bytes) -> Answer | None:
        """The newest answer to this key in the journal that says something: status 200, and no fault of transport."""
        row = self.database.one("answer_by_key", (key,)) if self.database is not None else None
        return answer_of(row) if row is not None else None

    def write(self, key: bytes, request: Mapping[str, object] | None, answer: Answer) -> None:
        """The answer is in its file. OSError if it cannot be; then nothing is left of it."""
        path = self.path_of(key)
        if self.database is not None and self._may_have(key):
            self._keep_only_copy(self.database, path, key)
        text = encode(key, request, answer)
        temporary = f"{path}.{next(self._names)}.tmp"
        try:
            _put_in_place(temporary, text, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _put_in_place(temporary, text, path)

    def files(self) -> Iterator[tuple[bytes, os.DirEntry[str]]]:
        """Every answer's key and file, in no order."""
        for entry in self.entries():
            if NAME.fullmatch(entry.name):
                yield bytes.fromhex(entry.name[:64]), entry

    def entries(self) -> Iterator[os.DirEntry[str]]:
        """Everything in the folders of answers, whatever it is."""
        if not self.folder.is_dir():
            return
        with os.scandir(self.folder) as rooms:
            for room in rooms:
                if ROOM.fullmatch(room.name) and room.is_dir():
                    with os.scandir(room) as entries:
                        yield from entries

    def _may_have(self, key: bytes) -> bool:
        """Whether there may be a file of the key that the journal does not stand for."""
        return self._there is None or f"{key.hex()}.json" in self._there

    def _keep_only_copy(self, database: Database, path: str, key: bytes) -> None:
        """What is about to be replaced and is no longer in the journal (`prune`) gets another name: it was paid for."""
        if not os.access(path, os.F_OK) or not database.one("only_in_file", (key,)):
            return
        self.replaced.mkdir(exist_ok=True)
        os.link(path, _free(self.replaced, os.path.basename(path)))

    def _put_aside(self, path: str, why: str) -> None:
        try:
            self.corrupt.mkdir(exist_ok=True)
            target = _free(self.corrupt, os.path.basename(path))
            os.rename(path, target)
        except FileNotFoundError:
            return  # another process was quicker
        except OSError as error:
            self._note(f"the cached answer {path} is not used, {why}; it cannot be put aside: {error.strerror}")
            return
        self._note(f"the cached answer {path} is not used, {why}: it is {target} now")


def _put_in_place(temporary: str, text: bytes, path: str) -> None:
    """The file is at `path`, whole, and only its owner may read it: prompts can be private."""
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            left = memoryview(text)
            while left:
                left = left[os.write(file, left) :]
        finally:
            os.close(file)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def _free(folder: Path, name: str) -> str:
    """A path in the folder that nobody has taken yet: `NAME`, `NAME~2`, …"""
    path, number = os.path.join(folder, name), 1
    while os.path.lexists(path):
        number += 1
        path = os.path.join(folder, f"{name}~{number}")
    return path
