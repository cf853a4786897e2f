"""What conditions and placeholders can see: `env`, `outputs`, `steps`, `run`, and a row's own names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from penstock.core.canon import parse
from penstock.core.errors import ConditionError
from penstock.core.workflow import OutputName, Step, Workflow
from penstock.store.database import Row
from penstock.store.journal import Journal


class Names(Mapping[str, object]):
    """The names of one run. `step_nos` maps each step to the journal's row that stands for it.

    Values under `outputs` are read from the journal when they are asked for: they are what was there
    when their step ended.
    """

    def __init__(self, workflow: Workflow, environ: Mapping[str, str], run: Mapping[str, object]) -> None:
        self._workflow = workflow
        self._environ = environ
        self._run = run
        self._journal: Journal | None = None
        self._step_nos: Mapping[str, int] = {}

    def seen_by(self, step: Step) -> Mapping[str, object]:
        """The names as a step sees them: its own `env` comes before the workflow's."""
        return _OneStep({**self._env, **dict(step.env)}, self) if step.env else self

    def attach(self, journal: Journal, step_nos: Mapping[str, int]) -> None:
        """From now on `outputs` and `steps` are answered from this journal."""
        self._journal = journal
        self._step_nos = step_nos

    def __getitem__(self, name: str) -> object:
        match name:
            case "env":
                return self._env
            case "outputs":
                return self._outputs
            case "steps":
                return self._steps()
            case "run":
                return self._run
            case _:
                raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(("env", "outputs", "steps", "run"))

    def __len__(self) -> int:
        return 4

    @cached_property
    def _env(self) -> dict[str, str]:
        return {**self._environ, **dict(self._workflow.env)}

    @cached_property
    def _outputs(self) -> _Outputs:
        return _Outputs(dict(self._workflow.outputs), self)

    def _steps(self) -> dict[str, object]:
        if self._journal is None:
            return {}
        return {step_id: self._step(step_id) for step_id in self._step_nos}

    def _step(self, step_id: str) -> dict[str, object]:
        row = self._row(step_id)
        summary = parse(row["summary"]) if row["summary"] else {}
        assert isinstance(summary, dict)
        return {"status": row["state"], **summary}

    def _row(self, step_id: str) -> Row:
        assert self._journal is not None
        row = self._journal.database.one("step_by_no", (self._step_nos[step_id],))
        assert row is not None
        return row

    def output(self, name: str, meant: OutputName) -> object:
        """The value of one name under `outputs`; ConditionError if its step left none."""
        assert self._journal is not None
        step_no = self._step_nos[meant.step]
        if meant.path is None:
            return self._record(name, meant.step, step_no)
        row = self._journal.database.one("output_of", (step_no, meant.path))
        if row is None:
            raise ConditionError(f"outputs.{name}: step {meant.step} has not ended, so {meant.path} has no value yet")
        if row["fault"] is not None:
            raise ConditionError(f"outputs.{name} cannot be read: {row['fault']}")
        return parse(row["value"], nan=True)

    def _record(self, name: str, step_id: str, step_no: int) -> object:
        assert self._journal is not None
        if self._workflow.step(step_id).foreach is not None:
            return self._step(step_id)
        row = self._journal.database.one("outcome_at", (step_no, 0))
        if row is None or row["record"] is None:
            state = self._row(step_id)["state"]
            raise ConditionError(f"outputs.{name}: step {step_id} left no record (it is {state})")
        return parse(row["record"]) if row["form"] != "text" else row["record"].decode("utf-8", "surrogateescape")


class _OneStep(Mapping[str, object]):
    """The names of a run with one step's `env` in place of the workflow's."""

    def __init__(self, env: dict[str, str], names: Names) -> None:
        self._env = env
        self._names = names

    def __getitem__(self, name: str) -> object:
        return self._env if name == "env" else self._names[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Outputs(Mapping[str, object]):
    """The mapping behind `outputs`: a name is looked up when it is asked for."""

    def __init__(self, meanings: dict[str, OutputName], names: Names) -> None:
        self._meanings = meanings
        self._names = names

    def __getitem__(self, name: str) -> object:
        inner = {full[len(name) + 1 :] for full in self._meanings if full.startswith(f"{name}.")}
        meant = self._meanings.get(name)
        if not inner:
            return self._names.output(name, self._meanings[name])
        values: dict[str, object] = {}
        if meant is not None:
            record = self._names.output(name, meant)
            values |= record if isinstance(record, dict) else {}
        return values | {key: self._names.output(f"{name}.{key}", self._meanings[f"{name}.{key}"]) for key in inner}

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.split(".")[0] for name in self._meanings))

    def __len__(self) -> int:
        return len(list(iter(self)))
