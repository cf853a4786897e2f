"""What names stand for, when a stream waits, and which files must be there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.core.errors import WorkflowError
from penstock.core.workflow import OutputName, Workflow
from penstock.load.build import load

Load = Callable[..., Workflow]


# --- names --------------------------------------------------------------------------------------


def test_outputs_are_steps_declared_names_and_stems(loaded: Load) -> None:
    workflow = loaded(
        """
        name: Names
        env: {LOGS: logs}
        steps:
          - {id: a, run: "count > $LOGS/totals.json"}
          - {id: b, run: make, outputs: {table: out/t.json, my-name: out/m.json}}
          - {id: c, run: make, outputs: [out/listed.json]}
          - {id: d, run: "cat | tee {{env.LOGS}}/teed.json", foreach: data/rows.jsonl}
          - id: e
            needs: [a, b, c, d]
            when: outputs.a.x > 1 and outputs.totals.n > 1 and outputs.table.x and outputs["my-name"].y
            run: echo {{outputs.listed}} {{outputs.d.accept_rate}} {{outputs.b.table.x}} {{outputs.a.totals.n}}
    """.replace("| tee {{env.LOGS}}/teed.json", "")
    )
    assert dict(workflow.outputs) == {
        "a": OutputName("a", None),
        "totals": OutputName("a", "logs/totals.json"),
        "table": OutputName("b", "out/t.json"),
        "my-name": OutputName("b", "out/m.json"),
        "listed": OutputName("c", "out/listed.json"),
        "d": OutputName("d", None),
        "b.table": OutputName("b", "out/t.json"),
        "a.totals": OutputName("a", "logs/totals.json"),
    }


def test_a_file_that_takes_the_whole_output_of_its_own_name_is_the_record(loaded: Load) -> None:
    workflow = loaded("""
        name: Names
        steps:
          - {id: route, run: count > logs/route.json}
          - {id: b, needs: route, when: outputs.route.n > 1, run: echo}
    """)
    assert dict(workflow.outputs) == {"route": OutputName("route", None)}


def test_a_declared_file_keeps_its_stem_too(loaded: Load) -> None:
    workflow = loaded("""
        name: Names
        steps:
          - {id: a, run: count > logs/route_summary.json, outputs: {rates: logs/route_summary.json}}
          - {id: b, needs: a, when: outputs.rates.n > outputs.route_summary.m, run: echo}
    """)
    file = OutputName("a", "logs/route_summary.json")
    assert dict(workflow.outputs) == {"rates": file, "route_summary": file}


def test_a_need_through_others_is_a_need(loaded: Load) -> None:
    workflow = loaded("""
        name: Through
        steps:
          - {id: a, run: count > a/x.json}
          - {id: b, run: echo, needs: a}
          - {id: c, run: "echo {{outputs.x.n}}", needs: b, when: steps.a.status == "succeeded"}
    """)
    assert dict(workflow.outputs) == {"x": OutputName("a", "a/x.json")}


@pytest.mark.parametrize(
    ("keys", "barrier"),
    [
        ("run: cat", False),
        ("run: cat, needs: [other]", False),
        ("run: cat, when: outputs.other.n > 1, needs: [other]", False),
        ("run: cat, needs: [x]", True),
        ("run: cat, when: outputs.x.accept_rate > 0.5", True),
        ("run: cat, where: item.n > outputs.x.accepted", True),
        ('run: "echo {{outputs.x.total}}"', True),
        ("run: cat, when: steps.x.failed == 0", True),
        ("run: cat, inputs: [out/x.jsonl]", True),
    ],
)
def test_a_stream_waits_for_its_source_only_if_it_reads_more_of_it(loaded: Load, keys: str, barrier: bool) -> None:
    workflow = loaded(f"""
        name: Streams
        steps:
          - {{id: other, run: echo}}
          - {{id: x, foreach: data/rows.jsonl, run: cat >> out/x.jsonl}}
          - {{id: y, foreach: steps.x, {keys}}}
    """)
    assert workflow.step("y").barrier is barrier
    assert workflow.step("x").barrier is True


def test_origin_and_chain_are_known_along_the_way(loaded: Load) -> None:
    workflow = loaded("""
        name: Chain
        steps:
          - {id: a, foreach: data/rows.jsonl, run: cat}
          - {id: b, foreach: steps.a, run: cat}
          - {id: c, foreach: steps.b.accepted, where: chain.a.ok and origin.id > 1, run: "echo {{chain.b}} {{origin}}"}
    """)
    assert workflow.step("c").where == "chain.a.ok and origin.id > 1"


# --- files --------------------------------------------------------------------------------------


def test_a_snapshot_is_loaded_whatever_lies_in_the_folder(tmp_path: Path) -> None:
    text = "name: x\nsteps: [{id: a, foreach: gone.jsonl, run: cat, inputs: [gone.md]}]\n"
    file = tmp_path / "gone.yaml"
    workflow = load(file, overrides={}, environ={}, text=text)
    assert workflow.source == text
    with pytest.raises(WorkflowError) as caught:
        load(tmp_path / "nowhere.yaml", overrides={}, environ={}, text=text.replace("[gone.md]", "3"))
    assert len(caught.value.problems) == 1


def test_files_that_earlier_steps_write_need_not_exist(loaded: Load, tmp_path: Path) -> None:
    workflow = loaded(
        f"""
        name: Files
        env: {{OUT: out}}
        steps:
          - {{id: a, run: "make > $OUT/../out/rows.jsonl"}}
          - {{id: b, run: make, outputs: [listed.csv]}}
          - {{id: c, foreach: out/rows.jsonl, needs: a, run: cat >> all.jsonl, inputs: [listed.csv], needs: [a, b]}}
          - {{id: d, foreach: "{tmp_path}/all.jsonl", needs: c, run: cat}}
    """.replace("needs: a, run: cat >>", "run: cat >>")
    )
    assert [step.id for step in workflow.steps] == ["a", "b", "c", "d"]


def test_a_file_that_a_later_step_writes_is_read_as_the_last_run_left_it(loaded: Load) -> None:
    workflow = loaded("""
        name: Feedback
        steps:
          - {id: a, foreach: data/rows.jsonl, run: cat}
          - {id: b, needs: a, run: make > data/rows.jsonl}
    """)
    assert len(workflow.steps) == 2
