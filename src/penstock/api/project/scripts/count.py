"""Counts the words of one row, which stands on standard input; says "ok": false for too few."""

import argparse
import json
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--least", type=int, required=True)
parser.add_argument("--id", required=True)
options = parser.parse_args()

words = len(json.load(sys.stdin)["text"].split())
print(json.dumps({"ok": words >= options.least, "id": options.id, "words": words}, ensure_ascii=False))
