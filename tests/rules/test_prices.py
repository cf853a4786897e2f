"""Prices: invoices worked by hand, rounding, and what the price list knows."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.calls import Cost, CostStatus, Usage
from penstock.core.models import Price
from penstock.models.pricelist import data_version, lookup
from penstock.rules.prices import cost

SONNET = Price(Decimal(3), Decimal(15), Decimal("0.3"), Decimal("3.75"))
JUNE_2025 = 1_750_000_000.0


def exact(micros: int) -> Cost:
    return Cost(micros, CostStatus.EXACT)


@pytest.mark.parametrize(
    ("usage", "price", "micros"),
    [
        # 3 x 3 + 12,304 x 3.75 + 550 x 15 = 9 + 46,140 + 8,250
        (Usage(12_307, 550, 0, 12_304), SONNET, 54_399),
        # 1,000 x 3 + 100,000 x 0.3 + 200 x 15 = 3,000 + 30,000 + 3,000, and not 101,000 x 3 + 30,000 + 3,000
        (Usage(101_000, 200, 100_000), SONNET, 36_000),
        # 100 x 3 + 500 x 0.3 + 400 x 3.75 + 0
        (Usage(1_000, 0, 500, 400), SONNET, 1_950),
        # 1 x 0.15 + 1 x 0.6 = 0.75, rounded up once
        (Usage(1, 1), Price(Decimal("0.15"), Decimal("0.6")), 1),
        # 3 x 0.1 = 0.3 and 0.7: exactly 1, where floats say 0.9999999999999999 or more than 1
        (Usage(3, 7), Price(Decimal("0.1"), Decimal("0.1")), 1),
        (Usage(0, 0), SONNET, 0),
        (Usage(10, 10), Price(Decimal(0), Decimal(0)), 0),
    ],
)
def test_an_invoice_worked_by_hand(usage: Usage, price: Price, micros: int) -> None:
    assert cost(usage, price) == exact(micros)


def test_cached_tokens_without_a_price_cost_what_input_costs() -> None:
    price = Price(Decimal(3), Decimal(15))
    assert cost(Usage(1_000, 0, 600, 300), price) == cost(Usage(1_000, 0), price) == exact(3_000)


def test_a_free_cache_read_is_free() -> None:
    assert cost(Usage(1_000, 0, 1_000), Price(Decimal(3), Decimal(15), Decimal(0))) == exact(0)


def test_more_cached_tokens_than_input_are_billed_as_counted_and_nothing_below_zero() -> None:
    assert cost(Usage(10, 0, 1_000), SONNET) == exact(300)
    assert cost(Usage(-5, -5, -5, -5), SONNET) == exact(0)


def test_an_unknown_price_or_usage_is_unknown_and_never_zero() -> None:
    assert cost(Usage(1, 1), None) == Cost(None, CostStatus.UNKNOWN)
    assert cost(None, SONNET) == Cost(None, CostStatus.UNKNOWN)


def test_an_estimated_usage_makes_an_estimated_cost() -> None:
    assert cost(Usage(1_000, 0), SONNET, CostStatus.ESTIMATED) == Cost(3_000, CostStatus.ESTIMATED)


TOKENS = st.integers(0, 10**12)


@given(TOKENS, TOKENS, TOKENS, TOKENS)
def test_a_cost_is_the_exact_sum_rounded_up(uncached: int, read: int, write: int, output: int) -> None:
    usage = Usage(uncached + read + write, output, read, write)
    hundredths = uncached * 300 + read * 30 + write * 375 + output * 1500
    assert cost(usage, SONNET) == exact(-(-hundredths // 100))


# --- the price list ------------------------------------------------------------------------------


def test_the_list_knows_an_openai_model_and_its_cache() -> None:
    assert lookup("openai", "gpt-4o", JUNE_2025) == Price(Decimal("2.5"), Decimal(10), Decimal("1.25"))
    assert lookup("openai", "gpt-4o-2024-08-06", JUNE_2025) == lookup("openai", "gpt-4o", JUNE_2025)


def test_the_list_knows_a_claude_model_with_reads_and_writes() -> None:
    assert lookup("anthropic", "claude-3-5-sonnet-20241022", JUNE_2025) == SONNET


def test_a_long_input_is_priced_by_its_step_of_the_list() -> None:
    short = lookup("google", "gemini-2.5-pro", JUNE_2025, 200_000)
    long = lookup("google", "gemini-2.5-pro", JUNE_2025, 200_001)
    assert short == Price(Decimal("1.25"), Decimal(10), short.cache_read if short else None)
    assert long == Price(Decimal("2.5"), Decimal(15), long.cache_read if long else None)


@pytest.mark.parametrize(
    ("provider", "served"),
    [
        ("openai", "my-own-model"),
        ("anthropic", "gpt-4o"),
        ("ollama", "llama3.1:8b"),
        ("sim", "cheap"),
        ("python", "pkg.module:function"),
        ("nobody", "gpt-4o"),
        ("openai", ""),
    ],
)
def test_a_model_that_the_list_does_not_know_has_no_price(provider: str, served: str) -> None:
    assert lookup(provider, served, JUNE_2025) is None


def test_a_price_that_cannot_be_held_whole_is_no_price() -> None:
    assert lookup("perplexity", "sonar", JUNE_2025) is None


def test_the_version_of_the_list_is_known() -> None:
    assert data_version().startswith("genai-prices 0.")


def test_the_list_is_not_loaded_before_it_is_asked_and_opens_no_connection() -> None:
    program = (
        "import sys, socket\n"
        "from penstock.models import pricelist\n"
        "assert 'genai_prices' not in sys.modules\n"
        "pricelist.data_version()\n"
        "assert 'genai_prices' not in sys.modules\n"
        "sys.addaudithook(lambda event, _: event.startswith('socket.connect') and sys.exit('a connection'))\n"
        "assert pricelist.lookup('openai', 'gpt-4o', 1750000000.0)\n"
        "import threading\n"
        "assert threading.active_count() == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
