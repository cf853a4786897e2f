"""Which steps a sample goes through, where its rows are drawn, and what is left out without a gate."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.core.sampling import Sample
from penstock.core.workflow import Workflow
from penstock.load.build import load
from penstock.rules.sampled_steps import lineage, outline, sees_every_row, withheld, written_before

STEPS = """\
name: Test
version: 1
env: {ON: 'yes'}
steps:
  - id: prepare
    run: echo '{}' > rows.jsonl
  - id: draft
    needs: [prepare]
    foreach: rows.jsonl
    run: echo {{item}} | tee -a drafts.jsonl
  - id: check
    needs: [draft]
    foreach: drafts.jsonl
    run: cat
  - id: mend
    foreach: steps.check.rejected
    run: cat
  - id: count
    needs: [check]
    run: printf '{"n":1}' > told.json
  - id: words
    foreach: [1, 2]
    where: item > 1
    run: cat
  - id: ask
    needs: [count]
    approve: {message: "Go on?"}
  - id: apply
    needs: [ask]
    run: "true"
  - id: tell
    needs: [count]
    when: outputs.told.n > 0
    run: "true"
  - id: aside
    when: env.ON == 'yes'
    run: "true"
"""


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    path = tmp_path / "workflow.yaml"
    path.write_text(STEPS)
    return load(path, overrides={}, environ=os.environ)


@pytest.mark.parametrize(
    ("require", "active", "counted"),
    [
        ("outputs.told.n > 1", {"prepare", "draft", "check", "count"}, None),
        ("outputs.words.total > 1", {"words"}, None),
        ("outputs.told.n > 1 and outputs.draft.accept_rate > 0.5", {"prepare", "draft", "check", "count"}, None),
        ("outputs.words.accept_rate > 0.5 and outputs.draft.accept_rate > 0.5", {"prepare", "draft", "words"}, None),
        ("outputs.draft.accept_rate > 0.5", {"prepare", "draft"}, "draft"),
        ("outputs.words.accept_rate_low > 0.5 and outputs.words.total > 1", {"words"}, "words"),
        ("steps.words.accept_rate > 0.5 and env.ON == 'yes'", {"words"}, "words"),
    ],
)
def test_a_sample_goes_through_what_its_condition_needs(
    require: str, active: set[str], counted: str | None, workflow: Workflow
) -> None:
    found = outline(workflow, Sample(5, require=require))
    assert set(found.active) == active
    assert found.counted == counted
    assert found.asked == {
        name for name in ("draft", "count", "words") if f".{'told' if name == 'count' else name}." in require
    }


def test_rows_are_drawn_from_what_no_step_with_rows_wrote(workflow: Workflow) -> None:
    found = outline(workflow, Sample(5))
    assert set(found.active) == {step.id for step in workflow.steps}
    assert set(found.roots) == {"draft", "words"}
    assert set(found.refiled) == {"check"}
    assert {step.id for step in workflow.steps} - found.swayed == {"prepare", "aside"}
    assert [step.id for step in workflow.steps if written_before(workflow, step)] == ["draft", "check"]


def test_only_a_step_that_every_row_comes_to_counts_as_many_as_there_are(workflow: Workflow) -> None:
    steps = {step.id: step for step in workflow.steps}
    assert [step.id for step in lineage(workflow, steps["mend"])] == ["mend", "check"]
    found = {name: sees_every_row(workflow, steps[name]) for name in ("draft", "check", "mend", "words")}
    assert found == {"draft": True, "check": True, "mend": False, "words": False}


def test_what_would_act_on_the_whole_is_left_out_without_a_gate(workflow: Workflow) -> None:
    assert withheld(workflow) == {
        "ask": "nobody is asked to approve a sample",
        "apply": "it follows ask, and nobody is asked to approve a sample",
        "tell": "its `when` is about what count comes to, and this is a sample",
    }
