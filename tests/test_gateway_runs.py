"""Runs whose commands ask models through the gateway: what is sent, what it costs, and whom a name leads to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripted import COST, MODELS, Scripted, asking, column
from tests.upstream_server import OPENAI_KEY, Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


# --- what is sent, and what is not -------------------------------------------------------------


def test_curl_is_answered_and_its_row_is_charged(upstream: Upstream, tmp_path: Path) -> None:
    command = (
        'curl -sS "$OPENAI_BASE_URL/chat/completions" -H "Authorization: Bearer $OPENAI_API_KEY" '
        "-H 'content-type: application/json' --data-binary @body.json"
    )
    scripted = Scripted(tmp_path, upstream, run=command)
    words = "word " * 300_000  # curl asks whether it may send so much
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": words}]}
    scripted.project.write("body.json", json.dumps(body))
    scripted.rows("one", "two")
    assert scripted.sent() == 1
    assert [record["usage"]["total_tokens"] for record in scripted.records()] == [15, 15]
    assert column(scripted.items(), "tokens_in", "tokens_out", "cost") == [(10, 5, COST), (10, 5, 0.0)]
    assert column(scripted.calls(), "i", "purpose", "model", "cached", "cost") == [
        (0, "script", "gpt-4o-mini", False, COST),
        (1, "script", "gpt-4o-mini", True, 0.0),
    ]
    assert scripted.sent() == 0


def test_a_script_that_asks_the_same_twice_gets_two_answers_and_one_for_a_marked_retry(
    upstream: Upstream, tmp_path: Path
) -> None:
    marked = 'ask("same", headers={"x-stainless-retry-count": "1"})'
    scripted = asking(
        tmp_path, upstream, f'print(json.dumps([text_of(a) for a in (ask("same"), ask("same"), {marked})]))'
    )
    assert scripted.sent() == 2
    first, second, again = scripted.record()
    assert first != second == again
    assert scripted.sent() == 0
    assert scripted.record() == [first, second, again]


def test_a_stream_comes_as_its_upstream_sent_it_and_is_bought_once(upstream: Upstream, tmp_path: Path) -> None:
    lines = "print(json.dumps([ask(prompt, whose, True)[1] for whose in PATHS]))"
    scripted = asking(tmp_path, upstream, lines)
    scripted.rows("stream it", "stream it")
    assert scripted.sent() == 3
    first, second = scripted.records()
    assert first == second
    openai, anthropic, ollama = first
    assert openai.endswith("data: [DONE]\n\n")
    assert '"usage"' not in openai.replace('"usage": null', "")
    assert anthropic.startswith("event: message_start\ndata: ")
    assert [json.loads(line)["done"] for line in ollama.splitlines()][-2:] == [False, True]
    assert scripted.items()[0]["cost"] == pytest.approx(3 * COST)
    assert scripted.sent() == 0


def test_a_path_that_is_not_known_is_passed_on_and_its_cost_is_not_known(upstream: Upstream, tmp_path: Path) -> None:
    url = 'url=os.environ["OPENAI_BASE_URL"] + "/images/edits%20now?size=big%26", headers=kind'
    scripted = asking(
        tmp_path,
        upstream,
        f'kind = {{"content-type": "multipart/form-data; boundary=x"}}\nprint(ask(prompt, {url})[1])',
    )
    assert scripted.sent() == 1
    assert scripted.record()["known"] is False
    [seen] = upstream.seen()
    assert (seen.path, seen.headers["authorization"]) == ("/v1/images/edits now", f"Bearer {OPENAI_KEY}")
    assert seen.headers["content-type"] == "multipart/form-data; boundary=x"
    assert scripted.items()[0]["cost"] is None
    assert scripted.sent() == 1


def test_what_only_looks_something_up_is_passed_on_and_costs_nothing(upstream: Upstream, tmp_path: Path) -> None:
    script = 'print(ask(prompt, url=os.environ["OPENAI_BASE_URL"] + "/files", body=None)[1])'
    scripted = asking(tmp_path, upstream, script)
    assert scripted.sent() == 1
    assert scripted.record() == {"object": "list", "data": [], "has_more": False}
    assert column(scripted.calls(), "cost", "cost_status", "error") == [(0.0, "exact", None)]
    assert scripted.sent("--json") == 1


# --- whom a name leads to ----------------------------------------------------------------------


def test_a_name_may_lead_to_a_simulated_model_or_to_another_provider(upstream: Upstream, tmp_path: Path) -> None:
    scripted = asking(tmp_path, upstream, "print(json.dumps([ask(prompt, whose)[1] for whose in PATHS]))")
    house = "{model: openai/house-1, price: {input: 1, output: 2}}"
    scripted.head = f"models: {{gpt-4o-mini: {{model: sim/mini}}, claude-haiku: {house}, ollama/llama3.2: {house}}}\n"
    scripted.workflow()
    assert scripted.sent() == 2
    openai, anthropic, ollama = (json.loads(each) for each in scripted.record())
    assert (openai["object"], openai["model"]) == ("chat.completion", "gpt-4o-mini")
    assert (anthropic["type"], anthropic["model"], anthropic["usage"]["output_tokens"]) == (
        "message",
        "claude-haiku",
        5,
    )
    assert anthropic["content"][0]["text"].endswith("to one")
    assert (ollama["message"]["content"].endswith("to one"), ollama["done"]) == (True, True)
    assert {(seen.path, seen.body["model"]) for seen in upstream.seen()} == {("/v1/chat/completions", "house-1")}
    assert scripted.sent() == 0


def test_another_providers_answer_without_a_schema_is_none_to_the_same_prompt_with_one(
    upstream: Upstream, tmp_path: Path
) -> None:
    format = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "required": ["sure"]}}}
    lines = f"""
def asked(**more):
    said = {{"model": "gpt-4o-mini", "messages": [{{"role": "user", "content": "Is it so?"}}], **more}}
    key = {{"content-type": "application/json", "authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}}
    request = urllib.request.Request(PATHS["openai"][0], json.dumps(said).encode(), key)
    return json.load(direct.open(request, timeout=60))["choices"][0]["message"]["content"]
print(json.dumps([asked(), asked(response_format={format!r})]))
"""
    scripted = asking(tmp_path, upstream, lines)
    scripted.run("--simulate")
    plain, held = scripted.record()
    assert plain != held
    assert "sure" in json.loads(held)


@pytest.mark.parametrize("way", ["--simulate", "PENSTOCK_FORCE_MODEL"])
def test_simulated_and_forced_models_reach_into_a_script_that_knows_nothing(
    upstream: Upstream, tmp_path: Path, way: str
) -> None:
    script = (
        'found = ask(prompt, url=PATHS["openai"][0].replace("chat/completions", "models"), body=None)[1]\n'
        "names = [each['id'] for each in json.loads(found)['data']]\n"
        "print(json.dumps([names] + [ask(prompt, whose, stream)[0] for whose in PATHS for stream in (False, True)]))"
    )
    scripted = asking(tmp_path, upstream, script)
    scripted.head = MODELS + "  free: {model: sim/free}\n"
    scripted.workflow()
    words = () if way != "--simulate" else (way,)
    scripted.project.environ |= {way: "free"} if not words else {}
    del scripted.project.environ["OPENAI_API_KEY"], scripted.project.environ["ANTHROPIC_API_KEY"]
    assert scripted.sent(*words) == 0
    assert scripted.record() == [["gpt-4o-mini", "claude-haiku", "llama3.2", "free"], *[200] * 6]
    assert {call["provider"] for call in scripted.calls()} == {"sim"}


def test_with_the_gateway_off_a_command_asks_by_itself_with_the_real_key(upstream: Upstream, tmp_path: Path) -> None:
    script = 'print(json.dumps([os.environ["OPENAI_API_KEY"], ask(prompt)[0], "PENSTOCK_GATEWAY" in os.environ]))'
    scripted = asking(tmp_path, upstream, script)
    scripted.workflow("gateway: off")
    assert scripted.sent() == 1
    assert scripted.record() == [OPENAI_KEY, 200, False]
    assert scripted.sent() == 1
    assert scripted.items()[0].get("cost") in (None, 0.0)
