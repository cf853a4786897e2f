"""The condition language: answers with their operands, errors word for word, and what no text can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.core import canon
from penstock.core.errors import ConditionError
from penstock.rules.conditions import ExpressionError, Reference, decide, references

ITEM = canon.parse(
    """{"score": 0.950, "rate": "0.95", "lang": "ko", "text": "안녕 hello world 123", "n": 3, "zero": 0, "ok": true,
    "no": "false", "nul": null, "big": 1e400, "id": 123456789012345678901234567890, "tags": ["a", "b"], "empty": [],
    "mixed": [1, "3", null], "values": {"keys": 1}, "class": "x", "my-step": {"rate": 1}, "점수": 5,
    "o": {"a": 1, "b": {"c": 2}}}"""
)
WORLD: dict[str, object] = {
    "item": ITEM,
    "outputs": {"route": canon.parse('{"accept_rate": 0.873, "total": 10, "rejected": 3, "ok": true}')},
    "i": 4,
}
NAMES = frozenset(WORLD)


def answer(text: str) -> str:
    references(text, names=NAMES)
    return decide(text, WORLD).shown


def cases(table: str) -> list[tuple[str, str]]:
    """Conditions, each with the indented lines that stand below it."""
    found: list[tuple[str, list[str]]] = []
    for line in table.strip().splitlines():
        if line.startswith("    "):
            found[-1][1].append(line[4:])
        else:
            found.append((line, []))
    return [(text, "\n".join(lines)) for text, lines in found]


def load_error(text: str) -> str:
    """An error at load: the part it points at, what it says, what helps."""
    with pytest.raises(ExpressionError) as caught:
        references(text, names=NAMES)
    error = caught.value
    assert str(error) == error.message
    assert error.width >= 1
    return f"{text[error.offset : error.offset + error.width]}\n{error.message}\n{error.help}"


def run_error(text: str) -> str:
    references(text, names=NAMES)
    with pytest.raises(ConditionError) as caught:
        decide(text, WORLD)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("outputs.route.accept_rate > 0.9", "0.873 > 0.9 → false"),
        ("outputs.route.accept_rate > .80", "0.873 > .80 → true"),
        ('outputs["route"]["accept_rate"] > 0.5', "0.873 > 0.5 → true"),
        ("item.score > 0.9", "0.950 > 0.9 → true"),
        ("item.id == 123456789012345678901234567890", f"{'1234567890' * 3} == {'1234567890' * 3} → true"),
        ("0.5 < item.score < 0.96", "0.5 < 0.950 < 0.96 → true"),
        ("0.96 < item.score < item.n", "0.96 < 0.950 < item.n → false"),
        ("item.n == 3.0", "3 == 3.0 → true"),
        ("item.n != 3", "3 != 3 → false"),
        ("item.nul == null", "null == null → true"),
        ("item.nul != None and item.n > 1", "null != null and item.n > 1 → false"),
        ("item.n == null", "3 == null → false"),
        ("true == True", "true == true → true"),
        # bools by themselves keep their names
        ("item.ok", "item.ok → true"),
        ("not item.ok", "not item.ok=true → false"),
        ("not not item.ok", "not not item.ok=true → true"),
        ("item.ok == true", "true == true → true"),
        ("item.ok and outputs.route.ok", "item.ok=true and outputs.route.ok=true → true"),
        ("item.n > 5 and item.ok", "3 > 5 and item.ok → false"),
        # what was not reached stands as it was written
        ('item.score > 0.9 and item.lang == "en"', '0.950 > 0.9 and "ko" == "en" → false'),
        ('item.score > 0.99 and item.lang == "en"', '0.950 > 0.99 and item.lang == "en" → false'),
        ("item.score > 0.9 or len(item.text) > 3", "0.950 > 0.9 or len(item.text) > 3 → true"),
        ("item.n > 1 or item.n / item.zero > 1", "3 > 1 or item.n / item.zero > 1 → true"),
        # grouping is kept
        ("(item.n > 5 or item.n < 4) and item.ok", "(3 > 5 or 3 < 4) and item.ok=true → true"),
        ("item.n > 5 or item.n < 4 and item.ok", "3 > 5 or 3 < 4 and item.ok=true → true"),
        ("not (item.ok and item.n > 5)", "not (item.ok=true and 3 > 5) → true"),
        ("(item.n > 5) == false", "(3 > 5) == false → true"),
        ('item.score > (0.5 if item.lang == "ko" else 0.7)', '0.950 > (0.5 if "ko" == "ko" else 0.7) → true'),
        # arithmetic
        ("outputs.route.rejected / outputs.route.total < 0.5", "(3 / 10)=0.3 < 0.5 → true"),
        ("(item.n + 1) * 2 == 8", "((3 + 1) * 2)=8 == 8 → true"),
        ("item.n // 2 + item.n % 2 == 2", "((3 // 2) + (3 % 2))=2 == 2 → true"),
        ("-item.n < -2", "-3 < -2 → true"),
        ('item.lang + "!" == "ko!"', '("ko" + "!")="ko!" == "ko!" → true'),
        # fields
        ('item.class == "x"', '"x" == "x" → true'),
        ('item["my-step"].rate == 1', "1 == 1 → true"),
        ("item.점수 == 5", "5 == 5 → true"),
        ("item.values == {'keys': 1}", '{"keys":1} == {"keys":1} → true'),
        ('item . tags [ 0 ] == "a"', '"a" == "a" → true'),
        ('item.tags[-1] == "b"', '"b" == "b" → true'),
        ('item.tags[i - 3] == "b"', '"b" == "b" → true'),
        ("[1, item.n][1] == 3", "3 == 3 → true"),
        ("item.o == {'a': 1, 'b': {'c': 2.0}}", '{"a":1,"b":{"c":2}} == {"a":1,"b":{"c":2.0}} → true'),
        ("item.tags == []", '["a","b"] == [] → false'),
        # in
        ('item.lang in ["ko", "en"]', '"ko" in ["ko","en"] → true'),
        ('item.lang not in ("en", "ja")', '"ko" not in ["en","ja"] → true'),
        ("item.n in item.mixed", '3 in [1,"3",null] → false'),
        ("item.nul in [1]", "null in [1] → false"),
        ("item.nul in item.mixed", 'null in [1,"3",null] → true'),
        ("item.n in []", "3 in [] → false"),
        ('"hello" in item.text', '"hello" in "안녕 hello world 123" → true'),
        ('"keys" in item.values', '"keys" in {"keys":1} → true'),
        ('item.lang in [item.lang, "x"]', '"ko" in ["ko", "x"] → true'),
        # functions
        ("len(item.text) > 3", 'len("안녕 hello world 123")=18 > 3 → true'),
        ("len(item.tags) + len(item.values) == 3", '(len(["a","b"]) + len({"keys":1}))=3 == 3 → true'),
        ("max(item.n, 7, 2) == 7", "max(3, 7, 2)=7 == 7 → true"),
        ('min(item.tags) == "a"', 'min(["a","b"])="a" == "a" → true'),
        ("sum([1, item.n]) == 4", "sum([1, 3])=4 == 4 → true"),
        ("abs(item.n - 10) > 5", "abs(3 - 10)=7 > 5 → true"),
        ("round(item.score) == 1", "round(0.950)=1 == 1 → true"),
        ("round(item.score, 1) <= 1", "round(0.950, 1)=0.9 <= 1 → true"),
        ('upper(lower("Ab")) == "AB"', 'upper(lower("Ab"))="AB" == "AB" → true'),
        ("number(item.rate) >= 0.95", 'number("0.95")=0.95 >= 0.95 → true'),
        ("number(' -1e3 ') == -1000", 'number(" -1e3 ")=-1000.0 == -1000 → true'),
        ("number(item.n) == 3", "number(3)=3 == 3 → true"),
        ("matches(item.text, '(?i)HELLO')", 'matches("안녕 hello world 123", "(?i)HELLO") → true'),
        (r'matches(item.text, r"\bworld \d+$")', r'matches("안녕 hello world 123", r"\bworld \d+$") → true'),
        ("matches(item.lang, '^a') or item.ok", 'matches("ko", "^a")=false or item.ok=true → true'),
        ("words(item.text) == 4", 'words("안녕 hello world 123")=4 == 4 → true'),
        ("tokens(item.text) == 6", 'tokens("안녕 hello world 123")=6 == 6 → true'),
        ('has(item, "x")', 'has(item, "x") → false'),
        ('has(item.o, "a") and item.o.a == 1', 'has(item.o, "a")=true and 1 == 1 → true'),
        ('get(item, "o.b.c", 0) == 2', 'get(item, "o.b.c", 0)=2 == 2 → true'),
        ('get(item, "o.x.c", 0) == 2', 'get(item, "o.x.c", 0)=0 == 2 → false'),
        ('get(item, "tags.1", "") == "b"', 'get(item, "tags.1", "")="b" == "b" → true'),
        ('get(item, "tags.2", "") == ""', 'get(item, "tags.2", "")="" == "" → true'),
        ('get(item, "nul.x", 7) == 7', 'get(item, "nul.x", 7)=7 == 7 → true'),
        ('get(item, "nul", 7) == null', 'get(item, "nul", 7)=null == null → true'),
        ('get(item, "o", {}).a == 1', "1 == 1 → true"),
        # a condition may be folded over lines
        ("\n  item.ok and\n  item.n > 1\n", "item.ok=true and 3 > 1 → true"),
    ],
)
def test_a_condition_answers_and_shows_what_it_saw(text: str, shown: str) -> None:
    assert answer(text) == shown
    assert decide(text, WORLD).value == shown.endswith("true")


def test_a_long_value_is_cut_to_sixty_characters() -> None:
    text, _, _ = decide('item.t == "x"', {"item": {"t": 'say "hi" ' * 40}}).shown.partition(" == ")
    assert len(text) == 60
    assert text.endswith('…"')
    numbers, _, _ = decide("item.t == []", {"item": {"t": list(range(100_000))}}).shown.partition(" == ")
    assert len(numbers) == 60
    assert numbers.startswith("[0,1,2,3")
    assert numbers.endswith("…")


def test_what_a_terminal_would_obey_is_shown_as_an_escape() -> None:
    shown = decide('item == "x"', {"item": "\x1b[2J\x9b\u202e\x7f한"}).shown
    assert shown == r'"\u001b[2J\u009b\u202e\u007f한" == "x" → false'


NO_ANSWER = r"""
item.rate > 0.9
    item.rate is the text "0.95", and 0.9 is a number; write number(item.rate)
0.9 < item.rate
    0.9 is a number, and item.rate is the text "0.95"; write number(item.rate)
item.rate == 0.95
    item.rate is the text "0.95", and 0.95 is a number; write number(item.rate)
item.lang > item.n
    item.lang is the text "ko", and item.n is the number 3
item.ok == 1
    item.ok is the bool true, and 1 is a number
item.ok > item.ok
    item.ok is the bool true, and `>` compares numbers or texts
item.tags > item.tags
    item.tags is a list of 2 elements, and `>` compares numbers or texts
item.tags == item.o
    item.tags is a list of 2 elements, and item.o is an object with the fields a, b
item.tags == [1, 'b']
    item.tags and [1, 'b'] hold different types: the text "a" against the number 1
item.nul > 1
    item.nul is null, and null has no order; test it first: item.nul != null and …
1 <= item.nul
    item.nul is null, and null has no order; test it first: item.nul != null and …
outputs.route.accept_rat > 0.9
    outputs.route has no field "accept_rat"; did you mean accept_rate? It has: accept_rate, total, rejected, ok
outputs.xyz.rate > 0.9
    outputs has no field "xyz". It has: route
item.values.x.y == 1
    item.values has no field "x". It has: keys
item['my-step'].x == 1
    item["my-step"] has no field "x". It has: rate
get(item, 'zz', {}).x == 1
    get(item, 'zz', {}) has no field "x". It is empty
item.nul.x == 1
    item.nul is null, and null has no field "x"; test it first: item.nul != null and …
item.lang.x == 1
    item.lang is the text "ko", which has no field "x"
item.lang[0] == 'k'
    item.lang is the text "ko", which has no element 0
item.tags[2] == 'a'
    item.tags has no element 2: the list has 2 elements, counted from 0
item.tags[-3] == 'a'
    item.tags has no element -3: the list has 2 elements, counted from 0
item.empty[0] == 'a'
    item.empty has no element 0: the list is empty
item.tags.x == 1
    item.tags is a list, and its elements go by whole numbers from 0; got the text "x"
item.tags[item.ok] == 1
    item.tags is a list, and its elements go by whole numbers from 0; got the bool true
item.o[0] == 1
    item.o is an object, and its fields go by name: a, b; got the number 0
item.no
    item.no is the text "false", and a condition is true or false; compare it: item.no == "false"
item.score
    item.score is the number 0.950, and a condition is true or false; compare it: item.score > 0
item.ok and item.n
    item.n is the number 3, and `and` takes true or false; compare it: item.n > 0
item.tags or item.ok
    item.tags is a list of 2 elements, and `or` takes true or false; compare it: len(item.tags) > 0
not item.nul
    item.nul is null, and `not` takes true or false; compare it: item.nul != null
true if item.n else false
    item.n is the number 3, and `if` takes true or false; compare it: item.n > 0
item.big > 1
    item.big is 1e400, and nothing is decided by a number that is not finite
item.ok + 1 > 1
    item.ok is the bool true, and `+` takes numbers
item.rate * 2 > 1
    item.rate is the text "0.95", and `*` takes numbers; write number(item.rate)
item.rate + 1 > 1
    item.rate is the text "0.95", and 1 is a number; write number(item.rate)
-item.lang == 1
    item.lang is the text "ko", and `-` takes numbers
item.n / item.zero > 1
    item.n / item.zero: item.zero is 0, and nothing is divided by 0
item.n % item.zero > 1
    item.n % item.zero: item.zero is 0, and nothing is divided by 0
item.n * 1e308 > 1
    item.n * 1e308 is too large a number
item.n in item.tags
    item.n is the number 3, and item.tags holds only texts
item.rate in [0.95]
    item.rate is the text "0.95", and [0.95] holds only numbers; write number(item.rate)
item.n in item.text
    item.n is the number 3, and only a text is looked for in a text: item.text
item.n in item.o
    item.n is the number 3, and only a text is looked for in an object's names: item.o
item.n in item.nul
    item.nul is null, and `in` looks into a list, an object or a text
len(item.n) > 3
    item.n is the number 3, and len takes a text, a list or an object
max(item.empty) > 1
    max(item.empty): the list is empty
max(item.n) > 1
    max(item.n): it takes a list, or two values and more; got the number 3
max(item.mixed) > 1
    max(item.mixed): element 1 is the text "3", and a number is needed
min(item.lang, 3) > 1
    min(item.lang, 3): element 1 is the number 3, and a text is needed
sum(item.tags) > 1
    sum(item.tags): element 0 is the text "a", and a number is needed
sum([item.n, 1.7e308, 1.7e308]) > 1
    sum([item.n, 1.7e308, 1.7e308]) is too large a number
round(item.n, item.score) > 1
    round(item.n, item.score): digits are a whole number from -300 to 300; got 0.950
number(item.lang) > 1
    number(item.lang): the text "ko" is not a number
number('nan') > 1
    number('nan'): the text "nan" is not a number
number('1e999') > 1
    number('1e999') is too large a number
matches(item.n, 'a')
    item.n is the number 3, and matches takes a text
matches(item.text, '(' + item.lang)
    matches(item.text, '(' + item.lang): the regex "(ko" is not valid: missing ): (ko
has(item.tags, 'a')
    item.tags is a list of 2 elements, and has takes an object
get(item, 'lang.x', 0) == 1
    get(item, 'lang.x', 0): lang is the text "ko", which has no field "x"
"""


@pytest.mark.parametrize(("text", "message"), cases(NO_ANSWER))
def test_what_has_no_answer_is_an_error_that_names_what_it_met(text: str, message: str) -> None:
    assert run_error(text) == message


NO_CONDITION = r"""
item.a && item.b
    &&
    `&&` is not part of the language
    write and
item.a || item.b
    ||
    `||` is not part of the language
    write or
!item.a
    !
    `!` is not part of the language
    write not
item.a AND item.b
    AND
    `AND` is not part of the language
    write and
item.n = 3
    =
    `=` is not part of the language
    write ==
item.n === 3
    ===
    `===` is not part of the language
    write ==
item.n => 3
    =>
    `=>` is not part of the language
    write >=
item.n ≥ 3
    ≥
    `≥` is not part of the language
    write >=
"&&" = item.lang
    =
    `=` is not part of the language
    write ==
item.lang == “ko”
    “
    `“` is not part of the language
    write "
item.a ? 1 : 2
    ?
    `?` is not part of the language
    write a if test else b
item.x is null
    item.x is null
    `is` is not part of the language
    write ==
item.x is not null
    item.x is not null
    `is not` is not part of the language
    write !=
item.n ** 2 > 1
    item.n ** 2
    `**` is not part of the language
    write x * x
item.a & item.b
    item.a & item.b
    `&` is not part of the language
    write and
~item.a
    ~item.a
    `~` is not part of the language
    write not
(x := 3) > 1
    x := 3
    `:=` is not part of the language
    to compare, write ==
itm.lang == 'ko'
    itm
    there is no name itm here
    did you mean item?
    names here: i, item, outputs
item.lang == ko
    ko
    there is no name ko here
    if it is a text, write "ko"
    names here: i, item, outputs
item.x == NULL
    NULL
    there is no name NULL here
    did you mean null?
    names here: i, item, outputs
outputs.my-step.rate > 0.9
    step
    there is no name step here
    write outputs["my-step"]; a - between names is a minus
lenght(item.x) > 1
    lenght
    there is no function lenght
    did you mean len?
    the functions are len, min, max, sum, abs, round, lower, upper, number, matches, words, tokens, has, get
open('x') == 1
    open
    there is no function open
    the functions are len, min, max, sum, abs, round, lower, upper, number, matches, words, tokens, has, get
len > 3
    len
    len is a function
    write len(x)
len(item.a, 1) > 1
    len(item.a, 1)
    len takes 1 argument, and 2 are given
    write len(x)
round() > 1
    round()
    round takes 1 or 2 arguments, and 0 are given
    write round(x) or round(x, digits)
max() > 1
    max()
    max takes at least 1 argument, and 0 are given
    write max(list) or max(a, b)
get(item, 'a') == 1
    get(item, 'a')
    get takes 3 arguments, and 2 are given
    write get(x, "a.b", default)
len(x=item.a) > 1
    item.a
    arguments have no names here
    write len(x)
len(*item.a) > 1
    *item.a
    `*` has nothing to spread here
    write the elements one by one
item.t.lower() == 'a'
    item.t.lower()
    values have no methods: .lower()
    write lower(item.t)
item.t.startswith('a')
    item.t.startswith('a')
    values have no methods: .startswith()
    write matches(item.t, "^…")
item.t.x()
    item.t.x()
    values have no methods: .x()
    the functions are len, min, max, sum, abs, round, lower, upper, number, matches, words, tokens, has, get
item['f']()
    item['f']
    only a function is called
    the functions are len, min, max, sum, abs, round, lower, upper, number, matches, words, tokens, has, get
len(3) > 1
    3
    len takes a text, a list or an object, and this is a number
    write len(x)
matches(item.t, '(a')
    '(a'
    the regex "(a" is not valid: missing ): (a
    write matches(text, regex)
matches(item.t, '(?=a)')
    '(?=a)'
    the regex "(?=a)" is not valid: invalid perl operator: (?=
    write matches(text, regex)
matches(item.t, '\bfoo')
    '\bfoo'
    \b in plain quotes is a backspace; write the regex as r"…"
    write matches(text, regex)
get(item, 'a..b', 0) == 1
    'a..b'
    the path "a..b" has an empty name in it; a path is written a.b
    write get(x, "a.b", default)
round(item.n, 1.5) > 1
    1.5
    digits are a whole number from -300 to 300; got 1.5
    write round(x) or round(x, digits)
matches(item.t, '\d+')
    \d
    \d is no escape in a text
    write r'\d+'
item.t == 'abc
    '
    this quote is not closed
    is a ' missing at the end?
item.t in ['a' 'b']
    'b'
    two texts stand side by side
    put a comma, + or an operator between
item.t == 'it''s'
    's'
    two texts stand side by side
    put a comma, + or an operator between
item.t == '\ud800'
    '\ud800'
    a lone surrogate is no character
    write the character itself
item.t == '\x1'
    item.t == '\x1'
    a \ escape in this text is not complete
    for a plain \, write r"…"
f'{item.x}' == 'a'
    f'{item.x}'
    a condition has no f-strings
    join texts with +
b'a' == item.t
    b'a'
    this is no JSON value
    write a number, a text, true, false, null or a list
item.n > 1j
    1j
    a number ends where a word begins
    write 1 j
... == 1
    ...
    this is no JSON value
    write a number, a text, true, false, null or a list
1e999 > item.n
    1e999
    this number is too large
    numbers go up to about 1.8e308
1if item.ok else 2
    1if
    a number ends where a word begins
    write 1 if
item.t[0:3] == 'abc'
    0:3
    an index is one name or one number
    for how a text begins, write matches(text, "^abc")
item[true] == 1
    item[true]
    an index is a name or a number, and this is true or false
    write item["a"] or item[0]
{{item.x}} == 1
    {{item.x}}
    a list is written in [ ], and a name without {{ }}
    write ["a", "b"], or item.x
item.ok # fine
    #
    a condition has no comments
    put it in the YAML, before the key
lambda: 1
    lambda: 1
    a condition makes no functions
    the functions are len, min, max, sum, abs, round, lower, upper, number, matches, words, tokens, has, get
[x for x in item.a] == []
    [x for x in item.a]
    a condition has no loops
    len, min, max and sum take a whole list; `in` looks into one
().x == 1
    ().x
    a constant has no fields
    fields are those of a name: item.x
{1: 2} == item.o
    {1: 2}
    the names in an object are texts
    write {"a": 1}
{**item.o} == item.o
    {**item.o}
    the names in an object are texts
    write {"a": 1}
{'a': item.n} == item.o
    item.n
    an object is written with constants only
    compare its fields one by one
'a'
    'a'
    a condition is true or false, and this is a text
    compare it: 'a' == …
1 + 2
    1 + 2
    a condition is true or false, and this is a number
    compare it: 1 + 2 == …
item.a + item.b
    item.a + item.b
    a condition is true or false, and this is a number or a text
    compare it: item.a + item.b == …
item.ok and len(item.t)
    len(item.t)
    `and` takes true or false, and this is a number
    compare it: len(item.t) == …
not 'a'
    'a'
    `not` takes true or false, and this is a text
    compare it: 'a' == …
item.n > 1,5
    item.n > 1,5
    a condition is true or false, and this is a list
    a comma makes a list of it; a number has none inside
'0.95' == 0.95
    '0.95' == 0.95
    `==` between a text and a number has no answer
    both sides are of one type; number(text) makes a number of a text
len(item.t) > '3'
    len(item.t) > '3'
    `>` between a number and a text has no answer
    both sides are of one type; number(text) makes a number of a text
true < false
    true < false
    `<` compares numbers or texts, and this is true or false
    both sides are of one type; number(text) makes a number of a text
3 in 'abc'
    3 in 'abc'
    `in` between a number and a text has no answer
    both sides are of one type; number(text) makes a number of a text
item.t in 3
    item.t in 3
    `in` looks into a list, an object or a text, and this is a number
    both sides are of one type; number(text) makes a number of a text
'a' * 3 == item.t
    'a'
    `*` takes numbers, and this is a text
    number(text) makes a number of a text
item.t * 3 == 'a'
    item.t * 3 == 'a'
    `==` between a number and a text has no answer
    both sides are of one type; number(text) makes a number of a text
'a' + 3 == item.t
    'a' + 3
    `+` takes two of one kind, and these are a text and a number
    number(text) makes a number of a text
-'3' == item.n
    -'3'
    `-` takes a number, and this is a text
    number(text) makes a number of a text
item.ok and
    d
    the condition ends too early
    something is missing after this
(item.ok
    (
    this ( is not closed
    is a bracket missing?
item.ok) or (item.no
    )
    this ) closes nothing
    is a ( missing?
item.tags[0)
    )
    this ) closes nothing
    is a ( missing?
item.n 3
    i
    this is not understood here
    an operator, a comma or a quote is missing, or one too many
item.ok; item.no
    ;
    this is not understood here
    an operator, a comma or a quote is missing, or one too many
"""


@pytest.mark.parametrize(("text", "error"), cases(NO_CONDITION))
def test_what_is_no_condition_is_refused_with_what_to_write(text: str, error: str) -> None:
    assert load_error(text) == error


def test_an_empty_condition_is_refused() -> None:
    assert load_error(" ") == " \nthe condition is empty\nwrite a comparison, such as item.score > 0.5"


def test_a_place_counts_characters_and_not_bytes() -> None:
    with pytest.raises(ExpressionError) as caught:
        references('item.점수 == "한국어"\nand\titm.x', names=NAMES)
    assert (caught.value.offset, caught.value.width) == (21, 3)


@pytest.mark.parametrize(
    "text",
    [
        "item.x == " + "1" * 4000,
        "(" * 65 + "item.ok" + ")" * 65,
        "not " * 900 + "item.ok",
        "-" * 3000 + "item.n > 1",
        "item.n" + "+item.n" * 400 + " > 1",
        "item" + ".a" * 500 + " == 1",
        "item.ok\0",
        "item.t == '\ud800'",
    ],
)
def test_a_text_too_long_too_deep_or_not_unicode_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        references(text, names=NAMES)


# --- references ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("outputs.route.accept_rate > 0.9", [("outputs", ("route", "accept_rate"))]),
        ('outputs["my-step"].x > item.tags[0]', [("outputs", ("my-step", "x")), ("item", ("tags", 0))]),
        ("outputs[item.lang].x > 1", [("outputs", ()), ("item", ("lang",))]),
        ("item.tags[i].x == item.tags[-1]", [("item", ("tags",)), ("i", ()), ("item", ("tags", -1))]),
        ('get(outputs, "route.total", 0) > 1', [("outputs", ("route", "total"))]),
        ('has(outputs.route, "a.b")', [("outputs", ("route", "a.b"))]),
        ("has(outputs, item.lang)", [("outputs", ()), ("item", ("lang",))]),
        ("true", []),
        ("i if item.ok else item.n > i", None),
    ],
)
def test_references_are_found_in_order(text: str, found: list[tuple[str, tuple[str | int, ...]]] | None) -> None:
    if found is None:
        found = [("item", ("ok",)), ("i", ()), ("item", ("n",)), ("i", ())]
    assert references(text, names=NAMES) == tuple(Reference(root, path) for root, path in found)


def test_a_reference_knows_its_place() -> None:
    text = 'item.lang == "한" and outputs["my-step"].rate > 1'
    second = references(text, names=NAMES)[1]
    assert text[second.offset : second.offset + second.width] == 'outputs["my-step"].rate'


def test_a_field_is_looked_up_as_it_is_spelt_and_not_normalised() -> None:
    composed, jamo = "점수", "\u110c\u1165\u11b7\u1109\u116e"
    assert decide(f"item.{jamo} == 1", {"item": {composed: 2, jamo: 1}}).value
    assert decide(f"item.{composed} == 2", {"item": {composed: 2, jamo: 1}}).value
    assert references("item.ﬁeld == 1", names=NAMES) == (Reference("item", ("ﬁeld",)),)


# --- lazy names ----------------------------------------------------------------------------------


class Unreadable(Mapping[str, object]):
    """Outputs whose file cannot be read."""

    def __getitem__(self, name: str) -> object:
        raise ConditionError(f"logs/{name}.json cannot be read")

    def __iter__(self) -> Iterator[str]:
        return iter(["route"])

    def __len__(self) -> int:
        return 1


def test_what_a_lazy_root_says_about_itself_comes_through() -> None:
    with pytest.raises(ConditionError, match=r"^logs/route\.json cannot be read$"):
        decide("outputs.route.rate > 0.5", {"outputs": Unreadable()})


def test_what_is_not_reached_is_not_read() -> None:
    names = {"outputs": Unreadable(), "item": {"ok": False}}
    assert decide("item.ok and outputs.route.rate > 0.5", names).shown == (
        "item.ok=false and outputs.route.rate > 0.5 → false"
    )
    assert decide("len(outputs) == 1", names).shown == "len({…})=1 == 1 → true"


def test_a_root_that_is_missing_when_asked_is_an_error_that_lists_the_roots() -> None:
    with pytest.raises(ConditionError, match=r"^there is no output here; there is: i, item$"):
        decide("output.x > 1", {"item": 1, "i": 2})


# --- words and tokens ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" \n\t ", 0),
        ("one two\u3000three", 3),
        ("don't e-mail a.b@c.d", 3),
        ("- … — !", 0),
        ("안녕하세요, 반갑습니다!", 2),
        ("아버지가 방에 들어가신다", 3),
        ("나는GPT를 쓴다", 2),
        ("我爱北京", 4),
        ("東京タワー is high", 7),
        ("-" * 100_000, 0),
    ],
)
def test_words_are_counted_as_each_script_spaces_them(text: str, count: int) -> None:
    assert decide(f"words(item) == {count}", {"item": text}).shown.endswith(f"={count} == {count} → true")


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("안녕", 2), ("é", 1), ("ab한글", 3)]
)
def test_tokens_are_ascii_by_four_and_other_bytes_by_three_rounded_up(text: str, count: int) -> None:
    assert decide(f"tokens(item) == {count}", {"item": text}).value


def test_a_regex_takes_linear_time() -> None:
    # (a+)+$ on this text takes Python's own re longer than the universe has been.
    assert not decide("matches(item, '(a+)+$')", {"item": "a" * 50_000 + "!"}).value


# --- no way out ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "().__class__.__bases__[0].__subclasses__() == []",
        "item.__class__ == 1",
        'item["__class__"].__mro__ == 1',
        "item.tags.append == 1",
        "item.o.keys == 1",
        "item.text.__len__ == 1",
        "outputs.__getitem__ == 1",
        "len.__self__ == 1",
        "get(item, '__class__.__name__', 1) == 'dict'",
        "__import__('os') == 1",
        "has(item, '__class__')",
        "'{0.__class__}'.format(item) == 'x'",
        "'%s' % item == 'x'",
        "exec('1') == 1",
        "(yield) == 1",
        "(await item) == 1",
        "item.n.real == 3",
        "item.score.text == '0.950'",
    ],
)
def test_no_attribute_of_python_can_be_reached(text: str) -> None:
    try:
        assert not decide(text, WORLD).value
    except (ExpressionError, ConditionError):
        return
    assert text.startswith(("has(", "get("))


def test_a_dunder_name_is_a_field_like_any_other() -> None:
    assert decide("item.__class__ == 1 and item.items == 2", {"item": {"__class__": 1, "items": 2}}).value


# --- properties ----------------------------------------------------------------------------------

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
_PATHS = ["item", "item.a", "item.b", "item.a.b", "item.a[0]", 'item["c"]', "i"]
_CONSTANTS = ["true", "null", "0", "1.5", "-3", "1e308", "9" * 20, '"a"', "''", "[]", "[1, 2]", '{"a": 1}']
_atoms = st.sampled_from([*_PATHS, *_CONSTANTS])
_SIGNS = ["+", "-", "*", "/", "//", "%"]
_ORDERS = ["==", "!=", "<", "<=", ">", ">="]
_binary = st.sampled_from([*_SIGNS, *_ORDERS, "in", "not in", "and", "or"])
_SHORT = ["len({})", "min({})", "sum({})", "abs({})", "round({})", "lower({})", "number({})", "words({})"]
_LONGER = ["tokens({})", "max({0}, {0})", "round(1.5, {})", "matches({}, 'a')", "matches('a', {})", "has({}, 'a')"]
_calls = st.sampled_from([*_SHORT, *_LONGER, "get({}, 'a.b', 1)", "get(item, {}, 1)"])
_grammar = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, _binary, inner),
        st.builds(lambda call, argument: call.format(argument), _calls, inner),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("({}).a".format, inner),
        st.builds("not {}".format, inner),
        st.builds("(-{})".format, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
    ),
    max_leaves=10,
)


def _ask(text: str, item: object) -> None:
    try:
        references(text, names=frozenset({"item", "i"}))
        shown = decide(text, {"item": item, "i": 0}).shown
    except (ExpressionError, ConditionError):
        return
    assert shown.endswith((" → true", " → false"))
    assert "\n" not in shown


@settings(max_examples=1500, deadline=None)
@given(_grammar, _json)
@example("item == item", {"a": float("nan")})
@example("item.a in item.b", {"a": [1], "b": [["x"]]})
def test_any_condition_over_any_json_answers_or_says_why_not(text: str, item: object) -> None:
    _ask(text, item)


_LETTERS = "()[]{}.,:=!<>+-*/%&|^~@#\\\"' \n\t\x0c0123é한\u3000"
_WORDS = ["item", "and", "not", "if", "else", "lambda", "in", "is", "for", "==", "r'", "f'", "b'", "1.", ".5", "0x"]
_pieces = st.sampled_from([*_LETTERS, *_WORDS, "e5", "len(", "**", ":=", "\\N{", "None"])


@settings(max_examples=1500, deadline=None)
@given(st.lists(_pieces))
def test_any_text_at_all_is_answered_or_refused(pieces: list[str]) -> None:
    _ask("".join(pieces), {"a": 1})


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=40))
def test_any_unicode_is_answered_or_refused(text: str) -> None:
    _ask(text, {"a": 1})


_fields = {"a": 3, "b": 0.5, "c": -7, "t": "ko", "u": "안녕", "p": True, "q": False}
_number = st.recursive(
    st.sampled_from(["item.a", "item.b", "item.c", "2", "0.25", "10"]),
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(_SIGNS), inner)
        | st.builds("(-{})".format, inner)
        | st.builds("abs({})".format, inner)
        | st.builds("max({}, {})".format, inner, inner)
    ),
    max_leaves=5,
)
_text = st.sampled_from(["item.t", "item.u", "'ko'", "'k'", "(item.t + item.u)"])
_bool = st.recursive(
    st.sampled_from(["item.p", "item.q", "True", "False"])
    | st.builds("({} {} {})".format, _number, st.sampled_from(_ORDERS), _number)
    | st.builds("({} {} {})".format, _text, st.sampled_from(["<", "==", "!=", "in", "not in"]), _text)
    | st.builds("({} < {} <= {})".format, _number, _number, _number)
    | st.builds("({} in [{}, {}])".format, _number, _number, _number),
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or", "=="]), inner)
        | st.builds("(not {})".format, inner)
        | st.builds("({} if {} else {})".format, inner, inner, inner)
    ),
    max_leaves=5,
)


@settings(max_examples=800, deadline=None)
@given(_bool)
def test_where_types_agree_the_answer_is_pythons_own(text: str) -> None:
    names = {"item": SimpleNamespace(**_fields), "__builtins__": {"abs": abs, "max": max}}
    try:
        expected = eval(f"({text})", dict(names))
    except ZeroDivisionError:
        with pytest.raises(ConditionError, match="divided by 0"):
            decide(text, {"item": _fields})
        return
    assert decide(text, {"item": _fields}).value is expected
