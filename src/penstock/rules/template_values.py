"""JSON as templates see it: fields and elements, and no way to anything else of Python.

minijinja looks for a name among an object's fields and then among its Python attributes, so `item.pop` would be a
method, and would work. These views have no attributes but `items`, by which minijinja knows a mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from json.encoder import encode_basestring
from typing import Any

from penstock.core import canon
from penstock.core.canon import WrittenFloat


class Unprintable(ValueError):
    """A template prints what is no JSON: a function, a macro, an infinite number."""


class NoMethod(AttributeError):
    """A template calls a method of a value; its argument is the method's name."""


def view(value: object) -> object:
    """The value for a template, its objects and arrays copied at every depth; a lazy mapping is read when asked."""
    if type(value) is dict:
        return _Object((name, view(field) if type(field) in _NESTED else field) for name, field in value.items())
    if type(value) is list or type(value) is tuple:
        return _Array(view(element) if type(element) in _NESTED else element for element in value)
    return _Lazy(value) if isinstance(value, Mapping) else value


def lazy(names: Mapping[str, object]) -> object:
    """A mapping for a template, nothing of it read or copied before it is asked for."""
    return _Lazy(names)


def text(value: object) -> str:
    """How a value is printed: a text as it is, anything else as compact JSON with its numbers as written."""
    if isinstance(value, str):
        return value
    try:
        return canon.compact(dict(value) if isinstance(value, _Lazy) else value)
    except (TypeError, ValueError):
        raise Unprintable(f"a {type(value).__name__} cannot be printed") from None


def written(value: float, owner: object, step: str | int) -> object:
    """The number at `step` of its owner as it was written; minijinja itself keeps only its value."""
    try:
        kept = owner[step]  # type: ignore[index]  # whatever the template indexes
    except (TypeError, LookupError):
        return value
    return kept.text if isinstance(kept, WrittenFloat) and kept == value else value


def tojson(value: object, indent: int | None = None) -> str:
    """The filter `tojson`: as `text` prints it, but a text in quotes; with `indent`, over several lines."""
    if indent is not None:
        return _indented(value, " " * indent, "\n")
    return encode_basestring(value) if isinstance(value, str) else text(value)


def join(values: object, between: object = "") -> str:
    """The filter `join`, each element as `text` prints it."""
    if not isinstance(values, Iterable):
        raise Unprintable(f"{text(values)} has no elements to join")
    return text(between).join(map(text, values))


FILTERS: dict[str, Callable[..., Any]] = {"string": text, "tojson": tojson, "join": join}
"""What stands in for minijinja's own filters, which print `None`, `True` and numbers in Python's or Rust's way."""


class _Object(dict[str, object]):
    __slots__ = ()

    def __getattribute__(self, name: str) -> object:
        if name == "items" or name.startswith("__"):
            return dict.__getattribute__(self, name)
        raise NoMethod(name)

    def __str__(self) -> str:
        return canon.compact(self)

    __repr__ = __str__


class _Array(list[object]):
    __slots__ = ()

    def __getattribute__(self, name: str) -> object:
        if name.startswith("__"):
            return list.__getattribute__(self, name)
        raise NoMethod(name)

    def __str__(self) -> str:
        return canon.compact(self)

    __repr__ = __str__


class _Lazy(Mapping[str, object]):
    """A mapping that reads its fields on demand, and asks for none that the template does not name."""

    __slots__ = ("__mapping",)

    def __init__(self, mapping: Mapping[str, object]) -> None:
        self.__mapping = mapping

    def __getitem__(self, name: str) -> object:
        return view(self.__mapping[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.__mapping)

    def __len__(self) -> int:
        return len(self.__mapping)

    def __getattribute__(self, name: str) -> object:
        if name in {"items", "keys"} or name.startswith("_"):
            return object.__getattribute__(self, name)
        raise NoMethod(name)

    def __str__(self) -> str:
        return text(self)

    __repr__ = __str__


_NESTED = frozenset({dict, list, tuple})


def _indented(value: object, indent: str, newline: str) -> str:
    inner = newline + indent
    if isinstance(value, _Lazy):
        value = dict(value)
    if isinstance(value, dict) and value:
        fields = (f"{encode_basestring(str(name))}: {_indented(field, indent, inner)}" for name, field in value.items())
        return f"{{{inner}{f',{inner}'.join(fields)}{newline}}}"
    if isinstance(value, list) and value:
        return f"[{inner}{f',{inner}'.join(_indented(element, indent, inner) for element in value)}{newline}]"
    return tojson(value)
