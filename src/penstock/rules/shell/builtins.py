"""The faults of three builtins whose words are data in some places only: `test`, `printf` and `set`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from penstock.rules.placeholders import Fault
from penstock.rules.shell.syntax import Piece, Sum, Value, Word, inner, literal
from penstock.rules.shell.taint import Flow, is_open

UNARY = frozenset(f"-{letter}" for letter in "abcdefghknoprsuwxzGLNOS")
BINARY = frozenset(("=", "==", "!=", "<", ">", "=~", "-nt", "-ot", "-ef", "-eq", "-ne", "-lt", "-le", "-gt", "-ge"))
ARITHMETIC = frozenset(("-eq", "-ne", "-lt", "-le", "-gt", "-ge"))
_PLAIN_FORMAT = re.compile(r"(?:[^%]|%[sbq%])*", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def culprit(flow: Flow, part: Piece | Word) -> tuple[int, int, str]:
    """Offset, width and name of what carries a value in a word: the placeholder, or the variable."""
    for piece in inner(part):
        if flow.carries(piece):
            return culprit(flow, piece)
    width = part.end - part.start
    if isinstance(part, Value):
        return part.start, width, f"`{part.placeholder.text}`"
    shown = flow.text[part.start : part.end]
    what = f"`{shown}`, which may hold a placeholder's value," if width <= 40 and "\n" not in shown else "this text"
    return part.start, width, what


def refuse(flow: Flow, words: Sequence[Word], message: str, help: str) -> Iterator[Fault]:
    """A fault for each word that carries a value; the first `{}` of the message is what carries it."""
    for word in words:
        if flow.carries(word):
            offset, width, what = culprit(flow, word)
            yield Fault(offset, width, message.replace("{}", what, 1), help)


def refuse_names(flow: Flow, words: Sequence[Word], message: str, help: str) -> Iterator[Fault]:
    """As `refuse`, and also a fault for a word that spells a variable with a value where arithmetic would read it."""
    for word in words:
        name = flow.mentioned(Sum(word.start, word.end, word.pieces))
        if not flow.carries(word) and name:
            what = f"`{name}`, which may hold a placeholder's value,"
            yield Fault(word.start, word.end - word.start, message.replace("{}", what, 1), help)
    yield from refuse(flow, words, message, help)


def subscripted(words: Sequence[Word]) -> list[Word]:
    """The words that may be the name of an array's element."""
    return [word for word in words if "[" in (literal(word, patterns=True) or "")]


def testing(words: Sequence[Word], flow: Flow, zsh: bool) -> Iterator[Fault]:
    """`test` and `[`, by how many words they have: POSIX says what one to four mean, and no more."""
    split = [word for word in words if is_open(word) and flow.carries(word)]
    yield from refuse(flow, split, "{} would be several words of a test.", "quote it")
    texts = [literal(word) for word in words]
    known = _known_test(texts)
    if {"-v", "-R", "-t"}.intersection(texts):
        message = "{} stands in the operand of a test that evaluates it."
        yield from refuse_names(flow, words if zsh else subscripted(words), message, 'compare it: [ -n "$x" ]')
    if not split and (not known or (zsh and set(texts) & ARITHMETIC)):
        message = "what this test makes of {} depends on the value."
        help = 'write tests of one operator each: [ {{item}} = a ] && [ -n "$x" ]; numbers: case or the program called'
        yield from refuse(flow, words, message, help)


def _known_test(texts: Sequence[str | None]) -> bool:
    if len(texts) in (2, 4) and texts[0] == "!":
        return _known_test(texts[1:])
    if len(texts) == 2:
        return texts[0] in UNARY
    if len(texts) == 3:
        return texts[1] in BINARY or (texts[0] == "!" and texts[1] in UNARY)
    return len(texts) < 2


def printing(words: Sequence[Word], flow: Flow, zsh: bool) -> Iterator[Fault]:
    """`printf`: the format must be fixed, and so must a name after -v."""
    rest = list(words)
    if rest and literal(rest[0]) == "-v":
        if len(rest) > 1 and not _NAME.fullmatch(literal(rest[1]) or ""):
            yield from refuse_names(flow, rest[:2], "{} would name a variable for printf.", "write the name out")
        rest = rest[2:]
    if rest and literal(rest[0]) == "--":
        rest = rest[1:]
    help = "write printf '%s\\n' {{item}}"
    yield from refuse(flow, rest[:1], "{} would be the format of printf.", help)
    if rest and (is_open(rest[0]) or (zsh and not _PLAIN_FORMAT.fullmatch(literal(rest[0]) or "%"))):
        yield from refuse(flow, rest[1:], "what printf makes of {} depends on its format.", help)


def setting(words: Sequence[Word], flow: Flow) -> Iterator[Fault]:
    """`set`: values come after `--` only."""
    texts = [literal(word) for word in words]
    before = words[: texts.index("--")] if "--" in texts else words
    yield from refuse(flow, before, "{} could be an option of the shell.", "write set -- {{item}}")
