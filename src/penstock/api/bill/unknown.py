"""What only the run will give: values that are not known yet, and what tells questions apart that are made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from penstock.core.canon import canonical
from penstock.engine.feeds import Arrival
from penstock.kinds.asking import Question
from penstock.rules.prompts import Prompt

UNKNOWN_ROOTS = frozenset({"outputs", "run", "steps"})
"""The names of templates and conditions whose values only the run itself will give."""


class Unknown(Mapping[str, object]):
    """A value that only the run will give: every field of it is there, and is printed as `mark`."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __getitem__(self, name: str) -> object:
        return "" if name == self.mark else self

    def __iter__(self) -> Iterator[str]:
        return iter((self.mark,))

    def __len__(self) -> int:
        return 1


OUTPUT, RECORD, GIVEN = Unknown("\ue000"), Unknown("\ue001"), Unknown("\ue002")
"""The answer that a judge will be shown; a record of a step above; what `outputs`, `run` and `steps` will say."""


def question_key(
    step_id: str, question: Question, names: Mapping[str, object], arrival: Arrival, asked: bytes = b""
) -> bytes:
    """Stands for the key of a question whose text is not known yet: equal for rows that would ask the same.

    It is made of `asked`, the key of the answer that the question follows, and all that its templates mention of the
    row; of a record that is not known, of what tells the row apart.
    """
    told: list[object] = [step_id, question.purpose, asked.hex()]
    for prompt in (question.prompt, question.system):
        told += [_mentioned(prompt, names, arrival)] if prompt is not None else []
    return hashlib.sha256(canonical(told)).digest()


def _mentioned(prompt: Prompt, names: Mapping[str, object], arrival: Arrival) -> list[object]:
    told: list[object] = []
    for path in sorted(prompt.mentions):
        value: object = names.get(path[0]) if path[0] != "env" else None
        for part in path[1:]:
            value = value[part] if isinstance(value, dict) and part in value else value
        if value is RECORD:
            whole = isinstance(names.get("item"), Unknown)  # then equal texts stand for equal records
            told.append([*path, arrival.text.hex(), "" if whole else arrival.above.hex()])
        elif not isinstance(value, Unknown):
            told.append([*path, value])
    return told
