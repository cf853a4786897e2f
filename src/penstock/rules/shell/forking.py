"""Whether a bash text could tell a shell that was forked for it from one that was started for it.

A forked shell is quicker to have, and is allowed only where nobody can see a difference: in what the text prints, in
its exit status, in what its programs are given. So the question is asked conservatively: what is allowed is listed,
and whatever is not has a reason to be started the long way. A reason is never an error.

What a forked shell has in common with a started one, and what this file therefore need not look for, is held by
`tests/kinds/test_forking_alike.py`, which runs its texts in both ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from penstock.rules.shell.reader import read
from penstock.rules.shell.syntax import Function, Simple, Statement, Use, Word, literal, parts, pieces, statements
from penstock.rules.shell.words import Unreadable


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALIKE = _names(
    ": true false echo printf test [ read cd pwd local readonly export unset shift exit return break continue "
    "mapfile readarray wait umask"
)
"""Builtins that do the same in both; some of them only without certain words (`_odd_words`)."""
OTHER_BUILTINS = _names(
    ". alias bg bind builtin caller command compgen complete compopt declare dirs disown enable eval exec fc fg "
    "getopts hash help history jobs kill let logout popd pushd set shopt source suspend times trap type typeset "
    "ulimit unalias"
)
WATCHERS = _names("fuser killall lsof pgrep pidof pkill ps pstree setsid top")
"""Programs that look at processes by their parents, sessions or words, which differ."""
SHELLS_OWN = re.compile(
    r"\b(?:BASH\w*|COPROC|DIRSTACK|EPOCH\w+|FUNCNAME|HIST\w+|LINENO|OPTIND|OPTARG|OPTERR|PPID|PS4|RANDOM|SECONDS"
    r"|SHELLOPTS|SHLVL|SRANDOM|TIMEFORMAT|TMOUT|MAILCHECK|POSIXLY_CORRECT)\b|/proc\b|/dev/fd"
)
"""Names by which a shell tells of itself. They are looked for as words of the text, since bash reads names in many
places that are no expansion: `read SECONDS`, `[[ -v RANDOM ]]`, arithmetic."""
UNFIT = re.compile(r"BASH.*|SHELLOPTS|POSIXLY_CORRECT|TMOUT|SECONDS|GLOBIGNORE|FUNCNEST|IFS|PS4")
"""Names of an environment by which bash itself does something else, our own loop included."""

LOCALE = re.compile(r"C|POSIX|.*\.utf-?8(?:@.*)?", re.IGNORECASE)


@lru_cache(maxsize=256)
def told_apart(text: str) -> str | None:
    """Why this text must have a shell that was started for it; None if it cannot tell a forked one from that."""
    if "\0" in text or "\r" in text or "{{" in text:
        return "it is not plain text"
    own = SHELLS_OWN.search(text)
    if own:
        return f"it names {own.group()}"
    try:
        block = read(text, {}).statements
    except Unreadable as error:
        return error.fault.message
    found = statements(block)
    functions = frozenset(each.name for each in found if isinstance(each, Function))
    if functions & (ALIKE | OTHER_BUILTINS):
        return "a function has the name of a builtin"
    for reason in _reasons(found, functions):
        return reason
    return _in_place(block, functions)


def unfit(environment: Mapping[str, str]) -> str | None:
    """The first variable with which a shell that forks cannot be used; None if there is none.

    Values are read as characters, so the locale's must be bytes or UTF-8.
    """
    for name in environment:
        if UNFIT.fullmatch(name):
            return name
    locale = next((name for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), None)
    return locale if locale and not LOCALE.fullmatch(environment[locale]) else None


def _reasons(found: Iterable[Statement], functions: frozenset[str]) -> Iterator[str]:
    for statement in found:
        for part in parts(statement):
            for piece in pieces(part):
                if isinstance(piece, Use) and (piece.name in ("$", "!", "_", "-", "0") or piece.sign == "!"):
                    yield f"it uses ${piece.sign}{piece.name}"
                if isinstance(piece, Use) and piece.op.startswith("@"):
                    yield f"it uses ${{{piece.name}{piece.op}}}"
        if isinstance(statement, Simple) and statement.words:
            yield from _of_command(statement, functions)


def _of_command(command: Simple, functions: frozenset[str]) -> Iterator[str]:
    name = literal(command.words[0])
    if name is None:
        yield "a command's name is known only when it runs"
    elif name in OTHER_BUILTINS and not _is_plain_set(name, command.words[1:]):
        yield f"`{name}` knows its shell"
    elif name.rpartition("/")[2] in WATCHERS:
        yield f"`{name}` looks at processes"
    elif name in ALIKE and _odd_words(name, command):
        yield f"`{name}` with these words knows its shell"


def _is_plain_set(name: str, words: tuple[Word, ...]) -> bool:
    return name == "set" and bool(words) and literal(words[0]) in ("--", "-e", "+e", "-u", "+u", "-f", "+f")


def _odd_words(name: str, command: Simple) -> bool:
    """Whether a builtin that is alike otherwise lists what the shell has, or names a job."""
    words = [literal(word) for word in command.words[1:]]
    if name in ("export", "readonly", "local"):
        return any(word is None or word.startswith("-") for word in words) or not (words or command.declares)
    if name == "wait":
        return bool(words)
    if name in ("test", "["):
        return "-t" in words or "-o" in words
    if name == "cd":
        return "-" in words
    return name in ("read", "mapfile", "readarray") and any(
        word is None or word[:2] in ("-e", "-i", "-C", "-u") for word in words
    )


def _in_place(block: tuple[Statement, ...], functions: frozenset[str]) -> str | None:
    """A program that is the last command takes the place of a shell that was started with `-c`, and not of one that
    evaluates its text: what a signal does to it is told in another way."""
    last = block[-1] if block else None
    if not isinstance(last, Simple) or not last.words:
        return None
    name = literal(last.words[0])
    if name in ALIKE or name in functions or name == "set":
        return None
    return f"`{name}`, its last command, takes its shell's place"
