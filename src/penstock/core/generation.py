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
    """A model that judges answers by a rubric. `passes` is a condition over `score` and `failures`."""

    models: tuple[Model, ...]
    rubric: Template
    passes: str
    params: tuple[tuple[str, Json], ...] = ()


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
class Generate:
    """A `generate` step: models from cheap to strong, the prompt, the contract. `attempts` is per model, from 1.

    `vars` are templates' own names: a text, or the content of a file. `cache` is use, refresh, only or off. With `mask`
    known key formats are masked in prompts to models elsewhere.
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


@dataclass(frozen=True, slots=True)
class Verify:
    """A `verify` step: the same contract over any stream. Its record is `{"ok", "id", "errors"}`."""

    contract: Contract
    vars: tuple[tuple[str, str], ...] = ()
    cache: str = "use"
    mask: bool = True
