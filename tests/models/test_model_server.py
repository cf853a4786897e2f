"""The counting model server itself: what it gives, what it counts, and that it goes when its parent does."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

import pytest

from penstock.core.calls import Answer, Fault
from penstock.models.transport import Transport
from penstock.models.wire import HttpRequest
from tests.doubles import TickingClock
from tests.model_server import ModelServer, Script
from tests.processes import alive, needs_proc, soon

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "ollama": "/api/chat"}


def ask(server: ModelServer, count: int, provider: str = "openai", at_once: int = 32) -> Sequence[Answer | Fault]:
    """What so many different requests come back with, in order."""

    async def attempt() -> Sequence[Answer | Fault]:
        free = asyncio.Semaphore(at_once)

        async def one(transport: Transport, number: int) -> Answer | Fault:
            messages = [{"role": "user", "content": f"question {number}"}]
            body = json.dumps({"model": "m", "stream": False, "messages": messages}).encode()
            async with free:
                return await transport.send(HttpRequest(server.url + PATHS[provider], (), body), 30)

        async with Transport(TickingClock()) as transport:
            return await asyncio.gather(*(one(transport, number) for number in range(count)))

    return asyncio.run(attempt())


def text_of(answer: Answer | Fault, provider: str) -> str:
    assert isinstance(answer, Answer)
    body = json.loads(answer.body)
    if provider == "openai":
        return str(body["choices"][0]["message"]["content"])
    return str(body["content"][0]["text"] if provider == "anthropic" else body["message"]["content"])


@pytest.mark.parametrize("provider", PATHS)
def test_each_protocol_is_answered_and_counted(provider: str) -> None:
    with ModelServer(Script(answer={"said": "$prompt", "id": "$hash", "score": "$number"})) as server:
        first, second = (json.loads(text_of(answer, provider)) for answer in ask(server, 2, provider))
        counts = server.counts()
    assert (first["said"], second["said"]) == ("question 0", "question 1")
    assert first["id"] != second["id"]
    assert 0 <= first["score"] <= 1
    assert (counts["requests"], counts["paths"], counts["distinct"]) == (2, {PATHS[provider]: 2}, 2)
    assert counts["input_tokens"] > counts["requests"]
    assert counts["output_tokens"] > counts["requests"]


def test_what_goes_wrong_goes_wrong_as_often_as_it_is_told_and_again_the_same() -> None:
    script = Script(
        invalid=0.1, truncated=0.1, refused=0.1, rate_limited=0.1, server_error=0.1, cut=0.1, empty=0.1, retry_after="2"
    )
    runs = []
    for _ in range(2):
        with ModelServer(script) as server:
            answers = ask(server, 400)
            runs.append(Counter(_seen(answer) for answer in answers))
            assert runs[-1] == server.counts()["kinds"]
    assert runs[0] == runs[1]
    assert all(20 <= runs[0][kind] <= 65 for kind in runs[0] if kind != "good")
    assert len(runs[0]) == 8


def _seen(answer: Answer | Fault) -> str:
    if isinstance(answer, Fault):
        return "cut"
    if answer.status == 429:
        assert ("retry-after", "2") in answer.headers
        return "rate_limited"
    if answer.status == 500:
        return "server_error"
    if not answer.body:
        return "empty"
    choice = json.loads(answer.body)["choices"][0]
    if choice["finish_reason"] == "length":
        return "truncated"
    if choice["message"]["refusal"]:
        return "refused"
    return "good" if choice["message"]["content"] == '{"ok": true}' else "invalid"


def test_requests_in_flight_at_once_are_counted_and_a_reset_forgets() -> None:
    with ModelServer(Script(latency_ms=100)) as server:
        ask(server, 16, at_once=8)
        assert server.counts()["max_in_flight"] == 8
        server.reset()
        counts = server.counts()
    assert (counts["requests"], counts["max_in_flight"], counts["kinds"]) == (0, 0, {})


def test_a_request_that_it_cannot_read_is_told_so() -> None:
    async def attempt(url: str) -> Answer | Fault:
        async with Transport(TickingClock()) as transport:
            return await transport.send(HttpRequest(url, (), b"{}"), 30)

    with ModelServer() as server:
        stream = asyncio.run(attempt(f"{server.url}/api/chat"))
        nowhere = asyncio.run(attempt(f"{server.url}/v2"))
    assert isinstance(stream, Answer)
    assert isinstance(nowhere, Answer)
    assert (stream.status, nowhere.status) == (400, 404)
    assert b"does not stream" in stream.body


@needs_proc
def test_the_server_goes_when_its_parent_is_killed() -> None:
    program = (
        "import os, signal\nfrom tests.model_server import ModelServer\n"
        "with ModelServer() as server:\n    print(server.pid, flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert soon(lambda: not alive(int(done.stdout)))
