"""`waiting`, `approve` and `reject`: what a run asks of a person, and the answer."""

from __future__ import annotations

import getpass
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from penstock.api import deciding, reading
from penstock.cli import show
from penstock.cli.wrapping import wrapped
from penstock.core.approval import Shown, Word
from penstock.core.views import RunView, Spending, Waiting

LABEL = 12
"""How wide the words before what is told are."""
HASH = 12
WIDEST = 100


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def waiting(run_id: str | None, as_json: bool) -> None:
    """List what waits for a person's word in this folder, or in RUN, newest first.

    It tells what would follow a yes, what it stands on and what remains at risk.
    """
    found = deciding.waiting(Path(), run_id)
    if as_json:
        click.echo(json.dumps([_json(each) for each in found], ensure_ascii=False))
    elif not found:
        click.echo(_nothing(run_id))
    else:
        click.echo("\n\n".join("\n".join(_lines(each)) for each in found))


def _nothing(run_id: str | None) -> str:
    if run_id is None:
        return "nothing waits for a person's word here"
    run, words = reading.status(Path(), run_id), "nothing waits for a person's word in run"
    if run.superseded_by is not None:
        return f"{words} {run.id}: run {run.superseded_by} came after it, and it can no longer go on"
    return f"{words} {run.id}"


_AS = click.option("--as", "name", metavar="NAME", help="Who decides: a label, not proved. Default: your login name.")
_COMMENT = click.option("--comment", metavar="TEXT", help="What to keep with the decision.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the decision as one line of JSON.")
_WORDS = click.argument("words", metavar="[RUN] [STEP]", nargs=-1)


@click.command()
@_WORDS
@_AS
@_COMMENT
@_JSON
def approve(words: tuple[str, ...], name: str | None, comment: str | None, as_json: bool) -> None:
    """Say yes to what STEP of RUN asks. Both may be left out where only one waits.

    The first word stands. `penstock waiting` shows what it is about, `penstock resume` goes on with the run.
    """
    _decide(words, True, name, comment, as_json)


@click.command()
@_WORDS
@_AS
@_COMMENT
@_JSON
def reject(words: tuple[str, ...], name: str | None, comment: str | None, as_json: bool) -> None:
    """Say no to what STEP of RUN asks. Both may be left out where only one waits.

    The first word stands. Nothing that needs STEP is run; `penstock resume` ends the run with status 3.
    """
    _decide(words, False, name, comment, as_json)


def _decide(words: tuple[str, ...], approved: bool, name: str | None, comment: str | None, as_json: bool) -> None:
    if len(words) > 2:
        raise click.UsageError(f"Got unexpected extra argument ({words[2]})")
    decision = deciding.decide(Path(), words, approved, _login() if name is None else name, comment)
    asked, word = decision.asked, decision.word
    if as_json:
        told = {"run": asked.run_id, "step": asked.step_id, **_word(word)}
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    how = "approved" if approved else "rejected"
    click.echo(show.printable(f"{asked.step_id} of run {asked.run_id} is {how} by {word.by}"))
    if decision.goes_on:
        click.echo("  next    nothing: a process carries the run and takes the word up")
        click.echo(f"          (should it end before that: penstock resume {asked.run_id})")
    else:
        click.echo(f"  next    penstock resume {asked.run_id}")


def _login() -> str:
    """The login name; empty, which is refused, for a user without one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def told(run: RunView) -> list[str]:
    """What a run that has ended asks of a person; nothing if it asks nothing."""
    found = deciding.waiting(run.folder.parents[2], run.id)
    return [line for each in found for line in ["", *_lines(each)]]


# --- one approval as text ----------------------------------------------------------------------


def _lines(waits: Waiting) -> list[str]:
    """What is asked, what it is about, and the commands that answer it."""
    asked = waits.asked
    head = f"{asked.step_id} of run {asked.run_id} waits since {deciding.stamp(asked.asked_at)}"
    lines = [*_filled("", head), *_quoted(asked.message), ""]
    lines += _told("decided", [_decided(waits)] if waits.word is not None else [])
    until = f"{deciding.stamp(asked.deadline_at)}; then it is rejected" if asked.deadline_at is not None else ""
    lines += _told("until", [until] if until and waits.word is None else [])
    lines += _told("CHANGED", waits.changed)
    lines += _applies(asked.summary) + _shown(waits) + _figures(asked.summary)
    return [*lines, "", *_commands(waits)]


def _quoted(message: str) -> list[str]:
    """The message, whose every line is marked as its own: it may be made of rows, and look like a line of ours."""
    return [f"  > {line[4:]}".rstrip() for line in _filled("    ", message)]


def _decided(waits: Waiting) -> str:
    word = waits.word
    assert word is not None
    if word.via == "timer":
        return f"rejected by its timer at {deciding.stamp(word.at)}"
    said = f": {word.comment}" if word.comment else ""
    return f"{'approved' if word.approved else 'rejected'} by {word.by} at {deciding.stamp(word.at)}{said}"


def _commands(waits: Waiting) -> list[str]:
    program, asked = show.program(waits.folder), waits.asked
    resume = f"  {program} resume {asked.run_id}"
    if waits.word is not None or waits.changed:
        return [resume]
    place = f"{asked.run_id} {asked.step_id} --as NAME"
    return [f"  {program} approve {place}", f"  {program} reject {place}", resume]


def _applies(summary: Mapping[str, object]) -> list[str]:
    """The steps that would follow, each with the first lines of what it does."""
    lines: list[str] = []
    for step in _objects(summary, "applies"):
        text = [str(line) for line in _list(step, "text")]
        more = step.get("more_lines") or 0
        head = f"{step['step']}: {text[0] if text else step['kind']}"
        lines += _told("would run" if not lines else "", [head])
        lines += [line for each in text[1:] for line in _filled(" " * (LABEL + 4), each)]
        lines += _told("", [f"  … {more} more lines"] if more else [])
    none = "nothing: what needs it has ended already" if _list(summary, "ended") else "nothing: no step needs it"
    return lines or _told("would run", [none])


def _shown(waits: Waiting) -> list[str]:
    """What is shown, with size and hash, and the first lines of small texts."""
    excerpts, lines = dict(waits.excerpts), list[str]()
    for thing in waits.asked.shown:
        lines += _told("shown" if not lines else "", [_thing(thing)])
        lines += [
            f"{' ' * (LABEL + 4)}{show.cropped(show.printable(each), _width() - LABEL - 4)}"
            for each in excerpts.get(thing.what, ())
        ]
    return lines


def _thing(thing: Shown) -> str:
    if thing.sha256 is None:
        return f"{thing.what}, of which there is none"
    return f"{thing.what}, {show.size(thing.size_bytes)}, sha256 {thing.sha256[:HASH]}…"


def _figures(summary: Mapping[str, object]) -> list[str]:
    rates = [_rate(each) for each in _objects(summary, "rates")]
    reasons = [f"{each['count']} of {each['step']}: {each['reason']}" for each in _objects(summary, "rejections")]
    calls, cost = summary.get("calls"), summary.get("cost")
    lines = _told("accept rate", rates) + _told("rejected", reasons)
    if isinstance(calls, int) and calls:
        spent = Spending(calls, round(cost * 1_000_000)) if isinstance(cost, (int, float)) else None
        lines += _told("cost", [f"{show.money(spent) if spent else 'not known'} for {show.calls(calls)} so far"])
    risk = summary.get("risk")
    return lines + _told("at risk", [_risk(risk)] if isinstance(risk, dict) and rates else [])


def _rate(rate: Mapping[str, object]) -> str:
    accepted, judged, low = rate["accepted"], rate["judged"], rate["accept_rate_low"]
    share = rate["accept_rate"]
    if not isinstance(share, (int, float)) or not isinstance(low, (int, float)):
        return f"{rate['step']}: no rows"
    return f"{rate['step']}: {accepted}/{judged} = {share:.3f} (95 % sure of {low:.3f} or more)"


def _risk(risk: Mapping[str, object]) -> str:
    words = {
        "rejected": "rejected",
        "failed": "failed",
        "unverified": "that no verify step judged",
        "escalated": "from a later model of a cascade",
    }
    known = [f"{risk[name]} {word}" for name, word in words.items() if risk.get(name) is not None]
    return f"rows: {', '.join(known)}"


def _told(label: str, texts: Iterable[str]) -> list[str]:
    """Each text after the label, which stands before the first."""
    lines: list[str] = []
    for text in texts:
        head = f"  {label if not lines else '':<{LABEL}}"
        lines += _filled(head, text)
    return lines


def _filled(head: str, text: str) -> list[str]:
    """The text as wide as the terminal is, its first line after `head`, the others below that."""
    indent, lines = " " * len(head), list[str]()
    for paragraph in text.splitlines() or [""]:
        first = indent if lines else head
        lines += wrapped(_printable(paragraph), first, _width())
    return lines


def _printable(text: str) -> str:
    """The whole of a text that may hold anything: a person is asked about all of it."""
    most = show.MOST_CHARACTERS
    return "".join(show.printable(text[start : start + most]) for start in range(0, len(text), most))


def _width() -> int:
    return max(40, min(shutil.get_terminal_size((80, 24)).columns, WIDEST))


def _objects(summary: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    return [each for each in _list(summary, name) if isinstance(each, dict)]


def _list(summary: Mapping[str, object], name: str) -> list[object]:
    found = summary.get(name)
    return found if isinstance(found, list) else []


# --- and as JSON -------------------------------------------------------------------------------


def _json(waits: Waiting) -> dict[str, object]:
    asked = waits.asked
    return {
        "run": asked.run_id,
        "workflow": waits.workflow,
        "step": asked.step_id,
        "message": asked.message,
        "asked": deciding.stamp(asked.asked_at),
        "deadline": deciding.stamp(asked.deadline_at) if asked.deadline_at is not None else None,
        "shown": [{"what": each.what, "sha256": each.sha256, "size_bytes": each.size_bytes} for each in asked.shown],
        "changed": list(waits.changed),
        "decision": _word(waits.word) if waits.word is not None else None,
        **asked.summary,
    }


def _word(word: Word) -> dict[str, object]:
    return {
        "approved": word.approved,
        "by": word.by,
        "via": word.via,
        "comment": word.comment,
        "at": deciding.stamp(word.at),
    }
