"""A step as the file says it, judged by itself: what it means, and where each part of it stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from penstock.core.approval import Approve
from penstock.core.generation import Generate, Verify
from penstock.core.routing import Route
from penstock.core.workflow import Need, Script, Shell, Source, Step, StepSource
from penstock.load import tree
from penstock.load.approval import Asking
from penstock.load.budgets import budget, note_of_a_command
from penstock.load.env import Variables, declare, expand
from penstock.load.fields import Fields
from penstock.load.findings import Findings
from penstock.load.foreach import Branches, source
from penstock.load.generation import Reading, Sources
from penstock.load.kind_keys import FOR_ITEMS, FOR_STREAMS, judge_kind
from penstock.load.mentions import Mention, of_condition, of_script
from penstock.load.otherwise import of_otherwise, otherwise_of
from penstock.load.outputs import declared_outputs
from penstock.load.paths import Located, bare, located
from penstock.load.routing import branches_of
from penstock.load.runtext import run_text
from penstock.load.settings import Settings, settings, tolerance
from penstock.load.suggest import did_you_mean, lines
from penstock.load.targets import settle
from penstock.load.tree import Node, Scalar, Spelling
from penstock.rules.shell.text import ShellTextError, analyse

_NO_SCRIPT = Script(source="", text="")
_ASKING = ("generate", "verify", "route")
_KINDS = ("run", *_ASKING, "approve")


@dataclass(frozen=True, slots=True)
class Draft:
    """A step before it is held against the others. `step.barrier` and the needs' existence are not judged yet.

    `needs` go with their places, and so do `inputs` and `shown`, the files that a person is shown; `clear` is false
    where the text is not understood, so that nobody knows which files it writes.
    """

    step: Step
    fields: Fields
    variables: Variables
    needs: tuple[tuple[Need, Node], ...]
    inputs: Located
    spelling: Spelling | None
    mentions: tuple[Mention, ...]
    clear: bool
    shown: Located = ()

    @property
    def node(self) -> tree.Mapping:
        return self.fields.mapping

    @property
    def id(self) -> str:
        return self.step.id

    @property
    def script(self) -> Script:
        """Its shell text; an empty one where it runs none, or where the text is not understood."""
        return self.step.shell.script if self.step.shell else _NO_SCRIPT

    @property
    def mapped(self) -> bool:
        """Whether it has items, though what they come from may be wrong."""
        return self.node.get("foreach") is not None and self.node.get("approve") is None

    @property
    def branches(self) -> tuple[str, ...] | None:
        """Where a `route` step can send its items; None where that is not known."""
        return branches_of(self.node)

    @property
    def streams_from(self) -> str | None:
        """The step whose records it maps over."""
        return self.step.foreach.step if isinstance(self.step.foreach, StepSource) else None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the whole file says to each of its steps."""

    variables: Variables
    settings: Settings
    for_models: Settings
    sources: Sources
    keep: tuple[str, ...]
    replace: tuple[str, ...]
    branches: Branches
    folder: Path


def draft(node: tree.Mapping, step_id: str, around: Surroundings, findings: Findings) -> Draft:
    """The step that a mapping says, under the id that it is to be known by."""
    fields = Fields(node, findings)
    variables = declare(fields.node("env"), around.variables, findings)
    kind = next((key.text for key, _ in node.entries if key.text in _KINDS), "run")
    said = settings(fields, _outer(kind, node, around))
    step = _step(fields, step_id, said, variables, around)
    judge_kind(kind, fields)
    if kind == "approve":
        return _approving(step, fields, variables, around)
    _judge(fields)
    if kind in _ASKING:
        return _asking(kind, step, fields, variables, around)
    spelling, script = _script(fields, variables, said.interpreter, around.folder)
    step = replace(step, spec=Shell(script or _NO_SCRIPT, said.interpreter))
    if not step.gateway:
        note_of_a_command(fields)
    _judge_cache(step, script, fields, spelling)
    inputs = located(fields, "inputs", variables, around.folder)
    texts = of_script(script, spelling, findings.document) if script and spelling else ()
    mentions = (*_conditions(fields), *texts)
    return Draft(step, fields, variables, _needs(fields), inputs, spelling, mentions, script is not None)


def _asking(kind: str, step: Step, fields: Fields, variables: Variables, around: Surroundings) -> Draft:
    """A step that asks models, or sends items on by rules."""
    mapped = fields.mapping.get("foreach") is not None or kind in FOR_STREAMS
    reading = Reading(around.sources, variables, mapped, fields.findings)
    inner = fields.inner(kind)
    spec: Generate | Verify | Route | None = None
    if kind == "route":
        spec = reading.route(fields)
    elif inner:
        spec = reading.generate(inner) if kind == "generate" else reading.verify(inner)
    step = replace(step, spec=spec or step.spec, cache=False, keep=(), replace=())
    mentions = (*_conditions(fields), *reading.mentions)
    return Draft(step, fields, variables, _needs(fields), (), None, mentions, clear=True)


def _approving(step: Step, fields: Fields, variables: Variables, around: Surroundings) -> Draft:
    """A step that waits for a person. It has no items, whatever it says."""
    asking = Asking(around.sources.texts, variables, around.branches, fields.findings)
    inner = fields.inner("approve")
    spec: Approve | None = asking.approve(inner) if inner else None
    step = replace(step, spec=spec or step.spec, foreach=None, cache=False, inputs=(), keep=(), replace=())
    mentions = (*_conditions(fields), *asking.mentions)
    return Draft(step, fields, variables, _needs(fields), (), None, mentions, True, asking.located)


def _outer(kind: str, node: tree.Mapping, around: Surroundings) -> Settings:
    """What the file says to all steps of a kind; little of `defaults` is about a person or rules."""
    if kind == "approve":
        return Settings()
    if kind == "route" and not isinstance(node.get("route"), tree.Mapping):
        return Settings(concurrency=around.settings.concurrency)
    return around.settings if kind == "run" else around.for_models


def _step(fields: Fields, step_id: str, said: Settings, variables: Variables, around: Surroundings) -> Step:
    """What steps of all kinds say in the same words."""
    inputs, keep, place = (located(fields, name, variables, around.folder) for name in ("inputs", "keep", "replace"))
    return Step(
        id=step_id,
        spec=Shell(_NO_SCRIPT, said.interpreter),
        at=fields.findings.document.place(fields.mapping.start),
        foreach=_source(fields, variables, around),
        where=fields.text("where"),
        otherwise=otherwise_of(fields),
        when=fields.text("when"),
        env=declared_here(fields, variables),
        secrets=_secrets(fields, around.variables.secrets),
        timeout_s=said.timeout_s,
        concurrency=said.concurrency,
        retry=said.retry,
        cache=bool(inputs) if said.cache is None else said.cache,
        gateway=said.gateway,
        inputs=bare(inputs),
        outputs=declared_outputs(fields, variables, around.folder),
        max_failures=tolerance(fields.scalar("max_failures")),
        fail_fast=fields.flag("fail_fast") or False,
        idempotent=fields.flag("idempotent") is not False,
        keep=around.keep + bare(keep),
        replace=around.replace + bare(place),
        budget=budget(fields),
        local=fields.text("placement") == "local",
    )


def _conditions(fields: Fields) -> tuple[Mention, ...]:
    return (*of_condition("when", fields), *of_condition("where", fields), *of_otherwise(fields))


def declared_here(fields: Fields, variables: Variables) -> tuple[tuple[str, str], ...]:
    """The entries of a step's own `env`."""
    own = fields.inner("env")
    names = {key.text for key, _ in own.mapping.entries} if own else set()
    return tuple((name, value) for name, value in variables.entries if name in names)


def _source(fields: Fields, variables: Variables, around: Surroundings) -> Source | None:
    node = fields.node("foreach")
    path = expand(node, variables, fields.findings) if isinstance(node, Scalar) else None
    return source(node, path, around.branches, around.folder, fields.findings)


def _script(
    fields: Fields, variables: Variables, interpreter: tuple[str, ...], folder: Path
) -> tuple[Spelling | None, Script | None]:
    scalar = fields.scalar("run")
    if scalar is None:
        return None, None
    findings = fields.findings
    spelling = run_text(scalar, findings)
    mapped = fields.mapping.get("foreach") is not None
    try:
        analysis = analyse(spelling.text, foreach=mapped, shell=interpreter[0])
    except ShellTextError as error:
        for fault in error.faults:
            findings.wrong(spelling.spots[fault.offset], fault.message.removesuffix("."), fault.help, width=fault.width)
        return spelling, None
    for note in analysis.notes:
        findings.note(spelling.spots[note.offset], note.message.removesuffix("."), note.help, width=note.width)
    return spelling, settle(analysis.script, variables, spelling, mapped, folder, findings)


def _secrets(fields: Fields, declared: frozenset[str]) -> tuple[str, ...]:
    scalars = fields.scalars("secrets")
    for scalar in scalars:
        if scalar.text not in declared:
            add = f"add it to the workflow: secrets: [{', '.join([*sorted(declared), scalar.text])}]"
            help = lines(did_you_mean(scalar.text, declared), add)
            fields.findings.wrong(scalar, f"`{scalar.text}` is no secret of this workflow", help)
    return tuple(dict.fromkeys(scalar.text for scalar in scalars))


def _needs(fields: Fields) -> tuple[tuple[Need, Node], ...]:
    needs: list[tuple[Need, Node]] = []
    for element in fields.elements("needs"):
        if isinstance(element, Scalar):
            needs.append((Need(element.text), element))
        elif isinstance(element, tree.Mapping):
            inner = Fields(element, fields.findings)
            name = inner.scalar("id")
            if name:
                needs.append((Need(name.text, accept_skipped=bool(inner.scalars("accept"))), name))
    return tuple(needs)


def _judge(fields: Fields) -> None:
    """What one step's keys say against each other, and what is worth a word."""
    findings = fields.findings
    mapped = fields.mapping.get("foreach") is not None
    for name in FOR_ITEMS:
        key = fields.mapping.key(name)
        if key and fields.node(name) and not mapped:
            what = f"`{name}` is about items, and this step has no `foreach`"
            findings.wrong(key, what, "remove it, or add `foreach`")
    for scalar in fields.scalars("keep"):
        if scalar.text in (other.text for other in fields.scalars("replace")):
            what = f"`{scalar.text}` stands under `keep` and `replace`"
            findings.wrong(scalar, what, "remove it from one of the two")


def _judge_cache(step: Step, script: Script | None, fields: Fields, spelling: Spelling | None) -> None:
    cache = fields.mapping.key("cache")
    if cache and fields.flag("cache") and fields.mapping.get("foreach") is None and not step.inputs:
        fields.findings.note(
            cache,
            "a step without `foreach` is reused only if it names what it reads",
            "add `inputs: [path, …]`, or remove `cache`",
        )
    positional = [value for _, value in script.bindings if value.root == "i"] if script else []
    if not (step.cache and positional and spelling):
        return
    offset = max(0, spelling.text.find(positional[0].text))
    fields.findings.note(
        spelling.spots[offset],
        "`{{i}}` makes a cached result depend on the row's position: after a new row above it is made anew",
        "`{{key}}` depends on the row alone",
        width=len(positional[0].text),
    )
