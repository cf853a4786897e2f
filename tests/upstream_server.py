"""A provider's server that streams: OpenAI's, Anthropic's and Ollama's protocols on 127.0.0.1, in a process of its own.

    with Upstream() as upstream:
        ...                       # upstream.url + "/v1/chat/completions", "/v1/messages", "/api/chat", …
        assert [seen.headers["authorization"] for seen in upstream.seen()] == ["Bearer sk-…"]

The shapes are those that the providers send. What becomes of a request is said in its prompt: `!429*2` is answered with
status 429 twice and well after that, `!cut` breaks off in the middle of a stream, `!hang` stops there, `!slow` has half
a second between its parts. Each answer has a number of its own, so that one that was bought twice is told from one that
was bought once. It ends when its parent does, whose pipe it reads.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import struct
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

TOKENS_IN, TOKENS_OUT = 10, 5
MODELS = ("gpt-4o-mini", "house-1")
SLOW_S = 0.5
LONGEST = 2**26
WAITS_S = {429: 0, 500: 86_400}
"""With an error: one more try at once, and none today."""

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came: the headers have lower-case names, `body` is its JSON value."""

    path: str
    headers: Mapping[str, str]
    body: Any


class Upstream:
    """A running server; `url` is its address without a path. Ends with the `with`."""

    def __enter__(self) -> Upstream:
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().decode().strip()
        assert port, "the server did not start"
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def kill(self) -> None:
        """It is dead, in the middle of whatever it was saying."""
        self._process.kill()
        self._process.wait()

    def seen(self) -> list[Seen]:
        """Every request since the start or the last reset, in the order in which they came."""
        with _DIRECT.open(f"{self.url}/_seen", timeout=30) as response:
            return [Seen(**each) for each in json.load(response)]

    def reset(self) -> None:
        """Nothing has come yet."""
        with _DIRECT.open(f"{self.url}/_reset", data=b"", timeout=30):
            pass

    @property
    def environ(self) -> dict[str, str]:
        """What a person would set so that clients come here, with keys that look like real ones."""
        return {
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": OPENAI_KEY,
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": ANTHROPIC_KEY,
            "OLLAMA_HOST": self.url,
        }


OPENAI_KEY = "sk-proj-" + "Zx9" * 16
ANTHROPIC_KEY = "sk-ant-api03-" + "Qw7" * 16


# --- what is said ------------------------------------------------------------------------------


def asked(body: Mapping[str, Any]) -> str:
    """The text that a request ends with."""
    for name in ("prompt", "input"):
        if isinstance(body.get(name), str):
            return str(body[name])
    turns = body.get("messages") or body.get("input") or [{"content": ""}]
    content = turns[-1]["content"] if isinstance(turns[-1], dict) else turns[-1]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def wants_json(body: Mapping[str, Any]) -> bool:
    """Whether the answer is to be an object."""
    formats = (body.get("response_format"), body.get("text"), body.get("format"), body.get("output_config"))
    return any("schema" in json.dumps(each) for each in formats if each)


def answer(body: Mapping[str, Any], number: int) -> str:
    """The text of an answer."""
    if wants_json(body):
        return json.dumps({"city": "Delft", "number": number})
    return f"answer {number} to {asked(body)[:200]}"


def pieces(text: str) -> list[str]:
    """The text in words, each with the space before it."""
    return re.findall(r"\s*\S+", text)


def openai_chat(body: Mapping[str, Any], text: str) -> Any:
    """`/v1/chat/completions`."""
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    return _completion(body, "chat.completion") | {
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _openai_usage(),
    }


def openai_chat_stream(body: Mapping[str, Any], text: str) -> Iterator[bytes]:
    """The same, streamed."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
    deltas += [{"content": piece} for piece in pieces(text)]
    usage = {"usage": None} if (body.get("stream_options") or {}).get("include_usage") else {}
    for delta, finish in [*((each, None) for each in deltas), ({}, "stop")]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        yield event(_completion(body, "chat.completion.chunk") | {"choices": [choice]} | usage)
    if usage:
        yield event(_completion(body, "chat.completion.chunk") | {"choices": [], "usage": _openai_usage()})
    yield b"data: [DONE]\n\n"


def _completion(body: Mapping[str, Any], kind: str) -> dict[str, Any]:
    head = {"id": "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG", "object": kind, "created": 1741570283}
    return head | {"model": f"{body['model']}-2024-07-18", "service_tier": "default", "system_fingerprint": "fp_06737a"}


def _openai_usage() -> dict[str, Any]:
    return {
        "prompt_tokens": TOKENS_IN,
        "completion_tokens": TOKENS_OUT,
        "total_tokens": TOKENS_IN + TOKENS_OUT,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def responses(body: Mapping[str, Any], text: str, status: str = "completed") -> dict[str, Any]:
    """`/v1/responses`."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {"type": "message", "id": "msg_67cc", "status": "completed", "role": "assistant", "content": [part]}
    done = status == "completed"
    return {
        "id": "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
        "object": "response",
        "created_at": 1741476542,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": f"{body['model']}-2024-07-18",
        "output": [message] if done else [],
        "parallel_tool_calls": True,
        "store": True,
        "temperature": 1.0,
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": TOKENS_IN,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": TOKENS_OUT,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": TOKENS_IN + TOKENS_OUT,
        }
        if done
        else None,
    }


def responses_stream(body: Mapping[str, Any], text: str) -> Iterator[bytes]:
    """The same, streamed."""
    whole = responses(body, text)
    item = whole["output"][0]
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    empty = {**item["content"][0], "text": ""}
    told: list[tuple[str, dict[str, Any]]] = [
        ("created", {"response": responses(body, "", "in_progress")}),
        ("in_progress", {"response": responses(body, "", "in_progress")}),
        ("output_item.added", {"output_index": 0, "item": {**item, "status": "in_progress", "content": []}}),
        ("content_part.added", {**at, "part": empty}),
        *(("output_text.delta", {**at, "delta": piece, "logprobs": []}) for piece in pieces(text)),
        ("output_text.done", {**at, "text": text, "logprobs": []}),
        ("content_part.done", {**at, "part": item["content"][0]}),
        ("output_item.done", {"output_index": 0, "item": item}),
        ("completed", {"response": whole}),
    ]
    for number, (name, fields) in enumerate(told):
        yield named({"type": f"response.{name}", "sequence_number": number, **fields})


def anthropic(body: Mapping[str, Any], text: str) -> Any:
    """`/v1/messages`."""
    return {
        "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
        "type": "message",
        "role": "assistant",
        "model": f"{body['model']}",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _anthropic_usage(TOKENS_OUT),
    }


def _anthropic_usage(output: int) -> dict[str, Any]:
    cached = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {"input_tokens": TOKENS_IN, **cached, "output_tokens": output, "service_tier": "standard"}


def anthropic_stream(body: Mapping[str, Any], text: str) -> Iterator[bytes]:
    """The same, streamed."""
    begun = {**anthropic(body, ""), "content": [], "stop_reason": None, "usage": _anthropic_usage(1)}
    yield named({"type": "message_start", "message": begun})
    yield named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    yield named({"type": "ping"})
    for piece in pieces(text):
        yield named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}})
    yield named({"type": "content_block_stop", "index": 0})
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    yield named({"type": "message_delta", "delta": delta, "usage": {"output_tokens": TOKENS_OUT}})
    yield named({"type": "message_stop"})


def _ollama_part(body: Mapping[str, Any], chat: bool, text: str, done: bool) -> Any:
    said = {"message": {"role": "assistant", "content": text}} if chat else {"response": text}
    part = {"model": body["model"], "created_at": "2025-05-28T21:03:15.123456789Z", **said, "done": done}
    spans = {"total_duration": 5589157167, "load_duration": 3013701500, "eval_duration": 1325948000}
    counts = {"prompt_eval_count": TOKENS_IN, "prompt_eval_duration": 1160282000, "eval_count": TOKENS_OUT}
    return {**part, "done_reason": "stop", **spans, **counts} if done else part


def ollama(body: Mapping[str, Any], text: str) -> Any:
    """`/api/chat` and `/api/generate`."""
    return _ollama_part(body, "messages" in body, text, True)


def ollama_stream(body: Mapping[str, Any], text: str) -> Iterator[bytes]:
    """The same, streamed, as lines."""
    for piece in pieces(text):
        yield json.dumps(_ollama_part(body, "messages" in body, piece, False)).encode() + b"\n"
    yield json.dumps(_ollama_part(body, "messages" in body, "", True)).encode() + b"\n"


def embeddings(body: Mapping[str, Any]) -> Any:
    """`/v1/embeddings`. OpenAI's own client asks for base64."""
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    numbers = [0.25, -0.5, float(len(texts))]
    packed = base64.b64encode(struct.pack("<3f", *numbers)).decode()
    vector: object = packed if body.get("encoding_format") == "base64" else numbers
    found = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(texts))]
    usage = {"prompt_tokens": TOKENS_IN, "total_tokens": TOKENS_IN}
    return {"object": "list", "data": found, "model": body["model"], "usage": usage}


def ollama_embed(body: Mapping[str, Any]) -> Any:
    """`/api/embed`."""
    return {"model": body["model"], "embeddings": [[0.25, -0.5]], "total_duration": 1, "prompt_eval_count": TOKENS_IN}


def event(data: Any) -> bytes:
    """A server-sent event without a name."""
    return f"data: {json.dumps(data)}\n\n".encode()


def named(data: Mapping[str, Any]) -> bytes:
    """A server-sent event, named as its type."""
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


WHOLE: Mapping[str, Any] = {
    "/v1/chat/completions": openai_chat,
    "/v1/responses": responses,
    "/v1/messages": anthropic,
    "/api/chat": ollama,
    "/api/generate": ollama,
}
STREAMS: Mapping[str, Any] = {
    "/v1/chat/completions": openai_chat_stream,
    "/v1/responses": responses_stream,
    "/v1/messages": anthropic_stream,
    "/api/chat": ollama_stream,
    "/api/generate": ollama_stream,
}
LISTS: Mapping[str, Any] = {
    "/v1/models": {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 1686935002, "owned_by": "openai"} for name in MODELS],
    },
    "/api/tags": {"models": [{"model": name, "name": name, "size": 1, "digest": "d"} for name in MODELS]},
    "/v1/files": {"object": "list", "data": [], "has_more": False},
}


def complaint(path: str, status: int) -> Any:
    """An error in the words of the path's protocol."""
    kinds = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error", 500: "api_error"}
    message = f"upstream says {status}"
    if path.startswith("/api"):
        return {"error": message}
    if path.startswith("/v1/messages"):
        return {"type": "error", "error": {"type": kinds[status], "message": message}, "request_id": "req_011CSHoE"}
    return {"error": {"message": message, "type": kinds[status], "param": None, "code": None}}


# --- the server --------------------------------------------------------------------------------


async def serve() -> None:
    """Answers until standard input ends. The first line on standard output is the port."""
    from aiohttp import web

    seen: list[dict[str, Any]] = []
    came: Counter[bytes] = Counter()
    numbers = iter(range(1, 1_000_000))

    async def answered(request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path == "/_seen":
            return web.json_response(seen)
        if path == "/_reset":
            seen.clear()
            return web.json_response({})
        raw = await request.read()
        body = json.loads(raw) if raw else None
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen.append({"path": path, "headers": headers, "body": body})
        if body is None:
            return web.json_response(LISTS[path]) if path in LISTS else web.json_response({}, status=404)
        came[raw] += 1
        told = asked(body)
        wrong = re.search(r"!(\d{3})(?:\*(\d+))?", told)
        if wrong and came[raw] <= int(wrong[2] or 1_000_000):
            status = int(wrong[1])
            headers = {"Retry-After": str(WAITS_S[status])} if status in WAITS_S else {}
            return web.json_response(complaint(path, status), status=status, headers=headers)
        if path in ("/v1/embeddings", "/api/embed"):
            return web.json_response(embeddings(body) if path.startswith("/v1") else ollama_embed(body))
        if path not in WHOLE:
            return web.json_response({"known": False, "said": body})
        text = answer(body, next(numbers))
        if not body.get("stream", path.startswith("/api")):
            await asyncio.sleep(SLOW_S if "!slow" in told else 0)
            return web.json_response(WHOLE[path](body, text), headers={"x-request-id": "req_1", "set-cookie": "a=b"})
        return await _streamed(request, _paced(STREAMS[path](body, text), told), told)

    async def _streamed(request: web.BaseRequest, parts: AsyncIterator[bytes], told: str) -> web.StreamResponse:
        kind = "application/x-ndjson" if request.path.startswith("/api") else "text/event-stream; charset=utf-8"
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        number = 0
        async for part in parts:
            await response.write(part)
            number += 1
            if number == 3 and "!cut" in told:
                assert request.transport is not None
                request.transport.abort()
                return response
            if number == 3 and "!hang" in told:
                await asyncio.sleep(60)
        await response.write_eof()
        return response

    def made(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=LONGEST)

    runner = web.ServerRunner(web.Server(answered, request_factory=made, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.1)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    gone = asyncio.Event()
    await asyncio.get_running_loop().connect_read_pipe(lambda: _Watch(gone), sys.stdin.buffer)
    await gone.wait()
    await runner.cleanup()


async def _paced(parts: Iterator[bytes], told: str) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        if "!slow" in told:
            await asyncio.sleep(SLOW_S)


class _Watch(asyncio.Protocol):
    """Tells when the other end of a pipe is closed."""

    def __init__(self, gone: asyncio.Event) -> None:
        self._gone = gone

    def connection_lost(self, error: Exception | None) -> None:
        self._gone.set()


if __name__ == "__main__":
    asyncio.run(serve())
