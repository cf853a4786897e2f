"""Many deciders at once, and a process that is killed anywhere in asking, deciding or going on."""

from __future__ import annotations

import multiprocessing
import random
import subprocess
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from penstock.api import deciding, reading
from penstock.core.approval import Word
from penstock.core.errors import PenstockError
from penstock.core.states import RunState
from penstock.store import approvals, facts
from penstock.store.audit import accounting
from penstock.store.audit.finding import Grade
from penstock.store.database import Database
from tests.flows import Flow
from tests.terminal import HERE, Project

STEPS = """\
steps:
  - id: judge
    foreach: [1, 2, 3]
    run: echo '{"ok":true}'
  - id: sign_off
    needs: [judge]
    approve: {message: "Go?", show: [steps.judge]}
  - id: apply
    needs: [sign_off]
    run: echo {{outputs.sign_off.by}} >> applied
"""
FORK = multiprocessing.get_context("fork")


def test_ten_deciders_at_once_leave_one_decision_and_nine_refusals(tmp_path: Path) -> None:
    project, flow = Project(tmp_path), Flow(tmp_path, STEPS)
    assert flow.run() is RunState.WAITING
    run, words = flow.view().id, ["approve", "reject"] * 5
    deciders = [
        subprocess.Popen(
            [str(HERE / "penstock"), word, run, "sign_off", "--as", f"p{n}"],
            cwd=tmp_path,
            env=project.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for n, word in enumerate(words)
    ]
    said = [process.communicate()[1].decode() for process in deciders]
    first = [n for n, process in enumerate(deciders) if process.returncode == 0]
    assert len(first) == 1
    how = "approved" if words[first[0]] == "approve" else "rejected"
    refusals = [text for n, text in enumerate(said) if n not in first]
    assert all(f"sign_off is already {how} by p{first[0]} at " in text for text in refusals)
    assert sorted(process.returncode for process in deciders) == [0, *[1] * 9]
    assert flow.resume() is (RunState.SUCCEEDED if how == "approved" else RunState.REJECTED)


@pytest.mark.parametrize("seed", range(12))
def test_a_kill_anywhere_loses_no_decision(tmp_path: Path, seed: int) -> None:
    """Each life of the run and each decider is killed at a moment that the seed tells, until one gets through."""
    luck, flow = random.Random(seed), Flow(tmp_path, STEPS)
    killed(partial(flow.run), luck.uniform(0.0, 0.25))
    while not waiting(tmp_path):
        if not (tmp_path / ".penstock" / "journal.db").exists() or not reading.runs(tmp_path):
            flow.run()
        elif flow.state("sign_off") == "pending":
            flow.resume()
    for decider in range(3):
        killed(partial(deciding.decide, tmp_path, (), luck.random() < 0.5, f"p{decider}"), luck.uniform(0.0, 0.02))
    first = word(tmp_path)
    if first is None:
        first = deciding.decide(tmp_path, (), True, "last").word
    for _ in range(2):
        killed(partial(flow.resume), luck.uniform(0.0, 0.25))
        assert word(tmp_path) == first
    if flow.view().state in ("waiting", "interrupted"):
        flow.resume()
    assert word(tmp_path) == first
    assert flow.view().state == ("succeeded" if first.approved else "rejected")
    assert [line["verdict"] for line in flow.lines("sign_off")] == ["accepted" if first.approved else "rejected"]
    assert set((flow.read("applied") if first.approved else "").split()) == ({first.by} if first.approved else set())
    assert problems(tmp_path) == []


def killed(act: Callable[[], object], after_s: float) -> None:
    """A process of its own does it and is killed after so long, if it has not ended before."""
    child = FORK.Process(target=_quietly, args=(act,))
    child.start()
    child.join(after_s)
    child.kill()
    child.join()


def _quietly(act: Callable[[], object]) -> None:
    with suppress(PenstockError):
        act()


def waiting(folder: Path) -> bool:
    return (folder / ".penstock" / "journal.db").exists() and bool(deciding.waiting(folder))


def word(folder: Path) -> Word | None:
    """The one decision in the folder."""
    with closing(Database(folder / ".penstock" / "journal.db")) as database:
        run = facts.find(database, None)
        found = [word for _, word in approvals.of_run(database, run["run_no"]) if word is not None]
    assert len(found) <= 1
    return found[0] if found else None


def problems(folder: Path) -> list[str]:
    """What the accounting of the newest run complains of."""
    with closing(Database(folder / ".penstock" / "journal.db")) as database:
        found = accounting.examine(database, facts.find(database, None))
        return [str(finding) for finding in found if finding.grade is Grade.PROBLEM]
