"""Model calls as rows of the journal: the values of each statement, and an answer read back."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping

from penstock.core.calls import Answer, Call, Fault, Intent, Judgement, Usage
from penstock.core.canon import Json, compact, sayable
from penstock.rules.worst_case import used
from penstock.store.database import Row

COMPRESSED_FROM_BYTES = 16_384
"""A shorter body is kept as it is: deflate takes 70 µs to get ready and saves a third of a usual answer."""

Values = tuple[object, ...]

_NO_FAULT: Values = (None, None, None)
_NO_USAGE: Values = (None, None, None, None)
_pairs = json.JSONEncoder(separators=(",", ":")).encode


def call_values(number: int, run_no: int, epoch: int, intent: Intent) -> Values:
    """For `insert_call`, which finds the step by the task."""
    return (
        number,
        run_no,
        intent.task_number,
        intent.task_number,
        epoch,
        intent.attempt,
        intent.send,
        intent.purpose,
        intent.key,
        intent.model,
        intent.provider,
        intent.sent_at,
        intent.worst_tokens,
        intent.worst_micros,
    )


def end_values(number: int, run_no: int, call: Call, now: float) -> Values:
    """For `insert_call_end`, of a call that ended by itself."""
    return (
        number,
        run_no,
        sayable(call.served) if call.served else None,
        *(_fault(call.fault) if call.fault else _NO_FAULT),
        call.status,
        *(_usage(call.usage) if call.usage else _NO_USAGE),
        call.cost.micros,
        call.cost.status.value,
        int(call.cached),
        call.wait_s,
        call.elapsed_s,
        now,
        *_exposed(call),
    )


def lost_values(row: Row, run_no: int, now: float) -> Values:
    """For `insert_call_end`, of a call (a row of `calls`) whose process died: nobody knows what came of it, and what it
    cost; at most its worst case."""
    fault = ("transport", "lost", "Penstock died while this call was in flight")
    end = (row["call_no"], run_no, None, *fault, None, *_NO_USAGE, None, "unknown", 0, None, None, now)
    return (*end, row["worst_tokens"], row["worst_micros"])


def stopped_values(number: int, run_no: int, now: float) -> Values:
    """For `insert_call_end`, of a call that nobody was there to send any more: it cost nothing."""
    fault = ("transport", "stopped", "Penstock was stopped before this call was sent")
    return (number, run_no, None, *fault, None, *_NO_USAGE, 0, "exact", 0, 0.0, 0.0, now, None, None)


def answer_values(number: int, key: bytes, answer: Answer) -> Values:
    """For `insert_answer`. Every status is kept whole: what a server refused with is small, and tells why."""
    large = len(answer.body) >= COMPRESSED_FROM_BYTES
    form, body = ("zlib", zlib.compress(answer.body, 1)) if large else ("raw", answer.body)
    return (number, key, answer.status, _pairs(answer.headers), form, body, answer.at, answer.elapsed_s)


def answer_of(row: Row) -> Answer:
    """The answer in a row that has `status`, `headers`, `form`, `body`, `at` and `elapsed_s` and holds the body."""
    body = zlib.decompress(row["body"]) if row["form"] == "zlib" else row["body"]
    headers = tuple((name, value) for name, value in json.loads(row["headers"]))
    return Answer(row["status"], headers, body, row["at"], row["elapsed_s"])


def judgement_values(
    task_no: int,
    epoch: int,
    attempt: int,
    key: bytes | None,
    contract: bytes,
    judgement: Judgement,
    signals: Mapping[str, Json] | None = None,
) -> Values:
    """For `insert_judgement`, which finds the call by task, attempt and key."""
    return (
        task_no,
        epoch,
        attempt,
        task_no,
        attempt,
        key,
        key,
        contract,
        int(judgement.ok),
        judgement.tier.value if judgement.tier is not None else None,
        _flaws(judgement) if judgement.flaws else None,
        int(judgement.mended),
        judgement.score,
        None if signals is None else sayable(compact(dict(signals))),
    )


def _exposed(call: Call) -> Values:
    """The tokens and micro-dollars that the server may have charged beyond what it said."""
    actual, exposed = used(call)
    if not exposed:
        return (None, None)
    tokens, micros = call.intent.worst_tokens, call.intent.worst_micros
    left = None if micros is None else max(0, micros - (actual.micros or 0))
    return (None if tokens is None else max(0, tokens - actual.tokens), left)


def _fault(fault: Fault) -> Values:
    return (fault.cls.value, fault.kind.value if fault.kind else None, sayable(fault.message))


def _usage(usage: Usage) -> Values:
    return (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)


def _flaws(judgement: Judgement) -> str:
    told = [(flaw.pointer, flaw.expected, flaw.got) for flaw in judgement.flaws]
    return sayable(json.dumps(told, ensure_ascii=False, separators=(",", ":")))
