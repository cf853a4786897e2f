"""Masks in what comes back to a command become its secrets again, written as the text around them must have them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.rules.restoring import restored, restored_lines
from penstock.rules.secrets import Masker

ODD = 'p"ä\\s\nw0rd'
MASKER = Masker({"ODD": ODD}, bytes(32))
MASK = MASKER.text(ODD)


def test_a_mask_in_a_plain_text_becomes_the_secret_as_it_is() -> None:
    assert restored(f"so {MASK}!", MASKER) == f"so {ODD}!"
    assert restored(f"so {MASK}!", None) == f"so {MASK}!"


@pytest.mark.parametrize("depth", range(3))
def test_a_mask_in_json_and_in_json_within_it_leaves_json_and_is_the_secret_inside(depth: int) -> None:
    value: Any = {"a": [MASK, 1.50], MASK: 2}
    for _ in range(depth):
        value = {"inner": json.dumps(value)}
    found = json.loads(restored(json.dumps(value), MASKER))
    for _ in range(depth):
        found = json.loads(found["inner"])
    assert found == {"a": [ODD, 1.5], ODD: 2}


def test_a_stream_is_restored_line_by_line_and_keeps_its_form() -> None:
    line = json.dumps({"text": f"so {MASK}"})
    stream = f"event: said\ndata: {line}\r\n\ndata: [DONE]\n\n{line}\n"
    back = restored_lines(stream, MASKER)
    names = [each.split("{")[0] for each in back.splitlines()]
    assert names == ["event: said", "data: ", "", "data: [DONE]", "", ""]
    told = [json.loads(each.removeprefix("data: ")) for each in back.splitlines() if "{" in each]
    assert told == [{"text": f"so {ODD}"}] * 2
    assert restored_lines("data: {}\n\n", MASKER) == "data: {}\n\n"
    assert restored_lines(stream, None) == stream
