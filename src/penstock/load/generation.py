"""`generate`, `verify` and `route`: what they ask of which model by which rule, and the contract of answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from penstock.core.canon import Json
from penstock.core.generation import Contract, Generate, Judge, Rule, Schema, Template, Verify
from penstock.core.models import Model
from penstock.core.routing import Branch, Route
from penstock.load import tree
from penstock.load.catalogue import Catalogue
from penstock.load.env import Variables
from penstock.load.fields import Fields
from penstock.load.findings import Findings
from penstock.load.mentions import CALL_NAMES, ITEM_NAMES, JUDGED_NAMES, Mention, of_text, references_in
from penstock.load.metaschema import native
from penstock.load.named_files import named, said
from penstock.load.routing import choices, destination, one_choice, rules
from penstock.load.schemas import Schemas
from penstock.load.shrink import Ladder
from penstock.load.templates import template
from penstock.load.texts import Texts
from penstock.load.tree import Node, Scalar, plain

_OWN = CALL_NAMES | ITEM_NAMES | JUDGED_NAMES | {"output", "vars", "attempt", "signals", "steps"}
_FUNCTIONS = frozenset({"range", "dict", "namespace", "cycler", "joiner", "loop", "caller", "self", "super"})
"""Names that mean something in the language or in templates, and so cannot be those of `vars`."""

_ANSWER = frozenset({"output"})
_ANSWER_AND_SIGNALS = frozenset({"output", "signals"})
_ATTEMPTS = 3
_SET_BY_US = ("model", "messages", "prompt", "system", "stream")


@dataclass(frozen=True, slots=True)
class Sources:
    """What model steps are made of: the models, the files, and what has been read of them."""

    catalogue: Catalogue
    texts: Texts
    schemas: Schemas


@dataclass(frozen=True, slots=True)
class _Question:
    """Whom a step, or a rule of it, asks what."""

    models: tuple[Model, ...] = ()
    prompt: Template | None = None
    system: Template | None = None
    params: tuple[tuple[str, Json], ...] = ()


@dataclass(slots=True)
class Reading:
    """Reads what one step asks. `mentions` grows by what its templates and conditions refer to."""

    sources: Sources
    variables: Variables
    mapped: bool
    findings: Findings
    mentions: list[Mention] = field(default_factory=list)
    _vars: dict[str, str] = field(default_factory=dict)

    def generate(self, fields: Fields) -> Generate | None:
        """A `generate` step; None if something is wrong with what it cannot do without."""
        self._declare(fields.inner("vars"))
        question, contract = self._question(fields), self._contract(fields)
        found = self._rules(fields, question)
        if found:
            models = tuple(dict.fromkeys(model for rule in found for model in rule.models))
            question = replace(question, models=models, prompt=question.prompt or found[0].prompt)
        asked = self._asked(fields, question, contract)
        accept_when = self._condition(fields.scalar("accept_when"), _ANSWER_AND_SIGNALS)
        if asked is None:
            return None
        if accept_when and max(len(each.models) for each in found or [asked]) == 1:
            what = "`accept_when` never has an effect: there is one model, and what the last one answers is accepted"
            self.findings.note(fields.mapping.key("accept_when") or fields.mapping, what, "name a stronger model too")
        scored = any((each.root, each.name) == ("signals", "judge_score") for each in self.mentions)
        if scored and contract.judge is None:
            what = "`signals.judge_score` is null: this step has no `judge`, and null has no order"
            self.findings.note(fields.mapping.key("accept_when") or fields.mapping, what, "add a judge")
        return replace(asked, rules=found, accept_when=accept_when)

    def verify(self, fields: Fields) -> Verify:
        """The step, with as much of the contract as is sound."""
        self._declare(fields.inner("vars"))
        contract = self._contract(fields)
        cache, mask = fields.text("cache") or "use", fields.text("mask") != "off"
        return Verify(contract, tuple(self._vars.items()), cache, mask)

    def route(self, fields: Fields) -> Route | None:
        """A `route` step, of the step's own fields; None if something is wrong with what it cannot do without."""
        chooser = fields.inner("route")
        if chooser:
            return self._chooser(chooser)
        found: list[Branch] = []
        for rule in rules(fields):
            when, to = self._condition(rule.scalar("when")), destination(rule.scalar("to"), self.findings)
            if to:
                found.append(Branch(when, to, local=rule.text("placement") == "local"))
        return Route(tuple(dict.fromkeys(rule.to for rule in found)), tuple(found)) if found else None

    def _chooser(self, fields: Fields) -> Route | None:
        self._declare(fields.inner("vars"))
        branches, listed = choices(fields), fields.node("choices")
        at = self.findings.document.place((listed or fields.mapping).start)
        asked = self._asked(fields, self._question(fields), Contract(Schema(one_choice(branches), None, at)))
        return Route(branches, chooser=asked) if asked and branches else None

    def _asked(self, fields: Fields, question: _Question, contract: Contract) -> Generate | None:
        """The question with the keys that say how it is asked; None if there is nobody to ask, or nothing."""
        ladder = Ladder(self._vars, self.mapped, self.findings)
        shrink = ladder.rungs(fields)
        self.mentions += ladder.mentions
        if not question.models or question.prompt is None:
            return None
        return Generate(
            question.models,
            question.prompt,
            contract,
            question.system,
            vars=tuple(self._vars.items()),
            params=question.params,
            attempts=fields.whole("attempts") or _ATTEMPTS,
            shrink=shrink,
            cache=fields.text("cache") or "use",
            mask=fields.text("mask") != "off",
        )

    def _question(self, fields: Fields, otherwise: _Question = _Question()) -> _Question:
        """What these fields ask; where they do not say it, it is asked as `otherwise`."""
        return _Question(
            self._models(fields) or otherwise.models,
            self._template(fields.scalar("prompt")) or otherwise.prompt,
            self._template(fields.scalar("system")) or otherwise.system,
            tuple({**dict(otherwise.params), **dict(self._params(fields))}.items()),
        )

    def _rules(self, fields: Fields, step: _Question) -> tuple[Rule, ...]:
        """The rules of `generate.route`; what one does not say is the step's."""
        found: list[Rule] = []
        ruled = rules(fields)
        for number, rule in enumerate(ruled, start=1):
            for word in ("model", "prompt"):
                if rule.mapping.get(word) is None and fields.mapping.get(word) is None:
                    what = f"rule {number} of `route` has no `{word}`, and neither has `generate`"
                    help = f"add `{word}: …` to the rule, or beside `route` for all rules"
                    self.findings.wrong(rule.mapping.start, what, help)
            asked, when = self._question(rule, step), self._condition(rule.scalar("when"))
            if asked.models and asked.prompt:
                local = rule.text("placement") == "local"
                found.append(Rule(when, asked.models, asked.prompt, asked.system, asked.params, local))
        self._note_unused(fields, ruled)
        return tuple(found)

    def _note_unused(self, fields: Fields, ruled: tuple[Fields, ...]) -> None:
        for word in ("model", "prompt", "system") if ruled else ():
            key = fields.mapping.key(word)
            if key and all(rule.mapping.get(word) for rule in ruled):
                self.findings.note(key, f"this `{word}` is never used: every rule of `route` has its own", "remove it")

    def _condition(self, scalar: Scalar | None, more: frozenset[str] = frozenset()) -> str | None:
        """The text of a condition over an item, which may speak of `more` names than others."""
        if scalar is None:
            return None
        names = CALL_NAMES | more | (ITEM_NAMES if self.mapped else frozenset())
        self.mentions += of_text(scalar, names, self.findings)
        return scalar.text

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
            meant = self.sources.catalogue.find(scalar)
            twice = next((model.name for model in meant if model.name in found), None)
            if twice is not None:
                also = "" if len(meant) == 1 else f": `{scalar.text}` stands for it too"
                self.findings.wrong(scalar, f"`{twice}` is named twice{also}", "name each model once")
            found |= {model.name: model for model in meant}
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
        checks = [self._condition(check, _ANSWER) for check in fields.scalars("checks")]
        return Contract(self._schema(fields.node("schema")), tuple(filter(None, checks)), self._judge(fields))

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
