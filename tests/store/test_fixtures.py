"""A failure is a file, one an input: brought up to date in its place, and at most a hundred new ones of a kind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.core.canon import Json, parse
from penstock.core.errors import Place
from penstock.core.generation import Contract, Generate, Template, Verify
from penstock.core.models import Model
from penstock.core.work import Attempt, Item, Outcome, Record, Verdict
from penstock.core.workflow import Step, StepSource
from penstock.store import fixtures
from penstock.store.journal import Journal
from penstock.store.layout import Layout
from tests.doubles import TickingClock, begin, ended, item, json_record, shell, take, text_record

RUN = {"run": "r1", "workflow": "flow.yaml"}


class Room:
    """A run of the step `a` whose failures are kept."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        self.journal = Journal(folder / "journal.db", TickingClock())
        self.step = Step("a", shell("verify {{item}}"), Place("flow.yaml", 1, 1))
        _, steps = begin(self.journal, self.layout, "a")
        self.step_no = steps["a"]
        self.folder = self.layout.fixtures / "a"

    def fail(
        self,
        row: Item,
        verdict: Verdict = Verdict.FAILED,
        reason: str = "exit status 1",
        stderr: str = "",
        record: Record | None = None,
    ) -> None:
        task = take(self.journal, self.step_no, row)
        outcome = ended(task, verdict, record, "exit" if verdict is Verdict.FAILED else None, reason, stderr)
        fixtures.keep(self.journal, self.layout.fixtures, self.step, self.step_no, RUN, outcome)

    def kept(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def read(self, row: Item) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.folder / f"{row.digest[:8].hex()}.json").read_bytes())
        return told

    def counts(self) -> list[tuple[int, int]]:
        return [
            (row["written"], row["counted"])
            for sign in ("failed | exit | exit status # | boom", "failed | exit | exit status # | other")
            for row in self.journal.database.all("signature_counts", (self.step_no, sign))
        ]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.journal.close()


def test_a_fixture_tells_the_input_the_command_and_every_attempt(room: Room) -> None:
    row = item(3, '{"n": "한국어"}'.encode())
    room.fail(row, stderr="Traceback\nKeyError: 'x'")
    told = room.read(row)
    assert told == {
        "step": "a",
        "key": row.key,
        "i": 3,
        "verdict": "failed",
        "signature": 'failed | exit | exit status # | KeyError: "…"',
        "reason": "exit status 1",
        "input": '{"n": "한국어"}',
        "local": False,
        "command": "verify {{item}}",
        "values": {},
        "answer": None,
        "attempts": [
            {
                "number": 1,
                "at": "2023-11-14T22:13:20.000Z",
                "elapsed_s": 0.25,
                "kind": "exit",
                "reason": "exit status 1",
                "stderr": "Traceback\nKeyError: 'x'",
            }
        ],
        "run": "r1",
        "workflow": "flow.yaml",
    }
    assert "한국어".encode() in (room.folder / f"{row.key}.json").read_bytes()


def test_a_rejected_item_keeps_its_answer(room: Room) -> None:
    room.fail(item(0), Verdict.REJECTED, 'its output says "ok": false', record=json_record(b'{"ok":false,"p":0.10}'))
    told = room.read(item(0))
    assert (told["verdict"], told["answer"]) == ("rejected", {"ok": False, "p": 0.1})


@pytest.mark.parametrize(
    ("body", "answer"), [(b"text\n", "text\n"), (b"\xff\xfe", {"base64": "//4="}), ("한".encode(), "한")]
)
def test_an_answer_that_is_text_is_text_and_bytes_are_base64(room: Room, body: bytes, answer: object) -> None:
    room.fail(item(0), Verdict.REJECTED, record=text_record(body))
    assert room.read(item(0))["answer"] == answer


def test_a_row_that_is_no_utf8_and_a_reason_that_quotes_it_are_kept(room: Room) -> None:
    row = item(0, b'{"a": "\xff"}')
    room.fail(row, reason="where: '\udcff' == 'x' → false")
    told = room.read(row)
    assert told["input"] == {"base64": "eyJhIjogIv8ifQ=="}
    assert told["reason"] == "where: '\udcff' == 'x' → false"


def test_a_step_without_items_has_no_fixtures(room: Room) -> None:
    outcome = ended(take(room.journal, room.step_no, item(0)), Verdict.FAILED)
    single = ended(type(outcome.task)("r1", "a", 1, None), Verdict.FAILED)
    fixtures.keep(room.journal, room.layout.fixtures, room.step, room.step_no, RUN, single)
    assert not room.layout.fixtures.exists()


def test_one_input_has_one_file_that_is_brought_up_to_date(room: Room) -> None:
    room.fail(item(0, b"same"), reason="first")
    room.fail(item(1, b"same", occurrence=1), reason="second")
    assert room.kept() == [f"{item(0, b'same').key}.json"]
    assert room.read(item(0, b"same"))["reason"] == "second"


def test_a_hundred_new_files_of_one_signature_are_made_and_the_rest_is_counted(room: Room) -> None:
    for index in range(130):
        room.fail(item(index), stderr=f"line {index}\nboom\n")
    assert len(room.kept()) == 100
    assert room.counts() == [(100, 30)]


def test_failures_of_another_signature_have_a_hundred_of_their_own(room: Room) -> None:
    for index in range(101):
        room.fail(item(index), stderr="boom")
    for index in range(200, 205):
        room.fail(item(index), stderr="other")
    assert len(room.kept()) == 105
    assert room.counts() == [(100, 1), (5, 0)]


def test_a_file_that_is_there_already_is_brought_up_to_date_even_after_the_hundredth(room: Room) -> None:
    for index in range(100):
        room.fail(item(index), stderr="boom")
    old = item(1000)
    (room.folder / f"{old.key}.json").write_text("from an earlier run")
    room.fail(old, stderr="boom")
    assert room.read(old)["key"] == old.key
    assert room.counts() == [(100, 0)]


def test_nothing_half_written_is_left_beside_the_files(room: Room) -> None:
    for index in range(3):
        room.fail(item(index))
    assert all(name.endswith(".json") and not name.startswith(".") for name in room.kept())


# --- of models ---------------------------------------------------------------------------------

AT = Place("flow.yaml", 1, 1)
SMALL = Model("small", "sim", "small")
SYSTEM, USER = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say it of 한국어."}
AGAIN = {"role": "user", "content": "Answer again with the whole corrected JSON only."}
FLAW: dict[str, Json] = {"pointer": "/n", "expected": "an integer", "got": '"x"'}


def tried(asked: list[Json], answer: str | None, cls: str, message: str | None = None) -> Mapping[str, Json]:
    """A try as the loop tells it."""
    errors: list[Json] = [FLAW] if message is None else []
    return {"model": "small", "messages": asked, "answer": answer, "class": cls, "message": message, "errors": errors}


def fail_asking(room: Room, row: Item, *trail: Mapping[str, Json], record: Record | None = None) -> dict[str, Any]:
    """The fixture of a model step's failure."""
    task = take(room.journal, room.step_no, row)
    attempts = (Attempt(len(trail), 1_700_000_000.0, 0.25, "schema", "no"),)
    outcome = Outcome(task, Verdict.REJECTED, attempts, record, "no", trail=trail)
    fixtures.keep(room.journal, room.layout.fixtures, room.step, room.step_no, RUN, outcome)
    return room.read(row)


@pytest.fixture
def asking(room: Room) -> Room:
    spec = Generate((SMALL,), Template("Say it of {{ item }}.", None, AT), Contract())
    room.step = replace(room.step, spec=spec)
    return room


def test_a_fixture_of_an_answer_tells_the_prompt_every_try_and_the_last_answer(asking: Room) -> None:
    told = fail_asking(
        asking,
        item(3),
        tried([SYSTEM, USER], '{"n": "x"}', "schema"),
        tried([AGAIN], '{"n": "여"}', "schema"),
        tried([SYSTEM, USER], None, "transport", "cut off"),
    )
    common = {"model": "small", "message": None, "errors": [FLAW]}
    assert told["prompt"] == [SYSTEM, USER]
    assert told["tries"] == [
        {**common, "answer": '{"n": "x"}', "class": "schema"},
        {**common, "answer": '{"n": "여"}', "class": "schema", "messages": [AGAIN]},
        {"model": "small", "answer": None, "class": "transport", "message": "cut off", "errors": []},
    ]
    assert told["answer"] == '{"n": "여"}'
    assert {"command", "values"} & set(told) == set()
    assert [name for name in told if name not in ("prompt", "tries")] == [
        "step", "key", "i", "verdict", "signature", "reason", "input", "local", "answer", "attempts", "run",
        "workflow",
    ]  # fmt: skip


def test_a_fixture_of_a_prompt_that_could_not_be_written_has_no_tries(asking: Room) -> None:
    told = fail_asking(asking, item(3))
    assert (told["prompt"], told["tries"], told["answer"]) == (None, [], None)


def test_a_text_that_is_no_unicode_is_kept_in_a_fixture_of_an_answer(asking: Room) -> None:
    told = fail_asking(asking, item(3), tried([USER], "half \ud83d", "not_json"))
    assert told["answer"] == "half \ud83d"


def test_a_fixture_of_a_verify_step_has_the_verdict_record_as_its_answer(room: Room) -> None:
    room.step = replace(room.step, spec=Verify(Contract()))
    record = json_record(b'{"ok":false,"id":"r7","errors":[],"score":1.50}')
    told = fail_asking(room, item(3), record=record)
    assert told["answer"] == {"ok": False, "id": "r7", "errors": [], "score": 1.5}
    assert {"command", "values", "prompt", "tries"} & set(told) == set()


# --- read again --------------------------------------------------------------------------------


def only(room: Room) -> fixtures.Fixture:
    """The one fixture there is."""
    (found,) = fixtures.index(room.layout.fixtures)
    assert isinstance(found, fixtures.Fixture)
    return found


@pytest.mark.parametrize("body", [b'{"n": 1.10}', "한국어".encode(), b"\xff\x00", b" ", b'{"a":"\\ud83d"}', b"a\r\n"])
def test_an_input_is_read_back_to_the_byte(room: Room, body: bytes) -> None:
    room.fail(item(7, body), stderr="boom")
    found = only(room)
    assert (found.input, found.index, found.run, found.regression) == (body, 7, "r1", False)
    assert (found.step_id, found.key, found.origin, found.chain) == ("a", item(7, body).key, None, None)
    assert found.signature == "failed | exit | exit status # | boom"


def test_a_signature_is_reckoned_by_todays_rule(room: Room) -> None:
    row = item(0)
    room.fail(row, stderr="boom 12")
    path = room.folder / f"{row.key}.json"
    path.write_text(json.dumps(room.read(row) | {"signature": "failed | exit | by an older rule"}))
    assert only(room).signature == "failed | exit | exit status # | boom #"


def test_a_fixture_of_before_is_read_without_its_place(room: Room) -> None:
    row = item(4)
    room.fail(row)
    path = room.folder / f"{row.key}.json"
    path.write_text(json.dumps({name: value for name, value in room.read(row).items() if name not in ("i", "run")}))
    assert (only(room).index, only(room).run) == (None, None)


def test_names_above_the_item_are_kept_for_a_model_step_with_numbers_as_written(asking: Room) -> None:
    asking.step = replace(asking.step, foreach=StepSource("above", None))
    task = take(asking.journal, asking.step_no, item(0))
    names = {"item": 1, "origin": parse('{"x":1.10}'), "chain": {"above": parse('"\\u00e9"'), "gone": None}}
    outcome = ended(replace(task, names=names), Verdict.REJECTED, None, "schema", "no", "")
    fixtures.keep(asking.journal, asking.layout.fixtures, asking.step, asking.step_no, RUN, outcome)
    found = only(asking)
    assert (found.origin, found.chain) == ('{"x":1.10}', {"above": '"é"', "gone": "null"})


def test_what_is_no_fixture_is_named_with_the_reason(room: Room) -> None:
    room.fail(item(0))
    for name, text in (("half", "{"), ("list", "[]"), ("bare", "{}"), ("odd", '{"input": {"base64": "\u00e9"}}')):
        (room.folder / f"{name}.json").write_text(text)
    (room.folder / ".x.json.part").write_text("")
    found = [one for one in fixtures.index(room.layout.fixtures) if isinstance(one, fixtures.Unreadable)]
    assert sorted(one.key for one in found) == ["bare", "half", "list", "odd"]
    assert all(one.why for one in found)


def test_a_promoted_fixture_is_a_regression_that_tells_each_promotion(room: Room) -> None:
    for number in range(2):
        row = item(number, b"same", occurrence=number)
        room.fail(row, reason=f"{'other ' * number}reason")
        target = fixtures.promote(only_failure(room), 1_700_000_000.0 + number, f"replay-{number}")
    found = only(room)
    assert (found.path, found.regression, found.signature) == (target, True, "failed | exit | other reason")
    assert target == room.layout.fixtures.parent / "regressions" / "a" / f"{item(0, b'same').key}.json"
    assert json.loads(target.read_bytes())["promoted"] == [
        {"at": "2023-11-14T22:13:20.000Z", "run": "replay-0", "signature": "failed | exit | reason"},
        {"at": "2023-11-14T22:13:21.000Z", "run": "replay-1", "signature": "failed | exit | other reason"},
    ]
    assert room.kept() == []


def only_failure(room: Room) -> fixtures.Fixture:
    """The one fixture that is no regression."""
    (found,) = [one for one in fixtures.index(room.layout.fixtures) if not one.regression]
    assert isinstance(found, fixtures.Fixture)
    return found
