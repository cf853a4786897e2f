"""A sample is tried, a gate is asked, and the rest follows in the same run; no row is done twice."""

from __future__ import annotations

import getpass
import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from penstock.api import running
from penstock.core.errors import UsageError
from penstock.core.sampling import GateState
from penstock.core.states import RunState
from penstock.core.views import Options
from tests.doubles import MemoryListener
from tests.flows import numbered
from tests.model_asking import ANSWER, Asking
from tests.model_server import ModelServer, Script
from tests.sampled_flow import FILES, STREAM, begun_rows, each_once, explored, first_drawn, gate, sampled
from tests.terminal import Project

ROWS, SIZE = 30, 8
GATE = f'size: {SIZE}, require: "outputs.b.accept_rate >= 0.5"'
SURE = 'size: 200, require: "outputs.b.accept_rate >= 0.5", confidence: 0.9'


def test_after_a_sample_that_passes_the_rest_follows_and_each_row_is_done_once(tmp_path: Path) -> None:
    made = sampled(tmp_path, GATE)
    assert made.run() is RunState.SUCCEEDED
    order = first_drawn(ROWS, SIZE)
    assert sorted(begun_rows(made, "a")[:SIZE]) == sorted(order)
    assert sorted(begun_rows(made, "a")[SIZE:]) == sorted(set(range(ROWS)) - set(order))
    each_once(made)
    assert made.counts("a") == made.counts("b") == (ROWS, 0, 0, 0)
    assert made.records("b") == numbered(*range(ROWS))
    assert json.loads(made.read("told.json")) == {"lines": ROWS}
    found = gate(made)
    assert (found.state, found.rejects, found.judged) == (GateState.PASSED, 0, SIZE)
    assert found.reason == (
        "sample: 8 of 30 rows of rows.jsonl, k=0 rejected of n=8 judged by b, "
        "accept rate 1.000 (at least 0.688 with 95 %), 1.0 >= 0.5 → true: passed; 22 rows remained"
    )


def test_a_full_run_and_a_sampled_run_leave_the_same(tmp_path: Path) -> None:
    whole, drawn = sampled(tmp_path / "whole", "", FILES), sampled(tmp_path / "drawn", files_gate(), FILES)
    for made in (whole, drawn):
        for n in (3, 11, 12):
            made.write(f"no-{n}", "")
        assert made.run() is RunState.SUCCEEDED
    for name in ("generate", "verify", "below"):
        assert drawn.lines(name) == whole.lines(name)
        assert drawn.read(f"logs/{name}.jsonl") == whole.read(f"logs/{name}.jsonl")
        assert drawn.counts(name) == whole.counts(name)
    assert drawn.read("logs/route.json") == '{"lines":30}'
    assert sorted(path.name for path in (drawn.folder / "out").iterdir()) == sorted(f"{n}.json" for n in range(ROWS))
    assert sorted(drawn.begun()) == sorted(whole.begun())


def files_gate(size: int = SIZE) -> str:
    return f'size: {size}, require: "outputs.verify.accept_rate >= 0.2"'


def test_rows_that_are_elsewhere_are_done_again_by_a_step_that_depends_on_places(tmp_path: Path) -> None:
    steps = FILES.replace("tee -a logs/verify.jsonl", 'tee -a logs/verify.jsonl > "out/v{{i}}.json"')
    whole, drawn = sampled(tmp_path / "whole", "", steps), sampled(tmp_path / "drawn", files_gate(), steps)
    for made in (whole, drawn):
        assert made.run() is RunState.SUCCEEDED
    for n in range(ROWS):
        assert drawn.read(f"out/v{n}.json") == whole.read(f"out/v{n}.json") == f'{{"n":{n}}}\n'
    assert drawn.lines("verify") == whole.lines("verify")
    again = Counter(drawn.begun()) - Counter(whole.begun())
    assert {name[0] for name in again} <= {"v", "w"}


def test_a_row_that_stands_twice_in_a_stream_is_two_rows(tmp_path: Path) -> None:
    made = sampled(tmp_path, files_gate(), FILES)
    made.rows(numbered(*(n % 7 for n in range(ROWS))))
    assert made.run() is RunState.SUCCEEDED
    assert Counter(made.begun()) == Counter(f"{step}{n % 7}" for n in range(ROWS) for step in "gvw") + Counter(
        ["p0", "apply0"]
    )
    assert made.records("below") == numbered(*(n % 7 for n in range(ROWS)))


def test_barrier_steps_of_the_sample_and_conditions_are_asked_again(tmp_path: Path) -> None:
    made = sampled(tmp_path, f'size: {SIZE}, require: "outputs.told.lines == {SIZE}"')
    assert made.run() is RunState.SUCCEEDED
    each_once(made, count0=2)
    assert json.loads(made.read("told.json")) == {"lines": ROWS}


def test_a_when_that_no_longer_holds_takes_back_what_the_sample_did(tmp_path: Path) -> None:
    steps = (
        "steps:\n  - id: a\n    foreach: rows.jsonl\n    run: bash note.sh a {{item.n}}\n"
        f"  - id: b\n    needs: [a]\n    when: outputs.a.total < {ROWS}\n    foreach: steps.a\n"
        "    run: bash note.sh b {{item.n}} | tee -a b.jsonl\n"
    )
    made = sampled(tmp_path, GATE, steps)
    assert made.run() is RunState.SUCCEEDED
    assert made.state("b") == "skipped"
    assert made.read("b.jsonl") == ""
    assert made.counts("a") == (ROWS, 0, 0, 0)
    assert made.records("b") == []


def test_a_gate_that_fails_leaves_a_run_that_a_person_can_let_go_on(tmp_path: Path) -> None:
    made = sampled(tmp_path, GATE)
    for n in first_drawn(ROWS, SIZE)[:6]:
        made.write(f"no-{n}", "")
    assert made.run() is RunState.REJECTED
    assert sorted(begun_rows(made, "a")) == sorted(begun_rows(made, "b")) == sorted(first_drawn(ROWS, SIZE))
    reason = made.view().reason
    assert reason is not None
    assert "0.25 >= 0.5 → false: failed" in reason
    assert [view.state for view in made.view().steps] == ["succeeded", "succeeded", "succeeded", "pending", "pending"]
    assert made.resume() is RunState.REJECTED
    assert made.view().reason == reason
    assert reason in made.notes

    assert made.resume(expand=True) is RunState.SUCCEEDED
    each_once(made)
    assert made.counts("b") == (ROWS - 6, 6, 0, 0)
    found = gate(made)
    assert (found.state, found.expanded_by) == (GateState.EXPANDED, getpass.getuser())
    assert found.reason == reason
    shown = Project(tmp_path).succeeds("status").out
    assert f"{getpass.getuser()} let the rest follow all the same" in " ".join(shown.split())
    told = json.loads(Project(tmp_path).succeeds("status", "--json").out)["gate"]
    assert (told["state"], told["expanded_by"], told["step"]) == ("expanded", getpass.getuser(), "b")
    assert (told["judged"], told["rejects"], told["lost"]) == (SIZE, 6, 0)


def test_a_gate_that_asks_for_no_rate_tells_of_none(tmp_path: Path) -> None:
    made = sampled(tmp_path, f'size: {SIZE}, require: "outputs.told.lines > 100"', rows=SIZE + 1)
    assert made.run() is RunState.REJECTED
    assert gate(made).reason == "sample: 8 of 9 rows of rows.jsonl, 8 > 100 → false: failed; 1 row remained"
    told = json.loads(Project(tmp_path).succeeds("status", "--json").out)["gate"]
    assert [told[key] for key in ("step", "judged", "rejects", "lost", "accept_rate_low", "expanded_by")] == [None] * 6


@pytest.mark.parametrize(
    ("require", "why"),
    [("outputs.told.words > 1", "words"), ("outputs.b.accept_rate >= 0.5", "accept_rate")],
)
def test_a_gate_without_an_answer_stays_shut_and_says_why(require: str, why: str, tmp_path: Path) -> None:
    made = sampled(
        tmp_path, f'size: {SIZE}, require: "{require}"', STREAM.replace("max_failures: 100%", "where: no == 1")
    )
    made.write(
        "workflow.yaml",
        made.read("workflow.yaml").replace("no == 1", "item.n >= 0" if why == "words" else "item.n < 0"),
    )
    assert made.run() is RunState.REJECTED
    found = gate(made)
    assert found.state is GateState.FAILED
    assert "failed because `require` has no answer: " in found.reason
    assert why in found.reason.partition("no answer")[2]
    assert made.view().reason == found.reason
    assert made.resume() is RunState.REJECTED
    made.resume(expand=True)
    assert sum(made.counts("b")) == sum(made.counts("a")) == ROWS


def test_a_gate_that_asks_for_the_rate_of_no_row_stays_shut(tmp_path: Path) -> None:
    made = sampled(tmp_path, GATE, STREAM.partition("  - id: count")[0], rows=0)
    assert made.run() is RunState.REJECTED
    assert "k=0 rejected of n=0 judged by b, failed because `require` has no answer: " in gate(made).reason
    assert made.resume(expand=True) is RunState.SUCCEEDED


def test_a_step_that_cannot_be_done_fails_the_run_before_the_gate(tmp_path: Path) -> None:
    made = sampled(tmp_path, GATE)
    made.write("bad-0", "")
    assert made.run() is RunState.FAILED
    assert made.state("prepare") == "failed"
    assert made.view().gate is None
    (tmp_path / "bad-0").unlink()
    assert made.resume(failed=True) is RunState.SUCCEEDED
    each_once(made, p0=2)


@pytest.mark.parametrize("kind", ["list", "gz", "csv", "json"])
def test_every_kind_of_source_is_drawn_from(kind: str, tmp_path: Path) -> None:
    source = {"list": str(list(range(ROWS))), "gz": "rows.jsonl.gz", "csv": "rows.csv", "json": "rows.json"}[kind]
    rows = [{"n": n} for n in range(ROWS)]
    value = "{{item}}" if kind == "list" else "{{item.n}}"
    made = sampled(tmp_path, GATE, f"steps:\n  - id: b\n    foreach: {source}\n    run: bash note.sh b {value}\n")
    made.write("rows.csv", "n\n" + "".join(f"{n}\n" for n in range(ROWS)))
    made.write("rows.json", json.dumps(rows))
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    assert made.run() is RunState.SUCCEEDED
    order = first_drawn(ROWS, SIZE, name="the list of b" if kind == "list" else source)
    assert sorted(begun_rows(made, "b")[:SIZE]) == sorted(order)
    each_once(made)
    assert made.records("b") == numbered(*range(ROWS))
    assert gate(made).judged == SIZE


def test_a_sample_larger_than_the_stream_is_all_of_it(tmp_path: Path) -> None:
    made = sampled(tmp_path, 'size: 100, require: "outputs.b.total == 30"')
    assert made.run() is RunState.SUCCEEDED
    each_once(made)
    assert made.counts("b") == (ROWS, 0, 0, 0)


def test_an_empty_stream_has_an_empty_sample(tmp_path: Path) -> None:
    made = sampled(tmp_path, 'size: 5, require: "outputs.b.total == 0"', STREAM.partition("  - id: last")[0], rows=0)
    assert made.run() is RunState.SUCCEEDED
    assert made.counts("a") == (0, 0, 0, 0)


# --- with a confidence ---------------------------------------------------------------------------


def test_a_gate_that_is_sure_takes_no_more_rows(tmp_path: Path) -> None:
    made = sampled(tmp_path, SURE, rows=100)
    assert made.run() is RunState.SUCCEEDED
    found = gate(made)
    assert (found.state, found.rejects) == (GateState.PASSED, 0)
    assert found.evidence is not None
    assert found.evidence >= (found.limit or 0) == 10
    assert found.judged < 40
    each_once(made)
    assert made.counts("b") == (100, 0, 0, 0)


def test_a_gate_that_is_sure_of_the_contrary_fails_early(tmp_path: Path) -> None:
    made = sampled(tmp_path, SURE, rows=200)
    for n in range(100):
        made.write(f"{'no' if n % 2 else 'bad'}-{n}", "")
        made.write(f"{'no' if n % 2 else 'bad'}-{n + 100}", "")
    steps = STREAM.replace("note.sh a", "pass.sh a")
    made.write("workflow.yaml", f"name: Test\nversion: 1\nsample: {{{SURE}}}\n{steps}")
    made.write("pass.sh", "echo a$2 >> begun; printf '{\"n\":%s}\\n' $2\n")
    made.write("note.sh", '[ "$1" != p ] || exit 0\n' + made.read("note.sh"))
    assert made.run() is RunState.REJECTED
    found = gate(made)
    assert found.rejects == found.judged < 40
    assert "evidence against it" in found.reason
    assert "no number of accepted rows" in found.reason
    assert len(begun_rows(made, "a")) < 60


def test_rows_are_looked_at_in_sample_order_and_not_in_that_of_their_ends(tmp_path: Path) -> None:
    steps = "steps:\n  - id: b\n    foreach: rows.jsonl\n    concurrency: 2\n    run: bash slow.sh {{item.n}}\n"
    made = sampled(tmp_path, SURE, steps, rows=100)
    first = first_drawn(100, 200)[0]
    # The first of the sample ends when twenty others have begun, which are enough for the gate if it saw them alone.
    made.write(
        "slow.sh",
        f'echo "b$1" >> begun\nfor try in $(seq 600); do\n  [ "$1" = {first} ] || break\n'
        '  [ $(wc -l < begun) -lt 21 ] || break\n  sleep 0.05\ndone\nwc -l < begun > "seen-$1"\n',
    )
    assert made.run() is RunState.SUCCEEDED
    assert int(made.read(f"seen-{first}")) >= 21
    assert gate(made).judged < 20
    each_once(made)


def test_rows_that_are_left_out_above_hold_up_no_gate(tmp_path: Path) -> None:
    steps = (
        "steps:\n  - id: a\n    foreach: rows.jsonl\n    where: item.n % 5 != 0\n"
        "    run: bash note.sh a {{item.n}}\n"
        "  - id: b\n    foreach: steps.a.accepted\n    run: bash pass.sh {{item.n}}\n"
    )
    made = sampled(tmp_path, SURE, steps, rows=100)
    made.write("pass.sh", "printf '{\"n\":%s}\\n' $1\n")
    for n in range(1, 100, 3):
        made.write(f"no-{n}", "")
    assert made.run() is RunState.SUCCEEDED
    found = gate(made)
    assert (found.state, found.rejects) == (GateState.PASSED, 0)
    assert found.judged < 20
    each_once(made)


def test_a_gate_that_has_seen_every_row_knows(tmp_path: Path) -> None:
    small = 'size: 30, require: "outputs.b.accept_rate >= 0.9", confidence: 0.95'
    made = sampled(tmp_path, small, rows=ROWS)
    assert made.run() is RunState.SUCCEEDED
    assert gate(made).state is GateState.PASSED
    each_once(made)


def test_a_sample_that_proves_neither_fails_closed(tmp_path: Path) -> None:
    scarce = 'size: 4, require: "outputs.b.accept_rate >= 0.9", confidence: 0.95'
    made = sampled(tmp_path, scarce, rows=100)
    assert made.run() is RunState.REJECTED
    found = gate(made)
    assert (found.state, found.judged) == (GateState.INCONCLUSIVE, 4)
    assert found.more_rows is not None
    assert f"about {found.more_rows:,} more rows, all accepted, would have made it pass" in found.reason
    assert made.resume(expand=True) is RunState.SUCCEEDED
    each_once(made)


@pytest.mark.parametrize(("rows", "there"), [(12, "only 4 rows remain"), (9, "only 1 row remains")])
def test_rows_that_are_not_there_would_not_have_made_it_pass(rows: int, there: str, tmp_path: Path) -> None:
    scarce = f'size: {SIZE}, require: "outputs.b.accept_rate >= 0.9", confidence: 0.95'
    # Rows of another stream remain as well, and are not the ones that would be needed.
    steps = STREAM.replace("run: bash note.sh p 0", f"foreach: {list(range(60))}\n    run: bash note.sh p {{{{item}}}}")
    made = sampled(
        tmp_path, scarce, steps.replace("foreach: steps.a", "where: item.n >= 0\n    foreach: steps.a"), rows
    )
    assert made.run() is RunState.REJECTED
    found = gate(made)
    assert (found.state, found.more_rows) == (GateState.INCONCLUSIVE, None)
    assert f"more rows, all accepted, would have been needed, and {there}" in found.reason


def test_a_sample_that_proves_neither_may_let_the_rest_follow(tmp_path: Path) -> None:
    scarce = 'size: 4, require: "outputs.b.accept_rate >= 0.9", confidence: 0.95, on_inconclusive: expand'
    made = sampled(tmp_path, scarce, rows=30)
    assert made.run() is RunState.SUCCEEDED
    assert gate(made).state is GateState.PASSED
    each_once(made)


def test_the_rest_is_watched_and_pauses_the_run_when_it_breaks_the_rate(tmp_path: Path) -> None:
    rows = 400
    made = sampled(tmp_path, 'size: 40, require: "outputs.b.accept_rate >= 0.6", confidence: 0.9', rows=rows)
    made.write("pass.sh", "echo a$2 >> begun; printf '{\"n\":%s}\\n' $2\n")
    steps = STREAM.replace("note.sh a", "pass.sh a")
    made.write(
        "workflow.yaml",
        'name: Test\nversion: 1\nsample: {size: 40, require: "outputs.b.accept_rate >= 0.6", confidence: 0.9}\n'
        + steps,
    )
    for n in set(range(rows)) - set(first_drawn(rows, 40)):
        made.write(f"no-{n}", "")
    made.write("note.sh", '[ "$1" != p ] && [ "$1" != count ] || exit 0\n' + made.read("note.sh"))
    assert made.run() is RunState.WAITING
    view = made.view()
    assert view.reason == gate(made).reason
    assert "the rest has shown" in str(view.reason)
    taken = len(begun_rows(made, "b"))
    assert taken < 200
    assert made.resume() is RunState.WAITING
    assert len(begun_rows(made, "b")) == taken
    assert made.resume(expand=True) is RunState.SUCCEEDED
    assert sorted(begun_rows(made, "b")) == list(range(rows))


# --- without a gate ------------------------------------------------------------------------------


def test_exploring_tries_some_rows_and_leaves_out_what_acts_on_the_whole(tmp_path: Path) -> None:
    made = sampled(tmp_path, GATE)
    assert explored(made, 5) is RunState.SUCCEEDED
    assert sorted(begun_rows(made, "a")) == sorted(first_drawn(ROWS, 5))
    assert made.counts("a") == made.counts("b") == (5, 0, 0, 0)
    assert json.loads(made.read("told.json")) == {"lines": 5}
    assert made.state("last") == "skipped"
    assert "its `when` is about what b comes to" in str(made.view().steps[-1].reason)
    assert made.notes == ["sample: 5 of 30 rows of rows.jsonl; there is no gate, and the rest does not follow"]
    (tmp_path / "begun").unlink()
    assert made.run() is RunState.SUCCEEDED
    each_once(made)


def test_a_single_step_says_that_no_gate_is_asked(tmp_path: Path) -> None:
    made = sampled(tmp_path, GATE, "steps:\n  - id: b\n    foreach: rows.jsonl\n    run: bash note.sh b {{item.n}}\n")
    listener = MemoryListener()
    assert running.run(made.folder, Options(only="b"), listener).state is RunState.SUCCEEDED
    assert "its `sample` is not asked: --only runs one step" in listener.notes
    assert made.counts("b") == (ROWS, 0, 0, 0)


def test_a_sample_and_a_single_step_do_not_go_together(tmp_path: Path) -> None:
    made = sampled(tmp_path, GATE)
    with pytest.raises(UsageError, match="--sample and --only"):
        running.run(made.folder, Options(only="a", sample=3), MemoryListener())


# --- with models ---------------------------------------------------------------------------------


def test_a_sampled_run_sends_no_request_twice(tmp_path: Path) -> None:
    with ModelServer(Script(answer=ANSWER)) as server:
        asking = Asking(tmp_path, server.url, 60, ", price: {input: 1000, output: 2000}")
        below = "  - id: check\n    foreach: steps.ask\n    verify: {checks: ['len(output.text) > 3']}\n"
        asking.workflow(below=below)
        text = (tmp_path / "workflow.yaml").read_text()
        sample = 'sample: {size: 10, require: "outputs.check.accept_rate > 0.9"}\nsteps:'
        (tmp_path / "workflow.yaml").write_text(text.replace("steps:", sample, 1))
        assert asking.sent(server) == 60
        assert server.counts()["distinct"] == 60
        found = asking.run().gate
        assert found is not None
        assert found.judged == 10
        assert asking.sent(server) == 0
    reason = next(note for note in asking.notes if note.startswith("sample"))
    assert "10 of 60 rows of rows.jsonl" in reason
