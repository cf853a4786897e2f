"""`replay`."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import click

from penstock.api.replay import replaying
from penstock.cli import show
from penstock.cli.progress import screen
from penstock.cli.run_options import pairs
from penstock.core.states import RunState, exit_status
from penstock.core.views import Replay, Replayed, Standing

MOST_LISTED = 50
"""So many fixtures of one standing are told one by one; the others are counted."""
WORKFLOWS = (".yaml", ".yml")
ORDER = tuple(Standing)
NEWS = (Standing.BROKEN, Standing.CHANGED, Standing.FIXED, Standing.NOT_REPLAYED)


@click.command()
@click.argument("words", metavar="[WORKFLOW] [KEY]...", nargs=-1)
@click.option("--step", metavar="STEP", help="Replay the fixtures of this step alone.")
@click.option("--offline", is_flag=True, help="Use only answers that were bought; no model is called.")
@click.option("--promote", is_flag=True, help="Move what is fixed to fixtures/regressions.")
@click.option("--strict", is_flag=True, help="Failures that are not fixed fail the replay too.")
@click.option("--simulate", is_flag=True, help="Rehearse: the simulator answers in place of every model.")
@click.option("--var", "variables", metavar="KEY=VALUE", multiple=True, help="Override an entry of the workflow's env.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def replay(
    words: tuple[str, ...],
    step: str | None,
    offline: bool,
    promote: bool,
    strict: bool,
    simulate: bool,
    variables: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Run the inputs of fixtures/failures and fixtures/regressions through today's WORKFLOW.

    KEY is a fixture's name, or its beginning; without one, all are replayed. The user's journal, results and fixtures
    stay as they are; commands work in the workflow's folder, and the files that their texts name with > or tee go to
    .penstock/replay.

    Exit status: 0 if every regression is green (with --strict: and every failure is fixed), 1 if not (one that could
    not be replayed is not green), 2 invalid file or usage, 4 paused, 130 interrupted.
    """
    file, keys = _read(words)
    wanted = replaying.Wanted(step, keys, pairs(variables), offline, promote, strict, simulate)
    with screen(quiet or as_json) as watching:
        found = replaying.replay(file, wanted, watching)
    with suppress(OSError):
        if as_json:
            click.echo(json.dumps(_json(found), ensure_ascii=False))
        else:
            click.echo("\n".join(map(show.printable, _lines(found, promote, shutil.get_terminal_size().columns))))
    cut_off = RunState(found.state) is not RunState.SUCCEEDED
    raise click.exceptions.Exit(exit_status(RunState(found.state)) if cut_off else 0 if found.passed else 1)


def _read(words: Sequence[str]) -> tuple[Path, tuple[str, ...]]:
    """The workflow, if the first word is one, and the keys; a fixture's path is as good as its key."""
    named = bool(words) and (words[0].endswith(WORKFLOWS) or Path(words[0]).is_dir())
    keys = words[1:] if named else words
    return Path(words[0]) if named else Path(), tuple(Path(word).name.removesuffix(".json") for word in keys)


# --- for people --------------------------------------------------------------------------------


def _lines(found: Replay, promote: bool, width: int) -> Iterator[str]:
    if not found.fixtures:
        yield f"no fixtures of {found.workflow} to replay: fixtures/failures and fixtures/regressions hold none"
        return
    for standing in NEWS:
        yield from _news([one for one in found.fixtures if one.standing is standing], width)
    yield from _still([one for one in found.fixtures if one.standing is Standing.STILL_FAILING], width)
    yield ""
    yield from _table(found.fixtures)
    yield ""
    same = sum(one.files - 1 for one in found.fixtures)
    if same:
        yield f"  same    {same:,} more {'file holds' if same == 1 else 'files hold'} an input of these: done once"
    if found.spent is not None:
        played = " (simulated: nothing is billed)" if found.simulated else ""
        yield f"  calls   {found.spent.calls:,} sent, {show.money(found.spent)}{played}"
    yield from _advice(found, promote)


def _news(told: Sequence[Replayed], width: int) -> Iterator[str]:
    """A line each, and what it failed with then and now."""
    for one in told[:MOST_LISTED]:
        yield f"  {one.standing.value:<13}  {one.step_id}/{one.key}"
        if one.standing is Standing.NOT_REPLAYED:
            yield f"      {one.reason or 'its step was not run'}"
            continue
        yield from _wrapped("      had  ", one.had, width)
        if one.has is not None:
            yield from _wrapped("      has  ", one.has, width)
    if len(told) > MOST_LISTED:
        yield f"  {told[0].standing.value:<13}  {len(told) - MOST_LISTED:,} more (--json tells them all)"


def _still(told: Sequence[Replayed], width: int) -> Iterator[str]:
    """What fails as before, counted by step and signature."""
    for (step_id, had), count in Counter((one.step_id, one.had) for one in told).most_common(MOST_LISTED):
        yield f"  still failing  {step_id}  {count:,} x"
        yield from _wrapped("      had  ", had, width)


def _wrapped(head: str, text: str, width: int) -> list[str]:
    """The text after its head, over as many lines as it takes: what tells two signatures apart may be at their ends."""
    return textwrap.wrap(text, max(width, 40), initial_indent=head, subsequent_indent=" " * len(head))


def _table(told: Sequence[Replayed]) -> list[str]:
    steps = list(dict.fromkeys(one.step_id for one in told))
    counts = Counter((one.step_id, one.standing) for one in told)
    shown = [standing for standing in ORDER if any(one.standing is standing for one in told)]
    table = [["step", *(standing.value for standing in shown)]]
    table += [[step, *(f"{counts[step, standing]:,}" for standing in shown)] for step in steps]
    first, *widths = (max(map(len, column)) for column in zip(*table, strict=True))
    return [
        f"  {row[0]:<{first}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths, strict=True))
        for row in table
    ]


def _advice(found: Replay, promote: bool) -> Iterator[str]:
    promoted = sum(one.promoted for one in found.fixtures)
    if promoted:
        yield f"  moved   {promoted:,} to fixtures/regressions, which `penstock replay` keeps green"
    fixed = sum(one.standing is Standing.FIXED for one in found.fixtures)
    if fixed and not promote and not found.simulated:
        yield f"  next    penstock replay --promote (moves the {fixed:,} fixed to fixtures/regressions)"
    if any(one.standing in (Standing.BROKEN, Standing.CHANGED) for one in found.fixtures):
        yield f"  log     {show.short(found.folder / 'runs')} (what the steps said)"


# --- for programs ------------------------------------------------------------------------------


def _json(found: Replay) -> dict[str, object]:
    counts = Counter(one.standing for one in found.fixtures)
    return {
        "workflow": found.workflow,
        "status": found.state if found.state != "succeeded" else "passed" if found.passed else "failed",
        "counts": {standing.value.replace(" ", "_"): counts[standing] for standing in ORDER},
        "fixtures": [_one(one) for one in found.fixtures],
        "cost": found.spent.dollars if found.spent is not None else None,
        "calls": found.spent.calls if found.spent is not None else 0,
        "simulated": found.simulated,
    }


def _one(one: Replayed) -> dict[str, object]:
    return {
        "step": one.step_id,
        "key": one.key,
        "regression": one.regression,
        "standing": one.standing.value.replace(" ", "_"),
        "had": one.had,
        "has": one.has,
        "reason": one.reason,
        "files": one.files,
        "promoted": one.promoted,
    }
