"""What a text writes and reads: redirections, tee, private pieces, the whole of standard output, literal words."""

from __future__ import annotations

import pytest

from penstock.core.workflow import Placeholder, Script, Target, Variable
from penstock.rules.shell.text import ShellTextError, analyse

INDEX = Placeholder("i", (), "{{i}}")


def script_of(text: str, foreach: bool = True) -> Script:
    return analyse(text, foreach=foreach).script


def paths(text: str, foreach: bool = False) -> list[tuple[object, bool]]:
    return [(target.parts, target.append) for target in script_of(text, foreach).targets]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a > f", [(("f",), False)]),
        ("a >f", [(("f",), False)]),
        ("a >> f", [(("f",), True)]),
        ("a >| f", [(("f",), False)]),
        ("a &> f", [(("f",), False)]),
        ("a >& f", [(("f",), False)]),
        ("a &>> f", [(("f",), True)]),
        ("a 2> f 1> g", [(("f",), False), (("g",), False)]),
        ("a 2>&1 >&2 2>&- <&- 1>&2", []),
        ("a > /dev/null 2> /dev/stderr | tee /dev/stderr", []),
        ("> f a b", [(("f",), False)]),
        ("> f", [(("f",), False)]),
        ("a > f b -c d", [(("f",), False)]),
        ("a | b > f", [(("f",), False)]),
        ("a && b > f || c >> g", [(("f",), False), (("g",), True)]),
        ("(a > f; b) >> g", [(("f",), False), (("g",), True)]),
        ("{ a; } > f", [(("f",), False)]),
        ("if a; then b > f; fi >> g", [(("f",), False), (("g",), True)]),
        ("while a; do b >> f; done", [(("f",), True)]),
        ("f() { a >> f; }; f", [(("f",), True)]),
        ("case a in b) c >> f;; esac", [(("f",), True)]),
        ("[[ -n a ]] > f", [(("f",), False)]),
        ('x="$(a >> f)"', [(("f",), True)]),
        ("x=`a >> f`", [(("f",), True)]),
        ("a <(b > f) > >(tee -a g)", [(("f",), False), (("g",), True)]),
        ("cat <<E >> f\nx > y\nE\n", [(("f",), True)]),
        ("cat > f <<'E'\nx >> y\nE\n", [(("f",), False)]),
        ("cat <<E | tee -a f > g\nx\nE\n", [(("f",), True), (("g",), False)]),
        ("exec >> f", [(("f",), True)]),
        ("a | tee f", [(("f",), False)]),
        ("a | tee -a f g", [(("f",), True), (("g",), True)]),
        ("a | tee f -a", [(("f",), True)]),
        ("a | tee --append f", [(("f",), True)]),
        ("a | tee -ia f", [(("f",), True)]),
        ("a | tee -i -- -a", [(("-a",), False)]),
        ("a | /usr/bin/tee -a f", [(("f",), True)]),
        ("a | sudo -u x tee -a f", [(("f",), True)]),
        ("a | env X=1 timeout 5 tee -a f", [(("f",), True)]),
        ("a | tee >(b > f) g", [(("f",), False), (("g",), False)]),
        ("a > 'x y'", [(("x y",), False)]),
        ("a > x\\ y", [(("x y",), False)]),
        ("a > \"x\"y'z'", [(("xyz",), False)]),
        ("a > 한국어/🎉.json", [(("한국어/🎉.json",), False)]),
        ('a > "$X/f"', [((Variable("X"), "/f"), False)]),
        ("a > ${X}_f", [((Variable("X"), "_f"), False)]),
        ("a > ../x", [(("../x",), False)]),
        ("a > $X; X=b", [(None, False)]),
        ("for X in a; do b > $X; done", [(None, False)]),
        ("read X; b > $X", [(None, False)]),
        ("printf -v X a; b > $X", [(None, False)]),
        ("a > ${X:-y}", [(None, False)]),
        ("a > $(date).json", [(None, False)]),
        ("a > x*", [(None, False)]),
        ("a > ~/x", [(None, False)]),
        ("a > {x,y}", [(None, False)]),
        ("a > $$", [(None, False)]),
        ("a > $RANDOM", [(None, False)]),
        ("f() { a > $1; }", [(None, False)]),
        ("a > $'x\\ty'", [(None, False)]),
        ("cd d; a > f", [(None, False)]),
        ("cd d && a > f", [(None, False)]),
        ("cd d; a > /f", [(("/f",), False)]),
        ("(cd d; a > f); b > g", [(None, False), (("g",), False)]),
        ("a > f; cd d", [(("f",), False)]),
        ("{ cd d; a; } > f", [(("f",), False)]),
        ("for x in a; do b > f; cd d; done", [(None, False)]),
        ("if cd d; then a > f; fi", [(None, False)]),
        ("command cd d; a > f", [(None, False)]),
        ("cd d | a > f", [(("f",), False)]),
        ("a > out_$PENSTOCK_I.json", [(("out_", Placeholder("i", (), "$PENSTOCK_I"), ".json"), False)]),
    ],
)
def test_the_files_that_a_text_writes(text: str, expected: list[tuple[object, bool]]) -> None:
    assert paths(text) == expected


def test_a_target_knows_its_place_in_characters() -> None:
    text = '# 한국어 🎉\na > "$X/out_{{i}}.json" 2>> log'
    script = script_of(text)
    assert script.targets == (
        Target((Variable("X"), "/out_", INDEX, ".json"), False, None, '"$X/out_{{i}}.json"', 12, 19),
        Target(("log",), True, 0, "log", 36, 3),
    )
    assert [text[each.offset : each.offset + each.width] for each in script.targets] == ['"$X/out_{{i}}.json"', "log"]
    assert [each.per_item for each in script.targets] == [True, False]


@pytest.mark.parametrize(
    ("text", "becomes", "pieces"),
    [
        ("a >> log", 'a >> "$P0"', [0]),
        ("a >> log; b >> log", 'a >> "$P0"; b >> "$P0"', [0, 0]),
        ("a >> log; b >> ./log; c >> x/../log", 'a >> "$P0"; b >> "$P0"; c >> "$P0"', [0, 0, 0]),
        ("a >> log; b >> err", 'a >> "$P0"; b >> "$P1"', [0, 1]),
        ("a | tee -a log > /dev/null", 'a | tee -a "$P0" > /dev/null', [0]),
        ("a | tee -a log err", 'a | tee -a "$P0" "$P1"', [0, 1]),
        ('a >> "$DIR"/log', 'a >> "$P0"', [0]),
        ("a >> 'x y' 2>> x\\ y", 'a >> "$P0" 2>> "$P0"', [0, 0]),
        ('x="$(a >> log)"', 'x="$(a >> "$P0")"', [0]),
        ("cat >> log <<E\nx\nE\n", 'cat >> "$P0" <<E\nx\nE\n', [0]),
        ("a &>> log", 'a &>> "$P0"', [0]),
        ("a >> out_{{i}}.log", 'a >> out_"$V0".log', [None]),
        ("a >> /var/log/x", 'a >> "$P0"', [0]),
        ("cd d; a >> log", "cd d; a >> log", [None]),
    ],
)
def test_what_the_items_append_to_becomes_a_piece_each(text: str, becomes: str, pieces: list[int | None]) -> None:
    script = script_of(text)
    written = script.text.replace("${PENSTOCK_V0}", "$V0")
    for number in range(3):
        written = written.replace(f"${{PENSTOCK_PIECE_{number}}}", f"$P{number}")
    assert written == becomes
    assert [target.piece for target in script.targets] == pieces


def test_a_step_without_foreach_appends_to_the_file_itself() -> None:
    script = script_of("a >> log | tee -a log", foreach=False)
    assert script.text == script.source
    assert [target.piece for target in script.targets] == [None, None]


@pytest.mark.parametrize(
    ("text", "found", "message"),
    [
        ("a > f", "f", "each item would overwrite `f`"),
        ("a | tee f", "f", "each item would overwrite `f`"),
        ('a > "$DIR/f"', '"$DIR/f"', "each item would overwrite"),
        ("a 2> err.log", "err.log", "each item would overwrite"),
        ('a >> "$(date)"', '"$(date)"', "cannot be known before the run"),
        ("x=f; a >> $x", "$x", "cannot be known before the run"),
        ("a | tee -a *.log", "*.log", "cannot be known before the run"),
        ("x=`a >> f`", "f", "inside backquotes"),
    ],
)
def test_what_items_would_write_over_one_another_is_refused(text: str, found: str, message: str) -> None:
    with pytest.raises(ShellTextError) as caught:
        analyse(text, foreach=True)
    (fault,) = caught.value.faults
    assert text[fault.offset : fault.offset + fault.width] == found
    assert message in fault.message
    assert fault.help
    if "`" not in text:
        assert analyse(text, foreach=False).script.text == text


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("a > f", "f"),
        ("a | b | tee -a log > f", "f"),
        ("# c\nX=1\nexport Y=2\nset -x\nmkdir -p d && a > f # c", "f"),
        ("a > f 2>&1", "f"),
        ("a &> f", "f"),
        ("a > g > f", "f"),
        ("a 2> e 1> f", "f"),
        ("a >| f", "f"),
        ("{ a; b; } > f", "f"),
        ("( a; b ) > f", "f"),
        ("for x in a b; do c; done > f", "f"),
        ("f() { a; }; f > f", "f"),
        ("echo start >&2; a > f", "f"),
        ("a > /dev/null; b > f", "f"),
        ("x=$(a); b > f", "f"),
        ("cat > f <<E\nx\nE\n", "f"),
        ("a", None),
        ("a >> f", None),
        ("a | tee f", None),
        ("a 2> f", None),
        ("a > f; b", None),
        ("a; b > f", None),
        ("a && b > f", None),
        ("a > f; b > g", None),
        ("a > f >&2", None),
        ("a > f | b", None),
        ("if a; then b > f; fi", None),
        ("a 3>&1 > f", None),
        ("a | tee >(b) > f", None),
        ("a > $(x)", None),
        ("a > /dev/stdout", None),
    ],
)
def test_the_file_that_takes_the_whole_of_standard_output(text: str, output: str | None) -> None:
    found = script_of(text, foreach=False).output
    assert (found.text if found else None) == output


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("python scripts/verify.py --schema schemas/o.json --input x", ("scripts/verify.py", "schemas/o.json", "x")),
        ("python 'a b.py' \"c d.json\" e\\ f", ("a b.py", "c d.json", "e f")),
        ("a --schema=schemas/o.json -v", ("schemas/o.json",)),
        ("./run.sh x", ("./run.sh", "x")),
        ("a < in.json > out.json", ("in.json",)),
        ("a in.json > in.json", ()),
        ("a x x y", ("x", "y")),
        ("a *.json $X {b,c} ~/d $(cat e)", ("e",)),
        ("curl -d @body.json http://x/y", ("@body.json", "body.json", "http://x/y")),
        ("SCHEMA=s.json a", ("s.json",)),
        ("for f in a.txt b.txt; do cat c.txt; done", ("a.txt", "b.txt", "c.txt")),
        ("env X=1 python x.py", ("x.py",)),
        ("a | tee -a log", ()),
        ("[ -f x.json ] && . ./env.sh", ("x.json", "./env.sh")),
        ("a '{{item}}' {{item}}.json 'multi\nline'", ()),
    ],
)
def test_the_words_that_may_name_files_to_read(text: str, reads: tuple[str, ...]) -> None:
    assert script_of(text, foreach="{{" in text).reads == reads
