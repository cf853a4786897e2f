"""The models of a run, before its first call: simulated if that was asked for, each with its server and its key.

A model whose key or server is missing is left out with a word where another one can serve, and stops the run before
it begins where none can. So does a step or a rule that keeps its items here and has no model here. Where one model is
forced, it must be there; those in whose place it stands need not be, but where items stay here that it may not see.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from penstock.api.placing import local_places
from penstock.core.calls import Fault
from penstock.core.errors import OperatorError
from penstock.core.models import Model
from penstock.core.views import Options
from penstock.core.workflow import Step, Workflow
from penstock.load.dotenv import read as read_dotenv
from penstock.load.forced import FORCE_MODEL, model_named
from penstock.models.wire import KEY_VARIABLES, Endpoint
from penstock.rules.forcing import forced
from penstock.rules.hosts import refused_host
from penstock.rules.placement import is_local, told_elsewhere
from penstock.rules.recasting import in_mode, mode_of, recast

ADDRESSES = {"openai": "OPENAI_BASE_URL", "anthropic": "ANTHROPIC_BASE_URL", "ollama": "OLLAMA_HOST"}
"""Where the environment may say that a provider is elsewhere, as the providers' own clients read it."""
PATIENCE_S = 3.0
_HERE = ("localhost", "127.0.0.1", "::1")
_ALLOW = "add the host to `allow_hosts`, or rehearse with `penstock run --simulate`"
_AT_HOME = "give it a model on this machine, or say `placement: local` in `models` of a server that counts as yours"
_HELP = "set the key in the environment or in `.env`, start the server, or rehearse with `penstock run --simulate`"


@dataclass(frozen=True, slots=True)
class Cast:
    """The workflow with the models that can be asked, and where they are, by name. `missing` says who is not there."""

    workflow: Workflow
    endpoints: Mapping[str, Endpoint]
    missing: tuple[str, ...] = ()


def cast(workflow: Workflow, secrets: Mapping[str, str], options: Options, active: frozenset[str]) -> Cast:
    """The workflow ready to ask, as `options` want it; `active` are the steps that will run.

    OperatorError if one of those has no model that can be asked.
    """
    wanted = model_named(workflow, options.forced) if options.forced else None  # commands may ask for it too
    if not any(step.asks for step in workflow.steps):
        return Cast(workflow, {})
    environ = environ_of(workflow, secrets)
    endpoints: dict[str, Endpoint] = {}
    lacking: dict[str, str] = {}
    looked_at: set[str] = set()
    steps = []
    for step in workflow.steps:
        mode = options.cache or mode_of(step)
        if step.asks and mode is not None:
            unasked = mode == "only" or step.id not in active
            ready = _Ready(step.id, environ, options.simulate, unasked, endpoints, lacking, looked_at, workflow)
            sole = ready.forced(wanted) if wanted is not None and step.models else None
            if step.id in active:
                ready.keep_here(step, sole)
            step = in_mode(recast(step, ready.models if sole is None else ready.replaced), mode)
            step = forced(step, sole) if sole is not None else step
        steps.append(step)
    return Cast(replace(workflow, steps=tuple(steps)), endpoints, tuple(lacking.values()))


def with_forced(options: Options, environ: Mapping[str, str]) -> Options:
    """The options of a new run, with the model that the environment forces if they force none."""
    return replace(options, forced=options.forced or environ.get(FORCE_MODEL) or None)


def environ_of(workflow: Workflow, secrets: Mapping[str, str]) -> dict[str, str]:
    """Where keys come from: what the workflow declares as secrets, the environment, then `.env`."""
    file = workflow.folder / ".env"
    listed = read_dotenv(file) if file.is_file() else {}
    return {**listed, **{name: value for name, value in os.environ.items() if value}, **secrets}


@dataclass(frozen=True, slots=True)
class _Ready:
    """Fills `endpoints` and `lacking` as it goes over a step's models, each of which is looked at once. With `unasked`
    nobody has to be there."""

    step_id: str
    environ: Mapping[str, str]
    simulate: bool
    unasked: bool
    endpoints: dict[str, Endpoint]
    lacking: dict[str, str]
    looked_at: set[str]
    workflow: Workflow

    def models(self, models: tuple[Model, ...], what: str) -> tuple[Model, ...]:
        """Those that can be asked, where they can be asked. OperatorError if there is none."""
        there = tuple(model for model in map(self._placed, models) if self._can_be_asked(model))
        if not there:
            reasons = "; ".join(self.lacking[model.name] for model in models)
            help = _ALLOW if all("`allow_hosts`" in self.lacking[model.name] for model in models) else _HELP
            raise OperatorError(f"step {self.step_id} has no {what} that can be asked: {reasons}", help)
        return there

    def forced(self, model: Model) -> Model:
        """The model that is asked in place of all others, where it is asked. OperatorError if it cannot be."""
        placed = self._placed(model)
        if not self._can_be_asked(placed):
            reason = self.lacking[model.name]
            help = _ALLOW if "`allow_hosts`" in reason else _HELP
            raise OperatorError(f"the model that {FORCE_MODEL} names cannot be asked: {reason}", help)
        return placed

    def replaced(self, models: tuple[Model, ...], what: str) -> tuple[Model, ...]:
        """Those in whose place another one is asked, without those that are known not to be there."""
        placed = tuple(map(self._placed, models))
        for model in placed:
            self._endpoint(model)
        return tuple(model for model in placed if model.name not in self.lacking) or placed

    def keep_here(self, step: Step, sole: Model | None) -> None:
        """OperatorError if items are to stay here and nobody is here who can be asked about them."""
        if sole is not None and self._is_local(sole):
            return
        for place in local_places(self.workflow, step):
            placed = tuple(map(self._placed, place.models))
            here = [model for model in placed if self._is_local(model)]
            if not here:
                others = told_elsewhere(placed, lambda model: self._endpoint(model).url)
                none = f"none of its {place.what}s is" if len(placed) > 1 else f"its {place.what} is not"
                raise OperatorError(f"{place.where} is `placement: local`, and {none}: {others}", _AT_HOME)
            if not [model for model in here if self._can_be_asked(model)]:
                reasons = "; ".join(self.lacking[model.name] for model in here)
                raise OperatorError(f"{place.where} has no local {place.what} that can be asked: {reasons}", _HELP)

    def _is_local(self, model: Model) -> bool:
        return is_local(model, self._endpoint(model).url)

    def _placed(self, model: Model) -> Model:
        """The model where it will be asked: in the simulator, or at the address that the environment says."""
        if self.simulate and model.provider != "sim":
            return replace(model, provider="sim", served=model.served.replace("/", "-"), base_url=None)
        address = self._address(model)
        return replace(model, base_url=address) if address and model.base_url is None else model

    def _address(self, model: Model) -> str | None:
        """Where the environment says that the provider is, if it does."""
        return self.environ.get(ADDRESSES.get(model.provider, ""))

    def _endpoint(self, model: Model) -> Endpoint:
        from penstock.models.adapters import ADAPTERS

        key, _ = self._key(model)
        return self.endpoints.setdefault(model.name, ADAPTERS[model.provider].endpoint(model.base_url, key))

    def _can_be_asked(self, model: Model) -> bool:
        endpoint, (_, lack) = self._endpoint(model), self._key(model)
        if self.unasked:
            return True
        if model.name not in self.looked_at:
            self.looked_at.add(model.name)
            lack = self._refused(model, endpoint) or lack or self._unreachable(model, endpoint)
            lack = lack or self._no_function(model)
            if lack is not None:
                self.lacking[model.name] = f"{model.name}: {lack}"
        return model.name not in self.lacking

    def _key(self, model: Model) -> tuple[str | None, str | None]:
        """The model's key, or what is missing. A server of one's own gets none that it was not given by name."""
        name = model.key_variable
        if name is None and model.base_url in (None, self._address(model)):
            name = KEY_VARIABLES.get(model.provider)
        if name is None or model.provider == "sim":
            return None, None
        value = self.environ.get(name)
        return (value, None) if value else (None, f"{name} is not set")

    def _no_function(self, model: Model) -> str | None:
        """Why a function of the user's cannot be called; what is there is imported."""
        if model.provider != "python":
            return None
        from penstock.models.transport_python import function_of

        found = function_of(model.served, self.workflow.folder)
        return found.message if isinstance(found, Fault) else None

    def _refused(self, model: Model, endpoint: Endpoint) -> str | None:
        """Why the workflow does not let the model be called where it is."""
        if model.provider in ("sim", "python"):
            return None
        host = refused_host(self.workflow.allow_hosts, endpoint.url)
        return f"`allow_hosts` does not list {host}" if host is not None else None

    def _unreachable(self, model: Model, endpoint: Endpoint) -> str | None:
        """Why a server of one's own does not answer. Nobody knocks at the providers' own, or past a proxy."""
        parts = urlsplit(endpoint.url)
        own = model.base_url is not None or model.provider == "ollama"
        if not own or parts.scheme not in ("http", "https") or not parts.hostname:
            return None
        proxies = (f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper())
        if parts.hostname not in _HERE and any(self.environ.get(name) for name in proxies):
            return None
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname, port), PATIENCE_S).close()
        except OSError as error:
            return f"no server at {parts.hostname}:{port} ({error.strerror or error})"
        except ValueError as error:
            return f"{endpoint.url} is no address ({error})"
        return None
