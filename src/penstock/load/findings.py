"""What a reading of the file has found so far: problems, notes, and the nodes that are not to be trusted."""

from __future__ import annotations

from penstock.core.errors import Problem
from penstock.load.tree import Document, Node, Scalar, Sequence

_NOWHERE = (False, "", 0, 0)


class Findings:
    """Collects; nothing stops at the first problem. A node found wrong is not judged a second time."""

    def __init__(self, document: Document, problems: tuple[Problem, ...] = ()) -> None:
        self.document = document
        self._problems = list(problems)
        self._notes: list[Problem] = []
        self._unsound: set[int] = set()
        self._shown_at: dict[int, Node] = {}

    def within(self, document: Document) -> Findings:
        """The same findings, for the nodes and indices of another file that this one refers to."""
        if document is self.document:
            return self
        other = Findings(document)
        other._problems, other._notes = self._problems, self._notes
        other._unsound, other._shown_at = self._unsound, self._shown_at
        return other

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem once: those without a place, those of this file in its order, those of other files."""
        return self._in_order(self._problems)

    @property
    def notes(self) -> tuple[Problem, ...]:
        """What is right and worth knowing, in the same order."""
        return self._in_order(self._notes)

    def wrong(self, at: Node | int, message: str, help: str | None = None, width: int | None = None) -> None:
        """A problem at a node, which is unsound from now on, or at a character index."""
        if not isinstance(at, int):
            self._unsound.add(id(at))
            at = self._shown_at.get(id(at), at)
        self._problems.append(self.document.problem(at, message, help, width))

    def tell(self, problem: Problem) -> None:
        """A problem that has its place already."""
        self._problems.append(problem)

    def distrust(self, node: Node) -> None:
        """A node whose problem has been told elsewhere is unsound too."""
        self._unsound.add(id(node))

    def wrong_nowhere(self, message: str, help: str | None = None) -> None:
        """A problem that has no place in the file."""
        self._problems.append(Problem(None, message, help))

    def note(self, at: Node | int, message: str, help: str | None = None, width: int | None = None) -> None:
        """Something that `check` mentions."""
        self._notes.append(self.document.problem(at, message, help, width))

    def show_at(self, node: Node, stead: Node) -> None:
        """Problems of `node` are shown at `stead`: a value that is empty has no place that can be seen."""
        self._shown_at[id(node)] = stead

    def sound(self, node: Node) -> bool:
        """Whether nothing was found wrong with the node itself."""
        return id(node) not in self._unsound

    def _in_order(self, problems: list[Problem]) -> tuple[Problem, ...]:
        def position(problem: Problem) -> tuple[bool, str, int, int]:
            place = problem.place
            return (place.file != self.document.file, place.file, place.line, place.column) if place else _NOWHERE

        return tuple(sorted(dict.fromkeys(problems), key=position))


def found(node: Node) -> str:
    """What a node is, in words: `the number 3`, `the text "x"`, `a list`."""
    if not isinstance(node, Scalar):
        return "a list" if isinstance(node, Sequence) else "a mapping"
    if isinstance(node.value, str):
        first = node.text.strip().split("\n")[0]
        return f'the text "{first[:40]}…"' if first[:40] != node.text.strip() else f'the text "{first}"'
    if isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return f"the number {node.text}"
    return f"`{node.text}`" if node.text else "nothing"
