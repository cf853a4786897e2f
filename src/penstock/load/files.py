"""Files that steps read: that they are there, or that a step which comes before writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from penstock.core.workflow import FileSource
from penstock.load.draft import Draft
from penstock.load.findings import Findings
from penstock.load.folder import holds, is_folder, meant
from penstock.load.graph import Graph
from penstock.load.paths import is_pattern, relative
from penstock.load.targets import Written, fixed, pattern
from penstock.load.tree import Scalar


@dataclass(frozen=True, slots=True)
class Files:
    """Who writes what. `on_disk` False: what lies in the folder is not looked at (a run is resumed)."""

    folder: Path
    writers: Mapping[str, Sequence[Written]]
    drafts: Sequence[Draft]
    on_disk: bool


def written_by(drafts: Iterable[Draft], folder: Path) -> tuple[Written, ...]:
    """Every file that the texts and `outputs` of these steps name, in the file's order."""
    return tuple(one for draft in drafts for one in (*_redirected(draft, folder), *_declared(draft)))


def by_path(written: Iterable[Written]) -> dict[str, list[Written]]:
    """The writers of each path."""
    paths: dict[str, list[Written]] = {}
    for one in written:
        paths.setdefault(one.path, []).append(one)
    return paths


def writers_of(path: str, writers: Mapping[str, Sequence[Written]]) -> list[Written]:
    """Who writes a file; for a folder, who writes below it, and for a pattern, who writes files that fit."""
    return [one for name, ones in writers.items() if _is_among(name, path) for one in ones]


def check(files: Files, graph: Graph, findings: Findings) -> None:
    """Problems with the files of `foreach` and `inputs`; notes on files that a text reads too early."""
    for draft in files.drafts:
        foreach = draft.fields.scalar("foreach")
        if isinstance(draft.step.foreach, FileSource) and foreach:
            _Reading(draft, foreach, draft.step.foreach.path, True, files, graph, findings).check()
        for path, scalar in (*draft.inputs, *draft.shown):
            _Reading(draft, scalar, path, False, files, graph, findings).check()
        _unordered_reads(draft, files, graph, findings)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A step reads a file: as its rows, or as one of its inputs or what it shows, which may be folders too."""

    draft: Draft
    node: Scalar
    path: str
    rows: bool
    files: Files
    graph: Graph
    findings: Findings

    def check(self) -> None:
        writers = writers_of(self.path, self.files.writers)
        if any(one.step == self.draft.id for one in writers):
            if self.rows:
                self._wrong(f"this step reads `{self.path}` and writes it too", "write another file")
            return
        earlier = [one for one in writers if self.draft.id not in self.graph.before[one.step]]
        if not earlier:
            self._must_exist()
        elif all(self.graph.lacks(self.draft.id, one.step) for one in earlier):
            step, other = self.draft.id, earlier[0].step
            self._wrong(
                f"`{self.path}` is written by step `{other}`, which `{step}` does not need",
                f"add to step `{step}`: {self.graph.needs_line(step, other)}",
            )

    def _must_exist(self) -> None:
        files = self.files
        if not files.on_disk or self._may_be_written():
            return
        if self.rows and is_folder(files.folder, self.path):
            self._wrong(f"`{self.path}` is a folder", "name a file in it")
        elif self.rows and is_pattern(self.path) and not (files.folder / self.path).exists():
            self._wrong(f"there is no file `{self.path}`", "rows come from one file; a pattern is not filled in here")
        elif not holds(files.folder, self.path):
            what = "no file fits" if is_pattern(self.path) else "there is no file"
            self._wrong(f"{what} `{self.path}`, and no step says that it writes it", self._instead())

    def _may_be_written(self) -> bool:
        """Whether a step that could not be understood speaks of the file."""
        name = self.path.rsplit("/", 1)[-1]
        return any(name in self.findings.document.text_of(one.node) for one in self.files.drafts if not one.clear)

    def _instead(self) -> str | None:
        for other in self.files.drafts:
            if other is not self.draft and self.path in other.script.reads:
                return f"if step `{other.id}` writes it, say so there: `outputs: [{self.path}]`"
        return meant(self.files.folder, self.path, self.files.writers)

    def _wrong(self, message: str, help: str | None) -> None:
        self.findings.wrong(self.node, message, help)


def _is_among(name: str, path: str) -> bool:
    """Whether the file `name` is what a step that reads `path` reads. Either may be a pattern."""
    return name == path or name.startswith(f"{path}/") or fnmatchcase(name, path) or fnmatchcase(path, name)


def _unordered_reads(draft: Draft, files: Files, graph: Graph, findings: Findings) -> None:
    for word in draft.script.reads:
        path = relative(word, files.folder)
        writers = [one for one in files.writers.get(path, ()) if one.step != draft.id]
        loose = [one for one in writers if draft.id not in graph.before[one.step] and graph.lacks(draft.id, one.step)]
        if not loose or len(loose) < len(writers) or not draft.spelling:
            continue
        offset = max(0, draft.spelling.text.find(word))
        findings.note(
            draft.spelling.spots[offset],
            f"`{path}` is written by step `{loose[0].step}`, and nothing says which of the two comes first",
            f"if this step reads it, add: {graph.needs_line(draft.id, loose[0].step)}",
            width=len(word),
        )


def _redirected(draft: Draft, folder: Path) -> list[Written]:
    script, spelling = draft.script, draft.spelling
    written: list[Written] = []
    for target in script.targets if spelling else ():
        spot = spelling.spots[target.offset] if spelling else 0
        path = fixed(target)
        how = ">>" if target.append else ">"
        whole = script.output == target
        if path is not None:
            written.append(Written(draft.id, path, how, spot, target.width, draft.mapped, whole, target.piece))
        elif target.per_item:
            written.append(
                Written(draft.id, relative(pattern(target), folder), "item", spot, target.width, draft.mapped)
            )
    return written


def _declared(draft: Draft) -> list[Written]:
    key = draft.fields.mapping.key("outputs")
    spot = key.start if key else 0
    return [Written(draft.id, path, "outputs", spot, len("outputs")) for _, path in draft.step.outputs]
