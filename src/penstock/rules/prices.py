"""Usage x price → cost, in whole micro-dollars."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from penstock.core.calls import Cost, CostStatus, Usage
from penstock.core.models import Price

_SCALE = 10**9


def cost(usage: Usage | None, price: Price | None, status: CostStatus = CostStatus.EXACT) -> Cost:
    """What a call cost, rounded up once, at the end; unknown without a usage or a price, and never 0 then.

        micros = ⌈uncached x input + read x cache_read + write x cache_write + output x output⌉
        uncached = input_tokens - read - write

    since a dollar per million tokens is a micro-dollar a token. Cached tokens are parts of the input, so none is
    billed twice. Where a server counts more of them than input, they are billed as counted and nothing else is:
    too much rather than too little. Negative counts are 0. `status` says where the usage comes from.
    """
    if usage is None or price is None:
        return Cost(None, CostStatus.UNKNOWN)
    read, write = max(0, usage.cache_read_tokens), max(0, usage.cache_write_tokens)
    parts = (
        (max(0, usage.input_tokens - read - write), price.input),
        (read, _or_input(price.cache_read, price)),
        (write, _or_input(price.cache_write, price)),
        (max(0, usage.output_tokens), price.output),
    )
    try:
        micros = -(-sum(tokens * _scaled(each) for tokens, each in parts) // _SCALE)
    except ArithmeticError:  # a price with more digits than any real one
        micros = math.ceil(sum(tokens * Fraction(each) for tokens, each in parts))
    return Cost(micros, status)


@lru_cache(maxsize=256)
def _scaled(price: Decimal) -> int:
    """The price as a whole number of 1/_SCALE micro-dollars. ArithmeticError if it is none."""
    scaled = Fraction(price) * _SCALE
    if scaled.denominator != 1:
        raise ArithmeticError
    return scaled.numerator


def _or_input(cached: Decimal | None, price: Price) -> Decimal:
    return price.input if cached is None else cached
