"""The bill of steps with rules, what a plan says of a person and of a sample, and how routes are printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.wrapping import columns
from penstock.core.errors import OperatorError
from penstock.core.views import Action
from penstock.load.forced import FORCE_MODEL
from tests.model_server import ModelServer, Script
from tests.planned_routes import ANSWER, BY_RULES, FIX, ROUTED, Routed, calls


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(Script(answer=ANSWER)) as running:
        yield running


@pytest.fixture
def routed(tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Routed:
    monkeypatch.delenv(FORCE_MODEL, raising=False)
    return Routed(tmp_path, server)


# --- the range ---------------------------------------------------------------------------------

DOUBTING = ("      route:", "      accept_when: output.sure > 0.9\n      route:")


@pytest.mark.parametrize(
    ("script", "steps"),
    [
        (Script(answer=ANSWER), (ROUTED.replace(*DOUBTING),)),
        (Script(invalid=1), (ROUTED.replace(*DOUBTING),)),
        (Script(answer=ANSWER, truncated=0.3, invalid=0.3, refused=0.2), (ROUTED, FIX)),
        (Script(answer=ANSWER, refused=0.4), (BY_RULES, ROUTED.replace("rows.jsonl", "steps.triage.legal"))),
    ],
)
def test_the_range_holds_the_cost_of_routed_steps(script: Script, steps: tuple[str, ...], tmp_path: Path) -> None:
    with ModelServer(script) as server:
        routed = Routed(tmp_path, server)
        routed.steps(*steps)
        plan, view = routed.plan(), routed.run()
        assert server.counts()["requests"] > 0
    for step in view.steps:
        estimate, spent = plan[step.id].estimate, step.spent
        if estimate is None or spent is None:
            continue
        assert estimate.low_micros is not None
        assert estimate.high_micros is not None
        assert estimate.low_micros <= spent.micros <= estimate.high_micros, step.id


def test_where_a_model_is_forced_only_that_is_billed(routed: Routed, monkeypatch: pytest.MonkeyPatch) -> None:
    routed.steps(ROUTED)
    text = routed.project.read("workflow.yaml")
    monkeypatch.setenv(FORCE_MODEL, "strict")
    found = routed.routes("ask")
    assert {rule.goes for rule in found.rules} == {"strict"}
    assert routed.plan()["ask"].reason == "every row of rows.jsonl; by 4 rules, strict (forced)"
    to_buy = routed.to_buy()
    assert routed.sent() == to_buy == 9
    assert {call["model"] for call in calls(routed)} == {"strict"}
    assert routed.to_buy() == 0
    monkeypatch.delenv(FORCE_MODEL)
    estimate = routed.plan()["ask"].estimate
    assert estimate is not None
    assert (estimate.to_buy, estimate.notes) == (9, ("model forced: strict → none",))
    assert routed.project.read("workflow.yaml") == text


def test_a_forced_model_without_a_price_is_refused_where_dollars_are_capped(
    routed: Routed, monkeypatch: pytest.MonkeyPatch
) -> None:
    routed.steps(ROUTED)
    text = routed.project.read("workflow.yaml").replace("name: Test", "name: Test\nbudget: {cost_usd: 100000}")
    lines = [line.partition(", price")[0] + "}" if "  strict:" in line else line for line in text.splitlines()]
    routed.project.write("workflow.yaml", "\n".join(lines))
    assert routed.run().state == "succeeded"
    monkeypatch.setenv(FORCE_MODEL, "strict")
    with pytest.raises(OperatorError, match="strict"):
        routed.run()
    assert routed.server.counts()["requests"] == 0


def test_a_plan_says_which_rules_changed_since_the_last_run(routed: Routed) -> None:
    routed.steps(ROUTED)
    routed.run()
    routed.steps(ROUTED.replace("{model: small}", "{model: large}").replace("'High ", "'Very high "))
    estimate = routed.plan()["ask"].estimate
    assert estimate is not None
    assert (estimate.to_buy, estimate.notes) == (7, ("rule 1: prompt changed", "rule 4: model small → large"))
    assert routed.sent() == 7


# --- approvals and samples ---------------------------------------------------------------------

GATED = """\
  - id: sign
    needs: [ask]
    approve: {message: "Apply {{outputs.ask.accepted}} changes?"}
  - id: apply
    needs: [sign]
    run: echo applied
"""


def test_a_plan_stops_at_a_person_and_what_follows_may_run(routed: Routed) -> None:
    routed.steps(ROUTED, GATED)
    plan = routed.plan()
    assert (plan["sign"].action, plan["sign"].reason) == (
        Action.WAIT,
        "a person is asked: Apply {{outputs.ask.accepted}} changes?",
    )
    assert (plan["apply"].action, plan["apply"].reason) == (Action.MAYBE, "only if sign is approved")


def test_an_approval_that_may_not_be_asked_for_is_no_wait_yet(routed: Routed) -> None:
    routed.steps(ROUTED, GATED.replace("    approve:", "    when: outputs.ask.accepted > 3\n    approve:"))
    plan = routed.plan()
    assert plan["sign"].action is Action.MAYBE
    assert plan["sign"].reason.startswith("when: outputs.ask.accepted > 3: a person is asked: ")


def test_a_plan_says_what_is_sampled_first_and_what_the_rest_waits_for(routed: Routed) -> None:
    routed.steps(ROUTED, GATED)
    sample = "sample: {size: 4, seed: 7, confidence: 0.95, require: outputs.ask.accept_rate >= 0.9}\n"
    text = routed.project.read("workflow.yaml").replace("steps:\n", f"{sample}steps:\n", 1)
    routed.project.write("workflow.yaml", text)
    (note,) = routed.made().notes
    assert note == (
        "sample: first 4 rows of rows.jsonl, drawn with seed 7, go through ask; the whole run follows only if "
        "outputs.ask.accept_rate >= 0.9 at a confidence of 0.95. What is told of each step is the whole run"
    )
    said = routed.project.succeeds("plan")
    assert "  note   sample: first 4 rows of rows.jsonl" in said.out
    assert routed.project.succeeds("plan", "--json").value["notes"] == [note]


# --- what is printed ---------------------------------------------------------------------------


def test_routes_are_printed_in_lines_that_fit_a_terminal_and_move_no_cursor(routed: Routed) -> None:
    routed.rows(
        [
            {"n": 1, "risk": "high", "text": "\u001b[31m서연은 오늘 " * 9},
            {"n": 7, "risk": "a\u202eb\u0007"},
            {"n": 2, "risk": ""},
        ]
    )
    routed.steps(BY_RULES.replace("item.n > 99", "item.n > 99 and item.risk != 'a very long word' and item.n < 10000"))
    said = routed.project.succeeds("plan", "--routes")
    assert all(columns(line) <= 80 for line in said.out.splitlines())
    assert not any(sign in said.out for sign in "\u001b\u0007\u202e")
    assert said.out.partition("\n\n")[2] == EXPECTED


EXPECTED = """\
  routes of triage
      1  when item.risk == 'high'
          1 item to legal, stay here
            511116d02a51c426  {"n": 1, "risk": "high", "text": "\\u001b[31m서연…
      2  when item.n > 6
          1 item to sales
            33b01ebb32e63a77  {"n": 7, "risk": "ab\\u0007"}
      3  when item.n > 99 and item.risk != 'a very long word' and item.n < 10000
          no items to top
      4  all that come to it
          1 item to other
            3eda40d26c03c4d4  {"n": 2, "risk": ""}
    no row reaches rule 3

"""


def test_routes_are_told_as_json(routed: Routed) -> None:
    routed.steps(BY_RULES, ROUTED.replace("rows.jsonl", "steps.triage.other"))
    told: Any = routed.project.succeeds("plan", "--json", "--routes").value["steps"]
    assert [rule["items"] for rule in told["triage"]["routes"]["rules"]] == [3, 2, 0, 4]
    assert told["triage"]["routes"]["unreached"] == [3]
    first = told["triage"]["routes"]["rules"][0]
    assert {name: first[name] for name in ("rule", "when", "goes", "local", "most")} == {
        "rule": 1,
        "when": "item.risk == 'high'",
        "goes": "legal",
        "local": True,
        "most": 3,
    }
    assert "to_buy" not in first
    last = told["ask"]["routes"]["rules"][3]
    assert (last["to_buy"], last["items"]) == (4, 4)
    assert 0 < last["cost_low"] < last["cost_high"]
    assert "routes" not in routed.project.succeeds("plan", "--json").value["steps"]["ask"]  # type: ignore[index]  # JSON


def test_a_secret_in_a_row_is_not_shown_among_the_examples(routed: Routed) -> None:
    routed.project.write(".env", "HOUSE_KEY=correct horse battery\n")
    routed.rows([{"n": 1, "risk": "correct horse battery"}])
    routed.steps(ROUTED)
    text = routed.project.read("workflow.yaml").replace("models:", "secrets: [HOUSE_KEY]\nmodels:", 1)
    routed.project.write("workflow.yaml", text)
    assert routed.counts("ask") == [(0, 0), (0, 0), (0, 0), (1, 1)]
    assert "horse" not in routed.project.succeeds("plan", "--routes").out
