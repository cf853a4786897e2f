"""Where a fixture stands, what a replay passes on, and what a step reads besides its item."""

from __future__ import annotations

import pytest

from penstock.core.errors import Place
from penstock.core.generation import Contract, Generate, Judge, Rule, Template, Verify
from penstock.core.models import Model
from penstock.core.routing import Branch, Route
from penstock.core.views import Replayed, Standing
from penstock.core.work import Verdict
from penstock.core.workflow import Shell, Step
from penstock.rules.replays import is_unrecorded, mentions, passes, standing
from penstock.rules.shell.text import analyse

AT = Place("flow.yaml", 1, 1)
SMALL = Model("small", "sim", "small")


@pytest.mark.parametrize(
    ("regression", "verdict", "has", "stands"),
    [
        (False, Verdict.ACCEPTED, "", Standing.FIXED),
        (False, Verdict.REJECTED, "old", Standing.STILL_FAILING),
        (False, Verdict.FAILED, "new", Standing.CHANGED),
        (True, Verdict.ACCEPTED, "", Standing.GREEN),
        (True, Verdict.REJECTED, "old", Standing.BROKEN),
        (True, Verdict.FAILED, "new", Standing.BROKEN),
        (True, Verdict.SKIPPED, "", Standing.NOT_REPLAYED),
        (False, Verdict.SKIPPED, "", Standing.NOT_REPLAYED),
    ],
)
def test_a_verdict_and_two_signatures_tell_where_a_fixture_stands(
    regression: bool, verdict: Verdict, has: str, stands: Standing
) -> None:
    assert standing(regression, verdict, "old", has) is stands


@pytest.mark.parametrize("stands", list(Standing))
def test_a_regression_passes_only_if_it_is_green_and_a_failure_counts_only_if_strict(stands: Standing) -> None:
    regression = Replayed("a", "00", True, stands, "old")
    failure = Replayed("a", "00", False, stands, "old")
    assert passes([regression], strict=False) is (stands is Standing.GREEN)
    assert passes([failure], strict=False)
    assert passes([failure], strict=True) is (stands is Standing.FIXED)


def test_a_replay_of_nothing_passes() -> None:
    assert passes([], strict=True)


@pytest.mark.parametrize(
    ("offline", "verdict", "kind", "reason", "unrecorded"),
    [
        (True, Verdict.FAILED, "denied", "small: the call was denied: its answer is not in the cache", True),
        (True, Verdict.FAILED, "judge", "the judge gave no verdict: … its answer is not in the cache …", True),
        (True, Verdict.FAILED, "judge", "the judge gave no verdict: … (schema) …", False),
        (True, Verdict.FAILED, "exit", "exit status 1", False),
        (True, Verdict.REJECTED, "check", "no", False),
        (False, Verdict.FAILED, "denied", "small: the call was denied: no such model", False),
    ],
)
def test_an_answer_that_was_never_bought_is_told_from_a_failure(
    offline: bool, verdict: Verdict, kind: str, reason: str, unrecorded: bool
) -> None:
    assert is_unrecorded(offline, verdict, kind, reason) is unrecorded


def test_a_command_mentions_its_placeholders_its_targets_and_its_where() -> None:
    script = analyse("echo {{item.a}} {{outputs.top.n}} > out/{{origin.id}}.json", foreach=True).script
    step = Step("a", Shell(script, ("bash",)), AT, where="chain.b.ok and i > 0")
    assert mentions(step) == {
        ("item", "a"),
        ("outputs", "top", "n"),
        ("origin", "id"),
        ("chain", "b", "ok"),
        ("i",),
    }


def test_a_command_that_reads_its_place_from_the_environment_mentions_it() -> None:
    step = Step("a", Shell(analyse("echo $PENSTOCK_I", foreach=True).script, ("bash",)), AT)
    assert mentions(step) == {("i",)}


def test_a_model_step_mentions_what_its_templates_its_checks_and_its_judge_do() -> None:
    judge = Judge((SMALL,), Template("{{ origin.id }}", None, AT), "score > 1")
    contract = Contract(checks=("output.n > outputs.top.n",), judge=judge)
    asked = Generate((SMALL,), Template("{{ item.a }}", None, AT), contract, system=Template("{{ i }}", None, AT))
    found = mentions(Step("a", asked, AT))
    assert found == {("item", "a"), ("i",), ("origin", "id"), ("output", "n"), ("outputs", "top", "n")}
    assert mentions(Step("a", Verify(contract), AT)) == found - {("item", "a"), ("i",)}


def test_a_step_with_rules_mentions_what_they_do_and_not_what_they_stand_for() -> None:
    rules = (
        Rule("item.risk > origin.least", (SMALL,), Template("{{ item.a }}", None, AT)),
        Rule(None, (SMALL,), Template("{{ item.b }}", None, AT), system=Template("{{ chain.top }}", None, AT)),
    )
    asked = Generate(
        (SMALL,),
        Template("{{ item.unused }}", None, AT),
        Contract(),
        rules=rules,
        accept_when="signals.attempts == outputs.most",
    )
    assert mentions(Step("a", asked, AT)) == {
        *{("item", "risk"), ("origin", "least"), ("item", "a"), ("item", "b"), ("chain", "top")},
        *{("signals", "attempts"), ("outputs", "most")},
    }


def test_a_route_step_mentions_what_its_rules_or_its_model_do() -> None:
    by_rules = Route(("low",), (Branch("i > outputs.least", "low"), Branch(None, "low")))
    assert mentions(Step("a", by_rules, AT)) == {("i",), ("outputs", "least")}
    chooser = Generate((SMALL,), Template("{{ item.a }}", None, AT), Contract())
    assert mentions(Step("a", Route(("low", "high"), (), chooser), AT)) == {("item", "a")}


def test_a_step_mentions_what_its_else_names() -> None:
    asked = Generate((SMALL,), Template("{{ item.a }}", None, AT), Contract())
    step = Step("a", asked, AT, where="item.bad", otherwise=("chain", "draft", 0))
    assert mentions(step) == {("item", "a"), ("item", "bad"), ("chain", "draft", "0")}
