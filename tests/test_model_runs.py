"""Whole runs against a model server that counts: what is sent, what is not, and what it costs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.model_asking import ANSWER, SCHEMA, Asking, row, tally_of
from tests.model_server import ModelServer, Script
from tests.terminal import Project


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(Script(answer=ANSWER)) as running:
        yield running


# --- what is sent ------------------------------------------------------------------------------


def test_a_changed_prompt_model_or_parameter_is_another_question(server: ModelServer, tmp_path: Path) -> None:
    asking = Asking(tmp_path, server.url, count=10)
    asking.run()
    asking.workflow(more="      params: {temperature: 0.5}\n")
    assert asking.sent(server) == 10
    asking.workflow(more="      system: Be brief.\n")
    assert asking.sent(server) == 10
    asking.head = asking.head.replace("house-1", "house-2")
    asking.workflow()
    assert asking.sent(server) == 10


def test_what_is_no_part_of_the_question_sends_nothing(server: ModelServer, tmp_path: Path) -> None:
    asking = Asking(tmp_path, server.url, count=10)
    assert asking.sent(server) == 10
    for step, more in (
        ("retry: {rate_limit: 2, server: 1}", ""),
        ("max_failures: 3", "      checks: [output.score >= 0]\n"),
    ):
        asking.workflow(step, more)
        assert asking.sent(server) == 0, (step, more)


def test_equal_prompts_in_flight_at_once_are_sent_once(tmp_path: Path) -> None:
    with ModelServer(Script(answer=ANSWER, latency_ms=200)) as server:
        asking = Asking(tmp_path, server.url, count=0)
        asking.rows = [{"id": number, "text": f"one of {number % 3}"} for number in range(60)]
        assert asking.sent(server) == 3
    assert len({json.dumps(record) for record in asking.records()}) == 3
    assert sum(not call["cached"] for call in asking.calls()) == 3
    assert len(asking.calls()) == 60


def test_a_server_in_trouble_loses_no_row_and_the_model_hears_nothing_of_it(tmp_path: Path) -> None:
    script = Script(answer=ANSWER, rate_limited=0.06, server_error=0.06, cut=0.04, empty=0.04, retry_after="0.1")
    with ModelServer(script) as server:
        asking = Asking(tmp_path, server.url, count=100)
        assert tally_of(asking.run(), "ask").accepted == 100
        counts = server.counts()
    assert counts["distinct"] == 100
    assert set(counts["kinds"]) >= {"rate_limited", "server_error", "cut", "empty"}
    assert len(asking.calls()) == counts["requests"] > 100
    assert {call["error"] for call in asking.calls()} >= {None, "rate_limit", "server", "connection"}
    assert max(call["wait_ms"] for call in asking.calls()) > 50


def test_an_answer_that_does_not_come_in_time_fails_its_row_and_what_it_cost_is_not_known(tmp_path: Path) -> None:
    with ModelServer(Script(answer=ANSWER, latency_ms=3000)) as server:
        asking = Asking(tmp_path, server.url, count=2, model=", price: {input: 1, output: 2}")
        asking.workflow("timeout: 200ms", "", "    retry: {timeout: 2}\n")
        view = asking.run()
    assert (view.state, tally_of(view, "ask").failed, len(asking.calls())) == ("failed", 2, 4)
    assert {each["reason"] for each in asking.items()} == {
        f"house: the model could not be reached: no whole answer from {server.url[7:]} within 0.2 s"
    }
    assert {(call["error"], call["cost"], call["cost_status"]) for call in asking.calls()} == {
        ("timeout", None, "unknown")
    }


# --- the cache ---------------------------------------------------------------------------------


def test_two_processes_on_one_cache_folder_do_no_harm(tmp_path: Path) -> None:
    with ModelServer(Script(answer=ANSWER, latency_ms=20)) as server:
        shared = tmp_path / "shared"
        shared.mkdir()
        askings = [Asking(tmp_path / name, server.url, count=150) for name in ("one", "two", "three")]
        for asking in askings:
            (asking.project.folder / ".penstock").mkdir()
            (asking.project.folder / ".penstock" / "cache").symlink_to(shared)
            asking.project.write("rows.jsonl", "".join(f"{json.dumps(each)}\n" for each in asking.rows))
            asking.project.write("schema.json", json.dumps(SCHEMA))
        first, second, third = askings
        with first.project.running("run", "--quiet") as one, second.project.running("run", "--quiet") as two:
            assert (one.wait(60), two.wait(60)) == (0, 0)
        assert 150 <= server.counts()["requests"] <= 300
        assert third.sent(server) == 0
    assert first.records() == second.records() == third.records()
    assert len(third.cached()) == 150
    assert [path for path in shared.rglob("*") if path.suffix == ".tmp"] == []


def test_a_corrupt_cache_file_is_put_aside_and_said_and_the_journal_answers(
    server: ModelServer, tmp_path: Path
) -> None:
    asking = Asking(tmp_path, server.url, count=10)
    asking.run()
    records, (spoilt, *_) = asking.records(), asking.cached()
    spoilt.write_bytes(spoilt.read_bytes().replace(b"ticket", b"TICKET"))
    server.reset()
    asking.run()
    assert server.counts()["requests"] == 0
    assert asking.records() == records
    (note,) = asking.notes
    assert f"{spoilt.name} is not used, its checksum is wrong: it is {tmp_path}" in note
    aside = tmp_path / ".penstock/cache/corrupt" / spoilt.name
    assert b"TICKET" in aside.read_bytes()


def test_without_the_journals_copy_a_corrupt_file_is_asked_for_again(server: ModelServer, tmp_path: Path) -> None:
    asking = Asking(tmp_path / "here", server.url, count=10)
    asking.run()
    records, (spoilt, *_) = asking.records(), asking.cached()
    spoilt.write_bytes(spoilt.read_bytes()[:-40])
    other = Asking(tmp_path / "there", server.url, count=10)
    shutil.copytree(tmp_path / "here/.penstock/cache", tmp_path / "there/.penstock/cache")
    assert other.sent(server) == 1
    assert other.records() == records
    assert len(other.cached()) == 10


def test_the_cache_mode_of_the_command_line_holds_for_every_step(server: ModelServer, tmp_path: Path) -> None:
    asking = Asking(tmp_path, server.url, count=10)
    assert asking.sent(server, "off") == 10
    assert asking.cached() == []
    assert asking.sent(server, "off") == 10
    assert asking.sent(server, "refresh") == 10
    assert len(asking.cached()) == 10
    assert asking.sent(server, "only") == 0
    assert asking.sent(server, "use") == 0
    asking.workflow(more="      cache: refresh\n")
    assert asking.sent(server) == 10
    assert asking.sent(server, "use") == 0


def test_cache_only_fails_the_rows_that_were_never_bought_and_sends_nothing(
    server: ModelServer, tmp_path: Path
) -> None:
    asking = Asking(tmp_path, server.url, count=10)
    asking.run()
    asking.rows.append(row(1000))
    server.reset()
    view = asking.run("only")
    assert (view.state, server.counts()["requests"]) == ("failed", 0)
    assert (tally_of(view, "ask").accepted, tally_of(view, "ask").failed) == (10, 1)
    (failed,) = [each for each in asking.items() if each["verdict"] == "failed"]
    assert failed["reason"].endswith("its answer is not in the cache, and `cache: only` buys none")


# --- the simulator -----------------------------------------------------------------------------


def test_simulate_contacts_no_server_and_every_line_says_sim(server: ModelServer, tmp_path: Path) -> None:
    judge = (
        "  - id: check\n    foreach: steps.ask\n"
        "    verify:\n      judge: {model: other, rubric: 'Is {{ output }} good?', pass: score >= 3}\n"
    )
    asking = Asking(tmp_path, server.url, count=20, model=", api_key: '${NO_SUCH_KEY}'}, other: {model: openai/o-1")
    asking.workflow(below=judge)
    asking.run(simulate=True)
    assert server.counts()["requests"] == 0
    assert {call["provider"] for call in asking.calls()} == {"sim"}
    assert {call["served"] for call in asking.calls()} == {"sim/house-1", "sim/o-1"}
    assert len(asking.items()) == 20
    assert {each["model"] for each in asking.items()} == {"sim/house-1"}
    assert {each["model"] for each in asking.items("check")} == {"sim/o-1"}


# --- money -------------------------------------------------------------------------------------

PYTHON = """
import json
def answer(request):
    good = "again" in json.dumps(request["messages"]) or "7" not in request["messages"][-1]["content"]
    return {"text": '{"ok": true}' if good else "no", "usage": {"input_tokens": 1001, "output_tokens": 100}}
"""
PRICED = (
    "models: {mine: {model: python/mine:answer, price: {input: 0.15, output: 0.6}}}\n"
    "steps:\n  - id: ask\n    foreach: [1, 2, 3, 4, 7]\n"
    "    generate: {model: mine, prompt: 'Of {{ item }}', schema: {type: object}}\n"
)


def test_a_run_costs_what_its_calls_cost_failed_attempts_included(tmp_path: Path) -> None:
    """Six calls of 1,001 and 100 tokens at $0.15 and $0.60 a million: 150.15 + 60 = 211 micro-dollars each."""
    project = Project(tmp_path)
    project.write("mine.py", PYTHON)
    project.workflow(PRICED)
    told = project.succeeds("run", "--json").value
    assert (told["calls"], told["cost"]) == (6, 0.001266)
    costs = [line["cost"] for line in project.log() if line["key"] is not None]
    assert sorted(str(cost) for cost in costs) == ["0.000211"] * 4 + ["0.000422"]
    calls = (project.run_folder() / "calls.jsonl").read_text()
    assert calls.count('"cost":0.000211,"cost_status":"exact"') == 6
    assert "6 model calls, $0.001266" in project.succeeds("run", "--cache", "refresh").out
    assert "0 model calls, $0" in project.succeeds("run").out


def test_an_unknown_price_is_null_everywhere_and_said_in_words(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("mine.py", PYTHON)
    project.workflow(PRICED.replace(", price: {input: 0.15, output: 0.6}", ""))
    told: Any = project.succeeds("run", "--json").value
    assert (told["calls"], told["cost"], told["steps"]["ask"]["cost"]) == (6, None, None)
    assert {line["cost"] for line in project.log()} == {None}
    assert '"cost":null,"cost_status":"unknown"' in (project.run_folder() / "calls.jsonl").read_text()
    said = project.succeeds("run", "--cache", "refresh")
    assert re.search("NOT KNOWN.* 6 calls", said.out)
    assert "no price is known for mine" in said.out


# --- streams -----------------------------------------------------------------------------------


def test_verify_passes_on_what_it_judged_with_its_verdict_beside_it(server: ModelServer, tmp_path: Path) -> None:
    below = (
        "  - id: verify\n    foreach: steps.ask\n    verify: {checks: ['output.score >= 0.5']}\n"
        "  - id: use\n    foreach: steps.verify.accepted\n"
        "    run: 'printf \"[%s,%s,%s]\" {{item}} {{chain.verify}} {{origin.id}}'\n"
        "  - id: look\n    foreach: steps.verify.rejected\n"
        "    run: 'printf \"[%s,%s]\" {{item.score}} {{chain.verify.ok}}'\n"
    )
    asking = Asking(tmp_path, server.url, count=40)
    asking.workflow(below=below)
    view = asking.run()
    answers = asking.records()
    good = [n for n, answer in enumerate(answers) if answer["score"] >= 0.5]
    assert 5 < len(good) < 35
    verify = tally_of(view, "verify")
    assert (view.state, verify.accepted, verify.rejected, verify.failed) == ("succeeded", len(good), 40 - len(good), 0)
    used = asking.records("use")
    assert [(item, number) for item, _, number in used] == [(answers[n], n) for n in good]
    assert all(verdict["ok"] is True and verdict["errors"] == [] for _, verdict, _ in used)
    rest = [answers[n]["score"] for n in range(40) if n not in good]
    assert asking.records("look") == [[score, False] for score in rest]


# --- rows as data ------------------------------------------------------------------------------

AWKWARD = [
    "{{ item.id }} {% raw %} ${HOME}",
    "$(touch pwned) `touch pwned`",
    "\"double\" 'single' \\ \\n",
    "line\nline\r\n\ttab",
    "nul \0 escape \x1b[31m",
    "안녕 🙂",
]


def test_whatever_rows_hold_arrives_at_the_model_and_comes_back(server: ModelServer, tmp_path: Path) -> None:
    asking = Asking(tmp_path, server.url, count=0)
    asking.rows = [row(number, text=text) for number, text in enumerate(AWKWARD)]
    asking.run()
    assert [record["text"] for record in asking.records()] == [f"Answer: {text}" for text in AWKWARD]
    assert not (tmp_path / "pwned").exists()
    assert asking.sent(server) == 0


def test_a_row_with_half_a_character_is_a_failed_row_and_the_others_are_asked_about(
    server: ModelServer, tmp_path: Path
) -> None:
    asking = Asking(tmp_path, server.url, count=0)
    asking.rows = [row(1, text="whole"), row(2, text="half \ud800"), row(3, text="whole again")]
    view = asking.run()
    assert (view.state, server.counts()["requests"]) == ("failed", 2)
    (failed,) = [each for each in asking.items() if each["verdict"] == "failed"]
    assert "lone surrogate" in failed["reason"]


def test_a_run_that_refreshes_what_it_asks_buys_nothing_a_second_time_when_it_goes_on(tmp_path: Path) -> None:
    with ModelServer(Script(answer={"sure": False})) as server:
        project = Project(tmp_path)
        project.workflow(
            f"name: R\nmodels:\n  small: {{model: openai/s, base_url: {server.url}/v1}}\n"
            f"  big: {{model: openai/b, base_url: {server.url}/v1}}\n"
            "budget: {calls: 7}\nsteps:\n  - id: ask\n    foreach: rows.jsonl\n    concurrency: 2\n"
            "    generate: {model: [small, big], prompt: 'Of {{ item.n }}', schema: {type: object}, "
            "accept_when: output.sure}\n"
        )
        project.write("rows.jsonl", "".join(f'{{"n": {n}}}\n' for n in range(6)))
        assert project.penstock("run", "--cache", "refresh").status == 4
        project.succeeds("resume", "--budget", "calls=100")
        assert server.counts()["requests"] == server.counts()["distinct"] == 12
