"""Outcomes of earlier runs that stand for tasks of this one: `cache: true`, or `inputs`.

Only accepted and rejected tasks are reused, with their pieces, their own files and the step's outputs; if any
of those is gone or was changed, the task is done again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.core.work import Form, Outcome, Piece, Record, Task, Verdict, WrittenFile
from penstock.core.workflow import Step
from penstock.engine.site import Site
from penstock.rules.cachekey import step_fingerprint, task_fingerprint
from penstock.store.contents import contents
from penstock.store.database import Row
from penstock.store.targets import digest_of


@dataclass(frozen=True, slots=True)
class Found:
    """An outcome for a task of this run, and the number of the one that it repeats."""

    outcome: Outcome
    outcome_no: int


class Reuse:
    """Finds and restores what an earlier run did for the same task of one step."""

    def __init__(self, site: Site, step: Step) -> None:
        self._site = site
        self._step = step
        hashes = contents(site.journal, site.layout.folder, step.inputs, step.script.reads)
        self._shared = step_fingerprint(step, dict(site.workflow.env), hashes)

    def fingerprint(self, outcome: Outcome) -> bytes | None:
        """The key to keep an outcome under; None for one that is never reused."""
        if outcome.verdict not in (Verdict.ACCEPTED, Verdict.REJECTED):
            return None
        return self._key(outcome.task)

    def find(self, task: Task) -> Found | None:
        """What an earlier run has for this task, its files put back in place; None if there is nothing whole."""
        row = self._site.journal.database.one("reusable", {"fingerprint": self._key(task)})
        if row is None:
            return None
        files = self._site.journal.database.all("files_of_outcome", (row["outcome_no"],))
        if not self._outputs_stand(files):
            return None
        restored = self._restore([file for file in files if file["kind"] == "item" and file["hash"] is not None], task)
        pieces = self._pieces(row, task)
        if restored is None or pieces is None:
            return None
        record = Record(Form(row["form"]), row["record"]) if row["form"] else None
        reason = f"reused from run {row['run_id']}"
        outcome = Outcome(task, Verdict(row["verdict"]), (), record, reason, pieces, restored)
        return Found(outcome, row["outcome_no"])

    def _key(self, task: Task) -> bytes:
        return task_fingerprint(self._shared, task.item.text if task.item else b"", task.values)

    def _outputs_stand(self, files: Sequence[Row]) -> bool:
        """Whether the step's outputs are in place as they were left."""
        outputs = [file for file in files if file["kind"] == "output"]
        return all(_holds(self._site.layout.folder / file["path"], file) for file in outputs)

    def _restore(self, files: Sequence[Row], task: Task) -> tuple[WrittenFile, ...] | None:
        site = self._site
        sources = [(file, self._source(file)) for file in files]
        folder = site.layout.folder
        if any(source is None or _in_the_way(folder / file["path"], source) for file, source in sources):
            return None
        for file, source in sources:
            place = folder / file["path"]
            complaint = site.journal.claim_file(
                site.run_no, site.steps[self._step.id], task.number, file["path"], "item"
            )
            if complaint is not None:
                return None
            if source is not None and source != place:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, place)
        return tuple(WrittenFile(file["path"], file["size_bytes"], file["hash"]) for file in files)

    def _source(self, file: Row) -> Path | None:
        """Where a file's content still is: in its run's folder, or in place."""
        kept = self._site.layout.run(file["run_id"]).files / file["path"]
        places = (kept, self._site.layout.folder / file["path"])
        return next((place for place in places if _holds(place, file)), None)

    def _pieces(self, row: Row, task: Task) -> tuple[Piece, ...] | None:
        pieces: list[Piece] = []
        for piece in self._site.journal.database.all("pieces_of", (row["outcome_no"],)):
            if piece["file"] is None:
                pieces.append(Piece(piece["piece"], piece["body"]))
                continue
            source = self._site.layout.run(row["run_id"]).root / piece["file"]
            if not source.is_file():
                return None
            name = task.item.key if task.item is not None else "step"
            kept = self._site.folder.pieces / self._step.id / f"{name}.{piece['piece']}"
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, kept)
            pieces.append(Piece(piece["piece"], None, str(kept.relative_to(self._site.folder.root))))
        return tuple(pieces)


def reusable(step: Step) -> bool:
    """Whether outcomes of this step are looked for in earlier runs."""
    return step.cache and (step.foreach is not None or bool(step.inputs))


def _in_the_way(place: Path, source: Path) -> bool:
    return source != place and os.path.lexists(place)


def _holds(path: Path, file: Row) -> bool:
    if not path.is_file() or file["hash"] is None:
        return False
    return bool(path.stat().st_size == file["size_bytes"] and digest_of(path) == file["hash"])
