"""No secret of a run is shown or kept: who knows them, and the doors to the screen.

The journal's door is its own (store/database.py), that of what commands print is in kinds/private_files.py.
"""

from __future__ import annotations

import os
import secrets as randomness
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from penstock.core.errors import BugError, OperatorError, PenstockError, Problem, WorkflowError
from penstock.core.seams import Listener
from penstock.core.views import Plan, RunView, StepView
from penstock.core.work import Outcome
from penstock.core.workflow import Workflow
from penstock.load.dotenv import read as read_dotenv
from penstock.models.wire import Endpoint
from penstock.rules.secret_forms import SHORTEST
from penstock.rules.secrets import Masker
from penstock.store.journal import Journal
from penstock.store.layout import Layout

KEY_BYTES = 32


def masker_of(layout: Layout, values: Mapping[str, str], endpoints: Mapping[str, Endpoint]) -> Masker | None:
    """Who knows the declared secrets and the keys of the models; None if there are none.

    Keys are masked under the project's own key, `.penstock/mask.key`, which is made when it is first needed: a mask is
    the same in each run, and tells nobody else anything.
    """
    keys = {endpoint.key for endpoint in endpoints.values() if endpoint.key and len(endpoint.key) >= SHORTEST}
    named = {**values, **{f"model_key_{number}": key for number, key in enumerate(sorted(keys), 1)}}
    return Masker(named, mask_key(layout)) if named else None


def at_hand(workflow: Workflow) -> dict[str, str]:
    """The secrets that the environment and `.env` give: no command and no keyring is asked."""
    file = workflow.folder / ".env"
    environ = {**(read_dotenv(file) if file.is_file() else {}), **os.environ}
    named = (each.name for each in workflow.secret_sources if each.command is each.keyring is None)
    return {name: environ[name] for name in named if len(environ.get(name, "")) >= SHORTEST}


def masked_plan(plan: Plan, layout: Layout) -> Plan:
    """The plan without the secrets that are at hand. It makes no key for them, since a plan writes nothing."""
    values = at_hand(plan.workflow)
    if not values:
        return plan
    masker = Masker(values, mask_key(layout) if _key_file(layout).exists() else bytes(KEY_BYTES))
    decisions = []
    for each in plan.decisions:
        told = each.estimate and replace(each.estimate, notes=tuple(map(masker.text, each.estimate.notes)))
        decisions.append(replace(each, reason=masker.text(each.reason), estimate=told))
    return replace(plan, decisions=tuple(decisions))


@contextmanager
def masked(
    journal: Journal, layout: Layout, values: Mapping[str, str], endpoints: Mapping[str, Endpoint]
) -> Iterator[Masker | None]:
    """From here on nothing that the journal is given or that is raised holds a secret; `layout` is the project's."""
    masker = masker_of(layout, values, endpoints)
    journal.database.masker = masker
    with unspoken(masker):
        yield masker


def mask_key(layout: Layout) -> bytes:
    """The project's key, 32 bytes; made when it is first asked for."""
    path = _key_file(layout)
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        beside = path.with_name(f"mask.key.{os.getpid()}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(randomness.token_bytes(KEY_BYTES))
        beside.replace(path)
        key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise OperatorError(
            f"{path} is not a key of {KEY_BYTES} bytes",
            "delete it: a new one is made, and prompts that hold secrets are bought anew",
        )
    return key


def _key_file(layout: Layout) -> Path:
    return layout.root / "mask.key"


class unspoken:
    """An error that leaves this, whatever it is, says no secret."""

    def __init__(self, masker: Masker | None) -> None:
        self._masker = masker

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._masker is None or error is None:
            return
        if isinstance(error, PenstockError):
            raise _masked(error, self._masker) from None
        told = f"{type(error).__name__}: {error}"
        if self._masker.text(told) != told:
            raise BugError(self._masker.text(told)) from None


def _masked(error: PenstockError, masker: Masker) -> PenstockError:
    if isinstance(error, WorkflowError):
        return WorkflowError(tuple(_problem(problem, masker) for problem in error.problems))
    if isinstance(error, OperatorError):
        error.help = masker.text(error.help) if error.help else error.help
    error.args = tuple(masker.text(arg) if isinstance(arg, str) else arg for arg in error.args)
    return error


def _problem(problem: Problem, masker: Masker) -> Problem:
    help, source = (text and masker.text(text) for text in (problem.help, problem.source))
    return replace(problem, message=masker.text(problem.message), help=help, source=source)


class MaskedListener:
    """A listener that is told no secret."""

    def __init__(self, listener: Listener, masker: Masker) -> None:
        self._listener = listener
        self._masker = masker

    def begin(self, run: RunView) -> None:
        """The run begins, or goes on: what is told of it comes out of the journal."""
        self._listener.begin(run)

    def step(self, view: StepView) -> None:
        """A step has started, gone on or ended."""
        self._listener.step(replace(view, reason=self._masker.text(view.reason)) if view.reason else view)

    def outcome(self, outcome: Outcome) -> None:
        """A task has ended."""
        attempts = tuple(
            replace(each, reason=self._text(each.reason), stderr=self._masker.text(each.stderr))
            for each in outcome.attempts
        )
        record = outcome.record and replace(outcome.record, body=self._masker.data(outcome.record.body))
        self._listener.outcome(replace(outcome, attempts=attempts, record=record, reason=self._text(outcome.reason)))

    def note(self, text: str) -> None:
        """Something that the person who runs this should know."""
        self._listener.note(self._masker.text(text))

    def _text(self, text: str | None) -> str | None:
        return self._masker.text(text) if text else text
