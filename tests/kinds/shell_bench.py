"""A folder, a slot and real bash: what the tests of shell steps carry out one attempt with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from pathlib import Path
from random import Random
from typing import Any

from penstock.core.work import Item, Outcome, Task
from penstock.core.workflow import Placeholder, Script, Shell, Step, Target
from penstock.kinds import shell
from penstock.kinds.permits import Permit, Permits
from penstock.kinds.tools import Tools
from penstock.store.layout import RunFolder
from tests.doubles import BASH, HERE, MemoryRecorder, TickingClock, holder, item

ROW = b'{"a": 1.10, "text": "it\'s $(here)"}'


class Bench:
    """One slot of one step `a`. Each attempt is `perform` with a real process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work place"
        self.run = RunFolder(self.folder / ".penstock" / "runs" / "r1")
        self.folder.mkdir()
        self.run.make()
        self.slot = self.run.slots / "a.1"
        self.slot.mkdir()

    def tools(self, environment: Mapping[bytes, bytes] | None = None, slot: Path | None = None) -> Tools:
        async def pause(seconds: float) -> None:
            raise AssertionError("a kind does not wait by itself")

        return Tools(
            recorder=MemoryRecorder(),
            clock=TickingClock(),
            random=Random(0),
            pause=pause,
            folder=self.folder,
            run=self.run,
            slot=slot or self.slot,
            permit=Permit(Permits(1)),
            environment=environment or {b"PATH": os.environb[b"PATH"], b"LC_ALL": b"C.UTF-8"},
        )

    def perform(
        self,
        text: str,
        row: Item | None = None,
        *,
        number: int = 1,
        timeout_s: float | None = None,
        values: Mapping[str, str] | None = None,
        bindings: Mapping[str, str] | None = None,
        targets: tuple[Target, ...] = (),
        files: tuple[str, ...] = (),
        output: str | None = None,
        interpreter: tuple[str, ...] = BASH,
        tools: Tools | None = None,
    ) -> Coroutine[Any, Any, Outcome]:
        """One attempt, to be awaited; `row` is an item for a step with items."""
        bound: tuple[tuple[str, Placeholder], ...] = tuple((k, holder(v)) for k, v in (bindings or {}).items())
        step = Step("a", Shell(Script(text, text, bound, targets), interpreter), HERE, timeout_s=timeout_s)
        task = Task("r1", "a", 7, row, tuple((values or {}).items()), files, output)
        return shell.perform(task, step, number, tools or self.tools())

    def one(self, text: str, row: bytes | None = ROW, **how: Any) -> Outcome:
        """One attempt at an item with this text (None: at a step without items), carried out to its end."""
        given = None if row is None else item(0, row)
        return asyncio.run(self.perform(text, given, **how))


def accident(outcome: Outcome) -> tuple[str, str | None, str | None]:
    """Verdict, kind and reason."""
    (attempt,) = outcome.attempts
    assert attempt.reason == (outcome.reason if attempt.kind else None)
    return outcome.verdict.value, attempt.kind, outcome.reason
