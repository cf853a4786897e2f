"""What a step's rules would do with its rows, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.cli import show
from penstock.cli.bill_lines import WIDTH, cost, dollars, wrapped
from penstock.cli.wrapping import columns
from penstock.core.views import Decision, Estimate, Matched, Plan, RoutePlan, RulePlan

_IN, _EXAMPLE = " " * 10, " " * 12


def routes(made: Plan) -> list[str]:
    """For each step with rules the rows that go by each of them, with examples; empty where no step was asked about."""
    lines: list[str] = []
    for decision in made.decisions:
        if decision.routes is not None:
            lines += ["", *_step(decision.step_id, decision.routes)]
    return [*lines, ""] if lines else []


def routes_json(decision: Decision) -> dict[str, object]:
    """What the line of `plan --json --routes` says more of a step; nothing of one without rules."""
    found = decision.routes
    if found is None:
        return {}
    told = {
        "rules": [_rule_json(rule) for rule in found.rules],
        "unmatched": _matched_json(found.unmatched),
        "unanswered": _matched_json(found.unanswered),
        "unreached": list(found.unreached),
        "note": found.note,
    }
    return {"routes": told}


def _step(step_id: str, found: RoutePlan) -> Iterator[str]:
    yield from wrapped([f"routes of {step_id}"], "  ")
    if found.note is not None:
        yield from wrapped([found.note], "    ")
    for rule in found.rules:
        yield from _rule(rule)
    if found.unmatched.most != 0:
        yield from _gone_wrong("no rule matches", found.unmatched)
    if found.unanswered.most != 0 and found.note is None:
        yield from _gone_wrong("no answer", found.unanswered)
    if found.unreached:
        named = ", ".join(str(number) for number in found.unreached)
        yield from wrapped([f"no row reaches rule {named}"], "    ")


def _rule(rule: RulePlan) -> Iterator[str]:
    head = f"    {rule.number:>3}  "
    when = f"when {rule.when}" if rule.when is not None else "all that come to it"
    yield from wrapped([when], head, _IN)
    here = ", stay here" if rule.local else ""
    bought = f"; {_bought(rule.estimate)}" if rule.estimate is not None and rule.matched.most != 0 else ""
    yield from wrapped([f"{_count(rule.matched)} to {rule.goes}{here}{bought}"], _IN)
    yield from _examples(rule.matched)


def _gone_wrong(what: str, matched: Matched) -> Iterator[str]:
    """Rows that would fail."""
    yield from wrapped([f"{what}: {_count(matched)} would fail"], "      -  ", _IN)
    yield from _examples(matched)


def _count(matched: Matched) -> str:
    """`3 items`, `at most 3 items`, `3 to 5 items`; `items` where nothing bounds them."""
    if matched.most is None:
        return "items, how many is not known,"
    noun = "item" if matched.most == 1 else "items"
    if matched.items == matched.most:
        return f"{matched.most:,} {noun}" if matched.most else "no items"
    some = f"{matched.items:,} to" if matched.items else "at most"
    return f"{some} {matched.most:,} {noun}"


def _bought(estimate: Estimate) -> str:
    if not estimate.to_buy:
        return "no calls to buy" if estimate.high_micros == 0 else f"no calls to buy at first, {cost(estimate)}"
    return f"{'at most ' if estimate.at_most else ''}{show.calls(estimate.to_buy)} to buy, {cost(estimate)}"


def _examples(matched: Matched) -> Iterator[str]:
    for one in matched.examples:
        key = one.key if one.key is not None else "made of"
        yield _fitting(show.printable(f"{_EXAMPLE}{key:<16}  {one.text}".rstrip()))


def _fitting(line: str) -> str:
    """The line, its end cut off where a terminal would break it."""
    if columns(line) <= WIDTH:
        return line
    ends = (end for end in range(len(line), 0, -1) if columns(line[:end]) < WIDTH)
    return f"{line[: next(ends, 0)]}…"


def _rule_json(rule: RulePlan) -> dict[str, object]:
    estimate = rule.estimate
    bought: dict[str, object] = {}
    if estimate is not None:
        ends = {"cost_low": dollars(estimate.low_micros), "cost_high": dollars(estimate.high_micros)}
        bought = {"to_buy": estimate.to_buy, "to_judge": estimate.to_judge, "at_most": estimate.at_most, **ends}
    place = {"rule": rule.number, "when": rule.when, "goes": rule.goes, "local": rule.local}
    return {**place, **_matched_json(rule.matched), **bought}


def _matched_json(matched: Matched) -> dict[str, object]:
    examples = [{"key": one.key, "row": one.text} for one in matched.examples]
    return {"items": matched.items, "most": matched.most, "examples": examples}
