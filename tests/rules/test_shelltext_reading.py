"""The reader of shell texts agrees with bash: with what it takes, and with how it prints it again."""

from __future__ import annotations

import subprocess

import pytest

from penstock.rules.shell.reader import read
from penstock.rules.shell.syntax import (
    Assign,
    Compound,
    Function,
    Piece,
    Pipeline,
    Redirect,
    Simple,
    Statement,
    Sub,
    Sum,
    Text,
    Use,
    Word,
    redirects,
)
from penstock.rules.shell.syntax import (
    Test as Conditional,
)
from penstock.rules.shell.words import Unreadable

TEXTS = (
    "a b 'c d' \"e f\" g\\ h",
    "a | b | c && d || e; f & g",
    "! a | b; time c",
    "a > f 2>&1 < g >> h 2> i &> j",
    "a > f b c",
    'X=1 Y="$x" a; Z=; W+=2',
    'x=(a "b c" $d); y[1]=2; z+=(e)',
    "export A=1 B; local C=$x; declare -A m=([a]=1 [b]=2)",
    "if a; then b; else c; fi > f",
    "while a; do b; continue; done < f",
    "until a; do b; done",
    'for x in a "$b" *.c; do d; done',
    "for ((i=0; i<3; i++)); do a; done",
    "select x in a b; do c; done",
    'case $x in a | b) c;; "d e") f;& *.g) h;;& *) i;; esac',
    "{ a; b; } | (c; d)",
    'f() { a "$1"; }; f x',
    "function g { b; } > h",
    "[[ -n $a && $b == c* || ! ( $d -gt 3 ) ]]",
    "[[ $a =~ ^(b|c)[[:space:]]+$ ]]",
    "((x += 1, y > 2))",
    "echo $((1 + 2)) $x ${y} ${z[1]} ${#a} ${!b} ${c:-d} ${e//f/g} ${h:1:2} ${i@Q} $1 $@ $?",
    'echo "a $x ${y:-"b c"} $(d "e") `f` $((g)) \\$h \\" \'"',
    'echo "it\'s" \'say "x"\'',
    'echo $(a $(b "$(c)")) <(d) > >(e)',
    "cat <<E\na $x $(b) \\$c `d` 'e' \"f\"\nE",
    "cat <<'E' | b > c\na $x\nE",
    "cat <<-E > f && g\n\ta\n\tE",
    "cat <<A; cat <<B\na\nA\nb\nB",
    "x=$(cat <<E\na\nE\n)",
    'cat <<< "a $b"',
    "echo a#b ~ ~/c {d,e} {1..3} f=g [h] -- -i",
    'echo "한국어 $x 🎉" # 주석',
    "a \\\n  b \\\n  | c",
)


def shape(node: Statement | Word | Piece | Assign | Redirect) -> object:
    """A tree without offsets, adjoining text joined."""
    if isinstance(node, Text):
        return (node.quote.value, node.text)
    if isinstance(node, Use):
        return ("use", node.sign, node.name, node.op, node.index and shape(node.index), joined(node.operand))
    if isinstance(node, Sub):
        return ("sub", node.style, tuple(map(shape, node.body)))
    if isinstance(node, Sum):
        return ("sum", str(joined(node.pieces)).replace(" ", ""))
    if isinstance(node, Word):
        return joined(node.pieces)
    if isinstance(node, Assign):
        value = node.value and shape(node.value)
        return (node.name, node.index and shape(node.index), value, tuple(map(shape, node.elements or ())))
    if isinstance(node, Redirect):
        body = node.heredoc and node.heredoc.body
        written = shape(body) if body else node.word and shape(node.word)
        return (node.fd or ("0" if node.op.startswith("<") else "1"), node.op, str(written).replace("\\t", ""))
    return statement_shape(node)


def statement_shape(node: object) -> object:
    if isinstance(node, Simple):
        words = (*map(shape, node.assigns), *map(shape, node.words), *map(shape, node.declares))
        return ("simple", words, tuple(map(shape, node.redirects)))
    if isinstance(node, Conditional):
        return ("test", tuple(map(shape, node.words)))
    if isinstance(node, Pipeline):
        return ("pipeline", tuple(map(shape, node.stages)))
    if isinstance(node, Function):
        return ("function", node.name, shape(node.body))
    assert isinstance(node, Compound)
    bodies = tuple(tuple(map(shape, body)) for body in node.bodies)
    inside = (*map(shape, node.words), *map(shape, node.sums))
    return (node.kind, node.variable, bodies, inside, tuple(map(shape, redirects(node))))


def joined(pieces: tuple[Piece, ...]) -> tuple[object, ...]:
    found: list[object] = []
    for piece in pieces:
        last = found[-1] if found else None
        if isinstance(piece, Text) and isinstance(last, tuple) and last[0] == piece.quote.value:
            found[-1] = (last[0], last[1] + piece.text)
        else:
            found.append(shape(piece))
    return tuple(found)


@pytest.mark.parametrize("text", TEXTS)
def test_bash_prints_a_text_as_it_was_read(text: str) -> None:
    function = f"f0() {{\n{text}\n}}\n"
    done = subprocess.run(["bash", "-c", f"{function}declare -f f0"], capture_output=True, text=True, check=True)
    printed = read(done.stdout, {}).statements
    assert [shape(each) for each in read(function, {}).statements] == [shape(each) for each in printed]


@pytest.mark.parametrize(
    "text",
    ["a 'b", 'a "b', "a $(b", "a `b", "a ${b", "a $((b", "a )", "( a", "{ a", "if a; then b", "while a; do b", "a |",
     "a &&", "; a", "a ;; b", "for", "for x in a", "case a in b", "fi", "done", "f(", "a <", "a <<E\nb", "[[ a", "((a)",
     "a (b)", "x=(a", "echo a; }", "function", "a <<E b\nc", "a | | b", "esac", "then a"],
)  # fmt: skip
def test_what_bash_cannot_read_is_unreadable(text: str) -> None:
    done = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True)
    assert done.returncode != 0 or "here-document" in done.stderr
    with pytest.raises(Unreadable) as caught:
        read(text, {})
    assert caught.value.fault.message


@pytest.mark.parametrize(
    "text",
    ["coproc a", "a `b \\`c\\``", 'a $"b $c"', "a ${x#${y}", "ls !(a)", "a ${!#}", "f() a", "a <<E $(b\n)\nE\n",
     "((a); b)", "$(" * 80 + ")" * 80],
)  # fmt: skip
def test_what_is_rare_or_unsure_is_unreadable_too(text: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(text, {})
    assert caught.value.fault.help
    assert 0 <= caught.value.fault.offset < len(text)


def test_words_after_a_redirection_are_arguments() -> None:
    (statement,) = read("bash > f -c x", {}).statements
    assert isinstance(statement, Simple)
    assert len(statement.words) == 3
