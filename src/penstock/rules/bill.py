"""What model calls that are not made yet will come to: the range of their cost, and about how long they take.

The high end is every attempt of every model at its worst, as `repair.most_tries` bounds them and `worst_case` each of
them: for n rows whose prompts have P tokens together, with f tokens around each request, w the most that the model
writes and c = attempts + 1 + rungs calls a row,

    input  = c x (P + n x f) + (c - 1) x n x re-ask      re-ask = retold(w) + the complaint
    output = c x n x w

for each model of the cascade; and the same of the judge for each answer that it may be shown, which is one less a model
than is asked, since a try too many follows an answer that was cut, and that is not judged. The low end is one answer
of one token to each prompt, at the cheapest that so many bytes can be. Everything is linear in n and P, so a bill needs
sums and no list of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from penstock.core.calls import Usage
from penstock.core.models import Price
from penstock.rules.prices import cost
from penstock.rules.reask import LONGEST_ANSWER, MOST_FLAWS

BYTES_A_TOKEN = 8
"""No prose is cheaper: English has some 4 bytes a token, other scripts fewer."""
RETOLD = 4
"""Tokens that another tokenizer, or the escapes of JSON, may make of one token that a model wrote."""
GOT_TOKENS = 120
"""What a re-ask says of what an answer has instead of what was expected: it is cut where it is shown."""
EXPECTED_TOKENS, OPTIONS_TOKENS = 400, 1700
"""What it says was expected, at most, where the schema has no `enum`, and where it has: 20 options of 80 letters."""
_MOST_BYTES = 4
"""Bytes of a character in UTF-8."""


@dataclass(frozen=True, slots=True)
class Load:
    """Prompts to be sent: how many, the most tokens in all of them and in the longest; None where nothing bounds it."""

    count: int = 0
    tokens: int | None = 0
    longest: int | None = 0

    def plus(self, tokens: int | None) -> Load:
        """With one more prompt of at most so many tokens."""
        if tokens is None or self.tokens is None or self.longest is None:
            return Load(self.count + 1, None, None)
        return Load(self.count + 1, self.tokens + tokens, max(self.longest, tokens))


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model that may be asked: the tokens around a prompt, the most that it writes, how often a row may ask it, and
    what a re-ask says of the errors.

    `written` and `complaint` are None where nothing bounds them.
    """

    name: str
    frame: int
    written: int | None
    calls: int
    complaint: int | None

    @property
    def reask(self) -> int | None:
        """The most tokens that a re-ask has more than the first prompt."""
        told = retold(self.written)
        return None if told is None or self.complaint is None else told + self.complaint

    def longest(self, load: Load) -> int | None:
        """The most input tokens of one call, which may decide its price."""
        return None if load.longest is None or self.reask is None else load.longest + self.frame + self.reask


def complaint(schema: bytes, checks: Sequence[str], judged: int | None = 0) -> int | None:
    """The most tokens in which a re-ask tells what is wrong: of the schema, of a check and its operands, or in the
    words of a judge that writes at most `judged`; None where nothing bounds those."""
    told = retold(judged)
    of_schema = min(len(schema), OPTIONS_TOKENS if b'"enum"' in schema else EXPECTED_TOKENS)
    of_checks = max((2 * len(check.encode()) + EXPECTED_TOKENS for check in checks), default=0)
    return None if told is None else told + (MOST_FLAWS + 1) * (max(of_schema, of_checks) + GOT_TOKENS)


def retold(tokens: int | None) -> int | None:
    """The most tokens that an answer of so many may be in another prompt; None where nothing bounds it."""
    return None if tokens is None else min(tokens * RETOLD, LONGEST_ANSWER * _MOST_BYTES)


def summed(parts: Iterable[int | None]) -> int | None:
    """All parts together; None as soon as one of them is not known."""
    listed = list(parts)
    known = [part for part in listed if part is not None]
    return sum(known) if len(known) == len(listed) else None


def dearest(load: Load, speakers: Sequence[tuple[Speaker, Price | None]], times: int = 1) -> int | None:
    """The most that asking all of these models may cost for each prompt, `times` over, in micro-dollars.

    None if a price is not known, or if nothing bounds what is billed at one.
    """
    return summed(_dearest_of(load, speaker, price, times) for speaker, price in speakers)


def _dearest_of(load: Load, speaker: Speaker, price: Price | None, times: int) -> int | None:
    if load.count == 0:
        return 0
    if price is None:
        return None
    if not any((price.input, price.output, price.cache_read, price.cache_write)):
        return 0
    if speaker.written is None or speaker.reask is None or load.tokens is None:
        return None
    calls = speaker.calls * times
    read = calls * (load.tokens + load.count * speaker.frame) + (calls - times) * load.count * speaker.reask
    dear = max(price.input, *(each for each in (price.cache_read, price.cache_write) if each is not None), Decimal(0))
    return _rounded_up(Usage(read, calls * load.count * speaker.written), Price(dear, price.output), calls * load.count)


def cheapest(count: int, sent_bytes: int, price: Price | None) -> int | None:
    """The least that so many prompts can cost that are answered at once; None if the price is not known."""
    if count == 0:
        return 0
    if price is None:
        return None
    cheap = min(price.input, *(each for each in (price.cache_read,) if each is not None), price.input)
    return cost(Usage(sent_bytes // BYTES_A_TOKEN, count), Price(cheap, price.output)).micros


def _rounded_up(usage: Usage, price: Price, calls: int) -> int | None:
    """The cost of many calls, each of which is rounded up by itself."""
    micros = cost(usage, price).micros
    return None if micros is None else micros + calls


def duration_s(
    calls: int, width: int, median_s: float | None, limits: Iterable[tuple[int, int, int | None, int | None]]
) -> float | None:
    """About how long so many calls take, `width` at once; None where nothing tells.

    `median_s` is that of past calls. `limits` are (calls, tokens, requests a minute, tokens a minute) of each model;
    the slowest of all counts.
    """
    spans = [] if median_s is None else [-(-calls // max(1, width)) * median_s]
    for asked, tokens, rpm, tpm in limits:
        spans += [asked * 60 / rpm] if rpm else []
        spans += [tokens * 60 / tpm] if tpm else []
    return max(spans, default=None) if calls else 0.0
