"""An answer and its contract → a judgement: parse, whole JSON Schema, checks. The first tier that fails stops.

The fourth tier, a judge model, is asked elsewhere; here is what it must answer and what follows from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from json import JSONDecodeError

from jsonschema_rs import Validator

from penstock.core import canon
from penstock.core.calls import FaultClass, Flaw, Judgement
from penstock.core.canon import Json
from penstock.core.errors import ConditionError
from penstock.core.generation import Contract
from penstock.rules.conditions import decide
from penstock.rules.conditions.values import shown
from penstock.rules.json_schema import SchemaFault, compile_schema
from penstock.rules.mending import mend
from penstock.rules.schema_flaws import flaws

__all__ = ["Checker", "SchemaFault", "compile_contract", "judge_schema", "judged"]

DEEPEST = 200
"""Levels of an answer. The validator gives up at 256, and Python's own recursion not much later."""
_exact = json.JSONDecoder(parse_float=Decimal)
_BRACKET = re.compile(r"[\[\]{}]")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_FAULTS = {
    "Expecting value": "a value was expected",
    "Expecting property name enclosed in double quotes": "a field name in double quotes was expected",
    "Expecting ':' delimiter": "a : was expected",
    "Expecting ',' delimiter": "a comma or a closing bracket was expected",
    "Extra data": "the end was expected",
    "Unterminated string starting at": "the string that begins here does not end",
    "Invalid control character at": "a line break or control character stands in a string",
}


@dataclass(frozen=True, slots=True)
class Checker:
    """A contract, compiled: once a step, for all its answers."""

    _schema: Json
    _checks: tuple[str, ...]
    _validator: Validator | None = field(repr=False)

    def judge(self, text: str, names: Mapping[str, object]) -> Judgement:
        """Whether an answer meets the contract. `names` are what its checks see, `output` aside.

        With a schema the answer must be JSON, mended if need be. Without one it is the JSON value that it wholly
        is, or else the text itself.
        """
        if self._validator is None:
            return self._checked(_value_or_text(text), names, mended=False)
        if _depth(text) > DEEPEST:
            return Judgement(False, FaultClass.NOT_JSON, None, (Flaw("", "one JSON value", "nested too deeply"),))
        try:
            return self._held(text, canon.parse(text), names, mended=False)
        except ValueError as error:
            whole = mend(text)
            if whole is None:
                return Judgement(False, FaultClass.NOT_JSON, None, (_not_json(text, error),))
        return self._held(whole, canon.parse(whole), names, mended=True)

    def _held(self, text: str, value: Json, names: Mapping[str, object], *, mended: bool) -> Judgement:
        """The schema, then the checks. The validator is given exact decimals: it knows no float with a spelling."""
        exact = _exact.decode(text)
        if self._validator is None or self._validator.is_valid(exact):
            return self._checked(value, names, mended=mended)
        found = flaws(self._validator.iter_errors(exact), value, self._schema)
        return Judgement(False, FaultClass.SCHEMA, value, found, mended)

    def _checked(self, value: Json, names: Mapping[str, object], *, mended: bool) -> Judgement:
        if not self._checks:
            return Judgement(True, None, value, (), mended)
        seen = {**names, "output": value}
        found = tuple(flaw for check in self._checks if (flaw := _unmet(check, seen)))
        return Judgement(not found, FaultClass.CHECK if found else None, value, found, mended)


def compile_contract(contract: Contract) -> Checker:
    """The checker of a contract; SchemaFault if its schema cannot be used. The judge is not its affair."""
    schema = contract.schema
    if schema is None:
        return Checker(None, contract.checks, None)
    return Checker(schema.value, contract.checks, compile_schema(schema.value))


def judge_schema() -> dict[str, Json]:
    """The schema that a judge model's answer must meet."""
    text: dict[str, Json] = {"type": "string"}
    failure = {
        "type": "object",
        "properties": {"rule": text, "reason": text, "fix": text},
        "required": ["rule", "reason", "fix"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"score": {"type": "number"}, "failures": {"type": "array", "items": failure}},
        "required": ["score", "failures"],
        "additionalProperties": False,
    }


def judged(passes: str, value: Json) -> Judgement:
    """What follows from a judge model's answer, which meets `judge_schema`: `passes` is asked over its two fields.

    A flaw's `expected` is the rule, its `got` the reason and the fix, in the judge's order. The judgement's
    `value` is the judge's answer.
    """
    verdict = value if isinstance(value, dict) else {}
    score = verdict.get("score")
    number = float(score) if isinstance(score, (int, float)) and not isinstance(score, bool) else None
    unmet = _unmet(passes, verdict)
    if unmet is None:
        return Judgement(True, None, value, score=number)
    failures = verdict.get("failures")
    found = tuple(_ruled(one) for one in failures if isinstance(one, dict)) if isinstance(failures, list) else ()
    return Judgement(False, FaultClass.JUDGE, value, found or (unmet,), score=number)


def _ruled(failure: Mapping[str, Json]) -> Flaw:
    rule, reason, fix = (str(failure.get(name, "")).strip() for name in ("rule", "reason", "fix"))
    return Flaw("", rule, f"{reason} (fix: {fix})" if fix else reason)


def _unmet(check: str, names: Mapping[str, object]) -> Flaw | None:
    """None if the check holds. An answer that lacks what the check needs does not meet it."""
    try:
        answer = decide(check, names)
    except ConditionError as error:
        return Flaw("", check, str(error))
    return None if answer.value else Flaw("", check, answer.shown)


def _depth(text: str) -> int:
    """How many brackets are open at once, at most; 0 where there are too few to matter."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return 0
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _value_or_text(text: str) -> Json:
    if _depth(text) > DEEPEST:
        return text
    try:
        return canon.parse(text)
    except ValueError:
        return text


def _not_json(text: str, error: ValueError) -> Flaw:
    if not text.strip():
        return Flaw("", "one JSON value", "an empty answer")
    if not isinstance(error, JSONDecodeError):
        return Flaw("", "one JSON value", str(error))
    near = f"before {shown(text[error.pos : error.pos + 40], 60)}" if error.pos < len(text) else "at the end"
    said = f"line {error.lineno}, column {error.colno}, {near}: {_FAULTS.get(error.msg, error.msg)}"
    return Flaw("", "one JSON value", said)
