"""The path that a redirect target has, for a step or for one item of it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping

from penstock.core.workflow import Placeholder, Target, Variable

_VALUE = "\0"
_RULE = "a row's value in the path of a file may not begin with / or climb by .."


def fixed_path(target: Target, env: Mapping[str, str]) -> str | None:
    """The path of a target that is the same for all items, relative to the workflow's folder.

    None if it holds a placeholder, or a variable that `env` lacks, or cannot be known at all.
    """
    if target.parts is None or target.per_item:
        return None
    parts: list[str] = []
    for part in target.parts:
        if isinstance(part, Variable) and part.name not in env:
            return None
        parts.append(env[part.name] if isinstance(part, Variable) else str(part))
    return posixpath.normpath("".join(parts))


def item_path(target: Target, env: Mapping[str, str], text_of: Callable[[Placeholder], str]) -> str:
    """The path of a target for one item; ValueError with a sentence if a row's value would lead elsewhere."""
    path, shape = "", ""
    for part in target.parts or ():
        if isinstance(part, Placeholder):
            path += _harmless(part, text_of(part))
            shape += _VALUE
        else:
            text = env.get(part.name, "") if isinstance(part, Variable) else part
            path, shape = path + text, shape + text
    if not path or path.endswith("/"):
        raise ValueError(f"the file that {target.text} names for this item has an empty name")
    if _strays(path, shape):
        raise ValueError(f"{target.text} is {path[:80]!r} here: {_RULE}")
    return posixpath.normpath(path)


def _harmless(placeholder: Placeholder, value: str) -> str:
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError(f"{placeholder.text} is {value[:80]!r} here: {_RULE}")
    return value


def _strays(path: str, shape: str) -> bool:
    """Whether values that are harmless each lead elsewhere together, as `.` twice does, or nothing before a `/`.

    `shape` is the path with a mark in place of each value. What the author climbs before any value is his own affair.
    """
    climbs_after_value = ".." in shape.partition(_VALUE)[2].split("/")
    climbs = path.split("/").count("..") > shape.split("/").count("..")
    return climbs_after_value or climbs or path.startswith("/") != shape.startswith("/")
