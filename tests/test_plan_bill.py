"""The bill before the run, held against what a server then counts: how many calls, what they cost, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.api import planning, running
from penstock.core.views import Action, Decision, Estimate, Options, RunView
from tests.doubles import MemoryListener
from tests.model_server import ModelServer, Script
from tests.terminal import Project

ANSWER = {"score": 5, "failures": [{"rule": "$prompt", "reason": "", "fix": ""}]}
"""An answer of the model and of the judge alike: one server plays both."""
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"failures": {"type": "array"}, "score": {"type": "number"}},
    "required": ["failures", "score"],
}
PRICE = "price: {input: 1000, output: 4000}"
JUDGE = "judge: {model: strict, rubric: 'Is {{ output.failures[0].rule }} right for {{ item.id }}?', pass: score >= 4}"
CHECKED = "verify: {judge: {model: strict, rubric: 'Judge {{ item.failures[0].rule }}', pass: score >= 4}}"


class Billed:
    """A folder whose workflow asks a server about rows: its plan, and what a run then sends."""

    def __init__(self, folder: Path, url: str) -> None:
        self.project = Project(folder)
        self._url = url
        self.rows: list[dict[str, object]] = [{"id": number, "text": f"ticket {number}"} for number in range(6)]
        self.schema = SCHEMA
        self.workflow()

    def workflow(
        self,
        *more: str,
        model: str = "small",
        below: str = "",
        prompt: str = "'Answer: {{ item.text }}'",
        limit: str = "max_tokens: 60",
        above: str = "",
        price: str = f"{PRICE}, max_tokens: 120",
        step: str = "",
    ) -> None:
        """The workflow, with more lines for `generate`, and steps below and above it."""
        names = ("small", "large", "strict")
        models = [f"  {name}: {{model: openai/{name}-1, base_url: '{self._url}/v1', {price}}}" for name in names]
        generate = [f"model: {model}", f"prompt: {prompt}", "schema: schema.json", f"params: {{{limit}}}", *more]
        lines = ["models:", *models, "steps:", above, "  - id: ask", "    foreach: rows.jsonl", step, "    generate:"]
        text = "\n".join(line for line in [*lines, *(f"      {line}" for line in generate)] if line.strip())
        self.project.workflow(f"{text}\n{below}")

    def _write(self) -> None:
        self.project.write("rows.jsonl", "".join(f"{json.dumps(row)}\n" for row in self.rows))
        self.project.write("schema.json", json.dumps(self.schema))

    def plan(self, **options: Any) -> dict[str, Decision]:
        """The decisions of today's plan; no file of the folder is changed by it."""
        self._write()
        before = self._state()
        made = planning.plan(self.project.folder, Options(**options))
        assert self._state() == before
        return {decision.step_id: decision for decision in made.decisions}

    def _state(self) -> dict[str, bytes]:
        files = (path for path in self.project.folder.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files if not path.name.startswith("journal.db-")}

    def bill(self, step: str = "ask", **options: Any) -> Estimate:
        """What a step would come to."""
        found = self.plan(**options)[step].estimate
        assert found is not None
        return found

    def to_buy(self) -> int:
        """How many calls all steps would send."""
        found = [decision.estimate.to_buy for decision in self.plan().values() if decision.estimate is not None]
        return sum(count for count in found if count is not None)

    def run(self, **options: Any) -> RunView:
        """A run to its end."""
        self._write()
        return running.run(self.project.folder, Options(**options), MemoryListener()).view

    def sent(self, server: ModelServer) -> int:
        """How many requests a run sends that succeeds."""
        server.reset()
        assert self.run().state == "succeeded"
        return int(server.counts()["requests"])


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(Script(answer=ANSWER)) as running:
        yield running


@pytest.fixture
def billed(server: ModelServer, tmp_path: Path) -> Billed:
    return Billed(tmp_path, server.url)


STREAM = f"  - id: check\n    foreach: steps.ask.accepted\n    {CHECKED}\n"
TWO = STREAM + (
    "  - id: again\n    foreach: steps.check.accepted\n    generate:\n      model: large\n"
    "      prompt: 'More of {{ item.failures[0].rule }} by {{ chain.check.ok }} for {{ origin.id }}'\n"
    "  - id: never\n    foreach: steps.check.rejected\n    generate: {model: large, prompt: 'Why {{ item.text }}?'}\n"
)
VARIETY: dict[str, dict[str, Any]] = {
    "plain": {},
    "with a judge": {"more": (JUDGE,)},
    "a cascade": {"model": "[small, large]"},
    "a judge of a stream": {"below": STREAM},
    "streams of streams": {"below": TWO},
    "equal prompts with different judges": {"more": (JUDGE,), "prompt": "'Answer'"},
    "a system prompt, vars and env": {
        "more": ("system: 'Be {{ tone }} in {{ env.PLACE }}'", "vars: {tone: brief}"),
        "prompt": "'{{ key }} {{ i }} {{ item.text }}'",
        "step": "    env: {PLACE: here}",
    },
    "without a cache": {"more": ("cache: 'off'",)},
    "texts and loops over what is not known": {
        "below": "  - id: tell\n    foreach: steps.ask.accepted\n    generate:\n      model: small\n"
        "      prompt: 'Tell {% for f in item.failures %}{{ f.rule }}{% endfor %}'\n"
        "  - id: retell\n    foreach: steps.tell\n    generate: {model: large, prompt: 'Again {{ item }}'}\n"
    },
    "one question and a list": {
        "below": "  - id: once\n    generate: {model: small, prompt: 'Hello'}\n"
        "  - id: listed\n    foreach: [a, {b: 1}, a]\n    generate: {model: small, prompt: 'On {{ item }}'}\n"
    },
    "rows left out": {"step": "    where: item.id != 2"},
}


@pytest.mark.parametrize("how", VARIETY.values(), ids=VARIETY.keys())
def test_a_plan_counts_the_calls_that_the_next_run_sends(
    how: dict[str, Any], billed: Billed, server: ModelServer
) -> None:
    told = {name: value for name, value in how.items() if name != "more"}
    billed.workflow(*how.get("more", ()), **told)
    billed.rows += [dict(billed.rows[0]), {"id": 77, "text": "ticket 3"}]
    for change in range(3):
        to_buy = billed.to_buy()
        assert server.counts()["requests"] == 0
        assert billed.sent(server) == to_buy
        assert to_buy > 0 or change == 2
        server.reset()
        billed.rows = [*billed.rows, {"id": 100, "text": "a new one"}] if change == 0 else billed.rows


def test_what_was_bought_is_not_bought_again_and_the_step_is_reused(billed: Billed) -> None:
    assert billed.plan()["ask"].action is Action.RUN
    billed.run()
    decision = billed.plan()["ask"]
    assert (decision.action, decision.items, decision.cached) == (Action.REUSE, 6, 6)
    assert decision.estimate == Estimate(0, 0, False, 0, 0, 0, 0.0)


def test_another_rubric_buys_the_judge_alone(billed: Billed, server: ModelServer) -> None:
    billed.workflow(JUDGE)
    billed.run()
    billed.workflow(JUDGE.replace("right", "true"))
    estimate = billed.bill()
    assert (estimate.to_buy, estimate.to_judge, estimate.notes) == (6, 6, ("rubric changed",))
    assert billed.sent(server) == 6


def test_a_chain_of_answers_that_did_not_do_is_followed_to_where_it_ends(tmp_path: Path) -> None:
    with ModelServer(Script(refused=1)) as server:
        billed = Billed(tmp_path, server.url)
        billed.workflow(model="small")
        assert billed.run().spent is not None
        assert billed.bill().to_buy == 0
        billed.workflow(model="[small, large]")
        estimate = billed.bill()
        assert (estimate.to_buy, estimate.notes) == (6, ("model small → small, large",))
        server.reset()
        billed.run()
        assert server.counts()["requests"] == 6


def test_items_that_were_rejected_are_followed_with_their_reasons(billed: Billed, server: ModelServer) -> None:
    prompt = "'%s {{ item.id }} {{ item.failure }}'"
    below = f"  - id: why\n    foreach: steps.ask.rejected\n    generate: {{model: large, prompt: {prompt}}}\n"
    billed.workflow(FAILING, below=below % "Why")
    estimate = billed.bill("why")
    assert (estimate.to_buy, estimate.low_micros, estimate.high_micros) == (0, 0, None)
    assert "no calls to buy if answers above will do" in billed.project.succeeds("plan").out
    billed.run()
    assert billed.to_buy() == 0
    billed.workflow(FAILING, below=below % "Why ever")
    assert billed.to_buy() == billed.sent(server) == 6


def test_cache_modes_are_planned_as_they_will_run(billed: Billed) -> None:
    billed.run()
    assert billed.bill(cache="only").to_buy == 0
    for mode in ("refresh", "off"):
        estimate = billed.bill(cache=mode)
        assert (estimate.to_buy, estimate.notes) == (6, (f"`cache: {mode}` buys every answer anew",))


# --- the cost ----------------------------------------------------------------------------------

BAD = Script(answer=ANSWER, invalid=0.3, truncated=0.3, refused=0.1)
FAILING = "checks: ['output.score > 5']"
DEAR = (JUDGE.replace("score >= 4", "score > 5"), "attempts: 2")


@pytest.mark.parametrize(
    ("script", "how"),
    [
        (Script(answer=ANSWER), {}),
        (Script(answer=ANSWER), {"more": (JUDGE,), "below": TWO}),
        (Script(answer=ANSWER), {"more": (FAILING,), "model": "[small, large]"}),
        (Script(answer=ANSWER), {"more": DEAR, "model": "[small, large]"}),
        (Script(invalid=1), {"more": ("attempts: 4",), "model": "[small, large]"}),
        (Script(truncated=1, answer=ANSWER), {"model": "[small, large]"}),
        (Script(refused=1), {"model": "[small, large]"}),
        (BAD, {"more": (JUDGE, FAILING), "model": "[small, large]", "below": TWO}),
        (Script(answer=ANSWER), {"below": TWO.replace("score >= 4", "score > 5")}),
        (BAD, {"more": (JUDGE,), "model": "[small, large]", "prompt": "'{{ item.text }} and {{ i }}'"}),
    ],
)
def test_the_range_holds_the_cost_in_every_case(script: Script, how: dict[str, Any], tmp_path: Path) -> None:
    told = {name: value for name, value in how.items() if name != "more"}
    with ModelServer(script) as server:
        billed = Billed(tmp_path, server.url)
        billed.workflow(*how.get("more", ()), **told)
        plan = billed.plan()
        view = billed.run()
        assert server.counts()["requests"] > 0
    for step in view.steps:
        estimate, spent = plan[step.id].estimate, step.spent
        micros = spent.micros if spent is not None else 0
        assert estimate is not None
        assert estimate.low_micros is not None
        assert estimate.high_micros is not None
        assert estimate.low_micros <= micros <= estimate.high_micros, step.id
        assert spent is None or spent.unknown == 0
        assert step.id != "ask" or estimate.low_micros > 0


def test_a_price_that_is_not_known_is_null_and_said(server: ModelServer, tmp_path: Path) -> None:
    billed = Billed(tmp_path, server.url)
    billed.workflow(price="max_tokens: 1000")
    estimate = billed.bill()
    assert (estimate.to_buy, estimate.low_micros, estimate.high_micros) == (6, None, None)
    assert estimate.notes == ("no price is known for small",)


def test_answers_without_a_limit_have_no_highest_cost_and_that_is_said(billed: Billed) -> None:
    billed.workflow(limit="temperature: 0", price=PRICE)
    estimate = billed.bill()
    assert estimate.low_micros is not None
    assert estimate.high_micros is None
    assert estimate.notes == ("nothing bounds what small writes: give models.small.max_tokens",)


def test_past_calls_tell_what_the_next_ones_will_cost_and_how_long_they_take(billed: Billed) -> None:
    assert billed.bill().expected_micros is None
    assert billed.bill().seconds is None
    spent = billed.run().spent
    assert spent is not None
    billed.rows = [{"id": number, "text": f"another {number}"} for number in range(3)]
    estimate = billed.bill()
    assert estimate.expected_micros == pytest.approx(spent.micros / 2, rel=0.05)
    assert estimate.seconds is not None
    assert 0 < estimate.seconds < 60
    billed.workflow(JUDGE)
    assert (billed.bill().expected_micros, billed.bill().seconds) == (None, None)


# --- what changed ------------------------------------------------------------------------------


def test_a_plan_says_why_there_is_something_to_buy(billed: Billed) -> None:
    assert billed.bill().notes == ()
    billed.run()
    billed.rows.append({"id": 7, "text": "new"})
    assert billed.bill().notes == ("1 item is new",)
    billed.workflow(model="large")
    estimate = billed.bill()
    assert (estimate.to_buy, estimate.notes) == (7, ("1 item is new", "model small → large"))
    billed.rows.pop()
    billed.workflow("system: Be kind", prompt="'Well: {{ item.text }}'", limit="max_tokens: 61")
    assert billed.bill().notes == ("prompt changed", "system changed", "params changed: max_tokens")


def test_answers_bought_under_an_older_schema_are_judged_by_the_new_one(billed: Billed) -> None:
    billed.run()
    billed.schema = {**SCHEMA, "required": ["score"]}
    assert billed.plan()["ask"].action is Action.REUSE
    billed.rows.append({"id": 7, "text": "new"})
    note = "schema changed: 6 of 6 answers bought under the older one still pass"
    assert billed.bill().notes == ("1 item is new", note)
    billed.rows.pop()
    billed.schema = {**SCHEMA, "required": ["colour"]}
    estimate = billed.bill()
    note = "schema changed: 0 of 6 answers bought under the older one still pass"
    assert (estimate.to_buy, estimate.notes) == (6, (note,))


def test_a_rehearsal_is_planned_as_one(billed: Billed) -> None:
    billed.run()
    estimate = billed.bill(simulate=True)
    assert estimate.to_buy == 6
    assert estimate.notes[:1] == ("the last run was not simulated",)


# --- what is not known -------------------------------------------------------------------------


def test_rows_that_a_command_will_write_are_not_known_before_the_run(billed: Billed) -> None:
    billed.workflow(above="  - id: rows\n    run: cp rows.jsonl made.jsonl\n    outputs: [rows.jsonl]")
    billed.project.write(
        "workflow.yaml",
        billed.project.read("workflow.yaml").replace("foreach: rows.jsonl", "needs: [rows]\n    foreach: rows.jsonl"),
    )
    decision = billed.plan()["ask"]
    assert decision.estimate is not None
    assert (decision.items, decision.estimate.to_buy, decision.estimate.high_micros) == (None, None, None)
    assert decision.estimate.notes == ("which rows there are is not known before the run: rows writes them",)


def test_a_file_that_is_not_whole_is_bought_anew_and_stays_where_it_is(billed: Billed) -> None:
    billed.run()
    (billed.project.folder / ".penstock" / "journal.db").unlink()
    files = sorted((billed.project.folder / ".penstock" / "cache").glob("*/*.json"))
    files[0].write_bytes(files[0].read_bytes()[:-9])
    assert billed.bill().to_buy == 1


def test_prompts_with_secrets_and_keys_in_them_are_found_again(billed: Billed, server: ModelServer) -> None:
    """They are looked up as they were sent: masked."""
    secret = "correct horse battery"
    billed.project.write(".env", f"HOUSE_KEY={secret}\n")
    billed.workflow()
    text = billed.project.read("workflow.yaml")
    billed.project.write("workflow.yaml", text.replace("models:", "secrets: [HOUSE_KEY]\nmodels:", 1))
    billed.rows.append({"id": 7, "text": f"my password is {secret}"})
    to_buy = billed.to_buy()
    assert billed.sent(server) == to_buy == 7
    assert billed.to_buy() == 0


def test_the_command_prints_the_bill_under_its_step(billed: Billed) -> None:
    billed.workflow(JUDGE, below=STREAM)
    billed.plan()
    printed = """\
  RUN    ask            6  every row of rows.jsonl; small, judged by strict
                           12 calls to buy, 6 of them a judge's
                           $0.0360 to $285.02
  RUN    check             at most 6, those that end accepted in ask; judged by strict
                           at most 6 calls to buy (a judge's)
                           $0 to $81.65
  total  at most 18 calls to buy; $0.0360 to $366.67
"""
    assert billed.project.succeeds("plan").out == printed
    told = billed.project.succeeds("plan", "--json").value["steps"]
    assert isinstance(told, dict)
    assert (told["ask"]["to_buy"], told["ask"]["to_judge"]) == (12, 6)
    assert 0 < told["ask"]["cost_low"] < told["ask"]["cost_high"]


def test_a_model_without_a_key_is_left_out_where_another_can_serve(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BILL_TEST_KEY", raising=False)
    billed = Billed(tmp_path, server.url)
    billed.workflow(model="[small, large]")
    text = billed.project.read("workflow.yaml")
    billed.project.write("workflow.yaml", text.replace("small-1,", "small-1, api_key: '${BILL_TEST_KEY}',"))
    to_buy = billed.to_buy()
    assert billed.sent(server) == to_buy == 6
    assert billed.plan()["ask"].action is Action.REUSE


def test_rows_that_only_the_run_will_give_are_bounded_by_those_above(billed: Billed) -> None:
    below = "  - id: list\n    foreach: rows.jsonl\n    run: echo '{{item.id}}'\n"
    asks = "  - id: more\n    foreach: steps.list\n    generate: {model: small, prompt: 'On {{ item }}'}\n"
    billed.workflow(below=below + asks)
    estimate = billed.bill("more")
    assert (estimate.to_buy, estimate.at_most, estimate.low_micros, estimate.high_micros) == (6, True, 0, None)
    assert estimate.notes == (
        "which rows there are is not known before the run: list runs a command",
        "how long its prompts are is not known before the run",
    )


def test_a_prompt_that_uses_what_the_run_will_give_counts_as_new(billed: Billed) -> None:
    billed.workflow(
        prompt="'{{ item.text }} of {{ outputs.rows.n }}'",
        above="  - id: rows\n    run: echo '{\"n\":1}'",
        step="    needs: [rows]",
    )
    billed.run()
    estimate = billed.bill()
    assert (estimate.to_buy, estimate.at_most, estimate.low_micros, estimate.high_micros) == (6, True, 0, None)


def test_a_step_that_may_be_skipped_may_cost_nothing(billed: Billed) -> None:
    billed.workflow(
        above="  - id: rows\n    run: echo '{\"n\":1}'", step="    needs: [rows]\n    when: outputs.rows.n > 0"
    )
    decision = billed.plan()["ask"]
    assert decision.action is Action.MAYBE
    assert decision.estimate is not None
    assert (decision.estimate.to_buy, decision.estimate.at_most, decision.estimate.low_micros) == (6, True, 0)


def test_a_plan_says_that_it_cannot_compare_where_the_copy_of_the_workflow_is_gone(billed: Billed) -> None:
    view = billed.run()
    (view.folder / "workflow.yaml").unlink()
    billed.rows.append({"id": 7, "text": "new"})
    notes = billed.bill().notes
    assert notes[0] == "1 item is new"
    assert notes[1].startswith(
        f"what changed since run {view.id} is not known: its copy of the workflow cannot be read"
    )
