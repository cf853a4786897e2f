"""`cache stats`, `cache verify` and `cache prune`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import click

from penstock.api import caching
from penstock.api.caching import Pruned, Stats, Verified
from penstock.cli import show

EMPTY = "no answers are kept here: nothing has been bought yet"
EVERY_S = 0.2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cache() -> None:
    """Count, check or trim the answers that were bought.

    They are files in .penstock/cache, and the journal has a copy of each until `prune` drops it.
    """


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def stats(as_json: bool) -> None:
    """Show how many answers there are, how large and how old."""
    found = caching.stats(Path())
    told = {**asdict(found), "ages": dict(found.ages)}
    click.echo(json.dumps(told) if as_json else "\n".join(_stats(found)))


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def verify(as_json: bool) -> None:
    """Read every answer and mend what is broken.

    A file that is not whole is put aside, and what only the journal has is written again. Exit status 1 if a file
    was not whole; the journal has its answer unless `prune` dropped that.
    """
    with _Progress() as progress:
        found = caching.verify(Path(), progress.say, progress.done)
    click.echo(json.dumps(asdict(found)) if as_json else _verified(found))
    raise click.exceptions.Exit(1 if found.corrupt else 0)


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def prune(as_json: bool) -> None:
    """Drop what is stored twice.

    That is the journal's copy of each answer whose file is whole. Files that nobody needs go too: halves that a
    process left when it died, and corrupt ones after 30 days. No only copy is ever dropped. Refused while a run goes
    on.
    """
    found = caching.prune(Path(), lambda text: click.echo(text, err=True))
    click.echo(json.dumps(asdict(found)) if as_json else "\n".join(_pruned(found)))


def _stats(found: Stats) -> Iterator[str]:
    if not found.files and not found.journal_only:
        yield EMPTY
        return
    yield f"{_answers(found.files)} in .penstock/cache, {show.size(found.bytes)}"
    for age, count in found.ages:
        if count:
            name = "older than a year" if age == "older" else f"younger than {age}"
            yield f"  {name:<20}  {count:>9,}"
    if found.journal_only:
        alone = f"{_answers(found.journal_only)} in the journal alone, {show.size(found.journal_bytes)}"
        yield f"{alone}: `penstock cache verify` writes their files"


def _verified(found: Verified) -> str:
    if not found.sound + found.corrupt + found.rewritten:
        return EMPTY
    parts = [f"{_answers(found.sound)} as written"]
    parts += [f"{found.corrupt:,} not whole, put aside in .penstock/cache/corrupt"] if found.corrupt else []
    parts += [f"{found.rewritten:,} written again from the journal"] if found.rewritten else []
    return ", ".join(parts)


def _pruned(found: Pruned) -> Iterator[str]:
    if found.answers:
        yield f"dropped from the journal: {_answers(found.answers)} that have files, {show.size(found.answers_bytes)}"
    if found.files:
        some = "1 file" if found.files == 1 else f"{found.files:,} files"
        yield f"removed: {some} that nobody needs, {show.size(found.files_bytes)}"
    if not found.answers and not found.files:
        yield "nothing to drop"


def _answers(count: int) -> str:
    return "1 answer" if count == 1 else f"{count:,} answers"


class _Progress:
    """How many files were read, on a line of a terminal that is drawn anew; nothing where there is no terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()
        self._drawn_at = time.monotonic()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        """The line is empty."""
        self._draw("")

    def done(self, count: int) -> None:
        """So many were read."""
        if self._shown and time.monotonic() - self._drawn_at >= EVERY_S:
            self._drawn_at = time.monotonic()
            self._draw(f"{count:,} read")

    def say(self, text: str) -> None:
        """A line that stays."""
        self._draw("")
        with suppress(OSError):
            click.echo(show.printable(text), err=True)

    def _draw(self, text: str) -> None:
        if self._shown:
            with suppress(OSError):
                click.echo(f"\r\x1b[K{text}", err=True, nl=False)
