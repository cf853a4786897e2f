"""Masks turned back into secrets, in a text on its way into a command, written as that text must have them."""

from __future__ import annotations

import json
import re

from penstock.core.canon import compact, parse
from penstock.rules.secrets import Masker

_ESCAPED_MASK = re.compile(r"[A-Z]+-\w+\.json-[0-9a-f]{10}")
_JSON_LINE = re.compile(r"^((?:data: ?)?)([{\[].*?)(\r?)$", re.MULTILINE)


def restored(text: str, masker: Masker | None) -> str:
    """The text as a command gets it: with the secrets that somebody before it has left masks of.

    How the secret was spelled there does not matter, but what the text is here: in JSON it is escaped, else it is not.
    """
    if masker is None:
        return text
    exact = masker.restored(text)
    value = None if exact == text else _json(text)
    if isinstance(value, (dict, list, str)):
        meant = _restored_value(value, masker)
        return exact if _json(exact) == meant else compact(meant)
    return masker.restored(_ESCAPED_MASK.sub(lambda found: _unescaped(found.group(), masker), text))


def restored_lines(text: str, masker: Masker | None) -> str:
    """As `restored`, for a stream: each line of JSON by itself, and each that server-sent events give as `data`. A mask
    that the stream has cut in two stays."""
    if masker is None or masker.restored(text) == text:
        return text
    return _JSON_LINE.sub(lambda found: f"{found[1]}{restored(found[2], masker)}{found[3]}", text)


def _json(text: str) -> object:
    """The value of a JSON text; None if it is none."""
    try:
        return parse(text)
    except ValueError:
        return None


def _restored_value(value: object, masker: Masker) -> object:
    if isinstance(value, str):
        return restored(value, masker)
    if isinstance(value, dict):
        return {restored(name, masker): _restored_value(inner, masker) for name, inner in value.items()}
    return [_restored_value(inner, masker) for inner in value] if isinstance(value, list) else value


def _unescaped(mask: str, masker: Masker) -> str:
    """The secret itself, of which JSON's spelling was masked; the mask, if what stood there is not known."""
    said = masker.restored(mask)
    try:
        while said != mask and _ESCAPED_MASK.fullmatch(masker.text(said)):
            said = json.loads(f'"{said}"', strict=False)
    except ValueError:
        return mask
    return said
