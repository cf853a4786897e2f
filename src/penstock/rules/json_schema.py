"""A JSON Schema, compiled: 2020-12 unless its `$schema` says otherwise, nothing fetched, patterns in linear time.

Where it differs from the `jsonschema` package, on purpose (tests/rules/test_contract.py holds the list):

- Numbers are exact decimals, as the specification has them: 19.99 is a multiple of 0.01, 1e400 is an integer.
- Patterns are Rust's: `\\d` and `\\w` as in ECMA 262, `$` only at the very end, `\\p{L}` known. Look-around and
  back-references need a backtracking engine, which a hostile answer could stall, and are refused.
- A schema that is not valid is refused when it is compiled, and so is a `$schema` that nobody knows.
- `dependencies` of older drafts still holds in 2020-12; draft 7's `contentEncoding` and `contentMediaType` are checked.

`format` is an annotation in every draft, as it is in the package by default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import jsonschema_rs
from jsonschema_rs import RegexOptions, ValidationError, Validator

from penstock.core import canon
from penstock.core.canon import Json
from penstock.core.errors import AuthorError
from penstock.rules.schema_flaws import flaws, pointer

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_VALUES = frozenset({"const", "enum", "default", "examples"})


class SchemaFault(AuthorError):
    """A schema that cannot be used. `pointer` leads to the fault in it (`""`: the whole), `message` says what it is."""

    def __init__(self, pointer: str, message: str, help: str | None = None) -> None:
        place = f"at {pointer}: " if pointer else ""
        super().__init__(f"{place}{message}" + (f"; {help}" if help else ""))
        self.pointer = pointer
        self.message = message
        self.help = help


def compile_schema(schema: Json) -> Validator:
    """The validator of a schema; SchemaFault if it is none, or refers to what is not in it."""
    if not isinstance(schema, (dict, bool)):
        raise SchemaFault("", "a JSON Schema is an object, or true or false")
    try:
        return jsonschema_rs.validator_for(
            canon.compact(schema), validate_formats=False, pattern_options=RegexOptions(), offline=True
        )
    except ValidationError as error:
        raise _fault(schema, error) from None
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaFault("", str(error).partition("\n")[0]) from None


def _fault(schema: Json, error: ValidationError) -> SchemaFault:
    at = pointer(error.instance_path)
    if error.kind.name == "$ref":
        return _lost_reference(schema, error.message)
    if error.kind.name == "format" and '"regex"' in error.message:
        help = "look-ahead, look-behind and back-references cannot be matched in linear time, and none may be huge"
        return SchemaFault(at, f"{error.instance} is no regular expression", help)
    (flaw, *_) = flaws((error,), schema, True)
    return SchemaFault(flaw.pointer, f"expected {flaw.expected}, got {flaw.got}")


def _lost_reference(schema: Json, said: str) -> SchemaFault:
    """The message names what was not found; the schema is searched for who asked for it."""
    for at, reference in _references(schema, ()):
        outside, _, inside = reference.partition("#")
        if (outside or inside) not in said:
            continue
        if at[-1] == "$schema":
            help = "leave it out, or write https://json-schema.org/draft/2020-12/schema"
            return SchemaFault(pointer(at), f"nobody here knows the dialect {reference}", help)
        remote = "remote schemas are not read: put it under $defs and write #/$defs/NAME" if outside else None
        return SchemaFault(pointer(at), f"it refers to {reference}, which is not in the schema", remote)
    return SchemaFault("", said)


def _references(schema: Json, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(schema, Mapping):
        for name, part in schema.items():
            if name in (*_REFERENCES, "$schema") and isinstance(part, str):
                yield (*at, name), part
            elif name not in _VALUES:
                yield from _references(part, (*at, name))
    elif isinstance(schema, list):
        for index, part in enumerate(schema):
            yield from _references(part, (*at, index))
