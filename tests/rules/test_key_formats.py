"""Known key formats: what is found, what is not, and that any text is read in linear time."""

from __future__ import annotations

import base64
import json
import random
import re
import string
import uuid
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.rules import key_formats
from penstock.rules.key_formats import BLOCKING, RULES, find, mask_of, masked
from penstock.rules.secrets import Masker

KEY = bytes(range(32))
ALNUM = string.ascii_letters + string.digits
URLSAFE = ALNUM + "-_"
HEX = "0123456789abcdef"


def some(signs: str, count: int) -> str:
    """As many signs as that, always the same, and none of them a word or a row of digits."""
    return "".join(random.Random(f"{signs}{count}").choices(signs, k=count))


def b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def pem(kind: str, end: str = "\n") -> str:
    lines = [f"-----BEGIN {kind}-----", *[some(ALNUM + "+/", 64)] * 5, some(ALNUM, 20) + "==", f"-----END {kind}-----"]
    return end.join(lines)


JWT = f"{b64(json.dumps({'typ': 'JWT', 'alg': 'HS256'}))}.{b64(json.dumps({'sub': '7', 'n': 1}))}.{some(URLSAFE, 42)}K"

# Rule, what stands before the key, the key; no example is written out, so that no scanner takes it for a real one.
TRUE = [
    ("private_key", "", pem("RSA PRIVATE KEY")),
    ("private_key", "", pem("PRIVATE KEY")),
    ("private_key", "", pem("OPENSSH PRIVATE KEY")),
    ("private_key", "", pem("PGP PRIVATE KEY BLOCK")),
    ("private_key", '{"private_key": "', pem("PRIVATE KEY", "\\n")),
    ("age_secret_key", "", "AGE-SECRET-KEY-1" + some("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58)),
    ("aws_access_key_id", "", "AKIA" + some(string.ascii_uppercase + "234567", 16)),
    ("aws_secret_access_key", "aws_secret_access_key = ", some(ALNUM + "/+", 40)),
    ("aws_secret_access_key", '"SecretAccessKey": "', some(ALNUM, 40)),
    ("aws_bedrock_key", "", "ABSK" + some(ALNUM, 128)),
    *[("github_token", "", f"gh{kind}_" + some(ALNUM, 36)) for kind in "pousr"],
    ("github_fine_grained_token", "", f"github_pat_{some(ALNUM, 22)}_{some(ALNUM, 59)}"),
    ("gitlab_token", "", "glpat-" + some(URLSAFE, 20)),
    ("gitlab_trigger_token", "", "glptt-" + some(HEX, 40)),
    ("anthropic_key", "", f"sk-ant-api03-{some(URLSAFE, 93)}AA"),
    ("openrouter_key", "", "sk-or-v1-" + some(HEX, 64)),
    ("openai_key", "", f"sk-proj-{some(URLSAFE, 74)}T3BlbkFJ{some(URLSAFE, 73)}a"),
    ("openai_key", "", f"sk-svcacct-{some(ALNUM, 58)}T3BlbkFJ{some(ALNUM, 58)}"),
    ("openai_legacy_key", "", f"sk-{some(ALNUM, 20)}T3BlbkFJ{some(ALNUM, 20)}"),
    ("deepseek_key", "", "sk-" + some(HEX, 32)),
    ("google_api_key", "", "AIza" + some(ALNUM, 35)),
    ("google_oauth_secret", "", "GOCSPX-" + some(ALNUM, 28)),
    ("google_oauth_token", "", "ya29." + some(ALNUM, 120)),
    ("huggingface_token", "", "hf_" + some(string.ascii_letters, 34)),
    ("groq_key", "", "gsk_" + some(ALNUM, 52)),
    ("xai_key", "", "xai-" + some(ALNUM, 80)),
    ("perplexity_key", "", "pplx-" + some(ALNUM, 48)),
    ("replicate_token", "", "r8_" + some(ALNUM, 37)),
    ("fireworks_key", "", "fw_" + some(ALNUM, 24)),
    ("nvidia_key", "", "nvapi-" + some(ALNUM, 64)),
    ("langsmith_key", "", f"lsv2_pt_{some(HEX, 32)}_{some(HEX, 10)}"),
    ("mistral_key", "MISTRAL_API_KEY=", some(ALNUM, 32)),
    ("cohere_key", "cohere_key: '", some(ALNUM, 40)),
    ("slack_token", "", f"xoxb-{some('123456789', 12)}-{some('123456789', 13)}-{some(ALNUM, 24)}"),
    ("slack_app_token", "", f"xapp-1-A0{some('BCDEF123', 9)}-{some('123456789', 13)}-{some(HEX, 64)}"),
    ("slack_webhook", "https://hooks.slack.com/services/", f"T0{some(ALNUM, 9)}/B0{some(ALNUM, 9)}/{some(ALNUM, 24)}"),
    ("stripe_key", "", "sk_live_" + some(ALNUM, 24)),
    ("stripe_webhook_secret", "", "whsec_" + some(ALNUM, 32)),
    ("twilio_auth_token", "TWILIO_AUTH_TOKEN=", some(HEX, 32)),
    ("sendgrid_key", "", f"SG.{some(ALNUM, 22)}.{some(ALNUM, 43)}"),
    ("brevo_key", "", f"xkeysib-{some(HEX, 64)}-{some(ALNUM, 16)}"),
    ("mailgun_key", "MAILGUN_KEY=", f"{some(HEX, 32)}-{some(HEX, 8)}-{some(HEX[::-1], 8)}"),
    ("mailgun_private_key", "", "key-" + some(HEX, 32)),
    ("mailchimp_key", "", f"{some(HEX, 32)}-us14"),
    ("npm_token", "", "npm_" + some(ALNUM, 36)),
    ("pypi_token", "", "pypi-AgEIcHlwaS5vcmc" + some(ALNUM, 120)),
    ("rubygems_key", "", "rubygems_" + some(HEX, 48)),
    ("docker_token", "", "dckr_pat_" + some(ALNUM, 27)),
    ("databricks_token", "", "dapi" + some(HEX, 32)),
    ("digitalocean_token", "", "dop_v1_" + some(HEX, 64)),
    ("doppler_token", "", "dp.pt." + some(ALNUM, 43)),
    ("linear_key", "", "lin_api_" + some(ALNUM, 40)),
    ("notion_token", "", f"ntn_{some('123456789', 11)}{some(ALNUM, 35)}"),
    ("notion_legacy_token", "", "secret_" + some(ALNUM, 43)),
    ("airtable_token", "", f"pat{some(ALNUM, 14)}.{some(HEX, 64)}"),
    ("atlassian_token", "", "ATATT3" + some(ALNUM, 186)),
    ("shopify_token", "", "shpat_" + some(HEX, 32)),
    ("square_token", "", "sq0atp-" + some(ALNUM, 22)),
    ("telegram_bot_token", "", f"{some('123456789', 10)}:AA{some(ALNUM, 33)}"),
    ("discord_bot_token", "", f"MT{some(ALNUM, 24)}.{some(ALNUM, 6)}.{some(ALNUM, 38)}"),
    ("discord_webhook", f"https://discord.com/api/webhooks/{some('123456789', 18)}/", some(ALNUM, 68)),
    ("datadog_key", "DD_API_KEY=", some(HEX, 32)),
    ("new_relic_key", "", "NRAK-" + some(string.ascii_uppercase + string.digits, 27)),
    ("grafana_token", "", f"glsa_{some(ALNUM, 32)}_{some(HEX, 8)}"),
    ("grafana_cloud_token", "", "glc_" + some(ALNUM, 80)),
    ("vault_token", "", "hvs." + some(ALNUM, 95)),
    ("terraform_token", "", f"{some(ALNUM, 14)}.atlasv1.{some(ALNUM, 67)}"),
    ("pulumi_token", "", "pul-" + some(HEX, 40)),
    ("fly_token", "", "fo1_" + some(ALNUM, 43)),
    ("heroku_key", "", "HRKU-AA" + some(ALNUM, 58)),
    ("cloudflare_key", "CLOUDFLARE_API_TOKEN=", some(ALNUM, 40)),
    ("cloudflare_origin_key", "", f"v1.0-{some(HEX, 24)}-{some(HEX, 146)}"),
    ("supabase_token", "", "sbp_" + some(HEX, 40)),
    ("planetscale_token", "", "pscale_tkn_" + some(ALNUM, 43)),
    ("postman_key", "", f"PMAK-{some(HEX, 24)}-{some(HEX, 34)}"),
    ("sentry_token", "", f"sntrys_eyJ{some(ALNUM, 90)}=_{some(ALNUM, 43)}"),
    ("sentry_user_token", "", "sntryu_" + some(HEX, 64)),
    ("dynatrace_token", "", f"dt0c01.{some('ABCDEFGH1234', 24)}.{some('ABCDEFGH1234', 64)}"),
    ("onepassword_token", "", "ops_eyJ" + some(ALNUM, 300)),
    ("azure_storage_key", "AccountName=a;AccountKey=", some(ALNUM, 86) + "=="),
    ("azure_client_secret", "secret is ", f"{some(ALNUM, 3)}8Q~{some(ALNUM, 34)}"),
    ("jwt", "Bearer ", JWT),
    ("url_password", "postgres://app:", "t0ps3cr1t-Pz"),
]
AFTER = {"url_password": "@db.example.org/app"}

# Two near misses of each rule: what begins like a key and is none.
FALSE = {
    "private_key": ["-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----", pem("PUBLIC KEY")],
    "age_secret_key": ["AGE-SECRET-KEY-1QQQ", "age1" + some("qpzry9x8gf2tvdw0", 58)],
    "aws_access_key_id": [
        "AKIAIOSFODNN7EXAMPLE", "AKIA" + some("ABCDEFGH", 12), "XAKIA" + some("ABCDEFGHIJKL2345", 16),
    ],
    "aws_secret_access_key": [
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "secret_access_key=$KEY",
    ],
    "aws_bedrock_key": ["ABSKabc", "ABSK is short"],
    "github_token": ["ghp_" + "x" * 36, "ghp_short", "ghp_" + "1234567890abcdefghij1234567890abcdef"],
    "github_fine_grained_token": ["github_pat_" + some(ALNUM, 22), "github_pat_x"],
    "gitlab_token": ["glpat-short", "glpat-xxxxxxxxxxxxxxxxxxxx"],
    "gitlab_trigger_token": ["glptt-" + some(HEX, 20), "glptt-" + "0" * 40],
    "anthropic_key": ["sk-ant-api03-...", "sk-ant-api03-" + "x" * 95, "sk-ant-your-key"],
    "openrouter_key": ["sk-or-v1-", "sk-or-v1-" + "0" * 64],
    "openai_key": ["sk-proj-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "sk-proj-…", "sk-proj-your-key-here"],
    "openai_legacy_key": ["sk-" + "x" * 48, "sk-learn and sk-image", "task-" + some(ALNUM, 48)],
    "deepseek_key": ["sk-" + "0" * 32, "desk-" + some(HEX, 32)],
    "google_api_key": ["AIzaSy", "AIza" + some(ALNUM, 50)],
    "google_oauth_secret": ["GOCSPX-secret", "GOCSPX-" + "x" * 28],
    "google_oauth_token": ["ya29.a0", "ya29." + "." * 50],
    "huggingface_token": ["hf_hub_download", "hf_" + "x" * 34, "hf_" + some(string.ascii_letters, 20)],
    "groq_key": ["gsk_test", "gsk_" + some(ALNUM, 20)],
    "xai_key": ["xai-sdk", "xai-" + some(ALNUM, 40)],
    "perplexity_key": ["pplx-api", "pplx-" + "x" * 48],
    "replicate_token": ["r8_model", "r8_" + some(ALNUM, 10)],
    "fireworks_key": ["fw_cfg", "fw_" + some(ALNUM, 30)],
    "nvidia_key": ["nvapi-key", "nvapi-" + some(ALNUM, 20)],
    "langsmith_key": ["lsv2_pt_x", f"lsv2_pt_{some(HEX, 32)}"],
    "mistral_key": [f"mistral and then {some(ALNUM, 32)}", "MISTRAL_MODEL=mistral-large-latest"],
    "cohere_key": ["a coherent answer: " + "yes " * 10, "COHERE_API_KEY=$COHERE_API_KEY"],
    "slack_token": ["xoxb alone", "xoxb-your-token-here", "xoxb-123"],
    "slack_app_token": ["xapp-1-A", "xapp-token"],
    "slack_webhook": ["https://hooks.slack.com/services/T00/B00/XXX", "https://hooks.slack.com/services/" + "x" * 44],
    "stripe_key": ["sk_live_", "sk_test_" + "x" * 24, "pk_live_" + some(ALNUM, 24)],
    "stripe_webhook_secret": ["whsec_...", "whsec_abc"],
    "twilio_auth_token": [f"twilio {some(HEX, 32)}", "TWILIO_SID=AC" + some(HEX, 20)],
    "sendgrid_key": ["SG.x.y", "MSG." + some(ALNUM, 22) + "." + some(ALNUM, 43)],
    "brevo_key": ["xkeysib-abc", f"xkeysib-{some(HEX, 64)}"],
    "mailgun_key": ["MAILGUN_KEY=key-abc", "mailgun domain: mg.example.org"],
    "mailgun_private_key": ["key-value", "monkey-" + some(HEX, 32)],
    "mailchimp_key": [f"{some(HEX, 30)}-us14", "en-us12"],
    "npm_token": ["npm_config_registry", "npm_" + "x" * 36],
    "pypi_token": ["pypi-AgE", "pypi-" + some(ALNUM, 60)],
    "rubygems_key": ["rubygems_org", "rubygems_" + some(HEX, 20)],
    "docker_token": ["dckr_pat_x", "dckr_pat_" + some(ALNUM, 40)],
    "databricks_token": ["dapi" + some(HEX, 20), "dapi" + "0" * 32],
    "digitalocean_token": ["dop_v1_", "dop_v1_" + some(HEX, 32)],
    "doppler_token": ["dp.pt.x", "dp.pt." + some(ALNUM, 20)],
    "linear_key": ["lin_api_key", "lin_api_" + some(ALNUM, 20)],
    "notion_token": ["ntn_" + some(ALNUM, 46).translate(str.maketrans("0123456789", "abcdefghij")), "ntn_1"],
    "notion_legacy_token": ["secret_key_of_the_application", "secret_" + some(ALNUM, 30)],
    "airtable_token": ["pattern.match", f"pat{some(ALNUM, 14)}"],
    "atlassian_token": ["ATATT3x", "ATATT3" + some(ALNUM, 50)],
    "shopify_token": ["shpat_" + "0" * 32, "shpat_x"],
    "square_token": ["sq0atp-x", "sq0atp-" + "x" * 22],
    "telegram_bot_token": [f"12:AA{some(ALNUM, 33)}", f"{some('123456789', 10)}:BB{some(ALNUM, 33)}"],
    "discord_bot_token": [f"MT{some(ALNUM, 24)}.{some(ALNUM, 6)}", "Module.method.a_function_of_some_length_and_more"],
    "discord_webhook": ["/api/webhooks/1/x", f"/api/webhooks/{some('123456789', 18)}/" + "x" * 68],
    "datadog_key": [f"datadog has {some(HEX, 32)}", "DD_API_KEY=${DD_API_KEY}"],
    "new_relic_key": ["NRAK-X", "NRAK-" + "X" * 27],
    "grafana_token": ["glsa_x", f"glsa_{some(ALNUM, 32)}"],
    "grafana_cloud_token": ["glc_color", "glc_" + "x" * 60],
    "vault_token": ["hvs.x", "hvs." + some(ALNUM, 30)],
    "terraform_token": ["x.atlasv1.y", f"{some(ALNUM, 14)}.atlasv2.{some(ALNUM, 67)}"],
    "pulumi_token": ["pul-x", "pul-" + some(HEX, 20)],
    "fly_token": ["fo1_x", "fo1_" + some(ALNUM, 20)],
    "heroku_key": ["HRKU-AA", "HRKU-" + some(HEX, 20)],
    "cloudflare_key": [f"cloudflare {some(ALNUM, 40)}", "CLOUDFLARE_ZONE=abc"],
    "cloudflare_origin_key": ["v1.0-rc1", f"v1.0-{some(HEX, 24)}"],
    "supabase_token": ["sbp_x", "sbp_" + some(HEX, 20)],
    "planetscale_token": ["pscale_tkn_x", "pscale_tkn_" + "x" * 40],
    "postman_key": ["PMAK-x", f"PMAK-{some(HEX, 24)}"],
    "sentry_token": ["sntrys_x", "sntrys_eyJ" + some(ALNUM, 60)],
    "sentry_user_token": ["sntryu_x", "sntryu_" + "0" * 64],
    "dynatrace_token": ["dt0c01.x", f"dt0c01.{some('ABCDEFGH1234', 24)}"],
    "onepassword_token": ["ops_eyJ", "ops_eyJ" + some(ALNUM, 90)],
    "azure_storage_key": ["AccountKey=$KEY", "AccountKey=" + some(ALNUM, 40) + "=="],
    "azure_client_secret": ["FAQ~ is a file", f"{some(ALNUM, 3)}8Q~x"],
    "jwt": [JWT.rpartition(".")[0], f"{b64(json.dumps({'no': 'algorithm'}))}.{some(ALNUM, 30)}.{some(ALNUM, 43)}"],
    "url_password": ["https://user@host/a:b@c", "postgres://user:password@host", "https://u:$PASSWORD@host", "http://a:80/x@y"],
}  # fmt: skip

INNOCENT = {
    "prose": "The key to this task: ask the desk, risk-free, and keep a secret. Tokens like sk- or AKIA begin keys. "
    * 5,
    "uuid": " ".join(str(uuid.UUID(int=random.Random(n).getrandbits(128))) for n in range(50)),
    "git": " ".join(some(HEX, 40 - n % 2) for n in range(20)),
    "image": "data:image/png;base64," + base64.b64encode(random.Random(5).randbytes(20_000)).decode(),
    "korean": "비밀번호는 안전한 곳에 보관하세요. 키(sk-…)를 남에게 알려 주지 마세요: hf_ 로 시작합니다. " * 5,
    "code": "from huggingface_hub import hf_hub_download\nimport sk_learn  # sk-learn\nos.environ['OPENAI_API_KEY']\n"
    "curl https://api.openai.com/v1 -H 'Authorization: Bearer $OPENAI_API_KEY' http://localhost:8080/a@b\n",
    "hashes": "sha256:"
    + some(HEX, 64)
    + " md5 "
    + some(HEX, 32)
    + " integrity sha512-"
    + some(ALNUM + "+/", 86)
    + "==",
    "masks": "postgres://app:MASKED-DB_PASSWORD-0123456789@db MASKED-github_token-3f9a0c12d4",
}


@pytest.mark.parametrize(("rule", "before", "key"), TRUE, ids=[f"{n}-{rule}" for n, (rule, *_) in enumerate(TRUE)])
def test_a_key_is_found_where_it_stands_whatever_is_around_it(rule: str, before: str, key: str) -> None:
    after = AFTER.get(rule, "")
    for left, right in (("", ""), ("키는 ", "입니다"), ('{"k": "', '"}'), ("(", ")"), ("a=1;\n", "\nb"), ("`", "`, ")):
        text = left + before + key + after + right
        start = len(left + before)
        assert [(one.start, one.end, one.rule) for one in find(text)] == [(start, start + len(key), rule)]


@pytest.mark.parametrize("rule", FALSE)
def test_what_is_only_nearly_a_key_is_not_found(rule: str) -> None:
    assert len(FALSE[rule]) >= 2
    for text in FALSE[rule]:
        assert find(f"see {text} there") == ()


@pytest.mark.parametrize("name", INNOCENT)
def test_a_text_without_keys_is_left_as_it_is(name: str) -> None:
    assert masked(INNOCENT[name], KEY) == (INNOCENT[name], ())


def test_every_rule_has_examples_both_ways_and_there_are_forty_or_more() -> None:
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names)) >= 40
    assert {rule for rule, *_ in TRUE} == set(FALSE) == set(names)
    assert set(names) >= BLOCKING >= {"private_key"}


def test_every_pattern_is_of_linear_time_and_needs_its_fixed_text() -> None:
    assert {type(rule.expression).__module__ for rule in RULES} == {"re2"}
    for rule, before, key in TRUE:
        fixed = next(one.fixed for one in RULES if one.name == rule)
        assert any(part in before + key + AFTER.get(rule, "") for part in fixed)


@pytest.mark.parametrize(
    "unit",
    [
        *("-----BEGIN PRIVATE KEY-----\n", "a://b:", "://:@", "sk-", "eyJhbGciOiJIUzI1NiJ9.", "aws_secret_access_key"),
        *("M" * 24 + ".", "key-", "pat" + "a" * 14 + ".0", "AccountKey=", "a", "-----BEGIN ", "hf_한", "é"),
    ],
)
def test_a_megabyte_of_beginnings_is_read_to_its_end(unit: str) -> None:
    key = "ghp_" + some(ALNUM, 36)
    text = (unit * (1_000_000 // len(unit.encode()))) + " " + key
    assert find(text)[-1].rule == "github_token"


def test_many_keys_in_a_text_of_many_scripts_are_found_where_they_stand() -> None:
    key = "ghp_" + some(ALNUM, 36)
    text = f"키 🔑 {key}, " * 2000
    found = find(text)
    assert len(found) == 2000
    assert {text[one.start : one.end] for one in found} == {key}


def test_a_masked_key_keeps_its_rules_name_and_is_stable_under_one_key() -> None:
    key = "ghp_" + some(ALNUM, 36)
    text, found = masked(f"use {key} twice: {key}", KEY)
    shown = re.fullmatch(r"use (MASKED-github_token-[0-9a-f]{10}) twice: \1", text)
    assert shown
    assert mask_of(f"use {key} twice: {key}", found[0], KEY) == shown[1]
    assert masked(f"use {key} twice: {key}", bytes(32))[0] != text
    assert masked(text, KEY) == (text, ())


def test_a_masked_secret_and_a_masked_password_are_not_masked_again() -> None:
    url = "postgres://app:t0ps3cr1t-Pz@db"
    text = Masker({"DB_PASSWORD": "t0ps3cr1t-Pz"}, KEY).text(url)
    assert masked(text, KEY) == (text, ())
    once = masked(url, KEY)[0]
    assert once != url
    assert masked(once, KEY) == (once, ())


def test_a_private_key_without_its_end_is_found_too() -> None:
    cut = pem("RSA PRIVATE KEY")[:200]
    assert [one.rule for one in find(f"see\n{cut}")] == ["private_key"]
    assert not BLOCKING.isdisjoint(one.rule for one in find(cut))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.one_of(st.sampled_from([before + key for _, before, key in TRUE]), st.text(max_size=12)), max_size=6)
)
def test_finds_are_in_order_apart_and_none_is_left_after_masking(parts: list[str]) -> None:
    text = " ".join(parts)
    found = find(text)
    assert all(one.start < one.end for one in found)
    assert all(one.end <= after.start for one, after in pairwise(found))
    once, _ = masked(text, KEY)
    assert not any(text[one.start : one.end] in once for one in found)
    assert masked(once, KEY) == (once, ())


def test_the_quick_rejection_lets_no_example_slip() -> None:
    for rule, before, key in TRUE:
        assert key_formats.find(before + key + AFTER.get(rule, "")), rule
