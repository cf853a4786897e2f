"""Write each reply into a folder: ready/ID.md to be sent, or person/ID.md where a person must answer.

The folder is made anew, so that no reply of an earlier run is left in it.
"""

import argparse
import json
import shutil
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("answered", type=Path, help="JSON Lines: a request and the answer to it, `{request, answer}`")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.answered.read_text(encoding="utf-8").split("\n") if line]
    shutil.rmtree(options.folder, ignore_errors=True)
    for row in rows:
        file = options.folder / kind(row) / f"{row['request']['id']}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(letter(**row), encoding="utf-8")
    ready = sum(kind(row) == "ready" for row in rows)
    print(json.dumps({"ready": ready, "person": len(rows) - ready, "folder": str(options.folder)}))


def kind(row: dict) -> str:
    return "person" if row["answer"]["needs_human"] else "ready"


def letter(request: dict, answer: dict) -> str:
    """The reply with the request below it, quoted."""
    quoted = "\n".join(f"> {line}".rstrip() for line in request["body"].split("\n"))
    return (
        f"To: {request['customer']}\nSubject: Re: {request['subject']} [{request['id']}]\n\n"
        f"{answer['suggested_reply']}\n\n---\n{answer['category']}: {answer['summary']}\n\n{quoted}\n"
    )


if __name__ == "__main__":
    main()
