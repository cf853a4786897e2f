"""Replay: the inputs of kept failures through today's workflow, step by step, each alone and beside the user's files.

It is the one way through the house: every step is driven as an `--only` run, in a journal of its own
(`.penstock/replay`), on a stage that staging.py sets. Answers are bought into the folder's one cache, and what the
folder's own journal has of them counts too.
"""

from __future__ import annotations

import json
import os
import secrets as randomness
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from penstock.api.asking import Cast, cast, with_forced
from penstock.api.clock import CLOCK
from penstock.api.driving import drive
from penstock.api.folder import held
from penstock.api.loading import load, locate, require_bash
from penstock.api.masking import masked
from penstock.api.owning import take_over
from penstock.api.replay.recalling import Recall
from penstock.api.replay.staging import CannotMove, Given, ReplayRoom, alone, stand
from penstock.api.secrets import values_of
from penstock.core.errors import UsageError
from penstock.core.seams import Listener
from penstock.core.states import RunState
from penstock.core.views import Options, Replay, Replayed, RunView, Spending, Standing, StepView
from penstock.core.work import Outcome, Verdict
from penstock.core.workflow import Step, Workflow
from penstock.rules.replays import is_unrecorded, mentions, passes, standing
from penstock.store import facts, fixtures
from penstock.store.answers import AnswerFiles
from penstock.store.database import DatabaseError, unreadable
from penstock.store.fixtures import Fixture, Unreadable
from penstock.store.journal import Journal
from penstock.store.layout import Layout

CUT_OFF = (RunState.INTERRUPTED, RunState.WAITING)
PAGE = 256


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a replay. No `keys` and no `step`: all. A key may be given by its beginning."""

    step: str | None = None
    keys: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    offline: bool = False
    promote: bool = False
    strict: bool = False
    simulate: bool = False


def replay(path: Path, wanted: Wanted, listener: Listener) -> Replay:
    """Where every wanted fixture stands, in the workflow's order; with `promote` the fixed ones are regressions now.

    UsageError if the workflow has no such step, or no fixture is called so.
    """
    file = locate(path)
    workflow = load(file, dict(wanted.variables))
    ids = [step.id for step in workflow.steps]
    if wanted.step not in (None, *ids):
        raise UsageError(f"the workflow has no step {wanted.step}", f"its steps are: {', '.join(ids)}")
    if wanted.promote and wanted.simulate:
        raise UsageError("what the simulator answers fixes nothing", "leave out --promote, or --simulate")
    layout = Layout(workflow.folder.absolute())
    room = ReplayRoom(layout.folder)
    inputs, told = _inputs(workflow, layout, wanted)
    state, spent = RunState.SUCCEEDED, None
    if inputs:
        with held(layout) as own, _journal_of(room, listener) as journal:
            take_over(own, layout, listener)
            stage = _staged(workflow, layout, (own, journal), wanted, {step_id for step_id, _ in inputs}, listener)
            with masked(journal, layout, stage.secrets, stage.asked.endpoints):
                played = [one for step in workflow.steps for one in stage.play(step, inputs)]
        told += [_promoted(one, inputs, stage.run_id) for one in played] if wanted.promote else played
        state, spent = stage.state if stage.state in CUT_OFF else state, stage.spent
    told.sort(key=lambda one: (ids.index(one.step_id) if one.step_id in ids else len(ids), one.key))
    passed = passes(told, wanted.strict)
    return Replay(file.name, room.root, tuple(told), state.value, passed, spent, wanted.simulate)


@contextmanager
def _journal_of(room: ReplayRoom, listener: Listener) -> Iterator[Journal]:
    """The replays' own journal; nothing that an earlier replay left is alive, and its files are gone."""
    room.root.mkdir(parents=True, exist_ok=True)
    try:
        journal = Journal(room.journal, CLOCK)
    except DatabaseError as error:
        raise unreadable(room.journal, error) from error
    try:
        take_over(journal, room, listener)
        for name in ("runs", "fixtures"):
            shutil.rmtree(room.root / name, ignore_errors=True)
        yield journal
    finally:
        journal.close()


def _staged(
    workflow: Workflow,
    layout: Layout,
    journals: tuple[Journal, Journal],
    wanted: Wanted,
    ids: set[str],
    listener: Listener,
) -> _Stage:
    """All that the steps `ids` need to be played. `journals` are the folder's own and that of replays."""
    own, journal = journals
    played = replace(workflow, steps=tuple(step for step in workflow.steps if step.id in ids))
    values = values_of(played)
    require_bash(played)
    options = Options(None, wanted.variables, None, wanted.simulate, "only" if wanted.offline else None)
    options = with_forced(options, os.environ)
    asked = cast(workflow, values, options, frozenset(ids))
    if any(step.asks for step in played.steps):
        _write_answers(layout, own, listener)
    return _Stage(workflow, asked, ReplayRoom(layout.folder), journal, own, options, values, listener)


# --- which fixtures ----------------------------------------------------------------------------

Inputs = dict[tuple[str, str], list[Fixture]]
"""Fixtures that hold one input, by step and the key of the first: a regression, if there is one."""


def _inputs(workflow: Workflow, layout: Layout, wanted: Wanted) -> tuple[Inputs, list[Replayed]]:
    """What is to be replayed, each input once; and the files that cannot be, with what to do."""
    found = [one for one in fixtures.index(layout.fixtures) if wanted.step in (None, one.step_id)]
    for key in wanted.keys:
        if not any(one.key.startswith(key) for one in found):
            named = ", ".join(f"{one.step_id}/{one.key}" for one in found[:5]) or "there are none"
            raise UsageError(f"no fixture is called {key}", f"the fixtures here: {named}")
    if wanted.keys:
        found = [one for one in found if one.key.startswith(wanted.keys)]
    steps = {step.id: step for step in workflow.steps}
    inputs: Inputs = {}
    names: dict[tuple[str, bytes, str | None, str], str] = {}
    strays = []
    for one in found:
        why = _stray(one, steps, wanted)
        if why is not None or isinstance(one, Unreadable):
            had = one.signature if isinstance(one, Fixture) else ""
            strays.append(Replayed(one.step_id, one.key, one.regression, Standing.NOT_REPLAYED, had, None, why))
            continue
        same = (one.step_id, one.input, one.origin, json.dumps(one.chain, sort_keys=True))
        inputs.setdefault((one.step_id, names.setdefault(same, one.key)), []).append(one)
    return inputs, strays


def _stray(one: Fixture | Unreadable, steps: Mapping[str, Step], wanted: Wanted) -> str | None:
    """Why a file cannot be replayed whatever its item; None if it may be."""
    if isinstance(one, Unreadable):
        return f"{one.why}: mend {one.path.name} or delete it"
    step = steps.get(one.step_id)
    if step is None:
        return f"the workflow has no step {one.step_id}: rename the folder to the step's new id, or delete it"
    if step.foreach is None:
        return f"step {one.step_id} has no items any more: delete the file"
    if not step.idempotent and wanted.step is None:
        return f"its step says `idempotent: false`: `penstock replay --step {one.step_id}` does it all the same"
    return None


def _promoted(one: Replayed, inputs: Inputs, run_id: str) -> Replayed:
    """What is fixed lies among the regressions now, and so does a failure that a green regression has the input of."""
    if one.standing not in (Standing.FIXED, Standing.GREEN):
        return one
    failures = [each for each in inputs[one.step_id, one.key] if not each.regression]
    for each in failures:
        fixtures.promote(each, CLOCK.now(), run_id)
    return replace(one, promoted=bool(failures))


def _write_answers(layout: Layout, own: Journal, listener: Listener) -> None:
    """Answers that only the folder's own journal has are files too: the replay looks for files."""
    cache, after = AnswerFiles(layout.cache, own.database, listener.note), b""
    while rows := own.database.all("answer_keys_after", (after, PAGE)):
        for row in rows:
            answer = None if Path(cache.path_of(row["key"])).exists() else cache.journalled(row["key"])
            if answer is not None:
                cache.put(row["key"], None, answer)
        after = rows[-1]["key"]


# --- one step after the other ------------------------------------------------------------------


@dataclass(slots=True)
class _Watch:
    """Keeps what became of each row, and passes on what tells of progress: a failure here is no news."""

    listener: Listener
    seen: dict[int, Outcome] = field(default_factory=dict)
    why: str | None = None

    def begin(self, run: RunView) -> None:
        """Nothing: it is no run of the user's."""

    def step(self, view: StepView) -> None:
        """Where the step stands."""
        self.why = view.reason
        self.listener.step(view)

    def outcome(self, outcome: Outcome) -> None:
        """It is kept, without what is large in it."""
        self.seen[outcome.task.index] = replace(outcome, record=None, pieces=(), trail=())

    def note(self, text: str) -> None:
        """The text."""
        self.listener.note(text)


@dataclass(slots=True)
class _Stage:
    """What all steps of a replay share, and what they came to."""

    workflow: Workflow
    asked: Cast
    room: ReplayRoom
    journal: Journal
    own: Journal
    options: Options
    secrets: dict[str, str]
    listener: Listener
    run_id: str = ""
    state: RunState = RunState.SUCCEEDED
    spent: Spending | None = None

    def play(self, step: Step, inputs: Inputs) -> Iterator[Replayed]:
        """Where each of the step's fixtures stands."""
        mine = {key: group for (step_id, key), group in inputs.items() if step_id == step.id}
        recall = Recall(self.workflow, step, mentions(step), self.own.database)
        rows: list[tuple[list[Fixture], Given]] = []
        for group in mine.values():
            given, lack = recall.given(group)
            if given is None:
                yield _unplayed(group, lack)
            else:
                rows.append((group, given))
        for wave in _waves(rows):
            yield from self._wave(step, recall, wave)

    def _wave(self, step: Step, recall: Recall, wave: list[tuple[list[Fixture], Given]]) -> Iterator[Replayed]:
        """One run of the step over rows of which each has a place of its own."""
        if self.state in CUT_OFF:
            yield from (_unplayed(group, "the replay was cut off before it") for group, _ in wave)
            return
        self.run_id = f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{randomness.token_hex(4)}"
        folder = self.room.run(self.run_id)
        prefix = f"{(folder.root / 'written').relative_to(self.room.folder).as_posix()}/"
        try:
            staged = alone(self.asked.workflow, self.asked.workflow.step(step.id), prefix, recall.found)
        except CannotMove as error:
            yield from (_unplayed(group, str(error)) for group, _ in wave)
            return
        folder.make()
        rows = [given for _, given in wave]
        base = stand(self.journal, self.run_id, staged, rows, recall.found, self.own.database)
        run_no = self.journal.begin_run(self.run_id, staged.file.name, staged.name, [step.id], {}, base)
        watch = _Watch(self.listener)
        found, options = replace(self.asked, workflow=staged), replace(self.options, only=step.id)
        self.state = drive(self.journal, self.room, found, run_no, options, self.secrets, watch)
        self._charge(run_no)
        for group, given in wave:
            outcome = watch.seen.get(given.index)
            why = watch.why or f"the replay is {self.state.value}"
            yield _unplayed(group, why) if outcome is None else self._told(group, outcome)

    def _charge(self, run_no: int) -> None:
        row = self.journal.database.one("run_by_no", {"run_no": run_no})
        spent = facts.view(self.journal.database, self.room, row, CLOCK).spent if row is not None else None
        if spent is not None:
            self.spent = spent.plus(self.spent or Spending())

    def _told(self, group: list[Fixture], outcome: Outcome) -> Replayed:
        first = group[0]
        kind = outcome.attempts[-1].kind if outcome.attempts else None
        if is_unrecorded(self.options.cache == "only", outcome.verdict, kind, outcome.reason):
            return _unplayed(group, "an answer that it needs was never bought: replay it without --offline")
        failed = outcome.verdict in (Verdict.REJECTED, Verdict.FAILED)
        has = fixtures.signed(outcome) if failed else None
        stands = standing(first.regression, outcome.verdict, first.signature, has or "")
        reason = None if outcome.verdict is Verdict.ACCEPTED else outcome.reason
        return Replayed(first.step_id, first.key, first.regression, stands, first.signature, has, reason, len(group))


def _unplayed(group: Sequence[Fixture], why: str) -> Replayed:
    first = group[0]
    signature, files = first.signature, len(group)
    return Replayed(first.step_id, first.key, first.regression, Standing.NOT_REPLAYED, signature, None, why, files)


def _waves(rows: list[tuple[list[Fixture], Given]]) -> Iterator[list[tuple[list[Fixture], Given]]]:
    """The rows in as few runs as it takes for each to keep its place: files of several runs may name one twice."""
    left = rows
    while left:
        wave: dict[int, tuple[list[Fixture], Given]] = {}
        again = []
        for group, given in left:
            if given.index in wave:
                again.append((group, given))
            elif given.index >= 0:
                wave[given.index] = (group, given)
        free = max(wave, default=-1)
        for group, given in left:
            if given.index < 0:
                free += 1
                wave[free] = (group, replace(given, index=free))
        yield [wave[index] for index in sorted(wave)]
        left = again
