"""What a command's end and its output make of a task."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from penstock.core.work import Form, Outcome, Record, Verdict
from tests.kinds.shell_bench import Bench, accident

MIB = 1 << 20


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def printing(text: str) -> str:
    """A command that prints this text exactly."""
    return "printf %s " + "'" + text.replace("'", "'\\''") + "'"


def record_of(outcome: Outcome) -> tuple[Form, bytes]:
    assert outcome.record is not None
    return outcome.record.form, outcome.record.body


# --- exit status -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("exit 3", "exit status 3"),
        ("false", "exit status 1"),
        ("false | true", "exit status 1"),
        ('echo "$NOT_SET"', "exit status 1"),
        ("no-such-command", "exit status 127 (command not found)"),
        ("exit 126", "exit status 126 (found, but not executable)"),
        ("exit 137", "exit status 137 (128 + SIGKILL)"),
        ("exit 255", "exit status 255 (128 + signal 127)"),
        ("kill -KILL $$", "killed by SIGKILL"),
        ("kill -TERM $$", "killed by SIGTERM"),
        ("if then", "exit status 2"),
        ("echo '{\"ok\": true}'; exit 3", "exit status 3"),
        ("echo '{\"ok\": '; exit 3", "exit status 3"),
    ],
)
def test_an_exit_that_is_not_zero_is_an_accident(bench: Bench, text: str, reason: str) -> None:
    assert accident(bench.one(text)) == ("failed", "exit", reason)
    assert accident(bench.one(text, None)) == ("failed", "exit", reason)


def test_exit_zero_is_accepted_without_a_reason(bench: Bench) -> None:
    outcome = bench.one("true", number=4)
    assert accident(outcome) == ("accepted", None, None)
    assert outcome.attempts[0].number == 4
    assert outcome.attempts[0].elapsed_s > 0


# --- "ok": false -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 3, 255])
def test_ok_false_is_an_answer_whatever_the_exit_status(bench: Bench, status: int) -> None:
    outcome = bench.one(f'echo \'{{"ok": false, "why": "score 0.10"}}\'; exit {status}')
    assert accident(outcome) == ("rejected", None, 'its output says "ok": false')
    assert record_of(outcome) == (Form.JSON, b'{"ok":false,"why":"score 0.10"}')


@pytest.mark.parametrize(
    "said",
    [
        '{"ok": true}',
        '{"ok": "false"}',
        '{"ok": 0}',
        '{"ok": null}',
        '{"result": {"ok": false}}',
        '[{"ok": false}]',
        'noise\n{"ok": false}',
        '{"ok": false}\n{"ok": false}',
    ],
)
def test_nothing_else_says_no(bench: Bench, said: str) -> None:
    assert bench.one(printing(said)).verdict is Verdict.ACCEPTED
    assert bench.one(printing(said) + "; exit 1").verdict is Verdict.FAILED


# --- records -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        '{"ok": false, "score": NaN}',
        '{"a": 1',
        "{a: 1}",
        "{",
        '{"a": 1} trailing',
        '  {"a": 1,}  \n',
        '{"a": "\\ud800"}',
    ],
)
def test_one_line_that_begins_like_an_object_and_is_none_fails_the_task(bench: Bench, said: str) -> None:
    verdict, kind, reason = accident(bench.one(printing(said)))
    assert (verdict, kind) == ("failed", "output")
    assert reason is not None
    assert reason.startswith("its output begins with { and is not JSON: ")


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ('{"a": 1.10 , "b" : [ 1, "x  y" ]}\n', b'{"a":1.10,"b":[1,"x  y"]}'),
        ('\n\n  {"a":\n 1}\n\n', b'{"a":1}'),
        ("1.50\n", b"1.50"),
        ("-0", b"-0"),
        ("123456789012345678901234567890", b"123456789012345678901234567890"),
        ("null\n", b"null"),
        ("true", b"true"),
        (' "a  b" ', b'"a  b"'),
        ("[ ]", b"[]"),
        ('{"한국어": "🎉"}', '{"한국어":"🎉"}'.encode()),
    ],
)
def test_output_that_is_one_json_value_is_the_record_with_its_numbers_as_written(
    bench: Bench, said: str, body: bytes
) -> None:
    assert record_of(bench.one(printing(said))) == (Form.JSON, body)
    assert record_of(bench.one(printing(said), None)) == (Form.JSON, body)


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ("", b""),
        ("\n", b""),
        ("hello\n", b"hello"),
        ("two\nlines\n\n", b"two\nlines\n"),
        ("dos\r\n", b"dos"),
        (" spaces stay ", b" spaces stay "),
        ("NaN", b"NaN"),
        ("Infinity\n", b"Infinity"),
        ("01", b"01"),
        ('{"a": 1}\n{"a": 2}\n', b'{"a": 1}\n{"a": 2}'),
        ("{not json\nof two lines", b"{not json\nof two lines"),
        ("[1, 2", b"[1, 2"),
    ],
)
def test_anything_else_is_text_without_its_last_line_end(bench: Bench, said: str, body: bytes) -> None:
    assert record_of(bench.one(printing(said))) == (Form.TEXT, body)


def test_output_that_is_no_utf8_is_text_byte_for_byte(bench: Bench) -> None:
    assert record_of(bench.one("printf '\\377\\000x\\n'")) == (Form.TEXT, b"\xff\x00x")


def test_brackets_nested_without_end_are_text(bench: Bench) -> None:
    assert record_of(bench.one("head -c 100000 /dev/zero | tr '\\0' '['")) == (Form.TEXT, b"[" * 100_000)


def test_a_deep_object_is_an_accident_with_a_sentence(bench: Bench) -> None:
    assert accident(bench.one("for n in {1..5000}; do printf '{\"a\":'; done")) == (
        "failed",
        "output",
        "its output begins with { and is not JSON: nested too deeply",
    )


def test_output_of_a_mebibyte_is_a_record_and_one_byte_more_stays_a_file(bench: Bench) -> None:
    record = bench.one(f"head -c {MIB} /dev/zero | tr '\\0' x").record
    assert record == Record(Form.TEXT, b"x" * MIB)
    large = bench.one(f"head -c {MIB + 1} /dev/zero | tr '\\0' x")
    assert large.verdict is Verdict.ACCEPTED
    form, body = record_of(large)
    told = json.loads(body)
    assert (form, told["bytes"]) == (Form.FILE, MIB + 1)
    assert (bench.folder / told["file"]).read_bytes() == b"x" * (MIB + 1)
    assert told["sha256"] == hashlib.sha256(b"x" * (MIB + 1)).hexdigest()


def test_large_outputs_of_two_items_do_not_share_a_file(bench: Bench) -> None:
    files = set()
    for letter in "xy":
        outcome = bench.one(f"head -c {2 * MIB} /dev/zero | tr '\\0' {letter}", letter.encode())
        files.add(json.loads(record_of(outcome)[1])["sha256"])
    assert len(files) == 2


def test_a_step_without_items_keeps_a_large_output_where_it_is(bench: Bench) -> None:
    told = json.loads(record_of(bench.one(f"head -c {2 * MIB} /dev/zero", None))[1])
    assert told["file"] == ".penstock/runs/r1/out/a.out"
    assert (bench.folder / told["file"]).stat().st_size == 2 * MIB


def test_a_large_output_of_a_command_that_failed_is_an_accident_like_any_other(bench: Bench) -> None:
    assert accident(bench.one(f"head -c {2 * MIB} /dev/zero; exit 4")) == ("failed", "exit", "exit status 4")


# --- output that goes to a .json file ----------------------------------------------------------


def test_what_was_written_to_the_json_file_is_the_record(bench: Bench) -> None:
    outcome = bench.one("""echo '{"n": 1.0}' > out.json""", None, output="out.json")
    assert record_of(outcome) == (Form.JSON, b'{"n":1.0}')


def test_ok_false_in_the_json_file_is_a_rejection(bench: Bench) -> None:
    outcome = bench.one("""echo '{"ok": false}' > out.json; exit 1""", None, output="out.json")
    assert outcome.verdict is Verdict.REJECTED


def test_a_json_file_that_was_not_written_leaves_an_empty_record(bench: Bench) -> None:
    assert record_of(bench.one("true", None, output="out.json")) == (Form.TEXT, b"")


def test_ok_false_of_an_earlier_run_is_no_answer_of_a_command_that_failed_before_it_wrote(bench: Bench) -> None:
    (bench.folder / "out.json").write_text('{"ok": false}')
    outcome = bench.one("""test -f no-such-file; echo '{}' > out.json""", None, output="out.json")
    assert accident(outcome) == ("failed", "exit", "exit status 1")


# --- slots are used again ----------------------------------------------------------------------


def test_nothing_of_the_item_before_is_in_the_output_of_the_next(bench: Bench) -> None:
    bench.one("echo a long line; echo another; echo and one more >&2")
    assert record_of(bench.one("true", b"2")) == (Form.TEXT, b"")
    assert record_of(bench.one("printf x", b"3")) == (Form.TEXT, b"x")
    failed = bench.one("exit 1", b"4")
    assert failed.attempts[0].stderr == ""


# --- commands that do not start ----------------------------------------------------------------


def test_an_interpreter_that_is_not_there_is_named(bench: Bench) -> None:
    assert accident(bench.one("true", interpreter=("no-such-shell", "-e"))) == (
        "failed",
        "start",
        "no-such-shell is not installed",
    )


def test_an_interpreter_that_may_not_be_run_says_what_the_system_says(bench: Bench) -> None:
    program = bench.folder / "shell"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o644)
    verdict, kind, reason = accident(bench.one("true", interpreter=(str(program),)))
    assert (verdict, kind, reason) == ("failed", "start", "the command could not be started: Permission denied")


def test_a_value_that_the_system_does_not_take_says_to_read_standard_input(bench: Bench) -> None:
    verdict, kind, reason = accident(bench.one("true", values={"V": "x" * 200_000}))
    assert (verdict, kind) == ("failed", "start")
    assert reason is not None
    assert reason.endswith("read the row from standard input or $PENSTOCK_ITEM_FILE instead of a placeholder")


def test_another_interpreter_is_given_the_text(bench: Bench) -> None:
    assert record_of(bench.one("echo $0", interpreter=("sh", "-eu"))) == (Form.TEXT, b"sh")
