"""What a gate found, with the sentence that people read: rows, rate, evidence, cost, and what would be needed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from penstock.core.sampling import GateReport, GateState
from penstock.engine.site import Site
from penstock.rules.sampled_steps import Outline, name_of
from penstock.rules.sampling import lower_bound
from penstock.rules.sequential import Gate, needed
from penstock.store import gates
from penstock.store.call_facts import spent_on_run


@dataclass(frozen=True, slots=True)
class Asked:
    """What the sample came to. `streams` are the root streams by name, each with its rows and those begun of it.

    `rejects` of the `judged` rows of the counted step were rejected or failed. `spent_micros` is what model calls cost
    so far, None where none was sent or not every cost is known.
    """

    streams: tuple[tuple[str, int, int], ...]
    rejects: int = 0
    judged: int = 0
    spent_micros: int | None = None

    @classmethod
    def of(cls, site: Site, shape: Outline) -> Asked:
        """What the journal knows by now."""
        database, spent = site.journal.database, spent_on_run(site.journal.database, site.run_no)
        drawn = [stream for stream in gates.drawn(database, site.run_no) if stream.step_id in shape.roots]
        streams = {name_of(site.workflow.step(found.step_id)): (found.total, found.begun) for found in drawn}
        counts: dict[str, int] = {}
        if shape.counted is not None:
            rows = database.all("verdict_counts", {"step_no": site.steps[shape.counted]})
            counts = {row["verdict"]: int(row["count"]) for row in rows}
        rejects = counts.get("rejected", 0) + counts.get("failed", 0)
        return cls(
            tuple((name, total, begun) for name, (total, begun) in streams.items()),
            rejects,
            rejects + counts.get("accepted", 0),
            spent.known_micros if spent.calls and not spent.unknown else None,
        )

    @property
    def rest(self) -> int:
        """How many rows of the root streams have not been begun."""
        return sum(total - begun for _, total, begun in self.streams)

    @property
    def rest_micros(self) -> int | None:
        """What the rest would come to at the cost of the rows that were begun."""
        begun = sum(begun for _, _, begun in self.streams)
        if self.spent_micros is None or not begun:
            return None
        return round(self.spent_micros / begun * self.rest)

    def told(self) -> str:
        """`200 of 10,000 rows of inputs.jsonl`."""
        rows = [f"{begun:,} of {total:,} rows of {name}" for name, total, begun in self.streams]
        return " and ".join(rows) or "no rows"


def report_of(
    asked: Asked, state: GateState, answer: str | None, gate: Gate | None = None, word: str | None = None
) -> GateReport:
    """The report. `answer` is the condition's, with its operands; or `gate` is the test that was asked, and `word`
    what it says."""
    rejects, judged = asked.rejects, asked.judged
    rate_low = lower_bound(judged - rejects, judged)
    bare = GateReport(
        state, "", judged, rejects, rate_low, spent_micros=asked.spent_micros, rest_micros=asked.rest_micros
    )
    if gate is None:
        return replace(bare, reason=_sentence(asked, bare, f"{answer}: {state.value}"))
    found = gate.after(rejects, judged)
    more = None if state is GateState.PASSED else needed(rejects, judged, gate)
    full = replace(bare, evidence=found.evidence, against=found.against, limit=gate.limit, more_rows=more)
    return replace(full, reason=_sentence(asked, full, f"{_evidence(full)}: {word}"))


def _sentence(asked: Asked, report: GateReport, finding: str) -> str:
    parts = [f"sample: {asked.told()}", f"k={report.rejects:,} rejected of n={report.judged:,} judged"]
    if report.judged and report.rate_low is not None:
        rate = (report.judged - report.rejects) / report.judged
        parts.append(f"accept rate {rate:.3f} (at least {report.rate_low:.3f} with 95 %)")
    sentence = f"{', '.join(parts)}, {finding}"
    wanting = _wanting(report)
    return "; ".join(part for part in (sentence, wanting, _cost(asked)) if part)


def _evidence(report: GateReport) -> str:
    assert report.evidence is not None
    assert report.against is not None
    limit = f"{report.limit:,.4g}"
    if report.against >= (report.limit or math.inf):
        return f"evidence against it {_number(report.against)}, where {limit} is enough"
    return f"evidence {_number(report.evidence)} of {limit} needed"


def _number(value: float) -> str:
    return f"{value:,.3g}" if value < 1e6 else "over a million"


def _wanting(report: GateReport) -> str:
    """What would have been needed; empty for a gate that passed, or where nobody can say."""
    if report.state is GateState.PASSED or report.limit is None:
        return ""
    if report.more_rows is None:
        return "no number of accepted rows more would have made it pass"
    rows = "1 more row, accepted," if report.more_rows == 1 else f"about {report.more_rows:,} more rows, all accepted,"
    return f"{rows} would have made it pass"


def _cost(asked: Asked) -> str:
    rest = f"the remaining {asked.rest:,} rows"
    if asked.spent_micros is None:
        return f"{asked.rest:,} rows remained" if asked.rest else ""
    spent = f"{_dollars(asked.spent_micros)} so far"
    if not asked.rest or asked.rest_micros is None:
        return spent
    return f"{spent}, about {_dollars(asked.rest_micros)} for {rest}"


def _dollars(micros: int) -> str:
    dollars = micros / 1_000_000
    return f"${dollars:,.2f}" if dollars >= 1 or not micros else f"${dollars:.3g}"
