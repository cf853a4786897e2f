"""The text of `run` as its author sees it.

YAML folds the lines of a plain value (and of `>`, `'…'`) into one, joined by a space; so a backslash that
ends a line, which bash would take as "goes on below", comes out before a space, and bash would make an
argument of that space. Here it joins the lines after all, as it does in a script.
"""

from __future__ import annotations

from penstock.load.findings import Findings
from penstock.load.tree import Scalar, Spelling

_FOLDED = ("", "'", ">")


def run_text(scalar: Scalar, findings: Findings) -> Spelling:
    """The shell text with the way back to the file; joined lines are noted."""
    spelling = findings.document.spelling(scalar)
    if scalar.style not in _FOLDED:
        return spelling
    for offset in reversed(_joins(spelling, findings)):
        findings.note(
            spelling.spots[offset],
            "YAML folds this line and the next into one; the backslash joins them as in a script",
            "below `|` the text reaches the shell as it stands",
        )
        spaced = spelling.text[offset - 1 : offset] in (" ", "\t")
        spelling = spelling.without(offset, offset + 2 if spaced else offset + 1)
    return spelling


def _joins(spelling: Spelling, findings: Findings) -> list[int]:
    """Offsets of the backslashes that end a line of the file and are folded; within '…' bash keeps them."""
    text, spots = spelling.text, spelling.spots
    joins, quote, offset = [], "", 0
    while offset < len(text):
        letter = text[offset]
        if letter == "\\" and quote != "'":
            if text[offset + 1 : offset + 2] == " " and _ends_line(spots[offset], findings):
                joins.append(offset)
            offset += 2
            continue
        if letter in "'\"" and quote in ("", letter):
            quote = "" if quote else letter
        offset += 1
    return joins


def _ends_line(spot: int, findings: Findings) -> bool:
    place = findings.document.place(spot)
    return not findings.document.line(place.line)[place.column :].strip()
