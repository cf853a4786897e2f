"""Anthropic's messages: the bytes that are sent, and what every recorded response means."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.calls import Message, Reply
from penstock.core.canon import Json
from penstock.models import anthropic, bodies
from tests.models.json_bodies import json_bodies, statuses
from tests.models.wire_vectors import Vector, answer, asked, assert_parsed, vectors

NOTHING: frozenset[str] = frozenset()
THERE = anthropic.endpoint(None, "k")
SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}}
CLOSED: Json = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": [],
    "additionalProperties": False,
}


@pytest.mark.parametrize("vector", vectors("anthropic"), ids=lambda vector: vector.name)
def test_a_recorded_response_means_what_it_says(vector: Vector) -> None:
    assert_parsed(anthropic.parse(vector.request, vector.answer), vector.expect)


def test_a_request_is_these_bytes_with_the_system_message_apart() -> None:
    messages = (Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "?"), Message("user", "Go"))
    built = anthropic.build(asked("anthropic", {"temperature": 0.2, "stop": "X"}, messages=messages), THERE, NOTHING)
    assert built.http.url == "https://api.anthropic.com/v1/messages"
    assert built.http.headers == (
        ("accept", "application/json"),
        ("anthropic-version", "2023-06-01"),
        ("content-type", "application/json"),
        ("x-api-key", "k"),
    )
    assert built.http.body == (
        b'{"max_tokens":4096,"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"?"},'
        b'{"role":"user","content":"Go"}],"model":"small",'
        b'"stop_sequences":["X"],"system":"Be brief.","temperature":0.2}'
    )


@pytest.mark.parametrize("base", ["http://127.0.0.1:9", "http://127.0.0.1:9/", "http://127.0.0.1:9/v1/"])
def test_a_base_may_end_in_v1_or_not(base: str) -> None:
    assert anthropic.endpoint(base, None).url == "http://127.0.0.1:9"


def test_the_limit_is_penstocks_then_the_authors() -> None:
    request = asked("anthropic", {"max_completion_tokens": 400})
    assert _body(anthropic.build(request, THERE, NOTHING).http.body)["max_tokens"] == 400
    raised = asked("anthropic", {"max_tokens": 400}, max_tokens=800, raised=True)
    assert _body(anthropic.build(raised, THERE, NOTHING).http.body)["max_tokens"] == 800


def test_the_schema_is_the_format_of_the_output_beside_the_authors_effort() -> None:
    request = asked("anthropic", {"output_config": {"effort": "low"}}, schema=SCHEMA)
    built = anthropic.build(request, THERE, NOTHING)
    form = {"type": "json_schema", "schema": CLOSED}
    assert _body(built.http.body)["output_config"] == {"effort": "low", "format": form}
    assert built.lowered == ("not for `minLength` at /properties/a",)


def test_where_the_format_is_refused_a_tool_is_forced_and_where_that_is_nothing_is_asked() -> None:
    request = asked("anthropic", schema=SCHEMA)
    forced = _body(anthropic.build(request, THERE, frozenset(["output_config"])).http.body)
    assert forced["tool_choice"] == {"type": "tool", "name": "answer"}
    assert forced["tools"] == [{"name": "answer", "description": "Takes the answer.", "input_schema": SCHEMA}]
    neither = anthropic.build(request, THERE, frozenset(["output_config", "tools"]))
    assert not _body(neither.http.body).keys() & {"tools", "tool_choice", "output_config"}
    assert len(neither.lowered) == 1


def test_a_schema_that_refers_to_itself_is_asked_as_a_tools_input_unless_the_model_thinks() -> None:
    tree: Json = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert "tools" in _body(anthropic.build(asked("anthropic", schema=tree), THERE, NOTHING).http.body)
    thinking = asked("anthropic", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, schema=tree)
    built = anthropic.build(thinking, THERE, NOTHING)
    assert "tools" not in _body(built.http.body)
    assert "`thinking`" in built.lowered[0]


@settings(derandomize=True, deadline=None)
@given(statuses(), st.binary(max_size=200) | json_bodies("content", "type", "text", "input", "error", "usage"))
def test_parsing_never_raises(status: int, body: bytes) -> None:
    parsed = anthropic.parse(asked("anthropic", {"seed": 1}, schema=SCHEMA), answer(status, body))
    (parsed.text if isinstance(parsed, Reply) else parsed.message).encode()


def _body(raw: bytes) -> dict[str, Json]:
    return bodies.fields(bodies.decode(raw))
