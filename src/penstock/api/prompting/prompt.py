"""One prompt to one model, and what comes back: what `penstock call` reads and what it holds an answer to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from penstock.core.calls import Finish, Message, Reply
from penstock.core.canon import Json, compact, parse
from penstock.core.errors import OperatorError, Place, UsageError


@dataclass(frozen=True, slots=True)
class Schema:
    """What the answer must meet: the document, and what it is called."""

    value: Json
    name: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked of whom. `model` is a name of the workflow's `models`, or PROVIDER/MODEL; `params` are the
    author's, by the names that they have in a workflow."""

    model: str
    text: str
    system: str | None = None
    schema: Schema | None = None
    params: tuple[tuple[str, Json], ...] = ()

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turns, as a model step of the same words would have them."""
        system = (Message("system", self.system),) if self.system else ()
        return (*system, Message("user", self.text))


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back: the text, or the JSON where a schema is held to, and who served it.

    `cost_micros`, the tokens and `cached` are None where they are not known; `cut` tells that it ended at its limit.
    """

    text: str
    model: str
    cost_micros: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cached: bool | None = None
    cut: bool = False


def schema_of(path: Path) -> Schema:
    """The schema in a file; UsageError if it holds none."""
    try:
        value = parse(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--schema {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"--schema {path} is not JSON: {error}") from error
    from penstock.rules.json_schema import SchemaFault, compile_schema

    try:
        compile_schema(value)
    except SchemaFault as fault:
        raise UsageError(f"--schema {path}: {fault}") from fault
    return Schema(value, str(path))


def system_of(word: str) -> str:
    """The text, or that of the file which it names by its looks; UsageError if that cannot be read."""
    from penstock.load.named_files import is_path

    if not is_path(word):
        return word
    try:
        return Path(word).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"--system {word}: {error.strerror}", "a text that looks like a path ends with a space"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--system {word} is not UTF-8", "save it as UTF-8") from error


def held_to(prompt: Prompt, reply: Reply) -> str:
    """What is printed of a reply: its text, or with a schema its JSON as it is, less what stands around it.

    OperatorError if it was refused, or does not meet the schema: then with every flaw.
    """
    if reply.finish is Finish.REFUSED:
        raise OperatorError(f"{reply.served} refused: {reply.text.strip()[:300] or 'it does not say why'}")
    if prompt.schema is None:
        return reply.text
    if reply.finish is Finish.LENGTH:
        raise OperatorError(f"the answer of {reply.served} was cut off at its limit", "give a larger --max-tokens")
    from penstock.core.generation import Contract
    from penstock.core.generation import Schema as Held
    from penstock.rules.contract import compile_contract

    held = Held(prompt.schema.value, prompt.schema.name, Place(prompt.schema.name, 1, 1))
    found = compile_contract(Contract(held)).judge(reply.text, {})
    if found.ok:
        return compact(found.value) if found.mended else reply.text
    flaws = "".join(f"\n  {flaw.pointer or '/'}: expected {flaw.expected}, got {flaw.got}" for flaw in found.flaws)
    raise OperatorError(f"the answer of {reply.served} does not meet {prompt.schema.name}:{flaws}")
