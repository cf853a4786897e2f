"""The bill of steps below a `route` step: rows go where the rules or a bought choice send them, and nothing is sent."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from penstock.api.asking import cast
from penstock.api.bill.rehearsing import Found, Rehearsal
from penstock.core.views import Options
from penstock.load.build import load
from penstock.store.layout import Layout
from tests.terminal import Project

HEAD = """models: {here: {model: sim/here, price: {input: 1, output: 1}}}
steps:
  - id: triage
    foreach: [{id: 1, risk: high}, {id: 2, risk: low}, {id: 3, risk: low}, {id: 4}]
"""
BY_RULES = "    route: [{when: \"item.risk == 'high'\", to: legal}, {to: sales}]\n"
BY_A_MODEL = "    route: {model: here, prompt: '{{ item.id }}', choices: [legal, sales]}\n"
BELOW = """  - id: lawyers
    foreach: steps.triage.legal
    generate: {model: here, prompt: 'Of {{ item.id }} to {{ chain.triage.to }}'}
  - id: sellers
    foreach: steps.triage.sales
    generate: {model: here, prompt: 'Of {{ item.id }}'}
"""


def rehearsed(project: Project, step_id: str) -> list[Found]:
    """What would become of the rows of one step."""
    workflow = load(project.folder / "workflow.yaml", overrides={}, environ={})
    rehearsal = Rehearsal(cast(workflow, {}, Options(), frozenset()), Layout(project.folder), None)

    async def results() -> list[Found]:
        return [found async for _, found in rehearsal.results(workflow.step(step_id))]

    return asyncio.run(results())


def test_rows_go_where_the_rules_send_them_and_those_that_no_rule_can_judge_go_nowhere(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(HEAD + BY_RULES + BELOW)
    assert [found.sent_to for found in rehearsed(project, "triage")] == ["legal", "sales", "sales", None]
    (lawyer,) = rehearsed(project, "lawyers")
    assert lawyer.missed is not None
    assert [message.content for message in lawyer.missed.request.messages] == ["Of 1 to legal"]
    assert len(rehearsed(project, "sellers")) == 2


def test_a_rule_that_asks_for_what_only_the_run_knows_may_send_a_row_to_every_branch(tmp_path: Path) -> None:
    project = Project(tmp_path)
    first = "  - id: first\n    run: echo 3\n"
    rules = "    needs: [first]\n    route: [{when: 'outputs.first > 2', to: legal}, {to: sales}]\n"
    project.workflow(HEAD.replace("steps:\n", f"steps:\n{first}") + rules + BELOW)
    assert len(rehearsed(project, "lawyers")) == len(rehearsed(project, "sellers")) == 4


def test_a_choice_that_is_not_bought_yet_may_be_any_and_one_that_is_bought_is_that(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(HEAD + BY_A_MODEL + BELOW)
    before = json.loads(project.succeeds("plan", "--json").out)["steps"]
    assert [before[step]["to_buy"] for step in ("triage", "lawyers", "sellers")] == [4, 4, 4]
    said = json.loads(project.succeeds("run", "--json").out.splitlines()[-1])["steps"]
    after = json.loads(project.succeeds("plan", "--json").out)["steps"]
    assert [after[step]["to_buy"] for step in ("triage", "lawyers", "sellers")] == [0, 0, 0]
    assert [after[step]["items"] for step in ("lawyers", "sellers")] == [
        said[step]["total"] for step in ("lawyers", "sellers")
    ]
    assert said["lawyers"]["total"] + said["sellers"]["total"] == 4
