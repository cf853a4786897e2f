"""A `run` step: one attempt at one task, by one command whose text holds no value."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from penstock.core.canon import compact, parse, squeeze
from penstock.core.refusals import is_of_the_machine
from penstock.core.work import Attempt, Form, Outcome, Passed, Piece, Record, Task, Verdict
from penstock.core.workflow import Shell, Step
from penstock.kinds.forking import Kind
from penstock.kinds.permits import NotBegun
from penstock.kinds.private_files import (
    PrivateFiles,
    append,
    keep_outputs,
    keep_stderr,
    prepare,
    read,
    size,
    tail,
)
from penstock.kinds.shell_process import GRACE_S, Exit, Streams, run
from penstock.kinds.tools import Tools
from penstock.rules.restoring import restored
from penstock.store.layout import move
from penstock.store.targets import digest_of, written

RECORD_BYTES = 1 << 20
"""An output up to this size becomes the task's record; a larger one stays a file."""


async def perform(task: Task, step: Step, number: int, tools: Tools) -> Outcome:
    """What attempt `number` at the task came to: an outcome with that one attempt in it."""
    shell = step.shell
    assert shell is not None
    files = prepare(task, shell.script.pieces, tools)
    _make_way(task, tools)
    streams = Streams(files.item, files.stdout, files.stderr)
    await tools.permit.begin()
    started_at, start = tools.clock.now(), tools.clock.monotonic()
    before = _seen(task, tools)
    own = tools.doorway.admit(task, step, number) if tools.doorway is not None else None
    passed = Passed()
    try:
        ended = await _carried_out(task, step, files, streams, number, tools, own.variables if own else {})
    except OSError as error:
        if is_of_the_machine(error) or error.filename in (str(tools.folder), files.item, *streams.outputs):
            raise
        attempt = Attempt(number, started_at, tools.clock.monotonic() - start, "start", _cannot_start(error, shell))
        return Outcome(task, Verdict.FAILED, (attempt,), reason=attempt.reason)
    finally:
        if own is not None:
            passed = await own.close()
    elapsed_s = tools.clock.monotonic() - start
    old = ended.status != 0 and before is not None and before == _seen(task, tools)
    outcome = _judge(task, step, Attempt(number, started_at, elapsed_s), ended, files, tools, old)
    if passed.exhausted is not None and outcome.verdict is Verdict.FAILED and step.idempotent:
        raise NotBegun(passed.exhausted)  # what it bought is found again when the run goes on
    return outcome if passed.bill is None else replace(outcome, bill=passed.bill)


# --- before ------------------------------------------------------------------------------------


def _make_way(task: Task, tools: Tools) -> None:
    """The folders of the task's own targets are there, and nothing of a lost try is in them."""
    for name in task.files:
        path = os.path.join(tools.folder, name)
        _put_aside(name, tools)
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path), exist_ok=True)


def _seen(task: Task, tools: Tools) -> tuple[int, ...] | None:
    """What changes when the `.json` file that takes a step's whole output is written; None if there is none yet."""
    if task.output is None:
        return None
    try:
        stat = os.stat(os.path.join(tools.folder, task.output))
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


async def _carried_out(
    task: Task,
    step: Step,
    files: PrivateFiles,
    streams: Streams,
    number: int,
    tools: Tools,
    gateway: Mapping[bytes, bytes],
) -> Exit:
    """How the command ended: in a shell that the slot's own forked, where nobody can tell, or in one started for it."""
    shell = step.shell
    assert shell is not None
    fixed, varying = _of_slot(files), {**_of_attempt(task, shell, number, tools), **gateway}
    if task.item is not None and tools.shell is not None and tools.shell.takes(shell.interpreter, shell.script.text):
        kind = Kind(shell.script.text, tools.folder, streams, tuple(varying), tuple(fixed.items()))
        ended = await tools.shell.run(kind, tuple(varying.values()), step.timeout_s)
        if ended is not None:
            return ended
    words = (*shell.interpreter, "-c", shell.script.text)
    environment = {**tools.environment, **fixed, **varying}
    return await run(words, tools.folder, environment, streams, step.timeout_s, tools.groups)


def _of_slot(files: PrivateFiles) -> dict[bytes, bytes]:
    """The variables that every item of a slot finds alike."""
    variables = {b"PENSTOCK_PIECE_%d" % piece: path.encode() for piece, path in files.pieces}
    if files.item is not None:
        variables[b"PENSTOCK_ITEM_FILE"] = files.item.encode()
    return variables


def _of_attempt(task: Task, shell: Shell, number: int, tools: Tools) -> dict[bytes, bytes]:
    variables = {b"PENSTOCK_ATTEMPT": b"%d" % number}
    if task.item is not None:
        variables[b"PENSTOCK_I"] = b"%d" % task.item.index
    for name, placeholder in shell.script.bindings:
        if placeholder.root == "attempt":
            variables[name.encode()] = b"%d" % number
    for name, value in task.values:
        variables[name.encode()] = restored(value, tools.masker).encode("utf-8", "surrogateescape")
    return variables


def _cannot_start(error: OSError, shell: Shell) -> str:
    if error.errno == errno.E2BIG:
        return (
            "the text and the values of its placeholders together pass the system's limit for a command: "
            "read the row from standard input or $PENSTOCK_ITEM_FILE instead of a placeholder"
        )
    if error.errno == errno.ENOENT:
        return f"{shell.interpreter[0]} is not installed"
    return f"the command could not be started: {error.strerror}"


# --- after -------------------------------------------------------------------------------------


def _judge(
    task: Task, step: Step, tried: Attempt, ended: Exit, files: PrivateFiles, tools: Tools, old: bool
) -> Outcome:
    """The outcome. With `old`, its output file is one of before: the command failed before it wrote to it."""
    keep_outputs(files, tools.masker)
    record, complaint = (None, None) if old else _record(task, files, tools)
    if task.item is not None:
        keep_stderr(files, task.item, tried.number, tools.run.out / f"{task.step_id}.err", tools.masker)
    if ended.left_behind:
        _tell_of_remains(task, tools)
    if not ended.timed_out and record is not None and _says_no(record):
        return _answered(task, Verdict.REJECTED, tried, record, files, tools)
    if not ended.timed_out and ended.status == 0 and complaint is None:
        return _answered(task, Verdict.ACCEPTED, tried, record, files, tools)
    kind, reason = _accident(step, ended, complaint)
    for name in task.files:
        _put_aside(name, tools)
    said = tail(files.stderr, tools.masker) or tail(files.stdout, tools.masker)
    attempt = Attempt(tried.number, tried.started_at, tried.elapsed_s, kind, reason, said)
    return Outcome(task, Verdict.FAILED, (attempt,), reason=reason)


def _tell_of_remains(task: Task, tools: Tools) -> None:
    """What a command left running in its group is not ended in silence."""
    with (tools.run.out / f"{task.step_id}.err").open("a", encoding="utf-8") as file:
        file.write(f"--- penstock: task {task.index} left processes running; they were ended after {GRACE_S:g} s\n")


def _answered(
    task: Task, verdict: Verdict, tried: Attempt, record: Record | None, files: PrivateFiles, tools: Tools
) -> Outcome:
    pieces = tuple(piece for number, path in files.pieces for piece in _piece(task, number, path, tools))
    own = tuple(written(tools.folder, name) for name in task.files if os.path.isfile(os.path.join(tools.folder, name)))
    reason = 'its output says "ok": false' if verdict is Verdict.REJECTED else None
    return Outcome(task, verdict, (tried,), record, reason, pieces, own)


def _record(task: Task, files: PrivateFiles, tools: Tools) -> tuple[Record | None, str | None]:
    """The record that the output is, or the sentence why it cannot be one."""
    source = os.path.join(tools.folder, task.output) if task.output else files.stdout
    length = size(source) if task.output else os.stat(source).st_size  # ours must be there: nobody else removes it
    if length > RECORD_BYTES:
        return _large_record(task, Path(source), tools), None
    body = read(source) if length else b""
    text = body.strip(b" \t\r\n")
    if not text:
        return Record(Form.TEXT, _without_line_end(body)), None
    try:
        value = parse(text)
    except ValueError as error:
        if text.startswith(b"{") and b"\n" not in text:
            return None, f"its output begins with {{ and is not JSON: {error}"
        return Record(Form.TEXT, _without_line_end(body)), None
    hidden = value if tools.masker is None else tools.masker.value(value)
    if hidden != value:  # masked as a value it stays JSON: a number with a secret in it becomes a text
        return Record(Form.JSON, compact(hidden).encode()), None
    plain = isinstance(value, (int, float)) or value is None
    return Record(Form.JSON, text if plain else squeeze(text.decode()).encode()), None


def _without_line_end(text: bytes) -> bytes:
    return text[:-2] if text.endswith(b"\r\n") else text[:-1] if text.endswith(b"\n") else text


def _large_record(task: Task, source: Path, tools: Tools) -> Record:
    kept = source
    if task.output is None and task.item is not None:
        kept = tools.run.out / task.step_id / f"{task.item.key}.out"
        kept.parent.mkdir(exist_ok=True)
        _moved(source, kept, tools)
    elif task.output is None:
        kept = tools.run.out / f"{task.step_id}.out"
    length = kept.stat().st_size
    told = {"file": os.path.relpath(kept, tools.folder), "bytes": length, "sha256": digest_of(kept).hex()}
    return Record(Form.FILE, compact(told).encode())


def _moved(source: Path, kept: Path, tools: Tools) -> None:
    """The file is `kept` now, its secrets masked."""
    if tools.masker is None:
        source.replace(kept)
        return
    kept.unlink(missing_ok=True)
    append(os.fspath(source), kept, tools.masker)
    source.unlink()


def _says_no(record: Record) -> bool:
    if record.form is not Form.JSON or not record.body.startswith(b"{"):
        return False
    value = parse(record.body)
    return isinstance(value, dict) and value.get("ok") is False


def _accident(step: Step, ended: Exit, complaint: str | None) -> tuple[str, str]:
    if ended.timed_out:
        return "timeout", f"its time was up after {step.timeout_s:g} s"
    if ended.status < 0:
        return "exit", f"killed by {_signal_name(-ended.status)}"
    if ended.status > 0:
        return "exit", f"exit status {ended.status}{_hint(ended.status)}"
    return "output", complaint or "its output could not be read"


def _hint(status: int) -> str:
    if status == 126:
        return " (found, but not executable)"
    if status == 127:
        return " (command not found)"
    return f" (128 + {_signal_name(status - 128)})" if status > 128 else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _piece(task: Task, number: int, path: str, tools: Tools) -> Iterator[Piece]:
    length = size(path)
    if not length:
        return
    if length <= RECORD_BYTES:
        yield Piece(number, read(path))
        return
    kept = tools.run.pieces / task.step_id / f"{_name(task)}.{number}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    _moved(Path(path), kept, tools)
    yield Piece(number, None, str(kept.relative_to(tools.run.root)))


def _name(task: Task) -> str:
    """What files of the task are called: its item's key, because an item's place may change (`--reread`)."""
    return task.item.key if task.item is not None else "step"


def _put_aside(name: str, tools: Tools) -> None:
    """A file of this task that is no result goes to the run's folder."""
    if os.path.lexists(os.path.join(tools.folder, name)):
        move(tools.folder / name, tools.run.failed / name)
