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


def outcome(path: Path, text: str | None) -> Workflow | WorkflowError:
    try:
        return load(path, overrides={}, environ={"HOME": "/home/you"}, text=text)
    except WorkflowError as error:
        return error


def test_the_files_that_are_changed_below_are_good() -> None:
    assert isinstance(outcome(HERE / "good" / "full.yaml", FULL), Workflow)
    assert isinstance(outcome(HERE / "good" / "first.yaml", None), Workflow)


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


TEXTS = ["a", "work", "5m", "5%", "${X}", "{{item}}", "steps.work", "data/x.jsonl", "exit", "bash", "true==true"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(-2, 2),
    st.text(st.sampled_from("ab 1-_.%$é한\n\t#"), max_size=6),
    st.sampled_from(TEXTS),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "accept", "attempts", "on", "backoff", "A", "1"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(derandomize=True, max_examples=500, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*STEP.keys, "odd", "generate"]), VALUES, max_size=5),
    st.dictionaries(st.sampled_from([*WORKFLOW.keys, "odd", "models"]), VALUES, max_size=2),
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
