"""Runs, kills, resumes and edits in any order, against a model small enough to be right by reading it.

The default is a few derandomized examples. `PENSTOCK_EXAMPLES=200 pytest tests/test_state_machine.py` tries new ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from penstock.api import reading, running
from penstock.core.errors import OperatorError, UsageError
from penstock.core.states import RunState
from penstock.core.views import Options, Resumption, RunView
from penstock.core.work import Outcome
from tests.doubles import MemoryListener
from tests.processes import needs_proc, soon, started_by_runs
from tests.terminal import Project, jsonl

EXAMPLES = int(os.environ.get("PENSTOCK_EXAMPLES", "0"))
NUMBERS = 5

WORKFLOW = """\
name: Machine
version: 1
steps:
  - id: sum
    needs: [b]
    run: cat all.jsonl below.jsonl | wc -l > sum.txt
  - id: b
    foreach: steps.a
    concurrency: 1
    run: cat | tee -a below.jsonl
  - id: a
    foreach: rows.jsonl
    concurrency: 1
    max_failures: 100%
    run: bash item.sh {{item.n}} VERSION | tee -a all.jsonl > "out/{{key}}.json"
"""

ITEM = """\
echo "$1" >> begun
[ ! -e "bad-$1" ] || exit 1
echo "{\\"n\\":$1,\\"v\\":$2}"
"""

Row = tuple[int, int]
"""A row is known by its number and by how many rows before it have the same."""


@dataclass(frozen=True)
class ModelRun:
    """What a run has come to: the version of its workflow, its rows, and the verdicts of some of them."""

    version: int
    rows: tuple[int, ...] | None = None
    verdicts: dict[Row, str] = field(default_factory=dict)
    ended: bool = False

    def numbered(self) -> list[Row]:
        """The rows in order."""
        seen: Counter[int] = Counter()
        rows = []
        for n in self.rows or ():
            rows.append((n, seen[n]))
            seen[n] += 1
        return rows

    def waiting(self) -> list[Row]:
        """The rows without a verdict, in the order in which they will be done."""
        return [row for row in self.numbered() if row not in self.verdicts]

    def lines(self, step: str) -> list[dict[str, object]]:
        """What `steps/STEP.jsonl` holds, up to the first row without a verdict."""
        lines: list[dict[str, object]] = []
        for i, row in enumerate(self.numbered()):
            verdict = self.verdicts.get(row)
            if verdict is None:
                break
            record = {"n": row[0], "v": self.version} if verdict == "accepted" else None
            if step == "a" or record is not None:
                lines.append({"i": i, "verdict": verdict, "record": record})
        return lines


class Abandoned(BaseException):
    """The process is given up in the midst of a run."""


class Abandoning(MemoryListener):
    """Gives up after so many outcomes; never, if that is 0."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def outcome(self, outcome: Outcome) -> None:
        super().outcome(outcome)
        if len(self.outcomes) == self._after:
            raise Abandoned


rows = st.lists(st.integers(0, NUMBERS - 1), max_size=6)
stops = st.integers(0, 9)
"""After so many outcomes a life is abandoned; 0 lets it go to its end."""


class Machine(RuleBasedStateMachine):
    """A folder with a workflow, and what must be in it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-")).resolve()
        self.project = Project(self.folder)
        self.project.write("item.sh", ITEM)
        self.version = 0
        self.rows: list[int] = []
        self.run: ModelRun | None = None

    def teardown(self) -> None:
        """The folder is gone."""
        shutil.rmtree(self.folder)

    # --- edits ---------------------------------------------------------------------------------

    @initialize(given=rows)
    def begin(self, given: list[int]) -> None:
        """A workflow and its input are there."""
        self.new_workflow()
        self._write(given)

    @rule()
    def new_workflow(self) -> None:
        """The next version of the workflow, which writes another record."""
        self.version += 1
        self.project.write("workflow.yaml", WORKFLOW.replace("VERSION", str(self.version)))

    @rule(at=st.integers(0, 6), n=st.integers(0, NUMBERS - 1))
    def insert(self, at: int, n: int) -> None:
        """A new row, maybe one that is there already."""
        self._write([*self.rows[:at], n, *self.rows[at:]])

    @rule(at=st.integers(0, 6))
    def delete(self, at: int) -> None:
        """A row is taken away."""
        self._write([*self.rows[:at], *self.rows[at + 1 :]])

    @rule(given=rows)
    def rewrite(self, given: list[int]) -> None:
        """Other rows altogether."""
        self._write(given)

    @rule(n=st.integers(0, NUMBERS - 1))
    def break_or_mend(self, n: int) -> None:
        """Rows of this number fail from now on, or do not any more."""
        path = self.folder / f"bad-{n}"
        path.unlink() if path.exists() else path.touch()

    def _write(self, given: list[int]) -> None:
        self.rows = given
        self.project.write("rows.jsonl", "".join(f'{{"n":{n}}}\n' for n in given))

    # --- lives ---------------------------------------------------------------------------------

    @rule(stop=stops)
    def start(self, stop: int) -> None:
        """A new run is always allowed; one that did not end is superseded by it."""
        self.run = ModelRun(self.version)
        self._live(lambda listener: running.run(self.folder, Options(), listener), stop)

    @rule(stop=stops, failed=st.booleans(), reread=st.booleans())
    def resume(self, stop: int, failed: bool, reread: bool) -> None:
        """The run goes on, or it is said why it does not."""
        asked = Resumption(failed=failed, reread=reread)
        refused = self._refusal(failed, reread)
        if refused is not None:
            kind, words = refused
            before = self._picture()
            with pytest.raises(kind, match=re.escape(words)):
                running.resume(self.folder, None, asked, MemoryListener())
            assert self._picture() == before
            return
        self._take_back(failed, reread)
        self._live(lambda listener: running.resume(self.folder, None, asked, listener), stop)

    @rule(delay_s=st.sampled_from([0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.8]))
    def start_and_kill(self, delay_s: float) -> None:
        """A new run of the real program, which is killed."""
        known = self._newest()
        with self.project.running("run", "--quiet") as process:
            time.sleep(delay_s)
            process.kill()
            process.wait()
        assert soon(lambda: not started_by_runs(self.folder))
        if self._newest() != known:
            self.run = ModelRun(self.version)
            self._observe()

    @rule(delay_s=st.sampled_from([0.2, 0.3, 0.4, 0.5, 0.6]))
    def resume_and_kill(self, delay_s: float) -> None:
        """The real program resumes and is killed."""
        if self._refusal(failed=False, reread=False) is not None:
            return
        with self.project.running("resume", "--quiet") as process:
            time.sleep(delay_s)
            process.kill()
            process.wait()
        assert soon(lambda: not started_by_runs(self.folder))
        self._observe()

    def _refusal(self, failed: bool, reread: bool) -> tuple[type[OperatorError], str] | None:
        """Whether resuming the newest run must be refused, how, and with which words."""
        if self.run is None:
            return UsageError, "there is no run"
        if self.run.ended and not failed:
            return UsageError, "there is nothing to resume"
        if not reread and self.run.rows is not None and list(self.run.rows) != self.rows:
            return OperatorError, "rows.jsonl has changed"
        return None

    def _take_back(self, failed: bool, reread: bool) -> None:
        assert self.run is not None
        kept = self.run.verdicts
        if failed:
            kept = {row: verdict for row, verdict in kept.items() if verdict != "failed"}
        changed = replace(self.run, verdicts=kept)
        if reread and self.run.rows is not None:
            changed = replace(changed, rows=tuple(self.rows))
            still = set(changed.numbered())
            changed = replace(changed, verdicts={row: verdict for row, verdict in kept.items() if row in still})
        self.run = replace(changed, ended=False)

    def _live(self, life: object, stop: int) -> None:
        """One life in this process, given up after `stop` outcomes."""
        assert callable(life)
        (self.folder / "begun").unlink(missing_ok=True)
        assert self.run is not None
        if self.run.rows is None:
            self.run = replace(self.run, rows=tuple(self.rows))
        waiting = [row[0] for row in self.run.waiting()]
        done = len(self.run.verdicts)
        try:
            ended = life(Abandoning(stop))
            assert ended.state is RunState.SUCCEEDED, ended
        except Abandoned:
            pass
        self._observe()
        begun = self._begun()
        executed = len(self.run.verdicts) - done
        assert begun[:executed] == waiting[:executed], (begun, waiting)
        assert begun in (waiting[:executed], waiting[: executed + 1]), (begun, waiting, executed)

    def _observe(self) -> None:
        """How far the run has come, by its own account; which rows those are, and what became of them, we know."""
        assert self.run is not None
        view = reading.status(self.folder, None)
        steps = {step.id: step for step in view.steps}
        if steps["a"].state != "pending" and self.run.rows is None:
            self.run = replace(self.run, rows=tuple(self.rows))
        executed = steps["a"].tally.done - len(self.run.verdicts)
        assert 0 <= executed <= len(self.run.waiting()), (steps["a"], self.run)
        fresh = {row: self._verdict(row) for row in self.run.waiting()[:executed]}
        ended = view.state == "succeeded"
        self.run = replace(self.run, verdicts={**self.run.verdicts, **fresh}, ended=ended)
        assert view.state in ("succeeded", "interrupted"), view
        note(f"{view.state}: {self.run}")

    def _verdict(self, row: Row) -> str:
        return "failed" if (self.folder / f"bad-{row[0]}").exists() else "accepted"

    # --- what must hold ------------------------------------------------------------------------

    @invariant()
    def what_is_there_is_what_must_be(self) -> None:
        """Records and files are those of the model: all of them if the run has ended, else a beginning of them."""
        if self.run is None:
            return
        view = reading.status(self.folder, None)
        above, below = self._lines(view, "a"), self._lines(view, "b")
        if self.run.ended:
            assert not self.run.waiting()
            assert (above, below) == (self.run.lines("a"), self.run.lines("b"))
            self._counted(view)
        else:
            assert above == self.run.lines("a")[: len(above)]
            assert below == self.run.lines("b")[: len(below)]
        self._files(self.run)

    def _files(self, run: ModelRun) -> None:
        accepted = [row for row in run.numbered() if run.verdicts.get(row) == "accepted"]
        lines = "".join(f'{{"n":{n},"v":{run.version}}}\n' for n, _ in accepted)
        there = {path.stem for path in (self.folder / "out").iterdir()} if (self.folder / "out").exists() else set()
        must = {_key(row) for row in accepted}
        if run.ended:
            assert there == must
            assert self.project.read("sum.txt").strip() == str(2 * len(accepted))
            for name in ("all.jsonl", "below.jsonl") if accepted else ():
                assert self.project.read(name) == lines
        else:
            flying = {_key(row) for row in run.waiting()}
            assert must <= there or run.rows is None, (must, there)
            assert run.rows is None or there <= must | flying, (there, must, flying)

    def _counted(self, view: RunView) -> None:
        assert self.run is not None
        for step in view.steps:
            assert step.tally.total == step.tally.done
            assert step.tally.in_flight == 0
        tally = next(step.tally for step in view.steps if step.id == "a")
        told = Counter(self.run.verdicts.values())
        assert (tally.accepted, tally.failed) == (told["accepted"], told["failed"])

    def _lines(self, view: RunView, step: str) -> list[dict[str, object]]:
        path = view.folder / "steps" / f"{step}.jsonl"
        lines = jsonl(path) if path.exists() else []
        keys = [line.pop("key") for line in lines]
        assert len(set(keys)) == len(keys)
        return lines

    def _begun(self) -> list[int]:
        path = self.folder / "begun"
        return [int(n) for n in path.read_text().split()] if path.exists() else []

    def _newest(self) -> str | None:
        try:
            return reading.status(self.folder, None).id
        except UsageError:
            return None

    def _picture(self) -> tuple[dict[str, bytes], RunView | None]:
        """Everything that a refused command may not change."""
        view = reading.status(self.folder, None) if self.run is not None else None
        return self.project.files(), replace(view, seconds=0.0, steps=()) if view is not None else None


def _key(row: Row) -> str:
    digest = hashlib.sha256(json.dumps({"n": row[0]}, separators=(",", ":")).encode()).digest()
    return digest[:8].hex() + (f".{row[1] + 1}" if row[1] else "")


@needs_proc
def test_whatever_happens_in_whatever_order_the_records_are_those_of_the_model() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES or 10,
            stateful_step_count=15,
            derandomize=not EXAMPLES,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate] if not EXAMPLES else list(Phase),
        ),
    )
