"""The size of what we write, and nothing in it that belongs to one machine."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src" / "penstock").rglob("*.py"))
MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 60

WRITTEN = ("src", "tests", "docs", "examples", "requirements", "benchmarks", ".ci")
MADE = {"__pycache__", ".penstock", ".cache", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "logs"}

# Put together here, so that this file does not hold what it looks for.
FOREIGN = (
    "/".join(["", "work", ""]),
    "/".join(["", "root", ""]),
    "/".join(["", "tmp", "w", ""]),
    "/".join(["", "opt", "wheels"]),
    "/".join(["", "opt", "pypi"]),
    ".".join(["files", "pythonhosted"]),
    "/".join(["pypi.org", "simple"]),
    "-".join(["", "", "index", "url"]),
    "-".join(["", "", "extra", "index", "url"]),
    "-".join(["", "", "find", "links"]),
)


def written_files() -> Iterator[Path]:
    """Every file of ours that people or locks wrote, as far as it is text."""
    yield from (file for file in ROOT.iterdir() if file.is_file())
    for room in WRITTEN:
        for file in sorted((ROOT / room).rglob("*")):
            if file.is_file() and not MADE.intersection(file.parts) and ".egg-info" not in str(file):
                yield file


def foreign(file: Path) -> list[str]:
    """The lines of a file that name a folder of one machine or the address of a package index."""
    text = file.read_bytes().decode("utf-8", "replace")
    lines = enumerate(text.splitlines(), start=1)
    return [f"{file.name}:{number}: {line.strip()}" for number, line in lines if any(word in line for word in FOREIGN)]


def long_functions(file: Path, limit: int) -> list[str]:
    """The functions of a file that are longer than `limit` lines."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    sized = [(node, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions]
    return [f"{file.name}:{node.lineno}: {node.name} has {lines} lines" for node, lines in sized if lines > limit]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_is_short_and_its_first_line_says_what_it_does(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    assert ast.get_docstring(ast.parse(text))
    assert long_functions(file, MAX_FUNCTION_LINES) == []


def test_nothing_that_we_wrote_names_a_machine_or_a_package_index() -> None:
    assert [line for file in written_files() for line in foreign(file)] == []


def test_a_lock_holds_hashes_and_nothing_but_packages() -> None:
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        lines = lock.read_text(encoding="utf-8").splitlines()
        packages = [line for line in lines if not line.startswith(("    --hash=sha256:", "    #"))]
        assert packages
        assert [line for line in packages if "==" not in line or not line.endswith("\\")] == []


def test_a_long_function_is_found(tmp_path: Path) -> None:
    file = tmp_path / "long.py"
    file.write_text("def f() -> None:\n    print()\n    print()\n")
    assert long_functions(file, 2) == ["long.py:1: f has 3 lines"]
    assert long_functions(file, 3) == []


@pytest.mark.parametrize("word", FOREIGN)
def test_a_line_of_another_machine_is_found(tmp_path: Path, word: str) -> None:
    file = tmp_path / "lock.txt"
    file.write_text(f"fine\n# {word}penstock\n")
    assert foreign(file) == [f"lock.txt:2: # {word}penstock"]
