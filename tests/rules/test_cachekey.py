"""Whatever can change an answer changes the key, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.workflow import Retry, Script, Shell, Step
from penstock.rules.cachekey import step_fingerprint, task_fingerprint
from tests.doubles import BASH, HERE, shell

STEP = Step("a", shell("cmd {{item}}"), HERE, env=(("MODE", "fast"),), inputs=("x.json",), outputs=(("o", "o.json"),))
ENV = {"MODEL": "small", "MODE": "slow"}
CONTENTS = {"x.json": "aa"}
SHARED = step_fingerprint(STEP, ENV, CONTENTS)


@pytest.mark.parametrize(
    "change",
    [
        lambda step: replace(step, spec=shell("cmd --new {{item}}")),
        lambda step: replace(step, spec=Shell(step.script, ("sh", "-eu"))),
        lambda step: replace(step, env=(("MODE", "slow"),)),
        lambda step: replace(step, env=(("MODE", "fast"), ("MORE", ""))),
        lambda step: replace(step, outputs=(("o", "other.json"),)),
    ],
    ids=["text", "interpreter", "env value", "env name", "outputs"],
)
def test_a_step_that_asks_for_something_else_has_another_fingerprint(change: Callable[[Step], Step]) -> None:
    assert step_fingerprint(change(STEP), ENV, CONTENTS) != SHARED


@pytest.mark.parametrize(
    ("env", "contents"),
    [
        ({**ENV, "MODEL": "large"}, CONTENTS),
        ({"MODEL": "small", "NEW": ""}, CONTENTS),
        (ENV, {"x.json": "bb"}),
        (ENV, {"y.json": "aa"}),
        (ENV, {}),
    ],
)
def test_another_environment_or_file_gives_another_fingerprint(env: dict[str, str], contents: dict[str, str]) -> None:
    assert step_fingerprint(STEP, env, contents) != SHARED


@pytest.mark.parametrize(
    "step",
    [
        replace(STEP, id="renamed"),
        replace(STEP, retry=Retry(attempts=9), timeout_s=3, concurrency=1, fail_fast=True),
        replace(STEP, spec=Shell(Script("cmd {{item}}", "rewritten"), BASH)),
    ],
    ids=["id", "how it is carried out", "how the text was rewritten"],
)
def test_what_changes_no_answer_changes_no_fingerprint(step: Step) -> None:
    assert step_fingerprint(step, ENV, CONTENTS) == SHARED


def test_an_entry_that_the_step_overrides_is_not_seen() -> None:
    assert step_fingerprint(STEP, {**ENV, "MODE": "other"}, CONTENTS) == SHARED


def test_the_order_of_names_does_not_matter() -> None:
    turned = dict(reversed(ENV.items()))
    assert step_fingerprint(STEP, turned, CONTENTS) == SHARED


texts = st.binary(max_size=8)
values = st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=3)


@given(texts, values, texts, values)
def test_two_tasks_have_one_fingerprint_only_if_text_and_values_are_equal(
    text: bytes, held: list[tuple[str, str]], other: bytes, other_held: list[tuple[str, str]]
) -> None:
    same = task_fingerprint(SHARED, text, held) == task_fingerprint(SHARED, other, other_held)
    assert same is ((text, held) == (other, other_held))


def test_two_steps_never_share_a_task() -> None:
    assert task_fingerprint(SHARED, b"x", []) != task_fingerprint(b"other", b"x", [])


def test_a_value_that_is_no_unicode_has_a_fingerprint_of_its_own() -> None:
    found = {task_fingerprint(SHARED, b"x", [("V", value)]) for value in ("\udcff", "\\udcff", "?", "\ufffd")}
    assert len(found) == 4
