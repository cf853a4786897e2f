"""A second opinion on a shell text, from tree-sitter-bash: does it parse, and how is each placeholder quoted?

Raw braces parse as errors or as five words, so each placeholder is first replaced by an identifier of as
many bytes. What `shellreader` found is used only where tree-sitter agrees with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

# Only `load` imports this room, and only when a workflow is loaded: nobody else pays for the parser.
import tree_sitter
import tree_sitter_bash

from penstock.core.workflow import Placeholder
from penstock.rules.placeholders import Fault
from penstock.rules.shell.syntax import Quote, Value

_VARIABLE = re.compile(r"\$\w*$", re.ASCII)
_QUOTES = {
    "string": Quote.DOUBLE,
    "raw_string": Quote.SINGLE,
    "ansi_c_string": Quote.ANSI,
    "heredoc_body": Quote.HERE,
    "command_substitution": Quote.BARE,
    "process_substitution": Quote.BARE,
    "comment": None,
}
_UNSEEN = (Quote.SUM, Quote.ANSI, Quote.FIXED)
_HELP = "write it more simply, or move it to a script file that the step calls"


def disagreement(text: str, marks: Mapping[int, Placeholder], values: list[Value]) -> Fault | None:
    """The first place where tree-sitter finds no valid bash, or quotes a placeholder in another way."""
    tree = _parser().parse(_masked(text, marks))
    if tree.root_node.has_error:
        offset = _characters(text, _first_error(tree.root_node))
        line = text[offset:].split("\n")[0].strip()
        shown = f" at `{line[:40]}`" if line else ""
        return Fault(offset, max(1, len(line)), f"Penstock cannot read this part of the text as bash{shown}.", _HELP)
    for value in values:
        at = len(text[: value.start].encode())
        if value.quote not in _UNSEEN and _quote(tree.root_node, at) is not value.quote:
            message = f"Penstock cannot tell how bash reads {value.placeholder.text} here."
            return Fault(value.start, value.end - value.start, message, _HELP)
    return None


@cache
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def _masked(text: str, marks: Mapping[int, Placeholder]) -> bytes:
    """The text with a name of as many bytes for each placeholder; a dot first, where `$name` would swallow it."""
    done, masked = 0, ""
    for start, placeholder in sorted(marks.items()):
        masked += text[done:start]
        width = len(placeholder.text.encode())
        masked += ("." if _VARIABLE.search(masked) else "P") + "p" * (width - 1)
        done = start + len(placeholder.text)
    return (masked + text[done:] + "\n").encode()


def _characters(text: str, offset: int) -> int:
    return min(len(text.encode()[:offset].decode(errors="ignore")), max(0, len(text) - 1))


def _first_error(node: tree_sitter.Node) -> int:
    wrong = [each for each in _every(node) if each.is_error or each.is_missing]
    return min((each.start_byte for each in wrong), default=0)


def _every(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    yield node
    for child in node.children:
        if child.has_error or child.is_missing:
            yield from _every(child)


def _quote(node: tree_sitter.Node, at: int) -> Quote | None:
    """How the byte at that offset is quoted: what the innermost node around it says."""
    found: Quote | None = Quote.BARE
    while True:
        below = next((child for child in node.children if child.start_byte <= at < child.end_byte), None)
        if below is None:
            return found
        found = _QUOTES.get(below.type, found)
        node = below
