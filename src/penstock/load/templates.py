"""Prompts, systems and rubrics: compiled for their errors, and held against the names that there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from penstock.core.generation import Template
from penstock.load.findings import Findings
from penstock.load.mentions import CALL_NAMES, ITEM_NAMES, Mention
from penstock.load.named_files import Said
from penstock.load.suggest import did_you_mean, lines
from penstock.load.tree import Scalar

_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_BY_NAME = frozenset({"outputs", "chain", "env"})


def template(
    scalar: Scalar, said: Said, variables: Iterable[str] | None, mapped: bool, findings: Findings
) -> tuple[Template, tuple[Mention, ...]]:
    """The template that a value of the workflow gives, and what it mentions.

    `variables` are the names of `vars`, None where there can be neither `vars` nor items. A text that is no template,
    and a name that does not exist, are problems.
    """
    made = Template(said.text, said.file, findings.document.place(scalar.start))
    inside = findings.within(said.document)
    known = {*CALL_NAMES, *(variables or ()), *(ITEM_NAMES if mapped else ())}
    mentions = []
    for path in _paths(made, said, inside):
        if path[0] not in known:
            offset, width = _place(said.text, path[:1])
            unknown = _unknown(path[0], known) if variables is not None else _unknown_to_a_person(path[0], known)
            inside.wrong(said.spot(offset), *unknown, width=width)
            continue
        offset, width = _place(said.text, path)
        mentions.append(Mention(path[0], path[1:], said.document, said.spot(offset), width))
    return made, tuple(mentions)


def _paths(made: Template, said: Said, inside: Findings) -> list[tuple[str, ...]]:
    """The names that a template asks for, with their fields; none if it is no template, which is a problem."""
    from penstock.rules.prompts import TemplateFault, compile_template  # 18 ms, for those who have a template

    try:
        # With a file named, a fault has its line within the text, wherever the text stands.
        compiled = compile_template(Template(made.text, made.file or "", made.at))
    except TemplateFault as fault:
        problem = fault.problem
        spot = said.spot(_begin_of_line(said.text, problem.place.line if problem.place else 1))
        message = problem.message if problem.help else f"this is no template: {problem.message}"
        inside.wrong(spot, message, problem.help, width=len(said.text))
        return []
    found = [one for path in compiled.mentions for one in _by_name(made.text, path)]
    return sorted(dict.fromkeys(found))


def _by_name(text: str, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The path, or in place of a mere `outputs` those that are written `outputs["my-step"]`."""
    if len(path) > 1 or path[0] not in _BY_NAME:
        yield path
        return
    quoted = re.compile(rf"""(?<![\w.]){path[0]}\s*\[\s*(?:"([^"]*)"|'([^']*)')\s*\]((?:\s*\.\s*[^\W\d]\w*)*)""")
    tags = [tag.group() for tag in _TAG.finditer(text)]
    for match in (match for tag in tags for match in quoted.finditer(tag)):
        fields = re.findall(r"\w+", match.group(3))
        yield (path[0], match.group(1) or match.group(2) or "", *fields)
    if any(_reading(path).search(tag) for tag in tags):
        yield path


def _unknown(root: str, known: set[str]) -> tuple[str, str | None]:
    if root in ITEM_NAMES:
        return f"there is no `{root}` here: this step has no `foreach`", "add `foreach:` to the step"
    there = f"names here: {', '.join(sorted(known))}"
    own = f"for a text of your own: `vars: {{{root}: …}}`"
    return f"there is no name `{root}` here", lines(did_you_mean(root, known), there, own)


def _unknown_to_a_person(root: str, known: set[str]) -> tuple[str, str | None]:
    there = f"names here: {', '.join(sorted(known))}"
    if root in ITEM_NAMES:
        return f"there is no `{root}` here: a person is asked once, about the whole", there
    return f"there is no name `{root}` here", lines(did_you_mean(root, known), there)


def _begin_of_line(text: str, line: int) -> int:
    """The index of what a line, counted from 1, begins with."""
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1 or len(text)
    end = text.find("\n", start)
    rest = text[start : end if end >= 0 else len(text)]
    return start + len(rest) - len(rest.lstrip())


def _place(text: str, path: tuple[str, ...]) -> tuple[int, int]:
    """Offset and width of the first place in a tag that reads this path, or the most of it that can be found."""
    for length in range(len(path), 0, -1):
        for tag in _TAG.finditer(text):
            found = _reading(path[:length]).search(text, tag.start() + 2, tag.end() - 2)
            if found:
                return found.start(), found.end() - found.start()
    return 0, 1


def _reading(path: tuple[str, ...]) -> re.Pattern[str]:
    """Finds where a tag reads a path; of `outputs` alone, where no plain name follows it."""
    first, *others = map(re.escape, path)
    fields = (rf"""(?:\s*\.\s*{word}\b|\s*\[\s*["']{word}["']\s*\])""" for word in others)
    alone = r"""(?!\s*\.|\s*\[\s*["'])""" if not others and first in _BY_NAME else ""
    return re.compile(rf"(?<![\w.]){first}\b{''.join(fields)}{alone}")
