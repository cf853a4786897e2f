"""Where everything lies: `.penstock/` beside the workflow file, and one folder a run inside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from penstock.core.errors import OperatorError


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run, and the names of what is in it."""

    root: Path

    @property
    def log(self) -> Path:
        """One line a finished item or step, in the order of their ends."""
        return self.root / "log.jsonl"

    @property
    def calls(self) -> Path:
        """One line a model call, in the order of their ends."""
        return self.root / "calls.jsonl"

    @property
    def texts(self) -> Path:
        """The prompts and schemas as they were when the run began: a JSON object of path and text."""
        return self.root / "texts.json"

    @property
    def snapshot(self) -> Path:
        """The workflow as it was when the run began."""
        return self.root / "workflow.yaml"

    @property
    def steps(self) -> Path:
        """Holds `STEP.jsonl`: the records of a step, in input order."""
        return self.root / "steps"

    @property
    def out(self) -> Path:
        """Standard output and error of the steps."""
        return self.root / "out"

    @property
    def slots(self) -> Path:
        """Private files of tasks in flight."""
        return self.root / "slots"

    @property
    def groups(self) -> Path:
        """The table of process groups that are alive."""
        return self.root / "groups"

    @property
    def pieces(self) -> Path:
        """Pieces of append targets that are too large for the journal."""
        return self.root / "pieces"

    @property
    def files(self) -> Path:
        """What the run wrote into the workflow's folder, once a later run has moved it here."""
        return self.root / "files"

    @property
    def failed(self) -> Path:
        """Files of tasks that failed."""
        return self.root / "failed"

    @property
    def replaced(self) -> Path:
        """Files that were there before and that `replace` gave free."""
        return self.root / "replaced"

    def make(self) -> None:
        """The folder and its rooms are there."""
        for folder in (self.root, self.steps, self.out, self.slots):
            folder.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True, slots=True)
class Layout:
    """The `.penstock` folder beside a workflow file."""

    folder: Path

    @property
    def root(self) -> Path:
        """The folder itself."""
        return self.folder / ".penstock"

    @property
    def journal(self) -> Path:
        """The one source of truth."""
        return self.root / "journal.db"

    @property
    def lock(self) -> Path:
        """Locked by the one process that runs a workflow here."""
        return self.root / "lock"

    @property
    def cache(self) -> Path:
        """Answers of models by the hash of their request."""
        return self.root / "cache"

    @property
    def fixtures(self) -> Path:
        """Failures kept as files, beside the workflow and meant for version control."""
        return self.folder / "fixtures" / "failures"

    def run(self, run_id: str) -> RunFolder:
        """The folder of a run."""
        return RunFolder(self.root / "runs" / run_id)

    def make(self) -> None:
        """The folder is there, ignored by git; OperatorError where it cannot be made."""
        try:
            self.root.mkdir(exist_ok=True)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("# Made by Penstock: runs, journal and cache are not for version control.\n*\n")
        except OSError as error:
            raise OperatorError(
                f"cannot write to {self.root}: {error.strerror}",
                "Penstock keeps its journal beside the workflow file: make that folder writable",
            ) from error


def move(source: Path, target: Path) -> None:
    """`source` is at `target` now, whose folder is made; what stood there is numbered, never overwritten."""
    target.parent.mkdir(parents=True, exist_ok=True)
    free, number = target, 1
    while os.path.lexists(free):
        number += 1
        free = target.with_name(f"{target.name}~{number}")
    try:
        source.rename(free)
    except OSError as error:
        raise OperatorError(
            f"cannot move {source} to {free}: {error.strerror}",
            "the files that a run writes must lie on the same file system as the workflow's folder",
        ) from error
