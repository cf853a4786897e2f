"""Words and options of the command line that several commands read alike."""

from __future__ import annotations

import click

from penstock.core.errors import UsageError

samples = click.option(
    "--sample", type=click.IntRange(1), metavar="N", help="Look at N rows of each root stream, without a gate."
)
expands = click.option("--expand", is_flag=True, help="Let the whole run follow a sample whose gate did not pass.")
waits = click.option("--wait", is_flag=True, help="Stay while a person is waited for, and go on with the answer.")
"""The option of a command that carries a run."""


def pairs(values: tuple[str, ...], option: str = "--var") -> tuple[tuple[str, str], ...]:
    """`KEY=VALUE` words as pairs; UsageError for a word that is none."""
    for value in values:
        if "=" not in value or value.startswith("="):
            raise UsageError(f"{option} {value}: write {option} KEY=VALUE")
    return tuple((key, value) for key, _, value in (word.partition("=") for word in values))
