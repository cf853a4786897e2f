"""One word on what is asked, the first that is written; a timer that never approves; and things by their hashes."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from penstock.core.approval import Asked, Shown, Word
from penstock.core.states import StepState
from penstock.store import approvals, shown
from penstock.store.database import Database
from penstock.store.journal import NO_ITEM, Journal
from penstock.store.layout import Layout
from tests.doubles import TickingClock, begin, ended, item, json_record, take

DEADLINE = 2_000_000_000.0


@dataclass
class StandingClock:
    """A clock that stands where it was set."""

    at: float = 1_900_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@dataclass
class Room:
    """A journal with one run whose step `a` waits for a word."""

    journal: Journal
    layout: Layout
    run_no: int
    steps: dict[str, int]
    clock: StandingClock

    def ask(self, deadline: float | None = None, step: str = "a") -> Asked:
        ids, times = (self.run_no, self.steps[step]), (self.clock.now(), deadline)
        approvals.ask(self.journal, *ids, "Go?", [Shown("x.json", "00", 2)], b"digest", {"calls": 3}, times)
        found = approvals.newest(self.journal.database, self.steps[step])
        assert found is not None
        return found[0]

    def decide(self, asked: Asked, word: Word) -> tuple[Word, bool] | None:
        return approvals.decide(self.journal.database, self.clock, asked.number, word)

    def decisions(self) -> int:
        found = approvals.of_run(self.journal.database, self.run_no)
        return sum(word is not None for _, word in found)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    layout = Layout(tmp_path)
    layout.make()
    with closing(Journal(layout.journal, TickingClock())) as journal:
        run_no, steps = begin(journal, layout, "a", "b")
        yield Room(journal, layout, run_no, steps, StandingClock())


def yes(by: str = "lead") -> Word:
    return Word(True, by, approvals.PERSON, "looks fine", 0.0, b"digest")


def test_what_is_asked_is_kept_as_it_was_asked(room: Room) -> None:
    asked = room.ask(DEADLINE)
    assert asked == Asked(
        number=1,
        run_id="r1",
        step_id="a",
        message="Go?",
        shown=(Shown("x.json", "00", 2),),
        digest=b"digest",
        asked_at=room.clock.at,
        deadline_at=DEADLINE,
        summary={"calls": 3},
    )
    row = room.journal.database.one("step_by_no", (room.steps["a"],))
    assert row is not None
    waits = "waits for a person's word (until 2033-05-18T03:33:20.000Z)"
    assert (row["state"], row["reason"], row["started_at"]) == ("waiting", waits, room.clock.at)


def test_the_first_word_stands_and_the_second_is_told_of_it(room: Room) -> None:
    asked = room.ask()
    room.clock.at += 5
    first = replace(yes(), at=room.clock.at)
    assert room.decide(asked, yes()) == (first, True)
    room.clock.at += 5
    assert room.decide(asked, Word(False, "ops", approvals.PERSON, None, 0.0, b"digest")) == (first, False)
    assert approvals.newest(room.journal.database, room.steps["a"]) == (asked, first)


@pytest.mark.parametrize("who", ["person", "timer"])
def test_a_step_whose_word_is_there_no_longer_says_that_it_waits_for_it(room: Room, who: str) -> None:
    asked = room.ask(DEADLINE)
    if who == "timer":
        room.clock.at = DEADLINE
        approvals.expire(room.journal.database, room.clock, asked)
    else:
        room.decide(asked, yes())
    row = room.journal.database.one("step_by_no", (room.steps["a"],))
    assert row is not None
    assert (row["state"], row["reason"]) == ("waiting", "decided, `penstock resume` goes on")


def test_a_word_at_the_deadline_is_too_late_and_the_timer_has_rejected(room: Room) -> None:
    asked = room.ask(DEADLINE)
    room.clock.at = DEADLINE
    timers = Word(False, "", approvals.TIMER, None, DEADLINE, b"digest")
    assert room.decide(asked, yes()) == (timers, False)
    assert approvals.expire(room.journal.database, room.clock, asked) == timers


def test_a_word_just_before_the_deadline_is_in_time(room: Room) -> None:
    asked = room.ask(DEADLINE)
    room.clock.at = DEADLINE - 0.001
    assert approvals.expire(room.journal.database, room.clock, asked) is None
    stands = room.decide(asked, yes())
    assert stands is not None
    assert stands[1]
    room.clock.at = DEADLINE + 100
    assert approvals.expire(room.journal.database, room.clock, asked) == stands[0]


def test_a_timer_without_a_deadline_never_fires(room: Room) -> None:
    asked = room.ask()
    room.clock.at = DEADLINE * 2
    assert approvals.expire(room.journal.database, room.clock, asked) is None


def test_what_was_asked_anew_is_no_longer_decided_by_its_older_number(room: Room) -> None:
    old = room.ask()
    new = room.ask()
    assert room.decide(old, yes()) is None
    stands = room.decide(new, yes())
    assert stands is not None
    assert stands[1]


def test_nothing_is_asked_anew_where_a_word_came_meanwhile(room: Room) -> None:
    asked = room.ask()
    room.decide(asked, yes())
    assert room.ask() == asked
    room.journal.database.run("reopen_step", {"step_no": room.steps["a"], "state": "pending"})
    assert room.ask().number == asked.number + 1


def test_a_step_that_does_not_wait_takes_no_word(room: Room) -> None:
    asked = room.ask()
    room.journal.database.run("reopen_step", {"step_no": room.steps["a"], "state": "pending"})
    assert room.decide(asked, yes()) is None
    assert approvals.decide(room.journal.database, room.clock, 99, yes()) is None


def test_only_steps_that_wait_in_runs_that_can_go_on_are_listed(room: Room) -> None:
    first, second = room.ask(), room.ask(step="b")
    listed = [asked for asked, _ in approvals.waiting(room.journal.database)]
    assert listed == [second, first]
    room.journal.end_step(room.steps["b"], StepState.SUCCEEDED, None, {}, 1)
    assert [asked for asked, _ in approvals.waiting(room.journal.database)] == [first]
    later, _ = begin(room.journal, room.layout, "a", run_id="r2")
    room.journal.supersede(later, "flow.yaml")
    assert approvals.waiting(room.journal.database) == []


def test_the_database_itself_refuses_a_timer_that_approves(room: Room) -> None:
    asked = room.ask()
    values = {"number": asked.number, "approved": True, "via": "timer", "by_whom": "", "comment": None}
    with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint"):
        room.journal.database.run("insert_decision", {**values, "digest": b"", "at": 0.0})


def test_a_timer_in_the_instant_of_a_decision_never_overwrites_it(room: Room) -> None:
    """100 seeded races between a person just in time and a timer just due, each on a connection of its own."""
    room.run_no, room.steps = begin(room.journal, room.layout, *(f"s{n}" for n in range(100)), run_id="races")
    heats = [room.ask(DEADLINE, step) for step in room.steps]
    delays = [(random.Random(seed).random() * 0.002, random.Random(-seed - 1).random() * 0.002) for seed in range(100)]
    barrier, path = threading.Barrier(2), room.journal.database.path
    told: dict[str, list[Word | None]] = {"person": [], "timer": []}

    def person() -> None:
        with closing(Database(path)) as database:
            for asked, (delay, _) in zip(heats, delays, strict=True):
                barrier.wait()
                threading.Event().wait(delay)
                stands = approvals.decide(database, StandingClock(DEADLINE - 1e-6), asked.number, yes())
                told["person"].append(stands[0] if stands is not None else None)

    def timer() -> None:
        with closing(Database(path)) as database:
            for asked, (_, delay) in zip(heats, delays, strict=True):
                barrier.wait()
                threading.Event().wait(delay)
                told["timer"].append(approvals.expire(database, StandingClock(DEADLINE), asked))

    threads = [threading.Thread(target=person), threading.Thread(target=timer)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told["person"]) == len(told["timer"]) == 100
    assert told["person"] == told["timer"]
    assert room.decisions() == 100
    assert all(word is not None and word.approved == (word.via == "person") for word in told["person"])


# --- things that are shown ---------------------------------------------------------------------


def seen(room: Room, *names: str) -> tuple[Shown, ...]:
    return shown.look(room.journal.database, room.layout.folder, room.steps, names)


def test_a_file_is_known_by_its_content_and_a_missing_one_is_absent(room: Room) -> None:
    file = room.layout.folder / "x.json"
    assert seen(room, "x.json") == (Shown("x.json", None),)
    file.write_bytes(b"abc")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert seen(room, "x.json") == (Shown("x.json", abc, 3),)
    file.touch()
    assert seen(room, "x.json") == (Shown("x.json", abc, 3),)


def test_a_folder_is_known_by_the_names_and_contents_below_it(room: Room) -> None:
    folder = room.layout.folder / "out"
    (folder / "deep").mkdir(parents=True)
    (folder / "b").write_text("1")
    (folder / "deep" / "a").write_text("2")
    (folder / "deep" / "up").symlink_to("..")
    before = seen(room, "out")
    assert before[0].size_bytes == 2
    assert seen(room, "out") == before
    (folder / "deep" / "a").rename(folder / "deep" / "c")
    renamed = seen(room, "out")
    (folder / "deep" / "c").write_text("3")
    assert len({before, renamed, seen(room, "out")}) == 3


def linked(room: Room) -> Path:
    """A folder `out` with a link `current` to a folder beside it."""
    for name in ("rel1", "rel2"):
        (room.layout.folder / name).mkdir()
        (room.layout.folder / name / "page").write_text("same")
    out = room.layout.folder / "out"
    out.mkdir()
    (out / "current").symlink_to("../rel1")
    return out


def test_a_link_in_a_folder_that_is_pointed_elsewhere_has_changed(room: Room) -> None:
    out = linked(room)
    before = seen(room, "out")
    (out / "current").unlink()
    (out / "current").symlink_to("../rel2")
    assert seen(room, "out") != before


def test_what_a_link_in_a_folder_leads_to_is_part_of_it(room: Room) -> None:
    out = linked(room)
    (out / "page").symlink_to("../rel2/page")
    states = [seen(room, "out")]
    for file in ("rel1/page", "rel2/page"):
        (room.layout.folder / file).write_text("other")
        states.append(seen(room, "out"))
    (room.layout.folder / "rel1" / "more").touch()
    (out / "nowhere").symlink_to("no/such")
    states.append(seen(room, "out"))
    (out / "nowhere").unlink()
    (out / "nowhere").symlink_to("no/such/either")
    states.append(seen(room, "out"))
    assert len(set(states)) == len(states)


def test_links_in_a_circle_have_an_end(room: Room) -> None:
    out = linked(room)
    (out / "up").symlink_to("..")
    (out / "self").symlink_to("self")
    (room.layout.folder / "rel1" / "back").symlink_to("../out")
    before = seen(room, "out")
    assert seen(room, "out") == before
    (room.layout.folder / "rel2" / "page").write_text("other")
    assert seen(room, "out") != before


def test_a_link_that_leads_to_too_much_is_refused(room: Room) -> None:
    linked(room)
    for number in range(shown.MOST_LINKED):
        (room.layout.folder / "rel1" / str(number)).symlink_to("page")
    assert seen(room, "rel1")[0].size_bytes == 4 * (shown.MOST_LINKED + 1)
    with pytest.raises(OSError, match="links lead to more than 10,000 files"):
        seen(room, "out")


def test_penstocks_own_folder_is_no_part_of_what_is_shown(room: Room) -> None:
    (room.layout.folder / "x").write_text("1")
    (room.layout.folder / "own").symlink_to(".penstock")
    (room.layout.folder / "journal").symlink_to(".penstock/more")
    before = seen(room, ".")
    (room.layout.folder / ".penstock" / "more").write_text("2")
    assert seen(room, ".") == before
    (room.layout.folder / "x").write_text("2")
    assert seen(room, ".") != before


def test_a_pipe_in_a_folder_is_known_as_one(room: Room) -> None:
    out = linked(room)
    states = [seen(room, "out")]
    os.mkfifo(out / "pipe")
    states.append(seen(room, "out"))
    (out / "pipe").unlink()
    (out / "pipe").touch()
    states.append(seen(room, "out"))
    assert len(set(states)) == 3


def test_what_cannot_be_read_any_more_has_changed(room: Room) -> None:
    out = linked(room)
    asked = replace(room.ask(), shown=seen(room, "out"))
    folder, numbers = room.layout.folder, room.steps
    assert shown.changes(room.journal.database, folder, numbers, asked) == []
    (out / "current").unlink()
    (out / "current").symlink_to("x" * 300)
    (told,) = shown.changes(room.journal.database, folder, numbers, asked)
    assert told.endswith("out/current: File name too long")


def test_a_folder_whose_files_swap_their_contents_has_changed(room: Room) -> None:
    folder = room.layout.folder / "out"
    folder.mkdir()
    (folder / "a").write_text("1")
    (folder / "b").write_text("2")
    before = seen(room, "out")
    (folder / "a").write_text("2")
    (folder / "b").write_text("1")
    assert seen(room, "out") != before


def test_the_records_of_a_step_are_known_as_the_lines_of_their_file(room: Room) -> None:
    assert seen(room, "steps.b") == (Shown("steps.b", None),)
    for index in (1, 0):
        task = take(room.journal, room.steps["b"], item(index), step_id="b")
        room.journal.commit(room.run_no, room.steps["b"], ended(task), None, None)
    keys = [item(index).key for index in (0, 1)]
    lines = [f'{{"i":{i},"key":"{key}","verdict":"accepted","record":{{"i":{i}}}}}\n' for i, key in enumerate(keys)]
    text = "".join(lines).encode()
    assert seen(room, "steps.b") == (Shown("steps.b", hashlib.sha256(text).hexdigest(), len(text)),)
    task = take(room.journal, room.steps["a"], NO_ITEM)
    room.journal.commit(room.run_no, room.steps["a"], ended(task, record=json_record(b"1")), None, None)
    assert seen(room, "steps.a")[0].sha256 is not None


def test_a_change_is_told_with_what_was_and_what_is(room: Room) -> None:
    file = room.layout.folder / "x.json"
    before = seen(room, "x.json", "y")
    file.write_bytes(b"abc")
    now = seen(room, "x.json", "y")
    assert shown.differences(before, now) == ["x.json (was absent, is ba7816bf8f01)"]
    assert shown.digest(before) != shown.digest(now)
    assert shown.differences(now, now) == []
