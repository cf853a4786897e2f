"""What lies in the workflow's folder, for saying which file may have been meant."""

from __future__ import annotations

import os
from collections.abc import Iterable
from glob import iglob
from pathlib import Path

from penstock.load.paths import is_pattern
from penstock.load.suggest import did_you_mean, either, nearest

_MOST_NAMES = 2000


def holds(folder: Path, path: str) -> bool:
    """Whether there is such a file or folder, or for a pattern any file that fits."""
    try:
        if (folder / path).exists():
            return True
        return is_pattern(path) and next(iglob(str(folder / path), recursive=True), None) is not None
    except (OSError, ValueError):
        return False  # a name too long, or with a character that no file name has


def is_folder(folder: Path, path: str) -> bool:
    """Whether a folder lies there."""
    try:
        return (folder / path).is_dir()
    except (OSError, ValueError):
        return False


def meant(folder: Path, path: str, others: Iterable[str]) -> str | None:
    """One line on which file may have been meant, among those in the folder and `others`."""
    if path.startswith("~"):
        return "`~` is not filled in here; write `${HOME}`"
    parent = os.path.dirname(path)
    return did_you_mean(path, {*others, *_around(folder, parent)}, cutoff=0.8) or _listing(folder, parent)


def _around(folder: Path, parent: str) -> list[str]:
    """The names in a folder; if there is no such folder, those in the folders that are called much like it."""
    if not parent or is_folder(folder, parent):
        return _names(folder, parent)
    beside = nearest(parent, _names(folder, os.path.dirname(parent)))
    return [name for other in beside for name in _names(folder, other)]


def _listing(folder: Path, parent: str) -> str | None:
    if parent and not is_folder(folder, parent):
        return f"there is no folder `{parent}` either; paths begin in the workflow's folder"
    names = sorted(name for name in _names(folder, parent) if not os.path.basename(name).startswith("."))
    if not names:
        return None
    shown = [f"`{name}`" for name in names[:5]]
    return f"there is {', '.join(shown)} and more" if len(names) > len(shown) else f"there is {either(shown, 'and')}"


def _names(folder: Path, parent: str) -> list[str]:
    try:
        with os.scandir(folder / parent) as entries:
            return [os.path.join(parent, entry.name) for entry, _ in zip(entries, range(_MOST_NAMES), strict=False)]
    except (OSError, ValueError):
        return []
