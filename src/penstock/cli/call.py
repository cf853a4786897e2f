"""`call`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.api.prompting import asking
from penstock.api.prompting.prompt import Answered, Prompt, schema_of, system_of
from penstock.core.errors import UsageError

if TYPE_CHECKING:
    from penstock.core.views import RunView, StepView
    from penstock.core.work import Outcome


@click.command()
@click.argument("prompt", required=False)
@click.option("--model", metavar="NAME", required=True, help="A name of the workflow's models, or PROVIDER/MODEL.")
@click.option("--system", metavar="TEXT|FILE", help="The system prompt, or the file that holds it.")
@click.option("--schema", type=click.Path(path_type=Path), metavar="FILE", help="The JSON Schema that is to be met.")
@click.option("--max-tokens", type=click.IntRange(1), metavar="N", help="The most that the model may write.")
@click.option("--temperature", type=click.FloatRange(0, 2), metavar="X", help="How freely it writes.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON: text, model, cost, tokens, cached.")
def call(
    prompt: str | None,
    model: str,
    system: str | None,
    schema: Path | None,
    max_tokens: int | None,
    temperature: float | None,
    as_json: bool,
) -> None:
    """Ask a model once, and print what it says.

    The prompt is PROMPT, or standard input, or both: then the input stands below PROMPT. Inside a step of a run the
    call goes through the run's gateway and is charged to the item; outside, it has a run of its own, with the models,
    secrets and budget of the workflow in this folder, if there is one. What was bought once is not bought again.
    """
    params = {"max_tokens": max_tokens, "temperature": temperature}
    asked = Prompt(
        model,
        _prompt(prompt),
        system_of(system) if system is not None else None,
        schema_of(schema) if schema is not None else None,
        tuple((name, value) for name, value in params.items() if value is not None),
    )
    answered = asking.ask(asked, os.environ, _Notes())
    if as_json:
        click.echo(json.dumps(_json(answered), ensure_ascii=False))
    else:
        click.echo(answered.text)
    with suppress(OSError):
        for line in _told(answered):
            click.echo(line, err=True)


def _prompt(word: str | None) -> str:
    """The word, and below it what comes from standard input unless that is a terminal; UsageError if both are empty."""
    given = ""
    if sys.stdin is not None and not sys.stdin.isatty():
        given = sys.stdin.buffer.read().decode("utf-8", "replace").rstrip("\r\n")
    parts = [part for part in (word or "", given) if part.strip()]
    if not parts:
        raise UsageError("there is no prompt", 'write it as a word (`penstock call "…" --model NAME`), or pipe it in')
    return "\n\n".join(parts)


class _Notes:
    """Says what a person should know, on standard error."""

    def begin(self, run: RunView) -> None:
        """Nothing: a run of one call is told of by its answer."""

    def step(self, view: StepView) -> None:
        """Nothing."""

    def outcome(self, outcome: Outcome) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """The text."""
        with suppress(OSError):
            click.echo(text, err=True)


def _told(answered: Answered) -> list[str]:
    """That it was cut off, and what it cost, which the gateway tells where there is one."""
    lines = ["penstock: the answer was cut off at its limit (--max-tokens)"] if answered.cut else []
    if os.environ.get("PENSTOCK_GATEWAY"):
        return lines
    from penstock.cli import show
    from penstock.core.views import Spending

    tokens = f"{answered.tokens_in or 0:,} in, {answered.tokens_out or 0:,} out"
    micros = answered.cost_micros
    spent = Spending(1, micros) if micros is not None else Spending(1, unknown=1)
    cost = "from the cache" if answered.cached else show.money(spent)
    return [*lines, show.printable(f"{answered.model}  {tokens}  {cost}")]


def _json(answered: Answered) -> dict[str, object]:
    micros = answered.cost_micros
    return {
        "text": answered.text,
        "model": answered.model,
        "cost": None if micros is None else micros / 1_000_000,
        "tokens_in": answered.tokens_in,
        "tokens_out": answered.tokens_out,
        "cached": answered.cached,
    }
