"""Nothing of a command outlives its attempt, whether it ended, its time was up or it was cancelled."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from penstock.core.work import Form, Outcome, Record
from tests.doubles import item
from tests.kinds.shell_bench import Bench, accident

STUBBORN = {
    "a command that ignores TERM": ('trap "" TERM; echo $$ > FILE; while :; do sleep 0.1; done', 1.0),
    "a child that ignores TERM": ('( trap "" TERM; echo $BASHPID > FILE; while :; do sleep 0.1; done ) & wait', 1.0),
    "a child that was left behind": ("sleep 600 & echo $! > FILE; echo done", None),
    "a child that was left behind and holds no file": ("sleep 600 > /dev/null 2>&1 < /dev/null & echo $! > FILE", None),
}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def pid_in(path: Path) -> int:
    return int(path.read_text())


async def until(path: Path) -> int:
    """Waits until a command has written its number there."""
    while not path.exists() or not path.read_text().endswith("\n"):
        await asyncio.sleep(0.01)
    return pid_in(path)


def test_what_will_not_end_is_killed_after_its_grace(bench: Bench) -> None:
    """All at once, since each has a grace of some seconds."""

    async def all_of_them() -> Mapping[str, Outcome]:
        attempts = []
        for number, (text, timeout_s) in enumerate(STUBBORN.values()):
            slot = bench.slot.with_name(f"a.{number}")
            slot.mkdir(exist_ok=True)
            text = text.replace("FILE", f"pid{number}")
            attempts.append(bench.perform(text, item(number), timeout_s=timeout_s, tools=bench.tools(slot=slot)))
        return dict(zip(STUBBORN, await asyncio.gather(*attempts), strict=True))

    outcomes = asyncio.run(all_of_them())
    alive = [name for number, name in enumerate(STUBBORN) if lives(pid_in(bench.folder / f"pid{number}"))]
    assert alive == []
    assert {name: accident(outcome) for name, outcome in outcomes.items()} == {
        "a command that ignores TERM": ("failed", "timeout", "its time was up after 1 s"),
        "a child that ignores TERM": ("failed", "timeout", "its time was up after 1 s"),
        "a child that was left behind": ("accepted", None, None),
        "a child that was left behind and holds no file": ("accepted", None, None),
    }


def test_a_command_whose_time_is_up_is_told_to_end_and_its_last_words_are_kept(bench: Bench) -> None:
    text = "trap 'echo bye >&2; exit 0' TERM; echo '{\"ok\": false}'; sleep 600 & wait"
    outcome = bench.one(text, timeout_s=1.0)
    assert accident(outcome) == ("failed", "timeout", "its time was up after 1 s")
    assert outcome.attempts[0].stderr == "bye"
    assert outcome.record is None


def test_a_pipeline_whose_time_is_up_ends_as_a_whole(bench: Bench) -> None:
    outcome = bench.one("sh -c 'echo $$ > pid1; exec sleep 600' | sh -c 'echo $$ > pid2; exec cat'", timeout_s=1.0)
    assert accident(outcome) == ("failed", "timeout", "its time was up after 1 s")
    assert not lives(pid_in(bench.folder / "pid1"))
    assert not lives(pid_in(bench.folder / "pid2"))


def test_a_command_that_is_quicker_than_its_time_is_left_alone(bench: Bench) -> None:
    assert bench.one("echo 1", timeout_s=600).record == Record(Form.JSON, b"1")


def test_the_last_words_of_a_process_substitution_are_waited_for(bench: Bench) -> None:
    outcome = bench.one("echo late > >(sleep 0.3; cat)")
    assert outcome.record is not None
    assert outcome.record.body == b"late"


def test_a_cancelled_attempt_leaves_no_process_of_its_group(bench: Bench) -> None:
    async def cancelled() -> list[int]:
        attempt = asyncio.create_task(bench.perform("echo $$ > pid1; sleep 600 & echo $! > pid2; wait", item(0)))
        pids = [await until(bench.folder / "pid1"), await until(bench.folder / "pid2")]
        assert all(map(lives, pids))
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        while any(map(lives, pids)):
            await asyncio.sleep(0.01)
        return pids

    assert len(asyncio.run(cancelled())) == 2


def test_an_attempt_that_is_cancelled_after_its_command_ended_leaves_no_child_of_it(bench: Bench) -> None:
    async def cancelled() -> int:
        attempt = asyncio.create_task(bench.perform("sleep 600 & echo $! > pid1; echo $$ > pid2", item(0)))
        child, leader = await until(bench.folder / "pid1"), await until(bench.folder / "pid2")
        while lives(leader) or Path(f"/proc/{leader}").exists():
            await asyncio.sleep(0.01)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        return child

    child = asyncio.run(cancelled())
    for _ in range(200):  # a killed process takes a moment to be gone
        if not lives(child):
            break
        time.sleep(0.01)
    assert not lives(child)


def test_no_descriptor_and_no_process_is_left_after_many_attempts(bench: Bench) -> None:
    def held() -> int:
        return len(os.listdir("/proc/self/fd"))

    bench.one("true")
    before = held()
    for number in range(20):
        bench.one("exit 1" if number % 2 else "echo x")
    assert held() <= before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
