"""What a command is given: standard input, the item file, its environment; and what it leaves besides its output."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.core.work import Form, Piece, Record, Verdict, WrittenFile
from tests.doubles import appends, item, writes
from tests.kinds.shell_bench import Bench

MIB = 1 << 20
HOSTILE = [
    b"",
    b"plain",
    b"NUL \0 in it",
    b"\xff\xfe no utf8",
    b"carriage \r return\r",
    b"$(touch pwned) `touch pwned` ${HOME} \\ \" ' * ?",
    "한국어 🎉 \u202eعربى".encode(),
    b"-n -e --help",
    b"x" * (5 * MIB),
]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# --- the row -----------------------------------------------------------------------------------


@pytest.mark.parametrize("row", HOSTILE, ids=range(len(HOSTILE)))
def test_standard_input_and_the_item_file_are_the_row_and_a_line_end(bench: Bench, row: bytes) -> None:
    text = 'cat > seen.stdin; cat "$PENSTOCK_ITEM_FILE" > seen.file; stat -c %a "$PENSTOCK_ITEM_FILE"'
    outcome = bench.one(text, row or b"\n")
    expected = (row or b"\n") + b"\n"
    assert (bench.folder / "seen.stdin").read_bytes() == expected
    assert (bench.folder / "seen.file").read_bytes() == expected
    assert outcome.record == Record(Form.JSON, b"600")
    assert not (bench.folder / "pwned").exists()


def test_a_shorter_row_in_the_same_slot_has_nothing_of_the_longer_one(bench: Bench) -> None:
    bench.one("true", b"a long row " * 100)
    bench.one("cat > seen", b"short")
    assert (bench.folder / "seen").read_bytes() == b"short\n"


def test_a_step_without_items_reads_nothing_and_has_no_item_file(bench: Bench) -> None:
    outcome = bench.one('cat; echo "${PENSTOCK_ITEM_FILE-none} ${PENSTOCK_I-none}"', None)
    assert outcome.record == Record(Form.TEXT, b"none none")


values = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@given(values, values)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_value_reaches_the_program_as_it_is(bench: Bench, one: str, two: str) -> None:
    bench.one('printf "%s\\0%s\\0" "${V}" "${W}" > seen', values={"V": one, "W": two})
    assert (bench.folder / "seen").read_bytes() == one.encode() + b"\0" + two.encode() + b"\0"


def test_bytes_that_are_no_utf8_reach_the_program_as_they_are(bench: Bench) -> None:
    bench.one('printf %s "${V}" > seen', values={"V": b"\xff\x80x".decode("utf-8", "surrogateescape")})
    assert (bench.folder / "seen").read_bytes() == b"\xff\x80x"


# --- the environment ---------------------------------------------------------------------------


def names(bench: Bench) -> dict[bytes, bytes]:
    entries = (bench.folder / "env").read_bytes().rstrip(b"\0").split(b"\0")
    return {name: value for name, _, value in (entry.partition(b"=") for entry in entries)}


def test_the_environment_is_what_the_step_was_given_and_our_names_and_nothing_of_ours(bench: Bench) -> None:
    given_by_step = {b"PATH": os.environb[b"PATH"], b"MODEL": b"small", b"BYTES": b"\xff"}
    bench.one(
        "env -0 > env",
        number=3,
        values={"PENSTOCK_V0": "x"},
        bindings={"PENSTOCK_V1": "attempt"},
        targets=(appends("log", 1), appends("other", 2)),
        tools=bench.tools(given_by_step),
    )
    found = names(bench)
    assert found.keys() - {b"PWD", b"SHLVL", b"_", b"OLDPWD"} == given_by_step.keys() | {
        b"PENSTOCK_ATTEMPT",
        b"PENSTOCK_I",
        b"PENSTOCK_ITEM_FILE",
        b"PENSTOCK_V0",
        b"PENSTOCK_V1",
        b"PENSTOCK_PIECE_1",
        b"PENSTOCK_PIECE_2",
    }
    assert (found[b"MODEL"], found[b"BYTES"], found[b"PENSTOCK_I"]) == (b"small", b"\xff", b"0")
    assert found[b"PENSTOCK_ATTEMPT"] == found[b"PENSTOCK_V1"] == b"3"
    assert os.fsdecode(found[b"PENSTOCK_PIECE_1"]).startswith(str(bench.slot))


def test_a_command_runs_in_the_workflows_folder(bench: Bench) -> None:
    assert bench.one("pwd -P").record == Record(Form.TEXT, str(bench.folder.resolve()).encode())


def test_a_command_is_the_leader_of_a_group_and_a_session_of_its_own(bench: Bench) -> None:
    outcome = bench.one('read -r _ _ _ _ group session _ < /proc/$$/stat; echo "$(( group == $$ && session == $$ ))"')
    assert outcome.record == Record(Form.JSON, b"1")


def test_no_file_of_ours_is_open_in_a_command(bench: Bench) -> None:
    with (bench.folder / "secret").open("w"):
        outcome = bench.one(
            "ls /proc/self/fd | sort -n | head -3 | tr '\\n' ' '; ls -l /proc/$$/fd | grep -c secret || :"
        )
    assert outcome.record == Record(Form.TEXT, b"0 1 2 0")


# --- what it says on standard error ------------------------------------------------------------


def test_a_failed_attempt_keeps_the_last_twenty_lines(bench: Bench) -> None:
    outcome = bench.one("for n in {1..30}; do echo line $n >&2; done; exit 1")
    assert outcome.attempts[0].stderr == "\n".join(f"line {n}" for n in range(11, 31))


def test_of_long_lines_the_last_four_thousand_bytes_are_kept(bench: Bench) -> None:
    outcome = bench.one("head -c 100000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1")
    assert len(outcome.attempts[0].stderr) < 4097
    assert outcome.attempts[0].stderr.endswith("xend")


def test_words_that_are_no_utf8_are_kept_as_well_as_can_be(bench: Bench) -> None:
    assert bench.one("printf 'caf\\351 한국어' >&2; exit 1").attempts[0].stderr == "caf\ufffd 한국어"


def test_a_command_that_complained_on_standard_output_is_quoted_from_there(bench: Bench) -> None:
    assert bench.one("echo usage: x; exit 2").attempts[0].stderr == "usage: x"


def test_what_items_said_stands_in_their_steps_file_each_under_its_name(bench: Bench) -> None:
    bench.one("echo one >&2", b"1")
    bench.one("true", b"2")
    bench.one("echo two >&2; exit 1", b"3", number=2)
    said = (bench.run.out / "a.err").read_text()
    first, third = item(0, b"1").key, item(0, b"3").key
    assert said == f"--- i=0 key={first} attempt=1\none\n--- i=0 key={third} attempt=2\ntwo\n"


def test_what_a_step_without_items_said_stands_in_its_files(bench: Bench) -> None:
    bench.one("echo out; echo err >&2", None)
    assert (bench.run.out / "a.out").read_text() == "out\n"
    assert (bench.run.out / "a.err").read_text() == "err\n"


# --- pieces ------------------------------------------------------------------------------------


def test_what_was_appended_is_kept_in_pieces_by_number(bench: Bench) -> None:
    outcome = bench.one(
        'for x in a b; do echo $x >> "$PENSTOCK_PIECE_1"; done; printf c | tee -a "$PENSTOCK_PIECE_3" > /dev/null',
        targets=(appends("one", 1), appends("two", 2), appends("three", 3)),
    )
    assert outcome.pieces == (Piece(1, b"a\nb\n"), Piece(3, b"c"))


def test_a_rejected_task_keeps_its_pieces_and_a_failed_one_does_not(bench: Bench) -> None:
    text = 'echo x >> "$PENSTOCK_PIECE_1"; echo \'{"ok": false}\''
    assert bench.one(text, targets=(appends("log"),)).pieces == (Piece(1, b"x\n"),)
    assert bench.one('echo x >> "$PENSTOCK_PIECE_1"; exit 1', targets=(appends("log"),)).pieces == ()


def test_an_attempt_begins_with_empty_pieces(bench: Bench) -> None:
    bench.one('echo lost >> "$PENSTOCK_PIECE_1"; exit 1', targets=(appends("log"),))
    outcome = bench.one('echo kept >> "$PENSTOCK_PIECE_1"', targets=(appends("log"),), number=2)
    assert outcome.pieces == (Piece(1, b"kept\n"),)


def test_a_large_piece_is_a_file_of_the_run(bench: Bench) -> None:
    outcome = bench.one(f'head -c {2 * MIB} /dev/zero >> "$PENSTOCK_PIECE_1"', targets=(appends("log"),))
    (piece,) = outcome.pieces
    assert outcome.task.item is not None
    name = f"pieces/a/{outcome.task.item.key}.1"
    assert piece == Piece(1, None, name)
    assert (bench.run.root / name).stat().st_size == 2 * MIB


# --- files of one item -------------------------------------------------------------------------

OUT: dict[str, Any] = {"targets": (writes("out/x.json"),), "files": ("out/x.json",)}


def test_the_folder_of_a_file_is_made_first_and_what_was_written_is_known_by_its_hash(bench: Bench) -> None:
    outcome = bench.one("printf abc > out/x.json", **OUT)
    digest = bytes.fromhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    assert outcome.files == (WrittenFile("out/x.json", 3, digest),)


def test_a_file_that_an_accepted_task_did_not_write_is_not_counted(bench: Bench) -> None:
    outcome = bench.one("true", **OUT)
    assert (outcome.verdict, outcome.files) == (Verdict.ACCEPTED, ())


def test_the_file_of_a_failed_task_goes_to_the_runs_folder(bench: Bench) -> None:
    outcome = bench.one("printf half > out/x.json; exit 1", **OUT)
    assert outcome.files == ()
    assert not (bench.folder / "out/x.json").exists()
    assert (bench.run.failed / "out/x.json").read_text() == "half"


def test_files_of_several_failed_attempts_stand_side_by_side(bench: Bench) -> None:
    for number in range(1, 4):
        bench.one(f"printf {number} > out/x.json; exit 1", number=number, **OUT)
    kept = {path.name: path.read_text() for path in (bench.run.failed / "out").iterdir()}
    assert kept == {"x.json": "1", "x.json~2": "2", "x.json~3": "3"}


def test_what_a_lost_attempt_left_is_out_of_the_way_of_the_next(bench: Bench) -> None:
    (bench.folder / "out").mkdir()
    (bench.folder / "out/x.json").write_text("torn")
    bench.one("test ! -e out/x.json && printf whole > out/x.json", **OUT)
    assert (bench.folder / "out/x.json").read_text() == "whole"
    assert (bench.run.failed / "out/x.json").read_text() == "torn"


def test_a_rejected_task_keeps_its_file(bench: Bench) -> None:
    outcome = bench.one("""echo '{"ok": false}' | tee out/x.json""", **OUT)
    assert outcome.verdict is Verdict.REJECTED
    assert [file.path for file in outcome.files] == ["out/x.json"]


def test_the_json_file_of_an_item_is_its_record(bench: Bench) -> None:
    outcome = bench.one("""echo '{"n": 2.50}' > out/x.json""", output="out/x.json", **OUT)
    assert outcome.record == Record(Form.JSON, b'{"n":2.50}')
    assert (bench.folder / "out/x.json").exists()


def test_a_folder_of_the_workflow_that_went_away_is_no_accident_of_the_item(bench: Bench) -> None:
    tools = replace(bench.tools(), folder=bench.folder / "gone")
    with pytest.raises(FileNotFoundError) as refusal:
        bench.one("true", tools=tools)
    assert refusal.value.filename == str(tools.folder)
