"""Steps with rules that ask a counting server: their plan, and what a run then sends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from penstock.api import planning, running
from penstock.core.views import Decision, Options, Plan, RoutePlan, RunView
from tests.doubles import MemoryListener
from tests.model_server import ModelServer
from tests.terminal import Project

ANSWER = {"sure": 0.8, "of": "$prompt"}
SCHEMA = "schema: {type: object, properties: {sure: {type: number}}, required: [sure]}"
ROWS = [{"n": number, "risk": "high" if number % 3 == 0 else "low"} for number in range(9)]
NAMES = ("small", "large", "strict")

BY_RULES = """\
  - id: triage
    foreach: rows.jsonl
    route:
      - {when: "item.risk == 'high'", to: legal, placement: local}
      - {when: "item.n > 6", to: sales}
      - {when: "item.n > 99", to: top}
      - {to: other}
"""
ROUTED = """\
  - id: ask
    foreach: rows.jsonl
    generate:
      prompt: 'Of {{ item.n }}'
      SCHEMA
      route:
        - {when: "item.risk == 'high'", model: large, prompt: 'High {{ item.n }}'}
        - {when: "item.n > 6", model: [small, large], params: {max_tokens: 20}}
        - {when: "item.n > 99", model: small}
        - {model: small}
"""
JUDGE = "judge: {model: strict, rubric: 'Is it {{ item.n }}?', pass: score >= 0}"
LAWYERS = "  - id: lawyers\n    foreach: steps.triage.legal\n    generate: {model: small, prompt: 'Law {{ item.n }}'}\n"
OTHERS = "  - id: others\n    foreach: steps.triage.other\n    generate: {model: small, prompt: 'Other {{ item.n }}'}\n"
BY_A_MODEL = """\
  - id: triage
    foreach: rows.jsonl
    route: {model: small, prompt: '{{ item.n }}', choices: [legal, sales]}
"""
FIX = """\
  - id: fix
    foreach: steps.ask
    where: item.sure < 0.5
    else: item
    generate: {model: large, prompt: 'Fix {{ item.sure }} of {{ origin.n }}'}
"""


class Routed:
    """A folder whose workflow asks a server by rules: its plan, and what a run then sends."""

    def __init__(self, folder: Path, server: ModelServer) -> None:
        self.project = Project(folder)
        self.server = server
        self.rows(ROWS)

    def rows(self, rows: list[dict[str, Any]]) -> None:
        """The rows of the file."""
        self.project.write("rows.jsonl", "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))

    def steps(self, *steps: str, price: str = "price: {input: 1000, output: 4000}") -> None:
        """The workflow of these steps."""
        url = f"base_url: '{self.server.url}/v1', max_tokens: 100, {price}"
        models = "".join(f"  {name}: {{model: openai/{name}-1, {url}}}\n" for name in NAMES)
        text = "".join(steps).replace("SCHEMA", SCHEMA)
        self.project.workflow(f"models:\n{models}steps:\n{text}")

    def made(self, routes: bool = False) -> Plan:
        """Today's plan."""
        return planning.plan(self.project.folder, Options(), routes=routes)

    def plan(self, routes: bool = False) -> dict[str, Decision]:
        """The decisions of today's plan."""
        return {decision.step_id: decision for decision in self.made(routes).decisions}

    def routes(self, step: str) -> RoutePlan:
        """What the rules of a step would do."""
        found = self.plan(routes=True)[step].routes
        assert found is not None
        return found

    def counts(self, step: str) -> list[tuple[int, int | None]]:
        """The rows of each rule: those that surely go by it, and those that may."""
        return [(rule.matched.items, rule.matched.most) for rule in self.routes(step).rules]

    def to_buy(self) -> int:
        """How many calls all steps would send; nothing is sent to say it."""
        self.server.reset()
        found = [each.estimate.to_buy for each in self.plan(routes=True).values() if each.estimate is not None]
        assert self.server.counts()["requests"] == 0
        return sum(count for count in found if count is not None)

    def run(self) -> RunView:
        """A run to its end."""
        self.server.reset()
        return running.run(self.project.folder, Options(), MemoryListener()).view

    def sent(self) -> int:
        """How many requests a run sends that succeeds."""
        view = self.run()
        assert view.state == "succeeded", view
        return int(self.server.counts()["requests"])


def calls(routed: Routed) -> list[dict[str, Any]]:
    """The lines of the newest run's call log."""
    lines = (routed.project.run_folder() / "calls.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
