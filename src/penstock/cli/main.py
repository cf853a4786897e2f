"""`penstock`: which word means which command, and the edge at which errors become text and an exit status."""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys
import traceback
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

import click

from penstock import __version__
from penstock.core.errors import BugError, OperatorError, PenstockError

COMMANDS = {
    "run": ("penstock.cli.run", "run", "Run a workflow."),
    "plan": ("penstock.cli.author", "plan", "Show what a run would do, and why."),
    "check": ("penstock.cli.author", "check", "Check a workflow file; nothing is run."),
    "resume": ("penstock.cli.run", "resume", "Go on with a run that was interrupted."),
    "waiting": ("penstock.cli.approve", "waiting", "List what waits for a person's word, and what it is about."),
    "approve": ("penstock.cli.approve", "approve", "Say yes to what a run asks."),
    "reject": ("penstock.cli.approve", "reject", "Say no to what a run asks."),
    "replay": ("penstock.cli.replay", "replay", "Run kept failures through today's workflow."),
    "status": ("penstock.cli.history", "status", "Show one run, step by step."),
    "runs": ("penstock.cli.history", "runs", "List the runs, newest first."),
    "log": ("penstock.cli.history", "log", "Print a run's log; -f follows it."),
    "doctor": ("penstock.cli.doctor", "doctor", "Examine the machine, the folder and a run; say what to do."),
    "cache": ("penstock.cli.cache", "cache", "Count, check or trim the answers that were bought."),
    "sample-size": ("penstock.cli.sample_size", "sample_size", "Say how many rows a gate takes to pass."),
    "call": ("penstock.cli.call", "call", "Ask a model once, and print what it says."),
    "gateway": ("penstock.cli.gateway", "gateway", "Meter and cache the model calls of programs outside a run."),
    "graph": ("penstock.cli.author", "graph", "Draw the workflow's steps and needs."),
    "schema": ("penstock.cli.author", "schema", "Print the JSON Schema of the workflow file."),
    "init": ("penstock.cli.author", "init", "Make a working project folder."),
    "completion": ("penstock.cli.completion", "completion", "Print the completion script of a shell."),
}
"""Word → module, function, one line of help. A module is imported when its word is used."""

GARBAGE = 20_000
"""So many objects that others may point to are made before Python looks for circles among them. We make next to none:
with Python's own figure, 700, it looked after every second model call, which took a fourteenth of the time."""


class Commands(click.Group):
    """A group that imports a command when it is called, so that `--version` and `--help` stay quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The words, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of that word; None if there is none."""
        if name not in COMMANDS:
            return None
        module, function, _ = COMMANDS[name]
        command = getattr(importlib.import_module(module), function)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word means; an error names the nearest one."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"there is no command {args[0]!r}{f'; did you mean {near[0]}?' if near else ''}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="penstock", message="%(prog)s %(version)s")
@click.option(
    "-C",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Work in this folder, as make does.",
)
def cli(folder: Path | None) -> None:
    """Penstock runs LLM workflows as operable processes: one YAML file, one command.

    Exit status: 0 succeeded, 1 failed, 2 invalid file or usage, 3 rejected by a gate or a person,
    4 waiting or paused, 130 interrupted.
    """
    if folder is not None:
        os.chdir(folder)


def main() -> None:
    """The program. Ends the process with the exit status of the README."""
    _open_streams()
    gc.set_threshold(GARBAGE)
    try:
        status = cli.main(prog_name="penstock", complete_var="_PENSTOCK_COMPLETE", standalone_mode=False)
    except click.exceptions.Exit as error:
        status = error.exit_code
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        status = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        status = 130
    except PenstockError as error:
        status = _say(error)
    except OSError as error:
        status = _say(OperatorError(": ".join(filter(None, (error.filename, error.strerror))) or str(error)))
    except Exception as error:  # noqa: BLE001 - the edge around main
        traceback.print_exc()
        status = _say(BugError(f"{type(error).__name__}: {error}"))
    _flush()
    sys.exit(status if isinstance(status, int) else 0)


def _open_streams() -> None:
    """Descriptors 0 to 2 are open, so that no file of ours gets one of them; no text is too odd to be printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _flush() -> None:
    """What cannot be written any more is dropped here; at its end Python would complain of it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say(error: PenstockError) -> int:
    """The error on standard error, with the line that helps; its exit status."""
    lines = [str(error)]
    if isinstance(error, BugError):
        lines = [f"penstock: this is a bug in Penstock, please report it: {error}"]
    elif isinstance(error, OperatorError):
        first, *more = (error.help or "").splitlines() or [""]
        helps = [f"  help: {first}", *(f"        {line.strip()}" for line in more)] if first else []
        lines = [f"penstock: {error}", *helps]
    with suppress(OSError):
        click.echo("\n".join(lines), err=True)
    return error.exit_status


if __name__ == "__main__":
    main()
