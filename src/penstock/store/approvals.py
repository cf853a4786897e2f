"""A person's word: what was asked, and the one decision on it, which is the first that is written.

Deciders are processes of their own beside the one that runs the workflow, or long after it. They meet in one
transaction: BEGIN IMMEDIATE lets one of them in at a time, and what it finds there it leaves. The deadline is compared
inside as well, so that neither a timer nor a person who is too late can come between.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from penstock.core.approval import Asked, Shown, Word
from penstock.core.canon import Json, sayable
from penstock.core.seams import Clock
from penstock.core.states import ENDED
from penstock.store.database import Database, Row
from penstock.store.journal import Journal
from penstock.store.logs import stamp

PERSON, TIMER = "person", "timer"
WAITS = "waits for a person's word"
"""Why a step stands still, as `status` shows it."""
DECIDED = "decided, `penstock resume` goes on"
"""And why it still does when the word is there, until a process carries the run again."""


def ask(
    journal: Journal,
    run_no: int,
    step_no: int,
    message: str,
    shown: Sequence[Shown],
    digest: bytes,
    summary: Mapping[str, Json],
    times: tuple[float, float | None],
) -> int | None:
    """The step waits for a word from now on, and a power cut does not lose that; the number of what is asked.

    None, and nothing is asked, if it waited already and a word came meanwhile: whoever gave it was told that it stands.
    `times` are when it is asked and the deadline (None without one), seconds UTC.
    """
    told = [{"what": each.what, "sha256": each.sha256, "size_bytes": each.size_bytes} for each in shown]
    values = {
        "run_no": run_no,
        "step_no": step_no,
        "message": sayable(message),
        "shown": json.dumps(told, ensure_ascii=False),
        "digest": digest,
        "summary": json.dumps(summary, ensure_ascii=False),
        "asked_at": times[0],
        "deadline_at": times[1],
    }
    with journal.together():
        last = journal.database.one("newest_approval", {"step_no": step_no})
        if last is not None and last["state"] == "waiting" and _word(last) is not None:
            return None
        number = journal.database.run("insert_approval", values)
        until = f" (until {stamp(times[1])})" if times[1] is not None else ""
        journal.database.run("wait_step", {"step_no": step_no, "now": times[0], "reason": f"{WAITS}{until}"})
    journal.settle()
    return number


def newest(database: Database, step_no: int) -> tuple[Asked, Word | None] | None:
    """What the step asked last, and the word on it; None if it has asked nothing."""
    row = database.one("newest_approval", {"step_no": step_no})
    return None if row is None else (_asked(row), _word(row))


def of_run(database: Database, run_no: int) -> list[tuple[Asked, Word | None]]:
    """What each step of the run asked last, the newest first."""
    return [(_asked(row), _word(row)) for row in database.all("approvals_of_run", {"run_no": run_no})]


def waiting(database: Database) -> list[tuple[Asked, Word | None]]:
    """What steps that wait have asked, the newest first. Some may be decided: their runs have not gone on yet."""
    return [(_asked(row), _word(row)) for row in database.all("approvals_waiting")]


def decide(database: Database, clock: Clock, number: int, word: Word) -> tuple[Word, bool] | None:
    """The word that stands from now on, and whether it is this one; None if nobody asks for it any more.

    `word.at` is replaced by the time inside the transaction. At the deadline or after it the timer's rejection is
    written instead. What stands survives a power cut.
    """
    with database.transaction():
        row = database.one("approval_by_no", {"number": number})
        if row is None:
            return None
        stands, ours = _word(row), False
        if stands is None and (row["state"] != "waiting" or row["newest_no"] != number):
            return None
        now = clock.now()
        if stands is None and _is_over(row, now):
            stands = _write(database, number, _timers(row, now))
        elif stands is None:
            stands, ours = _write(database, number, _at(word, now)), True
    database.sync()
    return stands, ours


def expire(database: Database, clock: Clock, asked: Asked) -> Word | None:
    """The timer's rejection, or what was decided before it; None while nobody has decided and there is time."""
    if asked.deadline_at is None or clock.now() < asked.deadline_at:
        return None
    with database.transaction():
        row = database.one("approval_by_no", {"number": asked.number})
        assert row is not None
        stands = _word(row)
        if stands is None:
            stands = _write(database, asked.number, _timers(row, clock.now()))
    database.sync()
    return stands


def ended_steps(database: Database, run_no: int) -> set[str]:
    """The ids of the run's steps that have ended: no word moves those."""
    ended = {state.value for state in ENDED}
    return {row["step_id"] for row in database.all("steps_of", {"run_no": run_no}) if row["state"] in ended}


# --- what happened to what was asked -----------------------------------------------------------


def note_changed(journal: Journal, run_no: int, asked: Asked, what: str) -> None:
    """Somebody was about to decide on what is no longer as it was shown; whoever runs the workflow asks again."""
    journal.event(run_no, "approval-void", asked.step_id, f"{_name(asked)}{what}")


def times_changed(database: Database, run_no: int, asked: Asked) -> int:
    """How often `note_changed` was told of it."""
    return _count(database, run_no, "approval-void", asked)


def note_told(journal: Journal, run_no: int, asked: Asked) -> None:
    """The command that tells a person has been run."""
    journal.event(run_no, "approval-notify", asked.step_id, f"{_name(asked)}`notify` was run")


def was_told(database: Database, run_no: int, asked: Asked) -> bool:
    """Whether the command that tells a person has been run."""
    return _count(database, run_no, "approval-notify", asked) > 0


def _count(database: Database, run_no: int, kind: str, asked: Asked) -> int:
    values = {"run_no": run_no, "kind": kind, "subject": asked.step_id, "name": _name(asked)}
    row = database.one("approval_events", values)
    return int(row[0]) if row is not None else 0


def _name(asked: Asked) -> str:
    """How the detail of each event about it begins."""
    return f"approval {asked.number}: "


# --- rows and values ---------------------------------------------------------------------------


def _write(database: Database, number: int, word: Word) -> Word:
    values = {
        "number": number,
        "approved": word.approved,
        "via": word.via,
        "by_whom": word.by,
        "comment": word.comment,
        "digest": word.digest,
        "at": word.at,
    }
    database.run("insert_decision", values)
    database.run("note_decided", {"number": number, "reason": DECIDED})
    return word


def _at(word: Word, now: float) -> Word:
    return Word(word.approved, sayable(word.by), word.via, _sayable(word.comment), now, word.digest)


def _timers(row: Row, now: float) -> Word:
    return Word(approved=False, by="", via=TIMER, comment=None, at=now, digest=row["digest"])


def _is_over(row: Row, now: float) -> bool:
    return row["deadline_at"] is not None and now >= row["deadline_at"]


def _asked(row: Row) -> Asked:
    shown = tuple(Shown(each["what"], each["sha256"], each["size_bytes"]) for each in json.loads(row["shown"]))
    return Asked(
        number=row["approval_no"],
        run_id=row["run_id"],
        step_id=row["step_id"],
        message=row["message"],
        shown=shown,
        digest=row["digest"],
        asked_at=row["asked_at"],
        deadline_at=row["deadline_at"],
        summary=json.loads(row["summary"]),
    )


def _word(row: Row) -> Word | None:
    if row["decided_at"] is None:
        return None
    return Word(
        approved=bool(row["approved"]),
        by=row["by_whom"],
        via=row["via"],
        comment=row["comment"],
        at=row["decided_at"],
        digest=row["decided_digest"],
    )


def _sayable(text: str | None) -> str | None:
    return None if text is None else sayable(text)
