"""How a run that began with a sample takes its rows: at first only those that were drawn, then the rest.

With a confidence the gate is asked after every row, in the order in which the rows were drawn and never in that of
their ends: a row that takes long is often one that goes wrong, and looking at the quick ones first would flatter the
rest. So the gate sees a row when it and all that were drawn before it are known. Once it has decided, no row is begun.

Rows of the sample that the counted step never saw because they failed on the way count as rejected: otherwise a step
above that loses what is hard would flatter the rate. Rows that a `where`, a `when` or a branch (`.accepted` is one)
left out do not count at all. Through a file nobody can tell which row became which: there only `max_failures` of the
steps that write it tells of what was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from penstock.core.errors import OperatorError
from penstock.core.sampling import Sample
from penstock.core.work import Verdict
from penstock.core.workflow import Step, StepSource
from penstock.engine.feeds import Arrival, Feed, taken_by
from penstock.rules.drawing import Reservoir
from penstock.rules.sampled_steps import Outline, name_of
from penstock.rules.sequential import Decision, Gate
from penstock.store import gates
from penstock.store.database import Row
from penstock.store.items import Row as FileRow
from penstock.store.journal import Journal

COUNTED = {Verdict.ACCEPTED.value: 0, Verdict.REJECTED.value: 1, Verdict.FAILED.value: 1}
"""How many rejects a verdict is; a skipped row does not count at all."""

Line = Sequence[tuple[Step, int]]
"""The counted step and those above it up to the root, each with its number in the journal."""


class Loop(Protocol):
    """What carries the run, and can be told to begin nothing more."""

    stopping: bool

    def stop(self) -> None:
        """No new task is started; those in flight end."""


@dataclass(slots=True)
class Sampling:
    """One phase of a run with a sample.

    `first`: only drawn rows are taken, in the order in which they were drawn. `withheld` are steps that are not run,
    each with the reason. `watch` is asked before each row, None where the gate is asked at the end alone. `loop` is
    what carries this phase.
    """

    journal: Journal
    run_no: int
    sample: Sample
    outline: Outline
    first: bool
    withheld: Mapping[str, str] = field(default_factory=dict)
    watch: Watch | None = None
    loop: Loop | None = None

    def rows(self, step: Step, read: Callable[[], Iterator[FileRow]]) -> Iterator[FileRow]:
        """The drawn rows of the step's file or list, which `read` gives from its beginning; drawn now if none were.

        Of a file that was made of drawn rows all are, in an order drawn by lot.
        """
        known = gates.drawing(self.journal.database, self.run_no, step.id)
        yield from self._draw(step, read()) if known is None else _collected(known.places, read())

    def feed(self, step_no: int, feed: Feed) -> Feed:
        """The feed, which gives no more rows once the gate has decided."""
        return SampleFeed(feed, self, step_no)

    def expected(self, step_id: str) -> int | None:
        """How many rows of a root stream are taken at most, for the screens; None for another stream."""
        return self.sample.size if step_id in self.outline.roots else None

    def decided(self) -> bool:
        """Whether the gate has decided. After the sample the run then begins nothing more."""
        if self.watch is None or self.watch.look() is None:
            return False
        if not self.first and self.loop is not None:
            self.loop.stop()
        return True

    @property
    def stopped(self) -> bool:
        """Whether the phase was told to begin nothing more."""
        return self.loop is not None and self.loop.stopping

    def _draw(self, step: Step, rows: Iterator[FileRow]) -> Iterator[FileRow]:
        found = list(rows) if step.id in self.outline.refiled else rows
        size = max(1, len(found)) if isinstance(found, list) else self.sample.size
        reservoir: Reservoir[FileRow] = Reservoir(size, self.sample.seed, name_of(step))
        for row in found:
            reservoir.add(row)
        sample = reservoir.sample()
        places = tuple(each.index for each in sample)
        gates.keep(self.journal, self.run_no, step.id, gates.Drawing(places, reservoir.seen))
        yield from (each.row for each in sample)


class SampleFeed:
    """The rows of a feed until the gate has decided; after that only those that were in flight when a life ended."""

    def __init__(self, feed: Feed, sampling: Sampling, step_no: int) -> None:
        self._feed = feed
        self._sampling = sampling
        self._step_no = step_no
        self.ended = False

    def take(self) -> Arrival | None:
        """The next row; None if there is none now (for good, if `ended`)."""
        try:
            return self._next()
        except OperatorError:
            self.ended = True
            raise

    def close(self) -> None:
        """Nothing more is read."""
        self._feed.close()

    def _next(self) -> Arrival | None:
        decided = self._sampling.decided()
        if decided and not self._sampling.first:
            return None
        while (arrival := self._feed.take()) is not None:
            if not decided or self._is_begun(arrival.index):
                return arrival
        self.ended = self._feed.ended
        return None

    def _is_begun(self, index: int) -> bool:
        known = self._sampling.journal.taken(self._step_no, index)
        return known is not None and known.verdict is None


class Watch:
    """Counts a step's rows one after another, as far as there is no gap, until the gate decides."""

    def __init__(
        self,
        journal: Journal,
        run_no: int,
        line: Line,
        gate: Callable[[int | None], Gate],
        begun: gates.Standing | None = None,
    ) -> None:
        """`gate` makes the gate, of the number of rows that the root stream has, None if it has none.

        Without `begun` the rows of the sample are counted, in sample order. With it the counting goes on from what the
        gate has found, over the rows that it has not seen, in the order of the stream, and it can only fail.
        """
        self.rejects = begun.rejects if begun is not None else 0
        self.judged = begun.judged if begun is not None else 0
        self.lost = begun.lost if begun is not None else 0
        self.decision: Decision | None = None
        self._make = gate
        self._gate: Gate | None = None
        self._journal = journal
        self._run_no = run_no
        self._line = line
        self._after = begun.after if begun is not None else 0
        self._only_fails = begun is not None
        self._places: Iterator[int] | None = count() if begun is not None else None
        self._place: int | None = None

    @property
    def gate(self) -> Gate:
        """The gate that is asked; it knows how many rows there are once they have been drawn."""
        if self._gate is None:
            known = self._drawing()
            if known is None:
                return self._make(None)
            self._gate = self._make(known.total)
        return self._gate

    def look(self) -> Decision | None:
        """What the gate says of all rows that are known without a gap; the first decision stands."""
        while self.decision is None and self._step():
            pass
        return self.decision

    def _step(self) -> bool:
        """Counts the next row; whether it was known."""
        if self._place is None:
            self._place = next(self._order(), None)
        if self._place is None:
            return False
        outcome = _became(self._journal, self._line, self._place)
        if outcome is None:
            return False
        self._place = None
        lost = _is_lost(self._line, outcome)
        counts = COUNTED.get(outcome["verdict"]) if lost or _is_judged(self._line, outcome) else None
        if counts is not None and outcome["outcome_no"] > self._after and self.judged != self.gate.total:
            self.judged += 1
            self.rejects += counts
            self.lost += lost
            self.decision = self._decided()
        return True

    def _decided(self) -> Decision | None:
        if self.gate.fails(self.rejects, self.judged):
            return "fail"
        return "pass" if not self._only_fails and self.gate.passes(self.rejects, self.judged) else None

    def _order(self) -> Iterator[int]:
        if self._places is None:
            known = self._drawing()
            if known is None:
                return iter(())
            self._places = iter(known.places)
        return self._places

    def _drawing(self) -> gates.Drawing | None:
        return gates.drawing(self._journal.database, self._run_no, self._line[-1][0].id)


def lost_rows(journal: Journal, run_no: int, line: Line) -> int:
    """How many rows of the sample have failed above the counted step, so that it never sees them."""
    drawing = gates.drawing(journal.database, run_no, line[-1][0].id)
    places = drawing.places if drawing is not None and len(line) > 1 else ()
    outcomes = (_became(journal, line, place) for place in places)
    return sum(outcome is not None and _is_lost(line, outcome) for outcome in outcomes)


def _became(journal: Journal, line: Line, place: int) -> Row | None:
    """What became of the row: its outcome at the counted step, or at the one above where it was lost or left out."""
    last: Row | None = None
    for step, step_no in reversed(line):
        if last is not None and not _takes(step, last):
            return last
        last = journal.database.one("outcome_at", (step_no, place))
        if last is None:
            return None
    return last


def _is_judged(line: Line, outcome: Row) -> bool:
    return bool(outcome["step_no"] == line[0][1])


def _is_lost(line: Line, outcome: Row) -> bool:
    return not _is_judged(line, outcome) and outcome["verdict"] == Verdict.FAILED.value


def _takes(step: Step, above: Row) -> bool:
    assert isinstance(step.foreach, StepSource)
    verdicts, to = taken_by(step.foreach.branch)
    return above["verdict"] in verdicts and to in (None, above["branch"])


def _collected(places: Sequence[int], rows: Iterator[FileRow]) -> Iterator[FileRow]:
    """The rows of these places, in this order; memory holds them all."""
    wanted, last = frozenset(places), max(places)
    found: dict[int, FileRow] = {}
    for row in rows:
        if row.index in wanted:
            found[row.index] = row
        if row.index >= last:
            break
    yield from (found[place] for place in places if place in found)
