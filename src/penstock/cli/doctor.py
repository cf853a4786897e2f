"""`doctor`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from penstock.api import examining
from penstock.api.examining import Examination, Finding


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--rebuild", is_flag=True, help="Write the JSONL files of the run anew where they differ.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def doctor(run_id: str | None, rebuild: bool, as_json: bool) -> None:
    """Examine the machine, this folder and RUN (default: the newest), and say what to do.

    Nothing is changed, but with --rebuild. Exit status 1 if there is a problem.
    """
    rebuilt = examining.rebuild(Path(), run_id) if rebuild else []
    seen = examining.examine(Path(), run_id)
    click.echo(json.dumps(_told(seen, rebuilt), ensure_ascii=False) if as_json else "\n".join(_lines(seen, rebuilt)))
    raise click.exceptions.Exit(1 if seen.problems else 0)


def _lines(seen: Examination, rebuilt: list[str]) -> Iterator[str]:
    yield from (f"written anew: {name}" for name in rebuilt)
    for part, findings in seen.parts:
        yield part
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            yield from _finding(finding, width)
    yield f"{seen.problems} problem{'s' if seen.problems != 1 else ''}" if seen.problems else "no problems"


def _finding(finding: Finding, width: int) -> Iterator[str]:
    yield f"  {finding.grade.value:<7}  {finding.name:<{width}}  {finding.message}"
    if finding.help:
        first, *rest = finding.help.split("\n")
        yield f"           help: {first}"
        yield from (f"                 {line}" for line in rest)


def _told(seen: Examination, rebuilt: list[str]) -> dict[str, object]:
    findings = [
        {"part": part, "name": found.name, "grade": found.grade.value, "message": found.message, "help": found.help}
        for part, findings in seen.parts
        for found in findings
    ]
    return {"ok": not seen.problems, "run": seen.run_id, "rebuilt": rebuilt, "findings": findings}
