"""Paths of the file: variables filled in, and one spelling for each file."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

from penstock.load.env import Variables, expand
from penstock.load.fields import Fields
from penstock.load.tree import Scalar

Located = tuple[tuple[str, Scalar], ...]
"""Paths, each with the node that says it."""


def relative(path: str, folder: Path) -> str:
    """One spelling for each file: relative to the workflow's folder where that is possible, `.` and `..` worked out."""
    path = posixpath.normpath(path)
    root = os.path.abspath(folder)
    return os.path.relpath(path, root) if path.startswith(root + "/") else path


def located(fields: Fields, name: str, variables: Variables, folder: Path) -> Located:
    """The paths of a list."""
    filled = ((expand(scalar, variables, fields.findings), scalar) for scalar in fields.scalars(name))
    return tuple((relative(path, folder), scalar) for path, scalar in filled if path)


def bare(paths: Located) -> tuple[str, ...]:
    """The paths alone."""
    return tuple(path for path, _ in paths)


def is_pattern(path: str) -> bool:
    """Whether it may stand for several files."""
    return any(sign in path for sign in "*?[")
