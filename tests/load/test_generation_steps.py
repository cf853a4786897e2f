"""`generate` and `verify` become what they say; prompts and other texts come from files or stand in the workflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.core.errors import Place, WorkflowError
from penstock.core.generation import Contract, Drop, Generate, Judge, Schema, Template, Truncate, Verify
from penstock.core.models import Model
from penstock.core.workflow import OutputName, Retry, Workflow
from penstock.load.build import load
from penstock.load.named_files import is_path

Load = Callable[..., Workflow]
SIM = Model("sim/a", "sim", "a")


def generated(workflow: Workflow, step_id: str = "a") -> Generate:
    spec = workflow.step(step_id).spec
    assert isinstance(spec, Generate)
    return spec


def prompt_of(value: str, folder: Path) -> Template:
    """The prompt of a step whose `prompt` is this value, as it stands in YAML."""
    text = f"name: x\nsteps:\n  - id: a\n    foreach: [1]\n    generate:\n      model: sim/a\n      prompt: {value}\n"
    return generated(load(folder / "flow.yaml", overrides={}, environ={"DIR": "prompts"}, text=text)).prompt


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a prompt, a system, a rubric and two schemas."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "p.md").write_text("Summarise {{ item.text }} as {{ style }}.\r\n", encoding="utf-8")
    (tmp_path / "system.txt").write_text("Be brief, {{ env.TONE }}.\n", encoding="utf-8-sig")
    (tmp_path / "rubric.md").write_text("Is it true? 사실인가? {{ origin.text }}", encoding="utf-8")
    (tmp_path / "few.md").write_text("Examples {{ not_a_template }}", encoding="utf-8")
    (tmp_path / "out.json").write_text('{"type": "object", "properties": {"n": {"$ref": "n.json"}}}')
    (tmp_path / "n.json").write_text('{"type": "integer"}')
    return tmp_path


FULL = """\
name: Full
env: {TONE: kind}
models: {small: sim/small, large: sim/large}
steps:
  - {id: rows, run: cat, foreach: [{text: a}]}
  - {id: totals, run: "count > totals.json"}
  - id: a
    needs: [totals]
    foreach: steps.rows
    where: item.n > 3
    timeout: 30s
    concurrency: 4
    max_failures: 5%
    retry: {rate_limit: 8, denied: 2, backoff: {cap: 5s}}
    env: {TONE: stern}
    generate:
      model: [small, large]
      system: system.txt
      prompt: prompts/p.md
      schema: out.json
      checks: ["output.n >= 3", "outputs.totals.n > output.n"]
      judge: {model: large, rubric: rubric.md, pass: "score >= 4 and len(failures) == 0", params: {temperature: 0}}
      params: {temperature: 0.20, stop: [a, "7"], nested: {a: null}}
      attempts: 5
      shrink: [{drop: few}, {truncate: 'item.a["b c"][0]', to: 20}, {truncate: style, to: 1}]
      vars: {few: few.md, style: "a {{ poem }}", count: 3}
      cache: refresh
  - {id: v, foreach: steps.a.accepted, verify: {checks: item.n == 3 and output.n > 2 and chain.a.n > 3, cache: off}}
"""


def test_every_key_of_a_generate_step_has_its_value(project: Path) -> None:
    workflow = load(project / "flow.yaml", overrides={}, environ={}, text=FULL)
    file = str(project / "flow.yaml")
    step = workflow.step("a")
    small, large = Model("small", "sim", "small"), Model("large", "sim", "large")
    whole = {
        "type": "object",
        "properties": {"n": {"$ref": "#/$defs/n"}},
        "$defs": {"n": {"type": "integer"}},
    }
    assert step.shell is None
    assert step.spec == Generate(
        (small, large),
        Template("Summarise {{ item.text }} as {{ style }}.\r\n", "prompts/p.md", Place(file, 19, 15)),
        Contract(
            Schema(whole, "out.json", Place(file, 20, 15)),
            ("output.n >= 3", "outputs.totals.n > output.n"),
            Judge(
                (large,),
                Template("Is it true? 사실인가? {{ origin.text }}", "rubric.md", Place(file, 22, 37)),
                "score >= 4 and len(failures) == 0",
                (("temperature", 0),),
            ),
        ),
        system=Template("Be brief, {{ env.TONE }}.\n", "system.txt", Place(file, 18, 15)),
        vars=(("few", "Examples {{ not_a_template }}"), ("style", "a {{ poem }}"), ("count", "3")),
        params=(("temperature", 0.2), ("stop", ["a", "7"]), ("nested", {"a": None})),
        attempts=5,
        shrink=(Drop("few"), Truncate(("item", "a", "b c", 0), 20), Truncate(("style",), 1)),
        cache="refresh",
    )
    assert type(dict(step.spec.params)["temperature"]) is float
    assert step.retry == Retry(attempts=6, cap_s=5.0, kinds=(("rate_limit", 8), ("denied", 2)))
    assert (step.timeout_s, step.concurrency, step.cache, step.keep) == (30.0, 4, False, ())
    assert workflow.outputs == (("totals", OutputName("totals", None)),)
    assert workflow.step("v").spec == Verify(
        Contract(None, ("item.n == 3 and output.n > 2 and chain.a.n > 3",)), (), "off"
    )
    assert dict(workflow.texts).keys() == {"few.md", "n.json", "out.json", "prompts/p.md", "rubric.md", "system.txt"}


def test_what_a_snapshot_holds_is_enough_to_load_it_again_from_an_empty_folder(project: Path, tmp_path: Path) -> None:
    first = load(project / "flow.yaml", overrides={}, environ={}, text=FULL)
    empty = tmp_path / "empty" / "flow.yaml"
    again = load(empty, overrides={}, environ={}, text=first.source, files=dict(first.texts))
    assert again.texts == first.texts
    before, after = generated(first), generated(again)
    assert before.prompt.text == after.prompt.text
    assert before.contract.schema is not None
    assert after.contract.schema is not None
    assert before.contract.schema.value == after.contract.schema.value
    assert before.vars == after.vars


def test_a_snapshot_is_read_and_not_what_lies_in_the_folder(project: Path) -> None:
    first = load(project / "flow.yaml", overrides={}, environ={}, text=FULL)
    (project / "prompts" / "p.md").write_text("Another {{ broken")
    (project / "out.json").unlink()
    again = load(project / "flow.yaml", overrides={}, environ={}, text=first.source, files=dict(first.texts))
    assert again == first


def test_a_file_that_a_snapshot_lacks_is_a_problem_though_it_lies_in_the_folder(project: Path) -> None:
    with pytest.raises(WorkflowError) as caught:
        load(project / "flow.yaml", overrides={}, environ={}, text=FULL, files={"n.json": "true"})
    assert "the run's snapshot has no file `prompts/p.md`" in str(caught.value)


def test_a_step_may_ask_once_without_items_and_its_defaults_are_those_of_model_calls(loaded: Load) -> None:
    workflow = loaded("name: x\nsteps: [{id: a, generate: {model: sim/a, prompt: Write a poem.}}]")
    (step,) = workflow.steps
    assert (step.foreach, step.timeout_s, step.concurrency) == (None, 120.0, None)
    assert step.retry == Retry(attempts=6)
    place = Place(str(workflow.file), 2, 50)
    assert step.spec == Generate((SIM,), Template("Write a poem.", None, place), Contract())


def test_defaults_hold_for_model_steps_as_far_as_they_are_about_them(loaded: Load) -> None:
    workflow = loaded("""
        name: x
        keep: [old.jsonl]
        defaults: {timeout: 5m, concurrency: 3, shell: sh, cache: true, retry: {attempts: 2, on: [exit], server: 4}}
        steps:
          - {id: a, generate: {model: sim/a, prompt: Hello}, retry: {server: 5, timeout: 1}}
          - {id: b, run: echo}
    """)
    step, command = workflow.steps
    assert (step.timeout_s, step.concurrency, step.cache, step.keep) == (300.0, 3, False, ())
    assert step.retry == Retry(attempts=2, on=("exit",), kinds=(("server", 5), ("timeout", 1)))
    assert (command.timeout_s, command.cache, command.keep) == (300.0, True, ("old.jsonl",))


def test_reading_the_outputs_of_the_stream_in_a_prompt_makes_it_a_barrier(loaded: Load) -> None:
    workflow = loaded("""
        name: x
        steps:
          - {id: a, run: cat, foreach: data/rows.jsonl}
          - {id: b, foreach: steps.a, generate: {model: sim/a, prompt: "{{ item.id }}"}}
          - {id: c, foreach: steps.a, generate: {model: sim/a, prompt: "{{ item.id }} of {{ outputs.a.total }}"}}
          - {id: d, foreach: steps.a, verify: {checks: output.id < outputs.a.total}}
    """)
    assert [workflow.step(step).barrier for step in "bcd"] == [False, True, True]


def test_a_step_may_be_named_in_quotes_in_a_template(loaded: Load) -> None:
    workflow = loaded("""
        name: x
        steps:
          - {id: my-step, run: echo}
          - {id: b, needs: [my-step], generate: {model: sim/a, prompt: "{{ outputs['my-step'].n }}"}}
    """)
    assert workflow.outputs == (("my-step", OutputName("my-step", None)),)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("prompts/p.md", True),
        ("p.md", True),
        ("P.MD", True),
        ("few.txt", True),
        ("a.j2", True),
        ("a.jinja", True),
        ("a.prompt", True),
        ("./p", True),
        ("../shared/p", True),
        ("/etc/prompt", True),
        ("${DIR}/p", True),
        ("1/2", True),
        ("한국어/프롬프트.md", True),
        ("Hello", False),
        ("Hello.", False),
        ("p.yaml", False),
        ("read prompts/p.md", False),
        ("prompts/p.md\n", False),
        ("{{item.a}}/{{item.b}}", False),
        ("{%raw%}/", False),
        ("https://example.com/a.md", False),
        ("", False),
    ],
)
def test_a_value_is_a_path_by_its_looks_alone(value: str, path: bool) -> None:
    assert is_path(value) is path


def test_a_prompt_is_a_file_where_it_looks_like_one_and_else_the_text(project: Path) -> None:
    (project / "plain").write_text("Plain {{ item }}")
    (project / "prompts" / "q.md").write_text("Hello {{ item }}")
    assert prompt_of("./plain", project).text == "Plain {{ item }}"
    assert prompt_of("./plain", project).file == "plain"
    assert prompt_of(str(project / "plain"), project).file == "plain"
    assert prompt_of('"${DIR}/../prompts/q.md"', project).file == "prompts/q.md"
    assert prompt_of("plain", project).text == "plain"
    assert prompt_of("plain", project).file is None
    assert prompt_of("|\n        plain/\n", project).text == "plain/\n"
    assert prompt_of('"${DIR} stays"', project).text == "${DIR} stays"


def test_a_fault_in_a_template_is_placed_in_the_line_of_the_workflow_where_it_stands(loaded: Load) -> None:
    with pytest.raises(WorkflowError) as caught:
        loaded("""\
            name: x
            steps:
              - id: a
                foreach: [1]
                generate:
                  model: sim/a
                  system: >
                    folded

                    {{ env.NO }}
                  prompt: |
                    one

                      {{ item.a }} {{ wrong }}
                    {% if item %}
        """)
    places = [(problem.place.line, problem.place.column) for problem in caught.value.problems if problem.place]
    assert places == [(10, 12), (15, 9)]


def test_a_value_in_a_template_is_placed_where_yaml_undid_its_escapes(loaded: Load) -> None:
    line = 'steps: [{id: a, generate: {model: sim/a, prompt: "a\\n\\u00e9 {{ wrong }}"}}]'
    with pytest.raises(WorkflowError) as caught:
        loaded(f"name: x\n{line}")
    (problem,) = caught.value.problems
    assert problem.place is not None
    assert (problem.place.line, problem.place.column, problem.width) == (2, line.index("wrong") + 1, 5)


def test_a_prompt_that_two_steps_share_is_read_once_and_its_fault_told_once(project: Path) -> None:
    (project / "bad.md").write_text("a\n{{ item. }}\n")
    step = "{id: %s, foreach: [1], generate: {model: sim/a, prompt: bad.md}}"
    with pytest.raises(WorkflowError) as caught:
        load(
            project / "flow.yaml",
            overrides={},
            environ={},
            text=f"name: x\nsteps: [{step % 'a'}, {step % 'b'}]",
        )
    (problem,) = caught.value.problems
    assert problem.place == Place(str(project / "bad.md"), 2, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9", "is not UTF-8: its byte 3 is 0xE9"),
        (b"a\0b", "is no text: it holds a NUL"),
    ],
)
def test_a_file_that_is_no_text_is_refused(project: Path, content: bytes, message: str) -> None:
    (project / "odd.md").write_bytes(content)
    with pytest.raises(WorkflowError) as caught:
        prompt_of("odd.md", project)
    assert message in str(caught.value)
