"""Condition text → parts: Python's grammar through `ast`, of which a whitelist is let in.

Nothing of the text is ever run by Python. Python reads it, and what is not known here by name is refused with a
sentence that says what to write. Three things are done to the text before: line breaks become spaces, a field
named by a Python keyword (`item.class`) is masked, for Python would refuse it, and what Python would let pass
in silence is refused: comments, two texts side by side, escapes that are none. Lengths stay, so places hold.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from penstock.core.errors import ConditionError
from penstock.rules.conditions.functions import FUNCTIONS, Function, path_segments
from penstock.rules.conditions.nodes import (
    All,
    Arithmetic,
    Call,
    Compare,
    Either,
    Element,
    Elements,
    Literal,
    Negative,
    Node,
    Not,
    Path,
    Some,
)
from penstock.rules.conditions.operators import operands_of
from penstock.rules.conditions.text import ExpressionError, masked, syntax_slip
from penstock.rules.conditions.values import in_words, nearest, path_text

_DEEPEST = 64
_ALL_FUNCTIONS = f"the functions are {', '.join(FUNCTIONS)}"
_MAKE_NUMBER = "number(text) makes a number of a text"
_LITERALS = {"true": True, "false": False, "null": None}

_ARITHMETIC = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%"}
_COMPARISONS = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_INSTEAD: dict[type[ast.AST], tuple[str, str]] = {
    ast.Is: ("`is` is not part of the language", "write =="),
    ast.IsNot: ("`is not` is not part of the language", "write !="),
    ast.Pow: ("`**` is not part of the language", "write x * x"),
    ast.BitAnd: ("`&` is not part of the language", "write and"),
    ast.BitOr: ("`|` is not part of the language", "write or"),
    ast.BitXor: ("`^` is not part of the language", "write !="),
    ast.LShift: ("`<<` is not part of the language", "to compare, write <"),
    ast.RShift: ("`>>` is not part of the language", "to compare, write >"),
    ast.MatMult: ("`@` is not part of the language", "to multiply, write *"),
    ast.Invert: ("`~` is not part of the language", "write not"),
    ast.Lambda: ("a condition makes no functions", _ALL_FUNCTIONS),
    ast.ListComp: ("a condition has no loops", "len, min, max and sum take a whole list; `in` looks into one"),
    ast.JoinedStr: ("a condition has no f-strings", "join texts with +"),
    ast.NamedExpr: ("`:=` is not part of the language", "to compare, write =="),
    ast.Starred: ("`*` has nothing to spread here", "write the elements one by one"),
    ast.Set: ("a list is written in [ ], and a name without {{ }}", 'write ["a", "b"], or item.x'),
    ast.Slice: ("an index is one name or one number", 'for how a text begins, write matches(text, "^abc")'),
    ast.Await: ("`await` is not part of the language", "write the name alone"),
    ast.Yield: ("`yield` is not part of the language", "write the name alone"),
}
_INSTEAD[ast.SetComp] = _INSTEAD[ast.DictComp] = _INSTEAD[ast.GeneratorExp] = _INSTEAD[ast.ListComp]
_INSTEAD[ast.YieldFrom] = _INSTEAD[ast.Yield]
_METHODS = {
    "lower": "lower({0})",
    "upper": "upper({0})",
    "casefold": "lower({0})",
    "get": 'get({0}, "field", default)',
    "startswith": 'matches({0}, "^…")',
    "endswith": 'matches({0}, "…$")',
    "match": 'matches({0}, "…")',
    "contains": '"…" in {0}',
    "includes": '"…" in {0}',
    "count": "len({0})",
    "length": "len({0})",
    "size": "len({0})",
    "split": "words({0})",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """`outputs.route_summary.accept_rate` is `Reference("outputs", ("route_summary", "accept_rate"))`.

    The path has the constant subscripts too and stops before one that is computed. `offset` and `width`
    place it in the text, in characters.
    """

    root: str
    path: tuple[str | int, ...]
    offset: int = field(default=0, compare=False)
    width: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition, understood: its parts, how many slots an evaluation needs, and what it refers to, in order."""

    root: Node
    slots: int
    references: tuple[Reference, ...]


@lru_cache(maxsize=4096)
def parse(text: str) -> Expression:
    """The parts of a condition. ExpressionError if it is not one, whatever names there will be."""
    readable = masked(text)
    try:
        tree = ast.parse(f"({readable})", mode="eval").body
    except SyntaxError as error:
        raise syntax_slip(text, readable, error) from None
    except (RecursionError, MemoryError):
        raise ExpressionError("the condition is nested too deeply", 0, len(text), "split it in two steps") from None
    builder = _Builder(text, readable)
    root = builder.build(tree)
    builder.require_bool(root, tree, "a condition is")
    return Expression(root, builder.slots, tuple(builder.references.values()))


class _Builder:
    """Walks Python's tree once, from the outside in. `references` are by the slot that holds their value."""

    def __init__(self, text: str, readable: str) -> None:
        self.text = re.sub(r"[\r\n\t]", " ", text)
        self.bytes = f"({readable})".encode()
        self.slots = 0
        self.depth = 0
        self.references: dict[int, Reference] = {}

    def build(self, tree: ast.expr) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error(tree, "the condition is nested too deeply", "split it in two steps")
        node = self.part(tree)
        self.depth -= 1
        return node

    def part(self, tree: ast.expr) -> Node:
        match tree:
            case ast.Constant():
                return self.constant(tree)
            case ast.Name():
                return self.name(tree)
            case ast.Attribute() | ast.Subscript():
                return self.element(tree)
            case ast.List() | ast.Tuple():
                return self.elements(tree)
            case ast.Dict():
                return self.object(tree)
            case ast.Call():
                return self.call(tree)
            case ast.BinOp():
                return self.arithmetic(tree)
            case ast.UnaryOp():
                return self.unary(tree)
            case ast.Compare():
                return self.compare(tree)
            case ast.BoolOp():
                return self.joined(tree)
            case ast.IfExp():
                test, then, otherwise = self.build(tree.test), self.build(tree.body), self.build(tree.orelse)
                self.require_bool(test, tree.test, "`if` takes")
                return Either(test, then, otherwise, self.source(tree))
        raise self.refused(tree, tree)

    # --- values

    def constant(self, tree: ast.Constant) -> Node:
        found = tree.value
        if isinstance(found, (bytes, complex)) or found is Ellipsis:
            raise self.error(tree, "this is no JSON value", "write a number, a text, true, false, null or a list")
        if isinstance(found, float) and not math.isfinite(found):
            raise self.error(tree, "this number is too large", "numbers go up to about 1.8e308")
        if isinstance(found, str) and any("\ud800" <= letter <= "\udfff" for letter in found):
            raise self.error(tree, "a lone surrogate is no character", "write the character itself")
        return Literal(self.source(tree), found)

    def name(self, tree: ast.Name) -> Node:
        name = self.source(tree)
        if name in _LITERALS:
            return Literal(name, _LITERALS[name])
        if name in FUNCTIONS:
            raise self.error(tree, f"{name} is a function", f"write {FUNCTIONS[name].usage}")
        return self.path(tree, name, (), self.slot())

    def path(self, tree: ast.expr, root: str, steps: tuple[str | int, ...], slot: int) -> Path:
        offset, width = self.span(tree)
        self.references[slot] = Reference(root, steps, offset, width)
        return Path(root, steps, path_text(root, steps), slot)

    def element(self, tree: ast.Attribute | ast.Subscript) -> Node:
        owner = self.build(tree.value)
        step = self.step(tree)
        if isinstance(owner, Literal):
            raise self.error(tree, "a constant has no fields", "fields are those of a name: item.x")
        if not step.kinds & {"text", "number"}:
            said = f"an index is a name or a number, and this is {in_words(step.kinds)}"
            raise self.error(tree, said, 'write item["a"] or item[0]')
        if isinstance(owner, Path) and isinstance(step, Literal) and isinstance(step.constant, (str, int)):
            return self.path(tree, owner.root, (*owner.steps, step.constant), owner.slot)
        return Element(owner, step, self.source(tree), self.slot())

    def step(self, tree: ast.Attribute | ast.Subscript) -> Node:
        if isinstance(tree, ast.Subscript):
            return self.build(tree.slice)
        # From the text and not from the tree, where the name is masked or normalised: 점수 written in
        # jamo is another field than 점수 in syllables.
        name = self.source(tree).rsplit(".", 1)[1].strip()
        return Literal(f'"{name}"', name)

    def elements(self, tree: ast.List | ast.Tuple) -> Node:
        parts = tuple(self.build(element) for element in tree.elts)
        constants = [part.constant for part in parts if isinstance(part, Literal)]
        if len(constants) == len(parts):
            return Literal(self.source(tree), constants)
        return Elements(parts, self.source(tree))

    def object(self, tree: ast.Dict) -> Node:
        found: dict[str, object] = {}
        for name, value in zip(tree.keys, tree.values, strict=True):
            name_part = self.build(name) if name else None
            part = self.build(value)
            if not isinstance(name_part, Literal) or not isinstance(name_part.constant, str):
                raise self.error(tree, "the names in an object are texts", 'write {"a": 1}')
            if not isinstance(part, Literal):
                raise self.error(value, "an object is written with constants only", "compare its fields one by one")
            found[name_part.constant] = part.constant
        return Literal(self.source(tree), found)

    # --- functions

    def call(self, tree: ast.Call) -> Node:
        name, function = self.function(tree)
        if tree.keywords:
            raise self.error(tree.keywords[0].value, "arguments have no names here", f"write {function.usage}")
        arguments = tuple(self.build(argument) for argument in tree.args)
        miscounted = function.miscounted(len(arguments))
        if miscounted:
            raise self.error(tree, f"{name} {miscounted}", f"write {function.usage}")
        for position, (argument, part) in enumerate(zip(tree.args, arguments, strict=True)):
            self.check_argument(name, function, position, argument, part)
        if function.takes_from_first:
            self.lengthen(name, arguments)
        return Call(name, function, arguments, self.source(tree), self.slot())

    def function(self, tree: ast.Call) -> tuple[str, Function]:
        if isinstance(tree.func, ast.Attribute):
            owner, method = self.source(tree.func).rsplit(".", 1)
            instead = _METHODS.get(method.strip(), "").format(owner.strip())
            help = f"write {instead}" if instead else _ALL_FUNCTIONS
            raise self.error(tree, f"values have no methods: .{method.strip()}()", help)
        if not isinstance(tree.func, ast.Name):
            raise self.error(tree.func, "only a function is called", _ALL_FUNCTIONS)
        name = self.source(tree.func)
        if name not in FUNCTIONS:
            close = nearest(name, FUNCTIONS)
            hint = f"did you mean {close}?\n" if close else ""
            raise self.error(tree.func, f"there is no function {name}", f"{hint}{_ALL_FUNCTIONS}")
        return name, FUNCTIONS[name]

    def check_argument(self, name: str, function: Function, position: int, tree: ast.expr, part: Node) -> None:
        wanted = function.kinds_at(position)
        if not part.kinds & wanted:
            said = f"{name} takes {in_words(wanted)}, and this is {in_words(part.kinds)}"
            raise self.error(tree, said, f"write {function.usage}")
        if position == 1 and function.check_second and isinstance(part, Literal):
            try:
                function.check_second(part.constant)
            except ConditionError as error:
                raise self.error(tree, str(error), f"write {function.usage}") from None

    def lengthen(self, name: str, arguments: tuple[Node, ...]) -> None:
        """`get(outputs.a, "b.c", 0)` refers to outputs.a.b.c: whoever resolves names should know."""
        owner, path = arguments[:2]
        if isinstance(owner, Path) and isinstance(path, Literal):
            steps = path_segments(path.constant) if name == "get" else [str(path.constant)]
            known = self.references[owner.slot]
            self.references[owner.slot] = Reference(known.root, (*known.path, *steps), known.offset, known.width)

    # --- operators

    def arithmetic(self, tree: ast.BinOp) -> Node:
        sign = _ARITHMETIC.get(type(tree.op))
        if sign is None:
            raise self.refused(tree, tree.op)
        left, right = self.build(tree.left), self.build(tree.right)
        for side, part in ((tree.left, left), (tree.right, right)):
            if not part.kinds & operands_of(sign):
                raise self.error(side, f"`{sign}` takes numbers, and this is {in_words(part.kinds)}", _MAKE_NUMBER)
        if not left.kinds & right.kinds & operands_of(sign):
            said = f"`{sign}` takes two of one kind, and these are {in_words(left.kinds)} and {in_words(right.kinds)}"
            raise self.error(tree, said, _MAKE_NUMBER)
        return Arithmetic(sign, left, right, self.source(tree), self.slot())

    def unary(self, tree: ast.UnaryOp) -> Node:
        operand = self.build(tree.operand)
        if isinstance(tree.op, ast.Not):
            self.require_bool(operand, tree.operand, "`not` takes")
            return Not(operand, self.source(tree))
        if not isinstance(tree.op, ast.USub):
            raise self.refused(tree, tree.op)
        if "number" not in operand.kinds:
            raise self.error(tree, f"`-` takes a number, and this is {in_words(operand.kinds)}", _MAKE_NUMBER)
        if isinstance(operand, Literal) and isinstance(operand.constant, (int, float)):
            return Literal(self.source(tree), -operand.constant)
        return Negative(operand, self.source(tree), self.slot())

    def compare(self, tree: ast.Compare) -> Node:
        parts = [self.build(part) for part in (tree.left, *tree.comparators)]
        signs = [_COMPARISONS.get(type(sign)) for sign in tree.ops]
        if None in signs:
            raise self.refused(tree, tree.ops[signs.index(None)])
        known = [sign for sign in signs if sign]
        for left, sign, right in zip(parts, known, parts[1:], strict=False):
            said = _never(left.kinds, sign, right.kinds)
            if said:
                raise self.error(tree, said, f"both sides are of one type; {_MAKE_NUMBER}")
        return Compare(parts[0], tuple(zip(known, parts[1:], strict=True)), self.source(tree))

    def joined(self, tree: ast.BoolOp) -> Node:
        word = "and" if isinstance(tree.op, ast.And) else "or"
        parts = tuple(self.build(part) for part in tree.values)
        for part, value in zip(parts, tree.values, strict=True):
            self.require_bool(part, value, f"`{word}` takes")
        return All(parts, self.source(tree)) if word == "and" else Some(parts, self.source(tree))

    def require_bool(self, part: Node, tree: ast.expr, taker: str) -> None:
        if "bool" not in part.kinds:
            said = f"{taker} true or false, and this is {in_words(part.kinds)}"
            comma = "a comma makes a list of it; a number has none inside"
            raise self.error(tree, said, comma if isinstance(tree, ast.Tuple) else f"compare it: {part.source} == …")

    # --- places

    def slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def span(self, tree: ast.expr) -> tuple[int, int]:
        """Where a part stands in the text, in characters; Python counts bytes, from the parenthesis put before."""
        start = len(self.bytes[: tree.col_offset].decode()) - 1
        end = len(self.bytes[: tree.end_col_offset].decode()) - 1
        return max(start, 0), max(min(end, len(self.text)) - max(start, 0), 1)

    def source(self, tree: ast.expr) -> str:
        start, width = self.span(tree)
        return self.text[start : start + width]

    def error(self, tree: ast.expr, message: str, help: str) -> ExpressionError:
        return ExpressionError(message, *self.span(tree), help)

    def refused(self, tree: ast.expr, what: ast.AST) -> ExpressionError:
        unknown = ("this is not part of the language", "compare values of names: item.x > 0.5")
        return self.error(tree, *_INSTEAD.get(type(what), unknown))


def _never(left: Iterable[str], sign: str, right: Iterable[str]) -> str | None:
    """Why such a comparison can have no answer, whatever the values; None if it can."""
    one, other = frozenset(left), frozenset(right)
    if sign in ("in", "not in"):
        if not other & {"text", "list", "object"}:
            return f"`in` looks into a list, an object or a text, and this is {in_words(other)}"
        possible = "list" in other or "text" in one
    elif sign in ("==", "!="):
        possible = bool(one & other) or "null" in one | other
    else:
        for kinds in (one, other):
            if not kinds & {"number", "text"}:
                return f"`{sign}` compares numbers or texts, and this is {in_words(kinds)}"
        possible = bool(one & other & {"number", "text"})
    return None if possible else f"`{sign}` between {in_words(one)} and {in_words(other)} has no answer"
