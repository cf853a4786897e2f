"""The example of routing: the real program runs it to a person's word and beyond, and its README's table is true."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from penstock.load.build import load
from tests.terminal import EXAMPLE, Project, jsonl

ROUTER = EXAMPLE.parent / "router"
WRITTEN = (".penstock", "logs", "replies", "fixtures")
FIELDS = ["id", "subject", "body", "risk", "plan", "lang", "channel", "customer"]
REAL = re.findall(r"^  # ((local|cloud): \{model: (\w+)/.+\})$", (ROUTER / "workflow.yaml").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    return jsonl(ROUTER / "data/requests.jsonl")


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A run of the example as it is: it waits."""
    project = copied(tmp_path_factory.mktemp("cascade"))
    assert project.penstock("run").status == 4
    return project


@pytest.fixture(scope="module")
def cheap(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A run in which only the local model is asked: its gate does not pass, and a person lets it go on."""
    project = copied(tmp_path_factory.mktemp("cheap"), force="local")
    assert project.penstock("run").status == 3
    assert project.penstock("resume", "--expand").status == 4
    return project


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A run in which the cloud's model is asked about all that it may see."""
    project = copied(tmp_path_factory.mktemp("strong"), force="cloud")
    assert project.penstock("run").status == 4
    return project


def copied(folder: Path, force: str | None = None) -> Project:
    """The example in a folder of its own, where nothing has been bought."""
    shutil.copytree(ROUTER, folder, ignore=shutil.ignore_patterns(*WRITTEN), dirs_exist_ok=True)
    project = Project(folder)
    if force is not None:
        project.environ["PENSTOCK_FORCE_MODEL"] = force
    return project


def calls(project: Project) -> list[dict[str, object]]:
    """The calls that the newest run paid for."""
    return [call for call in jsonl(project.run_folder() / "calls.jsonl") if not call["cached"]]


def cost(project: Project) -> float:
    """What the newest run cost, in dollars."""
    return sum(float(str(call["cost"])) for call in calls(project))


def accepted(project: Project) -> set[int]:
    """The rows whose answers `verify` accepted in the newest run."""
    lines = jsonl(project.run_folder() / "steps/verify.jsonl")
    return {row_of(line) for line in lines if line["verdict"] == "accepted"}


def ruled(project: Project) -> dict[int, int]:
    """The rule that each row went by in the newest run."""
    found = {}
    for line in project.log():
        route = line.get("route")
        if line["step"] == "answer" and isinstance(route, dict):
            found[row_of(line)] = int(route["rule"])
    return found


def row_of(line: Mapping[str, object]) -> int:
    """The index of the row that a line of the log, the calls or the records is about."""
    assert isinstance(line["i"], int)
    return line["i"]


def waiting(project: Project) -> dict[str, object]:
    """The newest thing that waits for a person's word."""
    found = json.loads(project.succeeds("waiting", "--json").out)
    assert isinstance(found[0], dict)
    return found[0]


def test_the_requests_are_of_two_languages_three_plans_and_two_risks(rows: list[dict[str, object]]) -> None:
    assert len(rows) == len({row["id"] for row in rows}) == 160
    assert all(list(row) == FIELDS and all(isinstance(value, str) for value in row.values()) for row in rows)
    assert {row["lang"] for row in rows} == {"en", "ko"}
    assert {row["plan"] for row in rows} == {"guest", "subscriber", "business"}
    assert Counter(row["risk"] for row in rows) == {"low": 138, "high": 22}


def test_check_finds_nothing_wrong_and_notes_nothing() -> None:
    said = Project(ROUTER).succeeds("check")
    assert (said.out, said.err) == ("workflow.yaml: Router, 5 steps, no errors\n", "")


@pytest.mark.parametrize(("line", "name", "provider"), REAL)
def test_the_commented_line_in_the_place_of_the_model_is_all_that_has_to_change(
    line: str, name: str, provider: str
) -> None:
    text, count = re.subn(rf"^  {name}: .+$", f"  {line}", (ROUTER / "workflow.yaml").read_text(), flags=re.MULTILINE)
    assert count == 1
    changed = load(ROUTER / "workflow.yaml", overrides={}, environ={}, text=text)
    assert {model.name: model.provider for model in changed.models} == {
        "local": "sim", "cloud": "sim", name: provider,
    }  # fmt: skip


def test_each_of_the_two_models_has_a_real_one_in_a_comment() -> None:
    assert [(name, provider) for _, name, provider in REAL] == [("local", "ollama"), ("cloud", "openai")]


def test_each_rule_sends_requests_on_and_says_why(cascade: Project, rows: list[dict[str, object]]) -> None:
    rules = ruled(cascade)
    assert set(rules) == set(range(len(rows)))
    assert {i for i, rule in rules.items() if rule == 1} == {i for i, row in enumerate(rows) if row["risk"] == "high"}
    assert {rule: count > 5 for rule, count in Counter(rules.values()).items()} == dict.fromkeys((1, 2, 3, 4), True)
    first = {row_of(call): call["model"] for call in reversed(calls(cascade))}
    assert {(rules[i], model) for i, model in first.items()} == {
        (1, "local"), (2, "cloud"), (3, "cloud"), (4, "local"),
    }  # fmt: skip


def test_only_a_doubtful_answer_is_taken_to_the_strong_model(cascade: Project) -> None:
    fourth = {i for i, rule in ruled(cascade).items() if rule == 4}
    escalated = {row_of(call) for call in calls(cascade) if row_of(call) in fourth and call["model"] == "cloud"}
    assert 20 < len(escalated) < len(fourth) / 2
    assert len(accepted(cascade) & escalated) > 0.9 * len(escalated)


@pytest.mark.parametrize("run", ["cascade", "cheap", "strong"])
def test_no_model_elsewhere_sees_what_is_private(
    run: str, rows: list[dict[str, object]], request: pytest.FixtureRequest
) -> None:
    private = {i for i, row in enumerate(rows) if row["risk"] == "high"}
    asked = {(row_of(call), call["model"]) for call in calls(request.getfixturevalue(run)) if row_of(call) in private}
    assert asked == {(i, "local") for i in private}


def test_the_cascade_is_much_better_than_all_cheap_and_much_cheaper_than_all_strong(
    cheap: Project, cascade: Project, strong: Project
) -> None:
    assert cost(cheap) == 0
    assert 0 < cost(cascade) < 0.55 * cost(strong)
    assert len(accepted(cascade)) > len(accepted(cheap)) + 30
    assert len(accepted(cascade)) >= len(accepted(strong)) - 5


def test_the_table_in_the_readme_is_what_these_runs_came_to(cheap: Project, cascade: Project, strong: Project) -> None:
    written = re.findall(r"^\| all (?:cheap|strong), .+|^\| the cascade, .+", (ROUTER / "README.md").read_text(), re.M)
    found = [re.findall(r"\$?[\d.]+", row) for row in written]
    assert found == [
        [
            str(len(calls(project))),
            str(sum(call["model"] == "cloud" for call in calls(project))),
            f"${cost(project):.4f}".replace("$0.0000", "$0"),
            str(len(accepted(project))),
            f"{len(accepted(project)) / 160:.3f}",
        ]
        for project in (cheap, cascade, strong)
    ]


def test_a_sampled_run_and_a_full_one_send_the_same_requests_and_none_twice(cascade: Project, tmp_path: Path) -> None:
    full = copied(tmp_path)
    text = full.read("workflow.yaml")
    full.write("workflow.yaml", re.sub(r"^sample: .+\n", "", text, flags=re.MULTILINE))
    assert full.penstock("run").status == 4
    sent = [Counter(call["request"] for call in calls(project)) for project in (cascade, full)]
    assert sent[0] == sent[1]
    assert max(sent[0].values()) == 1
    assert accepted(full) == accepted(cascade)

    full.write("workflow.yaml", text)
    again = full.penstock("run", "--json")
    assert (again.status, again.value["calls"], again.value["cost"]) == (4, 0, 0)


def test_git_ignores_all_that_a_run_writes(cascade: Project) -> None:
    written = {path.name for path in cascade.folder.iterdir()} - {path.name for path in ROUTER.iterdir()}
    ignored = {line.split("/")[1] for line in cascade.read(".gitignore").splitlines()}
    assert written <= ignored


def test_nothing_is_written_before_a_person_says_yes_and_all_of_it_after(cascade: Project) -> None:
    replies = cascade.folder / "replies"
    count = len(accepted(cascade))
    question = f"Write {count} replies, and leave {160 - count} of 160 requests to people?"
    assert question in cascade.succeeds("waiting").out
    run = str(waiting(cascade)["run"])
    assert cascade.penstock("resume", run).status == 4
    assert not replies.exists()

    cascade.succeeds("approve", run, "sign_off", "--as", "dana", "--comment", "read ten of them")
    assert cascade.penstock("reject", run, "sign_off", "--as", "kim").status == 1
    assert cascade.succeeds("resume", run, "--json").value["status"] == "succeeded"
    ids = [row["id"] for row in jsonl(ROUTER / "data/requests.jsonl")]
    written = {path.stem for path in replies.rglob("*.md")}
    assert written == {ids[i] for i in accepted(cascade)}
    assert written.isdisjoint(json.loads(cascade.read("logs/summary.json"))["left_to_people"])


def test_a_no_ends_the_run_with_status_3_and_writes_nothing(strong: Project) -> None:
    strong.succeeds("reject", "--as", "dana", "--comment", "the tone is wrong")
    assert strong.penstock("resume").status == 3
    assert not (strong.folder / "replies").exists()
