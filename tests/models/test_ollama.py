"""Ollama's chat: the bytes that are sent, what every recorded response means, and prompts that were cut in silence."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.calls import Message, Reply
from penstock.core.canon import Json
from penstock.models import bodies, ollama
from tests.models.json_bodies import json_bodies, statuses
from tests.models.wire_vectors import Vector, answer, asked, assert_parsed, vectors

NOTHING: frozenset[str] = frozenset()
HERE = ollama.endpoint(None, None)
SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}}


@pytest.mark.parametrize("vector", vectors("ollama"), ids=lambda vector: vector.name)
def test_a_recorded_response_means_what_it_says(vector: Vector) -> None:
    assert_parsed(ollama.parse(vector.request, vector.answer), vector.expect)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (None, "http://127.0.0.1:11434"),
        ("gpu", "http://gpu:11434"),
        ("gpu:80", "http://gpu:80"),
        ("gpu/ollama/", "http://gpu:11434/ollama"),
        (":8080", "http://127.0.0.1:8080"),
        ("[::1]", "http://[::1]:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("http://gpu:11434/v1", "http://gpu:11434"),
        ("https://ollama.com/api", "https://ollama.com"),
    ],
)
def test_an_address_is_completed(given: str | None, url: str) -> None:
    assert ollama.endpoint(given, None).url == url


def test_log_probabilities_are_asked_for_beside_the_options_and_their_mean_is_read() -> None:
    request = asked("ollama", {bodies.LOGPROBS["ollama"]: True, "temperature": 0})
    body = json.loads(ollama.build(request, HERE, NOTHING).http.body)
    assert (body["logprobs"], body["options"]) == (True, {"temperature": 0})
    tokens = [{"token": "y", "logprob": -0.5}, {"token": "es", "logprob": -0.25}]
    said = {"message": {"content": "yes"}, "done": True, "logprobs": tokens}
    found = ollama.parse(request, answer(200, json.dumps(said).encode()))
    assert isinstance(found, Reply)
    assert found.logprob == -0.375


def test_a_request_is_these_bytes_with_the_models_options_apart() -> None:
    params: dict[str, Json] = {
        "temperature": 0.2,
        "keep_alive": "5m",
        "think": False,
        "max_tokens": 64,
        "stop": "X",
        "options": {"num_ctx": 8192},
    }
    request = asked("ollama", params, schema=SCHEMA, messages=(Message("system", "S"), Message("user", "U")))
    built = ollama.build(request, ollama.endpoint("gpu", "k"), NOTHING)
    assert built.http.url == "http://gpu:11434/api/chat"
    assert ("authorization", "Bearer k") in built.http.headers
    assert built.http.body == (
        b'{"format":{"type":"object","properties":{"a":{"type":"string","minLength":2}}},"keep_alive":"5m","messages":'
        b'[{"role":"system","content":"S"},{"role":"user","content":"U"}],"model":"llama3.1:8b","options":'
        b'{"num_ctx":8192,"num_predict":64,"stop":["X"],"temperature":0.2},"shift":false,"stream":false,"think":false,'
        b'"truncate":false}'
    )


def test_what_is_dropped_is_not_sent_wherever_it_stands() -> None:
    request = asked("ollama", {"temperature": 0.2, "think": True, "seed": 7}, schema=SCHEMA)
    dropped = frozenset(["format", "think", "temperature", "shift"])
    body = bodies.fields(bodies.decode(ollama.build(request, HERE, dropped).http.body))
    assert body.keys() == {"messages", "model", "options", "stream", "truncate"}
    assert body["options"] == {"seed": 7}


def test_an_author_may_want_the_prompt_cut() -> None:
    assert b'"truncate":true' in ollama.build(asked("ollama", {"truncate": True}), HERE, NOTHING).http.body


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 6000), st.integers(0, 200), st.none() | st.sampled_from([2048, 4096, 8192]))
def test_a_prompt_that_was_read_whole_is_never_called_cut(words: int, more: int, window: int | None) -> None:
    tokens = words + more
    if window is not None and tokens + 1 >= window:
        return
    request = asked("ollama", {"num_ctx": window} if window else {}, messages=(Message("user", "w " * words),))
    body = {"message": {"content": "ok"}, "done": True, "prompt_eval_count": tokens, "eval_count": 1}
    assert isinstance(ollama.parse(request, answer(200, json.dumps(body).encode())), Reply)


@settings(derandomize=True, deadline=None)
@given(st.sampled_from([2048, 4096, 32768]), st.sampled_from(["whole", "half"]), st.booleans())
def test_a_prompt_that_was_cut_is_called_so(window: int, kept: str, known: bool) -> None:
    request = asked("ollama", {"num_ctx": window} if known else {}, messages=(Message("user", "w " * (window + 9)),))
    read = window if kept == "whole" else window // 2 + 2
    body = {"message": {"content": "ok"}, "done": True, "prompt_eval_count": read, "eval_count": 1}
    assert not isinstance(ollama.parse(request, answer(200, json.dumps(body).encode())), Reply)


def test_a_cloud_model_has_a_window_of_its_own() -> None:
    body = b'{"message":{"content":"ok"},"done":true,"prompt_eval_count":9000,"eval_count":1}'
    request = asked("ollama", {"num_ctx": 4096}, served="gpt-oss:120b-cloud")
    assert isinstance(ollama.parse(request, answer(200, body)), Reply)


@settings(derandomize=True, deadline=None)
@given(statuses(), st.binary(max_size=200) | json_bodies("message", "content", "error", "done", "prompt_eval_count"))
def test_parsing_never_raises(status: int, body: bytes) -> None:
    parsed = ollama.parse(asked("ollama", {"think": True, "num_ctx": 9}, schema=SCHEMA), answer(status, body))
    (parsed.text if isinstance(parsed, Reply) else parsed.message).encode()
