"""What the translations share: texts out of content parts, parameters by neutral names, forced tools."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from penstock.core.calls import Message
from penstock.core.canon import Json
from penstock.gateway.protocols.shape import Untranslatable
from penstock.models.bodies import elements, fields

OBJECT: Json = {"type": "object"}
"""The schema that stands for a JSON mode: any object."""


class Forced(NamedTuple):
    """A tool that the model must call: its name, and the schema of its input."""

    name: str
    schema: Json


def text_of(content: Json, where: str, texts: Mapping[str, str], silent: Collection[str] = ()) -> str:
    """The text of a message's content: the string that it is, or its text parts, one to a line.

    `texts` maps the types of parts that are text to the field that holds it; parts of the types in `silent` (a model's
    thoughts, signed for it alone) are left out. Raises Untranslatable for any other part.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Untranslatable(f"{where} has a content that is no text and no list")
    found: list[str] = []
    for number, each in enumerate(content):
        part = {"type": next(iter(texts)), next(iter(texts.values())): each} if isinstance(each, str) else fields(each)
        kind = str(part.get("type", "part without a type"))
        said = part.get(texts.get(kind, ""))
        if kind in silent:
            continue
        if kind not in texts or not isinstance(said, str):
            raise Untranslatable(f"{where}.content[{number}] is of type {kind}, and only text can be translated")
        found.append(said)
    return "\n".join(found)


def only(messages: list[Message]) -> tuple[Message, ...]:
    """The messages. Raises Untranslatable if there are none: there is nothing to be answered then."""
    if not messages:
        raise Untranslatable("it has no messages")
    return tuple(messages)


def neutral(body: Mapping[str, Json], names: Mapping[str, str]) -> dict[str, Json]:
    """The parameters that are set, by their neutral names. `names` maps the client's names to these."""
    return {ours: body[theirs] for theirs, ours in names.items() if body.get(theirs) is not None}


def refuse(body: Mapping[str, Json], reasons: Mapping[str, str]) -> None:
    """Raises Untranslatable for the first of these fields that is set. `reasons` says of each what it does."""
    for name, reason in reasons.items():
        if body.get(name) not in (None, False, [], {}):
            raise Untranslatable(f"`{name}` {reason}")


def forced(tools: Json, choice: Json, named: str | None, must: bool) -> Forced | None:
    """The tool that the client forces, None where it offers none.

    `tools` are `{name, schema}` each; `named` is the tool that the client names, `must` tells that it says "any".
    Raises Untranslatable where the choice is left to the model.
    """
    offered = [fields(tool) for tool in elements(tools)]
    if not offered or choice == "none" or fields(choice).get("type") == "none":
        return None
    wanted = [tool for tool in offered if tool.get("name") == named] if named else offered if must else []
    if len(wanted) != 1:
        raise Untranslatable("`tools` lets the model choose among tools, and only one forced tool can be translated")
    schema = wanted[0].get("schema")
    return Forced(str(wanted[0].get("name")), schema if isinstance(schema, dict) else OBJECT)
