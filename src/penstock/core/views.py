"""What is asked of a run, what a run shows, and what one would do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from penstock.core.approval import Asked, Word
from penstock.core.errors import Place
from penstock.core.sampling import GateReport
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
    `branches` are those of a `route` step, each with the number of its items.
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
    branches: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class RunView:
    """One run as the journal knows it. `state` is `interrupted` where it says running and nobody owns it.

    `spent` is None where no model is asked. `simulated`: the simulator answered, whatever was asked. `unpriced` are the
    models whose price is not known, `prices` the list that prices were taken from, None where none was. `exposed` are
    calls of which nobody knows whether they were billed, each at the most that it can have cost: those in flight, those
    that timed out, and those that were in flight when Penstock died. `gate` is what the gate of a sample found, and how
    it stands today; None where none was asked.
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
    exposed: Spending = Spending()
    gate: GateReport | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks of a run. `variables` override entries of the workflow's `env`.

    `simulate` puts the simulator in the place of every model; `cache` overrides the cache mode of every model step.
    `budget` are the caps that `resume` has set in place of the file's. `sample` is how many rows are tried and looked
    at, without a gate and without the rest. `forced` names the one model that is asked in place of every other. With
    `wait` the process stays while a person is waited for.
    """

    only: str | None = None
    variables: tuple[tuple[str, str], ...] = ()
    concurrency: int | None = None
    simulate: bool = False
    cache: str | None = None
    budget: tuple[tuple[str, str], ...] = ()
    sample: int | None = None
    forced: str | None = None
    wait: bool = False


@dataclass(frozen=True, slots=True)
class Resumption:
    """What `resume` is asked beyond going on. Places are `STEP` or `STEP:KEY`; `settle` pairs one with a verdict.

    `budget` pairs a cap, `KEY` or `STEP.KEY`, with what it is from now on. `expand` lets the whole run follow a sample
    whose gate did not pass. With `wait` the process stays while a person is waited for.
    """

    failed: bool = False
    reread: bool = False
    redo: tuple[str, ...] = ()
    settle: tuple[tuple[str, str], ...] = ()
    budget: tuple[tuple[str, str], ...] = ()
    expand: bool = False
    wait: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """A step that waits for a person's word. `word` is the decision that its run has not gone on from yet.

    `workflow` is the file's name, `folder` where it lies. `changed` are the things shown that are no longer as they
    were when it was asked, a phrase each. `excerpts` pair what is shown with its first lines, as far as it is text.
    """

    asked: Asked
    word: Word | None
    workflow: str
    folder: Path
    changed: tuple[str, ...] = ()
    excerpts: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Action(str, Enum):
    """What a run would do with a step. `MAYBE`: a condition's answer is not known before the run."""

    RUN = "RUN"
    REUSE = "REUSE"
    SKIP = "SKIP"
    BLOCK = "BLOCK"
    WAIT = "WAIT"
    MAYBE = "MAYBE"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model step's calls would come to. `to_buy` are the calls that would be sent if every first answer meets
    its contract, `to_judge` of them a judge's; None where the rows are not known. `at_most`: rows or prompts are not
    known before the run, and there may be fewer.

    Money is whole micro-dollars: `low_micros` if only short first answers are bought, `high_micros` if all that may be
    tried is, `expected_micros` by past calls; None where it is not known. `seconds` is about how long they take.
    `notes` are sentences: what changed since the last run, and what is not known.
    """

    to_buy: int | None
    to_judge: int = 0
    at_most: bool = False
    low_micros: int | None = None
    high_micros: int | None = None
    expected_micros: int | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """A row by which a plan shows what goes by a rule: its key, None where that is not known before the run, and the
    beginning of its text; or of the root row's, where its own is not known."""

    key: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Matched:
    """The rows of a step that go one way: `items` that surely do, and `most` that may, None where nothing bounds them.
    `examples` are the first of them."""

    items: int = 0
    most: int | None = 0
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class RulePlan:
    """What one rule would do, numbered from 1: the rows that go by it, where they go (a branch, or the models that are
    asked about them), and what those would come to, None where no model is asked. `local`: no model elsewhere sees
    them."""

    number: int
    when: str | None
    goes: str
    local: bool
    matched: Matched
    estimate: Estimate | None = None


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """What a step's rules would do with its rows. `unmatched` are rows that no rule matches, `unanswered` those at
    which a condition has no answer, or that cannot be read: both would fail. `note` says why rows are not known."""

    rules: tuple[RulePlan, ...]
    unmatched: Matched
    unanswered: Matched
    note: str | None = None

    @property
    def unreached(self) -> tuple[int, ...]:
        """The numbers of the rules that no row reaches."""
        return tuple(rule.number for rule in self.rules if rule.matched.most == 0)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a run would do with one step, and why. `items` and `cached` are None where they are not known yet;
    `estimate` where no model is asked, or the step does not run; `routes` where it has no rules, or nobody asked."""

    step_id: str
    action: Action
    reason: str
    items: int | None = None
    cached: int | None = None
    estimate: Estimate | None = None
    routes: RoutePlan | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions for a workflow's steps, in an order in which they could run one after another. `notes` are
    sentences about the run as a whole."""

    workflow: Workflow
    decisions: tuple[Decision, ...]
    notes: tuple[str, ...] = ()


class Standing(str, Enum):
    """Where a fixture stands when its input is replayed: the first three for failures, then two for regressions."""

    FIXED = "fixed"
    CHANGED = "changed"
    STILL_FAILING = "still failing"
    GREEN = "green"
    BROKEN = "broken"
    NOT_REPLAYED = "not replayed"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One input that was replayed. `had` and `has` are the error signatures then and now; `has` is None where it did
    not fail, or was not replayed: then `reason` says why. `files` are the fixtures that hold this input."""

    step_id: str
    key: str
    regression: bool
    standing: Standing
    had: str
    has: str | None = None
    reason: str | None = None
    files: int = 1
    promoted: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay came to. `state` is `succeeded`, or how it was cut off: `interrupted`, `waiting`.

    `passed`: every regression is green, and in a strict replay every failure is fixed. `folder` holds the logs of it.
    `spent` is None where no model was asked.
    """

    workflow: str
    folder: Path
    fixtures: tuple[Replayed, ...]
    state: str
    passed: bool
    spent: Spending | None = None
    simulated: bool = False
