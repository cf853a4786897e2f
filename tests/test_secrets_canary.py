"""Secrets planted everywhere that one may come from are in no file and on no screen; commands get them all the same."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from penstock.kinds.private_files import TAIL_BYTES
from tests.canary import ODD, PLAIN, SECRETS, VAULT, found, hits, packed_answers, spelled, spellings
from tests.model_server import ModelServer, Script
from tests.terminal import Project, Said, until

OWN = (
    *(
        "workflow.yaml",
        "rows.jsonl",
        ".env",
        "vault.txt",
        "mine.py",
        "asks.py",
        "spelled.txt",
        "out/*",
        "__pycache__/*",
    ),
    *(".penstock/runs/*/files/out/*", ".penstock/runs/*/failed/out/*", ".penstock/replay/*/written/out/*"),
)
"""The user's own files, also where an earlier run's, or a killed attempt's, are put aside: what a command writes there
is its own affair."""

SLOTS = ".penstock/runs/*/slots/*"
"""Where a command that was killed with its run had its private files: they are gone when the next run begins."""

FLOW = """\
name: Canary
secrets: [PLAIN, ODD, {{VAULT: {{command: cat vault.txt}}}}]
env: {{NOTE: none, WHERE: "{url}/v1"}}
models:
  house: {{model: openai/h, base_url: "{url}/v1"}}
  astray: {{model: openai/h, base_url: "${{WHERE}}"}}
  mine: {{model: python/mine:reply}}
steps:
  - id: shown
    secrets: [PLAIN, ODD, VAULT]
    run: env; cat spelled.txt; cat spelled.txt >&2
  - id: large
    run: for n in {{1..700}}; do cat spelled.txt; done
  - id: rows
    foreach: rows.jsonl
    run: cat; printf '%s' "{{{{ item.odd }}}}" "{{{{ env.NOTE }}}}" >&2
  - id: back
    foreach: steps.rows
    run: |
      mkdir -p out
      printf '%s' "{{{{ item.odd }}}}" > out/placeholder-"{{{{ i }}}}"
      printf '%s' "{{{{ item }}}}" > out/whole-"{{{{ i }}}}"
      cat > out/stdin-"{{{{ i }}}}"
      cat "$PENSTOCK_ITEM_FILE" > out/file-"{{{{ i }}}}"
  - id: rejected
    foreach: rows.jsonl
    run: sed 's/^{{/{{"ok":false,/'
  - id: ask
    foreach: steps.rows
    generate:
      model: house
      prompt: "Of {{{{ item.text }}}}, {{{{ item.odd }}}} and {{{{ env.NOTE }}}}"
      schema: {{type: object}}
  - id: told
    foreach: steps.ask
    run: cat > out/told-"{{{{ i }}}}"; printf '%s' "{{{{ item.odd }}}}" > out/told-odd-"{{{{ i }}}}"
  - id: scripted
    foreach: rows.jsonl
    secrets: [PLAIN, ODD, VAULT]
    run: python asks.py
  - id: checked
    foreach: rows.jsonl
    generate:
      model: house
      prompt: "Check {{{{ item.odd }}}}"
      schema: {{type: object, properties: {{plain: {{const: never}}}}}}
      checks: ["output.odd == env.NOTE"]
  - id: failed
    foreach: rows.jsonl
    run: cat >&2; printf '%s' "{{{{ item.odd }}}}"; exit 3
  - id: raised
    foreach: rows.jsonl
    generate: {{model: mine, prompt: "Of {{{{ item.odd }}}}"}}
  - id: lost
    foreach: rows.jsonl
    generate: {{model: astray, prompt: "Of {{{{ item.odd }}}}"}}
"""
MINE = """\
import os


def reply(request):
    raise ValueError("not with " + os.environ["PLAIN"] + " nor " + repr(os.environ["ODD"]))
"""
ASKS = """\
import json, os, sys, urllib.request

row = json.load(sys.stdin)
told = f"Of {row}, {os.environ['PLAIN']}, {os.environ['ODD']} and {os.environ['VAULT']}"
body = {"model": "house", "messages": [{"role": "user", "content": told}]}
said = {"content-type": "application/json", "authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), said)) as response:
    text = json.load(response)["choices"][0]["message"]["content"]
    print(text)
    print(text, file=sys.stderr)
assert json.loads(text)["odd"] == os.environ["ODD"]
"""
ANSWER = {"plain": PLAIN, "odd": ODD, "vault": VAULT, "much": "so much " * 3000, "seen": "$prompt"}
ROWS: list[dict[str, Any]] = [
    {"text": PLAIN, "odd": ODD, "vault": VAULT},
    {"text": f"between {PLAIN} and", "odd": f"before\n{ODD}", "deep": [{PLAIN: {"in": [VAULT, ODD]}}]},
    {"text": base64.b64encode(f"..{VAULT}".encode()).decode(), "odd": json.dumps(ODD), "hex": PLAIN.encode().hex()},
]

STEPS = ("shown", "large", "back", "told", "ask", "scripted", "raised", "lost")
COMMANDS = (
    "status",
    "status --json",
    "runs",
    "runs --json",
    "log",
    "log --json",
    "plan",
    "plan --json",
    "check",
    "check --json",
    "graph",
    "graph --json",
    "graph --mermaid",
    "doctor",
    "doctor --rebuild --json",
    "replay",
    "replay --offline --json",
    "cache stats",
    "cache verify",
    "cache prune",
    "schema",
    "resume --failed",
)


def planted(folder: Path, url: str) -> Project:
    """A project with secrets in each place that one may come from."""
    project = Project(folder)
    project.environ |= {"PLAIN": PLAIN, "ODD": ODD, "OPENAI_API_KEY": "sk-of-the-house-2f9b61c4"}
    project.write("workflow.yaml", FLOW.format(url=url))
    project.write("rows.jsonl", "".join(f"{json.dumps(row)}\n" for row in ROWS))
    project.write("vault.txt", f"{VAULT}\n")
    project.write("mine.py", MINE)
    project.write("asks.py", ASKS)
    project.write("spelled.txt", spelled())
    (project.folder / "out").mkdir()
    return project


def silent(project: Project, *words: str) -> Said:
    """`penstock WORDS`, which has shown no secret."""
    said = project.penstock(*words)
    assert "Traceback" not in said.err
    assert not found(f"the screen of {words}", f"{said.out}\n{said.err}".encode())
    return said


def test_the_search_finds_every_spelling_in_any_surroundings() -> None:
    text = spelled()
    for name, secret in SECRETS.items():
        hows = {how for how, _ in spellings(secret)}
        assert {hit.partition(": ")[2] for hit in found("x", text)} >= {f"{name} ({how})" for how in hows}
    for shift in range(3):
        assert f"x: PLAIN (base64 shifted by {shift})" in found("x", base64.b64encode(b"." * shift + PLAIN.encode()))
    assert not found("x", PLAIN[:-1].encode())


def test_no_command_shows_or_keeps_a_secret(tmp_path: Path) -> None:
    with ModelServer(Script(answer=ANSWER)) as server:
        project = planted(tmp_path, server.url)
        variables = ("--var", f"NOTE=for {ODD}", "--var", f"WHERE={server.url}/{PLAIN}/v1")
        said = silent(project, "run", *variables)
        assert said.status == 1, said  # three of its steps are made to fail
        states = {step: project.state(step)[0] for step in STEPS}
        assert states == {**dict.fromkeys(states, "succeeded"), "raised": "failed", "lost": "failed"}
        assert packed_answers(tmp_path) > 0
        asked = server.counts()["requests"]
        shown = project.on_terminal("run", *variables)
        assert not found("a terminal", shown.out.encode())
        assert server.counts()["paths"]["/v1/chat/completions"] == asked
        for words in COMMANDS:
            silent(project, *words.split())
        assert not hits(tmp_path, OWN)


def test_a_command_gets_the_secrets_back_whose_masks_are_in_a_record(tmp_path: Path) -> None:
    with ModelServer(Script(answer=ANSWER)) as server:
        project = planted(tmp_path, server.url)
        project.penstock("run", "--var", f"NOTE={ODD}")
        for index, row in enumerate(ROWS):
            own = row if index < 2 else {**row, "text": json.loads(project.read("out/stdin-2"))["text"]}
            assert project.read(f"out/placeholder-{index}") == row["odd"]
            for way in ("whole", "stdin", "file"):
                assert json.loads(project.read(f"out/{way}-{index}")) == own
            told = json.loads(project.read(f"out/told-{index}"))
            assert (told["plain"], told["odd"], told["vault"]) == (PLAIN, ODD, VAULT)
            assert project.read(f"out/told-odd-{index}") == ODD
            assert index == 2 or told["seen"] == f"Of {row['text']}, {row['odd']} and {ODD}"
        assert not hits(tmp_path, OWN)


def test_a_killed_run_goes_on_with_the_secret_of_its_variable(tmp_path: Path) -> None:
    with ModelServer(Script(answer=ANSWER, latency_ms=200)) as server:
        project = Project(tmp_path)
        project.environ |= {"PLAIN": PLAIN, "ODD": ODD, "VAULT": VAULT}
        project.workflow(
            "secrets: [PLAIN, ODD, VAULT]\nenv: {NOTE: none}\n"
            f"models: {{house: {{model: openai/h, base_url: {server.url}/v1, concurrency: 2}}}}\n"
            "steps:\n  - id: ask\n    foreach: rows.jsonl\n"
            "    generate: {model: house, prompt: 'Of {{ i }} and {{ env.NOTE }}'}\n"
            "  - id: write\n    foreach: steps.ask\n"
            '    run: mkdir -p out; printf \'%s\' "{{ env.NOTE }}" > out/note-"{{ i }}"\n'
        )
        project.write("rows.jsonl", "".join(f'{{"n": {n}}}\n' for n in range(12)))
        with project.running("run", "--var", f"NOTE={ODD}") as process:
            until(lambda: bool(server.counts()["requests"] >= 5), process)
            os.kill(process.pid, signal.SIGKILL)
        assert (tmp_path / ".penstock" / "journal.db-wal").stat().st_size > 0
        assert not hits(tmp_path, (*OWN, SLOTS))
        bought = server.counts()["requests"]
        assert silent(project, "resume").status == 0
        assert server.counts()["requests"] <= 12 + 2
        assert 5 <= bought < 12
        assert {project.read(f"out/note-{n}") for n in range(12)} == {ODD}
        assert not hits(tmp_path, OWN)


def test_what_a_killed_run_left_of_its_items_is_gone_when_the_next_one_begins(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.environ |= {"PLAIN": PLAIN}
    project.workflow("secrets: [PLAIN]\nsteps: [{id: wait, foreach: rows.jsonl, run: touch begun; sleep 60}]\n")
    project.write("rows.jsonl", json.dumps({"text": PLAIN}) + "\n")
    with project.running("run") as process:
        until((tmp_path / "begun").exists, process)
        os.kill(process.pid, signal.SIGKILL)
    assert hits(tmp_path, OWN)
    project.workflow("secrets: [PLAIN]\nsteps: [{id: wait, foreach: rows.jsonl, run: 'true'}]\n")
    project.succeeds("run")
    assert not hits(tmp_path, OWN)


def test_the_end_of_a_long_complaint_shows_no_part_of_a_secret_that_it_cuts(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.environ |= {"PLAIN": PLAIN}
    project.workflow("secrets: [PLAIN]\nsteps: [{id: cut, foreach: rows.jsonl, run: 'cat >&2; exit 3'}]\n")
    rows = ("x" * before + PLAIN + "y" * (TAIL_BYTES - before % len(PLAIN) - 1) for before in range(0, 46, 5))
    project.write("rows.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    assert project.penstock("run").status == 1
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("fixtures/*/*/*.json"))
    assert b"yyyy" in kept
    assert PLAIN[-6:].encode() not in kept


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ("when: env.NOTE > 3\n    run: echo", 1),
        ("generate: {model: house, prompt: x}", 1),
        ("run: echo >&2 '{{ env.NOTE }}'; exit 3", 1),
    ],
)
def test_a_run_and_its_plan_say_no_secret_of_a_variable(tmp_path: Path, step: str, status: int) -> None:
    project = Project(tmp_path)
    secret = PLAIN.lower()  # a name of a host is told in small letters
    project.environ |= {"PLAIN": secret}
    project.workflow(
        "secrets: [PLAIN]\nenv: {NOTE: none}\n"
        'models: {house: {model: openai/h, base_url: "http://${NOTE}.invalid/v1"}}\n'
        f"steps:\n  - id: one\n    {step}\n"
    )
    for command in ("run", "plan", "run --json", "plan --json"):
        said = project.penstock(*command.split(), "--var", f"NOTE={secret}")
        assert said.status == (status if "run" in command else 0), said
        assert secret not in said.out + said.err


# --- key formats in prompts --------------------------------------------------------------------

TOKEN = "ghp_" + "9Kd2LmQ7xWz4Rt8Vb1Nc6Ys3Hf5Jg0PaE4oU"
PRIVATE = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw\n" * 6 + "-----END PRIVATE KEY-----\n"


def asked(folder: Path, text: str, model: str = "", step: str = "") -> tuple[Said, list[dict[str, object]], int]:
    """What came of asking a model about the text: the run, its records, and how many requests the server had.

    The model says what it was asked. `model` and `step` are more keys of theirs.
    """
    with ModelServer(Script(answer={"seen": "$prompt"})) as server:
        project = Project(folder)
        project.workflow(
            f"models: {{house: {{model: openai/h, base_url: {server.url}/v1{model}}}}}\n"
            "steps:\n  - id: ask\n    foreach: rows.jsonl\n"
            f"    generate: {{model: house, prompt: '{{{{ item.text }}}}', schema: {{type: object}}{step}}}\n"
        )
        project.write("rows.jsonl", json.dumps({"text": text}) + "\n")
        said = project.penstock("run")
        again = project.penstock("run")
        assert again.status == said.status
        records = [line["record"] for line in project.records("ask") if line.get("record")]
        return said, [each for each in records if isinstance(each, dict)], server.counts()["requests"]


def test_a_key_goes_masked_to_a_model_elsewhere_and_its_answer_is_bought_once(tmp_path: Path) -> None:
    said, records, requests = asked(tmp_path, f"use {TOKEN} here", ", placement: remote")
    assert said.status == 0, said
    [record] = records
    assert re.fullmatch(r"use MASKED-\w+-[0-9a-f]{10} here", str(record["seen"]))
    assert requests == 1


@pytest.mark.parametrize(("model", "step"), [(", placement: remote", ", mask: off"), ("", "")])
def test_a_key_goes_as_it_is_to_a_model_here_and_where_masking_is_off(tmp_path: Path, model: str, step: str) -> None:
    _, [record], requests = asked(tmp_path, f"use {TOKEN} here", model, step)
    assert record == {"seen": f"use {TOKEN} here"}
    assert requests == 1


def test_a_private_key_in_a_prompt_to_a_model_elsewhere_blocks_the_call(tmp_path: Path) -> None:
    said, records, requests = asked(tmp_path, PRIVATE, ", placement: remote")
    assert said.status == 1
    assert "its prompt holds a private key, which is not sent to house" in said.err
    assert (records, requests) == ([], 0)
