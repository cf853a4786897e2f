"""What is tried next when a model call or its answer went wrong: a pure function of the policy and the tries so far.

    denied                            next model
    overflow                          shrink, then a later model with a larger window
    truncated                         raise max_tokens, shrink, next model
    refused                           next model
    not_json, schema, check, judge    re-ask until the model's attempts are spent, then next model
    doubtful (`accept_when`)          next model; the last one is not doubted
    the same errors or answer again   shrink, then next model
    transport, its sends spent        next model

Models are only ever left for later ones and a rung of `shrink`, once taken, stays taken. So a loop ends after at most
`most_tries` tries. It depends on nothing but its arguments, so that a chain of re-asks asks the same again and is
answered from the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.core.calls import FaultClass, Flaw
from penstock.core.generation import Generate
from penstock.core.models import Model
from penstock.core.work import Verdict

_JUDGED = frozenset({FaultClass.NOT_JSON, FaultClass.SCHEMA, FaultClass.CHECK, FaultClass.JUDGE})
_FAILED = frozenset({FaultClass.DENIED, FaultClass.OVERFLOW, FaultClass.TRANSPORT})
_LIMIT_NAMES = ("max_tokens", "max_completion_tokens", "num_predict")


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be tried: models from cheap to strong, attempts at each, rungs of `shrink`, the author's own limit."""

    models: tuple[Model, ...]
    attempts: int
    rungs: int = 0
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Previous:
    """The last bad answer, which a re-ask shows to the model, and what is wrong with it."""

    text: str
    cls: FaultClass
    flaws: tuple[Flaw, ...]


@dataclass(frozen=True, slots=True)
class Try:
    """One question: `model` is an index, `rung` how many rungs of `shrink` are taken.

    `max_tokens` is None where the author's own limit stands, or none; `raised` tells that it was raised. With
    `previous` it is a re-ask.
    """

    model: int
    rung: int = 0
    max_tokens: int | None = None
    raised: bool = False
    previous: Previous | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """A try and what was wrong with it. `text` and `flaws` are of an answer, `message` of a call that had none.

    `max_tokens_sent` is the limit that the request held, if that is another than the try and the author say;
    `max_tokens_cap` the most that the model can write, if more is known than its `max_tokens`.
    """

    tried: Try
    cls: FaultClass
    text: str | None = None
    flaws: tuple[Flaw, ...] = ()
    message: str = ""
    max_tokens_sent: int | None = None
    max_tokens_cap: int | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing is left to try. `rejected`: there were answers and none will do; `failed`: there was none to be had."""

    verdict: Verdict
    cls: FaultClass
    reason: str


def policy_of(generate: Generate) -> Policy:
    """The policy that a `generate` step sets; where a model is forced, with that one in the place of its own."""
    limits = [value for name, value in generate.params if name in _LIMIT_NAMES and isinstance(value, int)]
    models = (generate.forced,) if generate.forced is not None else generate.models
    return Policy(models, generate.attempts, len(generate.shrink), limits[0] if limits else None)


def most_tries(policy: Policy) -> int:
    """The most tries that a loop can take: models x (attempts + 1) + rungs.

    Each model has its attempts and one raised limit, the first of them reached from the model before; each rung is one.
    """
    return len(policy.models) * (policy.attempts + 1) + policy.rungs


def is_last(policy: Policy, tried: Try) -> bool:
    """Whether no other model is left to turn to."""
    return tried.model + 1 == len(policy.models)


def first(policy: Policy) -> Try:
    """The first try: the cheapest model, nothing left out."""
    return Try(0)


def after(policy: Policy, history: Sequence[Past]) -> Try | Stop:
    """What follows the last of these tries, none of which was accepted."""
    last = history[-1]
    match last.cls:
        case FaultClass.TRANSPORT | FaultClass.DENIED | FaultClass.REFUSED | FaultClass.DOUBTFUL:
            following = _next_model(policy, last.tried)
        case FaultClass.OVERFLOW:
            following = _shrunk(policy, last.tried) or _larger(policy, last.tried)
        case FaultClass.TRUNCATED:
            following = _raised(policy, last) or _shrunk(policy, last.tried) or _next_model(policy, last.tried)
        case _:
            following = _asked_again(policy, history)
    return following or _stop(policy, history)


def _asked_again(policy: Policy, history: Sequence[Past]) -> Try | None:
    last = history[-1]
    judged = [past for past in history if past.tried.model == last.tried.model and past.cls in _JUDGED]
    if len(judged) >= policy.attempts:
        return _next_model(policy, last.tried)
    if last.cls is FaultClass.STUCK or stuck(history):
        return _shrunk(policy, replace(last.tried, previous=None)) or _next_model(policy, last.tried)
    return replace(last.tried, previous=Previous(last.text or "", last.cls, last.flaws))


def stuck(history: Sequence[Past]) -> bool:
    """Whether the last answer has the errors of the one before, or is one that this model gave already.

    Errors are the same if they stand at the same places, expect the same and got the same: a score that went from 0.2
    to 0.4 is on its way. Only answers to the same model and prompt (rung) are compared.
    """
    last = history[-1]
    here = (last.tried.model, last.tried.rung)
    earlier = [past for past in history[:-1] if (past.tried.model, past.tried.rung) == here and past.cls in _JUDGED]
    if not earlier:
        return False
    same_errors = (earlier[-1].cls, earlier[-1].flaws) == (last.cls, last.flaws)
    return same_errors or any(past.text == last.text for past in earlier)


def _shrunk(policy: Policy, tried: Try) -> Try | None:
    return replace(tried, rung=tried.rung + 1) if tried.rung < policy.rungs else None


def _next_model(policy: Policy, tried: Try) -> Try | None:
    return None if is_last(policy, tried) else Try(tried.model + 1, tried.rung)


def _larger(policy: Policy, tried: Try) -> Try | None:
    """The next model whose window is known and larger; beside a window that is not known, any known one counts."""
    window = policy.models[tried.model].context_tokens or 0
    for index in range(tried.model + 1, len(policy.models)):
        if (policy.models[index].context_tokens or 0) > window:
            return Try(index, tried.rung)
    return None


def _raised(policy: Policy, last: Past) -> Try | None:
    """The same try with `max_tokens` at its cap, or at twice what it was where no cap is known; once a model."""
    tried = last.tried
    if tried.raised:
        return None
    limit = last.max_tokens_sent or tried.max_tokens or policy.max_tokens
    cap = last.max_tokens_cap or policy.models[tried.model].max_tokens or (limit or 0) * 2
    return replace(tried, max_tokens=cap, raised=True) if cap > (limit or 0) else None


def _stop(policy: Policy, history: Sequence[Past]) -> Stop:
    last = history[-1]
    verdict = Verdict.FAILED if last.cls in _FAILED else Verdict.REJECTED
    name = policy.models[last.tried.model].name
    return Stop(verdict, last.cls, f"{name}: {_why(policy, history)}")


def _why(policy: Policy, history: Sequence[Past]) -> str:
    last = history[-1]
    said = f": {last.message}" if last.message else ""
    match last.cls:
        case FaultClass.DENIED:
            return f"the call was denied{said}"
        case FaultClass.TRANSPORT:
            return f"the model could not be reached{said}"
        case FaultClass.OVERFLOW:
            rungs = " and nothing is left to shrink" if policy.rungs else ""
            return f"the prompt is too long for its window{rungs}, and no later model has a larger one{said}"
        case FaultClass.REFUSED:
            return f"the model refused to answer{said}"
        case FaultClass.TRUNCATED:
            return f"the answer was cut off at the token limit, which cannot be raised further{said}"
        case _:
            return _unmet(history) + said


def _unmet(history: Sequence[Past]) -> str:
    last = history[-1]
    count = sum(past.tried.model == last.tried.model and past.cls in _JUDGED for past in history)
    tier = "is stuck" if last.cls is FaultClass.STUCK else f"does not meet its contract ({last.cls.value})"
    attempts = "1 attempt" if count == 1 else f"{count} attempts"
    repeated = ", the last one no better than one before" if stuck(history) else ""
    flaw = last.flaws[0] if last.flaws else None
    detail = f": {flaw.pointer + ': ' if flaw.pointer else ''}expected {flaw.expected}, got {flaw.got}" if flaw else ""
    return f"the answer {tier} after {attempts}{repeated}{detail}"
