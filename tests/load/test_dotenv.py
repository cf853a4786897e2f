"""`.env`: values by name, and never a line of it in a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.core.errors import WorkflowError
from penstock.load.dotenv import read


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(".env")


def test_values_are_read_as_dotenv_files_are_written(file: Path) -> None:
    file.write_text(
        "# keys\n\nA=1\nexport B='two words'\nC=\"a\\nb\"\n D = plain # comment\nE=${A}$x\nF=\nA=2\nG='키'\r\n",
        encoding="utf-8",
    )
    assert read(file) == {"A": "2", "B": "two words", "C": "a\nb", "D": "plain", "E": "${A}$x", "F": "", "G": "키"}


def test_no_file_is_no_values(file: Path) -> None:
    assert read(file) == {}


def test_every_line_that_does_not_parse_is_named_and_none_is_shown(file: Path) -> None:
    file.write_text("A=1\n\n\nhunter2 secret\nB\nC='never closed\nD=3\nE=a\0b\n")
    with pytest.raises(WorkflowError) as caught:
        read(file)
    places = [(str(problem.place), problem.message) for problem in caught.value.problems]
    assert places == [
        (".env:4:1", "this line is not `NAME=value`, or a quote in it is never closed"),
        (".env:5:1", "`B` is given no value"),
        (".env:6:1", "this line is not `NAME=value`, or a quote in it is never closed"),
        (".env:8:1", "the value of `E` holds a NUL"),
    ]
    assert "hunter2" not in str(caught.value)


def test_a_line_that_is_not_utf_8_is_named(file: Path) -> None:
    file.write_bytes(b"A=1\nB=caf\xe9\n")
    with pytest.raises(WorkflowError, match=r"^\.env:2:1: this line is not UTF-8\n  help: save the file as UTF-8$"):
        read(file)


def test_a_folder_in_its_place_is_an_error(file: Path) -> None:
    file.mkdir()
    with pytest.raises(WorkflowError, match=r"^\.env cannot be read: "):
        read(file)
