"""A plan with its bill, as text: under each model step what it would buy, for how much, how long, and why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from penstock.cli import show
from penstock.core.views import Action, Decision, Estimate, Plan

WIDTH = 80


def plan(made: Plan) -> list[str]:
    """A line a step, as `show.plan` has them, and its bill under it; the whole at the end if several steps buy."""
    indent = " " * (2 + 5 + 2 + max(len(decision.step_id) for decision in made.decisions) + 2 + 9 + 2)
    lines = []
    for decision, line in zip(made.decisions, show.plan(made), strict=True):
        lines.append(line)
        if decision.estimate is not None and decision.action is not Action.REUSE:
            lines += wrapped(_bill(decision.estimate), indent)
    asking = [decision.estimate for decision in made.decisions if decision.estimate is not None]
    return lines + (_total(asking) if asking else [])


def notes(made: Plan) -> list[str]:
    """What there is to say of the run as a whole."""
    return wrapped(made.notes, "  note   ", " " * 9)


def bill_json(decision: Decision) -> dict[str, object]:
    """A step in the line that `plan --json` prints; dollars, null where they are not known."""
    told: dict[str, object] = {
        "action": decision.action.value,
        "reason": decision.reason,
        "items": decision.items,
        "cached": decision.cached,
        "to_buy": 0,
        "cost_low": None,
        "cost_high": None,
    }
    estimate = decision.estimate
    if estimate is None:
        return told
    return told | {
        "to_buy": estimate.to_buy,
        "to_judge": estimate.to_judge,
        "at_most": estimate.at_most,
        "cost_low": dollars(estimate.low_micros),
        "cost_high": dollars(estimate.high_micros),
        "cost_expected": dollars(estimate.expected_micros),
        "seconds": None if estimate.seconds is None else round(estimate.seconds, 3),
        "notes": list(estimate.notes),
    }


def cost(estimate: Estimate) -> str:
    """`$0.000012 to $0.008000, $0.0021 by past calls`; what is not known is said."""
    low, high = estimate.low_micros, estimate.high_micros
    if low is None:
        known = "cost NOT KNOWN" if high is None else f"cost at most {_money(high)}"
    elif high is None:
        known = f"{_money(low)} or more, the most is NOT KNOWN"
    else:
        known = _money(low) if low == high else f"{_money(low)} to {_money(high)}"
    by_past = estimate.expected_micros
    return known if by_past is None else f"{known}, {_money(by_past)} by past calls"


def dollars(micros: int | None) -> float | None:
    """The amount in dollars; None where it is not known."""
    return None if micros is None else micros / 1_000_000


def wrapped(told: Iterable[str], indent: str, further: str | None = None) -> list[str]:
    """The sentences, none wider than a terminal; a long indent takes no more than half of it. Where a sentence goes on
    in the next line, that is indented by `further`, or by two more."""
    first = indent if len(indent) <= WIDTH // 2 else " " * 9
    rest = further if further is not None else f"{first}  "
    return [
        line
        for sentence in told
        for line in textwrap.wrap(
            show.printable(sentence), WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False
        )
    ]


def _bill(estimate: Estimate) -> Iterator[str]:
    """What would be bought, at what cost, in which time; then what changed and what is not known."""
    if estimate.to_buy is None:
        yield "calls to buy: not known before the run; cost not known"
    elif estimate.to_buy:
        judge = f", {estimate.to_judge:,} of them a judge's" if 0 < estimate.to_judge < estimate.to_buy else ""
        judge = " (a judge's)" if estimate.to_judge == estimate.to_buy else judge
        most = "at most " if estimate.at_most else ""
        yield f"{most}{show.calls(estimate.to_buy)} to buy{judge}"
        yield cost(estimate) + (f"; about {show.seconds(estimate.seconds)}" if estimate.seconds else "")
    elif estimate.high_micros != 0:
        yield f"no calls to buy if answers above will do, else {cost(estimate)}"
    yield from estimate.notes


def _money(micros: int) -> str:
    dollars = micros / 1_000_000
    if micros == 0:
        return "$0"
    return f"${dollars:,.2f}" if dollars >= 10 else f"${dollars:.4f}" if dollars >= 0.01 else f"${dollars:.6f}"


def _total(estimates: list[Estimate]) -> list[str]:
    """All steps together, where more than one buys."""
    buying = [one for one in estimates if one.to_buy != 0 or one.high_micros != 0]
    if len(buying) < 2:
        return []
    counts = [one.to_buy for one in buying]
    whole = Estimate(
        _sum(counts),
        0,
        any(one.at_most for one in buying),
        _sum([one.low_micros for one in buying]),
        _sum([one.high_micros for one in buying]),
        _sum([one.expected_micros for one in buying]),
    )
    return [f"  total  {'; '.join(_bill(whole))}"]


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
