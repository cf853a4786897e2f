"""What a plain scalar stands for: YAML 1.2's core schema, less numbers with leading zeros, which stay text."""

from __future__ import annotations

import re

from penstock.core.canon import Json, WrittenFloat

MAX_DIGITS = 400
"""More than any row's number has; Python refuses to make an integer of more than 4300."""

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


def resolve(text: str) -> Json:
    """Null, a bool, a number, or the text itself. Floats keep their spelling where it is JSON's."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text, 8)
    if _HEX.fullmatch(text):
        return int(text, 16)
    if _JSON_NUMBER.fullmatch(text):
        return WrittenFloat(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def is_endless(text: str) -> bool:
    """Whether it is a number with more digits than are read."""
    return len(text) > MAX_DIGITS and bool(_INT.fullmatch(text) or _FLOAT.fullmatch(text))
