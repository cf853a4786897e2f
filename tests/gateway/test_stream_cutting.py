"""Streams cut into events and lines while they pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.gateway import streams
from penstock.gateway.streams import Event, Passing


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_an_event_goes_on_with_the_end_that_its_server_gave_it(end: bytes) -> None:
    cutter = streams.events()
    assert cutter.feed(b"data: 1" + end + b"data: 2" + end + b"da") == [b"data: 1" + end, b"data: 2" + end]
    assert cutter.end() == b"da"


def test_an_end_in_two_chunks_is_an_end() -> None:
    cutter = streams.events()
    assert cutter.feed(b"data: 1\r\n\r") == []
    assert cutter.feed(b"\ndata: 2\n") == [b"data: 1\r\n\r\n"]
    assert cutter.feed(b"\n") == [b"data: 2\n\n"]
    assert cutter.end() == b""


@given(st.lists(st.sampled_from([b"data: x", b"\n", b"\r\n", b"\n\n", b": ping", b"\xc3", b"\xa4"])), st.data())
def test_no_byte_is_lost_and_cuts_do_not_depend_on_the_chunks(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    at_once = streams.events()
    expected = at_once.feed(whole)
    rest = at_once.end()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    cutter, found = streams.events(), []
    for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += cutter.feed(whole[start:stop])
    assert (b"".join(found) + cutter.end()) == whole
    assert found == expected
    assert b"".join(expected) + rest == whole


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"]))))
def test_a_written_line_is_read_again(texts: list[str]) -> None:
    cutter = streams.lines()
    pieces = cutter.feed(b"".join(streams.write_line({"text": text}) for text in texts))
    assert [streams.read_line(piece).data for piece in pieces] == [{"text": text} for text in texts]


@given(st.text(st.characters(blacklist_categories=["Cs"])), st.sampled_from(["", "message_stop"]))
def test_a_written_event_is_read_again(text: str, name: str) -> None:
    (piece,) = streams.events().feed(streams.write_event({"text": text}, name))
    event = streams.read_event(piece)
    assert (event.name, event.data) == (name, {"text": text})


def test_an_event_of_several_data_lines_is_one_text_and_comments_are_none() -> None:
    assert streams.read_event(b": ping\nevent:e\nid: 1\ndata: [1,\ndata: 2]\n\n") == Event("e", "[1,\n2]", [1, 2])
    assert streams.read_event(b"data: [DONE]\n\n") == Event("", "[DONE]", None)
    assert streams.read_event(b": keep-alive\n\n") == Event("", "", None)


def test_a_text_comes_in_a_few_parts_and_none_of_them_is_empty() -> None:
    assert streams.parts("") == []
    assert streams.parts("short") == ["short"]
    long = "abc" * 1000
    assert "".join(streams.parts(long)) == long
    assert len(streams.parts(long)) == 8


def test_what_is_kept_back_is_missing_and_the_rest_is_as_it_was() -> None:
    passing = Passing(streams.lines(), streams.read_line, lambda event: event.data != {"secret": 1})
    assert passing.feed(b'{"a": 1}\n{"secret": 1}\n{"b"') == b'{"a": 1}\n'
    assert passing.feed(b": 2}\n") == b'{"b": 2}\n'
    assert passing.feed(b'{"secret":') == b""
    assert passing.feed(b" 1}") == b""
    assert passing.end() == b""


def test_a_stream_is_known_by_its_content_type() -> None:
    assert streams.is_stream({"content-type": "text/event-stream; charset=utf-8"})
    assert streams.is_stream({"content-type": "application/x-ndjson"})
    assert not streams.is_stream({"content-type": "application/json"})
    assert not streams.is_stream({})
