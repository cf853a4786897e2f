"""Count what verify said, and print the accept rate with the ids on either side."""

import argparse
import json
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path, help="JSON Lines: one {ok, id, errors} for each document")
    lines = parser.parse_args().log.read_text(encoding="utf-8").splitlines()
    verdicts = [json.loads(line) for line in lines]
    accepted = [verdict["id"] for verdict in verdicts if verdict["ok"]]
    rejected = [verdict["id"] for verdict in verdicts if not verdict["ok"]]
    summary = {
        "accept_rate": round(len(accepted) / len(verdicts), 4) if verdicts else None,
        "accepted": len(accepted),
        "rejected": len(rejected),
        "accepted_ids": accepted,
        "rejected_ids": rejected,
    }
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    main()
