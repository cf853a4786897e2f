"""Models whose key is missing: a plan leaves them out where another one can serve, as a run does, and asks nobody."""

from __future__ import annotations

from dataclasses import replace

from penstock.api.asking import Cast
from penstock.core.models import Model
from penstock.core.workflow import Workflow
from penstock.models.wire import KEY_VARIABLES
from penstock.rules.recasting import recast


def without_keyless(written: Workflow, found: Cast) -> Workflow:
    """The workflow without the models whose key is missing, where a later one can serve: so would a run do."""
    keyless = {
        model.name
        for step in written.steps
        for model in step.models
        if _needs_key(model) and found.endpoints[model.name].key is None
    }
    steps = [recast(step, lambda models, _: _left(models, keyless)) for step in found.workflow.steps]
    return replace(found.workflow, steps=tuple(steps))


def _needs_key(model: Model) -> bool:
    usual = model.base_url is None and model.provider in KEY_VARIABLES
    return model.provider != "sim" and (model.key_variable is not None or usual)


def _left(models: tuple[Model, ...], keyless: set[str]) -> tuple[Model, ...]:
    """Those that have a key; all of them if none has, so that there is a bill before there is a key."""
    return tuple(model for model in models if model.name not in keyless) or models
