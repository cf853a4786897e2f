"""The nouns of `sample`: how many rows are tried first, and what must hold before the rest follows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from penstock.core.errors import Place


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows that are tried before all others: `size` of each root stream, drawn with `seed`.

    `require` is the condition on which the whole run follows, None where the sample is only looked at
    (`penstock run --sample`). With `confidence` it is `outputs.STEP.accept_rate >= RATE`, which `step` and `rate` tell,
    and is held by a sequential test; `on_inconclusive` is `stop` or `expand`.
    """

    size: int
    at: Place | None = None
    require: str | None = None
    seed: int = 0
    confidence: float | None = None
    step: str | None = None
    rate: float | None = None
    on_inconclusive: str = "stop"


class GateState(str, Enum):
    """Where the gate of a run stands. `expanded`: a person let the whole run follow all the same."""

    SAMPLING = "sampling"
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class GateReport:
    """What a gate found: `rejects` of the `judged` rows of the step `counted` (failed ones count as rejected), and the
    sentence that says why. `counted` is None, and nothing counted, where `require` is about no rate of one step. `lost`
    rows failed in steps above, so that the step never saw them; with a confidence they are among the rejects.

    `rate_low` is the lower 95 % bound of the accept rate, None without rows. `evidence` and `against` are the values of
    the two e-processes, None without a confidence; either decides when it comes to `limit`, which is 1/alpha. Money is
    micro-dollars: spent so far, and what the rest would come to at the cost of a sampled row; None where not known.
    `more_rows` is about how many more accepted rows in a row would have been needed, None where none would do or so
    many are not left. `expanded_by` let the rest follow whatever the gate found, None where nobody did.
    """

    state: GateState
    reason: str
    judged: int
    rejects: int
    rate_low: float | None = None
    evidence: float | None = None
    against: float | None = None
    limit: float | None = None
    spent_micros: int | None = None
    rest_micros: int | None = None
    more_rows: int | None = None
    counted: str | None = None
    lost: int = 0
    expanded_by: str | None = None
