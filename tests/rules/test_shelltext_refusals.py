"""Texts in which a value would be evaluated are refused, each with what to write instead."""

from __future__ import annotations

import pytest

from penstock.rules.placeholders import Fault
from penstock.rules.shell.text import ShellTextError, analyse
from tests.hostile import REFUSED


def refusal(text: str, shell: str = "bash", foreach: bool = True) -> tuple[Fault, ...]:
    with pytest.raises(ShellTextError) as caught:
        analyse(text, foreach=foreach, shell=shell)
    return caught.value.faults


@pytest.mark.parametrize("text", REFUSED)
def test_a_value_where_a_shell_would_evaluate_it_is_refused_with_help(text: str) -> None:
    for fault in refusal(text):
        assert fault.help
        assert 0 <= fault.offset < len(text)
        assert 1 <= fault.width <= len(text) - fault.offset


@pytest.mark.parametrize("shell", ["sh", "zsh", "/bin/bash"])
@pytest.mark.parametrize("text", REFUSED[::9])
def test_the_other_shells_refuse_the_same(text: str, shell: str) -> None:
    assert refusal(text, shell)


@pytest.mark.parametrize(
    ("text", "found", "message", "help"),
    [
        ("[[ {{item}} -eq 3 ]]", "{{item}}", "stands beside `-eq` in [[ ]]", "{{i}} and {{attempt}}"),
        ("echo $(( {{item.n}} ))", "{{item.n}}", "stands in arithmetic", "expr"),
        ("x={{item}}; echo $((x))", "$((x))", "`x`, which may hold a placeholder's value, stands", "expr"),
        ('eval "a {{item}}"', "{{item}}", "stands in the words of `eval`", "without eval"),
        ('x={{item}}; trap "rm $x" EXIT', "$x", "stands in the words of `trap`", "single quotes"),
        ("{{item.cmd}} a", "{{item.cmd}}", "would name the command", "case {{item.kind}} in"),
        ('bash -c "{{item}}"', "{{item}}", "program text of `bash`", "_ {{item}}"),
        ("bash run.sh; bash {{item}}", "{{item}}", "would name the program that `bash` runs", "case"),
        ("python -c '{{item}}'", "{{item}}", "program text of `python`", "sys.argv"),
        ("awk -v x={{item}} 1 f", "{{item}}", "program text of `awk`", "ENVIRON"),
        ("sed s/a/b/ {{item}}", "{{item}}", "an option of `sed` if it begins with `-`", "--"),
        ("jq '.a == {{item}}' f", "{{item}}", "program text of `jq`", "--arg"),
        ("psql -c 'select {{item}}'", "{{item}}", "program text of `psql`", ":'name'"),
        ("echo {{item}} | psql", "psql", "reads its program from standard input", ":'name'"),
        ("cat <<'E'\n{{item}}\nE", "{{item}}", "delimiter is quoted", "drop the quotes"),
        ("echo $'{{item}}'", "{{item}}", "inside $'…'", "end the quotes"),
        ("echo `echo {{item}}`", "{{item}}", "backquotes", "$(…)"),
        ('echo "${x:-{{item}}}"', "{{item}}", "nested inside ${…}", "assign it first"),
        ("echo ${{item}}", "{{item}}", "has a `$` before it", "drop the `$`"),
        ("echo \\{{item}}", "\\{{item}}", "neither a placeholder nor plain text", "drop the backslash"),
        ("echo {1..{{i}}}", "{{i}}", "stands in {a..b}", "seq 1 {{i}}"),
        ('f() { eval "$1"; }; f {{item}}', "$1", "stands in the words of `eval`", "without eval"),
        ("sh -c 'echo $(($1))' _ {{item}}", "'echo $(($1))'", "This program text: `$1`", "single-quoted"),
        ("echo {{itme}}", "{{itme}}", "no placeholder `itme`", "did you mean {{item}}?"),
        ("echo $PENSTOCK_V0 $PENSTOCK_PIECE_1", "PENSTOCK_V0", "a name of Penstock's own", "use another"),
        ("coproc x {{item}}", "c", "cannot read this part of the text as bash", "script file"),
    ],
)
def test_the_fault_says_where_and_what_to_write(text: str, found: str, message: str, help: str) -> None:
    fault = refusal(text)[0]
    assert text[fault.offset : fault.offset + fault.width] == found
    assert message in fault.message
    assert help in (fault.help or "")


def test_all_faults_are_reported_at_once_and_in_order() -> None:
    text = "# 한국어 🎉 {{itme}}\neval {{item}}; echo {{itme}} $(( {{item.n}} ))\n>> $(date)"
    faults = refusal(text)
    assert [text[fault.offset : fault.offset + fault.width] for fault in faults] == [
        "{{item}}",
        "{{itme}}",
        "{{item.n}}",
        "$(date)",
    ]


def test_a_step_without_foreach_has_no_item() -> None:
    assert "no `foreach`" in refusal("echo {{item}}", foreach=False)[0].message


@pytest.mark.parametrize("shell", ["python3", "node", "/usr/bin/ruby", "dash", "fish"])
def test_other_interpreters_have_no_placeholders(shell: str) -> None:
    fault = refusal("print('{{item}}')", shell)[0]
    assert "has no placeholders" in fault.message
    assert "PENSTOCK_ITEM_FILE" in (fault.help or "")


def test_a_text_for_another_interpreter_is_left_as_it_is() -> None:
    script = analyse("print(1) >> x # {{ .Names }} {{itme}}", foreach=True, shell="python3").script
    assert (script.text, script.targets) == ("print(1) >> x # {{ .Names }} {{itme}}", ())


@pytest.mark.parametrize("text", ["print -P {{item}}", "exit {{item}}", "[ {{item}} -eq 3 ]", "printf %d {{item}}",
                                  "x={{item}}; echo $a[$x]", "x={{item}}; echo \"$a[x]\"", "repeat {{item}} echo a",
                                  "path={{item}}", "LINES={{item}}", "integer n={{item}}", "=eval {{item}}",
                                  "noglob eval {{item}}", "[[ -t {{item}} ]]"])  # fmt: skip
def test_zsh_evaluates_more_than_bash(text: str) -> None:
    assert refusal(text, "zsh")[0].help


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_a_character_that_no_command_can_hold_is_refused(text: str) -> None:
    assert refusal(text)[0].offset == 1
