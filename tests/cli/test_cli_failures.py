"""What a run says of what went wrong: file, line, step, item, reason, the command's last words; and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.terminal import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_failed_command_is_told_with_file_line_step_item_status_and_its_last_words(project: Project) -> None:
    project.write("rows.jsonl", '{"n": 0}\n{"n": 1}\nnot json\n')
    project.workflow("""\
steps:
  - id: each
    foreach: rows.jsonl
    concurrency: 1
    retry: {attempts: 2, backoff: {base: 1ms, cap: 1ms}}
    run: |
      for n in 1 2 3 4 5 6 7; do echo "line $n" >&2; done
      exit $(( {{i}} * 3 ))
  - id: one
    needs: [each]
    run: echo
  - id: two
    run: nosuchcommand --with x
  - id: three
    run: exec sleep 60
    timeout: 50ms
  - id: four
    run: kill -9 $$
""")
    said = project.penstock("run")
    assert said.status == 1
    told = said.normal_err
    for part in (
        """\
workflow.yaml:3: step each, item 1 (5e9ee8d1e1d1a9a5): exit status 3 after 2 attempts
      line 3
      line 4
      line 5
      line 6
      line 7
""".replace("5e9ee8d1e1d1a9a5", str(project.records("each")[1]["key"])),
        f"workflow.yaml:3: step each, item 2 ({project.records('each')[2]['key']}): "
        "line 3 is not JSON: Expecting value at character 1\n",
        "  each   failed     1 accepted, 2 failed  SPAN  (2 of 3 items failed",
        "workflow.yaml:13: step two: exit status 127 (command not found)\n"
        "      bash: line 1: nosuchcommand: command not found\n",
        "  two    failed     SPAN\n",
        "workflow.yaml:15: step three: its time was up after SPAN\n",
        "workflow.yaml:18: step four: killed by SIGKILL\n",
        "  one    blocked    (its need each ended failed)\n",
    ):
        assert part in told
    assert "line 2\n" not in told
    for part in (
        "failed in SPAN: run RUN\n",
        "  each   3         1         0       2        0        0.333\n",
        "  failed  two: exit status 127 (command not found)\n",
        "  log     .penstock/runs/RUN/log.jsonl\n",
        "  output  .penstock/runs/RUN/out (what the commands printed)\n",
        "  kept    fixtures/failures/each (rejected and failed rows)\n",
        "  next    penstock resume RUN --failed",
    ):
        assert part in said.normal
    assert f"  next    {'penstock resume ' + str(project.runs()[0]['run'])}" in project.succeeds("status").out
    out = project.run_folder() / "out"
    assert (out / "each.err").read_text().count("line 7\n") == 2 + 1
    assert (out / "two.err").read_text() == "bash: line 1: nosuchcommand: command not found\n"


def test_only_the_first_failures_of_a_step_are_told(project: Project) -> None:
    project.workflow(f"steps:\n  - id: a\n    foreach: {list(range(9))}\n    run: exit 1\n")
    said = project.penstock("run")
    assert said.err.count("exit status 1") == 5
    assert said.err.count("workflow.yaml:3: step a: more items fail; see the log\n") == 1
    assert sum(line["verdict"] == "failed" for line in project.log()) == 9 + 1


def test_a_step_whose_answer_is_no_rejects_the_run(project: Project) -> None:
    project.workflow("""\
steps:
  - id: a
    run: |
      echo '{"ok": false}'; exit 1
  - id: b
    needs: [a]
    run: echo
""")
    said = project.penstock("run")
    assert said.status == 3
    assert (
        '  a  rejected   SPAN  (its output says "ok": false)\n  b  blocked    (its need a ended rejected)\n'
        in said.normal_err
    )
    assert said.normal.startswith("rejected in SPAN: run RUN\n")
    assert project.runs()[0]["status"] == "rejected"


def test_a_condition_without_an_answer_is_an_error_that_names_the_field(project: Project) -> None:
    project.workflow("""\
steps:
  - id: make
    run: |
      echo '{"rate": "0.95", "none": null, "list": [1]}' > made.json
  - id: bad
    run: |
      echo '{"rate": NaN}' > bad.json
  - {id: text, needs: [make], when: outputs.made.rate > 0.9, run: echo}
  - {id: missing, needs: [make], when: outputs.made.rat > 0.9, run: echo}
  - {id: none, needs: [make], when: outputs.made.none > 0.9, run: echo}
  - {id: far, needs: [make], when: 'outputs.made.list[3] > 0.9', run: echo}
  - {id: nobool, needs: [make], when: outputs.made.rate, run: echo}
  - {id: nan, needs: [bad], when: outputs.bad.rate > 0.9, run: echo}
  - {id: fine, needs: [make], when: number(outputs.made.rate) > 0.99, run: echo}
""")
    said = project.penstock("run")
    assert said.status == 1
    reasons = {
        "text": 'when: outputs.made.rate is the text "0.95", and 0.9 is a number; write number(outputs.made.rate)',
        "missing": 'when: outputs.made has no field "rat"; did you mean rate? It has: rate, none, list',
        "none": "when: outputs.made.none is null, and null has no order; "
        "test it first: outputs.made.none != null and …",
    }
    lines = project.read("workflow.yaml").splitlines()
    for step, reason in reasons.items():
        assert project.state(step) == ("failed", reason)
        line = next(n for n, text in enumerate(lines, start=1) if f"id: {step}," in text)
        assert f"workflow.yaml:{line}: step {step}: {reason}\n  {step:<7}  failed" in said.err
    for step, part in (("far", "outputs.made.list"), ("nobool", "outputs.made.rate")):
        state, why = project.state(step)
        assert state == "failed"
        assert part in str(why)
    assert project.state("bad")[0] == "failed"
    assert project.state("nan") == ("blocked", "its need bad ended failed")
    assert project.state("fine") == ("skipped", 'when: number("0.95")=0.95 > 0.99 → false')


def test_a_nan_in_a_file_that_a_condition_reads_is_an_error_that_names_the_field(project: Project) -> None:
    project.workflow("""\
steps:
  - id: make
    outputs: {made: out/made.json}
    run: mkdir -p out; cp source.txt out/made.json
  - {id: asks, needs: [make], when: outputs.made.rate > 0.9, run: echo}
""")
    project.write("source.txt", '{"rate": NaN}\n')
    assert project.penstock("run").status == 1
    state, reason = project.state("asks")
    assert state == "failed"
    assert str(reason).startswith("when: outputs.made.rate is NaN")
    project.write("source.txt", '{"rate": 0.95}\n')
    project.succeeds("run")


def test_a_where_without_an_answer_fails_its_item_alone(project: Project) -> None:
    rows = [{"s": 0.95}, {"s": "0.95"}, {}, {"s": None}, {"s": 0.5}]
    project.write("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + '{"s": NaN}\n')
    project.workflow("""\
steps:
  - id: a
    foreach: rows.jsonl
    where: item.s > 0.9
    max_failures: 4
    run: cat
""")
    said = project.succeeds("run")
    assert "  a      6         1         0       4        1        0.200\n" in said.out
    log = {line["i"]: line for line in project.log() if line["i"] is not None}
    assert {i: line["verdict"] for i, line in sorted(log.items(), key=lambda pair: str(pair[0]))} == {
        0: "accepted", 1: "failed", 2: "failed", 3: "failed", 4: "skipped", 5: "failed",
    }  # fmt: skip
    assert log[1]["reason"] == 'where: item.s is the text "0.95", and 0.9 is a number; write number(item.s)'
    assert str(log[2]["reason"]).startswith('where: item has no field "s"')
    assert str(log[3]["reason"]).startswith("where: item.s is null")
    assert log[4]["reason"] == "where: 0.5 > 0.9 → false"
    assert log[5]["reason"] == "line 6 is not usable JSON: NaN is not a JSON number"


def test_nothing_that_rows_or_commands_hold_moves_the_cursor(project: Project) -> None:
    evil = "\x1b]0;title\x07\x1b[2J\r\x08\u202e\x9b31m"
    project.write("rows.jsonl", json.dumps({"t": evil, "한글": "여기"}, ensure_ascii=False) + "\n")
    project.write("evil", evil)
    project.workflow("""\
name: "a \\e[31mred\\e[0m name, 한글"
steps:
  - {id: a, foreach: rows.jsonl, where: item.t > 1, run: echo}
  - {id: b, run: cat evil >&2; exit 3}
  - {id: c, foreach: rows.jsonl, run: 'echo > "x{{item.t}}"'}
  - {id: d, foreach: rows.jsonl, where: 'item.t == "x"', run: echo}
""")
    ran = project.penstock("run")
    assert ran.status == 1
    shown = [ran.err, ran.out, *(project.succeeds(word).out for word in ("status", "runs", "log", "plan"))]
    for text in shown:
        assert [sign for sign in text if sign != "\n" and not sign.isprintable()] == []
    assert "한글" in ran.err
    assert "      �]0;title��[2J\n" in ran.err
    told = json.loads(project.succeeds("log", "--json").out.splitlines()[0])
    assert evil in json.dumps(told, ensure_ascii=False) or "\\u001b" in json.dumps(told)


def test_a_failure_is_kept_as_a_file_for_its_input(project: Project) -> None:
    project.write("rows.jsonl", '{"id": "x", "q": "it\'s $(no)"}\n')
    project.workflow("""\
steps:
  - id: a
    foreach: rows.jsonl
    run: echo "{{item.q}}" >&2; exit 4
""")
    assert project.penstock("run").status == 1
    (path,) = (project.folder / "fixtures/failures/a").iterdir()
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert path.name == f"{kept['key']}.json"
    assert kept["input"] == '{"id": "x", "q": "it\'s $(no)"}'
    assert (kept["step"], kept["verdict"], kept["reason"]) == ("a", "failed", "exit status 4")
    assert [attempt["stderr"] for attempt in kept["attempts"]] == ["it's $(no)"]
    assert project.penstock("run").status == 1
    assert list((project.folder / "fixtures/failures/a").iterdir()) == [path]
    assert json.loads(path.read_text(encoding="utf-8"))["run"] == project.runs()[0]["run"] != kept["run"]


def test_the_command_that_a_failed_run_advises_does_the_failed_rows_again_from_where_one_is(project: Project) -> None:
    project.workflow(
        "steps:\n"
        "  - {id: a, foreach: [1, 2, 3], run: 'echo {{item}} >> \"seen.txt\"; [ {{item}} = 1 ] || [ -e mended ]'}\n"
        "  - {id: b, needs: [a], run: cat seen.txt}\n",
        "my project/workflow.yaml",
    )
    said = project.penstock("run", "my project")
    assert said.status == 1
    (advice,) = (line for line in said.out.splitlines() if line.startswith("  next    "))
    command = advice.removeprefix("  next    ").partition(" (")[0]
    run = json.loads(project.succeeds("-C", "my project", "runs", "--json").out)[0]["run"]
    assert command == f"penstock -C 'my project' resume {run} --failed"
    project.write("my project/mended", "")
    again = project.bash(command)
    assert again.status == 0, again
    assert project.read("my project/seen.txt") == "1\n2\n3\n"
    steps = project.succeeds("-C", "my project", "status", "--json").value["steps"]
    assert isinstance(steps, dict)
    assert {name: (step["status"], step["accepted"]) for name, step in steps.items()} == {
        "a": ("succeeded", 3),
        "b": ("succeeded", 1),
    }
    assert "next" not in again.out
