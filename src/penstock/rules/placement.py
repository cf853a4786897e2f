"""Where a model is: here, on this machine or wherever the workflow counts as ours, or elsewhere, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from penstock.core.models import Model
from penstock.rules.hosts import is_loopback


def is_local(model: Model, url: str) -> bool:
    """Whether what the model is sent stays here: its placement says so, it has no server, or that is this machine.

    `url` is the address of its server.
    """
    return _elsewhere(model, url) is None


def told_elsewhere(models: Iterable[Model], url_of: Callable[[Model], str]) -> str:
    """Each of the models that is elsewhere, and why it is."""
    placed = ((model.name, _elsewhere(model, url_of(model))) for model in models)
    return "; ".join(f"{name}: {why}" for name, why in placed if why is not None)


def _elsewhere(model: Model, url: str) -> str | None:
    """Why the model is elsewhere; None if it is here."""
    if model.placement is not None:
        return None if model.placement == "local" else f"it is `placement: {model.placement}`"
    if model.provider in ("sim", "python"):
        return None
    host = _host_of(url)
    if not is_loopback(host):
        return f"its server is at {host or 'no host'}"
    return "its server is here, but sends it on to a cloud" if model.served.endswith("cloud") else None


@lru_cache(maxsize=64)
def _host_of(url: str) -> str:
    """Asked for each request."""
    return urlsplit(url).hostname or ""
