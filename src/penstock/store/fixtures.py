"""Rejected and failed items as files, `fixtures/failures/STEP/KEY.json`: one a distinct input, updated in place.

A failure that was put right is promoted to `fixtures/regressions/STEP/KEY.json`. A run never writes there: when that
input fails again, it is a file among the failures too, until the next promotion joins the two.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.core.canon import Json, compact, parse, sayable
from penstock.core.generation import Generate, Verify
from penstock.core.routing import Route
from penstock.core.work import Attempt, Outcome
from penstock.core.workflow import Step, StepSource
from penstock.rules.failures import signature
from penstock.store.journal import Journal
from penstock.store.logs import stamp

MOST_NEW = 100
"""So many new files a run makes for one step and error signature; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Fixture:
    """A file of a failure, as far as a replay needs it. `signature` is what it failed with, by today's reckoning.

    `index` is the row's place in its stream, `origin` and `chain` the JSON texts of what those names meant to the step;
    each is None where the file does not hold it. `run` is the id of the run that wrote the file. `local`: no model
    elsewhere was to see the row; None where the file does not say.
    """

    path: Path
    step_id: str
    key: str
    regression: bool
    signature: str
    input: bytes
    index: int | None
    origin: str | None
    chain: Mapping[str, str] | None
    run: str | None
    local: bool | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that stands where fixtures are and is none; `why` is a sentence."""

    path: Path
    step_id: str
    key: str
    regression: bool
    why: str


def keep(journal: Journal, folder: Path, step: Step, step_no: int, run: Mapping[str, str], outcome: Outcome) -> None:
    """The failure of an item is a file, or counted; nothing for a step without items.

    `run` are the words that say which run it was: `run`, `workflow`, and nothing of the machine. No secret that the
    journal's masker knows is in the file.
    """
    item = outcome.task.item
    if item is None:
        return
    sign = signed(outcome)
    path = folder / step.id / f"{item.digest[:8].hex()}.json"
    if not path.exists() and not _room_for_another(journal, step_no, sign):
        return
    masker = journal.database.masker
    told: Json = {
        "step": step.id,
        "key": item.key,
        "i": item.index,
        "verdict": outcome.verdict.value,
        "signature": sign,
        "reason": outcome.reason,
        "input": _text(masker.data(item.text) if masker is not None else item.text),
        "local": outcome.task.local,
        **_above(step, outcome),
        **_chosen(outcome),
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
    _write(path, _spelled(masker.value(told) if masker is not None else told))


def signed(outcome: Outcome) -> str:
    """The error signature of an outcome."""
    last = outcome.attempts[-1] if outcome.attempts else None
    kind, said = (last.kind, last.stderr) if last else (None, "")
    return sayable(signature(outcome.verdict.value, kind, outcome.reason, said))


def index(failures: Path) -> Iterator[Fixture | Unreadable]:
    """Every fixture, the regressions first, then by step and key. `failures` is the folder that `keep` writes to."""
    for folder, regression in ((failures.with_name("regressions"), True), (failures, False)):
        for path in sorted(folder.glob("*/*.json")):
            if not path.name.startswith("."):
                yield _read(path, regression)


def promote(fixture: Fixture, at_s: float, run: str) -> Path:
    """The failure is a regression now: where it lies. `run` is the replay that found it fixed, at `at_s` (UTC).

    Its file tells each promotion, with the signature that was put right. Died half-way, both files are there.
    """
    target = fixture.path.parents[2] / "regressions" / fixture.step_id / fixture.path.name
    told, earlier = _object(fixture.path), _promotions(target)
    entry = {"at": stamp(at_s), "run": run, "signature": fixture.signature}
    _write(target, _spelled({**told, "promoted": [*earlier, entry]}))
    fixture.path.unlink()
    return target


# --- writing -----------------------------------------------------------------------------------


def _above(step: Step, outcome: Outcome) -> dict[str, object]:
    """What the templates of a model step see of the records above the item, as JSON texts with numbers as written."""
    names = outcome.task.names or {}
    if not isinstance(step.foreach, StepSource):
        return {}
    told: dict[str, object] = {"origin": sayable(compact(names["origin"]))} if "origin" in names else {}
    chain = names.get("chain")
    if isinstance(chain, Mapping):
        told["chain"] = {step_id: sayable(compact(record)) for step_id, record in chain.items()}
    return told


def _chosen(outcome: Outcome) -> dict[str, object]:
    """The rule that the item went by, and why."""
    choice = outcome.choice
    return {"route": {"rule": choice.rule, "to": choice.to, "why": sayable(choice.why)}} if choice is not None else {}


def _asked(step: Step, outcome: Outcome) -> dict[str, object]:
    """What was run or asked, and what came of it; nothing where rules alone looked at the item."""
    if isinstance(step.spec, Route) and step.spec.chooser is None:
        return {}
    if isinstance(step.spec, (Generate, Route)):
        return _story(outcome.trail)
    if isinstance(step.spec, Verify):
        judged = {"judge": _story(outcome.trail)} if outcome.trail else {}
        return {"answer": _answer(outcome), **judged}
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


def _spelled(told: Json) -> bytes:
    return json.dumps(told, ensure_ascii=False, indent=2).encode("utf-8", "backslashreplace") + b"\n"


def _write(path: Path, body: bytes) -> None:
    """Whole or not at all: written beside its place and renamed into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(body)
    beside.replace(path)


# --- reading -----------------------------------------------------------------------------------


def _read(path: Path, regression: bool) -> Fixture | Unreadable:
    step_id, key = path.parent.name, path.stem
    try:
        told = _object(path)
        body = _body(told.get("input"))
    except OSError as error:
        return Unreadable(path, step_id, key, regression, error.strerror or str(error))
    except ValueError as error:
        return Unreadable(path, step_id, key, regression, str(error))
    place, origin, chain, run, local = (told.get(name) for name in ("i", "origin", "chain", "run", "local"))
    return Fixture(
        path,
        step_id,
        key,
        regression,
        _signature(told),
        body,
        place if type(place) is int and place >= 0 else None,
        origin if isinstance(origin, str) else None,
        {str(name): str(text) for name, text in chain.items()} if isinstance(chain, dict) else None,
        run if isinstance(run, str) else None,
        local if isinstance(local, bool) else None,
    )


def _promotions(path: Path) -> list[object]:
    """The earlier promotions that a regression tells of; none where there is no file, or none that can be read."""
    try:
        told = _object(path).get("promoted")
    except (FileNotFoundError, ValueError):
        return []
    return told if isinstance(told, list) else []


def _object(path: Path) -> dict[str, object]:
    """The JSON object in a file; ValueError if it holds none."""
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(told, dict):
        raise ValueError("it is no JSON object")
    return told


def _body(given: object) -> bytes:
    """The input's exact bytes, as `_text` has told them; ValueError if that is not what it is."""
    if isinstance(given, str):
        return given.encode("utf-8")
    if isinstance(given, dict) and isinstance(given.get("base64"), str):
        return base64.b64decode(given["base64"], validate=True)
    raise ValueError('it has no `input`, a text or {"base64": …}')


def _signature(told: Mapping[str, object]) -> str:
    """Reckoned anew from what the file tells, so that a rule that has become better makes no failure another one."""
    attempts = told.get("attempts")
    last = attempts[-1] if isinstance(attempts, list) and attempts and isinstance(attempts[-1], dict) else {}
    verdict, reason, kind, said = told.get("verdict"), told.get("reason"), last.get("kind"), last.get("stderr")
    texts = [text if isinstance(text, str) else "" for text in (verdict, kind, reason, said)]
    return sayable(signature(*texts)) if texts[0] else str(told.get("signature", ""))
