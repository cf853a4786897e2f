"""One mistake is one message: what follows from it is not told as well."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.core.errors import WorkflowError
from penstock.load.build import load

MISTAKES = {
    "an id that is no name, and is needed": """
        - {id: my step, run: count > x.json}
        - {id: b, needs: [my step], run: echo, when: outputs.x.n > 1}
    """,
    "an unknown need, and a file of the step that was meant": """
        - {id: prepare, run: make > data/made.jsonl}
        - {id: b, needs: [prepair], foreach: data/made.jsonl, run: cat, inputs: [data/made.jsonl]}
        - {id: c, needs: [b], run: "echo {{outputs.prepare}}"}
    """,
    "a text that is not understood, and a file that it may write": """
        - {id: a, run: "make {{itm}} > data/made.jsonl; count > sums.json"}
        - {id: b, needs: [a], foreach: data/made.jsonl, run: cat, when: outputs.sums.n > 1}
    """,
    "an `approve` that maps over items, and its decision": """
        - {id: a, foreach: [1], approve: {message: x}}
        - {id: b, needs: [a], run: "echo {{outputs.a.by}}"}
    """,
    "an `approve` without a message, and its decision": """
        - {id: a, approve: {show: []}}
        - {id: b, needs: [a], run: "echo {{outputs.a.by}}"}
    """,
    "a `route` whose choices are missing, and its branches": """
        - {id: a, foreach: [1], route: {model: sim/a, prompt: Where?}}
        - {id: b, foreach: steps.a.legal, run: cat, when: outputs.a.legal > 3}
    """,
    "a rule without a branch, and the branch that it lacks": """
        - {id: a, foreach: [1], route: [{when: item.n > 3}, {to: other}]}
        - {id: b, foreach: steps.a.legal, run: cat, when: outputs.a.legal > 3}
    """,
    "a branch with the name of something else": """
        - {id: a, foreach: [1], route: [{when: item.n > 3, to: accepted}, {to: other}]}
        - {id: b, foreach: steps.a.accepted, run: cat, when: outputs.a.accepted > 3}
    """,
    "a `route` without items, and their fields": """
        - {id: a, route: [{when: item.n > 3, to: legal}, {to: other}]}
        - {id: b, foreach: steps.a.legal, run: cat}
    """,
    "a model that is not there, in a rule": """
        - {id: a, foreach: [1], generate: {prompt: x, accept_when: output.n > 3, route: [{model: none}]}}
        - {id: b, foreach: steps.a.accepted, run: cat}
    """,
    "a step that is not there, in `require`": """
        - {id: a, foreach: [1], run: cat}
        sample: {size: 3, require: outputs.b.accept_rate > 0.9, confidence: 0.95}
    """,
    "a confidence that is none": """
        - {id: a, foreach: [1], run: cat}
        sample: {size: 3, require: outputs.a.accept_rate >= 0.9, confidence: high, on_inconclusive: expand}
    """,
    "a model that is not there, in a step that others need": """
        - {id: a, foreach: [1], generate: {model: x, prompt: "{{ item }}", checks: output.n > 3}}
        - {id: b, foreach: steps.a, generate: {model: sim/b, prompt: "{{ item.n }} {{ origin }} {{ chain.a.n }}"}}
        - {id: c, needs: [a], run: echo, when: outputs.a.accept_rate > 0.5}
    """,
    "a prompt that is no template": """
        - {id: a, generate: {model: sim/a, prompt: "{{ outputs.x", system: Hello}}
        - {id: b, needs: [a], run: "echo {{outputs.a.n}}"}
    """,
    "a file that is not there, under `vars`": """
        - {id: a, generate: {model: sim/a, prompt: "{{ few }}", vars: {few: none.md}, shrink: [{drop: few}]}}
    """,
    "a variable that is no text": """
        - {id: a, generate: {model: sim/a, prompt: "{{ few }}", vars: {few: [a]}, shrink: [{truncate: few, to: 3}]}}
    """,
    "a model that is declared wrongly": """
        - {id: a, generate: {model: wrong, prompt: Hello, judge: {model: wrong, rubric: Be strict., pass: score > 3}}}
        models: {wrong: {model: opnai/x}}
    """,
    "models that are no mapping": """
        - {id: a, generate: {model: wrong, prompt: Hello}}
        models: [sim/a]
    """,
    "a schema that two steps share": """
        - {id: a, generate: {model: sim/a, prompt: Hello, schema: {type: objct}}}
    """,
    "a `generate` that is no mapping": """
        - {id: a, generate: [sim/a], foreach: [1]}
        - {id: b, foreach: steps.a, verify: {checks: item.n > 3}}
        - {id: c, needs: [a], run: "echo {{outputs.a.total}}"}
    """,
    "a circle, and names in it": """
        - {id: a, needs: [b], run: "count > x.json", when: outputs.b.n > 1}
        - {id: b, needs: [a], run: echo, when: outputs.x.n > 1}
    """,
    "a `foreach` that is wrong, and its items": """
        - {id: a, foreach: {file: x}, run: "cat {{item.x}} >> out.jsonl", where: item.x > 1, max_failures: 3}
        - {id: b, foreach: steps.a, run: "cat {{chain.a.x}}"}
    """,
    "a branch that is not there, and its items": """
        - {id: a, foreach: [1], run: cat}
        - {id: b, foreach: steps.a.legal, run: "cat {{origin.x}} {{chain.a}}"}
    """,
    "needs that are no list, and what they give": """
        - {id: a, run: count > x.json}
        - {id: b, needs: {a: b}, run: "echo {{outputs.x.n}} {{outputs.a}}"}
    """,
    "a key given twice, and its second value": """
        - {id: a, run: echo, timeout: 5s, timeout: nonsense}
    """,
    "a condition that is none, in a step that others need": """
        - {id: a, run: count > x.json, when: "1 >"}
        - {id: b, needs: [a], run: "echo {{outputs.x.n}}"}
    """,
    "a step that maps over a step that is not there": """
        - {id: a, foreach: steps.b, run: "cat {{origin.x}} {{chain.b.x}} {{chain.a.x}}", when: outputs.c.n > 1}
        - {id: c, run: echo}
    """,
    "a step that stands in a name of its own output": """
        - {id: a, run: "count > a/x.json", outputs: {x: [a]}}
        - {id: b, needs: a, run: "echo {{outputs.x.n}}"}
    """,
}


@pytest.mark.parametrize("what", MISTAKES)
def test_one_mistake_is_one_message(what: str, tmp_path: Path) -> None:
    file = tmp_path / "flow.yaml"
    text = re.sub(r"(?m)^ {8}(models|sample):", r"\1:", MISTAKES[what])
    file.write_text(f"name: x\nsteps:\n{text}", encoding="utf-8")
    with pytest.raises(WorkflowError) as caught:
        load(file, overrides={}, environ={})
    assert len(caught.value.problems) == 1, str(caught.value)


def test_an_env_that_is_no_mapping_is_one_problem_though_var_names_its_entries(tmp_path: Path) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text("name: x\nenv: [A]\nsteps: [{id: a, run: echo}]\n")
    with pytest.raises(WorkflowError) as caught:
        load(file, overrides={"A": "b"}, environ={})
    assert [problem.message for problem in caught.value.problems] == [
        "`env` must be a mapping of names to texts, not a list"
    ]


def test_a_wrong_variable_is_told_where_it_is_declared_and_nowhere_else(tmp_path: Path) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text(
        "name: x\nenv: {A: '${NONE}', B: '${A}', C: [1]}\nsteps:\n"
        '  - {id: a, foreach: [1], run: "cat >> $A/x.jsonl; cat > $C/{{i}}; echo {{env.A}}", inputs: ["${B}"]}\n'
        '  - {id: b, foreach: "${C}.jsonl", run: cat}\n'
    )
    with pytest.raises(WorkflowError) as caught:
        load(file, overrides={}, environ={})
    assert [problem.place.line for problem in caught.value.problems if problem.place] == [2, 2]
