"""`status`, `runs` and `log`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from penstock.api import reading
from penstock.cli import show
from penstock.core.views import RunView, Spending


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def status(run_id: str | None, as_json: bool) -> None:
    """Show RUN (default: the newest), step by step. Part of an id is enough."""
    view = reading.status(Path(), run_id)
    click.echo(json.dumps(show.run_json(view), ensure_ascii=False) if as_json else "\n".join(show.status(view)))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def runs(as_json: bool) -> None:
    """List the runs of this folder, newest first."""
    views = reading.runs(Path())
    if as_json:
        click.echo(json.dumps([_listed(view) for view in views], ensure_ascii=False))
        return
    for view in views:
        click.echo(f"{view.id}  {show.state(view):<11}  {show.seconds(view.seconds):>12}  {view.workflow}")


def _listed(view: RunView) -> dict[str, object]:
    return {
        "run": view.id,
        "workflow": view.workflow,
        "status": show.state(view),
        "started": reading.stamp(view.started_at),
        "seconds": round(view.seconds, 3),
        "cost": view.spent.dollars if view.spent is not None else None,
    }


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("-f", "--follow", is_flag=True, help="Wait for more lines until the run ends.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they are in log.jsonl.")
def log(run_id: str | None, follow: bool, as_json: bool) -> None:
    """Print the log of RUN (default: the newest): one line a finished item or step."""
    view, at = reading.status(Path(), run_id), 0
    while True:
        ended = view.state != "running"
        for after, line in reading.log_lines(view, at):
            at = after
            click.echo(line.decode(), nl=False) if as_json else click.echo(_readable(json.loads(line)))
        if not follow or ended:
            return
        time.sleep(0.2)
        view = reading.status(Path(), view.id)


def _readable(line: dict[str, object]) -> str:
    item = f" {line['i']}" if line["i"] is not None else ""
    took = line["latency_ms"]
    parts = [str(line["ts"]), f"{line['step']}{item}", str(line["verdict"])]
    parts += [f"{took:g} ms"] if isinstance(took, (int, float)) and took else []
    parts += _asked(line)
    parts += ["reused"] if line.get("cached") else []
    parts += [_routed(route)] if isinstance(route := line.get("route"), dict) else []
    parts += [f"({line['reason']})"] if line.get("reason") else []
    return show.printable("  ".join(parts))


def _routed(route: dict[str, object]) -> str:
    """Which rule or branch was chosen for an item, and on what."""
    where = f"to {route['to']}" if route.get("to") else ""
    rule = f"by rule {route['rule']}" if route.get("rule") else ""
    return f"{' '.join(filter(None, (where, rule)))}: {route.get('why')}"


def _asked(line: dict[str, object]) -> list[str]:
    """Which model gave the answer, and what was paid for it now."""
    model, sent, cost = line.get("model"), line.get("calls"), line["cost"]
    parts = [str(model)] if model else []
    if not isinstance(sent, int) or not sent:
        return parts
    spent = Spending(sent, round(cost * 1_000_000)) if isinstance(cost, (int, float)) else Spending(sent, unknown=sent)
    return [*parts, show.money(spent) if not spent.unknown else "cost unknown"]
