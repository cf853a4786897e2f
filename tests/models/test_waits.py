"""What servers say of their limits: the examples of OpenAI's and Anthropic's pages, and what is no such header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.calls import Answer
from penstock.models.waits import Quotas, quotas, retry_after_s
from penstock.rules.adapting import Quota

NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z

OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-limit-tokens": "150000",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-reset-tokens": "6m0s",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "1000",
    "anthropic-ratelimit-requests-remaining": "999",
    "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:21Z",
    "anthropic-ratelimit-input-tokens-limit": "80000",
    "anthropic-ratelimit-input-tokens-remaining": "79000",
    "anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:13:21Z",
    "anthropic-ratelimit-output-tokens-limit": "16000",
    "anthropic-ratelimit-output-tokens-remaining": "4000",
    "anthropic-ratelimit-output-tokens-reset": "2023-11-14T22:14:05Z",
    "anthropic-ratelimit-tokens-limit": "96000",
    "anthropic-ratelimit-tokens-remaining": "83000",
    "anthropic-ratelimit-tokens-reset": "2023-11-14T22:14:05Z",
}


def said(headers: dict[str, str]) -> Answer:
    return Answer(200, tuple(headers.items()), b"", NOW, 0.1)


def test_openais_headers_are_read() -> None:
    assert quotas(said(OPENAI)) == Quotas(Quota(60, 59, 1.0), Quota(150_000, 149_984, 360.0))


def test_of_anthropics_limits_on_tokens_the_scarcest_counts() -> None:
    assert quotas(said(ANTHROPIC)) == Quotas(Quota(1000, 999, 1.0), Quota(16_000, 4_000, 45.0))


@pytest.mark.parametrize(
    ("text", "reset_s"),
    [
        ("20ms", 0.02),
        ("6m0s", 360),
        ("1s", 1),
        ("7.66s", 7.66),
        ("2m59.56s", 179.56),
        ("1h2m3s", 3723),
        ("1d", 86_400),
        ("12", 12),
        ("2023-11-14T22:13:25Z", 5),
        ("2023-11-14T22:13:25.5+00:00", 5.5),
        ("2023-11-14T22:13:00Z", 0),
        ("soon", None),
        ("", None),
    ],
)
def test_a_reset_is_a_duration_a_number_or_a_date(text: str, reset_s: float | None) -> None:
    quota = quotas(said(OPENAI | {"x-ratelimit-reset-requests": text})).requests
    assert quota is not None
    assert quota.reset_s == pytest.approx(reset_s)


@pytest.mark.parametrize(
    "told",
    [
        {"x-ratelimit-limit-requests": ""},
        {"x-ratelimit-limit-requests": "0"},
        {"x-ratelimit-limit-requests": "many"},
        {"x-ratelimit-remaining-requests": "-1"},
        {"x-ratelimit-remaining-requests": "nan"},
    ],
)
def test_a_limit_without_its_figures_is_none(told: dict[str, str]) -> None:
    found = quotas(said(OPENAI | told))
    assert found.requests is None
    assert found.tokens is not None


def test_more_left_than_the_limit_is_the_limit() -> None:
    assert quotas(said(OPENAI | {"x-ratelimit-remaining-requests": "61"})).requests == Quota(60, 60, 1.0)


def test_limits_of_which_plenty_is_left_are_passed_over_if_that_is_asked_for() -> None:
    assert quotas(said(OPENAI), 58, 149_984) == Quotas(None, Quota(150_000, 149_984, 360.0))
    assert quotas(said(ANTHROPIC), 999, 4_000) == Quotas(Quota(1000, 999, 1.0), Quota(16_000, 4_000, 45.0))


def test_a_server_that_says_nothing_of_limits_has_none() -> None:
    assert quotas(said({"content-type": "application/json"})) == Quotas()
    assert quotas(said({"x-ratelimit-limit": "100", "x-ratelimit-remaining": "1"})) == Quotas()


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "2"}, 2),
        ({"retry-after": "2", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0),
        (OPENAI, None),
        (OPENAI | {"x-ratelimit-remaining-tokens": "0"}, 360),
        (ANTHROPIC | {"anthropic-ratelimit-output-tokens-remaining": "0"}, 45),
        ({}, None),
    ],
)
def test_the_wait_is_what_the_server_names_or_until_what_is_used_up_is_whole(
    headers: dict[str, str], wait_s: float | None
) -> None:
    assert retry_after_s(said(headers)) == wait_s


@given(st.sampled_from(sorted(OPENAI | ANTHROPIC)), st.text(max_size=20))
def test_no_text_in_a_header_breaks_the_reading(name: str, text: str) -> None:
    found = quotas(said(OPENAI | ANTHROPIC | {name: text}))
    for quota in (found.requests, found.tokens):
        assert quota is None or 0 <= quota.remaining <= quota.limit
