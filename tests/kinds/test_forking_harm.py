"""Real kills, limits and full stops: what an item does to its forked shell, or to ours, harms no other item."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.core.work import Outcome
from penstock.kinds.forking import SlotShell
from penstock.kinds.groups import Groups
from penstock.kinds.supervisor import groups_in, processes
from penstock.kinds.tools import Tools
from penstock.rules.shell.forking import told_apart
from tests.doubles import item
from tests.kinds.shell_bench import Bench, accident

PARENT = "python3 -c 'import os; print(os.getppid())' > parent; "


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def lives(pid: int) -> bool:
    return any(pid == each[0] for each in processes())


def parent_of(pid: int) -> int:
    return next(parent for each, parent, _, _ in processes() if each == pid)


async def until(path: Path) -> int:
    while not path.exists() or not path.read_text().endswith("\n"):
        await asyncio.sleep(0.01)
    return int(path.read_text())


def with_shell(bench: Bench, what: Callable[[Tools], Awaitable[None]]) -> None:
    """Does that with a slot that forks, in one event loop; nothing of it is left."""

    async def all_of_it() -> None:
        tools = bench.tools()
        shell = SlotShell(tools.environment, None)
        try:
            await what(replace(tools, shell=shell))
        finally:
            shell.close()

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(all_of_it())
    assert len(os.listdir("/proc/self/fd")) <= before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


async def one(bench: Bench, tools: Tools, text: str, index: int = 0, timeout_s: float | None = None) -> Outcome:
    assert told_apart(text) is None
    return await bench.perform(text, item(index), tools=tools, timeout_s=timeout_s)


HARM = [
    "cd /; umask 0; IFS=x; PATH=/nowhere; export LC_ALL=zz; shift 0",
    "set +e; set +u; set -f; readonly PENSTOCK_I=9 PENSTOCK_ATTEMPT",
    "unset PENSTOCK_I PENSTOCK_ITEM_FILE PENSTOCK_ATTEMPT PATH",
    "exit 77",
    "rm -f \"$PENSTOCK_ITEM_FILE\"; :",
    "cat; sleep 300 & :",
]  # fmt: skip


@pytest.mark.parametrize("harm", HARM)
def test_what_an_item_does_to_its_shell_is_gone_with_it(bench: Bench, harm: str) -> None:
    look = "pwd; umask; echo $PENSTOCK_ATTEMPT; env | grep -c LC_ALL=C.UTF-8"
    text = f'if [ "$PENSTOCK_I" = 0 ]; then {harm}; else {look}; fi'

    async def two(tools: Tools) -> None:
        await one(bench, tools, text, 0)
        second = await one(bench, tools, text, 1)
        assert accident(second) == ("accepted", None, None)
        assert second.record is not None
        assert second.record.body.split(b"\n")[1:] == [b"0022", b"1", b"1"]
        assert second.record.body.startswith(os.fsencode(bench.folder))

    with_shell(bench, two)


def test_an_item_whose_forking_shell_is_killed_has_an_accident_and_the_next_one_has_another_shell(bench: Bench) -> None:
    text = f'if [ "$PENSTOCK_I" = 0 ]; then {PARENT} sleep 300; else echo fine; fi'

    async def killed(tools: Tools) -> None:
        attempt = asyncio.create_task(one(bench, tools, text, 0))
        forked = await until(bench.folder / "parent")
        os.kill(parent_of(forked), signal.SIGKILL)
        assert accident(await attempt) == ("failed", "exit", "killed by SIGKILL")
        assert not lives(forked)
        assert accident(await one(bench, tools, text, 1)) == ("accepted", None, None)

    with_shell(bench, killed)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP])
def test_an_item_that_is_killed_says_by_what(bench: Bench, number: signal.Signals) -> None:
    text = f'if [ "$PENSTOCK_I" = 0 ]; then {PARENT} sleep 300; else echo fine; fi'

    async def killed(tools: Tools) -> None:
        attempt = asyncio.create_task(one(bench, tools, text, 0))
        os.killpg(await until(bench.folder / "parent"), number)
        assert accident(await attempt) == ("failed", "exit", f"killed by {number.name}")
        assert accident(await one(bench, tools, text, 1)) == ("accepted", None, None)

    with_shell(bench, killed)


@pytest.mark.parametrize("who", ["loop", "waiting"])
def test_a_shell_that_dies_while_it_waits_costs_no_item(bench: Bench, who: str) -> None:
    async def killed(tools: Tools) -> None:
        await one(bench, tools, PARENT + ":", 0)
        (loop,) = [pid for pid, parent, group, _ in processes() if parent == os.getpid() and pid == group]
        (waiting,) = [pid for pid, parent, _, _ in processes() if parent == loop]
        os.kill(loop if who == "loop" else waiting, signal.SIGKILL)
        while lives(loop):
            await asyncio.sleep(0.01)
        assert accident(await one(bench, tools, PARENT + ":", 1)) == ("accepted", None, None)
        while lives(waiting):
            await asyncio.sleep(0.01)

    with_shell(bench, killed)


def test_an_item_whose_time_is_up_is_ended_and_its_shell_goes_on(bench: Bench) -> None:
    text = f'if [ "$PENSTOCK_I" = 0 ]; then {PARENT} sleep 300; else echo fine; fi'

    async def late(tools: Tools) -> None:
        assert accident(await one(bench, tools, text, 0, 1.0)) == ("failed", "timeout", "its time was up after 1 s")
        assert not lives(int((bench.folder / "parent").read_text()))
        assert accident(await one(bench, tools, text, 1, 600)) == ("accepted", None, None)

    with_shell(bench, late)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTSTP])
def test_a_stopped_item_has_not_ended_and_goes_on_where_it_was(bench: Bench, number: signal.Signals) -> None:
    text = PARENT + "until [ -e go ]; do sleep 0.01; done; exit 7"

    async def stopped(tools: Tools) -> None:
        attempt = asyncio.create_task(one(bench, tools, text))
        forked = await until(bench.folder / "parent")
        os.killpg(forked, number)
        (bench.folder / "go").write_text("")
        done, _ = await asyncio.wait([attempt], timeout=0.5)
        assert not done
        os.killpg(forked, signal.SIGCONT)
        assert accident(await attempt) == ("failed", "exit", "exit status 7")
        assert accident(await one(bench, tools, PARENT + ":", 1)) == ("accepted", None, None)

    with_shell(bench, stopped)


def test_a_stopped_item_has_its_time_too(bench: Bench) -> None:
    async def stopped(tools: Tools) -> None:
        attempt = asyncio.create_task(one(bench, tools, PARENT + "sleep 300; :", timeout_s=1.0))
        os.killpg(await until(bench.folder / "parent"), signal.SIGSTOP)
        assert accident(await attempt) == ("failed", "timeout", "its time was up after 1 s")

    with_shell(bench, stopped)


def test_a_thousand_items_in_a_row_each_end(bench: Bench) -> None:
    async def many(tools: Tools) -> None:
        for index in range(1000):
            assert accident(await one(bench, tools, "read -r row; :", index)) == ("accepted", None, None)

    with_shell(bench, many)


def test_a_cancelled_item_leaves_nothing(bench: Bench) -> None:
    async def cancelled(tools: Tools) -> None:
        attempt = asyncio.create_task(one(bench, tools, PARENT + "sleep 300; :"))
        forked = await until(bench.folder / "parent")
        loop = parent_of(forked)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        while lives(forked) or lives(loop):
            await asyncio.sleep(0.01)

    with_shell(bench, cancelled)


def test_the_table_has_the_group_of_an_item_before_its_text_runs_and_no_longer_than_that(bench: Bench) -> None:
    async def watched() -> None:
        groups = Groups(bench.run.root / "groups")
        tools = bench.tools()
        shell = SlotShell(tools.environment, groups)
        for index in range(3):
            attempt = asyncio.create_task(
                one(bench, replace(tools, shell=shell), PARENT + "until [ -e go ]; do sleep 0.01; done", index)
            )
            forked = await until(bench.folder / "parent")
            noted = groups_in((bench.run.root / "groups").read_bytes())
            assert set(noted) == {forked, parent_of(forked)}
            begun = next(started_s for pid, _, _, started_s in processes() if pid == forked)
            assert noted[forked] - 0.05 <= begun <= noted[forked] + 10
            (bench.folder / "go").write_text("")
            await attempt
            assert set(groups_in((bench.run.root / "groups").read_bytes())) == set(noted) - {forked}
            (bench.folder / "go").unlink()
            (bench.folder / "parent").unlink()
        shell.close()
        assert groups_in((bench.run.root / "groups").read_bytes()) == {}
        groups.close()

    asyncio.run(watched())
