"""Files that texts write: their paths as far as they are known before the run, and quarrels over them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.core.workflow import Part, Placeholder, Script, Target, Variable
from penstock.load.env import OF_A_TASK, Variables
from penstock.load.findings import Findings
from penstock.load.paths import relative
from penstock.load.suggest import did_you_mean, lines
from penstock.load.tree import Spelling

_OF_AN_ITEM = frozenset({"item", "i", "key", "origin", "chain"})


@dataclass(frozen=True, slots=True)
class Written:
    """A file that a step writes. `how` is `>`, `>>`, `outputs`, or `item` for a pattern of files, one an item.

    `whole`: it takes all of the step's standard output, so its content is the step's record too.
    """

    step: str
    path: str
    how: str
    spot: int
    width: int
    mapped: bool = False
    whole: bool = False
    piece: int | None = None


def settle(
    script: Script, known: Variables, spelling: Spelling, mapped: bool, folder: Path, findings: Findings
) -> Script:
    """The script with variables and `{{env.X}}` in its targets filled in, and fixed paths in their one spelling.

    In a foreach step the targets that Penstock looks after (appends, one file an item) must be known.
    """
    settled = {id(target): _settle(target, known, folder) for target in script.targets}
    if mapped:
        for target in settled.values():
            _must_be_known(target, known, spelling, findings)
    output = script.output and settled.get(id(script.output), _settle(script.output, known, folder))
    return replace(script, targets=tuple(settled.values()), output=output)


def fixed(target: Target) -> str | None:
    """The path of a settled target, None if it is not the same for all tasks or not known."""
    if target.parts is None or not all(isinstance(part, str) for part in target.parts):
        return None
    return "".join(str(part) for part in target.parts) or None


def quarrels(written: Iterable[Written], file: Path, findings: Findings) -> None:
    """Problems where two steps write one file of which Penstock must know who wrote what."""
    by_path: dict[str, list[Written]] = {}
    for one in written:
        _own_ground(one, file, findings)
        by_path.setdefault(one.path, []).append(one)
    for path, writers in by_path.items():
        appends = [one for one in writers if one.how == ">>"]
        for later in appends[1:]:
            if later.step != appends[0].step:
                _refuse(later, f"`{path}` is appended to by step `{appends[0].step}` too", appends[0], findings)
            elif later.piece != appends[0].piece:
                help = "write its path in the same way each time"
                findings.wrong(later.spot, f"`{path}` is appended to under two spellings", help, width=later.width)
        mapped = next((one for one in appends if one.mapped), None)
        for one in writers:
            if mapped and one.how == ">" and one.step != mapped.step:
                _refuse(one, f"`{path}` is what step `{mapped.step}` appends to, item by item", mapped, findings)


def same_files(targets: Sequence[tuple[str, Target, int]], findings: Findings) -> None:
    """Problems where two steps write one file an item under the same name; (step, target, index in the document)."""
    first: dict[str, str] = {}
    for step, target, spot in targets:
        spelled = posixpath.normpath("".join(map(_spelled, target.parts or ())))
        owner = first.setdefault(spelled, step)
        if owner != step:
            findings.wrong(
                spot,
                f"step `{owner}` writes the same file for each item",
                "of two tasks with one file the second fails; give each step files of its own",
                width=target.width,
            )


def pattern(target: Target) -> str:
    """The path with `*` for what differs from item to item."""
    return "".join(part if isinstance(part, str) else "*" for part in target.parts or ())


def _spelled(part: Part) -> str:
    return part if isinstance(part, str) else f"{part.root}{part.path}" if isinstance(part, Placeholder) else part.name


def _settle(target: Target, known: Variables, folder: Path) -> Target:
    if target.parts is None:
        return target
    parts: list[Part] = []
    for part in target.parts:
        value = _value(part, known)
        if isinstance(value, str) and parts and isinstance(parts[-1], str):
            parts[-1] += value
        else:
            parts.append(value)
    whole = parts[0] if len(parts) == 1 else None
    if isinstance(whole, str) and whole:
        parts = [relative(whole, folder)]
    return replace(target, parts=tuple(parts))


def _value(part: Part, known: Variables) -> Part:
    if isinstance(part, Variable):
        value = known.value(part.name)
        return part if value is None else value
    if isinstance(part, Placeholder) and part.root == "env" and len(part.path) == 1:
        value = known.declared.get(str(part.path[0]))
        return part if value is None else value
    return part


def _must_be_known(target: Target, known: Variables, spelling: Spelling, findings: Findings) -> None:
    spot = spelling.spots[target.offset]
    parts = target.parts or ()
    unknown = next((part.name for part in parts if isinstance(part, Variable)), None)
    roots = {part.root for part in parts if isinstance(part, Placeholder)}
    if unknown is not None:
        if (target.append or target.per_item) and not known.doubtful(unknown):
            _unknown_variable(target, unknown, known, spot, findings)
    elif target.append and target.parts and target.piece is None:
        # Only what the text's analysis gave a piece is kept apart by item; a placeholder in the path gets none.
        help = (
            "Penstock keeps the lines of each item apart and joins them in order, so it must know the file:\n"
            "append to a fixed path (`$NAME` of `env` may stand in it), or write one file an item with `>`"
        )
        what = f"which file `{target.text}` appends to is not known before the run"
        findings.wrong(spot, what, help, width=target.width)
    elif roots and not roots & _OF_AN_ITEM:
        help = "append with >> (tee -a), or give each item a file of its own: put {{i}} or {{key}} in the name"
        findings.wrong(spot, f"each item would overwrite `{target.text}`", help, width=target.width)


def _unknown_variable(target: Target, name: str, known: Variables, spot: int, findings: Findings) -> None:
    near = did_you_mean(name, {*known.declared, *known.environ} - known.secrets)
    message = f"which file `{target.text}` writes is not known before the run: `{name}` is not set"
    help: str | None = f"give it a value: `env: {{{name}: …}}`, or set it where you call penstock"
    if name in known.secrets:
        near, message = None, f"the name of the file `{target.text}` would hold the secret `{name}`"
        help = "use a variable that is no secret"
    elif name in OF_A_TASK:
        near, message = None, f"which file `{target.text}` writes changes with every task: it holds `{name}`"
        help = "write to a fixed path in the workflow's folder"
    findings.wrong(spot, message, lines(near, help), width=target.width)


def _refuse(one: Written, message: str, other: Written, findings: Findings) -> None:
    line = findings.document.place(other.spot).line
    help = f"that is on line {line}; give each step a file of its own, and join them in a later step"
    findings.wrong(one.spot, message, help, width=one.width)


def _own_ground(one: Written, file: Path, findings: Findings) -> None:
    if one.path == file.name:
        findings.wrong(one.spot, "this writes the workflow file itself", "write another file", width=one.width)
    elif one.path.split("/")[0] == ".penstock":
        help = "write elsewhere in the workflow's folder"
        findings.wrong(one.spot, "the folder .penstock is Penstock's own", help, width=one.width)
