"""The protocol with a Python function of the user's own."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.calls import Fault, FaultClass, Finish, Reply, TransportKind, Usage
from penstock.models import python
from penstock.models.adapters import ADAPTERS
from tests.models.json_bodies import json_bodies, statuses
from tests.models.wire_vectors import answer, asked


def test_a_request_is_these_bytes_to_the_functions_address() -> None:
    request = asked("python", {"tone": "dry", "max_tokens": 9}, served="pkg.mod:f", schema={"type": "object"})
    built = python.build(request, python.endpoint(None, None), frozenset())
    assert built.http.url == "python:pkg.mod:f"
    assert built.http.body == (
        b'{"messages":[{"role":"user","content":"Summarise."}],"model":"pkg.mod:f",'
        b'"params":{"tone":"dry","max_tokens":9},"schema":{"type":"object"}}'
    )


def test_what_the_function_returns_is_the_reply() -> None:
    body = b'{"text":"hi","finish":"length","usage":{"input_tokens":3,"output_tokens":1},"served":"f2","logprob":-0.5}'
    parsed = python.parse(asked("python", served="m:f"), answer(200, body))
    assert parsed == Reply("hi", Finish.LENGTH, Usage(3, 1), "f2", -0.5)


def test_a_text_alone_is_enough_and_a_value_is_its_json() -> None:
    parsed = python.parse(asked("python", served="m:f"), answer(200, b'{"text":{"a":1.10},"usage":null}'))
    assert parsed == Reply('{"a":1.10}', Finish.STOP, None, "m:f")


def test_a_function_that_raised_is_called_again_and_one_that_is_not_there_is_not() -> None:
    raised = python.parse(asked("python"), answer(500, b'{"error":{"type":"ValueError","message":"no luck"}}'))
    assert raised == Fault(FaultClass.TRANSPORT, "no luck", TransportKind.SERVER, 500)
    missing = python.parse(asked("python"), answer(404, b'{"error":{"message":"no module named pkg"}}'))
    assert missing == Fault(FaultClass.DENIED, "no module named pkg", status=404)


@settings(derandomize=True, deadline=None)
@given(statuses(), st.binary(max_size=200) | json_bodies("text", "usage", "finish", "error"))
def test_parsing_never_raises(status: int, body: bytes) -> None:
    parsed = python.parse(asked("python"), answer(status, body))
    (parsed.text if isinstance(parsed, Reply) else parsed.message).encode()


def test_every_provider_of_the_wire_has_an_adapter() -> None:
    assert ADAPTERS.keys() >= {"openai", "anthropic", "ollama", "python"}
