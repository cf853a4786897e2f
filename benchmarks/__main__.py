"""`make bench`: measures, prints, and writes RESULTS.md.

python -m benchmarks [--rounds N] [--rows N] [--only items,models,gateway,startup,finished,memory]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

from benchmarks import gateway, items, measure, models, startup, streams

RESULTS = Path(__file__).with_name("RESULTS.md")
ABOUT = """\
# Results

Written by `make bench`. Each figure is a median with the least and the most beside it; ratios are taken round by round,
in one run, with the peer measured right before or after. Absolute times say more about the machine than about Penstock.
"""


def main() -> None:
    """Runs what is asked for; RESULTS.md is written when all of it was."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000, help="the most rows of the memory table")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    counts = tuple(count for count in (10_000, 100_000, 1_000_000) if count <= options.rows)
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        folder = Path(name)
        parts: dict[str, tuple[str, Callable[[], list[str]]]] = {
            "items": (
                "One item: a command that writes one small file, two at a time",
                lambda: items.lines(folder, options.rounds),
            ),
            "models": (
                "Model calls: 2,000 rows, 64 in flight, a server on the same machine",
                lambda: models.lines(folder, options.rounds),
            ),
            "gateway": (
                "The gateway: 4,000 calls of one script, a server on the same machine",
                lambda: gateway.lines(folder, options.rounds),
            ),
            "startup": ("Small commands", lambda: startup.lines(folder, 3 * options.rounds)),
            "finished": ("Finished work", lambda: streams.finished(folder, options.rounds)),
            "memory": ("Rows through a `where`, 100 of them run", lambda: streams.memory(folder, counts)),
        }
        wanted = options.only.split(",") if options.only else list(parts)
        text = [ABOUT, f"## Machine, {date.today()}", "", *measure.machine(), ""]
        for part in wanted:
            title, lines = parts[part]
            section = [f"## {title}", "", *lines(), ""]
            print("\n".join(section), flush=True)
            text += section
    if not options.only:
        RESULTS.write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
