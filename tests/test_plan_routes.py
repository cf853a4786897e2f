"""The plan of steps with rules: what goes where, and what the next run then sends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.core.views import Action
from penstock.load.forced import FORCE_MODEL
from tests.model_server import ModelServer, Script
from tests.planned_routes import ANSWER, BY_A_MODEL, BY_RULES, FIX, JUDGE, LAWYERS, OTHERS, ROUTED, ROWS, Routed, calls


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(Script(answer=ANSWER)) as running:
        yield running


@pytest.fixture
def routed(tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Routed:
    monkeypatch.delenv(FORCE_MODEL, raising=False)
    return Routed(tmp_path, server)


# --- what the next run sends -------------------------------------------------------------------

VARIETY: dict[str, tuple[str, ...]] = {
    "rules": (ROUTED,),
    "rules, and answers that are not doubted": (
        ROUTED.replace("      route:", "      accept_when: output.sure > 0.5\n      route:"),
    ),
    "rules and a judge": (ROUTED.replace("SCHEMA", JUDGE),),
    "a route step by rules": (BY_RULES, LAWYERS, OTHERS),
    "rules below a route step": (BY_RULES, ROUTED.replace("foreach: rows.jsonl", "foreach: steps.triage.other")),
    "a verify below a route step": (
        BY_RULES,
        "  - id: check\n    foreach: steps.triage.legal\n"
        "    verify: {judge: {model: strict, rubric: 'Is {{ item.n }}?', pass: score >= 0}}\n",
    ),
    "two rules that ask the same": (
        ROUTED.replace(", params: {max_tokens: 20}", "").replace("{{ item.n }}", "it").replace("'High it'", "'Of it'"),
    ),
    "a route step by a model": (BY_A_MODEL, LAWYERS),
    "an else by the row": (
        "  - id: some\n    foreach: rows.jsonl\n    where: item.n > 3\n    else: item\n"
        "    generate: {model: small, prompt: 'Some {{ item.n }}', SCHEMA}\n",
        "  - id: last\n    foreach: steps.some\n    generate: {model: large, prompt: 'Last {{ origin.n }}'}\n",
    ),
    "rules on an answer": (
        ROUTED,
        "  - id: more\n    foreach: steps.ask\n    generate:\n      route:\n"
        "        - {when: item.sure > 0.5, model: small, prompt: 'Sure of {{ origin.n }}'}\n"
        "        - {model: large, prompt: 'Unsure of {{ origin.n }}'}\n",
    ),
}


@pytest.mark.parametrize("steps", VARIETY.values(), ids=VARIETY.keys())
def test_a_plan_counts_the_calls_that_the_next_run_sends_by_rules(steps: tuple[str, ...], tmp_path: Path) -> None:
    answer: dict[str, Any] = ANSWER
    if any("strict" in step for step in steps):
        answer = {"score": 5, "failures": []}
    if any("choices" in step for step in steps):
        answer = {"choice": "legal"}
    with ModelServer(Script(answer=answer)) as server:
        routed = Routed(tmp_path, server)
        routed.steps(*steps)
        to_buy = routed.to_buy()
        assert routed.sent() == to_buy > 0
        assert routed.to_buy() == routed.sent() == 0
        routed.rows([*ROWS, {"n": 50, "risk": "high"}, {"n": 3.5, "risk": "low"}])
        to_buy = routed.to_buy()
        assert routed.sent() == to_buy


@pytest.mark.parametrize("instead", ["item", "chain.ask"])
def test_rows_with_an_else_buy_nothing_and_are_followed_by_their_record(instead: str, routed: Routed) -> None:
    last = "  - id: last\n    foreach: steps.fix\n    generate: {model: strict, prompt: 'Last {{ item.sure }}'}\n"
    routed.steps(ROUTED, FIX.replace("else: item", f"else: {instead}"), last)
    before = routed.plan()
    assert [before[step].estimate.to_buy for step in ("ask", "fix", "last")] == [9, 9, 9]  # type: ignore[union-attr]  # all three ask
    assert [before[step].estimate.at_most for step in ("ask", "fix", "last")] == [False, True, True]  # type: ignore[union-attr]  # all three ask
    assert routed.sent() == 9 + 0 + 1
    assert routed.to_buy() == 0
    after = routed.plan()
    assert (after["ask"].action, after["last"].action) == (Action.REUSE, Action.REUSE)
    assert (after["fix"].items, after["fix"].cached) == (9, 0)
    routed.rows([*ROWS, {"n": 50, "risk": "high"}])
    routed.steps(ROUTED, FIX.replace("else: item", f"else: {instead}"), last.replace("item.sure", "origin.n"))
    assert routed.sent() == 1 + 10
    assert routed.to_buy() == 0


# --- what goes where ---------------------------------------------------------------------------


def test_each_rule_has_its_rows_examples_of_them_and_their_cost(routed: Routed) -> None:
    routed.steps(ROUTED)
    found = routed.routes("ask")
    assert [(rule.when, rule.goes) for rule in found.rules] == [
        ("item.risk == 'high'", "large"),
        ("item.n > 6", "small → large"),
        ("item.n > 99", "small"),
        (None, "small"),
    ]
    assert [rule.matched.items for rule in found.rules] == [3, 2, 0, 4]
    assert [one.text for one in found.rules[1].matched.examples] == [
        '{"n": 7, "risk": "low"}',
        '{"n": 8, "risk": "low"}',
    ]
    assert found.unreached == (3,)
    assert (found.unmatched.most, found.unanswered.most, found.note) == (0, 0, None)
    whole = routed.plan()["ask"].estimate
    assert whole is not None
    parts = [rule.estimate for rule in found.rules if rule.estimate is not None]
    for name in ("to_buy", "low_micros", "high_micros"):
        assert sum(getattr(each, name) for each in parts) == getattr(whole, name), name
    routed.run()
    records = routed.project.records("ask")
    keys = {one.key for rule in found.rules for one in rule.matched.examples}
    assert keys == {record["key"] for record in records}


def test_a_plan_has_ten_examples_of_each_rule_and_no_more(routed: Routed) -> None:
    routed.rows([{"n": number, "risk": "high"} for number in range(500)])
    routed.steps(BY_RULES)
    (high, *others) = routed.routes("triage").rules
    assert (high.matched.items, high.matched.most, len(high.matched.examples)) == (500, 500, 10)
    assert all(rule.matched.most == 0 for rule in others)
    assert high.local


def test_rows_that_no_rule_matches_and_those_without_an_answer_are_told(routed: Routed) -> None:
    routed.rows([{"n": 1}, {"n": 200}, {"m": 3}])
    routed.steps(
        "  - id: triage\n    foreach: rows.jsonl\n"
        "    route: [{when: item.n < 5, to: low}, {when: item.n < 9, to: mid}]\n"
    )
    found = routed.routes("triage")
    assert [rule.matched.items for rule in found.rules] == [1, 0]
    assert [one.text for one in found.unmatched.examples] == ['{"n": 200}']
    assert [one.text for one in found.unanswered.examples] == ['{"m": 3}']


def test_a_rule_that_asks_for_what_only_the_run_knows_may_take_a_row_or_not(routed: Routed) -> None:
    first = "  - id: first\n    run: echo 3\n"
    rules = ROUTED.replace("    foreach:", "    needs: [first]\n    foreach:").replace(
        "item.n > 6", "outputs.first > item.n"
    )
    routed.steps(first, rules)
    assert routed.counts("ask") == [(3, 3), (0, 6), (0, 0), (0, 6)]
    estimate = routed.plan()["ask"].estimate
    assert estimate is not None
    assert (estimate.to_buy, estimate.at_most) == (9, True)
    assert routed.sent() == 9
    spent = routed.project.succeeds("status", "--json").value["cost"]
    assert isinstance(spent, float)
    assert estimate.low_micros is not None
    assert estimate.high_micros is not None
    assert estimate.low_micros <= spent * 1e6 <= estimate.high_micros


def test_rules_on_an_answer_that_is_not_bought_are_known_once_it_is(routed: Routed) -> None:
    routed.steps(*VARIETY["rules on an answer"])
    assert routed.counts("more") == [(0, 9), (0, 9)]
    assert all(one.key is None and one.text for one in routed.routes("more").rules[0].matched.examples)
    routed.run()
    assert routed.counts("more") == [(9, 9), (0, 0)]


def test_rows_that_only_the_run_will_give_may_go_by_every_rule(routed: Routed) -> None:
    made = "  - id: made\n    foreach: rows.jsonl\n    run: cat\n"
    routed.steps(made, BY_RULES.replace("foreach: rows.jsonl", "foreach: steps.made"), LAWYERS)
    found = routed.routes("triage")
    assert [rule.matched.most for rule in found.rules] == [9, 9, 9, 9]
    assert found.note == "which rows there are is not known before the run: made runs a command"
    assert found.unreached == ()
    estimate = routed.plan()["lawyers"].estimate
    assert estimate is not None
    assert estimate.notes[0] == found.note


def test_rows_that_a_rule_above_keeps_here_are_billed_to_whom_they_are_shown(
    tmp_path: Path, server: ModelServer
) -> None:
    routed = Routed(tmp_path, server)
    routed.steps(BY_RULES, LAWYERS.replace("model: small", "model: [large, small]"))
    text = routed.project.read("workflow.yaml").replace("openai/large-1,", "openai/large-1, placement: remote,")
    routed.project.write("workflow.yaml", text)
    decision = routed.plan()["lawyers"]
    assert decision.estimate is not None
    assert decision.estimate.to_buy == routed.sent() == 3
    assert {call["model"] for call in calls(routed)} == {"small"}
    assert routed.to_buy() == 0
