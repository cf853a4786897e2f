"""Where the calls of commands go: the workflow's models by their names, and each protocol's own server with its key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from penstock.api.asking import ADDRESSES, environ_of
from penstock.core.models import Model
from penstock.core.views import Options
from penstock.core.workflow import Workflow
from penstock.gateway.upstreams import Upstreams
from penstock.load.forced import model_named
from penstock.models.adapters import ADAPTERS
from penstock.models.wire import KEY_VARIABLES, Endpoint

PROTOCOLS = ("openai", "anthropic", "ollama")


def upstreams(workflow: Workflow, secrets: Mapping[str, str], options: Options) -> Upstreams:
    """Whom the gateway of this run asks. `secrets` are the values of those that the workflow declares."""
    environ = environ_of(workflow, secrets)
    placed = {model.name: _placed(model, options.simulate) for model in workflow.models}
    if options.forced is not None and options.forced not in placed:
        placed[options.forced] = _placed(model_named(workflow, options.forced), options.simulate)
    endpoints: dict[str, Endpoint] = {}
    lacking: dict[str, str] = {}
    for model in placed.values():
        endpoints[model.name] = _endpoint(model.provider, model, environ, lacking)
    protocols = {name: _endpoint(name, None, environ, lacking) for name in PROTOCOLS}
    hiding = {model.name for model in workflow.models if _hides(model, {*placed, *dict(workflow.cascades)})}
    named: dict[str, tuple[Model, ...]] = {name: (model,) for name, model in placed.items() if name not in hiding}
    named |= {name: tuple(placed[one] for one in several) for name, several in workflow.cascades}
    forced = placed[options.forced] if options.forced is not None else None
    return Upstreams(named, endpoints, protocols, lacking, forced, options.simulate, workflow.allow_hosts)


def _hides(model: Model, names: Collection[str]) -> bool:
    """Whether a model that is only mentioned as PROVIDER/MODEL would stand before what the workflow says of MODEL."""
    provider, _, served = model.name.partition("/")
    return served in names and model == Model(model.name, provider, served)


def _placed(model: Model, simulate: bool) -> Model:
    if simulate and model.provider != "sim":
        return replace(model, provider="sim", served=model.served.replace("/", "-"), base_url=None)
    return model


def _endpoint(provider: str, model: Model | None, environ: Mapping[str, str], lacking: dict[str, str]) -> Endpoint:
    """Where a model, or what nobody named of a protocol, is asked, and with which key. What is missing is told in
    `lacking`. A server of one's own gets no key that it was not given by name."""
    address = environ.get(ADDRESSES.get(provider, "")) or None
    base_url = (model.base_url if model is not None else None) or address
    variable = model.key_variable if model is not None else None
    if variable is None and base_url in (None, address):
        variable = KEY_VARIABLES.get(provider)
    key = environ.get(variable) or None if variable is not None and provider != "sim" else None
    if variable is not None and provider != "sim" and key is None:
        lacking[model.name if model is not None else provider] = f"{variable} is not set where Penstock runs"
    return ADAPTERS[provider].endpoint(base_url, key)
