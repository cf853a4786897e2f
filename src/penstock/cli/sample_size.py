"""`sample-size`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from penstock.api import sizing
from penstock.api.sizing import Expected

SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command("sample-size")
@click.option("--accept-rate", "rate", type=SHARE, required=True, metavar="RATE", help="The rate the gate requires.")
@click.option(
    "--guess",
    type=click.FloatRange(0, 1, min_open=True),
    required=True,
    metavar="RATE",
    help="The rate that you think the rows have.",
)
@click.option("--confidence", type=SHARE, default=0.95, show_default=True, metavar="SHARE", help="As in the workflow.")
@click.option("--rows", type=click.IntRange(min=1), metavar="N", help="The rows of the whole batch, if you know.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def sample_size(rate: float, guess: float, confidence: float, rows: int | None, as_json: bool) -> None:
    """Say how many rows a gate takes to pass.

    The gate is a `sample` with a `confidence`: it looks after each row and stops as soon as it knows. How soon
    that is depends on how far the true accept rate lies above the one that is required.
    """
    found = sizing.sample_size(rate, confidence, guess, rows)
    click.echo(json.dumps(asdict(found)) if as_json else _answer(found))


def _answer(found: Expected) -> str:
    least = f"with no rejects at all {found.least:,}"
    if found.half is None:
        return f"more than half of all tries end without passing; {least}"
    nine = "nine in ten never do"
    if found.nine_in_ten is not None:
        nine = f"nine in ten by {_number(found, found.nine_in_ten)}"
    return f"about {_number(found, found.half)} rows (half of all tries pass by then; {nine}); {least}"


def _number(found: Expected, rows: int) -> str:
    """Two digits of what is only an approximation."""
    return f"{rows if found.exact else round(rows, 2 - len(str(rows))):,}"
