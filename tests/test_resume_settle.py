"""Tasks of a step that is `idempotent: false` wait for a word: `--redo` or `--settle`."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from penstock.core.errors import OperatorError, UsageError
from penstock.core.states import RunState
from tests.flows import ONE, Flow, flow, numbered
from tests.terminal import Project, until

EFFECT = """\
steps:
  - id: pay
    foreach: rows.jsonl
    concurrency: 2
    idempotent: false
    run: bash pay.sh {{item.n}}
  - id: after
    needs: [pay]
    run: echo done
"""

PAY = """\
echo "$1" >> begun
if [ ! -e go ] && { [ "$1" = 1 ] || [ "$1" = 2 ]; }; then touch "held-$1"; sleep 300; fi
printf '{"paid":%s}\\n' "$1"
"""


def paying(folder: Path) -> Flow:
    """A run that was killed while it paid 1 and 2; 0 is paid, 3 has not begun."""
    project = Project(folder)
    made = Flow(folder, EFFECT, numbered(*range(4)))
    made.write("pay.sh", PAY)
    with project.running("run") as process:
        until(lambda: (folder / "held-1").exists() and (folder / "held-2").exists(), process)
        os.kill(process.pid, signal.SIGKILL)
    made.write("go", "")
    assert sorted(made.begun()) == ["0", "1", "2"]
    return made


def test_what_was_in_flight_waits_for_a_word_and_the_others_go_on(tmp_path: Path) -> None:
    made = paying(tmp_path)
    for _ in range(2):
        assert made.resume() is RunState.WAITING
        assert made.view().state == "waiting"
        assert len(made.view().in_flight) == 2
    assert made.begun() == ["3"]
    run, (first, second) = made.view().id, made.view().in_flight
    for place in (first, second):
        note = next(note for note in made.notes if note.startswith(place))
        assert "`idempotent: false`: it waits for your word" in note
        assert f"`penstock resume {run} --redo {place}`" in note
        assert f"`penstock resume {run} --settle {place}=accepted`" in note


def test_the_program_ends_with_status_4_while_a_word_is_awaited(tmp_path: Path) -> None:
    paying(tmp_path)
    said = Project(tmp_path).penstock("resume")
    assert said.status == 4
    assert "waits for your word" in said.err


def test_redo_of_one_does_that_one_again(tmp_path: Path) -> None:
    made = paying(tmp_path)
    first, second = made.view().in_flight
    assert made.resume(redo=(first,)) is RunState.WAITING
    assert sorted(made.begun()) == ["1", "3"]
    assert made.view().in_flight == (second,)
    assert made.resume(redo=(second[:9],)) is RunState.SUCCEEDED
    assert made.begun() == ["2"]
    assert made.records("pay") == [{"paid": n} for n in range(4)]
    assert made.state("after") == "succeeded"


def test_redo_of_a_step_does_all_of_it_that_was_in_flight(tmp_path: Path) -> None:
    made = paying(tmp_path)
    assert made.resume(redo=("pay",)) is RunState.SUCCEEDED
    assert sorted(made.begun()) == ["1", "2", "3"]


def test_what_is_settled_is_not_done_again(tmp_path: Path) -> None:
    made = paying(tmp_path)
    first, second = made.view().in_flight
    assert made.resume(settle=((first, "accepted"), (second, "failed"))) is RunState.FAILED
    assert made.begun() == ["3"]
    assert made.counts("pay") == (3, 0, 1, 0)
    assert made.records("pay") == [{"paid": 0}, "", None, {"paid": 3}]
    assert f"  {first} is accepted" in made.notes
    assert f"  {second} is failed" in made.notes


def test_a_whole_step_can_be_settled(tmp_path: Path) -> None:
    made = paying(tmp_path)
    assert made.resume(settle=(("pay", "accepted"),)) is RunState.SUCCEEDED
    assert made.begun() == ["3"]
    assert made.counts("pay") == (4, 0, 0, 0)


def test_a_step_without_items_is_redone_or_settled_by_its_name(tmp_path: Path) -> None:
    steps = "steps:\n  - id: send\n    idempotent: false\n    run: bash pay.sh 1\n"
    for asked, begun in (({"redo": ("send",)}, ["1"]), ({"settle": (("send", "accepted"),)}, [])):
        folder = tmp_path / str(len(begun))
        project, made = Project(folder), Flow(folder, steps)
        made.write("pay.sh", PAY)
        with project.running("run") as process:
            until((folder / "held-1").exists, process)
            os.kill(process.pid, signal.SIGKILL)
        made.write("go", "")
        made.begun()
        assert made.resume() is RunState.WAITING
        assert any("`penstock resume" in note and "--redo send`" in note for note in made.notes)
        assert made.resume(**asked) is RunState.SUCCEEDED
        assert made.begun() == begun


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("pay:0000", "pay:0000 means no tasks in flight"),
        ("other", "other means no tasks in flight"),
        ("after", "after means no tasks in flight"),
    ],
)
def test_a_place_where_nothing_is_in_flight_is_refused(tmp_path: Path, word: str, said: str) -> None:
    made = paying(tmp_path)
    flying = made.view().in_flight
    for asked in ({"redo": (word,)}, {"settle": ((word, "accepted"),)}):
        with pytest.raises(UsageError, match=said) as refused:
            made.resume(**asked)
        assert str(refused.value.help) == f"in flight: {', '.join(flying)}"


def test_a_key_that_another_one_continues_is_the_key_that_is_meant(tmp_path: Path) -> None:
    project = Project(tmp_path)
    made = Flow(tmp_path, EFFECT, numbered(1, 1, 3))
    made.write("pay.sh", 'echo "$1" >> begun\n[ -e go ] || { sleep 300; }\nprintf \'{"paid":%s}\\n\' "$1"\n')
    with project.running("run") as process:
        until(lambda: (tmp_path / "begun").exists() and made.read("begun").count("\n") == 2, process)
        os.kill(process.pid, signal.SIGKILL)
    made.write("go", "")
    made.begun()
    first, second = made.view().in_flight
    assert second == f"{first}.2"
    assert made.resume(redo=(first,)) is RunState.WAITING
    assert made.view().in_flight == (second,)
    assert sorted(made.begun()) == ["1", "3"]


def test_failed_items_of_a_step_with_effects_are_done_again_when_a_person_asks(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE + "    idempotent: false\n", numbered(0, 1, 2))
    made.write("bad-1", "")
    assert made.run() is RunState.FAILED
    made.begun()
    (tmp_path / "bad-1").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert made.begun() == ["1"]


def test_a_step_with_effects_is_not_done_again_as_a_whole(tmp_path: Path) -> None:
    effect = "  - id: send\n    needs: [a]\n    idempotent: false\n    run: bash note.sh 7\n"
    tolerant = ONE.replace("concurrency: 1", "concurrency: 1\n    max_failures: 1")
    made = flow(tmp_path, tolerant + effect, numbered(0, 1))
    made.write("bad-1", "")
    assert made.run() is RunState.SUCCEEDED
    made.begun()
    (tmp_path / "bad-1").unlink()
    with pytest.raises(OperatorError, match="step send has run, is `idempotent: false`, and would have to be done"):
        made.resume(failed=True)
    assert made.begun() == []
    assert made.view().state == "succeeded"
    assert made.counts("a") == (1, 0, 1, 0)
