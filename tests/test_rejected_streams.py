"""What a step reads of another one that asked models and got no answer that will do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model_asking import ANSWER, Asking, tally_of
from tests.model_server import ModelServer, Script


@pytest.mark.parametrize("branch", ["", ".rejected"])
def test_a_row_without_an_answer_that_will_do_is_read_as_its_input_and_why(tmp_path: Path, branch: str) -> None:
    below = f"  - id: look\n    foreach: steps.ask{branch}\n    run: cat\n"
    with ModelServer(Script(answer=ANSWER)) as server:
        asking = Asking(tmp_path, server.url, count=20)
        asking.workflow(more="      attempts: 1\n      checks: [output.score >= 0.5]\n", below=below)
        tally = tally_of(asking.run(), "ask")
    assert min(tally.accepted, tally.rejected) > 2
    read = [item for item in asking.records("look") if "failure" in item]
    assert len(asking.records("look")) == tally.rejected + (0 if branch else tally.accepted)
    assert len(read) == tally.rejected
    assert all(item["failure"]["kind"] == "check" and item["id"] < 20 for item in read)
