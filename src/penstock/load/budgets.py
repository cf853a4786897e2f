"""`budget`: the shape of its keys, and the caps that they say, exactly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from penstock.core.budgets import Caps
from penstock.core.canon import Json
from penstock.load import tree
from penstock.load.fields import Fields
from penstock.load.findings import Findings
from penstock.load.quantities import exact
from penstock.load.shapes import Choice, Duration, Schema, Text, kind_of, misfit, seconds
from penstock.load.structures import Key, Record
from penstock.load.suggest import either
from penstock.load.tree import Node, Scalar

CAPS = ("cost_usd", "calls", "tokens", "seconds")
_MOST_USD = 10**9
_MOST = 10**15
_MOST_S = 10**9 - 1
_DURATION = Duration()


@dataclass(frozen=True, slots=True)
class Dollars:
    """An amount of dollars above 0, to the millionth."""

    expects: str = "an amount of dollars above 0, a number such as `5` or `0.25`"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        number = _number(node)
        if number is None or number <= 0:
            misfit(node, name, self.expects, findings, _bare_amount(node))
        elif number > _MOST_USD:
            misfit(node, name, f"at most {_MOST_USD} dollars", findings, "leave it out for no limit")
        elif not _in_micros(number):
            help = "the smallest amount is a millionth of a dollar: write at most six decimals"
            misfit(node, name, "an amount with at most six decimals", findings, help)

    def schema(self) -> Schema:
        return {"type": "number", "exclusiveMinimum": 0, "maximum": _MOST_USD}


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number from 1."""

    expects: str = "a whole number of at least 1"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        number = _number(node)
        whole = isinstance(node, Scalar) and kind_of(node) == "whole"
        if number is None or not whole or number < 1:
            misfit(node, name, self.expects, findings, _in_digits(node, number))
        elif number > _MOST:
            misfit(node, name, f"at most {_MOST}", findings, "leave it out for no limit")

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": 1, "maximum": _MOST}


@dataclass(frozen=True, slots=True)
class Seconds:
    """A number of seconds above 0, or a duration."""

    expects: str = "a number of seconds above 0 such as `600`, or a duration such as `10m`"

    def check(self, node: Node, name: str, findings: Findings) -> None:
        if kind_of(node) == "text" and isinstance(node, Scalar):
            _DURATION.check(node, name, findings)
            if findings.sound(node) and seconds(node.text) == 0:
                misfit(node, name, self.expects, findings, "leave it out for no limit")
            return
        number = _number(node)
        if number is None or not 0 < number <= _MOST_S:
            misfit(node, name, self.expects, findings, "leave it out for no limit")

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": _MOST_S}, _DURATION.schema()]}


_KEYS = Record(
    "`budget`",
    {
        "cost_usd": Key(Dollars(), "The most dollars that model calls may cost. Every model then needs a price."),
        "calls": Key(Count(), "The most model calls."),
        "tokens": Key(Count(), "The most tokens, read and written."),
        "seconds": Key(Seconds(), "The longest time: a number of seconds, or a duration such as `10m`."),
        "when_exceeded": Key(
            Choice(("pause", "stop")), "pause: the run can be resumed with a larger budget; stop: it fails."
        ),
        "notify": Key(Text("a shell text"), "A shell text that is run when the budget is used up."),
    },
    elsewhere={
        **dict.fromkeys(("cost", "usd", "dollars", "money", "max_cost", "price"), "cost_usd"),
        **dict.fromkeys(("requests", "max_calls"), "calls"),
        "max_tokens": "tokens",
        **dict.fromkeys(("time", "timeout", "duration", "minutes", "hours"), "seconds"),
        **dict.fromkeys(("action", "on_exceeded", "then"), "when_exceeded"),
    },
    example="write `budget: {cost_usd: 5}`",
)


@dataclass(frozen=True, slots=True)
class Budget:
    """A mapping with one cap at least."""

    expects: str = _KEYS.expects

    def check(self, node: Node, name: str, findings: Findings) -> None:
        _KEYS.check(node, name, findings)
        keys = {key.text for key, _ in node.entries} if isinstance(node, tree.Mapping) else set(CAPS)
        if keys <= set(_KEYS.keys) and not keys & set(CAPS):
            caps = either(f"`{word}`" for word in CAPS)
            findings.wrong(node, "`budget` limits nothing", f"add {caps}")

    def schema(self) -> Schema:
        some: list[Json] = [{"required": [word]} for word in CAPS]
        return _KEYS.schema() | {"anyOf": some}


def budget(fields: Fields) -> Caps | None:
    """The caps under a mapping's `budget`; None where there is none, or none that is sound."""
    inner = fields.inner("budget")
    if inner is None:
        return None
    cost, duration = exact(inner.node("cost_usd")), inner.scalar("seconds")
    return Caps(
        at=fields.findings.document.place(inner.mapping.start),
        micros=None if cost is None else int(Fraction(cost) * 10**6),
        calls=inner.whole("calls"),
        tokens=inner.whole("tokens"),
        seconds=_seconds(duration) if duration else None,
        when_exceeded=inner.text("when_exceeded") or "pause",
        notify=inner.text("notify"),
    )


def note_of_a_command(fields: Fields) -> None:
    """The budget of a `run` step that keeps away from the gateway counts nothing, which is worth a word."""
    key = fields.mapping.key("budget")
    if key and fields.node("budget"):
        what = "`budget` counts model calls that go through Penstock, and with `gateway: off` none does"
        fields.findings.note(key, what, "`timeout` limits how long a command takes")


def _number(node: Node) -> Decimal | None:
    """The number as it is written; None for one that is endlessly small, which a float reads as 0."""
    return exact(node) if isinstance(node, Scalar) and node.value != 0 else None


def _in_micros(number: Decimal) -> bool:
    _, digits, exponent = number.as_tuple()
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return isinstance(exponent, int) and exponent + zeros >= -6


def _in_digits(node: Node, number: Decimal | None) -> str:
    """What to write for `1e6`, `"500"`, `200_000` and `10k`."""
    if isinstance(node, Scalar) and re.fullmatch(r"[1-9][0-9_,]{0,15}", node.text):
        return f"write `{re.sub('[_,]', '', node.text)}`"
    if number is not None and 1 <= number <= _MOST and Fraction(number).denominator == 1:
        return f"write `{int(number)}`"
    return "write it in digits, such as `200000`" if kind_of(node) == "text" else "leave it out for no limit"


def _bare_amount(node: Node) -> str | None:
    """What to write for `$5` and `5 USD`."""
    if not isinstance(node, Scalar) or kind_of(node) != "text":
        return "leave it out for no limit" if kind_of(node) in ("whole", "number") else None
    amount = node.text.strip().removeprefix("$").removesuffix("$").upper().removesuffix("USD").strip()
    plain = amount.replace(".", "", 1)
    if plain.isascii() and plain.isdigit():
        return f"write the number alone: `cost_usd: {amount}`"
    return "write the number alone, in US dollars"


def _seconds(scalar: Scalar) -> float:
    return seconds(scalar.text) if isinstance(scalar.value, str) else float(exact(scalar) or 0)
