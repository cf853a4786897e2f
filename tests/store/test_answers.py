"""The cache of answers: what was bought is found again as it was, or it is a miss; never something else."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.calls import Answer, Fault, FaultClass, TransportKind
from penstock.core.seams import AnswerStore
from penstock.store.answer_file import decode, encode
from penstock.store.answer_upkeep import verify
from tests.call_room import KEY, OTHER, REQUEST, Cache, CallRoom, answer, damage, intent

ROOT = Path(__file__).parents[2]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[CallRoom]:
    made = CallRoom(tmp_path)
    yield made
    made.close()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache without a journal."""
    return Cache(tmp_path, None)


@pytest.fixture
def backed(tmp_path: Path, room: CallRoom) -> Cache:
    """A cache with the room's journal behind it."""
    return Cache(tmp_path, room)


# --- a file ------------------------------------------------------------------------------------

answers = st.builds(
    Answer,
    status=st.integers(100, 599),
    headers=st.lists(st.tuples(st.text(), st.text(st.characters(codec=None)))).map(tuple),
    body=st.binary() | st.text().map(str.encode),
    at=st.floats(0, 4e9),
    elapsed_s=st.floats(0, 1e6),
)


@given(answers)
def test_an_answer_is_read_as_it_was_written(bought: Answer) -> None:
    assert decode(encode(KEY, {"n": 1}, bought), KEY) == bought


@given(answers, st.data())
@settings(max_examples=200)
def test_a_file_with_a_changed_byte_or_a_lost_end_is_no_answer(bought: Answer, data: st.DataObject) -> None:
    text = bytearray(encode(KEY, None, bought))
    place = data.draw(st.integers(0, len(text) - 1))
    damaged = data.draw(st.sampled_from(["changed", "cut", "longer"]))
    if damaged == "changed":
        text[place] ^= data.draw(st.integers(1, 255))
    elif damaged == "cut":
        del text[place:]
    else:
        text += b"\n"
    with pytest.raises(ValueError, match=r"checksum is wrong|not whole"):
        decode(bytes(text), KEY)


def test_a_file_is_json_that_a_person_can_read(cache: Cache) -> None:
    cache.put(KEY, REQUEST, answer('{"text": "한국어"}'.encode()))
    text = cache.file().read_text(encoding="utf-8")
    told = json.loads(text)
    assert told["request"] == REQUEST
    assert told["body"] == '{"text": "한국어"}'
    assert "안녕" in text
    assert list(told) == ["version", "key", "status", "at", "elapsed_s", "headers", "request", "body", "sha256"]
    assert len(text.splitlines()) == len(told)


def test_a_body_that_is_no_text_is_written_in_base64(cache: Cache) -> None:
    cache.put(KEY, REQUEST, answer(b"\xff\x00"))
    assert json.loads(cache.file().read_bytes())["body_base64"] == "/wA="
    assert cache.get(KEY) == answer(b"\xff\x00")


def test_only_the_owner_may_read_a_file_and_nothing_else_is_left(cache: Cache) -> None:
    cache.put(KEY, REQUEST, answer())
    assert stat.S_IMODE(cache.file().stat().st_mode) == 0o600
    assert [path.name for path in cache.file().parent.iterdir()] == [f"{KEY.hex()}.json"]


def test_the_cache_is_what_the_clients_of_models_expect(cache: Cache) -> None:
    store: AnswerStore = cache
    store.put(KEY, REQUEST, answer())
    assert store.get(KEY) == answer()


def test_what_was_never_bought_is_a_miss_without_a_word(cache: Cache) -> None:
    assert cache.get(KEY) is None
    assert cache.notes == []


def test_the_last_answer_to_a_request_is_found(cache: Cache) -> None:
    cache.put(KEY, REQUEST, answer(b"first"))
    cache.put(OTHER, REQUEST, answer(b"other"))
    cache.put(KEY, REQUEST, answer(b"second"))
    assert (cache.get(KEY), cache.get(OTHER)) == (answer(b"second"), answer(b"other"))


# --- files that are not as they were written ---------------------------------------------------


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("changed", "its checksum is wrong"),
        ("cut", "it is not whole"),
        ("empty", "it is not whole"),
        ("foreign", "it is not whole"),
        ("swapped", "it is the answer to another request"),
    ],
)
def test_a_damaged_file_is_a_miss_that_is_put_aside_and_said(cache: Cache, how: str, why: str) -> None:
    for time in (1, 2):
        cache.put(KEY, REQUEST, answer(b"paid"))
        damage(cache.file(), how)
        assert cache.get(KEY) is None
        assert not cache.file().exists()
        assert len(cache.aside()) == len(cache.notes) == time
    assert f"is not used, {why}: it is {cache.corrupt}" in cache.notes[0]
    assert cache.get(KEY) is None
    assert len(cache.notes) == 2


def test_a_file_of_a_later_version_is_put_aside(cache: Cache) -> None:
    head = encode(KEY, None, answer()).replace(b'"version":1', b'"version":2').rpartition(b'"sha256"')[0]
    cache.put(KEY, None, answer())
    cache.file().write_bytes(head + b'"sha256":"%s"}\n' % hashlib.sha256(head).hexdigest().encode())
    assert cache.get(KEY) is None
    assert "it is of version 2, and this Penstock reads 1" in cache.notes[0]


def test_a_damaged_file_costs_nothing_while_the_journal_has_the_answer(room: CallRoom, backed: Cache) -> None:
    task = room.task()
    room.buy(task, body=b"paid")
    key = intent(task).key
    backed.put(key, REQUEST, answer(b"paid"))
    damage(backed.file(key), "changed")
    assert backed.get(key) == answer(b"paid")
    assert len(backed.aside()) == 1


def test_a_folder_where_a_file_should_be_is_a_miss_that_is_said(cache: Cache) -> None:
    cache.file().mkdir(parents=True)
    assert cache.get(KEY) is None
    cache.put(KEY, REQUEST, answer())
    assert "Is a directory" in cache.notes[0]
    assert list(cache.file().parent.iterdir()) == [cache.file()]


def test_a_cache_that_cannot_be_written_is_said_once_and_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    cache = Cache(tmp_path, None)
    cache.put(KEY, REQUEST, answer())
    cache.put(OTHER, REQUEST, answer())
    assert len(cache.notes) == 1
    assert cache.notes[0].endswith("Not a directory; the journal has them")


# --- the journal behind it ---------------------------------------------------------------------


def test_without_a_file_the_journal_answers_with_the_newest(room: CallRoom, backed: Cache) -> None:
    task = room.task()
    key = intent(task).key
    room.buy(task, body=b"old")
    room.buy(task, body=b"new" * 10_000)
    assert backed.get(key) == answer(b"new" * 10_000)
    assert backed.get(OTHER) is None


def test_after_a_survey_what_was_there_comes_from_its_file_and_what_is_new_from_the_journal(
    room: CallRoom, backed: Cache
) -> None:
    backed.put(OTHER, REQUEST, answer(b"there before"))
    backed.survey()
    task = room.task()
    key = intent(task).key
    backed.put(key, REQUEST, answer(b"in a file alone"))
    assert backed.get(key) is None
    room.buy(task, body=b"bought")
    assert backed.get(key) == answer(b"bought")
    assert backed.get(OTHER) == answer(b"there before")


def test_after_a_survey_a_refusal_that_the_journal_does_not_answer_with_is_still_found(
    room: CallRoom, backed: Cache
) -> None:
    backed.survey()
    backed.put(KEY, REQUEST, answer(b"too long", status=400))
    assert backed.get(KEY) == answer(b"too long", status=400)


def test_a_cache_of_more_files_than_are_remembered_is_looked_into_each_time(room: CallRoom, backed: Cache) -> None:
    backed.put(KEY, REQUEST, answer())
    backed.put(OTHER, REQUEST, answer())
    backed.survey(most=1)
    task = room.task()
    backed.put(intent(task).key, REQUEST, answer(b"new"))
    assert backed.get(intent(task).key) == answer(b"new")


def test_a_survey_of_a_cache_that_cannot_be_read_changes_nothing(cache: Cache) -> None:
    cache.file().parent.parent.parent.mkdir(parents=True, exist_ok=True)
    cache.file().parent.parent.write_text("not a folder")
    cache.survey()
    assert cache.get(KEY) is None


@pytest.mark.parametrize(
    ("status", "fault", "found"),
    [
        (429, Fault(FaultClass.TRANSPORT, "", TransportKind.RATE_LIMIT), False),
        (200, Fault(FaultClass.TRANSPORT, "no JSON", TransportKind.SERVER), False),
        (400, Fault(FaultClass.DENIED, ""), False),
        (200, Fault(FaultClass.REFUSED, ""), True),
        (200, None, True),
    ],
)
def test_the_journal_answers_with_what_says_something(
    room: CallRoom, backed: Cache, status: int, fault: Fault | None, found: bool
) -> None:
    task = room.task()
    room.buy(task, status=status, fault=fault)
    assert (backed.get(intent(task).key) is not None) == found


# --- two processes -----------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from penstock.store.answers import AnswerFiles
from tests.call_room import KEY, OTHER, REQUEST, Cache, CallRoom, answer, damage, intent, key_of

notes = []
cache = AnswerFiles(Path(sys.argv[1]), None, notes.append)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(40):
    for number in range(25):
        key = key_of(str(number))
        found = cache.get(key)
        assert found is None or found.body == b"%d" % number * 3000, (number, found)
        cache.put(key, {"by": sys.argv[2]}, answer(b"%d" % number * 3000))
print(notes)
"""


def test_two_processes_on_one_cache_do_each_other_no_harm(tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    words = [sys.executable, "-c", WRITER, str(tmp_path / "cache")]
    writers = [
        subprocess.Popen(
            [*words, name],
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    told = [writer.communicate("go\n")[0] for writer in writers]
    assert told == ["[]\n", "[]\n"]
    cache = Cache(tmp_path, None)
    assert verify(cache).sound == 25
    assert len(list(cache.entries())) == 25
