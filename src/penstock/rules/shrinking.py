"""The rungs of `shrink`: names as a template sees them, less what is left out or cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from penstock.core import canon
from penstock.core.generation import Drop, Rung


def shrink(names: Mapping[str, object], rungs: Sequence[Rung]) -> Mapping[str, object]:
    """The names with these rungs applied in order; the ones given are not changed.

    A dropped name is an empty text. A cut text keeps its first `to` characters; what is no text is cut as its compact
    JSON. Where a row has nothing at the path, there is nothing to cut. Mappings that read on demand stay so.
    """
    for rung in rungs:
        names = _Changed(names, rung.name, "") if isinstance(rung, Drop) else _object_cut(names, rung.path, rung.to)
    return names


class _Changed(Mapping[str, object]):
    """A mapping with another value under one name. All else is asked of the original, when it is asked for."""

    __slots__ = ("_name", "_original", "_value")

    def __init__(self, original: Mapping[str, object], name: str, value: object) -> None:
        self._original = original
        self._name = name
        self._value = value

    def __getitem__(self, name: str) -> object:
        return self._value if name == self._name else self._original[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._original
        if self._name not in self._original:
            yield self._name

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _cut(value: object, path: Sequence[str | int], to: int) -> object:
    """The value with what stands at `path` cut to `to` characters; the same object if nothing is cut."""
    if not path:
        text = value if isinstance(value, str) else canon.compact(value)
        return text[:to] if len(text) > to else value
    if isinstance(value, Mapping):
        return _object_cut(value, path, to)
    if isinstance(value, (list, tuple)):
        return _list_cut(value, path, to)
    return value


def _object_cut(value: Mapping[str, object], path: Sequence[str | int], to: int) -> Mapping[str, object]:
    name = str(path[0])
    try:
        before = value[name]
    except KeyError:
        return value
    after = _cut(before, path[1:], to)
    if after is before:
        return value
    return {**value, name: after} if isinstance(value, dict) else _Changed(value, name, after)


def _list_cut(value: Sequence[object], path: Sequence[str | int], to: int) -> Sequence[object]:
    index = path[0]
    if not isinstance(index, int) or not -len(value) <= index < len(value):
        return value
    changed = list(value)
    changed[index] = _cut(value[index], path[1:], to)
    return changed
