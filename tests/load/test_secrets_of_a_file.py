"""`secrets` and `allow_hosts`, as a workflow file says them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jsonschema import Draft202012Validator

from penstock.core.errors import WorkflowError
from penstock.core.workflow import Workflow
from penstock.load.schema import json_schema
from penstock.load.source import parse
from penstock.load.tree import plain

Load = Callable[..., Workflow]
VALIDATOR = Draft202012Validator(json_schema())


def flow(secrets: str, step: str = "") -> str:
    return f"name: x\nsecrets: {secrets}\nsteps: [{{id: a, run: echo{step}}}]"


def problems(loaded: Load, text: str) -> list[str]:
    with pytest.raises(WorkflowError) as caught:
        loaded(text)
    return [str(problem) for problem in caught.value.problems]


def test_names_commands_and_keyrings_are_read_in_order(loaded: Load) -> None:
    secrets = '[TOKEN, {DB: {command: "pass db | head -1"}}, {KEY: {keyring: penstock}}]'
    workflow = loaded(flow(secrets, ", secrets: [KEY, DB]"))
    assert workflow.secrets == ("TOKEN", "DB", "KEY")
    assert [(one.name, one.command, one.keyring) for one in workflow.secret_sources] == [
        ("TOKEN", None, None),
        ("DB", "pass db | head -1", None),
        ("KEY", None, "penstock"),
    ]
    assert {one.at.line for one in workflow.secret_sources} == {2}
    assert workflow.step("a").secrets == ("KEY", "DB")


def test_a_name_that_stands_twice_is_one_secret(loaded: Load) -> None:
    assert loaded(flow("[A, {B: {keyring: c}}, A, {B: {keyring: c}}]")).secrets == ("A", "B")


@pytest.mark.parametrize(
    "secrets", ["[{A: {keyring: b}}, A]", "[{A: {keyring: b}}, {A: {keyring: c}}]", "[{A: {command: b}}, A, A]"]
)
def test_two_sources_for_one_name_are_told_with_the_line_of_the_first(loaded: Load, secrets: str) -> None:
    for problem in problems(loaded, flow(secrets)):
        assert "a second source of the secret `A`; the first is on line 2" in problem


@pytest.mark.parametrize(
    "secrets",
    [
        "[{A: 'tHe-VaLuE'}]",
        "[{A: tHe-VaLuE}, B]",
        "[A=tHe-VaLuE]",
        "['A = tHe-VaLuE']",
        "[{1A: tHe-VaLuE}]",
        "\n  - A: tHe-VaLuE",
        "\n  - A:\n      tHe-VaLuE",
        "\n  - A: |\n      tHe-VaLuE",
    ],
)
def test_a_value_that_is_written_into_the_file_is_never_shown(loaded: Load, secrets: str) -> None:
    (told,) = problems(loaded, flow(secrets))
    assert "the value of a secret is never written into the file" in told
    assert "tHe-VaLuE" not in told


@pytest.mark.parametrize("secrets", ["[{A: {comand: x}}]", "[{A: {}}]", "[{A: b}]", "[{A: [b]}]", "{A: {command: b}}"])
def test_a_secret_that_is_declared_wrongly_is_one_problem_though_a_step_asks_for_it(loaded: Load, secrets: str) -> None:
    assert len(problems(loaded, flow(secrets, ", secrets: [A]"))) == 1


@pytest.mark.parametrize(
    ("env", "told"),
    [("{A: x}", "`A` is declared under `secrets` too"), ("{C: '${A}'}", "its value must not become part of another")],
)
def test_a_secret_of_a_command_stands_under_no_env_and_fills_no_entry(loaded: Load, env: str, told: str) -> None:
    (problem,) = problems(loaded, flow("[{A: {command: b}}]").replace("steps", f"env: {env}\nsteps"))
    assert told in problem


def test_hosts_are_kept_as_they_are_written_each_once(loaded: Load) -> None:
    hosts = '[api.openai.com, "*.internal:8000", "[::1]:80", api.openai.com]'
    workflow = loaded(f"name: x\nallow_hosts: {hosts}\nsteps: [{{id: a, run: b}}]")
    assert workflow.allow_hosts == ("api.openai.com", "*.internal:8000", "[::1]:80")


def test_an_empty_list_of_hosts_allows_none_and_no_list_allows_all(loaded: Load) -> None:
    assert loaded("name: x\nallow_hosts: []\nsteps: [{id: a, run: b}]").allow_hosts == ()
    assert loaded("name: x\nsteps: [{id: a, run: b}]").allow_hosts is None


@pytest.mark.parametrize("entry", ["user:tHe-VaLuE@host", "https://user:tHe-VaLuE@host/v1"])
def test_a_password_in_an_entry_is_not_in_the_message(loaded: Load, entry: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        loaded(f"name: x\nallow_hosts: ['{entry}']\nsteps: [{{id: a, run: b}}]")
    assert "tHe-VaLuE" not in caught.value.problems[0].message


GOOD = [
    "secrets: [A, {B: {command: c}}, {D: {keyring: e}}]",
    "budget: {cost_usd: 0.5, calls: 1, tokens: 2, seconds: 1.5, when_exceeded: stop, notify: mail}",
    "budget: {seconds: 10m}",
    "allow_hosts: []",
    'allow_hosts: [a.b, "*.c:80", "[::1]", "bücher.example"]',
]
WRONG = [
    "secrets: [{B: {}}]",
    "secrets: [{B: {command: c, keyring: d}}]",
    "secrets: [{B: {command: c}, D: {command: e}}]",
    "secrets: [{B: c}]",
    "secrets: [{}]",
    "budget: {}",
    "budget: {when_exceeded: stop}",
    "budget: {cost_usd: 0}",
    "budget: {cost_usd: 5, calls: 1.5}",
    "budget: {seconds: ten}",
    "allow_hosts: a.b",
    'allow_hosts: ["https://a.b"]',
]


@pytest.mark.parametrize("key", GOOD)
def test_the_schema_for_editors_accepts_what_is_loaded(loaded: Load, key: str) -> None:
    text = f"name: x\n{key}\nsteps: [{{id: a, run: b}}]"
    loaded(text)
    assert list(VALIDATOR.iter_errors(plain(parse(text, "f.yaml").root))) == []


@pytest.mark.parametrize("key", WRONG)
def test_the_schema_for_editors_rejects_what_is_not_loaded(loaded: Load, key: str) -> None:
    text = f"name: x\n{key}\nsteps: [{{id: a, run: b}}]"
    assert problems(loaded, text)
    assert list(VALIDATOR.iter_errors(plain(parse(text, "f.yaml").root))) != []
