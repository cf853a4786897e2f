"""What a run would do with each step, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from penstock.core.canon import item_hash, item_key, parse
from penstock.core.errors import OperatorError
from penstock.core.views import Action, Decision
from penstock.core.workflow import FileSource, OutputName, Step, Workflow
from penstock.plan import make, order
from penstock.rules.cachekey import step_fingerprint, task_fingerprint
from tests.doubles import HERE, after, appends, flow, rows, shell, stream, writes

FOLDER = Path("somewhere")
ROWS = FileSource("rows.jsonl", "jsonl")


@dataclass
class MemoryFacts:
    """A folder and a journal that are only said to be there."""

    files: Mapping[str, str] = field(default_factory=dict)
    done: Mapping[bytes, str] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)

    def rows(self, source: FileSource) -> Iterator[tuple[int, bytes, object, str | None]]:
        for index, line in enumerate(self._text(source).splitlines()):
            try:
                yield index, line.encode(), parse(line), None
            except ValueError as error:
                yield index, line.encode(), None, str(error)

    def exists(self, path: str) -> bool:
        return path in self.files

    def count(self, source: FileSource) -> int:
        return len(self._text(source).splitlines())

    def contents(self, step: Step) -> dict[str, str]:
        return {path: self.files[path] for path in (*step.inputs, *step.script.reads) if path in self.files}

    def stands(self, fingerprint: bytes) -> str | None:
        return self.done.get(fingerprint)

    def ended(self, step_id: str) -> str | None:
        return self.states.get(step_id)

    def _text(self, source: FileSource) -> str:
        if source.path not in self.files:
            raise OperatorError(f"{source.path} does not exist")
        return self.files[source.path]


def plan(
    facts: MemoryFacts,
    *steps: Step,
    only: str | None = None,
    refused: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
) -> dict[str, Decision]:
    workflow = flow(FOLDER, *steps, outputs={"s": OutputName("a", None)}, **(env or {}))
    made = make(workflow, facts, {"HOME": "/home"}, refused or {}, only)
    return {decision.step_id: decision for decision in made.decisions}


def one(facts: MemoryFacts, step: Step, **env: str) -> Decision:
    return plan(facts, step, env=env)[step.id]


def done(
    workflow: Workflow, step: Step, contents: Mapping[str, str], *tasks: tuple[bytes, list[tuple[str, str]]]
) -> dict[bytes, str]:
    """Fingerprints of tasks that run r0 did."""
    shared = step_fingerprint(step, dict(workflow.env), contents)
    return {task_fingerprint(shared, text, values): "r0" for text, values in tasks}


# --- BLOCK -------------------------------------------------------------------------------------


def test_a_step_that_may_not_begin_is_blocked_and_so_is_what_needs_it() -> None:
    steps = (Step("a", shell(), HERE), Step("b", shell(), HERE, needs=after("a")))
    found = plan(MemoryFacts(), *steps, refused={"a": "log is there already"})
    assert found["a"] == Decision("a", Action.BLOCK, "log is there already")
    assert found["b"] == Decision("b", Action.BLOCK, "its need a is blocked")


def test_a_missing_input_blocks() -> None:
    assert one(MemoryFacts(), Step("a", shell(), HERE, foreach=ROWS)) == Decision(
        "a", Action.BLOCK, "rows.jsonl does not exist"
    )
    cached = Step("a", shell(), HERE, foreach=ROWS, cache=True)
    assert one(MemoryFacts(), cached).action is Action.BLOCK


@pytest.mark.parametrize("when", ["env.N > 3", "env.MISSING == '1'"])
def test_a_condition_that_has_no_answer_already_now_blocks(when: str) -> None:
    decision = one(MemoryFacts(), Step("a", shell(), HERE, when=when), N="5")
    assert decision.action is Action.BLOCK
    assert decision.reason.startswith("when: ")


def test_alone_a_step_is_blocked_unless_its_needs_succeeded_in_the_newest_run() -> None:
    steps = (Step("a", shell(), HERE), Step("b", shell(), HERE, needs=after("a")))

    def alone(states: Mapping[str, str]) -> Decision:
        found = plan(MemoryFacts(states=states), *steps, only="b")
        assert list(found) == ["b"]
        return found["b"]

    assert alone({}) == Decision("b", Action.BLOCK, "its need a has not run")
    assert alone({"a": "failed"}) == Decision("b", Action.BLOCK, "its need a ended failed in the newest run")
    assert alone({"a": "succeeded"}).action is Action.RUN


# --- SKIP and MAYBE ----------------------------------------------------------------------------


def test_a_condition_that_is_false_already_now_skips_with_its_operands_and_skips_what_needs_it() -> None:
    steps = (
        Step("a", shell(), HERE, when='env.MODE == "full"'),
        Step("b", shell(), HERE, needs=after("a")),
        Step("c", shell(), HERE, needs=after("a", accept_skipped=True)),
    )
    found = plan(MemoryFacts(), *steps, env={"MODE": "quick"})
    assert found["a"] == Decision("a", Action.SKIP, 'when: "quick" == "full" → false')
    assert found["b"] == Decision("b", Action.SKIP, "its need a is skipped")
    assert found["c"].action is Action.RUN


def test_a_condition_that_is_true_already_now_is_no_doubt() -> None:
    assert one(MemoryFacts(), Step("a", shell(), HERE, when='env.HOME == "/home"')).action is Action.RUN


def test_a_condition_on_what_the_run_will_give_leaves_it_open_and_tells_the_items_all_the_same() -> None:
    steps = (
        Step("a", shell(), HERE),
        Step("b", shell(), HERE, needs=after("a"), when="outputs.s.rate > 0.9", foreach=rows(3)),
        Step("c", shell(), HERE, needs=after("b")),
        Step("d", shell(), HERE, needs=after("b", accept_skipped=True)),
    )
    found = plan(MemoryFacts(), *steps)
    assert found["b"] == Decision("b", Action.MAYBE, "when: outputs.s.rate > 0.9", 3)
    assert found["c"] == Decision("c", Action.MAYBE, "only if b is not skipped", 1)
    assert found["d"].action is Action.RUN


# --- RUN ---------------------------------------------------------------------------------------


def test_rows_of_a_list_and_of_a_file_are_counted() -> None:
    facts = MemoryFacts({"rows.jsonl": "1\n2\n3\n"})
    assert one(facts, Step("a", shell(), HERE, foreach=rows(4))) == Decision(
        "a", Action.RUN, "the rows are in the workflow", 4
    )
    assert one(facts, Step("a", shell(), HERE, foreach=ROWS)) == Decision("a", Action.RUN, "every row of rows.jsonl", 3)


@pytest.mark.parametrize(
    "writer",
    [
        Step("w", shell(targets=(appends("rows.jsonl"),)), HERE),
        Step("w", shell(targets=(writes("./rows.jsonl"),)), HERE),
        Step("w", shell(), HERE, outputs=(("rows", "rows.jsonl"),)),
    ],
)
def test_rows_that_another_step_will_write_are_not_counted_from_the_file_of_today(writer: Step) -> None:
    facts = MemoryFacts({"rows.jsonl": "1\n2\n3\n"})
    reader = Step("a", shell(), HERE, foreach=ROWS, needs=after("w"))
    assert plan(facts, writer, reader)["a"] == Decision("a", Action.RUN, "the rows of rows.jsonl, which w writes")


@pytest.mark.parametrize(
    ("branch", "reason"),
    [
        (None, "at most 5, those that end accepted and rejected in a"),
        ("failed", "at most 5, those that end failed in a"),
    ],
)
def test_a_stream_has_at_most_the_rows_above(branch: str | None, reason: str) -> None:
    above = Step("a", shell(), HERE, foreach=rows(5))
    below = Step("b", shell(), HERE, needs=after("a"), foreach=stream("a", branch), barrier=False)
    assert plan(MemoryFacts(), above, below)["b"] == Decision("b", Action.RUN, reason)


def test_a_step_without_items_runs_unless_it_names_its_inputs() -> None:
    assert one(MemoryFacts(), Step("a", shell(), HERE, cache=True)) == Decision(
        "a", Action.RUN, "a step without `inputs` always runs", 1
    )
    named = Step("a", shell(), HERE, inputs=("x",), cache=False)
    assert one(MemoryFacts({"x": "aa"}), named) == Decision("a", Action.RUN, "its `cache` is off, so it always runs", 1)


# --- REUSE -------------------------------------------------------------------------------------

SINGLE = Step("a", shell("cmd"), HERE, cache=True, inputs=("x",))


def test_a_step_whose_inputs_are_as_they_were_is_reused() -> None:
    known = done(flow(FOLDER), SINGLE, {"x": "aa"}, (b"", []))
    reused = Decision("a", Action.REUSE, "its inputs are as they were in run r0", 1, 1)
    assert one(MemoryFacts({"x": "aa"}, known), SINGLE) == reused
    changed = Decision("a", Action.RUN, "its text, inputs or env are new or changed", 1, 0)
    assert one(MemoryFacts({"x": "bb"}, known), SINGLE) == changed


def test_a_step_whose_input_will_be_written_first_may_be_reused_or_not() -> None:
    known = done(flow(FOLDER), SINGLE, {"x": "aa"}, (b"", []))
    writer = Step("w", shell(targets=(writes("x"),)), HERE)
    reader = Step("a", SINGLE.spec, HERE, cache=True, inputs=("x",), needs=after("w"))
    found = plan(MemoryFacts({"x": "aa"}, known), writer, reader)["a"]
    assert found == Decision("a", Action.RUN, "w runs before it; reused if what that writes is the same", 1)


def test_a_step_whose_text_uses_what_the_run_will_give_is_not_said_to_have_changed() -> None:
    step = Step("a", shell("cmd", bindings={"V": "outputs.s"}), HERE, cache=True, inputs=("x",))
    decision = one(MemoryFacts({"x": "aa"}), step)
    assert (decision.action, decision.items, decision.cached) == (Action.RUN, 1, None)
    assert "not known" in decision.reason


MAPPED = Step("a", shell("cmd", bindings={"V": "item.n", "K": "key"}), HERE, foreach=ROWS, cache=True)


def rows_done(*texts: str) -> dict[bytes, str]:
    seen: dict[str, int] = {}
    tasks: list[tuple[bytes, list[tuple[str, str]]]] = []
    for text in texts:
        seen[text] = seen.get(text, -1) + 1
        value = parse(text)
        assert isinstance(value, dict)
        key = item_key(item_hash(text.encode()), seen[text])
        tasks.append((text.encode(), [("V", str(value["n"])), ("K", key)]))
    return done(flow(FOLDER), MAPPED, {}, *tasks)


def test_rows_that_were_done_before_are_counted_one_by_one() -> None:
    facts = MemoryFacts({"rows.jsonl": '{"n":1}\n{"n":1}\n{"n":2}\n{"n":\n'}, rows_done('{"n":1}', '{"n":1}'))
    assert one(facts, MAPPED) == Decision("a", Action.RUN, "2 rows are new or changed", 4, 2)


def test_when_every_row_was_done_before_the_step_is_reused() -> None:
    facts = MemoryFacts({"rows.jsonl": '{"n":1}\n{"n":2}\n'}, rows_done('{"n":1}', '{"n":2}'))
    assert one(facts, MAPPED) == Decision("a", Action.REUSE, "every row was done before", 2, 2)
    empty = MemoryFacts({"rows.jsonl": ""})
    assert one(empty, MAPPED) == Decision("a", Action.RUN, "0 rows are new or changed", 0, 0)


def test_how_many_rows_can_be_reused_is_not_known_where_the_text_uses_what_the_run_will_give() -> None:
    step = Step("a", shell("cmd", bindings={"V": "run.id"}), HERE, foreach=ROWS, cache=True)
    decision = one(MemoryFacts({"rows.jsonl": "1\n2\n"}), step)
    why = "how many rows can be reused is not known: its text uses what only the run will give"
    assert decision == Decision("a", Action.RUN, why, 2)


def test_what_a_reused_step_wrote_is_as_it_was() -> None:
    above = Step("w", shell("cmd", targets=(writes("x"),)), HERE, cache=True, inputs=("y",))
    below = Step("a", SINGLE.spec, HERE, cache=True, inputs=("x",), needs=after("w"))
    known = done(flow(FOLDER), above, {"y": "cc"}, (b"", [])) | done(flow(FOLDER), SINGLE, {"x": "aa"}, (b"", []))
    found = plan(MemoryFacts({"x": "aa", "y": "cc"}, known), above, below)
    assert [found[step].action for step in ("w", "a")] == [Action.REUSE, Action.REUSE]


# --- order -------------------------------------------------------------------------------------


def test_steps_come_after_their_needs_and_otherwise_as_in_the_file() -> None:
    steps = [
        Step("d", shell(), HERE, needs=after("b", "c")),
        Step("c", shell(), HERE),
        Step("b", shell(), HERE, needs=after("a")),
        Step("a", shell(), HERE),
        Step("e", shell(), HERE),
    ]
    assert [step.id for step in order(flow(FOLDER, *steps))] == ["c", "a", "b", "d", "e"]
