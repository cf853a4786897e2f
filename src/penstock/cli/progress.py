"""What is shown while a run goes on: a line a step, live on a terminal, plain without one, nothing when quiet."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import click

from penstock.cli import show
from penstock.core.errors import Place
from penstock.core.views import RunView, StepView
from penstock.core.work import Outcome, Verdict

MOST_COMPLAINTS = 5
"""So many failed items of a step are printed as they happen; the others are in the log."""


class Quiet:
    """Watches a run and says only what must be said."""

    def __init__(self) -> None:
        self._places: dict[str, Place | None] = {}

    def __enter__(self) -> Quiet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left open."""

    def begin(self, run: RunView) -> None:
        """Where the steps stand in the file."""
        self._places = {step.id: step.place for step in run.steps}

    def step(self, view: StepView) -> None:
        """A failed step is said even when quiet."""
        if view.state == "failed":
            self.say(f"{self.where(view.id)}step {view.id} failed: {view.reason}")

    def outcome(self, outcome: Outcome) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def where(self, step_id: str) -> str:
        """`workflow.yaml:12: `, the step's line in its file; empty if it is not known."""
        place = self._places.get(step_id)
        return "" if place is None else f"{show.short(Path(place.file))}:{place.line}: "

    def say(self, line: str) -> None:
        """A line on standard error. A reader that has gone away, or a full disk, does not stop the run."""
        with suppress(OSError):
            click.echo(show.printable(line), err=True)


class Plain(Quiet):
    """One line when a step ends, the first failures, and a sign of life of each step that goes on for long."""

    EVERY_S = 10.0
    TICK_S = 1.0

    def __init__(self) -> None:
        super().__init__()
        self._running: dict[str, Pace] = {}
        self._complaints: dict[str, int] = {}
        self._width = 0
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._ticks, daemon=True)

    def __enter__(self) -> Plain:
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The clock stands still."""
        self._over.set()
        self._ticker.join()

    def begin(self, run: RunView) -> None:
        """Which run of which workflow this is."""
        super().begin(run)
        self._width = max((len(step.id) for step in run.steps), default=0)
        self.say(f"{run.name}: run {run.id}")

    def step(self, view: StepView) -> None:
        """A line when the step ends; until then its pace is kept."""
        with self._lock:
            if view.state == "running":
                self._running.setdefault(view.id, Pace(view)).view = view
                return
            self._running.pop(view.id, None)
            self._ended(view)

    def outcome(self, outcome: Outcome) -> None:
        """The first failures of each step: where, which item, why, and the command's last words."""
        if outcome.verdict is not Verdict.FAILED:
            return
        step_id = outcome.task.step_id
        said = self._complaints[step_id] = self._complaints.get(step_id, 0) + 1
        with self._lock:
            if said <= MOST_COMPLAINTS:
                for line in complaint(outcome, self.where(step_id)):
                    self.say(line)
            elif said == MOST_COMPLAINTS + 1:
                self.say(f"{self.where(step_id)}step {step_id}: more items fail; see the log")

    def note(self, text: str) -> None:
        """The text."""
        with self._lock:
            for line in text.splitlines():
                self.say(line)

    def tick(self) -> None:
        """A line of each step of which nothing has been heard for a while."""
        now = time.monotonic()
        for pace in self._running.values():
            if now - pace.told_at >= self.EVERY_S:
                pace.told_at = now
                self.say(pace.line(now, self._width))

    def _ended(self, view: StepView) -> None:
        """The step's line. Why it failed is said once: as a complaint, or, if items failed, as a count beside it."""
        failed = view.state == "failed"
        unsaid = failed and not self._complaints.get(view.id)
        if unsaid:
            self.say(f"{self.where(view.id)}step {view.id}: {view.reason}")
        self.say(show.step_line(view, self._width, with_reason=not (unsaid or (failed and not view.foreach))))

    def _ticks(self) -> None:
        while not self._over.wait(self.TICK_S):
            with self._lock:
                self.tick()


class Live(Plain):
    """A table that is drawn anew in place, a line a step, with lines above it that stay."""

    TICK_S = 0.2

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live as Screen

        self._drawn_at = 0.0
        self._screen = Screen(console=Console(stderr=True, highlight=False), auto_refresh=False, transient=True)

    def __enter__(self) -> Live:
        with suppress(OSError):
            self._screen.start()
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The table is gone; the lines above it stay."""
        super().__exit__(kind, error, trace)
        with suppress(OSError):
            self._screen.stop()

    def step(self, view: StepView) -> None:
        """A step that ended becomes a line that stays; one that runs is a line of the table."""
        super().step(view)
        if view.state != "running" or time.monotonic() - self._drawn_at >= 0.1:
            self.tick()

    def say(self, line: str) -> None:
        """A line above the table. A terminal that has gone away does not stop the run."""
        from rich.text import Text

        with suppress(OSError):
            self._screen.console.print(Text(show.printable(line)), soft_wrap=True)

    def tick(self) -> None:
        """The table is drawn as things stand."""
        from rich.text import Text

        with self._lock, suppress(OSError):
            now = self._drawn_at = time.monotonic()
            paces = self._running.values()
            widest = max(12, self._screen.console.width // 3)
            width = min(widest, max((len(pace.view.id) for pace in paces), default=0))
            lines = "\n".join(pace.line(now, width, self._screen.console.width) for pace in paces)
            self._screen.update(Text(lines, no_wrap=True, overflow="ellipsis"), refresh=True)


@dataclass
class Pace:
    """A running step and how fast it goes. What an earlier life of the run had done is no part of the rate."""

    view: StepView

    def __post_init__(self) -> None:
        self._began_at = self.told_at = time.monotonic()
        self._done_before = self.view.tally.done

    def line(self, now: float, width: int, most: int | None = None) -> str:
        """`generate  120/2,000  31.0/s  118 accepted, 2 failed  142 calls $0.0703  1 min 01 s left`.

        `now` is monotonic seconds. Of a line that would be longer than `most` characters the rate is left out, then
        the time that is left.
        """
        view, tally, passed_s = self.view, self.view.tally, now - self._began_at
        name = f"  {show.cropped(view.id, width):<{width}}"
        if not view.foreach:
            spent = f"  {_spent(view)}" if view.spent is not None else ""
            return f"{name}  running{spent}  {show.seconds(passed_s)}"
        rate = (tally.done - self._done_before) / passed_s if passed_s > 0 else 0.0
        total = f"/{tally.total:,}" if tally.total is not None else ""
        told = [name, f"{tally.done:,}{total}"], [show.counts(tally), _spent(view)]
        pace = f"{rate:,.1f}/s"
        known = tally.total is not None and rate > 0
        left = f"{show.seconds(((tally.total or 0) - tally.done) / rate)} left" if known else ""
        lines = [
            _joined(*told[0], pace, *told[1], left),
            _joined(*told[0], *told[1], left),
            _joined(*told[0], *told[1]),
        ]
        return next((line for line in lines if most is None or len(line) <= most), lines[-1])


def _joined(*parts: str) -> str:
    return "  ".join(part for part in parts if part)


def _spent(view: StepView) -> str:
    """`142 calls $0.0703`; empty for a step that asks no model, or has asked none yet."""
    spent = view.spent
    if spent is None or not spent.calls:
        return ""
    cost = "$?" if spent.unknown else show.money(spent)
    return f"{show.calls(spent.calls)} {cost}"


def complaint(outcome: Outcome, where: str) -> list[str]:
    """A failed task in words: `where` it stands, step, item, reason, the last lines of its standard error."""
    item, last = outcome.task.item, outcome.attempts[-1] if outcome.attempts else None
    which = f", item {item.index} ({item.key})" if item is not None else ""
    tried = f" after {last.number} attempts" if last is not None and last.number > 1 else ""
    said = last.stderr.splitlines()[-5:] if last is not None else []
    return [f"{where}step {outcome.task.step_id}{which}: {outcome.reason}{tried}", *(f"      {line}" for line in said)]


def screen(quiet: bool) -> Quiet:
    """What fits where we are: quiet, live on a terminal, plain lines elsewhere."""
    if quiet:
        return Quiet()
    return Live() if sys.stderr is not None and sys.stderr.isatty() else Plain()
