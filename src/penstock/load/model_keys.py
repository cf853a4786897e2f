"""The keys of `models`, `generate` and `verify`: the part of the table (keys.py) that is about model calls."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from penstock.load.findings import Findings
from penstock.load.quantities import Money, Share
from penstock.load.shapes import Choice, Duration, Literal, Schema, Text, Whole
from penstock.load.structures import Either, Key, Keyed, Listed, Record, Values
from penstock.load.tree import Node, Scalar

PROVIDERS = ("openai", "anthropic", "ollama", "python", "sim")
CACHE_MODES = ("use", "refresh", "only", "off")
TRIED = {
    "connection": "a connection that fails",
    "timeout": "no answer in time",
    "rate_limit": "too many requests (429)",
    "server": "a server that fails (5xx)",
    "denied": "a request that is denied (other 4xx)",
}
"""What can go wrong with a call, as `retry` names it."""

SIMULATED = ("quality", "invalid", "truncated", "refused", "error_429", "error_500", "latency", "seed")
"""The keys of a model that only the simulator has."""

KEY_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_MODEL_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.:/@+-]*"
_VAR_NAME = r"[A-Za-z_][A-Za-z0-9_]*"

_MODEL_TEXT = Text("PROVIDER/MODEL, such as `ollama/llama3.1:8b`")
_FILE_OR_TEXT = "a path, or the text itself"
_CHECK = Text("a condition such as `output.score >= 0.5`", flags=True)
_REMOTE = "only models can be remote: `models: {NAME: {model: …, placement: remote}}`"

PLACEMENT = Choice(("local",), {"remote": _REMOTE})
"""`placement` of steps and rules; models have both words."""


@dataclass(frozen=True, slots=True)
class KeyReference:
    """`${NAME}`, the variable that holds a key. What stands there instead may be a key, so no message says it."""

    expects: str = "`${NAME}`, the name of the variable that holds the key"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        if not isinstance(node, Scalar) or not KEY_REFERENCE.fullmatch(node.text):
            help = "put the key in the environment or in `.env`, and write `${NAME}` here"
            findings.wrong(node, f"{name} must be {self.expects}; a key is never written into the file", help)

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^{KEY_REFERENCE.pattern}$"}


_PRICE = Record(
    "`price`",
    {
        "input": Key(Money(), "Dollars per million tokens that it reads.", required=True),
        "output": Key(Money(), "Dollars per million tokens that it writes.", required=True),
        "cache_read": Key(Money(), "Dollars per million tokens read from the provider's cache."),
        "cache_write": Key(Money(), "Dollars per million tokens written to the provider's cache."),
    },
    example="write `price: {input: 0.15, output: 0.6}`, in dollars per million tokens",
)
_MODEL = Record(
    "a model",
    {
        "model": Key(_MODEL_TEXT, "PROVIDER/MODEL, such as `openai/gpt-4o` or `ollama/llama3.1:8b`.", required=True),
        "base_url": Key(Text("an address such as `http://gpu.internal/v1`"), "Where its server is."),
        "api_key": Key(KeyReference(), "`${NAME}`: the variable, of the environment or `.env`, that holds its key."),
        "price": Key(_PRICE, "Dollars per million tokens, where they are not the provider's list prices."),
        "concurrency": Key(Whole(1), "The most requests that are in flight to it at once."),
        "rpm": Key(Whole(1), "The most requests a minute."),
        "tpm": Key(Whole(1), "The most tokens a minute, those that it reads and those that it writes."),
        "max_wait": Key(Duration(), "The longest wait that its server may ask for; then the next model is asked."),
        "placement": Key(
            Choice(("local", "remote")), "Whether its server counts as ours; otherwise its address decides."
        ),
        "max_tokens": Key(Whole(1), "The most tokens that it can write in one answer."),
        "context": Key(Whole(1), "The most tokens that it can read and write together."),
        "quality": Key(Share(), "sim: the chance that an answer meets the contract's checks. 1 otherwise."),
        "invalid": Key(Share(), "sim: the chance of an answer that is no JSON or breaks the schema."),
        "truncated": Key(Share(), "sim: the chance of an answer that is cut short."),
        "refused": Key(Share(), "sim: the chance of a refusal."),
        "error_429": Key(Share(), "sim: the chance of a 429 response."),
        "error_500": Key(Share(), "sim: the chance of a 500 response."),
        "latency": Key(Duration(), "sim: how long a response takes."),
        "seed": Key(Whole(0), "sim: the number that everything is drawn from."),
    },
    elsewhere={
        "url": "base_url",
        "endpoint": "base_url",
        "key": "api_key",
        "name": "model",
        "context_window": "context",
    },
    example="write PROVIDER/MODEL, or `{model: PROVIDER/MODEL, …}`",
)
_CASCADE = Listed(Text("the name of a model"), "a list of models, the cheapest first", least=1)
MODELS = Keyed(
    Either(
        {"text": _MODEL_TEXT, "mapping": _MODEL, "list": _CASCADE},
        "PROVIDER/MODEL, a mapping with `model`, or a list of models",
    ),
    "a mapping of names to models",
    _MODEL_NAME,
    "a name such as `small`",
    "letters, digits and `_ . : / @ + -`; no space",
    dotted=True,
)

_ASKED = Either(
    {
        "text": Text("the name of a model"),
        "list": _CASCADE,
    },
    "the name of a model, or a list of them",
)
_PARAMS = Key(Values("a mapping such as `{temperature: 0.2}`"), "Parameters of the request, by the provider's names.")
_JUDGE = Record(
    "`judge`",
    {
        "model": Key(_ASKED, "The model that judges.", required=True),
        "rubric": Key(Text(_FILE_OR_TEXT), "What it judges by: a template, a path or the text itself.", required=True),
        "pass": Key(
            Text("a condition such as `score >= 4`", flags=True),
            "A condition on `score` and `failures`.",
            required=True,
        ),
        "params": _PARAMS,
    },
    elsewhere={"prompt": "rubric", "accept_when": "pass", "models": "model"},
)
_CONTRACT = {
    "schema": Key(
        Either(
            {"text": Text("the path of a JSON Schema"), "mapping": Values("a JSON Schema")},
            "the path of a JSON Schema, or the schema itself",
        ),
        "The JSON Schema (2020-12) that the answer must meet: a path, or the schema itself.",
    ),
    "checks": Key(
        Either(
            {"text": _CHECK, "flag": _CHECK, "list": Listed(_CHECK, "a list of conditions")}, "a list of conditions"
        ),
        "Conditions on `output` that the answer must meet.",
    ),
    "judge": Key(_JUDGE, "A model that judges the answer: `{model, rubric, pass}`."),
}
_SHARED = {
    "vars": Key(
        Keyed(
            Literal(),
            "a mapping of names to texts or paths",
            _VAR_NAME,
            "a name such as `examples`",
            "letters, digits and `_`; no digit comes first",
        ),
        "Names of your own for templates: texts, or paths of files with the text.",
    ),
    "cache": Key(
        Choice(CACHE_MODES),
        "use: answers that were bought are used again; refresh: buy anew; only: never buy; off: neither.",
    ),
    "mask": Key(
        Choice(("on", "off")),
        "off: keys of known formats go into prompts to models elsewhere as they are. on otherwise.",
    ),
}
_RUNG = Record(
    "a rung of `shrink`",
    {
        "drop": Key(Text("the name of a variable of `vars`"), "The variable of `vars` that is left out."),
        "truncate": Key(Text("a path such as `item.text`"), "The text that is cut."),
        "to": Key(Whole(1), "How many characters of it are left."),
    },
    one_of=("drop", "truncate"),
    parted="make two rungs of it",
    example="write `{drop: NAME}` or `{truncate: item.text, to: 2000}`",
)
_MODEL_KEY = Key(
    _ASKED, "The model, or models from cheap to strong: a name of `models`, or PROVIDER/MODEL.", required=True
)
_SYSTEM = Key(Text(_FILE_OR_TEXT), "The system prompt: a template, a path or the text itself.")
_PROMPT = Key(Text(_FILE_OR_TEXT), "The prompt: a template, a path or the text itself.", required=True)
RULE_WHEN = Key(
    Text("a condition such as `item.risk == 'high'`", flags=True),
    "The condition on which it holds; the first rule that matches wins. Without it, it holds for all that come so far.",
)
_RULE = Record(
    "a rule of `route`",
    {
        "when": RULE_WHEN,
        "model": replace(_MODEL_KEY, required=False),
        "system": _SYSTEM,
        "prompt": replace(_PROMPT, required=False),
        "params": _PARAMS,
        "placement": Key(PLACEMENT, "`local`: no model elsewhere sees such an item, its judge included."),
    },
    elsewhere={"if": "when", "models": "model", "to": "model", "template": "prompt", "temperature": "params"},
    example="write `{when: CONDITION, model: NAME}`; the last rule may leave out `when`",
)
GENERATE = Record(
    "`generate`",
    {
        "model": _MODEL_KEY,
        "system": _SYSTEM,
        "prompt": _PROMPT,
        "route": Key(
            Listed(_RULE, "a list of rules", least=1),
            "Rules that pick model, prompt and parameters for an item; the first that matches wins.",
        ),
        **_CONTRACT,
        "accept_when": Key(
            Text("a condition such as `output.confidence >= 0.7`", flags=True),
            "A condition on an answer that meets the contract; where it is false, the next model is asked.",
        ),
        "params": _PARAMS,
        "attempts": Key(Whole(1), "How often each model is asked, the first time included. 3 otherwise."),
        "shrink": Key(
            Listed(_RUNG, "a list of `{drop: NAME}` and `{truncate: PATH, to: N}`"),
            "What is left out, rung by rung, when a request is too long.",
        ),
        **_SHARED,
    },
    instead="route",
    elsewhere={"models": "model", "template": "prompt", "retries": "attempts", "temperature": "params"},
    example="write `generate: {model: PROVIDER/MODEL, prompt: …}`",
)
VERIFY = Record(
    "`verify`",
    {**_CONTRACT, **_SHARED},
    some_of=("schema", "checks", "judge"),
    elsewhere={"contract": "schema", "rubric": "judge"},
    example="write `verify: {schema: PATH}`",
)
