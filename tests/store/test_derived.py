"""The files of a step hold its outcomes in input order, whatever order they came in and whatever befell the files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.core.routing import Choice
from penstock.core.work import Item, Piece, Record, Verdict
from penstock.store.derived import AppendTarget, Finished, Frontier
from penstock.store.derived import Sequence as Files
from penstock.store.journal import Journal
from penstock.store.layout import Layout
from tests.doubles import TickingClock, begin, ended, item, json_record, take, text_record

KEPT = (Verdict.ACCEPTED, Verdict.REJECTED)


@dataclass(frozen=True)
class Made:
    """What becomes of a row: verdict, what it appends to target 1 (in the journal) and 2 (in a file), and branch."""

    verdict: Verdict = Verdict.ACCEPTED
    inline: bytes | None = None
    filed: bytes | None = None
    to: str | None = None


class Room:
    """A run of the steps `a` and `b`; `b` reads the records of `a`. Both append to two files."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        self.layout.make()
        self.journal = Journal(self.layout.journal, TickingClock())
        self.run_no, self.steps = begin(self.journal, self.layout, "a", "b")
        self.run = self.layout.run("r1")
        self._opened: list[Files] = []

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        for files in self._opened:
            files.close()
        self.journal.close()

    def open(
        self,
        step: str = "a",
        above: Frontier | None = None,
        branch: frozenset[str] | None = None,
        to: str | None = None,
        foreign: int = 0,
    ) -> Files:
        one = AppendTarget(1, self.layout.folder / f"{step}.one", f"{step}.one", foreign)
        two = AppendTarget(2, self.layout.folder / "logs" / f"{step}.two", f"logs/{step}.two", 0)
        lines = self.run.steps / f"{step}.jsonl"
        files = Files(self.journal, self.run_no, self.steps[step], lines, (one, two), above, branch, to)
        self._opened.append(files)
        return self._opened[-1]

    def commit(
        self, index: int, made: Made, step: str = "a", row: Item | None = None, record: Record | None = None
    ) -> None:
        pieces = [] if made.inline is None else [Piece(1, made.inline)]
        if made.filed is not None:
            name = f"pieces/{step}/{index}.2"
            (self.run.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.run.root / name).write_bytes(made.filed)
            pieces.append(Piece(2, None, name))
        task = take(self.journal, self.steps[step], row or item(index), step_id=step)
        choice = Choice(1, made.to, "why") if made.to is not None else None
        outcome = replace(ended(task, made.verdict, record, pieces=tuple(pieces)), choice=choice)
        self.journal.commit(self.run_no, self.steps[step], outcome, None, None)

    def read(self, step: str = "a") -> tuple[bytes, bytes, bytes]:
        """What `steps/STEP.jsonl` and the two targets hold."""
        folder = self.layout.folder
        places = (self.run.steps / f"{step}.jsonl", folder / f"{step}.one", folder / "logs" / f"{step}.two")
        one, two, three = (place.read_bytes() for place in places)
        return one, two, three

    def paths(self, step: str = "a") -> list[Path]:
        folder = self.layout.folder
        return [self.run.steps / f"{step}.jsonl", folder / f"{step}.one", folder / "logs" / f"{step}.two"]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with Room(tmp_path) as made:
        yield made


def expected(rows: Sequence[tuple[int, Made]]) -> tuple[bytes, bytes, bytes]:
    """The three files for these rows, in this order."""
    lines, one, two = b"", b"", b""
    for index, made in rows:
        record = {"i": index} if made.verdict in KEPT else None
        line = {"i": index, "key": item(index).key, "verdict": made.verdict.value, "record": record}
        lines += json.dumps(line, separators=(",", ":")).encode() + b"\n"
        if made.verdict in KEPT:
            one += made.inline or b""
            two += made.filed or b""
    return lines, one, two


def before_the_gap(made: Sequence[Made], done: set[int]) -> list[tuple[int, Made]]:
    first = next((index for index in range(len(made)) if index not in done), len(made))
    return list(enumerate(made[:first]))


# --- properties --------------------------------------------------------------------------------

bodies = st.none() | st.binary(max_size=6)
sent_to = st.sampled_from([None, "legal", "sales"])
rows_made = st.lists(st.builds(Made, st.sampled_from(Verdict), bodies, bodies, sent_to), max_size=9)
damages = st.sampled_from(["nothing", "longer", "shorter", "gone"])


def damage(path: Path, how: str) -> None:
    match how:
        case "longer":
            path.write_bytes(path.read_bytes() + b'{"i":99,"key"')
        case "shorter":
            path.write_bytes(path.read_bytes()[:-1])
        case "gone":
            path.unlink()


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_files_equal_the_rows_in_order_whatever_order_they_came_in_and_whatever_befell_the_files(
    data: st.DataObject,
) -> None:
    made = data.draw(rows_made)
    with tempfile.TemporaryDirectory() as folder, Room(Path(folder)) as room:
        files, done = room.open(), set[int]()
        for index in data.draw(st.permutations(range(len(made)))):
            room.commit(index, made[index])
            done.add(index)
            move = data.draw(st.sampled_from(["wait", "advance", "stop", "die"]))
            if move == "advance":
                files.advance()
                assert_holds(room, before_the_gap(made, done), done == set(range(len(made))))
            if move in ("stop", "die"):
                if move == "stop":
                    files.advance()
                files.close()
                for path in room.paths():
                    damage(path, data.draw(damages))
                files = room.open()
        files.advance()
        files.close()
        assert room.read() == expected(list(enumerate(made)))


def assert_holds(room: Room, rows: list[tuple[int, Made]], last: bool) -> None:
    """After `advance` the files hold the rows before the first gap, and nothing else."""
    assert room.read() == expected(rows)
    if last:
        assert room.read("a")[0].count(b"\n") == len(rows)


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_stream_is_in_the_order_of_the_root_whatever_order_both_steps_ended_in(data: st.DataObject) -> None:
    branch, taken, to = data.draw(
        st.sampled_from(
            [
                (None, KEPT, None),
                (frozenset({"accepted"}), (Verdict.ACCEPTED,), None),
                (frozenset({"accepted"}), (Verdict.ACCEPTED,), "legal"),
                (frozenset({"rejected"}), (Verdict.REJECTED,), None),
                (frozenset({"failed"}), (Verdict.FAILED,), None),
            ]
        )
    )
    above = data.draw(rows_made)
    below = {
        index: data.draw(st.builds(Made, st.sampled_from(Verdict), bodies, bodies))
        for index, made in enumerate(above)
        if made.verdict in taken and to in (None, made.to)
    }
    with tempfile.TemporaryDirectory() as folder, Room(Path(folder)) as room:
        upper = room.open("a")
        lower = room.open("b", upper, branch, to)
        waiting = list(data.draw(st.permutations(range(len(above)))))
        ready: list[int] = []
        while waiting or ready:
            if waiting and (not ready or data.draw(st.booleans())):
                index = waiting.pop()
                room.commit(index, above[index], "a")
                ready += [index] if index in below else []
            else:
                index = ready.pop(data.draw(st.integers(0, len(ready) - 1)))
                room.commit(index, below[index], "b")
            if data.draw(st.booleans()):
                upper.advance()
                lower.advance()
            if data.draw(st.integers(0, 4)) == 0:
                upper.close()
                lower.close()
                for path in room.paths("b"):
                    damage(path, data.draw(damages))
                upper = room.open("a")
                lower = room.open("b", upper, branch, to)
        upper.advance()
        upper.close()
        if data.draw(st.booleans()):
            lower.close()
            lower = room.open("b", Finished(room.steps["a"]), branch, to)
        lower.advance()
        lower.close()
        assert room.read("a") == expected(list(enumerate(above)))
        assert room.read("b") == expected(sorted(below.items()))


# --- lines -------------------------------------------------------------------------------------


def test_a_line_says_which_row_it_was_and_what_it_gave(room: Room) -> None:
    files = room.open()
    for index, record in enumerate([json_record(b'{"score":0.10}'), text_record("한국어\n".encode()), None]):
        verdict = Verdict.ACCEPTED if record else Verdict.FAILED
        room.commit(index, Made(verdict), row=item(index, b"same", index), record=record)
    files.advance()
    files.close()
    assert room.read()[0].decode() == (
        '{"i":0,"key":"0967115f2813a354","verdict":"accepted","record":{"score":0.10}}\n'
        '{"i":1,"key":"0967115f2813a354.2","verdict":"accepted","record":"한국어\\n"}\n'
        '{"i":2,"key":"0967115f2813a354.3","verdict":"failed","record":null}\n'
    )


def test_a_text_that_is_no_utf8_still_makes_a_line_of_json(room: Room) -> None:
    files = room.open()
    room.commit(0, Made(), record=text_record(b"\xff\x00\n"))
    files.advance()
    files.close()
    assert json.loads(room.read()[0])["record"] == "\ufffd\x00\n"


def test_a_thousand_rows_that_came_backwards_are_in_order(room: Room) -> None:
    files = room.open()
    made = [Made(inline=b"%d\n" % index) for index in range(1000)]
    with room.journal.together():
        for index in reversed(range(1000)):
            room.commit(index, made[index])
    files.advance()
    files.close()
    assert room.read() == expected(list(enumerate(made)))


def test_a_thousand_rows_above_of_which_few_are_taken_are_passed_by(room: Room) -> None:
    upper = room.open("a")
    lower = room.open("b", upper, frozenset({"rejected"}))
    above = [Made(Verdict.REJECTED if index % 300 == 0 else Verdict.ACCEPTED) for index in range(1000)]
    with room.journal.together():
        for index, made in enumerate(above):
            room.commit(index, made, "a")
        for index in (900, 0, 600, 300):
            room.commit(index, Made(inline=b"%d " % index), "b")
    upper.advance()
    lower.advance()
    upper.close()
    lower.close()
    assert room.read("b")[1] == b"0 300 600 900 "
    assert lower.cursor == 1000


# --- files that are not only ours --------------------------------------------------------------


def test_what_was_there_before_stays_at_the_head_of_a_kept_file(room: Room) -> None:
    path = room.layout.folder / "a.one"
    path.write_bytes(b"before\n")
    for life in range(3):
        files = room.open(foreign=7)
        room.commit(life, Made(inline=b"%d\n" % life))
        files.advance()
        files.close()
        path.write_bytes(path.read_bytes() + b"torn")
    room.open(foreign=7).close()
    assert path.read_bytes() == b"before\n0\n1\n2\n"


def test_a_kept_file_that_must_be_written_anew_keeps_its_head(room: Room) -> None:
    path = room.layout.folder / "a.one"
    path.write_bytes(b"before\n")
    files = room.open(foreign=7)
    room.commit(0, Made(inline=b"0\n"))
    files.advance()
    files.close()
    path.write_bytes(b"before\n0")
    files = room.open(foreign=7)
    files.advance()
    files.close()
    assert path.read_bytes() == b"before\n0\n"


def test_a_head_that_somebody_took_away_is_not_replaced_by_nuls(room: Room) -> None:
    path = room.layout.folder / "a.one"
    path.write_bytes(b"before\n")
    room.commit(0, Made(inline=b"0\n"))
    room.open(foreign=7).close()
    path.write_bytes(b"bef")
    files = room.open(foreign=7)
    files.advance()
    files.close()
    assert path.read_bytes() == b"bef0\n"


@pytest.mark.parametrize("name", ["a.jsonl", "log.jsonl", "steps/a.jsonl", "b.jsonl"])
def test_an_append_target_may_be_called_like_one_of_our_own_files(room: Room, name: str) -> None:
    target = AppendTarget(1, room.layout.folder / name, name, 0)
    lines = room.run.steps / "a.jsonl"

    def again() -> Files:
        return Files(room.journal, room.run_no, room.steps["a"], lines, (target,))

    files = again()
    for index in range(3):
        room.commit(index, Made(inline=b"%d\n" % index))
        files.advance()
        files.close()
        files = again()
    files.close()
    assert target.path.read_bytes() == b"0\n1\n2\n"
    assert lines.read_bytes() == expected([(index, Made()) for index in range(3)])[0]


def test_a_step_that_could_not_write_a_row_writes_it_once_when_it_can(room: Room) -> None:
    files = room.open()
    room.commit(0, Made(inline=b"zero\n"))
    room.commit(1, Made(inline=b"one\n", filed=b"ONE\n"))
    kept = room.run.root / "pieces" / "a" / "1.2"
    kept.rename(kept.with_name("away"))
    with pytest.raises(FileNotFoundError):
        files.advance()
    kept.with_name("away").rename(kept)
    files.advance()
    files.close()
    files = room.open()
    files.advance()
    files.close()
    assert room.read() == expected([(0, Made(inline=b"zero\n")), (1, Made(inline=b"one\n", filed=b"ONE\n"))])
