"""Who may import whom: the floors of the house, its doors and its freedom from circles, read from the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "penstock"

FLOORS = (
    {"core"},
    {"rules"},
    {"plan", "load", "store", "models"},
    {"kinds", "gateway"},
    {"engine"},
    {"api"},
    {"cli", "web", "export"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FACES = {"cli", "web", "export"}
DOORS = {
    "sqlite3": ("store.",),
    "subprocess": ("kinds.shell", "kinds.groups"),
    "yaml": ("load.source", "load.syntax"),
    "rich": ("cli.",),
    "aiohttp": ("models.transport", "gateway.", "web."),
    "ray": ("engine.ray",),
}
IMPURE = {"asyncio", "os", "random", "socket", "threading", "time"}


@dataclass(frozen=True, slots=True)
class Import:
    """One name that a module asks for; `late` if only inside a function. Names are without `penstock.`."""

    module: str
    target: str
    ours: bool
    late: bool

    def __str__(self) -> str:
        return f"{self.module} imports {self.target}"


def violations(source: Path) -> list[str]:
    """Every import under this folder that the house does not allow, and one circle if there is any."""
    found = list(imports(source))
    strangers = {one.module for one in found} - {"", "__main__"}
    unknown = sorted({name.split(".")[0] for name in strangers} - FLOOR.keys())
    if unknown:
        return [f"{room} is no room of the house" for room in unknown]
    broken = [f"{one}: {why}" for one in found if (why := objection(one))]
    return broken + circle(found)


def imports(source: Path) -> Iterator[Import]:
    """Every import of every file, those under TYPE_CHECKING, in functions and by `import_module` too."""
    files = {file: name_of(file, source) for file in sorted(source.rglob("*.py"))}
    modules = set(files.values())
    for file, module in files.items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        late = {id(inner) for function in functions for inner in ast.walk(function)}
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(tree):
            for name in asked_for(node, package):
                ours = name.split(".")[0] == "penstock"
                yield Import(module, nearest(name, modules) if ours else name, ours, id(node) in late)


def name_of(file: Path, source: Path) -> str:
    parts = file.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def asked_for(node: ast.AST, package: str) -> list[str]:
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(level=0):
            return [f"{node.module}.{alias.name}" for alias in node.names]
        case ast.ImportFrom():
            above = ["penstock", *package.split(".")][: 2 + package.count(".") - node.level + 1]
            return [".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names]
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called), args=[ast.Constant(value=str(name)), *_]):
            return [name] if called in {"import_module", "__import__"} else []
    return []


def nearest(name: str, modules: set[str]) -> str:
    """The module that a dotted name lies in: `penstock.core.workflow.Step` lies in `core.workflow`."""
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in modules:
        parts.pop()
    return ".".join(parts)


def objection(one: Import) -> str | None:
    """Why this import is not allowed; None if it is."""
    room, target = one.module.split(".")[0], one.target.split(".")[0]
    if not one.ours:
        doors = DOORS.get(target)
        if doors and not f"{one.module}.".startswith(doors):
            return f"the door to {target} is {' or '.join(doors)}"
        return "rules are pure" if room == "rules" and target in IMPURE else None
    if room == target or target == "" or room in {"", "__main__"}:
        return None
    if may_be_late(one):
        return None
    if FLOOR[target] == FLOOR[room]:
        return "sideways"
    if FLOOR[target] > FLOOR[room]:
        return "upwards"
    return "a face sees only api and core" if room in FACES and target not in {"api", "core"} else None


def may_be_late(one: Import) -> bool:
    """The composition root may reach an extra from inside a function."""
    return one.module == "api" and one.late and one.target.split(".")[0] in {"web", "export"}


def circle(found: list[Import]) -> list[str]:
    graph: dict[str, set[str]] = {}
    for one in found:
        if one.ours and one.module != one.target and not may_be_late(one):
            graph.setdefault(one.module, set()).add(one.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return ["a circle: " + " → ".join(reversed(error.args[1]))]
    return []


def test_every_import_keeps_the_rules_of_the_house() -> None:
    assert violations(SOURCE) == []


def test_the_source_is_really_read() -> None:
    assert Import("core.workflow", "core.errors", ours=True, late=False) in set(imports(SOURCE))


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("core/work.py", "from penstock.rules import shelltext", "core.work imports rules.shelltext: upwards"),
        ("store/journal.py", "import penstock.load.build", "store.journal imports load.build: sideways"),
        ("plan.py", "def late():\n    from penstock import api", "plan imports api: upwards"),
        ("cli/main.py", "from penstock.store.journal import Journal", "a face sees only api and core"),
        ("web/app.py", "from ..cli import main", "web.app imports cli.main: sideways"),
        ("core/work.py", "if TYPE_CHECKING:\n    import penstock.api", "core.work imports api: upwards"),
        (
            "rules/routing.py",
            "import importlib\nimportlib.import_module('penstock.plan')",
            "rules.routing imports plan",
        ),
        ("rules/sampling.py", "import random", "rules are pure"),
        ("engine/local.py", "from sqlite3 import connect", "the door to sqlite3 is store."),
        ("kinds/generate.py", "import subprocess", "the door to subprocess is kinds.shell or kinds.groups"),
        ("load/build.py", "import yaml", "the door to yaml is load.source or load.syntax"),
        ("api.py", "from rich.console import Console", "the door to rich is cli."),
        ("api.py", "from penstock.web import app", "api imports web.app: upwards"),
        ("utils.py", "import json", "utils is no room of the house"),
    ],
)
def test_an_import_that_breaks_a_rule_is_named(tmp_path: Path, file: str, line: str, said: str) -> None:
    rooms = [
        "api.py",
        "plan.py",
        "cli/main.py",
        "load/build.py",
        "rules/shelltext.py",
        "store/journal.py",
        "web/app.py",
    ]
    for name in [*rooms, file]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / file).write_text(line)
    (found,) = violations(tmp_path)
    assert said in found


def test_a_circle_inside_one_room_is_printed_by_name(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "cache.py").write_text("from penstock.store import items")
    (tmp_path / "store" / "items.py").write_text("def late():\n    from .cache import AnswerCache")
    (found,) = violations(tmp_path)
    assert found in {
        "a circle: store.cache → store.items → store.cache",
        "a circle: store.items → store.cache → store.items",
    }


def test_what_the_house_allows_is_not_named(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "app.py").write_text("import aiohttp\nfrom penstock import api, __version__")
    (tmp_path / "api.py").write_text("def view():\n    from penstock.web import app")
    assert violations(tmp_path) == []
