"""A command of the author's that is run when a person should know of something."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.core.workflow import Workflow
from penstock.kinds.shell_output import printed

NOTIFY_S = 60.0


def notify(
    workflow: Workflow, environ: Mapping[str, str], command: str, told: Mapping[str, str], whose: str
) -> str | None:
    """Runs the command with `told` in its environment; a sentence if it could not do its work.

    `environ` is Penstock's own environment without declared secrets; `whose` begins the sentence: `the budget's`.
    """
    try:
        ended = printed(command, workflow.folder, {**environ, **dict(workflow.env), **told}, NOTIFY_S)
    except (OSError, ValueError) as error:  # ValueError: a NUL in what it is told
        return f"{whose} `notify` could not be run: {getattr(error, 'strerror', None) or error}"
    if ended.status == 0:
        return None
    how = f"took longer than {NOTIFY_S:g} s" if ended.status is None else f"ended with status {ended.status}"
    said = ended.stderr.decode("utf-8", "replace").strip()[-300:]
    return f"{whose} `notify` {how}{f': {said}' if said else ''}"
