"""What `defaults` and a step say together. A step's `retry` is laid over the default key by key."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace

from penstock.core.workflow import Retry, Tolerance
from penstock.load.fields import Fields
from penstock.load.findings import Findings
from penstock.load.model_keys import TRIED
from penstock.load.shapes import seconds
from penstock.load.tree import Scalar, Sequence

_INTERPRETERS = {
    "bash": ("bash", "-euo", "pipefail"),
    "sh": ("sh", "-eu"),
    "zsh": ("zsh", "-euo", "pipefail"),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The keys that `defaults` and steps share; None where neither says anything and the machine decides."""

    retry: Retry = field(default_factory=Retry)
    timeout_s: float | None = None
    concurrency: int | None = None
    cache: bool | None = None
    interpreter: tuple[str, ...] = _INTERPRETERS["bash"]
    gateway: bool = True


OF_A_MODEL_CALL = Settings(retry=Retry(attempts=6), timeout_s=120.0)
"""What holds for `generate` and `verify` where the file says nothing."""


def settings(fields: Fields | None, outer: Settings) -> Settings:
    """`outer`, and over it what these fields say."""
    if fields is None:
        return outer
    cache = fields.flag("cache")
    return Settings(
        retry=_retry(fields.inner("retry"), outer.retry),
        timeout_s=_timeout(fields, outer.timeout_s),
        concurrency=fields.whole("concurrency") or outer.concurrency,
        cache=outer.cache if cache is None else cache,
        interpreter=_interpreter(fields) or outer.interpreter,
        gateway=has_gateway(fields, outer.gateway),
    )


def has_gateway(fields: Fields, otherwise: bool = True) -> bool:
    """Whether the model calls of commands go through Penstock, by these fields' own word if they have one."""
    said = fields.text("gateway")
    return otherwise if said is None else said == "on"


def tolerance(scalar: Scalar | None) -> Tolerance:
    """`3` or `2.5%`."""
    if scalar is None:
        return Tolerance()
    if isinstance(scalar.value, int):
        return Tolerance(count=scalar.value)
    return Tolerance(share=float(scalar.text.rstrip("%")) / 100)


def _retry(fields: Fields | None, outer: Retry) -> Retry:
    if fields is None:
        return outer
    on = tuple(dict.fromkeys(scalar.text for scalar in fields.scalars("on")))
    own = {word: tries for word in TRIED if (tries := fields.whole(word)) is not None}
    kinds = tuple({**dict(outer.kinds), **own}.items())
    retry = replace(outer, attempts=fields.whole("attempts") or outer.attempts, on=on or outer.on, kinds=kinds)
    backoff = fields.inner("backoff")
    if backoff is None:
        return retry
    base, cap = backoff.text("base"), backoff.text("cap")
    return replace(
        retry,
        base_s=outer.base_s if base is None else seconds(base),
        cap_s=outer.cap_s if cap is None else seconds(cap),
    )


def _timeout(fields: Fields, outer: float | None) -> float | None:
    scalar = fields.scalar("timeout")
    if scalar is None:
        return outer
    timeout_s = seconds(scalar.text)
    if timeout_s == 0:
        fields.findings.wrong(scalar, "`timeout` is no time at all", "leave it out for no limit")
    return timeout_s


def _interpreter(fields: Fields) -> tuple[str, ...]:
    node = fields.node("shell")
    if isinstance(node, Sequence):
        return tuple(scalar.text for scalar in fields.scalars("shell"))
    return _words(node, fields.findings) if isinstance(node, Scalar) else ()


def _words(scalar: Scalar, findings: Findings) -> tuple[str, ...]:
    if scalar.text in _INTERPRETERS:
        return _INTERPRETERS[scalar.text]
    try:
        return tuple(shlex.split(scalar.text))
    except ValueError:
        findings.wrong(scalar, "`shell` has a quote that is never closed", "write its words as a list")
        return ()
