"""Rejected and failed items as files, `fixtures/failures/STEP/KEY.json`: one a distinct input, updated in place."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from penstock.core.canon import Json, parse, sayable
from penstock.core.generation import Generate, Verify
from penstock.core.work import Attempt, Outcome
from penstock.core.workflow import Step
from penstock.rules.failures import signature
from penstock.store.journal import Journal
from penstock.store.logs import stamp

MOST_NEW = 100
"""So many new files a run makes for one step and error signature; the rest is counted."""


def keep(journal: Journal, folder: Path, step: Step, step_no: int, run: Mapping[str, str], outcome: Outcome) -> None:
    """The failure of an item is a file, or counted; nothing for a step without items.

    `run` are the words that say which run it was: `run`, `workflow`, and nothing of the machine.
    """
    item = outcome.task.item
    if item is None:
        return
    last = outcome.attempts[-1] if outcome.attempts else None
    kind, said = (last.kind, last.stderr) if last else (None, "")
    sign = sayable(signature(outcome.verdict.value, kind, outcome.reason, said))
    path = folder / step.id / f"{item.digest[:8].hex()}.json"
    if not path.exists() and not _room_for_another(journal, step_no, sign):
        return
    told = {
        "step": step.id,
        "key": item.key,
        "verdict": outcome.verdict.value,
        "signature": sign,
        "reason": outcome.reason,
        "input": _text(item.text),
        **_asked(step, outcome),
        "attempts": [
            {
                "number": attempt.number,
                "at": stamp(attempt.started_at),
                "elapsed_s": round(attempt.elapsed_s, 6),
                "kind": attempt.kind,
                "reason": attempt.reason,
                "stderr": attempt.stderr,
            }
            for attempt in (*_earlier(journal, outcome), *outcome.attempts)
        ],
        **run,
    }
    _write(path, json.dumps(told, ensure_ascii=False, indent=2).encode("utf-8", "backslashreplace") + b"\n")


def _asked(step: Step, outcome: Outcome) -> dict[str, object]:
    """What was run or asked, and what came of it."""
    if isinstance(step.spec, Generate):
        return _story(outcome.trail)
    if isinstance(step.spec, Verify):
        return {"answer": _answer(outcome)}
    return {"command": step.script.source, "values": dict(outcome.task.values), "answer": _answer(outcome)}


def _story(trail: Sequence[Mapping[str, Json]]) -> dict[str, object]:
    """The prompt of the first try, each try with what came of it, and the text of the last answer.

    A try that was asked something else than the first has `messages`: of a re-ask only the last, which is new in it.
    """
    prompt = trail[0]["messages"] if trail else None
    answers = [told["answer"] for told in trail if told["answer"] is not None]
    tries = [{name: value for name, value in told.items() if name != "messages" or value != prompt} for told in trail]
    return {"prompt": prompt, "tries": tries, "answer": answers[-1] if answers else None}


def _earlier(journal: Journal, outcome: Outcome) -> list[Attempt]:
    """The tries at the task that were made in earlier lives of its run."""
    if not outcome.task.spent:
        return []
    first = outcome.attempts[0].number if outcome.attempts else outcome.task.spent + 1
    rows = journal.database.all("attempts_before", (outcome.task.number, first))
    return [Attempt(**{name: row[name] for name in row.keys() if name != "task_no"}) for row in rows]  # noqa: SIM118


def _room_for_another(journal: Journal, step_no: int, sign: str) -> bool:
    row = journal.database.one("signature_counts", (step_no, sign))
    written, counted = (row["written"], row["counted"]) if row is not None else (0, 0)
    room = written < MOST_NEW
    journal.set_signature(step_no, sign, written + room, counted + (not room))
    return bool(room)


def _text(body: bytes) -> object:
    """Text as it is; bytes that are no UTF-8 as base64."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def _answer(outcome: Outcome) -> object:
    if outcome.record is None:
        return None
    if outcome.record.form.value == "text":
        return _text(outcome.record.body)
    return parse(outcome.record.body)


def _write(path: Path, body: bytes) -> None:
    """Whole or not at all: written beside its place and renamed into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(body)
    beside.replace(path)
