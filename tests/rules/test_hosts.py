"""`allow_hosts`: which addresses a list of hosts lets through, and which tricks it does not fall for."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from penstock.rules.hosts import entry_fault, refused_host

ALLOWED = [
    ("api.openai.com", "https://api.openai.com/v1/chat"),
    ("api.openai.com", "https://api.openai.com:8443/v1"),
    ("api.openai.com", "http://api.openai.com"),
    ("API.OpenAI.com", "https://Api.OPENAI.Com/v1"),
    ("api.openai.com.", "https://api.openai.com/v1"),
    ("api.openai.com", "https://api.openai.com./v1"),
    ("api.openai.com:443", "https://api.openai.com/v1"),
    ("api.openai.com:80", "http://api.openai.com/v1"),
    ("gpu:8000", "http://gpu:8000/v1"),
    ("*.internal", "http://a.b.internal/v1"),
    ("*.internal:8000", "http://a.internal:8000/v1"),
    ("2001:db8::1", "http://[2001:db8::1]:8000/v1"),
    ("[2001:db8::1]", "http://[2001:DB8:0:0:0:0:0:1]/v1"),
    ("[2001:db8::1]:8000", "http://[2001:db8::1]:8000/v1"),
    ("10.0.0.7", "http://10.0.0.7:8000/v1"),
    ("bücher.example", "https://xn--bcher-kva.example/v1"),
    ("xn--bcher-kva.example", "https://BÜCHER.example/v1"),
    ("evil.com", "https://api.openai.com@evil.com/"),
]
REFUSED = [
    ("api.openai.com", "https://evil.com/v1", "evil.com"),
    ("api.openai.com", "https://openai.com/v1", "openai.com"),
    ("openai.com", "https://api.openai.com/v1", "api.openai.com"),
    ("api.openai.com", "https://api.openai.com.evil.com/v1", "api.openai.com.evil.com"),
    ("api.openai.com", "https://evilapi.openai.com/v1", "evilapi.openai.com"),
    ("api.openai.com", "https://api.openai.com@evil.com/v1", "evil.com"),
    ("api.openai.com", "https://api.openai.com:443@evil.com/v1", "evil.com"),
    ("api.openai.com", "https://evil.com#@api.openai.com/v1", "evil.com"),
    ("api.openai.com", "https://evil.com?@api.openai.com/v1", "evil.com"),
    ("api.openai.com", "https://evil.com/@api.openai.com", "evil.com"),
    ("api.openai.com:443", "https://api.openai.com:8443/v1", "api.openai.com:8443"),
    ("api.openai.com:443", "http://api.openai.com/v1", "api.openai.com"),
    ("*.internal", "http://internal/v1", "internal"),
    ("*.internal", "http://notinternal/v1", "notinternal"),
    ("*.internal", "http://.internal/v1", None),
    ("*.internal:8000", "http://a.internal/v1", "a.internal"),
    ("10.0.0.7", "http://10.0.0.8/v1", "10.0.0.8"),
    ("10.0.0.7", "http://0x0a000007/v1", None),
    ("10.0.0.7", "http://167772167/v1", None),
    ("10.0.0.7", "http://10.7/v1", None),
    ("10.0.0.7", "http://010.0.0.7/v1", None),
    ("2001:db8::1", "http://[2001:db8::2]:80/v1", "[2001:db8::2]:80"),
    ("strasse.example", "https://straße.example/v1", None),
    ("api.openai.com", "https://ａpi.openai.com/v1", None),
    ("api.openai.com", "https://api。openai.com/v1", None),
    ("api.openai.com", "https://api\N{ZERO WIDTH JOINER}.openai.com/v1", None),
    ("api.openai.com", "https://evil.com\\@api.openai.com/v1", None),
    ("api.openai.com", "https://evil.com\t@api.openai.com/v1", None),
    ("api.openai.com", " https://api.openai.com/v1", None),
    ("api.openai.com", "https://api%2eopenai%2ecom/v1", None),
    ("api.openai.com", "https://api..openai.com/v1", None),
    ("api.openai.com", "https://api.openai.com../v1", None),
    ("api.openai.com", "https://api.openai.com:99999/v1", None),
    ("api.openai.com", "https://api.openai.com:0/v1", None),
    ("api.openai.com", "https://[api.openai.com]/v1", None),
    ("api.openai.com", "https://[::1]api.openai.com/v1", None),
    ("api.openai.com", "ftp://api.openai.com/v1", None),
    ("api.openai.com", "//api.openai.com/v1", None),
    ("api.openai.com", "api.openai.com/v1", None),
    ("api.openai.com", "", None),
]


@pytest.mark.parametrize(("entry", "url"), ALLOWED)
def test_an_address_at_a_listed_host_is_let_through(entry: str, url: str) -> None:
    assert entry_fault(entry) is None
    assert refused_host(["elsewhere.example", entry], url) is None


@pytest.mark.parametrize(("entry", "url", "host"), REFUSED)
def test_any_other_address_is_refused_by_its_host(entry: str, url: str, host: str | None) -> None:
    assert entry_fault(entry) is None
    assert refused_host([entry], url) == (host or "an address that can be read in two ways")


@pytest.mark.parametrize("url", ["http://localhost:11434", "http://a.localhost", "http://127.0.0.1:8", "http://[::1]"])
def test_what_stays_on_this_machine_is_let_through_by_every_list(url: str) -> None:
    assert refused_host([], url) is None


@pytest.mark.parametrize(
    "url", ["http://localhost.evil.com", "http://127.0.0.1.evil.com", "http://0.0.0.0", "http://[::]"]
)
def test_what_only_looks_like_this_machine_is_refused(url: str) -> None:
    assert refused_host([], url) is not None


def test_without_a_list_everything_is_let_through() -> None:
    assert refused_host(None, "https://anywhere.example/v1") is None


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.*", "a.*", "**.a", "a b", "a:", "a:0", "a:65536", "a:1:", "[a]", "[::1", "::1]", "[::1]x", "a..b",
     ".a", "-a", "*.", "127.1", "0x7f.1", "*.1.2.3.4", "https://a", "a/b", "u@a", "${HOST}", "{{env.HOST}}", "ß.de"],
)  # fmt: skip
def test_an_entry_that_is_no_host_is_told_with_what_to_write(entry: str) -> None:
    fault = entry_fault(entry)
    assert fault is not None
    assert all(fault)


PIECES = ["a.b", "x.c", "evil", "c", "@", ":", "/", "\\", "#", "?", "%", "[", "]", "::1", ".", "80", "127.0.0.1", " "]


@settings(max_examples=500)
@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | st.text(max_size=12))
def test_what_is_let_through_is_called_where_the_list_says(rest: str) -> None:
    """Held against the parser of the client that sends our requests: the two must not read one address differently."""
    url = f"http://{rest}"
    if refused_host(["a.b", "*.c"], url) is None:
        host = (URL(url).host or "").removesuffix(".")
        assert host == "a.b" or host.endswith((".c", "localhost")) or ip_address(host).is_loopback


@given(st.text(max_size=20) | st.lists(st.sampled_from([*PIECES, "*"]), max_size=5).map("".join))
def test_an_entry_is_wrong_or_lets_its_own_host_through(entry: str) -> None:
    if entry_fault(entry) is None:
        own = entry.replace("*.", "below.", 1) if entry.startswith("*.") else entry
        own = f"[{own}]" if own.count(":") > 1 and not own.startswith("[") else own
        assert refused_host([entry], f"http://{own}/v1") is None
