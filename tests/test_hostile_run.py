"""Hostile rows through whole runs of the real program: exact bytes arrive, or the item fails with a sentence."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest

from tests.hostile import CANARY, ROWS, TOO_LARGE
from tests.terminal import Project, jsonl

SEE = """#!/bin/sh
# Puts down, byte for byte, what a command was given: see STEP ARGUMENT...
mkdir -p "seen/$1"; into="seen/$1/$PENSTOCK_I"; shift
cat > "$into.stdin"
cat "$PENSTOCK_ITEM_FILE" > "$into.file"
[ $# -eq 0 ] || printf '%s\\0' "$@" > "$into.arguments"
"""
MIB_5 = "한'\"$(touch PWNED)`touch PWNED`\n" * 150_000
TEXTS = (*ROWS, *TOO_LARGE, MIB_5)
READ_ELSEWHERE = "read standard input or $PENSTOCK_ITEM_FILE instead"

BROKEN_LINES: tuple[tuple[bytes, str], ...] = (
    (b'{"t": "\xff\xfe"}', "is not UTF-8: byte 0xff at byte 8"),
    (b"\xc3\x28$(touch PWNED)", "is not UTF-8: byte 0xc3 at byte 1"),
    (b'{"t": "half', "is not JSON: Unterminated string starting at character 7"),
    (b"$(touch PWNED)", "is not JSON: Expecting value at character 1"),
    (b"`touch PWNED`; touch PWNED", "is not JSON: Expecting value at character 1"),
    (b"\x00", "is not JSON: Expecting value at character 1"),
    (b'{"t": "a\x00b"}', "is not JSON: Invalid control character at character 9"),
    (b'{"t": NaN}', "is not usable JSON: NaN is not a JSON number"),
    (b'{"t": 1} {"t": 2}', "is not JSON: Extra data at character 10"),
    (b"[" * 100_000, "is not usable JSON: nested too deeply"),
)
"""Lines that are no rows, and the sentence after their number."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("see", SEE).chmod(0o755)
    return project


def fits(*values: str) -> bool:
    """Whether these values can be the placeholders of one command."""
    sizes = [len(value.encode()) for value in values]
    return not any("\0" in value for value in values) and max(sizes) <= 120 * 1024 and sum(sizes) <= 512 * 1024


def assert_counted(project: Project, step: str, accepted: int, failed: int, skipped: int = 0) -> None:
    """The rows of the step are all there and their verdicts are these."""
    steps = project.succeeds("status", "--json").value["steps"]
    assert isinstance(steps, dict)
    told = steps[step]
    counts = (told["total"], told["accepted"], told["rejected"], told["failed"], told["skipped"])
    assert counts == (accepted + failed + skipped, accepted, 0, failed, skipped)
    records = project.records(step)
    assert [line["i"] for line in records] == list(range(accepted + failed + skipped))
    assert sum(line["verdict"] == "accepted" for line in records) == accepted


def in_yaml(text: str) -> str:
    """A quoted YAML scalar that is this text."""
    return '"' + "".join(sign if sign.isalnum() else f"\\U{ord(sign):08x}" for sign in text) + '"'


def assert_nothing_was_evaluated(project: Project) -> None:
    assert list(project.folder.rglob(f"*{CANARY}*")) == []


def reasons(project: Project, step: str) -> dict[object, str]:
    """Why items of the step failed, by index."""
    lines = (line for line in project.log() if line["step"] == step and line["i"] is not None)
    return {line["i"]: str(line["reason"]) for line in lines if line["verdict"] == "failed"}


def seen(project: Project, step: str, i: int, what: str) -> bytes | None:
    path = project.folder / "seen" / step / f"{i}.{what}"
    return path.read_bytes() if path.exists() else None


def test_a_row_of_a_file_arrives_byte_for_byte_or_fails_with_a_sentence(project: Project) -> None:
    lines = [json.dumps({"t": text}, ensure_ascii=i % 2 == 0).encode() for i, text in enumerate(TEXTS)]
    broken = [line for line, _ in BROKEN_LINES]
    project.write("rows.jsonl", b"\r\n \n".join([*lines, *broken]) + b"\n")
    project.workflow("""\
steps:
  - id: stream
    foreach: rows.jsonl
    max_failures: 100%
    run: ./see stream
  - id: argument
    foreach: rows.jsonl
    max_failures: 100%
    run: |
      ./see argument "{{item}}" {{item.t}} '-{{item.t}}'
      printf 'x%s\\n' "{{item.t}}" | tee -a all.txt
  - id: again
    foreach: steps.argument
    run: ./see again {{item}} "{{origin.t}}" '{{chain.argument}}' > "out/{{key}}.txt"
""")
    project.succeeds("run", "--concurrency", "4", "--quiet")
    assert_nothing_was_evaluated(project)
    good = [i for i, text in enumerate(TEXTS) if fits(lines[i].decode(), text, text)]
    large = set(range(len(TEXTS))) - set(good)
    assert len(good) > 450
    assert len(large) >= len(TOO_LARGE)

    assert_counted(project, "stream", accepted=len(lines), failed=len(broken))
    for i, line in enumerate(lines):
        assert seen(project, "stream", i, "stdin") == line + b"\n"
        assert seen(project, "stream", i, "file") == line + b"\n"

    assert_counted(project, "argument", accepted=len(good), failed=len(large) + len(broken))
    for i in good:
        text = TEXTS[i].encode()
        assert seen(project, "argument", i, "arguments") == b"".join((lines[i], b"\0", text, b"\0-", text, b"\0"))
        assert seen(project, "argument", i, "stdin") == lines[i] + b"\n"
    for step in ("stream", "argument"):
        why = reasons(project, step)
        for i, (_, sentence) in enumerate(BROKEN_LINES, start=len(lines)):
            assert why[i].startswith(f"line {2 * i + 1} {sentence}")
    assert all(READ_ELSEWHERE in why[i] for i in large)
    assert all(seen(project, "argument", i, "arguments") is None for i in large)

    expected = [f"x{TEXTS[i]}\n" for i in good]
    assert (project.folder / "all.txt").read_bytes() == "".join(expected).encode()
    records = [line["record"] for line in project.records("argument") if line["verdict"] == "accepted"]
    assert records == [_without_line_end(text) for text in expected]

    again = {line["i"] for line in project.records("again") if line["verdict"] == "accepted"}
    told = {i for i in good if fits(*[_without_line_end(f"x{TEXTS[i]}\n")] * 2, TEXTS[i])}
    assert again == told
    for i in told:
        record = _without_line_end(f"x{TEXTS[i]}\n").encode()
        values = (record, TEXTS[i].encode(), record)
        assert seen(project, "again", i, "arguments") == b"".join(value + b"\0" for value in values)


def test_rows_of_tables_lists_and_arrays_arrive_too(project: Project) -> None:
    texts = [text for text in ROWS if len(text) < 3000][::3]
    table = io.StringIO()
    csv.writer(table, quoting=csv.QUOTE_ALL).writerows([["t"], *([text] for text in texts)])
    project.write("rows.csv", table.getvalue().encode() + b'"\xff$(touch PWNED)"\r\na,$(touch PWNED)\r\n')
    project.write("rows.json", json.dumps([{"t": text} for text in texts] + [MIB_5], ensure_ascii=False))
    lines = "".join(json.dumps({"t": text}) + "\n" for text in texts)
    project.write("rows.jsonl.gz", gzip.compress(lines.encode()))
    project.workflow(f"""\
steps:
  - id: table
    foreach: rows.csv
    max_failures: 2
    run: ./see table "{{{{item.t}}}}"
  - id: array
    foreach: rows.json
    max_failures: 1
    run: ./see array "{{{{item.t}}}}"
  - id: packed
    foreach: rows.jsonl.gz
    where: item.t != "no such text"
    run: ./see packed {{{{item.t}}}}
  - id: list
    foreach: [{", ".join(map(in_yaml, texts))}]
    run: ./see list '{{{{item}}}}'
""")
    project.succeeds("run", "--concurrency", "4", "--quiet")
    assert_nothing_was_evaluated(project)
    assert_counted(project, "table", accepted=len(texts), failed=2)
    why = list(reasons(project, "table").values())
    assert [sentence.partition(" ")[2].partition(" ")[2] for sentence in why] == [
        "is not UTF-8",
        "has 2 fields, and the header has 1",
    ]
    assert_counted(project, "array", accepted=len(texts), failed=1)
    assert_counted(project, "packed", accepted=len(texts), failed=0)
    assert_counted(project, "list", accepted=len(texts), failed=0)
    for step in ("table", "array", "packed", "list"):
        for i, text in enumerate(texts):
            assert seen(project, step, i, "arguments") == text.encode() + b"\0"


def test_a_value_in_the_name_of_a_file_stays_in_its_folder_or_fails_with_a_sentence(project: Project) -> None:
    texts = [text for text in ROWS if len(text) < 3000][1::4]
    texts += ["..", "../up", "a/../../up", "/tmp/PWNED", ".", "~/x"]
    project.write("rows.jsonl", "".join(json.dumps({"t": text}) + "\n" for text in texts))
    project.workflow("""\
steps:
  - id: name
    foreach: rows.jsonl
    max_failures: 100%
    run: printf '%s' "{{item.t}}" > "named/{{item.t}}/end"
""")
    project.succeeds("run", "--concurrency", "4", "--quiet")
    why = reasons(project, "name")
    written = {i: text for i, text in enumerate(texts) if i not in why}
    assert len(written) > 0.8 * len(texts)
    assert all("a row's value in the path" in why[texts.index(text)] for text in ("..", "../up", "a/../../up"))
    assert all(why.values())
    for text in written.values():
        assert (project.folder / "named" / text / "end").read_bytes() == text.encode()
    left = {path for path in project.folder.rglob("end") if ".penstock" not in path.parts}
    assert len(left) == len(written)
    assert {path.name for path in project.folder.iterdir()} <= {
        ".penstock", "fixtures", "named", "see", "rows.jsonl", "workflow.yaml",
    }  # fmt: skip
    assert not (project.folder.parent / "up").exists()
    assert len(jsonl(project.run_folder() / "steps/name.jsonl")) == len(texts)


def _without_line_end(text: str) -> str:
    """A record is the output without the end of its last line."""
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
