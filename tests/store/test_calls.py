"""What the journal of calls promises: a call that was told to be durable is, whole and once, whatever happens next."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from penstock.core.calls import Cost, CostStatus, Fault, FaultClass, Flaw, Judgement
from penstock.core.seams import CallRecorder
from penstock.core.work import Task
from penstock.store.call_facts import in_flight, spent_on_run, spent_on_step
from penstock.store.calls import CallJournal
from tests.call_room import RATE_LIMIT, UNKNOWN, CallRoom, answer, call, intent, key_of, replay
from tests.doubles import begin, ended

ROOT = Path(__file__).parents[2]
CONTRACT, OTHER_CONTRACT = key_of("contract"), key_of("another contract")
MET = Judgement(ok=True, tier=None, value={})


@pytest.fixture
def room(tmp_path: Path) -> Iterator[CallRoom]:
    made = CallRoom(tmp_path)
    yield made
    made.close()


# --- the flush ---------------------------------------------------------------------------------


def test_what_waits_together_is_synced_together(room: CallRoom) -> None:
    async def ask_all() -> None:
        await asyncio.gather(*(room.bought(task) for task in tasks))

    tasks = [room.task() for _ in range(64)]
    asyncio.run(ask_all())
    assert room.database.syncs <= 4
    assert len(room.ends()) == 64


def test_a_call_is_in_the_journal_with_all_that_is_known_of_it(room: CallRoom) -> None:
    task = room.task("b")
    room.buy(task, body="한국어".encode())
    (asked,) = room.asked(task)
    assert asked.answer == answer("한국어".encode())
    (end,) = room.ends()
    assert {name: end[name] for name in ("step_id", "i", "attempt", "send", "purpose", "model", "provider")} == {
        "step_id": "b",
        "i": task.index,
        "attempt": 1,
        "send": 1,
        "purpose": "answer",
        "model": "small",
        "provider": "openai",
    }
    assert (end["served"], end["status"], end["cached"], end["cost_micros"], end["cost_status"]) == (
        "gpt-4o-mini",
        200,
        0,
        31,
        "exact",
    )
    tokens = ("tokens_in", "tokens_out", "cache_read", "cache_write")
    assert [end[name] for name in tokens] == [100, 50, 64, 0]
    assert (end["wait_s"], end["elapsed_s"], end["fault"], end["kind"], end["message"]) == (0.25, 0.5, None, None, None)


@pytest.mark.parametrize("body", [b"", b"\x00\xff\xfe", b"x" * 16_383, b"x" * 16_384, os.urandom(300_000)])
def test_a_body_comes_back_as_it_was_whatever_its_size(room: CallRoom, body: bytes) -> None:
    task = room.task()
    room.buy(task, body=body)
    (asked,) = room.asked(task)
    assert asked.answer is not None
    assert asked.answer.body == body


def test_a_large_body_takes_less_room_than_it_has_bytes(room: CallRoom) -> None:
    task = room.task()
    room.buy(task, body=b'{"text": "again"}' * 10_000)
    (asked,) = room.asked(task)
    assert asked.row["form"] == "zlib"
    assert len(asked.row["body"]) < 20_000


def test_what_a_server_refused_with_is_kept_as_well(room: CallRoom) -> None:
    task = room.task()
    room.buy(task, body=b"slow down", status=429, fault=RATE_LIMIT, served=None, usage=None, cost=UNKNOWN)
    (asked,) = room.asked(task)
    assert asked.answer == answer(b"slow down", 429)
    assert (asked.row["fault"], asked.row["kind"], asked.row["message"]) == ("transport", "rate_limit", "slow\ndown")


def test_words_that_no_text_can_hold_do_no_harm(room: CallRoom) -> None:
    task = room.task()
    fault = Fault(FaultClass.DENIED, "no \ud800 \x00 such", status=400)
    room.buy(task, status=400, fault=fault, served="m\udc80")
    (asked,) = room.asked(task)
    assert (asked.row["message"], asked.row["served"]) == ("no \\ud800 \x00 such", "m\\udc80")


def test_calls_and_outcomes_share_one_connection_and_never_one_anothers_transaction(room: CallRoom) -> None:
    calls = CallJournal(room.journal.database, room.run_no, 1, room.clock)
    recorder: CallRecorder = calls

    async def work(task: Task) -> None:
        asked = intent(task)
        number = await recorder.intent(asked)
        await recorder.ended(number, call(asked), answer())
        calls.judged(task.number, 1, asked.key, CONTRACT, MET)
        with room.journal.turn():
            calls.flush_now()
            room.journal.commit(room.run_no, room.steps["a"], ended(task), None, None)
        assert room.seen("calls_of_task", (task.number,))[0]["ok"] == 1

    async def work_on_all(tasks: list[Task]) -> None:
        await asyncio.gather(*(work(task) for task in tasks))

    asyncio.run(work_on_all([room.task() for _ in range(40)]))
    assert len(room.ends()) == 40
    counted = room.seen("verdict_counts", {"step_no": room.steps["a"]})
    assert [(row["verdict"], row["count"]) for row in counted] == [("accepted", 40)]


def test_numbers_of_ends_grow_in_the_order_in_which_they_became_durable(room: CallRoom) -> None:
    order: list[int] = []

    async def ask(task: Task) -> None:
        order.append(await room.bought(task))

    async def ask_all() -> None:
        await asyncio.gather(*(ask(task) for task in tasks))

    tasks = [room.task() for _ in range(30)]
    asyncio.run(ask_all())
    assert [row["end_no"] for row in room.ends()] == list(range(1, 31))
    assert len(set(order)) == 30


# --- who does not wait -------------------------------------------------------------------------


def test_an_intent_that_nobody_waits_for_any_more_is_not_written(room: CallRoom) -> None:
    async def stop_at_once() -> None:
        waiting = asyncio.ensure_future(room.calls.intent(intent(task)))
        await asyncio.sleep(0)
        waiting.cancel()
        await room.calls.drain()

    task = room.task()
    asyncio.run(stop_at_once())
    assert room.asked(task) == []


def test_an_intent_that_is_given_up_while_it_is_synced_counts_as_never_sent(room: CallRoom) -> None:
    async def stop_meanwhile() -> None:
        waiting = asyncio.ensure_future(room.calls.intent(intent(task)))
        while room.database.syncs == 0:
            await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        await room.calls.drain()
        await room.calls.drain()

    task = room.task()
    asyncio.run(stop_meanwhile())
    (asked,) = room.asked(task)
    assert (asked.row["kind"], asked.row["cost_micros"], asked.row["cost_status"]) == ("stopped", 0, "exact")
    assert in_flight(room.database, room.run_no) == []


def test_an_answer_that_nobody_waits_for_any_more_is_kept(room: CallRoom) -> None:
    async def pay_and_leave() -> None:
        asked = intent(task)
        number = await room.calls.intent(asked)
        waiting = asyncio.ensure_future(room.calls.ended(number, call(asked), answer(b"paid")))
        await asyncio.sleep(0)
        waiting.cancel()
        await room.calls.drain()

    task = room.task()
    asyncio.run(pay_and_leave())
    assert [asked.answer for asked in room.asked(task)] == [answer(b"paid")]


# --- replays and judgements --------------------------------------------------------------------


def test_a_replay_is_a_call_that_has_ended_and_cost_nothing(room: CallRoom) -> None:
    task = room.task()
    room.calls.replayed(replay(intent(task)))
    room.calls.flush_now()
    (asked,) = room.asked(task)
    assert (asked.row["cached"], asked.row["cost_micros"], asked.answer) == (1, 0, None)
    assert spent_on_run(room.database, room.run_no).calls == 0


def test_what_is_not_flushed_is_durable_after_a_drain(room: CallRoom) -> None:
    task = room.task()
    room.calls.replayed(replay(intent(task)))
    assert room.ends() == []
    asyncio.run(room.calls.drain())
    assert len(room.ends()) == 1
    assert room.database.syncs == 1


def test_a_judgement_has_its_signals_as_json_and_none_where_no_model_was_asked(room: CallRoom) -> None:
    task = room.task()
    signals = {"attempts": 1, "mended": False, "judge_score": 4.5, "logprob": -0.25, "accept_when": "caf\ud83d → true"}
    room.calls.judged(task.number, 1, None, CONTRACT, MET, signals)
    room.calls.judged(task.number, 1, None, CONTRACT, MET)
    room.calls.flush_now()
    with closing(sqlite3.connect(room.database.path)) as other:
        kept = [row[0] for row in other.execute("SELECT signals FROM judgements ORDER BY judgement_no")]
    assert json.loads(kept[0]) == signals
    assert kept[1] is None


def test_a_judgement_belongs_to_the_call_of_its_attempt(room: CallRoom) -> None:
    task = room.task()
    flaws = (Flaw("/confidence", ">= 0.5", "0.2"), Flaw("", "an object", "한\ud800"))
    failed = Judgement(False, FaultClass.CHECK, {"confidence": 0.2}, flaws, mended=True, score=2.5)
    first, second = room.buy(task), room.buy(task, attempt=2)
    for attempt, judgement in ((1, failed), (2, MET)):
        room.calls.judged(task.number, attempt, intent(task, attempt).key, CONTRACT, judgement)
    room.calls.flush_now()
    rows = [asked.row for asked in room.asked(task)]
    assert [(row["call_no"], row["ok"], row["tier"]) for row in rows] == [(first, 0, "check"), (second, 1, None)]
    assert rows[0]["flaws"] == '[["/confidence",">= 0.5","0.2"],["","an object","한\\ud800"]]'
    assert [(row["mended"], row["score"]) for row in rows] == [(1, 2.5), (0, None)]
    assert rows[1]["flaws"] is None


def test_a_judgement_belongs_to_the_replay_of_its_own_life_and_not_to_what_was_bought_before(room: CallRoom) -> None:
    task = room.task()
    asked = intent(task)
    room.buy(task)
    room.calls.judged(task.number, 1, asked.key, CONTRACT, MET)
    asyncio.run(room.calls.drain())
    later = room.life(2)
    later.judged(task.number, 1, asked.key, OTHER_CONTRACT, MET)
    later.replayed(replay(asked))
    later.flush_now()
    assert [(one.row["epoch"], one.row["contract"]) for one in room.asked(task)] == [
        (1, CONTRACT),
        (2, OTHER_CONTRACT),
    ]


def test_a_judgement_of_a_row_that_no_model_made_has_no_call(room: CallRoom) -> None:
    task = room.task()
    room.calls.judged(task.number, 1, None, CONTRACT, MET)
    room.calls.flush_now()
    assert room.asked(task) == []
    with closing(sqlite3.connect(room.layout.journal)) as plain:
        assert plain.execute("SELECT task_no, call_no, key, ok FROM judgements").fetchall() == [
            (task.number, None, None, 1)
        ]


def test_what_is_flushed_into_a_transaction_that_is_undone_goes_with_its_outcome(room: CallRoom) -> None:
    def commit_and_fail() -> None:
        with room.database.transaction():
            room.calls.flush_now()
            raise ValueError

    task = room.task()
    room.calls.replayed(replay(intent(task)))
    with pytest.raises(ValueError, match=r"^$"):
        commit_and_fail()
    assert room.ends() == []


# --- money and loss ----------------------------------------------------------------------------


def test_costs_are_summed_as_far_as_they_are_known(room: CallRoom) -> None:
    first, second = room.task("a"), room.task("b")
    room.buy(first)
    room.buy(first, attempt=2, cost=UNKNOWN)
    room.buy(second)
    room.calls.replayed(replay(intent(second, 2)))
    room.calls.flush_now()
    run, step = spent_on_run(room.database, room.run_no), spent_on_step(room.database, room.steps["a"])
    assert (run.calls, run.known_micros, run.unknown, run.tokens_in, run.tokens_out) == (3, 62, 1, 300, 150)
    assert (step.calls, step.known_micros, step.unknown, step.tokens_in, step.tokens_out) == (2, 31, 1, 200, 100)


def test_nothing_asked_is_nothing_spent(room: CallRoom) -> None:
    spent = spent_on_run(room.database, room.run_no)
    assert (spent.calls, spent.known_micros, spent.unknown, spent.estimated, spent.tokens_in) == (0, 0, 0, 0, 0)


def test_calls_of_an_earlier_life_without_an_end_are_lost_once(room: CallRoom) -> None:
    lost, fine = room.task(), room.task("b")
    asyncio.run(room.calls.intent(intent(lost)))
    room.buy(fine)
    later = room.life(2)
    mine = asyncio.run(later.intent(intent(lost, 2)))
    other_no, _ = begin(room.journal, room.layout, "a", run_id="r2")
    assert room.life(2, other_no).close_lost() == ()
    assert Counter(row["step_id"] for row in later.close_lost()) == {"a": 1}
    assert later.close_lost() == ()
    (end,) = [row for row in room.ends() if row["kind"] == "lost"]
    assert (end["fault"], end["message"]) == ("transport", "Penstock died while this call was in flight")
    assert (end["cost_micros"], end["cost_status"], end["elapsed_s"], end["i"]) == (None, "unknown", None, lost.index)
    assert [row["call_no"] for row in in_flight(room.database, room.run_no)] == [mine]
    assert spent_on_run(room.database, room.run_no).unknown == 1


def test_an_estimate_is_counted_as_one(room: CallRoom) -> None:
    task = room.task()
    room.buy(task, cost=Cost(7, CostStatus.ESTIMATED))
    spent = spent_on_run(room.database, room.run_no)
    assert (spent.known_micros, spent.estimated, spent.unknown) == (7, 1, 0)
