"""What all steps of one run share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.core.errors import OperatorError
from penstock.core.seams import Clock, Doorway, Listener
from penstock.core.work import Attempt, Task
from penstock.core.workflow import Step, StepSource, Workflow
from penstock.engine.names import Names
from penstock.store.facts import epoch_of
from penstock.store.journal import Journal
from penstock.store.layout import Layout, RunFolder
from penstock.store.targets import Permit

if TYPE_CHECKING:
    from penstock.engine.sampling import Sampling
    from penstock.kinds.asking import Asking
    from penstock.models.budget import Budget
    from penstock.store.calls import CallJournal


@dataclass(frozen=True, slots=True)
class Site:
    """One run in one folder. `steps` maps each step's id to its row in the journal; those not in `active` ended in
    an earlier run that this one stands on (`--only`).

    `redo` are tasks in flight (`STEP` or `STEP:KEY`) that a person allows to be done again. `epoch` tells
    this life of the run from those before it. `environ` is Penstock's own environment without any declared secret;
    `secrets` the values of those. `askings` are the model steps, ready, by id; `calls` is the journal of their calls,
    `budget` what may still be used; None where nothing says so. `doorway` lets the calls of commands in. `sampling`
    says which rows a run that began with a sample takes; None for any other.
    """

    workflow: Workflow
    journal: Journal
    layout: Layout
    run_no: int
    run_id: str
    epoch: int
    steps: Mapping[str, int]
    active: frozenset[str]
    names: Names
    environ: Mapping[str, str]
    secrets: Mapping[str, str]
    clock: Clock
    listener: Listener
    redo: frozenset[str] = frozenset()
    askings: Mapping[str, Asking] = field(default_factory=dict)
    calls: CallJournal | None = None
    budget: Budget | None = None
    sampling: Sampling | None = None
    doorway: Doorway | None = None

    @property
    def folder(self) -> RunFolder:
        """The run's own folder."""
        return self.layout.run(self.run_id)

    def env_of(self, step: Step) -> dict[str, str]:
        """What a command of this step finds in its environment, before its item's own variables."""
        env = {name: value for name, value in self.environ.items() if name not in {"BASH_ENV", "SHELLOPTS", "BASHOPTS"}}
        env |= dict(self.workflow.env) | dict(step.env) | {name: self.secrets[name] for name in step.secrets}
        return env | {
            "PENSTOCK_RUN_ID": self.run_id,
            "PENSTOCK_RUN_DIR": str(self.folder.root),
            "PENSTOCK_STEP": step.id,
        }

    def fence(self) -> None:
        """OperatorError if another process has taken the run over, as can be while this one was suspended."""
        if epoch_of(self.journal.database, self.run_no) != self.epoch:
            raise OperatorError(
                f"another process has taken over run {self.run_id}: this one stops, and its commands are killed",
                "`penstock status` shows how the run goes on",
            )

    def attempt_ended(self, task: Task, attempt: Attempt) -> None:
        """The attempt is in the journal, and the run is still ours: another one may follow."""
        self.fence()
        self.journal.attempt_ended(task, attempt)

    def permit_of(self, step: Step) -> Permit:
        """What the author said about files that are there already."""
        return Permit(step.keep, step.replace)

    def streamed(self, step_id: str) -> bool:
        """Whether a step reads this one's records, so that its items' texts are kept."""
        sources = (step.foreach for step in self.workflow.steps)
        return any(isinstance(source, StepSource) and source.step == step_id for source in sources)
