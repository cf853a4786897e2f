"""A text that is not told apart does in a forked shell just what it does in one that was started for it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.kinds.forking import SlotShell
from penstock.kinds.tools import Tools
from penstock.rules.shell.forking import told_apart, unfit
from tests.doubles import item
from tests.kinds.shell_bench import Bench

ALIKE = [
    "",
    ":",
    "echo hello > made; echo out; echo err >&2",
    'read -r row; echo "$row"; read -r more || echo "end $?"',
    "cat; :",
    'cat "$PENSTOCK_ITEM_FILE" | tr a-z A-Z',
    "env -0 | sort -z | grep -vz -e ^_= | tr '\\0' '\\n'",
    "export NEW=1; local_=2; env | grep -c -e NEW -e local_ | cat",
    "pwd; cd ..; pwd",
    "umask; umask 077; touch made; ls -l made | cut -c1-10; :",
    "touch made; ls -l made | cut -c1-10; :",
    "false",
    "false; echo not reached",
    "false || echo reached",
    "if false; then :; fi; echo $?",
    "! true; echo on",
    "false | true",
    "true | false | true",
    "x=$(false); echo not reached",
    "local_=$(echo a; false) || echo caught",
    "exit 0",
    "exit 3",
    "exit 120",
    "exit 127",
    "exit 128",
    "exit 130",
    "exit 137",
    "exit 255",
    "exit 300",
    "exit -1",
    "( exit 137 )",
    "return 3",
    "break; continue; echo on",
    "for n in 1 2 3; do [ $n = 2 ] && break; echo $n; done",
    "local x=1",
    "shift; echo $#",
    "shift 3; echo $#",
    'echo $# "$@" "$*"; echo "$1"',
    "set -- a b; echo $# $2",
    "echo $?",
    "echo $nope",
    "f() { local y=1; echo $y; echo $nope; }; f",
    "f() { return 4; }; f",
    'f() { echo "$1"; }; f a; f b',
    "echo ${nope:?no such name}",
    "echo ${nope-none} ${REPLY-none} ${kind-none} ${s-none}",
    "readonly r=1; r=2; echo on",
    "x=( a 'b c' ); echo ${#x[@]} \"${x[1]}\"",
    "echo $(( 1 / 0 )); echo on",
    "(( 0 )); echo on",
    "[[ a == b ]]; echo on",
    "[[ a == [ab] ]] && echo yes",
    "nosuch; echo on",
    "nosuch || echo $?",
    "echo one\n\n\nnosuch\n:",
    "echo $(nosuch)\necho on",
    "f() {\n  nosuch\n}\n\nf",
    "echo x > /nosuch/x; echo on",
    "cat < nosuch; echo on",
    "./workflow.txt; :",
    "cat <<E\n$PENSTOCK_I ${PENSTOCK_V0}\nE\n:",
    "cat <<'E'\n$PENSTOCK_I\nE\nnosuch\n:",
    "cat <<< \"${PENSTOCK_V0}\"; :",
    "cat <(echo a) <(echo b) | cat",
    "echo a | tee >(cat > made) | cat; sleep 0.05; :",
    "sh -c 'kill -9 $$'; echo on",
    "sh -c 'kill -9 $$' || echo $?",
    "sh -c 'kill -TERM $$' || echo $?",
    "x=$(sh -c 'kill -9 $$'); echo on",
    "( sh -c 'kill -9 $$' )",
    "sh -c 'kill -9 $$' | cat",
    "true && sh -c 'exit 9' && :",
    "python3 -c 'import os; os.kill(os.getppid(), 9)'; echo on",
    "python3 -c 'import os; os.kill(os.getppid(), 15)'; echo on",
    "python3 -c 'import os; os.kill(os.getppid(), 13)'; echo on",
    "python3 -c 'import os; print(sorted(os.listdir(\"/pr\" + \"oc/self/fd\")))'; :",
    "python3 -c 'from signal import *; print(pthread_sigmask(0, []), list(map(getsignal, range(1, 32))))'; :",
    "python3 -c 'import resource; print([resource.getrlimit(n) for n in range(10)])'; :",
    "python3 -c 'import os; print(os.getpgid(0) == os.getppid(), os.nice(0))'; :",
    "sh -c 'kill -15 0; sleep 0.1'; echo on",
    "sleep 0.01 & wait; echo done",
    "{ echo a; exit 5; } & wait; echo $?",
    "( sleep 0.01; nosuch ) & wait",
    "yes | head -1; echo on",
    "( yes; : ) | head -1",
    "printf '%s\\n' a b | while read -r x; do echo \"<$x>\"; done",
    "mapfile -t rows; echo ${#rows[@]}",
    "case $PENSTOCK_I in 0) echo zero ;; *) echo other ;; esac",
    "echo *.txt; echo {a,b}c; echo ~+",
    "while read -r x; do echo $x; done",
    "grep Sig /nosuch; :",
    "unset PENSTOCK_I; echo ${PENSTOCK_I-gone}; env | grep -c PENSTOCK_I= | cat",
    "PENSTOCK_I=5; sh -c 'echo $PENSTOCK_I'; :",
    "IFS=,; x=a,b; echo $x",
    "set +e; false; echo on",
    "set +u; echo $nope on",
    "set -f; echo *",
    "time true",
]  # fmt: skip
TOLD = {
    "echo )": "Penstock cannot read this part of the text as bash: ')' closes nothing.",
    "echo 'open": "Penstock cannot read this part of the text as bash: this ' is never closed.",
    "sh -c 'kill $PPID'; :": "it names PPID",
    "echo $$": "it uses $$",
    "echo $PPID": "it names PPID",
    "sleep 9 & kill %1": "`kill` knows its shell",
    "sleep 9 & echo $!": "it uses $!",
    "echo $-": "it uses $-",
    "echo $0": "it uses $0",
    "echo $_": "it uses $_",
    "x=SECONDS; echo ${!x}": "it names SECONDS",
    "x=a; echo ${!x}": "it uses $!x",
    "echo ${BASH_SUBSHELL}": "it names BASH_SUBSHELL",
    "echo $(( RANDOM ))": "it names RANDOM",
    "[[ -v LINENO ]]": "it names LINENO",
    "cat /proc/self/stat; :": "it names /proc",
    "trap : EXIT": "`trap` knows its shell",
    "set -x; :": "`set` knows its shell",
    "set": "`set` knows its shell",
    "set -m": "`set` knows its shell",
    "exec cat": "`exec` knows its shell",
    "eval :": "`eval` knows its shell",
    "source x": "`source` knows its shell",
    ". ./x": "`.` knows its shell",
    "jobs; :": "`jobs` knows its shell",
    "wait %1; :": "`wait` with these words knows its shell",
    "export -p": "`export` with these words knows its shell",
    "alias a=b": "`alias` knows its shell",
    "declare -A x": "`declare` knows its shell",
    "shopt -s nullglob": "`shopt` knows its shell",
    "$PENSTOCK_V0 x; :": "a command's name is known only when it runs",
    "test() { :; }; test": "a function has the name of a builtin",
    "ps; :": "`ps` looks at processes",
    "/bin/ps; :": "`/bin/ps` looks at processes",
    "cat": "`cat`, its last command, takes its shell's place",
    "true && python x.py": "`python`, its last command, takes its shell's place",
}
NUMBER = re.compile(rb"\b[0-9]{3,}\b")


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to see of an attempt. The numbers of processes are left out."""

    verdict: tuple[str, str | None, str | None]
    stdout: bytes
    stderr: bytes
    files: dict[str, bytes]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    (bench.folder / "workflow.txt").write_text("not a program\n")
    return bench


async def seen(bench: Bench, text: str, tools: Tools, index: int) -> Seen:
    (bench.folder / "made").unlink(missing_ok=True)
    values = {"PENSTOCK_V0": f"value {index} $(touch pwned)"}
    outcome = await bench.perform(text, item(index), values=values, tools=tools)
    stdout, stderr = ((tools.slot / name).read_bytes() for name in ("stdout", "stderr"))
    files = {path.name: path.read_bytes() for path in bench.folder.iterdir() if path.is_file()}
    (attempt,) = outcome.attempts
    verdict = outcome.verdict.value, attempt.kind, outcome.reason
    return Seen(verdict, stdout, NUMBER.sub(b"N", stderr), files)


def forking(bench: Bench) -> Tools:
    tools = bench.tools()
    return replace(tools, shell=SlotShell(tools.environment, None))


def was_forked(tools: Tools) -> bool:
    return (tools.slot / "stdout.values").exists()


@pytest.mark.parametrize("text", ALIKE)
def test_what_is_not_told_apart_is_alike_for_two_items_in_a_row(bench: Bench, text: str) -> None:
    async def both() -> tuple[list[Seen], list[Seen]]:
        tools = forking(bench)
        assert tools.shell is not None
        started = [await seen(bench, text, bench.tools(), index) for index in (0, 1)]
        try:
            forked = [await seen(bench, text, tools, index) for index in (0, 1)]
            assert was_forked(tools)
        finally:
            tools.shell.close()
        return started, forked

    assert told_apart(text) is None
    started, forked = asyncio.run(both())
    assert forked == started
    assert not (bench.folder / "pwned").exists()


@pytest.mark.parametrize("text", TOLD)
def test_what_could_be_told_apart_has_a_reason_and_a_shell_of_its_own(bench: Bench, text: str) -> None:
    assert told_apart(text) == TOLD[text]


@pytest.mark.parametrize("name", ["BASH_FUNC_read%%", "BASH_COMPAT", "SHELLOPTS", "POSIXLY_CORRECT", "TMOUT"])
def test_an_environment_in_which_bash_does_something_else_has_no_forking_shell(bench: Bench, name: str) -> None:
    assert unfit({"PATH": "/bin", name: "1", "HOME": "/"}) == name
    tools = bench.tools({b"PATH": b"/usr/bin:/bin", name.encode(): b"1"})
    shell = SlotShell(tools.environment, None)
    assert not shell.takes(("bash", "-euo", "pipefail"), ":")


@pytest.mark.parametrize(
    ("environment", "fits"),
    [
        ({}, True),
        ({"LANG": "ko_KR.UTF-8"}, True),
        ({"LANG": "ko_KR.EUC-KR"}, False),
        ({"LANG": "ko_KR.EUC-KR", "LC_ALL": "C.utf8"}, True),
        ({"LC_CTYPE": "ja_JP.SJIS", "LC_ALL": ""}, False),
    ],
)
def test_a_locale_whose_characters_are_neither_bytes_nor_utf8_has_none(environment: dict[str, str], fits: bool) -> None:
    assert (unfit(environment) is None) is fits


def test_only_bash_as_penstock_starts_it_forks(bench: Bench) -> None:
    shell = SlotShell(bench.tools().environment, None)
    assert shell.takes(("bash", "-euo", "pipefail"), ":")
    assert not shell.takes(("bash",), ":")
    assert not shell.takes(("sh",), ":")


values = st.binary(max_size=60).map(lambda text: text.replace(b"\0", b""))


@given(st.lists(st.tuples(values, values), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_value_arrives_as_it_is_whatever_it_holds(bench: Bench, rows: list[tuple[bytes, bytes]]) -> None:
    async def all_of_them() -> None:
        tools = forking(bench)
        assert tools.shell is not None
        try:
            for index, row in enumerate(rows):
                given = {name: value.decode("utf-8", "surrogateescape") for name, value in zip("VW", row, strict=True)}
                text = """printf '%s\\0' "$V" "$W" "$PENSTOCK_I" > got; env -0 | grep -az '^[VW]=' | sort -z >> got"""
                await bench.perform(text, item(index), values=given, tools=tools)
                v, w = row
                expected = b"%s\0%s\0%d\0V=%s\0W=%s\0" % (v, w, index, v, w)
                assert (bench.folder / "got").read_bytes() == expected
        finally:
            tools.shell.close()

    asyncio.run(all_of_them())
