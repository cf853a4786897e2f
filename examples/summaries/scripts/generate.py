"""Summarise one document and print the result as one JSON line.

This stands where a call to a model would be. It calls none: it picks the sentences whose words the document
uses most, and its `model` field says so.
"""

import argparse
import json
import re
import sys
from collections import Counter

SUMMARY_SENTENCES = 2
KEY_POINTS = 3
COMMON = """
    a about after all also an and are as at be been but by can for from had has have he her his if in into is it its
    more most no not of on one only or other out over she so some such than that the their them then there these
    they this to two under up was were what when which while who will with would you your
"""
STOP_WORDS = frozenset(COMMON.split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="recorded, not called")
    parser.add_argument("--input", required=True, help="the document: a JSON object with id, title and text")
    options = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8")
    document = json.loads(options.input)
    record = {"id": document["id"], "title": document["title"], "lang": document["lang"]}
    record |= summarise(document["text"])
    record["model"] = f"extractive-1 (no LLM; MODEL was {options.model})"
    print(json.dumps(record, ensure_ascii=False))


def summarise(text: str) -> dict[str, object]:
    """The best sentences in the text's order, the next best as key points, and how much of the text they cover."""
    found = sentences(text)
    weight = Counter(word for sentence in found for word in words(sentence))
    ranked = sorted(range(len(found)), key=lambda n: (-score(found[n], weight), n))
    summary = sorted(ranked[:SUMMARY_SENTENCES])
    points = sorted(ranked[SUMMARY_SENTENCES : SUMMARY_SENTENCES + KEY_POINTS])
    covered = {word for n in summary + points for word in words(found[n])}
    return {
        "summary": " ".join(found[n] for n in summary),
        "key_points": [found[n] for n in points],
        "confidence": round(sum(weight[word] for word in covered) / max(1, sum(weight.values())), 2),
    }


def sentences(text: str) -> list[str]:
    """The text cut after each `.`, `!` or `?` (and a closing quote) that something new follows."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        line = " ".join(paragraph.split())
        found += re.sub(r"([.!?][\"'”’」)]*) (?=[\"'“‘「『(`$A-Z가-힣0-9])", r"\1\n", line).split("\n")
    return [sentence for sentence in found if sentence]


def words(sentence: str) -> list[str]:
    """What a sentence is about: its words without the common ones. Korean words are cut to two syllables."""
    found = re.findall(r"[^\W_]+", sentence.lower())
    return [word[:2] if word >= "가" else word for word in found if len(word) > 1 and word not in STOP_WORDS]


def score(sentence: str, weight: Counter[str]) -> float:
    """How much the document dwells on the words of this sentence; a very short one does not win by one word."""
    found = words(sentence)
    return sum(weight[word] for word in set(found)) / (len(found) + 5)


if __name__ == "__main__":
    main()
