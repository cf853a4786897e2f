"""A folder with rows in it, and a way to load a text from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from penstock.core.workflow import Workflow
from penstock.load.build import load


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., Workflow]:
    """Loads a text from a folder that has `data/rows.jsonl`."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text('{"id": 1}\n')

    def load_text(text: str, variables: Mapping[str, str] | None = None, **environ: str) -> Workflow:
        file = tmp_path / "flow.yaml"
        file.write_text(dedent(text), encoding="utf-8")
        return load(file, overrides=variables or {}, environ=environ)

    return load_text
