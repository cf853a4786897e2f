"""Real bash, hostile rows: whatever a row holds, its exact bytes arrive and no shell evaluates it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.rules.placeholders import Fault, ValueFault, check_sizes, resolve
from penstock.rules.shell.text import ShellTextError, analyse
from tests.hostile import CANARY, CONTEXTS, FRAMES, ROWS, TOO_LARGE, Form

_PROGRAMS = {
    "show": "#!/bin/sh\n[ $# -eq 0 ] || printf '%s\\0' \"$@\" >> shown\n",
    "take": "#!/bin/sh\ncat > taken\n",
}
_BASH = ["bash", "-euo", "pipefail", "-c"]
_often = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in _PROGRAMS.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def _run(folder: Path, text: str, variables: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    for name in ("shown", "taken", "out_7.txt"):
        (folder / name).unlink(missing_ok=True)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "n": "", **variables}
    return subprocess.run([*_BASH, text], cwd=folder, env=environment, capture_output=True, check=False)


def _run_with(folder: Path, text: str, value: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a text as Penstock does: analysed, with the row's values in the environment."""
    script = analyse(text, foreach=True).script
    names = {"item": value, "i": 7, "attempt": 1}
    values = {name: resolve(placeholder, names, value) for name, placeholder in script.bindings}
    check_sizes(values)
    return _run(folder, script.text, values)


def _faults(text: str) -> tuple[Fault, ...]:
    try:
        analyse(text, foreach=True)
    except ShellTextError as error:
        return error.faults
    return ()


def _assert_shown(folder: Path, form: Form, value: str, done: subprocess.CompletedProcess[bytes]) -> None:
    assert done.returncode == 0, done.stderr
    assert not (folder / CANARY).exists()
    assert {path.name for path in folder.iterdir()} <= {"show", "take", "shown", "taken", "out_7.txt"}
    if form.arguments:
        assert (folder / "shown").read_bytes() == "".join(f"{each}\0" for each in form.arguments(value)).encode()
    if form.stdin:
        assert (folder / "taken").read_bytes() == form.stdin(value).encode()


@pytest.mark.parametrize("form", CONTEXTS, ids=lambda form: form.text)
def test_the_bytes_of_hostile_rows_arrive_in_each_place(form: Form, folder: Path) -> None:
    for value in ROWS[CONTEXTS.index(form) % 11 :: 11]:
        _assert_shown(folder, form, value, _run_with(folder, form.text, value))


@settings(_often, max_examples=500)
@given(
    form=st.sampled_from(CONTEXTS),
    frames=st.lists(st.sampled_from(FRAMES), max_size=3),
    value=st.sampled_from(ROWS),
)
def test_no_frame_around_a_command_changes_what_arrives(
    form: Form, frames: list[str], value: str, folder: Path
) -> None:
    text = form.text
    for frame in frames:
        text = frame.replace("@", text)
    faults = _faults(text)
    if faults:
        assert all(fault.message.startswith("Penstock cannot ") and fault.help for fault in faults)
        assert len(frames) > 1 or "time -p" in text
        return
    done = _run_with(folder, text, value)
    _assert_shown(folder, form, value, done)


@settings(_often, max_examples=200)
@given(form=st.sampled_from(CONTEXTS), value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_arrives_as_it_is(form: Form, value: str, folder: Path) -> None:
    _assert_shown(folder, form, value, _run_with(folder, form.text, value))


@pytest.mark.parametrize("form", CONTEXTS, ids=lambda form: form.text)
@pytest.mark.parametrize("value", ["abc", "7", "a-b.c_d"])
def test_a_harmless_value_gives_what_plain_substitution_gives(form: Form, value: str, folder: Path) -> None:
    naive = form.text.replace("{{item}}", value).replace("{{ item }}", value).replace("{{i}}", "7")
    if "${{item}}" in form.text:
        naive = naive.replace(f"'${value}'", f"'$'{value}").replace(f'"\\${value}"', f'"\\$"{value}')
    if "$n{{item}}" in form.text:
        naive = naive.replace(f"$n{value}", f"${{n}}{value}")
    expected = _run(folder, naive, {})
    shown = [(folder / name).read_bytes() if (folder / name).exists() else None for name in ("shown", "taken")]
    done = _run_with(folder, form.text, value)
    assert (done.returncode, done.stdout) == (expected.returncode, expected.stdout)
    assert shown == [(folder / name).read_bytes() if (folder / name).exists() else None for name in ("shown", "taken")]


@pytest.mark.parametrize("value", TOO_LARGE, ids=lambda value: f"{len(value)} characters")
def test_a_row_that_no_variable_can_hold_is_refused_with_what_to_do(value: str, folder: Path) -> None:
    with pytest.raises(ValueFault, match=r"read standard input or \$PENSTOCK_ITEM_FILE"):
        _run_with(folder, "./show {{item}}", value)
    assert not (folder / "shown").exists()


def test_the_canary_would_sing(folder: Path) -> None:
    _run(folder, 'eval "$x"', {"x": f"a=$(touch {CANARY})"})
    assert (folder / CANARY).exists()
