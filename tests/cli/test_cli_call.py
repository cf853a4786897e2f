"""`penstock call`: one prompt, in a run of its own or through the gateway of the run that it is in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.terminal import Project, jsonl

MODELS = """\
models:
  small: {model: sim/small, price: {input: 1, output: 2}}
  keyless: {model: openai/gpt-4o, api_key: "${NOBODY_HAS_IT}"}
  gpt-4o-mini: [keyless, small]
"""
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.workflow(MODELS + "steps: [{id: a, run: echo}]\n")
    project.write("answer.json", json.dumps(SCHEMA))
    return project


def calls(project: Project) -> list[dict[str, object]]:
    return jsonl(project.run_folder() / "calls.jsonl")


# --- call, outside a run -----------------------------------------------------------------------


def test_an_answer_is_printed_its_cost_told_and_it_is_bought_once(project: Project) -> None:
    first = project.succeeds("call", "hello there", "--model", "small")
    assert (first.out, first.err) == ("hello there\n", "sim/small  3 in, 3 out  $0.000009\n")
    again = project.succeeds("call", "hello there", "--model", "gpt-4o-mini", "--json")
    assert again.err == "sim/small  3 in, 3 out  from the cache\n"
    assert again.value == {
        "text": "hello there",
        "model": "sim/small",
        "cost": 0.0,
        "tokens_in": 3,
        "tokens_out": 3,
        "cached": True,
    }
    assert [run["workflow"] for run in project.runs()] == ["penstock call"] * 2
    assert project.state("call") == ("succeeded", None)
    assert project.records("call") == [{"i": 0, "key": "0" * 16, "verdict": "accepted", "record": "hello there"}]
    assert project.succeeds("doctor").out.endswith("no problems\n")


def test_the_prompt_is_the_word_the_input_or_the_input_below_the_word(project: Project) -> None:
    for text, prompt in (
        ("penstock call Word --model sim/a </dev/null", "Word"),
        ("printf 'in\\nput\\n' | penstock call --model sim/a", "in\nput"),
        ("echo input | penstock call Word --model sim/a --system 'Be brief'", "Word\n\ninput"),
    ):
        assert project.bash(text).status == 0
        (kept,) = [entry for entry in _kept(project) if entry[-1] == {"role": "user", "content": prompt}]
        assert [turn["content"] for turn in kept[:-1]] == ([] if "system" not in text else ["Be brief"])
    assert project.penstock("call", "--model", "sim/a").status == 2


def _kept(project: Project) -> list[list[dict[str, str]]]:
    """The messages of every request in the cache."""
    files = (project.folder / ".penstock" / "cache").rglob("*")
    return [json.loads(file.read_bytes())["request"]["messages"] for file in files if file.is_file()]


def test_with_a_schema_the_answer_meets_it_or_is_none(project: Project) -> None:
    project.succeeds("call", "How many?", "--model", "small")
    said = project.succeeds("call", "How many?", "--model", "small", "--schema", "answer.json")
    assert isinstance(json.loads(said.out)["n"], int)
    assert said.err.startswith("sim/small"), "what was bought without the schema does not stand in its way"
    project.write("talker.py", "def answer(request):\n    return 'About seven.'\n")
    project.workflow("models: {bad: python/talker:answer}\nsteps: [{id: a, run: echo}]\n")
    bad = project.penstock("call", "How many?", "--model", "bad", "--schema", "answer.json")
    assert (bad.status, bad.out) == (1, "")
    assert bad.err.startswith("penstock: the answer of talker:answer does not meet answer.json:\n  /: expected")
    assert project.runs()[0]["status"] == "rejected"
    assert not (project.folder / "fixtures").exists()
    assert project.penstock("resume", "--failed").status == 2


def test_what_cannot_be_asked_is_said_in_a_line(project: Project) -> None:
    project.write("odd.json", '{"type": "objekt"}')
    for words, status, line in (
        (("--model", "smal"), 2, "--model: there is no model `smal`"),
        (("--model", "keyless"), 1, "keyless cannot be asked: NOBODY_HAS_IT is not set where Penstock runs"),
        (("--model", "small", "--schema", "none.json"), 2, "--schema none.json: No such file or directory"),
        (("--model", "small", "--schema", "odd.json"), 2, "--schema odd.json: at /type: "),
        (("--model", "small", "--system", "none.md"), 2, "--system none.md: No such file or directory"),
    ):
        said = project.penstock("call", "hello", *words)
        assert (said.status, said.out) == (status, "")
        assert said.err.startswith(f"penstock: {line}")
    project.environ["PENSTOCK_FORCE_MODEL"] = "gpt-4o-mini"
    forced = project.penstock("call", "hello", "--model", "small")
    assert forced.status == 2
    assert forced.err.startswith("penstock: PENSTOCK_FORCE_MODEL: `gpt-4o-mini` stands for several models")


# --- call, inside a run ------------------------------------------------------------------------


def test_inside_a_run_a_call_is_charged_to_its_item_and_bought_once(project: Project) -> None:
    project.workflow(
        MODELS
        + """\
steps:
  - id: ask
    foreach: [one, two]
    run: penstock call Say --model gpt-4o-mini
  - id: typed
    run: penstock call "How many?" --model small --schema answer.json --json </dev/null
"""
    )
    project.succeeds("run")
    assert [line["record"] for line in project.records("ask")] == ["one", "two"]
    (typed,) = project.records("typed")
    record = typed["record"]
    assert isinstance(record, dict)
    assert isinstance(json.loads(record["text"])["n"], int)
    costs = [line["cost"] for line in project.log() if line["step"] == "ask" and line["i"] is not None]
    assert all(isinstance(cost, float) and cost > 0 for cost in costs)
    assert {(call["step"], call["purpose"], call["cached"]) for call in calls(project)} == {
        ("ask", "script", False),
        ("typed", "script", False),
    }
    project.succeeds("run")
    assert all(call["cached"] for call in calls(project))


def test_where_a_step_does_without_the_gateway_a_call_says_so(project: Project) -> None:
    project.workflow(MODELS + "steps: [{id: ask, gateway: off, run: penstock call hello --model small}]\n")
    said = project.penstock("run")
    assert said.status == 1
    assert "asks through the gateway, which this step does without" in said.err
