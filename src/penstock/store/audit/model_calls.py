"""The calls of a run to models: whether each has an end and its answer is still there, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from penstock.core.canon import parse
from penstock.core.states import ENDED, RunState
from penstock.store.answer_file import decode
from penstock.store.answers import AnswerFiles
from penstock.store.audit.accounting import BUG
from penstock.store.audit.finding import Finding, note, ok, problem
from penstock.store.call_facts import in_flight
from penstock.store.database import Database, Row
from penstock.store.facts import spending
from penstock.store.layout import Layout

PAGE = 256
MOST_TOLD = 3
UNENDED = (RunState.RUNNING.value, RunState.INTERRUPTED.value, RunState.WAITING.value)


def examine(database: Database, layout: Layout, run: Row) -> Iterator[Finding]:
    """What is to say of the calls of a run that nobody owns; nothing if it asked no model."""
    steps = [
        step
        for step in database.all("steps_of", {"run_no": run["run_no"]})
        if database.one("asks", (step["step_no"],)) is not None
    ]
    if not steps:
        return
    yield _ends(run, len(in_flight(database, run["run_no"])))
    yield _answers(database, layout, steps)
    yield from _costs(database, steps)


def _ends(run: Row, open_calls: int) -> Finding:
    if not open_calls:
        return ok("calls", "each has an end")
    some = "1 call was" if open_calls == 1 else f"{open_calls:,} calls were"
    told = f"{some} in flight when its process died: what they cost is not known"
    if run["state"] not in UNENDED:
        return problem("calls", f"the run has {run['state']}, and {open_calls:,} of its calls have no end", BUG)
    if run["superseded_by"] is not None:
        return note("calls", told, "the provider's own account of that time tells what they cost")
    return note("calls", told, f"`penstock resume {run['run_id']}` tells of them, and sends them again")


def _answers(database: Database, layout: Layout, steps: list[Row]) -> Finding:
    """Answers that `prune` left to their files: those are the only copies."""
    cache = AnswerFiles(layout.cache, None, lambda text: None)
    seen, wrong, first = 0, 0, list[str]()
    for key in _keys_on_files(database, steps):
        seen += 1
        complaint = _complaint(Path(cache.path_of(key)), key)
        if complaint is not None:
            wrong += 1
            first += [complaint] if wrong <= MOST_TOLD else []
    if wrong:
        more = f" and {wrong - MOST_TOLD:,} more" if wrong > MOST_TOLD else ""
        told = f"{wrong:,} of {seen:,} calls have lost their answers, which only files had: {'; '.join(first)}{more}"
        return problem("answers", told, "put the files back from a copy, or the next run buys them again")
    if not seen:
        return ok("answers", "the journal has a copy of each")
    return ok("answers", f"{seen:,} are in their files alone, which are whole")


def _keys_on_files(database: Database, steps: list[Row]) -> Iterator[bytes]:
    """The key of each call whose answer no row of the journal holds any more."""
    for step in steps:
        values = {"step_no": step["step_no"], "after": 0, "most": PAGE}
        while rows := database.all("calls_on_files", values):
            yield from (row["key"] for row in rows)
            values["after"] = rows[-1]["call_no"]


def _complaint(path: Path, key: bytes) -> str | None:
    """Why the file does not hold the answer; None if it does."""
    try:
        decode(path.read_bytes(), key)
    except FileNotFoundError:
        return f"{path} is gone"
    except ValueError as error:
        return f"{path} is not to be used, {error}"
    except OSError as error:
        return f"{path}: {error.strerror}"
    return None


def _costs(database: Database, steps: list[Row]) -> Iterator[Finding]:
    """Whether the sums that were told when the steps ended are those of their calls."""
    ended = [step for step in steps if step["state"] in _ENDED and step["summary"]]
    wrong = 0
    for step in ended:
        told, spent = parse(step["summary"]), spending(database, step["step_no"])
        assert isinstance(told, dict)
        if (told.get("calls"), told.get("cost")) != (spent.calls, spent.dollars):
            wrong += 1
            said = f"{told.get('calls')} calls for {_dollars(told.get('cost'))} told"
            yield problem(
                f"step {step['step_id']}",
                f"{said}, {spent.calls} calls for {_dollars(spent.dollars)} in the journal",
                BUG,
            )
    if ended and not wrong:
        yield ok("cost", "what each step told is the sum of its calls")


_ENDED = frozenset(state.value for state in ENDED)


def _dollars(value: object) -> str:
    return f"${value:.6f}" if isinstance(value, (int, float)) else "an unknown cost"
