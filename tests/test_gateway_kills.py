"""Scripts, Penstock and its upstream are killed in the midst of a call: what was paid is kept, told, and paid once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripted import COST, asking, column
from tests.terminal import until
from tests.upstream_server import Upstream

DIES = """\
import signal, subprocess

def stream(text):
    body = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": text}]}
    key = "Bearer " + os.environ["OPENAI_API_KEY"]
    sent = {"content-type": "application/json", "authorization": key}
    return direct.open(urllib.request.Request(PATHS["openai"][0], json.dumps(body).encode(), sent), timeout=60)

if not os.path.exists("died"):
    open("died", "w").close()
    stream("!slow").readline()
    os.kill(os.getpid(), signal.SIGKILL)
print(json.dumps(stream("!slow").read().decode()[-14:]))
"""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


def test_a_call_whose_script_was_killed_goes_on_is_charged_to_its_row_and_is_not_bought_again(
    upstream: Upstream, tmp_path: Path
) -> None:
    scripted = asking(tmp_path, upstream, DIES)
    scripted.run(status=1)
    assert column(scripted.calls(), "i", "status", "cost", "cached", "error") == [(0, 200, COST, False, None)]
    assert column(scripted.items(), "verdict", "cost", "calls") == [("failed", COST, 1)]
    scripted.penstock("resume", "--failed")
    assert scripted.records() == ["data: [DONE]\n\n"]
    assert len(upstream.seen()) == 1
    assert column(scripted.calls(), "cached") == [False, True]


def test_after_a_kill_of_penstock_only_what_was_in_flight_is_bought_again_and_that_is_told(
    upstream: Upstream, tmp_path: Path
) -> None:
    scripted = asking(tmp_path, upstream, "print(json.dumps(ask(prompt, stream=True)[0]))")
    scripted.rows(*(f"!slow row {n}" for n in range(6)))
    scripted.workflow("concurrency: 2")
    with scripted.project.running("run", "--quiet") as process:
        until(lambda: len(upstream.seen()) >= 3, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
    said = scripted.penstock("resume")
    lost = [call for call in scripted.calls() if call["error"] == "lost"]
    assert 1 <= len(lost) <= 2
    assert f"{len(lost)} model call{'s were' if len(lost) > 1 else ' was'} in flight when Penstock died" in said.err
    assert len(upstream.seen()) == 6 + len(lost)
    assert sum(call["status"] == 200 and not call["cached"] for call in scripted.calls()) == 6
    assert scripted.records() == [200] * 6
    assert {call["purpose"] for call in scripted.calls()} == {"script"}
    assert scripted.sent() == 0


@pytest.mark.parametrize("way", ["!cut", "!hang"])
def test_a_stream_that_breaks_off_ends_with_an_error_and_what_it_cost_is_not_known(
    upstream: Upstream, tmp_path: Path, way: str
) -> None:
    scripted = asking(tmp_path, upstream, "print(json.dumps([ask(prompt, each, True)[:2] for each in PATHS]))")
    scripted.rows(f"{way} off")
    if way == "!hang":
        scripted.workflow("timeout: 2s")
    scripted.run(status=1 if way == "!hang" else 0)
    calls = scripted.calls()
    assert {(call["cost"], call["cost_status"]) for call in calls} == {(None, "unknown")}
    if way == "!hang":
        assert column(calls, "error") == ["timeout"]
        return
    assert column(calls, "model", "error") == [
        (name, "connection") for name in ("gpt-4o-mini", "claude-haiku", "llama3.2")
    ]
    for status, said in scripted.record():
        assert status == 200
        assert "error" in said.splitlines()[-1] + said.splitlines()[-2]
    assert scripted.items()[0]["cost"] is None


def test_an_upstream_that_is_killed_in_a_stream_is_an_error_to_the_script_and_nothing_is_kept_of_it(
    upstream: Upstream, tmp_path: Path
) -> None:
    scripted = asking(tmp_path, upstream, "print(json.dumps(ask(prompt, stream=True)[1][-14:]))")
    scripted.rows("!slow one")
    with scripted.project.running("run", "--quiet") as process:
        until(lambda: len(upstream.seen()) >= 1, process)
        upstream.kill()
        process.wait(60)
    assert column(scripted.calls(), "error") == ["connection"]
    assert "[DONE]" not in scripted.record()
    with Upstream() as other:
        scripted.upstream = other
        scripted.project.environ |= other.environ
        assert scripted.sent() == 1
        assert scripted.record() == "data: [DONE]\n\n"
