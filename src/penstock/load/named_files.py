"""A value that is a text, or names the file that holds it: which of the two, and the text.

A value is a path if it is one line without white space and braces, and either has a `/` in it or ends as prompts
do (.md .txt .j2 .jinja .prompt). An address (`https://…`) is no path. All else is the text itself, and so is whatever
stands below `|`, for that ends with a line break. What lies in the folder has no say in this, so that a path
which is misspelled is an error and never a prompt of one word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock.load.env import Variables, expand
from penstock.load.findings import Findings
from penstock.load.paths import relative
from penstock.load.suggest import lines
from penstock.load.texts import Texts, Unreadable
from penstock.load.tree import Document, Scalar

_ENDINGS = (".md", ".txt", ".j2", ".jinja", ".prompt")
_NO_PATH = re.compile(r"\s|\{\{|\{%|\{#|://")
_TEXT_HELP = "a text that looks like a path stands below `|`"


@dataclass(frozen=True, slots=True)
class Said:
    """A text and where its characters stand: in the file of that path, or, where it is None, in the workflow."""

    text: str
    file: str | None
    document: Document
    spots: tuple[int, ...] | None = None

    def spot(self, offset: int) -> int:
        """The index in `document` of a character of the text."""
        offset = min(offset, len(self.text))
        return self.spots[offset] if self.spots else offset


def is_path(text: str) -> bool:
    """Whether a value names a file, by its looks alone."""
    return not _NO_PATH.search(text) and ("/" in text or text.lower().endswith(_ENDINGS))


def said(scalar: Scalar, variables: Variables, texts: Texts, findings: Findings) -> Said | None:
    """The text that a value gives, None if it names a file that cannot be read, which is a problem."""
    if not is_path(scalar.text):
        return Said(scalar.text, None, findings.document, findings.document.spelling(scalar).spots)
    path = named(scalar, variables, texts, findings, _TEXT_HELP)
    return Said(texts.document(path).source, path, texts.document(path)) if path else None


def named(
    scalar: Scalar, variables: Variables, texts: Texts, findings: Findings, help: str | None = None
) -> str | None:
    """The path of a file that has been read, None where it cannot be, which is a problem with this help."""
    filled = expand(scalar, variables, findings)
    if filled is None:
        return None
    path = relative(filled, texts.folder)
    try:
        texts.document(path)
    except Unreadable as fault:
        findings.wrong(scalar, fault.message, lines(fault.help, help))
        return None
    return path
