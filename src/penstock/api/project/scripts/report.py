"""Writes a table of the records in a step's JSONL file."""

import json
import sys

print("| id | words | enough |\n|---|---|---|")
with open(sys.argv[1], encoding="utf-8") as lines:
    for line in lines:
        record = json.loads(line)["record"]
        print(f"| {record['id']} | {record['words']} | {'yes' if record['ok'] else 'no'} |")
