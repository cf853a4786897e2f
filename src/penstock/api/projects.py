"""The project that `penstock init` makes."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def files() -> dict[str, str]:
    """The text of each file of a new project, by its path."""
    with resources.as_file(resources.files("penstock.api").joinpath("project")) as folder:
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
        return {_name(path, folder): path.read_text(encoding="utf-8") for path in paths}


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
