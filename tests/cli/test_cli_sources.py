"""`foreach` over every kind of source, secrets, and what is taken from an earlier run, by the real program."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from tests.terminal import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def records(project: Project, step: str) -> list[object]:
    return [line["record"] for line in project.records(step)]


def test_rows_come_from_files_of_every_kind_and_from_lists(project: Project) -> None:
    rows = [{"a": "1", "b": "x, y"}, {"a": "2", "b": 'q"q'}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    project.write("in/rows.jsonl", "\ufeff" + lines.replace("\n", "\r\n\r\n"))
    project.write("in/rows.jsonl.gz", gzip.compress(lines.encode()))
    project.write("in/rows.json", json.dumps(rows, indent=2))
    project.write("in/rows.csv", 'a,b\r\n1,"x, y"\r\n2,"q""q"\r\n')
    steps = [
        f"  - id: {name}\n    foreach: in/rows.{kind}\n    run: printf '%s|%s' \"{{{{item.a}}}}\" {{{{item.b}}}}\n"
        for name, kind in (("jsonl", "jsonl"), ("gz", "jsonl.gz"), ("json", "json"), ("csv", "csv"))
    ]
    listed = "  - id: list\n    foreach: [text, 1, {a: [true, null]}, 1.50]\n    run: printf '=%s' {{item}}\n"
    project.workflow("steps:\n" + "".join(steps) + listed)
    project.succeeds("run")
    for step in ("jsonl", "gz", "json", "csv"):
        assert records(project, step) == ["1|x, y", '2|q"q'], step
    assert records(project, "list") == ["=text", "=1", '={"a":[true,null]}', "=1.50"]


def test_a_missing_file_fails_the_step_and_an_empty_one_is_no_rows(project: Project) -> None:
    project.workflow(
        "steps:\n  - {id: gone, run: rm rows.jsonl}\n  - {id: a, needs: [gone], foreach: rows.jsonl, run: cat}\n"
    )
    project.write("rows.jsonl", "1\n")
    said = project.penstock("run")
    assert said.status == 1
    assert "workflow.yaml:4: step a: " in said.err
    assert "rows.jsonl" in str(project.state("a")[1])
    project.workflow("steps:\n  - {id: a, foreach: rows.jsonl, run: cat}\n")
    project.write("rows.jsonl", "\n\n")
    said = project.succeeds("run")
    assert "  a      0         0         0       0        0            -\n" in said.out
    assert "  a  succeeded  no rows  SPAN\n" in said.normal_err


def test_steps_read_what_others_accepted_rejected_and_failed_with_its_origin(project: Project) -> None:
    project.write("rows.jsonl", "".join(json.dumps({"n": n, "name": f"row {n}"}) + "\n" for n in range(6)))
    project.workflow(
        """\
steps:
  - id: judge
    foreach: rows.jsonl
    max_failures: 2
    run: |
      case {{item.n}} in
        [01]) echo '{"ok": true, "of": {{item.n}}}' ;;
        [23]) echo '{"ok": false, "of": {{item.n}}}' ;;
        *) echo sorry >&2; exit 9 ;;
      esac
  - {id: all, foreach: steps.judge, run: 'echo "{{item.of}} {{origin.name}}"'}
  - {id: good, foreach: steps.judge.accepted, run: 'echo "{{item.of}} {{origin.name}} {{i}}"'}
  - {id: bad, foreach: steps.judge.rejected, run: 'echo "{{item.of}} {{origin.name}}"'}
  - {id: broken, foreach: steps.judge.failed, run: 'echo "{{item.n}} {{item.failure.reason}} {{item.failure.kind}}"'}
  - {id: again, foreach: steps.good, run: 'echo "{{item}} < {{chain.judge.of}} < {{origin.n}}"'}
""".replace('"of": {{item.n}}}\'', '"of": \'"{{item.n}}"\'}\'')
    )
    project.succeeds("run")
    assert sorted(map(str, records(project, "all"))) == ["0 row 0", "1 row 1", "2 row 2", "3 row 3"]
    assert records(project, "good") == ["0 row 0 0", "1 row 1 1"]
    assert records(project, "bad") == ["2 row 2", "3 row 3"]
    assert records(project, "broken") == ["4 exit status 9 exit", "5 exit status 9 exit"]
    assert records(project, "again") == ["0 row 0 0 < 0 < 0", "1 row 1 1 < 1 < 1"]
    assert [line["i"] for line in project.records("bad")] == [2, 3]


def test_a_secret_comes_from_the_environment_or_dot_env_and_goes_only_to_steps_that_ask(project: Project) -> None:
    project.workflow("""\
secrets: [TOKEN, OTHER, THIRD]
steps:
  - {id: asks, secrets: [TOKEN], run: 'echo "${TOKEN:-none} ${OTHER:-none} ${THIRD:-none}" | tee asks'}
  - {id: asks_other, secrets: [OTHER], run: 'echo "${TOKEN:-none} ${OTHER:-none} ${THIRD:-none}" | tee asks_other'}
  - {id: asks_nothing, run: 'echo "${TOKEN:-none} ${OTHER:-none} ${THIRD:-none}" | tee asks_nothing'}
""")
    project.environ |= {"OTHER": "from-environ", "THIRD": "third-secret"}
    said = project.penstock("run")
    assert (said.status, said.err) == (
        1,
        "penstock: no value for the secret TOKEN (step asks)\n"
        "  help: set it in the environment, or in .env beside the workflow\n",
    )
    project.write(".env", "# mine\nTOKEN='from dot-env'\nOTHER=not-this-one\n")
    project.succeeds("run")
    assert (project.folder / "asks").read_text() == "from dot-env none none\n"
    assert (project.folder / "asks_other").read_text() == "none from-environ none\n"
    assert (project.folder / "asks_nothing").read_text() == "none none none\n"
    assert re.fullmatch(r"MASKED-TOKEN-[0-9a-f]{10} none none", str(records(project, "asks")[0]))
    project.write(".env", "TOKEN=short\n")
    said = project.penstock("run")
    assert (said.status, said.err.splitlines()[0]) == (
        1,
        "penstock: the secret TOKEN is shorter than eight characters: it could not be told from ordinary text",
    )


CACHED = """\
steps:
  - id: a
    foreach: rows.jsonl
    cache: true
    run: |
      ./ran "{{item.n}}"
      echo "made {{item.n}}" | tee -a all.txt > "out/{{item.n}}.txt"
      cat lookup.txt
  - id: b
    inputs: [shared.txt]
    outputs: {upper: upper.txt}
    run: ./ran b; tr a-z A-Z < shared.txt > upper.txt
"""


@pytest.fixture
def cached(project: Project) -> Project:
    project.write("ran", '#!/bin/sh\necho "$1" >> ran.txt\n').chmod(0o755)
    project.write("rows.jsonl", '{"n":1}\n{"n":2}\n{"n":3}\n')
    project.write("lookup.txt", "one\n")
    project.write("shared.txt", "hello\n")
    project.workflow(CACHED)
    project.succeeds("run")
    return project


def ran_since(project: Project) -> list[str]:
    """What was really run since the last question."""
    path = project.folder / "ran.txt"
    words = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return sorted(words)


def assert_made(project: Project, *numbers: int) -> None:
    assert project.read("all.txt") == "".join(f"made {n}\n" for n in numbers)
    assert project.files("out") == {f"{n}.txt": f"made {n}\n".encode() for n in sorted(numbers)}


def test_rows_that_were_done_before_are_not_run_again_and_their_files_are_put_back(cached: Project) -> None:
    assert ran_since(cached) == ["1", "2", "3", "b"]
    assert cached.succeeds("plan").normal == (
        "  REUSE  a          3  every row was done before\n"
        "  REUSE  b          1  its inputs are as they were in run RUN\n"
    )
    said = cached.succeeds("run")
    assert "  a  succeeded  3 accepted, 3 reused  SPAN\n" in said.normal_err
    assert "  b  succeeded  SPAN  (reused from run RUN)\n" in said.normal_err
    assert ran_since(cached) == []
    assert_made(cached, 1, 2, 3)
    assert sum("cached" in line for line in cached.log()) == 4

    cached.write("rows.jsonl", '{"n":0}\n{"n":3}\n{"n":2}\n')
    assert "  RUN    a          3  1 rows are new or changed, 2 can be reused\n" in cached.succeeds("plan").out
    cached.succeeds("run")
    assert ran_since(cached) == ["0"]
    assert_made(cached, 0, 3, 2)

    for path in ("all.txt", "out/3.txt", "upper.txt"):
        (cached.folder / path).unlink()
    cached.succeeds("run")
    assert_made(cached, 0, 3, 2)
    assert cached.read("upper.txt") == "HELLO\n"
    ran_since(cached)

    cached.write("lookup.txt", "two\n")
    cached.succeeds("run")
    assert ran_since(cached) == ["0", "2", "3"]
    assert_made(cached, 0, 3, 2)


def test_a_step_with_inputs_is_reused_until_one_of_them_changes(cached: Project) -> None:
    ran_since(cached)
    cached.succeeds("run", "--only", "b")
    assert ran_since(cached) == []
    cached.write("shared.txt", "bye\n")
    assert (
        cached.succeeds("plan", "--only", "b").out
        == "  RUN    b          1  its text, inputs or env are new or changed\n"
    )
    cached.succeeds("run", "--only", "b")
    assert ran_since(cached) == ["b"]
    assert cached.read("upper.txt") == "BYE\n"
    cached.write("shared.txt", "hello\n")
    cached.succeeds("run")
    assert ran_since(cached) == ["b"]
    assert cached.read("upper.txt") == "HELLO\n"


def test_another_value_of_env_is_another_key(project: Project) -> None:
    project.write("ran", '#!/bin/sh\necho "$1" >> ran.txt\n').chmod(0o755)
    project.workflow("env: {MODE: slow}\nsteps:\n  - {id: a, foreach: [1], cache: true, run: './ran \"$MODE\"'}\n")
    for words, expected in (((), ["slow"]), (("--var", "MODE=fast"), ["fast"]), ((), []), (("--var", "MODE=fast"), [])):
        project.succeeds("run", *words)
        assert ran_since(project) == expected
