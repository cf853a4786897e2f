"""`resume --failed`: what failed is done again, and what stands on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.core.errors import OperatorError
from penstock.core.states import RunState
from penstock.store.facts import find
from penstock.store.journal import Journal
from penstock.store.layout import Layout
from penstock.store.reopen import reset
from tests.doubles import TickingClock
from tests.flows import ONE, flow, numbered
from tests.terminal import jsonl

MANY = """\
steps:
  - id: a
    foreach: rows.jsonl
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a all.jsonl > "out/{{key}}.json"
  - id: b
    foreach: steps.a
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a below.jsonl
  - id: sum
    needs: [b]
    run: wc -l < below.jsonl > sum.txt
"""


def test_failed_items_are_done_again_and_what_stands_on_them(tmp_path: Path) -> None:
    made = flow(tmp_path, MANY, numbered(*range(5)))
    for n in (1, 3):
        made.write(f"bad-{n}", "")
    assert made.run() is RunState.FAILED
    assert made.counts("a") == (3, 0, 2, 0)
    assert (made.state("b"), made.state("sum")) == ("blocked", "blocked")
    assert made.read("below.jsonl").count("\n") == 3
    made.begun()
    (tmp_path / "bad-1").unlink()
    assert made.resume(failed=True) is RunState.FAILED
    assert sorted(made.begun()) == ["1", "1", "3"]
    assert made.counts("a") == (4, 0, 1, 0)
    (tmp_path / "bad-3").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.begun() == ["3", "3"]
    assert made.counts("a") == made.counts("b") == (5, 0, 0, 0)
    assert made.records("a") == made.records("b") == numbered(*range(5))
    assert made.read("all.jsonl") == made.read("below.jsonl") == "".join(f'{{"n":{n}}}\n' for n in range(5))
    assert len(list((tmp_path / "out").iterdir())) == 5
    assert made.read("sum.txt").strip() == "5"
    assert "  a: 1 failed items are done again" in made.notes


def test_a_run_that_succeeded_with_failures_within_its_tolerance_can_do_them_again(tmp_path: Path) -> None:
    made = flow(tmp_path, MANY.replace("concurrency: 1", "concurrency: 1\n    max_failures: 2", 1), numbered(*range(4)))
    made.write("bad-2", "")
    assert made.run() is RunState.SUCCEEDED
    assert made.read("sum.txt").strip() == "3"
    made.begun()
    (tmp_path / "bad-2").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.begun() == ["2", "2"]
    assert made.read("sum.txt").strip() == "4"
    assert "  sum is done again" in made.notes


def test_a_failed_item_has_all_its_attempts_again(tmp_path: Path) -> None:
    retry = "    retry: {attempts: 2, on: [exit], backoff: {base: 1ms, cap: 1ms}}\n"
    made = flow(tmp_path, ONE + retry, numbered(0))
    made.write("bad-0", "")
    assert made.run() is RunState.FAILED
    assert made.begun() == ["0", "0"]
    assert made.resume(failed=True) is RunState.FAILED
    assert made.begun() == ["0", "0"]


def test_items_left_unread_after_a_quick_failure_are_done_too(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE + "    fail_fast: true\n", numbered(*range(6)))
    made.write("bad-1", "")
    assert made.run() is RunState.FAILED
    assert made.counts("a")[2] == 1
    assert made.counts("a")[3] >= 3
    (tmp_path / "bad-1").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.records("a") == numbered(*range(6))
    assert made.counts("a") == (6, 0, 0, 0)


def test_doing_failed_items_again_can_be_interrupted_and_goes_on(tmp_path: Path) -> None:
    made = flow(tmp_path, MANY, numbered(*range(6)))
    for n in (0, 2, 4):
        made.write(f"bad-{n}", "")
    made.run()
    for n in (0, 2, 4):
        (tmp_path / f"bad-{n}").unlink()
    assert made.resume(failed=True, stop_after=1) is None
    assert made.view().state == "interrupted"
    assert made.resume() is RunState.SUCCEEDED
    assert made.records("a") == made.records("b") == numbered(*range(6))
    assert made.counts("b") == (6, 0, 0, 0)


def test_a_step_that_failed_as_a_whole_is_done_again(tmp_path: Path) -> None:
    steps = """\
steps:
  - id: a
    run: '[ ! -e bad-a ] && echo 1 > a.txt'
    outputs: [a.txt]
  - id: lists
    needs: [a]
    run: bash note.sh 1
    outputs: [made.txt]
  - id: last
    needs: [lists]
    run: echo done
"""
    made = flow(tmp_path, steps)
    made.write("bad-a", "")
    assert made.run() is RunState.FAILED
    (tmp_path / "bad-a").unlink()
    assert made.resume(failed=True) is RunState.FAILED
    assert (made.state("a"), made.state("lists"), made.state("last")) == ("succeeded", "failed", "blocked")
    made.write("made.txt", "here")
    assert made.begun() == ["1"]
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.begun() == ["1"]
    assert made.state("last") == "succeeded"


def test_a_step_whose_condition_had_no_answer_is_asked_again(tmp_path: Path) -> None:
    steps = """\
steps:
  - id: a
    foreach: rows.jsonl
    max_failures: 1
    run: bash note.sh {{item.n}}
  - id: b
    needs: [a]
    run: if [ -e good ]; then echo '{"rate":1.0}'; else echo '{}'; fi > rate.json
  - id: c
    needs: [b]
    when: outputs.rate.rate > 0.5
    run: echo yes
"""
    made = flow(tmp_path, steps, numbered(0, 1))
    made.write("bad-1", "")
    assert made.run() is RunState.FAILED
    assert made.state("c") == "failed"
    made.write("good", "")
    (tmp_path / "bad-1").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.records("c") == ["yes"]


def test_what_a_step_made_of_failures_is_taken_back_when_they_are_done_again(tmp_path: Path) -> None:
    steps = """\
steps:
  - id: a
    foreach: rows.jsonl
    concurrency: 1
    max_failures: 5
    run: bash note.sh {{item.n}}
  - id: mend
    foreach: steps.a.failed
    run: echo '{"mended":{{item.n}}}' | tee -a mended.jsonl > "mended/{{item.n}}.json"
  - id: after
    foreach: steps.mend
    run: cat >> after.jsonl
"""
    made = flow(tmp_path, steps, numbered(*range(4)))
    for n in (1, 2):
        made.write(f"bad-{n}", "")
    assert made.run() is RunState.SUCCEEDED
    assert [line["i"] for line in made.lines("after")] == [1, 2]
    (tmp_path / "bad-1").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.counts("a") == (3, 0, 1, 0)
    assert [line["i"] for line in made.lines("mend")] == [line["i"] for line in made.lines("after")] == [2]
    assert made.counts("mend") == made.counts("after") == (1, 0, 0, 0)
    assert made.read("mended.jsonl") == made.read("after.jsonl") == '{"mended":2}\n'
    assert [path.name for path in (tmp_path / "mended").iterdir()] == ["2.json"]


def test_failed_items_of_an_input_that_was_mended_are_done_with_both_words(tmp_path: Path) -> None:
    made = flow(tmp_path, MANY, numbered(*range(4)))
    made.write("bad-2", "")
    assert made.run() is RunState.FAILED
    made.begun()
    made.rows(numbered(0, 1, 9, 3))
    with pytest.raises(OperatorError, match=r"rows\.jsonl has changed") as refused:
        made.resume(failed=True)
    assert "--failed --reread" in str(refused.value.help)
    assert made.state("a") == "failed"
    assert made.resume(failed=True, reread=True) is RunState.SUCCEEDED
    assert made.begun() == ["9", "9"]
    assert made.records("b") == numbered(0, 1, 9, 3)
    assert made.read("sum.txt").strip() == "4"


def test_failed_without_failures_changes_nothing(tmp_path: Path) -> None:
    made = flow(tmp_path, MANY, numbered(*range(3)))
    made.run()
    made.begun()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.begun() == []


def test_the_log_keeps_what_was_and_what_became_of_it(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(0, 1))
    made.write("bad-1", "")
    made.run()
    (tmp_path / "bad-1").unlink()
    made.resume(failed=True)
    log = [(line["step"], line["i"], line["verdict"]) for line in jsonl(made.view().folder / "log.jsonl")]
    assert log == [
        ("a", 0, "accepted"),
        ("a", 1, "failed"),
        ("a", None, "failed"),
        ("a", 1, "accepted"),
        ("a", None, "succeeded"),
    ]


def test_files_of_what_was_taken_back_are_moved_by_the_next_resume_if_a_crash_came_between(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE + "  - id: hold\n    needs: [a]\n    run: '[ -e go ]'\n", numbered(*range(3)))
    made.run(stop_after=2)
    layout, name = Layout(tmp_path), made.view().id
    journal = Journal(layout.journal, TickingClock())
    run = find(journal.database, None)
    with journal.together():
        reset(journal, run["run_no"], journal.database.all("steps_of", {"run_no": run["run_no"]})[0])
    journal.close()
    made.begun()
    made.write("go", "")
    assert made.resume() is RunState.SUCCEEDED
    assert made.begun() == ["0", "1", "2"]
    assert made.records("a") == numbered(*range(3))
    assert made.read("all.jsonl").count("\n") == 3
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert len(list((layout.run(name).failed / "out").iterdir())) >= 2


def test_a_new_run_after_failed_items_were_done_again_moves_the_files_and_complains_of_nothing(tmp_path: Path) -> None:
    made = flow(tmp_path, MANY, numbered(*range(4)))
    made.write("bad-2", "")
    made.run()
    (tmp_path / "bad-2").unlink()
    assert made.resume(failed=True, stop_after=1) is None
    assert made.run() is RunState.SUCCEEDED
    assert made.records("b") == numbered(*range(4))
