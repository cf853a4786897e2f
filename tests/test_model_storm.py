"""A server that refuses everybody for some seconds: no row is lost, and next to nothing is sent in vain."""

from __future__ import annotations

from pathlib import Path

from tests.model_asking import ANSWER, Asking, tally_of
from tests.model_server import ModelServer, Script

ROWS = 900
AT_ONCE = 64


def test_a_storm_of_refusals_loses_no_row_and_wastes_next_to_no_request_after_the_first_window(tmp_path: Path) -> None:
    script = Script(answer=ANSWER, latency_ms=20, storm_s=3, storm_after=300, retry_after="1")
    with ModelServer(script) as server:
        asking = Asking(tmp_path, server.url, ROWS)
        view = asking.run()
        counts = server.counts()
    refused = counts["kinds"]["rate_limited"]
    print(f"{refused} of {counts['requests']} refused")
    assert tally_of(view, "ask").accepted == ROWS
    assert (counts["distinct"], counts["kinds"]["good"]) == (ROWS, ROWS)
    assert 3 <= refused <= AT_ONCE + 0.03 * counts["requests"]
    assert counts["most_repeated"] <= 5  # a request that is a probe each time
    told = [note for note in asking.notes if "nobody sends meanwhile, then one probe goes first" in note]
    assert told == ["openai/house-1: 429, Retry-After 1 s; nobody sends meanwhile, then one probe goes first"]
    assert "openai/house-1 takes requests again: its probe came through" in asking.notes


def test_a_storm_at_the_first_request_is_waited_out(tmp_path: Path) -> None:
    with ModelServer(Script(answer=ANSWER, latency_ms=20, storm_s=1.5, retry_after="1")) as server:
        asking = Asking(tmp_path, server.url, 200)
        assert tally_of(asking.run(), "ask").accepted == 200
        counts = server.counts()
    assert counts["kinds"]["good"] == 200
    assert counts["kinds"]["rate_limited"] <= AT_ONCE + 0.03 * counts["requests"]


def test_a_wait_longer_than_a_model_may_take_goes_to_the_next_model(tmp_path: Path) -> None:
    refusing = Script(answer=ANSWER, rate_limited=1, retry_after="600")
    with ModelServer(refusing) as busy, ModelServer(Script(answer=ANSWER, latency_ms=5)) as free:
        other = f", max_wait: 2s}}, other: {{model: openai/o, base_url: {free.url}/v1"
        asking = Asking(tmp_path, busy.url, 300, model=other)
        text = asking.project.read("workflow.yaml")
        asking.project.write("workflow.yaml", text.replace("model: house\n", "model: [house, other]\n"))
        view = asking.run()
        sent, served = busy.counts()["requests"], free.counts()
    assert tally_of(view, "ask").accepted == 300
    assert (served["requests"], served["distinct"]) == (300, 300)
    assert 1 <= sent <= AT_ONCE
    assert {each["model"] for each in asking.items()} == {"other"}


def test_a_step_without_a_number_adapts_to_a_server_that_bears_more(tmp_path: Path) -> None:
    with ModelServer(Script(answer=ANSWER, latency_ms=30)) as server:
        asking = Asking(tmp_path, server.url, 800)
        asking.workflow("idempotent: true")
        assert tally_of(asking.run(), "ask").accepted == 800
        counts = server.counts()
    print(f"at most {counts['max_in_flight']} in flight")
    assert 20 < counts["max_in_flight"] <= AT_ONCE


def test_a_step_without_a_number_stays_below_what_its_model_allows(tmp_path: Path) -> None:
    with ModelServer(Script(answer=ANSWER, latency_ms=10)) as server:
        asking = Asking(tmp_path, server.url, 200, model=", concurrency: 18")
        asking.workflow("idempotent: true")
        assert tally_of(asking.run(), "ask").accepted == 200
        assert 16 <= server.counts()["max_in_flight"] <= 18
