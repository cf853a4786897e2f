"""The nouns of `approve`: what a person is asked, what that person is shown, and the one word that answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.core.canon import Json
from penstock.core.generation import Template


@dataclass(frozen=True, slots=True)
class Approve:
    """An `approve` step. `message` is a template over `env` and `outputs`.

    `show` are paths in the workflow's folder and, as `steps.ID`, records of steps. `timeout_s` is how long a person may
    take, None without end; then `on_timeout` is what the timer says: `reject`, never approve. `notify` is a shell text
    that is run when a person is waited for.
    """

    message: Template
    show: tuple[str, ...] = ()
    timeout_s: float | None = None
    on_timeout: str = "reject"
    notify: str | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """One thing that a person is shown: its `what` as the workflow names it, and what it was when it was asked about.

    `sha256` is hex, None where there was nothing of that name.
    """

    what: str
    sha256: str | None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A person's word is asked for. Times are seconds UTC; `deadline_at` is None without one.

    `digest` is the SHA-256 over all of `shown`. `summary` is what approving would do: what would be applied, the
    evidence, accept rates, reasons of rejections, the cost, and the rows that remain at risk.
    """

    number: int
    run_id: str
    step_id: str
    message: str
    shown: tuple[Shown, ...]
    digest: bytes
    asked_at: float
    deadline_at: float | None
    summary: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Word:
    """The one decision on what was asked: by whom, when (seconds UTC), and of what it was shown.

    `via` is `person`, or `timer`: then `by` is empty.
    """

    approved: bool
    by: str
    via: str
    comment: str | None
    at: float
    digest: bytes
