"""`approve`: what a person is asked and shown, and how long there is to answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from penstock.core.approval import Approve
from penstock.load.env import Variables, expand
from penstock.load.fields import Fields
from penstock.load.findings import Findings
from penstock.load.foreach import Branches
from penstock.load.mentions import Mention
from penstock.load.named_files import said
from penstock.load.paths import Located, is_pattern, relative
from penstock.load.shapes import seconds
from penstock.load.templates import template
from penstock.load.texts import Texts
from penstock.load.tree import Scalar

_STEP = re.compile(r"steps\.([^./]+)(\..*)?", re.DOTALL)


@dataclass(slots=True)
class Asking:
    """Reads one step's `approve`. `mentions` grows by what its message refers to and the steps that it shows,
    `files` by the paths that it shows."""

    texts: Texts
    variables: Variables
    branches: Branches
    findings: Findings
    mentions: list[Mention] = field(default_factory=list)
    files: list[tuple[str, Scalar]] = field(default_factory=list)

    def approve(self, fields: Fields) -> Approve | None:
        """The step; None if something is wrong with its message."""
        scalar = fields.scalar("message")
        text = said(scalar, self.variables, self.texts, self.findings) if scalar else None
        shown = tuple(dict.fromkeys(what for one in fields.scalars("show") if (what := self._shown(one))))
        timeout_s = self._timeout(fields)
        if scalar is None or text is None:
            return None
        message, mentions = template(scalar, text, None, False, self.findings)
        self.mentions += mentions
        return Approve(message, shown, timeout_s, fields.text("on_timeout") or "reject", fields.text("notify"))

    @property
    def located(self) -> Located:
        """The files that it shows, each with the node that says it."""
        return tuple(self.files)

    def _shown(self, scalar: Scalar) -> str | None:
        """What one entry of `show` is called from here on: `steps.ID`, or a path."""
        filled = expand(scalar, self.variables, self.findings)
        if filled is None:
            return None
        match = _STEP.fullmatch(filled)
        if match and (match[1] in self.branches or not match[2]):
            return self._records(scalar, match[1], match[2])
        path = relative(filled, self.texts.folder)
        if is_pattern(path):
            self.findings.wrong(
                scalar, f"`{path}` is no file: a pattern is not filled in here", "name each file, or their folder"
            )
            return None
        self.files.append((path, scalar))
        return f"./{path}" if path.startswith("steps.") else path

    def _records(self, scalar: Scalar, step: str, rest: str | None) -> str | None:
        if rest:
            help = f"write `steps.{step}`; a part of it can stand in the message: `{{{{ outputs.{step}… }}}}`"
            self.findings.wrong(scalar, f"`show` takes the records of a step whole, not `steps.{step}{rest}`", help)
            return None
        spot = self.findings.document.spelling(scalar).spots[0]
        self.mentions.append(Mention("steps", (step,), self.findings.document, spot, len(scalar.text)))
        return f"steps.{step}"

    def _timeout(self, fields: Fields) -> float | None:
        scalar, on_timeout = fields.scalar("timeout"), fields.mapping.key("on_timeout")
        if scalar is None:
            if on_timeout and fields.node("on_timeout") and fields.mapping.get("timeout") is None:
                what = "`on_timeout` says what holds when the time is up, and there is no `timeout`"
                self.findings.note(on_timeout, what, "add `timeout: 24h`, or remove it")
            return None
        timeout_s = seconds(scalar.text)
        if timeout_s == 0:
            self.findings.wrong(scalar, "`timeout` is no time at all", "leave it out for no limit")
        return timeout_s
