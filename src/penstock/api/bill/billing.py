"""The bill before the run: for a model step, how many calls it would send, what they may cost, how long they may take.

Every prompt is rendered and looked up; no call is made and nothing is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from penstock.api.asking import Cast
from penstock.api.bill.counting import Count, Sums
from penstock.api.bill.last_run import LastRun
from penstock.api.bill.rehearsing import Rehearsal
from penstock.api.bill.speaking import most_written, questions_of, speakers
from penstock.api.bill.unknown import GIVEN, OUTPUT, RECORD
from penstock.api.clock import CLOCK
from penstock.core.generation import Generate
from penstock.core.models import Model, Price
from penstock.core.views import Estimate
from penstock.core.workflow import Step, StepSource
from penstock.kinds.asking import Asking
from penstock.models.pricing import price_of
from penstock.rules.adapting import START
from penstock.rules.bill import Load, Speaker, cheapest, dearest, duration_s, retold
from penstock.rules.step_changes import SCHEMA
from penstock.store.past_calls import PastCalls
from penstock.store.seen import Seen


@dataclass(frozen=True, slots=True)
class Billed:
    """A step's rows, those of them that buy nothing because their answers are there, and the estimate."""

    items: int | None
    cached: int | None
    estimate: Estimate
    settled: bool = False


class Biller:
    """Bills the model steps of one workflow. `hear` is told of a step and how many of its rows have been looked at."""

    def __init__(
        self, found: Cast, rehearsal: Rehearsal, last: LastRun, width: int | None, hear: Callable[[str, int], None]
    ) -> None:
        self._found = found
        self._rehearsal = rehearsal
        self._last = last
        self._width = width
        self._hear = hear
        self._seen = Seen()
        self._why: dict[str, str | None] = {}

    def close(self) -> None:
        """Nothing is left of it."""
        self._seen.close()

    def bill(self, step_id: str, bound: int | None, unread: str | None) -> Billed:
        """What the step would come to. `unread` says why its file cannot be read before the run, None if it can;
        of rows that are not known there are at most `bound`. OperatorError if the file cannot be read."""
        step = self._found.workflow.step(step_id)
        asking = self._rehearsal.asking(step)
        why = self._why[step_id] = unread or self._unread_above(step)
        if asking.question is None and asking.judge is None:  # `verify` without a judge asks nobody
            return Billed(None, None, Estimate(0, low_micros=0, high_micros=0))
        if why is None:
            count = Count(step, self._rehearsal, self._last, self._seen, self._bounds(step, asking))
            asyncio.run(count.run(self._hear))
            sums = count.sums
            items = None if sums.assumed else sums.items
            settled = sums.items > 0 and sums.cached == sums.items and not sums.assumed
            return Billed(items, sums.cached, self._estimate(step, asking, sums), settled)
        note = f"which rows there are is not known before the run: {why}"
        if bound is None:
            return Billed(None, None, Estimate(None, low_micros=0, notes=(note,)))
        load = Load(bound, None, None)
        answers, judged = (bound if each is not None else 0 for each in (asking.question, asking.judge))
        sums = Sums(bound, 0, answers, judged, guessed=True, first=load, judging=load)
        return Billed(None, None, self._estimate(step, asking, sums, note))

    def _unread_above(self, step: Step) -> str | None:
        """Why the records that the step reads are not known; None if they are, as far as answers are bought."""
        if not isinstance(step.foreach, StepSource):
            return None
        above = self._found.workflow.step(step.foreach.step)
        if above.shell is not None:
            return f"{above.id} runs a command"
        return self._why.get(above.id, f"they are those that {above.id} left in the newest run")

    def _bounds(self, step: Step, asking: Asking) -> dict[str, int | None]:
        """The most tokens that each unknown value takes where it is printed."""
        written = most_written(asking.question) if asking.question is not None else 0
        above: list[int | None] = [0]
        source = step.foreach
        while isinstance(source, StepSource):
            upper = self._found.workflow.step(source.step)
            if isinstance(upper.spec, Generate):
                question = self._rehearsal.asking(upper).question
                above.append(most_written(question) if question is not None else None)
            source = upper.foreach
        known = [each for each in above if each is not None]
        record = sum(known) if len(known) == len(above) else None
        return {OUTPUT.mark: retold(written), RECORD.mark: retold(record), GIVEN.mark: None}

    # --- the estimate --------------------------------------------------------------------------

    def _estimate(self, step: Step, asking: Asking, sums: Sums, note: str | None = None) -> Estimate:
        to_buy = sums.to_buy
        past = self._last.past(step)
        low, high, unknown = self._range(step, asking, sums)
        expected = _expected(past, sums, low, high)
        notes = (note,) if note is not None else ()
        told = (*notes, *(self._changes(step, asking, sums) if to_buy else ()), *unknown)
        seconds = self._seconds(step, asking, sums, past)
        at_most = (sums.guessed or sums.assumed) and to_buy > 0
        return Estimate(to_buy, sums.judged, at_most, low, high, expected, seconds, told)

    def _range(self, step: Step, asking: Asking, sums: Sums) -> tuple[int | None, int | None, list[str]]:
        """The low and the high end, and why one of them is not known."""
        if not sums.first.count + sums.judging.count:
            return 0, 0, []
        why: list[str] = []
        total: int | None = 0
        times, shown = 1, list[Speaker]()
        for load, question in zip((sums.first, sums.judging), questions_of(asking), strict=True):
            if question is None:
                continue
            asked = speakers(step, asking, question)
            priced = [(one, _price(model, one.longest(load) or 0)) for one, model in asked]
            part = dearest(load, priced, times)
            total = None if part is None or total is None else total + part
            if part is None:
                why += _unbounded(load, priced, shown)
            shown = [one for one, _ in asked]
            times = sum(one.calls - 1 for one in shown)
        models = {model.name: model for model in step.models}
        parts = [cheapest(count, sums.sent_bytes[name], _price(models[name], 0)) for name, count in sums.sent.items()]
        known = [part for part in parts if part is not None]
        low = sum(known) if len(known) == len(parts) else None
        if step.fail_fast and low is not None:
            low = 0
        return low, total, list(dict.fromkeys(why))

    def _seconds(self, step: Step, asking: Asking, sums: Sums, past: PastCalls | None) -> float | None:
        models = step.models
        width = self._width or step.concurrency or (models[0].concurrency if models else None) or START
        each = past.tokens // past.calls if past is not None else 0
        limits = []
        for count, question in zip((sums.answers, sums.judged), questions_of(asking), strict=True):
            if question is not None:
                model = question.policy.models[0]
                limits.append((count, count * each, model.rpm, model.tpm))
        return duration_s(sums.to_buy, width, past.median_s if past is not None else None, limits)

    def _changes(self, step: Step, asking: Asking, sums: Sums) -> list[str]:
        """Why there is something to buy: what is new, what changed, what the last run left."""
        mode = asking.manner.cache
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


def _expected(past: PastCalls | None, sums: Sums, low: int | None, high: int | None) -> int | None:
    """What the rows would cost if each cost what a row that bought something cost before; within the range."""
    if past is None or past.micros is None:
        return None
    rows = max(sums.answers, 0) or sums.judged
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
