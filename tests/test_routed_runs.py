"""Whole runs with rules: whom each item is asked of, what stays here, what is forced, and what the journal keeps."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from penstock.load.forced import FORCE_MODEL
from tests.model_server import ModelServer, Script
from tests.terminal import Project

ROWS = [{"id": number, "risk": "high" if number % 3 == 0 else "low"} for number in range(9)]
ANSWER = {"sure": 0.2, "of": "$prompt"}


@pytest.fixture(scope="module")
def here() -> Iterator[ModelServer]:
    with ModelServer(Script(answer=ANSWER)) as server:
        yield server


@pytest.fixture(scope="module")
def away() -> Iterator[ModelServer]:
    with ModelServer(Script(answer=ANSWER)) as server:
        yield server


class Triage:
    """A folder whose workflow asks two models, one of them elsewhere, by rules."""

    def __init__(self, folder: Path, here: ModelServer, away: ModelServer) -> None:
        self.project = Project(folder)
        self.servers = (here, away)
        for server in self.servers:
            server.reset()
        self._head = (
            f"models:\n  small: {{model: openai/small-1, base_url: {here.url}/v1}}\n"
            f"  large: {{model: openai/large-1, base_url: {away.url}/v1, placement: remote}}\n"
            f"  spare: {{model: openai/spare-1, base_url: {away.url}/v1, placement: remote}}\nsteps:\n"
        )

    def workflow(self, *rules: str, more: str = "", step: str = "", below: str = "") -> None:
        """The workflow with these rules, other keys of `generate` and of the step, and steps below it."""
        listed = "".join(f"        - {{{each}}}\n" for each in rules)
        self.project.workflow(
            f"{self._head}  - id: ask\n    foreach: rows.jsonl\n{step}    generate:\n"
            f"      prompt: 'Of {{{{ item.id }}}}'\n{more}" + (f"      route:\n{listed}" if rules else "") + below
        )
        self.project.write("rows.jsonl", "".join(f"{json.dumps(each)}\n" for each in ROWS))

    @property
    def sent(self) -> tuple[int, int]:
        """How many requests came to the server that is here, and to the one that is not."""
        return self.servers[0].counts()["requests"], self.servers[1].counts()["requests"]

    def rows(self, query: str) -> list[Any]:
        """What the journal answers."""
        with closing(sqlite3.connect(self.project.folder / ".penstock" / "journal.db")) as journal:
            return journal.execute(query).fetchall()


@pytest.fixture
def triage(tmp_path: Path, here: ModelServer, away: ModelServer) -> Triage:
    return Triage(tmp_path, here, away)


HIGH_HERE = ("when: \"item.risk == 'high'\", model: [large, small], placement: local", "model: large")
LOCAL, CHECKED = "    placement: local\n", "      judge: {model: large, rubric: Good?, pass: score > 3}\n"


def test_items_go_by_their_rules_and_those_that_stay_here_never_reach_a_model_elsewhere(triage: Triage) -> None:
    triage.workflow(*HIGH_HERE)
    triage.project.succeeds("run")
    assert triage.sent == (3, 6)
    routes = {line["i"]: line["route"] for line in triage.project.log() if line["key"] is not None}
    assert {number for number, route in routes.items() if "1" in json.dumps(route)} == {0, 3, 6}


def test_an_item_that_no_rule_matches_is_failed_with_its_values_and_the_others_are_asked(triage: Triage) -> None:
    triage.workflow(HIGH_HERE[0])
    assert triage.project.penstock("run").status == 1
    assert triage.sent == (3, 0)
    errors = [line["reason"] for line in triage.project.log() if line["verdict"] == "failed" and line["key"]]
    assert errors == ['no rule matches: 1: "low" == "high" → false'] * 6


def test_the_forced_model_is_asked_instead_of_every_other_but_about_items_that_stay_here(triage: Triage) -> None:
    triage.workflow(*HIGH_HERE)
    triage.project.environ[FORCE_MODEL] = "spare"
    triage.project.succeeds("run")
    assert triage.sent == (3, 6)
    asked = triage.rows("SELECT model, count(*) FROM calls GROUP BY model ORDER BY model")
    assert asked == [("small", 3), ("spare", 6)]


def test_a_model_that_is_forced_here_is_asked_about_everything(triage: Triage) -> None:
    triage.workflow(*HIGH_HERE)
    triage.project.environ[FORCE_MODEL] = "small"
    triage.project.succeeds("run")
    assert triage.sent == (9, 0)


def test_a_run_that_goes_on_asks_the_model_that_it_was_told_to_ask(triage: Triage) -> None:
    triage.workflow("when: \"item.risk == 'high'\", model: small", "model: small", below=PAUSED)
    triage.project.environ[FORCE_MODEL] = "large"
    assert triage.project.penstock("run").status == 4
    assert triage.sent == (0, 4)
    del triage.project.environ[FORCE_MODEL]
    triage.project.succeeds("resume", "--budget", "calls=100")
    assert triage.sent == (0, 9)


PAUSED = "budget: {calls: 4, when_exceeded: pause}\n"


@pytest.mark.parametrize(
    ("rules", "keys", "why"),
    [
        (
            ("when: \"item.risk == 'high'\", model: small", "model: [large, spare], placement: local"),
            {},
            "step ask, rule 2 is `placement: local`, and none of its models is: large: it is `placement: remote`; "
            "spare: it is `placement: remote`",
        ),
        (("model: large",), {"step": LOCAL}, "step ask, rule 1 is `placement: local`, and its model is not: large: it"),
        (
            (),
            {"more": "      model: large\n", "step": LOCAL},
            "step ask is `placement: local`, and its model is not: large: it is `placement: remote`",
        ),
        (
            (),
            {"more": f"      model: small\n{CHECKED}", "step": LOCAL},
            "step ask is `placement: local`, and its judge is not: large: it is `placement: remote`",
        ),
    ],
)
def test_who_keeps_items_here_and_has_nobody_here_is_refused_before_the_first_call(
    triage: Triage, rules: tuple[str, ...], keys: dict[str, str], why: str
) -> None:
    triage.workflow(*rules, **keys)
    said = triage.project.penstock("run")
    assert said.status == 1
    assert why in said.err
    assert triage.sent == (0, 0)


def test_a_step_below_one_that_keeps_its_items_here_is_refused_as_well(triage: Triage) -> None:
    below = "  - id: next\n    foreach: steps.ask\n    generate: {model: large, prompt: 'Of {{ item }}'}\n"
    triage.workflow("model: small", step=LOCAL, below=below)
    said = triage.project.penstock("run")
    assert "step next is `placement: local`, and its model is not: large" in said.err
    assert triage.sent == (0, 0)


TRAVELS = """  - id: triage
    foreach: rows.jsonl
    route: [{when: "item.risk == 'high'", to: any, placement: local}, {to: any}]
  - id: answer
    foreach: steps.triage.any
    generate: {model: [large, small], prompt: 'On {{ item.id }}'}
  - id: check
    foreach: steps.answer
    verify: {judge: {model: [large, small], rubric: 'Is it {{ output }}?', pass: score > 3}}
    max_failures: 100%
"""


def test_what_is_to_stay_here_stays_here_in_the_steps_below_and_with_their_judges(triage: Triage) -> None:
    triage.workflow("model: small", below=TRAVELS)
    triage.project.penstock("run")
    seen = triage.rows(
        "SELECT DISTINCT s.step_id, t.i FROM calls c JOIN tasks t USING (task_no) JOIN steps s USING (step_no)"
        " WHERE c.model = 'large' ORDER BY 1, 2"
    )
    low = [row["id"] for row in ROWS if row["risk"] == "low"]
    assert seen == [(step, number) for step in ("answer", "check") for number in low]
    judged_here = triage.rows(
        "SELECT count(DISTINCT t.i) FROM calls c JOIN tasks t USING (task_no) JOIN steps s USING (step_no)"
        " WHERE s.step_id = 'check' AND c.model = 'small' AND t.i % 3 = 0"
    )
    assert judged_here == [(3,)]


def test_a_forced_model_that_is_not_there_is_found_before_the_first_call(triage: Triage) -> None:
    triage.workflow("model: small")
    for name, why in (("openai/gpt-4o", "openai/gpt-4o: OPENAI_API_KEY is not set"), ("smal", "smal")):
        triage.project.environ[FORCE_MODEL] = name
        said = triage.project.penstock("run")
        assert said.status in (1, 2)
        assert FORCE_MODEL in said.err
        assert why in said.err
    assert triage.sent == (0, 0)


def test_models_in_whose_place_another_is_asked_need_not_be_there(triage: Triage) -> None:
    triage.workflow("model: openai/gpt-4o")
    triage.project.environ[FORCE_MODEL] = "small"
    triage.project.succeeds("run")
    assert triage.sent == (9, 0)


def test_the_journal_keeps_the_signals_of_every_stage_of_a_cascade(triage: Triage) -> None:
    triage.workflow(more="      model: [small, large]\n      accept_when: output.sure > 0.5\n")
    triage.project.succeeds("run")
    assert triage.sent == (9, 9)
    kept = triage.rows("SELECT ok, tier, signals FROM judgements")
    plain = {"attempts": 1, "mended": False, "judge_score": None, "logprob": None}
    assert [json.loads(signals) for _, tier, signals in kept if tier is None] == [plain] * 9
    doubted = [json.loads(signals) for ok, tier, signals in kept if tier == "doubtful" and not ok]
    assert doubted == [plain | {"accept_when": "0.2 > 0.5 → false"}] * 9


def test_a_second_run_of_rules_and_a_cascade_buys_nothing(triage: Triage) -> None:
    triage.workflow(HIGH_HERE[0], "model: [small, large]", more="      accept_when: output.sure > 0.5\n")
    triage.project.succeeds("run")
    sent = triage.sent
    triage.project.succeeds("run")
    assert triage.sent == sent


def test_a_plan_of_rules_sends_nothing_and_counts_what_a_run_sends(triage: Triage) -> None:
    triage.workflow(*HIGH_HERE)
    planned = json.loads(triage.project.succeeds("plan", "--json").out)
    assert triage.sent == (0, 0)
    assert planned["steps"]["ask"]["to_buy"] == 9


def test_a_forced_model_that_nobody_knows_is_refused_where_commands_alone_could_ask_for_it(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow("name: x\nsteps: [{id: a, run: touch begun}]\n")
    project.environ[FORCE_MODEL] = "nope"
    said = project.penstock("run")
    assert said.status == 2
    assert said.err.startswith(f"penstock: {FORCE_MODEL}: there is no model `nope`\n  help: ")
    assert all(line.startswith("        ") for line in said.err.splitlines()[2:])
    assert not (tmp_path / "begun").exists()
