"""`else`: what stands for a row for which `where` is false."""

from __future__ import annotations

from penstock.load.fields import Fields
from penstock.load.mentions import ITEM_NAMES, Mention
from penstock.load.shrink import path_of
from penstock.load.suggest import did_you_mean, either, lines

_NAMES = ITEM_NAMES | {"env", "outputs"}


def otherwise_of(fields: Fields) -> tuple[str | int, ...]:
    """The path to the value; empty where there is none, or none that is sound."""
    scalar, findings = fields.scalar("else"), fields.findings
    if scalar is None:
        return ()
    if fields.mapping.get("where") is None:
        findings.wrong(scalar, "`else` belongs to a `where`", "add the condition, or remove it")
        return ()
    for kind in ("verify", "route", "approve"):
        if fields.mapping.get(kind) is not None:
            findings.wrong(scalar, f"a `{kind}` step makes no records that `else` could stand for", "remove it")
            return ()
    path = path_of(scalar.text)
    if not path:
        findings.wrong(scalar, f"`{scalar.text}` is no path to a value", "write a path such as `item` or `chain.draft`")
        return ()
    root = str(path[0])
    if root not in _NAMES:
        help = lines(did_you_mean(root, _NAMES), f"a path begins with {either(sorted(_NAMES))}")
        findings.wrong(scalar, f"there is no `{root}`", help)
        return ()
    return path


def of_otherwise(fields: Fields) -> tuple[Mention, ...]:
    """What the path refers to."""
    scalar = fields.scalar("else")
    path = path_of(scalar.text) if scalar is not None else ()
    if scalar is None or not path:
        return ()
    document = fields.findings.document
    return (Mention(str(path[0]), path[1:], document, document.spelling(scalar).spots[0], len(scalar.text)),)
