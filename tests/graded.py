"""A small project whose model is a Python function in its folder: what it answers and costs is known to the digit."""

from __future__ import annotations

from pathlib import Path

from tests.terminal import Project

PRICED = "{model: 'python/answers:ask', price: {input: 1, output: 2}}"
UNPRICED = "{model: 'python/answers:ask'}"

ANSWERS = """\
import os
import re
import time
from pathlib import Path


def ask(request):
    n = re.search(r"grade (\\d+)", request["messages"][0]["content"]).group(1)
    Path(f"asked.{n}").touch()
    while os.path.exists("wait"):
        time.sleep(0.02)
    return {"text": '{"n": %s}' % n, "usage": {"input_tokens": 1000, "output_tokens": 500}}
"""

STEPS = """\
models:
  mine: {model}
steps:
  - id: grade
    foreach: rows.jsonl
    concurrency: 1
    generate:
      model: mine
      prompt: grade {{{{ item.n }}}}
      schema: {{type: object, required: [n], properties: {{n: {{type: integer}}}}}}
      checks: [output.n < 3]
      attempts: 1
  - id: even
    foreach: steps.grade.accepted
    verify:
      checks: [output.n == 2]
"""


def graded(project: Project, model: str = PRICED) -> Project:
    """The project: three rows, of which the third is rejected; a call costs $0.002 (1,000 tokens in, 500 out)."""
    project.workflow(STEPS.format(model=model))
    project.write("answers.py", ANSWERS)
    project.write("rows.jsonl", '{"n": 1}\n{"n": 2}\n{"n": 3}\n')
    return project


def answer_files(project: Project) -> list[Path]:
    """The files of the answers that were bought, by their names; those that were put aside excepted."""
    found = (project.folder / ".penstock" / "cache").glob("*/*.json")
    return sorted(path for path in found if path.parent.name not in ("corrupt", "replaced"))
