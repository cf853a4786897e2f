"""Workflows with a sample, whose items note that they begin, and which rows a sample draws."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from penstock.api import running
from penstock.core.sampling import GateReport
from penstock.core.states import RunState
from penstock.core.views import Options
from penstock.rules.drawing import draw
from tests.doubles import MemoryListener
from tests.flows import Flow, numbered

NOTE = """\
echo "$1$2" >> begun
[ ! -e "bad-$2" ] || exit 1
[ ! -e "no-$2" ] || { printf '{"ok":false,"n":%s}\\n' "$2"; exit 0; }
printf '{"n":%s}\\n' "$2"
"""

STREAM = """\
steps:
  - id: prepare
    run: bash note.sh p 0
  - id: a
    needs: [prepare]
    foreach: rows.jsonl
    concurrency: 2
    run: bash note.sh a {{item.n}} | tee -a all.jsonl
  - id: b
    foreach: steps.a
    concurrency: 2
    max_failures: 100%
    run: bash note.sh b {{item.n}}
  - id: count
    needs: [b]
    run: bash note.sh count 0 > /dev/null; printf '{"lines":%s}' $(wc -l < all.jsonl) | tee told.json
  - id: last
    needs: [count]
    when: outputs.b.accept_rate > 0.5
    run: bash note.sh last 0
"""
"""prepare -> a (appends) -> b (streams) -> count -> last (when)"""

FILES = """\
steps:
  - id: prepare
    run: bash note.sh p 0
  - id: generate
    needs: [prepare]
    foreach: rows.jsonl
    concurrency: 2
    run: bash note.sh g {{item.n}} | tee -a logs/generate.jsonl > "out/{{i}}.json"
  - id: verify
    needs: [generate]
    foreach: logs/generate.jsonl
    concurrency: 2
    run: bash note.sh v {{item.n}} | tee -a logs/verify.jsonl
  - id: below
    foreach: steps.verify
    concurrency: 2
    run: bash note.sh w {{item.n}} | tee -a logs/below.jsonl
  - id: route
    needs: [verify]
    run: printf '{"lines":%s}' $(wc -l < logs/verify.jsonl) > logs/route.json
  - id: apply
    needs: [route, below]
    when: outputs.route.lines > 1
    run: bash note.sh apply 0
"""
"""The form of the workflow that the language begins with: steps that hand files on to one another."""


def sampled(folder: Path, sample: str, steps: str = STREAM, rows: int = 30) -> Flow:
    """A flow of so many rows with `sample: {…}`."""
    made = Flow(folder, f"sample: {{{sample}}}\n{steps}" if sample else steps, numbered(*range(rows)))
    made.write("note.sh", NOTE)
    return made


def explored(made: Flow, size: int) -> RunState:
    """The state in which `penstock run --sample SIZE` ends; its notes are the flow's."""
    listener = MemoryListener()
    try:
        return running.run(made.folder, Options(sample=size), listener).state
    finally:
        made.notes = listener.notes


def first_drawn(rows: int, size: int, seed: int = 0, name: str = "rows.jsonl") -> list[int]:
    """The places of the rows that a sample draws, in sample order."""
    return [each.index for each in draw(range(rows), size, seed, name)]


def each_once(made: Flow, **times: int) -> None:
    """Every item of every step has begun once, but for those named here."""
    begun = Counter(made.begun())
    assert {name: count for name, count in begun.items() if count != 1} == times, begun


def gate(made: Flow) -> GateReport:
    """What the gate of the newest run found."""
    found = made.view().gate
    assert found is not None
    return found


def begun_rows(made: Flow, step: str) -> list[int]:
    """The rows that a step has begun, in that order; what was noted stays."""
    noted = (made.folder / "begun").read_text().split()
    return [int(name.removeprefix(step)) for name in noted if name.removeprefix(step).isdigit()]
