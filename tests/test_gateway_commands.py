"""`penstock gateway`: the model calls of programs outside a run."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest

from penstock.api.upstreams import upstreams
from penstock.core.views import Options
from penstock.load.build import load
from tests.model_server import ModelServer, Script
from tests.terminal import Project, jsonl

MODELS = """\
models:
  small: {model: sim/small, price: {input: 1, output: 2}}
  slow: {model: sim/slow, latency: 1s}
  endless: {model: sim/endless, latency: 100s}
  keyless: {model: openai/gpt-4o, api_key: "${NOBODY_HAS_IT}"}
  gpt-4o-mini: [keyless, small]
"""
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.workflow(MODELS + "steps: [{id: a, run: echo}]\n")
    return project


class Gateway:
    """A `penstock gateway` that listens: its process, and the variables that it printed."""

    def __init__(self, process: subprocess.Popen[bytes], variables: dict[str, str]) -> None:
        self.process = process
        self.variables = variables

    def ask(self, model: str, text: str, token: str | None = None) -> dict[str, object]:
        """What an OpenAI client would hear."""
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        headers = {
            "authorization": f"Bearer {token or self.variables['OPENAI_API_KEY']}",
            "content-type": "application/json",
        }
        address = f"{self.variables['OPENAI_BASE_URL']}/chat/completions"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        try:
            with NO_PROXY.open(request, timeout=60) as response:
                told: dict[str, object] = json.load(response)
        except HTTPError as error:
            told = {"status": error.code, **json.load(error)}
        return told

    def begin(self, model: str) -> socket.socket:
        """A call that has been sent, and of which the answer is not waited for."""
        port = int(self.variables["PENSTOCK_GATEWAY"].rpartition(":")[2])
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}]})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        connection = socket.create_connection(("127.0.0.1", port))
        token = self.variables["OPENAI_API_KEY"]
        connection.sendall(f"{head}Authorization: Bearer {token}\r\nConnection: close\r\n\r\n{body}".encode())
        return connection

    def stopped(self) -> tuple[int, str]:
        """Its exit status after Ctrl-C, and what it had said."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said.decode()


@contextmanager
def gateway(project: Project, *words: str) -> Iterator[Gateway]:
    with project.running("gateway", "--json", *words) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()
        yield Gateway(process, json.loads(line))


def calls(project: Project) -> list[dict[str, object]]:
    return jsonl(project.run_folder() / "calls.jsonl")


def flying(project: Project, at: Gateway) -> None:
    """Returns when the journal knows of a call that has no end."""
    journal = sqlite3.connect(f"file:{project.folder}/.penstock/journal.db?mode=ro", uri=True)
    with closing(journal):
        while journal.execute("SELECT count(*) FROM calls").fetchone() != (1,):
            assert at.process.poll() is None
            time.sleep(0.02)
        assert journal.execute("SELECT count(*) FROM call_ends").fetchone() == (0,)


def test_what_a_program_asks_is_answered_bought_once_and_in_the_log_of_a_run(project: Project) -> None:
    with gateway(project) as open_one:
        first = open_one.ask("gpt-4o-mini", "hello")
        again = open_one.ask("gpt-4o-mini", "hello")
        other = open_one.ask("gpt-4o-mini", "hello", token="guessed")
        status, said = open_one.stopped()
    assert "choices" in first
    assert first["choices"] == again["choices"]
    assert other["status"] == 401
    assert status == 0, said
    assert "small  2 in, 2 out  $0.000006" in said
    assert "small  2 in, 2 out  from the cache" in said
    (line,) = project.runs()
    assert (line["workflow"], line["status"], line["cost"]) == ("penstock gateway", "succeeded", 0.000006)
    assert [(call["step"], call["model"], call["cached"]) for call in calls(project)] == [
        ("gateway", "small", False),
        ("gateway", "small", True),
    ]
    (logged,) = project.log()
    assert (logged["step"], logged["verdict"], logged["cost"], logged["calls"]) == ("gateway", "succeeded", 6e-06, 1)
    assert project.succeeds("doctor").out.endswith("no problems\n")
    refused = project.penstock("resume")
    assert (refused.status, refused.normal_err.splitlines()[0]) == (
        2,
        "penstock: run RUN was `penstock gateway` by itself: there is nothing to resume",
    )


def test_the_variables_are_lines_for_a_shell_or_for_an_env_file(tmp_path: Path) -> None:
    project = Project(tmp_path / "a folder without a workflow")
    names = {"OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "OLLAMA_HOST"}
    for words, begins in (((), "export "), (("--env",), "")):
        with project.running("gateway", "--simulate", *words) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline().decode() for _ in range(9)]
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        assert all(line.startswith(begins) and line.endswith("\n") for line in lines)
        assert names < {line.removeprefix(begins).partition("=")[0] for line in lines}


def test_a_server_is_asked_with_the_real_key_which_is_written_nowhere(tmp_path: Path) -> None:
    project, key = Project(tmp_path), "sk-the-real-key-of-this-test"
    with ModelServer(Script(answer={"n": 7})) as server:
        project.environ |= {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": key}
        with gateway(project) as open_one:
            answers = [open_one.ask("gpt-4o-mini", f"Do you know {key}?") for _ in range(2)]
            open_one.stopped()
        said = project.succeeds("call", "How many?", "--model", "openai/gpt-4o-mini")
        counts = server.counts()
    assert all("choices" in answer for answer in answers)
    assert open_one.variables["OPENAI_API_KEY"] != key
    assert (said.out, counts["requests"]) == ('{"n": 7}\n', 2)
    kept = b"".join(file.read_bytes() for file in (tmp_path / ".penstock").rglob("*") if file.is_file())
    assert b"Do you know" in kept
    assert key.encode() not in kept


def test_a_call_in_flight_ends_before_the_gateway_does(project: Project) -> None:
    with gateway(project) as open_one, open_one.begin("slow") as connection:
        flying(project, open_one)
        status, _ = open_one.stopped()
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert status == 0
    assert answer.startswith(b"HTTP/1.1 200")
    assert [call["error"] for call in calls(project)] == [None]


def test_a_second_ctrl_c_gives_up_what_is_in_flight(project: Project) -> None:
    with gateway(project) as open_one, open_one.begin("endless"):
        flying(project, open_one)
        assert open_one.process.stderr is not None
        open_one.process.send_signal(signal.SIGINT)
        while b"stopping" not in open_one.process.stderr.readline():
            pass
        status, _ = open_one.stopped()
    assert status == 130
    assert project.runs()[0]["status"] == "interrupted"


def test_the_gateway_after_a_killed_one_tells_what_was_lost(project: Project) -> None:
    with gateway(project) as open_one, open_one.begin("endless"):
        flying(project, open_one)
        open_one.process.kill()
        open_one.process.wait()
    killed = project.run_folder()
    assert project.runs()[0]["status"] == "interrupted"
    assert project.penstock("resume").status == 2
    with gateway(project) as open_one:
        status, said = open_one.stopped()
    assert status == 0
    assert "1 model call was in flight when Penstock died" in said
    assert [call["error"] for call in jsonl(killed / "calls.jsonl")] == ["lost"]
    assert [run["status"] for run in project.runs()] == ["succeeded", "superseded"]


def test_where_the_budget_is_used_up_only_the_cache_answers(project: Project) -> None:
    project.workflow(MODELS + "budget: {calls: 1, notify: echo $PENSTOCK_RUN_ID > told}\nsteps: [{id: a, run: echo}]\n")
    with gateway(project) as open_one:
        assert "choices" in open_one.ask("small", "one")
        refused = open_one.ask("small", "two")
        assert "choices" in open_one.ask("small", "one")
        while not (project.folder / "told").is_file():
            assert open_one.process.poll() is None
            time.sleep(0.05)
        status, said = open_one.stopped()
    assert (refused["status"], "budget is used up" in str(refused["error"])) == (402, True)
    assert status == 0
    assert said.count("only what is in the cache is answered from now on") == 1
    assert len(calls(project)) == 2


def test_one_run_a_folder_and_one_gateway_a_port(project: Project) -> None:
    with gateway(project) as open_one:
        port = open_one.variables["PENSTOCK_GATEWAY"].rpartition(":")[2]
        for words in (("run",), ("gateway",), ("call", "hello", "--model", "small")):
            busy = project.penstock(*words)
            assert busy.status == 1
            assert "is running in this folder" in busy.err.splitlines()[0]
        other = Project(project.folder / "other").penstock("gateway", "--port", port)
    assert other.status == 1
    assert f"the gateway cannot listen on port {port} of this machine" in other.err


def test_a_call_asks_the_gateway_that_is_open_outside_a_run(project: Project) -> None:
    with gateway(project) as open_one:
        project.environ |= open_one.variables
        said = project.succeeds("call", "hello", "--model", "gpt-4o-mini")
        assert (said.out, said.err) == ("hello\n", "")
        unknown = project.penstock("call", "hello", "--model", "gpt-17")
        open_one.stopped()
    assert unknown.status == 1
    assert "OPENAI_API_KEY is not set where Penstock runs" in unknown.err
    gone = project.penstock("call", "hello", "--model", "gpt-4o-mini")
    assert gone.status == 1
    assert gone.err.startswith("penstock: the gateway at http://127.0.0.1:")
    assert [call["step"] for call in calls(project)] == ["gateway"]


@pytest.mark.parametrize("simulate", [False, True])
def test_a_name_goes_to_what_the_workflow_says_of_it_before_what_it_mentions(project: Project, simulate: bool) -> None:
    project.workflow(
        "models: {gpt-4o-mini: [sim/a, openai/gpt-4o-mini], openai/b: sim/b, b: sim/c}\nsteps: [{id: a, run: x}]\n"
    )
    workflow = load(project.folder / "workflow.yaml", overrides={}, environ={})
    asked = upstreams(workflow, {}, Options(simulate=simulate)).asked
    assert [model.name for model in asked("openai", "gpt-4o-mini")] == ["sim/a", "openai/gpt-4o-mini"]
    assert [model.name for model in asked("ollama", "gpt-4o-mini")] == ["sim/a", "openai/gpt-4o-mini"]
    assert [model.served for model in asked("openai", "b")] == ["b"]
    assert [model.served for model in asked("anthropic", "b")] == ["c"]
    assert {model.provider for model in asked("openai", "gpt-4o-mini")} == ({"sim"} if simulate else {"sim", "openai"})
