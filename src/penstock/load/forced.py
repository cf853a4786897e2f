"""The one model that a run asks in place of all others: `PENSTOCK_FORCE_MODEL`."""

from __future__ import annotations

from penstock.core.errors import UsageError
from penstock.core.models import Model
from penstock.core.workflow import Workflow
from penstock.load.catalogue import fault_of, unknown
from penstock.load.suggest import either

FORCE_MODEL = "PENSTOCK_FORCE_MODEL"


def model_named(workflow: Workflow, name: str, said: str = FORCE_MODEL) -> Model:
    """The model of a name of `models`, or of PROVIDER/MODEL, which the workflow need not mention.

    UsageError if it is neither; `said` is where the name comes from.
    """
    for model in workflow.models:
        if model.name == name:
            return model
    several = dict(workflow.cascades).get(name)
    if several is not None:
        named = either(f"`{one}`" for one in several)
        raise UsageError(f"{said}: `{name}` stands for several models, and one is asked here", f"name {named}")
    known = [model.name for model in workflow.models]
    wrong = fault_of(name, known) if "/" in name else unknown(name, known)
    if wrong:
        message, help = wrong
        raise UsageError(f"{said}: {message}", help)
    provider, _, served = name.partition("/")
    return Model(name, provider, served)
