"""What is asked of a run, what a run shows, and what one would do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from penstock.core.errors import Place
from penstock.core.workflow import Workflow


@dataclass(frozen=True, slots=True)
class Tally:
    """The row accounting of one step. `total` is None while its source is still being read.

    `cached` of the accepted and rejected were reused from an earlier run, or bought nothing; `in_flight` are taken and
    have no verdict.
    """

    total: int | None = None
    accepted: int = 0
    rejected: int = 0
    failed: int = 0
    skipped: int = 0
    cached: int = 0
    in_flight: int = 0

    @property
    def done(self) -> int:
        """Rows that have a verdict."""
        return self.accepted + self.rejected + self.failed + self.skipped


@dataclass(frozen=True, slots=True)
class Spending:
    """What model calls came to: those sent, and what is known of their cost. Of `unknown` calls it is not known."""

    calls: int = 0
    micros: int = 0
    unknown: int = 0

    @property
    def dollars(self) -> float | None:
        """The cost in dollars; None as soon as that of one call is not known."""
        return None if self.unknown else self.micros / 1_000_000

    def plus(self, other: Spending) -> Spending:
        """Both together."""
        return Spending(self.calls + other.calls, self.micros + other.micros, self.unknown + other.unknown)


@dataclass(frozen=True, slots=True)
class StepView:
    """Where a step of a run stands: its state, the reason for it, its rows, and its seconds so far.

    `not_kept` are failures that were only counted, because enough of their signature are kept as fixtures. `place` is
    where the workflow file says it, None where nobody has the file at hand. `spent` is None where no model is asked.
    """

    id: str
    state: str
    reason: str | None
    foreach: bool
    tally: Tally
    seconds: float | None = None
    not_kept: int = 0
    place: Place | None = None
    spent: Spending | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    """One run as the journal knows it. `state` is `interrupted` where it says running and nobody owns it.

    `spent` is None where no model is asked. `simulated`: the simulator answered, whatever was asked. `unpriced` are the
    models whose price is not known, `prices` the list that prices were taken from, None where none was.
    """

    id: str
    workflow: str
    name: str
    state: str
    reason: str | None
    started_at: float
    seconds: float
    folder: Path
    steps: tuple[StepView, ...] = ()
    in_flight: tuple[str, ...] = ()
    superseded_by: str | None = None
    spent: Spending | None = None
    simulated: bool = False
    unpriced: tuple[str, ...] = ()
    prices: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks of a run. `variables` override entries of the workflow's `env`.

    `simulate` puts the simulator in the place of every model; `cache` overrides the cache mode of every model step.
    """

    only: str | None = None
    variables: tuple[tuple[str, str], ...] = ()
    concurrency: int | None = None
    simulate: bool = False
    cache: str | None = None


@dataclass(frozen=True, slots=True)
class Resumption:
    """What `resume` is asked beyond going on. Places are `STEP` or `STEP:KEY`; `settle` pairs one with a verdict."""

    failed: bool = False
    reread: bool = False
    redo: tuple[str, ...] = ()
    settle: tuple[tuple[str, str], ...] = ()


class Action(str, Enum):
    """What a run would do with a step. `MAYBE`: a condition's answer is not known before the run."""

    RUN = "RUN"
    REUSE = "REUSE"
    SKIP = "SKIP"
    BLOCK = "BLOCK"
    WAIT = "WAIT"
    MAYBE = "MAYBE"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a run would do with one step, and why. `items` and `cached` are None where they are not known yet."""

    step_id: str
    action: Action
    reason: str
    items: int | None = None
    cached: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions for a workflow's steps, in an order in which they could run one after another."""

    workflow: Workflow
    decisions: tuple[Decision, ...]
