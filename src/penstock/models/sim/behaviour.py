"""How a simulated model behaves: from the bytes of a request to the bytes of a response, nothing else read or kept.

Everything is drawn from a hash of the seed, the model's name, the messages, the parameters and the sample number, so
that a request has the same answer in any process and order, and a re-ask, whose messages differ, is drawn anew.
Two draws decide what goes wrong, each with one number, so that the chances of one draw add up:

1. of each send: `error_429`, `error_500`. It is drawn with the send's number too, else a retry would fail for ever.
2. of each answer: `refused`, `truncated`, `invalid`. A request whose token limit was raised is drawn anew.

`quality` is drawn apart. The model does not see a contract's checks; a poor answer is one that checks are written
against: numbers in the low part of their range, texts as long as they may be, options chosen blindly. A judge or a
critic (a schema with `failures`, and `score` or `ok`) is pleased with that chance. `latency` is a mean: each send takes
80 to 120 % of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from penstock.core.canon import Json, canonical
from penstock.models.sim.answering import POOR_SHARE, Answering, answer
from penstock.models.sim.draws import Draws
from penstock.models.sim.numbers import number
from penstock.models.sim.schemas import Compiled, Flat, compiled
from penstock.models.sim.source import Source, source_of
from penstock.models.sim.texts import cut

BYTES_PER_TOKEN = 4
RETRY_AFTER_MS = 200

_PLAIN_CHARACTERS = 300
_LONG_PLAIN_CHARACTERS = 1200
_REFUSAL = "I cannot help with that request."
_JUDGE_SCALE: Flat = {"minimum": 1, "maximum": 5}
_JSON_HEADER = ("content-type", "application/json")


@dataclass(frozen=True, slots=True)
class Response:
    """What the model sends back, `latency_s` seconds after it was asked."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    latency_s: float


def respond(body: bytes, send: int) -> Response:
    """The response to a request that sim/adapter.py built; `send` counts the sends of this request from 1."""
    asked: dict[str, Any] = json.loads(body.decode("utf-8", "replace"))
    rates: dict[str, float] = asked["rates"]
    identity = [rates["seed"], asked["model"], asked["messages"], asked["params"], asked["sample"]]
    draws = Draws(sha256(canonical(identity)).digest())
    latency_s = rates["latency_s"] * draws.between(0.8, 1.2, f"latency {send}")
    error = _error(asked, rates, draws.share(f"send {send}"))
    if error is not None:
        return Response(error.status, error.headers, error.body, latency_s)
    text, finish = _answered(asked, rates, draws)
    usage = {"input_tokens": _prompt_tokens(asked["messages"]), "output_tokens": tokens(text)}
    reply = {"model": f"sim/{asked['model']}", "text": text, "finish": finish, "usage": usage}
    return Response(200, (_JSON_HEADER,), _encoded(reply), latency_s)


def tokens(text: str) -> int:
    """How many tokens the model counts in a text: a fourth of its bytes, rounded up, and at least 1."""
    return max(1, -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN))


def _prompt_tokens(messages: Sequence[Mapping[str, str]]) -> int:
    return tokens("".join(message["content"] for message in messages))


def _error(asked: Mapping[str, Any], rates: Mapping[str, float], drawn: float) -> Response | None:
    """The response to a send that gets no answer; None where it gets one."""
    if drawn < rates["error_429"]:
        headers = (_JSON_HEADER, ("retry-after-ms", str(RETRY_AFTER_MS)))
        return _failure(429, "rate_limit", "simulated: too many requests", headers)
    if drawn < rates["error_429"] + rates["error_500"]:
        return _failure(500, "server_error", "simulated: the server had an error")
    window, prompt = asked["context_tokens"], _prompt_tokens(asked["messages"])
    if window is not None and prompt > window:
        return _failure(400, "context_length", f"prompt is too long: {prompt} tokens, and the model reads {window}")
    return None


def _failure(status: int, kind: str, message: str, headers: tuple[tuple[str, str], ...] = (_JSON_HEADER,)) -> Response:
    return Response(status, headers, _encoded({"error": {"type": kind, "message": message}}), 0.0)


def _answered(asked: Mapping[str, Any], rates: Mapping[str, float], draws: Draws) -> tuple[str, str]:
    """The text of an answer, and why it ended."""
    drawn = draws.share(f"answer {asked['max_tokens']}" if asked["raised"] else "answer")
    refused, truncated = rates["refused"], rates["refused"] + rates["truncated"]
    if drawn < refused:
        return _limited(_REFUSAL, asked["max_tokens"], "refused")
    text = _text(
        asked,
        draws,
        good=draws.share("quality") < rates["quality"],
        broken=truncated <= drawn < truncated + rates["invalid"],
    )
    if drawn < truncated:
        kept = max(1, int(len(text) * draws.between(0.3, 0.8, "cut")))
        return _limited(text[: min(kept, len(text) - 1)], asked["max_tokens"], "length")
    return _limited(text, asked["max_tokens"], "stop")


def _limited(text: str, max_tokens: int | None, finish: str) -> tuple[str, str]:
    """The text as far as the token limit lets it be written."""
    written = text.encode("utf-8", "replace")
    if max_tokens is None or len(written) <= max_tokens * BYTES_PER_TOKEN:
        return text, finish
    return written[: max_tokens * BYTES_PER_TOKEN].decode("utf-8", "ignore"), "length"


def _text(asked: Mapping[str, Any], draws: Draws, good: bool, broken: bool) -> str:
    """The whole answer. One without a schema has nothing that `broken` could break."""
    source = source_of(asked["messages"])
    if asked["schema"] is None:
        return cut(" ".join(source.sentences), _PLAIN_CHARACTERS if good else _LONG_PLAIN_CHARACTERS)
    schema = compiled(asked["schema"])
    value = _verdict(schema, source, draws, good) or answer(schema, source, draws, good)
    if not broken:
        return _written(value)
    breach = _breach(schema, value, draws) if draws.share("how invalid") < 0.5 else None
    if breach is not None:
        return _written(breach[0])
    spoil = _SPOILS[draws.index(len(_SPOILS), "spoil")]
    return spoil(_written(value))


def _verdict(schema: Compiled, source: Source, draws: Draws, good: bool) -> Json:
    """A judge's answer, `{score, failures: [{rule, reason, fix}]}`, or a critic's, with `ok`; None for others."""
    answering = Answering(schema, source, draws, good)
    flat = answering.flat(schema.root, "")
    properties = flat.get("properties") if flat else None
    if not isinstance(properties, dict) or "failures" not in properties or not properties.keys() & {"score", "ok"}:
        return None
    failure = {
        "rule": "grounded",
        "reason": f"The text does not bear out all of it: {cut(source.sentences[0], 80)}",
        "fix": "Say only what the text says.",
    }
    value = {
        name: answering.value(part, name, f"/{name}")
        for name, part in properties.items()
        if name not in ("score", "ok", "failures")
    }
    value |= {"ok": good} if "ok" in properties else {}
    value |= {"score": _score(answering, properties["score"], draws, good)} if "score" in properties else {}
    value |= {"failures": [] if good else [failure]}
    return value if schema.valid(value) else None


def _score(answering: Answering, scale: Json, draws: Draws, good: bool) -> Json:
    flat = answering.flat(scale, "/score") or {}
    low, high = (0.9, 1.0) if good else POOR_SHARE
    whole = flat.get("type") == ["integer"]
    return number({**_JUDGE_SCALE, **flat}, ("rating",), draws.between(low, high, "score"), whole)


def _breach(schema: Compiled, value: Json, draws: Draws) -> tuple[Json] | None:
    """The value made to break the schema, in a tuple of one; None where every change still meets it."""
    changed: list[Json] = []
    if isinstance(value, dict) and value:
        names = list(value)
        name = names[draws.index(len(names), "breach")]
        without = {each: part for each, part in value.items() if each != name}
        wrong = {**value, name: [] if isinstance(value[name], dict) else {"value": value[name]}}
        changed += [without, wrong] if draws.share("breach kind") < 0.5 else [wrong, without]
    changed += [[value], {"answer": value}, None]
    return next(((one,) for one in changed if not schema.valid(one)), None)


def _in_prose(text: str) -> str:
    return f"Here is the answer you asked for:\n\n{text}\n\nLet me know if anything is missing."


def _unended(text: str) -> str:
    return text[:-1] if len(text) > 1 else ""


def _with_comma(text: str) -> str:
    return f"{text[:-1]},{text[-1]}" if text[-1] in "}]" and len(text) > 2 else f"{text},"


_SPOILS: tuple[Callable[[str], str], ...] = (_in_prose, _unended, _with_comma)
"""Ways in which a JSON text is made to be none."""


def _written(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _encoded(value: Mapping[str, Json]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
