"""Public prices of models, from the data that genai-prices ships. Nothing is ever fetched.

The package takes a quarter of a second to import, so that is done by the first question. A snapshot of our own over the
shipped data also keeps out an auto-update that a user's code may have started in this process.
"""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

from penstock.core.models import Price

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelPrice, TieredPrices


def lookup(provider: str, served: str, at: float, input_tokens: int = 0) -> Price | None:
    """What `served` cost at the time `at` (seconds UTC) for a call of so many input tokens; None if that is not known.

    Some models cost more a token, output included, once the input is longer than a step of their price list. Also
    None where a price has a part that `Price` cannot hold (so much a request): half a price would pass for a whole one.
    """
    try:
        _, model = _snapshot().find_provider_model(served, None, provider, None)
    except LookupError:
        return None
    listed = model.get_prices(datetime.fromtimestamp(at, timezone.utc))
    dollars, output = _dollars(listed, "input_mtok", input_tokens), _dollars(listed, "output_mtok", input_tokens)
    if dollars is None or output is None or _dollars(listed, "requests_kcount", input_tokens):
        return None
    return Price(
        dollars,
        output,
        _dollars(listed, "cache_read_mtok", input_tokens),
        _dollars(listed, "cache_write_mtok", input_tokens),
    )


def data_version() -> str:
    """Which price list this is: `genai-prices 0.2.3`. Cheap: the data is not loaded."""
    from importlib.metadata import version  # 5 ms, for those who look a price up

    return f"genai-prices {version('genai-prices')}"


@cache
def _snapshot() -> DataSnapshot:
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    return DataSnapshot(providers=providers, from_auto_update=False)


def _dollars(listed: ModelPrice, name: str, input_tokens: int) -> Decimal | None:
    """The price of that name at this input size: the highest step that the input is longer than, else the base."""
    price: Decimal | TieredPrices | None = getattr(listed, name, None)
    if price is None or isinstance(price, Decimal):
        return price
    steps = [tier.price for tier in sorted(price.tiers, key=lambda tier: tier.start) if input_tokens > tier.start]
    return steps[-1] if steps else price.base
