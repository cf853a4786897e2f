"""Rows that try to be commands, and the places of a shell text where a value may stand: for property tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

CANARY = "PWNED"
"""The file that appears in the working folder if a shell evaluates any of ROWS."""

_COMMAND = f"touch {CANARY}"
_EVALUATED = (
    f"$({_COMMAND})",
    f"`{_COMMAND}`",
    f"a[$({_COMMAND})]",
    f"a[`{_COMMAND}`]",
    f"x[0$({_COMMAND})]=1",
    f"${{x:-$({_COMMAND})}}",
    f"${{x:=$({_COMMAND})}}",
    f"${{a[$({_COMMAND})]}}",
    f"$((a[$({_COMMAND})]))",
    f"$[a[$({_COMMAND})]]",
    f"<({_COMMAND})",
    f">({_COMMAND})",
    f"; {_COMMAND}",
    f"&& {_COMMAND}",
    f"|| {_COMMAND}",
    f"| {_COMMAND}",
    f"& {_COMMAND} &",
    f"\n{_COMMAND}\n",
    f"\r\n{_COMMAND}\r\n",
    f"\n. {CANARY}\n",
    f"{{ {_COMMAND}; }}",
    f"({_COMMAND})",
    f"() {{ {_COMMAND}; }}",
    f"() {{ :; }}; {_COMMAND}",
    f"eval {_COMMAND}",
    f"exec {_COMMAND}",
    f"> {CANARY}",
    f">>{CANARY}",
    f"2>{CANARY}",
    f"&>{CANARY}",
    f"-v a[$({_COMMAND})]",
    f"-va[$({_COMMAND})]",
    f"-pa[$({_COMMAND})]",
    f"-c {_COMMAND}",
    f"-e1e {_COMMAND}",
    f"--eval={_COMMAND}",
    f"BASH_ENV=$({_COMMAND})",
    f"PS4=$({_COMMAND})",
    f"PATH=.:$({_COMMAND})",
    f"@P $({_COMMAND})",
    f"!{_COMMAND}",
    f"system('{_COMMAND}')",
    f"__import__('os').system('{_COMMAND}')",
    f'BEGIN{{system("{_COMMAND}")}}',
    f"$(shell {_COMMAND})",
    f"{{{{item}}}}$({_COMMAND})",
    f"${{PENSTOCK_V0}}$({_COMMAND})",
    f"\\$({_COMMAND})",
    f"\\\\$({_COMMAND})",
    f"E\n$({_COMMAND})\nE\n{_COMMAND}\nE",
    f"EOF\n{_COMMAND}\nEOF",
)
_BROKEN_OUT = (
    "", "'", '"', "''", '""', "'\"", "\"'", "$'", '$"', "\\", "\\'", '\\"', "${x}", "}", ")", "))", "]]", "`",
)  # fmt: skip
_PLAIN = (
    "", " ", "  a  b  ", "\t", "\n", "\n\n", "a\nb", "a\r\nb\r", "\r", "\x0b\x0c", "\x7f",
    "\x1b[31mred\x1b[0m", "\x01\x02",
    "*", "?", "[a-z]*", "**/*", "~", "~root", "~+", "{a,b}", "{1..9}", "!!", "!x", "#", "# a",
    "a # b",
    "-", "--", "-n", "-e", "-r", "--help", "--version", "-x y", "=", "a=b", "=a", "[", "]",
    "[[", "]]", "(", ")", "{", "}",
    ";", ";;", "&", "&&", "|", "||", "<", ">", "<<", ">>", "<<<", "<<E", "2>&1", "&>x", "$",
    "$$", "$x", "${x}", "${", "$(",
    "$((", "`", "``", "'", "''", '"', '""', "'\"'\"'", "\\", "\\\\", "\\n", "\\x41", "\\0",
    "%s", "%n", "%d%s%n", "%(%s)T",
    "\\c", "a\\", "{{item}}", "{{i}}", "{{ item }}", "{{", "}}", "{% x %}", "${{item}}",
    "\\{{item}}",
    "한국어 행", "제목: \"따옴표\"와 '작은따옴표'", "日本語", "العربية", "עברית", "\u202eright to left\u202c",
    "🎉👩‍👩‍👧", "e\u0301", "ﬀ",
    "\u2028", "\u2029", "\ufeff", "\u00a0", "\u200b", "\ufffd", "𝒳", "\U0010ffff",
    '{"a": "b\'c", "d": [1, 2.50, null]}', '{"text": "a\\nb \\"c\\" $(x) \\u0000"}',
    '"\\ud800"', "1", "007", "-1", "1e9", "08",
    "0x10", "1 + 1", "a[0]", "true", "null", "IFS", "_", "E", "EOF", "done", "fi", "esac", "}",
    "then", "; done", "/", "..",
    "../x", "a/b", "/etc/passwd", "C:\\x", "http://a/b?c=d&e=f", "a@b.c", "50%", "it's",
    'say "hi"', "tab\tend", "x" * 4096,
    "é" * 2000, "\u0001" * 10, "a" * (119 * 1024), "$(x)" * 5000, "'" * 999, "\n" * 999,
)  # fmt: skip

ROWS: tuple[str, ...] = tuple(
    dict.fromkeys(
        _PLAIN
        + _EVALUATED
        + tuple(f"{quote}{row}{quote}" for row in _EVALUATED for quote in _BROKEN_OUT[1:4])
        + tuple(f"{end}{row}" for row in _EVALUATED[:3] + _EVALUATED[12:18] for end in _BROKEN_OUT)
    )
)
"""Hostile and odd texts, each of which can be a value."""

TOO_LARGE = ("a" * (121 * 1024), "한" * (41 * 1024), "\0", "a\0b", f"\0$({_COMMAND})")
"""Texts that can be no value of a placeholder."""


@dataclass(frozen=True)
class Form:
    """A command that shows a value. `./show` writes its arguments, each with a NUL after it; `./take` standard input.

    `arguments` are what `./show` must be given for a value; `stdin` what `./take` must read.
    """

    text: str
    arguments: Callable[[str], list[str]] | None = None
    stdin: Callable[[str], str] | None = None


def _one(value: str) -> list[str]:
    return [value]


def _around(value: str) -> list[str]:
    return [f"a{value}b"]


FORMS: tuple[Form, ...] = (
    Form("./show {{item}}", _one),
    Form("./show {{ item }}", _one),
    Form("./show -- {{item}}", lambda v: ["--", v]),
    Form('./show "{{item}}"', _one),
    Form("./show '{{item}}'", _one),
    Form("./show a{{item}}b", _around),
    Form('./show "a{{item}}b"', _around),
    Form("./show 'a{{item}}b'", _around),
    Form("./show a\"{{item}}\"'b'", _around),
    Form("./show --x={{item}}.json y", lambda v: [f"--x={v}.json", "y"]),
    Form("./show --x='{{item}}'.json", lambda v: [f"--x={v}.json"]),
    Form("./show {{item}}{{item}}", lambda v: [v + v]),
    Form("./show '{{item}}{{item}}'", lambda v: [v + v]),
    Form("./show {{item}} \"{{item}}\" '{{item}}'", lambda v: [v, v, v]),
    Form("./show $n{{item}}", _one),
    Form('./show "$n{{item}}$n"', _one),
    Form('./show "\\${{item}}"', lambda v: ["$" + v]),
    Form("./show '${{item}}'", lambda v: ["$" + v]),
    Form('./show \'{"a": "{{item}}"}\'', lambda v: ['{"a": "' + v + '"}']),
    Form("./show {{{item}}}", lambda v: ["{" + v + "}"]),
    Form("./show {a,{{item}}}", lambda v: ["a", v]),
    Form("./show \\\n  {{item}} \\\n  b # {{item}}", lambda v: [v, "b"]),
    Form('x={{item}}; ./show "$x"', _one),
    Form("x='{{item}}' y=$x; ./show \"${y}\"", _one),
    Form('x="{{item}}"; x+=z; ./show "$x"', lambda v: [v + "z"]),
    Form('x={{item}} ; ./show "${x:-a}" "${x:+b}"', lambda v: [v or "a", "b" if v else ""]),
    Form('export X={{item}}; ./show "$X"', _one),
    Form('readonly X="{{item}}"; ./show "$X"', _one),
    Form("X={{item}} ./show a", lambda v: ["a"]),
    Form("env X={{item}} ./show a", lambda v: ["a"]),
    Form("a=(b {{item}} '{{item}}'); ./show \"${a[@]}\"", lambda v: ["b", v, v]),
    Form('a=(); a+=({{item}}); ./show "${a[0]}" "${#a[@]}"', lambda v: [v, "1"]),
    Form('for x in {{item}} b; do ./show "$x"; done', lambda v: [v, "b"]),
    Form("case {{item}} in {{item}}) ./show yes;; *) ./show no;; esac", lambda v: ["yes"]),
    Form("case x{{item}} in '{{item}}') ./show no;; x*) ./show yes;; esac", lambda v: ["yes"]),
    Form("if [[ {{item}} == {{item}} ]]; then ./show yes; fi", lambda v: ["yes"]),
    Form("if [[ x{{item}}y == *{{item}}* && -n x{{item}} ]]; then ./show yes; fi", lambda v: ["yes"]),
    Form("if [ {{item}} = {{item}} ]; then ./show yes; fi", lambda v: ["yes"]),
    Form("if test ! {{item}} != {{item}}; then ./show yes; fi", lambda v: ["yes"]),
    Form('f() { ./show "$1" "$@"; }; f {{item}} b', lambda v: [v, v, "b"]),
    Form('f() { local x={{item}}; ./show "$x"; }; f', _one),
    Form('set -- {{item}} b; ./show "$@"', lambda v: [v, "b"]),
    Form("./show \"$(printf '%s.' {{item}})\"", lambda v: [v + "."]),
    Form('./show "$(printf \'%s.\' "{{item}}")"', lambda v: [v + "."]),
    Form("./show \"a$(printf '%s.' 'x{{item}}')b\"", lambda v: [f"ax{v}.b"]),
    Form("x=$(printf '%s.' {{item}}); ./show \"$x\"", lambda v: [v + "."]),
    Form("printf -v x '%s.' {{item}}; ./show \"$x\"", lambda v: [v + "."]),
    Form("mapfile -d '' a < <(printf '%s\\0' {{item}}); ./show \"${a[0]}\"", _one),
    Form("sh -c './show \"$1\"' _ {{item}}", _one),
    Form("bash -euc './show \"$@\"' _ {{item}} b", lambda v: [v, "b"]),
    Form("timeout 60 env -u Q ./show {{item}}", _one),
    Form("trap './show \"$x\"' EXIT; x={{item}}", _one),
    Form("x={{item}}; eval './show \"$x\"'", _one),
    Form("./take <<< {{item}}", stdin=lambda v: v + "\n"),
    Form('./take <<< "a{{item}}"', stdin=lambda v: f"a{v}\n"),
    Form("./take <<E\n{{item}}\nE\n", stdin=lambda v: v + "\n"),
    Form("./take <<E\n  a \"{{item}}\" '{{item}}' \\$x b\nE\n", stdin=lambda v: f"  a \"{v}\" '{v}' $x b\n"),
    Form("./take <<-E\n\ta{{item}}\n\tE\n", stdin=lambda v: f"a{v}\n"),
    Form("./take <<E\n$(printf '%s.' {{item}} \"{{item}}\")\nE\n", stdin=lambda v: f"{v}.{v}.\n"),
    Form("printf '%s' {{item}} | ./take", stdin=lambda v: v),
    Form("printf '%s' '{{item}}' | cat | ./take", stdin=lambda v: v),
    Form("./take < <(printf '%s' \"{{item}}\")", stdin=lambda v: v),
    Form("printf '%s' {{item}} > out_{{i}}.txt; ./take < out_{{i}}.txt", stdin=lambda v: v),
)
"""Commands that Penstock accepts, and what they show."""

FRAMES: tuple[str, ...] = (
    "@",
    "# {{item}}\n@\n",
    "true && @",
    "false || @",
    "! false; @",
    "{ @\n}",
    "( @\n)",
    "if true; then\n@\nfi",
    "while true; do\n@\nbreak; done",
    "for q in 1; do\n@\ndone",
    "case a in a)\n@\n;; esac",
    "g() {\n@\n}; g",
    "function g {\n@\n}\ng",
    "time -p @",
    "x1=$(\n@\n)",
    'echo "a$(\n@\n)b"',
    "cat <(\n@\n) > /dev/null; wait",
    "cat <<Q\n$(\n@\n)\nQ\n",
    "echo '{{item}}' \"{{item}}\" > /dev/null\n@\n",
    "echo $(( {{i}} + 1 ))\n@\n",
)
"""Texts around a command, in the place of the `@`: they change nothing of what it shows."""
