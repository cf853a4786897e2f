"""The most that one send can use, before it is sent: what a budget sets aside for it.

Input. A tokenizer that starts from bytes and only merges them makes at most one token of a byte: byte-level BPE
(GPT-2's paper, section 2.2; all of OpenAI's, Llama 3, Qwen) and SentencePiece with byte fallback (Llama 2, Mistral).
The request's body holds every byte of the prompt, its JSON around it besides. What servers add is bounded by published
numbers with room to spare:

- 3 or 4 tokens around a message and 3 before the answer (OpenAI's cookbook, "How to count tokens with tiktoken");
- a system prompt of the model's own template: some 30 tokens (Llama 3.1), 20 (Qwen 2.5), 70 (gpt-oss);
- Anthropic's words for tools: 159 to 530 tokens (its pricing page), and those for `output_config`, which it does not
  number.

None of this is a law: a tokenizer may normalise a letter into many (NFKC makes 18 of U+FDFA), a server may put a long
prompt of its own before ours. So a model's ratio of tokens to bytes is raised to the largest that was seen.

Output. The limit that is sent bounds it, times the number of answers that are asked for. Without one, what the model
can write, else what it can hold.

Not bounded: what is billed by other than tokens (a search, a picture), and a server that ignores its limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from penstock.core.budgets import Amount, Caps
from penstock.core.calls import Call, Request, Usage
from penstock.core.canon import Json
from penstock.core.errors import OperatorError
from penstock.core.models import Model, Price
from penstock.rules.prices import cost

START = Fraction(1)
"""Input tokens that a byte of the body makes at most, until a server reports more."""
MESSAGE_TOKENS = 8
REQUEST_TOKENS = 128
HIDDEN_TOKENS = 1024
"""What servers add: to each message, to each request, and to one with tools or an output format of Anthropic's."""

_TOOLS, _FORMAT = b'"tools"', b'"output_config"'
_ANSWERS = ("n", "best_of")


class Unbounded(OperatorError):
    """A cap that cannot be held: nothing bounds what a call may use of it."""


@dataclass(frozen=True, slots=True)
class Worst:
    """The most that one send can use. None where nothing bounds it; `micros` also where the price is not known."""

    tokens: int | None
    micros: int | None
    calls: int = 1


def worst(request: Request, body: bytes, limit: Json, price: Price | None, ratio: Fraction = START) -> Worst:
    """The most that sending `body` for `request` can use.

        tokens = input + output
        micros = ⌈input x dearest of (input, cache_read, cache_write) + output x price of output⌉

    `limit` is the token limit as it is sent, `ratio` the largest seen of the model. A price in steps is the one at
    `most_input` tokens.
    """
    read = most_input(request, body, ratio)
    wrote = most_output(request.model, limit, answers(request))
    return _priced(read, wrote, price)


def most_input(request: Request, body: bytes, ratio: Fraction = START) -> int:
    """The most tokens that the server may count as input: ⌈bytes x ratio⌉ and what it adds."""
    return -(-len(body) * ratio.numerator // ratio.denominator) + _added(request, body)


def most_output(model: Model, limit: Json, answers: int = 1) -> int | None:
    """The most tokens that the model may write, None where nothing is known.

    `limit` is a number of tokens that is sent; any other value (Ollama's -1: without end) is none. It counts even where
    the model's own is smaller: the server might not know that.
    """
    if isinstance(limit, (int, float)) and not isinstance(limit, bool) and 0 < limit < math.inf:
        return math.ceil(limit) * answers
    most = model.max_tokens if model.max_tokens is not None else model.context_tokens
    return None if most is None else most * answers


def answers(request: Request) -> int:
    """How many answers the author's parameters ask for at once; each is billed."""
    asked = (request.params.get(name) for name in _ANSWERS)
    return max([1, *(each for each in asked if isinstance(each, int))])


def raised(ratio: Fraction, request: Request, body: bytes, reported: int) -> Fraction:
    """The model's ratio after a server has reported so many input tokens: large enough to have bounded them."""
    beyond = reported - _added(request, body)
    length = max(1, len(body))
    return ratio if beyond * ratio.denominator <= length * ratio.numerator else Fraction(beyond, length)


def used(call: Call) -> tuple[Amount, bool]:
    """What an ended call used, and whether the rest of its worst case stays exposed.

    It stays where the server may have charged and did not say for how much: after a timeout, for a connection lost, for
    a reply without a usage (its estimate is what is charged for certain). A replay used nothing.
    """
    if call.cached:
        return Amount(), False
    if call.usage is not None:
        tokens = max(0, call.usage.input_tokens) + max(0, call.usage.output_tokens)
        return Amount(1, tokens, call.cost.micros), False
    exposed = call.fault is None or call.fault.billed
    return Amount(1, 0, call.cost.micros or 0), exposed


def unbounded_by(worst: Worst, caps: Caps, who: str) -> Unbounded | None:
    """Why the caps cannot be held with such a worst case; None if they can. `who` is `a call of step …` or a model."""
    money = caps.micros is not None and worst.micros is None
    if worst.tokens is None and (money or caps.tokens is not None):
        help = "set `max_tokens` under the step's `params`, or for the model under `models`"
        return Unbounded(f"budget: it cannot be held, as nothing limits how much {who} may write", help)
    if money:
        help = "add `price: {input: …, output: …}` to the model under `models`, in dollars per million tokens"
        return Unbounded(f"budget: cost_usd cannot be held, as the price of {who} is not known", help)
    return None


def unheld(model: Model, price: Price | None, limit: Json, caps: Caps) -> Unbounded | None:
    """Why the caps cannot be held with this model, before any call of it; None if they can.

    `limit` is the token limit that would be sent, None for none.
    """
    if price is None and caps.micros is not None:
        return unbounded_by(Worst(0, None), caps, model.name)
    return unbounded_by(_priced(0, most_output(model, limit), price), caps, model.name)


def _priced(read: int, wrote: int | None, price: Price | None) -> Worst:
    """What costs nothing needs no bound."""
    tokens = None if wrote is None else read + wrote
    if price is None or (wrote is None and price.output > 0):
        return Worst(tokens, None)
    return Worst(tokens, cost(Usage(read, wrote or 0), Price(_dearest(price), price.output)).micros)


def _added(request: Request, body: bytes) -> int:
    hidden = HIDDEN_TOKENS if _TOOLS in body or _FORMAT in body else 0
    return len(request.messages) * MESSAGE_TOKENS + REQUEST_TOKENS + hidden


def _dearest(price: Price) -> Decimal:
    return max(price.input, *(each for each in (price.cache_read, price.cache_write) if each is not None), Decimal(0))
