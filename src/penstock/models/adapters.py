"""Which adapter speaks for which provider. Each is a module with `endpoint`, `build` and `parse`."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.models import anthropic, ollama, openai, python
from penstock.models.sim import adapter as sim
from penstock.models.wire import Adapter

ADAPTERS: Mapping[str, Adapter] = {
    "openai": openai,
    "anthropic": anthropic,
    "ollama": ollama,
    "python": python,
    "sim": sim,
}
