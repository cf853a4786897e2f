"""A workflow and what is known become a plan: for each step what a run would do, why, and for how many items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from penstock.core.approval import Approve
from penstock.core.canon import item_hash, item_key
from penstock.core.errors import ConditionError, OperatorError
from penstock.core.generation import Generate
from penstock.core.models import Model
from penstock.core.routing import Route
from penstock.core.seams import Facts
from penstock.core.views import Action, Decision, Plan
from penstock.core.workflow import FileSource, ListSource, Step, StepSource, Workflow
from penstock.rules.cachekey import step_fingerprint, task_fingerprint
from penstock.rules.conditions import decide, references
from penstock.rules.filling import values_of
from penstock.rules.paths import fixed_path
from penstock.rules.placeholders import ValueFault
from penstock.rules.sampled_steps import name_of, outline

MOST_OF_MESSAGE = 60
"""So many characters of an approval's message are shown."""
WHEN_NAMES = frozenset({"env", "outputs", "steps", "run"})


def order(workflow: Workflow) -> tuple[Step, ...]:
    """The steps, each after its needs, otherwise as in the file."""
    placed: dict[str, Step] = {}
    waiting = list(workflow.steps)
    while waiting:
        ready = next(step for step in waiting if all(need.step in placed for need in step.needs))
        placed[ready.id] = ready
        waiting.remove(ready)
    return tuple(placed.values())


def asked(step: Step) -> str:
    """`small → large, judged by large`: the models that the step asks, from the first, and whether rules pick them or
    its branches; empty where there are neither."""
    question, judge = step.question, step.contract.judge if step.contract else None
    rules = step.spec.rules if isinstance(step.spec, (Generate, Route)) else ()
    told = [f"by {len(rules)} rule{'s' if len(rules) != 1 else ''}"] if rules else []
    if question is not None:
        joint = ", " if rules else " → "
        told.append(_named(question.models, question.forced, joint))
    told += ["judged by " + _named(judge.models, judge.forced, " → ")] if judge else []
    return ", ".join(told)


def _named(models: Sequence[Model], forced: Model | None, joint: str) -> str:
    return joint.join(model.name for model in models) if forced is None else f"{forced.name} (forced)"


def sample_note(workflow: Workflow) -> str | None:
    """What of the workflow would be tried first, and on what condition the rest follows; None where nothing is."""
    sample = workflow.sample
    if sample is None or sample.require is None:
        return None
    found = outline(workflow, sample)
    roots = [name_of(step) for step in workflow.steps if step.id in found.roots & found.active]
    steps = [step.id for step in workflow.steps if step.id in found.active]
    drawn = f"{sample.size:,} rows of {' and of '.join(dict.fromkeys(roots))}" if roots else f"{sample.size:,} rows"
    held = "" if sample.confidence is None else f" at a confidence of {sample.confidence:g}"
    on = (
        " (or if the sample decides nothing)"
        if sample.on_inconclusive == "expand" and sample.confidence is not None
        else ""
    )
    return (
        f"sample: first {drawn}, drawn with seed {sample.seed}, go through {', '.join(steps)}; "
        f"the whole run follows only if {sample.require}{held}{on}. What is told of each step is the whole run"
    )


class Estimator(Protocol):
    """Tells what a model step would come to; nobody is asked."""

    def __call__(self, decision: Decision, bound: int | None, unread: str | None) -> Decision:
        """The decision to run a model step, with its estimate.

        `unread` says why its file cannot be read before the run, None if it can; of rows that are not known there are
        at most `bound`. OperatorError if the file cannot be read.
        """


def make(
    workflow: Workflow,
    facts: Facts,
    environ: Mapping[str, str],
    refused: Mapping[str, str],
    only: str | None = None,
    estimate: Estimator | None = None,
) -> Plan:
    """What a new run would do. `refused` are steps that could not begin, each with the reason; `only` as in `run`.
    Without `estimate` nothing is said of the cost of model steps."""
    planner = _Planner(workflow, facts, environ, refused, estimate)
    steps = order(workflow) if only is None else (workflow.step(only),)
    for step in steps:
        planner.made[step.id] = planner.decide(step, only is not None)
    note = sample_note(workflow) if only is None else None
    return Plan(workflow, tuple(planner.made.values()), (note,) if note is not None else ())


@dataclass
class _Planner:
    """The decisions so far; each step's builds on those of its needs."""

    workflow: Workflow
    facts: Facts
    environ: Mapping[str, str]
    refused: Mapping[str, str]
    estimate: Estimator | None = None
    made: dict[str, Decision] = field(default_factory=dict)

    def decide(self, step: Step, alone: bool) -> Decision:
        if step.id in self.refused:
            return Decision(step.id, Action.BLOCK, self.refused[step.id])
        by_need = self._alone(step) if alone else self._by_needs(step)
        if by_need is not None and by_need.action is not Action.MAYBE:
            return by_need
        by_when = self._by_when(step)
        if by_when is not None and by_when.action is not Action.MAYBE:
            return by_when
        unsure = by_need or by_when
        if isinstance(step.spec, Approve):
            return _waiting(step.id, step.spec, unsure)
        decision = self._work(step)
        models = asked(step)
        if models and decision.action is Action.RUN:
            decision = replace(decision, reason=f"{decision.reason}; {models}")
        if (step.asks or isinstance(step.spec, Route)) and decision.action is Action.RUN:
            decision = self._estimated(step, decision)
        if unsure is None:
            return decision
        estimate = decision.estimate
        if estimate is not None:  # a step that does not run costs nothing
            estimate = replace(estimate, low_micros=0, at_most=bool(estimate.to_buy))
        return replace(decision, action=Action.MAYBE, reason=unsure.reason, estimate=estimate)

    def _alone(self, step: Step) -> Decision | None:
        for need in step.needs:
            state = self.facts.ended(need.step)
            if state != "succeeded":
                told = f"ended {state} in the newest run" if state else "has not run"
                return Decision(step.id, Action.BLOCK, f"its need {need.step} {told}")
        return None

    def _by_needs(self, step: Step) -> Decision | None:
        for need in step.needs:
            above = self.made[need.step]
            if above.action is Action.BLOCK:
                return Decision(step.id, Action.BLOCK, f"its need {need.step} is blocked")
            if above.action is Action.SKIP and not need.accept_skipped:
                return Decision(step.id, Action.SKIP, f"its need {need.step} is skipped")
        waited = next((need.step for need in step.needs if self.made[need.step].action is Action.WAIT), None)
        if waited is not None:
            return Decision(step.id, Action.MAYBE, f"only if {waited} is approved")
        unsure = [
            need.step for need in step.needs if self.made[need.step].action is Action.MAYBE and not need.accept_skipped
        ]
        return Decision(step.id, Action.MAYBE, f"only if {unsure[0]} is not skipped") if unsure else None

    def _by_when(self, step: Step) -> Decision | None:
        """What `when` says; MAYBE where it reads what only the run will give."""
        if step.when is None:
            return None
        roots = {reference.root for reference in references(step.when, names=WHEN_NAMES)}
        if roots & {"outputs", "steps", "run"}:
            return Decision(step.id, Action.MAYBE, f"when: {step.when}")
        try:
            answer = decide(step.when, {"env": self._env(step)})
        except ConditionError as error:
            return Decision(step.id, Action.BLOCK, f"when: {error}")
        return None if answer.value else Decision(step.id, Action.SKIP, f"when: {answer.shown}")

    def _estimated(self, step: Step, decision: Decision) -> Decision:
        """The decision with what the step's models would come to."""
        if self.estimate is None:
            return decision
        source, bound, unread = step.foreach, decision.items, None
        if isinstance(source, StepSource):
            bound = self.made[source.step].items if source.step in self.made else None
        elif isinstance(source, FileSource):
            writer = self._writer(source.path, step)
            unread = f"{writer} writes them" if writer is not None else None
        try:
            return self.estimate(decision, bound, unread)
        except OperatorError as error:
            return Decision(step.id, Action.BLOCK, str(error))

    # --- the work itself -----------------------------------------------------------------------

    def _work(self, step: Step) -> Decision:
        match step.foreach:
            case None:
                return self._single(step)
            case StepSource(above, branch):
                bound = self.made[above].items if above in self.made else None
                atmost = f"at most {bound:,}, " if bound is not None else ""
                return Decision(step.id, Action.RUN, f"{atmost}those that {self._which(above, branch)}")
            case ListSource(values):
                return Decision(step.id, Action.RUN, "the rows are in the workflow", len(values))
            case FileSource():
                return self._over_file(step, step.foreach)

    def _which(self, above: str, branch: str | None) -> str:
        """Which rows of the step above come."""
        spec = self.workflow.step(above).spec
        if isinstance(spec, Route) and branch in spec.branches:
            return f"{above} sends to {branch}"
        return f"end {branch or 'accepted and rejected'} in {above}"

    def _single(self, step: Step) -> Decision:
        if not step.inputs:
            return Decision(step.id, Action.RUN, "a step without `inputs` always runs", 1)
        if not step.cache:
            return Decision(step.id, Action.RUN, "its `cache` is off, so it always runs", 1)
        writer = self._rewritten(step)
        if writer is not None:
            return Decision(step.id, Action.RUN, f"{writer} runs before it; reused if what that writes is the same", 1)
        values = self._fixed_values(step)
        if values is None:
            why = "whether it can be reused is not known: its text uses what only the run will give"
            return Decision(step.id, Action.RUN, why, 1)
        run_id = self.facts.stands(task_fingerprint(self._shared(step), b"", values))
        if run_id is not None:
            return Decision(step.id, Action.REUSE, f"its inputs are as they were in run {run_id}", 1, 1)
        return Decision(step.id, Action.RUN, "its text, inputs or env are new or changed", 1, 0)

    def _over_file(self, step: Step, source: FileSource) -> Decision:
        writer = self._writer(source.path, step)
        if writer is not None:
            return Decision(step.id, Action.RUN, f"the rows of {source.path}, which {writer} writes")
        try:
            if not step.cache:
                return Decision(step.id, Action.RUN, f"every row of {source.path}", self.facts.count(source))
            return self._cached(step, source)
        except OperatorError as error:
            return Decision(step.id, Action.BLOCK, str(error))

    def _cached(self, step: Step, source: FileSource) -> Decision:
        """How many rows an earlier run has done; None where a value of the text is not known before the run."""
        roots = {holder.root for _, holder in step.script.bindings}
        writer = self._rewritten(step)
        if writer is not None or roots & {"outputs", "run", "origin", "chain"}:
            why = f"{writer} runs before it" if writer else "its text uses what only the run will give"
            return Decision(
                step.id, Action.RUN, f"how many rows can be reused is not known: {why}", self.facts.count(source)
            )
        shared, items, cached = self._shared(step), 0, 0
        seen: dict[bytes, int] | None = {} if "key" in roots else None
        for index, text, value, fault in self.facts.rows(source):
            items += 1
            if fault is None:
                key = self._row_fingerprint(step, shared, (index, text, value), _key(text, seen))
                cached += key is not None and self.facts.stands(key) is not None
        if items and cached == items:
            return Decision(step.id, Action.REUSE, "every row was done before", items, cached)
        return Decision(step.id, Action.RUN, f"{items - cached} rows are new or changed", items, cached)

    def _row_fingerprint(self, step: Step, shared: bytes, row: tuple[int, bytes, object], key: str) -> bytes | None:
        index, text, value = row
        names = {"item": value, "i": index, "key": key, "env": self._env(step)}
        try:
            values = values_of(step.script, names, text.decode("utf-8", "surrogateescape"))
        except ValueFault:
            return None
        return task_fingerprint(shared, text, values.items())

    def _fixed_values(self, step: Step) -> tuple[tuple[str, str], ...] | None:
        try:
            return tuple(values_of(step.script, {"env": self._env(step)}, None).items())
        except ValueFault:
            return None

    def _shared(self, step: Step) -> bytes:
        return step_fingerprint(step, dict(self.workflow.env), self.facts.contents(step))

    def _env(self, step: Step) -> dict[str, str]:
        return {**self.environ, **dict(self.workflow.env), **dict(step.env)}

    def _rewritten(self, step: Step) -> str | None:
        """A step that would run before this one and writes something that it reads."""
        reads = {*step.inputs, *step.script.reads}
        return next((writer for path in sorted(reads) if (writer := self._writer(path, step))), None)

    def _writer(self, path: str, reader: Step) -> str | None:
        """The step that would run and writes the file."""
        for step in self.workflow.steps:
            made = self.made.get(step.id)
            if step.id == reader.id or made is None or made.action in (Action.REUSE, Action.SKIP):
                continue
            written = {fixed_path(target, self._env(step)) for target in step.script.targets}
            if path in written or path in {output for _, output in step.outputs}:
                return step.id
        return None


def _waiting(step_id: str, spec: Approve, unsure: Decision | None) -> Decision:
    """A run would stop here until a person has decided; if it comes here."""
    head = next((line.strip() for line in spec.message.text.splitlines() if line.strip()), "")
    asked = f"a person is asked: {head if len(head) <= MOST_OF_MESSAGE else f'{head[: MOST_OF_MESSAGE - 1]}…'}"
    if unsure is None:
        return Decision(step_id, Action.WAIT, asked)
    return Decision(step_id, Action.MAYBE, f"{unsure.reason}: {asked}")


def _key(text: bytes, seen: dict[bytes, int] | None) -> str:
    """The row's key; its occurrence is only counted where a text uses it, since counting takes memory."""
    digest = item_hash(text)
    if seen is None:
        return item_key(digest, 0)
    seen[digest] = seen.get(digest, -1) + 1
    return item_key(digest, seen[digest])
