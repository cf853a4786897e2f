"""Texts that run: what each placeholder becomes, what is left as it is, and what `check` mentions."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.rules.shell.text import Analysis, ShellTextError, analyse

SECTION_1 = """\
# 예시: 모델 호출을 추상화 (실서비스에서는 openai/ollama 등 대체)
python scripts/generate.py --model "$MODEL" --input "{{item}}" \\
  | tee -a logs/generate.jsonl > "$CACHE_DIR/out_{{i}}.json"
"""


def analysed(text: str, foreach: bool = True, shell: str = "bash") -> Analysis:
    return analyse(text, foreach=foreach, shell=shell)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("echo {{item}}", 'echo "$V0"'),
        ("echo {{ item }}", 'echo "$V0"'),
        ('echo "{{item}}"', 'echo "$V0"'),
        ("echo '{{item}}'", "echo ''\"$V0\"''"),
        ("echo 'a {{item}} b'", "echo 'a '\"$V0\"' b'"),
        ("x --x={{item}}.json", 'x --x="$V0".json'),
        ("x={{item}}", 'x="$V0"'),
        ("x='{{item}}'", "x=''\"$V0\"''"),
        ("x+={{item}}", 'x+="$V0"'),
        ("a=(x {{item}})", 'a=(x "$V0")'),
        ("echo {{item}}{{item}}", 'echo "$V0""$V0"'),
        ("echo {{item}} {{key}} {{item}}", 'echo "$V0" "$V1" "$V0"'),
        ('echo "$(a "{{item}}" \'{{item}}\' {{item}})"', 'echo "$(a "$V0" \'\'"$V0"\'\' "$V0")"'),
        ("cat <<E\na '{{item}}' \"{{item}}\"\nE\n", "cat <<E\na '$V0' \"$V0\"\nE\n"),
        ("cat <<E\n$(a {{item}})\nE\n", 'cat <<E\n$(a "$V0")\nE\n'),
        ("cat <<-E\n\t{{item}}\n\tE\n", "cat <<-E\n\t$V0\n\tE\n"),
        ("cat <<< {{item}}", 'cat <<< "$V0"'),
        ("case {{item}} in {{item.a}}*) a;; esac", 'case "$V0" in "$V1"*) a;; esac'),
        ("[[ {{item}} == a* ]]", '[[ "$V0" == a* ]]'),
        ("[[ a =~ {{item}} ]]", '[[ a =~ "$V0" ]]'),
        ("for x in {{item}}; do a; done", 'for x in "$V0"; do a; done'),
        ("a <(b {{item}})", 'a <(b "$V0")'),
        ("f() { a {{item}}; }; f", 'f() { a "$V0"; }; f'),
        ("a > out/{{item.id}}.json", 'a > out/"$V0".json'),
        ('a > "out/{{item.id}}.json"', 'a > "out/$V0.json"'),
        ("echo $((1 + {{i}}))", "echo $((1 + $V0))"),
        ("(( {{i}} > {{attempt}} ))", "(( $V0 > $V1 ))"),
        ("for ((k={{i}};k<9;k++)); do a; done", "for ((k=$V0;k<9;k++)); do a; done"),
        ("[[ {{i}} -eq 3 ]]", '[[ "$V0" -eq 3 ]]'),
        ("a[{{i}}]=x", "a[$V0]=x"),
        ("echo ${a[{{i}}]} \"${x:{{i}}:2}\"", 'echo ${a[$V0]} "${x:$V0:2}"'),
        ("echo $x{{item}} \"$x{{item}}\"", 'echo $x"$V0" "$x$V0"'),
        ("echo $${{i}} \\${{item}}", 'echo $$"$V0" \\$"$V1"'),
        ("echo '${{item}}'", "echo '$'\"$V0\"''"),
        ("echo '{\"a\": {{item.a}}}'", "echo '{\"a\": '\"$V0\"'}'"),
        ("echo {{{item}}}", 'echo {"$V0"}'),
        ("a # {{item}} {{itme}} '", "a # {{item}} {{itme}} '"),
        ("echo a#{{item}}", 'echo a#"$V0"'),
        ("docker ps --format '{{.Names}}' {{item}}", "docker ps --format '{{.Names}}' \"$V0\""),
        ("echo '{{#if x}}' '{{/if}}' '{% if %}' '{{ \"x\" }}'", "echo '{{#if x}}' '{{/if}}' '{% if %}' '{{ \"x\" }}'"),
        ("echo {{item.제목}} 한국어 {{item[\"a b\"]}}", 'echo "$V0" 한국어 "$V1"'),
        ("echo '한국어 🎉' \"{{item}}\" '🎉 {{item}}'", "echo '한국어 🎉' \"$V0\" '🎉 '\"$V0\"''"),
        ("echo \"{{item['a']}}\" '{{item[\"a\"]}}'", "echo \"$V0\" ''\"$V0\"''"),
        ("echo {{item[0]}} {{item.a[-1].b}}", 'echo "$V0" "$V1"'),
        ('a {{env.X}} {{run.id}} {{run.dir}} {{outputs["my-step"].x}}', 'a "$V0" "$V1" "$V2" "$V3"'),
        ("a {{origin.x}} {{chain.verify.ok}} {{origin}}", 'a "$V0" "$V1" "$V2"'),
    ],
)  # fmt: skip
def test_each_placeholder_becomes_the_expansion_that_fits_its_place(text: str, becomes: str) -> None:
    script = analysed(text).script
    written = script.text
    for number in range(len(script.bindings)):
        written = written.replace(f"${{PENSTOCK_V{number}}}", f"$V{number}")
    assert written == becomes
    assert script.source == text


def test_equal_placeholders_share_a_variable_and_keep_their_text() -> None:
    bindings = analysed('echo {{item["a"]}} {{ item.a }} {{item.b}}').script.bindings
    assert [(name, placeholder.root, placeholder.path, placeholder.text) for name, placeholder in bindings] == [
        ("PENSTOCK_V0", "item", ("a",), '{{item["a"]}}'),
        ("PENSTOCK_V1", "item", ("b",), "{{item.b}}"),
    ]


def test_the_first_example_is_read_as_it_is_meant() -> None:
    script = analysed(SECTION_1).script
    assert script.text == SECTION_1.replace("{{item}}", "${PENSTOCK_V0}").replace("{{i}}", "${PENSTOCK_V1}").replace(
        "logs/generate.jsonl", '"${PENSTOCK_PIECE_0}"'
    )
    assert script.reads == ("scripts/generate.py",)
    assert script.output is script.targets[1]


@pytest.mark.parametrize(
    "text",
    [
        'python x.py --input "{{item}}" --n {{i}}',
        'python3 -u x.py "{{item}}" | tee -a log.jsonl',
        "python -m pkg.mod {{item}}",
        "python -W ignore -X utf8 x.py {{item}}",
        "python - {{item}} <<'E'\nimport sys\nprint(sys.argv[1])\nE",
        "python -c 'import sys; print(sys.argv[1])' {{item}}",
        "python x.py <<E\n{{item}}\nE",
        "bash scripts/run.sh {{item}}",
        "sh -c 'echo \"$1\"' _ {{item}}",
        'sh -eu -c \'cd "$1" && ls "$2"\' _ {{item.dir}} {{item.file}}',
        "bash -s -- {{item}} < script.sh",
        "awk '{ print $1 }' {{item.file}}",
        "awk -F, '{ print $2 }' < {{item.file}}",
        "sed 's/a/b/' -- {{item.file}}",
        "sed -n {{i}}p data.txt",
        "sed -e 's/a/b/' -e 's/c/d/' < {{item.file}}",
        "jq --arg x {{item}} '.a == $x' f",
        "jq -n --argjson x {{item}} '$x.a'",
        "jq -r '.a' <<< {{item}}",
        "jq '.a' {{item.file}}",
        "sqlite3 x.db 'select 1' > out_{{i}}.txt",
        "psql -v x={{item}} -f q.sql",
        "psql -h {{item.host}} -c 'select 1'",
        "ssh -p {{item.port}} u@{{item.host}} uptime",
        "ssh -- {{item.host}} uptime",
        "printf '%s' {{item}} | ssh host 'cat > f'",
        "perl x.pl {{item}}",
        "perl -ne 'print' -- {{item}}",
        "node x.js {{item}}",
        "ruby x.rb {{item}}",
        "find {{item.dir}} -name '*.py' -exec grep -l x {} +",
        "find {{item.dir}} -exec sh -c 'cat \"$1\"' _ {} \\;",
        "printf '%s\\n' {{item.a}} {{item.b}} | xargs -n1 python x.py",
        "curl -sS -H 'X: y' -d @- http://localhost/x <<< {{item}}",
        'curl -sS "http://localhost/{{item.id}}?q={{item.q}}"',
        "git log --format='%h {{item}}' -- {{item.path}}",
        "grep -e {{item.pattern}} f",
        "docker run --rm img python x.py {{item}}",
        "uv run python x.py {{item}}",
        "timeout 60 python x.py {{item}}",
        "env X={{item}} LANG=C python x.py",
        "nice -n 10 nohup python x.py {{item}}",
        "time python x.py {{item}}",
        'PYTHONPATH=. "$PYTHON" x.py {{item}}',
        "$PYTHON x.py {{item}}",
        "${PYTHON:-python3} x.py {{item}}",
        'cmd=(python x.py --a b); "${cmd[@]}" {{item}}',
        'args=(--a {{item}}); python x.py "${args[@]}"',
        '"$DIR"/bin/run {{item}}',
        'retry() { "$@" || "$@"; }; retry python x.py {{item}}',
        'retry() { local n=$1; shift; for k in 1 2 3; do "$@" && return; done; }; retry 3 python x.py {{item}}',
        'log() { echo "$*" >&2; }; log {{item}}; log "start {{key}}"',
        'x={{item}}; echo "${x%.json}" "${x##*/}" "${x//a/b}" "${x:-none}" "${#x}" "${x^^}" "${x@Q}"',
        'x={{item}}; echo "${x:0:3}"; echo $(( ${#x} + 1 ))',
        "x={{item}}; if [[ -z $x || $x == a* ]]; then exit 1; fi",
        "if [ {{item.kind}} = a ] && [ -n {{item.x}} ]; then echo a; fi",
        "[ {{item.n}} -gt 3 ] || exit 0",
        "case {{item.kind}} in a|b) python a.py {{item}};; *) python c.py {{item}};; esac",
        "n=0; for x in a b; do n=$((n + 1)); echo {{item}}; done",
        'while read -r line; do echo "$line" {{item}}; done < list.txt',
        "n=$(wc -l < data.txt); echo $((n + 1)) {{item}}",
        'tmp=$(mktemp); trap \'rm -f "$tmp"\' EXIT; printf \'%s\' {{item}} > "$tmp"; python x.py "$tmp"',
        "set -x; cd work && python x.py {{item}}",
        'set -- {{item.a}} {{item.b}}; python x.py "$@"',
        "declare -A seen; echo {{item}}",
        'IFS=, read -r a b <<< {{item}}; echo "$a" "$b"',
        'mapfile -t rows <<< {{item}}; for row in "${rows[@]}"; do echo "$row"; done',
        "i={{i}}; echo $((i % 2)) ${names[i]}",
        "python a.py {{item}} & python b.py {{item}} & wait",
        "(cd sub && python x.py {{item}}) 2> err_{{i}}.log",
        "exec python x.py {{item}}",
        "test -f {{item.path}} || exit 1",
        "export ITEM={{item}}; python x.py",
        "source venv/bin/activate; python x.py {{item}}",
        'eval "$(conda shell.bash hook)"; python x.py {{item}}',
        "command -v jq > /dev/null; echo {{item}}",
    ],
)
def test_what_a_user_would_write_is_accepted(text: str) -> None:
    assert analysed(text).script.bindings or "{{" not in text


@pytest.mark.parametrize("shell", ["bash", "sh", "zsh", "/usr/bin/zsh"])
def test_the_three_shells_have_placeholders(shell: str) -> None:
    assert analysed("echo {{item}}", shell=shell).script.text == 'echo "${PENSTOCK_V0}"'


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("cd x; echo a > b_{{i}}", "does not follow what is written after a `cd`"),
        ("x={{item}}; echo $x", "is split at blanks"),
        ("x={{item}}; for y in $x; do echo; done", "is split at blanks"),
        ('t=$(mktemp); echo {{item}} > "$t"', "its path is not known before the run"),
    ],
)
def test_what_works_but_may_surprise_is_noted(text: str, note: str) -> None:
    notes = analysed(text).notes
    assert len(notes) == 1
    assert note in notes[0].message


@pytest.mark.parametrize("text", ['x={{item}}; echo "$x"', "x=1; echo $x {{item}}", "(cd x; a); echo a > b_{{i}}"])
def test_what_does_not_surprise_is_not_noted(text: str) -> None:
    assert analysed(text).notes == ()


UNREADABLE = "coproc cat; echo a"


def test_a_text_that_cannot_be_read_runs_where_it_can_do_no_harm() -> None:
    for foreach in (True, False):
        analysis = analysed(UNREADABLE, foreach=foreach)
        assert analysis.script.text == UNREADABLE
        assert "What it writes is not known" in analysis.notes[0].message
    assert analysed(f"{UNREADABLE} >> log", foreach=False).notes


@pytest.mark.parametrize("text", [f"{UNREADABLE} {{{{item}}}}", f"{UNREADABLE} >> log", f"{UNREADABLE} | tee -a log"])
def test_a_text_that_cannot_be_read_is_refused_where_it_could(text: str) -> None:
    with pytest.raises(ShellTextError, match="cannot read this part"):
        analysed(text)


@pytest.mark.parametrize(
    "text",
    ["cat <<E > f_{{i}}; b\nx\nE\n", "echo {{item}} $((10#$x))", "[[ {{item}} == *.@(jpg|png) ]]"],
)
def test_a_tree_with_an_error_in_it_is_refused_though_bash_takes_the_text(text: str) -> None:
    assert subprocess.run(["bash", "-n", "-c", text.replace("{{item}}", "a").replace("{{i}}", "1")]).returncode == 0
    with pytest.raises(ShellTextError, match="cannot read this part of the text as bash at"):
        analysed(text)


@pytest.mark.parametrize("text", ["cat <<E > f; b\nx\nE\n", "echo $((10#$x))"])
def test_a_text_without_placeholders_needs_no_second_opinion(text: str) -> None:
    assert analysed(text, foreach=False).notes == ()


_SIGNS = [*"{}[]()<>|&;$`'\"\\#=!*?~ \n\tx1가"]
_PARTS = re.split(
    r"  | *\n",
    """\
{{item}}  {{i}}  {{itme}}  $(  ${  $((  ))  ]]  done  esac  ;;  >>  2>&1  a[  &&  x=  <(  $'  ${x:-  <<E↵  ↵E↵  f() _
if _  then _  fi  do _  [[ _  case _   in _  while _  for x  tee -a _  echo _  eval _  bash -c _  export _  cd _""",
)
_SCRAPS = st.sampled_from(_SIGNS + [part.replace(" _", " ").replace("↵", "\n") for part in _PARTS])


@settings(derandomize=True, deadline=None, max_examples=1500)
@given(st.lists(_SCRAPS, max_size=25).map("".join), st.booleans(), st.sampled_from(["bash", "zsh"]))
def test_any_text_is_understood_or_refused_at_a_place_in_it(text: str, foreach: bool, shell: str) -> None:
    try:
        analysis = analyse(text, foreach=foreach, shell=shell)
    except ShellTextError as error:
        marks = error.faults
    else:
        marks = analysis.notes
        for target in analysis.script.targets:
            assert text[target.offset : target.offset + target.width] == target.text
    for mark in marks:
        assert 0 <= mark.offset < len(text)
        assert mark.width >= 1
        assert mark.message


@pytest.mark.parametrize("opening", ["(", "{ ", "$(", "${x:-", "$((", "a[", "if ", "! ", "<(", '"$(', "x=(", "`"])
def test_deep_nesting_is_refused_and_not_a_crash(opening: str) -> None:
    with pytest.raises(ShellTextError):
        analysed(opening * 3000 + "{{item}}")
