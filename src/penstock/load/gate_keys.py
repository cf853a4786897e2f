"""The keys of `route` and `approve` steps and of `sample`: the part of the table (keys.py) that is about decisions."""

from __future__ import annotations

from penstock.load.identifiers import ID, ID_HELP
from penstock.load.model_keys import GENERATE, PLACEMENT, RULE_WHEN
from penstock.load.quantities import Between
from penstock.load.shapes import Choice, Duration, Text, Whole
from penstock.load.structures import Either, Key, Listed, Record

_BRANCH_NAME = Text("a name such as `legal`", ID, ID_HELP)
_BRANCH = Record(
    "a rule of `route`",
    {
        "when": RULE_WHEN,
        "to": Key(_BRANCH_NAME, "The branch that such an item goes to.", required=True),
        "placement": Key(PLACEMENT, "`local`: no model elsewhere sees such an item from here on."),
    },
    elsewhere={"if": "when", "branch": "to", "then": "to", "name": "to"},
    example="write `{when: CONDITION, to: BRANCH}`; the last rule may leave out `when`",
)
_CHOOSER = Record(
    "`route`",
    {
        "model": GENERATE.keys["model"],
        "prompt": GENERATE.keys["prompt"],
        "choices": Key(
            Listed(_BRANCH_NAME, "a list of two names or more", least=2),
            "The branches that the model chooses from.",
            required=True,
        ),
        **{name: GENERATE.keys[name] for name in ("system", "vars", "params", "attempts", "cache", "mask", "shrink")},
    },
    elsewhere={"models": "model", "branches": "choices", "to": "choices", "template": "prompt", "retries": "attempts"},
    example="write `route: {model: …, prompt: …, choices: [a, b]}`",
)
ROUTE = Either(
    {"list": Listed(_BRANCH, "a list of rules", least=1), "mapping": _CHOOSER},
    "a list of rules `{when, to}`, or a mapping with `model`, `prompt` and `choices`",
)

_SHOWN = Text("a path or `steps.ID`")
APPROVE = Record(
    "`approve`",
    {
        "message": Key(
            Text("a path, or the text itself"),
            "What the person is asked: a template over `env` and `outputs`, a path or the text itself.",
            required=True,
        ),
        "show": Key(
            Either(
                {"text": _SHOWN, "list": Listed(_SHOWN, "a list of paths and `steps.ID`")},
                "a list of paths and `steps.ID`",
            ),
            "What the person is shown: files, and records of steps as `steps.ID`.",
        ),
        "timeout": Key(Duration(), "How long a person may take; without end otherwise."),
        "on_timeout": Key(
            Choice(("reject",), {"approve": "a timer never approves; leave it out for a wait without end"}),
            "What holds when nobody has decided in time: `reject`.",
        ),
        "notify": Key(Text("a shell text", flags=True), "A shell text that is run when a person is waited for."),
    },
    later={
        "by": "who may decide (`by`)",
        "count": "how many must approve (`count`)",
        "not_starter": "that whoever starts a run may not approve it (`not_starter`)",
    },
    later_help="it needs identities that are proved, and comes with the viewer; leave it out",
    elsewhere={"text": "message", "prompt": "message", "question": "message", "files": "show", "deadline": "timeout"},
    example="write `approve: {message: …}`",
)

SAMPLE = Record(
    "`sample`",
    {
        "size": Key(Whole(1), "How many rows of each root stream are tried first.", required=True),
        "require": Key(
            Text("a condition such as `outputs.verify.accept_rate >= 0.9`", flags=True),
            "The condition on `outputs` and `env` on which the rest follows.",
            required=True,
        ),
        "confidence": Key(
            Between("0.5", "1", "0.95"),
            "How sure `outputs.STEP.accept_rate >= NUMBER` must be, of all rows. Otherwise the sample itself decides.",
        ),
        "seed": Key(Whole(0), "The number that the rows are drawn with. 0 otherwise."),
        "on_inconclusive": Key(
            Choice(("stop", "expand")), "What follows where the sample shows neither: `stop` (otherwise) or `expand`."
        ),
    },
    elsewhere={"rows": "size", "n": "size", "count": "size", "when": "require", "if": "require", "alpha": "confidence"},
    example='write `sample: {size: 200, require: "outputs.STEP.accept_rate >= 0.9"}`',
)
