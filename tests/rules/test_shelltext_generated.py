"""Generated texts under real bash: what is accepted runs with hostile values, and evaluates none of them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from random import Random

import pytest

from penstock.rules.shell.text import ShellTextError, analyse

CANARY = "PWNED"
VALUES = (
    f"a[$(touch {CANARY})]",
    f"x[$(touch {CANARY})]=1",
    f"`touch {CANARY}`;touch {CANARY};",
    f"-va[$(touch {CANARY})]",
    f"touch {CANARY}",
)
# Each entry is one way to pass a value on, or to have it evaluated; `W` is a word, `X` a variable, `N` arithmetic,
# `C` a command, `P` the fixed text of a program; `↵` is a line break.
WORDS = """
{{item}} ¦ "{{item}}" ¦ '{{item}}' ¦ {{item}} ¦ $x ¦ "$x" ¦ ${x} ¦ x ¦ y ¦ $y ¦ "$1" ¦ $1 ¦ "$@" ¦ 1 ¦ a ¦ -v ¦ a[x]
a[$x] ¦ "a[$x]" ¦ 'a[x]' ¦ $_ ¦ ${BASH_REMATCH[0]} ¦ $REPLY ¦ "${a[@]}" ¦ ${a[0]} ¦ ${!x} ¦ ${#x} ¦ "${x@Q}" ¦ ${x@P}
${x/$x/b} ¦ ${y#${a[x]}} ¦ ${x^^} ¦ "${!a[@]}" ¦ ${!x*} ¦ "${y:=$x}" ¦ $(C) ¦ "$(C)" ¦ $((N)) ¦ ${y:-W} ¦ ${y:N}
${a[N]} ¦ X=W ¦ `C` ¦ <(C) ¦ ${a[@]:N} ¦ $[N] ¦ a[N]
"""
SUMS = "1 ¦ x ¦ $x ¦ y ¦ n ¦ a[x] ¦ a[$x] ¦ x + 1 ¦ {{i}} ¦ {{item}} ¦ ${#x} ¦ $(C)"
PROGRAMS = """
echo $x ¦ x=$y ¦ echo $((x)) ¦ eval $x ¦ f $x ¦ [[ $x -eq 1 ]] ¦ read x <<< $y ¦ echo "$1" ¦ echo $(($1))
"""
NAMES = "x ¦ y ¦ n ¦ r ¦ a[x] ¦ a ¦ RANDOM ¦ PS4 ¦ OPTIND"
COMMANDS = """
echo W W ¦ x=W ¦ y=W ¦ X=W ¦ a=(W W) ¦ a=([N]=W) ¦ eval W W ¦ [[ W == W ]] ¦ [[ W =~ W ]] ¦ [[ W -eq W ]] ¦ [[ -v W ]]
[[ W -nt W ]] ¦ [ W = W ] ¦ [ W -eq W ] ¦ [ W W ] ¦ [ W W W W ] ¦ (( N < 3 )) ¦ let W ¦ let X=N ¦ echo {{item}} W
for x in W W; do C; done ¦ for y in W; do C; done ¦ for ((n=N;n<2;n++)); do C; done ¦ case W in W) C;; *) C;; esac
while read -r y; do C; done <<< W ¦ { C; } <<< W ¦ f() { C; }; f W W ¦ f() { "$@"; }; f W W ¦ C | C ¦ C | bash
eval 'P' ¦ trap 'P' EXIT ¦ trap "echo W" EXIT ¦ bash -c 'P' _ W ¦ bash -c W ¦ declare -i X=W ¦ declare X=W ¦ export X=W
readonly X=W ¦ local -n X=W ¦ declare -a a; export a=W ¦ unset W ¦ read -r X <<< W ¦ mapfile -t a <<< W ¦ set -- W W
printf -v X %s W ¦ printf W W ¦ echo W > t; source ./t ¦ echo W > t; y=$(< t) ¦ wait W ¦ cd W ¦ hash -p W x ¦ exec W W
env X=W bash -c 'P' ¦ env W W ¦ timeout 2 W W ¦ command W W ¦ W W ¦ W W W ¦ cat <<E↵W↵E
"""


def _choices(text: str) -> tuple[str, ...]:
    return tuple(each.replace("↵", "\n") for each in re.split(r" ¦ |\n", text.strip()))


class Writer:
    """Writes texts at random that pass values about in every way that is listed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def text(self) -> str:
        start = "x={{item}}; " if self.random.random() < 0.5 else ""
        return start + "\n".join(self.fill("C", 0) for _ in range(self.random.randint(1, 3)))

    def fill(self, sort: str, depth: int) -> str:
        """One of the choices for a letter, its own letters filled in turn; simple ones once they nest deeply."""
        choices = _PLAIN[sort] if depth > 3 else _ALL[sort]
        chosen = self.random.choice(choices)
        return re.sub(r"\b[WXNCP]\b", lambda match: self.fill(match.group(), depth + 1), chosen)


_ALL = {letter: _choices(text) for letter, text in zip("WXNCP", (WORDS, NAMES, SUMS, COMMANDS, PROGRAMS), strict=True)}
_PLAIN = {
    letter: tuple(each for each in choices if not re.search(r"\b[WXNCP]\b", each)) or ("true",)
    for letter, choices in _ALL.items()
}


def accepted(seed: int, count: int) -> list[tuple[str, dict[str, str]]]:
    """The texts among so many that Penstock would run, and the root of the placeholder in each variable."""
    writer = Writer(seed)
    found = []
    for text in (writer.text() for _ in range(count)):
        try:
            script = analyse(text, foreach=True).script
        except ShellTextError:
            continue
        if script.bindings:
            found.append((script.text, {name: placeholder.root for name, placeholder in script.bindings}))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_no_generated_text_that_is_accepted_evaluates_a_value(seed: int, tmp_path: Path) -> None:
    texts = accepted(seed, 500)
    assert len(texts) > 20
    for text, roots in texts:
        for value in VALUES:
            variables = {name: "1" if root == "i" else value for name, root in roots.items()}
            environment = {"PATH": os.environ["PATH"], **variables}
            subprocess.run(
                ["bash", "-c", text], cwd=tmp_path, env=environment, capture_output=True, stdin=subprocess.DEVNULL
            )
            assert not (tmp_path / CANARY).exists(), (text, value)
