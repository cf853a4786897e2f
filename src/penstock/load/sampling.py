"""`sample`: how many rows are tried first, and the condition on which the rest follows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from penstock.core.sampling import Sample
from penstock.core.workflow import FileSource, ListSource, OutputName
from penstock.load.draft import Draft
from penstock.load.env import Variables
from penstock.load.fields import Fields
from penstock.load.findings import Findings
from penstock.load.graph import Graph
from penstock.load.mentions import GATE_NAMES, of_text
from penstock.load.names import Names
from penstock.load.quantities import exact
from penstock.load.suggest import lines
from penstock.load.tree import Scalar
from penstock.rules.sequential import Gate, needed

_STEP = r"""(?:\.\s*[^\W\d]\w*|\[\s*"[^"]*"\s*\]|\[\s*'[^']*'\s*\])"""
_CLAIM = re.compile(rf"\s*(outputs\s*{_STEP}\s*\.\s*accept_rate)\s*([<>]=?|==)\s*([0-9]*\.?[0-9]+)\s*")
_FORM = "`outputs.STEP.accept_rate >= NUMBER`"


def sample(fields: Fields, variables: Variables, names: Names, graph: Graph, drafts: Sequence[Draft]) -> Sample | None:
    """What the workflow's `sample` says; None if there is none, or something is wrong with it."""
    inner = fields.inner("sample")
    require = inner.scalar("require") if inner else None
    if inner is None or require is None:
        return None
    steps = {draft.id: draft for draft in drafts}
    read = _read(require, variables, names, fields.findings)
    sure = inner.mapping.get("confidence") is not None
    rate = _rate(require, read, steps, fields.findings) if sure else None
    if read and fields.findings.sound(require) and not any(_draws(one.step, graph, steps) for one in read):
        what = "there is nothing to draw: no step that `require` reads, nor one before it, maps over a file or a list"
        help = "`sample` tries rows of the files and lists that `foreach` names"
        fields.findings.wrong(fields.mapping.key("sample") or inner.mapping, what, help)
    confidence, size = exact(inner.node("confidence")), inner.whole("size")
    _judge_inconclusive(inner)
    if size is None:
        return None
    if rate is not None and confidence is not None:
        _note_size(inner, size, Gate(rate, float(confidence)))
    return Sample(
        size,
        fields.findings.document.place(inner.mapping.start),
        require.text,
        inner.whole("seed") or 0,
        None if confidence is None else float(confidence),
        read[0].step if rate is not None else None,
        rate,
        inner.text("on_inconclusive") or "stop",
    )


def _read(require: Scalar, variables: Variables, names: Names, findings: Findings) -> list[OutputName]:
    """What the condition reads of steps; nothing if something is wrong with it."""
    mentions = of_text(require, GATE_NAMES, findings)
    read = [names.check_gate(variables, mention) for mention in mentions]
    if findings.sound(require) and not any(mention.root == "outputs" for mention in mentions):
        help = "say what the sample must show, as in `outputs.STEP.accept_rate >= 0.9`"
        findings.wrong(require, "`require` reads no `outputs`, so it says nothing of the sample", help)
    return [one for one in read if one]


def _draws(step: str, graph: Graph, steps: Mapping[str, Draft]) -> bool:
    """Whether rows of a file or a list may come to a step, directly or through others."""
    if step in graph.doubtful:
        return True
    near = [steps[one] for one in (step, *graph.before[step])]
    return any(
        isinstance(one.step.foreach, (FileSource, ListSource)) or (one.mapped and one.step.foreach is None)
        for one in near
    )


def _rate(require: Scalar, read: Sequence[OutputName], steps: Mapping[str, Draft], findings: Findings) -> float | None:
    """The NUMBER of `outputs.STEP.accept_rate >= NUMBER`, which is all that can be tested with a confidence."""
    if not findings.sound(require) or not read:
        return None
    match = _CLAIM.fullmatch(require.text)
    if match is None or match[2] != ">=":
        spelled = f"write `{match[1]} >= {match[3]}`" if match and match[2] == ">" else None
        free = "without `confidence` any condition decides, by the sample alone"
        findings.wrong(require, f"with `confidence`, `require` must be {_FORM}", lines(spelled, free))
    elif not 0 < float(match[3]) < 1:
        what = f"with `confidence`, the number of `require` must be between 0 and 1, not {match[3]}"
        findings.wrong(require, what, "no sample shows that all rows would be accepted; write a rate such as `0.95`")
    elif read[0].path is not None or not steps[read[0].step].mapped:
        there = f"`{match[1].removesuffix('.accept_rate')}` is no summary of a foreach step"
        findings.wrong(require, f"{there}, so there are no rows to be sure of", f"write {_FORM} of a foreach step")
    else:
        return float(match[3])
    return None


def _note_size(inner: Fields, size: int, gate: Gate) -> None:
    """A sample that is too small to pass is worth a word; of a batch that is not much larger, fewer rows are enough."""
    least = needed(0, 0, gate)
    if least is not None and size < least:
        what = f"{size} rows cannot show this: even if all are accepted it takes {least}"
        help = f"write `size: {least}` or more; fewer are enough only where there are few more rows to come"
        inner.findings.note(inner.mapping.key("size") or inner.mapping, what, help)


def _judge_inconclusive(inner: Fields) -> None:
    key = inner.mapping.key("on_inconclusive")
    if key and inner.node("on_inconclusive") and inner.mapping.get("confidence") is None:
        what = "`on_inconclusive` is about the test that `confidence` asks for"
        inner.findings.wrong(key, what, "add `confidence: 0.95`, or remove it")
