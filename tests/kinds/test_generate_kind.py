"""A `generate` step at one item: what becomes the record, what its prompt is made of, what the log calls its model."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.core.models import Model, Rates
from penstock.core.work import Form, Record, Verdict
from penstock.models.client import Client
from penstock.models.transport import Transport
from penstock.models.wire import Endpoint
from tests.doubles import item
from tests.model_double import CUT, ModelRoom, contract, error, generate, judge, template

ANY: dict[str, Any] = {"type": "object"}


def said(answer: str, folder: Path, schema: Any = None) -> Record | None:
    """The record that an answer becomes."""
    return ModelRoom([answer]).perform(generate(contract=contract(schema)), folder).record


def test_with_a_schema_the_record_is_the_json_with_its_numbers_as_the_model_wrote_them(tmp_path: Path) -> None:
    answer = '{"b": 1.10, "a": 12345678901234567890123, "c": "\\u00e9\\n"}'
    assert said(answer, tmp_path, ANY) == Record(
        Form.JSON, '{"b":1.10,"a":12345678901234567890123,"c":"é\\n"}'.encode()
    )


@pytest.mark.parametrize(
    ("answer", "record"),
    [
        ("Yes, it is.\n", Record(Form.TEXT, b"Yes, it is.\n")),
        ('{"a": 1}', Record(Form.JSON, b'{"a":1}')),
        ("17", Record(Form.JSON, b"17")),
        ('"quoted"', Record(Form.TEXT, b'"quoted"')),
        ("", Record(Form.TEXT, b"")),
        ('{"a": NaN}', Record(Form.TEXT, b'{"a": NaN}')),
        ('"\\ud800"', Record(Form.TEXT, b'"\\ud800"')),
    ],
)
def test_without_one_it_is_the_json_value_that_the_answer_wholly_is_or_else_its_text(
    tmp_path: Path, answer: str, record: Record
) -> None:
    assert said(answer, tmp_path) == record


def test_an_answer_with_half_a_character_in_it_is_still_kept(tmp_path: Path) -> None:
    """JSON can say a lone surrogate, and no file in UTF-8 can hold it."""
    body = b'{"choices": [{"message": {"content": "caf\\ud83d!"}, "finish_reason": "stop"}]}'
    room = ModelRoom([replace(error(200, ""), body=body)])
    record = room.perform(generate(), tmp_path).record
    assert record is not None
    assert record.body.decode().startswith("caf")


AWKWARD = [
    "{{ item.secret }} {% for x in y %} {# no #}",
    "$(touch pwned) `id` ${HOME}",
    "\"quotes\" 'single' \\ back\\nslash",
    "line\nline\r\nline\ttab",
    "a\0nul and \x1b[31m and \x7f",
    "안녕하세요 🙂 ‮ \ufeff",
    " spaces ",
]


@pytest.mark.parametrize("text", AWKWARD)
def test_whatever_a_row_holds_arrives_in_the_prompt_as_it_is(tmp_path: Path, text: str) -> None:
    room = ModelRoom(["yes"])
    spec = generate(prompt="[{{ item.text }}] {{ item }}", system=template("{{ item.text }}"))
    assert room.perform(spec, tmp_path, names={"text": text}).verdict is Verdict.ACCEPTED
    ((_, system), (_, prompt)) = room.turns(0)
    assert system == text
    assert prompt.startswith(f"[{text}] ")
    assert json.loads(prompt[len(text) + 3 :]) == {"text": text}


def test_a_row_with_bytes_that_are_no_utf8_is_asked_about_as_well_as_can_be(tmp_path: Path) -> None:
    room = ModelRoom(["yes"])
    text = b"caf\xe9".decode("utf-8", "surrogateescape")
    outcome = room.perform(generate(prompt="[{{ item }}]"), tmp_path, names=text, text=b"caf\xe9")
    assert outcome.verdict is Verdict.ACCEPTED
    assert room.prompts[0].startswith("[caf")


def test_vars_are_names_of_templates_and_checks_see_the_row(tmp_path: Path) -> None:
    spec = generate(
        prompt="{{ tone }}: {{ item.text }}",
        vars=(("tone", "kindly {{ item }}"),),
        contract=contract(None, "output == item.text"),
    )
    room = ModelRoom(["a row"])
    assert room.perform(spec, tmp_path).verdict is Verdict.ACCEPTED
    assert room.prompts == ["kindly {{ item }}: a row"]


def test_a_prompt_that_cannot_be_written_fails_the_item_and_asks_nobody(tmp_path: Path) -> None:
    room = ModelRoom([])
    outcome = room.perform(generate(prompt="Of {{ item.txet }}."), tmp_path)
    assert (outcome.verdict, outcome.reason) == (
        Verdict.FAILED,
        "its prompt cannot be written: flow.yaml:1:1: `item` has no field `txet`",
    )
    assert (room.prompts, outcome.attempts[0].kind) == ([], "prompt")


def test_a_rubric_that_cannot_be_written_fails_the_item_and_what_was_bought_is_told(tmp_path: Path) -> None:
    room = ModelRoom(["yes"])
    broken = replace(judge(), rubric=template("Is {{ output.x }} good?"))
    outcome = room.perform(generate(contract=contract(judge=broken)), tmp_path)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.bill is not None
    assert outcome.bill.sent == 1


def test_the_log_calls_a_model_by_its_name_in_the_workflow(tmp_path: Path) -> None:
    bill = ModelRoom(["yes"]).perform(generate(), tmp_path).bill
    assert bill is not None
    assert bill.model == "small"


def test_the_simulator_never_goes_by_another_name(tmp_path: Path) -> None:
    room = ModelRoom([])
    model = Model("large", "sim", "gpt-4o", rates=Rates(seed=1))
    transport = Transport(room.clock, pause=room.pause)
    parts = (room.store, room.recorder, transport, {"large": Endpoint("sim:")}, room.clock, lambda: 0.0, room.pause)
    room.client = Client(*parts, room.notes.append)
    outcome = room.perform(generate(model), tmp_path)
    assert outcome.bill is not None
    assert (outcome.verdict, outcome.bill.model) == (Verdict.ACCEPTED, "sim/gpt-4o")


def test_a_model_that_was_never_reached_gave_no_answer_to_be_called_by(tmp_path: Path) -> None:
    bill = ModelRoom(lambda body: CUT).perform(generate(), tmp_path).bill
    assert bill is not None
    assert (bill.model, bill.sent, bill.tokens_in) == (None, 6, 0)


def test_equal_rows_side_by_side_are_asked_about_once_and_each_has_its_record(tmp_path: Path) -> None:
    room = ModelRoom(lambda body: '{"n": 1}')

    async def scene() -> list[bytes]:
        spec, names = generate(contract=contract(ANY)), {"item": {"text": "same"}}
        rows = [item(n, b'{"text": "same"}', occurrence=n) for n in range(12)]
        outcomes = await asyncio.gather(*(room.performing(spec, tmp_path, row, names) for row in rows))
        return [outcome.record.body for outcome in outcomes if outcome.record is not None]

    assert asyncio.run(scene()) == [b'{"n":1}'] * 12
    assert len(room.prompts) == 1
