"""What a task's model calls came to, as one bill."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.core.calls import Call
from penstock.core.work import Bill


def bill_of(calls: Sequence[Call], model: str | None) -> Bill:
    """The calls, summed up; `model` gave the last answer. The cost is not known as soon as that of one call is not."""
    sent = [call for call in calls if not call.cached]
    costs = [call.cost.micros for call in sent]
    known = [micros for micros in costs if micros is not None]
    return Bill(
        model,
        sum(call.usage.input_tokens for call in calls if call.usage),
        sum(call.usage.output_tokens for call in calls if call.usage),
        sum(known) if len(known) == len(costs) else None,
        len(sent),
        len(calls) - len(sent),
    )
