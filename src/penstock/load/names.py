"""What the names in conditions and texts stand for, above all `outputs.NAME`.

`outputs.STEP.NAME` is a file that STEP writes, if it declares or writes one of that name; that form comes first.
Else the first word alone decides: (a) a step's id, (b) a declared output's name, (c) the stem of a `.json`
file that a text writes. A file that takes the whole standard output of a step of the same name is that
step's record, so the two are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penstock.core.workflow import OutputName, StepSource
from penstock.load.draft import Draft
from penstock.load.env import Variables
from penstock.load.findings import Findings
from penstock.load.graph import Graph
from penstock.load.mentions import Mention
from penstock.load.outputs import stem
from penstock.load.suggest import did_you_mean, either, lines
from penstock.load.targets import Written

SUMMARY = (
    "total", "accepted", "rejected", "failed", "skipped",
    "accept_rate", "accept_rate_low", "cost", "latency_p50_ms", "latency_p95_ms",
)  # fmt: skip
"""The fields of a foreach step's record."""

_FIELDS = {"run": ("id", "dir"), "signals": ("attempts", "mended", "judge_score", "logprob")}


@dataclass(frozen=True, slots=True)
class _Output:
    """One thing that a name under `outputs` may stand for; `how` says it to the author."""

    name: str
    meant: OutputName
    how: str

    @property
    def full(self) -> str:
        return f"outputs.{self.meant.step}.{self.name}" if self.meant.path else f"outputs.{self.meant.step}"


class Names:
    """Holds every mention of a file against its steps. `outputs` is what the names under `outputs` turned out to be."""

    def __init__(self, drafts: Sequence[Draft], written: Iterable[Written], graph: Graph, findings: Findings) -> None:
        self.outputs: dict[str, OutputName] = {}
        self.reads: dict[str, set[str]] = {draft.id: set() for draft in drafts}
        self._drafts = {draft.id: draft for draft in drafts}
        self._graph = graph
        self._findings = findings
        self._known = _catalogue(drafts, written)

    def check(self, draft: Draft, mention: Mention) -> None:
        """Problems with one name that a step uses."""
        if mention.root == "outputs":
            self._outputs(draft, mention)
        elif mention.root == "env":
            self._env(draft.variables, mention)
        elif mention.root == "steps":
            self._steps(draft, mention)
        elif mention.root in _FIELDS:
            self._field(mention, mention.root, _FIELDS[mention.root])
        elif mention.root == "chain":
            self._chain(draft, mention)
        elif mention.root == "origin" and draft.streams_from is None:
            self._no_origin(mention)

    def check_gate(self, variables: Variables, mention: Mention) -> OutputName | None:
        """What a name of `sample.require` stands for under `outputs`; None if it is another name, or a problem."""
        if mention.root == "outputs":
            return self._outputs(None, mention)
        self._env(variables, mention)
        return None

    def _outputs(self, draft: Draft | None, mention: Mention) -> OutputName | None:
        """`draft` is None for what no step reads: `sample.require`."""
        if mention.name is None:
            self._wrong(mention, "`outputs` needs a name that is known before the run", "write `outputs.NAME`")
            return None
        name, candidates = self._candidates(mention)
        if not candidates:
            self._no_output(draft, mention)
        elif len(candidates) > 1:
            self._ambiguous(mention, name, candidates)
        elif self._one_output(draft, mention, name, candidates[0]):
            return candidates[0].meant
        return None

    def _candidates(self, mention: Mention) -> tuple[str, list[_Output]]:
        step, inner = mention.name, mention.path[1] if len(mention.path) > 1 else None
        full = [one for one in self._known if one.meant.path and one.meant.step == step and one.name == inner]
        if full:
            return f"{step}.{inner}", full
        return str(step), [one for one in self._known if one.name == step]

    def _one_output(self, draft: Draft | None, mention: Mention, name: str, output: _Output) -> bool:
        """Whether a reader may read this, and it has what is read."""
        step, path = output.meant.step, output.meant.path
        if draft and step == draft.id:
            what = f"`outputs.{name}` is what this step itself gives"
            self._wrong(mention, what, "read what a step before it gives")
        elif draft and self._graph.lacks(draft.id, step):
            add = f"add to step `{draft.id}`: {self._graph.needs_line(draft.id, step)}"
            self._wrong(mention, f"`outputs.{name}` is {output.how}, which `{draft.id}` does not need", add)
        elif path and not path.lower().endswith(".json") and len(mention.path) > len(name.split(".", 1)):
            what = f"`{path}` is no `.json` file: its value is its text, which has no fields"
            self._wrong(mention, what, f"write `outputs.{name}` alone, or let a step write a `.json` file")
        else:
            self.outputs[name] = output.meant
            if draft:
                self.reads[draft.id].add(step)
            return self._summary(mention, output)
        return False

    def _summary(self, mention: Mention, output: _Output) -> bool:
        """Whether there is such a field; a foreach step's record has fields that are known."""
        source = self._drafts[output.meant.step]
        if output.meant.path or not source.mapped or len(mention.path) < 2 or source.branches is None:
            return True
        fields, field = (*SUMMARY, *source.branches), str(mention.path[1])
        if field in fields:
            return True
        files = [one.name for one in self._known if one.meant.step == source.id and one.meant.path]
        self._wrong(
            mention,
            f"the record of `{source.id}`, a foreach step, has no field `{field}`",
            lines(did_you_mean(field, [*fields, *files]), f"its fields are {', '.join(fields)}"),
        )
        return False

    def _no_output(self, draft: Draft | None, mention: Mention) -> None:
        name = str(mention.name)
        texts = (self._findings.document.text_of(other.node) for other in self._drafts.values() if not other.clear)
        if any(name in text for text in texts):
            return
        others = [one for one in self._known if draft is None or one.meant.step != draft.id]
        near = did_you_mean(name, [one.name for one in others], prefix="outputs.")
        there = [f"there is `outputs.{one.name}`: {one.how}" for one in others[:12]]
        self._wrong(mention, f"nothing is called `outputs.{name}`", lines(near, *there))

    def _ambiguous(self, mention: Mention, name: str, candidates: list[_Output]) -> None:
        meanings = [f"`{one.full}` is {one.how}" for one in candidates if one.full != f"outputs.{name}"]
        if len({one.full for one in candidates}) < len(candidates):
            meanings = [f"give one of them a name of its own: `outputs: {{NAME: {candidates[-1].meant.path}}}`"]
        elif len(meanings) < len(candidates):
            meanings.append(f"for the record of step `{name}`, give the file another name")
        self._wrong(mention, f"`outputs.{name}` may be {either(one.how for one in candidates)}", lines(*meanings))

    def _env(self, known: Variables, mention: Mention) -> None:
        name = mention.name
        if name is None or name in known.declared:
            return
        if name in known.secrets:
            self._wrong(mention, f"`{name}` is a secret and no entry of `env`", f"a `run` text reads it as `${name}`")
        elif name in known.environ:
            take = f'to take it from the environment: env: {{{name}: "${{{name}}}"}}'
            self._wrong(mention, f"`env` has no entry `{name}`", take)
        else:
            entries = f"its entries are {', '.join(known.declared)}" if known.declared else "it has no entries"
            near = did_you_mean(name, known.declared, "env.")
            self._wrong(mention, f"`env` has no entry `{name}`", lines(near, entries))

    def _steps(self, draft: Draft, mention: Mention) -> None:
        name = mention.name
        others = [step for step in self._drafts if step != draft.id]
        if name is None:
            self._wrong(mention, "`steps` needs the id of a step", "write `steps.ID`")
        elif name not in self._drafts:
            self._wrong(mention, f"there is no step `{name}`", did_you_mean(name, others, "steps."))
        elif name == draft.id:
            self._wrong(mention, f"`steps.{name}` is this step itself", "its state is not known before it ends")
        elif self._graph.lacks(draft.id, name):
            add = f"add to step `{draft.id}`: {self._graph.needs_line(draft.id, name)}"
            self._wrong(mention, f"`{draft.id}` does not need step `{name}`", add)
        else:
            self.reads[draft.id].add(name)

    def _chain(self, draft: Draft, mention: Mention) -> None:
        path = self._upstream(draft)
        name = mention.name
        if not path:
            self._wrong(
                mention, "`chain` is known only in a step that maps over `steps.ID`", "map over the records of a step"
            )
        elif name is None or (name not in path and draft.id not in self._graph.doubtful):
            what = f"step `{name}` is not on the way of this item" if name else "`chain` needs the id of a step"
            there = f"on the way: {', '.join(f'`chain.{step}`' for step in path)}"
            self._wrong(mention, what, lines(name and did_you_mean(name, path, "chain."), there))

    def _no_origin(self, mention: Mention) -> None:
        self._wrong(
            mention, "`origin` is known only in a step that maps over `steps.ID`", "here `item` is the row itself"
        )

    def _upstream(self, draft: Draft) -> list[str]:
        """The steps whose records an item of this step has been, the nearest first."""
        path: list[str] = []
        step = draft.streams_from
        while step in self._drafts and step not in path:
            path.append(step)
            step = self._drafts[step].streams_from
        return path or ([step] if step else [])

    def _field(self, mention: Mention, root: str, fields: tuple[str, ...]) -> None:
        if mention.name in fields:
            return
        there = either((f"`{root}.{field}`" for field in fields), "and")
        what = f"`{root}` has no field `{mention.name}`" if mention.name else f"`{root}` needs a field"
        near = did_you_mean(mention.name or "", fields, f"{root}.")
        self._wrong(mention, what, lines(near, f"there is {there}"))

    def _wrong(self, mention: Mention, message: str, help: str | None) -> None:
        self._findings.within(mention.document).wrong(mention.spot, message, help, width=mention.width)


def is_barrier(draft: Draft, reads: Iterable[str]) -> bool:
    """Whether a step waits for all its needs to end. A step that maps over another's records does not,
    unless it also reads that step's outputs or inputs that it writes, or names it under `needs`.
    """
    source = draft.step.foreach
    if not isinstance(source, StepSource):
        return True
    return source.step in reads or any(need.step == source.step for need, _ in draft.needs)


def _catalogue(drafts: Sequence[Draft], written: Iterable[Written]) -> list[_Output]:
    """All that names under `outputs` can stand for, each once."""
    known: dict[tuple[str, OutputName], _Output] = {}
    files = list(written)
    for draft in drafts:
        if not draft.id.startswith("#"):
            kind = "summary" if draft.mapped else "record"
            record = OutputName(draft.id, None)
            known[draft.id, record] = _Output(draft.id, record, f"the {kind} of step `{draft.id}`")
        for name, path in draft.step.outputs:
            meant = OutputName(draft.id, path)
            known.setdefault((name, meant), _Output(name, meant, f"`{path}` of step `{draft.id}`"))
        for one in (one for one in files if one.step == draft.id and one.how in (">", ">>")):
            if not one.path.lower().endswith(".json") or (one.whole and stem(one.path) == draft.id):
                continue
            meant = OutputName(draft.id, one.path)
            known.setdefault(
                (stem(one.path), meant), _Output(stem(one.path), meant, f"`{one.path}` of step `{draft.id}`")
            )
    return list(known.values())
