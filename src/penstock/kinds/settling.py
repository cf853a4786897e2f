"""The loop of a model call: ask, judge, and try what is next until an answer will do or nothing is left to try.

What is next is decided in rules/repair.py; what was bought is kept by the client before anything here looks at it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from penstock.core.calls import Call, Fault, FaultClass, Finish, Flaw, Judgement, Message, Reply, Request
from penstock.core.canon import Json
from penstock.core.work import Bill, Verdict
from penstock.kinds.asking import Asking, Bench, Question
from penstock.models.bodies import LIMITS
from penstock.models.client import Asked, Whose
from penstock.rules.contract import judged
from penstock.rules.prompts import render
from penstock.rules.reask import messages
from penstock.rules.repair import Past, Previous, Stop, Try, after, first
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
    """An answer that meets the contract and passes the judge, or why there is none. TemplateFault if a prompt has no
    text for these names."""
    history: list[Past] = []
    tried = first(question.policy)
    while True:
        account.attempt += question.purpose == "answer"
        request = _request(question, tried, names)
        asked = await _ask(asking, question, request, account)
        found = _judge(question, asked, names)
        text = asked.result.text if isinstance(asked.result, Reply) else None
        if isinstance(found, Judgement) and found.ok and judge is not None:
            opinion = await second_opinion(asking, judge, {**names, "output": found.value}, found, account)
            if isinstance(opinion, Stop):
                _keep(asking, request, asked, Fault(opinion.cls, opinion.reason), text, tried, account)
                return opinion
            found = opinion
        if question.purpose == "answer" or asking.question is None:
            _keep(asking, request, asked, found, text, tried, account)
        if isinstance(found, Judgement) and found.ok:
            return Settled(text or "", found)
        history.append(_past(tried, request, found, asked))
        following = after(question.policy, history)
        if isinstance(following, Stop):
            return following
        tried = following


def _request(question: Question, tried: Try, names: Mapping[str, object]) -> Request:
    model = question.policy.models[tried.model]
    seen = shrink(names, question.rungs[: tried.rung])
    system = render(question.system, seen) if question.system else None
    turns = messages(system, render(question.prompt, seen), tried.previous, json=question.schema is not None)
    own = question.policy.max_tokens
    limit = tried.max_tokens if tried.max_tokens is not None else (model.max_tokens if own is None else None)
    return Request(model, turns, question.params, question.schema, limit, tried.raised)


async def _ask(asking: Asking, question: Question, request: Request, account: Account) -> Asked:
    asked = await asking.client.ask(
        request, Whose(account.task_number, account.attempt, question.purpose, asking.step_id), asking.manner
    )
    account.calls += asked.calls
    if isinstance(asked.result, Reply) and (question.purpose == "answer" or account.model is None):
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
) -> None:
    """The journal has what the answer was found to be, and the trail of the task goes on; a `verify` step's is that of
    its judge, whose words are no answer to be judged again."""
    if isinstance(found, Judgement) and asking.question is not None:
        asking.recorder.judged(account.task_number, account.attempt, asked.key, asking.contract, found)
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
