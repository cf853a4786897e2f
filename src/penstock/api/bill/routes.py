"""What a step's rules would do with its rows: a count for each rule and some examples; memory holds no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from penstock.api.bill.reach import rules_of
from penstock.api.bill.rehearsing import Found, Row
from penstock.api.bill.unknown import Unknown
from penstock.core.canon import compact, item_key
from penstock.core.generation import Rule
from penstock.core.routing import Branch
from penstock.core.views import Estimate, Example, Matched, RoutePlan, RulePlan
from penstock.core.workflow import Step

MOST_EXAMPLES = 10
MOST_CHARACTERS = 60
_READ_CHARACTERS = 1000


@dataclass(slots=True)
class _Way:
    """The rows that go one way, so far."""

    items: int = 0
    most: int = 0
    examples: list[Example] = field(default_factory=list)

    def take(self, row: Row, surely: bool) -> None:
        self.items += surely
        self.most += 1
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(_example(row))

    def matched(self) -> Matched:
        return Matched(self.items, self.most, tuple(self.examples))


class RouteCount:
    """Is shown every row of a step with rules, and then tells what those would do."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._rules = rules_of(step)
        self._ways = [_Way() for _ in self._rules]
        self._unmatched, self._unanswered = _Way(), _Way()

    def see(self, row: Row, found: Found) -> None:
        """One more row. One that `where` leaves out comes to no rule."""
        reach, certain = found.reach, not (row.assumed or row.possible)
        if found.faulty or (reach is not None and reach.fault):
            self._unanswered.take(row, certain and (reach is None or reach.sure))
        if reach is None:
            return
        for number in reach.rules:
            self._ways[number - 1].take(row, certain and reach.sure)
        if reach.by_none:
            self._unmatched.take(row, certain and reach.sure)

    def plan(self, estimate: Callable[[int], Estimate] | None) -> RoutePlan:
        """What the rules would do with the rows that were shown. `estimate` tells what those of a rule would come to;
        None where no model is asked."""
        rules = tuple(
            self._ruled(number, way.matched(), estimate(number) if estimate is not None else None)
            for number, way in enumerate(self._ways, 1)
        )
        return RoutePlan(rules, self._unmatched.matched(), self._unanswered.matched())

    def unknown(self, bound: int | None, note: str) -> RoutePlan:
        """The same where no row is known before the run, as `note` says: there are at most `bound`."""
        most = Matched(0, bound)
        rules = tuple(self._ruled(number, most, None) for number in range(1, len(self._rules) + 1))
        ends = any(rule.when is None for rule in self._rules)
        return RoutePlan(rules, Matched() if ends else most, most, note)

    def _ruled(self, number: int, matched: Matched, estimate: Estimate | None) -> RulePlan:
        rule = self._rules[number - 1]
        local = rule.local or self._step.local
        return RulePlan(number, rule.when, " → ".join(_goes(self._step, rule)), local, matched, estimate)


def _goes(step: Step, rule: Rule | Branch) -> Iterator[str]:
    """The branch, or the models from the first."""
    if isinstance(rule, Branch):
        yield rule.to
        return
    forced = step.question.forced if step.question is not None else None
    yield from (model.name for model in (rule.models if forced is None else (forced,)))


def _example(row: Row) -> Example:
    """A piece of the row on one line, without signs that would move a cursor."""
    arrival = row.arrival
    known = row.known and not isinstance(arrival.value, Unknown)
    if known:
        text = arrival.text[:_READ_CHARACTERS].decode("utf-8", "replace")
    else:
        text = row.origin if isinstance(row.origin, str) else compact(row.origin)
    line = " ".join(text[:_READ_CHARACTERS].split())
    shown = "".join(sign for sign in line if sign.isprintable())
    cut = shown if len(shown) <= MOST_CHARACTERS else f"{shown[: MOST_CHARACTERS - 1]}…"
    return Example(item_key(arrival.digest, row.occurrence) if known else None, cut)
