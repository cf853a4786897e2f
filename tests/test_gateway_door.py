"""The gateway's door: who is let in, what may not leave, and what becomes of budgets and secrets on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripted import COST, Scripted, asking, column
from tests.upstream_server import Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


# --- who may come in ---------------------------------------------------------------------------


def test_nobody_is_let_in_without_a_token_by_another_name_or_from_a_browser(upstream: Upstream, tmp_path: Path) -> None:
    tries: list[dict[str, str]] = [
        {"authorization": "Bearer penstock-guessed", "x-api-key": ""},
        {"authorization": "", "x-api-key": ""},
        {"host": "evil.example"},
        {"origin": "https://evil.example"},
    ]
    scripted = asking(
        tmp_path,
        upstream,
        f"tries = {tries!r}\nprint(json.dumps([ask(prompt, headers=each) for each in tries] + "
        '[ask(prompt, url=os.environ["PENSTOCK_GATEWAY"] + "/penstock-guessed/api/chat", headers=tries[1])]))',
    )
    assert scripted.sent() == 0
    found = scripted.record()
    assert [status for status, _, _ in found] == [401, 401, 403, 403, 401]
    assert json.loads(found[0][1])["error"]["code"] == "invalid_api_key"
    assert not [name for _, _, headers in found for name in headers if name.lower().startswith("access-control")]


def test_a_token_is_worth_nothing_when_its_command_has_ended(upstream: Upstream, tmp_path: Path) -> None:
    script = (
        'import pathlib\nkept = pathlib.Path("token")\nmine = os.environ["OPENAI_API_KEY"]\n'
        "theirs = kept.read_text() if kept.exists() else mine\nkept.write_text(mine)\n"
        'said = {"authorization": "Bearer " + theirs, "x-api-key": ""}\nprint(ask(prompt, headers=said)[0])'
    )
    scripted = asking(tmp_path, upstream, script)
    scripted.rows("one", "two")
    scripted.run()
    assert scripted.records() == [200, 401]


def test_the_real_keys_reach_no_command_and_the_variables_of_other_clients_lead_to_the_gateway_too(
    upstream: Upstream, tmp_path: Path
) -> None:
    rivals = ("ANTHROPIC_AUTH_TOKEN", "OLLAMA_API_KEY", "ANTHROPIC_API_URL", "OPENAI_CUSTOM_HEADERS")
    scripted = Scripted(
        tmp_path,
        upstream,
        run="env -0 | python -c 'import json,sys; print(json.dumps(sys.stdin.read().split(chr(0))))'",
    )
    scripted.project.environ |= {**dict.fromkeys(rivals, "sk-real-and-secret"), "NO_PROXY": "example.org"}
    scripted.workflow(
        "secrets: [OPENAI_API_KEY, ANTHROPIC_AUTH_TOKEN]", "secrets: [OPENAI_API_KEY, ANTHROPIC_AUTH_TOKEN]\n"
    )
    scripted.run()
    found = dict(line.split("=", 1) for line in scripted.record() if line)
    assert not [name for name, value in found.items() if "sk-" in value]
    token, address = found["OPENAI_API_KEY"], found["PENSTOCK_GATEWAY"]
    assert {found[name] for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OLLAMA_API_KEY")} == {token}
    assert (found["OPENAI_BASE_URL"], found["OPENAI_API_BASE"]) == (f"{address}/v1",) * 2
    assert (found["ANTHROPIC_BASE_URL"], found["ANTHROPIC_API_URL"]) == (address, address)
    assert (found["OLLAMA_HOST"], found["OPENAI_CUSTOM_HEADERS"]) == (f"{address}/{token}", "")
    assert found["NO_PROXY"] == found["no_proxy"] == "example.org,127.0.0.1,localhost"


def test_what_may_not_leave_this_machine_is_asked_of_nobody_elsewhere(upstream: Upstream, tmp_path: Path) -> None:
    scripted = asking(tmp_path, upstream, "print(json.dumps([ask(prompt, whose)[:2] for whose in PATHS]))")
    scripted.head = "models:\n  gpt-4o-mini: {model: openai/gpt-4o-mini, base_url: https://api.example.com/v1}\n"
    scripted.workflow("placement: local")
    assert scripted.sent() == 2  # the other two are on this machine
    (status, said), *others = scripted.record()
    assert (status, [each for each, _ in others]) == (403, [200, 200])
    assert "`placement: local`" in said
    scripted.workflow(head="allow_hosts: [127.0.0.1]\n")
    scripted.run()
    (status, said), *others = scripted.record()
    assert (status, [each for each, _ in others]) == (403, [200, 200])
    assert "`allow_hosts` does not list api.example.com" in said


def test_a_key_that_is_missing_is_told_to_the_script(upstream: Upstream, tmp_path: Path) -> None:
    scripted = asking(tmp_path, upstream, "print(json.dumps(ask(prompt)))")
    del scripted.project.environ["OPENAI_API_KEY"]
    assert scripted.sent() == 0
    status, said, headers = scripted.record()
    assert (status, headers["x-should-retry"]) == (401, "false")
    assert "OPENAI_API_KEY is not set where Penstock runs" in json.loads(said)["error"]["message"]


# --- budget ------------------------------------------------------------------------------------


def test_a_used_up_budget_is_the_client_s_error_and_pauses_the_run_and_more_of_it_finishes_with_nothing_bought_twice(
    upstream: Upstream, tmp_path: Path
) -> None:
    script = "status, said, _ = ask(prompt)\nsys.exit(str(status) + said) if status != 200 else print(said)"
    scripted = asking(tmp_path, upstream, script)
    scripted.rows(*(f"row {n}" for n in range(6)))
    scripted.workflow(head="budget: {calls: 3}\n")
    assert scripted.sent(status=4) == 3
    assert '402{"error":{"message":"Penstock\'s budget is used up' in scripted.complaints()
    assert len(scripted.calls()) == 3
    scripted.penstock("resume", "--budget", "calls=20")
    assert len(upstream.seen()) == 6
    assert column(scripted.items(), "verdict", "cost") == [("accepted", COST)] * 6


# --- secrets -----------------------------------------------------------------------------------

TOKEN = "ghp_" + "9Kd2LmQ7xWz4Rt8Vb1Nc6Ys3Hf5Jg0PaE4oU"
PRIVATE = (
    "-----BEGIN PRIVATE KEY-----\\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw\\n" * 6 + "-----END PRIVATE KEY-----\\n"
)


def test_a_secret_in_a_script_s_prompt_is_masked_on_its_way_and_restored_on_its_way_back(
    upstream: Upstream, tmp_path: Path
) -> None:
    script = (
        'secret = os.environ["PLAIN"]\nsaid = [text_of(ask("say " + secret)), ask("say " + secret, stream=True)[1]]\n'
        "print(json.dumps([secret in said[0], 'data: {' in said[1] and secret not in said[1]]))"
    )
    scripted = asking(tmp_path, upstream, script)
    scripted.project.environ["PLAIN"] = 'canary-"9f8e7d\\6c5b4aQmZx'
    scripted.workflow("secrets: [PLAIN]", "secrets: [PLAIN]\n")
    assert scripted.sent() == 2
    assert scripted.record() == [True, True]
    assert "canary" not in json.dumps([seen.body for seen in upstream.seen()])
    assert scripted.sent() == 0


def test_a_key_goes_masked_to_a_model_elsewhere_and_a_private_key_blocks_the_call(
    upstream: Upstream, tmp_path: Path
) -> None:
    scripted = asking(tmp_path, upstream, f'print(json.dumps([ask("use {TOKEN} here")[:2], ask("use {PRIVATE}")[:2]]))')
    scripted.head = "models: {gpt-4o-mini: {model: openai/gpt-4o-mini, placement: remote}}\n"
    scripted.workflow()
    assert scripted.sent() == 1
    (status, _), (blocked, said) = scripted.record()
    assert (status, blocked) == (200, 403)
    assert "its prompt holds a private key, which is not sent to gpt-4o-mini" in said
    [seen] = upstream.seen()
    assert TOKEN not in json.dumps(seen.body)
    assert "MASKED-" in json.dumps(seen.body)
