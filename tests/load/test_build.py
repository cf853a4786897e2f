"""Good files become the Workflow that they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.core.errors import WorkflowError
from penstock.core.workflow import (
    FileSource,
    ListSource,
    Need,
    OutputName,
    Placeholder,
    Retry,
    Shell,
    Step,
    StepSource,
    Tolerance,
    Workflow,
)
from penstock.load.build import load

FIRST = Path(__file__).parent / "good" / "first.yaml"
Load = Callable[..., Workflow]


def shell(step: Step) -> Shell:
    """What a `run` step runs."""
    assert step.shell is not None
    return step.shell


def messages(error: pytest.ExceptionInfo[WorkflowError]) -> list[str]:
    return [problem.message for problem in error.value.problems]


# --- the first file -----------------------------------------------------------------------------


def test_the_first_file_loads_to_its_five_steps() -> None:
    workflow = load(FIRST, overrides={}, environ={})
    assert workflow.name == "My Workflow"
    assert workflow.file == FIRST
    assert workflow.folder == FIRST.parent
    assert workflow.source == FIRST.read_text(encoding="utf-8")
    assert workflow.env == (("MODEL", "gpt-4o-mini"), ("CACHE_DIR", ".cache"))
    assert [(step.id, [need.step for need in step.needs]) for step in workflow.steps] == [
        ("prepare", []),
        ("generate", ["prepare"]),
        ("verify", ["generate"]),
        ("route", ["verify"]),
        ("apply", ["route"]),
    ]
    assert [step.foreach for step in workflow.steps] == [
        None,
        FileSource("data/inputs.jsonl", "jsonl"),
        FileSource("logs/generate.jsonl", "jsonl"),
        None,
        None,
    ]
    assert workflow.step("apply").when == "outputs.route_summary.accept_rate > 0.9"
    assert workflow.outputs == (("route_summary", OutputName("route", "logs/route_summary.json")),)
    assert {shell(step).interpreter for step in workflow.steps} == {("bash", "-euo", "pipefail")}


def test_the_texts_of_the_first_file_are_what_their_author_sees() -> None:
    workflow = load(FIRST, overrides={}, environ={})
    assert shell(workflow.step("verify")).script.source == (
        'python scripts/verify.py --schema schemas/output.schema.json --input "{{item}}" | tee -a logs/verify.jsonl'
    )
    assert shell(workflow.step("generate")).script.source == (
        "# 예시: 모델 호출을 추상화 (실서비스에서는 openai/ollama 등 대체)\n"
        'python scripts/generate.py --model "$MODEL" --input "{{item}}" \\\n'
        '  | tee -a logs/generate.jsonl > "$CACHE_DIR/out_{{i}}.json"\n'
    )
    assert shell(workflow.step("apply")).script.source == 'python scripts/apply_changes.py "$CACHE_DIR"/out_*.json'


def test_the_targets_of_the_first_file_are_known_with_their_variables_filled_in() -> None:
    workflow = load(FIRST, overrides={"CACHE_DIR": "elsewhere"}, environ={})
    targets = {target.parts: target.append for target in shell(workflow.step("generate")).script.targets}
    assert targets == {
        ("logs/generate.jsonl",): True,
        ("elsewhere/out_", Placeholder("i", (), "{{i}}"), ".json"): False,
    }
    (appended,) = shell(workflow.step("verify")).script.targets
    assert (appended.parts, appended.append) == (("logs/verify.jsonl",), True)
    output = shell(workflow.step("route")).script.output
    assert output is not None
    assert output.parts == ("logs/route_summary.json",)


def test_the_one_note_on_the_first_file_is_its_folded_backslash() -> None:
    (note,) = load(FIRST, overrides={}, environ={}).notes
    assert note.place is not None
    assert (note.place.line, note.place.column) == (21, 90)
    assert "backslash joins" in note.message


# --- keys ---------------------------------------------------------------------------------------


def test_every_key_of_a_run_step_has_its_value(loaded: Load) -> None:
    workflow = loaded("""
        name: All
        version: 1
        description: Every key
        env: {PORT: 8080, RATIO: 1.50, FLAG: yes, TRUTH: True, EMPTY: "", HEX: 0x1F}
        secrets: [API_KEY]
        keep: [logs/old.jsonl]
        replace: [logs/new.jsonl]
        defaults: {timeout: 1.5h, concurrency: 3, retry: {attempts: 4, backoff: {base: 2s, cap: 1m}}, shell: sh}
        steps:
          - id: all
            foreach: data/rows.jsonl
            where: item.id > 0
            when: env.PORT == "8080"
            run: cat
            env: {OWN: "${PORT}!"}
            timeout: 300ms
            concurrency: 2
            retry: {attempts: 2, on: [timeout], backoff: {cap: 5s}}
            cache: true
            secrets: [API_KEY]
            inputs: [data/rows.jsonl]
            outputs: {out: out/x.json}
            max_failures: 2.5%
            fail_fast: true
            idempotent: false
            shell: zsh
            keep: [logs/own.jsonl]
          - id: bare
            run: true
    """)
    step, bare = workflow.steps
    assert workflow.description == "Every key"
    assert workflow.secrets == ("API_KEY",)
    assert dict(workflow.env) == {
        "PORT": "8080", "RATIO": "1.50", "FLAG": "yes", "TRUTH": "True", "EMPTY": "", "HEX": "0x1F",
    }  # fmt: skip
    assert (step.where, step.when) == ("item.id > 0", 'env.PORT == "8080"')
    assert step.env == (("OWN", "8080!"),)
    assert (step.timeout_s, step.concurrency) == (0.3, 2)
    assert step.retry == Retry(attempts=2, on=("timeout",), base_s=2.0, cap_s=5.0)
    assert (step.cache, step.secrets, step.inputs) == (True, ("API_KEY",), ("data/rows.jsonl",))
    assert step.outputs == (("out", "out/x.json"),)
    assert (step.max_failures, step.fail_fast, step.idempotent) == (Tolerance(share=0.025), True, False)
    assert shell(step).interpreter == ("zsh", "-euo", "pipefail")
    assert step.keep == ("logs/old.jsonl", "logs/own.jsonl")
    assert step.replace == ("logs/new.jsonl",)
    assert (bare.timeout_s, bare.concurrency, bare.cache, bare.idempotent) == (5400.0, 3, False, True)
    assert bare.retry == Retry(attempts=4, base_s=2.0, cap_s=60.0)
    assert shell(bare).interpreter == ("sh", "-eu")
    assert shell(bare).script.source == "true"


def test_inputs_switch_the_cache_on_unless_the_file_says_no(loaded: Load) -> None:
    workflow = loaded("""
        name: Cache
        steps:
          - {id: a, run: cat, inputs: [data/rows.jsonl]}
          - {id: b, run: cat, inputs: [data/rows.jsonl], cache: false}
          - {id: c, run: cat}
    """)
    assert [step.cache for step in workflow.steps] == [True, False, False]


def test_other_interpreters_are_their_words(loaded: Load) -> None:
    workflow = loaded("""
        name: Shells
        steps:
          - {id: a, run: print(1), shell: python3 -u}
          - {id: b, run: print(1), shell: ["my shell", -x]}
          - {id: c, run: echo, shell: /bin/bash -x}
    """)
    assert [shell(step).interpreter for step in workflow.steps] == [
        ("python3", "-u"),
        ("my shell", "-x"),
        ("/bin/bash", "-x"),
    ]


def test_every_source_of_rows_is_understood(loaded: Load, tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.json", "c.CSV"):
        (tmp_path / name).write_text("")
    (tmp_path / "steps.jsonl").write_text("")
    workflow = loaded("""
        name: Sources
        env: {DIR: data}
        steps:
          - {id: a, run: cat, foreach: "${DIR}/rows.jsonl"}
          - {id: b, run: cat, foreach: ./a.jsonl.gz}
          - {id: c, run: cat, foreach: b.json}
          - {id: d, run: cat, foreach: c.CSV}
          - {id: e, run: cat, foreach: [one, 2, 1.10, {a: [true, null]}, "3", 가, .5]}
          - {id: f, run: cat, foreach: steps.a}
          - {id: g, run: cat, foreach: steps.a.rejected}
          - {id: h, run: cat, foreach: steps.a.failed}
          - {id: i, run: cat, foreach: steps.jsonl}
          - {id: j, run: cat, foreach: []}
    """)
    assert [step.foreach for step in workflow.steps] == [
        FileSource("data/rows.jsonl", "jsonl"),
        FileSource("a.jsonl.gz", "jsonl.gz"),
        FileSource("b.json", "json"),
        FileSource("c.CSV", "csv"),
        ListSource(("one", 2, 1.10, {"a": [True, None]}, "3", "가", 0.5)),
        StepSource("a", None),
        StepSource("a", "rejected"),
        StepSource("a", "failed"),
        FileSource("steps.jsonl", "jsonl"),
        ListSource(()),
    ]


def test_needs_are_ids_or_say_what_they_accept_and_a_stream_implies_one(loaded: Load) -> None:
    workflow = loaded("""
        name: Needs
        steps:
          - {id: a, run: echo}
          - {id: b, run: echo, needs: a}
          - {id: c, run: echo, needs: [b, {id: a, accept: [skipped]}]}
          - {id: d, run: cat, foreach: steps.c, needs: [a]}
          - {id: e, run: echo, needs: [{id: d}]}
    """)
    assert [step.needs for step in workflow.steps] == [
        (),
        (Need("a"),),
        (Need("b"), Need("a", accept_skipped=True)),
        (Need("a"), Need("c")),
        (Need("d"),),
    ]


# --- env ----------------------------------------------------------------------------------------


def test_later_entries_see_earlier_ones_the_environment_and_overrides(loaded: Load) -> None:
    text = """
        name: Env
        env:
          ROOT: data
          DIR: ${ROOT}/${SUB}
          PATH: mine:${PATH}
          LITERAL: $${ROOT} $ROOT $$ {}
        steps:
          - id: a
            run: cat
            foreach: ${DIR}/../rows.jsonl
            env: {ROOT: "step-${ROOT}", BOTH: "${ROOT}"}
    """
    workflow = loaded(text, SUB="x", PATH="/bin")
    assert dict(workflow.env) == {
        "ROOT": "data", "DIR": "data/x", "PATH": "mine:/bin", "LITERAL": "${ROOT} $ROOT $$ {}",
    }  # fmt: skip
    assert workflow.steps[0].env == (("ROOT", "step-data"), ("BOTH", "step-data"))
    workflow = loaded(text.replace("${DIR}/../rows", "data/rows"), {"ROOT": "${X}"}, SUB="x", PATH="/bin")
    assert dict(workflow.env)["DIR"] == "${X}/x"


def test_an_override_of_no_entry_is_an_error_with_those_there_are(loaded: Load) -> None:
    with pytest.raises(WorkflowError) as caught:
        loaded("name: x\nenv: {MODEL: a, SIZE: b}\nsteps: [{id: a, run: echo}]", {"MODL": "x", "SIZE": "a\0b"})
    assert str(caught.value) == (
        "--var MODL: the workflow's `env` has no entry `MODL`\n"
        "  help: did you mean `MODEL`?\n"
        "        entries of `env` that it can set: MODEL, SIZE\n"
        "--var SIZE: a value cannot hold a NUL"
    )


# --- notes --------------------------------------------------------------------------------------


def notes(workflow: Workflow) -> list[tuple[int, str]]:
    return [(note.place.line if note.place else 0, note.message) for note in workflow.notes]


def test_a_cache_that_never_helps_is_noted(loaded: Load) -> None:
    workflow = loaded("""\
        name: Notes
        defaults: {cache: true}
        steps:
          - id: a
            run: echo
            cache: true
          - id: b
            run: echo
          - id: c
            foreach: data/rows.jsonl
            run: echo {{i}} {{key}}
    """)
    assert notes(workflow) == [
        (6, "a step without `foreach` is reused only if it names what it reads"),
        (11, "`{{i}}` makes a cached result depend on the row's position: after a new row above it is made anew"),
    ]


def test_a_file_that_is_read_beside_the_step_that_writes_it_is_noted(loaded: Load) -> None:
    workflow = loaded("""\
        name: Notes
        steps:
          - {id: a, run: make > logs/a.txt}
          - {id: b, run: sort logs/a.txt}
          - {id: c, run: sort logs/a.txt, needs: a}
    """)
    assert notes(workflow) == [
        (4, "`logs/a.txt` is written by step `a`, and nothing says which of the two comes first"),
    ]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("echo a \\\n      b", "echo a b"),
        ("echo a\\\n      b", "echo a b"),
        ("echo a \\   \n      b", "echo a b"),
        ("echo a \\\n      b \\\n      c", "echo a b c"),
        ("echo a \\\\\n      b", "echo a \\\\ b"),
        ("echo 'a \\\n      b'", "echo 'a \\ b'"),
        ('echo "it\'s \\\n      b"', 'echo "it\'s b"'),
        ("echo \\'a \\\n      b", "echo \\'a b"),
        ("echo a \\ b", "echo a \\ b"),
        (">\n      echo a \\\n      b\n", "echo a b\n"),
        ("|\n      echo a \\\n      b\n", "echo a \\\nb\n"),
        ('"echo a \\\n      b"', "echo a b"),
        ("'echo a \\\n      b'", "echo a b"),
    ],
)
def test_a_backslash_that_ends_a_folded_line_joins_as_in_bash(tmp_path: Path, written: str, text: str) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text(f"name: x\nsteps:\n  - id: a\n    run: {written}\n")
    workflow = load(file, overrides={}, environ={})
    assert shell(workflow.steps[0]).script.source == text


def test_a_fault_behind_joined_lines_is_placed_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text("name: x\nsteps:\n  - id: a\n    run: echo a \\\n         b \\\n         {{itm}}\n")
    with pytest.raises(WorkflowError) as caught:
        load(file, overrides={}, environ={})
    (problem,) = caught.value.problems
    assert problem.place is not None
    assert (problem.place.line, problem.place.column, problem.width) == (6, 10, 7)


def test_problems_come_in_the_order_of_the_file_and_each_once(loaded: Load) -> None:
    with pytest.raises(WorkflowError) as caught:
        loaded("""\
            name: Order
            x: &bad {attempts: 0}
            steps:
              - {id: a, run: echo, retry: *bad}
              - {id: b, run: echo, retry: *bad, when: "1 >"}
              - {id: c, run: echo, needs: [z]}
        """)
    lines = [problem.place.line for problem in caught.value.problems if problem.place]
    assert lines == [2, 2, 5, 6]
    assert len(messages(caught)) == len(set(messages(caught)))
