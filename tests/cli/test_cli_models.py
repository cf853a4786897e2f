"""What the commands print of model steps, word for word: calls, costs, what is not known, what is simulated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.models.pricelist import data_version
from tests.graded import ANSWERS, PRICED, STEPS, UNPRICED, graded
from tests.terminal import Project

TABLE = """\
  rows   in  accepted  rejected  failed  skipped  accept rate
  grade   3         2         1       0        0        0.667
  even    2         1         1       0        0        0.500
"""
KEPT = "  kept    fixtures/failures/grade, fixtures/failures/even (rejected and failed rows)\n"
LOG = "  log     .penstock/runs/RUN/log.jsonl\n"
UNKNOWN = """\
  COST    NOT KNOWN for 3 calls: the run may have cost more than is told
          no price is known for mine: give models.mine.price in the workflow
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return graded(Project(tmp_path))


def test_a_run_tells_its_calls_and_what_they_cost(project: Project) -> None:
    said = project.succeeds("run")
    steps = """\
  grade  succeeded  2 accepted, 1 rejected  $0.006000  SPAN
  even   succeeded  1 accepted, 1 rejected  SPAN
"""
    assert said.normal_err == f"Test: run RUN\n{steps}"
    calls = "  calls   3 model calls, $0.006000\n"
    assert said.normal == f"succeeded in SPAN: run RUN\n\n{TABLE}\n{calls}{LOG}{KEPT}"
    head = "run RUN  workflow.yaml (Test)  succeeded  SPAN\n"
    assert project.succeeds("status").normal == f"{head}{steps}\n{TABLE}\n{calls}{LOG}"


def test_where_a_model_step_fails_its_calls_are_shown_and_no_output_of_commands(project: Project) -> None:
    project.write("mine.py", "def answer(request):\n    raise OSError('no luck')\n")
    project.workflow(
        "models: {mine: {model: python/mine:answer, price: {input: 1, output: 1}}}\n"
        "steps:\n  - id: ask\n    foreach: [1]\n    generate: {model: mine, prompt: 'Of {{ item }}'}\n"
    )
    said = project.penstock("run").normal
    assert "  asked   .penstock/runs/RUN/calls.jsonl (every model call, and what went wrong with it)\n" in said
    assert "  kept    fixtures/failures/ask (rejected and failed rows)\n" in said
    assert "output" not in said
    project.workflow("steps:\n  - id: say\n    run: echo no luck; exit 1\n")
    said = project.penstock("run").normal
    assert "  output  .penstock/runs/RUN/out (what the commands printed)\n" in said
    assert "asked" not in said


def test_programs_are_told_dollars(project: Project) -> None:
    told = project.succeeds("run", "--json").value
    assert (told["cost"], told["calls"], told["simulated"]) == (0.006, 3, False)
    steps = told["steps"]
    assert isinstance(steps, dict)
    assert {name: step["cost"] for name, step in steps.items()} == {"grade": 0.006, "even": None}
    again = project.succeeds("run", "--json").value
    assert (again["cost"], again["calls"]) == (0.0, 0)
    project.workflow("steps:\n  - id: a\n    run: 'true'\n")
    project.succeeds("run", "--quiet")
    assert [run["cost"] for run in project.runs()] == [None, 0.0, 0.006]


def test_the_log_names_the_model_and_the_cost_of_each_answer(project: Project) -> None:
    def logged() -> list[str]:
        lines = [line.removeprefix("TIME  ") for line in project.succeeds("log").normal.splitlines()]
        return [re.sub(r"  \(.+\)$", "", line) for line in lines if re.match(r"(grade|even) \d", line)]

    project.succeeds("run", "--quiet")
    assert sorted(logged()) == [
        "even 0  rejected  SPAN",
        "even 1  accepted  SPAN",
        "grade 0  accepted  SPAN  mine  $0.002000",
        "grade 1  accepted  SPAN  mine  $0.002000",
        "grade 2  rejected  SPAN  mine  $0.002000",
    ]
    project.succeeds("run", "--quiet")
    assert [line for line in sorted(logged()) if line.startswith("grade")] == [
        "grade 0  accepted  SPAN  mine  reused",
        "grade 1  accepted  SPAN  mine  reused",
        "grade 2  rejected  SPAN  mine  reused",
    ]


def test_a_plan_names_the_models(project: Project) -> None:
    printed = """\
  RUN    grade          3  every row of rows.jsonl; mine
                           3 calls to buy
                           $0.000008 or more, the most is NOT KNOWN
                           nothing bounds what mine writes: give
                             models.mine.max_tokens
  RUN    even              at most 3, those that end accepted in grade
"""
    assert project.succeeds("plan").out == printed
    project.workflow(CASCADE)
    printed = """\
  RUN    draft          1  a step without `inputs` always runs; small → sim/large, judged by sim/strict
                           2 calls to buy, 1 of them a judge's
                           $0
  MAYBE  again          1  when: outputs.draft.n > 3
"""
    assert project.succeeds("plan").out == printed


CASCADE = """\
models:
  small: {model: sim/small}
steps:
  - id: draft
    generate:
      model: [small, sim/large]
      prompt: hello
      judge: {model: sim/strict, rubric: Is it polite?, pass: score >= 3}
  - id: again
    needs: [draft]
    when: outputs.draft.n > 3
    generate: {model: small, prompt: hello}
"""


def test_a_cost_that_is_not_known_is_said_once_and_loudly_with_what_to_do(project: Project) -> None:
    graded(project, UNPRICED)
    said = project.succeeds("run")
    assert said.normal_err == (
        "Test: run RUN\n"
        "  grade  succeeded  2 accepted, 1 rejected  cost unknown  SPAN\n"
        "  even   succeeded  1 accepted, 1 rejected  SPAN\n"
    )
    assert f"  calls   3 model calls, cost unknown\n{UNKNOWN}{LOG}{KEPT}" in said.normal
    assert UNKNOWN in project.succeeds("status").normal
    assert "grade 0  accepted  SPAN  mine  cost unknown\n" in project.succeeds("log").normal
    assert [run["cost"] for run in project.runs()] == [None]


@pytest.mark.parametrize("words", [("--json",), ("--quiet",)])
def test_a_cost_that_is_not_known_is_said_even_where_little_is(project: Project, words: tuple[str, ...]) -> None:
    graded(project, UNPRICED)
    said = project.succeeds("run", *words)
    assert said.err.endswith(UNKNOWN)
    assert said.err.count("NOT KNOWN") == 1
    if "--json" in words:
        assert (said.value["cost"], said.value["calls"]) == (None, 3)


def test_a_model_that_has_no_name_of_its_own_is_given_one_to_have_a_price(project: Project) -> None:
    project.workflow("steps:\n  - id: a\n    generate: {model: 'python/answers:ask', prompt: grade 1}\n")
    said = project.succeeds("run").out
    assert (
        "          no price is known for python/answers:ask: "
        "name it: `models: {NAME: {model: python/answers:ask, price: {input: …, output: …}}}`\n"
    ) in said


def test_a_simulated_run_says_so_at_its_beginning_and_at_its_end(project: Project) -> None:
    said = project.succeeds("run", "--simulate")
    begins = "Test: run RUN\nsimulated: every answer comes from the simulator, and nothing is billed\n"
    assert said.normal_err.startswith(begins)
    assert re.search(r"^  calls   3 model calls, \$[\d.]+ \(simulated: nothing is billed\)$", said.out, re.MULTILINE)
    assert " (simulated: nothing is billed)\n" in project.succeeds("status").out
    assert project.succeeds("status", "--json").value["simulated"] is True
    assert project.succeeds("run", "--simulate", "--json").value["simulated"] is True


def test_a_workflow_whose_models_are_simulated_says_so_too(project: Project) -> None:
    graded(project, "{model: sim/small}")
    said = project.succeeds("run")
    assert "\nsimulated: every answer comes from the simulator, and nothing is billed\n" in said.err
    assert "  calls   3 model calls, $0 (simulated: nothing is billed)\n" in said.out


def test_on_a_terminal_calls_and_cost_are_drawn_as_they_come_and_fit(project: Project) -> None:
    name = "a_step_whose_name_is_longer_than_anybody_would_like_it_to_be"
    steps = STEPS.format(model=PRICED).replace("id: grade", f"id: {name}").replace("steps.grade", f"steps.{name}")
    project.workflow(steps)
    project.write("answers.py", ANSWERS.replace("    while", "    time.sleep(0.4)\n    while"))
    said = project.on_terminal("run", columns=80)
    assert said.status == 0
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", said.out)]
    drawn = [line.rstrip() for line in lines if "/3  " in line]
    assert any(line.startswith("  a_step_whose_name_is_long…  2/3  ") for line in drawn)
    assert any("  2 calls $0.004000  " in line for line in drawn)
    assert max(map(len, drawn)) <= 80


def test_the_list_that_prices_were_taken_from_is_told(project: Project) -> None:
    """The provider is out of reach: its address goes through a proxy that is not there."""
    project.environ |= {"https_proxy": "http://127.0.0.1:9", "OPENAI_API_KEY": "none-of-yours"}
    retry = "    retry: {connection: 1}\n"
    project.workflow(f"steps:\n  - id: a\n{retry}    generate: {{model: openai/gpt-4o-mini, prompt: hello}}\n")
    assert project.penstock("run", "--quiet").status == 1
    said = project.succeeds("status").out
    assert f"\n  calls   1 model call, $0\n  prices  {data_version()}\n" in said
