"""A model server that counts: OpenAI's, Anthropic's and Ollama's protocols on 127.0.0.1, in a process of its own.

    with ModelServer(Script(latency_ms=50, answer={"ok": True}, invalid=0.1)) as server:
        ...                                     # server.url + "/v1/chat/completions", "/v1/messages", "/api/chat"
        assert server.counts()["requests"] == 10

It is a process of its own so that its processor time is not the client's, and ends when its parent does, however that
ends, for it reads a pipe whose other end the parent holds. What becomes of a request is drawn from a hash of its body
and of how often that body has come, so a run can be repeated; the chances add up and leave the rest to good answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, NamedTuple

DEFAULT_ANSWER = '{"ok": true}'
PROMPT, HASH, NUMBER = "$prompt", "$hash", "$number"
_PROMPT_CHARACTERS = 200
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}


@dataclass(frozen=True)
class Script:
    """How the server behaves. The chances are from 0 to 1.

    `answer` is the text of every good answer, or a JSON value that becomes one; in it the string `$prompt` stands for
    the beginning of the last user message, `$hash` for 12 digits and `$number` for a number from 0 to 1 of the
    request's own. `invalid` answers are no JSON, `truncated` ones are cut, `refused` ones decline; `rate_limited` are
    429 with `Retry-After: retry_after`, `server_error` 500, `cut` breaks off in the middle of the body, `empty` is a
    body of 0 bytes. For `storm_s` seconds from request number `storm_after` on, everything is `rate_limited`.
    """

    latency_ms: float = 0
    answer: object = DEFAULT_ANSWER
    invalid: float = 0
    truncated: float = 0
    refused: float = 0
    rate_limited: float = 0
    server_error: float = 0
    cut: float = 0
    empty: float = 0
    retry_after: str = "0"
    storm_s: float = 0
    storm_after: int = 1


KINDS = ("invalid", "truncated", "refused", "rate_limited", "server_error", "cut", "empty")


class ModelServer:
    """A running server; `url` is its address without a path. Ends with the `with`."""

    def __init__(self, script: Script | None = None) -> None:
        self._script = script or Script()

    def __enter__(self) -> ModelServer:
        words = [sys.executable, "-I", __file__, json.dumps(asdict(self._script))]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        port = self._process.stdout.readline().decode().strip()
        assert port, "the model server did not start"
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

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def counts(self) -> dict[str, Any]:
        """What came and what was given, since the start or the last reset.

        `requests`, `paths` (requests of each), `kinds` (`good` and those of the script), `distinct` bodies and how
        often the `most_repeated` of them came, `max_in_flight`, `connections`, `input_tokens` and `output_tokens` given
        out, and `cpu_s`, the processor time since the start.
        """
        with _DIRECT.open(f"{self.url}/_counts", timeout=30) as response:
            found: dict[str, Any] = json.load(response)
        return found

    def reset(self) -> None:
        """Every count is 0."""
        with _DIRECT.open(f"{self.url}/_reset", data=b"", timeout=30):
            pass


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Given(NamedTuple):
    """One response, ready to be written. `cut` leaves out the second half and closes the connection."""

    status: int
    body: bytes
    retry_after: str | None = None
    cut: bool = False


class Counts:
    """Everything that the server has counted."""

    def __init__(self) -> None:
        self.paths: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.bodies: Counter[bytes] = Counter()
        self.in_flight = self.max_in_flight = self.connections = self.input_tokens = self.output_tokens = 0

    def as_json(self) -> dict[str, object]:
        """What `ModelServer.counts` gives."""
        return {
            "requests": sum(self.paths.values()),
            "paths": self.paths,
            "kinds": self.kinds,
            "distinct": len(self.bodies),
            "most_repeated": max(self.bodies.values(), default=0),
            "max_in_flight": self.max_in_flight,
            "connections": self.connections,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cpu_s": time.process_time(),
        }


class Answering:
    """Answers requests as the script says, and counts them."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.counts = Counts()
        self._storm_until: float | None = None
        self._text = script.answer if isinstance(script.answer, str) else json.dumps(script.answer, ensure_ascii=False)
        self._filled = any(mark in self._text for mark in (PROMPT, HASH, NUMBER))

    def given(self, path: str, body: bytes) -> Given:
        """The response to a model call."""
        speak = _PROTOCOLS.get(path)
        if speak is None:
            return Given(404, b'{"error": {"message": "no such path", "type": "not_found_error"}}')
        digest = hashlib.sha256(body).digest()
        self.counts.paths[path] += 1
        self.counts.bodies[digest[:16]] += 1
        kind = "rate_limited" if self._storms() else self._kind(digest, self.counts.bodies[digest[:16]])
        self.counts.kinds[kind] += 1
        if kind == "rate_limited":
            return Given(429, _error("rate_limit_error", "Rate limit reached, slow down."), self.script.retry_after)
        if kind == "server_error":
            return Given(500, _error("api_error", "Internal server error"))
        if kind == "empty":
            return Given(200, b"")
        try:
            asked = json.loads(body)
            return self._answered(speak, asked, body, digest, kind)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            return Given(400, _error("invalid_request_error", f"{type(error).__name__}: {error}"))

    def _answered(self, speak: Speak, asked: dict[str, Any], body: bytes, digest: bytes, kind: str) -> Given:
        if asked.get("stream", speak is _ollama):
            raise ValueError("this server does not stream")
        text = self._text_for(asked, digest) if self._filled else self._text
        if kind == "invalid":
            text = f"Here it is: {text[:-1]}"
        elif kind == "truncated":
            text = text[: len(text) // 2]
        elif kind == "refused":
            text = "I cannot help with that."
        tokens_in, tokens_out = -(-len(body) // 4), max(1, -(-len(text.encode()) // 4))
        self.counts.input_tokens += tokens_in
        self.counts.output_tokens += tokens_out
        said = speak(asked, text, kind, tokens_in, tokens_out)
        return Given(200, json.dumps(said, ensure_ascii=False).encode(), cut=kind == "cut")

    def _storms(self) -> bool:
        """Whether the storm is on. It begins with a request and is over by the clock, and does not come again."""
        if self._storm_until is None and sum(self.counts.paths.values()) >= self.script.storm_after:
            self._storm_until = time.monotonic() + self.script.storm_s
        return self._storm_until is not None and time.monotonic() < self._storm_until

    def _kind(self, digest: bytes, occurrence: int) -> str:
        drawn = int.from_bytes(hashlib.sha256(digest + occurrence.to_bytes(4, "big")).digest()[:6], "big") / 2**48
        for kind in KINDS:
            drawn -= getattr(self.script, kind)
            if drawn < 0:
                return kind
        return "good"

    def _text_for(self, asked: dict[str, Any], digest: bytes) -> str:
        prompt = json.dumps(_last_text(asked["messages"])[:_PROMPT_CHARACTERS], ensure_ascii=False)[1:-1]
        number = round(int.from_bytes(digest[:4], "big") / 2**32, 4)
        text = self._text.replace(f'"{NUMBER}"', str(number)).replace(HASH, digest.hex()[:12])
        return text.replace(PROMPT, prompt)


def _last_text(messages: list[dict[str, Any]]) -> str:
    content = next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _error(kind: str, message: str) -> bytes:
    """An error in the form that all three protocols' clients read."""
    return json.dumps({"type": "error", "error": {"type": kind, "code": kind, "message": message}}).encode()


Speak = Callable[[dict[str, Any], str, str, int, int], dict[str, Any]]
"""Request, text, kind, tokens in and out → the response in a protocol's words."""


def _openai(asked: dict[str, Any], text: str, kind: str, tokens_in: int, tokens_out: int) -> dict[str, Any]:
    refused = kind == "refused"
    message = {"role": "assistant", "content": None if refused else text, "refusal": text if refused else None}
    finish = "length" if kind == "truncated" else "stop"
    return {
        "id": "chatcmpl-double",
        "object": "chat.completion",
        "created": 1700000000,
        "model": asked["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


def _anthropic(asked: dict[str, Any], text: str, kind: str, tokens_in: int, tokens_out: int) -> dict[str, Any]:
    forced = asked.get("tool_choice", {}).get("name")
    content: dict[str, Any] = {"type": "text", "text": text}
    stop = {"truncated": "max_tokens", "refused": "refusal"}.get(kind, "end_turn")
    if forced and kind not in KINDS:
        content = {"type": "tool_use", "id": "toolu_double", "name": forced, "input": json.loads(text)}
        stop = "tool_use"
    return {
        "id": "msg_double",
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "content": [content],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {
            "input_tokens": tokens_in,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": tokens_out,
        },
    }


def _ollama(asked: dict[str, Any], text: str, kind: str, tokens_in: int, tokens_out: int) -> dict[str, Any]:
    return {
        "model": asked["model"],
        "created_at": "2025-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": text},
        "done": True,
        "done_reason": "length" if kind == "truncated" else "stop",
        "total_duration": 1000000,
        "load_duration": 1000,
        "prompt_eval_count": tokens_in,
        "prompt_eval_duration": 1000,
        "eval_count": tokens_out,
        "eval_duration": 1000,
    }


_PROTOCOLS: dict[str, Speak] = {"/v1/chat/completions": _openai, "/v1/messages": _anthropic, "/api/chat": _ollama}


class Connection(asyncio.Protocol):
    """One keep-alive connection: HTTP/1.1 requests with a content-length, one after the other.

    Written by hand, because a server that costs more than its client measures itself.
    """

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._received = b""
        self._waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._answering.counts.connections += 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._read()

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
            self._answering.counts.in_flight -= 1

    def _read(self) -> None:
        """Begins the next request, if it is whole and none is being worked on."""
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._waiting is not None:
            return
        head = self._received[:end].decode("latin-1")
        lengths = (line for line in head.lower().split("\r\n") if line.startswith("content-length:"))
        whole = end + 4 + int(next(lengths, "content-length:0").partition(":")[2])
        if len(self._received) < whole:
            return
        body, self._received = self._received[end + 4 : whole], self._received[whole:]
        self._begin(head.split(" ", 2)[1].partition("?")[0], body)

    def _begin(self, path: str, body: bytes) -> None:
        if path == "/_counts":
            return self._write(Given(200, json.dumps(self._answering.counts.as_json()).encode()))
        if path == "/_reset":
            self._answering.counts = Counts()
            return self._write(Given(200, b"{}"))
        counts = self._answering.counts
        counts.in_flight += 1
        counts.max_in_flight = max(counts.max_in_flight, counts.in_flight)
        given = self._answering.given(path, body)
        delay_s = self._answering.script.latency_ms / 1000
        self._waiting = asyncio.get_running_loop().call_later(delay_s, self._end, given)
        return None

    def _end(self, given: Given) -> None:
        self._waiting = None
        self._answering.counts.in_flight -= 1
        self._write(given)
        self._read()

    def _write(self, given: Given) -> None:
        head = f"HTTP/1.1 {given.status} {_REASONS[given.status]}\r\nContent-Type: application/json\r\n"
        head += "" if given.retry_after is None else f"Retry-After: {given.retry_after}\r\n"
        body = given.body[: len(given.body) // 2] if given.cut else given.body
        self._transport.write(f"{head}Content-Length: {len(given.body)}\r\n\r\n".encode() + body)
        if given.cut:
            self._transport.close()


async def serve(script: Script) -> None:
    """Answers until standard input ends. The first line on standard output is the port."""
    loop = asyncio.get_running_loop()
    answering = Answering(script)
    server = await loop.create_server(lambda: Connection(answering), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    parent_gone = asyncio.Event()
    await loop.connect_read_pipe(lambda: _Watch(parent_gone), sys.stdin.buffer)
    await parent_gone.wait()
    server.close()


class _Watch(asyncio.Protocol):
    """Tells when the other end of a pipe is closed."""

    def __init__(self, gone: asyncio.Event) -> None:
        self._gone = gone

    def connection_lost(self, error: Exception | None) -> None:
        self._gone.set()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Script(**json.loads(sys.argv[1]))))
