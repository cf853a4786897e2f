"""What an approver should know before a decision, as JSON: all of it from the journal, null where it is not known.

applies     the steps that would follow, each with the first lines of what it does
ended       the ids of those that need the word and have ended without it
rates       of each step before with items: accepted, judged, accept_rate, accept_rate_low
rejections  the most frequent kinds of reasons: step, the reason of one, count
cost, calls of the run so far; cost null where that of a call is not known, or no model was asked
risk        rows rejected and failed over all steps before; `unverified`: accepted by a `generate` step, and no
            `verify` step has judged them; `escalated`: accepted from a later model of a cascade
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.core.approval import Approve
from penstock.core.canon import Json, sayable
from penstock.core.generation import Generate, Verify
from penstock.core.work import Verdict
from penstock.core.workflow import Step, StepSource, Workflow
from penstock.engine.site import Site
from penstock.rules.failures import signature
from penstock.rules.sampling import accept_rate, lower_bound
from penstock.store.approvals import ended_steps
from penstock.store.call_facts import spent_on_run
from penstock.store.database import Database

MOST_LINES = 3
MOST_CHARACTERS = 200
MOST_REASONS = 5
MOST_REASONS_READ = 1000
"""Reasons differ by the values in them; those that differ by nothing else are one."""


def change_summary(site: Site, step: Step) -> dict[str, Json]:
    """The summary for the person whose word this step asks for."""
    before = site.workflow.before(step)
    mapped = [each for each in site.workflow.steps if each.id in before and each.foreach is not None]
    counts = {each.id: _counts(site, each) for each in mapped}
    spent = spent_on_run(site.journal.database, site.run_no)
    after = [each for each in site.workflow.steps if step.id in site.workflow.before(each) and each.id in site.active]
    ended = ended_steps(site.journal.database, site.run_no)
    return {
        "applies": [_applied(each) for each in after if each.id not in ended],
        "ended": [each.id for each in after if each.id in ended],
        "rates": [_rate(each, counts[each.id]) for each in mapped],
        "rejections": _rejections(site, mapped),
        "cost": spent.known_micros / 1_000_000 if spent.calls and not spent.unknown else None,
        "calls": spent.calls,
        "risk": {
            "rejected": sum(count["rejected"] for count in counts.values()),
            "failed": sum(count["failed"] for count in counts.values()),
            "unverified": _unverified(site, mapped),
            "escalated": _escalated(site, mapped),
        },
    }


def _applied(step: Step) -> dict[str, Json]:
    """A step that follows: its kind, and the first lines of its text, its models or what it asks."""
    spec = step.spec
    if isinstance(spec, Approve):
        text = spec.message.text
    elif step.shell is not None:
        text = step.script.source
    else:
        text = "asks " + ", ".join(dict.fromkeys(model.name for model in step.models)) if step.models else ""
    lines = [line for line in text.splitlines() if line.strip()]
    shown = [_short(line) for line in lines[:MOST_LINES]]
    kind = "run" if step.shell is not None else type(spec).__name__.lower()
    return {"step": step.id, "kind": kind, "text": shown, "more_lines": max(0, len(lines) - MOST_LINES)}


def _counts(site: Site, step: Step) -> dict[str, int]:
    rows = site.journal.database.all("verdict_counts", {"step_no": site.steps[step.id]})
    return dict.fromkeys((verdict.value for verdict in Verdict), 0) | {row["verdict"]: row["count"] for row in rows}


def _rate(step: Step, counts: dict[str, int]) -> dict[str, Json]:
    accepted, rejected, failed = counts["accepted"], counts["rejected"], counts["failed"]
    judged = accepted + rejected + failed
    return {
        "step": step.id,
        "accepted": accepted,
        "judged": judged,
        "accept_rate": accept_rate(accepted, rejected, failed),
        "accept_rate_low": lower_bound(accepted, judged),
    }


def _rejections(site: Site, mapped: Sequence[Step]) -> list[Json]:
    """The most frequent reasons over all these steps, the most frequent first."""
    found: dict[tuple[str, str], list[Any]] = {}
    for step in mapped:
        values = {"step_no": site.steps[step.id], "most": MOST_REASONS_READ}
        for row in site.journal.database.all("rejections_of_step", values):
            alike = signature("rejected", row["kind"], row["reason"], "")
            found.setdefault((step.id, alike), [0, row["reason"] or ""])[0] += row["count"]
    most = sorted(found.items(), key=lambda each: -each[1][0])[:MOST_REASONS]
    return [{"step": step, "reason": _short(reason), "count": count} for (step, _), (count, reason) in most]


def _unverified(site: Site, mapped: Sequence[Step]) -> int | None:
    """None where no step before asks a model for answers."""
    made = [step for step in mapped if isinstance(step.spec, Generate)]
    if not made:
        return None
    return sum(_unjudged(site, step, _judges(site.workflow, step, mapped)) for step in made)


def _judges(workflow: Workflow, step: Step, mapped: Sequence[Step]) -> list[str]:
    """The `verify` steps that judge this one's answers: they stream from it, directly or through other steps."""
    return [each.id for each in mapped if isinstance(each.spec, Verify) and _streams_from(workflow, each, step.id)]


def _streams_from(workflow: Workflow, step: Step, above: str) -> bool:
    source = step.foreach
    while isinstance(source, StepSource):
        if source.step == above:
            return True
        source = workflow.step(source.step).foreach
    return False


def _unjudged(site: Site, step: Step, judges: Sequence[str]) -> int:
    values = {"step_no": site.steps[step.id], "names": f",{','.join(judges)},"}
    return _number(site.journal.database, "unjudged_rows", values)


def _escalated(site: Site, mapped: Sequence[Step]) -> int | None:
    """None where no step before has a cascade."""
    asked = [step.question for step in mapped if step.question is not None]
    if not any(len(question.models) > 1 for question in asked):
        return None
    steps = [step for step in mapped if step.question is not None]
    return sum(_number(site.journal.database, "escalated_rows", {"step_no": site.steps[step.id]}) for step in steps)


def _number(database: Database, query: str, values: dict[str, object]) -> int:
    row = database.one(query, values)
    return int(row[0]) if row is not None else 0


def _short(line: str) -> str:
    """A line that may hold anything, short enough to be shown."""
    text = sayable(line.rstrip())
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
