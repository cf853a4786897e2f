"""Stand-ins for the machine (clock, backend, listener), and the smallest workflows, runs and outcomes for tests."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from penstock.core.canon import item_key
from penstock.core.errors import Place
from penstock.core.states import RunState
from penstock.core.views import RunView, StepView
from penstock.core.work import Attempt, Form, Item, Outcome, Piece, Record, Task, Verdict, WrittenFile
from penstock.core.workflow import (
    ListSource,
    Need,
    OutputName,
    Part,
    Placeholder,
    Script,
    Shell,
    Step,
    StepSource,
    Target,
    Workflow,
)
from penstock.engine.backend import Backend
from penstock.engine.names import Names
from penstock.engine.scheduler import Scheduler
from penstock.engine.site import Site
from penstock.store.database import Database, Row
from penstock.store.journal import Journal
from penstock.store.layout import Layout, RunFolder
from penstock.store.process import this_process
from penstock.store.targets import clear_the_way

BASH = ("bash", "-euo", "pipefail")
BEGAN_AT = 1_700_000_000.0


class TickingClock:
    """A clock that goes on by `tick_s` whenever it is read, and by nothing else but `pass_by`."""

    def __init__(self, tick_s: float = 0.001) -> None:
        self._at_s = 0.0
        self._tick_s = tick_s

    def now(self) -> float:
        """Seconds since 1970, from a fixed beginning."""
        return BEGAN_AT + self.monotonic()

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        self._at_s += self._tick_s
        return self._at_s

    def pass_by(self, seconds: float) -> None:
        """So much time passes at once."""
        self._at_s += seconds


class MemoryListener:
    """Remembers what it was told, in order."""

    def __init__(self) -> None:
        self.views: list[StepView] = []
        self.outcomes: list[Outcome] = []
        self.notes: list[str] = []

    def begin(self, run: RunView) -> None:
        """Nothing is kept of it."""

    def step(self, view: StepView) -> None:
        """Kept in `views`."""
        self.views.append(view)

    def outcome(self, outcome: Outcome) -> None:
        """Kept in `outcomes`."""
        self.outcomes.append(outcome)

    def note(self, text: str) -> None:
        """Kept in `notes`."""
        self.notes.append(text)

    def ends(self) -> dict[str, StepView]:
        """The last view of each step."""
        return {view.id: view for view in self.views}


class MemoryRecorder:
    """A recorder that keeps attempts in a list, with what `also` says at that moment."""

    def __init__(self, also: Callable[[], object] = lambda: None) -> None:
        self.attempts: list[tuple[Attempt, object]] = []
        self._also = also

    def attempt_ended(self, task: Task, attempt: Attempt) -> None:
        """Kept in `attempts`."""
        self.attempts.append((attempt, self._also()))


Answer = Callable[[Task, Step], Outcome]


class ScriptedBackend:
    """Gives each task the outcome that `answer` says, one at every `wait`, without running anything.

    `pick` chooses which of the tasks in flight ends next; -1 for none, for now. `each_wait` is called first.
    """

    def __init__(
        self,
        answer: Answer | None = None,
        pick: Callable[[Sequence[Task]], int] = lambda tasks: 0,
        each_wait: Callable[[ScriptedBackend], None] = lambda backend: None,
    ) -> None:
        self.submitted: list[Task] = []
        self.ended: list[Outcome] = []
        self.most_at_once: dict[str, int] = {}
        self.cancelled = False
        self.answer = answer or (lambda task, step: ended(task))
        self._pick = pick
        self._each_wait = each_wait
        self._in_flight: list[tuple[Task, Step]] = []
        self._fresh: list[Outcome] = []

    def submit(self, task: Task, step: Step) -> None:
        """The task is in flight until `wait` ends it."""
        self.submitted.append(task)
        self._in_flight.append((task, step))
        at_once = sum(1 for _, other in self._in_flight if other.id == step.id)
        self.most_at_once[step.id] = max(at_once, self.most_at_once.get(step.id, 0))

    async def wait(self, at_most_s: float) -> None:
        """One task in flight ends."""
        await asyncio.sleep(0)
        self._each_wait(self)
        chosen = self._pick([task for task, _ in self._in_flight]) if self._in_flight else -1
        if chosen >= 0:
            outcome = self.answer(*self._in_flight.pop(chosen))
            self.ended.append(outcome)
            self._fresh.append(outcome)

    def poll(self) -> list[Outcome]:
        """What has ended since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def left(self, step_id: str) -> None:
        """Nothing is kept for a step."""

    def committed(self, task: Task) -> None:
        """Nothing waits for it."""

    def stop(self) -> None:
        """Every task in flight has begun, so all of them end."""

    def unbegun(self) -> list[Task]:
        """There is none."""
        return []

    async def cancel(self) -> None:
        """What is in flight gives no outcome."""
        self.cancelled = True
        self._in_flight.clear()

    def submitted_of(self, step_id: str) -> list[int]:
        """The indices of the step's tasks in the order in which they were given out."""
        return [task.index for task in self.submitted if task.step_id == step_id]


# --- values ------------------------------------------------------------------------------------


def ended(
    task: Task,
    verdict: Verdict = Verdict.ACCEPTED,
    record: Record | None = None,
    kind: str | None = None,
    reason: str | None = None,
    stderr: str = "",
    pieces: tuple[Piece, ...] = (),
    files: tuple[WrittenFile, ...] = (),
) -> Outcome:
    """An outcome after one attempt; its record is `{"i": …}` unless it failed or another is given."""
    attempt = Attempt(task.spent + 1, BEGAN_AT, 0.25, kind, reason, stderr)
    if record is None and verdict in (Verdict.ACCEPTED, Verdict.REJECTED):
        record = json_record(b'{"i":%d}' % task.index)
    return Outcome(task, verdict, (attempt,), record, reason, pieces, files)


def json_record(body: bytes) -> Record:
    """A record that is JSON."""
    return Record(Form.JSON, body)


def text_record(body: bytes) -> Record:
    """A record that is text."""
    return Record(Form.TEXT, body)


def item(index: int, text: bytes = b"", occurrence: int = 0) -> Item:
    """A row; its text is `{"n": index}` unless given."""
    text = text or b'{"n":%d}' % index
    digest = hashlib.sha256(text).digest()[:16]
    return Item(index, item_key(digest, occurrence), digest, text)


def appends(path: str, piece: int = 1) -> Target:
    """The target of `>> path`."""
    return Target((path,), append=True, piece=piece, text=path, offset=0, width=len(path))


def writes(*parts: Part) -> Target:
    """The target of `> path`."""
    text = "".join(part.text if isinstance(part, Placeholder) else str(part) for part in parts)
    return Target(parts, append=False, piece=None, text=text, offset=0, width=len(text))


def holder(text: str) -> Placeholder:
    """`holder("item.a")` is the placeholder `{{item.a}}`."""
    root, *path = text.split(".")
    return Placeholder(root, tuple(path), "{{" + text + "}}")


def shell(
    text: str = "true",
    bindings: Mapping[str, str] | None = None,
    targets: tuple[Target, ...] = (),
    output: Target | None = None,
    reads: tuple[str, ...] = (),
) -> Shell:
    """A `run` step's text as it would be after loading; `bindings` map variables to placeholders."""
    bound = tuple((name, holder(value)) for name, value in (bindings or {}).items())
    return Shell(Script(text, text, bound, targets, output, reads), BASH)


HERE = Place("flow.yaml", 1, 1)


def rows(count: int) -> ListSource:
    """A list of so many different rows."""
    return ListSource(tuple({"n": number} for number in range(count)))


def after(*steps: str, accept_skipped: bool = False) -> tuple[Need, ...]:
    """These steps as needs."""
    return tuple(Need(step, accept_skipped) for step in steps)


def stream(step: str, branch: str | None = None) -> StepSource:
    """The records of a step."""
    return StepSource(step, branch)


def flow(folder: Path, *steps: Step, outputs: Mapping[str, OutputName] | None = None, **env: str) -> Workflow:
    """A workflow in a folder."""
    named = tuple((outputs or {}).items())
    return Workflow("Flow", folder / "flow.yaml", "name: Flow\n", steps, env=tuple(env.items()), outputs=named)


# --- runs --------------------------------------------------------------------------------------


def begin(journal: Journal, layout: Layout, *step_ids: str, run_id: str = "r1") -> tuple[int, dict[str, int]]:
    """A new run of `flow.yaml` with its folder; its number and those of its steps."""
    layout.make()
    layout.run(run_id).make()
    run_no = journal.begin_run(run_id, "flow.yaml", "Flow", step_ids, {}, None)
    found = journal.database.all("steps_of", {"run_no": run_no})
    return run_no, {row["step_id"]: row["step_no"] for row in found}


def take(journal: Journal, step_no: int, row: Item, keep_input: bool = False, step_id: str = "a") -> Task:
    """The row is in flight."""
    number = journal.start_task(step_no, row, journal.occurrence(step_no, row.digest), 1, keep_input)
    return Task("r1", step_id, number, row)


class Ground:
    """A workflow folder in which runs live, die and are resumed; each life has its own connection to the journal."""

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.layout = Layout(folder)
        self.layout.make()
        self.folder = folder
        self.clock = TickingClock()
        self.listener = MemoryListener()
        self.scheduler: Scheduler | None = None
        self._environ = environ or {"PATH": "/usr/bin:/bin"}
        self._runs = 0
        self._run_no: int | None = None

    @property
    def run(self) -> RunFolder:
        """The folder of the newest run."""
        return self.layout.run(f"r{self._runs}")

    def next_run(self) -> None:
        """The next life is the first of a new run."""
        self._run_no = None

    def live(
        self,
        workflow: Workflow,
        backend: Backend | Callable[[Site], Backend],
        concurrency: int | None = None,
        cores: int = 4,
        redo: frozenset[str] = frozenset(),
    ) -> RunState:
        """One life of the run, from its beginning or from where the last one left it."""
        journal = Journal(self.layout.journal, self.clock)
        try:
            site = self._site(workflow, journal, redo)
            return asyncio.run(self._drive(site, backend(site) if callable(backend) else backend, concurrency, cores))
        finally:
            journal.close()

    def stop(self) -> None:
        """The life that goes on takes no new items."""
        assert self.scheduler is not None
        self.scheduler.stop()

    def ask(self, name: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[Row]:
        """What the journal answers to one of its named queries."""
        database = Database(self.layout.journal)
        try:
            return database.all(name, values)
        finally:
            database.close()

    def steps(self) -> dict[str, Row]:
        """The rows of the run's steps, by their ids."""
        return {row["step_id"]: row for row in self.ask("steps_of", {"run_no": self._run_no})}

    def states(self) -> dict[str, tuple[str, str | None]]:
        """State and reason of each step."""
        return {step_id: (row["state"], row["reason"]) for step_id, row in self.steps().items()}

    def verdicts(self, step_id: str) -> dict[int, str]:
        """The verdict of each row of a step."""
        values = {"step_no": self.steps()[step_id]["step_no"], "from": 0, "most": 1 << 30}
        return {row["i"]: row["verdict"] for row in self.ask("records_in_order", values)}

    async def _drive(self, site: Site, backend: Backend, concurrency: int | None, cores: int) -> RunState:
        self.scheduler = Scheduler(site, backend, lambda step: concurrency or step.concurrency or cores)
        return await self.scheduler.run()

    def _site(self, workflow: Workflow, journal: Journal, redo: frozenset[str]) -> Site:
        if self._run_no is None:
            self._runs += 1
            ids = [step.id for step in workflow.steps]
            self._run_no, _ = begin(journal, self.layout, *ids, run_id=f"r{self._runs}")
            clear_the_way(journal, self.layout, "flow.yaml", self._run_no, None)
        epoch = journal.take_run(self._run_no, this_process())
        steps = {row["step_id"]: row["step_no"] for row in journal.database.all("steps_of", {"run_no": self._run_no})}
        names = Names(workflow, self._environ, {"id": f"r{self._runs}", "dir": "", "name": workflow.name})
        names.attach(journal, steps)
        return Site(
            workflow=workflow,
            journal=journal,
            layout=self.layout,
            run_no=self._run_no,
            run_id=f"r{self._runs}",
            epoch=epoch,
            steps=steps,
            active=frozenset(steps),
            names=names,
            environ=self._environ,
            secrets={},
            clock=self.clock,
            listener=self.listener,
            redo=redo,
        )
