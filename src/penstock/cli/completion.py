"""`completion`: what a shell needs to complete `penstock` commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash:  eval "$(penstock completion bash)"    in ~/.bashrc
    zsh:   eval "$(penstock completion zsh)"     in ~/.zshrc
    fish:  penstock completion fish | source     in ~/.config/fish/config.fish
    """
    from penstock.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "penstock", "_PENSTOCK_COMPLETE").source())
