"""`gateway: on | off` at the workflow, in `defaults` and at a step; and names of `models` that stand for several."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.core.errors import UsageError
from penstock.core.generation import Generate
from penstock.core.models import Model
from penstock.core.workflow import Workflow
from penstock.load.forced import model_named

Load = Callable[..., Workflow]


@pytest.mark.parametrize(
    ("workflow", "defaults", "step", "expected"),
    [
        ("", "", "", True),
        ("gateway: off", "", "", False),
        ("gateway: on", "", "", True),
        ("", "gateway: off", "", False),
        ("gateway: off", "gateway: on", "", True),
        ("gateway: on", "gateway: off", "", False),
        ("gateway: off", "", "gateway: on", True),
        ("gateway: on", "gateway: on", "gateway: off", False),
        ("gateway: off", "gateway: off", "gateway: on", True),
    ],
)
def test_the_narrower_word_wins(loaded: Load, workflow: str, defaults: str, step: str, expected: bool) -> None:
    text = f"name: x\n{workflow}\ndefaults: {{{defaults}}}\nsteps: [{{id: a, run: echo, {step}}}]"
    assert loaded(text).step("a").gateway is expected


def test_a_name_stands_for_its_models_in_their_order_wherever_models_are_named(loaded: Load) -> None:
    workflow = loaded(
        """\
        name: x
        models:
          gpt-4o-mini: [small, large, openai/gpt-4o-mini]
          small: sim/small
          large: {model: sim/large, concurrency: 2}
        steps:
          - id: a
            generate:
              model: gpt-4o-mini
              prompt: Hello
              judge: {model: gpt-4o-mini, rubric: Is it good?, pass: score > 3}
          - id: b
            generate: {route: [{when: true, model: [gpt-4o-mini, sim/last], prompt: Hello}]}
        """
    )
    small, large = Model("small", "sim", "small"), Model("large", "sim", "large", concurrency=2)
    mini = Model("openai/gpt-4o-mini", "openai", "gpt-4o-mini")
    asked, ruled = workflow.step("a").spec, workflow.step("b").spec
    assert isinstance(asked, Generate)
    assert asked.models == (small, large, mini)
    assert asked.contract.judge is not None
    assert asked.contract.judge.models == (small, large, mini)
    assert isinstance(ruled, Generate)
    assert ruled.rules[0].models == (small, large, mini, Model("sim/last", "sim", "last"))
    assert workflow.cascades == (("gpt-4o-mini", ("small", "large", "openai/gpt-4o-mini")),)
    assert {model.name for model in workflow.models} == {"small", "large", "openai/gpt-4o-mini", "sim/last"}


def test_a_name_that_no_step_asks_for_has_its_models_in_the_workflow_all_the_same(loaded: Load) -> None:
    workflow = loaded("name: x\nmodels: {mini: [sim/a, '${BIG}']}\nsteps: [{id: a, run: echo}]", BIG="sim/b")
    assert workflow.cascades == (("mini", ("sim/a", "sim/b")),)
    assert workflow.models == (Model("sim/a", "sim", "a"), Model("sim/b", "sim", "b"))


def test_one_model_is_not_several(loaded: Load) -> None:
    workflow = loaded("name: x\nmodels: {mini: [small, sim/b], small: sim/a}\nsteps: [{id: a, run: echo}]")
    with pytest.raises(UsageError, match="PENSTOCK_FORCE_MODEL: `mini` stands for several models") as caught:
        model_named(workflow, "mini")
    assert caught.value.help == "name `small` or `sim/b`"
    assert model_named(workflow, "small") == Model("small", "sim", "a")
