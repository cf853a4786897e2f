"""Prompts: what a template may see, how values are printed, what an error says, and what shrinking leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.core import canon
from penstock.core.canon import Json
from penstock.core.errors import ConditionError, Place
from penstock.core.generation import Drop, Rung, Template, Truncate
from penstock.rules.prompts import Prompt, TemplateFault, compile_template, mentioned, render
from penstock.rules.shrinking import shrink

AT = Place("workflow.yaml", 7, 9)
ROW = (
    '{"text":"say <b>\\"hi\\"</b> & {{ i }}{% if %}","n":1.10,"big":123456789012345678901234567890,"huge":1e400,'
    '"neg":-0,"t":true,"z":null,"list":["a",2.50,null,true],"o":{"a b":3.10,"items":4,"_x":5},'
    '"rows":[{"price":10.50,"name":"b"},{"price":9.90,"name":"a"}],"한":"글"}'
)


def prompt(text: str, file: str | None = "prompts/p.md") -> Prompt:
    return compile_template(Template(text, file, AT))


def rendered(text: str, **names: object) -> str:
    return render(prompt(text), {"item": canon.parse(ROW), "i": 3, **names})


def fault(text: str, file: str | None = "prompts/p.md", **names: object) -> str:
    with pytest.raises(TemplateFault) as caught:
        render(prompt(text, file), {"item": canon.parse(ROW), "i": 3, **names})
    return str(caught.value)


# --- printing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ item.text }}", 'say <b>"hi"</b> & {{ i }}{% if %}'),
        ("{{ item }}", ROW),
        ("{{ item.n }}", "1.10"),
        ("{{item.n}}{{- item.n -}} {{ item['n'] }}", "1.101.101.10"),
        ("{{ item.big }}", "123456789012345678901234567890"),
        ("{{ item.huge }}", "1e400"),
        ("{{ item.neg }}", "-0"),
        ("{{ item.t }} {{ item.z }}", "true null"),
        ("{{ item.list }}", '["a",2.50,null,true]'),
        ("{{ item.list[1] }} {{ item.list[-1] }}", "2.50 true"),
        ('{{ item.o["a b"] }} {{ item["o"]["_x"] }} {{ item.o.items }}', "3.10 5 4"),
        ("{{ item.한 }}", "글"),
        ("{% for row in item.rows %}{{ row.name }}={{ row.price }};{% endfor %}", "b=10.50;a=9.90;"),
        ("{% for row in item.rows|sort(attribute='name') %}{{ row.price }} {% endfor %}", "9.90 10.50 "),
        ("{% for k, v in item.o|items %}{{ k }}:{{ v }} {% endfor %}", "a b:3.1 items:4 _x:5 "),
        ("{% set o = item.o %}{{ o['a b'] }}", "3.10"),
        ("{{ item.list|join('+') }}", "a+2.50+null+true"),
        ("{{ item.rows|map(attribute='name')|join(', ') }}", "b, a"),
        ("{{ item.o|tojson }} {{ item.text[:3]|tojson }}", '{"a b":3.10,"items":4,"_x":5} "say"'),
        ("{{ item.list|tojson(indent=1) }}", '[\n "a",\n 2.50,\n null,\n true\n]'),
        ("{{ item.list|string }} {{ item.z|string }}", '["a",2.50,null,true] null'),
        ("{{ item.missing|default('none') }}", "none"),
        ("{% if item.n > 1 %}more{% endif %}", "more"),
        ("{{ i + 1 }}", "4"),
        ("{{ number }}", "7.70"),
        ("{# {{ nope }} #}{% raw %}{{ item.n }}{% endraw %}", "{{ item.n }}"),
        ("{{ '{{ item.n }}' }}", "{{ item.n }}"),
        ("one line\n", "one line"),
        ("", ""),
    ],
)
def test_a_value_is_printed_as_it_was_written(template: str, text: str) -> None:
    assert rendered(template, number=canon.parse("7.70")) == text


VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["1.10", "1E5", "-0", "-0.0", "1e400", "0.1000"]).map(canon.parse),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(VALUES)
@example("{{ i }}")
def test_any_value_prints_as_its_text_or_its_compact_json(value: Json) -> None:
    text = value if isinstance(value, str) else canon.compact(value)
    assert render(
        prompt("{{ item }}|{{ item2.f }}|{{ l[0] }}"), {"item": value, "item2": {"f": value}, "l": [value]}
    ) == (f"{text}|{text}|{text}")


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("{}%# i\n-+'\"item.ranw|"), max_size=30))
def test_a_row_that_looks_like_a_template_is_never_evaluated(text: str) -> None:
    assert render(prompt("<{{ item.text }}>"), {"item": {"text": text}}) == f"<{text}>"


# --- what a template may reach -------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "{{ item.pop }}",
        "{{ item['clear'] }}",
        "{{ item.pop('n') }}",
        "{{ item.list.append(1) }}",
        "{{ item.list.append }}",
        "{{ item.__class__ }}",
        "{{ item.text.__class__ }}",
        "{{ item.n.text }}",
        "{{ item|attr('pop') }}",
        "{{ item.items }}",
        "{% set f = item.pop %}{{ f('n') }}",
        "{{ chain.get }}",
        "{{ debug() }}",
        "{{ __names.item.pop('n') }}",
    ],
)
def test_nothing_of_python_is_reached(template: str) -> None:
    item = canon.parse(ROW)
    with pytest.raises(TemplateFault):
        render(prompt(template), {"item": item, "chain": Lookups({"a": 1})})
    assert canon.compact(item) == ROW


@pytest.mark.parametrize("tag", ["include 'x'", "import 'x' as y", "from 'x' import y", "extends 'x'"])
def test_no_other_file_is_read(tag: str) -> None:
    with pytest.raises(TemplateFault, match="a template reads no other template") as caught:
        prompt(f"one\n{{% {tag} %}}")
    assert caught.value.problem.place == Place("prompts/p.md", 2, 1)


def test_a_loop_without_end_is_ended() -> None:
    loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
    assert "more than 5000000 instructions" in fault(loops)


class Lookups(Mapping[str, Json]):
    """Counts what it is asked for, as a journal would."""

    def __init__(self, fields: Mapping[str, Json]) -> None:
        self._fields = fields
        self.asked: list[str] = []

    def __getitem__(self, name: str) -> Json:
        self.asked.append(name)
        if name == "broken":
            raise ConditionError("outputs.broken cannot be read")
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


def test_only_what_the_template_mentions_is_asked_for() -> None:
    names = Lookups({"item": {"a": 1}, "origin": {"b": 2}, "chain": Lookups({"x": {"y": 1.5}, "z": 1})})
    assert render(prompt("{{ item.a }}{{ chain.x.y }}"), names) == "11.5"
    assert names.asked == ["chain", "item"]
    chain = names["chain"]
    assert isinstance(chain, Lookups)
    assert set(chain.asked) == {"x"}


def test_a_lazy_mapping_prints_whole_and_can_be_walked() -> None:
    chain = Lookups({"a": {"n": canon.parse("1.10")}, "b": None})
    assert (
        rendered("{{ chain }} {% for k in chain %}{{ k }}{% endfor %}", chain=chain) == '{"a":{"n":1.10},"b":null} ab'
    )
    assert rendered("{{ chain.a.n }} {{ chain|tojson(indent=1) }}", chain=chain).startswith("1.10 {\n")


def test_what_a_lazy_name_raises_goes_through() -> None:
    with pytest.raises(ConditionError, match="cannot be read"):
        rendered("{{ outputs.broken }}", outputs=Lookups({}))


def test_what_a_template_mentions_is_known_before_it_is_rendered() -> None:
    text = "{{ item.a.b }}{% for x in chain.s %}{{ x.y }}{{ loop.index }}{% endfor %}{{ outputs['k'].z }}{{ range(2) }}"
    assert mentioned(prompt(text)) == {("item", "a", "b"), ("chain", "s"), ("outputs",)}
    assert prompt(text).roots == ("chain", "item", "outputs")


# --- errors --------------------------------------------------------------------------------------


def test_a_missing_field_is_named_with_its_place_and_what_is_meant() -> None:
    assert fault("Summarise:\n{{ item.txt }}") == (
        "prompts/p.md:2:4: `item` has no field `txt`\n"
        "  2 | {{ item.txt }}\n"
        "    |    ^^^^^^^^\n"
        "  help: did you mean text?\n"
        "        it is an object with the fields text, n, big, huge, neg, t, z, list, o, rows, 한"
    )


def test_a_missing_name_is_named_with_those_that_exist() -> None:
    said = fault("{{ itm.text }}")
    assert "there is no name `itm` here" in said
    assert "did you mean item?" in said
    assert "names here: i, item" in said


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ item.o.q.r }}", "`item.o` has no field `q`"),
        ("{{ item.list[9] }}", "`item.list[9]` is not there\n"),
        ("{{ item.list[9] }}", "`item.list` is a list of 4 elements"),
        ("{{ item.n.x }}", "`item.n` is the number 1.10"),
        ("{{ item['a b'] }}", "`item` has no field `a b`"),
        ("{% if item.q %}{% endif %}", "`item` has no field `q`"),
        ("{{ item.n|nope }}", "filter nope is unknown"),
        ("{{ item.n + item.text }}", "tried to use + operator"),
        ("{{ item.huge * 2 }}", "a float cannot be printed"),
        ("{{ item.pop('n') }}", "there is no method pop"),
        ("{{ item.n|join }}", "1.1 has no elements to join"),
    ],
)
def test_an_error_says_what_is_wrong(template: str, said: str) -> None:
    assert said in fault(template)


def test_a_template_in_the_workflow_itself_has_the_workflow_s_place() -> None:
    assert fault("a\n{{ item.q }}", file=None).startswith(
        "workflow.yaml:7:9: `item` has no field `q` (line 2 of the text)\n"
    )


@pytest.mark.parametrize("text", ["a\n{{ x", "a\n{% if x %}", "a\n{{ 1 + }}", "a\n{% nope %}"])
def test_a_template_that_is_none_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        prompt(text)
    place = caught.value.problem.place
    assert place
    assert place.line == 2


# --- shrinking -----------------------------------------------------------------------------------


def test_a_dropped_variable_reads_as_an_empty_text() -> None:
    names = {"examples": "many", "item": {"a": 1}}
    assert dict(shrink(names, [Drop("examples")])) == {"examples": "", "item": {"a": 1}}
    assert names == {"examples": "many", "item": {"a": 1}}


def test_a_text_is_cut_to_its_first_characters_and_the_original_is_left() -> None:
    names: dict[str, Json] = {"item": {"text": "한글 😀 text", "n": 1}, "i": 0}
    before = json.dumps(names)
    assert shrink(names, [Truncate(("item", "text"), 4)])["item"] == {"text": "한글 😀", "n": 1}
    assert shrink(names, [Truncate(("item", "text"), 99)])["item"] is names["item"]
    assert json.dumps(names) == before


def test_rungs_add_up() -> None:
    names = {"item": {"l": ["abc", "def"]}, "v": "x"}
    rungs: list[Rung] = [Drop("v"), Truncate(("item", "l", 0), 2), Truncate(("item", "l", -1), 1)]
    assert dict(shrink(names, rungs)) == {"item": {"l": ["ab", "d"]}, "v": ""}


@pytest.mark.parametrize("path", [("item", "q"), ("q",), ("item", "l", 7), ("item", "l", "x"), ("item", "n", "x")])
def test_where_there_is_nothing_to_cut_nothing_changes(path: tuple[str | int, ...]) -> None:
    names = {"item": {"l": ["abc"], "n": 1}}
    assert dict(shrink(names, [Truncate(path, 1)])) == names


def test_what_is_no_text_is_cut_as_its_json() -> None:
    assert shrink({"item": {"l": [1, 2, 3]}}, [Truncate(("item", "l"), 4)])["item"] == {"l": "[1,2"}
    assert shrink({"item": {"l": [1, 2, 3]}}, [Truncate(("item", "l"), 7)])["item"] == {"l": [1, 2, 3]}


def test_a_lazy_mapping_stays_lazy_when_a_part_of_it_is_cut() -> None:
    chain = Lookups({"a": {"text": "long"}, "b": {"text": "other"}})
    names = shrink({"chain": chain}, [Truncate(("chain", "a", "text"), 2)])
    assert chain.asked == ["a"]
    assert render(prompt("{{ chain.a.text }} {{ chain.b.text }}"), names) == "lo other"
    assert render(prompt("{{ chain }}"), names) == '{"a":{"text":"lo"},"b":{"text":"other"}}'
