"""What the gateway costs: the calls of one client by way of Penstock beside the same calls made directly."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measure import PENSTOCK, Cost, fresh, must, spread, timed
from tests.model_server import ModelServer, Script
from tests.upstream_server import Upstream

CALLS = 4_000
STREAMS = 200
AT_ONCE = 64
WORKFLOW = """\
name: Gateway
models:
  mock: {model: openai/mock, price: {input: 0.15, output: 0.6}}
steps:
  - id: ask
    run: python client.py COUNT > said.json
"""
CLIENT = """\
import asyncio, json, os, resource, statistics, sys, time
import aiohttp

url, key = os.environ["OPENAI_BASE_URL"] + "/chat/completions", os.environ["OPENAI_API_KEY"]
count, at_once, stream = int(sys.argv[1]), AT_ONCE, STREAM

async def main():
    gate, firsts = asyncio.Semaphore(1 if stream else at_once), []
    headers = {"Authorization": "Bearer " + key}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:
        async def one(n):
            text = f"Summarise in one sentence: row number {n} of this file, with some words in it"
            body = {"model": "mock", "messages": [{"role": "user", "content": text}], "stream": stream}
            async with gate:
                began = time.perf_counter()
                async with session.post(url, json=body) as response:
                    await response.content.readany()
                    firsts.append((time.perf_counter() - began) * 1e3)
                    await response.read()
                    assert response.status == 200
        await one(-1)
        firsts.clear()
        await asyncio.gather(*(one(n) for n in range(count)))
    used = resource.getrusage(resource.RUSAGE_SELF)
    firsts[:] = sorted(firsts) or [0.0]
    print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "median_ms": statistics.median(firsts),
                      "p95_ms": firsts[int(len(firsts) * 0.95)]}))

asyncio.run(main())
"""


def lines(folder: Path, rounds: int) -> list[str]:
    """Two tables, as Markdown: what a call costs, and how much later the first part of a stream comes."""
    table = [
        "| 64 at once, a server of 0 ms | seconds, less the start | beside direct calls | own processor ms a call |",
        "|---|---|---|---|",
    ]
    walls: dict[str, list[float]] = {"direct": [], "gateway": [], "gateway, again (all cached)": []}
    cpu: dict[str, list[float]] = {name: [] for name in walls}
    with ModelServer(Script()) as server:
        for _ in range(rounds):
            room, environ = _room(folder, stream=False, count=CALLS), _environ(server.url)
            idle = _once(_room(folder, stream=False, count=0), environ, "gateway", 0)
            for name in walls:
                found = _once(room, environ, name, CALLS)
                walls[name].append(found[0].wall_s - (0.0 if name == "direct" else idle[0].wall_s))
                cpu[name].append((_own_s(found) - (0.0 if name == "direct" else _own_s(idle))) / CALLS * 1e3)
    for name, each in walls.items():
        ratios = [mine / direct for mine, direct in zip(each, walls["direct"], strict=True)]
        table.append(f"| {name} | {spread(each)} | {spread(ratios)} | {spread(cpu[name])} |")
    return [*table, "", *_first_parts(folder, rounds)]


def _first_parts(folder: Path, rounds: int) -> list[str]:
    table = ["| streams, one at a time | first part after, ms, median | p95 |", "|---|---|---|"]
    found: dict[str, list[Mapping[str, float]]] = {"direct": [], "gateway": []}
    with Upstream() as server:
        for _ in range(rounds):
            room = _room(folder, stream=True, count=STREAMS)
            for name, each in found.items():
                each.append(_once(room, _environ(server.url), name, STREAMS)[1])
    for name, each in found.items():
        medians, p95s = (spread([one[key] for one in each]) for key in ("median_ms", "p95_ms"))
        table.append(f"| {name} | {medians} | {p95s} |")
    later = [
        [mine[key] - direct[key] for mine, direct in zip(found["gateway"], found["direct"], strict=True)]
        for key in ("median_ms", "p95_ms")
    ]
    return [*table, f"| later by | {spread(later[0])} | {spread(later[1])} |"]


def _once(room: Path, environ: Mapping[str, str], name: str, count: int) -> tuple[Cost, dict[str, float]]:
    """One run of the client, and what it said of itself."""
    if name == "direct":
        words = [sys.executable, "client.py", str(count)]
        cost = must(timed(words, room, environ), room)
        said = (room / "bench.out").read_text()
    else:
        cost = must(timed([*PENSTOCK, "run", "--quiet"], room, environ), room)
        said = (room / "said.json").read_text()
    found: dict[str, float] = json.loads(said)
    return cost, found


def _own_s(found: tuple[Cost, dict[str, float]]) -> float:
    """The processor time that the client did not use itself."""
    return found[0].cpu_s - found[1]["cpu_s"]


def _room(folder: Path, stream: bool, count: int) -> Path:
    room = fresh(folder / "gateway")
    (room / "workflow.yaml").write_text(WORKFLOW.replace("COUNT", str(count)))
    (room / "client.py").write_text(CLIENT.replace("AT_ONCE", str(AT_ONCE)).replace("STREAM", str(stream)))
    return room


def _environ(url: str) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {"PATH": path, "OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "sk-mock"}
