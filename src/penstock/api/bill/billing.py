"""The bill before the run: for a model step, how many calls it would send, what they may cost, how long they may take.

Every prompt is rendered and looked up; no call is made and nothing is written.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from penstock.api.asking import Cast
from penstock.api.bill.bounding import bounds_of
from penstock.api.bill.counting import Count, Share, Sums
from penstock.api.bill.last_run import LastRun
from penstock.api.bill.reach import rules_of
from penstock.api.bill.rehearsing import Rehearsal
from penstock.api.bill.routes import RouteCount
from penstock.api.bill.speaking import questions_of, speakers
from penstock.api.clock import CLOCK
from penstock.api.placing import keeps_here
from penstock.core.models import Model, Price
from penstock.core.views import Estimate, RoutePlan
from penstock.core.workflow import Step, StepSource
from penstock.kinds.asking import Question, placed
from penstock.models.pricing import price_of
from penstock.rules.adapting import START
from penstock.rules.bill import Load, Speaker, cheapest, dearest, duration_s, summed
from penstock.rules.repair import Stop
from penstock.rules.step_changes import SCHEMA
from penstock.store.past_calls import PastCalls
from penstock.store.seen import Seen


@dataclass(frozen=True, slots=True)
class Billed:
    """A step's rows, those of them that buy nothing because their answers are there, and the estimate, None where it
    asks no model. `settled`: every answer was bought before. `routes` are what its rules would do, where that was
    asked."""

    items: int | None
    cached: int | None
    estimate: Estimate | None
    settled: bool = False
    routes: RoutePlan | None = None


class Biller:
    """Bills the model steps of one workflow. `hear` is told of a step and how many of its rows have been looked at."""

    def __init__(
        self,
        found: Cast,
        rehearsal: Rehearsal,
        last: LastRun,
        width: int | None,
        hear: Callable[[str, int], None],
        routes: bool = False,
    ) -> None:
        """With `routes` it also tells of each step with rules what those would do."""
        self._found = found
        self._rehearsal = rehearsal
        self._last = last
        self._width = width
        self._hear = hear
        self._routes = routes
        self._seen = Seen()
        self._why: dict[str, str | None] = {}

    def close(self) -> None:
        """Nothing is left of it."""
        self._seen.close()

    def bill(self, step_id: str, bound: int | None, unread: str | None) -> Billed:
        """What the step would come to. `unread` says why its file cannot be read before the run, None if it can;
        of rows that are not known there are at most `bound`. OperatorError if the file cannot be read."""
        step = self._found.workflow.step(step_id)
        why = self._why[step_id] = unread or self._unread_above(step)
        routes = RouteCount(step) if self._routes and rules_of(step) else None
        if not step.asks:  # a `route` step by rules
            return self._routed(step, routes, bound, why)
        asking = self._rehearsal.asking(step)
        if asking.question is None and asking.judge is None:  # `verify` without a judge asks nobody
            return Billed(None, None, Estimate(0, low_micros=0, high_micros=0))
        if why is None:
            watch = routes.see if routes is not None else None
            count = Count(step, self._rehearsal, self._last, self._seen, self._bounds(step), watch)
            asyncio.run(count.run(self._hear))
            sums = count.sums
            items = None if sums.assumed else sums.items
            settled = sums.cached > 0 and sums.cached + sums.idle == sums.items and not sums.assumed
            told = routes.plan(self._estimates(sums)) if routes is not None else None
            return Billed(items, sums.cached, self._estimate(step, sums), settled, told)
        note = f"which rows there are is not known before the run: {why}"
        told = routes.unknown(bound, note) if routes is not None else None
        if bound is None:
            return Billed(None, None, Estimate(None, low_micros=0, notes=(note,)), routes=told)
        return Billed(None, None, self._estimate(step, self._unknown(step, bound), note), routes=told)

    def _unknown(self, step: Step, bound: int) -> Sums:
        """So many rows of which nothing is known, each of which may go by every rule."""
        asking, parts = self._rehearsal.asking(step), self._rehearsal.parts(step)
        answers, judged = (bound if each is not None else 0 for each in (asking.question, asking.judge))
        sums = Sums(bound, answers=answers, judged=judged, guessed=True)
        for number in range(1, len(parts) + 1):
            share = sums.share(parts, number, keeps_here(self._found.workflow, step))
            share.answers, share.judged, share.unsure = answers, judged, len(parts) > 1
            share.first = share.judging = Load(bound, None, None)
        return sums

    def _routed(self, step: Step, routes: RouteCount | None, bound: int | None, why: str | None) -> Billed:
        """What the rules of a step would do that asks no model."""
        if routes is None:
            return Billed(None, None, None)
        if why is not None:
            note = f"which rows there are is not known before the run: {why}"
            return Billed(None, None, None, routes=routes.unknown(bound, note))
        asyncio.run(self._watched(step, routes))
        return Billed(None, None, None, routes=routes.plan(None))

    async def _watched(self, step: Step, routes: RouteCount) -> None:
        async for row, found in self._rehearsal.results(step):
            routes.see(row, found)

    def _unread_above(self, step: Step) -> str | None:
        """Why the records that the step reads are not known; None if they are, as far as answers are bought."""
        if not isinstance(step.foreach, StepSource):
            return None
        above = self._found.workflow.step(step.foreach.step)
        if above.shell is not None:
            return f"{above.id} runs a command"
        return self._why.get(above.id, f"they are those that {above.id} left in the newest run")

    def _bounds(self, step: Step) -> tuple[dict[str, int | None], ...]:
        return tuple(bounds_of(self._found.workflow, self._rehearsal, part) for part in self._rehearsal.parts(step))

    # --- the estimate --------------------------------------------------------------------------

    def _estimate(self, step: Step, sums: Sums, note: str | None = None) -> Estimate:
        to_buy, shares = sums.to_buy, list(sums.shares.values())
        past = self._last.past(step, _firsts(shares))
        low, high, unknown = _range(shares)
        if step.fail_fast and low is not None:
            low = 0
        expected = _expected(past, sums, low, high)
        notes = (note,) if note is not None else ()
        told = (*notes, *(self._changes(step, sums) if to_buy else ()), *unknown)
        seconds = self._seconds(step, sums, past)
        at_most = (sums.guessed or sums.assumed) and to_buy > 0
        return Estimate(to_buy, sums.judged, at_most, low, high, expected, seconds, told)

    def _estimates(self, sums: Sums) -> Callable[[int], Estimate]:
        """What the rows of each rule would come to, by its number."""

        def estimate(number: int) -> Estimate:
            shares = [share for share in sums.shares.values() if share.number == number]
            low, high, unknown = _range(shares)
            to_buy, judged = (sum(counts) for counts in ((s.to_buy for s in shares), (s.judged for s in shares)))
            unsure = sums.guessed or sums.assumed or any(share.unsure for share in shares)
            return Estimate(to_buy, judged, unsure and to_buy > 0, low, high, notes=tuple(unknown))

        return estimate

    def _seconds(self, step: Step, sums: Sums, past: PastCalls | None) -> float | None:
        asked: Counter[Model] = Counter()
        for share in sums.shares.values():
            for count, question in zip((share.answers, share.judged), _asked(share), strict=True):
                if question is not None and question.policy.models:
                    asked[question.policy.models[0]] += count
        first = next(iter(asked), None)
        width = self._width or step.concurrency or (first.concurrency if first is not None else None) or START
        each = past.tokens // past.calls if past is not None else 0
        limits = [(count, count * each, model.rpm, model.tpm) for model, count in asked.items()]
        return duration_s(sums.to_buy, width, past.median_s if past is not None else None, limits)

    def _changes(self, step: Step, sums: Sums) -> list[str]:
        """Why there is something to buy: what is new, what changed, what the last run left."""
        mode = self._rehearsal.asking(step).manner.cache
        if mode in ("off", "refresh"):
            return [f"`cache: {mode}` buys every answer anew"]
        found = list(self._last.changes(step))
        told = [f"{sums.new:,} {'item is' if sums.new == 1 else 'items are'} new"] if sums.new else []
        for each in found:
            if each == SCHEMA and sums.replayed:
                each += f": {sums.passed:,} of {sums.replayed:,} answers bought under the older one still pass"
            told.append(each)
        if sums.old and not found:
            told.append(f"{sums.old:,} {'item has' if sums.old == 1 else 'items have'} no bought answer that will do")
        return told


def _asked(share: Share) -> tuple[Question | None, Question | None]:
    """The question and the judge's of those who may see the rows."""
    found = (each and placed(each, share.local) for each in questions_of(share.part.asking))
    question, judge = (None if isinstance(each, Stop) else each for each in found)
    return question, judge


def _range(shares: Iterable[Share]) -> tuple[int | None, int | None, list[str]]:
    """The low and the high end, and why one of them is not known."""
    lows, highs, why = list[int | None](), list[int | None](), list[str]()
    for share in shares:
        low, high, unknown = _range_of(share)
        lows.append(low)
        highs.append(high)
        why += unknown
    return summed(lows), summed(highs), list(dict.fromkeys(why))


def _range_of(share: Share) -> tuple[int | None, int | None, list[str]]:
    if not share.first.count + share.judging.count:
        return 0, 0, []
    why: list[str] = []
    highs: list[int | None] = []
    times, shown = 1, list[Speaker]()
    step, asking = share.part.step, share.part.asking
    for load, question in zip((share.first, share.judging), _asked(share), strict=True):
        if question is None:
            continue
        asked = speakers(step, asking, question)
        priced = [(one, _price(model, one.longest(load) or 0)) for one, model in asked]
        highs.append(dearest(load, priced, times))
        if highs[-1] is None:
            why += _unbounded(load, priced, shown)
        shown = [one for one, _ in asked]
        times = sum(one.calls - 1 for one in shown)
    models = {model.name: model for model in step.models}
    lows = [cheapest(count, share.sent_bytes[name], _price(models[name], 0)) for name, count in share.sent.items()]
    return summed(lows), summed(highs), why


def _firsts(shares: list[Share]) -> frozenset[str]:
    """Whom those who ask something ask first."""
    buying = [share for share in shares if share.to_buy] or shares
    questions = [question for share in buying for question in _asked(share) if question is not None]
    return frozenset(question.policy.models[0].name for question in questions if question.policy.models)


def _expected(past: PastCalls | None, sums: Sums, low: int | None, high: int | None) -> int | None:
    """What the rows would cost if each cost what a row that bought something cost before; within the range."""
    if past is None or past.micros is None:
        return None
    rows = sums.answers or sums.judged
    mean = round(past.micros * rows / max(1, past.tasks))
    return max(low or 0, mean if high is None else min(mean, high))


def _price(model: Model, input_tokens: int) -> Price | None:
    return price_of(model, model.served, CLOCK.now(), input_tokens)


def _unbounded(load: Load, priced: list[tuple[Speaker, Price | None]], shown: list[Speaker]) -> list[str]:
    """Why the high end is not known. `shown` are those whose answers stand in these prompts."""
    told = [f"no price is known for {one.name}" for one, price in priced if price is None]
    charging = [one for one, price in priced if price is not None and price.input + price.output > 0]
    for one in (*charging, *shown):
        if one.written is None:
            help = "`params: {max_tokens: …}`" if "/" in one.name else f"models.{one.name}.max_tokens"
            told.append(f"nothing bounds what {one.name} writes: give {help}")
    return told or (["how long its prompts are is not known before the run"] if load.tokens is None else [])
