"""The nouns of a workflow file, checked: steps, what their texts say, and where their rows come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from penstock.core.approval import Approve
from penstock.core.budgets import Caps
from penstock.core.canon import Json
from penstock.core.errors import Place, Problem
from penstock.core.generation import Contract, Generate, Verify
from penstock.core.models import Model
from penstock.core.routing import Route
from penstock.core.sampling import Sample


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`{{item.a.b}}`: `root` is `item`, `path` is `("a", "b")`, `text` the whole as it is written."""

    root: str
    path: tuple[str | int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A shell variable that a path uses and that the text itself does not assign: it comes from `env`."""

    name: str


Part = str | Placeholder | Variable


@dataclass(frozen=True, slots=True)
class Target:
    """A file that a text redirects to.

    `parts` joined give the path, relative to the workflow's folder; None when it cannot be known
    before the text runs. `piece` is the number of the private piece that an append was rewritten
    to: the text then writes to the file named by the environment variable `PENSTOCK_PIECE_<piece>`.
    `offset` and `width` place it in the source text, in characters.
    """

    parts: tuple[Part, ...] | None
    append: bool
    piece: int | None
    text: str
    offset: int
    width: int

    @property
    def per_item(self) -> bool:
        """Whether the path holds a placeholder, so that each item has a file of its own."""
        return self.parts is not None and any(isinstance(part, Placeholder) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Script:
    """A `run` text, understood: `text` is what the shell is given, with no value in it anywhere.

    `bindings` are the environment variables that carry the values. `output` is the target that
    takes the whole of standard output, if one does. `reads` are the words of the text that are
    literal and may name files (what the text writes excepted).
    """

    source: str
    text: str
    bindings: tuple[tuple[str, Placeholder], ...] = ()
    targets: tuple[Target, ...] = ()
    output: Target | None = None
    reads: tuple[str, ...] = ()

    @property
    def pieces(self) -> tuple[int, ...]:
        """The numbers of the private pieces that the text appends to."""
        return tuple(sorted({target.piece for target in self.targets if target.piece is not None}))


NOTHING = Script("", "")
"""What a step runs that runs no command."""


@dataclass(frozen=True, slots=True)
class Shell:
    """A `run` step: what its text says, and the interpreter's words, e.g. `("bash", "-euo", "pipefail")`."""

    script: Script
    interpreter: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Need:
    """A step that comes before. `accept_skipped`: its being skipped does not skip the dependent."""

    step: str
    accept_skipped: bool = False


@dataclass(frozen=True, slots=True)
class FileSource:
    """Rows of a file. `format` is `jsonl`, `jsonl.gz`, `json` or `csv`."""

    path: str
    format: str


@dataclass(frozen=True, slots=True)
class ListSource:
    """Rows written in the workflow itself: a text is a row as it stands, anything else is one as compact JSON."""

    values: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class StepSource:
    """Records of another step; `branch` is None (accepted and rejected), `accepted`, `rejected`, `failed`, or where
    that is a `route` step one of its branches."""

    step: str
    branch: str | None


Source = FileSource | ListSource | StepSource


@dataclass(frozen=True, slots=True)
class Retry:
    """`attempts` counts the first try. `on` are the kinds of a command's failure that are tried again.

    `kinds` are for model calls: how often a call is tried, the first time included, by what went wrong (`connection`,
    `timeout`, `rate_limit`, `server`, `denied`). What is not there is tried `attempts` times, `denied` once.

    The wait before attempt n+1 is drawn evenly from 0 to min(cap, base * 2**(n-1)) seconds
    ("full jitter": M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """

    attempts: int = 1
    on: tuple[str, ...] = ("exit", "timeout")
    base_s: float = 1.0
    cap_s: float = 60.0
    kinds: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How many items may end `failed` before their step does: a count, or a share of all (0 to 1)."""

    count: int = 0
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One node of the graph. `concurrency` is None where the default of the machine holds.

    `outputs` are (name, path); a path given without a name is named by its stem. `otherwise` is the path to the value
    that stands for the record of an item for which `where` is false (`else`); empty where such an item is skipped.
    `barrier`: it begins when its needs have ended, also the step that it reads from; false for a stream.
    `local`: no model elsewhere sees its items, nor those of steps below that come from them (`placement: local`).
    `gateway`: the model calls that its command makes go through Penstock.
    """

    id: str
    spec: Shell | Generate | Verify | Route | Approve
    at: Place
    needs: tuple[Need, ...] = ()
    foreach: Source | None = None
    where: str | None = None
    otherwise: tuple[str | int, ...] = ()
    when: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    timeout_s: float | None = None
    concurrency: int | None = None
    retry: Retry = Retry()
    cache: bool = False
    inputs: tuple[str, ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()
    max_failures: Tolerance = Tolerance()
    fail_fast: bool = False
    idempotent: bool = True
    keep: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    barrier: bool = True
    budget: Caps | None = None
    local: bool = False
    gateway: bool = True

    @property
    def shell(self) -> Shell | None:
        """What it runs, if it is a `run` step."""
        return self.spec if isinstance(self.spec, Shell) else None

    @property
    def question(self) -> Generate | None:
        """What it asks models, if it asks for answers: its own question, or that of a `route` by a model."""
        if isinstance(self.spec, Route):
            return self.spec.chooser
        return self.spec if isinstance(self.spec, Generate) else None

    @property
    def contract(self) -> Contract | None:
        """What answers, or the items of a `verify`, must meet; None for a step that judges nothing."""
        if isinstance(self.spec, Verify):
            return self.spec.contract
        return self.question.contract if self.question else None

    @property
    def models(self) -> tuple[Model, ...]:
        """Every model that it may ask, its judge's included."""
        judge = self.contract.judge if self.contract else None
        asked = [*(self.question.models if self.question else ()), *(judge.models if judge else ())]
        forced = [one.forced for one in (self.question, judge) if one is not None and one.forced is not None]
        return (*forced, *asked)

    @property
    def asks(self) -> bool:
        """Whether it is carried out by the loop of a model call: `generate`, `verify`, or a `route` by a model."""
        return self.contract is not None

    @property
    def script(self) -> Script:
        """The text that it runs; an empty one if it is no `run` step."""
        return self.spec.script if isinstance(self.spec, Shell) else NOTHING


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a declared secret's value comes from: a shell text that prints it, the keyring's service of that name, or,
    with neither, the environment and `.env`."""

    name: str
    at: Place
    command: str | None = None
    keyring: str | None = None


@dataclass(frozen=True, slots=True)
class OutputName:
    """What a name under `outputs` stands for: `path` is None where it is the step's own record."""

    step: str
    path: str | None


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow that has been checked. `env` is resolved and in the file's order, overrides applied.

    `file` is the path of the workflow, `source` its text. `outputs` maps each name that this
    workflow reads (`X`, or `STEP.NAME`) to what it stands for. `notes` are what `check` mentions.
    `models` are those that it names and those that its steps ask by PROVIDER/MODEL; `cascades` are the names that stand
    for several of them, from cheap to strong. `texts` are the other files that
    loading has read (prompts, schemas), as (path relative to the folder, text): a run's snapshot keeps them.
    `secrets` are the names, `secret_sources` where their values are from. `allow_hosts` are the only hosts at which
    models may be called; None allows all. `sample` is what is tried before the rest, None where all runs at once.
    """

    name: str
    file: Path
    source: str
    steps: tuple[Step, ...]
    description: str = ""
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    outputs: tuple[tuple[str, OutputName], ...] = ()
    notes: tuple[Problem, ...] = ()
    models: tuple[Model, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    budget: Caps | None = None
    secret_sources: tuple[SecretSource, ...] = ()
    allow_hosts: tuple[str, ...] | None = None
    sample: Sample | None = None
    cascades: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def folder(self) -> Path:
        """Where its steps run and its paths begin."""
        return self.file.parent

    @property
    def has_budget(self) -> bool:
        """Whether anything limits what the run, or a step of it, may use."""
        return self.budget is not None or any(step.budget is not None for step in self.steps)

    def step(self, step_id: str) -> Step:
        """The step of that id; KeyError if there is none."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)

    def before(self, step: Step) -> set[str]:
        """The ids of the step's needs, and of theirs."""
        found: set[str] = set()
        waiting = [need.step for need in step.needs]
        while waiting:
            step_id = waiting.pop()
            if step_id not in found:
                found.add(step_id)
                waiting += [need.step for need in self.step(step_id).needs]
        return found
