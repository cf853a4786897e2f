"""A gate does not pass on what is left of a sample: rows that failed on the way are counted, or keep it shut."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from penstock.core.sampling import GateState
from penstock.core.states import RunState
from tests.flows import Flow
from tests.sampled_flow import begun_rows, first_drawn, gate, sampled

SURE = 'size: 200, require: "outputs.b.accept_rate >= 0.5", confidence: 0.9'


def lossy(folder: Path, sample: str, rows: int = 30, allowed: str = "0", branch: str = "") -> Flow:
    """A flow whose step `a` fails two of three rows, so that `b` never sees them."""
    steps = (
        f"steps:\n  - id: a\n    foreach: rows.jsonl\n    max_failures: {allowed}\n"
        "    run: bash note.sh a {{item.n}}\n"
        f"  - id: b\n    foreach: steps.a{branch}\n    run: bash note.sh b {{{{item.n}}}}\n"
    )
    made = sampled(folder, sample, steps, rows)
    made.write(
        "note.sh", '[ "$1" = b ] || [ $(($2 % 3)) = 0 ] || { echo "$1$2" >> begun; exit 3; }\n' + made.read("note.sh")
    )
    return made


def drawn_kept(rows: int, size: int) -> int:
    """How many rows of such a sample come as far as `b`."""
    return sum(n % 3 == 0 for n in first_drawn(rows, size))


STRICT = 'size: 10, require: "outputs.b.accept_rate >= 0.9"'


def test_a_gate_does_not_pass_on_what_is_left_of_a_sample_that_failed(tmp_path: Path) -> None:
    made = lossy(tmp_path, STRICT)
    kept = drawn_kept(30, 10)
    assert made.run() is RunState.REJECTED
    found = gate(made)
    assert (found.state, found.judged, found.rejects, found.lost) == (GateState.FAILED, kept, 0, 10 - kept)
    why = f"failed because step a failed: {10 - kept} of 10 items failed (0 allowed)"
    assert f"n={kept} judged by b, {10 - kept} more failed before they came to it" in found.reason
    assert f"{why}; 20 rows remained" in found.reason
    assert (made.state("a"), made.state("b")) == ("failed", "blocked")
    assert len(begun_rows(made, "a")) == 10
    assert made.resume() is RunState.REJECTED
    assert made.resume(expand=True) is RunState.FAILED
    assert made.counts("a") == (10, 0, 20, 0)


def test_a_gate_with_a_barrier_behind_what_failed_says_which_step_it_was(tmp_path: Path) -> None:
    made = lossy(tmp_path, 'size: 10, require: "outputs.chk.score > 0.5"')
    below = (
        "  - id: chk\n    needs: [b]\n    run: printf '{\"score\":1}' > score.json\n    outputs: {chk: score.json}\n"
    )
    made.write("workflow.yaml", made.read("workflow.yaml") + below)
    assert made.run() is RunState.REJECTED
    found = gate(made)
    assert "failed because step a failed: " in found.reason
    assert found.counted is None
    assert "judged" not in found.reason


def test_a_rate_that_excuses_its_own_step_excuses_none_that_was_blocked(tmp_path: Path) -> None:
    made = lossy(tmp_path, STRICT.replace("outputs.b", "outputs.a.total > 0 and outputs.b"))
    assert made.run() is RunState.REJECTED
    assert "failed because step b was blocked: the step that it reads from ended failed" in gate(made).reason
    assert len(begun_rows(made, "a")) == 10


def test_a_gate_that_is_mended_is_asked_again(tmp_path: Path) -> None:
    made = lossy(tmp_path, STRICT)
    assert made.run() is RunState.REJECTED
    made.write("note.sh", made.read("note.sh").partition("\n")[2])
    assert made.resume(failed=True) is RunState.SUCCEEDED
    assert gate(made).state is GateState.PASSED
    assert made.counts("b") == (30, 0, 0, 0)


@pytest.mark.parametrize("settled", ["stop", "expand"])
def test_a_gate_that_is_sure_does_not_pass_over_a_step_that_failed(settled: str, tmp_path: Path) -> None:
    made = lossy(tmp_path, f"{SURE}, on_inconclusive: {settled}", rows=100)
    bad = first_drawn(100, 200)[0]
    made.write("note.sh", made.read("note.sh").replace("$(($2 % 3)) = 0", f"$2 != {bad}"))
    assert made.run() is RunState.REJECTED
    found = gate(made)
    assert (found.state, found.rejects, found.lost) == (GateState.FAILED, 1, 1)
    assert found.evidence is not None
    assert found.evidence >= (found.limit or 0)
    assert re.search("needed: failed because step a failed: 1 of [0-9]+ items failed", found.reason)
    assert "would have made it pass" not in found.reason
    assert len(begun_rows(made, "a")) < 50


@pytest.mark.parametrize("branch", ["", ".accepted"])
def test_rows_that_failed_on_the_way_count_as_rejected_in_the_test(branch: str, tmp_path: Path) -> None:
    made = lossy(tmp_path, SURE, 200, "100%", branch)
    assert made.run() is RunState.REJECTED
    found = gate(made)
    assert found.rejects == found.lost > found.judged / 2
    assert "evidence against it" in found.reason
    assert f"judged by b ({found.lost} of them failed before they came to it)" in found.reason
    assert len(begun_rows(made, "a")) < 100


def test_what_was_lost_in_the_sample_is_counted_on_in_the_rest(tmp_path: Path) -> None:
    made = lossy(tmp_path, SURE, 60, "100%")
    bad = first_drawn(60, 200)[0]
    made.write("note.sh", made.read("note.sh").replace("$(($2 % 3)) = 0", f"$2 != {bad}"))
    assert made.run() is RunState.SUCCEEDED
    found = gate(made)
    assert (found.state, found.rejects, found.lost) == (GateState.PASSED, 1, 1)
    with closing(sqlite3.connect(tmp_path / ".penstock" / "journal.db")) as journal:
        then = json.loads(journal.execute("SELECT report FROM gates").fetchone()[0])["then"]
    assert (then["rejects"], then["lost"]) == (1, 1)
    assert then["judged"] >= found.judged


def test_rows_that_were_allowed_to_fail_on_the_way_are_told_of(tmp_path: Path) -> None:
    made = lossy(tmp_path, STRICT, allowed="100%")
    assert made.run() is RunState.SUCCEEDED
    assert f"{10 - drawn_kept(30, 10)} more failed before they came to it, accept rate 1.000" in gate(made).reason


def test_what_is_lost_in_the_rest_pauses_the_run(tmp_path: Path) -> None:
    made = lossy(tmp_path, 'size: 40, require: "outputs.b.accept_rate >= 0.6", confidence: 0.9', 400, "100%")
    good = "|".join(map(str, first_drawn(400, 40)[1:]))
    made.write(
        "note.sh",
        f'case "$1$2" in a*) case "$2" in {good}) ;; *) echo "$1$2" >> begun; exit 3;; esac;; esac\n'
        + made.read("note.sh").partition("\n")[2],
    )
    assert made.run() is RunState.WAITING
    found = gate(made)
    assert "the rest has shown" in found.reason
    assert found.lost == found.rejects > 0
    assert len(begun_rows(made, "a")) < 250
    assert made.resume() is RunState.WAITING
    assert made.resume(expand=True) is RunState.SUCCEEDED
    assert made.counts("a") == (39, 0, 361, 0)


def test_a_step_that_gave_up_is_not_excused_by_its_rate(tmp_path: Path) -> None:
    steps = (
        "steps:\n  - id: b\n    foreach: rows.jsonl\n    concurrency: 1\n    fail_fast: true\n"
        "    run: bash note.sh b {{item.n}}\n"
    )
    made = sampled(tmp_path, STRICT.replace("10", "20"), steps)
    made.write(f"bad-{first_drawn(30, 20)[12]}", "")
    assert made.run() is RunState.REJECTED
    assert "failed because step b failed: 1 of 20 items failed" in gate(made).reason
    assert len(begun_rows(made, "b")) == 13
