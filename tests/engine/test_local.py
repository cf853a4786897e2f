"""Tasks side by side on this machine, each in a slot of its own, with real commands."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from penstock.core.seams import Recorder
from penstock.core.states import RunState
from penstock.core.work import Attempt, Outcome, Task
from penstock.core.workflow import Retry, Step
from penstock.engine.local import LocalBackend
from penstock.engine.site import Site
from penstock.kinds.permits import Permit
from penstock.kinds.tools import Tools
from penstock.store.layout import RunFolder
from tests.doubles import HERE, Ground, MemoryRecorder, TickingClock, after, appends, flow, item, rows, shell, stream


def backend_in(folder: Path, recorder: Recorder | None = None, width: int = 8) -> LocalBackend:
    run = RunFolder(folder / "run")
    run.make()

    def tools(step: Step, slot: Path, permit: Permit) -> Tools:
        environment = {b"PATH": b"/usr/bin:/bin"}
        recorder_here = recorder or MemoryRecorder()
        return Tools(recorder_here, TickingClock(), Random(0), asyncio.sleep, folder, run, slot, environment, permit)

    return LocalBackend(run.slots, tools, lambda step: width)


async def all_ended(backend: LocalBackend, count: int) -> list[Outcome]:
    ended: list[Outcome] = []
    while len(ended) < count:
        await backend.wait(0.5)
        for outcome in backend.poll():
            backend.committed(outcome.task)
            ended.append(outcome)
    return ended


def task(index: int) -> Task:
    return Task("r1", "a", index, item(index))


def test_tasks_that_are_in_flight_together_have_slots_of_their_own_and_later_ones_use_them_again(
    tmp_path: Path,
) -> None:
    async def three_then_three() -> list[int]:
        backend = backend_in(tmp_path)
        step = Step("a", shell('cat "$PENSTOCK_ITEM_FILE" > "seen.$PENSTOCK_I"'), HERE)
        indices = []
        for begin in (0, 3):
            for index in range(begin, begin + 3):
                backend.submit(task(index), step)
            indices += [outcome.task.index for outcome in await all_ended(backend, 3)]
        return indices

    assert sorted(asyncio.run(three_then_three())) == list(range(6))
    assert sorted(path.name for path in (tmp_path / "run/slots").iterdir()) == ["a.1", "a.2", "a.3"]
    assert [(tmp_path / f"seen.{n}").read_text() for n in range(6)] == [f'{{"n":{n}}}\n' for n in range(6)]


def test_waiting_ends_with_the_time_that_was_given(tmp_path: Path) -> None:
    async def nothing_comes() -> list[Outcome]:
        backend = backend_in(tmp_path)
        await backend.wait(0)
        await backend.wait(0.01)
        return backend.poll()

    assert asyncio.run(nothing_comes()) == []


def test_what_kept_a_task_from_ending_is_raised_after_what_has_ended(tmp_path: Path) -> None:
    class Full(MemoryRecorder):
        def attempt_ended(self, task: Task, attempt: Attempt) -> None:
            raise OSError(28, "No space left on device")

    async def one_of_two() -> list[Outcome]:
        backend = backend_in(tmp_path, Full())
        backend.submit(task(0), Step("a", shell("true"), HERE))
        ended = await all_ended(backend, 1)
        backend.submit(task(1), Step("a", shell("false"), HERE, retry=Retry(attempts=2)))
        with pytest.raises(OSError, match="No space left"):
            await all_ended(backend, 1)
        return ended

    assert len(asyncio.run(one_of_two())) == 1


def test_what_is_cancelled_is_killed_and_gives_no_outcome(tmp_path: Path) -> None:
    async def cancelled() -> tuple[int, list[Outcome]]:
        backend = backend_in(tmp_path)
        backend.submit(task(0), Step("a", shell("echo $$ > pid; sleep 600"), HERE))
        path = tmp_path / "pid"
        while not path.exists() or not path.read_text().endswith("\n"):
            await asyncio.sleep(0.01)
        await backend.cancel()
        return int(path.read_text()), backend.poll()

    pid, outcomes = asyncio.run(cancelled())
    assert outcomes == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_nothing_of_the_slots_is_left_when_the_backend_is_closed(tmp_path: Path) -> None:
    async def one() -> None:
        backend = backend_in(tmp_path)
        backend.submit(task(0), Step("a", shell("echo secret"), HERE))
        await all_ended(backend, 1)
        backend.close()

    asyncio.run(one())
    assert not (tmp_path / "run/slots").exists()


def local(ground: Ground) -> Callable[[Site], LocalBackend]:
    def backend(site: Site) -> LocalBackend:
        def tools(step: Step, slot: Path, permit: Permit) -> Tools:
            environment = {os.fsencode(name): os.fsencode(value) for name, value in site.env_of(step).items()}
            return Tools(
                site.journal,
                site.clock,
                Random(0),
                asyncio.sleep,
                ground.folder,
                site.folder,
                slot,
                environment,
                permit,
            )

        return LocalBackend(site.folder.slots, tools, lambda step: step.concurrency or 2)

    return backend


def test_a_run_of_real_commands_ends_with_whole_files_in_order(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    text = """
        sleep "0.0$(( PENSTOCK_I % 4 ))"
        echo "line $PENSTOCK_I" >> "$PENSTOCK_PIECE_1"
        (( PENSTOCK_I % 5 )) && echo '{"ok": true}' || echo '{"ok": false}'
    """
    above = Step("a", shell(text, targets=(appends("logs/a.txt"),)), HERE, foreach=rows(24))
    below = Step("b", shell("cat"), HERE, needs=after("a"), foreach=stream("a", "rejected"), barrier=False)
    last = Step("c", shell("wc -l < logs/a.txt"), HERE, needs=after("b"))
    assert ground.live(flow(ground.folder, above, below, last), local(ground), concurrency=6) is RunState.SUCCEEDED
    assert (ground.folder / "logs/a.txt").read_text() == "".join(f"line {n}\n" for n in range(24))
    assert ground.verdicts("b") == dict.fromkeys((0, 5, 10, 15, 20), "rejected")
    assert (ground.run.out / "c.out").read_text().strip() == "24"
