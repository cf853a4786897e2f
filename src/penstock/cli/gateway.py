"""`gateway`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click

from penstock.api import serving
from penstock.cli import show
from penstock.core.calls import Call
from penstock.core.errors import OperatorError
from penstock.core.states import RunState, exit_status
from penstock.core.views import Options, RunView, Spending, StepView
from penstock.core.work import Outcome


@click.command()
@click.argument("workflow", type=click.Path(path_type=Path), required=False)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Listen there; any that is free otherwise."
)
@click.option("--env", "as_file", is_flag=True, help="Print NAME=VALUE lines, as env files have them.")
@click.option("--simulate", is_flag=True, help="Rehearse: the simulator answers in place of every model.")
@click.option("--cache", type=click.Choice(["use", "refresh", "only", "off"]), help="How bought answers are used.")
@click.option("--json", "as_json", is_flag=True, help="Print two lines of JSON: the variables; at the end, the run.")
@click.option("--quiet", is_flag=True, help="Tell of no calls.")
def gateway(
    workflow: Path | None, port: int, as_file: bool, simulate: bool, cache: str | None, as_json: bool, quiet: bool
) -> None:
    """Keep the gateway open for the model calls of programs outside a run, until Ctrl-C.

    Standard output has the variables that lead clients to it, with a token as the key. Models are those of WORKFLOW,
    or of the workflow in this folder; its secrets and its budget hold. Without one, calls go to each provider's own
    server. Every call is cached, metered and in the log of a run that `penstock status` shows. Equal requests are
    bought once.

    The first Ctrl-C lets nobody in any more and waits for the calls in flight, the second one gives them up.
    """
    screen = _Screen(as_file, as_json, quiet)
    view = serving.serve(serving.Asked(workflow, port, Options(simulate=simulate, cache=cache)), screen)
    with suppress(OSError):
        if as_json:
            click.echo(json.dumps(show.run_json(view), ensure_ascii=False))
        elif not quiet:
            click.echo("\n".join(_ending(view)), err=True)
    raise click.exceptions.Exit(exit_status(RunState(view.state)))


class _Screen:
    """The variables on standard output, all else on standard error, a line a call."""

    def __init__(self, as_file: bool, as_json: bool, quiet: bool) -> None:
        self._as_file = as_file
        self._as_json = as_json
        self._quiet = quiet

    def begin(self, run: RunView) -> None:
        """Which run keeps what comes."""
        self._say(f"{run.name}: gateway, run {run.id}")

    def opened(self, variables: Mapping[str, str]) -> None:
        """The variables, for a shell, a file or a program. OperatorError if nobody can read them."""
        try:
            click.echo(self._told(variables))
        except OSError as error:
            raise OperatorError(f"the gateway's address cannot be printed: {error.strerror}") from error

    def call(self, call: Call) -> None:
        """Who answered, for how much, how fast; or what went wrong."""
        self._say(f"  {_line(call)}")

    def note(self, text: str) -> None:
        """Said whether calls are told or not."""
        with suppress(OSError):
            click.echo("\n".join(map(show.printable, text.splitlines())), err=True)

    def step(self, view: StepView) -> None:
        """Nothing: there is one step, and it is the gateway."""

    def outcome(self, outcome: Outcome) -> None:
        """Nothing."""

    def _told(self, variables: Mapping[str, str]) -> str:
        if self._as_json:
            return json.dumps(dict(variables))
        if self._as_file:
            return "\n".join(f"{name}={value}" for name, value in variables.items())
        return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())

    def _say(self, line: str) -> None:
        """A line on standard error. A reader that has gone away, or a full disk, does not end the gateway."""
        if not self._quiet:
            with suppress(OSError):
                click.echo(show.printable(line), err=True)


def _line(call: Call) -> str:
    """`gpt-4o-mini  12 in, 34 out  $0.000123  0.4 s`."""
    model = call.intent.model
    if call.fault is not None and not call.cached:
        kind = (call.fault.kind or call.fault.cls).value
        return f"{model}  {kind}: {call.fault.message}"
    tokens = f"{call.usage.input_tokens:,} in, {call.usage.output_tokens:,} out" if call.usage else "tokens unknown"
    if call.cached:
        return f"{model}  {tokens}  from the cache"
    micros = call.cost.micros
    spent = Spending(1, micros) if micros is not None else Spending(1, unknown=1)
    return f"{model}  {tokens}  {show.money(spent)}  {show.seconds(call.elapsed_s)}"


def _ending(view: RunView) -> list[str]:
    lines = [f"{view.state} in {show.seconds(view.seconds)}: run {view.id}", *show.bill(view)]
    return [*map(show.printable, lines), f"  log     {show.short(view.folder / 'calls.jsonl')}"]
