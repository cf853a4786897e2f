"""What a shell text prints and reads: the file that takes all of standard output, the files it names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.rules.shell.syntax import (
    Assign,
    Function,
    Pipeline,
    Redirect,
    Simple,
    Statement,
    Sub,
    Word,
    literal,
    parts,
    pieces,
    redirects,
    statements,
)
from penstock.rules.shell.targets import WRITING, Written, command_words, is_copy

_SILENT = frozenset(
    ("set", "shopt", "export", "readonly", "declare", "typeset", "local", "unset", "trap", "umask", "ulimit", "shift",
     "exit", "return", ":", "true", "false", "cd", "mkdir", "rm", "rmdir", "cp", "mv", "ln", "touch", "chmod", "sleep",
     "wait", "read", "mapfile", "readarray", "test", "[", "break", "continue")
)  # fmt: skip


def whole_output(block: Sequence[Statement], files: Sequence[Written]) -> Written | None:
    """The one file that `>` sends all of the text's standard output to, if there is one."""
    by_redirect = {id(each.redirect): each for each in files if each.redirect}
    speaking = [statement for statement in block if not _is_silent(statement)]
    if len(speaking) != 1:
        return None
    found = _stdout(speaking[0])
    taken = by_redirect.get(id(found)) if found else None
    return taken if taken and taken.parts and not taken.append and not _leaks(speaking[0]) else None


def literal_words(block: tuple[Statement, ...], files: Sequence[Written]) -> tuple[str, ...]:
    """The words that may name files the text reads: literal, each once, in order, what it writes excepted."""
    targets = {literal(each.word) for each in files}
    found: dict[str, None] = {}
    for statement in statements(block):
        for word in _readable(statement):
            text = literal(word) or ""
            for name in (text, *_inside(text)):
                if name and name not in targets and "\n" not in name and not name.startswith("-"):
                    found[name] = None
    return tuple(found)


def _is_silent(statement: Statement) -> bool:
    """Whether it prints nothing on standard output: it sets names, or sends what it prints to a device."""
    if isinstance(statement, Function):
        return True
    last = statement.stages[-1] if isinstance(statement, Pipeline) else statement
    found = _stdout(last)
    if found and found.word and (is_copy(found) or (literal(found.word) or "").startswith("/dev/")):
        return literal(found.word) not in ("1", "/dev/stdout", "/dev/fd/1")
    words = statement.words if isinstance(statement, Simple) else None
    return words is not None and (not words or (literal(words[0]) in _SILENT and found is None))


def _stdout(statement: Statement) -> Redirect | None:
    """The last redirection of standard output at a statement, or at the end of a pipeline."""
    if isinstance(statement, Pipeline):
        return _stdout(statement.stages[-1])
    found = None
    for redirect in redirects(statement):
        if redirect.op in (*WRITING, ">&") and redirect.fd in ("", "1") and redirect.op != "<>":
            found = redirect
    return found


def _leaks(statement: Statement) -> bool:
    """Whether a `>(…)` in it, or a copy of standard output, prints beside the redirection."""
    stages = statement.stages if isinstance(statement, Pipeline) else (statement,)
    for stage in stages:
        inside = (piece for part in parts(stage) for piece in pieces(part))
        copies = (each for each in redirects(stage) if is_copy(each) and each.fd not in ("", "1", "2"))
        if any(isinstance(piece, Sub) and piece.style == ">(" for piece in inside) or any(copies):
            return True
    return False


def _readable(statement: Statement) -> Iterator[Word]:
    if isinstance(statement, Simple):
        words = command_words(statement.words)
        yield from (word for word in words[:1] if "/" in (literal(word) or ""))
        yield from words[1:-1] if words and literal(words[0]) == "[" else words[1:]
        for assign in (*statement.assigns, *statement.declares):
            yield from _values(assign)
    elif not isinstance(statement, (Pipeline, Function)):
        yield from statement.words
    for redirect in redirects(statement):
        if redirect.word and redirect.op in ("<", "<>"):
            yield redirect.word


def _values(assign: Assign) -> tuple[Word, ...]:
    return (assign.value,) if assign.value else assign.elements or ()


def _inside(text: str) -> tuple[str, ...]:
    """The path in `--schema=path`, `name=path` and `@path`."""
    if text.startswith("@"):
        return (text[1:],)
    name, sign, path = text.partition("=")
    return (path,) if sign and "/" not in name else ()
