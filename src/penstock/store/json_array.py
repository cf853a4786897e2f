"""The elements of a JSON array in a file, found one after another without reading the array whole.

Only brackets, commas and quotes are looked at, on bytes: in UTF-8 none of them is ever part of another
character. So an element may be broken inside and the next one is still found, and a chunk of the file may end
anywhere: the scan goes on where it stopped, and its time is linear in the file. (`JSONDecoder.raw_decode` over a
growing text begins each element anew, takes `1` for a `12` that a chunk has cut, and cannot tell broken from cut.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from penstock.core.errors import OperatorError

_SPACES = re.compile(rb"[ \t\r\n]*")
_AT_TOP = re.compile(rb'["\[\]{},]')
_INSIDE = re.compile(rb'["\[\]{}]')
_BACKSLASH = 0x5C


class Readable(Protocol):
    """Where the bytes come from."""

    def read(self, size: int = -1, /) -> bytes: ...


class JsonArray:
    """Iterates over (line, bytes) of each element, without the white space around it; lines count from 1.

    OperatorError if the file is no array, if the array does not end, or if something follows it.
    """

    def __init__(self, stream: Readable, path: Path, chunk_bytes: int, longest_bytes: int) -> None:
        self._stream = stream
        self._path = path
        self._chunk_bytes = chunk_bytes
        self._longest_bytes = longest_bytes
        self._buffer = b""
        # Where the element begins, and how far it has been looked at, both in the buffer.
        self._start = 0
        self._at = 0
        self._line = 1

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        self._skip_space("is empty")
        if self._buffer[self._start : self._start + 1] != b"[":
            raise self._error("holds no JSON array", "a .json file of rows is one array; a record a line is .jsonl")
        self._start = self._at = self._start + 1
        self._skip_space("ends within its array")
        closed = self._buffer[self._start : self._start + 1] == b"]"
        while not closed:
            self._skip_space("ends within its array")
            end = self._end_of_element()
            yield self._line, self._buffer[self._start : end].rstrip(b" \t\r\n")
            closed = self._buffer[end : end + 1] == b"]"
            self._pass_over(end + (0 if closed else 1))
        self._start = self._at = self._start + 1
        self._end_of_file()

    def _end_of_element(self) -> int:
        """Where the comma or bracket stands that ends the element; all up to there is in the buffer."""
        depth = 0
        while True:
            found = (_INSIDE if depth else _AT_TOP).search(self._buffer, self._at)
            if found is None:
                self._at = len(self._buffer)
                self._more("ends within its array")
                continue
            sign = found[0]
            self._at = found.end()
            if sign == b'"':
                self._end_of_string()
            elif sign in b"[{":
                depth += 1
            elif depth:
                depth -= 1
            elif sign in b",]":
                return found.start()

    def _end_of_string(self) -> None:
        while True:
            quote = self._buffer.find(b'"', self._at)
            if quote < 0:
                self._at = len(self._buffer)
                self._more("ends within a string")
                continue
            self._at = quote + 1
            before = quote - 1
            while self._buffer[before] == _BACKSLASH:
                before -= 1
            if (quote - 1 - before) % 2 == 0:
                return

    def _skip_space(self, at_end: str) -> None:
        """Goes on to the next byte that is no white space."""
        while not self._at_filled():
            self._more(at_end)

    def _at_filled(self) -> bool:
        match = _SPACES.match(self._buffer, self._start)
        self._pass_over(match.end() if match else self._start)
        return self._start < len(self._buffer)

    def _pass_over(self, end: int) -> None:
        self._line += self._buffer.count(b"\n", self._start, end)
        self._start = self._at = end

    def _more(self, at_end: str) -> None:
        """Reads on. At least as much as is held, so that a long element is not copied once for every chunk."""
        if not self._grown():
            raise self._error(at_end, "write it again, or copy it again")

    def _grown(self) -> bool:
        held = self._buffer[self._start :]
        if len(held) > self._longest_bytes:
            raise self._error(f"has an element of over {self._longest_bytes:,} bytes", "a record a line is .jsonl")
        piece = self._stream.read(max(self._chunk_bytes, len(held)))
        self._buffer = held + piece
        self._at -= self._start
        self._start = 0
        return bool(piece)

    def _end_of_file(self) -> None:
        while not self._at_filled():
            if not self._grown():
                return
        raise self._error("goes on after its array", "a file of rows is one array; a record a line is .jsonl")

    def _error(self, said: str, help: str) -> OperatorError:
        return OperatorError(f"{self._path} {said} (line {self._line})", help)
