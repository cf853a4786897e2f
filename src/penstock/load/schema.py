"""The JSON Schema that editors complete and check workflow files with, from the table that loading uses.

It is shipped as workflow.schema.json; after a change of the table, `python -m penstock.load.schema` prints it anew.
"""

from __future__ import annotations

import json

from penstock.core.canon import Json
from penstock.load.keys import WORKFLOW


def json_schema() -> dict[str, Json]:
    """The schema (2020-12) of the keys that this version knows, with a description for each."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Penstock workflow, version 1",
        **WORKFLOW.schema(),
    }


def text() -> str:
    """The schema as it is shipped beside this file and printed by `penstock schema`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(text(), end="")
