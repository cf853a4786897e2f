"""`examples/summaries/with-openai.yaml`: a script with OpenAI's own client, whose calls are kept and charged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.terminal import Project, jsonl

EXAMPLE = Path(__file__).parent.parent / "examples" / "summaries"
LEFT = shutil.ignore_patterns(".penstock", ".cache", "logs", "applied", "fixtures", "with-openai", "*.jsonl")


def test_the_log_has_cost_tokens_and_cache_hits_and_a_second_run_buys_nothing(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "here", ignore=LEFT)
    project = Project(tmp_path / "here")
    for raw in sorted((project.folder / "data" / "raw").iterdir())[6:]:
        raw.unlink()  # six documents tell as much as thirty, in a fifth of the time
    first: Any = project.succeeds("run", "with-openai.yaml", "--json").value
    assert isinstance(first["cost"], float)
    assert first["calls"] >= 6
    lines: list[Any] = [line for line in project.log() if line["step"] == "generate" and line["key"] is not None]
    assert all(line["cost"] > 0 and line["tokens_in"] > 0 and line["tokens_out"] > 0 for line in lines)
    assert [line["cached"] for line in lines] == [False] * 6
    again: Any = project.succeeds("run", "with-openai.yaml", "--json").value
    assert (again["calls"], again["cost"]) == (0, 0)
    lines = [line for line in project.log() if line["step"] == "generate" and line["key"] is not None]
    assert [(line["cached"], line["cost"]) for line in lines] == [(True, 0)] * 6
    assert {line["purpose"] for line in jsonl(project.run_folder() / "calls.jsonl")} == {"script"}
