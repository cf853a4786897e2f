"""`env` and `${VAR}`: what a variable's name stands for, known before anything runs.

`${VAR}` stands for an earlier entry, or else for Penstock's own environment; `$${` for a literal `${`.
A lone `$` is a `$`. Values given by `--var` are taken as they are, and later entries see them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from penstock.load import tree
from penstock.load.findings import Findings
from penstock.load.identifiers import VARIABLE
from penstock.load.suggest import did_you_mean, lines
from penstock.load.tree import Scalar
from penstock.rules.placeholders import Found, find

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
OF_A_TASK = frozenset(
    f"PENSTOCK_{word}" for word in ("RUN_ID", "RUN_DIR", "STEP", "I", "ITEM_FILE", "ATTEMPT")
)  # set anew for every task, so never known before the run


@dataclass(frozen=True, slots=True)
class Variables:
    """What is set where a step's text runs: `declared` by the file (None: wrongly), else the environment's.

    `below` are the names that the file declares later, and that cannot be used yet.
    """

    environ: Mapping[str, str]
    secrets: frozenset[str] = frozenset()
    declared: Mapping[str, str | None] = field(default_factory=dict)
    below: frozenset[str] = frozenset()

    def value(self, name: str) -> str | None:
        """The value, None where there is none that can be known before the run."""
        if name in self.declared:
            return self.declared[name]
        if name in self.secrets or name in OF_A_TASK:
            return None
        return self.environ.get(name)

    def doubtful(self, name: str) -> bool:
        """Whether the file declares it, but wrongly: a problem that has been told already."""
        return name in self.declared and self.declared[name] is None

    @property
    def entries(self) -> tuple[tuple[str, str], ...]:
        """The declared entries, in the file's order."""
        return tuple((name, value) for name, value in self.declared.items() if value is not None)


def declare(
    node: tree.Node | None, outer: Variables, findings: Findings, overrides: Mapping[str, str] | None = None
) -> Variables:
    """`outer` and the entries of an `env` mapping, each of which may use what comes before it."""
    overrides = overrides or {}
    known = outer
    entries = node.entries if isinstance(node, tree.Mapping) else ()
    names = [key.text for key, _ in entries]
    for number, (key, value) in enumerate(entries):
        known = replace(known, below=frozenset(names[number:]))
        if key.text in outer.secrets:
            findings.wrong(key, f"`{key.text}` is declared under `secrets` too", "keep one of the two")
        text = overrides[key.text] if key.text in overrides else _entry(value, known, findings)
        known = replace(known, declared={**known.declared, key.text: text})
    _overrides(overrides, known, findings)
    return replace(known, below=frozenset())


def expand(scalar: Scalar, known: Variables, findings: Findings) -> str | None:
    """A scalar's text with its `${VAR}` filled in; None if one cannot be, which is a problem."""
    sound = not _placeholders(scalar, findings)

    def fill(match: re.Match[str]) -> str:
        nonlocal sound
        if match.group() == "$${":
            return "${"
        name, closed = match.group(1), match.group(2)
        value = known.value(name) if closed else None
        if value is None:
            sound = False
            if not known.doubtful(name):
                _unknown(scalar, match, known, findings)
        return value or ""

    text = _REFERENCE.sub(fill, scalar.text)
    return text if sound else None


def _entry(value: tree.Node, known: Variables, findings: Findings) -> str | None:
    if not isinstance(value, Scalar) or not findings.sound(value):
        return None
    return expand(value, known, findings)


def _placeholders(scalar: Scalar, findings: Findings) -> bool:
    """Whether the text has placeholders, each of which is a problem: nobody would fill them in."""
    placed = [found for found in find(scalar.text) if isinstance(found, Found)]
    for found in placed:
        spot = findings.document.spelling(scalar).spots[found.offset]
        help = "here `${NAME}` stands for a variable that is known before the run"
        findings.wrong(spot, "placeholders are filled in `run` texts only", help, width=found.width)
    return bool(placed)


def _unknown(scalar: Scalar, match: re.Match[str], known: Variables, findings: Findings) -> None:
    name, closed = match.group(1), match.group(2)
    literal = "for a literal `${` write `$${`"
    if not closed:
        message, help = "this `${` is never closed", literal
    elif not re.fullmatch(VARIABLE, name):
        message, help = f"`{match.group()}`: only a variable's name can stand between the braces", literal
    elif name in known.secrets:
        message = f"`{name}` is a secret, and its value must not become part of another"
        help = "a step that lists it under its own `secrets` finds it in its environment"
    elif name in known.below:
        message, help = f"`{name}` is declared here or below", "an entry can use those above it, and the environment"
    elif name in OF_A_TASK:
        message, help = f"`{name}` is set anew for every task, so it is not known here", "use it in a `run` text"
    else:
        message = f"`{name}` is set neither above nor in the environment"
        near = did_you_mean(name, {*known.declared, *known.environ} - known.secrets)
        help = near or f"declare it above, as in `{name}: …`, or set it where you call penstock"
    spot = findings.document.spelling(scalar).spots[match.start()]
    findings.wrong(spot, message, help, width=len(match.group()))


def _overrides(overrides: Mapping[str, str], known: Variables, findings: Findings) -> None:
    for name, value in overrides.items():
        if name not in known.declared:
            declared = ", ".join(known.declared) or "none"
            help = lines(did_you_mean(name, known.declared), f"entries of `env` that it can set: {declared}")
            findings.wrong_nowhere(f"--var {name}: the workflow's `env` has no entry `{name}`", help)
        elif "\0" in value:
            findings.wrong_nowhere(f"--var {name}: a value cannot hold a NUL")
