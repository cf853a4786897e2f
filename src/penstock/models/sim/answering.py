"""A value that meets a JSON Schema, taken from a source: what a small, well-behaved model would have written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from penstock.core.canon import Json
from penstock.models.sim.draws import Draws
from penstock.models.sim.numbers import number
from penstock.models.sim.patterns import matches
from penstock.models.sim.schemas import Compiled, Flat, joined
from penstock.models.sim.source import Source
from penstock.models.sim.texts import LANGUAGE_NAMES, LANGUAGES, name_words, text

GOOD_SHARE = (0.7, 0.95)
"""Where in its range a number of a good answer lies."""
POOR_SHARE = (0.1, 0.4)
"""Where in its range a number of a poor answer lies."""

_ATTEMPTS = 12
_ECHOING = 3
_LEAN_FROM = 6
_DEEP = 3
_DEEPEST = 60
_MOST_VALUES = 20_000
_FEW = 3
_MOST_ITEMS = 10_000
_TRIES_FOR_ANOTHER = 40
_GOOD_WORDS = frozenset({"ok", "valid", "accepted", "passed", "correct", "grounded", "relevant", "success"})


def answer(schema: Compiled, source: Source, draws: Draws, good: bool) -> Json:
    """A value for the schema; the first that meets the whole of it, or the first of all where none does.

    Each try draws anew; the later ones take nothing over from the source's fields and leave out what may be left out.
    """
    values: list[Json] = []
    for attempt in range(_ATTEMPTS):
        answering = Answering(schema, source, draws, good, attempt)
        value = answering.value(schema.root, "answer")
        if schema.valid(value):
            return value
        values.append(value)
        if answering.too_much:
            break
    return values[0]


class Answering:
    """One try at an answer."""

    def __init__(self, schema: Compiled, source: Source, draws: Draws, good: bool, attempt: int = 0) -> None:
        self._schema = schema
        self._source = source
        self._draws = draws
        self._good = good
        self._salt = f"{attempt}:" if attempt else ""
        self._echoes = attempt < _ECHOING
        self._lean = attempt >= _LEAN_FROM
        self._made = 0

    @property
    def too_much(self) -> bool:
        """Whether the schema asks for more values than are made."""
        return self._made >= _MOST_VALUES

    def flat(self, schema: Json, path: str, depth: int = 0) -> Flat | None:
        """The schema's plain keywords at this place; None where nothing can meet them."""
        label = f"{self._salt}{path} branch"
        return self._schema.flat(schema, lambda count: self._draws.index(count, label), depth > _DEEP)

    def value(self, schema: Json, name: str, path: str = "", depth: int = 0, ordinal: int = 0) -> Json:
        """A value for this part of the schema; None where nothing can meet it, or there is too much of it.

        `name` is the field's; `ordinal` tells the elements of a list apart.
        """
        self._made += 1
        flat = self.flat(schema, path, depth) if self._made < _MOST_VALUES and depth < _DEEPEST else None
        if flat is None:
            return None
        options = flat.get("enum")
        if isinstance(options, list):
            return self._option(flat, options, name, path, ordinal)
        match self._kind(flat, path, depth):
            case "object":
                return self._object(flat, path, depth, ordinal)
            case "array":
                return self._array(flat, name, path, depth, ordinal)
            case "null":
                return None
            case kind:
                return self._scalar(flat, kind, name, path, ordinal)

    def number(self, flat: Mapping[str, Json], name: str, path: str, whole: bool, ordinal: int = 0) -> int | float:
        """A number in the upper part of its range, or in the lower part where the answer is a poor one."""
        share = self._draws.between(*(GOOD_SHARE if self._good else POOR_SHARE), f"{self._salt}{path} number")
        return number(flat, name_words(name), (share + ordinal * 0.618) % 1 if ordinal else share, whole)

    def _kind(self, flat: Flat, path: str, depth: int) -> str:
        """The type to answer with: the author's first that is not null, or null where there is no room left."""
        types = flat.get("type")
        named = [str(each) for each in types] if isinstance(types, list) else []
        if not named:
            return _implied(flat)
        telling = [each for each in named if each != "null"]
        if not telling or (depth > _DEEP and "null" in named):
            return "null"
        return telling[self._draws.index(len(telling), f"{self._salt}{path} type") if self._salt else 0]

    def _scalar(self, flat: Flat, kind: str, name: str, path: str, ordinal: int) -> Json:
        echoed = self._source.fields.get(name) if self._echoes and not ordinal else None
        if echoed is not None and _fits(flat, kind, echoed):
            return echoed
        if kind == "boolean":
            return self._truth(name) ^ bool(ordinal % 2)
        if kind in ("number", "integer"):
            return self.number(flat, name, path, kind == "integer", ordinal)
        return text(flat, name_words(name), self._source, self._draws, f"{self._salt}{path}", self._good, ordinal)

    def _truth(self, name: str) -> bool:
        """What a model would say to a yes-or-no field: yes where the text speaks of it."""
        words = name_words(name)
        if _GOOD_WORDS.intersection(words):
            return self._good
        return not self._source.vocabulary.isdisjoint(word for word in words if len(word) > 3)

    def _option(self, flat: Flat, options: Sequence[Json], name: str, path: str, ordinal: int) -> Json:
        """The option whose words the text uses; where it uses none's, or the answer is a poor one, any."""
        types = flat.get("type")
        allowed = [one for one in options if not isinstance(types, list) or _is_any(one, types)] or list(options)
        start = self._draws.index(len(allowed), f"{self._salt}{path} option")
        turn = start + ordinal
        own = self._source.fields.get(name)
        if self._echoes and not ordinal and own is not None and own in allowed:
            return own
        scores = [self._said(option, name) for option in allowed]
        if self._good and self._echoes and not ordinal and max(scores) > 0:
            return allowed[scores.index(max(scores))]
        return allowed[turn % len(allowed)]

    def _said(self, option: Json, name: str) -> float:
        """How much of an option's words the text uses, from 0 to 1."""
        if not isinstance(option, str):
            return 0
        if LANGUAGE_NAMES.intersection(name_words(name)):
            code = self._source.language
            return float(option.lower() in (code, LANGUAGES[code]))
        words = name_words(option)
        known = self._source.vocabulary
        return sum(word in known or f"{word}s" in known for word in words) / len(words)

    def _object(self, flat: Flat, path: str, depth: int, ordinal: int) -> Json:
        flat = self._with_dependents(flat, path, depth)
        values: dict[str, Json] = {}
        required = _strings(flat, "required")
        for name in self._names(flat, depth):
            part = _property(flat, name)
            if name in required or self.flat(part, f"{path}/{name}", depth + 1) is not None:
                values[name] = self.value(part, name, f"{path}/{name}", depth + 1, ordinal)
        least = flat.get("minProperties")
        while isinstance(least, int) and len(values) < min(least, _MOST_ITEMS):
            another = self._another_name(flat, values, path, depth)
            if another is None:
                break
            values[another] = self.value(_property(flat, another), another, f"{path}/{another}", depth + 1, ordinal)
        return values

    def _names(self, flat: Flat, depth: int) -> list[str]:
        """The properties to write, in the schema's order: all of them, or the required ones where it goes deep."""
        required = _strings(flat, "required")
        properties = flat.get("properties")
        known = list(properties) if isinstance(properties, dict) else []
        brief = self._lean or depth > _DEEP
        names = [name for name in known if not brief or name in required]
        names += [name for name in required if name not in names]
        dependents = flat.get("dependentRequired")
        if isinstance(dependents, dict):
            for name in names:  # the list grows while it is walked
                names += [other for other in _strings(dependents, name) if other not in names]
        most = flat.get("maxProperties")
        if isinstance(most, int) and len(names) > most:
            optional = [name for name in names if name not in required]
            spare = set(optional[max(0, most - len(required)) :])
            names = [name for name in names if name not in spare]
        return names

    def _with_dependents(self, flat: Flat, path: str, depth: int) -> Flat:
        """The schema with those that the presence of a property brings in."""
        dependents = flat.get("dependentSchemas")
        if not isinstance(dependents, dict):
            return flat
        for name in self._names(flat, depth):
            if name in dependents:
                flat = joined(flat, self.flat(dependents[name], path)) or flat
        return flat

    def _another_name(self, flat: Flat, taken: Mapping[str, Json], path: str, depth: int) -> str | None:
        """A name for one property more; None where none is found."""
        properties = flat.get("properties")
        names: list[str] = list(properties) if isinstance(properties, dict) else []
        known = next((name for name in names if name not in taken), None)
        if known is not None:
            return known
        by_pattern = flat.get("patternProperties")
        patterns: list[str] = list(by_pattern) if isinstance(by_pattern, dict) else []
        closed = flat.get("additionalProperties") is False
        naming: list[Json] = [flat.get("propertyNames", True), {"type": "string"}]
        naming += [{"pattern": patterns[0]}] if closed and patterns else []
        for ordinal in range(len(taken), len(taken) + _TRIES_FOR_ANOTHER):
            name = str(self.value({"allOf": naming}, "key", f"{path} names", depth + 1, ordinal))
            if name not in taken and (not closed or any(matches(pattern, name) for pattern in patterns)):
                return name
        return None

    def _array(self, flat: Flat, name: str, path: str, depth: int, ordinal: int) -> Json:
        prefix = _list(flat.get("prefixItems"))
        must_hold = _least_contained(flat)
        values: list[Json] = []
        for index in range(self._count(flat, len(prefix), must_hold, depth)):
            part = prefix[index] if index < len(prefix) else flat.get("items", True)
            if len(prefix) <= index < len(prefix) + must_hold or (index < must_hold and not prefix):
                part = {"allOf": [part, flat["contains"]]}
            if self.flat(part, f"{path}/{index}", depth + 1) is None:
                break
            value = self._element(
                part, name, f"{path}/{index}", depth, index + ordinal, values if flat.get("uniqueItems") else ()
            )
            if value is _NO_OTHER:
                break
            values.append(value)
        return values

    def _count(self, flat: Flat, prefix: int, must_hold: int, depth: int) -> int:
        """How many elements to write."""
        least, most = flat.get("minItems"), flat.get("maxItems")
        usual = 0 if self._lean or depth > _DEEP else _FEW if depth < 2 else 1
        if "maxContains" in flat:
            usual = 0
        count = max(prefix if prefix and not self._lean else usual, prefix + must_hold if must_hold else 0)
        count = min(count, most) if isinstance(most, int) else count
        count = max(count, least) if isinstance(least, int) else count
        return min(count, _MOST_ITEMS)

    def _element(self, part: Json, name: str, path: str, depth: int, ordinal: int, taken: Sequence[Json]) -> Json:
        """An element that is not taken yet; `_NO_OTHER` where none is found."""
        for shift in range(_TRIES_FOR_ANOTHER if taken else 1):
            value = self.value(part, name, path, depth + 1, ordinal + shift)
            if value not in taken:
                return value
        return _NO_OTHER


_NO_OTHER: Json = object()


def _implied(flat: Mapping[str, Json]) -> str:
    """The type that a schema without one speaks of."""
    if any(word in flat for word in ("properties", "required", "minProperties", "patternProperties", "propertyNames")):
        return "object"
    if any(word in flat for word in ("items", "prefixItems", "minItems", "contains", "uniqueItems")):
        return "array"
    bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multiples")
    return "number" if any(word in flat for word in bounds) else "string"


def _is_any(value: Json, types: Sequence[Json]) -> bool:
    return any(_is(value, each) for each in types)


def _is(value: Json, kind: Json) -> bool:
    match value:
        case bool():
            return kind == "boolean"
        case int():
            return kind in ("integer", "number")
        case float():
            return kind == "number" or (kind == "integer" and value.is_integer())
        case str():
            return kind == "string"
        case None:
            return kind == "null"
        case dict():
            return kind == "object"
    return kind == "array"


def _fits(flat: Mapping[str, Json], kind: str, value: Json) -> bool:
    """Whether a scalar of the source can be taken over as it is."""
    if not _is(value, kind):
        return False
    if isinstance(value, str):
        least, most = flat.get("minLength", 0), flat.get("maxLength", math.inf)
        long_enough = isinstance(least, (int, float)) and isinstance(most, (int, float)) and least <= len(value) <= most
        return long_enough and all(matches(str(pattern), value) for pattern in _list(flat.get("patterns")))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return True
    low, high = flat.get("minimum", -math.inf), flat.get("maximum", math.inf)
    return isinstance(low, (int, float)) and isinstance(high, (int, float)) and low <= value <= high


def _property(flat: Mapping[str, Json], name: str) -> Json:
    """The schema of one property."""
    properties, by_pattern = flat.get("properties"), flat.get("patternProperties")
    parts = [properties[name]] if isinstance(properties, dict) and name in properties else []
    if isinstance(by_pattern, dict):
        parts += [part for pattern, part in by_pattern.items() if matches(pattern, name)]
    if not parts:
        return flat.get("additionalProperties", True)
    return parts[0] if len(parts) == 1 else {"allOf": parts}


def _least_contained(flat: Mapping[str, Json]) -> int:
    if "contains" not in flat:
        return 0
    least = flat.get("minContains", 1)
    return least if isinstance(least, int) else 1


def _strings(owner: Mapping[str, Json], keyword: str) -> list[str]:
    return [name for name in _list(owner.get(keyword)) if isinstance(name, str)]


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
