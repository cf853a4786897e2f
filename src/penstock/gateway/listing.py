"""The list of models where no server can be asked for it: the names that the workflow gives them."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.core.canon import Json
from penstock.gateway.protocols.saying import JSON_HEADERS, written
from penstock.gateway.protocols.shape import Inbound, Told

_LONG_AGO = "1970-01-01T00:00:00Z"


def listed(inbound: Inbound, names: Sequence[str]) -> Told | None:
    """The list, or the one model that the path names, in the protocol's words; None if there is no such model."""
    models = [_model(inbound.protocol, name) for name in names]
    one = inbound.path.partition("/models/")[2]
    if not one:
        return Told(200, JSON_HEADERS, written(_list(inbound.protocol, models, names)))
    return Told(200, JSON_HEADERS, written(models[names.index(one)])) if one in names else None


def _model(protocol: str, name: str) -> Json:
    match protocol:
        case "anthropic":
            return {"type": "model", "id": name, "display_name": name, "created_at": _LONG_AGO}
        case "ollama":
            return {"name": name, "model": name, "modified_at": _LONG_AGO, "size": 0, "digest": "", "details": {}}
    return {"id": name, "object": "model", "created": 0, "owned_by": "penstock"}


def _list(protocol: str, models: Sequence[Json], names: Sequence[str]) -> Json:
    match protocol:
        case "anthropic":
            ends: dict[str, Json] = {"first_id": names[0], "last_id": names[-1]} if names else {}
            return {"data": list(models), "has_more": False, **ends}
        case "ollama":
            return {"models": list(models)}
    return {"object": "list", "data": list(models)}
