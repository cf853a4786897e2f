"""The functions of the condition language. Values in, a value out; ConditionError where there is no answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from penstock.core.errors import ConditionError
from penstock.rules.conditions.values import ANY, counted, described, field, finite, kind, shown

_NUMBER = frozenset({"number"})
_TEXT = frozenset({"text"})
_OBJECT = frozenset({"object"})
_SIZED = frozenset({"text", "list", "object"})
_LIST = frozenset({"list"})
_BOOL = frozenset({"bool"})

_WRITTEN_NUMBER = re.compile(r"[+-]?(?:[0-9]+(\.[0-9]*)?|(\.[0-9]+))([eE][+-]?[0-9]+)?")
_LONGEST_NUMBER = 1000
_MOST_DIGITS = 300

# Scripts that write no spaces between words: hiragana, katakana, Han. Compiled on first use: it takes 3 ms.
_LONE = "\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RUN = f"[{_LONE}]|[^\\s{_LONE}]+"
_LETTER = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Function:
    """One function: `takes` are the kinds that each argument may have, `gives` those of the answer.

    `takes_from_first`: the first is only the place to look in; a line of the log names it and spares its value.
    The last `optional` arguments may be left out. With `any_number`, further arguments are like the last.
    `check_second` is called with a second argument that is a literal, when the expression is loaded,
    and raises ConditionError if that can never work.
    """

    usage: str
    takes: tuple[frozenset[str], ...]
    gives: frozenset[str]
    apply: Callable[..., object]
    takes_from_first: bool = False
    optional: int = 0
    any_number: bool = False
    check_second: Callable[[object], object] | None = None

    def kinds_at(self, position: int) -> frozenset[str]:
        """What the argument at a position may be."""
        return self.takes[min(position, len(self.takes) - 1)]

    def miscounted(self, count: int) -> str | None:
        """What is wrong with this many arguments, as `takes 1 argument, and 2 are given`; None if nothing is."""
        most, least = len(self.takes), len(self.takes) - self.optional
        if count >= least and (self.any_number or count <= most):
            return None
        wanted = f"{least} or {most} arguments" if self.optional else counted(most, "argument")
        wanted = f"at least {counted(least, 'argument')}" if self.any_number else wanted
        return f"takes {wanted}, and {count} {'is' if count == 1 else 'are'} given"


def reach(value: object, path: str, default: object) -> object:
    """`get`: the value at a path such as `a.b` or `tags.0`, or the default where the way to it is absent or null.

    Anything but an object, a list or null on the way is an error: the path and the value disagree.
    """
    owner = "the value"
    for segment in path_segments(path):
        step = int(segment) if isinstance(value, (list, tuple)) and segment.isascii() and segment.isdigit() else segment
        absent_field = isinstance(value, Mapping) and step not in value
        absent_element = isinstance(value, (list, tuple)) and type(step) is int and step >= len(value)
        if value is None or absent_field or absent_element:
            return default
        value = field(value, step, owner)
        owner = f"{owner}.{segment}" if owner != "the value" else segment
    return value


def path_segments(path: object) -> list[str]:
    """The names in a path of `get`; ConditionError if one is empty."""
    segments = str(path).split(".")
    if "" in segments:
        raise ConditionError(f"the path {shown(path)} has an empty name in it; a path is written a.b")
    return segments


def _has(value: Mapping[str, object], name: str) -> bool:
    return name in value


def _min(first: object, *others: object) -> object:
    return min(_comparable(first, others))  # type: ignore[type-var]  # _comparable leaves numbers or texts only


def _max(first: object, *others: object) -> object:
    return max(_comparable(first, others))  # type: ignore[type-var]  # _comparable leaves numbers or texts only


def _comparable(first: object, others: tuple[object, ...]) -> list[object] | tuple[object, ...]:
    """What min and max choose from: one list, or two arguments and more; all numbers or all texts."""
    if isinstance(first, (list, tuple)) and not others:
        found: list[object] | tuple[object, ...] = first
    elif others:
        found = (first, *others)
    else:
        raise ConditionError(f"it takes a list, or two values and more; got {described(first)}")
    if not found:
        raise ConditionError("the list is empty")
    return _alike(found, kind(found[0]) if kind(found[0]) == "text" else "number")


def _sum(numbers: list[object]) -> object:
    return sum(_alike(numbers, "number"))  # type: ignore[arg-type]  # _alike leaves numbers only


def _alike(values: list[object] | tuple[object, ...], wanted: str) -> list[object] | tuple[object, ...]:
    for position, value in enumerate(values):
        if kind(value) != wanted:
            raise ConditionError(f"element {position} is {described(value)}, and a {wanted} is needed")
        finite(value)
    return values


def _round(value: float, digits: int = 0) -> float:
    _whole_digits(digits)
    return round(value, digits) if digits else round(value)


def _whole_digits(digits: object) -> None:
    # Python computes 10 ** digits: a large one would hang the run.
    if type(digits) is not int or abs(digits) > _MOST_DIGITS:
        raise ConditionError(f"digits are a whole number from -{_MOST_DIGITS} to {_MOST_DIGITS}; got {shown(digits)}")


def _number(value: object) -> object:
    """JSON's numbers, with a plus sign or a bare point allowed, and white space around. A number stays as it is."""
    if not isinstance(value, str):
        return value
    written = value.strip() if len(value) <= _LONGEST_NUMBER else ""
    match = _WRITTEN_NUMBER.fullmatch(written)
    if match is None:
        raise ConditionError(f"the text {shown(value)} is not a number")
    return float(written) if any(match.groups()) else int(written)


def _matches(text: str, pattern: str) -> bool:
    search = _searcher(pattern)
    try:
        return search(text.encode())
    except UnicodeEncodeError:
        raise ConditionError("the text holds a lone surrogate, which is no character") from None


def _check_regex(pattern: object) -> None:
    if "\b" in str(pattern):
        raise ConditionError(r"\b in plain quotes is a backspace; write the regex as r" + '"…"')
    _searcher(str(pattern))


@lru_cache(maxsize=256)
def _searcher(pattern: str) -> Callable[[bytes], bool]:
    """Whether a text (UTF-8) has a match anywhere. RE2: time is linear in the text, whatever the pattern."""
    import re2  # type: ignore[import-untyped]  # ships no types; 2.4 ms to import, and most workflows match nothing

    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error.args[0]
        raise ConditionError(f"the regex {shown(pattern)} is not valid: {reason}") from None
    except UnicodeEncodeError:
        raise ConditionError("the regex holds a lone surrogate, which is no character") from None
    return lambda text: compiled.search(text) is not None


def _words(text: str) -> int:
    """Runs without white space that hold a letter or a digit: Korean counts as its spacing says.

    Han and kana, written without spaces, count one a character, as word processors do. `don't` and `e-mail` are one.
    """
    return sum(1 for run in re.findall(_RUN, text) if _LETTER.search(run))


def _tokens(text: str) -> int:
    """An estimate without a tokenizer: ASCII characters / 4 + other UTF-8 bytes / 3, rounded up.

    About a token for four English letters, one for a Hangul syllable or a Han character. It leans to the
    high side for models of today, which suits its use: to choose the prompt or the model that has room.
    """
    ascii_count = sum(1 for letter in text if letter < "\x80") if not text.isascii() else len(text)
    other_bytes = len(text.encode("utf-8", "surrogatepass")) - ascii_count
    return -(-(3 * ascii_count + 4 * other_bytes) // 12)


FUNCTIONS: Mapping[str, Function] = {
    "len": Function("len(x)", (_SIZED,), _NUMBER, len),
    "min": Function("min(list) or min(a, b)", (_LIST | _NUMBER | _TEXT,), _NUMBER | _TEXT, _min, any_number=True),
    "max": Function("max(list) or max(a, b)", (_LIST | _NUMBER | _TEXT,), _NUMBER | _TEXT, _max, any_number=True),
    "sum": Function("sum(list)", (_LIST,), _NUMBER, _sum),
    "abs": Function("abs(x)", (_NUMBER,), _NUMBER, abs),
    "round": Function(
        "round(x) or round(x, digits)", (_NUMBER, _NUMBER), _NUMBER, _round, optional=1, check_second=_whole_digits
    ),
    "lower": Function("lower(text)", (_TEXT,), _TEXT, str.lower),
    "upper": Function("upper(text)", (_TEXT,), _TEXT, str.upper),
    "number": Function("number(text)", (_TEXT | _NUMBER,), _NUMBER, _number),
    "matches": Function("matches(text, regex)", (_TEXT, _TEXT), _BOOL, _matches, check_second=_check_regex),
    "words": Function("words(text)", (_TEXT,), _NUMBER, _words),
    "tokens": Function("tokens(text)", (_TEXT,), _NUMBER, _tokens),
    "has": Function('has(x, "field")', (_OBJECT, _TEXT), _BOOL, _has, takes_from_first=True),
    "get": Function(
        'get(x, "a.b", default)',
        (_OBJECT | _LIST | {"null"}, _TEXT, ANY),
        ANY,
        reach,
        takes_from_first=True,
        check_second=path_segments,
    ),
}
