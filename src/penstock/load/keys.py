"""The keys of a workflow file: one table, for checking, for messages and for the JSON Schema."""

from __future__ import annotations

from penstock.load.budgets import Budget
from penstock.load.gate_keys import APPROVE, ROUTE, SAMPLE
from penstock.load.hosts import HOSTS
from penstock.load.identifiers import ID, ID_HELP, VARIABLE
from penstock.load.model_keys import GENERATE, MODELS, PLACEMENT, TRIED, VERIFY
from penstock.load.secrets import Declared
from penstock.load.shapes import Choice, Duration, Flag, Literal, Shape, Text, Version, Whole
from penstock.load.structures import Either, Key, Keyed, Listed, Record, Rows

PERCENTAGE = r"(?:100(?:\.0+)?|[0-9]{1,2}(?:\.[0-9]{1,9})?)%"

_ID = Text("a name such as `my_step`", ID, ID_HELP)
_NEEDED = Text("the id of a step")
_PATH = Text("a path")
_CONDITION = Text("a condition such as `outputs.verify.accept_rate > 0.9`", flags=True)
_VARIABLE_NAME = Text("a variable's name such as `MY_NAME`", VARIABLE, "letters, digits and `_`; no digit comes first")


def _either(text: Shape, listed: Shape, expects: str) -> Either:
    return Either({"text": text, "list": listed}, expects)


_PATHS = Listed(_PATH, "a list of paths")
_SECRETS = Listed(_VARIABLE_NAME, "a list of names")
_DECLARED_SECRETS = Listed(Declared(_VARIABLE_NAME), "a list of names")
_ENV = Keyed(
    Literal(),
    "a mapping of names to texts",
    f"(?!PENSTOCK_){VARIABLE}",
    "a variable's name such as `MY_NAME`",
    "letters, digits and `_`; no digit comes first, and PENSTOCK_… is Penstock's own",
)
_SHELL = _either(
    Text("a shell, such as `bash`"),
    Listed(Text("a word"), "a list of words", least=1),
    "a shell such as `bash`, or a list of words",
)
_BACKOFF = Record(
    "`backoff`",
    {
        "base": Key(Duration(), "The longest wait before the second attempt; it doubles from attempt to attempt."),
        "cap": Key(Duration(), "The longest wait before any attempt."),
    },
)
_RETRY = Record(
    "`retry`",
    {
        "attempts": Key(Whole(1), "How often a task is tried, the first time included."),
        "on": Key(
            Listed(Choice(("exit", "timeout")), "a list of `exit` and `timeout`", least=1),
            "Which failures are tried again: a bad exit status, a timeout.",
        ),
        "backoff": Key(
            _BACKOFF, "How long to wait: a time drawn evenly from 0 to min(cap, base × 2^(n-1)) after try n."
        ),
        **{word: Key(Whole(1), f"How often a model call is tried: {about}.") for word, about in TRIED.items()},
    },
    example="write `retry: {attempts: 3}`; the first try counts",
)
_GATEWAY = Key(
    Choice(("on", "off"), dict.fromkeys(("true", "yes"), "write `on`") | dict.fromkeys(("false", "no"), "write `off`")),
    "off: commands call models by themselves, and Penstock does not see it. on otherwise: the calls of any client are "
    "cached, metered and held to the budget.",
)
_SHARED = {
    "retry": Key(
        _RETRY, "How often what fails is tried, and after which wait. A command once otherwise, a model call six times."
    ),
    "timeout": Key(Duration(), "How long an attempt may take. A command has no limit otherwise, a model call 120 s."),
    "concurrency": Key(
        Whole(1), "How many items are worked on at once. Otherwise the number of cores, 16 for model calls."
    ),
    "cache": Key(Flag(), "Whether results are reused in later runs. On where `inputs` are given, off otherwise."),
    "shell": Key(_SHELL, "What runs the text: `bash`, `sh`, `zsh`, or the words of another interpreter."),
    "gateway": _GATEWAY,
}
_OWNED = {
    "keep": Key(_PATHS, "Files that were there before the first run: what is appended follows their content."),
    "replace": Key(_PATHS, "Files that were there before the first run and may be replaced."),
}
_NEED = Record(
    "a need",
    {
        "id": Key(_NEEDED, "The step that is needed.", required=True),
        "accept": Key(
            Listed(Choice(("skipped",)), "`[skipped]`"), "`[skipped]`: go on although that step was skipped."
        ),
    },
)

STEP = Record(
    "a step",
    {
        "id": Key(_ID, "The step's name, unique in the file.", required=True),
        "run": Key(
            Text("a shell text", flags=True),
            "A shell text. Placeholders such as `{{item}}` are passed as values, never as text.",
        ),
        "generate": Key(GENERATE, "A model call under a contract: model, prompt, schema, checks, judge."),
        "verify": Key(VERIFY, "The contract alone, over a stream: schema, checks, judge."),
        "route": Key(ROUTE, "Sends items to named branches: by rules, or by a model that chooses."),
        "approve": Key(APPROVE, "Waits for a person's word: message, what is shown, how long."),
        "needs": Key(
            Either(
                {
                    "text": _NEEDED,
                    "list": Listed(
                        Either({"text": _NEEDED, "mapping": _NEED}, "a step's id, or `{id, accept}`"), "a list of ids"
                    ),
                },
                "a list of step ids",
            ),
            "Steps that must have succeeded before this one starts.",
        ),
        "foreach": Key(
            _either(Text("a path or `steps.ID`"), Rows(), "a path, `steps.ID`, or a list of rows"),
            "What to map over: a file of rows (.jsonl, .jsonl.gz, .json, .csv), a list, or `steps.ID`, "
            "`steps.ID.accepted`, `.rejected`, `.failed`, or a branch of a `route` step, `steps.ID.BRANCH`.",
        ),
        "where": Key(_CONDITION, "A condition on `item`; items for which it is false are skipped."),
        "else": Key(
            Text("a path such as `item` or `chain.draft`"),
            "What stands for the record of an item for which `where` is false, in place of its being skipped.",
        ),
        "when": Key(_CONDITION, "A condition, asked once after the needs; if it is false the step is skipped."),
        "env": Key(_ENV, "Variables of this step's command, on top of the workflow's."),
        "secrets": Key(_SECRETS, "Which of the workflow's secrets this step's command gets."),
        "inputs": Key(_PATHS, "Files that the step reads: they enter its cache key."),
        "outputs": Key(
            Either(
                {
                    "list": _PATHS,
                    "mapping": Keyed(_PATH, "a mapping of names to paths", ID, "a name such as `summary`", ID_HELP),
                },
                "a list of paths, or a mapping of names to paths",
            ),
            "Files that the step writes; others read them as `outputs.NAME`.",
        ),
        "max_failures": Key(
            Either(
                {"whole": Whole(0), "text": Text("a percentage such as `5%`", PERCENTAGE)},
                "a whole number, or a percentage such as `5%`",
            ),
            "How many items may fail before the step does: a number or a percentage. 0 otherwise.",
        ),
        "fail_fast": Key(
            Flag(), "Whether to stop at the first failure that is one too many, instead of trying all items."
        ),
        "idempotent": Key(Flag(), "false: a task that a crash interrupted is not run again without a person's word."),
        "budget": Key(Budget(), "The most that this step's model calls may use; `when_exceeded` says what then."),
        "placement": Key(PLACEMENT, "`local`: no model elsewhere sees its items, here and in steps below."),
        **_SHARED,
        **_OWNED,
    },
    example="a step begins with `- id: NAME`, and `run: COMMAND` stands below it",
    one_of=("run", "generate", "verify", "route", "approve"),
    elsewhere={
        "depends_on": "needs",
        "if": "when",
        "name": "id",
        "command": "run",
        "cmd": "run",
        "script": "run",
        "for_each": "foreach",
        "environment": "env",
        "vars": "env",
    },
)

WORKFLOW = Record(
    "a workflow",
    {
        "name": Key(Text(), "What the workflow is called.", required=True),
        "version": Key(Version(), "The version of this language: 1."),
        "description": Key(Text(), "What the workflow is for."),
        "env": Key(_ENV, "Variables of every step's command. `${NAME}` is an earlier one, or the environment's."),
        "secrets": Key(
            _DECLARED_SECRETS,
            "Names, or `{NAME: {command: …}}`, `{NAME: {keyring: …}}`. The values of names alone come from the "
            "environment or `.env`. They go only to steps that ask.",
        ),
        "allow_hosts": Key(
            HOSTS, "The only hosts at which models may be called: `HOST`, `HOST:PORT`, `*.DOMAIN`. All otherwise."
        ),
        "budget": Key(Budget(), "The most that a run's model calls may use; `when_exceeded` says what then."),
        "sample": Key(SAMPLE, "Rows that are tried first, and the condition on which the rest follows."),
        "models": Key(
            MODELS,
            "Models by names of your own: PROVIDER/MODEL, a mapping with `model`, or a list from cheap to strong.",
        ),
        "defaults": Key(
            Record("`defaults`", _SHARED),
            "What holds for every step.",
        ),
        "gateway": _GATEWAY,
        **_OWNED,
        "steps": Key(
            Listed(STEP, "a list of steps", least=1), "The steps, in any order that their needs allow.", required=True
        ),
    },
    elsewhere={"jobs": "steps", "tasks": "steps", "environment": "env", "vars": "env"},
)
