"""Write each drafted reply into a folder: ready/ID.md to be sent, or person/ID.md where a person must answer.

The folder is made anew, so that no reply of an earlier run is left in it.
"""

import argparse
import json
import shutil
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("accepted", type=Path, help="JSON Lines: a ticket and what was made of it, `{ticket, triage}`")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.accepted.read_text(encoding="utf-8").split("\n") if line]
    shutil.rmtree(options.folder, ignore_errors=True)
    for row in rows:
        file = options.folder / kind(row) / f"{row['ticket']['id']}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(letter(**row), encoding="utf-8")
    ready = sum(kind(row) == "ready" for row in rows)
    print(json.dumps({"ready": ready, "person": len(rows) - ready, "folder": str(options.folder)}))


def kind(row: dict) -> str:
    return "person" if row["triage"]["needs_human"] else "ready"


def letter(ticket: dict, triage: dict) -> str:
    """The reply with the ticket below it, quoted."""
    quoted = "\n".join(f"> {line}".rstrip() for line in ticket["body"].split("\n"))
    about = f"{triage['category']}, urgency {triage['urgency']}, {triage['sentiment']}: {triage['summary']}"
    return (
        f"To: {ticket['customer']}\nSubject: Re: {ticket['subject']} [{ticket['id']}]\n\n"
        f"{triage['suggested_reply']}\n\n---\n{about}\n\n{quoted}\n"
    )


if __name__ == "__main__":
    main()
