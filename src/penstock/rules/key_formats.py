"""Known key formats: where a text holds what looks like somebody's key, by its prefix and shape.

The rules prefer to miss a key over masking what is none: each has a fixed prefix, or a name beside it, and a length.
Placeholders of documentation are not keys: `AKIAIOSFODNN7EXAMPLE`, `sk-xxxxxxxx`, `ghp_1234567890abcdef…`, anything
with fewer than eight different letters and digits. The formats are as the providers document them and as public
secret scanners know them. All patterns are RE2's, so any text is read in linear time.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from penstock.rules.secrets import mask

BLOCKING = frozenset({"private_key", "age_secret_key"})
"""The rules whose find blocks a call: no model needs a private key."""

_EXAMPLE = re.compile(
    r"EXAMPLE|x{4}|0123456789|1234567890|abcdefgh|\*{3}|\.{3}|(?:your|my)[-_]|placeholder|redacted", re.I
)
_FEWEST_SIGNS = 8
_MASK = re.compile(r"[A-Z0-9]+-\w+(?:\.\w+)?-[0-9a-f]{10}")
_BODY_LEAST = 40


@dataclass(frozen=True, slots=True)
class Rule:
    """A key format. One of `fixed` stands in every text that has such a key, and `opening`, a cheaper pattern, is
    found in it. Group 1 of `pattern` is the key, or all that it matches if there is no group. `check` says of what
    was found whether it is a key."""

    name: str
    fixed: tuple[str, ...]
    pattern: str
    check: Callable[[str], bool] | None = None
    opening: str = ""

    @property
    def expression(self) -> Any:
        """The compiled RE2 expression over UTF-8."""
        return _compiled(self.pattern)


@dataclass(frozen=True, slots=True)
class Found:
    """A key in a text, and the rule that found it. `start` and `end` count characters."""

    start: int
    end: int
    rule: str


def find(text: str) -> tuple[Found, ...]:
    """The keys of a text in order, none overlapping another; where two rules differ, the leftmost, then longest."""
    data = text.encode("utf-8", "surrogatepass")
    if not _quick().search(data):
        return ()
    spans = sorted(_spans(data), key=lambda span: (span[0], -span[1]))
    found: list[Found] = []
    at = chars = 0
    for start, end, rule in spans:
        if start >= at:
            first = chars + len(data[at:start].decode("utf-8", "replace"))
            at, chars = end, first + len(data[start:end].decode("utf-8", "replace"))
            found.append(Found(first, chars, rule))
    return tuple(found)


def masked(text: str, key: bytes) -> tuple[str, tuple[Found, ...]]:
    """The text with each key replaced by `MASKED-RULE-` and ten digits, stable for one key of the project and one
    value; and what was found, by its place in the text that was given."""
    found = find(text)
    pieces: list[str] = []
    at = 0
    for one in found:
        pieces += (text[at : one.start], mask_of(text, one, key))
        at = one.end
    return "".join([*pieces, text[at:]]), found


def mask_of(text: str, found: Found, key: bytes) -> str:
    """What `masked` writes in place of this find, so that a caller can put the original back."""
    return mask(found.rule, text[found.start : found.end].encode("utf-8", "surrogatepass"), key)


def _spans(data: bytes) -> Iterator[tuple[int, int, str]]:
    for rule in RULES:
        if any(fixed.encode() in data for fixed in rule.fixed):
            group = 1 if rule.expression.groups else 0
            for found in rule.expression.finditer(data):
                value = found.group(group).decode("utf-8", "replace")
                if not _is_example(value) and (rule.check is None or rule.check(value)):
                    yield *found.span(group), rule.name


def _is_example(value: str) -> bool:
    """Whether it is a placeholder of documentation, or a mask that stands there already."""
    signs = {sign for sign in value.lower() if sign.isalnum()}
    return len(signs) < _FEWEST_SIGNS or bool(_EXAMPLE.search(value)) or bool(_MASK.fullmatch(value))


def _is_jwt(value: str) -> bool:
    """Whether the first part is the header of a JSON Web Token (RFC 7515, section 4): an object that names `alg`."""
    header = value.partition(".")[0]
    try:
        decoded = base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))
    except (binascii.Error, ValueError):
        return False
    return decoded.startswith(b"{") and b'"alg"' in decoded


def _has_body(value: str) -> bool:
    """Whether a PEM block (RFC 7468) holds a key, and not three dots."""
    body = re.sub(r"-----[^-]*-----|\\[nr]|\s", "", value)
    return len(body) >= _BODY_LEAST


def _is_password(value: str) -> bool:
    """Whether the password of a URL is one: not a variable, not a word that stands for one."""
    return not re.search(
        r"[$<>{}%*\[\]]|^(?:pass(?:word|wd)?|pwd|secret|token|user(?:name)?|postgres|root|admin|test|guest)$",
        value,
        re.I,
    )


def _token(name: str, *prefixes: str, rest: str) -> Rule:
    """A key that begins with one of these prefixes and is not a part of a longer word."""
    start = rf"\b(?:{'|'.join(map(re.escape, prefixes))})"
    return Rule(name, prefixes, rf"({start}{rest})(?:[^A-Za-z0-9_\-]|\z)", opening=start + "[A-Za-z0-9]")


def _named(name: str, words: str, *fixed: str, rest: str) -> Rule:
    """A key without a prefix of its own, after a name and `=` or `:`."""
    beside = rf"(?i:{words})[\w.\-]{{0,20}}[\"'`]?\s{{0,3}}(?::=|=>|=|:)\s{{0,3}}[\"'`]?"
    return Rule(name, fixed, rf"{beside}({rest})(?:[^A-Za-z0-9_+/=\-]|\z)", opening=f"(?i:{words})")


_PEM = (
    r"-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:-{0,4}[^-])*-----END (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----|(?:[A-Za-z0-9+/=\s]|\\[nr])*)"
)

RULES = (
    Rule("private_key", ("PRIVATE KEY",), _PEM, _has_body),
    _token("age_secret_key", "AGE-SECRET-KEY-1", rest="[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    _token("aws_access_key_id", "AKIA", "ASIA", "ABIA", "ACCA", rest="[A-Z2-7]{16}"),
    _named("aws_secret_access_key", "aws_?secret|secret_?access_?key", "ecret", "ECRET", rest="[A-Za-z0-9+/]{40}"),
    _token("aws_bedrock_key", "ABSK", rest="[A-Za-z0-9+/]{109,269}={0,2}"),
    _token("github_token", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", rest="[A-Za-z0-9]{36,255}"),
    _token("github_fine_grained_token", "github_pat_", rest="[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _token("gitlab_token", "glpat-", "gldt-", "glrt-", "glft-", rest=r"[\w\-]{20,300}(?:\.[0-9a-z]{2}[0-9a-z]{7})?"),
    _token("gitlab_trigger_token", "glptt-", rest="[0-9a-f]{40}"),
    _token("anthropic_key", "sk-ant-", rest=r"(?:api|admin|oat|sid)\d\d-[\w\-]{80,120}"),
    _token("openrouter_key", "sk-or-v1-", rest="[0-9a-f]{64}"),
    _token("openai_key", "sk-proj-", "sk-svcacct-", "sk-admin-", rest=r"[\w\-]{40,200}"),
    _token("openai_legacy_key", "sk-", rest="(?:[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}|[A-Za-z0-9]{48})"),
    _token("deepseek_key", "sk-", rest="[0-9a-f]{32}"),
    _token("google_api_key", "AIza", rest=r"[\w\-]{35}"),
    _token("google_oauth_secret", "GOCSPX-", rest=r"[\w\-]{28}"),
    _token("google_oauth_token", "ya29.", rest=r"[\w\-]{40,1000}"),
    _token("huggingface_token", "hf_", rest="[A-Za-z]{34}"),
    _token("groq_key", "gsk_", rest="[A-Za-z0-9]{52}"),
    _token("xai_key", "xai-", rest="[A-Za-z0-9]{80}"),
    _token("perplexity_key", "pplx-", rest="[A-Za-z0-9]{48}"),
    _token("replicate_token", "r8_", rest="[A-Za-z0-9]{37}"),
    _token("fireworks_key", "fw_", rest="[A-Za-z0-9]{24}"),
    _token("nvidia_key", "nvapi-", rest=r"[\w\-]{64}"),
    _token("langsmith_key", "lsv2_pt_", "lsv2_sk_", rest="[0-9a-f]{32}_[0-9a-f]{10}"),
    _named("mistral_key", "mistral", "istral", "ISTRAL", rest="[A-Za-z0-9]{32}"),
    _named("cohere_key", "cohere|co_api_key", "ohere", "OHERE", "CO_API_KEY", rest="[A-Za-z0-9]{40}"),
    _token("slack_token", "xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", rest=r"[0-9]{8,14}-[A-Za-z0-9\-]{18,120}"),
    _token("slack_app_token", "xapp-", rest=r"\d-[A-Z0-9]{8,14}-\d{8,14}-[a-z0-9]{64}"),
    Rule(
        "slack_webhook",
        ("hooks.slack.com/",),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/]{40,60})",
    ),
    _token("stripe_key", "sk_live_", "rk_live_", "sk_test_", "rk_test_", rest="[A-Za-z0-9]{16,247}"),
    _token("stripe_webhook_secret", "whsec_", rest="[A-Za-z0-9+/]{32,64}={0,2}"),
    _named("twilio_auth_token", "twilio", "wilio", "WILIO", rest="(?:SK)?[0-9a-f]{32}"),
    _token("sendgrid_key", "SG.", rest=r"[\w\-]{22}\.[\w\-]{43}"),
    _token("brevo_key", "xkeysib-", rest="[0-9a-f]{64}-[A-Za-z0-9]{16}"),
    _named(
        "mailgun_key", "mailgun", "ailgun", "AILGUN", rest="(?:key-[0-9a-f]{32}|[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8})"
    ),
    _token("mailgun_private_key", "key-", rest="[0-9a-f]{32}"),
    Rule("mailchimp_key", ("-us",), r"\b([0-9a-f]{32}-us\d{1,2})\b", opening=r"[0-9a-f]-us\d"),
    _token("npm_token", "npm_", rest="[A-Za-z0-9]{36}"),
    _token("pypi_token", "pypi-AgE", rest=r"[\w\-]{50,1000}"),
    _token("rubygems_key", "rubygems_", rest="[0-9a-f]{48}"),
    _token("docker_token", "dckr_pat_", rest=r"[\w\-]{27}"),
    _token("databricks_token", "dapi", rest=r"[0-9a-f]{32}(?:-\d)?"),
    _token("digitalocean_token", "dop_v1_", "doo_v1_", "dor_v1_", rest="[0-9a-f]{64}"),
    _token("doppler_token", "dp.pt.", "dp.st.", "dp.ct.", rest=r"(?:[\w\-]{2,35}\.)?[A-Za-z0-9]{40,44}"),
    _token("linear_key", "lin_api_", rest="[A-Za-z0-9]{40}"),
    _token("notion_token", "ntn_", rest="[0-9]{11}[A-Za-z0-9]{35}"),
    _token("notion_legacy_token", "secret_", rest="[A-Za-z0-9]{43}"),
    Rule(
        "airtable_token", ("pat",), r"\b(pat[A-Za-z0-9]{14}\.[0-9a-f]{64})\b", opening=r"pat[A-Za-z0-9]{14}\.[0-9a-f]"
    ),
    _token("atlassian_token", "ATATT3", rest=r"[\w\-=]{180,200}"),
    _token("shopify_token", "shpat_", "shpca_", "shppa_", "shpss_", rest="[0-9a-fA-F]{32}"),
    _token("square_token", "sq0atp-", "sq0csp-", rest=r"[\w\-]{22,60}"),
    Rule("telegram_bot_token", (":AA",), r"\b([0-9]{8,10}:AA[\w\-]{33})(?:[^\w\-]|\z)"),
    Rule(
        "discord_bot_token",
        (".",),
        r"\b([MNO][A-Za-z0-9]{23,27}\.[\w\-]{6}\.[\w\-]{27,38})(?:[^\w\-.]|\z)",
        opening=r"\.[\w\-]{6}\.[\w\-]{27}",
    ),
    Rule("discord_webhook", ("/api/webhooks/",), r"/api/webhooks/\d{17,20}/([\w\-]{60,80})"),
    _named(
        "datadog_key",
        "datadog|dd_?(?:api|app)",
        "atadog",
        "ATADOG",
        "DD_A",
        "dd_a",
        rest="(?:[0-9a-f]{32}|[0-9a-f]{40})",
    ),
    _token("new_relic_key", "NRAK-", rest="[A-Z0-9]{27}"),
    _token("grafana_token", "glsa_", rest="[A-Za-z0-9]{32}_[0-9A-Fa-f]{8}"),
    _token("grafana_cloud_token", "glc_", rest="[A-Za-z0-9+/]{32,400}={0,3}"),
    _token("vault_token", "hvs.", "hvb.", rest=r"[\w\-]{90,300}"),
    Rule("terraform_token", (".atlasv1.",), r"\b([A-Za-z0-9]{14}\.atlasv1\.[\w\-=]{60,70})(?:[^\w\-=]|\z)"),
    _token("pulumi_token", "pul-", rest="[0-9a-f]{40}"),
    _token("fly_token", "fo1_", rest=r"[\w\-]{43}"),
    _token("heroku_key", "HRKU-AA", rest=r"[\w\-]{58}"),
    _named("cloudflare_key", "cloudflare|cf_api", "loudflare", "LOUDFLARE", "CF_API", rest=r"[\w\-]{40}|[0-9a-f]{37}"),
    _token("cloudflare_origin_key", "v1.0-", rest="[0-9a-f]{24}-[0-9a-f]{146}"),
    _token("supabase_token", "sbp_", rest="(?:oauth_)?[0-9a-f]{40}"),
    _token("planetscale_token", "pscale_tkn_", "pscale_pw_", "pscale_oauth_", rest=r"[\w=.\-]{32,64}"),
    _token("postman_key", "PMAK-", rest="[0-9a-fA-F]{24}-[0-9a-fA-F]{34}"),
    _token("sentry_token", "sntrys_", rest="eyJ[A-Za-z0-9+/]{20,400}={0,2}_[A-Za-z0-9+/]{43}"),
    _token("sentry_user_token", "sntryu_", rest="[0-9a-f]{64}"),
    _token("dynatrace_token", "dt0c01.", rest=r"[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    _token("onepassword_token", "ops_eyJ", rest="[A-Za-z0-9+/]{250,1000}={0,3}"),
    Rule("azure_storage_key", ("AccountKey=",), r"AccountKey=([A-Za-z0-9+/]{86}==)"),
    Rule("azure_client_secret", ("Q~",), r"(?:\A|[^\w~.\-])([\w~.]{3}\dQ~[\w~.\-]{31,34})(?:[^\w~.\-]|\z)"),
    Rule("jwt", ("eyJ",), r"\b(eyJ[\w\-]{10,}\.[\w\-]{10,}\.[\w\-]{10,})", _is_jwt),
    Rule(
        "url_password",
        ("://",),
        r"\b[A-Za-z][A-Za-z0-9+.\-]{1,20}://[^\s/:@\"'<>?#]{0,100}:([^\s/:@\"'<>?#]{3,200})@[\w\[.\-]",
        _is_password,
        r"://[^\s/@:]*:[^\s/@]*@",
    ),
)
"""Every rule, most telling first: of two that find the same, the earlier names it."""


@cache
def _compiled(pattern: str) -> Any:
    import re2  # type: ignore[import-untyped]  # ships no types; imported late: only prompts are looked through

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.longest_match = True
    options.log_errors = False
    options.max_mem = 1 << 26
    return re2.compile(pattern.encode(), options)


@cache
def _quick() -> Any:
    """One expression of all openings: most texts hold none of them."""
    plain = ("|".join(map(re.escape, rule.fixed)) for rule in RULES if not rule.opening)
    return _compiled("|".join(dict.fromkeys([*plain, *(rule.opening for rule in RULES if rule.opening)])))
