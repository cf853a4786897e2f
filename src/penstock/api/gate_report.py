"""What a gate found, with the sentence that people read: rows, rate, evidence, cost, and what would be needed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from penstock.core.sampling import GateReport, GateState
from penstock.engine.sampling import lost_rows
from penstock.engine.site import Site
from penstock.rules.sampled_steps import Outline, lineage, name_of
from penstock.rules.sampling import lower_bound
from penstock.rules.sequential import Gate, needed
from penstock.store import gates
from penstock.store.call_facts import spent_on_run


@dataclass(frozen=True, slots=True)
class Asked:
    """What the sample came to. `streams` are the root streams by name, each with its rows and those begun of it.

    `rejects` of the `judged` rows of the step `counted` were rejected or failed, `lost` more failed before they came to
    it, and `left` rows of its root stream have not been begun. `counted` is None where no step is. `spent_micros` is
    what model calls cost so far, None where none was sent or not every cost is known.
    """

    streams: tuple[tuple[str, int, int], ...]
    counted: str | None = None
    rejects: int = 0
    judged: int = 0
    lost: int = 0
    left: int = 0
    spent_micros: int | None = None

    @classmethod
    def of(cls, site: Site, shape: Outline) -> Asked:
        """What the journal knows by now."""
        database, spent = site.journal.database, spent_on_run(site.journal.database, site.run_no)
        drawn = [stream for stream in gates.drawn(database, site.run_no) if stream.step_id in shape.roots]
        streams = {name_of(site.workflow.step(found.step_id)): (found.total, found.begun) for found in drawn}
        asked = cls(
            tuple((name, total, begun) for name, (total, begun) in streams.items()),
            spent_micros=spent.known_micros if spent.calls and not spent.unknown else None,
        )
        if shape.counted is None:
            return asked
        line = lineage(site.workflow, site.workflow.step(shape.counted))
        rows = database.all("verdict_counts", {"step_no": site.steps[shape.counted]})
        counts = {row["verdict"]: int(row["count"]) for row in rows}
        rejects = counts.get("rejected", 0) + counts.get("failed", 0)
        return replace(
            asked,
            counted=shape.counted,
            rejects=rejects,
            judged=rejects + counts.get("accepted", 0),
            lost=lost_rows(site.journal, site.run_no, [(step, site.steps[step.id]) for step in line]),
            left=sum(found.total - found.begun for found in drawn if found.step_id == line[-1].id),
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
        rows = [f"{begun:,} of {_rows(total)} of {name}" for name, total, begun in self.streams]
        return " and ".join(rows) or "no rows"


def report_of(asked: Asked, state: GateState, said: str, gate: Gate | None = None, by_rows: bool = True) -> GateReport:
    """The report, which says `said` in the end. `gate` is the test that was asked, None without a confidence; the lost
    rows of `asked` are among its rejects then. `by_rows`: more rows could have said something else."""
    rejects, judged = asked.rejects, asked.judged
    report = GateReport(
        state,
        "",
        judged,
        rejects,
        lower_bound(judged - rejects, judged),
        spent_micros=asked.spent_micros,
        rest_micros=asked.rest_micros,
        counted=asked.counted,
        lost=asked.lost,
    )
    if gate is None:
        return replace(report, reason=_sentence(asked, report, said, ""))
    found = gate.after(rejects, judged)
    report = replace(report, evidence=found.evidence, against=found.against, limit=gate.limit)
    more = needed(rejects, judged, gate)
    wanting = _wanting(more, asked.left) if by_rows and state is not GateState.PASSED else ""
    would_do = more if wanting and more is not None and more <= asked.left else None
    said = f"{_evidence(report)}: {said}"
    return replace(report, more_rows=would_do, reason=_sentence(asked, report, said, wanting))


def _sentence(asked: Asked, report: GateReport, said: str, wanting: str) -> str:
    parts = [f"sample: {asked.told()}", *_counts(report), said]
    return "; ".join(part for part in (", ".join(parts), wanting, _cost(asked)) if part)


def _counts(report: GateReport) -> Iterator[str]:
    """What the counted step's rows came to; nothing where none is counted."""
    if report.counted is None:
        return
    lost, came = f"{report.lost:,}", f"failed before {'it' if report.lost == 1 else 'they'} came to it"
    among = f" ({lost} of them {came})" if report.lost and report.limit is not None else ""
    yield f"k={report.rejects:,} rejected of n={report.judged:,} judged by {report.counted}{among}"
    if report.lost and report.limit is None:
        yield f"{lost} more {came}"
    if report.judged and report.rate_low is not None:
        rate = (report.judged - report.rejects) / report.judged
        yield f"accept rate {rate:.3f} (at least {report.rate_low:.3f} with 95 %)"


def _evidence(report: GateReport) -> str:
    assert report.evidence is not None
    assert report.against is not None
    limit = f"{report.limit:,.4g}"
    if report.against >= (report.limit or math.inf):
        return f"evidence against it {_number(report.against)}, where {limit} is enough"
    return f"evidence {_number(report.evidence)} of {limit} needed"


def _number(value: float) -> str:
    return f"{value:,.3g}" if value < 1e6 else "over a million"


def _wanting(more: int | None, left: int) -> str:
    """What would have been needed of the rows that are `left`."""
    if more is None:
        return "no number of accepted rows more would have made it pass"
    rows = "1 more row, accepted," if more == 1 else f"about {more:,} more rows, all accepted,"
    if more <= left:
        return f"{rows} would have made it pass"
    there = f"only {_rows(left)} remain{'s' if left == 1 else ''}" if left else "no row remains"
    return f"{rows} would have been needed, and {there}"


def _cost(asked: Asked) -> str:
    if asked.spent_micros is None:
        return f"{_rows(asked.rest)} remained" if asked.rest else ""
    spent = f"{_dollars(asked.spent_micros)} so far"
    if not asked.rest or asked.rest_micros is None:
        return spent
    return f"{spent}, about {_dollars(asked.rest_micros)} for the remaining {_rows(asked.rest)}"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _dollars(micros: int) -> str:
    dollars = micros / 1_000_000
    return f"${dollars:,.2f}" if dollars >= 1 or not micros else f"${dollars:.3g}"
