"""A bash of a slot that forks a shell for each item: a fork costs the machine a third of what starting bash does.

The shell (`LOOP`) is started as any command of the step is, and dies by itself when its pipes close. For each item:

    it forks           the new shell, in a group of its own, waits for a line on the pipe
    it reports         "STATUS GROUP": how the item before ended, and the group of the shell that waits
    we note the group  in the table, before anything of the item's is run
    we ask             the values go to a file, each ended by a NUL; a line goes to the pipe
    the new shell      reads the values as data, takes the item's files for its streams, and evaluates the text

What the text does to its shell (variables, limits, folder, options, `exit`) is done to the forked one and ends with it.
A status of 128 or more ends the loop too: a signal may have come when something of ours was half read. The loop keeps
what it must remember in its positional parameters; they are gone when the text is evaluated: it finds no name of ours.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.kinds.groups import Groups, boot_time
from penstock.kinds.shell_process import GRACE_S, Exit, Streams, signal_group, start, sweep
from penstock.kinds.supervisor import LATE_S, processes
from penstock.rules.shell.forking import told_apart, unfit

INTERPRETER = ("bash", "-euo", "pipefail")
LOOP = (
    'set -m; ended() { wait "$!"; }; set -- "$1" "${BASH_VERSINFO[0]}"; while :; do '
    "( set +m; unset -f ended; read -r PENSTOCK_ATTEMPT || exit 255; "
    "{ READS; } < VALUES && exec < STDIN >> STDOUT 2>> STDERR || { echo '! -'; exit 255; }; "
    'eval "shift 2;$1" ) & '
    'echo "$2 $!"; '
    'until ended && set -- "$1" 0 || { set -- "$1" "$?"; [[ $2 -lt 128 || -z $(jobs -s) ]]; }; '
    "do read -r -t 0.2 || [[ $? -gt 128 ]] || exit 255; done; "
    '[[ $2 -lt 128 ]] || { jobs; echo "$2 -"; exit; }; done'
)
"""All on one line, so that bash counts the lines of the text from 1. The words in capitals are filled in by `_loop`.

`wait` also returns when the item's shell has only been stopped; the loop then looks again every 0.2 s. It is in a
function because SIGTSTP of a job breaks the loops around its `wait`, and those outside of a function are not around it.
(`wait -f` waits for the end, and may wait for ever: bash 5.2 looks at the job again after it has freed it.)
"""
READ = 'IFS= read -r -d "" '
OLDEST = 5
"""The oldest version of bash with which the tests of this have run."""
VALUES_BYTES = 1 << 16
SAID_BYTES = 1 << 16
"""A loop that says more than this without a report is out of its mind, and is ended."""
CLOSING_S = 1.0
_REPORT = re.compile(rb"^(!|[0-9]+) (-|[0-9]+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a shell is started with and cannot change. An item of another kind needs another shell.

    `names` are the variables that get a value with each item, `fixed` those that do not.
    """

    text: str
    folder: Path
    streams: Streams
    names: tuple[bytes, ...]
    fixed: tuple[tuple[bytes, bytes], ...]


class SlotShell:
    """The forking shell of one slot: started when it is first needed, and again when it was lost."""

    def __init__(self, environment: Mapping[bytes, bytes], groups: Groups | None) -> None:
        """`environment` is the step's."""
        self._environment = environment
        self._groups = groups
        self._shell: _Shell | None = None
        self._usable = unfit({os.fsdecode(k): os.fsdecode(v) for k, v in environment.items()}) is None

    def takes(self, interpreter: tuple[str, ...], text: str) -> bool:
        """Whether items of this text may have a shell that is forked."""
        return self._usable and interpreter == INTERPRETER and told_apart(text) is None

    async def run(self, kind: Kind, values: tuple[bytes, ...], timeout_s: float | None) -> Exit | None:
        """As `shell_process.run`; None if nothing was begun, and a shell must be started for this item."""
        if not _readable(values):
            return None
        if self._shell is not None and not self._shell.serves(kind):
            self.close()
        shell = self._shell or await self._started(kind)
        if shell is None:
            return None
        try:
            return await shell.run(values, timeout_s)
        finally:
            if shell.gone:
                self.close()

    def close(self) -> None:
        """Nothing of the shell is alive."""
        shell, self._shell = self._shell, None
        if shell is not None:
            shell.close()

    async def _started(self, kind: Kind) -> _Shell | None:
        environment = {**self._environment, **dict(kind.fixed), **dict.fromkeys(kind.names, b"")}
        try:
            self._shell = _Shell(kind, environment, self._groups)
        except OSError:
            return None  # a shell for the item alone meets the same trouble, and tells of it
        try:
            self._usable = await self._shell.version() >= OLDEST
        finally:
            if self._shell.gone or not self._usable:
                self.close()
        return self._shell


class _Shell:
    """A running loop, and the shell that it has forked last."""

    def __init__(self, kind: Kind, environment: Mapping[bytes, bytes], groups: Groups | None) -> None:
        self.gone = False
        self._kind = kind
        self._groups = groups
        self._loop = asyncio.get_running_loop()
        self._heard = b""
        self._report: asyncio.Future[bytes] = self._loop.create_future()
        self._next = 0
        self._status: int | None = None
        self._said = b""
        self._folder = os.stat(kind.folder)
        values = f"{kind.streams.stdout}.values"
        self._values = os.open(values, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        asked, self._asking = os.pipe()
        self._reading, told = os.pipe()
        opened = [(os.POSIX_SPAWN_DUP2, asked, 0), (os.POSIX_SPAWN_DUP2, told, 1), (os.POSIX_SPAWN_DUP2, told, 2)]
        words = (*INTERPRETER, "-c", _loop(kind, values), INTERPRETER[0], kind.text)
        self._asked_s = self._heard_s = boot_time()
        try:
            self._pid = start(words, kind.folder, environment, opened)
        except OSError:
            self._let_go()
            raise
        finally:
            os.close(asked)
            os.close(told)
        self._slot = groups.started(self._pid, self._asked_s) if groups is not None else None
        os.set_blocking(self._reading, False)
        self._loop.add_reader(self._reading, self._hear)

    async def version(self) -> int:
        """The version of bash, as soon as a forked shell waits; 0 if there is none."""
        try:
            word = await self._report
        except BaseException:
            self.gone = True
            raise
        return int(word) if word.isdigit() and not self.gone else 0

    def serves(self, kind: Kind) -> bool:
        """Whether an item of this kind can be asked of it: it lives, and its folder is the one that has the name."""
        if self.gone or kind != self._kind or self._has_ended():
            return False
        try:
            return os.path.samestat(os.stat(kind.folder), self._folder)
        except OSError:
            return False

    async def run(self, values: tuple[bytes, ...], timeout_s: float | None) -> Exit | None:
        """One item to its end; when this returns or raises, no process of its group is alive."""
        group = self._next
        noted = self._groups.started(group, self._forked_s()) if self._groups is not None else None
        try:
            report = self._ask(values)
            timed_out = not await _within(report, timeout_s)
            if timed_out:
                signal_group(group, signal.SIGTERM)
                if not await _within(report, GRACE_S):
                    signal_group(group, signal.SIGKILL)
            word = await report
            if not word:
                signal_group(group, signal.SIGKILL)
            left_behind = await sweep(group) and bool(word)
        except BaseException:
            signal_group(group, signal.SIGKILL)
            self.gone = True
            raise
        finally:
            if self._groups is not None and noted is not None:
                self._groups.ended(noted)
        return None if word == b"!" else Exit(self._status_of(word), timed_out, left_behind)

    def close(self) -> None:
        """Nothing of it is alive, and nothing of ours is open.

        In order, the waiting shell sees the end of its pipe and ends, and so does the loop.
        """
        self.gone = True
        self._loop.remove_reader(self._reading)
        if self._has_ended():
            signal_group(self._next, signal.SIGKILL)
        os.close(self._asking)
        end_s = time.monotonic() + CLOSING_S
        while not self._has_ended():
            if time.monotonic() > end_s:
                signal_group(self._pid, signal.SIGKILL)
                signal_group(self._next, signal.SIGKILL)
            time.sleep(0.0005)
        os.close(self._reading)
        os.close(self._values)
        if self._groups is not None and self._slot is not None:
            self._groups.ended(self._slot)

    # --- asking and hearing --------------------------------------------------------------------

    def _ask(self, values: tuple[bytes, ...]) -> asyncio.Future[bytes]:
        """The shell that waits has the item now; where its report will be."""
        text = b"".join(value + b"\0" for value in values)
        written = 0
        while written < len(text):
            written += os.pwrite(self._values, text[written:], written)
        self._report = self._loop.create_future()
        self._asked_s = boot_time()
        try:
            os.write(self._asking, b"\n")
        except BrokenPipeError:
            self._tell(b"!", b"-")
        return self._report

    def _hear(self) -> None:
        """Takes in what the loop says: its reports, and what bash says of jobs, which only `_status_of` reads."""
        try:
            said = os.read(self._reading, 1 << 16)
        except BlockingIOError:
            return
        if not said:
            self._loop.remove_reader(self._reading)
            self._tell(b"", b"-")
            return
        self._heard += said
        found = _REPORT.search(self._heard)
        if not found and len(self._heard) > SAID_BYTES:
            self._heard = b""
            signal_group(self._pid, signal.SIGKILL)
        if found:
            self._heard_s = boot_time()
            self._said, self._heard = self._heard[: found.start()], self._heard[found.end() :]
            self._tell(found[1], found[2])

    def _tell(self, word: bytes, following: bytes) -> None:
        if following.isdigit():
            self._next = int(following)
        else:
            self.gone = True
        if not self._report.done():
            self._report.set_result(word)

    def _forked_s(self) -> float:
        """When the shell that waits was forked, at the earliest, as exactly as the table must have it."""
        if self._heard_s - self._asked_s < LATE_S / 2:
            return self._asked_s
        return next((started_s for pid, _, _, started_s in processes() if pid == self._next), self._heard_s)

    def _status_of(self, word: bytes) -> int:
        """How an item's shell ended. 128 + n is an `exit` or a signal; of an exit bash says `[1]+  Exit 137`."""
        if not word:
            while not self._has_ended():
                time.sleep(0.0005)
            return self._status or 1
        status = int(word)
        if status < 128:
            return status
        exited = re.search(rb"^\[[^(\n]* %d +\(" % status, self._said, re.MULTILINE)
        return status if exited else 128 - status

    def _has_ended(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is not None

    def _let_go(self) -> None:
        for descriptor in (self._values, self._asking, self._reading):
            os.close(descriptor)


def _loop(kind: Kind, values: str) -> str:
    paths = {
        "VALUES": values,
        "STDIN": kind.streams.stdin or os.devnull,
        "STDOUT": kind.streams.stdout,
        "STDERR": kind.streams.stderr,
    }
    text = LOOP.replace("READS", " && ".join(READ + name.decode() for name in kind.names))
    return re.sub("VALUES|STDIN|STDOUT|STDERR", lambda found: shlex.quote(paths[found[0]]), text)


def _readable(values: tuple[bytes, ...]) -> bool:
    """Whether bash reads the values as they are: half a character of UTF-8 would swallow the NUL behind it.

    More than `VALUES_BYTES` may be too much for a command: the start of a shell for the item alone tells.
    """
    try:
        text = b"\0".join(values)
        text.decode()
    except UnicodeDecodeError:
        return False
    return len(text) <= VALUES_BYTES


async def _within(report: asyncio.Future[bytes], timeout_s: float | None) -> bool:
    """Whether it came in time."""
    if timeout_s is None:
        await report
        return True
    done, _ = await asyncio.wait([report], timeout=timeout_s)
    return bool(done)
