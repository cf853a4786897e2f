"""The turns of a question to a model: the prompt, and in a re-ask the last bad answer and what is wrong with it."""

from __future__ import annotations

from penstock.core.calls import FaultClass, Flaw, Message
from penstock.rules.repair import Previous

MOST_FLAWS = 5
LONGEST_ANSWER = 20_000
"""How many characters of a bad answer are shown to the model again."""


def messages(
    system: str | None, prompt: str, previous: Previous | None = None, *, json: bool = True
) -> tuple[Message, ...]:
    """The turns of one question. The history is replaced, never piled up: only the last bad answer is in it.

    `json` tells that the contract has a schema, so that the answer must be JSON. The same arguments give the same text.
    """
    turns = [Message("system", system)] if system else []
    turns.append(Message("user", prompt))
    if previous is not None:
        turns += [Message("assistant", _shown(previous.text)), Message("user", _complaint(previous, json))]
    return tuple(turns)


def _shown(answer: str) -> str:
    if len(answer) > LONGEST_ANSWER:
        return f"{answer[:LONGEST_ANSWER]}\n[cut: the first {LONGEST_ANSWER} of {len(answer)} characters]"
    return answer or "(an empty answer)"


def _complaint(previous: Previous, json: bool) -> str:
    line = _judged if previous.cls is FaultClass.JUDGE else _unmet
    lines = ["The answer does not meet the contract:", *(line(flaw) for flaw in previous.flaws[:MOST_FLAWS])]
    more = len(previous.flaws) - MOST_FLAWS
    if more > 0:
        lines.append(f"- and {more} more")
    lines.append("Answer again with the whole corrected JSON only." if json else "Answer again, whole and corrected.")
    return "\n".join(lines)


def _unmet(flaw: Flaw) -> str:
    place = f"{flaw.pointer}: " if flaw.pointer else ""
    return f"- {place}expected {flaw.expected}, got {flaw.got}"


def _judged(flaw: Flaw) -> str:
    return f"- {flaw.expected}: {flaw.got}"
