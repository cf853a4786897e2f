"""From a path that a person typed to a Workflow."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from penstock.core.errors import OperatorError, UsageError
from penstock.core.workflow import Workflow
from penstock.load.build import load as build

NAMES = ("workflow.yaml", "workflow.yml", "penstock.yaml", "penstock.yml")
"""What a workflow file is called where only its folder is named, in this order."""


def locate(path: Path) -> Path:
    """The workflow file that a path means: the file itself, or the one in a folder. UsageError if there is none."""
    if path.is_dir():
        found = next((path / name for name in NAMES if (path / name).is_file()), None)
        if found is None:
            where = "this folder" if path == Path() else str(path)
            raise UsageError(
                f"there is no workflow in {where}: it has no {' or '.join(NAMES[::2])}",
                "name the file, or make a new project with `penstock init`",
            )
        return found
    if not path.exists():
        raise UsageError(f"{path} does not exist", "name a workflow file, or the folder that it is in")
    if path.name != path.name.encode("utf-8", "replace").decode():
        raise UsageError(f"the name of {path} is not UTF-8, and the journal keeps it as text", "rename the file")
    return path


def load(
    path: Path,
    variables: Mapping[str, str] | None = None,
    text: str | None = None,
    files: Mapping[str, str] | None = None,
) -> Workflow:
    """The workflow in a file. WorkflowError holds every problem at once.

    `variables` override entries of its `env`; `text` is read in place of the file, and `files` in place of its
    prompts and schemas (a run's snapshot).
    """
    place = locate(path) if text is None else path
    return build(place, overrides=variables or {}, environ=os.environ, text=text, files=files)


def require_bash(workflow: Workflow) -> None:
    """OperatorError if a step is run by bash and there is none.

    Another interpreter may be what an earlier step installs; it is missed when its step begins.
    """
    for step in workflow.steps:
        path = {**os.environ, **dict(workflow.env), **dict(step.env)}.get("PATH")
        if step.shell is not None and step.shell.interpreter[0] == "bash" and shutil.which("bash", path=path) is None:
            raise OperatorError(
                f"bash is not on the PATH, and step {step.id} is run by it",
                "install bash, or add its folder to PATH (`shell: sh` runs a step without it)",
            )


def schema_text() -> str:
    """The JSON Schema of the workflow file, as it is shipped for editors."""
    return resources.files("penstock.load").joinpath("workflow.schema.json").read_text(encoding="utf-8")
