"""A model step as it was and as it is: what changed of all that decides about its calls, a few words each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from penstock.core.approval import Approve
from penstock.core.generation import Contract, Generate, Judge, Rule, Schema, Template, Verify
from penstock.core.models import Model
from penstock.core.routing import Branch, Route
from penstock.core.workflow import Shell

SCHEMA = "schema changed"
"""Alone it buys nothing: it is no part of a request, and answers bought under the older one are judged anew."""

Spec = Shell | Generate | Verify | Route | Approve
_MOST_CHARACTERS = 60


def step_changes(
    old: Spec, new: Spec, env: tuple[Mapping[str, str], Mapping[str, str]] | None = None
) -> tuple[str, ...]:
    """What changed, in the order in which a request is made of it. `env` are the older and today's values of what the
    step's texts see; None where they mention none. Nothing is said of commands and approvals."""
    if type(old) is not type(new):
        return (f"it was {_KINDS[type(old)]}",)
    if isinstance(old, Generate) and isinstance(new, Generate):
        return tuple(_generate(old, new, env))
    if isinstance(old, Verify) and isinstance(new, Verify):
        return (*_seen(old, new, env), *_contracts(old.contract, new.contract))
    if isinstance(old, Route) and isinstance(new, Route):
        return tuple(_routes(old, new, env))
    return ()


_KINDS = {
    Shell: "a `run` step",
    Generate: "a `generate` step",
    Verify: "a `verify` step",
    Route: "a `route` step",
    Approve: "an `approve` step",
}


def _generate(old: Generate, new: Generate, env: tuple[Mapping[str, str], Mapping[str, str]] | None) -> list[str]:
    found = _rules(old.rules, new.rules)
    if not old.rules and not new.rules:
        found += _models("model", old.models, new.models) + _asked(old, new)
    found += [f"attempts {old.attempts} → {new.attempts}"] if old.attempts != new.attempts else []
    found += ["shrink changed"] if old.shrink != new.shrink else []
    found += _seen(old, new, env)
    found += ["accept_when changed"] if old.accept_when != new.accept_when else []
    return [*found, *_contracts(old.contract, new.contract)]


def _routes(old: Route, new: Route, env: tuple[Mapping[str, str], Mapping[str, str]] | None) -> list[str]:
    """Of a `route` step: its rules; or what its model is asked, and the branches that it chooses from."""
    if old.chooser is None or new.chooser is None:
        if old.chooser is not new.chooser:
            return ["a model chose the branch" if new.chooser is None else "rules chose the branch"]
        return _rules(old.rules, new.rules)
    found = [each for each in _generate(old.chooser, new.chooser, env) if each != SCHEMA]
    if old.branches != new.branches:
        found.append(f"choices {', '.join(old.branches)} → {', '.join(new.branches)}")
    return found


def _seen(
    old: Generate | Verify, new: Generate | Verify, env: tuple[Mapping[str, str], Mapping[str, str]] | None
) -> list[str]:
    """What templates see besides the item."""
    found = [f"vars changed: {each}" for each in _named(dict(old.vars), dict(new.vars))]
    return found + ([f"env changed: {each}" for each in _named(*env)] if env is not None else [])


def _contracts(old: Contract, new: Contract) -> list[str]:
    found = [SCHEMA] if _value(old.schema) != _value(new.schema) else []
    found += ["checks changed"] if old.checks != new.checks else []
    return [*found, *_judges(old.judge, new.judge)]


def _asked(old: Generate | Rule, new: Generate | Rule) -> list[str]:
    """What is asked: the templates and the parameters."""
    found = ["prompt changed"] if old.prompt.text != new.prompt.text else []
    found += ["system changed"] if _text(old.system) != _text(new.system) else []
    return found + [f"params changed: {each}" for each in _named(dict(old.params), dict(new.params))]


# --- rules -------------------------------------------------------------------------------------


def _rules(old: Sequence[Rule | Branch], new: Sequence[Rule | Branch]) -> list[str]:
    """Rules are known again by their conditions; of two at one place, neither of which is known, the condition changed.

    They are numbered as they are today, those that are gone as they were.
    """
    if not old or not new:
        count = len(old) or len(new)
        told = f"{count} rule{'s' if count != 1 else ''}"
        return [] if not count else [f"{told} {'are' if count != 1 else 'is'} {'gone' if old else 'new'}"]
    pairs = _paired([rule.when for rule in old], [rule.when for rule in new])
    found = []
    for number, rule in enumerate(new, 1):
        if number - 1 not in pairs:
            found.append(f"rule {number} is new: {_told_when(rule.when)}")
            continue
        before = old[pairs[number - 1]]
        changes = (["`when` changed"] if before.when != rule.when else []) + _ruled(before, rule)
        found += [f"rule {number}: {each}" for each in changes]
    left = set(pairs.values())
    gone = [(at, rule) for at, rule in enumerate(old, 1) if at - 1 not in left]
    found += [f"rule {at} is gone: {_told_when(rule.when)}" for at, rule in gone]
    order = [pairs[place] for place in sorted(pairs)]
    return found + (["the rules stand in another order"] if order != sorted(order) else [])


def _paired(old: Sequence[str | None], new: Sequence[str | None]) -> dict[int, int]:
    """The place of each new rule that was there before, and where it was."""
    pairs: dict[int, int] = {}
    for place, when in enumerate(new):
        taken = set(pairs.values())
        same = [at for at, before in enumerate(old) if before == when and at not in taken]
        if same:
            pairs[place] = place if place in same else same[0]
    for place in range(len(new)):
        if place not in pairs and place < len(old) and place not in pairs.values():
            pairs[place] = place
    return pairs


def _ruled(old: Rule | Branch, new: Rule | Branch) -> list[str]:
    found: list[str] = []
    if isinstance(old, Branch) and isinstance(new, Branch):
        found += [f"to {old.to} → {new.to}"] if old.to != new.to else []
    if isinstance(old, Rule) and isinstance(new, Rule):
        found += _models("model", old.models, new.models) + _asked(old, new)
    if old.local != new.local:
        found.append("its items stay here now" if new.local else "its items may leave now")
    return found


def _told_when(when: str | None) -> str:
    if when is None:
        return "for all that come to it"
    return when if len(when) <= _MOST_CHARACTERS else f"{when[: _MOST_CHARACTERS - 1]}…"


# --- models ------------------------------------------------------------------------------------


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
