"""The transport against real sockets: whole answers, every way to break one off, and what each says of the bill."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock.core.calls import Answer, Fault, FaultClass, Message, Reply, Request, TransportKind
from penstock.core.models import Model, Rates
from penstock.models import python
from penstock.models.sim import adapter
from penstock.models.sim.adapter import SEND_HEADER
from penstock.models.transport import Transport
from penstock.models.transport_http import MOST_BYTES, HttpClient
from penstock.models.wire import HttpRequest
from tests.doubles import BEGAN_AT, TickingClock

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEADERS = (("content-type", "application/json"), ("authorization", "Bearer sk-very-secret"))
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LONG_S = 30.0
SHORT_S = 0.3


class Server:
    """A server that reads whole requests and answers each with the same bytes; `seen` holds the requests' heads."""

    def __init__(self, answer: bytes = b"", close: bool = True, hang: bool = False) -> None:
        self.answer, self.close, self.hang = answer, close, hang
        self.seen: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.seen.append(head)
            self.bodies.append(await reader.readexactly(length_of(head)))
            writer.write(self.answer)
            await writer.drain()
            if self.hang:
                await reader.read()
            if self.close:
                break


def length_of(head: bytes) -> int:
    line = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
    return int(line.partition(b":")[2])


@asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a server on the loopback interface."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.ensure_future(connected(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls, backlog=512)
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections)
        await asyncio.sleep(0.01)  # for the loop to close the sockets


def post(url: str, body: bytes = b"{}") -> HttpRequest:
    return HttpRequest(url, HEADERS, body)


def whole(body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return OK + f"{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def exchange(server: Server, timeout_s: float = LONG_S, body: bytes = b"{}") -> Answer | Fault:
    """What one request to this server comes back with."""
    async with serving(server.serve) as url, Transport(TickingClock()) as transport:
        return await transport.send(post(f"{url}/v1/chat", body), timeout_s)


def answered(server: Server, timeout_s: float = LONG_S, body: bytes = b"{}") -> Answer:
    answer = asyncio.run(exchange(server, timeout_s, body))
    assert isinstance(answer, Answer)
    return answer


def faulted(server: Server, timeout_s: float = LONG_S) -> Fault:
    fault = asyncio.run(exchange(server, timeout_s))
    assert isinstance(fault, Fault)
    assert "sk-very-secret" not in fault.message
    return fault


def test_a_whole_answer_comes_back_with_its_status_time_and_body() -> None:
    server = Server(whole(b'{"a": 1}'))
    answer = answered(server)
    assert (answer.status, answer.body) == (200, b'{"a": 1}')
    assert answer.at > BEGAN_AT
    assert answer.elapsed_s > 0
    assert server.seen[0].startswith(b"POST /v1/chat HTTP/1.1\r\n")
    assert b"authorization: Bearer sk-very-secret" in server.seen[0]
    assert server.bodies == [b"{}"]


def test_a_status_500_is_an_answer() -> None:
    answer = answered(Server(b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"))
    assert (answer.status, answer.body) == (500, b"oops")


def test_only_the_headers_that_are_read_later_are_kept() -> None:
    server = Server(
        whole(
            b"{}",
            "Set-Cookie: session=secret",
            "X-RateLimit-Remaining-Requests: 7",
            "anthropic-ratelimit-tokens-reset: 2025-01-01T00:00:00Z",
            "Retry-After: 3",
            "retry-after-ms: 2500",
            "X-Request-Id: r1",
            "openai-processing-ms: 12",
            "Server: x",
        )
    )
    assert answered(server).headers == (
        ("content-type", "application/json"),
        ("x-ratelimit-remaining-requests", "7"),
        ("anthropic-ratelimit-tokens-reset", "2025-01-01T00:00:00Z"),
        ("retry-after", "3"),
        ("retry-after-ms", "2500"),
        ("x-request-id", "r1"),
        ("openai-processing-ms", "12"),
    )


def test_a_cookie_is_not_sent_back() -> None:
    server = Server(whole(b"{}", "Set-Cookie: session=secret; Path=/"), close=False)

    async def twice() -> None:
        async with serving(server.serve) as url, Transport(TickingClock()) as transport:
            for _ in range(2):
                await transport.send(post(url), LONG_S)

    asyncio.run(twice())
    assert len(server.seen) == 2
    assert b"cookie" not in server.seen[1].lower()


def test_a_chunked_body_is_put_together() -> None:
    server = Server(OK + b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n": 1\r\n1\r\n}\r\n0\r\n\r\n')
    assert answered(server).body == b'{"a": 1}'


def test_a_packed_body_is_unpacked() -> None:
    assert answered(Server(whole(gzip.compress(b"x" * 10_000), "Content-Encoding: gzip"))).body == b"x" * 10_000


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    assert answered(Server(OK + b"\r\n{}")).body == b"{}"


def test_an_empty_body_is_an_answer() -> None:
    assert answered(Server(whole(b""))).body == b""


def test_a_large_request_is_sent_whole() -> None:
    server = Server(whole(b"{}"))
    body = b"x" * (3 * 2**20)
    answered(server, body=body)
    assert server.bodies == [body]


def test_connections_are_used_again() -> None:
    server = Server(whole(b"{}"), close=False)

    async def many() -> None:
        async with serving(server.serve) as url, Transport(TickingClock()) as transport:
            for _ in range(20):
                assert isinstance(await transport.send(post(url), LONG_S), Answer)

    asyncio.run(many())
    assert (len(server.seen), server.connections) == (20, 1)


def test_two_hundred_requests_fly_at_once() -> None:
    waiting: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(length_of(head))
        waiting.append(asyncio.Event())
        if len(waiting) == 200:
            for each in waiting:
                each.set()
        await waiting[-1].wait()
        writer.write(whole(b"{}"))

    async def many() -> list[Answer | Fault]:
        async with serving(serve) as url, Transport(TickingClock()) as transport:
            return await asyncio.gather(*(transport.send(post(url), LONG_S) for _ in range(200)))

    assert all(isinstance(each, Answer) for each in asyncio.run(many()))


@pytest.mark.parametrize(
    "cut",
    [
        b"",
        OK,
        OK + b"Content-Length: 100\r\n\r\n{",
        OK + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"a"\r\n',
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"nonsense\r\n\r\n",
    ],
    ids=["nothing", "a head", "a length", "a chunk", "no last chunk", "broken gzip", "no HTTP"],
)
def test_an_answer_that_is_cut_short_may_have_been_billed(cut: bytes) -> None:
    fault = faulted(Server(cut))
    assert (fault.cls, fault.kind, fault.billed) == (FaultClass.TRANSPORT, TransportKind.CONNECTION, True)
    assert "127.0.0.1" in fault.message


@pytest.mark.parametrize("begun", [b"", OK, OK + b"Content-Length: 100\r\n\r\n{"], ids=["nothing", "a head", "a body"])
def test_a_server_that_hangs_times_out_and_may_have_billed(begun: bytes) -> None:
    fault = faulted(Server(begun, hang=True), SHORT_S)
    assert (fault.cls, fault.kind, fault.billed) == (FaultClass.TRANSPORT, TransportKind.TIMEOUT, True)
    assert "0.3 s" in fault.message


def test_a_refused_connection_was_not_billed() -> None:
    async def refused() -> Answer | Fault:
        async with serving(Server().serve) as url:
            pass
        async with Transport(TickingClock()) as transport:
            return await transport.send(post(url), LONG_S)

    fault = asyncio.run(refused())
    assert isinstance(fault, Fault)
    assert (fault.cls, fault.kind, fault.billed) == (FaultClass.TRANSPORT, TransportKind.CONNECTION, False)
    assert "Connection refused" in fault.message


def test_a_name_that_is_not_known_was_not_billed() -> None:
    fault = asyncio.run(_send_to("http://no-such-host.invalid/v1"))
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.billed) == (TransportKind.CONNECTION, False)
    assert "no-such-host.invalid" in fault.message


async def _send_to(url: str, body: bytes = b"{}", timeout_s: float = LONG_S, **environ: str) -> Answer | Fault:
    async with Transport(TickingClock(), environ) as transport:
        return await transport.send(post(url, body), timeout_s)


def test_a_handshake_that_never_ends_is_a_connection_timeout() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def attempt() -> Answer | Fault:
        async with serving(silent) as url:
            return await _send_to(url.replace("http:", "https:"), timeout_s=SHORT_S)

    fault = asyncio.run(attempt())
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.billed) == (TransportKind.TIMEOUT, False)


def test_a_server_that_speaks_no_tls_is_told_and_was_not_billed() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def attempt() -> Answer | Fault:
        async with serving(plain) as url:
            return await _send_to(url.replace("http:", "https:"))

    fault = asyncio.run(attempt())
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.billed) == (TransportKind.CONNECTION, False)


@pytest.fixture
def own_certificate() -> ssl.SSLContext:
    """A certificate that no authority has signed. It is a file, since not every machine has a program to make one."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(Path(__file__).with_name("self_signed.pem"))
    return tls


def test_a_certificate_that_is_not_trusted_is_said_plainly(own_certificate: ssl.SSLContext) -> None:
    server = Server(whole(b"{}"))

    async def attempt() -> Answer | Fault:
        async with serving(server.serve, own_certificate) as url:
            return await _send_to(url)

    fault = asyncio.run(attempt())
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.billed) == (TransportKind.CONNECTION, False)
    assert "is not trusted" in fault.message
    assert "SSL_CERT_FILE" in fault.message
    assert server.seen == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    elsewhere = Server(whole(b"{}"))

    async def attempt() -> Answer | Fault:
        async with serving(elsewhere.serve) as target:
            head = f"HTTP/1.1 {status} Moved\r\nLocation: {target}/v2?key=sk-1\r\nContent-Length: 0\r\n\r\n"
            return await exchange(Server(head.encode()))

    fault = asyncio.run(attempt())
    assert isinstance(fault, Fault)
    assert (fault.cls, fault.status, fault.billed) == (FaultClass.DENIED, status, False)
    assert "/v2;" in fault.message
    assert elsewhere.seen == []


def test_an_endless_answer_is_given_up() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"\r\n")
        while True:
            writer.write(b"x" * 2**16)
            await writer.drain()

    async def attempt() -> Answer | Fault:
        async with serving(endless) as url:
            client = HttpClient(TickingClock(), {}, most_bytes=2**20)
            try:
                return await client.send(post(url), LONG_S)
            finally:
                await client.close()

    fault = asyncio.run(attempt())
    assert isinstance(fault, Fault)
    assert (fault.cls, fault.billed) == (FaultClass.DENIED, True)
    assert "1,048,576 bytes" in fault.message


def test_a_length_beyond_the_limit_is_not_even_read() -> None:
    server = Server(OK + f"Content-Length: {MOST_BYTES + 1}\r\n\r\n".encode(), hang=True)
    assert faulted(server).cls is FaultClass.DENIED


def test_a_small_body_that_unpacks_beyond_the_limit_is_given_up() -> None:
    packed = whole(gzip.compress(b"\0" * (MOST_BYTES + 2**20)), "Content-Encoding: gzip")
    assert faulted(Server(packed)).cls is FaultClass.DENIED


@pytest.mark.parametrize("url", ["ftp://host/x", "http://", "http://[::1/x", "nonsense"])
def test_an_address_that_is_none_is_denied(url: str) -> None:
    fault = asyncio.run(_send_to(url))
    assert isinstance(fault, Fault)
    assert (fault.cls, fault.billed) == (FaultClass.DENIED, False)


def test_a_key_with_a_line_break_is_denied_and_not_shown() -> None:
    async def attempt() -> Answer | Fault:
        server = Server(whole(b"{}"))
        async with serving(server.serve) as url, Transport(TickingClock()) as transport:
            return await transport.send(HttpRequest(url, (("authorization", "Bearer sk-very\nsecret"),), b""), LONG_S)

    fault = asyncio.run(attempt())
    assert isinstance(fault, Fault)
    assert fault.cls is FaultClass.DENIED
    assert "sk-very" not in fault.message


def test_a_proxy_is_used_for_others_and_never_for_the_loopback() -> None:
    proxy, server = Server(whole(b'"by proxy"')), Server(whole(b'"direct"'))

    async def attempt() -> list[Answer | Fault]:
        async with serving(proxy.serve) as through, serving(server.serve) as url:
            named = through.replace("http://", "http://user:pass@")
            return [
                await _send_to("http://model.example/v1", http_proxy=named),
                await _send_to(url, http_proxy=through),
                await _send_to(url.replace("127.0.0.1", "localhost"), HTTP_PROXY=through),
                await _send_to("http://no-such-host.invalid/v1", http_proxy=through, no_proxy="x, .invalid"),
                await _send_to("http://model.example/v1", http_proxy="socks5://127.0.0.1:1"),
                await _send_to("https://model.example/v1", https_proxy=through),
            ]

    first, second, third, fourth, fifth, sixth = asyncio.run(attempt())
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert isinstance(third, Answer)
    assert (first.body, second.body, third.body) == (b'"by proxy"', b'"direct"', b'"direct"')
    assert proxy.seen[0].startswith(b"POST http://model.example/v1 HTTP/1.1\r\n")
    assert b"proxy-authorization: basic dxnlcjpwyxnz" in proxy.seen[0].lower()
    assert isinstance(fourth, Fault)
    assert "not known" in fourth.message
    assert isinstance(fifth, Fault)
    assert "socks5" in fifth.message
    assert isinstance(sixth, Fault)
    assert (sixth.kind, sixth.billed) == (TransportKind.CONNECTION, False)


def test_cancelling_leaves_no_task_and_no_connection() -> None:
    ended = asyncio.Event()

    async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        await reader.read(100)
        await reader.read()
        ended.set()

    async def attempt() -> set[asyncio.Task[object]]:
        async with serving(hanging) as url, Transport(TickingClock()) as transport:
            before = asyncio.all_tasks()
            sending = asyncio.ensure_future(transport.send(post(url), LONG_S))
            await begun.wait()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await asyncio.wait_for(ended.wait(), LONG_S)
            await asyncio.sleep(0)
            return asyncio.all_tasks() - before

    begun = asyncio.Event()
    left = asyncio.run(attempt())
    assert {task for task in left if "serving.<locals>.connected" not in repr(task)} == set()


def test_closing_ends_what_is_in_flight_with_a_fault() -> None:
    async def attempt() -> Answer | Fault:
        server = Server(hang=True)
        async with serving(server.serve) as url:
            transport = Transport(TickingClock())
            sending = asyncio.ensure_future(transport.send(post(url), LONG_S))
            while not server.seen:
                await asyncio.sleep(0.01)
            await transport.close()
            return await sending

    fault = asyncio.run(attempt())
    assert isinstance(fault, Fault)
    assert (fault.cls, fault.billed) == (FaultClass.TRANSPORT, True)


SIMULATED = Request(Model("m", "sim", "m", rates=Rates(latency_s=2.0)), (Message("user", "The hall is cold."),), {})


def _simulated(timeout_s: float, rates: Rates, send: int = 1) -> tuple[Answer | Fault, list[float]]:
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    asked = Request(Model("m", "sim", "m", rates=rates), SIMULATED.messages, {})
    built = adapter.build(asked, adapter.endpoint(None, None), frozenset()).http
    built = HttpRequest(built.url, (*built.headers, (SEND_HEADER, str(send))), built.body)

    async def attempt() -> Answer | Fault:
        async with Transport(TickingClock(), pause=pause) as transport:
            return await transport.send(built, timeout_s)

    return asyncio.run(attempt()), waits


def test_a_simulated_model_answers_after_its_latency() -> None:
    answer, waits = _simulated(60, Rates(latency_s=2.0))
    assert isinstance(answer, Answer)
    reply = adapter.parse(SIMULATED, answer)
    assert isinstance(reply, Reply)
    assert reply.text == "The hall is cold."
    assert 1.6 <= waits[0] <= 2.4


def test_a_simulated_model_can_be_too_slow() -> None:
    fault, waits = _simulated(1, Rates(latency_s=2.0))
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.billed, waits) == (TransportKind.TIMEOUT, True, [1])


def test_the_send_number_decides_on_a_simulated_error() -> None:
    statuses = {_simulated(60, Rates(error_429=0.5), send)[0].status for send in range(1, 20)}
    assert statuses == {200, 429}


FUNCTIONS = """
import json
class Model:
    async def __call__(self, request):
        return "from an object"
def text(request):
    return f"{request['model']} was asked {request['messages'][0]['content']!r}"
def value(request):
    return {"text": "a field of the answer", "n": 1.5}
def both(request):
    return {"text": "x", "usage": {"input_tokens": 3, "output_tokens": 4, "cache_read_tokens": 2}}
def no_usage(request):
    return {"text": [1, "둘"], "usage": None, "finish": "length"}
def poor_usage(request):
    return {"text": "x", "usage": {"tokens": 3}}
def number(request):
    return 3
def nan(request):
    return [float("nan")]
def broken(request):
    raise KeyError("no such row")
def leaves(request):
    raise SystemExit(3)
async def later(request):
    import asyncio
    await asyncio.sleep(0)
    return "later"
async def broken_later(request):
    raise OSError("no disk")
async def never(request):
    import asyncio
    await asyncio.sleep(3600)
def hangs(request):
    import threading
    threading.Event().wait(3600)
call = Model()
constant = 3
"""


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("functions")
    (folder / "sample_models.py").write_text(FUNCTIONS, encoding="utf-8")
    (folder / "broken_module.py").write_text("raise ZeroDivisionError('at import')\n", encoding="utf-8")
    return folder


def asked_of(folder: Path, name: str, timeout_s: float = LONG_S) -> Reply | Fault:
    """What the python adapter makes of the answer of a function."""
    asked = Request(Model("m", "python", name), (Message("user", "Why?"),), {})
    built = python.build(asked, python.endpoint(None, None), frozenset())

    async def attempt() -> Answer | Fault:
        async with Transport(TickingClock(), folder=folder) as transport:
            return await transport.send(built.http, timeout_s)

    answer = asyncio.run(attempt())
    return answer if isinstance(answer, Fault) else python.parse(asked, answer)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("text", "sample_models:text was asked 'Why?'"),
        ("value", '{"text":"a field of the answer","n":1.5}'),
        ("both", "x"),
        ("no_usage", '[1,"둘"]'),
        ("later", "later"),
        ("call", "from an object"),
        ("Model.__name__.upper", None),
    ],
)
def test_what_a_function_returns_is_its_answer(functions: Path, name: str, text: str | None) -> None:
    reply = asked_of(functions, f"sample_models:{name}")
    if text is None:
        assert isinstance(reply, Fault)
        assert "TypeError" in reply.message
    else:
        assert isinstance(reply, Reply)
        assert reply.text == text


def test_a_function_can_say_what_it_used(functions: Path) -> None:
    reply = asked_of(functions, "sample_models:both")
    assert isinstance(reply, Reply)
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cache_read_tokens) == (3, 4, 2)


@pytest.mark.parametrize(
    ("name", "said", "billed"),
    [
        ("sample_models:broken", "KeyError: 'no such row'", True),
        ("sample_models:broken_later", "OSError: no disk", True),
        ("sample_models:leaves", "SystemExit: 3", True),
        ("sample_models:number", "returned int", True),
        ("sample_models:nan", "is no JSON", True),
        ("sample_models:poor_usage", "`usage`", True),
        ("sample_models:missing", "has no missing", False),
        ("sample_models:constant", "cannot be called", False),
        ("sample_models", "write python/pkg.module:function", False),
        ("no_such_module_anywhere:f", "put it beside the workflow file", False),
        ("broken_module:f", "ZeroDivisionError: at import", False),
    ],
)
def test_a_function_that_fails_is_denied_and_told_without_a_traceback(
    functions: Path, name: str, said: str, billed: bool
) -> None:
    fault = asked_of(functions, name)
    assert isinstance(fault, Fault)
    assert (fault.cls, fault.billed) == (FaultClass.DENIED, billed)
    assert said in fault.message
    assert "\n" not in fault.message


@pytest.mark.parametrize("name", ["never", "hangs"])
def test_a_function_that_is_too_slow_times_out(functions: Path, name: str) -> None:
    fault = asked_of(functions, f"sample_models:{name}", SHORT_S)
    assert isinstance(fault, Fault)
    assert (fault.cls, fault.kind, fault.billed) == (FaultClass.TRANSPORT, TransportKind.TIMEOUT, True)


def test_plain_functions_run_side_by_side(functions: Path) -> None:
    (functions / "meeting.py").write_text(
        "import threading\nbarrier = threading.Barrier(40)\n"
        "def f(request):\n    barrier.wait(30)\n    return threading.current_thread().name\n"
    )
    body = json.dumps({"model": "m", "messages": [], "params": {}, "schema": None}).encode()

    async def attempt() -> list[Answer | Fault]:
        async with Transport(TickingClock(), folder=functions) as transport:
            request = HttpRequest("python:meeting:f", (), body)
            return await asyncio.gather(*(transport.send(request, LONG_S) for _ in range(40)))

    assert all(isinstance(each, Answer) for each in asyncio.run(attempt()))
    assert threading.main_thread().is_alive()


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    program = (
        "import sys, penstock.models.transport; print([m for m in ('aiohttp', 're2', 'yarl') if m in sys.modules])"
    )
    source = str(Path(__file__).parent.parent.parent / "src")
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": source}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n"
