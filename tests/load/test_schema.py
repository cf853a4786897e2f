"""The JSON Schema that is shipped: made from the table that loading uses, and no stricter than it."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from penstock.core.canon import Json
from penstock.core.errors import WorkflowError
from penstock.load.build import load
from penstock.load.findings import Findings
from penstock.load.keys import STEP, WORKFLOW
from penstock.load.schema import json_schema, text
from penstock.load.source import parse
from penstock.load.tree import plain

HERE = Path(__file__).parent
VALIDATOR = Draft202012Validator(json_schema())


def json_of(yaml_text: str) -> Json:
    return plain(parse(yaml_text, "f.yaml").root)


def test_the_shipped_file_is_the_one_that_the_table_makes() -> None:
    """After a change of the table: `python -m penstock.load.schema > src/penstock/load/workflow.schema.json`."""
    shipped = resources.files("penstock.load").joinpath("workflow.schema.json").read_text(encoding="utf-8")
    assert shipped == text()
    assert json.loads(shipped) == json_schema()


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


def test_it_accepts_the_first_file() -> None:
    assert list(VALIDATOR.iter_errors(json_of((HERE / "good" / "first.yaml").read_text(encoding="utf-8")))) == []


def test_every_key_has_a_description() -> None:
    schema = json.loads(text())
    step = schema["properties"]["steps"]["items"]
    assert set(schema["properties"]) == set(WORKFLOW.keys)
    assert set(step["properties"]) == set(STEP.keys)
    for properties in (schema["properties"], step["properties"], schema["properties"]["defaults"]["properties"]):
        assert all(len(shape["description"]) > 10 for shape in properties.values())


@pytest.mark.parametrize(
    "keys",
    [
        "run: true",
        "run: echo, needs: b",
        "run: echo, needs: [b, {id: c, accept: [skipped]}]",
        "run: echo, foreach: [1, {a: null}]",
        "run: echo, foreach: steps.b.accepted, where: true, max_failures: 3",
        "run: echo, max_failures: 2.5%",
        "run: echo, env: {A: 1, B: true, C: x}",
        "run: echo, shell: [bash, -x], timeout: 1.5h, retry: {attempts: 2, on: [exit], backoff: {base: 0s}}",
        "run: echo, outputs: {a: b}, inputs: [a], keep: [], idempotent: false",
        "run: echo, gateway: 'off'",
        "generate: {model: sim/a, prompt: b}",
        "generate: {model: [a, b], prompt: b, schema: s.json, checks: true, cache: off, attempts: 1, params: {n: [1]}}",
        "generate: {model: a, prompt: b, schema: {type: object}, checks: [true]}",
        "generate: {model: a, prompt: b, shrink: [{drop: a}, {truncate: b, to: 1}]}",
        "generate: {model: a, prompt: b, judge: {model: [a], rubric: b, pass: score > 3}, vars: {a: 1}}",
        "verify: {checks: [output.n > 3]}, foreach: [1], retry: {rate_limit: 8, denied: 1}",
        "generate: {route: [{when: item.n > 3, model: a, prompt: b}, {model: [a, c], prompt: d, placement: local}]}",
        "generate: {model: [a, b], prompt: c, accept_when: true, route: [{when: true}, {params: {n: 1}}]}",
        "route: [{when: true, to: a}, {when: item.n > 3, to: a, placement: local}, {to: b-c}], foreach: [1]",
        "route: {model: a, prompt: b, choices: [c, d], vars: {a: b}, attempts: 2, cache: off}, foreach: [1]",
        "approve: {message: Go?}, placement: local",
        "approve: {message: Go?, show: [steps.b, a.json], timeout: 24h, on_timeout: reject, notify: mail}",
        "approve: {message: Go?, show: a.json}",
    ],
)
def test_it_accepts_what_the_language_has(keys: str) -> None:
    document = json_of(f"name: x\nsteps: [{{id: a, {keys}}}]")
    assert list(VALIDATOR.iter_errors(document)) == []


@pytest.mark.parametrize(
    "text",
    [
        "version: 1",
        "name: x\nsteps: []",
        "name: x\nversion: 2\nsteps: [{id: a, run: b}]",
        "name: x\nmodels: []\nsteps: [{id: a, run: b}]",
        "name: x\nmodels: {a: []}\nsteps: [{id: a, run: b}]",
        "name: x\ngateway: false\nsteps: [{id: a, run: b}]",
        "name: x\ndefaults: {gateway: no}\nsteps: [{id: a, run: b}]",
        "name: x\nmodels: {a: {}}\nsteps: [{id: a, run: b}]",
        "name: x\nmodels: {a: {model: openai/a, api_key: sk-1}}\nsteps: [{id: a, run: b}]",
        "name: x\nmodels: {a: {model: sim/a, invalid: 2}}\nsteps: [{id: a, run: b}]",
        "name: x\nmodels: {a b: sim/a}\nsteps: [{id: a, run: b}]",
        "name: x\nsteps: [{id: a}]",
        "name: x\nsteps: [{run: b}]",
        "name: x\nsteps: [{id: a b, run: b}]",
        "name: x\nsteps: [{id: a, generate: {}}]",
        "name: x\nsteps: [{id: a, generate: {model: a}}]",
        "name: x\nsteps: [{id: a, verify: {vars: {a: b}}, foreach: [1]}]",
        "name: x\nsteps: [{id: a, run: b, generate: {model: sim/a, prompt: b}}]",
        "name: x\nsteps: [{id: a, generate: {model: sim/a, prompt: b, shrink: [{to: 3}]}}]",
        "name: x\nsteps: [{id: a, generate: {model: sim/a, prompt: b, route: []}}]",
        "name: x\nsteps: [{id: a, foreach: [1], route: [{when: true}]}]",
        "name: x\nsteps: [{id: a, foreach: [1], route: {model: sim/a, prompt: b, choices: [c]}}]",
        "name: x\nsteps: [{id: a, approve: {}}]",
        "name: x\nsteps: [{id: a, approve: {message: b, on_timeout: approve}}]",
        "name: x\nsteps: [{id: a, run: b, placement: remote}]",
        "name: x\nsample: {size: 3}\nsteps: [{id: a, run: b}]",
        "name: x\nsample: {size: 3, require: 'true', confidence: 1}\nsteps: [{id: a, run: b}]",
        *(
            f"name: x\nsteps: [{{id: a, run: b, {keys}}}]"
            for keys in (
                "nedes: c",
                "needs: 3",
                "needs: [{step: c}]",
                "timeout: 30",
                "timeout: 1h30m",
                "concurrency: 0",
                "cache: yes",
                "retry: 3",
                "retry: {on: [error]}",
                "env: {1A: b}",
                "env: {PENSTOCK_A: b}",
                "env: {A: [b]}",
                "max_failures: 200%",
                "foreach: {a: b}",
                "inputs: a",
                "shell: []",
            )
        ),
    ],
)
def test_it_rejects_what_the_language_has_not(text: str, tmp_path: Path) -> None:
    assert list(VALIDATOR.iter_errors(json_of(text))) != []
    with pytest.raises(WorkflowError):
        load(tmp_path / "flow.yaml", overrides={}, environ={}, text=text)


@pytest.mark.parametrize("file", sorted((HERE / "bad").glob("[!y]*.yaml")), ids=lambda file: file.stem)
def test_loading_and_the_schema_agree_on_what_is_a_matter_of_shape(file: Path) -> None:
    tree = parse(file.read_text(encoding="utf-8"), file.name)
    findings = Findings(tree.document)
    WORKFLOW.check(tree.root, "", findings)
    assert bool(findings.problems) == bool(list(VALIDATOR.iter_errors(plain(tree.root))))
