"""The example with models: its tickets and prompts are sound, and the real program runs it, offline."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from penstock.core.generation import Generate, Verify
from penstock.core.workflow import Workflow
from penstock.load.build import load
from penstock.rules.contract import compile_contract
from penstock.rules.prompts import compile_template, render
from tests.terminal import EXAMPLE, Project, jsonl

TICKETS = EXAMPLE.parent / "tickets"
FIELDS = ["id", "received", "lang", "channel", "customer", "subject", "body"]
REAL = re.findall(r"^  # ((small|large): \{model: (\w+)/.+\})$", (TICKETS / "workflow.yaml").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def tickets() -> list[dict[str, object]]:
    return jsonl(TICKETS / "data/tickets.jsonl")


@pytest.fixture(scope="module")
def workflow() -> Workflow:
    return load(TICKETS / "workflow.yaml", overrides={}, environ={})


def generate(workflow: Workflow) -> Generate:
    spec = workflow.step("triage").spec
    assert isinstance(spec, Generate)
    return spec


def verify(workflow: Workflow) -> Verify:
    spec = workflow.step("verify").spec
    assert isinstance(spec, Verify)
    return spec


def without_line_ends(text: object) -> str:
    return " ".join(str(text).split())


def test_there_are_two_hundred_tickets_and_more_two_in_five_of_them_korean(tickets: list[dict[str, object]]) -> None:
    assert len(tickets) >= 200
    assert all(
        list(ticket) == FIELDS and all(isinstance(value, str) for value in ticket.values()) for ticket in tickets
    )
    assert len({ticket["id"] for ticket in tickets}) == len(tickets)
    assert [ticket["received"] for ticket in tickets] == sorted(str(ticket["received"]) for ticket in tickets)
    assert 0.35 < sum(ticket["lang"] == "ko" for ticket in tickets) / len(tickets) < 0.45
    assert {ticket["lang"] for ticket in tickets} == {"en", "ko"}
    assert {ticket["channel"] for ticket in tickets} == {"email", "chat", "web", "phone"}


def test_no_body_is_a_template_of_another_and_a_korean_one_has_hangul(tickets: list[dict[str, object]]) -> None:
    bodies = [str(ticket["body"]) for ticket in tickets]
    assert len({without_line_ends(re.sub(r"\d+", "#", body)) for body in bodies}) > 200
    hangul = [bool(re.search("[가-힣]", f"{ticket['subject']} {ticket['body']}")) for ticket in tickets]
    assert all(found for found, ticket in zip(hangul, tickets, strict=True) if ticket["lang"] == "ko")


@pytest.mark.parametrize("hard", ['"', "\n", "$(", "{{ ", "{% ", "<b>", "\\t", "'", "😊", "🥄"])
def test_some_ticket_holds_what_a_careless_program_trips_over(hard: str, tickets: list[dict[str, object]]) -> None:
    assert any(hard in str(ticket["body"]) for ticket in tickets)


def test_every_ticket_stands_whole_in_its_prompt_and_in_the_rubric(
    tickets: list[dict[str, object]], workflow: Workflow
) -> None:
    judge = verify(workflow).contract.judge
    assert judge is not None
    prompt, rubric = compile_template(generate(workflow).prompt), compile_template(judge.rubric)
    output = {"summary": "{{ item }} $(date)"}
    for ticket in tickets:
        said = {"subject": ticket["subject"], "body": ticket["body"]}
        asked, judged = render(prompt, {"item": ticket}), render(rubric, {"origin": ticket, "output": output})
        assert json.loads(asked[asked.index("{") :]) == said
        assert json.loads(judged.split("The ticket:\n")[1].split("\n\nThe answer:\n")[0]) == said
        assert json.loads(judged.split("The answer:\n")[1]) == output


def test_the_system_prompt_holds_the_examples_and_they_meet_the_schema(workflow: Workflow) -> None:
    step = generate(workflow)
    assert step.system is not None
    system = render(compile_template(step.system), dict(step.vars))
    answers = re.findall(r"^Answer: (.+)$", system, re.MULTILINE)
    judgements = [compile_contract(step.contract).judge(answer, item_of(answer)) for answer in answers]
    assert [(one.ok, one.flaws, one.mended) for one in judgements] == [(True, (), False)] * 2


def item_of(answer: str) -> Mapping[str, object]:
    """The names that the checks see beside an answer in the ticket's language."""
    return {"item": {"lang": json.loads(answer)["language"]}}


def test_check_finds_nothing_wrong_and_notes_nothing() -> None:
    said = Project(TICKETS).succeeds("check")
    assert (said.out, said.err) == ("workflow.yaml: Tickets, 4 steps, no errors\n", "")


def test_for_each_of_the_two_models_three_providers_stand_in_comments() -> None:
    assert [(name, provider) for _, name, provider in REAL] == [
        (name, provider) for name in ("small", "large") for provider in ("ollama", "openai", "anthropic")
    ]


@pytest.mark.parametrize(("line", "name", "provider"), REAL)
def test_a_commented_line_in_the_place_of_the_model_is_all_that_has_to_change(
    line: str, name: str, provider: str
) -> None:
    text, count = re.subn(rf"^  {name}: .+$", f"  {line}", (TICKETS / "workflow.yaml").read_text(), flags=re.MULTILINE)
    assert count == 1
    changed = load(TICKETS / "workflow.yaml", overrides={}, environ={}, text=text)
    assert {model.name: model.provider for model in changed.models} == {
        "small": "sim", "large": "sim", name: provider,
    }  # fmt: skip


def test_it_runs_offline_with_every_row_accounted_for_and_a_second_run_sends_nothing(tmp_path: Path) -> None:
    shutil.copytree(
        TICKETS, tmp_path, ignore=shutil.ignore_patterns(".penstock", "logs", "replies", "fixtures"), dirs_exist_ok=True
    )
    project = Project(tmp_path)
    rows = len(jsonl(tmp_path / "data/tickets.jsonl"))
    first = project.succeeds("run", "--json").value
    steps = first["steps"]
    assert isinstance(steps, dict)
    triage, verified = steps["triage"], steps["verify"]
    assert triage["total"] == rows
    for step in (triage, verified):
        assert step["total"] == step["accepted"] + step["rejected"] + step["failed"] + step["skipped"]
    assert verified["total"] == triage["accepted"]
    assert triage["rejected"] + verified["rejected"] > 0
    assert triage["failed"] + verified["failed"] == 0
    assert triage["cost"] > 0

    calls = jsonl(project.run_folder() / "calls.jsonl")
    assert first["calls"] == len(calls) > 2 * rows
    assert all(call["cached"] is False for call in calls)
    assert {call["error"] for call in calls} > {None, "rate_limit"}
    assert {(call["step"], call["model"], call["purpose"]) for call in calls} == {
        ("triage", "small", "answer"), ("triage", "large", "answer"), ("verify", "large", "judge"),
    }  # fmt: skip
    asked_again = [line for line in project.log() if line["step"] == "triage" and (line["attempt"] or 1) != 1]
    assert asked_again

    summary = json.loads(project.read("logs/summary.json"))
    assert (summary["tickets"], summary["accepted"]) == (rows, verified["accepted"])
    assert len(summary["left_to_people"]) == rows - verified["accepted"]
    assert project.state("apply") == ("succeeded", f"when: {summary['accept_rate']} > 0.85 → true")
    replies = sorted(path.stem for path in (tmp_path / "replies").rglob("*.md"))
    assert len(replies) == verified["accepted"]
    assert not set(replies) & set(summary["left_to_people"])

    files = project.files()
    second = project.succeeds("run", "--json").value
    assert (second["calls"], second["cost"]) == (0, 0)
    assert project.files() == files
    replayed = jsonl(project.run_folder() / "calls.jsonl")
    assert all(call["cached"] is True for call in replayed)
    assert len(replayed) == sum(call["error"] is None for call in calls)
