"""What a model call costs: a `generate` step beside a bare aiohttp loop that does nothing but send and read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.measure import PENSTOCK, Cost, folder_bytes, fresh, median, must, spread, timed
from tests.model_server import ModelServer, Script

ROWS = 2_000
AT_ONCE = 64
ANSWER = {"summary": "$prompt", "confidence": 0.9}
WORKFLOW = """\
name: Calls
models:
  m: {model: openai/mock, base_url: URL/v1, price: {input: 0.15, output: 0.6}}
steps:
  - id: ask
    foreach: rows.jsonl
    concurrency: 64
    generate:
      model: m
      prompt: "Summarise in one sentence: {{ item.text }}"
      schema: schema.json
      checks: output.confidence >= 0.5
"""
SCHEMA = {
    "type": "object",
    "properties": {"summary": {"type": "string"}, "confidence": {"type": "number", "minimum": 0, "maximum": 1}},
    "required": ["summary", "confidence"],
}
BARE = """\
import asyncio, json, sys
import aiohttp

async def main(url, rows, at_once):
    gate = asyncio.Semaphore(at_once)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async def one(n):
            text = f"row number {n} of this file, with some words in it"
            body = {"model": "mock", "messages": [{"role": "user", "content": f"Summarise in one sentence: {text}"}]}
            async with gate, session.post(f"{url}/v1/chat/completions", json=body) as response:
                json.loads((await response.json())["choices"][0]["message"]["content"])
        await asyncio.gather(*(one(n) for n in range(rows)))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def lines(folder: Path, rounds: int) -> list[str]:
    """The table, as Markdown: whole processes, 2,000 rows, 64 in flight, at two latencies of the server."""
    table = [
        "| server | | seconds | beside the bare loop | processor s per 1,000 calls | peak MB |",
        "|---|---|---|---|---|---|",
    ]
    disk = 0.0
    for latency_ms in (0, 50):
        found: dict[str, list[Cost]] = {"bare loop": [], "penstock": [], "penstock, again (all cached)": []}
        with ModelServer(Script(latency_ms=latency_ms, answer=ANSWER)) as server:
            for _ in range(rounds):
                room = _room(folder, server.url)
                found["bare loop"].append(_bare(room, server.url))
                for name in ("penstock", "penstock, again (all cached)"):
                    server.reset()
                    found[name].append(must(timed([*PENSTOCK, "run", "--quiet"], room), room))
                    _sent(server, 0 if "again" in name else ROWS)
                    disk = disk or folder_bytes(room / ".penstock") / ROWS
        for name, costs in found.items():
            ratios = [mine.wall_s / bare.wall_s for mine, bare in zip(costs, found["bare loop"], strict=True)]
            cpu = median([cost.cpu_s / ROWS * 1e3 for cost in costs])
            peak = median([cost.peak_mb for cost in costs])
            walls = spread([cost.wall_s for cost in costs])
            table.append(f"| {latency_ms} ms | {name} | {walls} | {spread(ratios)} | {cpu:.2f} | {peak:.0f} |")
    return [*table, "", f"Disk in `.penstock`, journal and cache: {disk:,.0f} bytes an item."]


def _room(folder: Path, url: str) -> Path:
    room = fresh(folder / "models")
    (room / "workflow.yaml").write_text(WORKFLOW.replace("URL", url))
    (room / "schema.json").write_text(json.dumps(SCHEMA))
    (room / "bare.py").write_text(BARE)
    with (room / "rows.jsonl").open("w") as file:
        file.writelines(
            f'{{"n": {n}, "text": "row number {n} of this file, with some words in it"}}\n' for n in range(ROWS)
        )
    return room


def _bare(room: Path, url: str) -> Cost:
    return must(timed([sys.executable, "bare.py", url, str(ROWS), str(AT_ONCE)], room), room)


def _sent(server: ModelServer, expected: int) -> None:
    sent = server.counts()["requests"]
    if sent != expected:
        raise RuntimeError(f"{sent} requests were sent, and {expected} were expected")
