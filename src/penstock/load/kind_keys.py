"""Keys that fit one kind of step and not another, such as `outputs` at a step that asks models."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.load import tree
from penstock.load.fields import Fields
from penstock.load.model_keys import TRIED

FOR_ITEMS = ("where", "else", "max_failures", "fail_fast")

_Refused = Mapping[str, tuple[str, str]]
"""By key: what is wrong with it, after `a KIND step`, and what to do. `{id}` and `{kind}` are filled in."""

_NO_COMMAND: _Refused = {
    "shell": ("runs no command, so `shell` says nothing", "remove it"),
    "secrets": (
        "runs no command, so nothing gets its `secrets`",
        "the key of a model is named under `models`: `api_key: ${{NAME}}`",
    ),
    "inputs": ("reads the files that it names itself, so `inputs` says nothing", "remove it"),
    "outputs": ("writes no files of its own", "a later step reads its records: `foreach: steps.{id}`"),
    "keep": ("writes no files of its own, so `keep` says nothing", "remove it"),
    "replace": ("writes no files of its own, so `replace` says nothing", "remove it"),
    "gateway": ("runs no command, so `gateway` says nothing", "remove it: what it asks is metered in any case"),
}
_OF_A_MODEL_STEP: _Refused = {
    **_NO_COMMAND,
    "cache": ("says how it uses bought answers itself", "write `{kind}: {{cache: off}}`, or use, refresh, only"),
}
_OF_RULES: _Refused = {
    **_NO_COMMAND,
    "secrets": ("runs no command, so nothing gets its `secrets`", "remove it"),
    "gateway": ("runs no command, so `gateway` says nothing", "remove it"),
    "inputs": ("reads no files, so `inputs` says nothing", "remove it"),
    **{
        key: (f"with rules asks nobody, so `{key}` says nothing", "remove it")
        for key in ("cache", "retry", "timeout", "budget", "idempotent")
    },
}
_OF_A_PERSON: _Refused = {
    **_NO_COMMAND,
    "secrets": ("gives its `secrets` to nobody", "remove it"),
    "gateway": ("runs no command, so `gateway` says nothing", "remove it"),
    "inputs": ("has no `inputs`", "what a person is shown stands under `approve: {{show: [path]}}`"),
    "outputs": ("writes no files of its own", "a later step reads the decision: `outputs.{id}`"),
    "foreach": (
        "asks once, about the whole: this version of Penstock does not know review queues of items yet",
        "they come with the viewer; remove it, and let the step need the one that has the items",
    ),
    "timeout": ("has its time within: a person's, not a command's", "write `approve: {{timeout: 24h, …}}`"),
    **{
        key: ("waits for a person, so `" + key + "` says nothing", "remove it")
        for key in ("cache", "retry", "concurrency", "budget", "idempotent", *FOR_ITEMS)
    },
}
FOR_STREAMS = {
    "verify": "`verify` judges the items of a stream, and this step has no `foreach`",
    "route": "`route` sends the items of a stream to branches, and this step has no `foreach`",
}


def judge_kind(kind: str, fields: Fields) -> None:
    """Problems with keys that say nothing at a step of this kind, and with one that lacks the stream it is about."""
    if kind == "run":
        _judge_command(fields)
        return
    findings, step_id = fields.findings, fields.text("id") or "ID"
    refused = _refused(kind, fields)
    article = "an" if kind == "approve" else "a"
    for key, value in fields.mapping.entries:
        if key.text in refused and findings.sound(value):
            what, help = refused[key.text]
            findings.wrong(key, f"{article} `{kind}` step {what}", help.format(kind=kind, id=step_id))
    retry = fields.inner("retry")
    on = retry.mapping.key("on") if retry and "retry" not in refused else None
    if on:
        what = "`on` is about commands: for model calls each kind of failure has a number of its own"
        findings.wrong(on, what, f"write some of {', '.join(f'`{word}: 3`' for word in TRIED)}")
    key_of_kind = fields.mapping.key(kind)
    if kind in FOR_STREAMS and key_of_kind and fields.mapping.get("foreach") is None:
        findings.wrong(key_of_kind, FOR_STREAMS[kind], "add `foreach: steps.ID`, or the path of a file of rows")


def _refused(kind: str, fields: Fields) -> _Refused:
    if kind == "approve":
        return _OF_A_PERSON
    by_rules = kind == "route" and not isinstance(fields.mapping.get("route"), tree.Mapping)
    return _OF_RULES if by_rules else _OF_A_MODEL_STEP


def _judge_command(fields: Fields) -> None:
    """A `retry` that speaks of model calls in a step that makes none."""
    retry = fields.inner("retry")
    for key, _ in retry.mapping.entries if retry else ():
        if key.text in TRIED:
            what = f"`{key.text}` is about model calls, and this step runs a command"
            fields.findings.wrong(key, what, "for a command write `retry: {attempts: 3, on: [exit, timeout]}`")
