"""Whom a command's call goes to: what the workflow says of the model's name, else the protocol's own server.

A name is looked up as PROTOCOL/NAME, then as NAME. What stands there may be another provider's model, a simulated one,
or several from cheap to strong; the command does not learn of it, but that its answers name who served them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from penstock.core.models import Model
from penstock.models.wire import Endpoint


@dataclass(frozen=True, slots=True)
class Upstreams:
    """The models that the workflow names, as (name, models from cheap to strong), and each protocol's own server.

    `endpoints` are those of named models; `lacking` says of models and protocols why they cannot be asked. `forced` is
    asked in place of every model; with `simulate` nobody but the simulator is. `allow_hosts` as in the workflow.
    """

    named: Mapping[str, tuple[Model, ...]]
    endpoints: Mapping[str, Endpoint]
    protocols: Mapping[str, Endpoint]
    lacking: Mapping[str, str] = field(default_factory=dict)
    forced: Model | None = None
    simulate: bool = False
    allow_hosts: tuple[str, ...] | None = None

    def asked(self, protocol: str, name: str) -> tuple[Model, ...]:
        """Who is asked for a call that names a model so, the first one first."""
        if self.forced is not None:
            return (self.forced,)
        return self.own(protocol, name)

    def own(self, protocol: str, name: str) -> tuple[Model, ...]:
        """As `asked`, whatever is forced."""
        found = self.named.get(f"{protocol}/{name}") or self.named.get(name)
        if found is not None:
            return found
        model = Model(f"{protocol}/{name}", protocol, name)
        if self.simulate:
            return (replace(model, provider="sim", served=name.replace("/", "-") or "unnamed"),)
        return (replace(model, base_url=self._elsewhere(protocol)),)

    def endpoint(self, model: Model) -> Endpoint:
        """Where the model is asked."""
        found = self.endpoints.get(model.name)
        if found is not None:
            return found
        return Endpoint("sim:") if model.provider == "sim" else self.protocols[model.provider]

    def lack(self, model: Model) -> str | None:
        """Why the model cannot be asked; None if it can."""
        named = model.name if model.name in self.endpoints else model.provider
        return self.lacking.get(named)

    def only_named(self, protocol: str) -> bool:
        """Whether nobody can be asked but the models that the workflow names, so that those are all that there are."""
        return self.forced is not None or self.simulate or protocol in self.lacking

    def _elsewhere(self, protocol: str) -> str | None:
        """The address of a protocol's server where it is not the provider's own: prices are public only for that."""
        from penstock.models.adapters import ADAPTERS

        url = self.protocols[protocol].url
        return None if url == ADAPTERS[protocol].endpoint(None, None).url else url
