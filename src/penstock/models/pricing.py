"""What a call cost: the price that the workflow names, or else the public one; and whose tokens are counted."""

from __future__ import annotations

from decimal import Decimal

from penstock.core.calls import Cost, CostStatus, Fault, Reply, Request, Usage
from penstock.core.models import Model, Price
from penstock.models.pricelist import lookup
from penstock.rules.prices import cost

NOTHING = Price(Decimal(0), Decimal(0))
BYTES_A_TOKEN = 4
"""About so many bytes of English a token has; of other scripts fewer, so that an estimate from it is too low there."""


def price_of(model: Model, served: str, at: float, input_tokens: int) -> Price | None:
    """What the model costs; None if that is not known.

    The simulator and an Ollama on a machine of one's own cost nothing. A server at another address may call a model of
    its own by a famous name, so the public list is asked for the providers' own addresses only.
    """
    if model.price is not None:
        return model.price
    if model.provider == "sim" or (model.provider == "ollama" and not model.served.endswith("cloud")):
        return NOTHING
    if not is_listed(model):
        return None
    return lookup(model.provider, served, at, input_tokens) or lookup(model.provider, model.served, at, input_tokens)


def is_listed(model: Model) -> bool:
    """Whether the model's price is looked up in the public list."""
    return model.price is None and model.provider in ("openai", "anthropic") and model.base_url is None


def cost_of(request: Request, result: Reply | Fault, at: float) -> Cost:
    """What one send cost. A fault that nobody can have billed is 0; one that may have been is not known."""
    model = request.model
    if isinstance(result, Fault):
        if result.usage is None:
            free = not result.billed or price_of(model, model.served, at, 0) == NOTHING
            return Cost(0, CostStatus.EXACT) if free else Cost(None, CostStatus.UNKNOWN)
        return cost(result.usage, price_of(model, model.served, at, result.usage.input_tokens))
    if result.usage is None:
        guess = _guess(request, result)
        return cost(guess, price_of(model, result.served, at, guess.input_tokens), CostStatus.ESTIMATED)
    return cost(result.usage, price_of(model, result.served, at, result.usage.input_tokens))


def _guess(request: Request, reply: Reply) -> Usage:
    """The tokens, from the lengths of the texts, where the server does not say them."""
    asked = sum(len(message.content.encode()) for message in request.messages)
    return Usage(-(-asked // BYTES_A_TOKEN), -(-len(reply.text.encode("utf-8", "replace")) // BYTES_A_TOKEN))
