"""Placeholders: where `{{item.a.b}}` stands in a text, and the text of the value that it names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from penstock.core import canon
from penstock.core.errors import AuthorError
from penstock.core.workflow import Placeholder

VALUE_LIMIT_BYTES = 120 * 1024
"""The longest value. Linux stops at 128 KiB for one environment string, its name included."""

SUM_LIMIT_BYTES = 512 * 1024
"""The most that the values of one text hold together: they travel twice (environment and
arguments) and macOS gives both 1 MiB."""

_ITEM_ROOTS = ("item", "i", "key", "origin", "chain")
_ROOTS = (*_ITEM_ROOTS, "attempt", "env", "outputs", "run")
_RUN_FIELDS = ("id", "dir")
_LIST = "item item.FIELD i key attempt env.NAME outputs.NAME origin.FIELD chain.STEP run.id run.dir"
_OTHER_WORDS = {
    "index": "i",
    "idx": "i",
    "n": "i",
    "number": "i",
    "row": "item",
    "record": "item",
    "line": "item",
    "value": "item",
    "it": "item",
    "items": "item",
    "id": "key",
    "hash": "key",
    "steps": "outputs",
    "output": "outputs",
    "vars": "env",
    "var": "env",
    "attempts": "attempt",
    "try": "attempt",
    "source": "origin",
}
_BRACES = 'to write the braces themselves, part them: "{""{"'

_OPEN = re.compile(r"\{\{[ \t]*(?=[^\W\d])")
_ROOT = re.compile(r"[^\W\d]\w*")
_STEP = re.compile(r"""\.([^\W\d]\w*)|\[[ \t]*(-?[0-9]+)[ \t]*\]|\["((?:[^"\\\n]|\\.)*)"\]|\['((?:[^'\\\n]|\\.)*)'\]""")
_CLOSE = re.compile(r"[ \t]*\}\}")
_ESCAPE = re.compile(r"\\(.)")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a text, or worth knowing. `offset` and `width` count characters."""

    offset: int
    width: int
    message: str
    help: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A placeholder and where it stands. `offset` and `width` count characters."""

    offset: int
    width: int
    placeholder: Placeholder


class ValueFault(AuthorError):
    """A placeholder has no text for the row it met: the item is `failed`, and this sentence says why."""


def find(text: str, *, foreach: bool = True) -> tuple[Found | Fault, ...]:
    """Every placeholder of a text in order, and a Fault in place of each that is wrong.

    Braces that do not look like a placeholder (`{{ .Names }}`, `{{#if}}`, `{% %}`) are not mentioned.
    Without `foreach` there is no item, and the placeholders that need one are faults.
    """
    found: list[Found | Fault] = []
    at = 0
    while opening := _OPEN.search(text, at):
        hit = _read(text, opening.start(), opening.end(), foreach)
        if hit:
            found.append(hit)
        at = hit.offset + hit.width if hit else opening.start() + 1
    return tuple(found)


def resolve(placeholder: Placeholder, names: Mapping[str, object], item_text: str | None = None) -> str:
    """The text that stands for a placeholder: a string as it is, anything else as compact JSON.

    `names` maps roots to values (`item` parsed, `i` and `attempt` integers, `chain` by step id …).
    `item_text` is the row's exact text, which the bare `{{item}}` gives. ValueFault if there is no such value.
    """
    if placeholder.root == "item" and not placeholder.path and item_text is not None:
        return _sound(placeholder, item_text)
    value = value_of(placeholder, names)
    return _sound(placeholder, value if isinstance(value, str) else canon.compact(value))


def value_of(placeholder: Placeholder, names: Mapping[str, object]) -> object:
    """The value that a placeholder names. ValueFault if there is none."""
    if placeholder.root not in names:
        raise ValueFault(f"{placeholder.text}: there is no `{placeholder.root}` here.")
    value = names[placeholder.root]
    walked = placeholder.root
    for step in placeholder.path:
        value = _field(placeholder, value, step, walked)
        walked += f"[{step}]" if isinstance(step, int) else f".{step}" if _ROOT.fullmatch(step) else f'["{step}"]'
    return value


def check_sizes(values: Mapping[str, str]) -> None:
    """Nothing if these values, by the text of their placeholders, can be environment variables; else ValueFault."""
    instead = "read standard input or $PENSTOCK_ITEM_FILE instead"
    total = 0
    for name, value in values.items():
        if "\0" in value:
            raise ValueFault(f"{name} holds a NUL character, which no variable and no argument can hold; {instead}.")
        size = len(value.encode("utf-8", "surrogatepass"))
        if size > VALUE_LIMIT_BYTES:
            raise ValueFault(f"{name} is {size:,} bytes, and a value may have {VALUE_LIMIT_BYTES:,}; {instead}.")
        total += size
    if total > SUM_LIMIT_BYTES:
        raise ValueFault(f"{', '.join(values)} are {total:,} bytes together, over {SUM_LIMIT_BYTES:,}; {instead}.")


def _read(text: str, start: int, at: int, foreach: bool) -> Found | Fault | None:
    """What stands at an opening `{{` that a name follows, or None if it is somebody else's."""
    name = _ROOT.match(text, at)
    assert name is not None
    root, at = name.group(), name.end()
    path: list[str | int] = []
    while step := _STEP.match(text, at):
        path.append(_step(step))
        at = step.end()
    closing = _CLOSE.match(text, at)
    if not closing:
        return _unclosed(text, start, root, at)
    width = closing.end() - start
    placeholder = Placeholder(root, tuple(path), text[start : closing.end()])
    wrong = _wrong(placeholder, foreach)
    if wrong:
        return Fault(start, width, *wrong)
    if text[start - 1 : start] == "\\":
        escaped = f"\\{placeholder.text} is neither a placeholder nor plain text."
        return Fault(start - 1, width + 1, escaped, f"drop the backslash; {_BRACES}")
    return Found(start, width, placeholder)


def _step(match: re.Match[str]) -> str | int:
    name, number, double, single = match.groups()
    if number is not None:
        return int(number)
    if name is not None:
        return str(name)
    return _ESCAPE.sub(r"\1", double if double is not None else single)


def _unclosed(text: str, start: int, root: str, at: int) -> Fault | None:
    """A fault if this was meant as a placeholder: a known name, or nearly one, and then something else."""
    meant = root if root in _ROOTS else _nearest(root)
    line = text.find("\n", start)
    end = text.find("}}", at, line if line >= 0 else None)
    rest = text[at : at + 1]
    if not meant or (root not in _ROOTS and rest not in (".", "[")):
        return None
    if end < 0:
        if rest != "}" or text[start + 2 : at] != root:
            return None
        return Fault(start, at + 1 - start, f"{text[start : at + 1]} ends with one brace.", "write }}")
    written = text[start : end + 2]
    if rest == "." or rest == "[":
        hint = f'a field with other signs in its name is written {{{{{meant}["a-b"]}}}}, an element {{{{{meant}[0]}}}}'
    else:
        hint = f"a placeholder is a name and its fields, nothing more: {{{{{meant}}}}}; calculate in the command"
    return Fault(start, len(written), f"{written} cannot be read as a placeholder.", hint)


def _wrong(placeholder: Placeholder, foreach: bool) -> tuple[str, str] | None:
    root, path, text = placeholder.root, placeholder.path, placeholder.text
    if root not in _ROOTS:
        near = _nearest(root)
        first = f"did you mean {{{{{near}}}}}? " if near else ""
        return f"{text}: there is no placeholder `{root}`.", f"{first}There are: {_LIST}; {_BRACES}"
    if root in _ITEM_ROOTS and not foreach:
        return f"{text}: this step has no `foreach`, so there is no item.", "add `foreach:` to the step"
    if root in ("i", "key", "attempt") and path:
        return f"{text}: `{root}` has no fields.", f"write {{{{{root}}}}}"
    if root == "env" and not (len(path) == 1 and isinstance(path[0], str)):
        return f"{text}: `env` is read by one name.", "write {{env.NAME}}"
    if root == "run" and not (len(path) == 1 and path[0] in _RUN_FIELDS):
        return f"{text}: `run` has `id` and `dir`.", "write {{run.id}} or {{run.dir}}"
    if root in ("outputs", "chain") and not (path and isinstance(path[0], str)):
        what = "a step or a file" if root == "outputs" else "a step"
        return f"{text}: `{root}` is read by the name of {what}.", f"write {{{{{root}.NAME}}}}"
    return None


def _nearest(root: str) -> str | None:
    word = root.casefold()
    if word in _OTHER_WORDS:
        return _OTHER_WORDS[word]
    return next(iter(get_close_matches(word, _ROOTS, 1, 0.6)), None)


def _field(placeholder: Placeholder, value: object, step: str | int, walked: str) -> object:
    """One step of a path. A field of a dict or an element of a list, and never a Python attribute."""
    if isinstance(step, int):
        if not isinstance(value, list):
            raise ValueFault(f"{placeholder.text}: {walked} is {_kind(value)}, not a list.")
        if not -len(value) <= step < len(value):
            raise ValueFault(f"{placeholder.text}: {walked} has {len(value)} elements, and no [{step}].")
        return value[step]
    if not isinstance(value, Mapping):
        raise ValueFault(f"{placeholder.text}: {walked} is {_kind(value)}, not an object, so it has no `{step}`.")
    if step not in value:
        names = [str(name) for name in value]
        near = get_close_matches(step, names, 1, 0.6)
        meant = f"; did you mean `{near[0]}`?" if near else "."
        raise ValueFault(f"{placeholder.text}: {walked} has no `{step}`, only {_listed(names)}{meant}")
    return value[step]


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - 20} more" if len(shown) > 20 else ""
    return (", ".join(f"`{name}`" for name in shown[:20]) or "nothing") + more


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    kinds = {Mapping: "an object", list: "a list", str: "text"}
    return next((word for kind, word in kinds.items() if isinstance(value, kind)), "a number")


def _sound(placeholder: Placeholder, text: str) -> str:
    if "\0" in text:
        check_sizes({placeholder.text: text})
    if _SURROGATE.search(text):
        raise ValueFault(f"{placeholder.text} holds a lone surrogate (\\ud800 to \\udfff), which is no character.")
    return text
