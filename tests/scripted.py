"""A folder whose workflow runs a script for each row, which asks models in its own way and knows of no Penstock."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.terminal import Project, Said, jsonl
from tests.upstream_server import Upstream

MODELS = """\
models:
  gpt-4o-mini: {model: openai/gpt-4o-mini, price: {input: 1, output: 2}}
  claude-haiku: {model: anthropic/claude-haiku, price: {input: 1, output: 2}}
  llama3.2: {model: ollama/llama3.2, price: {input: 1, output: 2}}
"""
"""Of one call with 10 tokens in and 5 out the cost is $0.00002."""

COST = 0.00002

BARE = """\
import json, os, sys, urllib.request
from urllib.error import HTTPError

PATHS = {
    "openai": (os.environ["OPENAI_BASE_URL"] + "/chat/completions", "gpt-4o-mini"),
    "anthropic": (os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", "claude-haiku"),
    "ollama": (os.environ["OLLAMA_HOST"] + "/api/chat", "llama3.2"),
}
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def ask(text, whose="openai", stream=False, url="", headers=(), body=True):
    at, model = PATHS[whose]
    said = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream, "max_tokens": 9}
    key = os.environ["OPENAI_API_KEY"]
    sent = {"content-type": "application/json", "authorization": "Bearer " + key, "x-api-key": key} | dict(headers)
    request = urllib.request.Request(url or at, body and json.dumps(said).encode(), sent)
    try:
        with direct.open(request, timeout=60) as response:
            return [response.status, response.read().decode(), dict(response.headers)]
    except HTTPError as error:
        return [error.code, error.read().decode(), dict(error.headers)]

def text_of(answer):
    told = json.loads(answer[1])
    return (told["choices"][0]["message"] if "choices" in told else told["message"])["content"]

prompt = json.load(sys.stdin)["prompt"]
"""
"""A client of the standard library's, for what is no matter of a client's."""


class Scripted:
    """Rows, a script that is started for each with the row on its standard input, and what a run of it left."""

    def __init__(self, folder: Path, upstream: Upstream, script: str = "", run: str = "python script.py") -> None:
        self.project = Project(folder)
        self.project.environ |= upstream.environ
        self.project.write("script.py", script)
        self.upstream = upstream
        self.command = run
        self.head = MODELS
        self.rows("one")
        self.workflow()

    def workflow(self, step: str = "concurrency: 1", head: str = "", below: str = "") -> None:
        """The workflow, with other keys for its step, of its own, and steps below."""
        text = "".join(f"      {line}\n" for line in self.command.splitlines())
        self.project.workflow(
            f"{self.head}{head}steps:\n  - id: ask\n    foreach: rows.jsonl\n    {step}\n    run: |\n{text}{below}"
        )

    def rows(self, *prompts: str) -> None:
        """A row for each prompt."""
        self.project.write("rows.jsonl", "".join(f"{json.dumps({'prompt': each})}\n" for each in prompts))

    def run(self, *words: str, status: int = 0) -> Said:
        """`penstock run WORDS`, which has ended so."""
        return self.penstock("run", *words, status=status)

    def penstock(self, *words: str, status: int = 0) -> Said:
        """`penstock WORDS`, which has ended so."""
        said = self.project.penstock(*words)
        assert said.status == status, (said, self.complaints())
        return said

    def sent(self, *words: str, status: int = 0) -> int:
        """How many requests the upstream gets of a run that ends so."""
        self.upstream.reset()
        self.run(*words, status=status)
        return len(self.upstream.seen())

    def records(self, step: str = "ask") -> list[Any]:
        """What the scripts of the newest run said, in the order of the rows."""
        return [line.get("record") for line in self.project.records(step)]

    def record(self) -> Any:
        """What the script of the only row said."""
        [found] = self.records()
        return found

    def calls(self) -> list[dict[str, Any]]:
        """The call log of the newest run."""
        return jsonl(self.project.run_folder() / "calls.jsonl")

    def items(self) -> list[dict[str, Any]]:
        """The lines of the newest run's log that tell of rows."""
        return [line for line in self.project.log() if line["key"] is not None]

    def complaints(self) -> str:
        """What the scripts of the newest run wrote to standard error."""
        return "".join(path.read_text() for path in self.project.run_folder().glob("out/*.err"))


def asking(folder: Path, upstream: Upstream, script: str) -> Scripted:
    """A folder with a script of these lines, after those of BARE."""
    return Scripted(folder, upstream, BARE + script)


def column(lines: Sequence[dict[str, Any]], *names: str) -> list[Any]:
    """The values of a field, or of several, of each line."""
    return [line[names[0]] if len(names) == 1 else tuple(line[name] for name in names) for line in lines]
