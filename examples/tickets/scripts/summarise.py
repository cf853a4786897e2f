"""Put the accepted answers beside their tickets, and print what there is of which kind.

A record's line holds the index `i` of the row that it was made from: by it the answers of `triage` and the verdicts of
`verify` find each other and their ticket.
"""

import argparse
import json
from collections import Counter
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", type=Path, help="the folder of the run's records")
    parser.add_argument("tickets", type=Path)
    parser.add_argument("accepted", type=Path, help="the file to write: one accepted answer with its ticket a line")
    options = parser.parse_args()
    tickets = lines(options.tickets)
    answers = records(options.steps / "triage.jsonl")
    verified = records(options.steps / "verify.jsonl")
    rows = [{"ticket": tickets[i], "triage": answers[i]} for i in sorted(verified)]
    write(options.accepted, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(json.dumps(summary(tickets, rows), ensure_ascii=False, indent=2))


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


def records(file: Path) -> dict[int, dict]:
    """The accepted records of a step by the index of their row."""
    return {line["i"]: line["record"] for line in lines(file) if line["verdict"] == "accepted"}


def summary(tickets: list[dict], rows: list[dict]) -> dict[str, object]:
    accepted = {row["ticket"]["id"] for row in rows}
    triages = [row["triage"] for row in rows]
    return {
        "tickets": len(tickets),
        "accepted": len(rows),
        "accept_rate": round(len(rows) / len(tickets), 4) if tickets else None,
        "languages": counted(triages, "language"),
        "categories": counted(triages, "category"),
        "urgencies": counted(triages, "urgency"),
        "needs_human": sum(triage["needs_human"] for triage in triages),
        "left_to_people": [ticket["id"] for ticket in tickets if ticket["id"] not in accepted],
    }


def counted(triages: list[dict], field: str) -> dict[str, int]:
    """How often each value occurs, in the order of the values."""
    return {str(value): count for value, count in sorted(Counter(triage[field] for triage in triages).items())}


def write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
