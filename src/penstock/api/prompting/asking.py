"""Where one prompt is asked: through the gateway of the run that we are in, or in a run of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from penstock.api.prompting.prompt import Answered, Prompt
from penstock.core.errors import OperatorError

if TYPE_CHECKING:
    from penstock.core.seams import Listener


def ask(prompt: Prompt, environ: Mapping[str, str], listener: Listener) -> Answered:
    """The answer. OperatorError where there is none, or it does not meet the schema; `listener` hears what a person
    should know besides."""
    gateway, token = environ.get("PENSTOCK_GATEWAY"), environ.get("OPENAI_API_KEY")
    if gateway and token:
        from penstock.api.prompting.inside import ask_inside

        return ask_inside(prompt, gateway.rstrip("/"), token)
    if environ.get("PENSTOCK_RUN_ID"):
        raise OperatorError(
            "inside a run `penstock call` asks through the gateway, which this step does without",
            "remove `gateway: off` from the step, from `defaults` or from the workflow",
        )
    from penstock.api.prompting.outside import ask_outside

    return ask_outside(prompt, listener)
