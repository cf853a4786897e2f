"""What commands do with their words: which evaluate them, which run others, which take program text.

An option that is not listed makes everything after it uncertain, and an uncertain word may hold no value:
so a list that is too short refuses too much, and never too little.
"""

from __future__ import annotations

from dataclasses import dataclass

_DATA = "hand it over as data: an argument after the program text, or standard input"


@dataclass(frozen=True, slots=True)
class Wrapper:
    """A command that runs the command in its words. `operands` stand before that command.

    `flags` and `values` are options without and with a value; `texts` those whose value is a shell's program text.
    """

    flags: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    operands: int = 0
    assigns: bool = False


@dataclass(frozen=True, slots=True)
class Language:
    """A command that takes program text, and where it takes it from.

    `texts`, `files`, `values` are options whose value is a program, a program's file, data; `guarded` ones whose
    value is evaluated in some other way; `flags` have none; `sticky` take the rest of their own word. After one of
    `ends` all words are data; one of `arms` makes program text of the first operand; `pairs` take a fixed name and
    a datum. `first` and `rest` are what operands are: `script`, `text` or `data`. `stdin`: without a program it
    reads one from standard input. `permutes`: a later word that begins with `-` is an option too; `dashes`: such
    a word does harm. `single`: long options have one dash. `assigns`: an operand `name=value` is evaluated.
    `help` says what to write.
    """

    texts: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()
    guarded: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    sticky: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    arms: frozenset[str] = frozenset()
    pairs: frozenset[str] = frozenset()
    first: str = "script"
    rest: str = "data"
    stdin: bool = False
    permutes: bool = False
    dashes: bool = True
    single: bool = False
    assigns: bool = False
    help: str = _DATA


def _options(text: str) -> frozenset[str]:
    """Options by their names; a word without a dash is a row of letters, each an option."""
    found: set[str] = set()
    for word in text.split():
        found.update([word] if word.startswith(("-", "+")) else [f"-{letter}" for letter in word])
    return frozenset(found)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


EVALUATING = {
    "eval": "call the command itself, without eval",
    "source": "source a file with a fixed name, and pass values in variables",
    ".": "source a file with a fixed name, and pass values in variables",
    "trap": "single quotes and a variable do: file={{item}}; trap 'rm -f \"$file\"' EXIT",
    "let": "calculate in the program that is called, or with expr",
    "declare": "write name={{item}}, or local name={{item}} in a function",
    "typeset": "write name={{item}}, or local name={{item}} in a function",
    "integer": "write name={{item}}",
    "float": "write name={{item}}",
    "unset": "unset names that are written out",
    "read": "read into a name that is written out: read -r name <<< {{item}}",
    "mapfile": "fill an array whose name is written out: mapfile -t rows <<< {{item}}",
    "readarray": "fill an array whose name is written out: readarray -t rows <<< {{item}}",
    "getopts": "take options apart in the program that is called",
    "wait": "wait for $! or for all",
    "jobs": "name jobs by their number",
    "shopt": "name options in full",
    "compgen": "list files with a pattern: for file in dir/*",
    "complete": "completion has no place in a step",
    "compopt": "completion has no place in a step",
    "bind": "key bindings have no place in a step",
    "enable": "name builtins in full",
    "hash": "call the program by its path",
    "history": "history has no place in a step",
    "fc": "history has no place in a step",
    "coproc": "use a pipe",
}
"""Builtins of bash that evaluate their words, or take them as names whose subscripts are evaluated."""

EVALUATING_IN_ZSH = dict.fromkeys(
    ("exit", "return", "shift", "break", "continue", "repeat", "print", "vared", "zparseopts", "zstyle", "sched",
     "emulate", "autoload", "functions", "setopt", "unsetopt", "zle", "bindkey", "compadd", "zargs", "ulimit", "kill"),
    "zsh evaluates these words; use shell: bash",
)  # fmt: skip
"""Builtins that take numbers as arithmetic there, or evaluate in ways of their own."""

WRAPPERS = {
    "command": Wrapper(_options("p")),
    "builtin": Wrapper(),
    "exec": Wrapper(_options("c l"), _options("a")),
    "env": Wrapper(
        _options("i 0 v - --ignore-environment --null --debug --default-signal --ignore-signal --block-signal"),
        _options("u C --unset --chdir"), _options("S --split-string"), assigns=True,
    ),
    "nohup": Wrapper(),
    "nice": Wrapper(values=_options("n --adjustment")),
    "time": Wrapper(_options("a p q v V --append --portability --quiet --verbose"), _options("f o --format --output")),
    "timeout": Wrapper(_options("v --foreground --preserve-status --verbose"),
                       _options("s k --signal --kill-after"), operands=1),
    "gtimeout": Wrapper(_options("v --foreground --preserve-status --verbose"),
                        _options("s k --signal --kill-after"), operands=1),
    "stdbuf": Wrapper(values=_options("i o e --input --output --error")),
    "setsid": Wrapper(_options("c f w --ctty --fork --wait")),
    "ionice": Wrapper(_options("t --ignore"), _options("c n p --class --classdata")),
    "taskset": Wrapper(_options("a --all-tasks c --cpu-list"), operands=1),
    "sudo": Wrapper(_options("E H n S k A b P --preserve-env --set-home --non-interactive --stdin"),
                    _options("u g C D h p r t T --user --group --chdir --prompt"), assigns=True),
    "doas": Wrapper(_options("n L"), _options("u C")),
    "flock": Wrapper(_options("e x s n u o F --exclusive --shared --nonblock --nb --unlock --close --no-fork"),
                     _options("w E --wait --timeout --conflict-exit-code"), _options("c --command"), operands=1),
    "chronic": Wrapper(_options("v e")),
    "unbuffer": Wrapper(_options("p")),
    "caffeinate": Wrapper(_options("d i m s u"), _options("t w")),
    "busybox": Wrapper(),
    "xargs": Wrapper(
        _options("0 r t x p o --null --no-run-if-empty --verbose --exit --interactive --open-tty"),
        _options("a d E I J L R S n P s --arg-file --delimiter --replace --max-lines --max-args --max-procs"),
    ),
    "noglob": Wrapper(),
    "nocorrect": Wrapper(),
    "-": Wrapper(),
}  # fmt: skip

_SHELL = Language(
    values=_options("o O +o +O --rcfile --init-file"),
    flags=_options("a b e f h i k l m n p r s t u v x B C D E H P T --login --noprofile --norc --posix --restricted "
                   "--verbose +a +b +e +f +h +k +m +n +p +t +u +v +x +B +C +E +H +P +T"),
    arms=_options("c"), stdin=True,
    help="keep the text fixed in single quotes and pass the value after it: sh -c 'echo \"$1\"' _ {{item}}",
)  # fmt: skip
_AWK = Language(
    texts=_options("e --source"), files=_options("f i E --file --include --exec"), values=_options("F l --load"),
    flags=_options("b c C g h k M n N O P r s S t V --characters-as-bytes --traditional --re-interval --posix "
                   "--non-decimal-data --sandbox --bignum --optimize --lint"),
    guarded=_options("v --assign"), sticky=_options("d D o p L"), first="text", assigns=True,
    help="let awk read it: printf '%s' {{item}} | awk '…', or name=… awk '{ … ENVIRON[\"name\"] … }'",
)  # fmt: skip
_PYTHON = Language(
    values=_options("W X --check-hash-based-pycs"), flags=_options("b B d E h i I O P q s S u v V x ?"),
    ends=_options("c m"), stdin=True,
    help="keep the program fixed and read sys.argv[1]: python -c 'import sys; …' {{item}}",
)  # fmt: skip
_SQL = "bind it in a script: python save.py {{item}}, with `?` or `%s` in its SQL"
_SQLITE = Language(
    texts=_options("-c -s"), guarded=_options("-cmd --cmd"),
    values=_options("-separator -nullvalue -newline -mmap -maxsize -vfs"),
    files=_options("-init -f"),
    flags=_options("-json -csv -header -noheader -batch -bail -readonly -line -list -column -html -box -table -quote "
                   "-markdown -tabs -ascii -echo -stats -interactive -safe -version -jsonlines -noinit -unsigned"),
    first="data", rest="text", stdin=True, permutes=True, single=True, help=_SQL,
)  # fmt: skip
_MYSQL = Language(
    texts=_options("e --execute"), guarded=_options("--init-command"),
    values=_options("u h P D S --user --host --port --database --socket --default-character-set --delimiter"),
    flags=_options("A B C E G H N X b f i j n q r s t v w --batch --silent --raw --table --skip-column-names"),
    sticky=_options("p"), first="data", stdin=True, permutes=True, help=_SQL,
)  # fmt: skip
_PERL = Language(
    texts=_options("e E"), values=_options("I"), guarded=_options("M m"),
    flags=_options("a c f g h l n p s S t T u U v w W X 0 1 2 3 4 5 6 7 8 9"),
    sticky=_options("0 C D d F i x"), stdin=True,
    help="keep the program fixed and read @ARGV: perl -e '… $ARGV[0] …' -- {{item}}",
)  # fmt: skip
_RUBY = Language(
    texts=_options("e"), values=_options("C E I r"), flags=_options("a c d h l n p s S U v w y"),
    sticky=_options("0 F K T W i x"), stdin=True,
    help="keep the program fixed and read ARGV: ruby -e '… ARGV[0] …' -- {{item}}",
)  # fmt: skip
_NODE = Language(
    texts=_options("e p --eval --print"), values=_options("r C --require --import --loader --conditions --env-file"),
    flags=_options("c h i v --check --interactive --no-warnings --harmony --experimental-strip-types "
                   "--enable-source-maps --trace-warnings --input-type"), stdin=True,
    help="keep the program fixed and read process.argv[1]: node -e '…' -- {{item}}",
)  # fmt: skip
_JQ = Language(
    files=_options("f --from-file"), values=_options("L --indent"),
    flags=_options("C M S R a c e h j n r s --tab --stream --stream-errors --seq --raw-output --compact-output "
                   "--null-input --slurp --raw-input --exit-status --sort-keys --join-output --ascii-output "
                   "--color-output --monochrome-output --unbuffered --args --jsonargs"),
    pairs=_options("--arg --argjson --slurpfile --rawfile"), first="text", permutes=True, dashes=False,
    help="give it a name: jq --arg name {{item}} '… $name …'",
)  # fmt: skip

LANGUAGES = {
    **dict.fromkeys(("bash", "sh", "zsh", "dash", "ksh", "mksh", "ash", "rbash"), _SHELL),
    **dict.fromkeys(("python", "pypy", "pypy3"), _PYTHON),
    **dict.fromkeys(("awk", "gawk", "mawk", "nawk"), _AWK),
    **dict.fromkeys(("jq", "gojq", "jaq", "yq"), _JQ),
    **dict.fromkeys(("mysql", "mariadb"), _MYSQL),
    **dict.fromkeys(("sqlite3", "sqlite", "duckdb"), _SQLITE),
    **dict.fromkeys(("node", "nodejs", "bun"), _NODE),
    "perl": _PERL,
    "ruby": _RUBY,
    "sed": Language(
        texts=_options("e --expression"), files=_options("f --file"), values=_options("l --line-length"),
        flags=_options("n r E s u z b --quiet --silent --regexp-extended --separate --unbuffered --null-data "
                       "--posix --debug --sandbox --follow-symlinks --binary"),
        sticky=_options("i --in-place"), first="text", permutes=True,
        help="replace in bash instead: ${text//old/$new} with text and new assigned before, or in the program called",
    ),
    "php": Language(
        texts=_options("r B R E"), files=_options("f F"), values=_options("c d"), flags=_options("a h n q v"),
        stdin=True, help="keep the program fixed and read $argv[1]: php -r '…' -- {{item}}",
    ),
    "lua": Language(texts=_options("e"), values=_options("l"), flags=_options("E W i v"), stdin=True),
    "julia": Language(texts=_options("e E --eval --print"), flags=_options("q"), stdin=True),
    "Rscript": Language(texts=_options("e"), flags=_options("--vanilla --verbose"), stdin=True),
    "R": Language(texts=_options("e"), files=_options("f"), flags=_options("q --vanilla --no-save --quiet --slave -s"),
                  stdin=True, first="data"),
    "psql": Language(
        texts=_options("c --command"), files=_options("f --file"),
        values=_options("d h p U v o L F R T P --dbname --host --port --username --set --variable --output"),
        flags=_options("a A b e E q s S t x X w W z 0 1 H l n V --csv --echo-all --quiet --tuples-only --no-align "
                       "--no-psqlrc --single-transaction --no-password"),
        first="data", stdin=True, permutes=True,
        help="psql -v name={{item}} -f query.sql, with :'name' in the query",
    ),
    "ssh": Language(
        guarded=_options("o"), values=_options("B b c D E e F I i J L l m O p Q R S W w"),
        flags=_options("1 2 4 6 A a C f G g K k M N n q s T t V v X x Y y"), first="data", rest="text", stdin=True,
        permutes=True, help="let the far side read it from standard input: printf '%s' {{item}} | ssh host command",
    ),
    "dc": Language(texts=_options("e --expression"), files=_options("f --file"), stdin=True),
    "at": Language(files=_options("f"), values=_options("q t"), flags=_options("m M v"), first="data", stdin=True),
    "batch": Language(first="data", stdin=True),
    "su": Language(texts=_options("c --command"), values=_options("s g G w"), flags=_options("l m p P"), first="data"),
    "script": Language(texts=_options("c --command"), flags=_options("a e f q"), first="data"),
    "osascript": Language(texts=_options("e"), values=_options("l"), stdin=True),
}  # fmt: skip

SHELLS = frozenset(("bash", "sh", "zsh", "dash", "ksh", "mksh", "ash", "rbash"))

ALL_TEXT = {
    "watch": "run the command itself",
    "parallel": "the step's `concurrency` runs items side by side",
    "make": "let the recipe read a file or standard input: make reads $(…) in values",
    "gmake": "let the recipe read a file or standard input: make reads $(…) in values",
}
"""Programs that make program text of all their words."""

SPECIAL_NAMES = _names(
    "PS0 PS1 PS2 PS3 PS4 PROMPT_COMMAND BASH_ENV ENV PATH SHELLOPTS BASHOPTS RANDOM SRANDOM SECONDS LINENO OPTIND "
    "EPOCHSECONDS HISTCMD DIRSTACK FUNCNEST LD_PRELOAD LD_LIBRARY_PATH DYLD_INSERT_LIBRARIES BASH_ALIASES BASH_CMDS "
    "BASH_ARGV0 BASH_XTRACEFD BASH_COMPAT BASH_LOADABLES_PATH EXECIGNORE PYTHONSTARTUP PERL5OPT PERL5DB "
    "NODE_OPTIONS RUBYOPT"
)
"""Variables whose values are run, searched for programs, or taken as arithmetic when they are assigned."""

SPECIAL_NAMES_IN_ZSH = _names(
    "COLUMNS LINES HISTSIZE SAVEHIST TMOUT KEYTIMEOUT LISTMAX MAILCHECK DIRSTACKSIZE UID GID EUID EGID ARGC path "
    "fpath cdpath manpath module_path argv aliases galiases saliases functions commands options prompt "
    "precmd_functions preexec_functions chpwd_functions"
)


def special(name: str, zsh: bool) -> bool:
    """Whether the shell itself acts on what this variable holds."""
    return name in SPECIAL_NAMES or name.startswith("BASH_FUNC") or (zsh and name in SPECIAL_NAMES_IN_ZSH)


READERS = {"read": "REPLY", "mapfile": "MAPFILE", "readarray": "MAPFILE"}
"""Builtins that fill variables from standard input, and the one they fill when none is named."""

ENVIRONMENT_PRINTERS = frozenset(("env", "printenv", "set", "declare", "typeset", "export", "readonly", "compgen"))
"""Commands that print the values of variables when nothing else is asked of them."""

RUNNERS = _names(
    "docker podman nerdctl kubectl oc lxc uv uvx poetry pipenv conda mamba micromamba pixi hatch rye pdm npx pnpm yarn "
    "nix nix-shell srun mpirun mpiexec singularity apptainer vagrant nsenter chroot unshare systemd-run dotenv direnv "
    "op doppler strace ltrace perf valgrind gdb screen tmux expect entr"
)
"""Programs whose words hold another command somewhere: each later word that is a language's name is taken as one."""

EXPLICIT = _names("bash sh zsh dash ksh mksh ash rbash python pypy perl ruby node php")
"""Languages that are looked for in the words of any program, where an option such as -c says that text follows."""
