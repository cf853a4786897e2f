"""The real `penstock` program in a folder of a test's own: files in, exact output, files and exit status out."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(sys.executable).parent
EXAMPLE = Path(__file__).parent.parent / "examples" / "summaries"

_FOUND = (
    (re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{4}\b"), "RUN"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "TIME"),
    (re.compile(r"\b[\d,.]+(?: min \d\d)? m?s\b"), "SPAN"),
    (re.compile(r"process \d+ on [^\s)]+"), "process PID on HOST"),
)


def normal(text: str) -> str:
    """The text with ids of runs, times and spans of time replaced by words."""
    for pattern, word in _FOUND:
        text = pattern.sub(word, text)
    return text


@dataclass(frozen=True, slots=True)
class Said:
    """How a program ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def normal(self) -> str:
        """Standard output without ids and times."""
        return normal(self.out)

    @property
    def normal_err(self) -> str:
        """Standard error without ids and times."""
        return normal(self.err)

    @property
    def value(self) -> dict[str, object]:
        """The JSON object that standard output is."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


class Project:
    """A folder with a workflow in it, and a terminal that stands in it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        kept = {name: os.environ[name] for name in ("SYSTEMROOT", "TMPDIR", "PYTHONPATH") if name in os.environ}
        path = os.pathsep.join([str(HERE), os.environ["PATH"]])
        home = {"PATH": path, "HOME": str(folder), "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
        self.environ: dict[str, str] = {**kept, **home}

    # --- files ---------------------------------------------------------------------------------

    def write(self, name: str, text: str | bytes) -> Path:
        """The file holds this text; its folders are made."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return path

    def workflow(self, steps: str, name: str = "workflow.yaml") -> None:
        """A workflow of these steps, each line of which begins at the margin."""
        head = "" if steps.startswith("name:") else "name: Test\n"
        self.write(name, head + steps)

    def read(self, name: str) -> str:
        """The text of a file."""
        return (self.folder / name).read_text(encoding="utf-8")

    def files(self, under: str = ".") -> dict[str, bytes]:
        """Each file below a folder, without `.penstock` and fixtures, and what it holds."""
        root = self.folder / under
        inner = (path for path in sorted(root.rglob("*")) if path.is_file())
        shown = {path.relative_to(root).as_posix(): path for path in inner}
        return {
            name: path.read_bytes() for name, path in shown.items() if not name.startswith((".penstock/", "fixtures/"))
        }

    # --- the program ---------------------------------------------------------------------------

    def penstock(self, *words: str, cwd: Path | None = None) -> Said:
        """`penstock WORDS` to its end, without a terminal."""
        return self._to_its_end([str(HERE / "penstock"), *words], cwd or self.folder)

    def succeeds(self, *words: str) -> Said:
        """The same, and it ended with exit status 0."""
        said = self.penstock(*words)
        assert said.status == 0, said
        return said

    def bash(self, text: str) -> Said:
        """A bash command line, in which `penstock` is ours."""
        return self._to_its_end(["bash", "-c", text], self.folder)

    def on_terminal(self, *words: str, columns: int = 80) -> Said:
        """`penstock WORDS` to its end on a terminal of that width; all that it wrote there, as `out`."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with self._started(words, theirs) as process:
            os.close(theirs)
            written = b"".join(_chunks(ours))
            os.close(ours)
            return Said(process.wait(), written.decode(), "")

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """`penstock WORDS` while it runs; it is dead afterwards."""
        with self._started(words, subprocess.PIPE) as process:
            try:
                yield process
            finally:
                process.kill()
                process.communicate()

    def _started(self, words: tuple[str, ...], output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(HERE / "penstock"), *words],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def _to_its_end(self, words: list[str], cwd: Path) -> Said:
        done = subprocess.run(
            words, cwd=cwd, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    # --- what a run left -----------------------------------------------------------------------

    def runs(self) -> list[dict[str, object]]:
        """All runs, the newest first."""
        listed = json.loads(self.succeeds("runs", "--json").out)
        assert isinstance(listed, list)
        return listed

    def run_folder(self) -> Path:
        """The folder of the newest run."""
        return max((self.folder / ".penstock" / "runs").iterdir())

    def records(self, step: str) -> list[dict[str, object]]:
        """The lines of `steps/STEP.jsonl` of the newest run."""
        return jsonl(self.run_folder() / "steps" / f"{step}.jsonl")

    def log(self) -> list[dict[str, object]]:
        """The lines of the newest run's log."""
        return jsonl(self.run_folder() / "log.jsonl")

    def state(self, step: str) -> tuple[object, object]:
        """The state of a step in the newest run, and the reason for it."""
        steps = self.succeeds("status", "--json").value["steps"]
        assert isinstance(steps, dict)
        return steps[step]["status"], steps[step]["reason"]


def example(folder: Path) -> Project:
    """A copy of the shipped example in which nothing has run."""
    made = shutil.ignore_patterns(".penstock", ".cache", "logs", "applied", "fixtures", "inputs.jsonl")
    shutil.copytree(EXAMPLE, folder, ignore=made, dirs_exist_ok=True)
    return Project(folder)


def jsonl(path: Path) -> list[dict[str, object]]:
    """The objects of a JSON Lines file; every line of it is whole."""
    text = path.read_text(encoding="utf-8")
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def until(holds: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Returns when it holds; AssertionError if the process ends before that."""
    while not holds():
        assert process.poll() is None or holds(), process.communicate()
        time.sleep(0.01)


def _chunks(terminal: int) -> Iterator[bytes]:
    """What comes from a terminal until its other side is closed, which Linux reports as an error."""
    while True:
        try:
            chunk = os.read(terminal, 1 << 16)
        except OSError:
            return
        if not chunk:
            return
        yield chunk
