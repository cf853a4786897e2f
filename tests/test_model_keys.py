"""Keys and servers: what is missing is found before the first call, and a key goes only where it was meant to go."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from penstock.api.asking import Cast, cast
from penstock.core.errors import OperatorError
from penstock.core.generation import Generate
from penstock.core.views import Options
from penstock.load.build import load
from tests.model_server import ModelServer, Script
from tests.terminal import Project

NAMES = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OLLAMA_HOST", "http_proxy")
HELP = "set the key in the environment or in `.env`, start the server, or rehearse with `penstock run --simulate`"
HOUSE, OPENAI = "house-key-0123456789abcdef", "sk-openai-0123456789abcdef"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names no key and no server."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def closed() -> str:
    """An address where nobody listens."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


def flow(folder: Path, model: str, models: str = "", judge: str = "") -> Project:
    """A workflow of a shell step, and one that asks a model."""
    project = Project(folder)
    project.workflow(
        f"{models}steps:\n  - id: first\n    run: touch ran\n"
        f"  - id: ask\n    needs: [first]\n    foreach: [one, two]\n"
        f"    generate: {{model: {model}, prompt: 'Of {{{{ item }}}}'{judge}}}\n"
    )
    return project


def cast_of(project: Project, options: Options | None = None, active: str = "first ask", secret: str = "") -> Cast:
    """The models of its workflow, ready to be asked."""
    workflow = load(project.folder / "workflow.yaml", overrides={}, environ={})
    return cast(workflow, {"OPENAI_API_KEY": secret} if secret else {}, options or Options(), frozenset(active.split()))


def asked_by(found: Cast) -> list[str]:
    """The models that the step may ask."""
    spec = found.workflow.step("ask").spec
    assert isinstance(spec, Generate)
    return [model.name for model in spec.models]


# --- what is missing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "variable"), [("openai/gpt-4o", "OPENAI_API_KEY"), ("anthropic/claude", "ANTHROPIC_API_KEY")]
)
def test_a_missing_key_is_found_before_the_first_step_and_the_message_says_what_to_do(
    tmp_path: Path, model: str, variable: str
) -> None:
    project = flow(tmp_path, model)
    said = project.penstock("run")
    assert said.status == 1
    assert f"step ask has no model that can be asked: {model}: {variable} is not set" in said.err
    assert HELP in said.err
    assert not (tmp_path / "ran").exists()


def test_a_server_that_is_not_there_is_found_before_the_first_step(tmp_path: Path, closed: str) -> None:
    project = flow(tmp_path, "house", f"models: {{house: {{model: openai/h, base_url: http://{closed}/v1}}}}\n")
    said = project.penstock("run")
    assert said.status == 1
    assert f"step ask has no model that can be asked: house: no server at {closed} (Connection refused)" in said.err
    assert HELP in said.err
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("nowhere_at_all:reply", "the module nowhere_at_all cannot be imported: ModuleNotFoundError: "),
        ("broken_function:reply", "the module broken_function cannot be imported: ValueError: not today; "),
        ("sound_function:other", "the module sound_function has no other"),
        ("sound_function:text", "text in sound_function cannot be called"),
    ],
)
def test_a_function_that_cannot_be_called_is_found_before_the_first_step(
    tmp_path: Path, function: str, why: str
) -> None:
    project = flow(tmp_path, f"python/{function}")
    project.write("broken_function.py", "raise ValueError('not today')\n")
    project.write("sound_function.py", "text = 'yes'\n\ndef reply(request):\n    return text\n")
    said = project.penstock("run")
    assert said.status == 1
    assert f"step ask has no model that can be asked: python/{function}: {why}" in said.err
    assert not (tmp_path / "ran").exists()


def test_a_function_that_cannot_be_imported_is_left_out_where_another_can_serve(tmp_path: Path) -> None:
    project = flow(tmp_path, "[python/nowhere_at_all:reply, sim/a]")
    assert "left out, python/nowhere_at_all:reply: the module nowhere_at_all cannot be" in project.succeeds("run").err


def test_an_ollama_that_is_not_there_is_found_where_the_environment_says_it_is(
    tmp_path: Path, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", closed)
    with pytest.raises(OperatorError, match=f"ollama/llama3: no server at {closed}"):
        cast_of(flow(tmp_path, "ollama/llama3"))


def test_a_host_that_is_no_name_is_no_crash(tmp_path: Path) -> None:
    address = f"http://{'x' * 70}.internal/v1"
    project = flow(tmp_path, "house", f"models: {{house: {{model: openai/h, base_url: '{address}'}}}}\n")
    with pytest.raises(OperatorError, match="house: "):
        cast_of(project)


def test_all_models_of_a_cascade_that_are_missing_are_named(tmp_path: Path, closed: str) -> None:
    models = f"models: {{house: {{model: openai/h, base_url: http://{closed}/v1}}}}\n"
    with pytest.raises(OperatorError) as raised:
        cast_of(flow(tmp_path, "[house, openai/gpt-4o]", models))
    assert str(raised.value) == (
        "step ask has no model that can be asked: "
        f"house: no server at {closed} (Connection refused); openai/gpt-4o: OPENAI_API_KEY is not set"
    )


def test_a_judge_without_a_key_stops_the_run_although_the_model_is_there(tmp_path: Path) -> None:
    judge = ", judge: {model: openai/gpt-4o, rubric: 'Good?', pass: score > 3}"
    with pytest.raises(OperatorError, match="step ask has no judge that can be asked: openai/gpt-4o: OPENAI_API_KEY"):
        cast_of(flow(tmp_path, "sim/a", judge=judge))


def test_a_model_that_is_missing_is_left_out_with_a_word_where_another_can_serve(tmp_path: Path) -> None:
    with ModelServer(Script(answer="yes")) as server:
        models = f"models: {{house: {{model: openai/h, base_url: {server.url}/v1}}}}\n"
        project = flow(tmp_path, "[openai/gpt-4o, house]", models)
        said = project.succeeds("run")
        assert server.counts()["requests"] == 2
    assert said.err.count("left out, openai/gpt-4o: OPENAI_API_KEY is not set") == 1


def test_nobody_has_to_be_there_for_a_rehearsal(tmp_path: Path, closed: str) -> None:
    models = f"models: {{house: {{model: openai/h, base_url: http://{closed}/v1, api_key: '${{HOUSE_KEY}}'}}}}\n"
    found = cast_of(flow(tmp_path, "[house, openai/gpt-4o, anthropic/c]", models), Options(simulate=True))
    assert asked_by(found) == ["house", "openai/gpt-4o", "anthropic/c"]
    assert {endpoint.url for endpoint in found.endpoints.values()} == {"sim:"}
    assert found.missing == ()


@pytest.mark.parametrize(("options", "active"), [(Options(cache="only"), "first ask"), (Options(), "first")])
def test_nobody_has_to_be_there_who_is_not_asked_and_nobody_is_left_out(
    tmp_path: Path, options: Options, active: str
) -> None:
    found = cast_of(flow(tmp_path, "[openai/gpt-4o, anthropic/c]"), options, active)
    assert asked_by(found) == ["openai/gpt-4o", "anthropic/c"]
    assert found.missing == ()


def test_a_server_is_looked_for_although_a_step_that_does_not_run_has_the_same(tmp_path: Path, closed: str) -> None:
    project = flow(tmp_path, "house", f"models: {{house: {{model: openai/h, base_url: http://{closed}/v1}}}}\n")
    more = "  - id: also\n    foreach: [1]\n    generate: {model: house, prompt: 'Of {{ item }}'}\n"
    project.write("workflow.yaml", project.read("workflow.yaml") + more)
    with pytest.raises(OperatorError, match=f"step also has no model that can be asked: house: no server at {closed}"):
        cast_of(project, active="first also")


def test_what_only_a_proxy_can_reach_is_not_knocked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    models = "models: {house: {model: openai/h, base_url: http://gpu.invalid/v1}}\n"
    assert asked_by(cast_of(flow(tmp_path, "house", models))) == ["house"]


# --- where a key comes from --------------------------------------------------------------------


def key(project: Project, secret: str = "") -> str | None:
    """The key that the step's only model is asked with; `secret` is the one that the workflow declares, if any."""
    return cast_of(project, secret=secret).endpoints["openai/gpt-4o"].key


def test_a_key_is_a_declared_secret_or_stands_in_the_environment_or_in_the_file_beside_the_workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = flow(tmp_path, "openai/gpt-4o")
    project.write(".env", "OPENAI_API_KEY=of-the-file\n")
    assert key(project) == "of-the-file"
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert key(project) == "of-the-file"
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-environment")
    assert key(project) == "of-the-environment"
    assert key(project, "of-the-secret") == "of-the-secret"


def test_an_endpoint_does_not_show_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI)
    assert OPENAI not in repr(cast_of(flow(tmp_path, "openai/gpt-4o")))


# --- where a key goes --------------------------------------------------------------------------


class Listening:
    """A server that keeps the credentials that it is sent, by model, and answers `yes`; or says no with status 401."""

    def __init__(self, status: int = 200) -> None:
        kept = self.credentials = dict[str, set[str | None]]()

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                kept.setdefault(asked["model"], set()).add(self.headers["authorization"])
                said: dict[str, object] = {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}
                body = json.dumps(said if status == 200 else {"error": {"message": "wrong key"}}).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Nobody listens any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def listening() -> Iterator[Listening]:
    server = Listening()
    yield server
    server.close()


@pytest.fixture
def unwilling() -> Iterator[Listening]:
    server = Listening(401)
    yield server
    server.close()


def with_keys(project: Project) -> Project:
    """A terminal whose environment has keys."""
    project.environ |= {"OPENAI_API_KEY": OPENAI, "HOUSE_KEY": HOUSE}
    return project


def test_a_key_goes_to_the_server_that_names_it_and_to_no_other(tmp_path: Path, listening: Listening) -> None:
    models = (
        "models:\n"
        f"  plain: {{model: openai/plain, base_url: {listening.url}}}\n"
        f"  named: {{model: openai/named, base_url: {listening.url}, api_key: '${{HOUSE_KEY}}'}}\n"
    )
    judge = ", judge: {model: named, rubric: 'Good?', pass: score > 3}, attempts: 1"
    with_keys(flow(tmp_path, "plain", models, judge)).penstock("run")
    assert listening.credentials == {"plain": {None}, "named": {f"Bearer {HOUSE}"}}


def test_an_address_of_the_environment_gets_the_key_of_the_environment(tmp_path: Path, listening: Listening) -> None:
    project = with_keys(flow(tmp_path, "openai/gpt-4o"))
    project.environ["OPENAI_BASE_URL"] = listening.url
    project.succeeds("run")
    assert listening.credentials == {"gpt-4o": {f"Bearer {OPENAI}"}}


def test_no_key_is_in_any_file_or_word_that_a_run_leaves(
    tmp_path: Path, listening: Listening, unwilling: Listening
) -> None:
    models = (
        "models:\n"
        f"  no: {{model: openai/no, base_url: {unwilling.url}, api_key: '${{HOUSE_KEY}}'}}\n"
        f"  yes: {{model: openai/yes, base_url: {listening.url}, api_key: '${{HOUSE_KEY}}'}}\n"
    )
    project = with_keys(flow(tmp_path, "[no, yes]", models))
    project.write(".env", "OTHER_KEY=other-key-0123456789\n")
    said = [project.penstock("run"), project.penstock("status"), project.penstock("log")]
    assert listening.credentials == {"yes": {f"Bearer {HOUSE}"}}
    assert unwilling.credentials == {"no": {f"Bearer {HOUSE}"}}
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".env"]
    assert {"journal.db", "calls.jsonl", "log.jsonl"} <= {path.name for path in kept}
    keys = [HOUSE, OPENAI, "other-key-0123456789"]
    assert [path for path in kept if any(each.encode() in path.read_bytes() for each in keys)] == []
    assert not any(each in f"{one.out}{one.err}" for one in said for each in keys)
