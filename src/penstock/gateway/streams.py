"""Streams cut into their events while they pass: server-sent events and lines of JSON.

Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation. An event
ends with an empty line; lines end with LF, CRLF or CR. What has been cut is passed on byte for byte, so an event keeps
the end that its server gave it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock.core.canon import Json, compact

EVENT_STREAM = "text/event-stream"
NDJSON = "application/x-ndjson"

_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE_END = re.compile(rb"\n")
_LONGEST_END = 4


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `name` is empty where the server names none; `data` is its JSON value, else None, and `text` as it
    was written."""

    name: str
    text: str
    data: Json


class Cutter:
    """Cuts a stream at its ends. `feed` gives what is whole, `end` what is left over; together they are the stream."""

    def __init__(self, end: re.Pattern[bytes]) -> None:
        self._end = end
        self._held = bytearray()
        self._seen = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The pieces that the chunk completes, each with its end."""
        held = self._held
        held += chunk
        pieces: list[bytes] = []
        start = 0
        match = self._end.search(held, self._seen)
        while match is not None:
            pieces.append(bytes(held[start : match.end()]))
            start = match.end()
            match = self._end.search(held, start)
        del held[:start]
        self._seen = max(0, len(held) - _LONGEST_END)  # an end may be in two chunks
        return pieces

    def end(self) -> bytes:
        """What came after the last end."""
        rest = bytes(self._held)
        self._held.clear()
        self._seen = 0
        return rest


def events() -> Cutter:
    """Cuts server-sent events."""
    return Cutter(_EVENT_END)


def lines() -> Cutter:
    """Cuts lines of JSON."""
    return Cutter(_LINE_END)


def read_event(piece: bytes) -> Event:
    """What an event says. Comments and fields that mean nothing here are passed over."""
    name, written = "", []
    for line in re.split(r"\r\n|\n|\r", piece.decode("utf-8-sig", "replace")):
        word, _, value = line.partition(":")
        if word == "data":
            written.append(value.removeprefix(" "))
        elif word == "event":
            name = value.removeprefix(" ")
    text = "\n".join(written)
    return Event(name, text, value_of(text))


def read_line(piece: bytes) -> Event:
    """What a line says."""
    text = piece.decode("utf-8", "replace").strip()
    return Event("", text, value_of(text))


def write_event(data: Json, name: str = "") -> bytes:
    """An event with this value, on one line."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {compact(data)}\n\n".encode("utf-8", "backslashreplace")


def write_line(data: Json) -> bytes:
    """A line with this value."""
    return f"{compact(data)}\n".encode("utf-8", "backslashreplace")


def value_of(text: str) -> Json:
    """The JSON value of a text, None if it is none. Numbers lose their spelling, so this is for reading alone."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def parts(text: str) -> list[str]:
    """A text in a few pieces, as a stream would bring it; none of an empty one."""
    size = max(16, -(-len(text) // 8))
    return [text[at : at + size] for at in range(0, len(text), size)]


def is_stream(headers: Mapping[str, str]) -> bool:
    """Whether a response is a stream, by its content type. `headers` have lower-case names."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() in (EVENT_STREAM, NDJSON)


Told = Callable[[Event], bool]
"""Takes an event into account; False if the client is not to see it."""


class Passing:
    """A stream as it passes: each event is heard once, and handed on unless the hearer keeps it back."""

    def __init__(self, cutter: Cutter, read: Callable[[bytes], Event], told: Told) -> None:
        self._cutter = cutter
        self._read = read
        self._told = told

    def feed(self, chunk: bytes) -> bytes:
        """Takes the next bytes; what of them, and of those before, goes on now."""
        return b"".join(piece for piece in self._cutter.feed(chunk) if self._told(self._read(piece)))

    def end(self) -> bytes:
        """What was left over. It counts as an event: some servers leave out the last end."""
        rest = self._cutter.end()
        return rest if not rest or self._told(self._read(rest)) else b""
