"""The nouns of `generate` and `verify`: templates, the contract, the judge, and what is tried when it is not met."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.core.canon import Json
from penstock.core.errors import Place
from penstock.core.models import Model


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt's text with `{{ … }}` in it. `file` is where it was read from, relative to the workflow's folder;
    None where the text stands in the workflow itself. `at` is where the workflow says it."""

    text: str
    file: str | None
    at: Place


@dataclass(frozen=True, slots=True)
class Schema:
    """A JSON Schema (2020-12): `value` is the parsed document with every file that it refers to put under `$defs`."""

    value: Json
    file: str | None
    at: Place


@dataclass(frozen=True, slots=True)
class Judge:
    """A model that judges answers by a rubric. `passes` is a condition over `score` and `failures`.

    `forced` is the one model that this run asks in place of `models`, where it may see the item.
    """

    models: tuple[Model, ...]
    rubric: Template
    passes: str
    params: tuple[tuple[str, Json], ...] = ()
    forced: Model | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """What an answer must satisfy, tier by tier; `checks` are conditions over `output` and what templates see."""

    schema: Schema | None = None
    checks: tuple[str, ...] = ()
    judge: Judge | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """A rung of `shrink`: the variable is left out (it reads as an empty text)."""

    name: str


@dataclass(frozen=True, slots=True)
class Truncate:
    """A rung of `shrink`: the text at `path` (`item.text`) is cut to its first `to` characters."""

    path: tuple[str | int, ...]
    to: int


Rung = Drop | Truncate


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of `generate.route`: what is asked of whom for items for which `when` holds (None: for all that come).

    What it does not say is the step's. `local`: no model elsewhere sees such an item, its judge included.
    """

    when: str | None
    models: tuple[Model, ...]
    prompt: Template
    system: Template | None = None
    params: tuple[tuple[str, Json], ...] = ()
    local: bool = False


@dataclass(frozen=True, slots=True)
class Generate:
    """A `generate` step: models from cheap to strong, the prompt, the contract. `attempts` is per model, from 1.

    `vars` are templates' own names: a text, or the content of a file. `cache` is use, refresh, only or off. With `mask`
    known key formats are masked in prompts to models elsewhere. `rules` are those of `route`, the first that matches
    wins: where there are any, `models`, `prompt`, `system` and `params` are theirs, and `models` here all that they
    name. `accept_when` is a condition on an answer that meets the contract; where it does not hold, the next model is
    asked. `forced` is the one model that this run asks in place of all others, where it may see the item.
    """

    models: tuple[Model, ...]
    prompt: Template
    contract: Contract
    system: Template | None = None
    vars: tuple[tuple[str, str], ...] = ()
    params: tuple[tuple[str, Json], ...] = ()
    attempts: int = 3
    shrink: tuple[Rung, ...] = ()
    cache: str = "use"
    mask: bool = True
    rules: tuple[Rule, ...] = ()
    accept_when: str | None = None
    forced: Model | None = None


@dataclass(frozen=True, slots=True)
class Verify:
    """A `verify` step: the same contract over any stream. Its record is `{"ok", "id", "errors"}`."""

    contract: Contract
    vars: tuple[tuple[str, str], ...] = ()
    cache: str = "use"
    mask: bool = True
