"""The loop of a model call: ask, judge, and try what is next until an answer will do or nothing is left to try.

What is next is decided in rules/repair.py; what was bought is kept by the client before anything here looks at it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from penstock.core.calls import Call, Fault, FaultClass, Finish, Flaw, Judgement, Message, Reply, Request, Signals
from penstock.core.canon import Json
from penstock.core.errors import ConditionError
from penstock.core.models import Model
from penstock.core.work import Bill, Verdict
from penstock.kinds.asking import Asking, Bench, Question
from penstock.models.bodies import LIMITS, LOGPROBS
from penstock.models.client import Asked, Whose
from penstock.rules.conditions import decide
from penstock.rules.contract import judged
from penstock.rules.prompts import render
from penstock.rules.reask import messages
from penstock.rules.repair import Past, Previous, Stop, Try, after, first, is_last
from penstock.rules.shrinking import shrink


@dataclass(slots=True)
class Account:
    """What one task's calls came to so far, and the story of them."""

    task_number: int
    attempt: int = 0
    calls: list[Call] = field(default_factory=list)
    model: str | None = None
    trail: list[Mapping[str, Json]] = field(default_factory=list)

    def bill(self) -> Bill:
        """The calls, summed up. The cost is not known as soon as that of one call is not."""
        sent = [call for call in self.calls if not call.cached]
        costs = [call.cost.micros for call in sent]
        known = [micros for micros in costs if micros is not None]
        return Bill(
            self.model,
            sum(call.usage.input_tokens for call in self.calls if call.usage),
            sum(call.usage.output_tokens for call in self.calls if call.usage),
            sum(known) if len(known) == len(costs) else None,
            len(sent),
            len(self.calls) - len(sent),
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """An answer that will do: its text and what it was found to be."""

    text: str
    judgement: Judgement


async def settle(
    asking: Asking, question: Question, names: Mapping[str, object], account: Account, judge: Bench | None = None
) -> Settled | Stop:
    """An answer that meets the contract, passes the judge and is not doubted, or why there is none. TemplateFault if a
    prompt has no text for these names."""
    history: list[Past] = []
    tried = first(question.policy)
    while True:
        account.attempt += question.purpose != "judge"
        came = await _try(asking, question, tried, names, account, judge, history)
        if not isinstance(came, Past):
            return came
        history.append(came)
        following = after(question.policy, history)
        if isinstance(following, Stop):
            return following
        tried = following


async def _try(
    asking: Asking,
    question: Question,
    tried: Try,
    names: Mapping[str, object],
    account: Account,
    judge: Bench | None,
    history: Sequence[Past],
) -> Settled | Stop | Past:
    """What came of one try: the answer that will do, why the item fails, or what was wrong."""
    request = _request(question, tried, names)
    asked = await _ask(asking, question, request, account)
    found = _judge(question, asked, names)
    text = asked.result.text if isinstance(asked.result, Reply) else None
    if isinstance(found, Judgement) and found.ok and judge is not None:
        opinion = await second_opinion(asking, judge, {**names, "output": found.value}, found, account)
        if isinstance(opinion, Stop):
            _keep(asking, request, asked, Fault(opinion.cls, opinion.reason), text, tried, account, {})
            return opinion
        found = opinion
    stop = None
    signals = _signals(history, tried, found, asked)
    if isinstance(found, Judgement) and found.ok and question.accept_when and not is_last(question.policy, tried):
        found, shown, stop = _weighed(question.accept_when, found, names, signals)
        signals["accept_when"] = shown
    if question.purpose != "judge" or asking.question is None:
        _keep(asking, request, asked, found, text, tried, account, signals)
    if isinstance(found, Judgement) and found.ok:
        return Settled(text or "", found)
    return stop or _past(tried, request, found, asked)


def _request(question: Question, tried: Try, names: Mapping[str, object]) -> Request:
    model = question.policy.models[tried.model]
    seen = shrink(names, question.rungs[: tried.rung])
    system = render(question.system, seen) if question.system else None
    turns = messages(system, render(question.prompt, seen), tried.previous, json=question.schema is not None)
    own = question.policy.max_tokens
    limit = tried.max_tokens if tried.max_tokens is not None else (model.max_tokens if own is None else None)
    return Request(model, turns, _params(question, model), question.schema, limit, tried.raised)


def _params(question: Question, model: Model) -> Mapping[str, Json]:
    """The author's, and that which asks for log-probabilities where they are looked at and the provider has them."""
    asked = LOGPROBS.get(model.provider) if question.logprobs else None
    return {asked: True, **question.params} if asked is not None else question.params


async def _ask(asking: Asking, question: Question, request: Request, account: Account) -> Asked:
    asked = await asking.client.ask(
        request, Whose(account.task_number, account.attempt, question.purpose, asking.step_id), asking.manner
    )
    account.calls += asked.calls
    if isinstance(asked.result, Reply) and (question.purpose != "judge" or account.model is None):
        account.model = _called(request, asked.result)
    return asked


def _called(request: Request, reply: Reply) -> str:
    """What the log calls the model: its name in the workflow; but the simulator never goes by another's."""
    return reply.served if request.model.provider == "sim" else request.model.name


def _judge(question: Question, asked: Asked, names: Mapping[str, object]) -> Judgement | Fault:
    """What the answer is found to be. One that was cut off or refused is not looked into, so it is never mended."""
    result = asked.result
    if isinstance(result, Fault):
        return result
    if result.finish is Finish.LENGTH:
        return Judgement(False, FaultClass.TRUNCATED, None)
    if result.finish is Finish.REFUSED:
        return Judgement(False, FaultClass.REFUSED, None, (Flaw("", "an answer", result.text[:300] or "a refusal"),))
    return question.checker.judge(result.text, names)


async def second_opinion(
    asking: Asking, judge: Bench, names: Mapping[str, object], found: Judgement, account: Account
) -> Judgement | Stop:
    """The judge's verdict on an answer that meets the rest of its contract; a Stop if no judge gives one. That is no
    word against the answer, so it fails and is not rejected."""
    verdict = await settle(asking, judge.question, names, account)
    if isinstance(verdict, Stop):
        return Stop(Verdict.FAILED, FaultClass.JUDGE, f"the judge gave no verdict: {verdict.reason}")
    opinion = judged(judge.passes, verdict.judgement.value)
    return Judgement(opinion.ok, opinion.tier, found.value, opinion.flaws, found.mended, opinion.score)


def _signals(history: Sequence[Past], tried: Try, found: Judgement | Fault, asked: Asked) -> dict[str, Json]:
    """What is known of the answer beside what it says, as `accept_when` sees it."""
    attempts = 1 + sum(past.tried.model == tried.model for past in history)
    mended, score = (found.mended, found.score) if isinstance(found, Judgement) else (False, None)
    logprob = asked.result.logprob if isinstance(asked.result, Reply) else None
    return asdict(Signals(attempts, mended, score, logprob))


def _weighed(
    accept_when: str, found: Judgement, names: Mapping[str, object], signals: Mapping[str, Json]
) -> tuple[Judgement, str, Stop | None]:
    """An answer that meets its contract, doubtful if `accept_when` does not hold; what that saw; and a Stop if it has
    no answer: the workflow is wrong then, and another model would not mend it."""
    try:
        answer = decide(accept_when, {**names, "output": found.value, "signals": signals})
    except ConditionError as error:
        stop = Stop(Verdict.FAILED, FaultClass.DOUBTFUL, f"accept_when: {error}")
        return _doubtful(found, accept_when, str(error)), str(error), stop
    return (found if answer.value else _doubtful(found, accept_when, answer.shown)), answer.shown, None


def _doubtful(found: Judgement, accept_when: str, shown: str) -> Judgement:
    return replace(found, ok=False, tier=FaultClass.DOUBTFUL, flaws=(Flaw("", accept_when, shown),))


def _past(tried: Try, request: Request, found: Judgement | Fault, asked: Asked) -> Past:
    if isinstance(found, Fault):
        return Past(tried, found.cls, message=found.message)
    assert found.tier is not None
    assert isinstance(asked.result, Reply)
    said = found.flaws[0].got if found.tier is FaultClass.REFUSED else ""
    return Past(tried, found.tier, asked.result.text, found.flaws, said, _limit(request, asked))


def _limit(request: Request, asked: Asked) -> int | None:
    """The token limit that the answer was bought under. One from the cache may have had another: it was cut where it
    ends."""
    written = asked.result.usage.output_tokens if asked.result.usage else None
    replayed = all(call.cached for call in asked.calls)
    named = any(name in request.params for name in LIMITS)
    return written if written and replayed and not named else request.max_tokens


def _keep(
    asking: Asking,
    request: Request,
    asked: Asked,
    found: Judgement | Fault,
    text: str | None,
    tried: Try,
    account: Account,
    signals: Mapping[str, Json],
) -> None:
    """The journal has what the answer was found to be with its signals, and the trail of the task goes on; a `verify`
    step's is that of its judge, whose words are no answer to be judged again."""
    if isinstance(found, Judgement) and asking.question is not None:
        asking.recorder.judged(account.task_number, account.attempt, asked.key, asking.contract, found, signals)
    account.trail.append(
        {
            "model": request.model.name,
            "messages": _told(request.messages, tried.previous),
            "answer": text,
            "class": (found.cls if isinstance(found, Fault) else found.tier or FaultClass.CHECK).value,
            "message": found.message if isinstance(found, Fault) else None,
            "errors": [] if isinstance(found, Fault) else flaws(found.flaws),
        }
    )


def flaws(found: Sequence[Flaw]) -> list[Json]:
    """Flaws as JSON, as records and fixtures show them."""
    return [{"pointer": flaw.pointer, "expected": flaw.expected, "got": flaw.got} for flaw in found]


def _told(turns: tuple[Message, ...], previous: Previous | None) -> Json:
    """The turns of a try; of a re-ask only the last one, which is what is new in it."""
    shown = turns if previous is None else turns[-1:]
    return [{"role": turn.role, "content": turn.content} for turn in shown]
