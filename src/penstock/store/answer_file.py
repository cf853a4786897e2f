"""A raw answer as a file that a person can read: JSON, a field a line, with a checksum of all before it at the end."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from json.encoder import encode_basestring

from penstock.core.calls import Answer

VERSION = 1

_TAIL = b'"sha256":"%s"}\n'
_TAIL_BYTES = len(_TAIL % bytes(64))
_REQUEST = b'"request":'
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode(key: bytes, request: Mapping[str, object] | None, answer: Answer) -> bytes:
    """The file of an answer. `request` is for people: what was asked; None where that is not known any more."""
    head = (
        f'{{"version":{VERSION},\n"key":"{key.hex()}",\n"status":{answer.status},\n"at":{answer.at!r},\n'
        f'"elapsed_s":{answer.elapsed_s!r},\n"headers":{_json(answer.headers)},\n"request":{_json(request)},\n'
        f"{_body(answer.body)},\n"
    ).encode("utf-8", "backslashreplace")  # a lone surrogate of a header becomes the JSON escape that it is read from
    return head + _TAIL % hashlib.sha256(head).hexdigest().encode()


def decode(text: bytes, key: bytes) -> Answer:
    """The answer in a file that was written for this key. ValueError says what is wrong with the file."""
    head = text[:-_TAIL_BYTES]
    if text[len(head) :] != _TAIL % hashlib.sha256(head).hexdigest().encode():
        raise ValueError("its checksum is wrong" if text.endswith(b'"}\n') else "it is not whole")
    try:
        told = json.loads(text)
        if told["version"] != VERSION:
            raise ValueError(f"it is of version {told['version']}, and this Penstock reads {VERSION}")
        if told["key"] != key.hex():
            raise ValueError("it is the answer to another request")
        body = told["body"].encode() if "body" in told else base64.b64decode(told["body_base64"], validate=True)
        headers = tuple((str(name), str(value)) for name, value in told["headers"])
        return Answer(int(told["status"]), headers, body, float(told["at"]), float(told["elapsed_s"]))
    except (KeyError, TypeError, AttributeError, binascii.Error, RecursionError) as error:
        raise ValueError(f"it is not as Penstock writes it ({type(error).__name__})") from error


def request_in(text: bytes, key: bytes) -> Mapping[str, object] | None:
    """What was asked, as far as a file that may be damaged still tells; None if it does not, or is another key's.

    Nothing but the line of the request is read: a file that was cut off has that line, since the body comes after it.
    """
    lines = text.split(b"\n")
    asked = next((line for line in lines if line.startswith(_REQUEST)), None)
    if asked is None or b'"key":"%s",' % key.hex().encode() not in lines:
        return None
    try:
        told = json.loads(asked[len(_REQUEST) :].removesuffix(b","))
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _body(body: bytes) -> str:
    try:
        return f'"body":{encode_basestring(body.decode())}'
    except UnicodeDecodeError:
        return f'"body_base64":"{base64.b64encode(body).decode()}"'
