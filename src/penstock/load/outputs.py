"""`outputs` of a step: names and paths."""

from __future__ import annotations

from pathlib import Path

from penstock.load.env import Variables, expand
from penstock.load.fields import Fields
from penstock.load.paths import relative
from penstock.load.tree import Mapping, Scalar


def declared_outputs(fields: Fields, variables: Variables, folder: Path) -> tuple[tuple[str, str], ...]:
    """(name, path) of each declared file; one that is listed without a name is named by its stem."""
    node = fields.node("outputs")
    if isinstance(node, Mapping):
        entries = [(key.text, value) for key, value in node.entries if fields.findings.sound(value)]
    else:
        entries = [(stem(scalar.text), scalar) for scalar in fields.scalars("outputs")]
    outputs: dict[str, str] = {}
    for name, scalar in entries:
        path = expand(scalar, variables, fields.findings) if isinstance(scalar, Scalar) else None
        if not path:
            continue
        if name in outputs:
            fields.findings.wrong(
                scalar, f"two outputs of this step are called `{name}`", f"give names: `outputs: {{name: {path}, …}}`"
            )
        outputs.setdefault(name, relative(path, folder))
    return tuple(outputs.items())


def stem(path: str) -> str:
    """The file's name without its extension; of `.jsonl.gz` both go."""
    name = path.rstrip("/").rsplit("/", 1)[-1]
    name = name[:-3] if name.lower().endswith(".gz") else name
    return name.rsplit(".", 1)[0] or name
