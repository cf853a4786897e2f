"""The simulated model: valid answers to any schema, the same ones everywhere, failures at their set rates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from penstock.core.calls import Answer, Fault, FaultClass, Finish, Message, Reply, Request, TransportKind
from penstock.core.canon import Json
from penstock.core.models import Model, Rates
from penstock.models.sim import adapter
from penstock.models.sim.behaviour import Response, respond, tokens

TICKET = {
    "id": "T-103",
    "text": "I was charged twice for order A-1002 on 2025-03-04. Please refund the second payment. "
    "You can reach me at kim@shop.example. The invoice page shows only one charge.",
}
SUMMARY = {
    "type": "object",
    "required": ["summary", "confidence"],
    "additionalProperties": False,
    "properties": {
        "summary": {"type": "string", "minLength": 1, "maxLength": 300},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    },
}
JUDGE = {
    "type": "object",
    "required": ["score", "failures"],
    "properties": {
        "score": {"type": "number"},
        "failures": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["rule", "reason", "fix"],
                "properties": {"rule": {"type": "string"}, "reason": {"type": "string"}, "fix": {"type": "string"}},
            },
        },
    },
}
SENDS = 2000


def request(
    schema: Json = None,
    item: Json = None,
    rates: Rates | None = None,
    said: str = "",
    max_tokens: int | None = None,
    raised: bool = False,
    context_tokens: int | None = None,
    sample: int = 0,
) -> Request:
    text = f"Summarise this ticket.\n\n{json.dumps(item or TICKET, ensure_ascii=False)}\n\nAnswer in JSON. {said}"
    model = Model("cheap", "sim", "cheap", rates=rates or Rates(), context_tokens=context_tokens)
    return Request(
        model, (Message("system", "Be brief."), Message("user", text)), {}, schema, max_tokens, raised, sample
    )


def sent(asked: Request, send: int = 1) -> Response:
    return respond(adapter.build(asked, adapter.endpoint(None, None), frozenset()).http.body, send)


def ask(asked: Request, send: int = 1) -> Reply | Fault:
    response = sent(asked, send)
    return adapter.parse(asked, Answer(response.status, response.headers, response.body, 0.0, 0.0))


def text_of(asked: Request) -> str:
    reply = ask(asked)
    assert isinstance(reply, Reply)
    return reply.text


def answer_to(schema: Json, item: Json = None, **rates: float) -> Json:
    value: Json = json.loads(text_of(request(schema, item, Rates(**rates))))  # type: ignore[arg-type]  # no seed here
    return value


def fields_of(schema: Json, item: Json = None, **rates: float) -> dict[str, Json]:
    value = answer_to(schema, item, **rates)
    assert isinstance(value, dict)
    return value


def assert_meets(schema: Json, value: Json) -> None:
    assert isinstance(schema, (dict, bool))
    Draft202012Validator.check_schema(schema)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(value)] == []


NAMES = st.sampled_from(["summary", "title", "tags", "id", "confidence", "language", "notes", "count", "설명", "a b"])


@st.composite
def strings(draw: st.DrawFn) -> dict[str, Json]:
    schema: dict[str, Json] = {"type": "string"}
    least = draw(st.integers(0, 40))
    if draw(st.booleans()):
        schema["minLength"] = least
    if draw(st.booleans()):
        schema["maxLength"] = least + draw(st.integers(0, 400))
    if len(schema) == 1 and draw(st.booleans()):
        patterns = [
            r"^[A-Z]{2}-\d{3,5}$",
            r"^(yes|no|n/a)$",
            r"^\w+@\w+\.(com|org)$",
            r"[^\s]{12,}",
            r"^#[0-9a-fA-F]{6}$",
        ]
        schema["pattern"] = draw(st.sampled_from(patterns))
    if len(schema) == 1 and draw(st.booleans()):
        schema["format"] = draw(
            st.sampled_from(["date", "date-time", "email", "uri", "uuid", "ipv4", "time", "duration"])
        )
    return schema


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Json]:
    schema: dict[str, Json] = {"type": draw(st.sampled_from(["number", "integer"]))}
    low = draw(st.integers(-1000, 1000))
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + draw(st.integers(20, 2000))
    if draw(st.booleans()):
        schema["multipleOf"] = draw(st.sampled_from([1, 2, 5, 7, 0.5, 0.1]))
    return schema


OPTIONS = st.lists(
    st.sampled_from(["refund", "other", 1, 2.5, None, True, "청구", {"a": 1}, [1]]), min_size=1, max_size=4
)
SCALARS = st.one_of(
    strings(),
    numbers(),
    st.sampled_from(
        [{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {}, True, {"const": "fixed"}]
    ),
    OPTIONS.map(lambda options: {"enum": options}),
)


@st.composite
def arrays(draw: st.DrawFn, parts: st.SearchStrategy[Json]) -> dict[str, Json]:
    schema: dict[str, Json] = {"type": "array", "items": draw(parts)}
    if draw(st.booleans()):
        schema["minItems"] = draw(st.integers(0, 5))
    if draw(st.booleans()):
        schema["maxItems"] = draw(st.integers(5, 8))
    if draw(st.booleans()):
        schema |= {"items": {"type": "string", "maxLength": 80}, "uniqueItems": True}
    if draw(st.booleans()):
        schema["prefixItems"] = draw(st.lists(parts, min_size=1, max_size=3))
    return schema


@st.composite
def objects(draw: st.DrawFn, parts: st.SearchStrategy[Json]) -> dict[str, Json]:
    properties = draw(st.dictionaries(NAMES, parts, max_size=5))
    schema: dict[str, Json] = {"type": "object", "properties": properties}
    schema["required"] = [name for name in properties if draw(st.booleans())]
    if draw(st.booleans()):
        schema["additionalProperties"] = draw(st.sampled_from([False, {"type": "integer"}]))
    elif draw(st.booleans()):
        schema["minProperties"] = len(properties) + draw(st.integers(0, 2))
    return schema


def nested(parts: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    branches = st.lists(parts, min_size=1, max_size=3)
    return st.one_of(arrays(parts), objects(parts), branches.map(lambda some: {"anyOf": some}))


SCHEMAS: st.SearchStrategy[Json] = st.recursive(SCALARS, nested, max_leaves=8)


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(SCHEMAS, st.integers(0, 3), st.sampled_from([0.0, 1.0]))
def test_an_answer_meets_the_schema_that_it_was_asked_for(schema: Json, seed: int, quality: float) -> None:
    text = text_of(request(schema, rates=Rates(seed=seed, quality=quality)))
    assert_meets(schema, json.loads(text))


HARD = {
    "a tree": {
        "$defs": {
            "node": {
                "type": "object",
                "required": ["name", "children"],
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
            }
        },
        "$ref": "#/$defs/node",
    },
    "a chain that only null ends": {
        "type": "object",
        "required": ["next"],
        "properties": {"next": {"oneOf": [{"$ref": "#"}, {"type": "null"}]}},
    },
    "an anchor": {"$defs": {"word": {"$anchor": "word", "type": "string", "maxLength": 9}}, "$ref": "#word"},
    "a pointer with escapes": {"$defs": {"a/b": {"const": 3}}, "allOf": [{"$ref": "#/$defs/a~1b"}]},
    "oneOf by a constant": {
        "oneOf": [
            {
                "type": "object",
                "required": ["kind", "a"],
                "properties": {"kind": {"const": "A"}, "a": {"type": "integer"}},
            },
            {
                "type": "object",
                "required": ["kind", "b"],
                "properties": {"kind": {"const": "B"}, "b": {"type": "string"}},
            },
        ]
    },
    "oneOf that overlaps": {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 50}]},
    "allOf of bounds": {
        "allOf": [{"type": "number", "minimum": 2}, {"maximum": 3}, {"type": "integer", "multipleOf": 3}]
    },
    "allOf of objects": {
        "allOf": [
            {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "maxLength": 5}}},
            {"required": ["b"], "properties": {"a": {"minLength": 5}, "b": {"enum": ["x", "y"]}}},
        ]
    },
    "if and then": {
        "type": "object",
        "required": ["country"],
        "properties": {"country": {"enum": ["KR", "US"]}, "zip": {"type": "string"}},
        "if": {"properties": {"country": {"const": "KR"}}},
        "then": {"required": ["zip"], "properties": {"zip": {"pattern": "^[0-9]{5}$"}}},
        "else": {"required": ["state"]},
    },
    "not": {"type": "string", "enum": ["refund", "other", "third"], "not": {"const": "refund"}},
    "contains": {
        "type": "array",
        "items": {"type": "integer"},
        "contains": {"minimum": 90},
        "minContains": 2,
        "maxItems": 4,
    },
    "a tuple": {
        "type": "array",
        "prefixItems": [{"type": "string"}, {"type": "integer"}],
        "items": False,
        "minItems": 2,
    },
    "unique small numbers": {
        "type": "array",
        "items": {"type": "integer", "minimum": 1, "maximum": 4},
        "uniqueItems": True,
        "minItems": 4,
    },
    "unique objects": {
        "type": "array",
        "uniqueItems": True,
        "minItems": 3,
        "items": {"type": "object", "required": ["word"], "properties": {"word": {"type": "string"}}},
    },
    "names by pattern": {
        "type": "object",
        "patternProperties": {"^x-[a-z]{3}$": {"type": "integer"}},
        "additionalProperties": False,
        "minProperties": 2,
    },
    "property names": {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z]+$", "maxLength": 6},
        "additionalProperties": {"type": "boolean"},
        "minProperties": 2,
    },
    "a dependent property": {
        "type": "object",
        "properties": {"card": {"type": "string"}},
        "dependentRequired": {"card": ["address"]},
        "dependentSchemas": {"card": {"properties": {"address": {"type": "string", "maxLength": 10}}}},
    },
    "at most two of three": {
        "type": "object",
        "required": ["c"],
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": "string"}},
        "maxProperties": 2,
    },
    "no more than is named": {
        "allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}}],
        "unevaluatedProperties": False,
    },
    "an open range by multiples": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "multipleOf": 0.25},
    "hundredths": {"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0.01},
    "a large number": {"type": "integer", "minimum": 10**20, "maximum": 10**21},
    "a long text": {"type": "string", "minLength": 5000},
    "an empty text": {"type": "string", "maxLength": 0},
    "types in turn": {"type": ["null", "integer", "array"], "minItems": 1, "maximum": 3},
}


@pytest.mark.parametrize("quality", [0.0, 1.0])
@pytest.mark.parametrize("name", HARD)
def test_a_hard_schema_is_met(name: str, quality: float) -> None:
    assert_meets(HARD[name], answer_to(HARD[name], quality=quality))


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "string", "pattern": "(?=x)y"},
        {"$ref": "https://example.com/elsewhere"},
        {"type": "nonsense"},
        {"$ref": "#"},
        {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}},
        {"type": "array", "minItems": 10**9, "items": {"type": "array", "minItems": 10**9}},
    ],
)
def test_a_schema_that_cannot_be_met_gets_an_answer_all_the_same(schema: Json) -> None:
    json.loads(text_of(request(schema)))


def test_a_summary_is_the_first_sentences_and_ends_with_a_word() -> None:
    long = {"id": "T-1", "text": "The parcel came late and the box was crushed on one side of it. " * 20}
    schema = {"type": "object", "properties": {"summary": {"type": "string", "maxLength": 50}}}
    summary = fields_of(schema, long)["summary"]
    assert summary == "The parcel came late and the box was crushed on"


def test_what_the_item_holds_is_taken_over() -> None:
    schema = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "order": {"type": "string", "pattern": r"^[A-Z]-\d{4}$"},
            "day": {"type": "string", "format": "date"},
            "email": {"type": "string", "format": "email"},
            "category": {"enum": ["shipping", "refund", "praise"]},
            "language": {"type": "string"},
        },
    }
    assert fields_of(schema) == {
        "id": "T-103",
        "order": "A-1002",
        "day": "2025-03-04",
        "email": "kim@shop.example",
        "category": "refund",
        "language": "en",
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [("배송이 너무 늦어요. 환불해 주세요.", "ko"), ("商品が届きません。", "ja"), ("I want my money back.", "en")],
)
def test_the_language_is_told_by_the_script(text: str, code: str) -> None:
    schema = {"type": "object", "properties": {"language": {"enum": ["en", "ja", "ko"]}}}
    assert fields_of(schema, {"text": text}) == {"language": code}


def test_a_list_holds_distinct_words_of_the_item() -> None:
    tags = fields_of({"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}}}})["tags"]
    assert isinstance(tags, list)
    assert len(set(tags)) == len(tags) == 3
    assert all(tag in TICKET["text"].lower() for tag in tags)


def test_a_prompt_without_json_gives_its_last_paragraph() -> None:
    asked = Request(
        Model("cheap", "sim", "cheap"),
        (
            Message(
                "user",
                "You sort letters. Say what each of them is about.\n\nThe lamp in the hall of our house is broken.",
            ),
        ),
        {},
    )
    assert text_of(asked) == "The lamp in the hall of our house is broken."


def test_a_re_ask_is_still_about_the_item() -> None:
    first = request(SUMMARY)
    more = (Message("assistant", '{"summary": ""}'), Message("user", "/summary: expected 1 character, got 0"))
    again = Request(first.model, (*first.messages, *more), {}, SUMMARY)
    assert json.loads(text_of(again))["summary"] == json.loads(text_of(first))["summary"]


def test_a_lone_surrogate_in_the_item_does_no_harm() -> None:
    said = Message("user", json.dumps({"text": "broken \ud83d here", "id": "a\udc00"}))
    asked = Request(request().model, (said, Message("user", "\ud83d")), {}, SUMMARY)
    assert json.loads(text_of(asked))["summary"] == "broken ? here"


def test_a_poor_answer_meets_the_schema_and_would_fail_a_check() -> None:
    good, poor = fields_of(SUMMARY, quality=1.0), fields_of(SUMMARY, quality=0.0)
    assert_meets(SUMMARY, poor)
    assert isinstance(good["confidence"], float)
    assert isinstance(poor["confidence"], float)
    assert good["confidence"] >= 0.7
    assert poor["confidence"] <= 0.4
    assert len(str(poor["summary"])) > 250 > len(str(good["summary"]))


def test_a_judge_is_pleased_or_names_one_failure() -> None:
    pleased, not_pleased = fields_of(JUDGE, quality=1.0), fields_of(JUDGE, quality=0.0)
    assert_meets(JUDGE, not_pleased)
    assert isinstance(pleased["score"], (int, float))
    assert isinstance(not_pleased["score"], (int, float))
    assert pleased["score"] >= 4
    assert pleased["failures"] == []
    assert not_pleased["score"] < 3
    assert isinstance(not_pleased["failures"], list)
    assert len(not_pleased["failures"]) == 1


def test_a_critic_says_that_all_is_well_or_names_one_failure() -> None:
    schema = {**JUDGE, "properties": {"failures": {"type": "array"}, "ok": {"type": "boolean"}}, "required": ["ok"]}
    assert fields_of(schema, quality=1.0) == {"ok": True, "failures": []}
    found = fields_of(schema, quality=0.0)
    assert found["ok"] is False
    assert isinstance(found["failures"], list)
    assert len(found["failures"]) == 1


def test_a_judge_keeps_to_the_scale_of_its_schema() -> None:
    properties = {**JUDGE["properties"], "score": {"type": "integer", "minimum": 0, "maximum": 100}}  # type: ignore[dict-item]  # an object
    score = fields_of({**JUDGE, "properties": properties})["score"]
    assert isinstance(score, int)
    assert 90 <= score <= 100


def test_equal_requests_get_equal_answers_in_another_process() -> None:
    asked = request(HARD["a tree"], rates=Rates(invalid=0.3, truncated=0.3, quality=0.5))
    body = adapter.build(asked, adapter.endpoint(None, None), frozenset()).http.body
    program = (
        "import sys; from penstock.models.sim.behaviour import respond; "
        "sys.stdout.buffer.write(respond(sys.stdin.buffer.read(), 1).body)"
    )
    source = Path(__file__).parent.parent.parent / "src"
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", program], input=body, stdout=subprocess.PIPE, env=environment, check=True, timeout=60
    )
    assert done.stdout == respond(body, 1).body


def test_another_sample_seed_or_word_is_drawn_anew() -> None:
    texts = {
        text_of(request(SUMMARY, rates=Rates(seed=seed), said=said, sample=sample))
        for seed, said, sample in [(0, "", 0), (1, "", 0), (0, "", 1), (0, "again", 0)]
    }
    assert len(texts) == 4


def test_each_rate_is_close_to_its_chance() -> None:
    rates = Rates(quality=0.6, invalid=0.1, truncated=0.08, refused=0.05, error_429=0.07, error_500=0.04, seed=3)
    seen: Counter[str] = Counter(_kind(ask(request(SUMMARY, rates=rates, sample=number))) for number in range(SENDS))
    answered = SENDS - seen["429"] - seen["500"]
    assert seen["429"] / SENDS == pytest.approx(0.07, abs=0.02)
    assert seen["500"] / SENDS == pytest.approx(0.04, abs=0.02)
    assert seen["refused"] / answered == pytest.approx(0.05, abs=0.02)
    assert seen["length"] / answered == pytest.approx(0.08, abs=0.02)
    assert seen["broken JSON"] / answered == pytest.approx(0.05, abs=0.02)
    assert seen["broken schema"] / answered == pytest.approx(0.05, abs=0.02)
    assert seen["good"] / (seen["good"] + seen["poor"]) == pytest.approx(0.6, abs=0.04)


def _kind(reply: Reply | Fault) -> str:
    """What became of one request for a summary."""
    if isinstance(reply, Fault):
        return str(reply.status)
    if reply.finish is not Finish.STOP:
        return str(reply.finish.value)
    try:
        value = json.loads(reply.text)
    except ValueError:
        return "broken JSON"
    if not Draft202012Validator(SUMMARY).is_valid(value):
        return "broken schema"
    return "good" if value["confidence"] >= 0.5 else "poor"


def test_a_retry_is_drawn_anew_and_the_answer_stays() -> None:
    flaky = Rates(error_429=0.5, error_500=0.2)
    replies = [ask(request(SUMMARY, rates=flaky), send) for send in range(1, 60)]
    texts = {reply.text for reply in replies if isinstance(reply, Reply)}
    kinds = {reply.kind for reply in replies if isinstance(reply, Fault)}
    assert len(texts) == 1
    assert kinds == {TransportKind.RATE_LIMIT, TransportKind.SERVER}


def test_too_many_requests_says_how_long_to_wait() -> None:
    fault = ask(request(rates=Rates(error_429=1)))
    assert isinstance(fault, Fault)
    assert (fault.cls, fault.status, fault.retry_after_s) == (FaultClass.TRANSPORT, 429, 0.2)


def test_a_truncated_answer_is_a_part_and_no_json() -> None:
    whole, part = text_of(request(SUMMARY)), ask(request(SUMMARY, rates=Rates(truncated=1)))
    assert isinstance(part, Reply)
    assert part.finish is Finish.LENGTH
    assert whole.startswith(part.text)
    assert len(part.text) < len(whole)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(part.text)


def test_a_raised_limit_is_drawn_anew() -> None:
    rates = Rates(truncated=0.5)
    cut = [n for n in range(40) if ask(request(SUMMARY, rates=rates, sample=n)).finish is Finish.LENGTH]  # type: ignore[union-attr]  # no faults
    raised = [ask(request(SUMMARY, rates=rates, sample=n, max_tokens=4000, raised=True)) for n in cut]
    assert {reply.finish for reply in raised if isinstance(reply, Reply)} == {Finish.STOP, Finish.LENGTH}


def test_a_limit_cuts_whatever_the_rates_say() -> None:
    reply = ask(request(SUMMARY, {"text": "한국어로 쓴 긴 글입니다. " * 20}, max_tokens=20))
    assert isinstance(reply, Reply)
    assert reply.usage is not None
    assert reply.finish is Finish.LENGTH
    assert len(reply.text.encode()) <= 80
    assert reply.usage.output_tokens <= 20


def test_the_models_own_limit_holds_for_the_authors_too() -> None:
    model = Model("small", "sim", "small", max_tokens=5)
    asked = Request(model, request().messages, {"max_tokens": 4000}, SUMMARY)
    reply = ask(asked)
    assert isinstance(reply, Reply)
    assert (reply.finish, len(reply.text)) == (Finish.LENGTH, 20)


def test_usage_counts_a_token_for_four_bytes() -> None:
    asked = request(SUMMARY)
    reply = ask(asked)
    assert isinstance(reply, Reply)
    assert reply.usage is not None
    sent_bytes = len("".join(message.content for message in asked.messages).encode())
    assert reply.usage.input_tokens == -(-sent_bytes // 4)
    assert reply.usage.output_tokens == -(-len(reply.text.encode()) // 4)
    assert tokens("") == 1


def test_a_refusal_says_so_and_names_the_model() -> None:
    reply = ask(request(SUMMARY, rates=Rates(refused=1)))
    assert isinstance(reply, Reply)
    assert (reply.finish, reply.served) == (Finish.REFUSED, "sim/cheap")


def test_a_prompt_beyond_the_window_is_an_overflow() -> None:
    fault = ask(request(SUMMARY, context_tokens=10))
    assert isinstance(fault, Fault)
    assert fault.cls is FaultClass.OVERFLOW


def test_latency_stays_near_its_mean_and_differs_between_sends() -> None:
    waits = {sent(request(rates=Rates(latency_s=0.05)), send).latency_s for send in range(1, 20)}
    assert len(waits) == 19
    assert all(0.04 <= wait <= 0.06 for wait in waits)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"text": "x"}', b'{"text": 1, "finish": "no", "usage": {}}', b"\xff"])
def test_a_response_that_makes_no_sense_is_a_fault(body: bytes) -> None:
    fault = adapter.parse(request(), Answer(200, (), body, 0.0, 0.0))
    assert isinstance(fault, Fault)
    assert (fault.cls, fault.billed) == (FaultClass.TRANSPORT, True)


def test_a_dropped_parameter_is_not_sent() -> None:
    asked = Request(Model("cheap", "sim", "cheap"), request().messages, {"temperature": 1, "top_p": 0.5})
    built = adapter.build(asked, adapter.endpoint("http://ignored", "secret"), frozenset({"top_p"}))
    assert built.http.url == "sim:cheap"
    assert json.loads(built.http.body)["params"] == {"temperature": 1}
    assert b"secret" not in built.http.body
