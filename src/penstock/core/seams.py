"""The one-method protocols through which rooms of one floor meet. `api` wires them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from penstock.core.calls import Answer, Call, Intent, Judgement
from penstock.core.canon import Json
from penstock.core.views import RunView, StepView
from penstock.core.work import Attempt, Outcome, Passed, Task
from penstock.core.workflow import FileSource, Step


class Recorder(Protocol):
    """Makes durable what must be so before a task's outcome."""

    def attempt_ended(self, task: Task, attempt: Attempt) -> None:
        """`attempt` is in the journal; another one follows it."""


class AnswerStore(Protocol):
    """Raw answers by the fingerprint of their request."""

    def get(self, key: bytes) -> Answer | None:
        """The answer that was bought for this key; None if there is none (one that is corrupt is put aside)."""

    def put(self, key: bytes, request: Mapping[str, object], answer: Answer) -> None:
        """The answer can be found by its key from now on. Not necessarily durable: the journal is."""


class CallRecorder(Protocol):
    """Makes calls durable. One sync may serve many of them."""

    async def intent(self, intent: Intent) -> int:
        """When this returns, a power cut does not lose that the request is about to be sent; its number."""

    async def ended(self, number: int, call: Call, answer: Answer | None) -> None:
        """When this returns, the raw answer and what the call cost survive a power cut."""

    def bought(self, key: bytes) -> Answer | None:
        """The answer that this run has bought for this key, in any of its lives; None if it has bought none."""

    def replayed(self, call: Call) -> None:
        """A call that was answered from the cache will be in the journal before its task's outcome."""

    def judged(
        self,
        task_no: int,
        attempt: int,
        key: bytes | None,
        contract: bytes,
        judgement: Judgement,
        signals: Mapping[str, Json] | None = None,
    ) -> None:
        """What an answer was found to be will be in the journal before its task's outcome. `signals` is what else is
        known of it (`Signals`, and in a cascade `accept_when` with its operands); None where no model gave it."""


class Pass(Protocol):
    """The right of one attempt at a command to ask models through the gateway, for as long as the attempt lives."""

    @property
    def variables(self) -> Mapping[bytes, bytes]:
        """What this attempt alone finds in its environment: a token that is its key at the gateway."""

    async def close(self) -> Passed:
        """The token is worth nothing any more; what its calls came to. Those in flight are waited for, not for long."""


class Doorway(Protocol):
    """Where the model calls of commands come in."""

    @property
    def variables(self) -> Mapping[str, str]:
        """What every command finds in its environment: where the gateway is."""

    def admit(self, task: Task, step: Step, attempt: int) -> Pass | None:
        """A pass for this attempt; None where its step says `gateway: off`."""


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""

    def monotonic(self) -> float:
        """Seconds from some start, never going back."""


class Listener(Protocol):
    """Watches a run. What it is told is already durable."""

    def begin(self, run: RunView) -> None:
        """The run begins, or goes on."""

    def step(self, view: StepView) -> None:
        """A step has started, gone on or ended."""

    def outcome(self, outcome: Outcome) -> None:
        """A task has ended."""

    def note(self, text: str) -> None:
        """Something that the person who runs this should know."""


class Facts(Protocol):
    """What a plan may know of the folder and its journal. Nothing is written."""

    def rows(self, source: FileSource) -> Iterator[tuple[int, bytes, object, str | None]]:
        """Index, exact text, value and fault of each row; OperatorError if the file cannot be read."""

    def exists(self, path: str) -> bool:
        """Whether there is a file of that name in the workflow's folder."""

    def count(self, source: FileSource) -> int:
        """How many rows the file has; OperatorError if it cannot be read."""

    def contents(self, step: Step) -> dict[str, str]:
        """The hex SHA-256 of each file that the step reads, by its path."""

    def stands(self, fingerprint: bytes) -> str | None:
        """The id of the run whose outcome would be reused for this fingerprint; None if there is none."""

    def ended(self, step_id: str) -> str | None:
        """The state of the step in the newest run of the workflow; None if it has not run."""
