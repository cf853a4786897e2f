"""A step that asks one model in the place of all that it names."""

from __future__ import annotations

from dataclasses import replace

from penstock.core.generation import Contract, Generate, Verify
from penstock.core.models import Model
from penstock.core.routing import Route
from penstock.core.workflow import Step


def forced(step: Step, model: Model) -> Step:
    """The step with `model` asked by every rule of it and as its judge. Its own models stay: they are asked about items
    that `model` may not see."""
    spec = step.spec
    if isinstance(spec, Generate):
        return replace(step, spec=_question(spec, model))
    if isinstance(spec, Verify):
        return replace(step, spec=replace(spec, contract=_contract(spec.contract, model)))
    if isinstance(spec, Route) and spec.chooser is not None:
        return replace(step, spec=replace(spec, chooser=_question(spec.chooser, model)))
    return step


def _question(question: Generate, model: Model) -> Generate:
    return replace(question, forced=model, contract=_contract(question.contract, model))


def _contract(contract: Contract, model: Model) -> Contract:
    judge = contract.judge
    return contract if judge is None else replace(contract, judge=replace(judge, forced=model))
