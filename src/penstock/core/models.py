"""The nouns of `models:`: who is asked, at what price, and how a simulated one behaves."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens, which is micro-dollars a token.

    Where a price of cached tokens is None they cost what other input costs.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Rates:
    """How a simulated model behaves: chances from 0 to 1, seconds, and the seed that everything is drawn from.

    `quality` is the chance that an answer meets the contract's checks; `invalid` that it is no JSON or breaks the
    schema, `truncated` that it is cut at the token limit, `refused` that it is declined.
    """

    quality: float = 1.0
    invalid: float = 0.0
    truncated: float = 0.0
    refused: float = 0.0
    error_429: float = 0.0
    error_500: float = 0.0
    latency_s: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be asked. `name` is what the workflow calls it: a key of `models`, or `PROVIDER/MODEL` itself.

    `provider` is openai, anthropic, ollama, python or sim, and `served` the provider's own name for the model.
    `key_variable` names the environment variable that holds its key, None where the provider's usual one does.
    `price` is what the file says, None where it says nothing. `max_tokens` is the most that it can
    write in one answer, `context_tokens` the most that it can read and write together; None where not known.
    `rpm` and `tpm` are the most requests and tokens a minute, `max_wait_s` the longest wait that a server may ask for
    before the next model is asked instead; None where the file says nothing.
    """

    name: str
    provider: str
    served: str
    base_url: str | None = None
    key_variable: str | None = None
    price: Price | None = None
    placement: str | None = None
    max_tokens: int | None = None
    context_tokens: int | None = None
    concurrency: int | None = None
    rates: Rates = Rates()
    rpm: int | None = None
    tpm: int | None = None
    max_wait_s: float | None = None
