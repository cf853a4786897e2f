"""Every effect that a kind of step may use. Nothing else reaches it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from penstock.core.seams import Clock, Doorway, Recorder
from penstock.kinds.forking import SlotShell
from penstock.kinds.groups import Groups
from penstock.kinds.permits import Permit
from penstock.store.layout import RunFolder

if TYPE_CHECKING:
    from penstock.kinds.asking import Asking
    from penstock.rules.secrets import Masker


@dataclass(frozen=True, slots=True)
class Tools:
    """What a task is carried out with.

    `folder` is the workflow's, where commands run; `run` the run's; `slot` a folder that no other
    task in flight uses. `environment` is what a command of this step is given before its item's
    own values, encoded. `pause` waits for so many seconds. `permit` must have
    begun before anything is done that the world could see. `shell` forks a shell for each item; without
    it one is started for each. `asking` is for a step that asks models; `doorway` lets a command's own model calls in,
    None where there is no gateway. `masker` knows the secrets of the run, which
    nothing that is kept may hold; None if there are none.
    """

    recorder: Recorder
    clock: Clock
    random: Random
    pause: Callable[[float], Awaitable[None]]
    folder: Path
    run: RunFolder
    slot: Path
    environment: Mapping[bytes, bytes]
    permit: Permit
    groups: Groups | None = None
    asking: Asking | None = None
    shell: SlotShell | None = None
    masker: Masker | None = None
    doorway: Doorway | None = None
