"""The example of a draft, its critique and its fix: the real program runs it, and only what was rejected is fixed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from penstock.load.build import load
from tests.terminal import EXAMPLE, Project, jsonl

CRITIC = EXAMPLE.parent / "critic"
WRITTEN = (".penstock", "texts", "fixtures")
REAL = re.findall(r"^  # ((writer|critic): \{model: (\w+)/.+\})$", (CRITIC / "workflow.yaml").read_text(), re.MULTILINE)
CLAIM = re.compile("(?i)organic|fair ?trade|health|blood pressure")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the example that has run once."""
    project = copied(tmp_path_factory.mktemp("critic"))
    project.succeeds("run")
    return project


def copied(folder: Path) -> Project:
    """The example in a folder of its own, where nothing has been bought."""
    shutil.copytree(CRITIC, folder, ignore=shutil.ignore_patterns(*WRITTEN), dirs_exist_ok=True)
    return Project(folder)


def records(project: Project, step: str) -> dict[int, dict[str, object]]:
    """The records of a step by the index of their row; all of them are accepted."""
    found = {}
    for line in project.records(step):
        record = line["record"]
        assert line["verdict"] == "accepted"
        found[row_of(line)] = record if isinstance(record, dict) else {}
    return found


def bought(project: Project, step: str) -> set[int]:
    """The rows for which a step asked a model and paid."""
    calls = jsonl(project.run_folder() / "calls.jsonl")
    return {row_of(call) for call in calls if call["step"] == step and not call["cached"]}


def row_of(line: Mapping[str, object]) -> int:
    """The index of the row that a line is about."""
    assert isinstance(line["i"], int)
    return line["i"]


def test_check_finds_nothing_wrong_and_notes_nothing() -> None:
    said = Project(CRITIC).succeeds("check")
    assert (said.out, said.err) == ("workflow.yaml: Critic, 7 steps, no errors\n", "")


def test_each_of_the_two_models_has_a_real_one_in_a_comment() -> None:
    assert [(name, provider) for _, name, provider in REAL] == [("writer", "openai"), ("critic", "openai")]


@pytest.mark.parametrize(("line", "name", "provider"), REAL)
def test_the_commented_line_in_the_place_of_the_model_is_all_that_has_to_change(
    line: str, name: str, provider: str
) -> None:
    text, count = re.subn(rf"^  {name}: .+$", f"  {line}", (CRITIC / "workflow.yaml").read_text(), flags=re.MULTILINE)
    assert count == 1
    changed = load(CRITIC / "workflow.yaml", overrides={}, environ={}, text=text)
    assert {model.name: model.provider for model in changed.models} == {
        "writer": "sim", "critic": "sim", name: provider,
    }  # fmt: skip


def test_every_brief_is_drafted_criticised_and_sent_on(ran: Project) -> None:
    rows = range(len(jsonl(CRITIC / "data/briefs.jsonl")))
    for step in ("draft", "critique", "fix", "route"):
        assert set(records(ran, step)) == set(rows)


def test_a_critic_says_what_is_wrong_exactly_where_it_says_no(ran: Project) -> None:
    critiques = records(ran, "critique").values()
    assert {critique["ok"] for critique in critiques} == {True, False}
    for critique in critiques:
        failures = critique["failures"]
        assert isinstance(failures, list)
        assert critique["ok"] is not bool(failures)
        assert all(set(failure) == {"rule", "reason", "fix"} for failure in failures)


def test_only_the_rejected_drafts_are_fixed_and_paid_for(ran: Project) -> None:
    rejected = {i for i, critique in records(ran, "critique").items() if not critique["ok"]}
    drafts, fixed = records(ran, "draft"), records(ran, "fix")
    assert bought(ran, "fix") == rejected
    assert {i for i in fixed if fixed[i] != drafts[i]} == rejected
    assert 0 < len(rejected) < len(drafts)


def test_every_card_arrives_on_exactly_one_branch(ran: Project) -> None:
    briefs = jsonl(CRITIC / "data/briefs.jsonl")
    critiques, fixed = records(ran, "critique"), records(ran, "fix")
    chosen = {i: record["to"] for i, record in records(ran, "route").items()}
    expected = {
        i: "legal" if CLAIM.search(str(card["text"])) else "shelf" if critiques[i]["ok"] else "editor"
        for i, card in fixed.items()
    }
    assert chosen == expected
    branches = {name: {i for i in chosen if chosen[i] == name} for name in ("legal", "editor", "shelf")}
    assert all(branches.values())
    assert {name: set(records(ran, name)) for name in branches} == branches

    legal = [line.split("  ")[0] for line in ran.read("texts/legal.txt").splitlines()]
    assert legal == [briefs[i]["id"] for i in sorted(branches["legal"])]
    assert sorted(ran.files("texts/editor")) == [f"{briefs[i]['id']}.md" for i in sorted(branches["editor"])]
    cards = [f"{fixed[i]['title']}\n{fixed[i]['text']}\n" for i in sorted(branches["shelf"])]
    assert ran.read("texts/shelf.txt").split("\n\n")[:-1] == [card[:-1] for card in cards]


def test_an_editor_sees_the_draft_what_the_critic_said_and_the_fix(ran: Project) -> None:
    i = min(i for i, record in records(ran, "route").items() if record["to"] == "editor")
    brief = jsonl(CRITIC / "data/briefs.jsonl")[i]
    page = ran.read(f"texts/editor/{brief['id']}.md")
    assert f"Draft: {records(ran, 'draft')[i]['text']}\n" in page
    assert '[{"rule":"grounded","reason":' in page
    assert page.endswith(f"Fixed: {records(ran, 'fix')[i]['text']}\n")
    assert str(brief["story"]) not in page.split("Fixed: ")[1]


def test_git_ignores_all_that_a_run_writes(ran: Project) -> None:
    written = {path.name for path in ran.folder.iterdir()} - {path.name for path in CRITIC.iterdir()}
    ignored = {line.split("/")[1] for line in ran.read(".gitignore").splitlines()}
    assert written <= ignored


def test_a_second_run_buys_nothing_and_writes_the_same(tmp_path: Path) -> None:
    project = copied(tmp_path)
    first = project.succeeds("run", "--json").value
    files = project.files()
    again = project.succeeds("run", "--json").value
    assert first["calls"] != 0
    assert (again["calls"], again["cost"]) == (0, 0)
    assert project.files() == files
