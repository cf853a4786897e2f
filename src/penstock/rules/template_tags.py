"""The tags of a template's text: those that are not allowed, and those that print numbers as they were written."""

from __future__ import annotations

import re
from dataclasses import dataclass

WRITTEN = "__written"
NAMES = "__names"
"""What the rewritten text calls: template_values.written, and the mapping of all names."""

_CODE = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^"'])*?"""
_TAG = re.compile(
    rf"""
      \{{\#.*?\#\}}
    | \{{%[-+]?\s*raw\s*[-+]?%\}}.*?\{{%[-+]?\s*endraw\s*[-+]?%\}}
    | (?P<open>\{{\{{[-+]?)(?P<printed>{_CODE})(?P<close>[-+]?\}}\}})
    | \{{%[-+]?\s*(?P<word>\w+){_CODE}[-+]?%\}}
    """,
    re.VERBOSE | re.DOTALL,
)
_STEP = r"""\.[^\W\d]\w*|\[\s*(?:"[^"\\]*"|'[^'\\]*'|-?\d+|[^\W\d]\w*(?:\.[^\W\d]\w*)*)\s*\]"""
_PATH = re.compile(rf"\s*(?P<owner>(?P<root>[^\W\d]\w*)(?:{_STEP})*?)(?P<step>{_STEP})?\s*")
_OTHER_FILES = frozenset({"include", "import", "from", "extends"})


@dataclass(frozen=True, slots=True)
class OtherFile:
    """A tag that would read another template. `offset` and `width` count characters."""

    word: str
    offset: int
    width: int


def other_files(text: str) -> tuple[OtherFile, ...]:
    """Every tag that would read a template from somewhere else."""
    tags = (tag for tag in _TAG.finditer(text) if tag["word"] in _OTHER_FILES)
    return tuple(OtherFile(tag["word"], tag.start(), len(tag[0])) for tag in tags)


def with_written_numbers(text: str) -> str:
    """The template with every `{{ path }}` so that a float at that path is printed as it was written.

    minijinja turns `1.10` into a float and prints `1.1`. Lines stay where they are. A number that passes through an
    operator, a filter or a loop over bare numbers is printed as its value.
    """
    return _TAG.sub(_rewritten, text)


def _rewritten(tag: re.Match[str]) -> str:
    path = _PATH.fullmatch(tag["printed"] or "")
    if not path:
        return tag[0]
    owner, step = path["owner"], path["step"]
    if step is None:
        owner, step = NAMES, f'"{path["root"]}"'
    else:
        step = f'"{step[1:]}"' if step.startswith(".") else step[1:-1]
    whole = path[0].strip()
    lines = "\n" * (path[0].count("\n") - whole.count("\n"))
    return f"{tag['open']} {WRITTEN}({whole}, {owner}, {step}) if {whole} is float else {whole}{lines} {tag['close']}"
