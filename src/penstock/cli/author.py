"""`check`, `plan`, `graph`, `schema` and `init`: for whoever writes a workflow."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path

import click

from penstock.cli import bill_lines, route_lines, show
from penstock.cli.run_options import pairs
from penstock.core.errors import OperatorError, Problem, WorkflowError
from penstock.core.views import Options

WORKFLOW = click.argument("workflow", type=click.Path(path_type=Path), default=Path())
PATIENCE_S = 1.0
"""A plan that takes longer says how far it is."""
VARIABLES = click.option("--var", "variables", metavar="KEY=VALUE", multiple=True, help="Override an entry of env.")


@click.command()
@WORKFLOW
@VARIABLES
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def check(workflow: Path, variables: tuple[str, ...], as_json: bool) -> None:
    """Check WORKFLOW: every error at once, each with its place; nothing is run."""
    from penstock.api.loading import load

    try:
        loaded = load(workflow, dict(pairs(variables)))
    except WorkflowError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"ok": False, "problems": [_problem(found) for found in error.problems]}))
        raise click.exceptions.Exit(error.exit_status) from None
    if as_json:
        ids, notes = [step.id for step in loaded.steps], [_problem(note) for note in loaded.notes]
        click.echo(json.dumps({"ok": True, "steps": ids, "notes": notes}))
        return
    for note in loaded.notes:
        click.echo(f"note: {note}")
    steps = f"{len(loaded.steps)} step{'s' if len(loaded.steps) != 1 else ''}"
    click.echo(f"{loaded.file}: {loaded.name}, {steps}, no errors")


def _problem(found: Problem) -> dict[str, object]:
    place = found.place
    where = {"file": place.file, "line": place.line, "column": place.column} if place is not None else {}
    return {**where, "message": found.message, "help": found.help}


@click.command()
@WORKFLOW
@click.option("--only", metavar="STEP", help="Plan for this step alone.")
@VARIABLES
@click.option("--simulate", is_flag=True, help="Plan a rehearsal, in which the simulator answers.")
@click.option("--cache", type=click.Choice(["use", "refresh", "only", "off"]), help="As in `run`.")
@click.option("--routes", is_flag=True, help="Tell for each rule how many rows go by it, which, and at what cost.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def plan(
    workflow: Path,
    only: str | None,
    variables: tuple[str, ...],
    simulate: bool,
    cache: str | None,
    routes: bool,
    as_json: bool,
) -> None:
    """Show what a run of WORKFLOW would do with each step, why, for how many items, and what its model calls may cost.

    No call is made. Actions: RUN, REUSE, SKIP, BLOCK, WAIT for a person, and MAYBE where a condition or a decision is
    not known before the run.
    """
    from penstock.api.planning import plan as make

    with Looking() as looking:
        made = make(workflow, Options(only, pairs(variables), simulate=simulate, cache=cache), looking.at, routes)
    if as_json:
        told = {
            decision.step_id: {**bill_lines.bill_json(decision), **route_lines.routes_json(decision)}
            for decision in made.decisions
        }
        notes = {"notes": list(made.notes)} if made.notes else {}
        click.echo(json.dumps({"steps": told, **notes}, ensure_ascii=False))
        return
    click.echo("\n".join([*bill_lines.plan(made), *route_lines.routes(made), *bill_lines.notes(made)]))


class Looking:
    """On a terminal, says on standard error how many rows have been looked at, once it takes long."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._shown = False

    def __enter__(self) -> Looking:
        return self

    def __exit__(self, *raised: object) -> None:
        """The line is gone."""
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)

    def at(self, step_id: str, rows: int) -> None:
        """So many rows of the step have been looked at."""
        if sys.stderr.isatty() and time.monotonic() - self._since > PATIENCE_S:
            self._shown = True
            click.echo(f"\r  {step_id}: {rows:,} rows looked at\x1b[K", err=True, nl=False)


@click.command()
@WORKFLOW
@click.option("--mermaid", is_flag=True, help="Print a Mermaid flowchart.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def graph(workflow: Path, mermaid: bool, as_json: bool) -> None:
    """Draw the steps of WORKFLOW and what each needs."""
    from penstock.api.loading import load

    loaded = load(workflow)
    if as_json:
        told = {
            step.id: {"needs": [need.step for need in step.needs], "foreach": bool(step.foreach)}
            for step in loaded.steps
        }
        click.echo(json.dumps(told))
        return
    click.echo("\n".join(show.mermaid(loaded) if mermaid else show.tree(loaded)))


@click.command()
def schema() -> None:
    """Print the JSON Schema of the workflow file, for editors."""
    from penstock.api.loading import schema_text

    click.echo(schema_text(), nl=False)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
def init(folder: Path) -> None:
    """Make a working project in FOLDER (default: here): a workflow, a script and three rows. Nothing is overwritten."""
    from penstock.api.projects import files

    made = files()
    there = [name for name in made if (folder / name).exists()]
    if there:
        raise OperatorError(f"{', '.join(there)} is there already", "choose an empty folder: penstock init NAME")
    for name, text in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        click.echo(f"  made  {folder / name}")
    where = "" if folder == Path() else f" {shlex.quote(str(folder))}"
    click.echo(f"  next  penstock run{where}")
