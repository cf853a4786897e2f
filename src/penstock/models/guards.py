"""What stands between a request and its sending: secrets, the budget, the limits of its server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction

from penstock.core.calls import Answer, Call, Fault, FaultClass, Message, Request
from penstock.core.canon import Json
from penstock.core.models import Model
from penstock.core.seams import Clock
from penstock.models.bodies import LIMITS
from penstock.models.budget import Budget, Overrun, limit_sent
from penstock.models.limits import Limits
from penstock.models.pricing import BYTES_A_TOKEN, price_of
from penstock.models.wire import Endpoint
from penstock.rules.key_formats import BLOCKING, masked
from penstock.rules.placement import is_local
from penstock.rules.secrets import Masker
from penstock.rules.worst_case import START, Worst, most_input, raised, worst

_WEIGHT = 0.1
"""Of the newest call in the running mean of what a call uses."""


@dataclass(slots=True)
class Guards:
    """For one run. `masker` knows its secrets, None if it has none; `key` is what masks are made with."""

    limits: Limits
    budget: Budget
    masker: Masker | None = None
    key: bytes = bytes(32)
    _ratios: dict[str, Fraction] = field(default_factory=dict)
    _usual: dict[str, float] = field(default_factory=dict)

    def concealed(self, request: Request, endpoint: Endpoint, formats: bool) -> Request | Fault:
        """The request without the secrets in it; with `formats`, without known key formats if the model is elsewhere.

        A Fault if it holds what no mask may stand for: a private key in a prompt is a mistake.
        """
        elsewhere = formats and not is_local(request.model, endpoint.url)
        if self.masker is None and not elsewhere:
            return request
        turns = []
        for turn in request.messages:
            text = self.masker.text(turn.content) if self.masker is not None else turn.content
            if elsewhere:
                text, found = masked(text, self.key)
                blocking = next((each.rule for each in found if each.rule in BLOCKING), None)
                if blocking is not None:
                    return _blocked(blocking, request.model)
            turns.append(turn if text is turn.content else Message(turn.role, text))
        params: Json = dict(request.params)
        if self.masker is not None:
            params = self.masker.value(params)
        assert isinstance(params, dict)
        return replace(request, messages=tuple(turns), params=params)

    def concealed_value(self, value: Json, model: Model, endpoint: Endpoint, formats: bool) -> Json | Fault:
        """As `concealed`, for the body of a request that somebody else wrote."""
        if self.masker is not None:
            value = self.masker.value(value)
        if not formats or is_local(model, endpoint.url):
            return value
        blocking: list[str] = []

        def concealed(text: str) -> str:
            text, found = masked(text, self.key)
            blocking.extend(each.rule for each in found if each.rule in BLOCKING)
            return text

        value = _with_texts(value, concealed)
        return _blocked(blocking[0], model) if blocking else value

    def answer(self, answer: Answer) -> Answer:
        """The answer without the secrets in it: a model may know one, and say it."""
        if self.masker is None:
            return answer
        headers = tuple((name, self.masker.text(value)) for name, value in answer.headers)
        return replace(answer, headers=headers, body=self.masker.data(answer.body))

    def fault(self, fault: Fault) -> Fault:
        """The fault without the secrets in its message."""
        return fault if self.masker is None else replace(fault, message=self.masker.text(fault.message))

    def worst(self, request: Request, body: bytes, dropped: frozenset[str], at: float) -> Worst:
        """The most that sending the body can use."""
        model = request.model
        ratio = self._ratios.get(model.name, START)
        price = price_of(model, model.served, at, most_input(request, body, ratio))
        return worst(request, body, limit_sent(request, dropped), price, ratio)

    def estimate(self, request: Request, body: bytes) -> int:
        """About how many tokens the call will use: as those before it did, or as its length and limit say."""
        usual = self._usual.get(request.model.name)
        if usual is not None:
            return round(usual)
        limit = next((request.params[name] for name in LIMITS if isinstance(request.params.get(name), int)), 0)
        return len(body) // BYTES_A_TOKEN + (limit if isinstance(limit, int) else 0)

    def learned(self, request: Request, body: bytes, call: Call) -> None:
        """What the server said that the call used is known from now on."""
        if call.usage is None:
            return
        name = request.model.name
        ratio = self._ratios.get(name, START)
        self._ratios[name] = raised(ratio, request, body, call.usage.input_tokens)
        used = call.usage.input_tokens + call.usage.output_tokens
        usual = self._usual.get(name)
        self._usual[name] = used if usual is None else usual + _WEIGHT * (used - usual)


def _blocked(rule: str, model: Model) -> Fault:
    what = rule.replace("_", " ")
    return Fault(FaultClass.DENIED, f"its prompt holds a {what}, which is not sent to {model.name}")


def _with_texts(value: Json, change: Callable[[str], str]) -> Json:
    """The value with every text in it, names of fields aside, changed so."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _with_texts(part, change) for name, part in value.items()}
    return [_with_texts(part, change) for part in value] if isinstance(value, list) else value


def unguarded(clock: Clock) -> Guards:
    """No secrets and no budget; servers are listened to all the same."""
    return Guards(Limits(clock), Budget(clock))


def overrun_sentence(name: str, over: Overrun) -> str:
    """That a server used more than could be foreseen, with the numbers."""
    reserved = f"{over.reserved.tokens} tokens" + (
        "" if over.reserved.micros is None else f" and ${over.reserved.micros / 1e6:.6f}"
    )
    actual = f"{over.actual.tokens} tokens" + (
        "" if over.actual.micros is None else f" and ${over.actual.micros / 1e6:.6f}"
    )
    return f"{name} used {actual} in one call, more than the {reserved} that were set aside: all of it is charged"
