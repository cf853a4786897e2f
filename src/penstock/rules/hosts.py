"""`allow_hosts`: the hosts at which models may be called.

The limit is on where data goes. What stays on this machine goes nowhere, so the loopback interface is always
allowed; a model that has no server (`python/`, `sim/`) has no address to ask about. An entry is a host, HOST:PORT, or
`*.` and the end of a host's name. Without a port it stands for every port. Names are compared as DNS does: case and
one dot at the end do not matter. An address that programs may read in different ways is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_ODD = re.compile(r"[\\\s\x00-\x1f\x7f]")
_PLACE = re.compile(r"(?:\[[^\[\]@]+\]|[^\[\]:@]+)(?::[0-9]{1,5})?")
"""HOST or HOST:PORT of an address; `urlsplit` reads `[::1]a.b` as `::1`, and `a.b:` as `a.b`."""
_BRACKETED = re.compile(r"(?:[^@\[\]]*@)?\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\](?::[0-9]*)?")
_AS_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
"""A name that programs read as an IPv4 address in one of its older spellings, such as `127.1` and `0x7f000001`."""
_MISREAD = "an address that can be read in two ways"


@dataclass(frozen=True, slots=True)
class _Entry:
    """`host` in its one spelling; `port` None for every port; `below` for what ends with `.host`."""

    host: str
    port: int | None
    below: bool


def refused_host(allow_hosts: Sequence[str] | None, url: str) -> str | None:
    """The host of an address, with its port if it names one, at which no model may be called; None if one may.

    `allow_hosts` are sound entries (`entry_fault`), None allows all. What cannot be read in one way is refused.
    """
    if allow_hosts is None:
        return None
    found = _address(url)
    if found is None:
        return _MISREAD
    host, port, shown = found
    if is_loopback(host):
        return None
    return None if any(_covers(_entry(text), host, port) for text in allow_hosts) else shown


def entry_fault(text: str) -> tuple[str, str] | None:
    """What is wrong with an entry of `allow_hosts`, and what to write; None if nothing is."""
    plain = "write the host alone, as in `api.openai.com`"
    if text == "*":
        return "`*` stands for every host", "leave `allow_hosts` out to allow all of them"
    if "@" in text:
        return "an entry of `allow_hosts` has a user or a password", plain
    if "://" in text:
        host = _address(text)
        return f"`{text}` is an address, not a host", f"write `{host[2]}`" if host else plain
    if "/" in text:
        return f"`{text}` is more than a host", plain
    if "$" in text or "{" in text:
        return f"`{text}`: variables are not filled in here, so that the file says where data may go", plain
    if _entry(text).host:
        return None
    rest = text.removeprefix("*.")
    if "*" in rest:
        return f"`{text}`: a `*` can only stand at the beginning, before a dot", "write `*.example.com`"
    if rest != text and _entry(rest).host:
        return f"`{text}`: a number is no name that others could stand below", f"write `{rest}`"
    if re.fullmatch(r"[^:]+:[^:]*", text) and _entry(text.partition(":")[0]).host:
        return f"`{text}`: a port is a number from 1 to 65535", "write HOST:PORT, as in `gpu.internal:8000`"
    if not text.isascii():
        return (
            f"`{text}` is a name that can be read in two ways",
            "write it in its ASCII form, which begins with `xn--`",
        )
    return f"`{text}` is no host", plain


def _entry(text: str) -> _Entry:
    """An entry, read; its host is empty where it has none."""
    below = text.startswith("*.")
    host, port = _split(text.removeprefix("*."))
    spelt = _spelt(host) if port != 0 else ""
    return _Entry("" if below and _number(spelt) else spelt, port, below)


def _split(text: str) -> tuple[str, int | None]:
    """(host, port) of HOST, HOST:PORT, `[::1]:PORT` and `::1`; port 0 for what is no port."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text)
    if bracketed:
        host, port = bracketed[1], bracketed[2]
        if ":" not in host:
            return "", None
    elif text.count(":") > 1:
        host, port = text, None
    else:
        host, colon, after = text.partition(":")
        port = after if colon else None
    if port is None:
        return host, None
    sound = re.fullmatch(r"[0-9]{1,5}", port) and int(port) < 1 << 16
    return host, int(port) if sound else 0


def _address(url: str) -> tuple[str, int, str] | None:
    """(host in its one spelling, port, HOST or HOST:PORT as a message shows it); None if it may be read in two ways."""
    if _ODD.search(url):
        return None
    try:
        parts = urlsplit(url)
        host, port = _spelt(parts.hostname or ""), parts.port
    except ValueError:
        return None
    if "[" in parts.netloc and not _BRACKETED.fullmatch(parts.netloc):  # Python 3.10 lets them pass
        return None
    if not host or parts.scheme not in _PORTS or port == 0 or not _PLACE.fullmatch(parts.netloc.rpartition("@")[2]):
        return None
    shown = f"[{host}]" if ":" in host else host
    return host, port or _PORTS[parts.scheme], f"{shown}:{port}" if port else shown


def _spelt(host: str) -> str:
    """The one spelling of a host: an address as `ipaddress` writes it, a name in lower case and ASCII; empty if it is
    neither, or if two readers of the name may not agree (IDNA of 2003 and of 2008 differ on ß, and on wide letters)."""
    number = _number(host)
    if number is not None:
        return str(number)
    name = host.lower().removesuffix(".")
    if name != host and _number(name):
        return name
    if not name.isascii():
        try:
            ascii_name = name.encode("idna").decode()
            same = ascii_name.encode().decode("idna") == name
        except UnicodeError:
            return ""
        name = ascii_name if same else ""
    sound = len(name) < 254 and _NAME.fullmatch(name) and not _AS_NUMBER.fullmatch(name)
    return name if sound else ""


def _number(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether a host, as an address names it, is this machine."""
    number = _number(host)
    return number.is_loopback if number else host == "localhost" or host.endswith(".localhost")


def _covers(entry: _Entry, host: str, port: int) -> bool:
    if not entry.host or entry.port not in (None, port):
        return False
    return host.endswith(f".{entry.host}") if entry.below else host == entry.host
