"""`foreach`: a file of rows, rows written in place, or the records of another step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from penstock.core.workflow import FileSource, ListSource, Source, StepSource
from penstock.load.findings import Findings
from penstock.load.identifiers import ID
from penstock.load.paths import relative
from penstock.load.suggest import did_you_mean, either, lines
from penstock.load.tree import Node, Scalar, Sequence, plain

BRANCHES = ("accepted", "rejected", "failed")
Branches = Mapping[str, tuple[str, ...] | None]
"""Where each step can send its items: nowhere but for `route` steps. None where that is not known."""

_FORMATS = {".jsonl.gz": "jsonl.gz", ".jsonl": "jsonl", ".json": "json", ".csv": "csv"}
_STEP = re.compile(rf"steps\.({ID})(?:\.(.*))?", re.DOTALL)


def source(node: Node | None, path: str | None, branches: Branches, folder: Path, findings: Findings) -> Source | None:
    """What a `foreach` maps over; `path` is its text with variables filled in. None where it is wrong."""
    if isinstance(node, Sequence):
        return ListSource(tuple(plain(element) for element in node.elements if findings.sound(element)))
    if not isinstance(node, Scalar) or path is None:
        return None
    match = _STEP.fullmatch(path)
    if match and (match.group(1) in branches or file_format(path) is None):
        step, branch = match.groups()
        return _records(node, step, branch, branches.get(step, ()), findings)
    return _file(node, path, folder, findings)


def file_format(path: str) -> str | None:
    """The format that a path's extension stands for, None if there is none."""
    return next((name for ending, name in _FORMATS.items() if path.lower().endswith(ending)), None)


def _records(
    node: Scalar, step: str, branch: str | None, own: tuple[str, ...] | None, findings: Findings
) -> Source | None:
    if branch is None or branch in BRANCHES or own is None or branch in own:
        return StepSource(step, branch)
    known = either((f"`steps.{step}.{name}`" for name in (*own, *BRANCHES)), "and")
    findings.wrong(
        node,
        f"`steps.{step}` has no branch `{branch}`" if branch else f"`steps.{step}.` lacks its last word",
        lines(
            did_you_mean(branch, (*own, *BRANCHES), f"steps.{step}."),
            f"there is `steps.{step}` (accepted and rejected), {known}",
        ),
    )
    return StepSource(step, None)


def _file(node: Scalar, path: str, folder: Path, findings: Findings) -> Source | None:
    if "\n" in path:
        findings.wrong(node, "`foreach` is one path, not several lines", "write a list for rows: `[a, b]`")
        return None
    name = file_format(path)
    if name is None:
        endings = either(f"`{ending}`" for ending in _FORMATS)
        findings.wrong(
            node,
            f"`{path}`: rows are read from {endings} files",
            "or write `steps.ID` for the records of a step, or a list of rows",
        )
        return None
    return FileSource(relative(path, folder), name)
