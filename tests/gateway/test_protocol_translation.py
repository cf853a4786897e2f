"""A call put to a model of another provider: what is asked of it, and what the client hears."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.calls import Finish, Message, Reply, Usage
from penstock.core.models import Model
from penstock.gateway.protocols.shape import Heard, Kind, Translated, Untranslatable
from tests.gateway.wire_calls import BODIES, STAMP, USAGE, answered, called, listened

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
SCHEMA = {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}
ANY = {"type": "object"}
HI = (Message("user", "Hi"),)


def function(name: str = "f") -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA}}


def tool(name: str = "f") -> dict[str, Any]:
    return {"name": name, "input_schema": SCHEMA}


def turns(*messages: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in messages]


PICTURE = {"type": "image_url", "image_url": {"url": "data:"}}


@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        (
            CHAT,
            {
                "messages": turns(
                    ("developer", "Brief."),
                    ("user", [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]),
                    ("assistant", None),
                )
            },
            Translated((Message("system", "Brief."), Message("user", "A\nB"), Message("assistant", ""))),
        ),
        (
            CHAT,
            {"temperature": 0.5, "max_completion_tokens": 9, "seed": 1, "stop": ["x"], "user": "me", "top_p": None},
            Translated(HI, {"temperature": 0.5, "max_tokens": 9, "seed": 1, "stop": ["x"]}),
        ),
        (
            CHAT,
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
                }
            },
            Translated(HI, {}, SCHEMA),
        ),
        (CHAT, {"response_format": {"type": "json_object"}}, Translated(HI, {}, ANY)),
        (CHAT, {"response_format": {"type": "text"}, "tools": [], "logprobs": False}, Translated(HI)),
        (
            CHAT,
            {"tools": [function("g"), function()], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            Translated(HI, {}, SCHEMA, "f"),
        ),
        (CHAT, {"tools": [function()], "tool_choice": "required"}, Translated(HI, {}, SCHEMA, "f")),
        (CHAT, {"tools": [function()], "tool_choice": "none"}, Translated(HI)),
        ("/v1/completions", {"prompt": ["Hi"], "max_tokens": 5}, Translated(HI, {"max_tokens": 5})),
        (
            RESPONSES,
            {
                "instructions": "Brief.",
                "input": [
                    {"type": "reasoning", "summary": []},
                    {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes"}]},
                ],
                "max_output_tokens": 9,
                "reasoning": {"effort": "low"},
            },
            Translated(
                (Message("system", "Brief."), *HI, Message("assistant", "Yes")),
                {"max_tokens": 9, "reasoning_effort": "low"},
            ),
        ),
        (
            RESPONSES,
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}, "background": False},
            Translated(HI, {}, SCHEMA),
        ),
        (RESPONSES, {"text": {"format": {"type": "json_object"}}}, Translated(HI, {}, ANY)),
        (
            RESPONSES,
            {
                "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}],
                "tool_choice": {"type": "function", "name": "f"},
            },
            Translated(HI, {}, SCHEMA, "f"),
        ),
        (
            MESSAGES,
            {
                "system": [{"type": "text", "text": "Brief.", "cache_control": {"type": "ephemeral"}}],
                "messages": turns(
                    ("user", "Hi"),
                    ("assistant", [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "Y"}]),
                ),
                "stop_sequences": ["s"],
                "top_k": 3,
            },
            Translated(
                (Message("system", "Brief."), *HI, Message("assistant", "Y")),
                {"max_tokens": 64, "stop": ["s"], "top_k": 3},
            ),
        ),
        (
            MESSAGES,
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            Translated(HI, {"max_tokens": 64}, SCHEMA),
        ),
        (MESSAGES, {"output_format": {"schema": SCHEMA}}, Translated(HI, {"max_tokens": 64}, SCHEMA)),
        (
            MESSAGES,
            {"tools": [tool()], "tool_choice": {"type": "tool", "name": "f"}},
            Translated(HI, {"max_tokens": 64}, SCHEMA, "f"),
        ),
        (
            MESSAGES,
            {"tools": [tool()], "tool_choice": {"type": "any"}},
            Translated(HI, {"max_tokens": 64}, SCHEMA, "f"),
        ),
        (
            "/api/chat",
            {"options": {"temperature": 0, "num_predict": 5, "num_ctx": 4096}, "format": SCHEMA, "keep_alive": "5m"},
            Translated(HI, {"temperature": 0, "num_ctx": 4096, "max_tokens": 5}, SCHEMA),
        ),
        ("/api/chat", {"format": "json", "options": {"num_predict": -1}}, Translated(HI, {}, ANY)),
        ("/api/generate", {"system": "Brief."}, Translated((Message("system", "Brief."), *HI))),
    ],
)
def test_a_call_is_put_in_words_that_every_provider_has(
    path: str, fields: dict[str, Any], expected: Translated
) -> None:
    inbound, speaks = called(path, **fields)
    assert speaks.translate(inbound) == expected


@pytest.mark.parametrize(
    ("path", "fields", "why"),
    [
        (CHAT, {"messages": turns(("user", [PICTURE]))}, "messages[0].content[0] is of type image_url, and only text"),
        (CHAT, {"messages": turns(("tool", "x"))}, "messages[0] has the role tool"),
        (CHAT, {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "`tool_calls` tells of calls"),
        (CHAT, {"messages": turns(("user", 5))}, "messages[0] has a content that is no text"),
        (CHAT, {"messages": []}, "it has no messages"),
        (CHAT, {"messages": None}, "it has no messages"),
        (CHAT, {"n": 2}, "it asks for 2 answers at once"),
        (CHAT, {"tools": [function()]}, "`tools` lets the model choose"),
        (CHAT, {"tools": [function()], "tool_choice": "auto"}, "`tools` lets the model choose"),
        (CHAT, {"tools": [function(), function("g")], "tool_choice": "required"}, "`tools` lets the model choose"),
        (CHAT, {"logprobs": True}, "`logprobs` asks for log-probabilities"),
        ("/v1/completions", {"prompt": [1, 2]}, "`prompt` is no text"),
        ("/v1/completions", {"suffix": "x"}, "`suffix` asks for"),
        (RESPONSES, {"previous_response_id": "resp_1"}, "`previous_response_id` goes on from a response"),
        (RESPONSES, {"background": True}, "`background` asks for an answer to be fetched later"),
        (RESPONSES, {"input": [{"type": "function_call_output"}]}, "input[0] is a function_call_output"),
        (RESPONSES, {"tools": [{"type": "web_search"}]}, "it offers the tool web_search"),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "is of type input_image"),
        (
            MESSAGES,
            {"messages": turns(("user", [{"type": "tool_result"}]))},
            "messages[0].content[0] is of type tool_result",
        ),
        (
            MESSAGES,
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            "it offers the tool web_search_",
        ),
        (MESSAGES, {"tools": [tool()]}, "`tools` lets the model choose"),
        ("/api/chat", {"messages": [{"role": "user", "content": "x", "images": ["AAA"]}]}, "`images` holds pictures"),
        ("/api/chat", {"tools": [function()]}, "`tools` lets the model choose"),
        ("/api/chat", {"messages": turns(("tool", "x"))}, "messages[0] has the role tool"),
        ("/api/generate", {"prompt": ""}, "it has no prompt"),
        ("/api/generate", {"raw": True}, "`raw` says"),
        ("/v1/embeddings", {"model": "m", "input": "x"}, "it asks for embeddings"),
        ("/api/embed", {"model": "m", "input": "x"}, "it asks for embeddings"),
    ],
)
def test_what_no_other_provider_can_be_asked_is_said(path: str, fields: dict[str, Any], why: str) -> None:
    inbound, speaks = called(path, BODIES.get(path, {}), **fields)
    with pytest.raises(Untranslatable) as told:
        speaks.translate(inbound)
    assert why in str(told.value)


def test_a_provider_is_asked_with_the_parameters_that_it_has() -> None:
    params = {"temperature": 1, "max_tokens": 5, "top_k": 3, "seed": 1, "num_ctx": 9, "reasoning_effort": "low"}
    translated = Translated(HI, params, SCHEMA)

    def taken(provider: str) -> set[str]:
        request = translated.request(Model("x", provider, "x"), sample=2)
        assert (request.messages, request.schema, request.sample) == (HI, SCHEMA, 2)
        return set(request.params)

    assert taken("openai") == {"temperature", "max_tokens", "seed", "reasoning_effort"}
    assert taken("anthropic") == {"temperature", "max_tokens", "top_k"}
    assert taken("ollama") == {"temperature", "max_tokens", "top_k", "seed", "num_ctx"}
    assert taken("sim") == set(params)


_replies = st.builds(
    Reply,
    st.text(st.characters(blacklist_categories=["Cs"])),
    st.sampled_from([Finish.STOP, Finish.LENGTH]),
    st.sampled_from([USAGE, Usage(3, 0)]),
    st.just("m"),
)
UNCACHED = ("/api/chat", "/api/generate")


def as_heard(path: str, reply: Reply) -> Reply:
    """What of a reply each protocol has words for."""
    usage = reply.usage
    assert usage is not None
    if path in UNCACHED:
        return Reply(reply.text, reply.finish, Usage(usage.input_tokens, usage.output_tokens), "m")
    if path in (CHAT, "/v1/completions"):
        return Reply(
            reply.text, reply.finish, Usage(usage.input_tokens, usage.output_tokens, usage.cache_read_tokens), "m"
        )
    return reply


@pytest.mark.parametrize("path", BODIES)
@given(reply=_replies)
def test_a_reply_is_heard_as_it_was_said(path: str, reply: Reply) -> None:
    inbound, speaks = called(path)
    told = speaks.say(inbound, speaks.translate(inbound), reply, STAMP)
    assert speaks.hear(inbound, answered(told)) == Heard(as_heard(path, reply))


@pytest.mark.parametrize("path", BODIES)
@given(reply=_replies, asked=st.booleans())
def test_a_streamed_reply_is_heard_as_it_was_said(path: str, reply: Reply, asked: bool) -> None:
    inbound, speaks = called(path, stream=True, stream_options={"include_usage": asked})
    stream = b"".join(speaks.stream(inbound, speaks.translate(inbound), reply, STAMP))
    expected = as_heard(path, reply)
    if path in (CHAT, "/v1/completions") and not asked:
        expected = Reply(expected.text, expected.finish, None, "m")
    assert listened(inbound, speaks, stream, cut=50) == (Heard(expected), stream)


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
def test_a_refusal_is_heard_as_one(path: str) -> None:
    refusal = Reply("I will not.", Finish.REFUSED, USAGE, "m")
    inbound, speaks = called(path)
    translated = speaks.translate(inbound)
    assert speaks.hear(inbound, answered(speaks.say(inbound, translated, refusal, STAMP))).parsed == as_heard(
        path, refusal
    )
    stream = b"".join(speaks.stream(*called(path, stream=True)[:1], translated, refusal, STAMP))
    heard, _ = listened(inbound, speaks, stream)
    assert isinstance(heard.parsed, Reply)
    assert (heard.parsed.text, heard.parsed.finish) == ("I will not.", Finish.REFUSED)


FORCED: dict[str, dict[str, Any]] = {
    CHAT: {"tools": [function()], "tool_choice": "required"},
    RESPONSES: {"tools": [{"type": "function", "name": "f", "parameters": SCHEMA}], "tool_choice": "required"},
    MESSAGES: {"tools": [tool()], "tool_choice": {"type": "any"}},
}


@pytest.mark.parametrize("path", FORCED)
def test_an_answer_to_a_forced_tool_is_its_call(path: str) -> None:
    inbound, speaks = called(path, **FORCED[path])
    translated = speaks.translate(inbound)
    reply = Reply('{"a":1.10}', Finish.STOP, USAGE, "m")
    whole = speaks.say(inbound, translated, reply, STAMP)
    assert b'"tool' in whole or b'"function_call"' in whole
    assert speaks.hear(inbound, answered(whole)).parsed == as_heard(path, reply)
    heard, _ = listened(inbound, speaks, b"".join(speaks.stream(inbound, translated, reply, STAMP)))
    assert isinstance(heard.parsed, Reply)
    assert heard.parsed.text == reply.text


def test_a_tools_input_that_is_no_object_is_said_as_text_where_it_must_be_one() -> None:
    inbound, speaks = called(MESSAGES, **FORCED[MESSAGES])
    told = json.loads(speaks.say(inbound, speaks.translate(inbound), Reply("{", Finish.LENGTH, None, "m"), STAMP))
    assert told["content"] == [{"type": "text", "text": "{"}]
    assert (told["stop_reason"], told["usage"]) == ("max_tokens", {"input_tokens": 0, "output_tokens": 0})


def test_a_made_response_is_exactly_this() -> None:
    reply = Reply("Hello", Finish.STOP, Usage(3, 1), "sim/m")
    inbound, speaks = called(CHAT)
    assert json.loads(speaks.say(inbound, speaks.translate(inbound), reply, STAMP)) == {
        "id": "chatcmpl-0a1b2c",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 1,
            "total_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }
    inbound, speaks = called("/api/generate")
    assert json.loads(speaks.say(inbound, speaks.translate(inbound), reply, STAMP)) == {
        "model": "m",
        "created_at": "2023-11-14T22:13:20.250000Z",
        "response": "Hello",
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 3,
        "eval_count": 1,
    }


def kinds(path: str, **fields: Any) -> list[str]:
    """What the pieces of a made stream are, in order."""
    inbound, speaks = called(path, stream=True, **fields)
    reply = Reply("Hello", Finish.STOP, USAGE, "m")
    pieces = speaks.stream(inbound, speaks.translate(inbound), reply, STAMP)
    return [piece.decode().partition("\n")[0].removeprefix("event: ") for piece in pieces]


def test_a_made_stream_has_its_events_in_order() -> None:
    assert kinds(MESSAGES) == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert kinds(RESPONSES) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    chunks = kinds(CHAT, stream_options={"include_usage": True})
    assert chunks[-1] == "data: [DONE]"
    assert json.loads(chunks[-2].removeprefix("data: "))["choices"] == []
    assert [json.loads(line)["done"] for line in kinds("/api/chat")] == [False, True]


def test_the_kinds_that_can_be_translated_are_chats() -> None:
    assert {called(path)[0].kind for path in BODIES} == {Kind.CHAT}
