"""The only writer of the journal: runs, steps, tasks and outcomes, each durable when its method returns.

"Durable" here means that the death of this process loses nothing. `settle` makes it hold for a power
cut as well; the loop calls it at least every 100 rows or 50 ms.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from penstock.core.canon import sayable
from penstock.core.routing import Choice
from penstock.core.seams import Clock
from penstock.core.states import RunState, StepState
from penstock.core.work import Attempt, Item, Outcome, Task, WrittenFile
from penstock.store.database import Database
from penstock.store.process import Owner

NO_ITEM = Item(index=0, key="", digest=bytes(16), text=b"")
"""What stands for the item of a step without `foreach`."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A row that a step has met before: its task, the attempts spent on it, and its verdict if it has one.

    `epoch` is the life of the run in which it was begun, 0 if it is to be begun anew (`--failed`).
    """

    task_no: int
    digest: bytes
    occurrence: int
    spent: int
    verdict: str | None
    epoch: int


class Journal:
    """What one process writes about the runs of one folder. Also a `Recorder` for the attempts of its tasks."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.database = Database(path)
        self._clock = clock
        self._unsettled = 0
        self._unsettled_since = 0.0

    def close(self) -> None:
        """The file is closed; nothing more may be written."""
        self.database.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written inside becomes durable together, or not at all."""
        with self.database.transaction():
            yield

    @contextmanager
    def turn(self) -> Iterator[None]:
        """What is written inside becomes durable together, also what was written before an exception."""
        with self.database.turn():
            yield

    # --- how far it is on the disk -------------------------------------------------------------

    def due(self) -> bool:
        """Whether enough was written, or long enough ago, that `settle` should be called."""
        waited_s = self._clock.monotonic() - self._unsettled_since
        return self._unsettled >= 100 or (self._unsettled > 0 and waited_s >= 0.05)

    @property
    def pending(self) -> bool:
        """Whether anything was written since the last `settle`."""
        return self._unsettled > 0

    def settle(self) -> None:
        """Everything written so far survives a power cut."""
        self.settling()()

    def settling(self) -> Callable[[], None]:
        """What `settle` has to wait for, as a call that another thread can make."""
        self._unsettled = 0
        return self.database.sync

    def _wrote(self) -> None:
        if self._unsettled == 0:
            self._unsettled_since = self._clock.monotonic()
        self._unsettled += 1

    # --- runs ----------------------------------------------------------------------------------

    def begin_run(
        self,
        run_id: str,
        workflow: str,
        name: str,
        steps: Sequence[str],
        options: Mapping[str, object],
        base: int | None,
    ) -> int:
        """A new run with all its steps pending; its number."""
        with self.together():
            values = {
                "run_id": run_id,
                "workflow": workflow,
                "name": name,
                "options": json.dumps(options, ensure_ascii=False),
                "base_no": base,
                "now": self._clock.now(),
            }
            run_no = self.database.run("insert_run", values)
            for position, step_id in enumerate(steps):
                self.database.run("insert_step", {"run_no": run_no, "step_id": step_id, "position": position})
        return run_no

    def take_run(self, run_no: int, owner: Owner) -> int:
        """This process owns the run from now on; the epoch of its ownership, from 1."""
        values = {"run_no": run_no, "now": self._clock.now(), **owner.columns()}
        with self.together():
            self.database.run("take_run", values)
            row = self.database.one("owner_of", {"run_no": run_no})
            self._set_run(run_no, RunState.RUNNING, None, None)
        assert row is not None
        return int(row["epoch"])

    def set_options(self, run_no: int, options: Mapping[str, object]) -> None:
        """What is asked of the run from now on."""
        told = json.dumps(options, ensure_ascii=False)
        self.database.run("set_run_options", {"run_no": run_no, "options": told})

    def beat(self, run_no: int, epoch: int) -> None:
        """The owner lives."""
        self.database.run("beat", {"run_no": run_no, "epoch": epoch, "now": self._clock.now()})

    def end_run(self, run_no: int, epoch: int, state: RunState, reason: str | None) -> None:
        """The run has the state it ended with, and no owner."""
        with self.together():
            self._set_run(run_no, state, reason, self._clock.now())
            self.database.run("release_run", {"run_no": run_no, "epoch": epoch, "now": self._clock.now()})
        self.settle()

    def supersede(self, run_no: int, workflow: str) -> None:
        """Earlier runs of the workflow that did not end can no longer be resumed: their files were moved."""
        self.database.run("supersede_runs", {"run_no": run_no, "workflow": workflow})

    def _set_run(self, run_no: int, state: RunState, reason: str | None, ended_at: float | None) -> None:
        values = {"run_no": run_no, "state": state.value, "reason": _sayable(reason), "ended_at": ended_at}
        self.database.run("set_run_state", values)

    # --- steps ---------------------------------------------------------------------------------

    def open_step(self, step_no: int, opened: Mapping[str, object] | None) -> None:
        """The step runs. `opened` tells what its input was like when it was opened."""
        values = {"step_no": step_no, "now": self._clock.now(), "opened": json.dumps(opened) if opened else None}
        self.database.run("open_step", values)
        self._wrote()

    def end_step(
        self, step_no: int, state: StepState, reason: str | None, summary: Mapping[str, object], total: int
    ) -> None:
        """The step has ended. `summary` is what `outputs.STEP` and the last lines of the run show."""
        values = {
            "step_no": step_no,
            "state": state.value,
            "reason": _sayable(reason),
            "now": self._clock.now(),
            "summary": json.dumps(summary, ensure_ascii=False),
            "total": total,
        }
        with self.together():
            self.database.run("end_step", values)
            self.database.run("insert_end", {"step_no": step_no})
        self._wrote()

    def keep_output(self, step_no: int, path: str, value: str | None, fault: str | None) -> None:
        """The value of one of the step's outputs as it was when the step ended, or why there is none."""
        self.database.run("insert_output", (step_no, path, value, fault))

    def event(self, run_no: int, kind: str, subject: str, detail: str) -> None:
        """A decision or an accident that is no outcome, with its reason."""
        told = {"kind": kind, "subject": sayable(subject), "detail": sayable(detail)}
        values = {"run_no": run_no, "at": self._clock.now(), **told}
        self.database.run("insert_event", values)
        self._wrote()

    # --- tasks ---------------------------------------------------------------------------------

    def taken(self, step_no: int, i: int) -> Taken | None:
        """What this run already knows of row `i` at a step; None for a row that it has not met."""
        row = self.database.one("task_at", (step_no, i))
        return (
            None
            if row is None
            else Taken(row["task_no"], row["hash"], row["occurrence"], row["spent"], row["verdict"], row["epoch"])
        )

    def occurrence(self, step_no: int, digest: bytes) -> int:
        """How many rows of this step had the same text before."""
        row = self.database.one("occurrences", (step_no, digest))
        assert row is not None
        return int(row[0])

    def start_task(self, step_no: int, item: Item, occurrence: int, epoch: int, keep_input: bool) -> int:
        """The row is in flight from now on; the number of its task."""
        text = item.text if keep_input else None
        values = (step_no, item.index, item.digest, occurrence, epoch, self._clock.now(), text)
        number = self.database.run("insert_task", values)
        self._wrote()
        return number

    def begin_task(self, task_no: int, epoch: int) -> None:
        """A row that was read before and not begun is in flight from now on."""
        self.database.run("begin_task", (epoch, self._clock.now(), task_no))
        self._wrote()

    def attempt_ended(self, task: Task, attempt: Attempt) -> None:
        """A try that is followed by another one is in the journal."""
        values = (
            task.number,
            attempt.number,
            attempt.started_at,
            attempt.elapsed_s,
            attempt.kind,
            _sayable(attempt.reason),
            sayable(attempt.stderr),
        )
        self.database.run("insert_attempt", values)
        self._wrote()

    def commit(self, run_no: int, step_no: int, outcome: Outcome, fingerprint: bytes | None, reused: int | None) -> int:
        """The outcome with its pieces and files, in one transaction; its number, which grows with every commit."""
        last = outcome.attempts[-1] if outcome.attempts else None
        record, bill = outcome.record, outcome.bill
        values = (
            outcome.task.number,
            step_no,
            outcome.task.index,
            outcome.verdict.value,
            record.form.value if record else None,
            record.body if record else None,
            _sayable(outcome.reason),
            last.number if last else 0,
            last.kind if last else None,
            sayable(last.stderr) if last else None,
            self._clock.now(),
            outcome.elapsed_s,
            bill.cost_micros if bill else None,
            fingerprint,
            reused,
            bill.model if bill else None,
            bill.tokens_in if bill else None,
            bill.tokens_out if bill else None,
            bill.sent if bill else None,
            bill.cached if bill else None,
            outcome.choice.to if outcome.choice else None,
            _chosen(outcome.choice) if outcome.choice else None,
            outcome.task.local or (outcome.choice is not None and outcome.choice.local),
        )
        with self.together() if outcome.pieces or outcome.files else nullcontext():  # one statement is whole by itself
            number = self.database.run("insert_outcome", values)
            for piece in outcome.pieces:
                self.database.run("insert_piece", (number, piece.number, piece.body, piece.file))
            for file in outcome.files:
                self.file_written(run_no, file)
        self._wrote()
        return number

    # --- files in the workflow's folder --------------------------------------------------------

    def claim_file(
        self, run_no: int, step_no: int, task_no: int | None, path: str, kind: str, foreign_bytes: int = 0
    ) -> str | None:
        """The run owns `path` from now on; or a sentence that says which other task of it has claimed it."""
        try:
            self.database.run("claim_file", (run_no, step_no, task_no, path, kind, foreign_bytes))
        except sqlite3.IntegrityError:
            claim = self.database.one("file_claim", (run_no, path))
            if claim is not None and (claim["step_no"], claim["task_no"]) != (step_no, task_no):
                return f"{path} is written by another task of this run"
        return None

    def file_written(self, run_no: int, file: WrittenFile) -> None:
        """The claimed file is there, with this size and hash."""
        self.database.run("file_written", (file.size_bytes, file.digest, run_no, file.path))

    def file_moved(self, file_no: int) -> None:
        """The file is no longer in its place: it is in its run's folder, was never written, or is no longer ours."""
        self.database.run("file_moved", (file_no,))

    # --- derived files and fixtures ------------------------------------------------------------

    def set_derived(self, run_no: int, path: str, cursor: int, size_bytes: int) -> None:
        """A derived file has come this far."""
        self.database.run("set_derived", (run_no, path, cursor, size_bytes))

    def set_signature(self, step_no: int, signature: str, written: int, counted: int) -> None:
        """How many failures of one signature became fixtures, and how many were only counted."""
        self.database.run("set_signature", (step_no, signature, written, counted))

    def keep_hash(self, path: str, size: int, mtime_ns: int, inode: int, digest: bytes) -> None:
        """The hash of a file's content while its size, time and inode stay as they are."""
        self.database.run("set_file_hash", (path, size, mtime_ns, inode, digest))


def _sayable(reason: str | None) -> str | None:
    return None if reason is None else sayable(reason)


def _chosen(choice: Choice) -> str:
    return json.dumps({"rule": choice.rule, "to": choice.to, "why": sayable(choice.why)}, ensure_ascii=False)
