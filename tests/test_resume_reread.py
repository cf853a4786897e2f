"""An input that has changed since a step began to read it: refused, or read anew with `--reread`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from penstock.core.errors import OperatorError
from penstock.core.states import RunState
from tests.flows import BELOW, ONE, flow, numbered


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (numbered(0, 1, 2, 3, 4), r"32 bytes then, 40 now; the rows that were read are the same"),
        (numbered(0, 7, 2, 3), r"32 bytes as before; row 2 is another"),
        (numbered(0, 1, 2, 7), r"32 bytes as before; the rows that were read are the same"),
        (numbered(0), r"32 bytes then, 8 now; it ends after row 1"),
        (numbered(9, 0, 1, 2, 3), r"32 bytes then, 40 now; row 1 is another"),
    ],
)
def test_an_input_that_has_changed_is_refused_with_what_changed(tmp_path: Path, rows: list[object], said: str) -> None:
    made = flow(tmp_path, ONE, [])
    made.write("rows.jsonl", '{"n":0}\n{"n":1}\n{"n":2}\n{"n":3}\n')
    made.run(stop_after=2)
    made.begun()
    made.write("rows.jsonl", "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
    with pytest.raises(OperatorError, match=f"rows.jsonl has changed since step a began to read it: {said}") as refused:
        made.resume()
    assert "--reread" in str(refused.value.help)
    assert made.begun() == []
    assert made.view().state == "interrupted"


def test_an_input_that_was_only_touched_has_not_changed(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(4)))
    made.run(stop_after=2)
    os.utime(tmp_path / "rows.jsonl", (1, 1))
    assert made.resume() is RunState.SUCCEEDED


def test_an_input_that_is_gone_must_be_put_back(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(4)))
    made.run(stop_after=2)
    text = made.read("rows.jsonl")
    (tmp_path / "rows.jsonl").unlink()
    for reread in (False, True):
        with pytest.raises(OperatorError, match=r"rows\.jsonl is gone, and step a has not read it whole"):
            made.resume(reread=reread)
    made.write("rows.jsonl", text)
    assert made.resume() is RunState.SUCCEEDED


def test_an_input_of_a_step_that_has_ended_is_compared_too(tmp_path: Path) -> None:
    steps = ONE + "  - id: b\n    needs: [a]\n    foreach: [1, 2]\n    concurrency: 1\n    run: cat\n"
    made = flow(tmp_path, steps, numbered(*range(3)))
    assert made.run(stop_after=4) is None
    made.begun()
    made.rows(numbered(*range(4)))
    with pytest.raises(OperatorError, match=r"rows\.jsonl has changed"):
        made.resume()
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.begun() == ["3"]
    assert made.records("a") == numbered(*range(4))
    assert made.counts("b") == (2, 0, 0, 0)


def test_an_input_that_a_later_step_of_the_run_writes_is_its_own_affair(tmp_path: Path) -> None:
    after = "  - id: b\n    needs: [a]\n    run: echo '{\"n\":7}' > rows.jsonl\n"
    last = "  - id: c\n    needs: [b]\n    foreach: [1, 2]\n    concurrency: 1\n    run: cat\n"
    made = flow(tmp_path, ONE + after + last, numbered(*range(2)))
    assert made.run(stop_after=4) is None
    assert made.resume() is RunState.SUCCEEDED


@pytest.mark.parametrize(
    ("now", "again"),
    [
        ((9, 0, 1, 2, 3, 4), [9, 3, 4]),
        ((1, 2, 3, 4), [3, 4]),
        ((0, 8, 2, 3, 4), [8, 3, 4]),
        ((2, 1, 0), []),
        ((4, 3, 2, 1, 0), [4, 3]),
        ((0, 1, 2, 0, 1), [0, 1]),
        ((5, 6), [5, 6]),
        ((), []),
    ],
)
def test_reread_does_the_rows_that_are_new_and_keeps_those_that_are_still_there(
    tmp_path: Path, now: tuple[int, ...], again: list[int]
) -> None:
    made = flow(tmp_path, ONE, numbered(*range(5)))
    made.run(stop_after=3)
    made.begun()
    made.rows(numbered(*now))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.begun() == [str(n) for n in again]
    assert made.records("a") == numbered(*now)
    assert [line["i"] for line in made.lines("a")] == list(range(len(now)))
    assert made.counts("a") == (len(now), 0, 0, 0)
    assert made.read("all.jsonl") == "".join(f'{{"n":{n}}}\n' for n in now)
    keys = [str(line["key"]) for line in made.lines("a")]
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_reread_knows_equal_rows_by_their_number(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(0, 0, 1, 0, 2))
    made.run(stop_after=4)
    made.begun()
    made.rows(numbered(0, 5, 0, 0, 0, 2))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.begun() == ["5", "0", "2"]
    assert made.records("a") == numbered(0, 5, 0, 0, 0, 2)


PLACED = """\
steps:
  - id: a
    foreach: rows.jsonl
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a all.jsonl > "out/{{i}}.json"
  - id: b
    foreach: steps.a
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a below.jsonl
"""


def test_rows_that_have_moved_are_done_again_where_the_text_uses_their_place(tmp_path: Path) -> None:
    made = flow(tmp_path, PLACED, numbered(*range(4)))
    made.run(stop_after=5)
    made.rows(numbered(0, 9, 1, 2, 3))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.records("a") == made.records("b") == numbered(0, 9, 1, 2, 3)
    for place, n in enumerate((0, 9, 1, 2, 3)):
        assert json.loads(made.read(f"out/{place}.json")) == {"n": n}
    assert len(list((tmp_path / "out").iterdir())) == 5
    assert made.read("below.jsonl") == made.read("all.jsonl")


def test_rows_that_have_moved_keep_their_records_where_only_the_step_below_uses_places(tmp_path: Path) -> None:
    steps = ONE + '  - id: b\n    foreach: steps.a\n    concurrency: 1\n    run: echo {{item.n}} > "at/{{i}}.txt"\n'
    made = flow(tmp_path, steps, numbered(*range(4)))
    assert made.run(stop_after=7) is None
    made.begun()
    made.rows(numbered(3, 0, 1, 2))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.begun() == []
    assert [made.read(f"at/{place}.txt") for place in range(4)] == ["3\n", "0\n", "1\n", "2\n"]


def test_reread_writes_the_records_anew_where_a_step_has_no_other_file(tmp_path: Path) -> None:
    bare = "steps:\n  - id: a\n    foreach: rows.jsonl\n    concurrency: 1\n    run: bash note.sh {{item.n}}\n"
    made = flow(tmp_path, bare, numbered(*range(4)))
    made.run(stop_after=3)
    made.rows(numbered(9, 0, 1, 2, 3))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.records("a") == numbered(9, 0, 1, 2, 3)


def test_a_row_that_has_moved_keeps_what_is_too_large_for_the_journal(tmp_path: Path) -> None:
    large = "printf '%01100000d\\n' {{item.n}}"
    made = flow(tmp_path, ONE.replace("bash note.sh {{item.n}} | tee -a all.jsonl", f"{large} | tee -a all.txt"))
    made.rows(numbered(1, 2, 3))
    made.write("workflow.yaml", made.read("workflow.yaml").replace(' > "out/{{key}}.json"', ""))
    made.run(stop_after=2)
    made.rows(numbered(9, 1, 2, 3))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert [line[-1] for line in made.read("all.txt").splitlines()] == ["9", "1", "2", "3"]
    for line, n in zip(made.lines("a"), (9, 1, 2, 3), strict=True):
        record = line["record"]
        assert isinstance(record, dict)
        assert made.read(str(record["file"]))[-2] == str(n)


def test_reread_does_barriers_again_and_lets_streams_go_on(tmp_path: Path) -> None:
    sums = "  - id: sum\n    needs: [b]\n    run: cat below.jsonl | wc -l > sum.txt\n"
    hold = "  - id: hold\n    needs: [sum]\n    foreach: [1, 2]\n    concurrency: 1\n    run: cat\n"
    made = flow(tmp_path, ONE + BELOW + sums + hold, numbered(*range(3)))
    assert made.run(stop_after=8) is None
    assert made.read("sum.txt").strip() == "3"
    made.begun()
    made.rows(numbered(7, 0, 2))
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.begun() == ["7", "7"]
    assert made.records("b") == numbered(7, 0, 2)
    assert made.read("sum.txt").strip() == "3"
    assert "sum is done again" in " ".join(made.notes)
    told = r"rows\.jsonl is read anew \(.*\): 2 rows that were read are still in it"
    assert any(re.search(told, note) for note in made.notes)


def test_reread_without_a_change_is_a_plain_resume(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(4)))
    made.run(stop_after=2)
    made.begun()
    assert made.resume(reread=True) is RunState.SUCCEEDED
    assert made.begun() == ["2", "3"]
