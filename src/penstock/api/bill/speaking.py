"""What a model may be asked in a step, and what it may write: the bounds that a bill is made of."""

from __future__ import annotations

import json

from penstock.core.calls import Message, Request
from penstock.core.canon import compact
from penstock.core.generation import Generate
from penstock.core.models import Model
from penstock.core.workflow import Step
from penstock.kinds.asking import Asking, Question
from penstock.models.adapters import ADAPTERS
from penstock.models.bodies import LIMITS, LOGPROBS
from penstock.rules.bill import Speaker, complaint
from penstock.rules.worst_case import answers, most_input, most_output


def questions_of(asking: Asking) -> tuple[Question | None, Question | None]:
    """What the step asks, and what it asks its judge."""
    return asking.question, asking.judge.question if asking.judge is not None else None


def speakers(step: Step, asking: Asking, question: Question) -> list[tuple[Speaker, Model]]:
    """The models that may be asked this question of the step, as they may be asked."""
    told = _complaint(step, asking, question)
    return [(_speaker(model, question, told), model) for model in question.policy.models]


def most_written(question: Question) -> int | None:
    """The most tokens of an answer to this question, whoever gives it; None where nothing bounds it."""
    written = [_speaker(model, question, None).written for model in question.policy.models]
    known = [tokens for tokens in written if tokens is not None]
    return max(known) if len(known) == len(written) else None


def _complaint(step: Step, asking: Asking, question: Question) -> int | None:
    """The most tokens in which a re-ask of this question tells what is wrong with the answer."""
    schema = compact(question.schema).encode() if question.schema is not None else b""
    if question.purpose == "judge" or not isinstance(step.spec, Generate):
        return complaint(schema, ())
    _, judge = questions_of(asking)
    return complaint(schema, step.spec.contract.checks, most_written(judge) if judge is not None else 0)


def _speaker(model: Model, question: Question, told: int | None) -> Speaker:
    """The model as it may be asked this question: what stands around the prompt, and what it may write."""
    own = question.policy.max_tokens
    roles = ("system", "user", "assistant", "user") if question.system else ("user", "assistant", "user")
    turns = tuple(Message(role, "") for role in roles)
    limit = model.max_tokens if own is None else None
    looked_at = LOGPROBS.get(model.provider) if question.logprobs else None
    params = {looked_at: True, **question.params} if looked_at is not None else question.params
    request = Request(model, turns, params, question.schema, limit)
    adapter = ADAPTERS[model.provider]
    body = adapter.build(request, adapter.endpoint(model.base_url, None), frozenset()).http.body
    calls = question.policy.attempts + 1 + question.policy.rungs
    return Speaker(model.name, most_input(request, body), _written(request, body), calls, told)


def _written(request: Request, body: bytes) -> int | None:
    """The most that the model writes at once, its limit raised after an answer that was cut."""
    sent = _limit_in(body)
    count, model = answers(request), request.model
    plain = most_output(model, sent, count)
    if sent is None or plain is None:
        return plain
    return max(plain, (model.max_tokens or 2 * sent) * count)


def _limit_in(body: bytes) -> int | None:
    """The token limit that the body holds, by whatever name; None if there is none."""
    told = json.loads(body) if body.startswith(b"{") else {}
    inner = (told, *(value for value in told.values() if isinstance(value, dict)))
    found = [each[name] for each in inner for name in LIMITS if isinstance(each.get(name), int)]
    return found[0] if found and found[0] > 0 else None
