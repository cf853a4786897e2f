"""`generate` and `verify`: what they ask of which model, and the contract that answers must meet."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from penstock.core.canon import Json
from penstock.core.generation import Contract, Drop, Generate, Judge, Rung, Schema, Template, Truncate, Verify
from penstock.core.models import Model
from penstock.load import tree
from penstock.load.catalogue import Catalogue
from penstock.load.env import Variables
from penstock.load.fields import Fields
from penstock.load.findings import Findings
from penstock.load.mentions import CALL_NAMES, ITEM_NAMES, JUDGED_NAMES, Mention, of_text, references_in
from penstock.load.metaschema import native
from penstock.load.named_files import named, said
from penstock.load.schemas import Schemas
from penstock.load.suggest import did_you_mean, either, lines
from penstock.load.templates import template
from penstock.load.texts import Texts
from penstock.load.tree import Node, Scalar, plain

_OWN = CALL_NAMES | ITEM_NAMES | JUDGED_NAMES | {"output", "vars", "attempt", "signals", "steps"}
_FUNCTIONS = frozenset({"range", "dict", "namespace", "cycler", "joiner", "loop", "caller", "self", "super"})
"""Names that mean something in the language or in templates, and so cannot be those of `vars`."""

_CUT = frozenset({"item", "origin", "chain", "outputs"})
_PATH = re.compile(r"""[^\W\d]\w*(?:\.[^\W\d]\w*|\[\s*(?:\d+|"[^"]*"|'[^']*')\s*\])*""")
_WORD = re.compile(r"""\[\s*(\d+)\s*\]|["']([^"']*)["']|([^\W\d]\w*)""")

_ATTEMPTS = 3
_SET_BY_US = ("model", "messages", "prompt", "system", "stream")


@dataclass(frozen=True, slots=True)
class Sources:
    """What model steps are made of: the models, the files, and what has been read of them."""

    catalogue: Catalogue
    texts: Texts
    schemas: Schemas


@dataclass(slots=True)
class Reading:
    """Reads one step's `generate` or `verify`. `mentions` grows by what its templates and conditions refer to."""

    sources: Sources
    variables: Variables
    mapped: bool
    findings: Findings
    mentions: list[Mention] = field(default_factory=list)
    _vars: dict[str, str] = field(default_factory=dict)

    def generate(self, fields: Fields) -> Generate | None:
        """The step; None if something is wrong with what it cannot do without."""
        self._declare(fields.inner("vars"))
        models, prompt = self._models(fields), self._template(fields.scalar("prompt"))
        system, contract = self._template(fields.scalar("system")), self._contract(fields)
        params, shrink = self._params(fields), self._shrink(fields)
        if not models or prompt is None:
            return None
        return Generate(
            models,
            prompt,
            contract,
            system,
            vars=tuple(self._vars.items()),
            params=params,
            attempts=fields.whole("attempts") or _ATTEMPTS,
            shrink=shrink,
            cache=fields.text("cache") or "use",
            mask=fields.text("mask") != "off",
        )

    def verify(self, fields: Fields) -> Verify:
        """The step, with as much of the contract as is sound."""
        self._declare(fields.inner("vars"))
        contract = self._contract(fields)
        cache, mask = fields.text("cache") or "use", fields.text("mask") != "off"
        return Verify(contract, tuple(self._vars.items()), cache, mask)

    def _declare(self, fields: Fields | None) -> None:
        """`vars`: texts, or what is in the files that they name."""
        for key, value in fields.mapping.entries if fields else ():
            if key.text in _OWN | _FUNCTIONS:
                what = f"`{key.text}` has a meaning of its own in templates and conditions"
                self.findings.wrong(key, what, "give the variable another name")
            if not isinstance(value, Scalar) or not self.findings.sound(value):
                text = None
            else:
                text = said(value, self.variables, self.sources.texts, self.findings)
            self._vars[key.text] = text.text if text else ""

    def _models(self, fields: Fields) -> tuple[Model, ...]:
        found: dict[str, Model] = {}
        for scalar in fields.scalars("model"):
            model = self.sources.catalogue.find(scalar)
            if model and model.name in found:
                self.findings.wrong(scalar, f"`{model.name}` is named twice", "name each model once")
            elif model:
                found[model.name] = model
        return tuple(found.values())

    def _template(self, scalar: Scalar | None, *more: str) -> Template | None:
        """The template of a value, which may speak of `more` names than others."""
        text = said(scalar, self.variables, self.sources.texts, self.findings) if scalar else None
        if scalar is None or text is None:
            return None
        made, mentions = template(scalar, text, (*self._vars, *more), self.mapped, self.findings)
        self.mentions += mentions
        return made

    def _contract(self, fields: Fields) -> Contract:
        names = CALL_NAMES | {"output"} | (ITEM_NAMES if self.mapped else frozenset())
        checks = fields.scalars("checks")
        for check in checks:
            self.mentions += of_text(check, names, self.findings)
        return Contract(self._schema(fields.node("schema")), tuple(one.text for one in checks), self._judge(fields))

    def _schema(self, node: Node | None) -> Schema | None:
        if isinstance(node, tree.Mapping):
            return self.sources.schemas.of_mapping(node)
        if not isinstance(node, Scalar):
            return None
        if not node.text.lower().endswith(".json"):
            help = "or write the schema itself as a mapping: `schema: {type: object, …}`"
            self.findings.wrong(node, f"`{node.text}`: a schema is read from a `.json` file", help)
            return None
        path = named(node, self.variables, self.sources.texts, self.findings)
        return self.sources.schemas.of_file(path, node) if path else None

    def _judge(self, fields: Fields) -> Judge | None:
        inner = fields.inner("judge")
        if inner is None:
            return None
        models, passes = self._models(inner), inner.scalar("pass")
        rubric = self._template(inner.scalar("rubric"), "output")
        params = self._params(inner)
        if passes:
            references_in(passes, JUDGED_NAMES, self.findings)
        if not models or rubric is None or passes is None:
            return None
        return Judge(models, rubric, passes.text, params)

    def _params(self, fields: Fields) -> tuple[tuple[str, Json], ...]:
        inner = fields.inner("params")
        entries = inner.mapping.entries if inner else ()
        for key, _ in entries:
            if key.text in _SET_BY_US:
                what = f"`{key.text}` is no parameter: Penstock sets it in each request"
                self.findings.wrong(key, what, "remove it; `model`, `system` and `prompt` stand beside `params`")
        return tuple((key.text, native(plain(value))) for key, value in entries)

    def _shrink(self, fields: Fields) -> tuple[Rung, ...]:
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
        if scalar.text not in self._vars:
            names = either((f"`{name}`" for name in self._vars), "and") if self._vars else "none"
            help = lines(did_you_mean(scalar.text, self._vars), f"only variables can be dropped; there are {names}")
            self.findings.wrong(scalar, f"`vars` has no `{scalar.text}`", help)
        return Drop(scalar.text)

    def _truncate(self, fields: Fields) -> Truncate | None:
        scalar, to = fields.scalar("truncate"), fields.whole("to")
        if scalar and not fields.mapping.get("to"):
            self.findings.wrong(fields.mapping.start, "a `truncate` has no `to`", "add `to: 2000`, in characters")
        if scalar is None or to is None:
            return None
        path = _path(scalar.text)
        if not path:
            self.findings.wrong(scalar, f"`{scalar.text}` is no path to a text", "write a path such as `item.text`")
            return None
        names = {*self._vars, *(_CUT if self.mapped else {"outputs"})}
        root = str(path[0])
        if root not in names:
            there = f"a path begins with {either(sorted(names))}"
            what = f"there is no `{root}` here: this step has no `foreach`" if root in _CUT else f"there is no `{root}`"
            self.findings.wrong(scalar, what, lines(did_you_mean(root, names), there))
            return None
        spot = self.findings.document.spelling(scalar).spots[0]
        self.mentions.append(Mention(root, path[1:], self.findings.document, spot, len(scalar.text)))
        return Truncate(path, to)


def _path(text: str) -> tuple[str | int, ...]:
    """`item.a["b c"][0]` in parts; empty if the text is no path."""
    if not _PATH.fullmatch(text):
        return ()
    return tuple(int(match[1]) if match[1] else match[2] or match[3] or "" for match in _WORD.finditer(text))
