"""One question to one model: bought once, durable before it is read, sent again only while that can help."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from penstock.core.calls import (
    CostStatus,
    Fault,
    FaultClass,
    Finish,
    Intent,
    Message,
    Reply,
    Request,
    TransportKind,
)
from penstock.core.errors import OperatorError
from penstock.core.models import Model, Rates
from penstock.models.client import Asked, Client, Manner, Whose, described, fingerprint
from penstock.models.wire import Endpoint
from tests.model_double import (
    CUT,
    LARGE,
    PRICED,
    SMALL,
    TIMED_OUT,
    TOO_LONG,
    URL,
    MemoryCallRecorder,
    ModelRoom,
    Script,
    error,
    refused,
    request,
    response,
    said,
)

THERE = Endpoint(URL)
SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


def text_of(asked: Asked) -> str:
    """What the model said."""
    assert isinstance(asked.result, Reply)
    return asked.result.text


def fault_of(asked: Asked) -> Fault:
    """Why the model said nothing."""
    assert isinstance(asked.result, Fault)
    return asked.result


async def side_by_side(room: ModelRoom, *requests: Request, cache: str = "use") -> list[Asked]:
    """What comes of questions that are asked at once."""
    manner = Manner(120.0, cache)
    return list(await asyncio.gather(*(room.client.ask(each, Whose(n, 1), manner) for n, each in enumerate(requests))))


# --- what is durable when ----------------------------------------------------------------------


def test_the_intent_is_durable_before_the_request_is_sent_and_the_raw_answer_before_anything_else() -> None:
    room = ModelRoom(["yes"])
    asked = room.ask(request())
    assert text_of(asked) == "yes"
    assert room.events == ["intent durable", "sent", "answer durable", "kept"]
    ((call, answer),) = room.recorder.ends
    assert answer is not None
    assert (answer.body, asked.calls) == (said("yes").body, (call,))
    assert call.intent == Intent(1, 1, 1, "answer", asked.key, "small", "openai", call.intent.sent_at)
    assert (call.served, call.status, call.cached, call.fault) == ("served-1", 200, False, None)
    assert (call.elapsed_s, call.wait_s) == (0.1, 0.0)


def test_each_send_has_an_intent_and_an_end_of_its_own() -> None:
    room = ModelRoom([CUT, error(500, "oh"), "yes"])
    room.ask(request())
    assert room.events == ["intent durable", "sent", "answer durable"] * 3 + ["kept"]
    assert [intent.send for intent in room.recorder.intents] == [1, 2, 3]
    assert [answer.status if answer else None for _, answer in room.recorder.ends] == [None, 500, 200]


class FullDisk(MemoryCallRecorder):
    """Takes no intent."""

    async def intent(self, intent: Intent) -> int:
        """Never."""
        raise OperatorError("the disk is full")


def test_what_cannot_be_written_down_is_not_sent() -> None:
    room = ModelRoom(["yes"])
    parts = (room.store, FullDisk([]), room.transport, {"small": THERE}, room.clock, lambda: 0.0, room.pause)
    client = Client(*parts, room.notes.append)
    with pytest.raises(OperatorError, match="the disk is full"):
        asyncio.run(client.ask(request(), Whose(1, 1), Manner(120.0)))
    assert room.events == []


# --- bought once -------------------------------------------------------------------------------


def test_what_was_bought_is_not_bought_again() -> None:
    room = ModelRoom(["yes"])
    first = room.ask(request())
    again = room.ask(request())
    assert again.result == first.result
    assert room.events[4:] == ["replayed"]
    (call,) = again.calls
    assert (call.cached, call.cost.micros, call.cost.status) == (True, 0, CostStatus.EXACT)
    assert room.recorder.replays == [call]


@pytest.mark.parametrize(
    "other",
    [
        request(schema=SCHEMA),
        request(max_tokens=50),
        request(model=replace(SMALL, name="another name", price=PRICED.price, concurrency=3, key_variable="KEY")),
    ],
)
def test_the_schema_the_limit_that_penstock_sets_and_what_is_no_part_of_the_request_have_no_part_in_its_key(
    other: Request,
) -> None:
    assert fingerprint(other, replace(THERE, key="secret")) == fingerprint(request(), THERE)


@pytest.mark.parametrize(
    "other",
    [
        request("Is it not so?"),
        request(model=LARGE),
        request(model=replace(SMALL, provider="ollama")),
        request(params={"temperature": 0.2}),
        request(params={"max_tokens": 50}),
        request(max_tokens=50, raised=True),
        request(sample=1),
        replace(request(), messages=(Message("system", "Is it so?"),)),
    ],
)
def test_everything_else_of_a_request_has_its_part_in_its_key(other: Request) -> None:
    assert fingerprint(other, THERE) != fingerprint(request(), THERE)
    assert fingerprint(other, THERE) != fingerprint(other, Endpoint("http://elsewhere/v1"))


def test_a_simulated_model_with_other_rates_or_another_window_is_another_model() -> None:
    model = Model("sim/a", "sim", "a", rates=Rates(seed=7))
    there = Endpoint("sim:")

    def key(**fields: Any) -> bytes:
        return fingerprint(request(model=replace(model, **fields)), there)

    assert key() != key(rates=Rates(seed=8))
    assert key() != key(rates=Rates(seed=7, invalid=0.1))
    assert key() != key(context_tokens=100)
    assert key() == key(rates=Rates(seed=7, latency_s=3.0))


def test_a_row_with_lone_surrogates_has_a_key_and_can_be_described() -> None:
    asked = request("\ud800 {{ item }} $(x) \0")
    assert len(fingerprint(asked, THERE)) == 32
    assert described(asked)["messages"] == [{"role": "user", "content": "\ud800 {{ item }} $(x) \0"}]


@pytest.mark.parametrize(
    ("cache", "sent", "kept"), [("use", 1, True), ("refresh", 2, True), ("off", 2, False), ("only", 0, False)]
)
def test_the_cache_mode_says_whether_answers_are_looked_for_and_kept(cache: str, sent: int, kept: bool) -> None:
    room = ModelRoom(["one", "two"])
    room.ask(request(), cache)
    room.ask(request(), cache)
    assert len(room.prompts) == sent
    assert bool(room.store.answers) is kept


def test_refresh_replaces_what_was_bought() -> None:
    room = ModelRoom(["old", "new"])
    room.ask(request())
    room.ask(request(), "refresh")
    assert text_of(room.ask(request())) == "new"


def test_only_replays_what_was_bought_and_says_of_the_rest_that_it_buys_nothing() -> None:
    room = ModelRoom(["yes"])
    room.ask(request())
    assert text_of(room.ask(request(), "only")) == "yes"
    missed = fault_of(room.ask(request("Another?"), "only"))
    assert missed == Fault(FaultClass.DENIED, "its answer is not in the cache, and `cache: only` buys none")
    assert room.prompts == ["Is it so?"]


@pytest.mark.parametrize(
    ("answer", "cls"),
    [(TOO_LONG, FaultClass.OVERFLOW), (error(400, "x", code="content_policy_violation"), FaultClass.REFUSED)],
)
def test_a_no_that_would_be_said_again_is_not_asked_for_again(answer: Any, cls: FaultClass) -> None:
    room = ModelRoom([answer])
    assert fault_of(room.ask(request())).cls is cls
    assert fault_of(room.ask(request())).cls is cls
    assert len(room.prompts) == 1


@pytest.mark.parametrize("answer", [error(401, "wrong key"), error(400, "no such thing"), error(404, "no model")])
def test_what_was_denied_is_asked_for_again_by_the_next_run(answer: Any) -> None:
    room = ModelRoom([answer, "yes"])
    assert fault_of(room.ask(request())).cls is FaultClass.DENIED
    assert text_of(room.ask(request())) == "yes"


@pytest.mark.parametrize(
    "nothing", [response(200, {"error": {"message": "no credits", "code": 402}}), response(200, {"surprise": 1})]
)
def test_a_kept_response_that_answers_nothing_is_a_miss(nothing: Any) -> None:
    room = ModelRoom(["yes"])
    room.store.answers[fingerprint(request(), THERE)] = nothing
    assert text_of(room.ask(request())) == "yes"
    assert text_of(room.ask(request(), "only")) == "yes"
    assert len(room.prompts) == 1


# --- equal requests in flight ------------------------------------------------------------------


@pytest.mark.parametrize(("cache", "sent"), [("use", 1), ("refresh", 1), ("off", 20)])
def test_equal_requests_in_flight_at_once_are_sent_once(cache: str, sent: int) -> None:
    room = ModelRoom(lambda body: "yes")
    found = asyncio.run(side_by_side(room, *[request()] * 20, cache=cache))
    assert [text_of(asked) for asked in found] == ["yes"] * 20
    assert len(room.prompts) == sent
    assert sum(call.cached for asked in found for call in asked.calls) == 20 - sent
    assert {call.intent.task_number for asked in found for call in asked.calls} == set(range(20))


def test_different_requests_in_flight_are_sent_side_by_side() -> None:
    room = ModelRoom(lambda body: str(body["messages"][-1]["content"]))
    found = asyncio.run(side_by_side(room, *(request(f"{n}") for n in range(9))))
    assert [text_of(asked) for asked in found] == [str(n) for n in range(9)]
    assert room.transport.most_in_flight == 9


def test_whoever_waits_for_a_request_that_fails_gets_its_fault_and_sends_nothing() -> None:
    room = ModelRoom([error(401, "wrong key")])
    found = asyncio.run(side_by_side(room, *[request()] * 5))
    assert {fault_of(asked).message for asked in found} == {"wrong key"}
    assert [len(asked.calls) for asked in found] == [1, 0, 0, 0, 0]


def test_when_the_first_who_asks_is_stopped_the_next_one_sends() -> None:
    room = ModelRoom(["yes"])

    async def scene() -> tuple[Asked, int]:
        room.transport.held = asyncio.Event()
        first, second = (asyncio.ensure_future(room.client.ask(request(), Whose(n, 1), Manner(1.0))) for n in (1, 2))
        while not room.prompts:
            await asyncio.sleep(0)
        first.cancel()
        room.transport.held.set()
        return await second, len(room.prompts)

    asked, sent = asyncio.run(scene())
    assert (text_of(asked), sent) == ("yes", 2)
    assert asked.calls[0].intent.task_number == 2


# --- sent again --------------------------------------------------------------------------------


def test_a_fault_of_transport_is_tried_six_times_with_waits_that_double() -> None:
    room = ModelRoom(lambda body: CUT)
    asked = room.ask(request())
    assert fault_of(asked) == CUT
    assert len(asked.calls) == 6
    assert room.pauses == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert [round(call.wait_s) for call in asked.calls] == [0, 1, 2, 4, 8, 16]


def test_a_wait_that_the_server_asks_for_is_kept_and_uses_up_no_try() -> None:
    slow = error(429, "slow down", {"retry-after": "7"})
    room = ModelRoom([slow] * 9 + [CUT] * 5 + ["yes"])
    assert text_of(room.ask(request())) == "yes"
    assert room.pauses == [7.0] * 9 + [1.0, 2.0, 4.0, 8.0, 16.0]


def test_waits_that_the_server_asks_for_are_slept_through_for_fifteen_minutes_in_all() -> None:
    room = ModelRoom(lambda body: error(429, "slow down", {"retry-after": "100"}))
    fault = fault_of(room.ask(request()))
    assert (fault.cls, fault.kind) == (FaultClass.TRANSPORT, TransportKind.RATE_LIMIT)
    assert room.pauses == [100.0] * 9


@pytest.mark.parametrize(
    ("tries", "line", "sends"),
    [
        ({"server": 2}, error(503, "busy"), 2),
        ({"rate_limit": 8}, error(429, "slow down"), 8),
        ({"connection": 1}, CUT, 1),
        ({"timeout": 3}, TIMED_OUT, 3),
        ({"timeout": 3}, CUT, 6),
        ({"denied": 2}, error(401, "wrong key"), 2),
        ({"denied": 9}, error(401, "wrong key"), 9),
    ],
)
def test_a_kind_of_fault_is_tried_as_often_as_the_step_says(tries: dict[str, int], line: Any, sends: int) -> None:
    room = ModelRoom(lambda body: line)
    assert len(room.ask(request(), tries=tries).calls) == sends


def test_the_same_request_is_sent_each_time() -> None:
    room = ModelRoom([CUT, error(500, "oh"), error(429, "slow"), "yes"])
    room.ask(request(params={"temperature": 0.5}, schema=SCHEMA))
    assert len({sent.body for sent in room.transport.requests}) == 1


# --- what a model does not take ----------------------------------------------------------------


def no_temperature(body: Any) -> Any:
    """A model that takes no `temperature`, and says so in words of this request's own."""
    if "temperature" in body:
        prompt = body["messages"][-1]["content"]
        return error(400, f"Unsupported parameter: temperature (request {prompt})", param="temperature")
    return "yes"


def test_a_parameter_that_a_model_refuses_is_left_out_said_once_and_remembered() -> None:
    room = ModelRoom(no_temperature)
    first = room.ask(request("one", params={"temperature": 0.2, "top_p": 1}))
    second = room.ask(request("two", params={"temperature": 0.2, "top_p": 1}))
    assert (text_of(first), text_of(second)) == ("yes", "yes")
    assert [("temperature" in body, "top_p" in body) for body in room.transport.bodies] == [
        (True, True),
        (False, True),
        (False, True),
    ]
    assert room.notes == [
        "small does not take `temperature`, so it is left out (Unsupported parameter: temperature (request one))"
    ]
    assert room.pauses == []


def test_requests_that_were_in_flight_together_say_it_once_too() -> None:
    room = ModelRoom(no_temperature)
    found = asyncio.run(side_by_side(room, *(request(f"{n}", params={"temperature": 0.2}) for n in range(8))))
    assert [text_of(asked) for asked in found] == ["yes"] * 8
    assert len(room.notes) == 1


def test_what_one_model_refuses_another_is_still_asked() -> None:
    room = ModelRoom(lambda body: no_temperature(body) if body["model"] == "small-1" else "yes")
    room.ask(request(params={"temperature": 0.2}))
    room.ask(request(model=LARGE, params={"temperature": 0.2}))
    assert "temperature" in room.transport.bodies[-1]


def test_the_answer_is_found_again_with_the_parameter_that_was_left_out() -> None:
    room = ModelRoom(no_temperature)
    room.ask(request(params={"temperature": 0.2}))
    later = ModelRoom([], room.store)
    assert text_of(later.ask(request(params={"temperature": 0.2}))) == "yes"


def test_a_model_that_refuses_what_was_left_out_already_is_not_asked_for_ever() -> None:
    room = ModelRoom(lambda body: error(400, "Unsupported parameter: temperature", param="temperature"))
    assert fault_of(room.ask(request(params={"temperature": 0.2}))).cls is FaultClass.DENIED
    assert len(room.prompts) == 2


def test_what_of_a_schema_the_server_is_not_asked_is_said_once() -> None:
    room = ModelRoom(lambda body: '{"a": "x"}')
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 3}}, "required": ["a"]}
    room.ask(request("one", schema=schema))
    room.ask(request("two", schema=schema))
    assert len(room.notes) == 1
    assert room.notes[0].startswith("small is not asked for all of the schema, which is enforced here: ")
    assert "minLength" in room.notes[0]


# --- cost --------------------------------------------------------------------------------------


def costs(script: Script, model: Model = PRICED) -> list[int | None]:
    """What each send of one question cost, in micro-dollars."""
    return [call.cost.micros for call in ModelRoom(script).ask(request(model=model)).calls]


def test_a_call_costs_its_tokens_at_the_models_price() -> None:
    assert costs([said("yes", tokens=(100, 30))]) == [160]


def test_an_unknown_price_is_no_price_and_not_zero() -> None:
    assert costs(["yes"], SMALL) == [None]


def test_a_send_that_came_to_nothing_is_free_and_one_that_may_have_been_billed_is_not_known() -> None:
    assert costs([error(500, "oh"), CUT, TIMED_OUT, said("yes", tokens=(100, 30))]) == [0, 0, None, 160]


def test_usage_that_the_server_does_not_tell_is_guessed_and_called_that() -> None:
    (call,) = ModelRoom([said("yes!", tokens=None)]).ask(request("12345678", PRICED)).calls
    assert (call.usage, call.cost.micros, call.cost.status) == (None, 2 + 2, CostStatus.ESTIMATED)


def test_a_refusal_and_a_truncated_answer_are_replies_and_are_paid_for() -> None:
    for answer, finish in ((refused(), Finish.REFUSED), (said("ye", "length"), Finish.LENGTH)):
        asked = ModelRoom([answer]).ask(request(model=PRICED))
        assert isinstance(asked.result, Reply)
        assert (asked.result.finish, asked.calls[0].cost.micros) == (finish, 20)
