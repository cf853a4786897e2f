"""Whatever happens to a good file, loading ends in a Workflow or in a WorkflowError, never in a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from penstock.core.errors import WorkflowError
from penstock.core.workflow import Workflow
from penstock.load.build import load
from penstock.load.findings import Findings
from penstock.load.keys import STEP, WORKFLOW
from penstock.load.schema import json_schema
from penstock.load.source import parse
from penstock.load.tree import plain

HERE = Path(__file__).parent
FULL = """\
name: Full
version: 1
description: &d Everything
env: {MODEL: small, DIR: "out/${MODEL}"}
secrets: [API_KEY]
defaults: {retry: {attempts: 2, on: [exit], backoff: {base: 1s, cap: 5s}}, timeout: 5m, shell: bash}
keep: [logs/old.jsonl]
steps:
  - id: make
    run: python make.py > data/made.jsonl
  - id: work
    needs: [{id: make, accept: [skipped]}]
    foreach: data/made.jsonl
    where: item.size > 3 and env.MODEL == "small"
    run: |
      echo "{{item.name}}" '{{key}}' \\
        | tee -a "$DIR/all.jsonl" > out/{{i}}.json
    max_failures: 5%
    secrets: [API_KEY]
  - id: judge
    foreach: steps.work.accepted
    run: cat "{{chain.work.x}}" >> judged.jsonl
  - id: end
    needs: judge
    when: "outputs.work.accept_rate > 0.5 or outputs.judge.total == 0"
    outputs: {report: report.json}
    inputs: [judged.jsonl]
    run: report {{outputs.judge.accept_rate}} \\
         > log.txt
"""
ASKING = """\
name: Asking
env: {DIR: prompts, MODEL: small}
models:
  small: ollama/llama3.1:8b
  house: {model: openai/my-model, base_url: http://gpu/v1, api_key: ${HOUSE_KEY}, price: {input: 0.1, output: 2}}
  cheap: {model: sim/cheap, quality: 0.8, invalid: 0.05, error_429: 0.02, latency: 50ms, seed: 7}
sample: {size: 20, require: outputs.a.accept_rate >= 0.9, confidence: 0.95, seed: 7, on_inconclusive: expand}
steps:
  - id: a
    foreach: [{text: one}]
    retry: {rate_limit: 8, denied: 1}
    generate:
      model: [cheap, "${MODEL}", anthropic/claude]
      system: |
        Be brief. {% if item.text %}{{ item.text }}{% endif %}
      prompt: ${DIR}/p.md
      schema: out.json
      checks: ["output.n >= 3", output.n < 9]
      judge: {model: house, rubric: "True? {{ tone }}", pass: score >= 4, params: {temperature: 0}}
      params: {temperature: 0.2, max_tokens: 400}
      shrink: [{drop: few}, {truncate: item.text, to: 20}]
      vars: {few: few.md, tone: kind}
      accept_when: output.n > 4 or signals.attempts == 1
      route:
        - {when: "item.text == 'one'", model: house, placement: local, params: {temperature: 1}}
        - {when: words(item.text) > 4, prompt: few.md}
        - system: Be long.
  - id: t
    foreach: steps.a.accepted
    route: [{when: item.n > 4, to: legal, placement: local}, {to: other}]
  - id: ask
    foreach: steps.t.legal
    placement: local
    route: {model: small, prompt: "{{ chain.a.n }}", choices: [one, two], vars: {x: y}}
  - id: sign
    needs: [ask]
    approve: {message: "{{ outputs.t.legal }} {{ outputs.ask.one }}", show: [steps.ask], timeout: 24h, notify: mail}
  - id: b
    foreach: steps.a.accepted
    verify: {schema: {type: object, properties: {n: {$ref: "lib/n.json#/$defs/n"}}}, cache: use}
"""
TEXTS_OF_ASKING = {
    "prompts/p.md": "Sum {{ item.text }} {{ few }}\n{% for x in item.xs %}{{ x.a }}{% endfor %} by {{ env.MODEL }}\n",
    "few.md": "Two examples.\n",
    "out.json": '{"type": "object", "properties": {"n": {"$ref": "lib/n.json"}, "m": {"enum": ["a", 1.50, null]}}}',
    "lib/n.json": '{"$defs": {"n": {"type": ["integer", "null"], "pattern": "^a+$"}}, "$ref": "#/$defs/n"}',
}
FIRST = (HERE / "good" / "first.yaml").read_text(encoding="utf-8")
SIGNS = "\t\n :{}[]'\"|>#\\$%@`~\0\x85\ufeffé한\U0001f600\r\u2028"
WORDS = [": ", "- ", "&a ", "*a", "!x ", "${", "{{", "}}", "{{item}}", "null", "1", "-1", ".nan", "? ", "..", "<<"]
LINES = [
    "---\n",
    "...\n",
    "id: a\n",
    "    needs: [end]\n",
    "    foreach: steps.end\n",
    "  - id: work\n",
    "    when: outputs.",
]
PIECES = st.sampled_from([*SIGNS, *WORDS, *LINES])
VALIDATOR = Draft202012Validator(json_schema())
Change = Callable[[str], str]


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """One change of a text: a part deleted, doubled, replaced or moved, by characters or by lines."""
    kind: str = draw(st.sampled_from(["delete", "double", "replace", "insert", "swap lines", "drop line"]))
    share, other, width = draw(st.floats(0, 1)), draw(st.floats(0, 1)), draw(st.integers(1, 8))
    piece: str = draw(PIECES)

    def change(text: str) -> str:
        at = int(share * len(text))
        lines = text.split("\n")
        first, second = int(share * (len(lines) - 1)), int(other * (len(lines) - 1))
        if kind == "swap lines":
            lines[first], lines[second] = lines[second], lines[first]
            return "\n".join(lines)
        if kind == "drop line":
            return "\n".join(lines[:first] + lines[first + 1 :])
        after = text[at : at + width]
        middle = {"delete": "", "double": after * 2, "replace": piece, "insert": piece + after}
        return text[:at] + middle[kind] + text[at + width :]

    return change


def outcome(path: Path, text: str | None, files: dict[str, str] | None = None) -> Workflow | WorkflowError:
    try:
        return load(path, overrides={}, environ={"HOME": "/home/you"}, text=text, files=files)
    except WorkflowError as error:
        return error


def test_the_files_that_are_changed_below_are_good() -> None:
    assert isinstance(outcome(HERE / "good" / "full.yaml", FULL), Workflow)
    assert isinstance(outcome(HERE / "good" / "first.yaml", None), Workflow)
    assert isinstance(outcome(HERE / "good" / "asking.yaml", ASKING, TEXTS_OF_ASKING), Workflow)


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.sampled_from([FULL, FIRST]), st.lists(changes(), min_size=1, max_size=5))
def test_a_changed_file_is_good_or_its_problems_are_told(text: str, made: list[Change]) -> None:
    for change in made:
        text = change(text)
    result = outcome(HERE / "good" / "changed.yaml", text)
    if isinstance(result, WorkflowError):
        count = text.count("\n") + text.count("\r") + 1
        assert result.problems
        assert all(1 <= problem.place.line <= count for problem in result.problems if problem.place)
        assert str(result)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(made=st.lists(changes(), min_size=1, max_size=4))
def test_a_changed_file_that_asks_models_is_good_or_its_problems_are_told(made: list[Change]) -> None:
    text = ASKING
    for change in made:
        text = change(text)
    result = outcome(HERE / "good" / "changed.yaml", text, TEXTS_OF_ASKING)
    assert isinstance(result, Workflow) or (result.problems and str(result))


@settings(derandomize=True, max_examples=400, deadline=None)
@given(name=st.sampled_from(sorted(TEXTS_OF_ASKING)), made=st.lists(changes(), min_size=1, max_size=4))
def test_a_changed_prompt_or_schema_is_good_or_its_problems_are_told(name: str, made: list[Change]) -> None:
    text = TEXTS_OF_ASKING[name]
    for change in made:
        text = change(text)
    result = outcome(HERE / "good" / "asking.yaml", ASKING, {**TEXTS_OF_ASKING, name: text})
    if isinstance(result, WorkflowError):
        count = ASKING.count("\n") + text.count("\n") + text.count("\r") + 1
        assert all(1 <= problem.place.line <= count for problem in result.problems if problem.place)
        assert str(result)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flow")


@settings(derandomize=True, max_examples=150, deadline=None)
@given(made=st.lists(changes(), min_size=1, max_size=3))
def test_a_changed_file_on_disk_is_good_or_its_problems_are_told(folder: Path, made: list[Change]) -> None:
    text = FULL
    for change in made:
        text = change(text)
    file = folder / "flow.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    result = outcome(file, None)
    assert isinstance(result, Workflow) or result.problems


TEXTS = [
    "sim/a",
    "openai/",
    "prompts/x.md",
    "{{ item.x }}",
    "{% if",
    "item.a[0]",
    "output.n > 3",
    "a",
    "work",
    "5m",
    "5%",
    "${X}",
    "{{item}}",
    "steps.work",
    "data/x.jsonl",
    "exit",
    "bash",
    "true==true",
    "local",
    "legal",
    "reject",
    "outputs.work.accept_rate >= 0.5",
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(-2, 2),
    st.text(st.sampled_from("ab 1-_.%$é한\n\t#"), max_size=6),
    st.sampled_from(TEXTS),
)
NAMES = ["id", "accept", "attempts", "on", "backoff", "A", "1", "model", "prompt", "schema", "checks", "judge", "vars"]
NAMES += [
    "params",
    "shrink",
    "drop",
    "truncate",
    "to",
    "rubric",
    "pass",
    "price",
    "input",
    "api_key",
    "quality",
    "$ref",
    *("when", "to", "choices", "placement", "route", "accept_when", "message", "show", "timeout", "on_timeout"),
    *("size", "require", "confidence", "on_inconclusive"),
]
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=6,
)


@settings(derandomize=True, max_examples=500, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*STEP.keys, "odd"]), VALUES, max_size=5),
    st.dictionaries(st.sampled_from([*WORKFLOW.keys, "odd", "budget"]), VALUES, max_size=2),
)
def test_any_values_under_any_keys_are_loaded_or_told_and_the_schema_agrees(
    step: dict[str, object], top: dict[str, object]
) -> None:
    document = {
        "name": "x",
        "steps": [{"id": "work", "run": "cat", "foreach": [1]}, {"id": "b", "run": "echo", **step}],
        **top,
    }
    text = json.dumps(document)
    result = outcome(HERE / "good" / "any.yaml", text)
    tree = parse(text, "any.yaml")
    findings = Findings(tree.document)
    WORKFLOW.check(tree.root, "", findings)
    valid = VALIDATOR.is_valid(plain(tree.root))
    assert valid or isinstance(result, WorkflowError)
    assert valid or findings.problems
