"""What a simulated answer is taken from: the item in a conversation, its sentences, words, keywords and language."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from penstock.core.canon import Json

_MOST_CHARACTERS = 8000
_MOST_OBJECTS = 32
_SHORT = 4
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])\s*|\s*\n\s*")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_BLOCK = re.compile(r"```\w*\n(.+?)```|<(\w+)>\s*(.+?)\s*</\2>", re.DOTALL)
_SCHEMA_WORDS = frozenset({"$schema", "properties", "anyOf", "$defs"})
_STOP = """
about after again also because been before being cannot could does doing from have having here into just more
most only other over please same should since some such than that their them then there these they this those
through under until very want were what when where which while will with would your yours
"""
_STOP_WORDS = frozenset(_STOP.split())
_SCRIPTS = (
    ("ko", re.compile("[\uac00-\ud7a3\u1100-\u11ff]")),
    ("ja", re.compile("[\u3041-\u30ff]")),
    ("zh", re.compile("[\u4e00-\u9fff]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("he", re.compile("[\u0590-\u05ff]")),
    ("el", re.compile("[\u0370-\u03ff]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
    ("hi", re.compile("[\u0900-\u097f]")),
)
_SCRIPT_SHARE = 0.15


class Source:
    """A text, and the fields of the JSON object that it was found in (empty where it was found in none)."""

    def __init__(self, text: str, fields: Mapping[str, Json]) -> None:
        self.text = text[:_MOST_CHARACTERS].encode("utf-8", "replace").decode().strip() or "No text"
        self.fields = fields

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Its sentences in order, at least one, white space squeezed."""
        parts = (" ".join(part.split()) for part in _SENTENCE_END.split(self.text))
        return tuple(part for part in parts if part)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Its words in order, as written; at least one."""
        return tuple(_WORD.findall(self.text)) or ("text",)

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """Its words in lower case."""
        return frozenset(word.lower() for word in self.words)

    @cached_property
    def keywords(self) -> tuple[str, ...]:
        """Distinct words in lower case, the frequent first; at least one."""
        counted = Counter(word.lower() for word in self.words)
        telling = [word for word in counted if _tells(word)] or list(counted)
        return tuple(sorted(telling, key=lambda word: -counted[word]))

    @cached_property
    def language(self) -> str:
        """The ISO 639-1 code that its script suggests; `en` for Latin letters."""
        letters = [letter for letter in self.text[:1000] if letter.isalpha()]
        few = max(1, int(len(letters) * _SCRIPT_SHARE))
        line = "".join(letters)
        return next((code for code, script in _SCRIPTS if len(script.findall(line)) >= few), "en")


def source_of(messages: Sequence[Mapping[str, str]]) -> Source:
    """The item of a conversation: the largest JSON object in the user's messages, else their most telling paragraph.

    All of the user's messages are looked at, because the last one of a re-ask tells of errors.
    """
    asked = [message["content"] for message in messages if message["role"] == "user"]
    asked = asked or [message["content"] for message in messages]
    found = [
        (sum(map(len, strings)), strings, one) for text in asked for one in _objects(text) if (strings := _texts(one))
    ]
    if found:
        _, strings, fields = max(found, key=lambda each: each[0])
        strings.sort(key=len, reverse=True)
        return Source("\n".join(one for one in strings if len(one) * _SHORT >= len(strings[0])), fields)
    paragraphs = [part for text in asked for part in _paragraphs(text)]
    return Source(max(paragraphs, key=lambda each: each[0])[1] if paragraphs else "", {})


def _tells(word: str) -> bool:
    long = len(word) >= (4 if word.isascii() else 2)
    return long and not word.isdigit() and word not in _STOP_WORDS


def _objects(text: str) -> Iterator[dict[str, Json]]:
    """The JSON objects that stand in a text, JSON Schemas excepted."""
    decoder = json.JSONDecoder()
    position = text.find("{")
    for _ in range(_MOST_OBJECTS):
        if position < 0:
            return
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            if not _SCHEMA_WORDS & value.keys():
                yield value
        position = text.find("{", end)


def _texts(value: Json, depth: int = 0) -> list[str]:
    """The strings of a JSON value, three levels down, in order."""
    if isinstance(value, str):
        return [value] if value.strip() else []
    if depth > 3 or not isinstance(value, (dict, list)):
        return []
    parts = value.values() if isinstance(value, dict) else value
    return [text for part in parts for text in _texts(part, depth + 1)]


def _paragraphs(text: str) -> list[tuple[int, str]]:
    """The paragraphs of a prompt with a weight each. What is fenced or tagged is the item; else later and longer ones
    weigh more, since instructions come first."""
    blocks = [match.group(1) or match.group(3) for match in _BLOCK.finditer(text)]
    if blocks:
        return [(len(block) * 1000, block) for block in blocks]
    parts = [part for part in re.split(r"\n\s*\n", text) if part.strip()]
    return [(len(part) * number, part) for number, part in enumerate(parts, start=1)]
