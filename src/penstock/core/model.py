"""The nouns of Penstock, from the file to one outcome.

Ladder of work: Run > Step > Task > Attempt > Call. A fact is never edited: a later stage is a new
value. Units stand in the names; indices count from 0, attempts from 1, times are seconds UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from penstock.core.errors import Place, Problem

Json = object
"""A value of the user's JSON: dict, list, str, int, float, bool or None. Nothing else comes in."""


class Verdict(str, Enum):
    """What became of a task. `rejected` is an answer (done, and it says no); `failed` is an accident."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FAILED = "failed"
    SKIPPED = "skipped"


# --- what a shell text says --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`{{item.a.b}}`: `root` is `item`, `path` is `("a", "b")`, `text` the whole as it is written."""

    root: str
    path: tuple[str | int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A shell variable that a path uses and that the text itself does not assign: it comes from `env`."""

    name: str


Part = str | Placeholder | Variable


@dataclass(frozen=True, slots=True)
class Target:
    """A file that a text redirects to.

    `parts` joined give the path, relative to the workflow's folder; None when it cannot be known
    before the text runs. `piece` is the number of the private piece that an append was rewritten
    to: the text then writes to the file named by the environment variable `PENSTOCK_PIECE_<piece>`.
    `offset` and `width` place it in the source text, in characters.
    """

    parts: tuple[Part, ...] | None
    append: bool
    piece: int | None
    text: str
    offset: int
    width: int

    @property
    def per_item(self) -> bool:
        """Whether the path holds a placeholder, so that each item has a file of its own."""
        return self.parts is not None and any(isinstance(part, Placeholder) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Script:
    """A `run` text, understood: `text` is what the shell is given, with no value in it anywhere.

    `bindings` are the environment variables that carry the values. `output` is the target that
    takes the whole of standard output, if one does. `reads` are the words of the text that are
    literal and may name files (what the text writes excepted).
    """

    source: str
    text: str
    bindings: tuple[tuple[str, Placeholder], ...] = ()
    targets: tuple[Target, ...] = ()
    output: Target | None = None
    reads: tuple[str, ...] = ()

    @property
    def pieces(self) -> tuple[int, ...]:
        """The numbers of the private pieces that the text appends to."""
        return tuple(sorted({target.piece for target in self.targets if target.piece is not None}))


# --- the workflow ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shell:
    """A `run` step: what its text says, and the interpreter's words, e.g. `("bash", "-euo", "pipefail")`."""

    script: Script
    interpreter: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Need:
    """A step that comes before. `accept_skipped`: its being skipped does not skip the dependent."""

    step: str
    accept_skipped: bool = False


@dataclass(frozen=True, slots=True)
class FileSource:
    """Rows of a file. `format` is `jsonl`, `jsonl.gz`, `json` or `csv`."""

    path: str
    format: str


@dataclass(frozen=True, slots=True)
class ListSource:
    """Rows written in the workflow itself: a text is a row as it stands, anything else is one as compact JSON."""

    values: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class StepSource:
    """Records of another step; `branch` is None (accepted and rejected), `accepted`, `rejected` or `failed`."""

    step: str
    branch: str | None


Source = FileSource | ListSource | StepSource


@dataclass(frozen=True, slots=True)
class Retry:
    """`attempts` counts the first try. `on` are the kinds of failure that are tried again.

    The wait before attempt n+1 is drawn evenly from 0 to min(cap, base * 2**(n-1)) seconds
    ("full jitter": M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """

    attempts: int = 1
    on: tuple[str, ...] = ("exit", "timeout")
    base_s: float = 1.0
    cap_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How many items may end `failed` before their step does: a count, or a share of all (0 to 1)."""

    count: int = 0
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One node of the graph. `concurrency` is None where the default of the machine holds.

    `outputs` are (name, path); a path given without a name is named by its stem.
    `barrier`: it begins when its needs have ended, also the step that it reads from; false for a stream.
    """

    id: str
    spec: Shell
    at: Place
    needs: tuple[Need, ...] = ()
    foreach: Source | None = None
    where: str | None = None
    when: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    timeout_s: float | None = None
    concurrency: int | None = None
    retry: Retry = Retry()
    cache: bool = False
    inputs: tuple[str, ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()
    max_failures: Tolerance = Tolerance()
    fail_fast: bool = False
    idempotent: bool = True
    keep: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    barrier: bool = True


@dataclass(frozen=True, slots=True)
class OutputName:
    """What a name under `outputs` stands for: `path` is None where it is the step's own record."""

    step: str
    path: str | None


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow that has been checked. `env` is resolved and in the file's order, overrides applied.

    `file` is the path of the workflow, `source` its text. `outputs` maps each name that this
    workflow reads (`X`, or `STEP.NAME`) to what it stands for. `notes` are what `check` mentions.
    """

    name: str
    file: Path
    source: str
    steps: tuple[Step, ...]
    description: str = ""
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    outputs: tuple[tuple[str, OutputName], ...] = ()
    notes: tuple[Problem, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its steps run and its paths begin."""
        return self.file.parent

    def step(self, step_id: str) -> Step:
        """The step of that id; KeyError if there is none."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)


# --- work --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """One row that a step maps over. `text` is the row exactly, `digest` the first 16 bytes of its SHA-256.

    `index` is its position in the root stream; `key` its name in logs and files. `fault` is a
    sentence where the row could not be read, and None otherwise.
    """

    index: int
    key: str
    digest: bytes
    text: bytes
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """An item at a step, or a step without `foreach` (then `item` is None), ready to be carried out.

    `values` are the environment variables that carry the placeholders' values; `files` the paths of
    this task's own `>` targets, `output` the one of them that takes its whole standard output.
    `spent` counts the attempts that were made in earlier lives of the run.
    """

    run_id: str
    step_id: str
    number: int
    item: Item | None
    values: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    output: str | None = None
    spent: int = 0

    @property
    def index(self) -> int:
        """The item's position; 0 for a step without `foreach`."""
        return self.item.index if self.item else 0


class Form(str, Enum):
    """How a record is kept: a JSON value, a text, or (too large for either) a file in the run's folder."""

    JSON = "json"
    TEXT = "text"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Record:
    """What a task gave. `body` is compact JSON, the text, or `{"file", "bytes", "sha256"}` as JSON."""

    form: Form
    body: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """What one task appends to the step's append target number `number`. Exactly one of the two holds it."""

    number: int
    body: bytes | None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that belongs to the run: its path in the workflow's folder, size and SHA-256."""

    path: str
    size_bytes: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. `kind` is None for a try that ended in an answer, else `exit`, `timeout`, `output` or `start`.

    `stderr` are the last lines that the command wrote to standard error.
    """

    number: int
    started_at: float
    elapsed_s: float
    kind: str | None = None
    reason: str | None = None
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: one verdict, one record, and every attempt of this life of the run."""

    task: Task
    verdict: Verdict
    attempts: tuple[Attempt, ...] = ()
    record: Record | None = None
    reason: str | None = None
    pieces: tuple[Piece, ...] = ()
    files: tuple[WrittenFile, ...] = ()

    @property
    def elapsed_s(self) -> float:
        """Seconds of the last attempt; 0 where there was none."""
        return self.attempts[-1].elapsed_s if self.attempts else 0.0


# --- what a run shows --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tally:
    """The row accounting of one step. `total` is None while its source is still being read.

    `cached` of the accepted and rejected were reused from an earlier run; `in_flight` are taken and have no verdict.
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
class StepView:
    """Where a step of a run stands: its state, the reason for it, its rows, and its seconds so far.

    `not_kept` are failures that were only counted, because enough of their signature are kept as fixtures. `place` is
    where the workflow file says it, None where nobody has the file at hand.
    """

    id: str
    state: str
    reason: str | None
    foreach: bool
    tally: Tally
    seconds: float | None = None
    not_kept: int = 0
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    """One run as the journal knows it. `state` is `interrupted` where it says running and nobody owns it."""

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


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks of a run. `variables` override entries of the workflow's `env`."""

    only: str | None = None
    variables: tuple[tuple[str, str], ...] = ()
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Resumption:
    """What `resume` is asked beyond going on. Places are `STEP` or `STEP:KEY`; `settle` pairs one with a verdict."""

    failed: bool = False
    reread: bool = False
    redo: tuple[str, ...] = ()
    settle: tuple[tuple[str, str], ...] = ()


# --- what a run would do -----------------------------------------------------------------------


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
