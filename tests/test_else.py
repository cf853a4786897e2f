"""`else`: what stands for the record of a row for which `where` is false."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.terminal import Project

FLOW = """\
name: Else
steps:
  - id: draft
    foreach: rows.jsonl
    run: cat
  - id: fix
    foreach: steps.draft
    where: item.bad
    {instead}
    run: tee -a seen.txt | sed 's/"bad":true/"bad":false,"fixed":true/'
  - id: last
    foreach: steps.fix
    run: cat
"""
ROWS = [{"n": 1, "bad": True}, {"n": 2, "bad": False}, {"n": 3, "bad": True}]


def project(folder: Path, instead: str) -> Project:
    made = Project(folder)
    made.workflow(FLOW.format(instead=instead))
    made.write("rows.jsonl", "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in ROWS))
    return made


def test_a_row_that_where_leaves_out_goes_on_as_what_else_names(tmp_path: Path) -> None:
    flow = project(tmp_path, "else: item")
    flow.succeeds("run")
    assert [line["record"] for line in flow.records("last")] == [
        {"n": 1, "bad": False, "fixed": True},
        {"n": 2, "bad": False},
        {"n": 3, "bad": False, "fixed": True},
    ]
    assert len(flow.read("seen.txt").splitlines()) == 2
    steps: Any = flow.succeeds("status", "--json").value["steps"]
    assert steps["fix"]["accepted"] == 3


def test_else_may_name_a_record_further_up_or_a_part_of_the_row(tmp_path: Path) -> None:
    flow = project(tmp_path, "else: chain.draft.n")
    flow.succeeds("run")
    assert flow.records("fix")[1]["record"] == 2


def test_a_row_for_which_else_names_nothing_fails_and_says_so(tmp_path: Path) -> None:
    flow = project(tmp_path, "else: item.absent")
    said = flow.penstock("run")
    assert said.status == 1
    assert flow.records("fix")[1]["verdict"] == "failed"
    assert "absent" in said.out + said.err


def test_without_else_the_row_is_skipped(tmp_path: Path) -> None:
    flow = project(tmp_path, "timeout: 1m")
    flow.succeeds("run")
    assert [line["i"] for line in flow.records("last")] == [0, 2]


def test_else_without_where_and_paths_that_are_none_are_told_before_the_run(tmp_path: Path) -> None:
    flow = project(tmp_path, "else: 1 + 2")
    assert "is no path to a value" in flow.penstock("check").err
    flow.workflow("name: E\nsteps: [{id: a, foreach: rows.jsonl, else: item, run: cat}]\n")
    assert "`else` belongs to a `where`" in flow.penstock("check").err
    flow.workflow("name: E\nsteps: [{id: a, foreach: rows.jsonl, where: item.bad, else: itm, run: cat}]\n")
    assert "there is no `itm`" in flow.penstock("check").err
