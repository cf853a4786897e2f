"""Rules of `generate` and `route` steps become what they say, and streams of branches are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from penstock.core.errors import WorkflowError
from penstock.core.generation import Generate, Rule
from penstock.core.models import Model
from penstock.core.routing import RESERVED, Branch, Route
from penstock.core.workflow import ListSource, Need, Retry, StepSource, Workflow
from penstock.load.build import load
from penstock.load.schema import json_schema
from penstock.load.source import parse
from penstock.load.tree import plain

Load = Callable[..., Workflow]
GOOD = Path(__file__).parent / "good"
SMALL, LARGE = Model("small", "sim", "small"), Model("large", "sim", "large")
MODELS = "models: {small: sim/small, large: sim/large}"


def generated(workflow: Workflow, step_id: str = "a") -> Generate:
    spec = workflow.step(step_id).spec
    assert isinstance(spec, Generate)
    return spec


def routed(workflow: Workflow, step_id: str = "a") -> Route:
    spec = workflow.step(step_id).spec
    assert isinstance(spec, Route)
    return spec


def asking(keys: str, foreach: str = "[1]") -> str:
    return f"name: x\n{MODELS}\nsteps: [{{id: a, foreach: {foreach}, generate: {{{keys}}}}}]\n"


def notes(workflow: Workflow) -> list[str]:
    return [note.message for note in workflow.notes]


@pytest.mark.parametrize("file", sorted(GOOD.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_good_file_loads_and_editors_agree(file: Path) -> None:
    load(file, overrides={}, environ={})
    document = plain(parse(file.read_text(encoding="utf-8"), file.name).root)
    assert list(Draft202012Validator(json_schema()).iter_errors(document)) == []


# --- rules of generate --------------------------------------------------------------------------


def test_a_rule_says_what_differs_and_takes_the_rest_from_the_step() -> None:
    spec = generated(load(GOOD / "decisions.yaml", overrides={}, environ={}), "draft")
    high, long, risky, rest = spec.rules
    assert [rule.when for rule in spec.rules] == [
        "item.risk == 'high'",
        "tokens(item.text) > 4000",
        "matches(item.text, '(?i)refund|legal')",
        None,
    ]
    assert [[model.name for model in rule.models] for rule in spec.rules] == [
        ["large"],
        ["large"],
        ["small", "large"],
        ["small"],
    ]
    assert [rule.local for rule in spec.rules] == [True, False, False, False]
    assert (long.prompt.text, rest.prompt) == ("Answer at length {{ item.text }}", spec.prompt)
    assert {rule.system for rule in spec.rules} == {spec.system}
    assert dict(risky.params) == {"temperature": 0, "max_tokens": 400}
    assert high.params == rest.params == spec.params == (("temperature", 0.2), ("max_tokens", 400))
    assert [model.name for model in spec.models] == ["large", "small"]
    assert spec.accept_when == "output.sure >= 0.7 or signals.attempts == 1 and not signals.mended"


def test_without_rules_there_are_none_and_the_models_are_the_steps_own(loaded: Load) -> None:
    spec = generated(loaded(asking("model: [small, large], prompt: Hello")))
    assert (spec.models, spec.rules, spec.accept_when) == ((SMALL, LARGE), (), None)


def test_model_and_prompt_may_stand_in_the_rules_alone(loaded: Load) -> None:
    workflow = loaded(asking("route: [{when: item > 3, model: large, prompt: One}, {model: sim/x, prompt: Two}]"))
    spec = generated(workflow)
    assert [model.name for model in spec.models] == ["large", "sim/x"]
    assert [rule.prompt.text for rule in spec.rules] == ["One", "Two"]
    assert [model.name for model in workflow.models] == ["small", "large", "sim/x"]
    assert workflow.notes == ()


def test_a_rule_of_a_step_without_items_sees_what_there_is(loaded: Load) -> None:
    workflow = loaded(f"""
        name: x
        {MODELS}
        env: {{SIZE: small}}
        steps:
          - {{id: b, run: echo 3}}
          - id: a
            needs: [b]
            generate:
              prompt: Hello
              model: small
              route: [{{when: outputs.b > 2 and env.SIZE == "small"}}, {{model: large}}]
    """)
    first, second = generated(workflow).rules
    assert first == Rule('outputs.b > 2 and env.SIZE == "small"', (SMALL,), first.prompt)
    assert second.models == (LARGE,)
    assert workflow.outputs[0][0] == "b"


def test_reading_the_outputs_of_the_stream_in_a_rule_makes_it_a_barrier(loaded: Load) -> None:
    workflow = loaded(f"""
        name: x
        {MODELS}
        steps:
          - {{id: a, foreach: [1], run: cat}}
          - {{id: b, foreach: steps.a, route: [{{when: item.n > outputs.a.total, to: x}}, {{to: y}}]}}
          - {{id: c, foreach: steps.a, route: [{{when: item.n > 3, to: x}}, {{to: y}}]}}
          - id: d
            foreach: steps.a
            generate: {{model: [small, large], prompt: x, accept_when: outputs.a.total > 3}}
    """)
    assert [workflow.step(step).barrier for step in "bcd"] == [True, False, True]


def test_what_every_rule_says_itself_is_noted_as_never_used(loaded: Load) -> None:
    workflow = loaded(
        asking("model: small, prompt: Hello, system: Hi, route: [{when: item > 3, model: large}, {model: large}]")
    )
    assert notes(workflow) == ["this `model` is never used: every rule of `route` has its own"]


# --- accept_when --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "noted"),
    [
        ("model: small, prompt: x, accept_when: output.n > 3", True),
        ("model: [small, large], prompt: x, accept_when: output.n > 3", False),
        ("model: small, prompt: x, accept_when: output.n > 3, route: [{when: item > 3}, {model: large}]", True),
        ("model: small, prompt: x, accept_when: output.n > 3, route: [{when: i>3, model: [small, large]}, {}]", False),
        ("prompt: x, accept_when: output.n > 3, route: [{model: large}]", True),
        ("model: small, prompt: x", False),
    ],
)  # fmt: skip
def test_accept_when_without_a_cascade_is_noted(loaded: Load, keys: str, noted: bool) -> None:
    what = "`accept_when` never has an effect: there is one model, and what the last one answers is accepted"
    assert notes(loaded(asking(keys))) == [what] * noted


def test_accept_when_sees_the_answer_the_item_and_all_signals(loaded: Load) -> None:
    condition = (
        "output.n > item.n and signals.attempts < 3 and not signals.mended and i > 0 and "
        "(signals.judge_score == null or signals.judge_score > 3) and signals.logprob != null"
    )
    assert generated(loaded(asking(f'model: [small, large], prompt: x, accept_when: "{condition}"'))).accept_when == (
        condition
    )


# --- route steps --------------------------------------------------------------------------------


def test_a_route_step_has_its_rules_and_each_branch_once() -> None:
    workflow = load(GOOD / "decisions.yaml", overrides={}, environ={})
    assert routed(workflow, "triage") == Route(
        ("legal", "long-form", "other"),
        (
            Branch("item.topic == 'law' or origin.risk == 'high'", "legal", local=True),
            Branch("chain.verify.ok and item.length > 3", "long-form"),
            Branch("item.topic == 'money'", "legal"),
            Branch(None, "other"),
        ),
    )
    assert workflow.step("ask").foreach == StepSource("triage", "other")
    assert workflow.step("ask").needs == (Need("triage"),)
    assert [step.id for step in workflow.steps if step.local] == ["ask", "sign_off"]


def test_a_route_step_that_asks_a_model_has_its_choices_for_a_contract() -> None:
    workflow = load(GOOD / "decisions.yaml", overrides={}, environ={})
    route = routed(workflow, "ask")
    assert (route.branches, route.rules) == (("sales", "press"), ())
    assert route.chooser is not None
    assert route.chooser.contract.schema is not None
    assert route.chooser.contract.schema.value == {
        "type": "object",
        "properties": {"choice": {"enum": ["sales", "press"]}},
        "required": ["choice"],
        "additionalProperties": False,
    }
    assert route.chooser.prompt.text == "Where? {{ item.answer }} {{ chain.triage.why }}"
    assert route.chooser.system is not None
    assert (route.chooser.system.text, route.chooser.attempts, route.chooser.cache) == ("Sort.", 2, "use")
    assert [model.name for model in route.chooser.models] == ["small"]
    assert workflow.step("press").foreach == StepSource("ask", "press")


def test_rules_ask_nobody_so_the_defaults_of_calls_are_not_theirs(loaded: Load) -> None:
    workflow = loaded(f"""
        name: x
        {MODELS}
        defaults: {{timeout: 5m, retry: {{attempts: 3}}, concurrency: 2, cache: true}}
        steps:
          - {{id: a, foreach: [1], route: [{{to: b}}]}}
          - {{id: c, foreach: [1], route: {{model: small, prompt: Where?, choices: [d, e]}}, timeout: 9s}}
    """)
    rules, chooser = workflow.steps
    assert (rules.timeout_s, rules.retry, rules.concurrency, rules.cache) == (None, Retry(), 2, False)
    assert (chooser.timeout_s, chooser.retry.attempts, chooser.cache) == (9.0, 3, False)
    assert rules.foreach == ListSource((1,))


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_no_branch_has_the_name_of_something_else(loaded: Load, name: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        loaded(f"name: x\nsteps: [{{id: a, foreach: [1], route: [{{to: {name}}}]}}]")
    assert f"no branch can be called `{name}`" in str(caught.value)
    with pytest.raises(WorkflowError) as caught:
        loaded(f"name: x\nsteps: [{{id: a, foreach: [1], route: {{model: sim/a, prompt: x, choices: [b, {name}]}}}}]")
    assert f"no branch can be called `{name}`" in str(caught.value)


def test_a_branch_whose_file_ending_looks_like_rows_is_a_branch(loaded: Load) -> None:
    workflow = loaded("""
        name: x
        steps:
          - {id: a, foreach: [1], route: [{to: csv}]}
          - {id: b, foreach: steps.a.csv, run: cat}
    """)
    assert workflow.step("b").foreach == StepSource("a", "csv")


def test_a_score_of_no_judge_is_mentioned(loaded: Load) -> None:
    accepting = "model: [small, large], prompt: Hello, accept_when: signals.judge_score > 3"
    assert any("this step has no `judge`" in note for note in notes(loaded(asking(accepting))))
    judged = f"{accepting}, judge: {{model: large, rubric: Good?, pass: score > 3}}"
    assert notes(loaded(asking(judged))) == []
