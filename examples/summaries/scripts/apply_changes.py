"""Write the summaries that were accepted to applied/summaries.md.

The files on the command line are all that generate wrote, the rejected ones included. Which of them count is
decided by route: only ids in `accepted_ids` of logs/route_summary.json (or `--route FILE`) are applied.
"""

import argparse
import json
import os
import sys
from pathlib import Path

APPLIED = Path("applied/summaries.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--route", type=Path, default=Path("logs/route_summary.json"))
    options = parser.parse_args()
    records = {record["id"]: record for record in map(load, options.files)}
    accepted = load(options.route)["accepted_ids"]
    missing = [name for name in accepted if name not in records]
    if missing:
        sys.exit(f"accepted, but no file holds them: {', '.join(missing)}")
    write(APPLIED, "\n".join(section(records[name]) for name in accepted))
    print(json.dumps({"applied": len(accepted), "left_out": len(records) - len(accepted), "file": str(APPLIED)}))


def load(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def section(record: dict) -> str:
    points = "".join(f"- {point}\n" for point in record["key_points"])
    return f"## {record['title']}\n\n{record['summary']}\n\n{points}\n_{record['id']}, by {record['model']}_\n"


def write(file: Path, text: str) -> None:
    """The whole file or the old one: a reader never sees half of it."""
    file.parent.mkdir(exist_ok=True)
    draft = file.with_suffix(".new")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, file)


if __name__ == "__main__":
    main()
