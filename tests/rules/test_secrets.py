"""Secrets in six encodings: none gets through, masks are stable, and what a command reads is the original."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import string
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core import canon
from penstock.rules.secrets import Masker

KEY = bytes(range(32))
TOKEN = "q7-Zr/9kT+b2 \"Wx'e\\n8\n한국어🔑"
PLAIN = "Zk49sQpT81xw"
LINES = [base64.b64encode(hashlib.sha384(bytes([number])).digest()).decode() for number in range(16)]
PEM = "\n".join(["-----BEGIN PRIVATE KEY-----", *LINES, "-----END PRIVATE KEY-----", ""])


def percent_lower(text: str) -> str:
    return re.sub("%..", lambda escape: escape.group().lower(), text)


def slashed(text: str) -> str:
    return text.replace("/", "\\/")


ENCODERS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "json": lambda value: json.dumps(value)[1:-1],
    "json slashed": lambda value: slashed(json.dumps(value)[1:-1]),
    "json unicode": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "json unicode slashed": lambda value: slashed(json.dumps(value, ensure_ascii=False)[1:-1]),
    "quote": quote,
    "quote all": lambda value: quote(value, safe=""),
    "quote plus": quote_plus,
    "quote lower": lambda value: percent_lower(quote(value)),
    "quote all lower": lambda value: percent_lower(quote(value, safe="")),
    "quote plus lower": lambda value: percent_lower(quote_plus(value)),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 urlsafe": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "base64 unpadded": lambda value: base64.b64encode(value.encode()).decode().rstrip("="),
    "base64 urlsafe unpadded": lambda value: base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
    "hex": lambda value: value.encode().hex(),
    "hex upper": lambda value: value.encode().hex().upper(),
}

values = st.text(min_size=8, max_size=200)
likely = st.text(string.ascii_letters + string.digits + "+/=_-%\\\"' \n", min_size=8, max_size=60)
secrets_of_any_kind = st.one_of(values, likely)
around = st.text(max_size=20)


def leaks(value: str, text: str) -> list[str]:
    """The encodings of the value that the text still holds."""
    return [name for name, encode in ENCODERS.items() if encode(value).rstrip("=" if "base64" in name else "") in text]


@settings(max_examples=60, deadline=None)
@given(secrets_of_any_kind, around, around)
def test_no_encoding_of_a_secret_is_left_whatever_stands_around_it(value: str, before: str, after: str) -> None:
    masker = Masker({"TOKEN": value}, KEY)
    for encode in ENCODERS.values():
        masked = masker.text(before + encode(value) + after)
        assert leaks(value, masked) == []
        assert "MASKED-" in masked
        assert masker.text(masked) == masked


@settings(max_examples=40, deadline=None)
@given(secrets_of_any_kind, st.binary(max_size=9), st.binary(max_size=9), st.booleans())
def test_base64_of_a_longer_text_loses_every_letter_that_depends_on_the_secret(
    value: str, before: bytes, after: bytes, urlsafe: bool
) -> None:
    encoder = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    whole = encoder(before + value.encode() + after)
    first, last = 8 * len(before) // 6, -(-8 * len(before + value.encode()) // 6)
    masked = Masker({"TOKEN": value}, KEY).data(whole)
    start, end = whole[:first], whole[last:]
    assert masked.startswith(start)
    assert masked.endswith(end)
    assert re.fullmatch(
        rb"[A-Z]+-TOKEN\.(base64|hex|overlap)-[0-9a-f]{10}", masked[len(start) : len(masked) - len(end)]
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(secrets_of_any_kind, min_size=1, max_size=3), st.data())
def test_a_stream_gives_what_the_whole_gives_however_it_is_cut(secrets: list[str], draw: st.DataObject) -> None:
    masker = Masker({f"NAME_{number}": value for number, value in enumerate(secrets)}, KEY)
    shown = st.sampled_from([encode(value) for value in secrets for encode in ENCODERS.values()])
    masks = st.builds(masker.text, shown)
    cut_short = st.builds(lambda text, size: text[:size], shown, st.integers(0, 30))
    data = "".join(draw.draw(st.lists(st.one_of(shown, around, masks, cut_short), max_size=6))).encode()
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=12)))
    stream = masker.stream()
    given_back = [stream.feed(data[start:end]) for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert b"".join([*given_back, stream.end()]) == masker.data(data)


@settings(max_examples=60, deadline=None)
@given(secrets_of_any_kind, st.sampled_from(list(ENCODERS.values())))
def test_a_masked_spelling_is_restored_exactly(value: str, encode: Callable[[str], str]) -> None:
    masker = Masker({"TOKEN": value}, KEY)
    # A backslash before a quote, or a repeated beginning, belongs to the secret as much as not: such stay masked.
    masked = masker.text(encode(value))
    assert masker.restored(masked) in {encode(value), masked}
    if re.fullmatch(r"[A-Z]+-TOKEN(\.(json|url|hex))?-[0-9a-f]{10}", masked) and masker.restored(masked) != masked:
        assert masker.restored(f"a {masked} b") == f"a {encode(value)} b"


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("value", [TOKEN, PLAIN, PEM])
def test_each_spelling_of_a_usual_secret_is_one_mask_and_comes_back(name: str, value: str) -> None:
    masker = Masker({"TOKEN": value}, KEY)
    written = f"<{ENCODERS[name](value)}>"
    masked = masker.text(written)
    assert re.fullmatch(r"<MASKED-TOKEN(\.(json|url|base64|hex))?-[0-9a-f]{10}=*>", masked)
    assert masker.restored(masked) == written


@pytest.mark.parametrize(
    "written",
    [
        json.dumps(json.dumps(TOKEN)),
        quote(quote(TOKEN)),
        json.dumps(TOKEN).replace("/", "\\u002F").replace("'", "\\u0027"),
        quote(TOKEN, safe="!'()*/+"),
        repr(TOKEN),
        quote(base64.b64encode(TOKEN.encode()).decode(), safe=""),
        base64.encodebytes(b"user:" + TOKEN.encode() * 1 + b"." * 90).decode(),
    ],
)
def test_an_encoding_within_another_is_masked_too(written: str) -> None:
    masked = Masker({"TOKEN": TOKEN}, KEY).text(written)
    assert "MASKED-TOKEN" in masked
    assert not any(part in masked for part in ("q7-Zr", "kT", "Wx", "한국", "cTctW"))


def test_wrapped_base64_is_masked_across_its_lines() -> None:
    masker = Masker({"PEM": PEM}, KEY)
    for before in (b"", b"x", b"xy"):
        masked = masker.data(base64.encodebytes(before + PEM.encode()))
        assert re.fullmatch(rb"..?.?MASKED-PEM\.base64-[0-9a-f]{10}=*\n|MASKED-PEM\.base64-[0-9a-f]{10}=*\n", masked)


def test_a_mask_needs_no_escape_anywhere_and_says_the_name_and_the_encoding() -> None:
    masker = Masker({"my key!": PLAIN, "OTHER": "other-secret"}, KEY)
    for encode in ENCODERS.values():
        masked = masker.text(encode(PLAIN))
        assert re.fullmatch(r"MASKED-my_key_(\.(base64|hex))?-[0-9a-f]{10}=*", masked)
        covering = masked.rstrip("=")
        assert covering == quote(covering, safe="") == html.escape(covering) == json.dumps(covering)[1:-1]


def test_masks_are_stable_for_one_key_and_differ_under_another() -> None:
    first, again = (Masker({"A": PLAIN}, KEY).text(PLAIN) for _ in range(2))
    assert first == again == "MASKED-A-" + first[-10:]
    assert Masker({"A": PLAIN}, bytes(32)).text(PLAIN) != first


def test_two_names_of_one_value_give_the_first_ones_mask() -> None:
    assert Masker({"A": PLAIN, "B": PLAIN}, KEY).text(PLAIN).startswith("MASKED-A-")


def test_of_two_secrets_one_within_the_other_the_longer_is_masked() -> None:
    masker = Masker({"SHORT": "inner-secret", "LONG": "an inner-secret here"}, KEY)
    assert re.fullmatch(r"MASKED-LONG-[0-9a-f]{10}", masker.text("an inner-secret here"))
    assert re.fullmatch(r"an MASKED-SHORT-[0-9a-f]{10} there", masker.text("an inner-secret there"))


def test_secrets_that_overlap_leave_nothing_of_either() -> None:
    masker = Masker({"A": "abcdefgh12345", "B": "12345xyzxyz", "C": "xyzxyz-end-of"}, KEY)
    masked = masker.text("(abcdefgh12345xyzxyz-end-of)")
    assert re.fullmatch(r"\(MASKED-A\.overlap-[0-9a-f]{10}\)", masked)
    assert masker.restored(masked) == masked


def test_a_secret_that_repeats_itself_leaves_no_rest() -> None:
    masked = Masker({"A": "aaaaaaaa"}, KEY).text("a" * 20)
    assert re.fullmatch(r"MASKED-A\.overlap-[0-9a-f]{10}", masked)


@pytest.mark.parametrize(
    "value", ["MASKED-PASSWORD", "password", "-password", "MASKED-A-0123456789", "HIDDEN-A MASKED-A"]
)
def test_a_secret_that_looks_like_its_own_mask_is_masked_and_stays_so(value: str) -> None:
    masker = Masker({value.rpartition("-")[2]: value}, KEY)
    masked = masker.text(f"{value} and {value}")
    assert value not in masked
    assert masker.text(masked) == masked
    assert masker.restored(masked) == f"{value} and {value}"


def test_the_lines_of_a_key_are_masked_one_by_one_but_not_its_armour() -> None:
    lines = PEM.splitlines()
    masked = Masker({"PEM": PEM}, KEY).text("\n".join(f"log: {line}" for line in lines))
    assert not any(line in masked for line in lines[1:-1])
    assert masked.count("MASKED-PEM-") == len(lines) - 2
    assert "-----BEGIN PRIVATE KEY-----" in masked


def test_the_lines_of_a_key_inside_a_json_secret_are_masked_too() -> None:
    account = json.dumps({"type": "service_account", "private_key": PEM})
    masked = Masker({"ACCOUNT": account}, KEY).text(PEM)
    assert not any(line in masked for line in PEM.splitlines()[1:-1])


def test_a_very_long_secret_is_masked_in_pieces_and_comes_back() -> None:
    value = "".join(f"{number:04x}한 \n" * (number % 3) + f"line {number} of it" for number in range(300))
    masker = Masker({"LONG": value}, KEY)
    masked = masker.text(f"<{value}>")
    assert "line " not in masked
    assert masker.restored(masked) == f"<{value}>"
    for name in ("json", "quote", "base64", "hex"):
        assert leaks(value[500:700], masker.text(ENCODERS[name](value))) == []


def test_bytes_that_are_no_text_are_masked() -> None:
    undecodable = b"pass\xff\xfeword\x80"
    masker = Masker({"A": undecodable.decode("utf-8", "surrogateescape"), "B": PLAIN}, KEY)
    masked = masker.data(b"\x00\xff" + PLAIN.encode() + b"\xfe " + undecodable + undecodable.hex().encode())
    assert re.fullmatch(rb"\x00\xffMASKED-B-[0-9a-f]{10}\xfe MASKED-A-[0-9a-f]{10}MASKED-A.hex-[0-9a-f]{10}", masked)
    assert PLAIN not in masker.text("\ud800" + PLAIN)


def test_a_value_is_masked_in_texts_keys_and_numbers_and_restored() -> None:
    masker = Masker({"A": PLAIN, "PIN": "12345678"}, KEY)
    value = {"a": [PLAIN, 1, None, True, 1.5], PLAIN: {"n": 12345678, "m": canon.WrittenFloat("0.12345678")}}
    masked = masker.value(value)
    assert PLAIN not in json.dumps(masked)
    assert "12345678" not in json.dumps(masked)
    assert masker.restored_value(masked) == {
        "a": [PLAIN, 1, None, True, 1.5],
        PLAIN: {"n": "12345678", "m": "0.12345678"},
    }


def test_what_holds_no_secret_is_the_same_object() -> None:
    masker = Masker({"A": PLAIN}, KEY)
    text, data = "no secret in here", b"nor in here"
    assert masker.text(text) is text
    assert masker.data(data) is data
    assert not Masker({}, KEY)
    assert Masker({}, KEY).text(PLAIN) is PLAIN
    assert Masker({}, KEY).stream().feed(b"at once") == b"at once"
    assert bool(masker)


def test_a_short_secret_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="SHORTY has fewer than 8") as refused:
        Masker({"SHORTY": "1234567"}, KEY)
    assert "1234567" not in str(refused.value)


def test_a_stream_lets_a_line_go_that_cannot_begin_a_secret() -> None:
    stream = Masker({"A": PLAIN, "B": "tok_5501-x"}, KEY).stream()
    assert stream.feed(b"12 of 80 done\n") == b"12 of 80 done\n"
    assert stream.feed(b"the key is Zk49s") == b"the key is "
    assert re.fullmatch(rb"MASKED-A-[0-9a-f]{10} it is\n", stream.feed(b"QpT81xw it is\n"))
    assert stream.feed(b"Zk49") + stream.end() == b"Zk49"


def test_a_stream_holds_back_no_more_than_the_longest_form() -> None:
    stream = Masker({"A": "a" * 30 + "b"}, KEY).stream()
    data = b"a" * 5000
    assert len(stream.feed(data)) >= len(data) - 31 * 2


def test_a_mask_of_another_masker_or_an_unknown_one_is_left_alone_by_restored() -> None:
    masker = Masker({"A": PLAIN}, KEY)
    for text in ("MASKED-A-0000000000", "MASKED-B-0123456789", "MASKED-", "nothing"):
        assert masker.restored(text) == text


def test_a_stream_that_is_cut_within_a_mask_keeps_it_whole() -> None:
    tail = Masker({"A": PLAIN}, KEY).text(PLAIN)[-3:]
    masker = Masker({"A": PLAIN, "B": tail + "-and-more"}, KEY)
    data = (masker.text(PLAIN) + "-and-more").encode()
    stream = masker.stream()
    assert stream.feed(data[:-6]) + stream.feed(data[-6:]) + stream.end() == masker.data(data) == data
