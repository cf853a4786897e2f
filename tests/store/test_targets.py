"""What runs wrote is moved to the folder of the run that wrote it; what they did not write is never touched."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.core.errors import OperatorError
from penstock.core.work import Verdict
from penstock.store.journal import Journal
from penstock.store.layout import Layout
from penstock.store.targets import Permit, begin_append, changed_items, clear_the_way, strangers, written
from tests.doubles import TickingClock, begin, ended, item, take

LOG = "logs/a.jsonl"
FREE = Permit()


class Room:
    """A workflow's folder through several runs of the steps `a` (which appends) and `b` (a file an item)."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        self.layout.make()
        self.folder = folder
        self.journal = Journal(self.layout.journal, TickingClock())
        self.runs = 0
        self.run_no = 0
        self.steps: dict[str, int] = {}

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()

    @property
    def run_id(self) -> str:
        return f"r{self.runs}"

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def read(self, path: str) -> str:
        return (self.folder / path).read_text()

    def files(self) -> dict[str, str]:
        """Every file in the folder but the journal's, by its path."""
        found = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        names = {str(path.relative_to(self.folder)): path for path in found if "journal" not in path.name}
        return {
            name.removeprefix(".penstock/runs/"): path.read_text() for name, path in names.items() if ".git" not in name
        }

    def begin(self, only: str | None = None) -> int:
        """A new run begins, and clears the way; how many files it moved."""
        self.runs += 1
        self.run_no, self.steps = begin(self.journal, self.layout, "a", "b", run_id=self.run_id)
        return clear_the_way(self.journal, self.layout, "flow.yaml", self.run_no, only)

    def refused(self, *paths: str, permit: Permit = FREE) -> dict[str, str]:
        return strangers(self.journal, self.layout, "flow.yaml", paths or (LOG,), permit)

    def append(self, text: str, path: str = LOG, permit: Permit = FREE, ends: bool = True) -> None:
        """Step a appends to its target and, if it ends, the journal knows what it wrote."""
        ids = (self.run_no, self.steps["a"])
        foreign = begin_append(self.journal, self.layout, self.run_id, ids, path, permit)
        head = (self.folder / path).read_text()[:foreign] if foreign else ""
        self.write(path, head + text)
        if ends:
            self.journal.file_written(self.run_no, written(self.folder, path))

    def item(self, index: int, text: str | None, verdict: Verdict | None = Verdict.ACCEPTED) -> str:
        """Step b writes the file of one item; without a verdict it was still in flight."""
        path = f"out_{index}.json"
        task = take(self.journal, self.steps["b"], item(index), step_id="b")
        assert self.journal.claim_file(self.run_no, self.steps["b"], task.number, path, "item") is None
        if text is not None:
            self.write(path, text)
        files = (written(self.folder, path),) if text is not None and verdict is Verdict.ACCEPTED else ()
        if verdict is not None:
            self.journal.commit(self.run_no, self.steps["b"], ended(task, verdict, files=files), None, None)
        return path


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with Room(tmp_path) as made:
        yield made


# --- strangers ---------------------------------------------------------------------------------


def test_a_file_that_no_run_wrote_is_refused(room: Room) -> None:
    room.write(LOG, "mine\n")
    assert room.refused() == {LOG: f"{LOG} is there already and no Penstock run wrote it"}


def test_a_file_that_a_run_of_another_workflow_wrote_is_refused(room: Room) -> None:
    room.begin()
    room.append("1\n")
    assert strangers(room.journal, room.layout, "other.yaml", [LOG], FREE) == {
        LOG: f"{LOG} belongs to run r1 of flow.yaml"
    }


def test_a_file_that_was_changed_after_a_run_wrote_it_is_refused(room: Room) -> None:
    room.begin()
    room.append("1\n")
    room.write(LOG, "2\n")
    assert room.refused() == {LOG: f"{LOG} was changed after run r1 wrote it"}


def test_a_folder_and_a_dangling_link_in_the_place_of_a_target_are_refused(room: Room) -> None:
    (room.folder / "one").mkdir()
    (room.folder / "two").symlink_to("nowhere")
    assert list(room.refused("one", "two", "three")) == ["one", "two"]


def test_a_file_of_an_earlier_run_is_no_stranger(room: Room) -> None:
    room.begin()
    room.append("1\n")
    assert room.refused() == {}


def test_a_file_that_a_run_was_still_writing_when_it_died_is_no_stranger(room: Room) -> None:
    room.begin()
    room.append("torn", ends=False)
    assert room.refused() == {}
    assert room.begin() == 1
    assert room.files() == {"r1/files/logs/a.jsonl": "torn"}


@pytest.mark.parametrize("pattern", [LOG, "logs/*", "./logs/a.jsonl", "logs/*.jsonl"])
def test_keep_and_replace_let_a_strangers_file_be(room: Room, pattern: str) -> None:
    room.write(LOG, "mine\n")
    assert room.refused(permit=Permit(keep=(pattern,))) == {}
    assert room.refused(permit=Permit(replace=(pattern,))) == {}
    assert list(room.refused(permit=Permit(keep=("other",), replace=("logs",)))) == [LOG]


def test_a_kept_head_is_a_stranger_once_keep_is_taken_out_of_the_workflow(room: Room) -> None:
    room.write(LOG, "mine\n")
    room.begin()
    room.append("1\n", permit=Permit(keep=(LOG,)))
    assert room.refused() == {LOG: f"{LOG} begins with what was there before run r1 appended to it"}


def test_a_changed_file_of_an_item_is_refused_unless_it_may_be_replaced(room: Room) -> None:
    room.begin()
    room.item(0, "{}")
    path = room.item(1, "{}")
    room.write(path, '{"edited": true}')
    changed = changed_items(room.journal, room.layout, "flow.yaml", "b", FREE)
    assert changed == {path: "out_1.json was changed after run r1 wrote it"}
    assert changed_items(room.journal, room.layout, "flow.yaml", "b", Permit(replace=("out_*",))) == {}
    assert changed_items(room.journal, room.layout, "flow.yaml", "a", FREE) == {}


# --- clearing the way --------------------------------------------------------------------------


def test_what_a_run_wrote_is_in_its_folder_once_the_next_one_begins(room: Room) -> None:
    room.begin()
    room.append("1\n")
    room.item(0, "zero")
    room.item(1, "one")
    assert room.begin() == 3
    assert room.files() == {
        "r1/files/logs/a.jsonl": "1\n",
        "r1/files/out_0.json": "zero",
        "r1/files/out_1.json": "one",
    }


def test_each_run_keeps_its_own(room: Room) -> None:
    for number in range(1, 4):
        room.begin()
        room.append(f"{number}\n")
    assert room.files() == {"r1/files/logs/a.jsonl": "1\n", "r2/files/logs/a.jsonl": "2\n", LOG: "3\n"}


def test_more_files_than_a_page_are_all_moved(room: Room) -> None:
    room.begin()
    with room.journal.together():
        for index in range(1100):
            room.item(index, "x")
    assert room.begin() == 1100
    assert len(list((room.layout.run("r1").files).iterdir())) == 1100


def test_only_the_files_of_the_step_that_runs_alone_are_moved(room: Room) -> None:
    room.begin()
    room.append("1\n")
    room.item(0, "zero")
    assert room.begin(only="b") == 1
    assert room.files() == {LOG: "1\n", "r1/files/out_0.json": "zero"}
    assert room.begin() == 1
    assert room.files() == {"r1/files/logs/a.jsonl": "1\n", "r1/files/out_0.json": "zero"}


def test_a_crash_after_the_move_and_before_the_journal_knew_is_mended(room: Room) -> None:
    room.begin()
    path = room.item(0, "zero")
    kept = room.layout.run("r1").files / path
    kept.parent.mkdir()
    (room.folder / path).rename(kept)
    assert room.begin() == 0
    assert room.begin() == 0
    assert room.files() == {"r1/files/out_0.json": "zero"}


def test_a_file_that_came_into_the_place_of_one_that_was_moved_stays(room: Room) -> None:
    room.begin()
    path = room.item(0, "zero")
    (room.folder / path).unlink()
    room.write(path, "by hand")
    assert room.begin() == 0
    assert room.read(path) == "by hand"


def test_a_file_by_hand_in_the_place_of_a_failed_items_file_stays(room: Room) -> None:
    room.begin()
    path = room.item(0, None, Verdict.FAILED)
    room.write(path, "by hand")
    assert room.begin() == 0
    assert room.read(path) == "by hand"


def test_a_file_of_a_task_that_was_in_flight_when_the_run_died_is_moved(room: Room) -> None:
    room.begin()
    room.item(0, "half", None)
    assert room.begin() == 1
    assert room.files() == {"r1/files/out_0.json": "half"}


def test_a_changed_file_that_no_step_writes_any_more_stays(room: Room) -> None:
    room.begin()
    room.append("1\n", path="logs/old.jsonl")
    room.write("logs/old.jsonl", "1\nand mine\n")
    assert room.begin() == 0
    assert room.read("logs/old.jsonl") == "1\nand mine\n"
    assert list(room.refused("logs/old.jsonl")) == ["logs/old.jsonl"]


def test_what_stands_where_an_old_file_goes_is_not_written_over(room: Room) -> None:
    room.begin()
    room.append("1\n")
    room.write(".penstock/runs/r1/files/logs/a.jsonl", "older")
    room.begin()
    assert room.files() == {"r1/files/logs/a.jsonl": "older", "r1/files/logs/a.jsonl~2": "1\n"}


# --- keep and replace --------------------------------------------------------------------------


def test_a_kept_head_stays_and_a_copy_of_the_whole_goes_to_the_runs_folder(room: Room) -> None:
    keep = Permit(keep=(LOG,))
    room.write(LOG, "mine\n")
    for number in range(1, 3):
        assert room.refused(permit=keep) == {}
        room.begin()
        room.append(f"{number}\n", permit=keep)
    assert room.files() == {"r1/files/logs/a.jsonl": "mine\n1\n", LOG: "mine\n2\n"}


def test_a_crash_after_a_head_was_given_back_does_not_spoil_the_copy(room: Room) -> None:
    keep = Permit(keep=(LOG,))
    room.write(LOG, "mine\n")
    room.begin()
    room.append("1\n", permit=keep)
    room.write(".penstock/runs/r1/files/logs/a.jsonl", "mine\n1\n")
    room.write(LOG, "mine\n")
    room.begin()
    assert room.files() == {"r1/files/logs/a.jsonl": "mine\n1\n", LOG: "mine\n"}


def test_a_changed_file_that_is_to_be_kept_is_appended_to_as_it_is(room: Room) -> None:
    keep = Permit(keep=(LOG,))
    room.begin()
    room.append("1\n")
    room.write(LOG, "1\nand mine\n")
    room.begin()
    room.append("2\n", permit=keep)
    assert room.read(LOG) == "1\nand mine\n2\n"


def test_a_head_that_somebody_shortened_is_not_filled_with_nuls(room: Room) -> None:
    room.write(LOG, "mine, and long\n")
    room.begin()
    room.append("1\n", permit=Permit(keep=(LOG,)), ends=False)
    room.write(LOG, "mi")
    room.begin()
    assert room.read(LOG) == "mi"


def test_a_replaced_file_is_in_the_folder_of_the_run_that_replaced_it(room: Room) -> None:
    room.write(LOG, "mine\n")
    room.begin()
    room.append("1\n", permit=Permit(replace=(LOG,)))
    assert room.files() == {"r1/replaced/logs/a.jsonl": "mine\n", LOG: "1\n"}


def test_a_changed_file_that_may_be_replaced_is_not_taken_for_what_the_run_wrote(room: Room) -> None:
    room.begin()
    room.append("1\n")
    room.write(LOG, "mine\n")
    room.begin()
    room.append("2\n", permit=Permit(replace=(LOG,)))
    assert room.files() == {"r2/replaced/logs/a.jsonl": "mine\n", LOG: "2\n"}


def test_a_file_that_an_earlier_step_of_the_run_wrote_stops_the_step_that_would_append_to_it(room: Room) -> None:
    room.begin()
    room.write(LOG, "by a step\n")
    with pytest.raises(OperatorError, match="is there already and no Penstock run wrote it") as refusal:
        room.append("1\n")
    assert refusal.value.help == f"move it away, or say `keep: [{LOG}]` (append after it) or `replace: [{LOG}]`"
    assert room.read(LOG) == "by a step\n"


def test_a_target_that_the_run_owns_is_begun_again_with_the_same_head(room: Room) -> None:
    keep = Permit(keep=(LOG,))
    room.write(LOG, "mine\n")
    room.begin()
    room.append("1\n", permit=keep)
    ids = (room.run_no, room.steps["a"])
    assert begin_append(room.journal, room.layout, "r1", ids, LOG, keep) == 5


def test_a_target_that_is_written_again_is_not_taken_for_changed_when_the_run_dies(room: Room) -> None:
    room.begin()
    room.append("1\n2\n")
    room.append("1\n", ends=False)
    assert room.refused() == {}


# --- whatever happens --------------------------------------------------------------------------

PATHS = ["a", "b", "dir/c"]
events = st.one_of(
    st.tuples(st.just("hand"), st.sampled_from(PATHS)),
    st.tuples(st.just("hand_after"), st.sampled_from(PATHS)),
    st.tuples(st.just("away"), st.sampled_from(PATHS)),
    st.tuples(st.sampled_from(["run", "keep", "replace"]), st.sampled_from(["ends", "dies"])),
)


@given(st.lists(events, max_size=14))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_word_that_a_person_wrote_is_ever_lost(happened: list[tuple[str, str]]) -> None:
    """Each word is a person's own; it stays in its file, or is in `replaced` where the workflow said `replace`."""
    with tempfile.TemporaryDirectory() as folder, Room(Path(folder)) as room:
        words, number = dict[str, list[str]](), itertools.count()
        for what, which in happened:
            word = f"<{next(number)}>"
            if what == "hand":
                words[which] = [word]
                room.write(which, word)
            elif what == "hand_after":
                old = room.read(which) if (room.folder / which).exists() else ""
                words.setdefault(which, []).append(word)
                room.write(which, old + word)
            elif what == "away":
                words.pop(which, None)
                (room.folder / which).unlink(missing_ok=True)
            else:
                live(room, what, which == "ends", word)
            lost = [word for path in words for word in words[path] if not is_somewhere(room, path, word)]
            assert lost == []


def live(room: Room, mode: str, ends: bool, word: str) -> None:
    """A run that appends to all paths, if it may begin."""
    patterns = ("*",)
    permit = {"run": FREE, "keep": Permit(keep=patterns), "replace": Permit(replace=patterns)}[mode]
    if room.refused(*PATHS, permit=permit):
        return
    room.begin()
    for path in PATHS:
        room.append(f"({word})", path, permit, ends)


def is_somewhere(room: Room, path: str, word: str) -> bool:
    files = room.files()
    return any(name.split("~")[0].endswith(path) and word in text for name, text in files.items())
