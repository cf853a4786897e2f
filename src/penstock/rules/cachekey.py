"""What makes two tasks the same task: the fingerprint under which an outcome is found again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from penstock.core.canon import canonical
from penstock.core.workflow import Step

VERSION = 1


def step_fingerprint(step: Step, env: Mapping[str, str], contents: Mapping[str, str]) -> bytes:
    """What all tasks of a step share: its text, all declared `env`, and the content of the files it reads.

    `contents` maps the path of each file to the hex SHA-256 of what is in it.
    """
    shared = {
        "version": VERSION,
        "text": step.script.source,
        "interpreter": list(step.shell.interpreter) if step.shell else [],
        "env": sorted([name, value] for name, value in {**env, **dict(step.env)}.items()),
        "contents": sorted([path, digest] for path, digest in contents.items()),
        "outputs": sorted([name, path] for name, path in step.outputs),
    }
    return hashlib.sha256(canonical(shared)).digest()


def task_fingerprint(shared: bytes, item: bytes, values: Iterable[tuple[str, str]]) -> bytes:
    """The fingerprint of one task: `shared` of its step, the item's exact bytes, its placeholders' values."""
    digest = hashlib.sha256(shared)
    digest.update(hashlib.sha256(item).digest())
    digest.update(canonical([list(pair) for pair in values]))
    return digest.digest()
