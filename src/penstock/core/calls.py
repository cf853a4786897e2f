"""The nouns of a model call: what is asked, what comes back, what it used, and how it can go wrong.

Request -> (cache, or one or more sends) -> Answer, the raw response -> Reply or Fault. An Answer is kept before it is
read, so a better reader can read it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from penstock.core.canon import Json
from penstock.core.models import Model


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One question to one model. `params` are the author's (`temperature`, `max_tokens`, …), by their own names.

    `max_tokens` is the limit that Penstock sets where the author sets none, or has raised after a truncated answer;
    None leaves it to the author's or to the provider's own. `raised` tells that it was raised. `schema` is the output
    schema that the server is asked to hold to. `sample` tells equal requests apart that must have answers of their own.
    """

    model: Model
    messages: tuple[Message, ...]
    params: Mapping[str, Json]
    schema: Json | None = None
    max_tokens: int | None = None
    raised: bool = False
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's whole response as it came. `headers` have lower-case names; `at` is when it came, seconds UTC."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    at: float
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that were billed. `input_tokens` is the whole input: cached reads and writes are parts of it."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


class Finish(str, Enum):
    """Why a model stopped writing."""

    STOP = "stop"
    LENGTH = "length"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a response says: the model's text, why it ended, and which model served it. `usage` None: it did not say.

    `logprob` is the mean log-probability of the answer's tokens where the server gives it.
    """

    text: str
    finish: Finish
    usage: Usage | None
    served: str
    logprob: float | None = None


class FaultClass(str, Enum):
    """What went wrong with one call or one answer; each class has a budget and a remedy of its own (rules/repair.py).

    The first four tell of the call, the others of the answer.
    """

    TRANSPORT = "transport"
    DENIED = "denied"
    OVERFLOW = "overflow"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    NOT_JSON = "not_json"
    SCHEMA = "schema"
    CHECK = "check"
    JUDGE = "judge"
    DOUBTFUL = "doubtful"
    STUCK = "stuck"


class TransportKind(str, Enum):
    """The kinds of transport fault, which `retry` can give budgets of their own."""

    CONNECTION = "connection"
    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a call gave no reply. `cls` is transport, denied, overflow or refused; `kind` is for transport alone.

    `message` is what the server or the network said. `retry_after_s` is the wait that the server asked for,
    `param` the parameter that it does not take. `billed` tells whether the server may have charged for it, and `usage`
    for how much, where it said so.
    """

    cls: FaultClass
    message: str
    kind: TransportKind | None = None
    status: int | None = None
    retry_after_s: float | None = None
    param: str | None = None
    billed: bool = False
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Flaw:
    """One way in which an answer does not meet its contract: where (JSON pointer, `""` the whole), expected, got."""

    pointer: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether an answer meets its contract. `tier` is the first tier that failed, None where none did.

    `value` is the parsed answer, None if it does not parse; `mended` tells that it parsed only after
    fences or commas were taken away. `flaws` are in a fixed order.
    """

    ok: bool
    tier: FaultClass | None
    value: Json
    flaws: tuple[Flaw, ...] = ()
    mended: bool = False
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of an answer beside what it says; `accept_when` sees it as `signals`.

    `attempts` counts the tries of the model that gave it, from 1. `judge_score` is None without a judge, `logprob`, the
    mean log-probability of its tokens, where the server gives none.
    """

    attempts: int
    mended: bool = False
    judge_score: float | None = None
    logprob: float | None = None


class CostStatus(str, Enum):
    """How well a cost is known: from the server's own token counts, from our estimate of them, or not at all."""

    EXACT = "exact"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call cost, in micro-dollars, rounded up; None where the price or the usage is not known."""

    micros: int | None
    status: CostStatus


@dataclass(frozen=True, slots=True)
class Intent:
    """A request about to be sent, as the journal keeps it. `purpose` is `answer`, `judge`, `route` (a model chooses a
    branch) or `script` (a command asks); `attempt` counts the loop's tries from 1, `send` the sends of this try from 1.
    `key` is the request's fingerprint, 32 bytes. `worst_tokens` and `worst_micros` are the most that it may use, None
    where nothing bounds that.
    """

    task_number: int
    attempt: int
    send: int
    purpose: str
    key: bytes
    model: str
    provider: str
    sent_at: float
    worst_tokens: int | None = None
    worst_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a model and what became of it. `cached`: answered from the cache, nothing was sent.

    `wait_s` is the time before it was sent, `elapsed_s` until the response was whole. `fault` is None for a reply.
    """

    intent: Intent
    served: str | None
    usage: Usage | None
    cost: Cost
    fault: Fault | None
    status: int | None
    elapsed_s: float
    wait_s: float = 0.0
    cached: bool = False
