"""What a fixture's step needs besides the item: from the fixture, or from what the folder's journal still knows."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.api.replay.staging import Given, above, form_of, has_value
from penstock.core.canon import compact, parse
from penstock.core.generation import Verify
from penstock.core.routing import Route
from penstock.core.states import StepState
from penstock.core.workflow import Step, StepSource, Workflow
from penstock.store.database import Database, Row
from penstock.store.facts import steps_at_hand
from penstock.store.fixtures import Fixture

NO_PLACE = -1
"""The place of a row whose fixture tells none, where none is needed."""
RUNS_BACK = 50


class Recall:
    """Makes rows of fixtures of one step. `found` are the steps before it whose outputs are at hand, by id."""

    def __init__(
        self, workflow: Workflow, step: Step, mentions: frozenset[tuple[str, ...]], database: Database
    ) -> None:
        """`mentions` are what the step's texts refer to, `database` the folder's own journal."""
        self._workflow = workflow
        self._step = step
        self._database = database
        self._mentions = mentions
        self._roots = {path[0] for path in mentions}
        self._above = above(workflow, step) if isinstance(step.foreach, StepSource) else ()
        self.found: Mapping[str, Row] = self._newest() if self._roots & {"outputs", "steps"} else {}

    def given(self, group: list[Fixture]) -> tuple[Given | None, str]:
        """The row, or the sentence why it cannot be replayed. `group` are the fixtures that hold its input."""
        first = group[0]
        form = form_of(self._workflow, self._step, first.input)
        if form is None:
            return None, "its row could not be read: mend the input file, then delete this file"
        lacks = self._lacking_outputs()
        place = next((one.index for one in group if one.index is not None), None)
        if place is None and "i" in self._roots:
            lacks.append("i")
        origin, chain = self._names(group)
        if origin is None and "origin" in self._roots and self._above:
            lacks.append("origin")
        missing = [step_id for step_id in self._above if self._reads(step_id) and step_id not in chain]
        lacks += [f"chain.{step_id}" for step_id in missing]
        if lacks:
            return None, f"it needs {', '.join(lacks)}, which is known nowhere here: run the workflow here first"
        local = any(one.local is not False for one in group)
        return Given(NO_PLACE if place is None else place, first.input, form, origin, chain, local), ""

    def _reads(self, step_id: str) -> bool:
        """Whether `chain.STEP` is mentioned and is not the row itself."""
        is_row = step_id == self._above[0] and not self._judged
        return not is_row and any(path[0] == "chain" and path[1:2] in ((), (step_id,)) for path in self._mentions)

    @property
    def _judged(self) -> bool:
        """Whether the step above passes on what it was given."""
        return bool(self._above) and isinstance(self._workflow.step(self._above[0]).spec, (Verify, Route))

    # --- outputs -------------------------------------------------------------------------------

    def _lacking_outputs(self) -> list[str]:
        named = {path[1] if len(path) > 1 else None for path in self._mentions if path[0] == "outputs"}
        meanings = [
            (name, meant)
            for name, meant in self._workflow.outputs
            if meant.step in self._workflow.before(self._step) and (None in named or name.split(".")[0] in named)
        ]
        return [
            f"outputs.{name}"
            for name, meant in meanings
            if not has_value(self._workflow, meant, self.found, self._database)
        ]

    def _newest(self) -> dict[str, Row]:
        """The newest success of each step before this one, in the folder's own journal."""
        wanted, found = self._workflow.before(self._step), dict[str, Row]()
        before = 1 << 62
        for _ in range(RUNS_BACK):
            values = {"workflow": self._workflow.file.name, "before": before}
            run = self._database.one("newest_run_of", values)
            if run is None or found.keys() >= wanted:
                break
            before = run["run_no"]
            for row in self._database.all("steps_of", {"run_no": before}):
                if row["step_id"] in wanted and row["state"] == StepState.SUCCEEDED.value:
                    found.setdefault(row["step_id"], row)
        return found

    # --- origin and chain ----------------------------------------------------------------------

    def _names(self, group: list[Fixture]) -> tuple[str | None, dict[str, str]]:
        """The JSON texts of `origin` and of `chain`, as far as a fixture or the journal of its run tells them."""
        origin = next((one.origin for one in group if one.origin is not None), None)
        chain = next((dict(one.chain) for one in group if one.chain is not None), {})
        wants_chain = "chain" in self._roots and not chain.keys() >= set(self._above)
        if not self._above or not ((origin is None and "origin" in self._roots) or wants_chain):
            return origin, chain
        for one in group:
            known_origin, known_chain = self._from_journal(one)
            origin, chain = origin or known_origin, {**known_chain, **chain}
        return origin, chain

    def _from_journal(self, one: Fixture) -> tuple[str | None, dict[str, str]]:
        """What the run that wrote the fixture knows of its row; nothing where the row there is another one."""
        run = self._database.one("run_by_id", {"run_id": one.run or ""})
        if run is None or one.index is None:
            return None, {}
        numbers = {step["step_id"]: step["step_no"] for step in steps_at_hand(self._database, run)}
        if not numbers.keys() >= set(self._above):
            return None, {}
        task = self._database.one("task_input", (numbers[self._above[-1]], one.index))
        given = self._database.one("task_input", (numbers[self._above[0]], one.index))
        records = {step_id: self._database.one("outcome_at", (numbers[step_id], one.index)) for step_id in self._above}
        nearest = records[self._above[0]]
        row = (given["input"] if given else None) if self._judged else (nearest["record"] if nearest else None)
        if row != one.input:
            return None, {}
        origin = _json(task["input"]) if task is not None and task["input"] is not None else None
        return origin, {
            step_id: _json(record["record"]) for step_id, record in records.items() if record and record["record"]
        }


def _json(text: bytes) -> str:
    """The text if it is JSON, or else as a JSON string."""
    try:
        parse(text)
    except ValueError:
        return compact(text.decode("utf-8", "replace"))
    return text.decode()
