"""Print one JSON line for every text file of a folder: its first line is the title, the rest the text."""

import argparse
import json
import re
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    sys.stdout.reconfigure(encoding="utf-8")
    files = sorted(folder.glob("*.txt"))
    if not files:
        sys.exit(f"{folder}: no .txt files")
    for file in files:
        print(json.dumps(row(file), ensure_ascii=False))


def row(file: Path) -> dict[str, str]:
    title, _, text = file.read_text(encoding="utf-8").partition("\n")
    return {"id": file.stem, "title": title.strip(), "lang": language(text), "text": text.strip()}


def language(text: str) -> str:
    """`ko` where more than a third of the letters are Hangul, else `en`."""
    letters = re.findall(r"[^\W\d_]", text)
    hangul = [letter for letter in letters if "가" <= letter <= "힣"]
    return "ko" if 3 * len(hangul) > len(letters) else "en"


if __name__ == "__main__":
    main()
