"""A step with other models in the places of its own: wherever it names some, the same choice is made anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from penstock.core.generation import Contract, Generate, Judge, Verify
from penstock.core.models import Model
from penstock.core.routing import Route
from penstock.core.workflow import Step

Choose = Callable[[tuple[Model, ...], str], tuple[Model, ...]]
"""From the models of one place and what they are for, `model` or `judge`, to those that are asked there."""


def recast(step: Step, choose: Choose) -> Step:
    """The step with what `choose` gives in the place of every list of models: its own, its rules', its judge's."""
    spec = step.spec
    if isinstance(spec, Generate):
        return replace(step, spec=_question(spec, choose))
    if isinstance(spec, Verify):
        return replace(step, spec=replace(spec, contract=_contract(spec.contract, choose)))
    if isinstance(spec, Route) and spec.chooser is not None:
        return replace(step, spec=replace(spec, chooser=_question(spec.chooser, choose)))
    return step


def in_mode(step: Step, mode: str) -> Step:
    """The step with this cache mode, if it asks models: use, refresh, only or off."""
    spec = step.spec
    if isinstance(spec, (Generate, Verify)):
        return replace(step, spec=replace(spec, cache=mode))
    if isinstance(spec, Route) and spec.chooser is not None:
        return replace(step, spec=replace(spec, chooser=replace(spec.chooser, cache=mode)))
    return step


def mode_of(step: Step) -> str | None:
    """The step's cache mode; None where it asks no model."""
    spec = step.spec
    if isinstance(spec, Verify):
        return spec.cache
    return step.question.cache if step.question is not None else None


def _question(question: Generate, choose: Choose) -> Generate:
    rules = tuple(replace(rule, models=choose(rule.models, "model")) for rule in question.rules)
    named = tuple(dict.fromkeys(model for rule in rules for model in rule.models))
    models = named if rules else choose(question.models, "model")
    return replace(question, models=models, rules=rules, contract=_contract(question.contract, choose))


def _contract(contract: Contract, choose: Choose) -> Contract:
    judge: Judge | None = contract.judge
    if judge is None:
        return contract
    return replace(contract, judge=replace(judge, models=choose(judge.models, "judge")))
