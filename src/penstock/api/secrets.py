"""The values of declared secrets: from the environment, `.env`, a command or the system's keyring.

They are looked up once, when a run begins or goes on, and are only ever in memory. Looking at a file (`check`,
`plan`) looks up none, so that it runs no command. No message says a value.
"""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path

from penstock.core.errors import OperatorError
from penstock.core.workflow import SecretSource, Workflow
from penstock.kinds.shell_output import Printed, printed
from penstock.load.dotenv import read as read_dotenv

SHORTEST = 8
"""Anything shorter could not be told from ordinary text, so it could not be masked."""
COMMAND_S = 30.0
"""How long the command of a secret may take."""
_TAIL_LINES = 20
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def values_of(workflow: Workflow) -> dict[str, str]:
    """The value of every secret that the workflow declares, by name and in its order.

    One that is looked for in the environment and `.env` and that no step asks for may be missing; a command and a
    keyring must give a value. OperatorError names those that have none, or one that cannot be masked; WorkflowError
    for a `.env` that cannot be read.
    """
    values = _set(workflow)
    _must_be_there(workflow, values)
    for source in workflow.secret_sources:
        if source.command is not None:
            values[source.name] = _of_command(source, source.command, workflow.folder)
        elif source.keyring is not None:
            values[source.name] = _of_keyring(source, source.keyring)
    for name, value in values.items():
        _must_be_text(name, value)
    short = [name for name, value in values.items() if len(value) < SHORTEST]
    if short:
        raise OperatorError(
            f"the secret {', '.join(short)} is shorter than eight characters: it could not be told from ordinary text",
            "use a longer secret, or declare it under `env` if it is none",
        )
    return {source.name: values[source.name] for source in workflow.secret_sources if source.name in values}


def _set(workflow: Workflow) -> dict[str, str]:
    """What the environment and `.env` have; an empty value is none."""
    looked_for = [source.name for source in workflow.secret_sources if source.command is source.keyring is None]
    file = workflow.folder / ".env"
    listed = read_dotenv(file) if looked_for and file.is_file() else {}
    values = {name: os.environ.get(name) or listed.get(name) or "" for name in looked_for}
    return {name: value for name, value in values.items() if value}


def _must_be_there(workflow: Workflow, values: dict[str, str]) -> None:
    """OperatorError for what a step asks for and neither the environment nor `.env` has."""
    elsewhere = {source.name for source in workflow.secret_sources if source.command or source.keyring}
    asked = {name: step.id for step in workflow.steps for name in step.secrets}
    missing = [f"{name} (step {step})" for name, step in asked.items() if name not in {*values, *elsewhere}]
    if missing:
        raise OperatorError(
            f"no value for the secret {', '.join(missing)}",
            "set it in the environment, or in .env beside the workflow",
        )


def _must_be_text(name: str, value: str) -> None:
    if "\0" in value:
        raise OperatorError(f"the secret {name} holds a NUL, which no environment variable can", "use another secret")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise OperatorError(f"the secret {name} is not UTF-8", "use a secret that is text") from None


def _of_command(source: SecretSource, text: str, folder: Path) -> str:
    """What the command prints, less one newline at its end. It runs in the workflow's folder, with our environment."""
    try:
        answer = printed(text, folder, os.environ, COMMAND_S)
    except OSError as error:
        problem = f"the command of the secret {source.name} cannot be run: {error.strerror}"
        raise OperatorError(problem, "install bash, or add its folder to PATH") from error
    fault = _fault(answer)
    if fault:
        raise OperatorError(f"the command of the secret {source.name} {fault}", f"it stands at {source.at}: {text}")
    try:
        return answer.stdout.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        what = f"the command of the secret {source.name} printed what is not UTF-8"
        raise OperatorError(what, f"it stands at {source.at}: {text}") from None


def _fault(answer: Printed) -> str | None:
    """Why there is no value, with what the command said on its standard error, and never what it printed."""
    if answer.status == 0 and answer.stdout.strip(b"\r\n"):
        return None
    if answer.status is None:
        how = f"did not end within {COMMAND_S:.0f} seconds"
    elif answer.status < 0:
        how = f"was killed by signal {-answer.status}"
    else:
        how = f"ended with exit status {answer.status}" if answer.status else "printed nothing"
    said = _shown(answer)
    return f"{how}: {said}" if said else how


def _shown(answer: Printed) -> str:
    """The end of its standard error, fit for a terminal. A line of it that repeats what was printed is left out."""
    secret = answer.stdout.decode("utf-8", "replace").strip()
    lines = answer.stderr.decode("utf-8", "replace").strip().splitlines()
    fit = [_CONTROL.sub("", line) for line in lines if not secret or secret not in line]
    return "\n".join(fit[-_TAIL_LINES:])


def _of_keyring(source: SecretSource, service: str) -> str:
    """The password that the keyring has under this service, for the secret's name as user."""
    try:
        keyring = import_module("keyring")
        errors = import_module("keyring.errors")
    except ImportError as error:
        what = f"the secret {source.name} comes from the keyring, and the keyring package is not installed"
        raise OperatorError(what, "pip install 'penstock[keyring]'") from error
    try:
        value = keyring.get_password(service, source.name)
    except errors.KeyringError as error:
        what = f"the keyring cannot be asked for the secret {source.name}: {error or type(error).__name__}"
        raise OperatorError(
            what, "unlock it, or set the secret in the environment and declare its name alone"
        ) from error
    if not isinstance(value, str) or not value:
        what = f"the keyring has no entry for the secret {source.name} under the service {service}"
        raise OperatorError(what, f"keyring set {service} {source.name}")
    return value
