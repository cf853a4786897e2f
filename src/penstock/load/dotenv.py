"""`.env`: names and values beside the workflow, where secrets come from.

The lines are read as python-dotenv reads them; `${VAR}` in a value is left as it stands, since a secret
may well hold a dollar sign. Messages never show a line: it may hold a secret.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from penstock.core.errors import Place, Problem, WorkflowError

_HELP = "a value with spaces, `#` or quotes stands in quotes; a comment begins with `#`"


def read(path: Path) -> dict[str, str]:
    """The values by name; of two lines with one name the last holds. Empty if there is no such file.

    WorkflowError names every line that does not give a name a value.
    """
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for binding in parse_stream(StringIO(_text(path), newline="")):
        fault = _fault(binding)
        if fault:
            problems.append(Problem(_place(path, binding), fault, _HELP))
        elif binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
    if problems:
        raise WorkflowError(tuple(problems))
    return values


def _fault(binding: Binding) -> str | None:
    if binding.error:
        return "this line is not `NAME=value`, or a quote in it is never closed"
    if binding.key is not None and binding.value is None:
        return f"`{binding.key}` is given no value"
    if binding.value is not None and "\0" in binding.value:
        return f"the value of `{binding.key}` holds a NUL"
    return None


def _place(path: Path, binding: Binding) -> Place:
    written = binding.original.string
    leading = written[: len(written) - len(written.lstrip())]
    return Place(str(path), binding.original.line + leading.count("\n"), 1)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = Problem(Place(str(path), line, 1), "this line is not UTF-8", "save the file as UTF-8")
        raise WorkflowError((problem,)) from None
    except OSError as error:
        raise WorkflowError((Problem(None, f"{path} cannot be read: {error.strerror}"),)) from None
