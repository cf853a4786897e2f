"""A person's word, from any process: what waits for one, and the one decision that is written.

Nothing here takes the folder's lock, so that it works beside a run that goes on, and where none does.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.api.clock import CLOCK
from penstock.api.folder import existing, refused
from penstock.api.loading import load
from penstock.api.masking import at_hand, masker_of
from penstock.core.approval import Asked, Shown, Word
from penstock.core.errors import OperatorError, PenstockError, UsageError
from penstock.core.views import Waiting
from penstock.store import approvals, facts, shown
from penstock.store.database import Database, DatabaseError, Row, unreadable
from penstock.store.journal import Journal
from penstock.store.layout import Layout
from penstock.store.logs import stamp

__all__ = ["Decision", "decide", "stamp", "waiting"]

MOST_NAME = 200
MOST_COMMENT = 10_000
EXCERPT_BYTES = 1 << 16
"""Of a larger file no lines are shown."""
EXCERPT_LINES = 5


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision that was written: what was asked, and the word. `goes_on`: a process carries the run and waits."""

    asked: Asked
    word: Word
    goes_on: bool


def waiting(folder: Path, run_id: str | None = None) -> list[Waiting]:
    """What waits for a word in a folder, or in one run of it, the newest first. UsageError if there is no such run.

    Where a deadline has passed, the timer's rejection is written first.
    """
    with _journal(folder) as (journal, layout):
        database = journal.database
        run = facts.find(database, run_id)["run_id"] if run_id is not None else None
        found = [each for each in approvals.waiting(database) if run in (None, each[0].run_id)]
        return [_waiting(database, layout, asked, word) for asked, word in found]


def decide(folder: Path, words: tuple[str, ...], approved: bool, by: str, comment: str | None = None) -> Decision:
    """Writes the word on what `words` name: RUN and STEP, one of them, or neither where only one waits.

    OperatorError if somebody has decided before, the time is over, or what was shown has changed: then nothing of this
    word is written. UsageError if the words name nothing that was asked.
    """
    name, said = _name(by), _comment(comment)
    with _journal(folder) as (journal, layout):
        database = journal.database
        asked, word = _meant(database, words)
        run = _run(database, asked)
        _refuse_superseded(database, run)
        word = word or approvals.expire(database, CLOCK, asked)
        if word is not None:
            raise _decided(asked, word)
        _refuse_changed(journal, layout, run, asked)
        mine = Word(approved, name, approvals.PERSON, said, 0.0, asked.digest)
        stands = approvals.decide(database, CLOCK, asked.number, mine)
        if stands is None:
            help = f"`penstock waiting {asked.run_id}` shows what it asks now"
            raise OperatorError(f"step {asked.step_id} no longer asks what you were shown; nothing was decided", help)
        if not stands[1]:
            raise _decided(asked, stands[0])
        return Decision(asked, stands[0], facts.is_alive(_owner(database, run), CLOCK.now()))


@contextlib.contextmanager
def _journal(folder: Path) -> Iterator[tuple[Journal, Layout]]:
    """The journal without the lock: what is written here is one short transaction."""
    layout = existing(folder)
    try:
        with contextlib.closing(Journal(layout.journal, CLOCK)) as journal:
            yield journal, layout
    except DatabaseError as error:
        raise unreadable(layout.journal, error) from error
    except OSError as error:
        raise refused(layout.folder, error) from error


# --- which one is meant ------------------------------------------------------------------------


def _meant(database: Database, words: tuple[str, ...]) -> tuple[Asked, Word | None]:
    """What the words name; of several only the one that is undecided. UsageError if that is not one."""
    found = approvals.waiting(database)
    if len(words) == 2:
        return _of_step(database, *words)
    if len(words) == 1 and words[0] in {asked.step_id for asked, _ in found}:
        found = [each for each in found if each[0].step_id == words[0]]
    elif len(words) == 1:
        run = facts.find(database, words[0])
        found = approvals.of_run(database, run["run_no"])
        if not found:
            raise UsageError(f"run {run['run_id']} has asked nobody for a word", _help(approvals.waiting(database)))
    open_ones = [each for each in found if each[1] is None]
    if len(open_ones) == 1 or (not open_ones and len(found) == 1):
        return (open_ones or found)[0]
    if not found:
        raise UsageError("nothing waits for a person's word here", "`penstock runs` lists the runs")
    several = f"{len(open_ones)} steps wait for a word" if open_ones else "nothing is undecided"
    raise UsageError(f"{several}: say which", _help(open_ones or found))


def _of_step(database: Database, run_word: str, step_id: str) -> tuple[Asked, Word | None]:
    run = facts.find(database, run_word)
    found = approvals.of_run(database, run["run_no"])
    for each in found:
        if each[0].step_id == step_id:
            return each
    raise UsageError(f"step {step_id} of run {run['run_id']} has asked nobody for a word", _help(found))


def _help(found: list[tuple[Asked, Word | None]]) -> str:
    if not found:
        return "`penstock waiting` lists what waits"
    return "these have: " + ", ".join(f"{asked.run_id} {asked.step_id}" for asked, _ in found[:5])


# --- what is refused ---------------------------------------------------------------------------


def _decided(asked: Asked, word: Word) -> OperatorError:
    if word.via == approvals.TIMER:
        until = stamp(asked.deadline_at if asked.deadline_at is not None else word.at)
        return OperatorError(
            f"too late: {asked.step_id} had to be decided until {until}, and its timer has rejected it",
            f"`penstock resume {asked.run_id}` ends the run; a new run asks again",
        )
    how = "approved" if word.approved else "rejected"
    return OperatorError(
        f"{asked.step_id} is already {how} by {word.by} at {stamp(word.at)}",
        "the first word stands; yours was not kept",
    )


def _refuse_superseded(database: Database, run: Row) -> None:
    """UsageError if a later run has moved the run's files away: nothing of it can follow any more."""
    if run["superseded_by"] is not None:
        later = database.one("run_by_no", {"run_no": run["superseded_by"]})
        after = later["run_id"] if later is not None else "a later one"
        raise UsageError(f"run {run['run_id']} can no longer go on: run {after} came after it", "`penstock waiting`")


def _refuse_changed(journal: Journal, layout: Layout, run: Row, asked: Asked) -> None:
    """OperatorError if what was shown is no longer so. Whoever carries the run is told, and asks again."""
    differences = _differences(journal.database, layout, run, asked)
    if differences:
        told = "; ".join(differences)
        approvals.note_changed(journal, run["run_no"], asked, told)
        raise OperatorError(
            f"what {asked.step_id} shows has changed since it asked: {told}; nothing was decided",
            f"`penstock resume {run['run_id']}` asks again with what is there now (`run --wait` does so by itself)",
        )


def _differences(database: Database, layout: Layout, run: Row, asked: Asked) -> list[str]:
    steps = {row["step_id"]: row["step_no"] for row in facts.steps_at_hand(database, run)}
    return shown.changes(database, layout.folder, steps, asked)


def _name(by: str) -> str:
    """A name as it is kept; UsageError for one that is none. It is a label: nobody proves that it is theirs."""
    name, help = by.strip(), f"write --as NAME, up to {MOST_NAME} characters on one line"
    if not name:
        raise UsageError("a decision needs a name", help)
    if len(name) > MOST_NAME:
        raise UsageError(f"the name has {len(name):,} characters", help)
    unseen = next((sign for sign in name if not sign.isprintable()), None)
    if unseen is not None:
        raise UsageError(f"the name holds U+{ord(unseen):04X}, which cannot be shown", help)
    return name


def _comment(comment: str | None) -> str | None:
    if comment is not None and len(comment) > MOST_COMMENT:
        raise UsageError(f"the comment has more than {MOST_COMMENT:,} characters", "put it in a file, and name that")
    return comment.strip() or None if comment is not None else None


def _owner(database: Database, run: Row) -> Row | None:
    return database.one("owner_of", {"run_no": run["run_no"]})


def _run(database: Database, asked: Asked) -> Row:
    row = database.one("run_by_id", {"run_id": asked.run_id})
    assert row is not None
    return row


# --- what is shown -----------------------------------------------------------------------------


def _waiting(database: Database, layout: Layout, asked: Asked, word: Word | None) -> Waiting:
    run = _run(database, asked)
    word = word or approvals.expire(database, CLOCK, asked)
    view = Waiting(_today(database, run, asked), word, run["workflow"], layout.folder)
    if word is not None:
        return view
    changed = tuple(_differences(database, layout, run, asked))
    excerpts = [(each.what, _excerpt(layout, asked, each)) for each in asked.shown]
    return replace(view, changed=changed, excerpts=_unspoken(layout, run, [each for each in excerpts if each[1]]))


def _today(database: Database, run: Row, asked: Asked) -> Asked:
    """The same without steps that would follow when it was asked, and have ended meanwhile."""
    ended, told = approvals.ended_steps(database, run["run_no"]), asked.summary.get("applies")
    applies = [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []
    gone = [each["step"] for each in applies if each["step"] in ended]
    before = asked.summary.get("ended")
    ids = [*(before if isinstance(before, list) else []), *gone]
    left = [each for each in applies if each["step"] not in ended]
    return replace(asked, summary={**asked.summary, "applies": left, "ended": ids})


def _unspoken(layout: Layout, run: Row, excerpts: list[tuple[str, str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The lines of each text without the secrets that are at hand; nothing where nobody can tell which those are."""
    folder, told = layout.run(run["run_id"]), facts.options_of(run).get("vars")
    if not excerpts:
        return ()
    try:
        text, files = folder.snapshot.read_text(encoding="utf-8"), json.loads(folder.texts.read_text(encoding="utf-8"))
        workflow = load(layout.folder / run["workflow"], told if isinstance(told, dict) else {}, text, files)
    except (OSError, PenstockError):
        return ()
    masker = masker_of(layout, at_hand(workflow), {})
    shown = ((what, masker.text(text) if masker is not None else text) for what, text in excerpts)
    return tuple(
        (what, tuple(line for line in text.split("\n") if line.strip())[:EXCERPT_LINES]) for what, text in shown
    )


def _excerpt(layout: Layout, asked: Asked, thing: Shown) -> str:
    """A small text; empty for anything else."""
    name = thing.what
    records = layout.run(asked.run_id).steps / f"{name.removeprefix(shown.STEPS)}.jsonl"
    path = records if name.startswith(shown.STEPS) else layout.folder / name
    try:
        if not path.is_file() or path.stat().st_size > EXCERPT_BYTES:
            return ""
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    return "" if "\0" in text else text
