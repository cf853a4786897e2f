"""What tests of limits share: a limiter, and what a server may answer."""

from __future__ import annotations

from penstock.core.calls import Answer, Fault, FaultClass, Finish, Reply, TransportKind, Usage
from penstock.core.models import Model
from penstock.models.limits import Limiter, Limits, Permit
from penstock.models.wire import Endpoint
from tests.virtual_time import LoopClock

MODEL = Model("large", "openai", "gpt-4o")
THERE = Endpoint("https://api.openai.com/v1", "a-key")


def reply(used: int = 0) -> Reply:
    return Reply("yes", Finish.STOP, Usage(used, 0) if used else None, "gpt-4o")


def refusal(asked_s: float | None = None, kind: TransportKind = TransportKind.RATE_LIMIT, status: int = 429) -> Fault:
    return Fault(FaultClass.TRANSPORT, "no", kind, status, asked_s)


def answer(**headers: str) -> Answer:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(200, named, b"", LoopClock().now(), 0.0)


def limiter_of(concurrency: int | None = 64, model: Model = MODEL) -> Limiter:
    return Limits(LoopClock()).limiter_of(model, THERE, "ask", concurrency)


async def entered(limiter: Limiter, tokens: int = 10, longest_s: float = 900, in_all_s: float = 900) -> Permit:
    permit = await limiter.enter(tokens, longest_s, in_all_s)
    assert isinstance(permit, Permit)
    return permit
