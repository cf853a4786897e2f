"""Whole runs under a budget, against a model server that counts what it bills: no cap is crossed, none is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.model_asking import Asking
from tests.model_server import KINDS, ModelServer, Script
from tests.terminal import Project, Said, until

INPUT, OUTPUT = 1, 300
PRICE = f", price: {{input: {INPUT}, output: {OUTPUT}}}"
"""Dollars per million tokens: with `ANSWER` and `LIMIT` a call is billed $0.0094, and may come to $0.0113."""

TEXT = "it is about an order of last week that came with a part missing, and in the wrong colour too"
ANSWER = {"text": TEXT, "score": "$number"}
LIMIT = "      params: {max_tokens: 36}\n"
"""The longest answer that the server gives, an invalid one, has 34 tokens."""

ROWS = 200


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(Script(answer=ANSWER, latency_ms=5)) as running:
        yield running


def asking(
    folder: Path, server: ModelServer, budget: str, rows: int = ROWS, model: str = PRICE, seed: int = 0
) -> Asking:
    """A folder whose rows are there, other ones for each seed, and whose workflow has the budget, if any."""
    made = Asking(folder, server.url, rows, model)
    made.head += f"budget: {{{budget}}}\n" if budget else ""
    made.workflow(more=LIMIT)
    for each in made.rows:
        each["text"] = f"{seed}: {each['text']}"
    made.project.write("rows.jsonl", "".join(f"{json.dumps(each)}\n" for each in made.rows))
    made.project.write("schema.json", json.dumps(made.schema))
    return made


def billed(server: ModelServer) -> float:
    """The dollars that the server has charged since it began: also for answers that it could not deliver whole."""
    counts = server.counts()
    return float(counts["input_tokens"] * INPUT + counts["output_tokens"] * OUTPUT) / 1e6


def journal(project: Project, query: str) -> tuple[Any, ...]:
    """The one row that a query of the journal gives."""
    with closing(sqlite3.connect(project.folder / ".penstock" / "journal.db")) as connection:
        found = connection.execute(query).fetchone()
    assert isinstance(found, tuple)
    return found


def unended(project: Project) -> int:
    """How many calls of the journal have no end."""
    return int(journal(project, "SELECT count(*) FROM calls WHERE call_no NOT IN (SELECT call_no FROM call_ends)")[0])


def charged(project: Project) -> float:
    """The dollars that the journal holds against the cap: what is known, and what may have been billed besides."""
    query = "SELECT coalesce(sum(cost_micros), 0), coalesce(sum(exposed_micros), 0) FROM call_ends WHERE cached = 0"
    spent, exposed = journal(project, query)
    return float(spent + exposed) / 1e6


def accounts(project: Project, step: str = "ask") -> dict[str, Any]:
    """The step's accounting, as `status --json` has it."""
    steps: Any = project.penstock("status", "--json").value["steps"]
    found: dict[str, Any] = steps[step]
    return found


# --- a dollar ----------------------------------------------------------------------------------


def trouble(seed: int) -> Script:
    """A server with failures, bad answers and a latency of the seed's own."""
    chance = random.Random(seed)
    return Script(
        answer=ANSWER,
        latency_ms=chance.uniform(1, 40),
        invalid=chance.uniform(0, 0.1),
        truncated=chance.uniform(0, 0.04),
        refused=chance.uniform(0, 0.02),
        rate_limited=chance.uniform(0, 0.1),
        server_error=chance.uniform(0, 0.04),
        cut=chance.uniform(0, 0.04),
        empty=chance.uniform(0, 0.01),
        retry_after="0.05",
    )


@dataclass(frozen=True, slots=True)
class Seeded:
    """What came of one seed's run: its exit status, and the dollars that the server billed and the journal holds."""

    seed: int
    status: int
    billed: float
    charged: float
    unended: int
    counts: dict[str, Any]
    told: dict[str, Any]


def seeded(folder: Path, seed: int) -> Seeded:
    """A run with a dollar, against a server in trouble."""
    with ModelServer(trouble(seed)) as server:
        asked = asking(folder / str(seed), server, "cost_usd: 1", seed=seed)
        status = asked.project.penstock("run", "--quiet").status
        dollars, counts = billed(server), server.counts()
    project = asked.project
    return Seeded(seed, status, dollars, charged(project), unended(project), counts, accounts(project))


def test_a_dollar_is_never_crossed_and_nearly_all_of_it_is_used(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(partial(seeded, tmp_path), range(20)))
    for run in runs:
        print(f"seed {run.seed}: ${run.billed:.6f} for {run.counts['requests']} requests, {run.counts['kinds']}")
        assert run.status == 4, run
        assert 0.90 < run.billed <= run.charged <= 1, run
        assert run.unended == 0, run
        assert run.counts["max_in_flight"] > 16, run
        assert 70 <= run.told["accepted"] < ROWS, run
    assert {kind for run in runs for kind in run.counts["kinds"]} == {"good", *KINDS}


# --- the other caps ----------------------------------------------------------------------------


def test_no_call_is_sent_beyond_a_cap_on_calls(server: ModelServer, tmp_path: Path) -> None:
    asked = asking(tmp_path, server, "calls: 25")
    said = asked.project.penstock("run")
    assert said.status == 4
    assert server.counts()["requests"] == 25
    assert "budget: 25 calls for the run; 25 spent, nothing in flight; this would be one more" in said.err
    assert accounts(asked.project)["accepted"] == 25


def test_a_cap_on_tokens_holds_at_the_server(server: ModelServer, tmp_path: Path) -> None:
    asked = asking(tmp_path, server, "tokens: 10000")
    assert asked.project.penstock("run").status == 4
    counts = server.counts()
    assert 8000 < counts["input_tokens"] + counts["output_tokens"] <= 10_000


def test_a_cap_on_seconds_ends_a_run_that_would_take_longer(tmp_path: Path) -> None:
    with ModelServer(Script(answer=ANSWER, latency_ms=300)) as server:
        asked = asking(tmp_path, server, "seconds: 1")
        asked.workflow("concurrency: 2", LIMIT)
        said = asked.project.penstock("run")
        assert (said.status, server.counts()["requests"] < ROWS) == (4, True)
        assert "budget: 1 s for the run" in said.err
        sent = server.counts()["requests"]
        assert asked.project.penstock("resume").status == 4
        assert server.counts()["requests"] == sent
    assert unended(asked.project) == 0


def test_the_cap_of_a_step_leaves_the_other_steps_alone(server: ModelServer, tmp_path: Path) -> None:
    asked = asking(tmp_path, server, "", rows=40)
    below = "  - id: other\n    foreach: rows.jsonl\n    generate: {model: house, prompt: 'Of {{ item.id }}'}\n"
    asked.workflow("concurrency: 4\n    budget: {calls: 10, when_exceeded: stop}", LIMIT, below)
    assert asked.project.penstock("run").status == 1
    assert server.counts()["requests"] == 50
    assert accounts(asked.project, "other")["accepted"] == 40
    assert accounts(asked.project)["accepted"] == 10


def test_each_budget_that_is_used_up_is_told_of(server: ModelServer, tmp_path: Path) -> None:
    asked = asking(tmp_path, server, "", rows=60)
    caps = "{calls: 20, notify: touch told_b}"
    below = (
        f"  - id: b\n    foreach: rows.jsonl\n    concurrency: 2\n    budget: {caps}\n"
        "    generate: {model: house, prompt: 'B {{ item.id }}'}\n"
    )
    first = "concurrency: 2\n    budget: {calls: 5, when_exceeded: stop, notify: touch told_a}"
    asked.workflow(first, LIMIT, below)
    said = asked.project.penstock("run")
    assert said.status == 4
    assert "--budget ask.calls=… --failed" in said.err
    assert "--budget b.calls=…" in said.err
    assert (tmp_path / "told_a").exists()
    assert (tmp_path / "told_b").exists()


def test_the_smaller_of_the_caps_of_a_run_and_its_step_holds(server: ModelServer, tmp_path: Path) -> None:
    asked = asking(tmp_path, server, "calls: 30", rows=40)
    asked.workflow("concurrency: 8\n    budget: {calls: 12}", LIMIT)
    assert asked.project.penstock("run").status == 4
    assert server.counts()["requests"] == 12
    assert asked.project.penstock("resume", "--budget", "ask.calls=100").status == 4
    assert server.counts()["requests"] == 30


def test_the_calls_of_a_judge_count(tmp_path: Path) -> None:
    with ModelServer(Script(answer={"score": "$number", "failures": []}, latency_ms=5)) as server:
        asked = asking(tmp_path, server, "calls: 21")
        asked.project.write("schema.json", '{"type": "object"}')
        asked.workflow("concurrency: 1", f"{LIMIT}      judge: {{model: house, rubric: Is it so?, pass: score >= 0}}\n")
        assert asked.project.penstock("run").status == 4
        assert server.counts()["requests"] == 21
    purposes = journal(asked.project, "SELECT sum(purpose = 'answer'), sum(purpose = 'judge') FROM calls")
    assert purposes == (11, 10)


def test_a_simulated_model_costs_nothing_however_small_the_budget(server: ModelServer, tmp_path: Path) -> None:
    asked = asking(tmp_path, server, "cost_usd: 0.000001", rows=20)
    asked.head = "models: {house: {model: sim/house}}\nbudget: {cost_usd: 0.000001}\n"
    asked.workflow()
    assert asked.project.succeeds("run", "--json").value["cost"] == 0


# --- what follows ------------------------------------------------------------------------------


def test_a_run_that_is_to_stop_fails_and_each_row_says_why(tmp_path: Path) -> None:
    with ModelServer(Script(answer=ANSWER, latency_ms=20)) as server:
        asked = asking(tmp_path, server, "calls: 25, when_exceeded: stop")
        said = asked.project.penstock("run")
        assert server.counts()["requests"] == 25
    assert said.status == 1
    told = accounts(asked.project)
    assert (told["status"], told["accepted"], told["total"]) == ("failed", 25, ROWS)
    assert told["accepted"] + told["rejected"] + told["failed"] + told["skipped"] == ROWS
    assert told["skipped"] > 0
    assert "budget: 25 calls for the run" in told["reason"]
    unaccepted = [each for each in asked.items() if each["verdict"] != "accepted"]
    assert len(unaccepted) == ROWS - 25
    assert all("budget: 25 calls for the run" in each["reason"] for each in unaccepted)
    assert asked.project.penstock("resume").status == 2
    assert unended(asked.project) == 0


def test_the_rows_of_a_stopped_run_are_bought_when_its_failures_are_done_again(
    server: ModelServer, tmp_path: Path
) -> None:
    project = asking(tmp_path, server, "calls: 25, when_exceeded: stop").project
    assert project.penstock("run").status == 1
    assert project.penstock("resume", "--failed").status == 1
    assert server.counts()["requests"] == 25
    assert project.penstock("resume", "--failed", "--budget", "calls=1000").status == 0
    assert server.counts()["requests"] == ROWS
    assert accounts(project)["accepted"] == ROWS


@pytest.mark.parametrize(("way", "status"), [("pause", 4), ("stop", 1)])
def test_the_command_that_is_to_be_told_hears_why(way: str, status: int, server: ModelServer, tmp_path: Path) -> None:
    command = 'echo "$PENSTOCK_RUN_ID $PENSTOCK_REASON" > told'
    asked = asking(tmp_path, server, f"calls: 5, when_exceeded: {way}, notify: '{command}'", rows=20)
    assert asked.project.penstock("run").status == status
    told = asked.project.read("told")
    assert told.startswith(f"{asked.project.run_folder().name} budget: 5 calls for the run; 5 spent")


def test_a_command_that_cannot_tell_is_told_of(server: ModelServer, tmp_path: Path) -> None:
    asked = asking(tmp_path, server, "calls: 5, notify: 'echo no such room >&2; exit 3'", rows=20)
    said = asked.project.penstock("run")
    assert said.status == 4
    assert "the budget's `notify` ended with status 3: no such room" in said.err


# --- later lives of a run ----------------------------------------------------------------------


def test_a_paused_run_waits_until_its_budget_is_larger_and_buys_no_row_twice(
    server: ModelServer, tmp_path: Path
) -> None:
    project = asking(tmp_path, server, "cost_usd: 1").project
    said = project.penstock("run")
    assert said.status == 4
    assert "--budget cost_usd=" in said.err
    sent = server.counts()["requests"]
    assert 90 < sent < 110
    assert project.penstock("resume").status == 4
    assert project.penstock("resume", "--budget", "cost_usd=0.5").status == 4
    assert server.counts()["requests"] == sent

    assert project.penstock("resume", "--budget", "cost_usd=1.5").status == 4
    assert 1.4 < billed(server) <= 1.5
    assert project.penstock("resume").status == 4
    assert project.penstock("resume", "--budget", "cost_usd=10").status == 0
    counts = server.counts()
    assert (counts["requests"], counts["distinct"]) == (ROWS, ROWS)
    assert accounts(project)["accepted"] == ROWS
    assert len(project.records("ask")) == ROWS


def test_the_seconds_of_a_step_count_on_in_a_later_life(tmp_path: Path) -> None:
    with ModelServer(Script(answer=ANSWER, latency_ms=300)) as server:
        asked = asking(tmp_path, server, "")
        asked.workflow("concurrency: 2\n    budget: {seconds: 1}", LIMIT)
        said = asked.project.penstock("run")
        assert (said.status, server.counts()["requests"] < ROWS) == (4, True)
        assert "budget: 1 s for step ask" in said.err
        sent = server.counts()["requests"]
        assert asked.project.penstock("resume").status == 4
        assert server.counts()["requests"] == sent
        assert asked.project.penstock("resume", "--budget", "ask.seconds=1.5").status == 4
        assert sent <= server.counts()["requests"] < ROWS


def killed(project: Project, server: ModelServer, command: str, after: int) -> None:
    """The command has been killed as soon as the server has had so many requests."""
    with project.running(command, "--quiet") as process:
        until(lambda: bool(server.counts()["requests"] >= after), process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)


def test_what_was_spent_before_a_kill_counts_after_it(tmp_path: Path) -> None:
    with ModelServer(Script(answer=ANSWER, latency_ms=100)) as server:
        asked = asking(tmp_path, server, "cost_usd: 1")
        asked.workflow("concurrency: 16", LIMIT)
        killed(asked.project, server, "run", 20)
        killed(asked.project, server, "resume", 50)
        said = asked.project.penstock("resume")
        dollars = billed(server)
    assert said.status == 4
    lost = journal(asked.project, "SELECT count(*), sum(exposed_micros) FROM call_ends WHERE kind = 'lost'")
    assert lost[0] > 0
    assert dollars <= charged(asked.project) <= 1
    assert dollars + lost[1] / 1e6 > 0.97  # nothing but the lost calls' worst case is held back
    assert unended(asked.project) == 0


# --- what cannot be held -----------------------------------------------------------------------


def refused(project: Project, server: ModelServer) -> Said:
    """What is said of a run that is refused before its first call."""
    said = project.penstock("run")
    assert said.status not in (0, 4), said
    assert server.counts()["requests"] == 0
    return said


def test_a_model_without_a_price_is_refused_before_the_first_call(server: ModelServer, tmp_path: Path) -> None:
    said = refused(asking(tmp_path, server, "cost_usd: 1", model="").project, server)
    assert "cost_usd cannot be held, as the price of house is not known" in said.err
    assert "add `price: {input: …, output: …}` to the model under `models`" in said.err


@pytest.mark.parametrize("budget", ["cost_usd: 1", "tokens: 10000"])
def test_a_model_whose_answers_nothing_limits_is_refused_before_the_first_call(
    budget: str, server: ModelServer, tmp_path: Path
) -> None:
    asked = asking(tmp_path, server, budget)
    asked.workflow()
    said = refused(asked.project, server)
    assert "nothing limits how much house may write" in said.err
    assert "set `max_tokens` under the step's `params`, or for the model under `models`" in said.err


def test_a_judge_without_a_price_is_refused_too(server: ModelServer, tmp_path: Path) -> None:
    asked = asking(tmp_path, server, "cost_usd: 1")
    asked.head = asked.head.replace("}}\nbudget", f"}}, dear: {{model: openai/d, base_url: {server.url}/v1}}}}\nbudget")
    asked.workflow(more=f"{LIMIT}      judge: {{model: dear, rubric: Is it so?, pass: score >= 0}}\n")
    assert "the price of dear is not known" in refused(asked.project, server).err


def test_calls_alone_need_neither_a_price_nor_a_limit(server: ModelServer, tmp_path: Path) -> None:
    asked = asking(tmp_path, server, "calls: 5", model="")
    asked.workflow()
    assert asked.project.penstock("run").status == 4
    assert server.counts()["requests"] == 5
