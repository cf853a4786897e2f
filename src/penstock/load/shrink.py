"""`shrink`: what is left out of a request that is too long, rung by rung."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from penstock.core.generation import Drop, Rung, Truncate
from penstock.load import tree
from penstock.load.fields import Fields
from penstock.load.findings import Findings
from penstock.load.mentions import Mention
from penstock.load.suggest import did_you_mean, either, lines

_CUT = frozenset({"item", "origin", "chain", "outputs"})
_PATH = re.compile(r"""[^\W\d]\w*(?:\.[^\W\d]\w*|\[\s*(?:\d+|"[^"]*"|'[^']*')\s*\])*""")
_WORD = re.compile(r"""\[\s*(\d+)\s*\]|["']([^"']*)["']|([^\W\d]\w*)""")


@dataclass(slots=True)
class Ladder:
    """Reads the rungs of one step that has `variables`. `mentions` grows by the paths that they cut."""

    variables: Collection[str]
    mapped: bool
    findings: Findings
    mentions: list[Mention] = field(default_factory=list)

    def rungs(self, fields: Fields) -> tuple[Rung, ...]:
        """The rungs that are sound, in the file's order."""
        rungs: list[Rung | None] = []
        for element in fields.elements("shrink"):
            if isinstance(element, tree.Mapping):
                inner = Fields(element, self.findings)
                rungs.append(self._drop(inner) if element.get("drop") else self._truncate(inner))
        return tuple(rung for rung in rungs if rung)

    def _drop(self, fields: Fields) -> Drop | None:
        scalar, to = fields.scalar("drop"), fields.mapping.key("to")
        if to:
            self.findings.wrong(to, "`to` belongs to `truncate`", "remove it, or write `truncate: PATH`")
        if scalar is None:
            return None
        if scalar.text not in self.variables:
            names = either((f"`{name}`" for name in self.variables), "and") if self.variables else "none"
            help = lines(did_you_mean(scalar.text, self.variables), f"only variables can be dropped; there are {names}")
            self.findings.wrong(scalar, f"`vars` has no `{scalar.text}`", help)
        return Drop(scalar.text)

    def _truncate(self, fields: Fields) -> Truncate | None:
        scalar, to = fields.scalar("truncate"), fields.whole("to")
        if scalar and not fields.mapping.get("to"):
            self.findings.wrong(fields.mapping.start, "a `truncate` has no `to`", "add `to: 2000`, in characters")
        if scalar is None or to is None:
            return None
        path = path_of(scalar.text)
        if not path:
            self.findings.wrong(scalar, f"`{scalar.text}` is no path to a text", "write a path such as `item.text`")
            return None
        names = {*self.variables, *(_CUT if self.mapped else {"outputs"})}
        root = str(path[0])
        if root not in names:
            there = f"a path begins with {either(sorted(names))}"
            what = f"there is no `{root}` here: this step has no `foreach`" if root in _CUT else f"there is no `{root}`"
            self.findings.wrong(scalar, what, lines(did_you_mean(root, names), there))
            return None
        spot = self.findings.document.spelling(scalar).spots[0]
        self.mentions.append(Mention(root, path[1:], self.findings.document, spot, len(scalar.text)))
        return Truncate(path, to)


def path_of(text: str) -> tuple[str | int, ...]:
    """`item.a["b c"][0]` in parts; empty if the text is no path."""
    if not _PATH.fullmatch(text):
        return ()
    return tuple(int(match[1]) if match[1] else match[2] or match[3] or "" for match in _WORD.finditer(text))
