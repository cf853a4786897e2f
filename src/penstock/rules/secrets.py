"""Masks over secrets: whatever equals a secret, raw or encoded, is replaced by a stable name that tells nothing.

A mask reads `MASKED-OPENAI_API_KEY-3f9a0c12d4`, or `MASKED-OPENAI_API_KEY.base64-0b77c1e2a9` where the secret stood
encoded. It is made of letters, digits, `_`, `-` and `.` only, because those mean nothing to JSON, URLs, HTML, SQL and
a shell, quoted or not: `*` would glob, `~` would expand, `<` and `{{` are somebody's syntax. Its ten hexadecimal
digits are the beginning of HMAC-SHA256 (RFC 2104) over the bytes that it replaces, under the project's key: equal
bytes give equal masks, so a cache still hits; without the key a guess cannot be tried; and since each spelling has
digits of its own, a mask can be turned back into exactly what stood there.

All forms of all secrets are one RE2 expression (more than one if they are very long), so a text is read once, in
linear time, whatever is in it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import merge
from typing import Any

from penstock.core.canon import Json, WrittenFloat
from penstock.rules.secret_forms import CUT, SHORTEST, Atom, Form, forms, owned, spellings

_DIGITS = 10
_PREFIXES = ("MASKED", "HIDDEN", "VEILED", "COVERED", "SHROUDED")
_ENCODINGS = ("json", "url", "base64", "hex", "overlap")
_NAME_SIGNS = re.compile(r"[^A-Za-z0-9_]")
_OPENING_LEAST, _OPENING_MOST = 8, 200  # atoms: RE2 nests a thousand deep
_OPENING_ATOMS = 8_000
_MOST_ATOMS = 20_000  # of one expression; beyond some 150,000 instructions RE2 leaves its fast automaton


def mask(label: str, value: bytes, key: bytes, prefix: str = _PREFIXES[0]) -> str:
    """The mask of these bytes under `label`: a name, and `.` and an encoding if they are not raw."""
    return f"{prefix}-{label}-{hmac.new(key, value, hashlib.sha256).hexdigest()[:_DIGITS]}"


class Masker:
    """Replaces secrets by masks, and masks by secrets. What it answers never changes."""

    def __init__(self, secrets: Mapping[str, str], key: bytes) -> None:
        """`secrets` maps names to values of at least SHORTEST characters (else ValueError, which names the name);
        `key` is the project's, 32 bytes. Of two names with one value the first is used."""
        for name, value in secrets.items():
            if len(value) < SHORTEST:
                raise ValueError(f"the secret {name} has fewer than {SHORTEST} characters")
        self._key = key
        self._forms: dict[tuple[str, str], list[Form]] = {}
        self._expressions: dict[tuple[str, str], list[Any]] = {}
        self._masks: dict[bytes, str] = {}
        self._originals: dict[str, str] = {}
        self._patterns: list[Any] = []
        self._openings: list[Any] = []
        if secrets:
            self._build(owned(secrets))

    def __bool__(self) -> bool:
        """Whether there is anything to mask."""
        return bool(self._patterns)

    def text(self, text: str) -> str:
        """The text with each secret masked; the very same object if there is none in it."""
        if not self._patterns:
            return text
        data = text.encode("utf-8", "surrogatepass")
        masked = self.data(data)
        if masked is data:
            return text
        try:
            return masked.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:  # a secret of undecodable bytes began inside a character
            return masked.decode("utf-8", "replace")

    def data(self, data: bytes) -> bytes:
        """The bytes, which need not be UTF-8, with each secret masked; the very same object if there is none."""
        spans = self.spans(data)
        return _replaced(data, spans) if spans else data

    def value(self, value: Json) -> Json:
        """The value with each secret in its texts and keys masked. A number that holds a secret becomes a text."""
        return _mapped(value, self.text) if self._patterns else value

    def restored(self, text: str) -> str:
        """The text with these secrets' masks turned back into what they stand for.

        Only for a text on its way into a command. A mask of a part of a longer base64 text, of an unusual spelling
        or of secrets that overlapped stays as it is: what stood there is not known.
        """
        if not self._patterns or self._prefix not in text:
            return text
        return self._mask_text.sub(lambda found: self._originals.get(found.group(), found.group()), text)

    def restored_value(self, value: Json) -> Json:
        """The same for a value: a secret with quotes in it is safe there, while in JSON text it is not."""
        return _mapped(value, self.restored) if self._patterns else value

    def stream(self) -> MaskedStream:
        """A new stream that masks bytes which come in chunks."""
        return MaskedStream(self)

    def spans(self, data: bytes) -> list[tuple[int, int, str]]:
        """Where the secrets stand, in order and apart: start, end and mask. Masks that are there already are kept."""
        if not self._patterns:
            return []
        if self._prefix_bytes not in data:
            return list(self._found(data, 0, len(data)))
        found: list[tuple[int, int, str]] = []
        at = 0
        for there in self._mask_bytes.finditer(data):
            found += self._found(data, at, there.start())
            at = there.end()
        return [*found, *self._found(data, at, len(data))]

    def held(self, data: bytes) -> int:
        """The first position from which these bytes, going on, may become a secret or a mask; else their length."""
        if not self._patterns:
            return len(data)
        if not self._openings:
            self._openings = _openings(self._pending)
        near = max(0, len(data) - self._longest + 1)
        starts = (found.start() for opening in self._openings if (found := opening.search(data, near)))
        cut = min(starts, default=len(data))
        masks = self._mask_bytes.finditer(data) if self._prefix_bytes in data else ()
        return next((there.start() for there in masks if there.start() < cut < there.end()), cut)

    def _build(self, parts: list[tuple[str, str, bool]]) -> None:
        every = [(name, form) for name, value, packed in parts for form in forms(value, packed)]
        self._patterns = _expressions(form for _, form in every)
        written = [(name, encoding, data) for name, value, _ in parts for encoding, data in spellings(value)]
        self._prefix = self._unmatched(_PREFIXES, lambda prefix: any(prefix.encode() in data for *_, data in written))
        labels = self._labels(dict.fromkeys(name for name, *_ in parts))
        for name, form in every:
            self._forms.setdefault((labels[name], form.encoding), []).append(form)
        for name, encoding, data in written:
            covering = mask(labels[name] + (f".{encoding}" if encoding else ""), data, self._key, self._prefix)
            self._masks.setdefault(data, covering)
            self._originals.setdefault(covering, data.decode("utf-8", "surrogateescape"))
        names = "|".join(sorted(labels.values(), key=len, reverse=True))
        shape = f"{self._prefix}-(?:{names})(?:\\.(?:{'|'.join(_ENCODINGS)}))?-[0-9a-f]{{{_DIGITS}}}"
        self._prefix_bytes = self._prefix.encode()
        self._mask_text, self._mask_bytes = re.compile(shape), re.compile(shape.encode())
        self._pending = [*(form for _, form in every), *_mask_forms(self._prefix, labels.values())]
        self._longest = max(form.longest for form in self._pending)

    def _labels(self, names: Iterable[str]) -> dict[str, str]:
        """What each name is called in masks: itself, unless the mask would then hold a secret."""
        labels: dict[str, str] = {}
        for number, name in enumerate(names, start=1):
            candidates = (_NAME_SIGNS.sub("_", name), f"secret_{number}", f"value_{number}", str(number))
            labels[name] = self._unmatched(candidates, set(labels.values()).__contains__)
        return labels

    def _unmatched(self, candidates: Iterable[str], refused: Callable[[str], bool]) -> str:
        """The first candidate that is not refused and in which no secret is found; the last if there is none."""
        candidate = ""
        for candidate in candidates:
            samples = [f"-{candidate}-", *(f"-{candidate}.{encoding}-" for encoding in _ENCODINGS)]
            if not refused(candidate) and not any(map(self._holds, samples)):
                return candidate
        return candidate

    def _holds(self, text: str) -> bool:
        return any(pattern.search(text.encode()) for pattern in self._patterns)

    def _found(self, data: bytes, at: int, end: int) -> Iterator[tuple[int, int, str]]:
        """The secrets between two positions. Those that overlap are one span, so that no rest of one is left over."""
        start = stop = first = at
        for low, high in merge(*(_matches(pattern, data, at, end) for pattern in self._patterns)):
            if low >= stop and stop > start:
                yield start, stop, self._mask_of(data[start:stop], data[start:first])
            if low >= stop:
                start, stop, first = low, high, high
            stop = max(stop, high)
            first = max(first, high) if low == start else first
        if stop > start:
            yield start, stop, self._mask_of(data[start:stop], data[start:first])

    def _mask_of(self, covered: bytes, first: bytes) -> str:
        """The mask of the bytes of a span, of which `first` is the secret that it begins with."""
        known = self._masks.get(covered)
        if known is not None:
            return known
        label, encoding = self._written_as(first)
        encoding = "overlap" if len(first) < len(covered) else encoding
        return mask(f"{label}.{encoding}", covered, self._key, self._prefix)

    def _written_as(self, data: bytes) -> tuple[str, str]:
        """The label and encoding of the form that these bytes are in."""
        for (label, encoding), written in self._forms.items():
            if (label, encoding) not in self._expressions:
                self._expressions[label, encoding] = _expressions(written)
            if any(pattern.fullmatch(data) for pattern in self._expressions[label, encoding]):
                return label, encoding or "overlap"
        raise AssertionError("what the whole expression matches, one of its forms does")


class MaskedStream:
    """Masks bytes that come in chunks: all that is given back together equals `Masker.data` of all that was fed."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """What is sure by now. An end that may be the beginning of a secret is held back, and no more than that."""
        data = self._rest + chunk
        spans = self._masker.spans(data)
        cut = self._masker.held(data)
        while spans and spans[-1][1] > cut:
            cut = min(cut, spans.pop()[0])
        self._rest = data[cut:]
        return _replaced(data[:cut], spans)

    def end(self) -> bytes:
        """What was held back. The stream may be fed anew."""
        rest, self._rest = self._rest, b""
        return self._masker.data(rest)


def _mapped(value: Json, change: Callable[[str], str]) -> Json:
    """The value with each text changed, keys too; a number only if the change concerns how it is written."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(name): _mapped(inner, change) for name, inner in value.items()}
    if isinstance(value, list):
        return [_mapped(inner, change) for inner in value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    written = value.text if isinstance(value, WrittenFloat) else repr(value)
    changed = change(written) if len(written) >= SHORTEST else written
    return value if changed == written else changed


def _replaced(data: bytes, spans: list[tuple[int, int, str]]) -> bytes:
    pieces: list[bytes] = []
    at = 0
    for start, end, covering in spans:
        pieces += (data[at:start], covering.encode())
        at = end
    return b"".join([*pieces, data[at:]])


def _expressions(every: Iterable[Form]) -> list[Any]:
    """The forms as compiled expressions, each of no more atoms than RE2 takes well."""
    groups: list[dict[bytes, None]] = [{}]
    atoms = 0
    for form in every:
        if groups[-1] and atoms + len(form.atoms) > _MOST_ATOMS:
            groups.append({})
            atoms = 0
        groups[-1][form.pattern] = None
        atoms += len(form.atoms)
    return [_compiled(b"|".join(group)) for group in groups]


def _matches(pattern: Any, data: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    """The longest match at each position where there is one: also those that begin inside of another."""
    found = pattern.search(data, at, end)
    while found:
        yield found.span()
        found = pattern.search(data, found.start() + 1, end)


def _mask_forms(prefix: str, labels: Iterable[str]) -> Iterator[Form]:
    for label in labels:
        for encoding in ("", *(f".{encoding}" for encoding in _ENCODINGS)):
            signs = [Atom(re.escape(f"{sign}").encode()) for sign in f"{prefix}-{label}{encoding}-"]
            yield Form("", (*signs, *[Atom(b"[0-9a-f]")] * _DIGITS))


def _openings(every: list[Form]) -> list[Any]:
    """Expressions of how forms begin; the more forms there are, the fewer atoms of each are looked at."""
    depth = max(_OPENING_LEAST, min(_OPENING_MOST, _OPENING_ATOMS // len(every)))
    patterns = [CUT + rb"\z", *dict.fromkeys(_opening(form, depth) for form in every)]
    size = max(1, _OPENING_ATOMS // depth)
    return [_compiled(b"|".join(patterns[at : at + size])) for at in range(0, len(patterns), size)]


def _opening(form: Form, depth: int) -> bytes:
    """A pattern of what the end of the bytes leaves of a form: some first atoms of it, or more than `depth`.

    The whole form does not match, unless more could belong to it: then the match may still become longer.
    """
    atoms = form.atoms[:depth]
    inner = b"" if len(form.atoms) > depth else rb"\z"
    if len(form.atoms) <= depth and form.atoms[-1].longest == 1:
        atoms = atoms[:-1]
    for atom, after in zip(reversed(atoms), [None, *reversed(atoms)], strict=False):
        end = CUT + rb"?\z" if after and after.longest > 1 else rb"\z"
        inner = atom.pattern + (b"(?:" + end + b"|" + inner + b")" if after else inner)
    return inner


def _compiled(pattern: bytes) -> Any:
    """The expression over bytes, longest match first; it says nothing of itself on standard error."""
    import re2  # type: ignore[import-untyped]  # ships no types; imported late: most workflows have no secrets

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.longest_match = True
    options.log_errors = False
    options.max_mem = 1 << 27
    return re2.compile(pattern, options)
