"""The nouns of work: an item, a task, its attempts, and the one outcome that it ends in.

Ladder of work: Run > Step > Task > Attempt > Call. A fact is never edited: a later stage is a new value. Units stand in
the names; indices count from 0, attempts from 1, times are seconds UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from penstock.core.canon import Json
from penstock.core.routing import Choice

UNREAD = "not started: "
"""How the reason of a row begins that was skipped because its step never came to it."""


class Verdict(str, Enum):
    """What became of a task. `rejected` is an answer (done, and it says no); `failed` is an accident."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FAILED = "failed"
    SKIPPED = "skipped"


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
    `spent` counts the attempts that were made in earlier lives of the run. `names` are what the templates and
    conditions of a model step see. `local`: no model elsewhere may see it.
    """

    run_id: str
    step_id: str
    number: int
    item: Item | None
    values: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    output: str | None = None
    spent: int = 0
    names: Mapping[str, object] | None = None
    local: bool = False

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
class Bill:
    """What a task's model calls came to. `model` gave the last answer; `sent` calls were sent, `cached` were not.

    `cost_micros` is None where the cost of a call is not known.
    """

    model: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    cost_micros: int | None = 0
    sent: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Passed:
    """What became of the model calls that one attempt of a command made.

    `bill` is None where it made none. `exhausted` is the sentence of a budget that had no room for one of them, and
    pauses the run; None otherwise.
    """

    bill: Bill | None = None
    exhausted: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: one verdict, one record, and every attempt of this life of the run.

    `bill` is for tasks that may ask models; `trail` tells, for a fixture, what was asked and what came back. `choice`
    is what a rule or a model chose for the item.
    """

    task: Task
    verdict: Verdict
    attempts: tuple[Attempt, ...] = ()
    record: Record | None = None
    reason: str | None = None
    pieces: tuple[Piece, ...] = ()
    files: tuple[WrittenFile, ...] = ()
    bill: Bill | None = None
    trail: tuple[Mapping[str, Json], ...] = ()
    choice: Choice | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds of the last attempt; 0 where there was none."""
        return self.attempts[-1].elapsed_s if self.attempts else 0.0
