"""Tree to Workflow, or every problem at once.

First each value is held against the shape of its key, then each step is read by itself, then the steps
are held against each other: needs, files, names. What was found wrong once is not judged again, so that
one mistake is one message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from penstock.core.errors import WorkflowError
from penstock.core.workflow import Step, Target, Workflow
from penstock.load import files, secrets, source, tree
from penstock.load.budgets import budget
from penstock.load.catalogue import Catalogue
from penstock.load.draft import Draft, Surroundings, draft
from penstock.load.env import Variables, declare
from penstock.load.fields import Fields
from penstock.load.findings import Findings
from penstock.load.generation import Sources
from penstock.load.graph import Graph, graph
from penstock.load.keys import WORKFLOW
from penstock.load.names import Names, is_barrier
from penstock.load.paths import bare, located
from penstock.load.routing import branches_of
from penstock.load.sampling import sample
from penstock.load.schemas import Schemas
from penstock.load.settings import OF_A_MODEL_CALL, Settings, has_gateway, settings
from penstock.load.targets import Written, quarrels, same_files
from penstock.load.texts import Texts
from penstock.load.tree import Scalar


def load(
    path: Path,
    *,
    overrides: Mapping[str, str],
    environ: Mapping[str, str],
    text: str | None = None,
    files: Mapping[str, str] | None = None,
) -> Workflow:
    """The workflow of a file, or of `text` in its place: the snapshot of a run, when rows and inputs that lie in the
    folder are not looked for.

    `files` are the snapshot's other texts, by path (`Workflow.texts`): with them no prompt and no schema is read
    from the folder. `overrides` replace entries of `env`; `environ` is what `${VAR}` falls back on. WorkflowError with
    every problem, in the file's order.
    """
    found = source.read(path) if text is None else source.parse(text, str(path))
    findings = Findings(found.document, found.problems)
    WORKFLOW.check(found.root, "", findings)
    texts = Texts(path.parent, files)
    workflow = _workflow(path, Fields(found.root, findings), overrides, environ, texts, on_disk=text is None)
    if findings.problems:
        raise WorkflowError(findings.problems)
    return replace(workflow, notes=findings.notes)


def _workflow(
    path: Path,
    fields: Fields,
    overrides: Mapping[str, str],
    environ: Mapping[str, str],
    texts: Texts,
    on_disk: bool,
) -> Workflow:
    findings = fields.findings
    sources_of_secrets, secret_names = secrets.sources(fields), secrets.names(fields)
    settable = overrides if fields.node("env") or not fields.mapping.get("env") else {}
    variables = declare(fields.node("env"), Variables(environ, secret_names), findings, settable)
    catalogue = Catalogue(fields.mapping.get("models"), variables, findings)
    sources = Sources(catalogue, texts, Schemas(texts, findings))
    drafts = _drafts(fields, variables, sources, findings)
    order = graph(drafts, findings)
    written = files.written_by(drafts, path.parent)
    quarrels(written, path, findings)
    same_files(_per_item(drafts), findings)
    writers = files.by_path(written)
    files.check(files.Files(path.parent, writers, drafts, on_disk), order, findings)
    names = Names(drafts, written, order, findings)
    for one in drafts:
        for mention in one.mentions:
            names.check(one, mention)
    tried = sample(fields, variables, names, order, drafts)
    return Workflow(
        name=fields.text("name") or "",
        file=path,
        source=findings.document.source,
        steps=tuple(_finished(one, order, names, writers) for one in drafts),
        description=fields.text("description") or "",
        env=variables.entries,
        secrets=tuple(source.name for source in sources_of_secrets),
        outputs=tuple(sorted(names.outputs.items())),
        models=catalogue.models,
        cascades=catalogue.cascades,
        texts=texts.read,
        budget=budget(fields),
        secret_sources=sources_of_secrets,
        allow_hosts=_hosts(fields),
        sample=tried,
    )


def _hosts(fields: Fields) -> tuple[str, ...] | None:
    """The entries of `allow_hosts`; None where the file says nothing, and an empty list allows none."""
    if fields.node("allow_hosts") is None:
        return None
    return tuple(dict.fromkeys(scalar.text for scalar in fields.scalars("allow_hosts")))


def _drafts(fields: Fields, variables: Variables, sources: Sources, findings: Findings) -> list[Draft]:
    folder, defaults = sources.texts.folder, fields.inner("defaults")
    nodes = [node for node in fields.elements("steps") if isinstance(node, tree.Mapping)]
    ids = _ids(nodes, findings)
    branches = {step_id: branches_of(node) for node, step_id in zip(nodes, ids, strict=True)}
    around = Surroundings(
        variables,
        settings(defaults, Settings(gateway=has_gateway(fields))),
        settings(defaults, OF_A_MODEL_CALL),
        sources,
        bare(located(fields, "keep", variables, folder)),
        bare(located(fields, "replace", variables, folder)),
        branches,
        folder,
    )
    return [draft(node, step_id, around, findings) for node, step_id in zip(nodes, ids, strict=True)]


def _ids(nodes: Sequence[tree.Mapping], findings: Findings) -> list[str]:
    """What each step is to be known by. One without an id, or with another's, gets a name that nobody can write."""
    ids: dict[str, tree.Mapping] = {}
    for number, node in enumerate(nodes, start=1):
        scalar = node.get("id")
        name = scalar.text if isinstance(scalar, Scalar) and scalar.text else f"#{number}"
        if name in ids and isinstance(scalar, Scalar):
            line = findings.document.place(ids[name].start).line
            findings.wrong(scalar, f"a second step called `{name}`; the first is on line {line}", "give it another id")
            name = f"#{number}"
        ids[name] = node
    return list(ids)


def _per_item(drafts: Sequence[Draft]) -> list[tuple[str, Target, int]]:
    return [
        (one.id, target, one.spelling.spots[target.offset])
        for one in drafts
        if one.spelling
        for target in one.script.targets
        if target.per_item
    ]


def _finished(one: Draft, order: Graph, names: Names, writers: Mapping[str, Sequence[Written]]) -> Step:
    read = names.reads[one.id] | {other.step for path in one.step.inputs for other in files.writers_of(path, writers)}
    return replace(one.step, needs=order.needs[one.id], barrier=is_barrier(one, read))
