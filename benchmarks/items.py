"""What one item costs: Penstock beside `xargs -P2` and `make -j2` doing the same thing with the same shell."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import PENSTOCK, folder_bytes, fresh, median, must, spread, timed

FEW, MANY = 1_000, 10_000
WORKFLOW = """\
name: Bench
steps:
  - id: write
    foreach: rows.jsonl
    concurrency: 2
    run: echo hello > "out/{{i}}.txt"
"""
STARTED = "penstock, a shell started for each"
"""The same text with a word more, by which it could tell a forked shell from a started one; so it has a started one."""
MAKEFILE = """\
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
all: $(patsubst %,out/%.txt,$(shell seq 0 LAST))
out/%.txt: ; @echo hello > $@
"""


def lines(folder: Path, rounds: int) -> list[str]:
    """The table, as Markdown. The slope between few and many items is the cost of one, without start-up."""
    slopes: dict[str, list[float]] = {name: [] for name in ("penstock", "xargs -P2", STARTED, "make -j2")}
    cpu: dict[str, list[float]] = {name: [] for name in slopes}
    disk = 0.0
    for _ in range(rounds):
        for name in slopes:
            rooms = [fresh(folder / "items") for _ in range(2)]
            few, many = (_once(name, room, count) for room, count in zip(rooms, (FEW, MANY), strict=True))
            slopes[name].append((many[0] - few[0]) / (MANY - FEW) * 1e3)
            cpu[name].append((many[1] - few[1]) / (MANY - FEW) * 1e3)
            if name == "penstock":
                disk = folder_bytes(rooms[1] / ".penstock") / MANY
    table = ["| | ms an item | processor ms an item | beside xargs |", "|---|---|---|---|"]
    for name, slope in slopes.items():
        ratios = [mine / theirs for mine, theirs in zip(slope, slopes["xargs -P2"], strict=True)]
        table.append(f"| {name} | {spread(slope, 3)} | {median(cpu[name]):.3f} | {spread(ratios)} |")
    return [*table, "", f"Disk in `.penstock`: {disk:,.0f} bytes an item."]


def _once(name: str, folder: Path, count: int) -> tuple[float, float]:
    (folder / "out").mkdir()
    if name in ("penstock", STARTED):
        (folder / "workflow.yaml").write_text(
            WORKFLOW if name == "penstock" else WORKFLOW.replace("run: ", "run: true $$; ")
        )
        (folder / "rows.jsonl").write_text("".join(f'{{"n":{n}}}\n' for n in range(count)))
        words = [*PENSTOCK, "run", "--quiet"]
    elif name == "make -j2":
        (folder / "Makefile").write_text(MAKEFILE.replace("LAST", str(count - 1)))
        words = ["make", "-j2", "--silent"]
    else:
        script = f"seq 0 {count - 1} | xargs -P2 -I@ bash -euo pipefail -c 'echo hello > \"out/$1.txt\"' _ @"
        words = ["bash", "-c", script]
    cost = must(timed(words, folder), folder)
    if sum(1 for _ in (folder / "out").iterdir()) != count:
        raise RuntimeError(f"{name} did not write {count} files")
    return cost.wall_s, cost.cpu_s
