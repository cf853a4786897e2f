"""Keys that fit one kind of step and not another, such as `outputs` at a step that asks models."""

from __future__ import annotations

from penstock.load.fields import Fields
from penstock.load.model_keys import TRIED

_OF_COMMANDS = {
    "shell": ("runs no command, so `shell` says nothing", "remove it"),
    "secrets": (
        "runs no command, so nothing gets its `secrets`",
        "the key of a model is named under `models`: `api_key: ${NAME}`",
    ),
    "inputs": ("reads the files that it names itself, so `inputs` says nothing", "remove it"),
    "outputs": ("writes no files of its own", "a later step reads its records: `foreach: steps.{id}`"),
    "keep": ("writes no files of its own, so `keep` says nothing", "remove it"),
    "replace": ("writes no files of its own, so `replace` says nothing", "remove it"),
    "cache": ("says how it uses bought answers itself", "write `{kind}: {{cache: off}}`, or use, refresh, only"),
}


def judge_model_step(kind: str, fields: Fields) -> None:
    """Problems with keys that are for commands, and with a `verify` that has nothing to judge."""
    step_id = fields.text("id") or "ID"
    for key, value in fields.mapping.entries:
        if key.text in _OF_COMMANDS and fields.findings.sound(value):
            what, help = _OF_COMMANDS[key.text]
            wrong = f"a `{kind}` step {what}"
            fields.findings.wrong(
                key, wrong, help if "{" not in help or "$" in help else help.format(kind=kind, id=step_id)
            )
    retry = fields.inner("retry")
    on = retry.mapping.key("on") if retry else None
    if on:
        what = "`on` is about commands: for model calls each kind of failure has a number of its own"
        fields.findings.wrong(on, what, f"write some of {', '.join(f'`{word}: 3`' for word in TRIED)}")
    verify = fields.mapping.key("verify")
    if kind == "verify" and verify and fields.mapping.get("foreach") is None:
        what = "`verify` judges the items of a stream, and this step has no `foreach`"
        fields.findings.wrong(verify, what, "add `foreach: steps.ID`, or the path of a file of rows")


def judge_command(fields: Fields) -> None:
    """Problems with a `retry` that speaks of model calls in a step that makes none."""
    retry = fields.inner("retry")
    for key, _ in retry.mapping.entries if retry else ():
        if key.text in TRIED:
            what = f"`{key.text}` is about model calls, and this step runs a command"
            fields.findings.wrong(key, what, "for a command write `retry: {attempts: 3, on: [exit, timeout]}`")
