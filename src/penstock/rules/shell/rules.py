"""Every fault of a shell text that has been read: places where bash would evaluate a value."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from penstock.rules.placeholders import Fault
from penstock.rules.shell.builtins import ARITHMETIC, culprit, refuse, refuse_names, subscripted
from penstock.rules.shell.calls import Literals, Scene, judge
from penstock.rules.shell.forward import forwarding
from penstock.rules.shell.reader import read
from penstock.rules.shell.simple import DECLARING
from penstock.rules.shell.syntax import (
    Assign,
    Compound,
    Function,
    Piece,
    Quote,
    Simple,
    Statement,
    Sum,
    Test,
    Text,
    Use,
    Word,
    assign_parts,
    inner,
    literal,
    parts,
    pieces,
    statements,
)
from penstock.rules.shell.tables import READERS, special
from penstock.rules.shell.taint import Flow, Input
from penstock.rules.shell.words import Unreadable

_SUM_HELP = "calculate in the program that is called, or with expr; only {{i}} and {{attempt}} are sure to be digits"
_DECLARED = "write name={{item}} on its own"


def evaluated(text: str, block: tuple[Statement, ...], flow: Flow, zsh: bool) -> Iterator[Fault]:
    """The faults of a text, not in order."""
    nested = partial(_nested, zsh=zsh)
    scene = Scene(flow, zsh, nested, _literals(block), _filled_before(block, text), forwarding(block))
    typed = _typed(block)
    arrays = _arrays(block)
    for statement in statements(block):
        for part in parts(statement):
            for piece in pieces(part):
                yield from _region(piece, flow)
            if zsh:
                yield from _zsh_subscript(part, flow)
        if isinstance(statement, Simple):
            for assign in (*statement.assigns, *statement.declares):
                yield from _assigned(assign, flow, zsh, typed)
            yield from _declared(statement, flow, arrays, typed)
            yield from judge(statement, scene)
        elif isinstance(statement, Test):
            yield from _tested(statement, flow)
        yield from _filled(statement, flow, zsh, typed)


def _nested(program: str, names: frozenset[str], zsh: bool) -> str | None:
    """What is wrong with the fixed text of a shell inside the text, or None."""
    if not names:
        return None
    try:
        block = read(program, {}).statements
    except Unreadable as error:
        return error.fault.message
    if any(isinstance(each, Function) for each in statements(block)):
        return "it defines a function, which Penstock does not follow."
    flow = Flow(program, block, names, Input.CLEAN)
    return next((fault.message for fault in evaluated(program, block, flow, zsh)), None)


def _region(piece: Piece | Word, flow: Flow) -> Iterator[Fault]:
    if isinstance(piece, Sum) and flow.mentions(piece):
        offset, width, what = culprit(flow, piece)
        if not flow.carries(piece):
            what = f"`{flow.mentioned(piece)}`, which may hold a placeholder's value,"
        yield Fault(offset, width, f"{what} stands in arithmetic, which bash evaluates.", _SUM_HELP)
    if not isinstance(piece, Use):
        return
    shown, width = flow.text[piece.start : piece.end], piece.end - piece.start
    plain = Use(piece.start, piece.end, piece.name, piece.quote)
    if piece.sign == "!" and piece.op not in ("@", "*") and piece.index is None and flow.carries(plain):
        yield Fault(piece.start, width, f"`{shown}` reads the variable that a value names.", "write the name out")
    if piece.op == "@P" and flow.active:
        yield Fault(piece.start, width, f"`{shown}` runs the commands in what it holds.", f'write "${piece.name}"')


def _zsh_subscript(part: Piece | Word, flow: Flow) -> Iterator[Fault]:
    """In zsh `$name[…]` is a subscript; in bash the bracket is text."""
    around = inner(part)
    for at, each in enumerate(around[1:], 1):
        if isinstance(around[at - 1], Use) and isinstance(each, Text) and each.text.startswith("["):
            rest = Word(each.start, part.end, around[at:])
            yield from refuse_names(flow, [rest], "{} stands in a subscript, which zsh evaluates.", _SUM_HELP)


def _assigned(assign: Assign, flow: Flow, zsh: bool, typed: set[str]) -> Iterator[Fault]:
    values = [part for part in assign_parts(assign) if isinstance(part, Word)]
    if special(assign.name, zsh):
        message = f"{{}} would go to `{assign.name}`, which the shell acts on."
        yield from refuse_names(flow, values, message, "use another name")
    elif assign.name in typed:
        help = "declare it without -i and -n"
        yield from refuse_names(flow, values, f"{{}} would go to `{assign.name}`, whose values are evaluated.", help)


def _declared(command: Simple, flow: Flow, arrays: set[str], typed: set[str]) -> Iterator[Fault]:
    """`export name=value` and its like: a value that looks like a list is one, if the name is an array."""
    name = literal(command.words[0]) if command.words else None
    values = [assign.value for assign in command.declares if assign.value]
    elements = [word for assign in command.declares for word in assign.elements or ()]
    if name in ("export", "local", "readonly"):
        options = [literal(word) or "" for word in command.words[1:] if (literal(word) or "").startswith("-")]
        plain = all(option in ("-x", "-r", "-g", "--") for option in options)
        given = [assign for assign in command.declares if assign.name not in typed]
        risky = [assign.value for assign in given if assign.value and (not plain or assign.name in arrays)]
        yield from refuse(flow, risky, f"{{}} stands in the words of `{name}` for an array.", _DECLARED)
    elif name in DECLARING:
        message = f"{{}} stands in the words of `{name}`, which evaluates them."
        risky = values if name in ("integer", "float") else subscripted(values)
        yield from refuse_names(flow, risky, message, _DECLARED)
        yield from refuse(flow, values + elements, message, _DECLARED)


def _tested(test: Test, flow: Flow) -> Iterator[Fault]:
    """`[[ ]]` evaluates the operands of -eq and its kin, the name after -v and -R, and in zsh the number after -t."""
    for at, operator in enumerate(test.words):
        sign = flow.text[operator.start : operator.end]
        number = sign in ARITHMETIC
        if not number and sign not in ("-v", "-R", "-t"):
            continue
        around = test.words[at + 1 : at + 2] + (test.words[at - 1 : at] if number and at else ())
        for word in around:
            if flow.mentions(Sum(word.start, word.end, word.pieces)):
                offset, width, what = culprit(flow, word)
                help = f"{_SUM_HELP}; [ … {sign} … ] evaluates nothing" if number else "compare it: [[ -n $x ]]"
                yield Fault(offset, width, f"{what} stands beside `{sign}` in [[ ]], which bash evaluates.", help)


def _filled(statement: Statement, flow: Flow, zsh: bool, typed: set[str]) -> Iterator[Fault]:
    """Names that a loop, `read` or `printf -v` puts values into, and that the shell acts on."""
    assigns = (*statement.assigns, *statement.declares) if isinstance(statement, Simple) else ()
    for name in set(flow.filled(statement)) - {assign.name for assign in assigns}:
        if special(name, zsh) or name in typed:
            shown = flow.text[statement.start : statement.end].split("\n")[0]
            message = f"a value would go to `{name}`, which the shell acts on."
            yield Fault(statement.start, len(shown), message, "use another name")


def _literals(block: tuple[Statement, ...]) -> Literals:
    """What each variable that the text sets may hold."""
    found: Literals = {}
    for statement in statements(block):
        if isinstance(statement, Compound) and statement.variable:
            for word in statement.words or (None,):
                found.setdefault(statement.variable, []).append((word,) if word and literal(word) else None)
        if not isinstance(statement, Simple):
            continue
        for assign in (*statement.assigns, *statement.declares):
            found.setdefault(assign.name, []).append(_held(assign))
        words = [literal(word) or "" for word in statement.words]
        if words and words[0] in (*READERS, "unset"):
            for named in words[1:]:
                found.setdefault(named, []).append(None)
    return found


def _filled_before(block: tuple[Statement, ...], text: str) -> dict[str, int]:
    """The variables that the text gives fixed words to, without a condition, and where that is done."""
    found: dict[str, int] = {}
    for statement in block:
        conditional = text[: statement.start].rstrip(" \t\n\\").endswith(("&&", "||"))
        if isinstance(statement, Simple) and not statement.words and not conditional:
            for assign in statement.assigns:
                if _held(assign):
                    found.setdefault(assign.name, statement.end)
    return found


def _held(assign: Assign) -> tuple[Word, ...] | None:
    if assign.elements is not None:
        return assign.elements if all(literal(word) is not None for word in assign.elements[:1]) else None
    text = literal(assign.value) if assign.value else ""
    if text is None or assign.index or not assign.value:
        return None
    start, end = assign.value.start, assign.value.end
    return tuple(Word(start, end, (Text(start, end, each, Quote.SINGLE),)) for each in text.split())


def _typed(block: tuple[Statement, ...]) -> set[str]:
    """The variables that are declared as integers or as other names."""
    found: set[str] = set()
    for command in statements(block):
        words = [literal(word) or "" for word in command.words] if isinstance(command, Simple) else []
        if isinstance(command, Simple) and words and words[0] in DECLARING:
            letters = "".join(word for word in words[1:] if word.startswith(("-", "+")))
            if "i" in letters or "n" in letters or words[0] in ("integer", "float"):
                found.update(words[1:], (assign.name for assign in command.declares))
    return found


def _arrays(block: tuple[Statement, ...]) -> set[str]:
    """The variables that are arrays anywhere in the text."""
    found: set[str] = set()
    for command in statements(block):
        if not isinstance(command, Simple):
            continue
        words = [literal(word) or "" for word in command.words]
        every = (*command.assigns, *command.declares)
        found.update(assign.name for assign in every if assign.elements is not None or assign.index)
        if words and (words[0] in READERS or words[0] in DECLARING) and any(word[:1] == "-" for word in words[1:]):
            found.update(words[1:])
    return found
