"""OpenAI's chat completions: the bytes that are sent, and what every recorded response means."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.calls import Fault, FaultClass, Message, Reply
from penstock.core.canon import Json, parse
from penstock.models import bodies, openai
from penstock.models.wire import Endpoint
from tests.models.json_bodies import json_bodies, statuses
from tests.models.wire_vectors import Vector, answer, asked, assert_parsed, vectors

NOTHING: frozenset[str] = frozenset()
HERE = Endpoint("http://127.0.0.1:8000/v1")
SCHEMA: Json = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "number"}}, "required": ["b"]}


@pytest.mark.parametrize("vector", vectors("openai"), ids=lambda vector: vector.name)
def test_a_recorded_response_means_what_it_says(vector: Vector) -> None:
    assert_parsed(openai.parse(vector.request, vector.answer), vector.expect)


def test_a_request_is_these_bytes_in_whatever_order_the_parameters_came() -> None:
    messages = (Message("system", "Be brief."), Message("user", "안녕 \x00"))
    params = {"top_p": parse("0.90"), "temperature": 0.2}
    built = openai.build(asked("openai", params, messages=messages, max_tokens=64), HERE, NOTHING)
    again = asked("openai", dict(reversed(params.items())), messages=messages, max_tokens=64)
    assert built.http.url == "http://127.0.0.1:8000/v1/chat/completions"
    assert built.http.body.decode() == (
        '{"max_tokens":64,"messages":[{"role":"system","content":"Be brief."},'
        '{"role":"user","content":"안녕 \\u0000"}],"model":"small","temperature":0.2,"top_p":0.90}'
    )
    assert openai.build(again, HERE, NOTHING).http.body == built.http.body


def test_the_key_is_a_bearer_token_and_at_azure_a_header_of_its_own() -> None:
    azure = openai.endpoint("https://x.openai.azure.com/openai/deployments/d/?api-version=2024-10-21", "k")
    plain = (("accept", "application/json"), ("content-type", "application/json"))
    built = openai.build(asked("openai"), azure, NOTHING)
    assert built.http.url == "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21"
    assert built.http.headers == (*plain, ("api-key", "k"))
    usual = openai.build(asked("openai"), openai.endpoint(None, "k"), NOTHING)
    assert usual.http.url == "https://api.openai.com/v1/chat/completions"
    assert usual.http.headers == (*plain, ("authorization", "Bearer k"))
    assert openai.build(asked("openai"), HERE, NOTHING).http.headers == plain


@pytest.mark.parametrize(
    ("base", "dropped", "said"),
    [
        (None, (), {"max_completion_tokens"}),
        (None, ("max_completion_tokens",), {"max_tokens"}),
        (HERE.url, (), {"max_tokens"}),
        (HERE.url, ("max_tokens",), {"max_completion_tokens"}),
        (HERE.url, ("max_tokens", "max_completion_tokens"), set()),
    ],
)
def test_a_limit_that_is_refused_under_one_name_is_said_under_the_other(
    base: str | None, dropped: tuple[str, ...], said: set[str]
) -> None:
    request = asked("openai", {"max_tokens": 400})
    body = _body(openai.build(request, openai.endpoint(base, None), frozenset(dropped)).http.body)
    assert body.keys() - {"messages", "model"} == said
    assert all(body[name] == 400 for name in said)


def test_a_raised_limit_stands_above_the_authors() -> None:
    request = asked("openai", {"max_tokens": 400}, max_tokens=800, raised=True)
    assert _body(openai.build(request, HERE, NOTHING).http.body)["max_tokens"] == 800


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, "You are not allowed to request logprobs from this model"),
        (400, "Logprobs is not enabled for models/gemini-2.5-flash"),
        (400, "Unsupported parameter: 'logprobs' is not supported with this model."),
    ],
)
def test_a_model_that_gives_no_log_probabilities_does_not_take_the_parameter(status: int, message: str) -> None:
    refused = answer(status, json.dumps({"error": {"message": message}}).encode())
    found = openai.parse(asked("openai", {"logprobs": True}), refused)
    assert isinstance(found, Fault)
    assert (found.cls, found.param) == (FaultClass.DENIED, "logprobs")
    plain = openai.parse(asked("openai"), refused)
    assert isinstance(plain, Fault)
    assert plain.param is None


def test_parameters_that_are_dropped_are_not_sent_and_the_adapters_own_cannot_be_taken_over() -> None:
    request = asked("openai", {"seed": 7, "temperature": 1, "stream": True, "model": "x"})
    assert _body(openai.build(request, HERE, frozenset(["seed"])).http.body) == {
        "messages": [{"role": "user", "content": "Summarise."}],
        "model": "small",
        "temperature": 1,
    }


def test_the_schema_is_asked_strictly_in_the_authors_order_of_properties() -> None:
    built = openai.build(asked("openai", schema=SCHEMA), HERE, NOTHING)
    assert (
        b'"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object","properties":'
        b'{"b":{"type":"string"},"a":{"type":["number","null"]}},"required":["b","a"],"additionalProperties":false},'
        b'"strict":true}}'
    ) in built.http.body
    assert built.lowered == ()
    dropped = openai.build(asked("openai", schema=SCHEMA), HERE, frozenset(["response_format"]))
    assert b"response_format" not in dropped.http.body


def test_a_schema_that_the_subset_cannot_say_is_a_hint_and_that_is_told() -> None:
    free: Json = {"type": "object", "additionalProperties": {"type": "string"}}
    built = openai.build(asked("openai", schema=free), HERE, NOTHING)
    assert b'"schema":{"type":"object","additionalProperties":{"type":"string"}},"strict":false' in built.http.body
    assert built.lowered == ("nothing of it, since the root takes properties of any name",)
    listed = openai.build(asked("openai", schema={"type": "array", "items": {"type": "string"}}), HERE, NOTHING)
    assert b"response_format" not in listed.http.body
    assert listed.lowered == ("nothing of it, since its root is not an object",)


def test_an_excerpt_is_short_and_holds_no_control_character() -> None:
    fault = openai.parse(asked("openai"), answer(200, b"\x1b[31m\x00" + "é\n".encode() * 500))
    assert isinstance(fault, Fault)
    shown = fault.message.partition("): ")[2]
    assert len(shown) == 200
    assert shown.isprintable()


def test_bytes_that_are_no_utf_8_do_not_lose_a_paid_answer() -> None:
    body = b'{"choices":[{"message":{"content":"caf\xe9"},"finish_reason":"stop"}]}'
    reply = openai.parse(asked("openai"), answer(200, body))
    assert isinstance(reply, Reply)
    assert reply.text == "caf�"


@settings(derandomize=True, deadline=None)
@given(statuses(), st.binary(max_size=200) | json_bodies("choices", "message", "error", "code", "usage", "logprobs"))
def test_parsing_never_raises(status: int, body: bytes) -> None:
    parsed = openai.parse(asked("openai", {"seed": 1}, schema=SCHEMA), answer(status, body, {"retry-after": "soon"}))
    if isinstance(parsed, Reply):
        parsed.text.encode()
    else:
        assert parsed.cls in (FaultClass.TRANSPORT, FaultClass.DENIED, FaultClass.OVERFLOW, FaultClass.REFUSED)
        assert (parsed.kind is None) == (parsed.cls is not FaultClass.TRANSPORT)
        parsed.message.encode()


def _body(raw: bytes) -> dict[str, Json]:
    return bodies.fields(bodies.decode(raw))
