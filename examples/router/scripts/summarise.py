"""Put the replies that were verified beside their requests, and print what there is to approve.

A record's line holds the index `i` of the row that it was made from: by it the answers, the verdicts and the requests
find each other.
"""

import argparse
import json
from collections import Counter
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", type=Path, help="the folder of the run's records")
    parser.add_argument("requests", type=Path)
    parser.add_argument("answered", type=Path, help="the file to write: one request with its answer a line")
    options = parser.parse_args()
    requests = lines(options.requests)
    answers = records(options.steps / "answer.jsonl")
    rows = [{"request": requests[i], "answer": answers[i]} for i in sorted(records(options.steps / "verify.jsonl"))]
    options.answered.parent.mkdir(exist_ok=True)
    options.answered.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(json.dumps(summary(requests, rows), ensure_ascii=False, indent=2))


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


def records(file: Path) -> dict[int, dict]:
    """The accepted records of a step by the index of their row."""
    return {line["i"]: line["record"] for line in lines(file) if line["verdict"] == "accepted"}


def summary(requests: list[dict], rows: list[dict]) -> dict[str, object]:
    replied = {row["request"]["id"] for row in rows}
    return {
        "requests": len(requests),
        "replies": len(rows),
        "needs_human": sum(row["answer"]["needs_human"] for row in rows),
        "private": sum(row["request"]["risk"] == "high" for row in rows),
        "categories": dict(sorted(Counter(row["answer"]["category"] for row in rows).items())),
        "left_to_people": [request["id"] for request in requests if request["id"] not in replied],
    }


if __name__ == "__main__":
    main()
