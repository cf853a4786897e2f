"""What the protocols' own responses share: headers, statuses, compact bodies."""

from __future__ import annotations

from penstock.core.canon import Json, compact
from penstock.gateway.protocols.shape import NO_RETRY, STATUSES, Told, Wrong

JSON_HEADERS = (("content-type", "application/json"),)


def written(value: Json) -> bytes:
    """Compact JSON in UTF-8."""
    return compact(value).encode("utf-8", "backslashreplace")


def told(wrong: Wrong, body: Json) -> Told:
    """An error response with this body, which clients are told not to try again."""
    return Told(STATUSES[wrong], (*JSON_HEADERS, *NO_RETRY), written(body))
