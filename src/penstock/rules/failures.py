"""What failures have in common: the signature under which they are counted."""

from __future__ import annotations

import re

_VARYING = re.compile(
    r"""("(?:[^"\\]|\\.)*"|(?<!\w)'(?:[^'\\]|\\.)*')              # quoted text; not from an apostrophe on
      | (\b0x[0-9a-f]+\b|\b[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b)    # addresses, hashes, UUIDs
      | (\d+(?:[.,:]\d+)*)                                      # numbers, versions, times
    """,
    re.VERBOSE | re.IGNORECASE,
)


_JUDGED_FREELY = re.compile(r"(?: after \d+ attempts?[^:]*)?(?:^|: )expected .*", re.DOTALL)


def signature(verdict: str, kind: str | None, reason: str | None, said: str) -> str:
    """A line that is equal for failures of one cause: what varies by row (quotes, numbers, hashes) is left out.

    `said` are the command's last words; the last line that is not blank counts, since that is
    where a traceback or a shell names the error. Of a judge's rejection only that it was one counts: the judge
    puts each in words of its own.
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    why = _JUDGED_FREELY.sub("", reason or "") if kind == "judge" else reason or ""
    parts = [verdict, kind or "", _plain(why), _plain(lines[-1] if lines else "")]
    return " | ".join(part for part in parts if part)[:300]


def _plain(text: str) -> str:
    return _VARYING.sub(lambda match: '"…"' if match.group(1) else "#", text)
