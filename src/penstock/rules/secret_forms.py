"""What of a secret is looked for, and how it may be written: raw, or JSON-, URL-, base64- or hex-encoded.

The patterns are wider than any one encoder: a character that JSON or a URL may escape is looked for both ways, with
upper and lower case digits, and escaped twice over (JSON in JSON, a URL in a URL). So one form covers
`json.dumps` with and without `ensure_ascii`, `\\/`, Go's `\\u003c`, `quote`, `quote_plus` and `encodeURI`.

Base64 packs three bytes in four letters, so a value inside a longer encoded text stands in one of three alignments,
and its first and last letter may hold bits of a neighbour too (RFC 4648, section 4). Those letters are part of the
form, as the set of letters that agree with the secret's bits.
"""

from __future__ import annotations

import base64
import json
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

SHORTEST = 8
"""Characters that a secret has at least; a shorter one would be found in everything."""

LINE_SHORTEST = 16
"""Characters from which one line of a secret counts as a secret itself."""

_WHOLE_LONGEST = 4096
_LINE_END = re.compile(r"\r\n|\r|\n|\\r\\n|\\n")  # also written out, as a key stands in a service account's JSON
_ARMOUR = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")
_PIECE = re.compile(r"[^\r\n]{1,512}|[\r\n]+")
_ALNUM = frozenset((string.ascii_letters + string.digits).encode())
_ALPHABET = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/").encode()
_SHORT_ESCAPES = {"\b": b"b", "\f": b"f", "\n": b"n", "\r": b"r", "\t": b"t", '"': b'"', "'": b"'", "/": b"/"}
_SLASHES = rb"\\{1,4}"
_PERCENT = rb"%(?:25){0,2}"
_WRAP = rb"(?:[\r\n]{1,2}|\\n)?"
_ESCAPED_BYTES = 4 + 1 + 4
_PERCENT_BYTES = 1 + 4 + 2
_WRAP_BYTES = 2
_WRAPPED_FROM = 60  # letters: the shortest line that encoders wrap at is 64

CUT = rb"(?:(?:\\{1,4}(?:[ux][0-9a-fA-F]{0,4})?){1,2}|(?:%[0-9a-fA-F]{0,6}){1,2}|[\xc0-\xff][\x80-\xbf]{0,2}|\r)"
"""An atom that the end of the bytes cuts: the beginning of an escape, of a character or of a line's end."""


@dataclass(frozen=True, slots=True)
class Atom:
    """One character of a form: an RE2 pattern, and the most bytes that it matches."""

    pattern: bytes
    longest: int = 1


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a value. `encoding` is empty for the value as it is; `longest` counts bytes."""

    encoding: str
    atoms: tuple[Atom, ...]

    @property
    def pattern(self) -> bytes:
        return b"".join(atom.pattern for atom in self.atoms)

    @property
    def longest(self) -> int:
        return sum(atom.longest for atom in self.atoms)


def owned(secrets: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """Every text to be masked, once, with the name that it goes by: whole values first, then lines. The last part is
    whether it is looked for in base64 and hex too; a line is not, since its secret is encoded as a whole."""
    names: dict[str, tuple[str, bool]] = {}
    for packed, parts in ((True, _wholes), (False, _lines)):
        for name, value in secrets.items():
            for part in parts(value):
                names.setdefault(part, (name, packed))
    return [(name, part, packed) for part, (name, packed) in names.items()]


def forms(value: str, packed: bool = True) -> Iterator[Form]:
    """The forms of a value. Together they match each of its spellings, and many more; without `packed`, only those
    in which it can be read: no base64 and no hex."""
    plain = value.isascii() and value.isalnum()
    if not plain:
        yield Form("json", tuple(map(_json_atom, value)))
    for data in as_bytes(value):
        yield Form("", tuple(map(_byte_atom, data))) if plain else Form("url", tuple(map(_url_atom, data)))
        if not packed:
            continue
        yield from (Form("base64", tuple(_base64_atoms(data, before))) for before in range(3))
        yield Form("hex", tuple(_nibble_atom(digit) for digit in data.hex()))


def spellings(value: str) -> Iterator[tuple[str, bytes]]:
    """The usual ways to write a value as such, each with its encoding, the raw one first. Base64 without padding."""
    for data in as_bytes(value):
        yield "", data
        for ascii_only in (True, False):
            once = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
            for text in (once, json.dumps(once, ensure_ascii=ascii_only)[1:-1]):  # JSON in JSON: a model's answer
                written = text.encode("utf-8", "surrogatepass")
                yield "json", written
                yield "json", written.replace(b"/", rb"\/")
        for text in (quote(data), quote(data, safe=""), quote_plus(data)):
            yield "url", text.encode()
            yield "url", re.sub(rb"%..", lambda escape: escape.group().lower(), text.encode())
        for encoder in (base64.b64encode, base64.urlsafe_b64encode):
            yield "base64", encoder(data).rstrip(b"=")
        yield "hex", data.hex().encode()
        yield "hex", data.hex().upper().encode()


def as_bytes(value: str) -> list[bytes]:
    """The value in UTF-8; also the bytes that it stands for, if the system gave it as undecodable ones (PEP 383)."""
    written = [value.encode("utf-8", "surrogatepass")]
    try:
        system = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return written
    return written if system in written else [*written, system]


def _wholes(value: str) -> Iterator[str]:
    """The value, or its pieces if it is very long, which keeps the expressions small; each without outer space too."""
    for whole in [value] if len(value) <= _WHOLE_LONGEST else _pieces(value):
        yield whole
        if len(whole.strip()) >= SHORTEST:
            yield whole.strip()


def _pieces(value: str) -> list[str]:
    """The value cut at the ends of its lines, and within long ones; no piece is shorter than LINE_SHORTEST."""
    pieces: list[str] = []
    for piece in _PIECE.findall(value):
        if pieces and min(len(piece), len(pieces[-1])) < LINE_SHORTEST:
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return pieces


def _lines(value: str) -> Iterator[str]:
    """The long lines of a value of several lines, as a log prints them, without the lines that say `BEGIN`."""
    lines = _LINE_END.split(value)
    if len(lines) > 1 and len(value) <= _WHOLE_LONGEST:
        for line in map(str.strip, lines):
            if len(line) >= LINE_SHORTEST and not _ARMOUR.fullmatch(line):
                yield line


def _literal(data: bytes) -> bytes:
    return b"".join(b"%c" % byte if byte in _ALNUM else rb"\x%02x" % byte for byte in data)


def _any_case(digits: str) -> bytes:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits).encode()


def _byte_atom(byte: int) -> Atom:
    return Atom(_literal(bytes([byte])))


def _nibble_atom(digit: str) -> Atom:
    return Atom(_any_case(digit))


def _json_atom(character: str) -> Atom:
    """A character raw or escaped as JSON, JavaScript or Python's `repr` do."""
    if character.isascii() and character.isalnum():
        return Atom(character.encode())
    if character == "\\":
        return Atom(rb"(?:\\{1,4}(?:(?:u00|x)5[cC])?)", _ESCAPED_BYTES)
    units = character.encode("utf-16-be", "surrogatepass").hex()
    escapes = [units[at : at + 4] for at in range(0, len(units), 4)]
    ways = [_literal(character.encode("utf-8", "surrogatepass"))]
    ways.append(b"".join(_SLASHES + b"u" + _any_case(escape) for escape in escapes))
    if ord(character) < 256:
        ways.append(_SLASHES + b"x" + _any_case(f"{ord(character):02x}"))
    if character in _SHORT_ESCAPES:
        ways.append(_SLASHES + _literal(_SHORT_ESCAPES[character]))
    return Atom(b"(?:" + b"|".join(ways) + b")", _ESCAPED_BYTES * len(escapes))


def _url_atom(byte: int) -> Atom:
    """A byte raw or percent-encoded; a space also as `+`, the end of a line also as a form sends it."""
    if byte in _ALNUM:
        return _byte_atom(byte)
    escaped = _PERCENT + _any_case(f"{byte:02x}")
    ways = [_literal(bytes([byte])), escaped]
    if byte == ord(" "):
        ways.append(rb"\+")
    if byte == ord("\n"):
        ways.append(_PERCENT + b"0[dD]" + escaped)
    return Atom(b"(?:" + b"|".join(ways) + b")", _PERCENT_BYTES * (2 if byte == ord("\n") else 1))


def _base64_atoms(data: bytes, before: int) -> Iterator[Atom]:
    """The letters that depend on `data` where `before` bytes (0 to 2) of something else stand before it in its group.

    Letter k holds the bits 6k to 6k+5; of those, the ones outside of `data` may be anything.
    """
    first_bit, end_bit = 8 * before, 8 * (before + len(data))
    number = int.from_bytes(bytes(before) + data + bytes(3), "big")
    total = end_bit + 24
    letters = range(first_bit // 6, -(-end_bit // 6))
    wrap = _WRAP if len(letters) >= _WRAPPED_FROM else b""
    encoded = base64.b64encode(bytes(before) + data + bytes(-(before + len(data)) % 3))
    for letter in letters:
        unknown_high = max(0, first_bit - 6 * letter)
        unknown_low = max(0, 6 * letter + 6 - end_bit)
        if unknown_high or unknown_low:
            known = number >> (total - 6 * letter - 6) & 63
            mask = (63 >> unknown_high) & (63 << unknown_low)
            options = bytes(_ALPHABET[six] for six in range(64) if six & mask == known & mask)
        else:
            options = encoded[letter : letter + 1]
        atom = _letters_atom(options)
        yield Atom(wrap + atom.pattern, atom.longest + _WRAP_BYTES) if wrap and letter > letters[0] else atom


def _letters_atom(options: bytes) -> Atom:
    """Any of these base64 letters, `+` and `/` in both alphabets and as JSON and URLs escape them."""
    ways = [b"[" + bytes(byte for byte in options if byte in _ALNUM) + b"]"] if options.strip(b"+/") else []
    for sign, both, code in ((b"+", rb"[+\-]", "2b"), (b"/", rb"[/_]", "2f")):
        if sign in options:
            ways += [both, _PERCENT + _any_case(code), _SLASHES + b"u00" + _any_case(code)]
    if b"/" in options:
        ways.append(_SLASHES + b"/")
    if len(options) == 1 and options[0] in _ALNUM:
        return Atom(options)
    return Atom(b"(?:" + b"|".join(ways) + b")", _ESCAPED_BYTES if len(ways) > 1 else 1)
