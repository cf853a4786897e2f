"""A text for a flat schema, taken from the source: by the field's name, its format, its patterns and its length."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from uuid import UUID

from penstock.core.canon import Json
from penstock.models.sim.draws import Draws
from penstock.models.sim.patterns import fitting
from penstock.models.sim.source import Source

LANGUAGE_NAMES = frozenset({"language", "lang", "locale"})
LANGUAGES = {
    "en": "english",
    "ko": "korean",
    "ja": "japanese",
    "zh": "chinese",
    "ru": "russian",
    "ar": "arabic",
    "he": "hebrew",
    "el": "greek",
    "th": "thai",
    "hi": "hindi",
}
_SENTENCES = """
summary description abstract text answer reason explanation comment body content reply response message detail analysis
rationale note justification overview
"""
_SENTENCE_NAMES = frozenset(_SENTENCES.split())
_PHRASE_NAMES = frozenset({"title", "subject", "headline", "name", "label", "topic", "heading"})
_WORD_NAMES = frozenset({"tag", "keyword", "category", "key", "code", "type", "word", "entity", "term", "id", "slug"})

_SUMMARY_CHARACTERS = 200
_SENTENCE_CHARACTERS = 120
_PHRASE_CHARACTERS = 60
_LONG_CHARACTERS = 600
_MOST_CHARACTERS = 1_000_000

_FORMATS = {
    "date": re.compile(r"\b(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])\b"),
    "email": re.compile(r"\b[\w.+-]{1,40}@[A-Za-z0-9-]{1,40}(?:\.[A-Za-z0-9-]{1,20})*\.[A-Za-z]{2,10}\b", re.ASCII),
    "uri": re.compile(r"https?://[\w./?=&%-]{1,200}[\w/]", re.ASCII),
    "uuid": re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b"),
}


def text(
    flat: Mapping[str, Json], words: tuple[str, ...], source: Source, draws: Draws, path: str, good: bool, ordinal: int
) -> str:
    """A text of the source that meets the schema, as far as one can be found.

    `words` are those of the field's name. One that is not `good` is as long as it may be, up to 600 characters.
    `ordinal` tells the fields of a list apart.
    """
    least, most = _length(flat)
    patterns = flat.get("patterns")
    formatted = _formatted(flat.get("format"), source, draws, f"{path} {ordinal}", ordinal)
    if isinstance(patterns, list):
        asked = [pattern for pattern in patterns if isinstance(pattern, str)]
        candidates = [*([formatted] if formatted else []), *source.words[ordinal:40], *source.sentences[ordinal:5]]
        made = fitting(
            asked, candidates, lambda label, count: draws.index(count, f"{path} {ordinal} {label}"), (least, most)
        )
        if made is not None:
            return made
    if formatted is not None and least <= len(formatted) <= most:
        return formatted
    return _lengthened(_by_name(words, source, good, most, ordinal), source, least, most)


@lru_cache(maxsize=4096)
def name_words(name: str) -> tuple[str, ...]:
    """The words of a field's name in lower case, the plural's `s` taken off: `pageTags` gives `page`, `tag`."""
    parts = re.findall(r"[A-Z]?[^\W_A-Z]+|[A-Z]+", name) or [name]
    return tuple(
        part.lower()[: -1 if len(part) > 3 and part.endswith("s") and not part.endswith("ss") else None]
        for part in parts
    )


def cut(long: str, most: int) -> str:
    """The text in at most so many characters, cut where a word ends if one ends in its second half."""
    if len(long) <= most:
        return long
    head = long[:most]
    space = head.rfind(" ")
    whole_word = long[most] == " " or space < most // 2
    return (head if whole_word else head[:space]).rstrip()


def _length(flat: Mapping[str, Json]) -> tuple[int, int]:
    least, most = flat.get("minLength"), flat.get("maxLength")
    ceiling = math.floor(most) if isinstance(most, (int, float)) else _MOST_CHARACTERS
    floor = math.ceil(least) if isinstance(least, (int, float)) else 0
    return min(floor, _MOST_CHARACTERS), min(ceiling, _MOST_CHARACTERS)


def _by_name(words: tuple[str, ...], source: Source, good: bool, most: int, ordinal: int) -> str:
    """What a field of this name would hold."""
    kinds = frozenset(words)
    if kinds & LANGUAGE_NAMES and ordinal < len(LANGUAGES):
        return cut([source.language, *(code for code in LANGUAGES if code != source.language)][ordinal], most)
    if kinds & _WORD_NAMES and not kinds & _SENTENCE_NAMES:
        turn, start = divmod(ordinal, len(source.keywords))
        return cut(_marked(turn, source.keywords[start]), most)
    turn, start = divmod(ordinal, len(source.sentences))
    sentence = _marked(turn, source.sentences[start])
    if kinds & _PHRASE_NAMES:
        return cut(sentence, min(most, _PHRASE_CHARACTERS)).rstrip(".!?,;:。！？")
    if not good:
        long = min(most, _LONG_CHARACTERS)
        return cut(_repeated((sentence, *source.sentences[start + 1 :], *source.sentences[:start]), long), long)
    if kinds & _SENTENCE_NAMES:
        return _first_sentences((sentence, *source.sentences[start + 1 :]), min(most, _SUMMARY_CHARACTERS))
    return cut(sentence, min(most, _SENTENCE_CHARACTERS))


def _marked(turn: int, text: str) -> str:
    """The text with a number where it was used before: a list must be able to hold distinct ones."""
    return f"{turn + 1}-{text}" if turn else text


def _first_sentences(sentences: tuple[str, ...], most: int) -> str:
    """As many whole sentences as fit, and a part of the first where none does."""
    taken = sentences[0]
    for sentence in sentences[1:]:
        if len(taken) + 1 + len(sentence) > most:
            break
        taken = f"{taken} {sentence}"
    return cut(taken, most)


def _repeated(sentences: tuple[str, ...], least: int) -> str:
    """The sentences, again and again until they are longer than this."""
    whole = " ".join(sentences)
    return " ".join([whole] * (least // (len(whole) + 1) + 2))


def _lengthened(short: str, source: Source, least: int, most: int) -> str:
    if len(short) >= least:
        return short
    longer = f"{short} {_repeated(source.sentences, least)}".lstrip()
    whole = cut(longer, min(most, least + _PHRASE_CHARACTERS))
    return whole if len(whole) >= least else longer[: max(least, 0)]


def _formatted(name: Json, source: Source, draws: Draws, label: str, ordinal: int) -> str | None:
    """A text in this format: one of the source's own, else a made-up one; None for a format that is not known."""
    if not isinstance(name, str):
        return None
    asked = {"url": "uri", "iri": "uri", "idn-email": "email", "uri-reference": "uri", "iri-reference": "uri"}.get(
        name, name
    )
    pattern = _FORMATS.get(asked)
    found = pattern.findall(source.text) if pattern else []
    if len(found) > ordinal:
        return str(found[ordinal])
    make = _MADE.get(asked)
    return make(draws, label) if make else None


def _day(draws: Draws, label: str) -> str:
    return f"2025-{draws.index(12, f'{label} month') + 1:02}-{draws.index(28, f'{label} day') + 1:02}"


def _clock(draws: Draws, label: str) -> str:
    return f"{draws.index(24, f'{label} hour'):02}:{draws.index(60, f'{label} minute'):02}:00Z"


def _address(draws: Draws, label: str) -> str:
    return f"192.0.2.{draws.index(254, label) + 1}"


_MADE: Mapping[str, Callable[[Draws, str], str]] = {
    "date": _day,
    "time": _clock,
    "date-time": lambda draws, label: f"{_day(draws, label)}T{_clock(draws, label)}",
    "duration": lambda draws, label: f"PT{draws.index(59, label) + 1}M",
    "email": lambda draws, label: f"user{draws.index(1000, label)}@example.com",
    "hostname": lambda draws, label: f"host{draws.index(1000, label)}.example.com",
    "idn-hostname": lambda draws, label: f"host{draws.index(1000, label)}.example.com",
    "uri": lambda draws, label: f"https://example.com/{draws.digits(label)[:8]}",
    "uri-template": lambda draws, label: f"https://example.com/{draws.digits(label)[:8]}/{{id}}",
    "uuid": lambda draws, label: str(UUID(draws.digits(label), version=4)),
    "ipv4": _address,
    "ipv6": lambda draws, label: f"2001:db8::{draws.index(65535, label) + 1:x}",
    "json-pointer": lambda draws, label: f"/{draws.digits(label)[:8]}",
    "relative-json-pointer": lambda draws, label: f"{draws.index(9, label)}/a",
    "regex": lambda draws, label: f"^{draws.digits(label)[:8]}$",
}
"""How a text of each format of JSON Schema 2020-12 (Validation, section 7.3) is made up."""
