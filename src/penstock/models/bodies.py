"""JSON bodies on their way out and in, and what an error's body tells: shared by all adapters.

Nothing here raises, whatever the bytes: a body that makes no sense is a transport fault, which is tried again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from penstock.core.calls import Answer, Fault, FaultClass, Request, TransportKind
from penstock.core.canon import Json, compact, parse, sayable
from penstock.models.waits import retry_after_s

LIMITS = ("max_tokens", "max_completion_tokens", "num_predict")
"""The names under which an author may set the most that a model writes. A cascade shares its parameters, so each
provider takes all of them and says it in its own word."""
LOGPROBS = {"openai": "logprobs", "ollama": "logprobs"}
"""The parameter that asks a provider how likely each token of its answer was; the others do not tell."""

_EXCERPT = 200
_MESSAGE = 500
_OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|exceeds? (?:the |its )?(?:available )?context"
    r"|prompt is too long|input is too long|exceed context limit|reduce the length of|too many (?:input )?tokens"
    r"|exceeds the maximum number of (?:input )?tokens|request too large for",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|not permitted|not allowed|not available|unexpected"
    r"|extra_forbidden|deprecated|cannot both|no longer|cannot be used",
    re.IGNORECASE,
)
_TIMEOUTS = (408, 504, 524)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What an error response says. `status` is the one in the body where the response itself claims success."""

    status: int
    message: str
    code: str = ""
    param: str = ""


def encode(body: dict[str, Json]) -> bytes:
    """A request's body: its top level in order of names, everything below as it is (servers write in schema order)."""
    return compact(dict(sorted(body.items()))).encode("utf-8", "backslashreplace")


def limit(request: Request) -> Json:
    """The most tokens that the answer may have: Penstock's own word, else the author's, else None."""
    if request.max_tokens is not None:
        return request.max_tokens
    return next((request.params[name] for name in LIMITS if request.params.get(name) is not None), None)


def wanted(request: Request, reserved: Iterable[str], dropped: Iterable[str]) -> dict[str, Json]:
    """The author's parameters without the limits, those that the adapter sets itself, and those to drop."""
    without = {*LIMITS, *reserved, *dropped}
    return {name: value for name, value in request.params.items() if name not in without}


def decode(body: bytes) -> Json:
    """The JSON value of a body, None if it is none. Numbers keep their spelling.

    Bytes that are no UTF-8 become U+FFFD and a lone surrogate is let through: the answer is paid for, and its contract
    judges it.
    """
    text = body.decode("utf-8-sig", "replace")
    try:
        return parse(text)
    except ValueError:
        pass
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def written(value: Json) -> str:
    """The text of a value that a server sent as JSON where a text was expected (a tool call's input)."""
    try:
        return sayable(value) if isinstance(value, str) else sayable(compact(value))
    except (ValueError, RecursionError):
        return ""


def fields(value: Json) -> dict[str, Json]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def elements(value: Json) -> list[Json]:
    """The value if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def count(value: Json) -> int | None:
    """A number of tokens, None if the value is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def mean_logprob(tokens: Json) -> float | None:
    """The mean of the tokens' `logprob`, None if a token has none."""
    found = [fields(token).get("logprob") for token in elements(tokens)]
    numbers = [float(number) for number in found if isinstance(number, (int, float)) and math.isfinite(number)]
    return math.fsum(numbers) / len(numbers) if numbers and len(numbers) == len(found) else None


def complaint(answer: Answer, body: Json) -> Complaint:
    """What the body of an error says, in any of the forms that servers use; the body's beginning if in none."""
    error, inner = _error(body)
    message = next(filter(None, (_text(error.get(key)) for key in ("message", "error", "detail", "msg"))), "")
    message = _text(inner) or message or excerpt(answer.body) or "no word of explanation"
    code = error.get("code")
    within = code if isinstance(code, int) and 400 <= code < 600 else 500
    status = answer.status if answer.status >= 300 else within
    names = " ".join(_text(error.get(key)) for key in ("code", "type") if isinstance(error.get(key), str))
    return Complaint(status, _tidy(message, _MESSAGE), names, _text(error.get("param")))


def blamed(said: Complaint, names: Collection[str]) -> str | None:
    """Which of the parameters that were sent the server does not take; None if it does not say.

    A value out of range is not meant: that is the author's to correct. Of two that go together badly it is the later.
    """
    head = re.split(r"[.\[]", said.param)[0]
    found = {match.start(): name for name in names if (match := _named(name).search(said.message))}
    if not _REFUSAL.search(f"{said.code} {said.message}"):
        return None
    if head in names:
        return head
    if not found:
        return None
    return found[max(found) if "both" in said.message else min(found)]


def overflows(said: Complaint) -> bool:
    """Whether the request was too long for the model."""
    return said.status == 413 or bool(_OVERFLOW.search(f"{said.code} {said.message}"))


def fault(answer: Answer, said: Complaint, cls: FaultClass | None = None, param: str | None = None) -> Fault:
    """The fault that the status tells of, or one of class `cls` where the adapter knows better."""
    status = said.status
    if cls is not None:
        return Fault(cls, said.message, status=status, param=param)
    if status in _TIMEOUTS:
        kind = TransportKind.TIMEOUT
    elif status == 429:
        kind = TransportKind.RATE_LIMIT
    elif status in (409, 425) or status >= 500:
        kind = TransportKind.SERVER
    else:
        return Fault(FaultClass.DENIED, said.message, status=status, param=param)
    wait = retry_after_s(answer)
    return Fault(FaultClass.TRANSPORT, said.message, kind, status, wait, billed=kind is TransportKind.TIMEOUT)


def unreadable(answer: Answer, why: str = "is not the JSON that was expected") -> Fault:
    """The fault of a response that claims success and holds no answer. It may have been billed."""
    shown = excerpt(answer.body)
    kind = dict(answer.headers).get("content-type", "no content type")
    message = f"The response {why} ({_tidy(kind, 60)}): {shown}" if shown else "The response is empty"
    return Fault(FaultClass.TRANSPORT, message, TransportKind.SERVER, answer.status, retry_after_s(answer), billed=True)


def excerpt(body: bytes) -> str:
    """The beginning of a body as one line of at most 200 characters without control characters."""
    return _tidy(body[: 8 * _EXCERPT].decode("utf-8", "replace"), _EXCERPT)


def _tidy(text: str, most: int) -> str:
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 4 * most]).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _error(body: Json) -> tuple[dict[str, Json], Json]:
    """The object that tells of the error, and the text that stands in its place where there is none."""
    whole = fields(body[0] if isinstance(body, list) and body else body)
    error = whole.get("error")
    if isinstance(error, str) and error.startswith("{"):  # llama-server's own error, passed on by Ollama as a text
        error = fields(decode(error.encode("utf-8", "backslashreplace"))).get("error", error)
    if isinstance(error, dict):
        return error, None
    detail = elements(whole.get("detail"))
    if detail:
        first = fields(detail[0])
        place = ".".join(str(part) for part in elements(first.get("loc")) if isinstance(part, str) and part != "body")
        return {**first, "param": place}, f"{place}: {_text(first.get('msg'))}"
    return whole, error


def _text(value: Json) -> str:
    return sayable(value) if isinstance(value, str) else ""


def _named(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
