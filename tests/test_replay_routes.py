"""Kept failures of routed steps, and of steps below them, through the workflow as it is today."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.api import running
from penstock.api.replay import replaying
from penstock.api.replay.replaying import Wanted
from penstock.core.errors import UsageError
from penstock.core.views import Options, Replayed, Standing
from penstock.load.forced import FORCE_MODEL
from tests.doubles import MemoryListener
from tests.model_server import ModelServer, Script
from tests.terminal import Project

MODEL = """\
import json, pathlib
def ask(request):
    text = request["messages"][-1]["content"]
    with open(pathlib.Path(__file__).with_name("asked.log"), "a") as file: file.write(json.dumps(text) + "\\n")
    return {"n": int(text.split()[-1]), "of": text.split()[0]}
def choose(request):
    return {"choice": "nobody"}
"""
MODELS = """\
models:
  house: {model: 'python/NAME:ask', price: {input: 1, output: 1}}
  chooser: {model: 'python/NAME:choose', price: {input: 1, output: 1}}
steps:
"""
RULES = """\
  - id: triage
    foreach: rows.jsonl
    max_failures: 100%
    route: [{when: item.n < 5, to: low}]
"""
SAY = """\
  - id: first
    foreach: rows.jsonl
    generate: {model: house, prompt: 'First {{ item.n }}', schema: {type: object}}
  - id: triage
    foreach: steps.first
    route: [{when: item.n < 5 and chain.first.of == 'First', to: low}, {to: high}]
  - id: say
    foreach: steps.triage.low
    generate:
      model: house
      attempts: 1
      prompt: 'Say {{ chain.triage.to }} of {{ origin.text }} {{ item.n }}'
      checks: [LIMIT]
"""
ROUTED = """\
  - id: ask
    foreach: rows.jsonl
    max_failures: 100%
    generate:
      model: house
      attempts: 1
      prompt: 'Of {{ item.n }}'
      checks: [output.n < 2]
      route: [{when: item.n < 3, prompt: 'Small {{ item.n }}'}, {when: item.n < 5}]
"""


class Kept(Project):
    """A folder in which routed runs fail and failures are replayed, in this process."""

    def steps(self, *steps: str) -> None:
        """The workflow of these steps."""
        self.workflow(MODELS.replace("NAME", self.model()) + "".join(steps))

    def model(self, text: str = MODEL) -> str:
        """The module of the models, which has a name of its own in each folder: a process imports a name once."""
        name = re.sub(r"\W", "_", self.folder.name)
        self.write(f"{name}.py", text)
        return name

    def rows(self, *numbers: int) -> None:
        """Rows with these numbers."""
        self.write("rows.jsonl", "".join(f'{{"n": {number}, "text": "t{number}"}}\n' for number in numbers))

    def run(self) -> str:
        """The state of a run."""
        return running.run(self.folder, Options(), MemoryListener()).view.state

    def told(self) -> dict[str, dict[str, Any]]:
        """Each fixture by its step and the number in its input."""
        paths = sorted((self.folder / "fixtures" / "failures").glob("*/*.json"))
        told = [json.loads(path.read_bytes()) for path in paths]
        return {f"{one['step']} {json.loads(one['input'])['n']}": one for one in told}

    def replay(self) -> list[Replayed]:
        """What a replay says of each."""
        return list(replaying.replay(self.folder, Wanted(), MemoryListener()).fixtures)

    def stands(self) -> list[tuple[str, Standing, str | None]]:
        """Where each stands, and why."""
        return [(one.step_id, one.standing, one.reason) for one in self.replay()]

    def asked(self) -> list[str]:
        """The questions that the model has been put."""
        log = self.folder / "asked.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.delenv(FORCE_MODEL, raising=False)
    return Kept(tmp_path)


def test_a_row_that_no_rule_took_is_replayed_by_the_rules_of_today(kept: Kept) -> None:
    kept.rows(1, 7)
    kept.steps(RULES)
    kept.run()
    told = kept.told()["triage 7"]
    assert told["reason"] == "no rule matches: 1: 7 < 5 → false"
    assert {"command", "values", "prompt", "tries", "answer"} & set(told) == set()
    ((step, stands, reason),) = kept.stands()
    assert (step, stands, reason) == ("triage", Standing.STILL_FAILING, told["reason"])
    kept.steps(RULES.replace("to: low}", "to: low}, {to: high}"))
    assert kept.stands() == [("triage", Standing.FIXED, None)]


def test_a_choice_that_is_none_tells_its_story_and_is_replayed(kept: Kept) -> None:
    kept.rows(1)
    asked = "    route: {model: chooser, prompt: 'Where? {{ item.n }}', choices: [low, high]}\n"
    kept.steps("  - id: triage\n    foreach: rows.jsonl\n", asked)
    kept.run()
    told = kept.told()["triage 1"]
    assert told["prompt"] == [{"role": "user", "content": "Where? 1"}]
    assert [one["class"] for one in told["tries"]][:1] == ["schema"]
    assert [stands for _, stands, _ in kept.stands()] == [Standing.STILL_FAILING]
    kept.model(MODEL.replace("nobody", "low"))
    kept.write("workflow.yaml", kept.read("workflow.yaml").replace("Where?", "Where to?"))
    done = Project(kept.folder).penstock("replay", "--json")
    assert '"fixed"' in done.out, done


def test_a_failure_below_a_route_step_that_reads_a_step_is_replayed(kept: Kept) -> None:
    kept.rows(1, 2, 9)
    kept.steps(SAY.replace("LIMIT", "output.n < 2"))
    kept.run()
    assert list(kept.told()) == ["say 2"]
    assert kept.told()["say 2"]["chain"]["triage"].startswith('{"to":"low","rule":1,')
    before = kept.asked()
    assert kept.stands() == [
        ("say", Standing.STILL_FAILING, kept.told()["say 2"]["reason"]),
    ]
    assert kept.asked() == before
    kept.steps(SAY.replace("LIMIT", "output.n < 3").replace("Say", "Tell"))
    assert kept.stands() == [("say", Standing.FIXED, None)]
    assert kept.asked()[len(before) :] == ["Tell low of t2 2"]


def test_an_item_of_a_step_with_rules_is_replayed_by_the_rule_that_takes_it_today(kept: Kept) -> None:
    kept.rows(1, 2, 4, 8)
    kept.steps(ROUTED)
    kept.run()
    told = kept.told()
    assert {name: one.get("route", {}).get("rule") for name, one in told.items()} == {
        "ask 2": 1,
        "ask 4": 2,
        "ask 8": None,
    }
    assert {stands for _, stands, _ in kept.stands()} == {Standing.STILL_FAILING}
    kept.steps(
        ROUTED.replace("item.n < 5}", "item.n < 9, prompt: 'Now 1'}").replace("'Small {{ item.n }}'", "'Small 0'")
    )
    assert {stands for _, stands, _ in kept.stands()} == {Standing.FIXED}


def test_rules_that_read_a_place_or_outputs_need_them_to_be_replayed(kept: Kept) -> None:
    kept.rows(1, 7)
    first = "  - id: top\n    run: echo 5\n"
    kept.steps(
        first,
        RULES.replace("item.n < 5", "item.n < outputs.top").replace("    foreach", "    needs: [top]\n    foreach"),
    )
    kept.run()
    assert [stands for _, stands, _ in kept.stands()] == [Standing.STILL_FAILING]
    (kept.folder / ".penstock" / "journal.db").unlink()
    ((_, stands, reason),) = kept.stands()
    assert stands is Standing.NOT_REPLAYED
    assert reason == "it needs outputs.top, which is known nowhere here: run the workflow here first"


# --- who may see it ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def away() -> Iterator[ModelServer]:
    with ModelServer(Script(answer={"n": 1})) as server:
        yield server


def test_an_item_that_a_rule_kept_here_stays_here_in_a_replay(kept: Kept, away: ModelServer) -> None:
    far = f"  far: {{model: openai/far-1, base_url: '{away.url}/v1', placement: remote}}\nsteps:\n"
    rules = "    route: [{when: item.n == 2, to: low, placement: local}, {to: low}]\n"
    say = SAY.replace("LIMIT", "output.n < 0").replace("max_failures", "max_failures")
    head, _, tail = say.partition("    route:")
    steps = (
        head
        + rules
        + tail.partition("\n")[2].replace("model: house\n      attempts", "model: [far, house]\n      attempts")
    )
    kept.rows(1, 2)
    kept.workflow(MODELS.replace("NAME", kept.model()).replace("steps:\n", far) + steps)
    away.reset()
    kept.run()
    assert [kept.told()[f"say {n}"]["local"] for n in (1, 2)] == [False, True]
    assert away.counts()["requests"] == 1
    kept.write("workflow.yaml", kept.read("workflow.yaml").replace("Say", "Tell"))
    away.reset()
    assert {stands for _, stands, _ in kept.stands()} == {Standing.STILL_FAILING}
    assert away.counts()["requests"] == 1
    assert "Tell low of t2 2" in kept.asked()


def test_a_replay_asks_the_model_that_is_forced(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.rows(2)
    kept.steps(ROUTED)
    kept.run()
    before = len(kept.asked())
    monkeypatch.setenv(FORCE_MODEL, "chooser")
    assert [stands for _, stands, _ in kept.stands()] != [Standing.FIXED]
    assert len(kept.asked()) == before
    monkeypatch.setenv(FORCE_MODEL, "nobody")
    with pytest.raises(UsageError, match="nobody"):
        kept.replay()
