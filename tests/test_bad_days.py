"""What goes wrong on real machines: each day says what to do, loses nothing, and blames no row for it.

Everything here is real: small disks, locks, damaged files, limits, and the program as a person starts it.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import OperatorError
from penstock.core.states import RunState
from penstock.store.filesystem import filesystem_type, network_type
from penstock.store.items import read
from penstock.store.journal import Journal
from penstock.store.layout import Layout
from penstock.store.process import this_process
from tests.doubles import TickingClock
from tests.network_disk import mounted_network_disk

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="mounts and control of them are Linux's")
PENSTOCK = (sys.executable, "-m", "penstock")
DEADLINE_S = 120.0
"""Only so that a test that hangs ends at all."""

SLOW = """
name: Slow
version: 1
steps:
  - id: work
    foreach: rows.jsonl
    concurrency: 2
    run: |
      sh mark.sh {{i}}
      while [ ! -e go ]; do sleep 0.02; done
      echo '{"n": {{item.n}}}' | tee -a logs/all.jsonl > out/{{i}}.json
  - id: sum
    needs: [work]
    run: wc -l < logs/all.jsonl
"""
"""Each row leaves a mark where Penstock does not look, and waits until the file `go` is there."""

STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Whatever a test that failed has left alive is ended; a supervisor ends the rest."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


@dataclass
class Project:
    """A workflow's folder: `folder` as commands see it, `seen` as this test does; `within` gets a command there."""

    folder: Path
    within: tuple[str, ...] = ()
    seen: Path = field(default=Path())

    def __post_init__(self) -> None:
        if not self.within:
            self.seen = self.folder

    def write(self, workflow: str, rows: int = 0, width: int = 0) -> Project:
        """The workflow, and so many rows of about `width` bytes each."""
        (self.seen / "workflow.yaml").write_text(workflow.lstrip())
        (self.seen / "rows.jsonl").write_text("".join(row(number, width) for number in range(rows)))
        (self.seen / "mark.sh").write_text('echo "$1" >> "$MARKS"\n')
        return self

    def start(self, *words: str, limits: str = "", **env: str) -> subprocess.Popen[str]:
        """Penstock at work. `limits` are ulimit commands."""
        command = [*self.within, *PENSTOCK, "-C", str(self.folder), *words]
        if limits:
            command = ["bash", "-c", f'{limits}; exec "$@"', "-", *command]
        process = subprocess.Popen(
            command,
            env={**os.environ, "MARKS": f"{self.folder}.marks", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        STARTED.append(process)
        return process

    def do(self, *words: str, limits: str = "", **env: str) -> Said:
        """What Penstock came to."""
        return said(self.start(*words, limits=limits, **env))

    def status(self) -> dict[str, Any]:
        """`penstock status --json`."""
        told = json.loads(self.do("status", "--json").out)
        assert isinstance(told, dict)
        return told

    def marks(self) -> list[str]:
        """The rows whose command has begun, in that order, each as often as it has."""
        path = Path(f"{self.folder}.marks")
        return path.read_text().split() if path.exists() else []

    def wait_for(self, what: Callable[[], object]) -> None:
        """Returns when it is so."""
        begin = time.monotonic()
        while not what():
            assert time.monotonic() - begin < DEADLINE_S, "it never came"
            time.sleep(0.02)

    def killed(self, *words: str) -> None:
        """A run that began, had rows in flight, and was killed."""
        running = self.start(*words)
        self.wait_for(lambda: len(self.marks()) >= 2 or running.poll() is not None)
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()

    def go(self) -> None:
        """Rows need not wait any more."""
        (self.seen / "go").touch()

    @property
    def run_folder(self) -> Path:
        """The newest run's."""
        return max((self.seen / ".penstock" / "runs").iterdir())

    def results(self) -> dict[str, bytes]:
        """Every record and every file that the run made."""
        made = [*self.run_folder.glob("steps/*.jsonl"), *self.seen.glob("logs/*"), *self.seen.glob("out/*")]
        return {path.name: path.read_bytes() for path in made}


@dataclass(frozen=True)
class Said:
    """What a process printed and ended with."""

    status: int
    out: str
    err: str


def said(process: subprocess.Popen[str]) -> Said:
    """What a process that ends by itself came to; never a traceback, whatever the day."""
    out, err = process.communicate(timeout=DEADLINE_S)
    assert "Traceback" not in err, err
    return Said(process.returncode, out, err)


def row(number: int, width: int = 0) -> str:
    """One line of a file of rows."""
    return json.dumps({"n": number, "text": "x" * width}) + "\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder)


def undisturbed(tmp_path: Path, workflow: str, rows: int, width: int = 0) -> dict[str, bytes]:
    """What a run makes on a good day."""
    (tmp_path / "good").mkdir()
    good = Project(tmp_path / "good").write(workflow, rows, width)
    good.go()
    assert good.do("run").status == 0
    return good.results()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Project]:
    """A disk of that size at `folder`, in a mount namespace of its own: nothing of it is left on the machine."""
    folder.mkdir()
    mine = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    script = 'mount -t tmpfs -o size="$1" none "$2" && echo ready && exec cat'
    words = ["unshare", *mine, "--mount", "--propagation", "private", "sh", "-c", script, "-", size, str(folder)]
    holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "ready\n", "no small disk can be mounted here: run the tests as root"
        enter = ["--user", "--preserve-credentials"] if mine else []
        within = ("nsenter", "--target", str(holder.pid), *enter, "--mount", "--")
        yield Project(folder, within, Path(f"/proc/{holder.pid}/root{folder}"))
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()


def mount_again(disk: Project, how: str) -> None:
    """The disk is mounted `ro` or `rw` from now on, once nobody writes there."""
    words = [*disk.within, "mount", "-o", f"remount,{how}", str(disk.folder)]
    disk.wait_for(lambda: subprocess.run(words, stderr=subprocess.DEVNULL, check=False).returncode == 0)


# --- no room -----------------------------------------------------------------------------------

HEAVY = """
name: Heavy
version: 1
steps:
  - id: keep
    foreach: rows.jsonl
    concurrency: 1
    run: "true"
  - id: pass
    foreach: steps.keep
    concurrency: 1
    run: "true"
  - id: tell
    needs: [pass]
    foreach: rows.jsonl
    run: |
      echo '{"n": {{item.n}}}' | tee -a logs/all.jsonl > out/{{i}}.json
"""
"""What `keep` reads goes into the journal, since `pass` may ask for it: only Penstock itself fills the disk."""


@LINUX
def test_a_full_disk_stops_the_run_and_with_room_it_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    good = undisturbed(tmp_path, HEAVY, rows=120, width=20_000)
    with small_disk(tmp_path / "disk", "48m") as disk:
        disk.write(HEAVY, rows=120, width=20_000)
        ballast = disk.seen / "ballast"
        ballast.write_bytes(b"x" * (44 << 20))
        for words in (("run",), ("resume",), ("resume",)):
            stopped = disk.do(*words)
            assert stopped.status == 1
            assert "the disk is full" in stopped.err
            assert "make room, then `penstock resume`" in stopped.err
        ballast.unlink()
        before = disk.status()
        assert before["status"] == "interrupted"
        assert [step["failed"] for step in before["steps"].values()] == [0, 0, 0]
        assert disk.do("resume").status == 0
        assert disk.results() == good
        found = json.loads(disk.do("doctor", "--json").out)["findings"]
        assert [one["name"] for one in found if one["grade"] == "problem"] == ["disk"]


@LINUX
def test_a_command_that_finds_no_room_is_an_ordinary_failed_item(tmp_path: Path) -> None:
    workflow = """
name: Full elsewhere
version: 1
steps:
  - id: fill
    foreach: rows.jsonl
    max_failures: 1
    run: dd if=/dev/zero of="$PLACE/{{i}}" bs=1000000 count="$(( {{i}} * 2 ))"
"""
    with small_disk(tmp_path / "elsewhere", "1m") as elsewhere:
        (tmp_path / "project").mkdir()
        project = Project(tmp_path / "project", elsewhere.within, tmp_path / "project").write(workflow, rows=2)
        assert project.do("run", PLACE=str(elsewhere.folder)).status == 0
        step = project.status()["steps"]["fill"]
        assert (step["accepted"], step["failed"]) == (1, 1)
        line = project.do("log", "--json").out.splitlines()
        assert any("No space left on device" in json.loads(one).get("error", {}).get("stderr", "") for one in line)


@LINUX
def test_a_limit_of_file_sizes_stops_the_run_and_is_named(project: Project, tmp_path: Path) -> None:
    project.write(HEAVY, rows=120, width=20_000)
    stopped = project.do("run", limits="ulimit -f 1500")
    assert stopped.status == 1
    assert "ulimit -f" in stopped.err
    assert [step["failed"] for step in project.status()["steps"].values()] == [0, 0, 0]
    assert project.do("resume").status == 0
    assert project.results() == undisturbed(tmp_path, HEAVY, rows=120, width=20_000)


@LINUX
def test_a_folder_that_cannot_be_written_is_named_before_anything_runs(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        disk.write(SLOW, rows=3)
        mount_again(disk, "ro")
        refused = disk.do("run")
        assert refused.status == 1
        assert "Read-only file system" in refused.err
        assert "make that folder writable" in refused.err
        assert disk.marks() == []
        assert "cannot be written" in disk.do("doctor").out


@LINUX
def test_a_run_whose_disk_became_read_only_is_resumed_when_it_is_not(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        disk.write(SLOW, rows=5).killed("run")
        mount_again(disk, "ro")
        refused = disk.do("resume")
        assert refused.status == 1
        assert "Read-only file system" in refused.err
        assert "must be able to write in" in refused.err
        mount_again(disk, "rw")
        disk.go()
        assert disk.do("resume").status == 0
        assert disk.results() == undisturbed(tmp_path, SLOW, rows=5)


# --- the journal -------------------------------------------------------------------------------


def test_a_journal_that_another_program_holds_stops_the_run_and_loses_nothing(project: Project, tmp_path: Path) -> None:
    project.write(SLOW, rows=6)
    running = project.start("run")
    project.wait_for(lambda: len(project.marks()) >= 2)
    with closing(sqlite3.connect(project.folder / ".penstock" / "journal.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        project.go()
        stopped = said(running)
        other.execute("ROLLBACK")
    assert stopped.status == 1
    assert "database is locked" in stopped.err
    assert "another program has held it" in stopped.err
    assert project.status()["status"] == "interrupted"
    assert project.status()["steps"]["work"]["failed"] == 0
    assert project.do("resume").status == 0
    assert project.results() == undisturbed(tmp_path, SLOW, rows=6)


@pytest.mark.parametrize(("start", "length"), [(0, 100), (4096, 3 * 4096)], ids=["its head", "its tables"])
def test_a_damaged_journal_is_told_and_left_as_it_is(project: Project, start: int, length: int) -> None:
    project.write(SLOW, rows=3).go()
    assert project.do("run").status == 0
    journal = project.folder / ".penstock" / "journal.db"
    with journal.open("r+b") as file:
        file.seek(start)
        file.write(b"\xaa" * length)
    damaged = journal.read_bytes()
    for words in (("status",), ("resume",), ("run",), ("runs",)):
        refused = project.do(*words)
        assert refused.status == 1, words
        assert "journal.db cannot be used" in refused.err
        assert "`penstock doctor` says what can be saved" in refused.err
    told = project.do("doctor")
    assert told.status == 1
    assert "problem  journal" in told.out
    assert ".recover" in told.out
    assert journal.read_bytes() == damaged


@pytest.mark.parametrize("kept", [0.97, 0.8, 0.6])
def test_of_a_cut_off_write_ahead_log_what_is_whole_counts(project: Project, tmp_path: Path, kept: float) -> None:
    project.write(SLOW, rows=60)
    running = project.start("run")
    project.wait_for(lambda: len(project.marks()) >= 2)
    project.go()
    project.wait_for(lambda: len(project.marks()) >= 40)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    log = project.folder / ".penstock" / "journal.db-wal"
    os.truncate(log, int(log.stat().st_size * kept))
    assert project.do("resume").status == 0
    assert project.results() == undisturbed(tmp_path, SLOW, rows=60)
    assert project.do("doctor").status == 0


def test_a_journal_that_was_deleted_between_runs_is_missed(project: Project) -> None:
    project.write(SLOW, rows=3).go()
    assert project.do("run").status == 0
    for path in (project.folder / ".penstock").glob("journal.db*"):
        path.unlink()
    told = project.do("doctor")
    assert told.status == 1
    assert "it is gone, and the folders of 1 runs are there" in told.out
    refused = project.do("run")
    assert refused.status == 2
    assert "logs/all.jsonl is there already and no Penstock run wrote it" in refused.err
    assert "keep: [logs/all.jsonl]" in refused.err


def test_a_journal_that_is_deleted_during_a_run_stops_it(project: Project) -> None:
    project.write(SLOW, rows=300)
    running = project.start("run")
    project.wait_for(lambda: len(project.marks()) >= 2)
    for path in (project.folder / ".penstock").glob("journal.db*"):
        path.unlink()
    project.go()
    stopped = said(running)
    assert stopped.status == 1
    assert "journal.db: No such file or directory: somebody took it away while Penstock was at work" in stopped.err
    assert len(project.marks()) < 300


# --- the input ---------------------------------------------------------------------------------


def test_an_input_that_was_deleted_is_asked_for(project: Project, tmp_path: Path) -> None:
    project.write(SLOW, rows=5).killed("run")
    rows = project.folder / "rows.jsonl"
    rows.rename(tmp_path / "aside")
    refused = project.do("resume")
    assert refused.status == 1
    assert "rows.jsonl is gone" in refused.err
    assert "put it back" in refused.err
    (tmp_path / "aside").rename(rows)
    project.go()
    assert project.do("resume").status == 0
    assert project.results() == undisturbed(tmp_path, SLOW, rows=5)


def test_rows_that_are_added_while_the_input_is_read_belong_to_the_next_run(project: Project) -> None:
    project.write(SLOW, rows=5)
    running = project.start("run")
    project.wait_for(lambda: len(project.marks()) >= 2)
    with (project.folder / "rows.jsonl").open("a") as file:
        file.writelines(row(number) for number in range(5, 8))
    project.go()
    ended = said(running)
    assert ended.status == 0
    assert re.search(r"\d+ bytes were added to rows.jsonl while step work read it", ended.err)
    assert project.status()["steps"]["work"]["total"] == 5
    assert project.do("doctor").status == 0
    assert project.do("run").status == 0
    assert project.status()["steps"]["work"]["total"] == 8


def test_rows_that_were_added_before_a_resume_are_taken_in_if_a_person_says_so(project: Project) -> None:
    project.write(SLOW, rows=5).killed("run")
    with (project.folder / "rows.jsonl").open("a") as file:
        file.writelines(row(number) for number in range(5, 8))
    project.go()
    refused = project.do("resume")
    assert refused.status == 1
    assert "rows.jsonl has changed since step work began to read it" in refused.err
    assert "--reread" in refused.err
    assert project.do("resume", "--reread").status == 0
    assert project.status()["steps"]["work"]["total"] == 8
    assert project.do("doctor").status == 0


def test_an_input_that_becomes_shorter_while_it_is_read_stops_the_run(project: Project) -> None:
    project.write(SLOW, rows=400, width=10_000)
    running = project.start("run")
    project.wait_for(lambda: len(project.marks()) >= 2)
    os.truncate(project.folder / "rows.jsonl", 2_000_000)
    project.go()
    stopped = said(running)
    assert stopped.status == 1
    assert "rows.jsonl has become shorter while it was read" in stopped.err
    assert project.status()["steps"]["work"]["failed"] == 0


@pytest.mark.parametrize(
    ("name", "before", "added"),
    [
        ("jsonl", b'{"n": 0}\n{"n": 1}\n', b'{"n": 2}\n'),
        ("jsonl", b'{"n": 0}\n{"n": 1}', b"}\n"),
        ("jsonl.gz", gzip.compress(b'{"n": 0}\n{"n": 1}\n', mtime=0), gzip.compress(b'{"n": 2}\n', mtime=0)),
        ("csv", b"n\n0\n1\n", b"2\n"),
        ("json", b'[{"n": 0}, {"n": 1}]', b"nonsense"),
    ],
)
def test_a_file_of_any_kind_counts_as_it_was_when_it_was_opened(
    tmp_path: Path, name: str, before: bytes, added: bytes
) -> None:
    path = tmp_path / "rows"
    path.write_bytes(before)
    rows = read(path, name, size_bytes=len(before))
    with path.open("ab") as file:
        file.write(added)
    assert [found.fault for found in rows] == [None, None]


@pytest.mark.parametrize("name", ["jsonl", "csv", "json"])
def test_a_file_that_was_cut_off_since_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b"[" + b"1,\n" * 100)
    with pytest.raises(OperatorError) as refused:
        list(read(path, name, size_bytes=500))
    assert "has become shorter while it was read: 301 bytes where there were 500" in str(refused.value)


def test_an_env_file_that_does_not_parse_is_named_with_its_line(project: Project) -> None:
    project.write(SLOW.replace("version: 1", "version: 1\nsecrets: [API_TOKEN]"), rows=1)
    (project.folder / ".env").write_text('FIRST=fine\nAPI_TOKEN="never closed\n')
    refused = project.do("run")
    assert refused.status == 2
    assert ".env:2:1: this line is not `NAME=value`, or a quote in it is never closed" in refused.err
    assert "never closed\n" not in refused.err.replace("is never closed\n", "")
    assert not (project.folder / ".penstock").exists()


# --- where it is -------------------------------------------------------------------------------

MOUNTS = r"""
21 28 0:19 / /proc rw,nosuid - proc proc rw
28 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw
31 28 0:51 / /home rw,relatime shared:2 master:3 - nfs4 filer:/home rw,vers=4.2
33 31 259:3 / /home/ann/local rw - xfs /dev/nvme1n1 rw
34 28 0:52 / /mnt/my\040share rw - fuse.sshfs ann@far:/ rw
35 28 0:53 / /mnt/box rw - cifs //box/c$ rw
36 28 0:54 / /homework rw - btrfs /dev/sdb rw
""".strip()


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/ann/project", "nfs4"),
        ("/home", "nfs4"),
        ("/mnt/my share/project", "fuse.sshfs"),
        ("/mnt/box", "cifs"),
        ("/home/ann/local/project", None),
        ("/homework", None),
        ("/srv", None),
    ],
)
def test_the_innermost_mount_tells_whether_a_folder_is_on_a_network(folder: str, kind: str | None) -> None:
    assert network_type(Path(folder), MOUNTS) == kind


@LINUX
def test_a_mount_whose_name_has_a_space_is_read_from_the_system(tmp_path: Path) -> None:
    with small_disk(tmp_path / "my disk", "1m") as disk:
        mounts = Path(f"/proc/{disk.within[2]}/mountinfo").read_text()
        assert filesystem_type(disk.folder / "project", mounts) == "tmpfs"
        assert network_type(disk.folder / "project", mounts) is None


@LINUX
def test_a_folder_on_a_network_is_refused(tmp_path: Path) -> None:
    files = {"workflow.yaml": SLOW.lstrip().encode(), "rows.jsonl": row(0).encode()}
    with mounted_network_disk(tmp_path / "far", files) as folder:
        refused = Project(folder).do("run")
        assert refused.status == 1
        assert "is on a network filesystem (fuse.sshfs)" in refused.err
        assert "copy the project to a local disk" in refused.err
        told = Project(folder).do("doctor")
        assert told.status == 1
        assert "problem  filesystem" in told.out


def test_a_run_after_the_clock_was_set_back_sorts_after_those_of_the_future(project: Project) -> None:
    project.write(SLOW, rows=2).go()
    layout = Layout(project.folder)
    layout.make()
    clock = TickingClock()
    clock.pass_by(4_000_000_000.0)
    with closing(Journal(layout.journal, clock)) as journal:
        number = journal.begin_run("20960921-185320-0000", "workflow.yaml", "Slow", ["work", "sum"], {}, None)
        epoch = journal.take_run(number, this_process())
        journal.end_run(number, epoch, RunState.SUCCEEDED, None)
    assert project.do("run").status == 0
    listed = json.loads(project.do("runs", "--json").out)
    assert [one["run"][:15] for one in listed] == ["20960921-185321", "20960921-185320"]
    assert "the clock was set back" not in project.do("doctor").out


def test_a_clock_that_jumps_back_during_a_run_makes_no_negative_seconds(project: Project) -> None:
    project.write(SLOW, rows=4).killed("run")
    project.go()
    journal = project.folder / ".penstock" / "journal.db"
    with closing(sqlite3.connect(journal)) as connection, connection:  # as a clock that was a year ahead had left it
        connection.execute("UPDATE runs SET started_at = started_at + 31e6")
        connection.execute("UPDATE steps SET started_at = started_at + 31e6 WHERE started_at IS NOT NULL")
        connection.execute("UPDATE owners SET taken_at = taken_at + 31e6")
    assert project.status()["seconds"] == 0
    assert "the clock was set back" in project.do("doctor").out
    assert project.do("resume").status == 0
    assert 0 <= project.status()["seconds"] < 3600
    assert "-" not in "".join(re.findall(r"(\S+) s\b", project.do("status").out))


# --- the machine -------------------------------------------------------------------------------


def test_without_bash_nothing_is_begun(project: Project, tmp_path: Path) -> None:
    project.write(SLOW, rows=2)
    refused = project.do("run", PATH=str(tmp_path))
    assert refused.status == 1
    assert "bash is not on the PATH" in refused.err
    assert "install" in refused.err
    assert project.do("runs").out == "" or "no run" in project.do("runs").err
    told = project.do("doctor", PATH=str(tmp_path))
    assert told.status == 1
    assert "problem  bash" in told.out


@pytest.mark.parametrize("words", [("run",), ("run", "--json")])
def test_a_run_without_standard_streams_does_its_work(project: Project, words: tuple[str, ...]) -> None:
    project.write(SLOW, rows=3).go()
    command = 'exec 0<&- 1>&- 2>&-; exec "$@"'
    ended = subprocess.run(
        ["bash", "-c", command, "-", *PENSTOCK, "-C", str(project.folder), *words],
        env={**os.environ, "MARKS": os.devnull},
        check=False,
    )
    assert ended.returncode == 0
    assert project.status()["steps"]["work"]["accepted"] == 3
    assert project.do("doctor").status == 0


def test_too_few_open_files_stop_the_run_and_no_item_pays_for_it(project: Project, tmp_path: Path) -> None:
    project.write(SLOW, rows=60)
    stopped = project.do("run", "--concurrency", "50", limits="ulimit -n 40")
    assert stopped.status == 1
    assert "Too many open files" in stopped.err
    assert "ulimit -n" in stopped.err
    assert project.status()["steps"]["work"]["failed"] == 0
    assert "problem  open files" in project.do("doctor", limits="ulimit -n 40").out
    project.go()
    assert project.do("resume").status == 0
    assert project.results() == undisturbed(tmp_path, SLOW, rows=60)


# --- other people ------------------------------------------------------------------------------


def test_a_run_goes_on_without_its_workflow_file(project: Project, tmp_path: Path) -> None:
    project.write(SLOW, rows=5).killed("run")
    (project.folder / "workflow.yaml").unlink()
    project.go()
    assert project.do("resume").status == 0
    assert project.results() == undisturbed(tmp_path, SLOW, rows=5)


def test_a_run_whose_folder_is_deleted_stops_and_counts_nothing_as_failed(project: Project) -> None:
    project.write(SLOW, rows=20)
    running = project.start("run")
    project.wait_for(lambda: len(project.marks()) >= 2)
    shutil.rmtree(project.run_folder)
    project.go()
    stopped = said(running)
    assert stopped.status == 1
    assert "somebody took it away while Penstock was at work" in stopped.err
    assert "leave the folder in place" in stopped.err
    step = project.status()["steps"]["work"]
    assert (step["failed"], step["accepted"]) == (0, 0)
    told = project.do("doctor")
    assert told.status == 1
    assert "the run's copy of the workflow is gone" in told.out
    refused = project.do("resume")
    assert refused.status == 1
    assert "its copy of the workflow is gone" in refused.err
    assert "start a new run" in refused.err


def test_a_second_run_in_the_folder_is_told_who_is_there(project: Project) -> None:
    project.write(SLOW, rows=3)
    first = project.start("run")
    project.wait_for(lambda: len(project.marks()) >= 2)
    for words in (("run",), ("resume",)):
        second = project.do(*words)
        assert second.status == 1
        assert f"process {first.pid} on" in second.err
    assert f"held by process {first.pid}" in project.do("doctor").out
    project.go()
    assert said(first).status == 0
    assert project.status()["steps"]["work"]["accepted"] == 3
    assert sorted(project.marks()) == ["0", "1", "2"]
