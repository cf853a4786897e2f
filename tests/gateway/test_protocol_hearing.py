"""What is heard of recorded responses, whole and streamed: text, usage, model, why it ended, whether it is complete."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.core.calls import Fault, FaultClass, Reply, TransportKind, Usage
from penstock.gateway.protocols.shape import Heard, Wrong
from tests.gateway.wire_calls import answered, called, events, lines, listened, named_events, said

CHAT = "/v1/chat/completions"


def chunk(*choices: dict[str, Any], **fields: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    return {**head, "choices": list(choices), **fields}


def delta(finish: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": fields, "logprobs": None, "finish_reason": finish}


OPENAI_USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 5,
    "total_tokens": 25,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
USAGE_CHUNK = chunk(usage=OPENAI_USAGE)
CHUNKS = [
    chunk(delta(role="assistant", content="", refusal=None), usage=None),
    chunk(delta(content="Hel"), usage=None),
    chunk(delta(content="lo"), usage=None),
    chunk(delta("stop"), usage=None),
]
TOOL_CHUNKS = [
    chunk(delta(role="assistant", content=None)),
    chunk(delta(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f"}}])),
    chunk(delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a":'}}])),
    chunk(delta(tool_calls=[{"index": 0, "function": {"arguments": " 1}"}}])),
    chunk(delta(tool_calls=[{"index": 1, "function": {"arguments": "{}"}}])),
    chunk(delta("tool_calls")),
]
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "model": "gpt-4o-mini-2024-07-18",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]},
    ],
    "usage": {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 8},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 25,
    },
}
RESPONSE_EVENTS: list[dict[str, Any]] = [
    {
        "type": "response.created",
        "sequence_number": 0,
        "response": {**RESPONSE, "status": "in_progress", "usage": None},
    },
    {"type": "response.output_text.delta", "sequence_number": 1, "delta": "Hel"},
    {"type": "response.output_text.delta", "sequence_number": 2, "delta": "lo"},
    {"type": "response.completed", "sequence_number": 3, "response": RESPONSE},
]
CLAUDE_USAGE = {"input_tokens": 10, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 2, "output_tokens": 5}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": CLAUDE_USAGE,
}
MESSAGE_EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "usage": {**CLAUDE_USAGE, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 5},
    },
    {"type": "message_stop"},
]
TOOL_EVENTS: list[dict[str, Any]] = [
    MESSAGE_EVENTS[0],
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "name": "f", "input": {}}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a":'}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": " 1}"}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
]
OLLAMA_END = {"done": True, "done_reason": "stop", "prompt_eval_count": 20, "eval_count": 5, "total_duration": 9}


def ollama_line(text: str, **fields: Any) -> dict[str, Any]:
    head = {"model": "llama3.2", "created_at": "2026-01-01T00:00:00Z"}
    return {**head, "message": {"role": "assistant", "content": text}, "done": False, **fields}


def generated(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "llama3.2", "created_at": "2026-01-01T00:00:00Z", "response": text, "done": False, **fields}


HELLO = said("Hello", (20, 5, 8, 0), served="gpt-4o-mini-2024-07-18")
CLAUDE_HELLO = said("Hello", (20, 5, 8, 2), served="claude-sonnet-5")
LLAMA_HELLO = said("Hello", (20, 5), served="llama3.2")


def completion(message: dict[str, Any], finish: str = "stop", **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"object": "chat.completion", "model": "gpt-4o-mini-2024-07-18", "choices": [choice], **fields}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (CHAT, completion({"content": "Hello"}, usage=OPENAI_USAGE), HELLO),
        (CHAT, completion({"content": "Hello"}), said("Hello", None, served="gpt-4o-mini-2024-07-18")),
        (
            CHAT,
            completion({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, "tool_calls"),
            said("{}", None, served="gpt-4o-mini-2024-07-18"),
        ),
        (
            "/v1/completions",
            {"object": "text_completion", "model": "s", "choices": [{"text": "Hello", "finish_reason": "length"}]},
            said("Hello", None, "length", "s"),
        ),
        ("/v1/responses", RESPONSE, HELLO),
        (
            "/v1/responses",
            {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            said("Hello", (20, 5, 8, 0), "length", "gpt-4o-mini-2024-07-18"),
        ),
        (
            "/v1/responses",
            {**RESPONSE, "output": [{"type": "function_call", "name": "f", "arguments": '{"a": 1}'}]},
            said('{"a": 1}', (20, 5, 8, 0), served="gpt-4o-mini-2024-07-18"),
        ),
        (
            "/v1/responses",
            {**RESPONSE, "output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]},
            said("No.", (20, 5, 8, 0), "refused", "gpt-4o-mini-2024-07-18"),
        ),
        ("/v1/messages", MESSAGE, CLAUDE_HELLO),
        (
            "/v1/messages",
            {**MESSAGE, "content": [{"type": "tool_use", "name": "f", "input": {"a": 1}}], "stop_reason": "tool_use"},
            said('{"a":1}', (20, 5, 8, 2), served="claude-sonnet-5"),
        ),
        ("/api/chat", ollama_line("Hello", **OLLAMA_END), LLAMA_HELLO),
        ("/api/generate", generated("Hello", **OLLAMA_END), LLAMA_HELLO),
        ("/api/generate", generated("", done=True, done_reason="load"), said("", None, served="llama3.2")),
        (
            "/api/chat",
            {**ollama_line("", **OLLAMA_END), "message": {"tool_calls": [{"function": {"arguments": {"a": 1}}}]}},
            said('{"a":1}', (20, 5), served="llama3.2"),
        ),
    ],
)
def test_a_whole_response_says_what_it_used(path: str, body: dict[str, Any], expected: Reply) -> None:
    inbound, speaks = called(path)
    assert speaks.hear(inbound, answered(body)) == Heard(expected)


def test_an_answer_that_filled_the_window_is_an_answer_that_was_billed() -> None:
    inbound, speaks = called("/v1/messages")
    heard = speaks.hear(inbound, answered({**MESSAGE, "stop_reason": "model_context_window_exceeded"}))
    assert isinstance(heard.parsed, Reply)
    assert (heard.parsed.finish.value, heard.parsed.usage) == ("length", Usage(20, 5, 8, 2))


@pytest.mark.parametrize(
    ("path", "body", "usage"),
    [
        ("/v1/embeddings", {"data": [], "model": "e-1", "usage": {"prompt_tokens": 8, "total_tokens": 8}}, Usage(8, 0)),
        ("/v1/embeddings", {"data": [], "model": "e-1"}, None),
        ("/api/embed", {"model": "e-1", "embeddings": [[0.1]], "prompt_eval_count": 8}, Usage(8, 0)),
        ("/api/embeddings", {"embedding": [0.1], "model": "e-1"}, None),
    ],
)
def test_embeddings_use_what_they_read(path: str, body: dict[str, Any], usage: Usage | None) -> None:
    inbound, speaks = called(path, {"model": "e", "input": "x"})
    assert speaks.hear(inbound, answered(body)) == Heard(said("", None if usage is None else (8, 0), served="e-1"))


@pytest.mark.parametrize("cut", [1, 3, 1000, 100_000])
@pytest.mark.parametrize(
    ("path", "stream", "expected"),
    [
        (CHAT, events(*CHUNKS, USAGE_CHUNK, "[DONE]"), HELLO),
        (
            CHAT,
            events(*TOOL_CHUNKS, USAGE_CHUNK, "[DONE]"),
            said('{"a": 1}', (20, 5, 8, 0), served="gpt-4o-mini-2024-07-18"),
        ),
        ("/v1/responses", named_events(*RESPONSE_EVENTS), HELLO),
        ("/v1/messages", named_events(*MESSAGE_EVENTS), CLAUDE_HELLO),
        ("/v1/messages", named_events(*TOOL_EVENTS), said('{"a": 1}', (20, 5, 8, 2), served="claude-sonnet-5")),
        ("/api/chat", lines(ollama_line("Hel"), ollama_line("lo"), ollama_line("", **OLLAMA_END)), LLAMA_HELLO),
        ("/api/generate", lines(generated("Hel"), generated("lo"), generated("", **OLLAMA_END)), LLAMA_HELLO),
    ],
)
def test_a_stream_says_the_same_and_passes_as_it_is(path: str, stream: bytes, expected: Reply, cut: int) -> None:
    inbound, speaks = called(path, stream=True, stream_options={"include_usage": True})
    assert listened(inbound, speaks, stream, cut) == (Heard(expected), stream)


def test_the_usage_that_a_client_has_not_asked_for_is_heard_and_kept_from_it() -> None:
    inbound, speaks = called(CHAT, stream=True)
    heard, had = listened(inbound, speaks, events(*CHUNKS, USAGE_CHUNK, "[DONE]"))
    assert heard == Heard(HELLO)
    assert had == events(*CHUNKS, "[DONE]")


def test_a_chunk_without_choices_or_with_a_usage_beside_its_choice_is_passed_on() -> None:
    filtered = chunk(prompt_filter_results=[{"prompt_index": 0}])
    last = chunk(delta("stop"), usage=OPENAI_USAGE)
    inbound, speaks = called(CHAT, stream=True)
    stream = events(filtered, *CHUNKS[:3], last, "[DONE]")
    assert listened(inbound, speaks, stream) == (Heard(HELLO), stream)


def test_a_count_of_0_does_not_take_back_what_was_said() -> None:
    inbound, speaks = called("/v1/messages", stream=True)
    again = {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 0, "output_tokens": 5}}
    late = {**MESSAGE_EVENTS[0], "message": {**MESSAGE, "usage": {"input_tokens": 0, "output_tokens": 0}}}
    for stream in (
        named_events(*MESSAGE_EVENTS[:6], again, MESSAGE_EVENTS[7]),
        named_events(late, *MESSAGE_EVENTS[1:6], {**again, "usage": CLAUDE_USAGE}, MESSAGE_EVENTS[7]),
    ):
        heard, _ = listened(inbound, speaks, stream)
        assert heard == Heard(CLAUDE_HELLO)


def test_of_several_answers_the_first_is_heard() -> None:
    inbound, speaks = called(CHAT, stream=True, n=2)
    heard, _ = listened(
        inbound, speaks, events(chunk(delta(index=1, content="B")), chunk(delta(content="A")), "[DONE]")
    )
    assert isinstance(heard.parsed, Reply)
    assert heard.parsed.text == "A"


@pytest.mark.parametrize(
    ("path", "stream"),
    [
        (CHAT, events(*CHUNKS[:3])),
        (CHAT, events(*CHUNKS[:3]) + b'data: {"id": "chatc'),
        ("/v1/responses", named_events(*RESPONSE_EVENTS[:3])),
        ("/v1/messages", named_events(*MESSAGE_EVENTS[:5])),
        ("/api/chat", lines(ollama_line("Hel"), ollama_line("lo"))),
    ],
)
def test_a_stream_that_broke_off_is_not_complete_and_its_usage_is_not_known(path: str, stream: bytes) -> None:
    inbound, speaks = called(path, stream=True)
    heard, had = listened(inbound, speaks, stream)
    assert (heard.complete, had) == (False, stream)
    assert isinstance(heard.parsed, Reply)
    assert (heard.parsed.text, heard.parsed.usage) == ("Hello", None)


@pytest.mark.parametrize(
    ("path", "stream"),
    [
        (CHAT, events(*CHUNKS[:2], {"error": {"message": "overloaded", "code": 503}})),
        ("/v1/responses", named_events(RESPONSE_EVENTS[0], {"type": "error", "message": "overloaded", "code": "x"})),
        (
            "/v1/messages",
            named_events(
                *MESSAGE_EVENTS[:4], {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}}
            ),
        ),
        ("/api/generate", lines(generated("Hel"), {"error": "overloaded"})),
    ],
)
def test_an_error_in_mid_stream_is_a_fault(path: str, stream: bytes) -> None:
    inbound, speaks = called(path, stream=True)
    heard, had = listened(inbound, speaks, stream)
    assert (heard.complete, had) == (False, stream)
    assert isinstance(heard.parsed, Fault)
    assert (heard.parsed.cls, heard.parsed.kind) == (FaultClass.TRANSPORT, TransportKind.SERVER)
    assert "overloaded" in heard.parsed.message
    assert heard.parsed.billed


def test_an_error_in_the_place_of_a_stream_was_not_billed() -> None:
    inbound, speaks = called("/v1/messages", stream=True)
    heard, _ = listened(inbound, speaks, named_events({"type": "error", "error": {"message": "overloaded"}}))
    assert isinstance(heard.parsed, Fault)
    assert not heard.parsed.billed


def test_a_response_that_failed_on_its_way_is_a_fault_with_its_usage() -> None:
    failed = {**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "no luck"}, "output": []}
    inbound, speaks = called("/v1/responses", stream=True)
    heard, _ = listened(inbound, speaks, named_events({"type": "response.failed", "response": failed}))
    assert heard == Heard(
        Fault(FaultClass.TRANSPORT, "no luck", TransportKind.SERVER, 500, billed=True, usage=Usage(20, 5, 8, 0))
    )
    limited = {**failed, "error": {"code": "rate_limit_exceeded", "message": "slow down"}}
    assert speaks.hear(inbound, answered(limited)).parsed == Fault(
        FaultClass.TRANSPORT, "slow down", TransportKind.RATE_LIMIT, 429, usage=Usage(20, 5, 8, 0)
    )


@pytest.mark.parametrize(
    "path",
    [
        CHAT,
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
        "/api/chat",
        "/api/generate",
        "/v1/embeddings",
        "/api/embed",
    ],
)
def test_an_error_response_is_a_fault_in_every_protocol(path: str) -> None:
    inbound, speaks = called(path, {"model": "m"})
    told = speaks.error(Wrong.RATE_LIMIT, "slow down")
    parsed = speaks.hear(inbound, answered(told.body, told.status)).parsed
    assert isinstance(parsed, Fault)
    assert (parsed.kind, parsed.message, parsed.status) == (TransportKind.RATE_LIMIT, "slow down", 429)
    page = speaks.hear(inbound, answered("<html>Bad gateway</html>", 502, "text/html")).parsed
    assert isinstance(page, Fault)
    assert (page.kind, page.message) == (TransportKind.SERVER, "<html>Bad gateway</html>")


@pytest.mark.parametrize("body", ["", "null", "[]", "{}", "no JSON", b"\xff"])
@pytest.mark.parametrize(
    "path", [CHAT, "/v1/responses", "/v1/messages", "/api/chat", "/api/generate", "/v1/embeddings"]
)
def test_a_response_without_an_answer_is_a_fault(path: str, body: Any) -> None:
    inbound, speaks = called(path, {"model": "m"})
    parsed = speaks.hear(inbound, answered(body)).parsed
    assert isinstance(parsed, Fault)
    assert parsed.cls is FaultClass.TRANSPORT


@pytest.mark.parametrize("path", [CHAT, "/v1/responses", "/v1/messages", "/api/chat"])
def test_a_stream_of_anything_is_passed_on_and_raises_nothing(path: str) -> None:
    inbound, speaks = called(path, stream=True)
    odd = b'data: {"choices": 5, "delta": [], "response": 1, "message": [], "index": -1}\n\n'
    for stream in (b"", b"\xff\xfe\n\n", b"data: 1\n\n", odd, odd[6:], b"[1]\n", b'{"a": [}\n'):
        heard, had = listened(inbound, speaks, stream)
        assert (heard.complete, had) == (False, stream)
