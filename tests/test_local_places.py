"""Which places of a workflow keep their items here, and who is asked there: found before the first call."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.api.asking import Cast, cast, with_forced
from penstock.api.placing import local_places
from penstock.core.errors import OperatorError
from penstock.core.generation import Generate
from penstock.core.views import Options
from penstock.load.build import load
from tests.terminal import Project

MODELS = """models:
  here: {model: sim/here}
  away: {model: openai/away, base_url: http://gpu.invalid/v1, api_key: '${AWAY_KEY}'}
  also: {model: sim/also, placement: remote}
steps:
"""
TRIAGE = """  - id: triage
    foreach: [{risk: high}, {risk: low}]
    route:
      - {when: "item.risk == 'high'", to: legal, placement: local}
      - {when: "item.risk == 'odd'", to: legal, placement: local}
      - {when: "item.risk == 'low'", to: sales, placement: local}
      - {to: sales}
"""


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names no key."""
    for name in ("AWAY_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def ask(step_id: str, foreach: str, model: str = "here", more: str = "") -> str:
    """A step that asks a model about each item."""
    return (
        f"  - id: {step_id}\n    foreach: {foreach}\n{more}    generate: {{model: {model}, prompt: '{{{{ item }}}}'}}\n"
    )


def places(folder: Path, steps: str) -> dict[str, list[str]]:
    """The places of the workflow that keep items here, with what their models are for."""
    project = Project(folder)
    project.workflow(f"{MODELS}{steps}")
    workflow = load(folder / "workflow.yaml", overrides={}, environ={})
    return {step.id: [f"{one.where}: {one.what}" for one in local_places(workflow, step)] for step in workflow.steps}


def cast_of(folder: Path, steps: str, options: Options, active: str = "ask") -> Cast:
    """The workflow's models, ready to be asked."""
    project = Project(folder)
    project.workflow(f"{MODELS}{steps}")
    workflow = load(folder / "workflow.yaml", overrides={}, environ={})
    return cast(workflow, {}, options, frozenset(active.split()))


def test_items_stay_here_below_a_branch_whose_every_rule_keeps_them_here(tmp_path: Path) -> None:
    found = places(
        tmp_path,
        TRIAGE
        + ask("a", "steps.triage.legal")
        + ask("b", "steps.triage.sales")
        + ask("c", "steps.triage")
        + ask("d", "steps.a.accepted")
        + ask("e", "steps.triage.failed"),
    )
    assert found == {"triage": [], "a": ["step a: model"], "b": [], "c": [], "d": ["step d: model"], "e": []}


def test_a_judge_keeps_here_what_one_rule_of_its_step_does(tmp_path: Path) -> None:
    rules = '[{when: "item == 1", model: here, placement: local}, {model: away}]'
    step = (
        "  - id: ask\n    foreach: [1, 2]\n    generate:\n      prompt: '{{ item }}'\n"
        f"      judge: {{model: here, rubric: Good?, pass: score > 3}}\n      route: {rules}\n"
    )
    assert places(tmp_path, step) == {"ask": ["step ask, rule 1: model", "step ask: judge"]}


def test_a_simulated_model_that_counts_as_elsewhere_is_elsewhere(tmp_path: Path) -> None:
    step = ask("ask", "[1]", "also", "    placement: local\n")
    with pytest.raises(OperatorError, match="its model is not: also: it is `placement: remote`"):
        cast_of(tmp_path, step, Options())


def test_a_step_that_does_not_run_is_not_refused(tmp_path: Path) -> None:
    step = ask("ask", "[1]", "also", "    placement: local\n") + ask("other", "[1]")
    assert cast_of(tmp_path, step, Options(), active="other").missing == ()


def test_a_model_here_that_is_missing_is_no_model_here(tmp_path: Path) -> None:
    step = ask("ask", "[1]", "[python/nowhere_at_all:f, also]", "    placement: local\n")
    with pytest.raises(OperatorError, match="step ask has no local model that can be asked: python/nowhere_at_all:f"):
        cast_of(tmp_path, step, Options())


@pytest.mark.parametrize("options", [Options(forced="here"), Options(simulate=True, forced="away")])
def test_the_forced_model_stands_in_every_question_and_the_others_need_not_be_there(
    tmp_path: Path, options: Options
) -> None:
    found = cast_of(tmp_path, ask("ask", "[1]", "[away, openai/gpt-4o]"), options)
    spec = found.workflow.step("ask").spec
    assert isinstance(spec, Generate)
    assert spec.forced is not None
    assert (spec.forced.name, spec.forced.provider) == (options.forced, "sim")
    assert [model.name for model in spec.models] == ["away", "openai/gpt-4o"]
    assert found.missing == ()
    assert found.endpoints[spec.forced.name].url == "sim:"


def test_where_items_stay_here_the_models_that_the_forced_one_cannot_stand_for_must_be_there(tmp_path: Path) -> None:
    step = ask("ask", "[1]", "[python/nowhere_at_all:f, away]", "    placement: local\n")
    with pytest.raises(OperatorError, match="step ask has no local model that can be asked: python/nowhere_at_all:f"):
        cast_of(tmp_path, step, Options(forced="also"))
    both = cast_of(tmp_path, step.replace("away", "here"), Options(forced="also"))
    spec = both.workflow.step("ask").spec
    assert isinstance(spec, Generate)
    assert [model.name for model in spec.models] == ["here"]
    assert len(both.missing) == 1


def test_the_word_of_the_command_line_goes_before_that_of_the_environment() -> None:
    environ = {"PENSTOCK_FORCE_MODEL": "small"}
    assert with_forced(Options(), environ).forced == "small"
    assert with_forced(Options(forced="large"), environ).forced == "large"
    assert with_forced(Options(), {"PENSTOCK_FORCE_MODEL": ""}).forced is None
