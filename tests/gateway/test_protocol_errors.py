"""The gateway's own errors, in the format of the protocol in which it was asked."""

from __future__ import annotations

import json

import pytest

from penstock.gateway.protocols.shape import STATUSES, Wrong
from tests.gateway.wire_calls import BODIES, called, listened

MESSAGE = "Penstock's budget of $2 is used up"
RETRIED = {408, 409, 429}
"""Statuses below 500 that OpenAI's and Anthropic's SDKs try again by themselves."""


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("wrong", Wrong)
def test_an_error_has_its_status_and_is_not_to_be_tried_again(path: str, wrong: Wrong) -> None:
    _, speaks = called(path)
    told = speaks.error(wrong, MESSAGE)
    assert told.status == STATUSES[wrong]
    assert dict(told.headers) == {"content-type": "application/json", "x-should-retry": "false"}
    assert MESSAGE in json.dumps(json.loads(told.body))


def test_an_exhausted_budget_is_no_error_that_clients_try_again() -> None:
    assert STATUSES[Wrong.BUDGET] == 402
    assert STATUSES[Wrong.BUDGET] not in RETRIED


def test_the_formats_are_the_protocols_own() -> None:
    bodies = {path: json.loads(called(path)[1].error(Wrong.BUDGET, MESSAGE).body) for path in BODIES}
    quota = "insufficient_quota"
    openai = {"error": {"message": MESSAGE, "type": quota, "param": None, "code": quota}}
    assert bodies["/v1/chat/completions"] == bodies["/v1/responses"] == openai
    billing = {"type": "billing_error", "message": MESSAGE}
    assert bodies["/v1/messages"] == {"type": "error", "error": billing, "request_id": None}
    assert bodies["/api/chat"] == bodies["/api/generate"] == {"error": MESSAGE}
    denied = json.loads(called("/v1/messages")[1].error(Wrong.UNAUTHORIZED, MESSAGE).body)
    assert denied["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("path", BODIES)
def test_a_stream_that_cannot_go_on_ends_with_an_error_that_is_heard(path: str) -> None:
    inbound, speaks = called(path, stream=True)
    piece = speaks.broken(Wrong.UNREACHABLE, "the server went away")
    heard, had = listened(inbound, speaks, piece)
    assert (heard.complete, had) == (False, piece)
    assert getattr(heard.parsed, "message", None) == "the server went away"


def test_an_error_in_a_stream_is_named_where_clients_go_by_names() -> None:
    assert called("/v1/messages")[1].broken(Wrong.INTERNAL, "x").startswith(b"event: error\ndata: ")
    assert called("/v1/responses")[1].broken(Wrong.INTERNAL, "x").startswith(b"event: error\ndata: ")
    assert called("/v1/chat/completions")[1].broken(Wrong.INTERNAL, "x").startswith(b'data: {"error":')
    assert called("/api/chat")[1].broken(Wrong.INTERNAL, "x") == b'{"error":"x"}\n'
