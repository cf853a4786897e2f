"""A run that asks models is killed in the midst of it: what was bought stays bought, and what was in flight is told."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.model_calls import left, storm
from tests.model_server import ModelServer, Script
from tests.terminal import Project, Said, until

ROWS, AT_ONCE = 60, 16
SLOW = Script(answer={"text": "$prompt", "number": "$hash"}, latency_ms=250)


def asking(folder: Path, server: ModelServer) -> Project:
    """A workflow that asks the server about each row; the server gives each request an answer of its own."""
    project = Project(folder)
    project.workflow(
        f"models: {{house: {{model: openai/h, base_url: {server.url}/v1, price: {{input: 1, output: 2}}}}}}\n"
        f"steps:\n  - id: ask\n    foreach: rows.jsonl\n    concurrency: {AT_ONCE}\n"
        "    generate: {model: house, prompt: 'Of {{ item.n }}.', schema: {type: object}}\n"
    )
    project.write("rows.jsonl", "".join(f'{{"n": {n}}}\n' for n in range(ROWS)))
    return project


def killed(project: Project, server: ModelServer, command: str, after: int, by: signal.Signals) -> None:
    """The command has been ended by the signal as soon as the server has had so many requests since the last reset."""
    with project.running(command, "--quiet") as process:
        until(lambda: bool(server.counts()["requests"] >= after), process)
        os.kill(process.pid, by)
        process.wait(60)


def calls(project: Project) -> list[dict[str, Any]]:
    """The call log of the run; a line that a kill has cut short is not there yet."""
    whole, _, _ = (project.run_folder() / "calls.jsonl").read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def lost(project: Project) -> list[dict[str, Any]]:
    """The calls of which nobody knows what became of them."""
    return [call for call in calls(project) if call["error"] == "lost"]


def said_to_be_lost(said: Said) -> int:
    """How many calls were in flight, as `resume` says it; 0 if it does not speak of them."""
    found = re.search(r"(\d+) model calls? (?:was|were) in flight when Penstock died", said.err)
    return int(found[1]) if found else 0


def assert_whole(project: Project) -> None:
    """Every row has the record that its own prompt was answered with."""
    records: list[Any] = [line["record"] for line in project.records("ask")]
    assert [record["text"] for record in records] == [f"Of {n}." for n in range(ROWS)]
    tally: Any = project.succeeds("status", "--json").value["steps"]
    assert (tally["ask"]["total"], tally["ask"]["accepted"]) == (ROWS, ROWS)


def test_after_a_kill_only_what_was_in_flight_is_asked_again_and_each_lost_call_is_told(tmp_path: Path) -> None:
    with ModelServer(SLOW) as server:
        project = asking(tmp_path, server)
        killed(project, server, "run", 24, signal.SIGKILL)
        said = project.succeeds("resume")
        counts = server.counts()
    gone = lost(project)
    assert 0 < len(gone) <= AT_ONCE
    assert said_to_be_lost(said) == len(gone)
    assert 0 <= counts["requests"] - ROWS <= len(gone)
    assert (counts["distinct"], counts["most_repeated"] <= 2) == (ROWS, True)
    assert {(call["step"], call["status"], call["cost"], call["cost_status"]) for call in gone} == {
        ("ask", None, None, "unknown")
    }
    assert sum(call["status"] == 200 and not call["cached"] for call in calls(project)) == ROWS
    assert {call["i"] for call in calls(project)} == set(range(ROWS))
    assert_whole(project)


def test_answers_that_had_arrived_are_not_bought_again_although_the_whole_cache_is_gone(tmp_path: Path) -> None:
    with ModelServer(SLOW) as server:
        project = asking(tmp_path, server)
        killed(project, server, "run", 40, signal.SIGKILL)
        shutil.rmtree(tmp_path / ".penstock" / "cache")
        project.succeeds("resume")
        assert server.counts()["requests"] - ROWS <= len(lost(project)) <= AT_ONCE
    assert_whole(project)


def test_a_run_that_is_killed_again_and_again_comes_to_its_end_and_pays_for_what_was_in_flight_alone(
    tmp_path: Path,
) -> None:
    with ModelServer(SLOW) as server:
        project = asking(tmp_path, server)
        killed(project, server, "run", 10, signal.SIGKILL)
        for after in (20, 33, 47):
            before = left(project).lost  # from the journal: a kill may leave the call log behind it
            killed(project, server, "resume", after, signal.SIGKILL)
            assert left(project).lost - before <= AT_ONCE
        project.succeeds("resume")
        counts = server.counts()
    assert counts["requests"] - ROWS <= len(lost(project))
    assert len(project.runs()) == 1
    assert_whole(project)


def test_what_was_lost_is_a_cost_that_is_not_known_and_a_later_run_costs_nothing(tmp_path: Path) -> None:
    with ModelServer(SLOW) as server:
        project = asking(tmp_path, server)
        killed(project, server, "run", 24, signal.SIGKILL)
        told = project.succeeds("resume", "--json").value
        assert told["cost"] is None
        assert told["calls"] == ROWS + len(lost(project))
        server.reset()
        again = project.succeeds("run", "--json").value
        assert (server.counts()["requests"], again["calls"], again["cost"]) == (0, 0, 0)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_stop_waits_for_its_answers_and_nothing_is_lost(
    tmp_path: Path, by: signal.Signals
) -> None:
    with ModelServer(SLOW) as server:
        project = asking(tmp_path, server)
        killed(project, server, "run", 24, by)
        assert 24 <= len(project.records("ask")) < ROWS
        said = project.succeeds("resume")
        assert server.counts()["requests"] == ROWS
    assert (lost(project), said_to_be_lost(said)) == ([], 0)
    assert_whole(project)


def test_a_run_that_is_asked_to_stop_when_all_its_rows_were_given_out_stays_resumable(tmp_path: Path) -> None:
    rows = AT_ONCE + 8
    with ModelServer(SLOW) as server:
        project = asking(tmp_path, server)
        project.write("rows.jsonl", "".join(f'{{"n": {n}}}\n' for n in range(rows)))
        with project.running("run", "--quiet") as process:
            until(lambda: bool(server.counts()["requests"] >= 4), process)
            os.kill(process.pid, signal.SIGINT)
            assert process.wait(60) == 130
        project.succeeds("resume")
        assert server.counts()["requests"] == rows
    assert len(project.records("ask")) == rows


def test_at_seeded_kills_no_more_is_sent_again_than_was_in_flight_and_what_was_billed_is_within_what_is_stated(
    tmp_path: Path,
) -> None:
    report = storm(tmp_path.resolve(), rows=700, kills=5, seed=11)
    print(report)
    assert report.faults == [], report
    assert (report.kills.total(), report.in_flight > 0) == (5, True)
    assert report.again <= report.in_flight
    assert report.unheard <= report.stated
