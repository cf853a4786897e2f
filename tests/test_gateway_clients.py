"""The official clients, unchanged, in scripts that a run starts: they are answered as their providers would."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripted import COST, Scripted
from tests.upstream_server import ANTHROPIC_KEY, OPENAI_KEY, Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


OPENAI = """\
import asyncio, json, os, sys
import openai, pydantic

class Place(pydantic.BaseModel):
    city: str
    number: int

row = json.load(sys.stdin)
client = openai.OpenAI()
said = {"key": client.api_key, "names": [each.id for each in client.models.list()]}

def turns(text):
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}

whole = client.chat.completions.create(**turns("whole"))
said["whole"] = [whole.choices[0].message.content, whole.usage.total_tokens, whole.model]

with client.chat.completions.create(**turns("streamed"), stream=True) as stream:
    parts = list(stream)
said["streamed"] = ["".join(part.choices[0].delta.content or "" for part in parts), parts[-1].usage]

with client.chat.completions.stream(**turns("counted"), stream_options={"include_usage": True}) as stream:
    counted = stream.get_final_completion() if not [event for event in stream if event.type == "error"] else None
said["counted"] = [counted.choices[0].message.content, counted.usage.completion_tokens]

parsed = client.chat.completions.parse(**turns("parsed"), response_format=Place)
said["parsed"] = parsed.choices[0].message.parsed.city

said["response"] = client.responses.create(model="gpt-4o-mini", input="a response").output_text
with client.responses.stream(model="gpt-4o-mini", input="a streamed one", text_format=Place) as stream:
    kinds = [event.type for event in stream]
    said["streamed response"] = [stream.get_final_response().output_parsed.city, kinds[-1]]

found = client.embeddings.create(model="gpt-4o-mini", input=["a", "b", "c"])
said["embedded"] = [found.data[2].embedding, found.usage.total_tokens]

async def together():
    async with openai.AsyncOpenAI() as client:
        answers = await asyncio.gather(*(client.chat.completions.create(**turns(f"async {n}")) for n in range(4)))
        stream = await client.chat.completions.create(**turns("async streamed"), stream=True)
        return [each.choices[0].message.content for each in answers] + [len([part async for part in stream])]

said["async"] = asyncio.run(together())
print(json.dumps(said))
"""


def test_the_openai_client_gets_every_kind_of_answer_and_each_is_bought_once(
    upstream: Upstream, tmp_path: Path
) -> None:
    scripted = Scripted(tmp_path, upstream, OPENAI)
    scripted.rows("one", "another")
    assert scripted.sent() == 12 + 2  # the lists of models are asked for anew
    first, second = scripted.records()
    assert first.pop("key") != second.pop("key")
    assert first == second
    text, tokens, served = first["whole"]
    assert (text.partition(" to ")[2], tokens, served) == ("whole", 15, "gpt-4o-mini-2024-07-18")
    assert (first["names"], first["parsed"], first["streamed response"]) == (
        ["gpt-4o-mini", "house-1"],
        "Delft",
        ["Delft", "response.completed"],
    )
    assert (first["streamed"][0].partition(" to ")[2], first["streamed"][1]) == ("streamed", None)
    assert (first["counted"][0].partition(" to ")[2], first["counted"][1]) == ("counted", 5)
    assert first["embedded"] == [[0.25, -0.5, 3.0], 10]
    assert [each.partition(" to ")[2] for each in first["async"][:4]] == [f"async {n}" for n in range(4)]
    assert {seen.headers["authorization"] for seen in upstream.seen()} == {f"Bearer {OPENAI_KEY}"}
    bought, shared = scripted.items()
    assert (bought["calls"], bought["tokens_in"], bought["tokens_out"]) == (12, 120, 55)
    assert bought["cost"] == pytest.approx(11 * COST + 0.00001)  # an embedding has no tokens out
    assert (shared["calls"], shared["cost"], shared["cached"]) == (0, 0.0, True)
    assert scripted.sent() == 2


ANTHROPIC = """\
import anthropic, json, sys

row = json.load(sys.stdin)
client = anthropic.Anthropic()
asked = {"model": "claude-haiku", "max_tokens": 64}
turns = lambda text: asked | {"messages": [{"role": "user", "content": text}]}
whole = client.messages.create(**turns("whole"))
with client.messages.stream(**turns("streamed")) as stream:
    streamed = "".join(stream.text_stream)
    final = stream.get_final_message()
raw = [event.type for event in client.messages.create(**turns("events"), stream=True)]
print(json.dumps({
    "key": client.api_key, "whole": [whole.content[0].text, whole.usage.output_tokens, whole.stop_reason],
    "streamed": [streamed, final.usage.output_tokens], "events": [raw[0], raw[-1]],
}))
"""


def test_the_anthropic_client_gets_whole_and_streamed_messages_each_bought_once(
    upstream: Upstream, tmp_path: Path
) -> None:
    scripted = Scripted(tmp_path, upstream, ANTHROPIC)
    scripted.project.environ["ANTHROPIC_AUTH_TOKEN"] = "a-real-token"
    assert scripted.sent() == 3
    record = scripted.record()
    assert record["key"] != ANTHROPIC_KEY
    assert (record["whole"][0].partition(" to ")[2], *record["whole"][1:]) == ("whole", 5, "end_turn")
    assert (record["streamed"][0].partition(" to ")[2], record["streamed"][1]) == ("streamed", 5)
    assert record["events"] == ["message_start", "message_stop"]
    assert {seen.headers["x-api-key"] for seen in upstream.seen()} == {ANTHROPIC_KEY}
    assert not any("authorization" in seen.headers for seen in upstream.seen())
    [item] = scripted.items()
    assert (item["calls"], item["tokens_in"], item["cost"]) == (3, 30, pytest.approx(3 * COST))
    assert scripted.sent() == 0
    assert scripted.record() == record | {"key": scripted.record()["key"]}
    scripted.head = "models: {claude-haiku: {model: openai/house-1, price: {input: 1, output: 2}}}\n"
    scripted.workflow()
    assert scripted.sent() == 3
    assert {(seen.path, seen.body["model"]) for seen in upstream.seen()} == {("/v1/chat/completions", "house-1")}
    mapped = scripted.record()
    assert [mapped["whole"][0].partition(" to ")[2], *mapped["whole"][1:]] == ["whole", 5, "end_turn"]
    assert (mapped["streamed"][0].partition(" to ")[2], mapped["streamed"][1]) == ("streamed", 5)
    assert mapped["events"] == record["events"]


OLLAMA = """\
import json, ollama, os, sys

row = json.load(sys.stdin)
turns = [{"role": "user", "content": "chat"}]
print(json.dumps({
    "host": os.environ["OLLAMA_HOST"],
    "names": [each.model for each in ollama.list().models],
    "chat": ollama.chat("llama3.2", turns).message.content,
    "streamed": "".join(part.message.content for part in ollama.chat("llama3.2", turns, stream=True)),
    "generated": ollama.generate("llama3.2", "generate").response,
    "parts": "".join(part.response for part in ollama.generate("llama3.2", "parts", stream=True)),
    "embedded": ollama.embed("llama3.2", "text").embeddings[0],
}))
"""


def test_the_ollama_client_chats_generates_and_embeds_each_bought_once(upstream: Upstream, tmp_path: Path) -> None:
    scripted = Scripted(tmp_path, upstream, OLLAMA)
    scripted.project.environ["OLLAMA_API_KEY"] = "a-real-key"
    assert scripted.sent() == 6
    record = scripted.record()
    texts = {name: record[name].partition(" to ")[2] for name in ("chat", "streamed", "generated", "parts")}
    assert texts == {"chat": "chat", "streamed": "chat", "generated": "generate", "parts": "parts"}
    assert (record["names"], record["embedded"]) == (["gpt-4o-mini", "house-1"], [0.25, -0.5])
    assert record["host"].startswith("http://127.0.0.1:")
    assert not any("authorization" in seen.headers for seen in upstream.seen())
    assert {seen.path for seen in upstream.seen()} == {"/api/tags", "/api/chat", "/api/generate", "/api/embed"}
    [item] = scripted.items()
    assert (item["calls"], item["tokens_in"], item["cost"]) == (5, 50, pytest.approx(4 * COST + 0.00001))
    assert scripted.sent() == 1


WRONG = """\
import anthropic, json, openai, sys

prompts = json.load(sys.stdin)["prompt"].split()
said = {prompt: [] for prompt in prompts}
for client, ask in (
    (openai.OpenAI(), lambda client, turns: client.chat.completions.create(model="gpt-4o-mini", messages=turns)),
    (anthropic.Anthropic(), lambda client, turns: client.messages.create(
        model="claude-haiku", max_tokens=9, messages=turns)),
):
    for prompt in prompts:
        try:
            ask(client, [{"role": "user", "content": prompt}])
            said[prompt].append("answered")
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            said[prompt].append([type(error).__name__, error.status_code, "upstream says" in str(error)])
print(json.dumps(said))
"""


def test_an_error_of_the_provider_arrives_once_as_the_client_s_own_exception(
    upstream: Upstream, tmp_path: Path
) -> None:
    scripted = Scripted(tmp_path, upstream, WRONG)
    scripted.rows("!400 !401 !429*2 !500")
    upstream.reset()
    scripted.run()
    assert scripted.record() == {
        "!400": [["BadRequestError", 400, True]] * 2,
        "!401": [["AuthenticationError", 401, True]] * 2,
        "!429*2": ["answered"] * 2,
        "!500": [["InternalServerError", 500, True]] * 2,
    }
    asked = [seen.body["messages"][0]["content"] for seen in upstream.seen()]
    assert [asked.count(each) for each in ("!400", "!401", "!429*2", "!500")] == [2, 2, 6, 2]
    fails = [call["error"] for call in scripted.calls() if call["error"]]
    assert (fails.count("rate_limit"), fails.count("server"), len(fails)) == (4, 2, 10)


NODE = """\
import OpenAI from "openai";
const client = new OpenAI();
const asked = { model: "gpt-4o-mini", messages: [{ role: "user", content: "from node" }] };
const whole = await client.chat.completions.create(asked);
let streamed = "";
for await (const part of await client.chat.completions.create({ ...asked, stream: true }))
  streamed += part.choices[0]?.delta?.content ?? "";
console.log(JSON.stringify([whole.choices[0].message.content, streamed]));
"""


@pytest.mark.skipif(shutil.which("node") is None or shutil.which("npm") is None, reason="there is no Node here")
def test_the_openai_client_of_node_gets_whole_and_streamed_answers(upstream: Upstream, tmp_path: Path) -> None:
    scripted = Scripted(tmp_path, upstream, run="node script.mjs")
    scripted.project.write("script.mjs", NODE)
    scripted.project.write("package.json", '{"private": true, "type": "module"}')
    installed = scripted.project.bash(
        "npm install --silent --no-audit --no-fund --ignore-scripts --fetch-retries=0 --fetch-timeout=20000 openai"
    )
    if installed.status != 0:
        pytest.skip("npm cannot reach its registry")
    assert scripted.sent() == 2
    assert [text.partition(" to ")[2] for text in scripted.record()] == ["from node", "from node"]
    assert scripted.items()[0]["cost"] == pytest.approx(2 * COST)
    assert scripted.sent() == 0
