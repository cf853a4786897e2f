"""The parts of a condition: each knows how to work out its value and how to show what it saw.

An evaluation is one walk with a list `seen`, in which each reference, call and sum leaves its value under
a slot of its own. The line for the log is written from that list later, and only if someone asks: a `where`
over a million rows pays for the walk alone. A slot that was not reached keeps `UNSEEN`, and its part is
shown as it was written: `0.5 > 0.9 and item.lang == "ko" → false`.

What was computed is shown with its value after `=`: `len("hello")=5 > 10`, `(3 / 10)=0.3 > 0.5`. A reference is
shown as its value, except where it stands for a bool by itself: `outputs.route.ok=true and 0.95 > 0.9`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from penstock.core.errors import ConditionError
from penstock.rules.conditions.functions import Function
from penstock.rules.conditions.operators import (
    bounded,
    calculate,
    compare,
    is_what,
    operands_of,
    too_large,
    truth,
    wrong_operand,
)
from penstock.rules.conditions.values import ANY, field, in_words, kind, path_text, shown

UNSEEN = object()

Names = Mapping[str, object]
Seen = list[object]

# How tightly a part binds: one that binds less than its surroundings is shown in parentheses.
EITHER, OR, AND, NOT, COMPARE, ATOM = range(6)

_LONGEST_LITERAL = 60
_BOOL = frozenset({"bool"})
_NUMBER = frozenset({"number"})


class Node(Protocol):
    """A part of a condition. `kinds` are those that its value can have, `source` is how it was written."""

    level: ClassVar[int]

    @property
    def source(self) -> str: ...

    @property
    def kinds(self) -> frozenset[str]: ...

    def value(self, names: Names, seen: Seen) -> object:
        """Its value; what it saw is left in `seen`. ConditionError if it has none."""
        ...

    def plain(self, seen: Seen) -> str:
        """How it is shown inside something that was computed."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A constant: a number, a text, true, false, null, or a list or object of such."""

    level: ClassVar[int] = ATOM
    source: str
    constant: object

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset({kind(self.constant)})

    def value(self, names: Names, seen: Seen) -> object:
        return self.constant

    def plain(self, seen: Seen) -> str:
        # Numbers as they were written, and a regex without its backslashes doubled.
        as_written = kind(self.constant) == "number" or ("\\" in self.source and self.source.isprintable())
        return self.source if as_written and len(self.source) <= _LONGEST_LITERAL else shown(self.constant)


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """A reference that is known as written: `item.a[0]["b c"]`."""

    level: ClassVar[int] = ATOM
    kinds: ClassVar[frozenset[str]] = ANY
    root: str
    steps: tuple[str | int, ...]
    source: str
    slot: int

    def value(self, names: Names, seen: Seen) -> object:
        try:
            found = names[self.root]
        except KeyError:
            raise ConditionError(f"there is no {self.root} here; there is: {', '.join(sorted(names))}") from None
        for depth, step in enumerate(self.steps):
            if type(found) is dict and step in found:
                found = found[step]
            else:
                found = field(found, step, path_text(self.root, self.steps[:depth]))
        if isinstance(found, float) and not math.isfinite(found):
            raise _not_finite(self.source, found)
        seen[self.slot] = found
        return found

    def plain(self, seen: Seen) -> str:
        found = seen[self.slot]
        return self.source if found is UNSEEN else shown(found)


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """A field or element of something computed, or one whose name is computed: `get(…).a`, `item.tags[i]`."""

    level: ClassVar[int] = ATOM
    kinds: ClassVar[frozenset[str]] = ANY
    owner: Node
    step: Node
    source: str
    slot: int

    def value(self, names: Names, seen: Seen) -> object:
        owner = self.owner.value(names, seen)
        found = field(owner, self.step.value(names, seen), self.owner.source)
        if isinstance(found, float) and not math.isfinite(found):
            raise _not_finite(self.source, found)
        seen[self.slot] = found
        return found

    def plain(self, seen: Seen) -> str:
        found = seen[self.slot]
        return self.source if found is UNSEEN else shown(found)


@dataclass(frozen=True, slots=True, eq=False)
class Elements:
    """A list that is not constant: `[item.a, "b"]`."""

    level: ClassVar[int] = ATOM
    kinds: ClassVar[frozenset[str]] = frozenset({"list"})
    parts: tuple[Node, ...]
    source: str

    def value(self, names: Names, seen: Seen) -> object:
        return [part.value(names, seen) for part in self.parts]

    def plain(self, seen: Seen) -> str:
        return f"[{', '.join(part.plain(seen) for part in self.parts)}]"


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A function with its arguments."""

    level: ClassVar[int] = ATOM
    name: str
    function: Function
    arguments: tuple[Node, ...]
    source: str
    slot: int

    @property
    def kinds(self) -> frozenset[str]:
        return self.function.gives

    def value(self, names: Names, seen: Seen) -> object:
        values = [argument.value(names, seen) for argument in self.arguments]
        for position, (argument, given) in enumerate(zip(self.arguments, values, strict=True)):
            wanted = self.function.kinds_at(position)
            if kind(given) not in wanted:
                raise ConditionError(f"{is_what(argument, given)}, and {self.name} takes {in_words(wanted)}")
        try:
            answer = self.function.apply(*values)
        except ConditionError as error:
            raise ConditionError(f"{self.source}: {error}") from None
        except OverflowError:
            raise too_large(self.source) from None
        seen[self.slot] = bounded(answer, self.source)
        return answer

    def plain(self, seen: Seen) -> str:
        texts = [argument.plain(seen) for argument in self.arguments]
        if self.function.takes_from_first:
            texts[0] = self.arguments[0].source
        return f"{self.name}({', '.join(texts)})"


@dataclass(frozen=True, slots=True, eq=False)
class Arithmetic:
    """Two operands and `+ - * / // %`. Numbers only, but `+` also joins two texts."""

    level: ClassVar[int] = ATOM
    sign: str
    left: Node
    right: Node
    source: str
    slot: int

    @property
    def kinds(self) -> frozenset[str]:
        return self.left.kinds & self.right.kinds & operands_of(self.sign)

    def value(self, names: Names, seen: Seen) -> object:
        left, right = self.left.value(names, seen), self.right.value(names, seen)
        seen[self.slot] = answer = calculate(self.sign, self.left, left, self.right, right)
        return answer

    def plain(self, seen: Seen) -> str:
        return f"{self._side(self.left, seen)} {self.sign} {self._side(self.right, seen)}"

    def _side(self, operand: Node, seen: Seen) -> str:
        text = operand.plain(seen)
        return f"({text})" if isinstance(operand, Arithmetic) or operand.level < ATOM else text


@dataclass(frozen=True, slots=True, eq=False)
class Negative:
    """A number with its sign turned."""

    level: ClassVar[int] = ATOM
    kinds: ClassVar[frozenset[str]] = _NUMBER
    operand: Node
    source: str
    slot: int

    def value(self, names: Names, seen: Seen) -> object:
        found = self.operand.value(names, seen)
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise wrong_operand("-", self.operand, found)
        seen[self.slot] = answer = -found
        return answer

    def plain(self, seen: Seen) -> str:
        found = seen[self.slot]
        return self.source if found is UNSEEN else shown(found)


@dataclass(frozen=True, slots=True, eq=False)
class Compare:
    """`a < b`, `a == b`, `a in b`, and chains of them, which stop at the first that is false."""

    level: ClassVar[int] = COMPARE
    kinds: ClassVar[frozenset[str]] = _BOOL
    first: Node
    rest: tuple[tuple[str, Node], ...]
    source: str

    def value(self, names: Names, seen: Seen) -> bool:
        node = self.first
        left = node.value(names, seen)
        for sign, other in self.rest:
            right = other.value(names, seen)
            if not compare(sign, node, left, other, right):
                return False
            node, left = other, right
        return True

    def plain(self, seen: Seen) -> str:
        others = (f" {sign} {grouped(node, ATOM, seen)}" for sign, node in self.rest)
        return grouped(self.first, ATOM, seen) + "".join(others)


@dataclass(frozen=True, slots=True, eq=False)
class Not:
    """`not a`."""

    level: ClassVar[int] = NOT
    kinds: ClassVar[frozenset[str]] = _BOOL
    operand: Node
    source: str

    def value(self, names: Names, seen: Seen) -> bool:
        return not truth(self.operand, self.operand.value(names, seen), "`not` takes")

    def plain(self, seen: Seen) -> str:
        return f"not {claimed(self.operand, NOT, seen)}"


@dataclass(frozen=True, slots=True, eq=False)
class All:
    """`a and b and …`: stops at the first that is false."""

    level: ClassVar[int] = AND
    kinds: ClassVar[frozenset[str]] = _BOOL
    parts: tuple[Node, ...]
    source: str

    def value(self, names: Names, seen: Seen) -> bool:
        return all(truth(part, part.value(names, seen), "`and` takes") for part in self.parts)

    def plain(self, seen: Seen) -> str:
        return " and ".join(claimed(part, NOT, seen) for part in self.parts)


@dataclass(frozen=True, slots=True, eq=False)
class Some:
    """`a or b or …`: stops at the first that is true."""

    level: ClassVar[int] = OR
    kinds: ClassVar[frozenset[str]] = _BOOL
    parts: tuple[Node, ...]
    source: str

    def value(self, names: Names, seen: Seen) -> bool:
        return any(truth(part, part.value(names, seen), "`or` takes") for part in self.parts)

    def plain(self, seen: Seen) -> str:
        return " or ".join(claimed(part, AND, seen) for part in self.parts)


@dataclass(frozen=True, slots=True, eq=False)
class Either:
    """`a if test else b`: only one of the two is worked out."""

    level: ClassVar[int] = EITHER
    test: Node
    then: Node
    otherwise: Node
    source: str

    @property
    def kinds(self) -> frozenset[str]:
        return self.then.kinds | self.otherwise.kinds

    def value(self, names: Names, seen: Seen) -> object:
        chosen = truth(self.test, self.test.value(names, seen), "`if` takes")
        return (self.then if chosen else self.otherwise).value(names, seen)

    def plain(self, seen: Seen) -> str:
        then, test = grouped(self.then, OR, seen), claimed(self.test, OR, seen)
        return f"{then} if {test} else {grouped(self.otherwise, OR, seen)}"


# --- showing -------------------------------------------------------------------------------------


def headline(root: Node, seen: Seen) -> str:
    """How a whole condition is shown: where it is one reference, by its path, for the answer follows anyway."""
    return root.source if isinstance(root, (Path, Element)) else root.plain(seen)


def claimed(node: Node, level: int, seen: Seen) -> str:
    """A part that stands for a bool: a bare `true` would not say what is true, so a reference keeps its path."""
    if isinstance(node, (Path, Element)) and seen[node.slot] is not UNSEEN:
        return f"{node.source}={shown(seen[node.slot])}"
    return grouped(node, level, seen)


def grouped(node: Node, level: int, seen: Seen) -> str:
    """A part with the value that was computed for it, in parentheses where it binds less tightly than `level`."""
    text = node.plain(seen)
    if isinstance(node, (Call, Arithmetic)) and seen[node.slot] is not UNSEEN:
        text = f"({text})" if isinstance(node, Arithmetic) else text
        return f"{text}={shown(seen[node.slot])}"
    return text if node.level >= level else f"({text})"


def _not_finite(source: str, found: float) -> ConditionError:
    word = "NaN" if found != found else shown(found)
    return ConditionError(f"{source} is {word}, and nothing is decided by a number that is not finite")
