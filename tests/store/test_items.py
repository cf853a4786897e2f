"""Rows of input files: exact text, faults in their place, bounded memory."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
import tempfile
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.core import canon
from penstock.core.errors import OperatorError
from penstock.store.items import Row, count, read, rows_of_list
from penstock.store.json_array import JsonArray


def rows(tmp_path: Path, content: bytes, format: str = "jsonl", *, longest_bytes: int = 1 << 20) -> list[Row]:
    path = tmp_path / f"rows.{format}"
    path.write_bytes(content)
    found = list(read(path, format, longest_bytes=longest_bytes))
    assert [row.index for row in found] == list(range(len(found)))
    assert count(path, format) == len(found)
    return found


def told(found: Iterable[Row]) -> list[tuple[int, bytes, object]]:
    """Line, text and value; where there is no value, the fault."""
    return [(row.line, row.text, row.data if row.fault is None else row.fault) for row in found]


def refusal(path: Path, format: str) -> str:
    with pytest.raises(OperatorError) as caught:
        list(read(path, format))
    assert caught.value.help
    with pytest.raises(OperatorError):
        count(path, format)
    return str(caught.value).removeprefix(str(path)).strip()


# --- JSON Lines ----------------------------------------------------------------------------------


def test_the_text_of_a_row_is_its_line_byte_for_byte(tmp_path: Path) -> None:
    content = b'{"a": 1.10}\r\n  [1 , 2]\t\n"\xed\x95\x9c"\nnull\n{"id":123456789012345678901234567890}'
    assert told(rows(tmp_path, content)) == [
        (1, b'{"a": 1.10}', {"a": 1.1}),
        (2, b"  [1 , 2]\t", [1, 2]),
        (3, b'"\xed\x95\x9c"', "한"),
        (4, b"null", None),
        (5, b'{"id":123456789012345678901234567890}', {"id": 123456789012345678901234567890}),
    ]


def test_a_number_keeps_its_spelling_in_the_value(tmp_path: Path) -> None:
    assert canon.compact(rows(tmp_path, b'{"a": 1.10}')[0].data) == '{"a":1.10}'


def test_blank_lines_are_no_rows_and_still_count_as_lines(tmp_path: Path) -> None:
    assert told(rows(tmp_path, b"\n \t\r\n1\n\r\n\n2\n\n")) == [(3, b"1", 1), (6, b"2", 2)]


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_a_file_without_rows_has_none(tmp_path: Path, content: bytes) -> None:
    assert rows(tmp_path, content) == []


def test_a_byte_order_mark_is_dropped_at_the_start_of_the_file_only(tmp_path: Path) -> None:
    found = rows(tmp_path, b"\xef\xbb\xbf1\n\xef\xbb\xbf2\n")
    assert told(found)[0] == (1, b"1", 1)
    assert found[1].text == b"\xef\xbb\xbf2"
    assert found[1].fault is not None


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"hello", "line 2 is not JSON: Expecting value at character 1"),
        (b'{"a": 1', "line 2 is not JSON: Expecting ',' delimiter at character 8"),
        (b'{"a": 1} {"a": 2}', "line 2 is not JSON: Extra data at character 10"),
        (b'{"a": NaN}', "line 2 is not usable JSON: NaN is not a JSON number"),
        (b"-Infinity", "line 2 is not usable JSON: -Infinity is not a JSON number"),
        (b'"\xff"', "line 2 is not UTF-8: byte 0xff at byte 2"),
        (b'"\xed\xa0\x80"', "line 2 is not UTF-8: byte 0xed at byte 2"),
        (b'"a\0b"', "line 2 is not JSON: Invalid control character at character 3"),
        (b"\0", "line 2 is not JSON: Expecting value at character 1"),
        (
            b'"\\ud800"',
            "line 2 is not usable JSON: holds a lone surrogate (\\ud800 to \\udfff), which is no character",
        ),
        (b"9" * 5000, "line 2 is not usable JSON: Exceeds the limit (4300 digits) for integer string conversion"),
        (b"[" * 100_000, "line 2 is not usable JSON: nested too deeply"),
    ],
    ids=range(12),
)
def test_a_malformed_line_is_a_row_with_its_number_its_text_and_a_fault(
    tmp_path: Path, line: bytes, fault: str
) -> None:
    assert told(rows(tmp_path, b"1\n" + line + b"\n3\n")) == [(1, b"1", 1), (2, line, fault), (3, b"3", 3)]


def test_a_carriage_return_inside_a_line_does_not_end_it(tmp_path: Path) -> None:
    assert told(rows(tmp_path, b"[1,\r2]\r\r\n3")) == [(1, b"[1,\r2]\r", [1, 2]), (2, b"3", 3)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_may_be_as_long_as_the_limit_and_no_longer(tmp_path: Path, end: bytes) -> None:
    fits, over = b'"' + b"x" * 1998 + b'"', b'"' + b"x" * 1999 + b'"'
    assert rows(tmp_path, fits + end, longest_bytes=2000)[0].fault is None
    row = rows(tmp_path, over + end, longest_bytes=2000)[0]
    assert (row.text, row.fault) == (over[:1024], "line 1 is longer than 2,000 bytes")


def test_the_row_after_a_line_that_is_too_long_is_read(tmp_path: Path) -> None:
    content = b"1\n" + b"[" * 3_000_000 + b"\n" + b"]" * 2003 + b"\n4\n"
    found = rows(tmp_path, content, longest_bytes=2000)
    assert [(row.line, row.data, row.fault is None) for row in found] == [
        (1, 1, True),
        (2, None, False),
        (3, None, False),
        (4, 4, True),
    ]
    assert len(found[1].text) == 1024


def test_a_gzipped_file_reads_like_the_plain_one(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"a": 1}\r\n\nx\n'
    plain = rows(tmp_path, content)
    assert len(plain) == 2
    packed = gzip.compress(content[:9]) + gzip.compress(content[9:])
    assert rows(tmp_path, packed, "jsonl.gz") == plain


# --- JSON arrays ---------------------------------------------------------------------------------


def test_an_element_is_its_own_text_without_white_space_between_its_tokens(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf [\n  {"b": 1.10, "a": "x \\" y"},\n\n  12,[ ], "\\uac00"\n]\n\n'
    assert told(rows(tmp_path, content, "json")) == [
        (2, b'{"b":1.10,"a":"x \\" y"}', {"b": 1.1, "a": 'x " y'}),
        (4, b"12", 12),
        (4, b"[]", []),
        (4, b'"\\uac00"', "가"),
    ]


@pytest.mark.parametrize("content", [b"[]", b" [ \n ] "])
def test_an_empty_array_has_no_rows(tmp_path: Path, content: bytes) -> None:
    assert rows(tmp_path, content, "json") == []


def test_a_broken_element_is_a_row_with_a_fault_and_the_next_one_is_read(tmp_path: Path) -> None:
    content = b'[1,\n{"a": NaN},\n{bad, 2],\n"\xff", 3, , [1}, 4 5,]'
    assert told(rows(tmp_path, content, "json")) == [
        (1, b"1", 1),
        (2, b'{"a": NaN}', "element 2 (line 2) is not usable JSON: NaN is not a JSON number"),
        (
            3,
            b"{bad, 2]",
            "element 3 (line 3) is not JSON: Expecting property name enclosed in double quotes at character 2",
        ),
        (4, b'"\xff"', "element 4 (line 4) is not UTF-8: byte 0xff at byte 2"),
        (4, b"3", 3),
        (4, b"", "element 6 (line 4) is not JSON: Expecting value at character 1"),
        (4, b"[1}", "element 7 (line 4) is not JSON: Expecting ',' delimiter at character 3"),
        (4, b"4 5", "element 8 (line 4) is not JSON: Extra data at character 3"),
        (4, b"", "element 9 (line 4) is not JSON: Expecting value at character 1"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (line 1)"),
        (b"\n \n", "is empty (line 3)"),
        (b'\n{"a": 1}', "holds no JSON array (line 2)"),
        (b"null", "holds no JSON array (line 1)"),
        (b"[", "ends within its array (line 1)"),
        (b"[1,\n2", "ends within its array (line 2)"),
        (b"[1,\n", "ends within its array (line 2)"),
        (b'[1,\n"a]', "ends within a string (line 2)"),
        (b'[{"a": 1]', "ends within its array (line 1)"),
        (b"[1]\n[2]", "goes on after its array (line 2)"),
    ],
)
def test_a_file_that_is_no_array_is_refused_with_the_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(content)
    assert refusal(path, "json") == message


def test_an_element_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(b'[1,\n"' + b"x" * 5000 + b'"]')
    with pytest.raises(OperatorError, match=r"has an element of over 2,000 bytes \(line 2\)$"):
        list(read(path, "json", chunk_bytes=100, longest_bytes=2000))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_json, max_size=6), st.integers(1, 9), st.sampled_from([None, 0, 2]), st.booleans())
@example(["\\", '\\"', '"]', "a\\\\"], 1, None, False)
@example([12, 1.5e10, -1], 1, None, False)
def test_an_array_reads_the_same_wherever_a_chunk_ends(
    values: list[object], chunk_bytes: int, indent: int | None, ascii: bool
) -> None:
    content = json.dumps(values, indent=indent, ensure_ascii=ascii).encode()
    array = JsonArray(io.BytesIO(content), Path("rows.json"), chunk_bytes, 1 << 20)
    assert [json.loads(element) for _, element in array] == values


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=30) | st.text('[]{},"\\ \n1a', max_size=30).map(str.encode), st.integers(1, 4))
def test_any_bytes_are_rows_or_an_error_whatever_the_chunk(content: bytes, chunk_bytes: int) -> None:
    def outcome(size: int) -> object:
        try:
            return list(JsonArray(io.BytesIO(content), Path("x"), size, 1 << 20))
        except OperatorError as error:
            return str(error)

    assert outcome(chunk_bytes) == outcome(1 << 20)
    if isinstance(outcome(1), str):
        assert not _is_array(content)


def _is_array(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content.decode()), list)
    except ValueError:
        return False


# --- CSV -----------------------------------------------------------------------------------------


def test_a_record_is_an_object_of_texts_named_by_the_header(tmp_path: Path) -> None:
    content = '\ufeffid,이름\r\n1,"a ""b"", c"\r\n\r\n02,"two\nlines"\r\n,\r\n'.encode()
    assert told(rows(tmp_path, content, "csv")) == [
        (2, '{"id":"1","이름":"a \\"b\\", c"}'.encode(), {"id": "1", "이름": 'a "b", c'}),
        (4, '{"id":"02","이름":"two\\nlines"}'.encode(), {"id": "02", "이름": "two\nlines"}),
        (6, '{"id":"","이름":""}'.encode(), {"id": "", "이름": ""}),
    ]


def test_a_ragged_record_is_a_row_with_a_fault(tmp_path: Path) -> None:
    assert told(rows(tmp_path, b"a,b\n1\n1,2,3\n1,2\n", "csv")) == [
        (2, b"1", "line 2 has 1 fields, and the header has 2"),
        (3, b"1,2,3", "line 3 has 3 fields, and the header has 2"),
        (4, b'{"a":"1","b":"2"}', {"a": "1", "b": "2"}),
    ]


def test_a_record_that_is_not_utf8_or_badly_quoted_is_a_row_with_a_fault(tmp_path: Path) -> None:
    assert told(rows(tmp_path, b'a,b\n1,\xff\n1,"x"y\n1,"2"\n1,"never closed\n', "csv")) == [
        (2, b"1,\xff", "line 2 is not UTF-8"),
        (3, b'1,"x"y', "line 3 is not CSV: ',' expected after '\"'"),
        (4, b'{"a":"1","b":"2"}', {"a": "1", "b": "2"}),
        (5, b'1,"never closed', "line 5 is not CSV: unexpected end of data"),
    ]


def test_a_field_may_be_longer_than_the_csv_module_allows_by_itself(tmp_path: Path) -> None:
    assert rows(tmp_path, b"a\n" + b"x" * 500_000 + b"\n", "csv")[0].data == {"a": "x" * 500_000}


def test_a_quote_that_is_never_closed_does_not_take_in_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b'a,b\n1,2\n1,"open\n' + b"3,4\n" * 1000)
    with pytest.raises(OperatorError, match=r"has a row of over 1,000 characters \(line 3\)$"):
        list(read(path, "csv", longest_bytes=1000))


@pytest.mark.parametrize("content", [b"", b"\n", b"a,b\n"])
def test_a_csv_without_records_has_no_rows(tmp_path: Path, content: bytes) -> None:
    assert rows(tmp_path, content, "csv") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b,a\n1,2,3\n", ': two columns are named "a" (line 1)'),
        (b"a,,\n1,2,3\n", ': two columns are named "" (line 1)'),
        (b"\na,\xff\n1,2\n", ": the header is not UTF-8 (line 2)"),
        (b'"a\n', ": the header is not CSV: unexpected end of data (line 1)"),
    ],
)
def test_a_header_that_cannot_name_the_columns_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    assert refusal(path, "csv") == message


# --- lists ---------------------------------------------------------------------------------------


def test_a_row_of_a_list_is_a_text_as_it_stands_or_compact_json() -> None:
    assert told(rows_of_list([{"a": 1}, "3", "안녕 $(x)", "", None])) == [
        (1, b'{"a":1}', {"a": 1}),
        (2, b"3", "3"),
        (3, "안녕 $(x)".encode(), "안녕 $(x)"),
        (4, b"", ""),
        (5, b"null", None),
    ]


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["jsonl", "jsonl.gz", "json", "csv"])
def test_what_is_no_readable_file_is_an_error_that_helps(tmp_path: Path, format: str) -> None:
    assert refusal(tmp_path / "absent", format) == "does not exist"
    assert refusal(tmp_path, format) == "is a folder"


def test_a_file_that_may_not_be_read_is_an_error_that_helps(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"1\n")
    path.chmod(0)
    mine = os.geteuid()
    os.seteuid(mine or 65534)  # root may read everything, nobody may not
    try:
        assert refusal(path, "jsonl") == "may not be read"
    finally:
        os.seteuid(mine)


def test_a_gzip_file_that_is_cut_off_gives_its_rows_and_then_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    lines = b"".join(b'{"i": %d, "x": "%s"}\n' % (number, os.urandom(20).hex().encode()) for number in range(5000))
    path.write_bytes(gzip.compress(lines)[:-1000])
    found: list[Row] = []
    with pytest.raises(OperatorError, match="is no whole gzip file"):
        found.extend(read(path, "jsonl.gz"))
    assert len(found) > 1000
    assert not any(row.fault for row in found)


def test_a_file_that_is_not_gzip_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(b'{"a": 1}\n')
    assert refusal(path, "jsonl.gz") == "is no whole gzip file: Not a gzipped file (b'{\"')"
    path.write_bytes(gzip.compress(b"")[:10] + b"\xff" * 20)
    assert refusal(path, "jsonl.gz").startswith("is no whole gzip file: Error -3")


def test_a_file_is_opened_at_the_first_row_and_closed_with_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    reader = read(path, "jsonl")
    path.write_bytes(b"1\n2\n")
    before = len(os.listdir("/dev/fd"))
    assert next(reader).data == 1
    assert len(os.listdir("/dev/fd")) == before + 1
    reader.close()
    assert len(os.listdir("/dev/fd")) == before


def test_a_file_that_is_deleted_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"1\n2\n")
    reader = read(path, "jsonl")
    next(reader)
    path.unlink()
    assert [row.data for row in reader] == [2]


# --- properties ----------------------------------------------------------------------------------


def _jsonl(values: list[object]) -> bytes:
    return b"".join(canon.compact(value).encode() + b"\n" for value in values)


@settings(max_examples=150, deadline=None)
@given(st.lists(_json, max_size=6))
def test_any_values_come_back_from_lines_and_from_arrays_alike(values: list[object]) -> None:
    texts = [canon.compact(value).encode() for value in values]
    contents = {
        "jsonl": _jsonl(values),
        "jsonl.gz": gzip.compress(_jsonl(values)),
        "json": b"[" + b" ,\n".join(texts) + b"]",
    }
    with tempfile.TemporaryDirectory() as folder:
        for format, content in contents.items():
            path = Path(folder, "rows")
            path.write_bytes(content)
            found = list(read(path, format))
            assert [row.text for row in found] == texts
            assert [row.data for row in found] == values
            assert count(path, format) == len(values)


CSV_LETTERS = st.characters(exclude_categories=["Cs"], min_codepoint=int(sys.version_info < (3, 11)))
"""Python 3.10 has no NUL in its CSV."""


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.text(CSV_LETTERS), min_size=2, max_size=2), max_size=6))
def test_any_texts_come_back_from_csv(records: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *records])
        assert [row.data for row in read(path, "csv")] == [{"a": one, "b": other} for one, other in records]
        assert count(path, "csv") == len(records)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_lines_with_values_or_faults(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.jsonl")
        path.write_bytes(content)
        found = list(read(path, "jsonl"))
        assert len(found) == count(path, "jsonl")
        for row in found:
            assert row.text in content
            assert (row.fault is None) or row.fault.startswith(f"line {row.line} ")


@pytest.mark.parametrize("format", ["jsonl", "jsonl.gz", "json", "csv"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, format: str) -> None:
    def peak(size: int) -> int:
        path = tmp_path / f"{size}.{format}"
        lines = [b'{"i":"%d","text":"%s"}' % (number, b"x" * 200) for number in range(size)]
        match format:
            case "jsonl":
                path.write_bytes(b"\n".join(lines))
            case "jsonl.gz":
                path.write_bytes(gzip.compress(b"\n".join(lines), 1))
            case "json":
                path.write_bytes(b"[" + b",\n".join(lines) + b"]")
            case "csv":
                path.write_bytes(b"i,text\n" + b"".join(b"%d,%s\n" % (number, b"x" * 200) for number in range(size)))
        del lines
        tracemalloc.start()
        assert sum(1 for row in read(path, format, chunk_bytes=1 << 16)) == size
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(30_000) < peak(1000) + 1_000_000
