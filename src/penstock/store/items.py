"""Rows of input files, one at a time: JSON Lines (plain or gzipped), JSON arrays, CSV, and lists in the workflow.

A file is opened when its first row is asked for and closed with the generator. Memory holds one buffer and one
row, however long the file is. A row that cannot be read is a row with a fault, in its place: nothing is left out.
"""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import re
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from penstock.core import canon
from penstock.core.errors import OperatorError
from penstock.store.json_array import JsonArray

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LONGEST_ROW_BYTES = 64 << 20
CHUNK_BYTES = 1 << 20

_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_BOM = b"\xef\xbb\xbf"
_KEPT_OF_A_FAULT_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a stream.

    `text` is the row exactly: a line without its end, or compact JSON. `data` is its value, None where `fault`
    is a sentence that says why it has none; `text` is then what stands there, as far as it was kept.
    `index` counts from 0; `line` from 1, where the row begins in the file (in a list: its place).
    """

    index: int
    text: bytes
    data: object
    fault: str | None
    line: int


def read(
    path: Path,
    format: str,
    *,
    size_bytes: int | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    longest_bytes: int = LONGEST_ROW_BYTES,
) -> Generator[Row, None, None]:
    """The rows of a file, lazily; `close()` it to stop early. `format` is `jsonl`, `jsonl.gz`, `json` or `csv`.

    With `size_bytes` the file counts as that long: what is added to it meanwhile is not read. OperatorError where the
    file cannot be read, is cut off or shorter than that, or is not of that format as a whole.
    """
    with _opened(path, format, size_bytes) as stream:
        if format == "json":
            yield from _elements(JsonArray(stream, path, chunk_bytes, longest_bytes))
        elif format == "csv":
            yield from _records(stream, path, longest_bytes)
        else:
            yield from _lines(stream, longest_bytes)


def count(path: Path, format: str) -> int:
    """How many rows `read` would give, faults included, without looking into them."""
    with _opened(path, format) as stream:
        if format == "json":
            return sum(1 for _ in JsonArray(stream, path, CHUNK_BYTES, LONGEST_ROW_BYTES))
        if format == "csv":
            return sum(1 for _ in _records(stream, path, LONGEST_ROW_BYTES))
        return _count_lines(stream)


def rows_of_list(values: Iterable[object]) -> Iterator[Row]:
    """The rows of a list in the workflow: a text is the row as it stands, anything else its compact JSON."""
    for index, value in enumerate(values):
        text = value if isinstance(value, str) else canon.compact(value)
        yield Row(index, text.encode(), value, None, index + 1)


@contextmanager
def _opened(path: Path, format: str, size_bytes: int | None = None) -> Iterator[io.BufferedReader]:
    """The file's bytes after a byte order mark. What the system says against them is an OperatorError."""
    try:
        raw = io.FileIO(path) if size_bytes is None else _Head(path, size_bytes)
        with io.BufferedReader(raw, CHUNK_BYTES) as file:
            # A GzipFile is read like a BufferedReader, only its type does not say so.
            stream = cast(io.BufferedReader, gzip.GzipFile(fileobj=file) if format == "jsonl.gz" else file)
            if stream.peek(len(_BOM)).startswith(_BOM):
                stream.read(len(_BOM))
            yield stream
    except FileNotFoundError:
        help = "if a step writes it, that step belongs in `needs`"
        raise OperatorError(f"{path} does not exist", help) from None
    except IsADirectoryError:
        raise OperatorError(f"{path} is a folder", "name one file of rows") from None
    except PermissionError:
        raise OperatorError(f"{path} may not be read", f"allow it: chmod u+r {path}") from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise OperatorError(f"{path} is no whole gzip file: {error}", "write it again, or copy it again") from None
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        raise OperatorError(f"{path} cannot be read: {error.strerror or error}", "see that it is there whole") from None


class _Head(io.FileIO):
    """The first bytes of a file that may grow while it is read."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        super().__init__(path)
        self._path = path
        self._size = size_bytes
        self._left = size_bytes

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """OperatorError at an end of the file that comes too early."""
        got = super().readinto(memoryview(buffer)[: self._left]) if self._left else 0
        if not got and self._left:
            raise OperatorError(
                f"{self._path} has become shorter while it was read: {self._size - self._left:,} bytes "
                f"where there were {self._size:,}",
                "nobody should write it while a run reads it; `penstock resume --reread` goes on with it as it is now",
            )
        self._left -= got
        return got


# --- JSON Lines ----------------------------------------------------------------------------------


def _lines(stream: io.BufferedReader, longest_bytes: int) -> Iterator[Row]:
    index = 0
    number = 0
    # The line, its end (\r\n at most) and one byte more, which tells that it is too long.
    while line := stream.readline(longest_bytes + 3):
        number += 1
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        if len(text) > longest_bytes:
            _skip_line(stream, line)
            said = f"line {number} is longer than {longest_bytes:,} bytes"
            yield Row(index, text[:_KEPT_OF_A_FAULT_BYTES], None, said, number)
        elif not text or text.isspace():
            continue
        else:
            yield _row(index, text, number, f"line {number}")
        index += 1


def _skip_line(stream: io.BufferedReader, piece: bytes) -> None:
    while piece and not piece.endswith(b"\n"):
        piece = stream.readline(CHUNK_BYTES)


def _count_lines(stream: io.BufferedReader) -> int:
    rows = 0
    filled = False
    while piece := stream.readline(CHUNK_BYTES):
        filled = filled or not piece.isspace()
        if piece.endswith(b"\n"):
            rows += filled
            filled = False
    return rows + filled


def _row(index: int, text: bytes, line: int, place: str) -> Row:
    try:
        return Row(index, text, canon.parse(text), None, line)
    except (ValueError, RecursionError) as error:
        return Row(index, text, None, f"{place} {_complaint(error)}", line)


def _complaint(error: Exception) -> str:
    match error:
        case UnicodeDecodeError():
            return f"is not UTF-8: byte 0x{error.object[error.start]:02x} at byte {error.start + 1}"
        case json.JSONDecodeError():
            return f"is not JSON: {error.msg.removesuffix(' at')} at character {error.pos + 1}"
        case RecursionError():
            return "is not usable JSON: nested too deeply"
    return f"is not usable JSON: {str(error).partition(':')[0]}"


# --- JSON arrays ---------------------------------------------------------------------------------


def _elements(array: JsonArray) -> Iterator[Row]:
    for index, (line, element) in enumerate(array):
        row = _row(index, element, line, f"element {index + 1} (line {line})")
        if row.fault is None:
            row = Row(index, canon.squeeze(element.decode()).encode(), row.data, None, line)
        yield row


# --- CSV -----------------------------------------------------------------------------------------


_Record = tuple[str, list[str], str | None, int]
"""Text, fields, fault and first line of a record that is not blank."""


class _CsvLines:
    """The physical lines of a file, and the text of the record that they make up until it is taken."""

    def __init__(self, text: io.TextIOWrapper, path: Path, longest: int) -> None:
        self._text = text
        self._path = path
        self._longest = longest
        self._record: list[str] = []
        self._length = 0
        self._first = self._next = 1

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(self._longest):
            self._length += len(line)
            if self._length > self._longest:
                said = f"{self._path} has a row of over {self._longest:,} characters (line {self._first})"
                raise OperatorError(said, "is a quote not closed there?")
            self._record.append(line)
            self._next += 1
            yield line

    def take(self) -> tuple[int, str]:
        """The line on which the record began, and its text without the end of its last line."""
        first, text = self._first, "".join(self._record)
        self._record.clear()
        self._length = 0
        self._first = self._next
        return first, text.rstrip("\r\n")


def _records(stream: io.BufferedReader, path: Path, longest_bytes: int) -> Iterator[Row]:
    """The records below the header, each as compact JSON of texts."""
    csv.field_size_limit(longest_bytes)  # one setting for the whole process, 128 KiB without this
    # Bytes that are not UTF-8 come through as surrogates: one bad row is not the whole file.
    with io.TextIOWrapper(stream, "utf-8", "surrogateescape", newline="") as text:
        yield from _numbered(_parsed(_CsvLines(text, path, longest_bytes)), path)


def _numbered(records: Iterator[_Record], path: Path) -> Iterator[Row]:
    _, header, fault, line = next(records, ("", [], None, 1))
    if fault:
        raise OperatorError(f"{path}: the header {fault} (line {line})", "the first row names the columns")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        said = f"{path}: two columns are named {', '.join(map(canon.compact, twice))} (line {line})"
        raise OperatorError(said, "give each column a name of its own")
    for index, (text, fields, fault, line) in enumerate(records):
        if fault is None and len(fields) != len(header):
            fault = f"has {len(fields)} fields, and the header has {len(header)}"
        if fault is None:
            record = dict(zip(header, fields, strict=True))
            yield Row(index, canon.compact(record).encode(), record, None, line)
        else:
            kept = text.encode("utf-8", "surrogateescape")
            yield Row(index, kept, None, f"line {line} {fault}", line)


def _parsed(lines: _CsvLines) -> Iterator[_Record]:
    reader = csv.reader(iter(lines), strict=True)
    while True:
        fault = None
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fields, fault = [], f"is not CSV: {error}"
        line, text = lines.take()
        if fault is None and _NOT_UTF8.search(text):
            fault = "is not UTF-8"
        if text.strip(" \t\r\n"):
            yield text, fields, fault, line
