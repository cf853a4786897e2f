"""Prompt templates: minijinja, strict. A row's text is data and is never evaluated.

    {{ item.text }}    a text as it is, anything else as compact JSON, numbers as they were written
    {{ item.txt }}     an error that names it, its place and what is meant

There is no escaping, no reading of other files, no Python behind a value (template_values), and an end to every loop.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from minijinja import Environment, TemplateError

from penstock.core.errors import AuthorError, Place, Problem
from penstock.core.generation import Template
from penstock.rules.conditions.values import described, listed, nearest
from penstock.rules.template_tags import NAMES, WRITTEN, other_files, with_written_numbers
from penstock.rules.template_values import FILTERS, NoMethod, Unprintable, lazy, text, view, written

FUEL = 5_000_000
"""How many instructions a template may run: a second or so."""

FUNCTIONS = frozenset({"range", "dict", "namespace", "cycler", "joiner"})
"""The functions that templates have."""

_NAME = "prompt"
_MISSING = re.compile(r"`(.+)` is undefined")
_STEPS = re.compile(r"""\.?([^\W\d]\w*)|\[(-?\d+)\]|\[["'](.*?)["']\]""")


class TemplateFault(AuthorError):
    """A template that cannot be read, or has no text for the values it met. `problem` has the place and the help."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template that can be rendered. `mentions` are the paths that it names, as far as they are plain: `item.a` is
    ("item", "a"); `roots` their first names, which are all that rendering asks for."""

    template: Template
    mentions: frozenset[tuple[str, ...]]
    roots: tuple[str, ...]
    _engine: Environment = field(repr=False, compare=False)


def compile_template(template: Template) -> Prompt:
    """The template, ready to be rendered; TemplateFault if it is none."""
    for tag in other_files(template.text):
        line = template.text.count("\n", 0, tag.offset) + 1
        help = "name the file under `vars`, and write {{ NAME }} where its text belongs"
        raise TemplateFault(_problem(template, line, "a template reads no other template", help))
    engine = Environment(
        undefined_behavior="strict",
        fuel=FUEL,
        finalizer=text,
        auto_escape_callback=_never_escaped,
        filters=FILTERS,
        globals={WRITTEN: written},
        keep_trailing_newline=False,
        pycompat=False,
    )
    engine.remove_global("debug")
    try:
        engine.add_template(_NAME, template.text)
        paths = engine.undeclared_variables_in_template(_NAME, nested=True)
        engine.add_template(_NAME, with_written_numbers(template.text))
    except TemplateError as error:
        raise TemplateFault(_problem(template, error.line or 1, error.detail or error.message)) from None
    mentions = frozenset(tuple(path.split(".")) for path in paths if path.split(".")[0] not in FUNCTIONS)
    return Prompt(template, mentions, tuple(sorted({path[0] for path in mentions})), engine)


def mentioned(prompt: Prompt) -> frozenset[tuple[str, ...]]:
    """The paths that a template names, for checks before anything is rendered. `item["a b"]` counts as `item`."""
    return prompt.mentions


def render(prompt: Prompt, names: Mapping[str, object]) -> str:
    """The text of a prompt for these names; only those that the template mentions are asked for.

    TemplateFault if the template asks for what is not there, prints what is no JSON, or does not end. What a lazy
    name raises goes through.
    """
    views: dict[str, object] = {}
    for root in prompt.roots:
        try:
            views[root] = view(names[root])
        except KeyError:
            continue
    try:
        return prompt._engine.render_template(_NAME, **views, **{NAMES: lazy(names)})
    except TemplateError as error:
        raise TemplateFault(_explained(prompt.template, error, names)) from None
    except Unprintable as error:
        raise TemplateFault(_problem(prompt.template, None, str(error))) from None
    except NoMethod as error:
        help = "a template has filters for that: write {{ value | filter }}"
        raise TemplateFault(_problem(prompt.template, None, f"there is no method {error}", help)) from None


def _never_escaped(name: str) -> bool:
    return False


def _explained(template: Template, error: TemplateError, names: Mapping[str, object]) -> Problem:
    said = error.detail or error.message
    missing = _MISSING.fullmatch(said)
    if missing:
        message, help = _absent(missing[1], names)
        return _problem(template, error.line, message, help, missing[1])
    if error.kind == "OutOfFuel":
        said = f"the template runs for more than {FUEL} instructions; are its loops meant to be so long?"
    return _problem(template, error.line, said)


def _absent(path: str, names: Mapping[str, object]) -> tuple[str, str | None]:
    """What to say of a path that leads nowhere: which part is missing, what is near it, what exists."""
    owner, value = "", object()
    for step in _STEPS.finditer(path):
        name = step[1] or step[3] or ""
        if owner == "" and name not in names:
            close = nearest(name, names)
            return f"there is no name `{name}` here", _hint(close, f"names here: {listed(sorted(names))}")
        if owner and isinstance(value, Mapping) and name not in value:
            close = nearest(name, value)
            return f"`{owner}` has no field `{name}`", _hint(close, f"it is {described(value)}")
        try:
            value = names[name] if owner == "" else value[int(step[2]) if step[2] else name]  # type: ignore[index]  # as the template does
        except (LookupError, TypeError):
            break
        owner = path[: step.end()]
    return f"`{path}` is not there", f"`{owner}` is {described(value)}" if owner else None


def _hint(close: str | None, exists: str) -> str:
    return f"did you mean {close}?\n{exists}" if close else exists


def _problem(
    template: Template, line: int | None, message: str, help: str | None = None, shown: str | None = None
) -> Problem:
    """The problem at a line of the template's file, or at the place in the workflow where its text stands."""
    if template.file is None:
        where = f" (line {line} of the text)" if line and "\n" in template.text.rstrip("\n") else ""
        return Problem(template.at, message + where, help)
    lines = template.text.split("\n")
    source = lines[line - 1] if line and line <= len(lines) else None
    column = source.find(shown) + 1 if source and shown else 1
    width = len(shown) if shown and column > 0 else 1
    return Problem(Place(template.file, line or 1, max(column, 1)), message, help, source, width)
