"""Planted secrets, and the search for them: in every file and stream, in six encodings, inside SQLite and zlib too.

The spellings are made here by the standard library's encoders, apart from what `penstock.rules` thinks that they are.
"""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, quote_plus

PLAIN = "canary-9f8e7d6c5b4aQmZx"
ODD = 'p"ä\\s\nw0rd-Käfig & <vögel>'
VAULT = "kept/in+a vault=of'steel"
SECRETS = {"PLAIN": PLAIN, "ODD": ODD, "VAULT": VAULT}


def spellings(secret: str) -> Iterator[tuple[str, bytes]]:
    """Each way in which the secret may be written, with the encoding's name."""
    data = secret.encode()
    yield "raw", data
    for ascii_only in (True, False):
        once = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        twice = json.dumps(once, ensure_ascii=ascii_only)[1:-1]
        yield from (("json", text.encode()) for text in (once, twice, once.replace("/", "\\/")))
    for text in (quote(data), quote(data, safe=""), quote_plus(data)):
        yield "url", text.encode()
    for shift in range(3):
        yield from ((f"base64 shifted by {shift}", letters) for letters in _base64(data, shift))
    yield "hex", data.hex().encode()
    yield "HEX", data.hex().upper().encode()


def spelled(secrets: Mapping[str, str] = SECRETS) -> bytes:
    """Every spelling of every secret, one a line, each with something else around it."""
    lines = [b"<%s>" % text for secret in secrets.values() for how, text in spellings(secret) if how[:4] != "base"]
    for data in (b"." * shift + secret.encode() for secret in secrets.values() for shift in range(3)):
        lines += [base64.b64encode(data), base64.urlsafe_b64encode(data + b"~~?")]
    return b"\n".join(lines) + b"\n"


def found(where: str, data: bytes) -> list[str]:
    """Which secrets stand in the bytes, and how they are written there."""
    return [f"{where}: {name} ({how})" for name, how, text in _NEEDLES if text in data]


def hits(folder: Path, own: tuple[str, ...]) -> list[str]:
    """Each secret in each file below the folder but those that a pattern of `own` matches, which are the user's."""
    told = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = path.relative_to(folder).as_posix()
        told += found(f"the name {name}", name.encode())
        if not any(fnmatchcase(name, each) for each in own):
            told += found(name, path.read_bytes())
            told += [hit for place, cell in _cells(path) for hit in found(f"{name} {place}", cell)]
    return told


def packed_answers(folder: Path) -> int:
    """How many values in the journal are compressed."""
    return sum(place.endswith("unpacked") for place, _ in _cells(folder / ".penstock" / "journal.db"))


def _cells(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every value of every table of an SQLite file; what is compressed, unpacked too. To open the file itself would
    fold the log that a dead process has left into it."""
    if path.suffix != ".db":
        return
    with TemporaryDirectory() as copies:
        for file in path.parent.glob(f"{path.name}*"):
            shutil.copy(file, copies)
        yield from _values(Path(copies) / path.name)


def _values(path: Path) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        names = [row[0].decode() for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in names:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                yield table, b"\0".join(each if isinstance(each, bytes) else str(each).encode() for each in row)
                yield from ((f"{table}, unpacked", each) for each in map(_unpacked, row) if each)


def _unpacked(value: object) -> bytes:
    try:
        return zlib.decompress(value) if isinstance(value, bytes) else b""
    except zlib.error:
        return b""


def _base64(data: bytes, shift: int) -> Iterator[bytes]:
    """The letters that hold bits of the data alone, where `shift` bytes of something else stand before it."""
    first, end = -(-8 * shift // 6), 8 * (shift + len(data)) // 6
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(bytes(shift) + data)[first:end]


_NEEDLES = [(name, how, text) for name, secret in SECRETS.items() for how, text in dict.fromkeys(spellings(secret))]
