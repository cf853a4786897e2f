"""A model step as it was and as it is: what changed of all that decides about its calls, a few words each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from penstock.core.generation import Generate, Judge, Schema, Template, Verify
from penstock.core.models import Model

SCHEMA = "schema changed"
"""Alone it buys nothing: it is no part of a request, and answers bought under the older one are judged anew."""


def step_changes(
    old: Generate | Verify, new: Generate | Verify, env: tuple[Mapping[str, str], Mapping[str, str]] | None = None
) -> tuple[str, ...]:
    """What changed, in the order in which a request is made of it. `env` are the older and today's values of what the
    step's texts see; None where they mention none."""
    if type(old) is not type(new):
        return (f"it was a `{type(old).__name__.lower()}` step",)
    found: list[str] = []
    if isinstance(old, Generate) and isinstance(new, Generate):
        found += _models("model", old.models, new.models)
        found += ["prompt changed"] if old.prompt.text != new.prompt.text else []
        found += ["system changed"] if _text(old.system) != _text(new.system) else []
        found += [f"params changed: {each}" for each in _named(dict(old.params), dict(new.params))]
        found += [f"attempts {old.attempts} → {new.attempts}"] if old.attempts != new.attempts else []
        found += ["shrink changed"] if old.shrink != new.shrink else []
    found += [f"vars changed: {each}" for each in _named(dict(old.vars), dict(new.vars))]
    found += [f"env changed: {each}" for each in _named(*env)] if env is not None else []
    found += [SCHEMA] if _value(old.contract.schema) != _value(new.contract.schema) else []
    found += ["checks changed"] if old.contract.checks != new.contract.checks else []
    return (*found, *_judges(old.contract.judge, new.contract.judge))


def _models(what: str, old: tuple[Model, ...], new: tuple[Model, ...]) -> list[str]:
    names = [", ".join(model.name for model in models) for models in (old, new)]
    if names[0] != names[1]:
        return [f"{what} {names[0]} → {names[1]}"]
    return [
        f"{what} {after.name} changed: {_told(before, after)}"
        for before, after in zip(old, new, strict=True)
        if _told(before, after)
    ]


def _told(before: Model, after: Model) -> str:
    """What is another at one name: whom it means, where that is, or how it is simulated."""
    if (before.provider, before.served) != (after.provider, after.served):
        return f"{before.provider}/{before.served} → {after.provider}/{after.served}"
    if before.base_url != after.base_url:
        hosts = [_host(model.base_url) for model in (before, after)]
        return " → ".join(hosts) if hosts[0] != hosts[1] else "its address"
    simulated = after.provider == "sim"
    return "its rates" if simulated and _behaviour(before) != _behaviour(after) else ""


def _host(address: str | None) -> str:
    """Only the host: what else stands in an address may be a credential."""
    return "its usual address" if address is None else urlsplit(address).hostname or "its own address"


def _behaviour(model: Model) -> tuple[object, ...]:
    rates = model.rates
    shares = (rates.quality, rates.invalid, rates.truncated, rates.refused, rates.error_429, rates.error_500)
    return (*shares, rates.seed, model.context_tokens)


def _judges(old: Judge | None, new: Judge | None) -> list[str]:
    if old is None or new is None:
        return [] if old is new else ["a judge is new" if old is None else "the judge is gone"]
    found = _models("judge", old.models, new.models)
    found += ["rubric changed"] if old.rubric.text != new.rubric.text else []
    found += [f"the judge's params changed: {each}" for each in _named(dict(old.params), dict(new.params))]
    return found + (["the judge's `pass` changed"] if old.passes != new.passes else [])


def _named(old: Mapping[str, object], new: Mapping[str, object]) -> Iterable[str]:
    """The names whose values differ, as one text; nothing if none do."""
    names = sorted(name for name in {*old, *new} if old.get(name, ...) != new.get(name, ...))
    return [", ".join(names)] if names else []


def _text(template: Template | None) -> str | None:
    return template.text if template is not None else None


def _value(schema: Schema | None) -> object:
    return schema.value if schema is not None else None
