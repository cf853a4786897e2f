"""A workflow that is run, stopped in its midst and resumed in this process, and what must hold of it then."""

from __future__ import annotations

import json
from pathlib import Path

from penstock.api import reading, running
from penstock.core.states import RunState
from penstock.core.views import Options, Resumption, RunView
from penstock.core.work import Outcome
from tests.doubles import MemoryListener
from tests.terminal import jsonl


class Stop(BaseException):
    """Raised in the midst of a run: as if somebody had pulled the plug, but that the test goes on."""


class Stopping(MemoryListener):
    """Stops the run after so many outcomes."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def outcome(self, outcome: Outcome) -> None:
        super().outcome(outcome)
        if len(self.outcomes) == self._after:
            raise Stop


class Flow:
    """A workflow's folder, and its runs in this process."""

    def __init__(self, folder: Path, steps: str, rows: list[object] | None = None) -> None:
        self.folder = folder
        self.write("workflow.yaml", f"name: Test\nversion: 1\n{steps}")
        if rows is not None:
            self.rows(rows)
        self.notes: list[str] = []

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def rows(self, rows: list[object], name: str = "rows.jsonl") -> None:
        self.write(name, "".join(f"{json.dumps(row)}\n" for row in rows))

    def run(self, stop_after: int = -1, only: str | None = None) -> RunState | None:
        """A new run; its state, or None if it was stopped."""
        listener = Stopping(stop_after)
        try:
            return running.run(self.folder, Options(only=only), listener).state
        except Stop:
            return None

    def resume(self, stop_after: int = -1, run: str | None = None, **asked: object) -> RunState | None:
        """The newest run goes on; its state, or None if it was stopped again."""
        listener = Stopping(stop_after)
        try:
            return running.resume(self.folder, run, Resumption(**asked), listener).state  # type: ignore[arg-type] # by name
        except Stop:
            return None
        finally:
            self.notes = listener.notes

    def view(self) -> RunView:
        return reading.status(self.folder, None)

    def state(self, step: str) -> str:
        return next(view.state for view in self.view().steps if view.id == step)

    def counts(self, step: str) -> tuple[int, int, int, int]:
        """Accepted, rejected, failed, skipped; every row of the step is one of them."""
        tally = next(view.tally for view in self.view().steps if view.id == step)
        assert tally.in_flight == 0
        assert tally.total == tally.done
        return tally.accepted, tally.rejected, tally.failed, tally.skipped

    def records(self, step: str) -> list[object]:
        """The records of the step in order, which are numbered without a gap or follow a stream's places."""
        return [line["record"] for line in self.lines(step)]

    def lines(self, step: str) -> list[dict[str, object]]:
        return jsonl(reading.status(self.folder, None).folder / "steps" / f"{step}.jsonl")

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def begun(self, name: str = "begun") -> list[str]:
        """What the items' program has noted, and forgets it."""
        path = self.folder / name
        noted = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return noted


def flow(folder: Path, steps: str, rows: list[object] | None = None) -> Flow:
    """A flow whose items can note that they begin, with `bash note.sh N`, which also prints `{"n": N}`."""
    made = Flow(folder, steps, rows)
    made.write("note.sh", 'echo "$1" >> begun\n[ ! -e "bad-$1" ] || exit 1\nprintf \'{"n":%s}\\n\' "$1"\n')
    return made


def numbered(*numbers: int) -> list[object]:
    return [{"n": number} for number in numbers]


ONE = """\
steps:
  - id: a
    foreach: rows.jsonl
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a all.jsonl > "out/{{key}}.json"
"""

BELOW = """\
  - id: b
    foreach: steps.a
    concurrency: 1
    run: bash note.sh {{item.n}} | tee -a below.jsonl
"""
