"""Calls on their way in and out: whose they are, what they ask, the bytes that are sent, what they are known by."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.canon import fingerprint, parse
from penstock.gateway.protocols import anthropic, ollama, openai, openai_responses
from penstock.gateway.protocols.calls import identity, is_retry, outbound, read, route
from penstock.gateway.protocols.editing import with_fields
from penstock.gateway.protocols.shape import Asked, Kind
from tests.gateway.wire_calls import BODIES, called

CHAT = "/v1/chat/completions"
THEIRS = {"anthropic-version": "2023-06-01"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "in_path", "protocol", "endpoint", "kind", "speaks"),
    [
        ("POST", CHAT, {}, False, "openai", "chat.completions", Kind.CHAT, openai),
        ("POST", CHAT + "/", {}, False, "openai", "chat.completions", Kind.CHAT, openai),
        ("GET", CHAT, {}, False, "openai", "", Kind.OTHER, openai),
        ("POST", "/v1/completions", {}, False, "openai", "completions", Kind.CHAT, openai),
        ("POST", "/v1/responses", {}, False, "openai", "responses", Kind.CHAT, openai_responses),
        ("GET", "/v1/responses/resp_1", {}, False, "openai", "", Kind.OTHER, openai),
        ("POST", "/v1/embeddings", {}, False, "openai", "embeddings", Kind.EMBEDDING, openai),
        ("GET", "/v1/models", {}, False, "openai", "models", Kind.MODELS, openai),
        ("GET", "/v1/models/gpt", {}, False, "openai", "models", Kind.MODELS, openai),
        ("GET", "/v1/models", THEIRS, False, "anthropic", "models", Kind.MODELS, anthropic),
        ("POST", "/v1/messages", THEIRS, False, "anthropic", "messages", Kind.CHAT, anthropic),
        ("POST", "/v1/messages/count_tokens", {}, False, "anthropic", "", Kind.OTHER, anthropic),
        ("POST", "/v1/audio/speech", {}, False, "openai", "", Kind.OTHER, openai),
        ("POST", "/api/chat", {}, True, "ollama", "api.chat", Kind.CHAT, ollama),
        ("POST", "/api/generate", {}, True, "ollama", "api.generate", Kind.CHAT, ollama),
        ("POST", "/api/embed", {}, True, "ollama", "api.embed", Kind.EMBEDDING, ollama),
        ("POST", "/api/embeddings", {}, True, "ollama", "api.embeddings", Kind.EMBEDDING, ollama),
        ("GET", "/api/tags", {}, True, "ollama", "api.tags", Kind.MODELS, ollama),
        ("POST", "/api/pull", {}, True, "ollama", "", Kind.OTHER, ollama),
        ("HEAD", "/", {}, True, "ollama", "", Kind.OTHER, ollama),
        ("POST", CHAT, {}, True, "ollama", "chat.completions", Kind.CHAT, openai),
        ("POST", "/v1/messages", THEIRS, True, "ollama", "messages", Kind.CHAT, anthropic),
        ("GET", "/favicon.ico", {}, True, "ollama", "", Kind.OTHER, ollama),
    ],
)
def test_a_path_says_whose_call_it_is(
    method: str,
    path: str,
    headers: dict[str, str],
    in_path: bool,
    protocol: str,
    endpoint: str,
    kind: Kind,
    speaks: Any,
) -> None:
    found = route(method, path, headers, in_path)
    assert (found.protocol, found.endpoint, found.kind) == (protocol, endpoint, kind)
    assert found.speaks is speaks


@pytest.mark.parametrize(
    ("path", "fields", "asked"),
    [
        (CHAT, {}, Asked("m")),
        (CHAT, {"max_tokens": 7}, Asked("m", max_tokens=7)),
        (CHAT, {"max_tokens": 7, "max_completion_tokens": 9, "n": 3}, Asked("m", max_tokens=9, answers=3)),
        (CHAT, {"stream": True}, Asked("m", stream=True, wants_usage=False)),
        (CHAT, {"stream": True, "stream_options": {"include_usage": True}}, Asked("m", stream=True)),
        (CHAT, {"max_tokens": "many", "n": 0, "stream": "yes"}, Asked("m")),
        ("/v1/completions", {"prompt": ["a", "b"], "best_of": 2, "max_tokens": 5}, Asked("m", False, 5, 4)),
        ("/v1/completions", {"prompt": [1, 2, 3]}, Asked("m")),
        ("/v1/responses", {"max_output_tokens": 9, "stream": True}, Asked("m", True, 9)),
        ("/v1/messages", {"stream": True}, Asked("m", True, 64)),
        ("/api/chat", {}, Asked("m")),
        ("/api/chat", {"stream": None, "options": {"num_predict": 5}}, Asked("m", True, 5)),
        ("/api/chat", {"stream": True, "options": {"num_predict": -1}}, Asked("m", True)),
        ("/api/generate", {"model": 5, "name": "n"}, Asked("n")),
    ],
)
def test_a_body_says_what_is_asked(path: str, fields: dict[str, Any], asked: Asked) -> None:
    inbound, _ = called(path, **fields)
    assert inbound.asked == asked
    assert inbound.metered


def test_an_ollama_call_streams_unless_told_not_to() -> None:
    inbound, _ = called("/api/generate", {"model": "m", "prompt": "Hi"})
    assert inbound.asked.stream


def test_an_embedding_writes_nothing() -> None:
    for path in ("/v1/embeddings", "/api/embed", "/api/embeddings"):
        inbound, _ = called(path, {"model": "m", "input": "x", "stream": True})
        assert inbound.asked == Asked("m", max_tokens=0)
        assert inbound.kind is Kind.EMBEDDING


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"[1]", b"{", b'"text"', b"--boundary\r\n"])
def test_a_body_that_is_no_object_is_passed_on_as_it_is(raw: bytes) -> None:
    inbound, speaks = read("POST", CHAT, "", {}, raw)
    assert inbound.asked.model is None
    assert outbound(inbound, speaks, "other").raw == raw


def test_an_unknown_path_is_neither_metered_nor_changed() -> None:
    raw = b'{ "model" : "whisper-1", "stream": true }'
    inbound, speaks = read("POST", "/v1/audio/speech", "a=1", {}, raw)
    assert (inbound.metered, inbound.asked.stream, inbound.query) == (False, True, "a=1")
    assert outbound(inbound, speaks, "whisper-1").raw == raw


def test_another_model_changes_its_name_and_no_other_byte() -> None:
    raw = '{ "messages":[{"model":"m","content":"\\u00e9 é"}] ,\n "model" :"m", "temperature":1.10}'.encode()
    inbound, speaks = read("POST", CHAT, "", {}, raw)
    assert outbound(inbound, speaks, "m").raw == raw
    assert outbound(inbound, speaks, None).raw == raw
    assert outbound(inbound, speaks, "o/ü").raw == raw.replace(b'"model" :"m"', '"model" :"o/ü"'.encode())


def test_a_stream_of_chunks_is_asked_for_its_usage() -> None:
    raw = b'{"model":"m","stream":true}'
    inbound, speaks = read("POST", CHAT, "", {}, raw)
    assert outbound(inbound, speaks, "m").raw == raw[:-1] + b',"stream_options":{"include_usage":true}}'
    given = b'{"stream_options": {"include_usage": false, "x": 1}, "stream":true}'
    inbound, speaks = read("POST", CHAT, "", {}, given)
    sent = outbound(inbound, speaks, None)
    assert sent.raw == b'{"stream_options": {"include_usage":true,"x":1}, "stream":true}'
    assert sent.body == json.loads(sent.raw)


def test_a_call_that_knows_its_usage_anyway_is_sent_as_it_is() -> None:
    for path in BODIES:
        inbound, speaks = called(path, stream=True, stream_options={"include_usage": True})
        assert outbound(inbound, speaks, "m").raw == inbound.raw


def test_a_masked_body_is_sent_in_the_place_of_the_clients_own() -> None:
    inbound, speaks = called(CHAT, stream=True)
    masked = {"model": "m", "messages": [], "stream": True, "x": parse("1.10")}
    sent = outbound(inbound, speaks, "o", masked).raw
    assert sent == (b'{"model":"o","messages":[],"stream":true,"x":1.10,"stream_options":{"include_usage":true}}')
    deep: Any = []
    for _ in range(700):
        deep = [deep]
    assert outbound(inbound, speaks, "m", {"x": [float("nan"), deep]}).raw.startswith(b'{"x":[NaN,[[')


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(blacklist_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["model", "a", "b\n", ""]), inner),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["model", "a", "b", 'c"', ""]), _json),
    st.dictionaries(st.sampled_from(["model", "a", "stream_options"]), _json),
    st.sampled_from([None, 1, "\t "]),
    st.booleans(),
)
def test_fields_are_set_and_the_others_stay(
    body: dict[str, Any], changes: dict[str, Any], indent: int | str | None, escape: bool
) -> None:
    raw = json.dumps(body, indent=indent, ensure_ascii=escape).encode()
    edited = with_fields(raw, changes)
    assert json.loads(edited) == {**body, **changes}


def test_a_field_that_stands_twice_is_set_twice() -> None:
    assert with_fields(b'{"model":"a","model":"b"}', {"model": "c"}) == b'{"model":"c","model":"c"}'


@pytest.mark.parametrize("raw", [b"", b"[]", b"{1:2}", b'{"a" 1}', b'{"a":}', b"\xff", b'{"a":1', b'{"a"'])
def test_what_is_no_object_cannot_be_edited(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        with_fields(raw, {"model": "m"})


def test_equal_calls_are_known_by_the_same_however_they_are_written() -> None:
    one = called(CHAT)
    body = dict(reversed(list(BODIES[CHAT].items())))
    other = read("POST", CHAT, "", {"user-agent": "curl"}, json.dumps(body, indent=2).encode())
    keys = {fingerprint(identity(inbound, outbound(inbound, speaks, "m"))) for inbound, speaks in (one, other)}
    assert len(keys) == 1


def test_a_stream_is_known_by_the_same_whether_its_usage_was_asked_for_or_not() -> None:
    silent = called(CHAT, stream=True)
    asking = called(CHAT, stream=True, stream_options={"include_usage": True})
    keys = {fingerprint(identity(inbound, outbound(inbound, speaks, "m"))) for inbound, speaks in (silent, asking)}
    assert len(keys) == 1


def test_what_changes_the_answer_changes_what_a_call_is_known_by() -> None:
    raw = json.dumps(BODIES[CHAT]).encode()
    streaming = json.dumps({**BODIES[CHAT], "stream": True}).encode()
    calls = [
        read("POST", CHAT, "", {}, raw),
        read("POST", CHAT, "", {}, streaming),
        read("POST", CHAT, "v=2", {}, raw),
        read("POST", CHAT, "", {"openai-beta": "x"}, raw),
        read("POST", CHAT, "", {}, raw, in_path=True),
        read("POST", "/v1/responses", "", {}, raw),
        read("PUT", CHAT, "", {}, raw),
        read("PUT", CHAT, "", {}, b"no JSON"),
    ]
    keys = {fingerprint(identity(inbound, outbound(inbound, speaks, "m"))) for inbound, speaks in calls}
    inbound, speaks = calls[0]
    keys.add(fingerprint(identity(inbound, outbound(inbound, speaks, "other"))))
    assert len(keys) == len(calls) + 1


@pytest.mark.parametrize(
    ("count", "again"),
    [(None, False), ("0", False), ("1", True), ("12", True), ("-1", False), ("²", False), ("", False)],
)
def test_a_clients_own_count_says_whether_it_tries_again(count: str | None, again: bool) -> None:
    assert is_retry({} if count is None else {"x-stainless-retry-count": count}) is again
