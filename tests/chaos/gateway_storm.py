"""Many scripts at once ask through one gateway and hang up at any moment; afterwards nothing is left of them.

    python -m tests.chaos.gateway_storm --calls 10000 --scripts 64 --seed 1

The scripts are tasks of this process that speak HTTP over bare sockets: some read their answer, some go away when they
have asked, some in the middle of their request, some in the middle of a stream. What they asked is paid for, kept and
charged all the same. At the end nothing may be reserved, in flight or open: no reservation, task or descriptor.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.gateway.gateway_room import GatewayRoom
from tests.upstream_server import Upstream

ENDS = ("reads", "reads", "reads", "leaves when it has asked", "leaves in its request", "leaves in its answer")
SHARED = 20
"""A call in so many says what another has said."""


@dataclass(slots=True)
class After:
    """What a storm came to. `left` names whatever is not as it was before."""

    ways: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    in_journal: int = 0
    unended: int = 0
    charged: int = 0
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def storm(folder: Path, url: str, calls: int, scripts: int, seed: int) -> After:
    """The calls, shared out among the scripts, and what is left of them."""
    after = After()
    draw = random.Random(seed)
    before = _open()
    async with GatewayRoom(folder, url) as room:
        passes = [room.issue(number + 1) for number in range(scripts)]
        known = asyncio.all_tasks()
        began = time.monotonic()
        shares = [calls // scripts + (number < calls % scripts) for number in range(scripts)]
        await asyncio.gather(
            *(
                _script(room.address, each.token, share, random.Random(draw.random()), after)
                for (each, _), share in zip(passes, shares, strict=True)
            )
        )
        for issued, holder in passes:
            passed = await issued.close()
            after.charged += len(holder.calls)
            if passed.bill is None and holder.calls:
                after.left.append("a bill was lost")
        after.seconds = time.monotonic() - began
        while asyncio.all_tasks() - known and time.monotonic() - began < after.seconds + 10:
            await asyncio.sleep(0.05)  # connections whose other end is gone are being closed
        after.left += [f"the task {task.get_coro()}" for task in asyncio.all_tasks() - known]
        after.left += [f"{level.reserved} reserved of {level.axis}" for level in room.budget.levels() if level.reserved]
        after.left += ["a call in flight"] if room.budget.in_flight else []
        ends = room.ledger.ends()
        after.in_journal = len(ends)
        after.unended = sum(end["ended_at"] is None for end in ends)
    if _open() != before:
        after.left.append(f"{_open()} descriptors, and there were {before}")
    return after


async def _script(address: str, token: str, calls: int, draw: random.Random, after: After) -> None:
    """One script: its calls, one after the other, over a connection that it keeps while it can."""
    parts = urlsplit(address)
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    for _ in range(calls):
        way, stream = draw.choice(ENDS), draw.random() < 0.3
        number = draw.randrange(10) if draw.randrange(SHARED) == 0 else draw.randrange(10**12)
        body = {"model": "gpt-4o-mini", "max_tokens": 9, "stream": stream}
        body |= {"messages": [{"role": "user", "content": f"number {number}"}]}
        streams = streams or await asyncio.open_connection(parts.hostname, parts.port)
        after.ways[f"{way}, {'streamed' if stream else 'whole'}"] += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            if await _called(*streams, parts.netloc, token, json.dumps(body).encode(), way, after):
                continue
        streams[1].transport.abort()
        streams = None
    if streams is not None:
        streams[1].close()


async def _called(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    host: str,
    token: str,
    body: bytes,
    way: str,
    after: After,
) -> bool:
    """One call; whether its connection can be used again."""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    whole = head + body
    writer.write(whole[: len(whole) - 20] if way == "leaves in its request" else whole)
    await writer.drain()
    if way.startswith("leaves in its request") or way == "leaves when it has asked":
        await asyncio.sleep(0.002)  # so that it has come
        return False
    said = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    after.statuses[int(said.split(" ", 2)[1])] += 1
    if way == "leaves in its answer":
        return False
    if "chunked" in said:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.readexactly(int(said.partition("content-length:")[2].split("\r\n")[0]))
    return True


def _open() -> int:
    """How many descriptors this process has open."""
    where = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")
    return len(os.listdir(where))


def main() -> None:
    """One storm, told on standard output; exit status 1 if anything is left of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.gateway_storm")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--scripts", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with Upstream() as upstream, tempfile.TemporaryDirectory(prefix="penstock-storm-") as name:
        after = asyncio.run(storm(Path(name), upstream.url, options.calls, options.scripts, options.seed))
        sent = len(upstream.seen())
    for way, count in sorted(after.ways.items()):
        print(f"{count:6}  {way}")
    print(f"{after.seconds:.1f} s, statuses {dict(after.statuses)}, {sent} sent upstream")
    print(
        f"{after.in_journal} calls in the journal, {after.unended} without an end, {after.charged} charged to scripts"
    )
    print("left: " + (", ".join(after.left) or "nothing"))
    raise SystemExit(bool(after.left or after.unended))


if __name__ == "__main__":
    main()
