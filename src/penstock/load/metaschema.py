"""Whether a document is a JSON Schema, by the standard's own schemas of schemas: 2020-12, unless it names another."""

from __future__ import annotations

from collections.abc import Sequence as Words
from functools import lru_cache
from typing import TYPE_CHECKING

from penstock.core.canon import Json
from penstock.load import tree
from penstock.load.findings import Findings, found
from penstock.load.suggest import did_you_mean, either, lines
from penstock.load.tree import Node, Scalar, Sequence, plain

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

_NEWEST = "https://json-schema.org/draft/2020-12/schema"
_DRAFTS = (
    _NEWEST,
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-04/schema",
)
_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_LONGEST = 120


def native(value: Json) -> Json:
    """The value with plain floats, which is what validators and encoders take."""
    if isinstance(value, dict):
        return {name: native(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [native(inner) for inner in value]
    return float(value) if isinstance(value, float) else value


def draft_of(root: Node) -> str:
    """The draft that a schema is written in: what its `$schema` says, or the newest."""
    named = root.get("$schema") if isinstance(root, tree.Mapping) else None
    return named.text.removesuffix("#") if isinstance(named, Scalar) else _NEWEST


def judge(root: Node, findings: Findings) -> bool:
    """Whether the tree is a schema. If not, each keyword that is wrong is a problem at its place."""
    draft = draft_of(root)
    if draft not in _DRAFTS:
        help = f"leave it out, or write {_NEWEST}"
        findings.wrong(_at(root, ["$schema"]), f"there is no draft `{draft}` of JSON Schema", help)
        return False
    told: set[str] = set()
    for error in _of_schemas(draft).iter_errors(native(plain(root))):
        path = error.instance_path
        pointer = "".join(f"/{word}" for word in path)
        if pointer in told or (path[-1:] == ["$ref"] and error.kind.name == "format"):
            continue  # a path in any alphabet is fine: it is encoded when the schema is put together
        told.add(pointer)
        _tell(_at(root, path), pointer, error, findings)
    return not told


def place_of(root: Node, pointer: str) -> Node:
    """The node that a JSON pointer leads to, or the deepest on the way."""
    return _at(root, [word.replace("~1", "/").replace("~0", "~") for word in pointer.split("/")[1:]])


def _tell(node: Node, pointer: str, error: ValidationError, findings: Findings) -> None:
    words = node.elements if isinstance(node, Sequence) else (node,)
    wrong = [word for word in words if isinstance(word, Scalar) and word.value not in _TYPES]
    if pointer.endswith("/type") and error.kind.name == "anyOf" and wrong:
        known = f"the types are {either(_TYPES, 'and')}"
        help = lines(did_you_mean(wrong[0].text, _TYPES), known)
        findings.wrong(wrong[0], f"`{pointer}` of the schema: {found(wrong[0])} is no type", help)
        return
    message = error.message if len(error.message) <= _LONGEST else f"{error.message[:_LONGEST]}…"
    what = f"`{pointer}` of the schema is no JSON Schema" if pointer else "this is no JSON Schema"
    findings.wrong(
        node, f"{what}: {message}", "what each keyword takes: https://json-schema.org/understanding-json-schema"
    )


def _at(node: Node, path: Words[str | int]) -> Node:
    """The node at a path; the deepest there is where the path goes through what is no tree."""
    for word in path:
        if isinstance(node, Sequence) and str(word).isdecimal():
            node = node.elements[int(word)]
        elif isinstance(node, tree.Mapping):
            node = node.get(str(word)) or node
    return node


@lru_cache(maxsize=len(_DRAFTS))
def _of_schemas(draft: str) -> Validator:
    from jsonschema_rs import validator_for  # 30 ms, for those who have a schema

    return validator_for({"$schema": draft, "$ref": draft}, validate_formats=True, offline=True)
