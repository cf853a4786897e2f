"""`run` and `resume`."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import click

from penstock.api import running
from penstock.cli import show
from penstock.cli.progress import screen
from penstock.cli.run_options import expands, pairs, samples, waits
from penstock.core.errors import UsageError
from penstock.core.states import RunState, exit_status
from penstock.core.views import Options, Resumption


@click.command()
@click.argument("workflow", type=click.Path(path_type=Path), default=Path())
@click.option("--only", metavar="STEP", help="Run this step alone; its needs stand as they are in the newest run.")
@click.option("--var", "variables", metavar="KEY=VALUE", multiple=True, help="Override an entry of the workflow's env.")
@click.option("--concurrency", type=click.IntRange(1, 10_000), metavar="N", help="So many tasks of a step at once.")
@click.option("--simulate", is_flag=True, help="Rehearse: the simulator answers in place of every model.")
@click.option(
    "--cache", type=click.Choice(["use", "refresh", "only", "off"]), help="How bought answers are used, in every step."
)
@samples
@waits
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON at the end.")
@click.option("--quiet", is_flag=True, help="Show no progress and no summary.")
def run(
    workflow: Path,
    only: str | None,
    variables: tuple[str, ...],
    concurrency: int | None,
    simulate: bool,
    cache: str | None,
    sample: int | None,
    wait: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run WORKFLOW, a file or a folder with a workflow.yaml in it (default: this folder)."""
    options = Options(only, pairs(variables), concurrency, simulate, cache, sample=sample, wait=wait)
    with screen(quiet) as watching:
        ended = running.run(workflow, options, watching)
    _finish(ended, as_json, quiet)


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--failed", is_flag=True, help="Do failed items again, and what stands on them.")
@click.option(
    "--reread", is_flag=True, help="Go on with an input that has changed; rows still in it keep their outcomes."
)
@click.option(
    "--redo", metavar="STEP[:KEY]", multiple=True, help="Do a task again that was in flight (idempotent: false)."
)
@click.option(
    "--budget",
    metavar="KEY=VALUE",
    multiple=True,
    help="Set a cap: cost_usd, calls, tokens or seconds; STEP.calls …",
)
@click.option("--settle", metavar="STEP[:KEY]=VERDICT", multiple=True, help="Say how it ended: accepted or failed.")
@expands
@waits
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON at the end.")
@click.option("--quiet", is_flag=True, help="Show no progress and no summary.")
def resume(
    run_id: str | None,
    failed: bool,
    reread: bool,
    redo: tuple[str, ...],
    budget: tuple[str, ...],
    settle: tuple[str, ...],
    expand: bool,
    wait: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Go on with RUN (default: the newest) after it was interrupted.

    What has a verdict stands; only what was in flight is done again.
    """
    settled, raised = tuple(_settled(word) for word in settle), pairs(budget, option="--budget")
    asked = Resumption(failed, reread, redo, settled, raised, expand, wait)
    with screen(quiet) as watching:
        ended = running.resume(Path(), run_id, asked, watching)
    _finish(ended, as_json, quiet)


def _settled(word: str) -> tuple[str, str]:
    place, _, verdict = word.rpartition("=")
    if not place or verdict not in ("accepted", "failed"):
        raise UsageError(f"--settle {word}: write --settle STEP:KEY=accepted or --settle STEP:KEY=failed")
    return place, verdict


def _asked(ended: running.Ended) -> list[str]:
    """What a person is asked, and how to answer; nothing if the run waits for nobody."""
    if ended.state is not RunState.WAITING:
        return []
    from penstock.cli.approve import told

    return told(ended.view)


def _finish(ended: running.Ended, as_json: bool, quiet: bool) -> None:
    """Prints the end of a run. Nobody there to read it (a closed pipe, a full disk) changes no exit status."""
    with suppress(OSError):
        if as_json:
            click.echo(json.dumps(show.run_json(ended.view), ensure_ascii=False))
        elif not quiet:
            lines = show.ending(ended.view, ended.fixtures)
            asked = _asked(ended)
            if asked:  # what they tell includes how to see it
                lines = [line for line in lines if not line.startswith(f"  next    {show.waiting_command(ended.view)}")]
            click.echo("\n".join([*lines, *asked]))
        elif ended.state is RunState.WAITING:
            click.echo(f"penstock: run {ended.view.id} waits for your word: `penstock status` shows why", err=True)
        elif ended.state is RunState.REJECTED and ended.view.gate is not None:
            click.echo(f"penstock: {show.printable(ended.view.gate.reason)}", err=True)
        if as_json or quiet:
            for line in show.unknown_cost(ended.view):
                click.echo(line, err=True)
    raise click.exceptions.Exit(exit_status(ended.state))
