"""The rows of a model step, counted: how many questions would be sent for them, and how long their prompts are.

Memory holds sums. The questions that were counted lie in a temporary table, since rows that ask the same are one call.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from penstock.api.bill.last_run import LastRun
from penstock.api.bill.rehearsing import Found, Rehearsal, Row
from penstock.api.bill.speaking import questions_of
from penstock.api.bill.unknown import OUTPUT, question_key
from penstock.core.calls import Request
from penstock.core.work import Verdict
from penstock.core.workflow import Step
from penstock.kinds.asking import Asking, Question
from penstock.rules.bill import Load
from penstock.rules.prompts import TemplateFault, render
from penstock.store.seen import Seen

TELL_EVERY = 1000


@dataclass(slots=True)
class Sums:
    """What was counted over the rows of one step.

    Of `items`, `cached` were answered and buy nothing, and `old` and `new` of those that buy were and were not in the
    last run. `answers` and `judged` are calls to send; `guessed`: a prompt was not known; `assumed`: a row. `replayed`
    rows have bought answers, of which `passed` will do today. `first` and `judging` are the prompts of rows that will
    ask or may; `sent` and `sent_bytes`, by model, are of the questions whose text is known.
    """

    items: int = 0
    cached: int = 0
    answers: int = 0
    judged: int = 0
    guessed: bool = False
    assumed: bool = False
    replayed: int = 0
    passed: int = 0
    new: int = 0
    old: int = 0
    first: Load = field(default_factory=Load)
    judging: Load = field(default_factory=Load)
    sent: Counter[str] = field(default_factory=Counter)
    sent_bytes: Counter[str] = field(default_factory=Counter)

    @property
    def to_buy(self) -> int:
        """Calls to send if every first answer will do."""
        return self.answers + self.judged


class Count:
    """Goes over the rows of one step."""

    def __init__(
        self, step: Step, rehearsal: Rehearsal, last: LastRun, seen: Seen, bounds: Mapping[str, int | None]
    ) -> None:
        """`bounds` are the most tokens that each unknown value takes where it is printed, by its mark."""
        self.sums = Sums()
        self._step = step
        self._rehearsal = rehearsal
        self._asking: Asking = rehearsal.asking(step)
        self._question, self._judge = questions_of(self._asking)
        self._last = last
        self._seen = seen
        self._bounds = bounds
        self._mode = self._asking.manner.cache

    async def run(self, hear: Callable[[str, int], None]) -> None:
        """Every row is in `sums`. OperatorError if the step's file cannot be read."""
        sums = self.sums
        async for row, found in self._rehearsal.results(self._step):
            sums.assumed |= row.assumed
            if row.possible:
                if not found.settled:
                    self._add_loads({**self._asking.vars, **found.names})
                continue
            sums.items += 1
            if found.settled:
                sums.cached += found.replayed > 0
            else:
                self._add(row, found)
            _tell_apart(sums, found)
            if sums.items % TELL_EVERY == 0:
                hear(self._step.id, sums.items)

    def _add(self, row: Row, found: Found) -> None:
        """One more row that will ask somebody."""
        sums, missed, names = self.sums, found.missed, {**self._asking.vars, **found.names}
        request = missed.request if missed is not None else None
        sums.guessed |= missed is None
        self._age(row)
        if missed is not None and missed.purpose == "judge":
            sums.judged += self._is_new(missed.key, request)
        else:
            if self._question is not None:
                sums.answers += self._is_new(found.key, request)
            if self._judge is not None:
                sums.judged += self._is_new(question_key(self._step.id, self._judge, names, row.arrival, found.key))
        self._add_loads(names)

    def _add_loads(self, names: Mapping[str, object]) -> None:
        """One more row for which everything may be tried."""
        sums = self.sums
        if self._question is not None:
            sums.first = sums.first.plus(self._tokens(self._question, names))
        if self._judge is not None:
            output = OUTPUT if self._question is not None else names["item"]
            sums.judging = sums.judging.plus(self._tokens(self._judge, {**names, "output": output}))

    def _age(self, row: Row) -> None:
        if row.known and self._step.foreach is not None and self._last.step_no(self._step) is not None:
            known = self._last.had(self._step, row.arrival.digest)
            self.sums.old += known
            self.sums.new += not known

    def _is_new(self, key: bytes, request: Request | None = None) -> bool:
        """Whether a question would be sent, and not be one that was counted before; its text is added up if known.

        With `cache: refresh` equal questions are one call only if they are in flight together.
        """
        if self._mode != "off" and self._seen.before(key):
            self.sums.guessed |= self._mode == "refresh"
            return self._mode == "refresh"
        if request is not None:
            texts = (message.content.encode("utf-8", "replace") for message in request.messages)
            self.sums.sent[request.model.name] += 1
            self.sums.sent_bytes[request.model.name] += sum(map(len, texts))
        return True

    def _tokens(self, question: Question, names: Mapping[str, object]) -> int | None:
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
            for mark, most in self._bounds.items():
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
