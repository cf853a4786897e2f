"""What names look like that the author chooses: ids of steps and branches, and variables."""

from __future__ import annotations

ID = r"[A-Za-z_][A-Za-z0-9_-]*"
ID_HELP = "letters, digits, `_` and `-`; it begins with a letter or `_`"
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
