"""A folder whose workflow asks a model about each of its rows, and what a run of it left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from penstock.api import running
from penstock.core.views import Options, RunView, Tally
from tests.doubles import MemoryListener
from tests.model_server import ModelServer
from tests.terminal import Project

ANSWER = {"text": "$prompt", "score": "$number"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "score": {"type": "number", "minimum": 0}},
    "required": ["text", "score"],
}


def row(number: int, **fields: object) -> dict[str, object]:
    """A row of the input: a ticket of this number, with other fields if they are named."""
    return {"id": number, "text": f"ticket {number} says something or other", **fields}


class Asking:
    """A folder whose workflow asks a model about each row."""

    def __init__(self, folder: Path, url: str, count: int, model: str = "") -> None:
        self.project = Project(folder)
        self.head = f"models: {{house: {{model: openai/house-1, base_url: {url}/v1{model}}}}}\n"
        self.rows = [row(number) for number in range(count)]
        self.schema = SCHEMA
        self.notes: list[str] = []
        self.workflow()

    def workflow(self, step: str = "concurrency: 64", more: str = "", below: str = "") -> None:
        """The workflow, with other keys for its step or for `generate`, and steps below it."""
        self.project.workflow(
            f"{self.head}steps:\n  - id: ask\n    foreach: rows.jsonl\n    {step}\n"
            f"    generate:\n      model: house\n      prompt: 'Answer: {{{{ item.text }}}}'\n"
            f"      schema: schema.json\n{more}{below}"
        )

    def run(self, cache: str | None = None, simulate: bool = False) -> RunView:
        """A run in this process to its end, whatever that is, with the rows and the schema as they are now."""
        self.project.write("rows.jsonl", "".join(f"{json.dumps(each)}\n" for each in self.rows))
        self.project.write("schema.json", json.dumps(self.schema))
        listener = MemoryListener()
        ended = running.run(self.project.folder, Options(cache=cache, simulate=simulate), listener)
        self.notes = listener.notes
        return ended.view

    def sent(self, server: ModelServer, cache: str | None = None) -> int:
        """How many requests a run sends that succeeds."""
        server.reset()
        view = self.run(cache)
        assert view.state == "succeeded", view
        return int(server.counts()["requests"])

    def calls(self) -> list[dict[str, Any]]:
        """The call log of the newest run."""
        lines = (self.project.run_folder() / "calls.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def items(self, step: str = "ask") -> list[dict[str, Any]]:
        """The lines of the newest run's log that tell of a step's items."""
        return [line for line in self.project.log() if line["step"] == step and line["key"] is not None]

    def records(self, step: str = "ask") -> list[Any]:
        """The records of a step, in input order."""
        return [line["record"] for line in self.project.records(step)]

    def cached(self) -> list[Path]:
        """The files of the cache."""
        folder = self.project.folder / ".penstock" / "cache"
        return sorted(path for path in folder.glob("*/*.json") if path.parent.name != "corrupt")


def tally_of(view: RunView, step: str) -> Tally:
    """The accounting of a step."""
    return next(each.tally for each in view.steps if each.id == step)
