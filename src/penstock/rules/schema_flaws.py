"""What a JSON Schema finds wrong with a value, as flaws that a person and a model understand, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from jsonschema_rs import ValidationError

from penstock.core.calls import Flaw
from penstock.core.canon import Json
from penstock.rules.conditions.values import counted, described, listed, shown

SHOWN = 80
"""How many characters of a value are shown."""

_TYPES = {
    "array": "an array",
    "boolean": "a boolean",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}
_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "pattern": "a string that matches {}",
    "const": "{}",
    "not": "anything but {}",
    "contentEncoding": "a string encoded as {}",
    "contentMediaType": "a string that holds {}",
}
_SIZES = {
    "minLength": ("at least", "character"),
    "maxLength": ("at most", "character"),
    "minItems": ("at least", "element"),
    "maxItems": ("at most", "element"),
    "minProperties": ("at least", "field"),
    "maxProperties": ("at most", "field"),
}
_UNWANTED = frozenset({"additionalProperties", "unevaluatedProperties"})
_MISFIT = frozenset({"type", "const", "enum", "falseSchema"})

_Path = Sequence[str | int]


def flaws(errors: Iterable[ValidationError], value: Json, schema: Json) -> tuple[Flaw, ...]:
    """Every error as a flaw, sorted by pointer, keyword and text, so that equal answers give equal flaws.

    `value` is the whole answer with its numbers as written, `schema` the whole schema, for what the keywords say.
    """
    found = {
        (flaw.pointer, error.kind.name, flaw.expected, flaw.got): flaw
        for error in errors
        for flaw in _flaws(error, value, schema)
    }
    return tuple(found[key] for key in sorted(found))


def pointer(path: _Path) -> str:
    """A path as JSON pointer (RFC 6901); `""` is the whole."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _flaws(error: ValidationError, value: Json, schema: Json) -> Iterator[Flaw]:
    """One flaw; or those of the one alternative that the value was meant to fit."""
    if error.kind.name in {"anyOf", "oneOf"}:
        meant = [branch for branch in _branches(error) if not _misfit(branch, error.instance_path)]
        if len(meant) == 1:
            for inner in meant[0]:
                yield from _flaws(inner, value, schema)
            return
    at = pointer(error.instance_path)
    found = _at(value, error.instance_path)
    yield Flaw(at, _expected(error, value, schema), _got(error, found))


def _branches(error: ValidationError) -> list[list[ValidationError]]:
    return [branch for branch in error.kind.as_dict().get("context", []) if branch]


def _misfit(branch: list[ValidationError], path: _Path) -> bool:
    """Whether the value is of another kind than this alternative; then its other errors mean nothing."""
    return any(inner.kind.name in _MISFIT and inner.instance_path == path for inner in branch)


def _expected(error: ValidationError, value: Json, schema: Json) -> str:
    name = error.kind.name
    given = error.kind.as_dict()
    rule = _rule(error, schema)
    if name in _LIMITS:
        return _LIMITS[name].format(rule if isinstance(rule, str) and name != "const" else shown(rule, SHOWN))
    if name in _SIZES:
        words, noun = _SIZES[name]
        return f"{words} {counted(given['limit'], noun)}"
    if name in _UNWANTED:
        return _only_fields(error, schema)
    match name:
        case "type":
            return _either([_TYPES.get(kind, kind) for kind in given["types"]])
        case "enum":
            return f"one of {_options(given['options'] if not isinstance(rule, list) else rule)}"
        case "required":
            return f"the field {shown(given['property'], SHOWN)}"
        case "anyOf" | "oneOf":
            return _alternatives(error, value, schema)
        case "propertyNames":
            return f"field names that are {_expected(given['error'], value, schema)}"
        case "uniqueItems":
            return "elements that all differ"
        case "contains":
            return _contained(error, schema)
        case "additionalItems" | "unevaluatedItems":
            return "no further elements"
        case "falseSchema":
            return "nothing here"
    return error.message[: 2 * SHOWN]


def _got(error: ValidationError, found: Json) -> str:
    given = error.kind.as_dict()
    name = error.kind.name
    if name in _UNWANTED:
        unexpected = sorted(given["unexpected"])
        return f"the {'field' if len(unexpected) == 1 else 'fields'} {listed(unexpected)}"
    if name == "propertyNames":
        return shown(given["error"].instance, SHOWN)
    if name == "required":
        return described(found)
    if name in _SIZES and isinstance(found, (str, list, dict)):
        return f"{counted(len(found), _SIZES[name][1])}: {shown(found, SHOWN)}"
    if name == "oneOf" and not _branches(error):
        return f"{shown(found, SHOWN)}, which fits several"
    return shown(found, SHOWN)


def _rule(error: ValidationError, schema: Json) -> Json:
    """What the schema says under the keyword, its numbers as written; what the validator says if it is elsewhere."""
    rule = _at(schema, error.schema_path)
    if rule is not None:
        return rule
    (said, *_) = [*error.kind.as_dict().values(), None]
    return said if isinstance(said, (str, int, float, list, dict)) else str(said)


def _at(value: Json, path: _Path) -> Json:
    """What stands at a path; None if nothing does."""
    for step in path:
        match value, step:
            case dict(), str() if step in value:
                value = value[step]
            case list(), int() if step < len(value):
                value = value[step]
            case _:
                return None
    return value


def _only_fields(error: ValidationError, schema: Json) -> str:
    around = _at(schema, error.schema_path[:-1])
    known = around.get("properties") if isinstance(around, dict) else None
    return f"no other fields than {listed(known)}" if isinstance(known, Mapping) and known else "no further fields"


def _contained(error: ValidationError, schema: Json) -> str:
    around = _at(schema, error.schema_path[:-1])
    rules = around if isinstance(around, dict) else {}
    wanted = f"like {shown(rules['contains'], SHOWN)}" if "contains" in rules else "of a certain kind"
    keyword = str(error.schema_path[-1]) if error.schema_path else "contains"
    many = {"minContains": "at least", "maxContains": "at most"}.get(keyword)
    count = rules.get(keyword)
    if many and isinstance(count, (int, float)):
        return f"{many} {counted(int(count), 'element')} {wanted}"
    return f"an element {wanted}"


def _alternatives(error: ValidationError, value: Json, schema: Json) -> str:
    branches = _branches(error)
    if not branches:
        return "exactly one of the alternatives to fit"
    firsts = [_first(branch, error, value, schema) for branch in branches]
    return " or ".join(dict.fromkeys(firsts))[: 4 * SHOWN]


def _first(branch: list[ValidationError], error: ValidationError, value: Json, schema: Json) -> str:
    """The first thing that an alternative misses, with its place beneath the value."""
    flaw = flaws(branch, value, schema)[0]
    beneath = flaw.pointer[len(pointer(error.instance_path)) :]
    return f"{flaw.expected} at {beneath}" if beneath else flaw.expected


def _options(options: Sequence[Json]) -> str:
    every = ", ".join(shown(option, SHOWN) for option in options[:20])
    return every + (f" and {len(options) - 20} more" if len(options) > 20 else "")


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
