"""The rows of a model step, counted: how many questions would be sent for them, and how long their prompts are.

Memory holds sums. The questions that were counted lie in a temporary table, since rows that ask the same are one call.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from penstock.api.bill.last_run import LastRun
from penstock.api.bill.reach import rules_of
from penstock.api.bill.rehearsing import Found, Part, Rehearsal, Row
from penstock.api.bill.speaking import questions_of
from penstock.api.bill.unknown import OUTPUT, question_key
from penstock.core.calls import Request
from penstock.core.work import Verdict
from penstock.core.workflow import Step
from penstock.kinds.asking import Question
from penstock.rules.bill import Load
from penstock.rules.prompts import TemplateFault, render
from penstock.store.seen import Seen

TELL_EVERY = 1000


@dataclass(slots=True)
class Share:
    """What was counted of the rows that one part of a step asks about; `local` ones no model elsewhere may see.

    `answers` and `judged` are calls to send; `unsure`: another rule may send some of them in its place. `first` and
    `judging` are the prompts of rows that will ask or may; `sent` and `sent_bytes`, by model, are of the questions
    whose text is known.
    """

    part: Part
    number: int
    local: bool
    answers: int = 0
    judged: int = 0
    unsure: bool = False
    first: Load = field(default_factory=Load)
    judging: Load = field(default_factory=Load)
    sent: Counter[str] = field(default_factory=Counter)
    sent_bytes: Counter[str] = field(default_factory=Counter)

    @property
    def to_buy(self) -> int:
        """Calls to send if every first answer will do, and no other rule sends them."""
        return self.answers + self.judged


@dataclass(slots=True)
class Sums:
    """What was counted over the rows of one step.

    Of `items`, `cached` were answered and buy nothing, `idle` ask nothing as `where` leaves them out, and `old` and
    `new` of those that buy were and were not in the last run. `answers` and `judged` are calls to send; `guessed`: a
    prompt was not known; `assumed`: a row. `replayed` rows have bought answers, of which `passed` will do today.
    `shares` are the same by the number of the rule (1 where there is none) and by where the row may go.
    """

    items: int = 0
    cached: int = 0
    idle: int = 0
    answers: int = 0
    judged: int = 0
    guessed: bool = False
    assumed: bool = False
    replayed: int = 0
    passed: int = 0
    new: int = 0
    old: int = 0
    shares: dict[tuple[int, bool], Share] = field(default_factory=dict)

    @property
    def to_buy(self) -> int:
        """Calls to send if every first answer will do."""
        return self.answers + self.judged

    def share(self, parts: tuple[Part, ...], number: int, local: bool) -> Share:
        """What is counted under the rule of that number; an empty one if nothing was."""
        part = parts[number - 1]
        key = number, local or part.step.local
        return self.shares.setdefault(key, Share(part, *key))


class Count:
    """Goes over the rows of one step."""

    def __init__(
        self,
        step: Step,
        rehearsal: Rehearsal,
        last: LastRun,
        seen: Seen,
        bounds: tuple[Mapping[str, int | None], ...],
        watch: Callable[[Row, Found], None] | None = None,
    ) -> None:
        """`bounds` are, for each part, the most tokens that each unknown value takes where it is printed, by its mark;
        `watch` is told of every row."""
        self.sums = Sums()
        self._step = step
        self._rehearsal = rehearsal
        self._parts = rehearsal.parts(step)
        self._ruled = bool(rules_of(step)) and step.question is not None and bool(step.question.rules)
        self._last = last
        self._seen = seen
        self._bounds = bounds
        self._watch = watch
        self._mode = rehearsal.asking(step).manner.cache

    async def run(self, hear: Callable[[str, int], None]) -> None:
        """Every row is in `sums`. OperatorError if the step's file cannot be read."""
        sums = self.sums
        async for row, found in self._rehearsal.results(self._step):
            if self._watch is not None:
                self._watch(row, found)
            sums.assumed |= row.assumed
            if row.possible:
                if not found.settled:
                    self._add_loads(row, found)
                continue
            sums.items += 1
            if found.settled:
                sums.cached += found.replayed > 0
                sums.idle += found.left_out
            else:
                self._add(row, found)
            _tell_apart(sums, found)
            if sums.items % TELL_EVERY == 0:
                hear(self._step.id, sums.items)

    def _add(self, row: Row, found: Found) -> None:
        """One more row that will ask somebody."""
        sums, missed, shares = self.sums, found.missed, list(self._shares(row, found))
        request = missed.request if missed is not None else None
        sums.guessed |= missed is None
        self._age(row)
        only_judge = missed is not None and missed.purpose == "judge"
        answers = judged = False
        if only_judge:
            judged = self._is_new(found.key, request, shares[0])
        else:
            question, judge = questions_of(shares[0].part.asking)
            if question is not None:
                answers = self._is_new(found.key, request, shares[0])
            if judge is not None:
                names = {**shares[0].part.asking.vars, **found.names}
                judged = self._is_new(question_key(self._step.id, judge, names, row.arrival, found.key))
        sums.answers += answers
        sums.judged += judged
        for share in shares:
            share.answers += answers
            share.judged += judged
            share.unsure |= len(shares) > 1 or (found.reach is not None and not found.reach.sure)
        self._add_loads(row, found)

    def _shares(self, row: Row, found: Found) -> Iterator[Share]:
        """What the row may be counted under: the rules that it may go by, or all of the step."""
        numbers = found.reach.rules if self._ruled and found.reach is not None else (1,)
        return (self.sums.share(self._parts, number, row.local) for number in numbers)

    def _add_loads(self, row: Row, found: Found) -> None:
        """One more row for which everything may be tried, by each rule that it may go by."""
        for share in self._shares(row, found):
            question, judge = questions_of(share.part.asking)
            names = {**share.part.asking.vars, **found.names}
            bounds = self._bounds[share.number - 1]
            if question is not None:
                share.first = share.first.plus(_tokens(question, names, bounds))
            if judge is not None:
                output = OUTPUT if question is not None else names["item"]
                share.judging = share.judging.plus(_tokens(judge, {**names, "output": output}, bounds))

    def _age(self, row: Row) -> None:
        if row.known and self._step.foreach is not None and self._last.step_no(self._step) is not None:
            known = self._last.had(self._step, row.arrival.digest)
            self.sums.old += known
            self.sums.new += not known

    def _is_new(self, key: bytes, request: Request | None = None, share: Share | None = None) -> bool:
        """Whether a question would be sent, and not be one that was counted before; its text is added up if known.

        With `cache: refresh` equal questions are one call only if they are in flight together.
        """
        if self._mode != "off" and self._seen.before(key):
            self.sums.guessed |= self._mode == "refresh"
            return self._mode == "refresh"
        if request is not None and share is not None:
            texts = (message.content.encode("utf-8", "replace") for message in request.messages)
            share.sent[request.model.name] += 1
            share.sent_bytes[request.model.name] += sum(map(len, texts))
        return True


def _tokens(question: Question, names: Mapping[str, object], bounds: Mapping[str, int | None]) -> int | None:
    """The most tokens of the question's prompt: a token a byte, as JSON writes them, and what is not known yet."""
    total = 0
    for prompt in (question.prompt, question.system):
        if prompt is None:
            continue
        try:
            text = render(prompt, names)
        except TemplateFault:
            return None
        total += len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace"))
        for mark, most in bounds.items():
            count = text.count(mark)
            if count and most is None:
                return None
            total += count * (most or 0)
    return total


def _tell_apart(sums: Sums, found: Found) -> None:
    """Whether a row has bought answers, and whether they will do today."""
    if found.replayed:
        sums.replayed += 1
        judge_next = found.missed is not None and found.missed.purpose == "judge"
        sums.passed += judge_next or (found.outcome is not None and found.outcome.verdict is Verdict.ACCEPTED)
