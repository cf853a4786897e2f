"""Kept failures through today's workflow: where each stands, what is bought for it, and what is left alone."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from penstock.api import running
from penstock.api.replay import replaying
from penstock.api.replay.replaying import Wanted
from penstock.core.errors import OperatorError, UsageError
from penstock.core.views import Options, Replay, Replayed, Standing
from tests.doubles import MemoryListener
from tests.terminal import Project, until

VERIFY = """\
steps:
  - id: verify
    foreach: rows.jsonl
    max_failures: 100%
    run: python3 verify.py "{{item}}" {{i}} > out/{{i}}.json && cat out/{{i}}.json | tee -a all.jsonl
"""
SCRIPT = """\
import json, sys
row = json.loads(sys.argv[1])
if row["n"] in {failing}: sys.exit("bad row %s" % row["n"])
print(json.dumps({{"ok": row["n"] not in {rejected}, "n": row["n"], "i": int(sys.argv[2])}}))
"""
MODEL = """\
import json, pathlib
def ask(request):
    text = request["messages"][-1]["content"]
    with open(pathlib.Path(__file__).with_name("asked.log"), "a") as file: file.write(json.dumps(text) + "\\n")
    if "Judge the answer" in text:
        return {"score": 1, "failures": [{"rule": "Be kind, as to " + text[-40:], "reason": text[:60], "fix": "x"}]}
    return {"n": int(text.split()[-1]), "of": text}
"""
ASK = """\
models: {house: {model: 'python/model:ask', price: {input: 1, output: 1}}}
steps:
  - id: ask
    foreach: rows.jsonl
    generate:
      model: house
      attempts: 1
      prompt: 'Say {{ item.n }}'
      checks: ['output.n < 2']
"""


class Kept(Project):
    """A folder in which runs fail and failures are replayed, in this process."""

    def rows(self, *numbers: int) -> None:
        """Rows with these numbers."""
        self.write("rows.jsonl", "".join(f'{{"n": {number}}}\n' for number in numbers))

    def script(self, failing: set[int], rejected: set[int]) -> None:
        """The program says no to these numbers."""
        self.write("verify.py", SCRIPT.format(failing=list(failing), rejected=list(rejected)))

    def run(self) -> None:
        """A run to its end, whatever that is."""
        running.run(self.folder, Options(), MemoryListener())

    def replay(self, wanted: Wanted | None = None) -> Replay:
        """What a replay says."""
        return replaying.replay(self.folder, wanted or Wanted(), MemoryListener())

    def stands(self, wanted: Wanted | None = None) -> dict[str, Standing]:
        """Where each fixture stands, by its input's number."""
        return {self.named(one): one.standing for one in self.replay(wanted).fixtures}

    def named(self, one: Replayed) -> str:
        """The step and the number in the input of a fixture."""
        place = "regressions" if (self.place("regressions", one)).exists() else "failures"
        return f"{one.step_id} {json.loads(self.told(self.place(place, one))['input'])['n']}"

    def place(self, kind: str, one: Replayed) -> Path:
        """Where the fixture lies, or would."""
        return self.folder / "fixtures" / kind / one.step_id / f"{one.key}.json"

    def told(self, path: Path) -> dict[str, Any]:
        """What a fixture holds."""
        told: dict[str, Any] = json.loads(path.read_bytes())
        return told

    def fixtures(self, kind: str = "failures") -> list[Path]:
        """The files of one kind."""
        return sorted((self.folder / "fixtures" / kind).glob("*/*.json"))

    def everything(self) -> dict[str, bytes]:
        """All that is the user's: every file but those of replays and of the cache, and the journal as a dump."""
        skipped = (".penstock/replay/", ".penstock/cache/", ".penstock/lock", ".penstock/journal.db", "__pycache__/")
        paths = {path.relative_to(self.folder).as_posix(): path for path in self.folder.rglob("*") if path.is_file()}
        return {name: path.read_bytes() for name, path in paths.items() if not name.startswith(skipped)}

    def asked(self) -> int:
        """How many questions the model has been put."""
        log = self.folder / "asked.log"
        return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Rows 1 to 5, of which the second fails and the third is rejected."""
    made = Kept(tmp_path)
    made.workflow(VERIFY)
    made.rows(1, 2, 3, 4, 5)
    made.script({2}, {3})
    made.run()
    return made


@pytest.fixture
def asking(tmp_path: Path) -> Kept:
    """Rows 1, 2 and 3, of which the last two are rejected by a check."""
    made = Kept(tmp_path)
    made.workflow(ASK)
    made.write("model.py", MODEL)
    made.rows(1, 2, 3)
    made.succeeds("run", "--quiet")
    return made


# --- where fixtures stand ----------------------------------------------------------------------


def test_what_nobody_touched_still_fails_with_the_same_signature(kept: Kept) -> None:
    found = kept.replay()
    assert {(one.standing, one.had == one.has) for one in found.fixtures} == {(Standing.STILL_FAILING, True)}
    assert (len(found.fixtures), found.passed, found.state) == (2, True, "succeeded")


def test_fixed_still_failing_and_changed_are_told_apart(kept: Kept) -> None:
    kept.rows(2, 3, 6)
    kept.script({2, 6}, {3})
    kept.run()
    kept.script({3, 2}, set())
    assert kept.stands() == {
        "verify 2": Standing.STILL_FAILING,
        "verify 3": Standing.CHANGED,
        "verify 6": Standing.FIXED,
    }
    (changed,) = [one for one in kept.replay().fixtures if one.standing is Standing.CHANGED]
    assert changed.had == 'rejected | its output says "…": false'
    assert changed.has == "failed | exit | exit status # | bad row #"


def test_a_replay_leaves_everything_of_the_users_as_it_was(kept: Kept) -> None:
    before, runs = kept.everything(), kept.runs()
    kept.script(set(), set())
    before |= {"verify.py": (kept.folder / "verify.py").read_bytes()}
    assert set(kept.stands().values()) == {Standing.FIXED}
    assert kept.everything() == before
    assert kept.runs() == runs
    assert sorted(kept.files("out")) == ["0.json", "2.json", "3.json", "4.json"]
    (written,) = (kept.folder / ".penstock" / "replay" / "runs").glob("*/written")
    assert sorted(path.name for path in (written / "out").iterdir()) == ["1.json", "2.json"]
    assert json.loads((written / "all.jsonl").read_text().splitlines()[0]) == {"ok": True, "n": 2, "i": 1}


def test_a_text_that_writes_above_the_folder_is_not_run(kept: Kept) -> None:
    kept.workflow(VERIFY.replace("> out/", "> ../out/").replace("cat out/", "cat ../out/"))
    found = kept.replay()
    assert [one.standing for one in found.fixtures] == [Standing.NOT_REPLAYED] * 2
    assert "climbs out of the workflow's folder" in (found.fixtures[0].reason or "")
    assert not (kept.folder.parent / "out").exists()


def test_two_fixtures_of_one_place_both_keep_it(kept: Kept) -> None:
    kept.rows(1, 7)
    kept.script({7}, set())
    kept.run()
    kept.workflow(VERIFY.replace('"{{item}}" {{i}} ', '"{{item}}" {{i}} && test {{i}} -eq 1 '))
    kept.script(set(), set())
    stands = kept.stands()
    assert (stands["verify 2"], stands["verify 7"]) == (Standing.FIXED, Standing.FIXED)
    assert stands["verify 3"] is Standing.CHANGED


def test_a_fixture_without_its_place_is_replayed_only_where_that_is_not_read(kept: Kept) -> None:
    for path in kept.fixtures():
        path.write_text(json.dumps({name: value for name, value in kept.told(path).items() if name != "i"}))
    assert {one.reason for one in kept.replay().fixtures} == {
        "it needs i, which is known nowhere here: run the workflow here first"
    }
    kept.workflow("steps:\n  - {id: verify, foreach: rows.jsonl, run: 'python3 verify.py \"{{item}}\" 0'}\n")
    assert set(kept.stands().values()) == {Standing.STILL_FAILING}


def test_an_input_is_replayed_once_however_many_files_hold_it(kept: Kept) -> None:
    first = kept.fixtures()[0]
    shutil.copyfile(first, first.with_name("00aa.json"))
    found = kept.replay()
    assert sorted(one.files for one in found.fixtures) == [1, 2]


def test_a_step_that_must_not_be_done_twice_is_replayed_only_by_name(kept: Kept) -> None:
    kept.workflow(VERIFY.replace("max_failures", "idempotent: false\n    max_failures"))
    (first, *_) = kept.replay().fixtures
    assert (first.standing, "--step verify" in (first.reason or "")) == (Standing.NOT_REPLAYED, True)
    assert set(kept.stands(Wanted(step="verify")).values()) == {Standing.STILL_FAILING}


def test_an_item_that_where_leaves_out_is_not_called_fixed(kept: Kept) -> None:
    kept.workflow(VERIFY.replace("max_failures", "where: item.n > 10\n    max_failures"))
    found = kept.replay()
    assert {one.standing for one in found.fixtures} == {Standing.NOT_REPLAYED}
    assert {one.reason for one in found.fixtures} == {"where: 2 > 10 → false", "where: 3 > 10 → false"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is no JSON object"),
        ('{"verdict": "failed"}', "it has no `input`"),
        ('{"input": {"base64": "?"}}', "mend "),
    ],
)
def test_a_file_that_is_no_fixture_is_said_and_the_others_are_replayed(kept: Kept, text: str, why: str) -> None:
    kept.fixtures()[0].write_text(text)
    found = kept.replay()
    assert [one.standing for one in found.fixtures].count(Standing.STILL_FAILING) == 1
    (stray,) = [one for one in found.fixtures if one.standing is Standing.NOT_REPLAYED]
    assert why in (stray.reason or "")


def test_fixtures_of_a_step_that_is_gone_are_said_with_what_to_do(kept: Kept) -> None:
    kept.workflow(VERIFY.replace("id: verify", "id: check"))
    assert {one.reason for one in kept.replay().fixtures} == {
        "the workflow has no step verify: rename the folder to the step's new id, or delete it"
    }
    (kept.folder / "fixtures/failures/verify").rename(kept.folder / "fixtures/failures/check")
    assert {one.standing for one in kept.replay().fixtures} == {Standing.STILL_FAILING}


def test_a_row_that_could_not_be_read_is_not_replayed(tmp_path: Path) -> None:
    made = Kept(tmp_path)
    made.workflow(VERIFY)
    made.write("rows.jsonl", '{"n": \n')
    made.script(set(), set())
    made.run()
    (one,) = made.replay().fixtures
    assert one.reason == "its row could not be read: mend the input file, then delete this file"


# --- regressions -------------------------------------------------------------------------------


def test_what_is_fixed_is_promoted_with_its_history_and_breaks_if_it_fails_again(kept: Kept) -> None:
    kept.script({2}, set())
    found = kept.replay(Wanted(promote=True))
    (promoted,) = [one for one in found.fixtures if one.promoted]
    assert (len(kept.fixtures()), len(kept.fixtures("regressions"))) == (1, 1)
    told = kept.told(kept.place("regressions", promoted))
    assert [entry["signature"] for entry in told["promoted"]] == ['rejected | its output says "…": false']
    assert kept.stands() == {"verify 2": Standing.STILL_FAILING, "verify 3": Standing.GREEN}

    kept.script({2}, {3})
    found = kept.replay(Wanted(promote=True))
    assert (found.passed, kept.stands()["verify 3"]) == (False, Standing.BROKEN)
    assert (len(kept.fixtures()), len(kept.fixtures("regressions"))) == (1, 1)


def test_a_regression_that_fails_in_a_run_keeps_its_file_and_its_history(kept: Kept) -> None:
    kept.script({2}, set())
    kept.replay(Wanted(promote=True))
    (regression,) = kept.fixtures("regressions")
    before = regression.read_bytes()
    kept.script({2, 3}, set())
    kept.run()
    assert (len(kept.fixtures()), regression.read_bytes()) == (2, before)
    assert [(one.standing, one.files) for one in kept.replay().fixtures if one.regression] == [(Standing.BROKEN, 2)]

    kept.script(set(), set())
    kept.replay(Wanted(promote=True))
    assert (len(kept.fixtures()), len(kept.fixtures("regressions"))) == (0, 2)
    assert [entry["signature"] for entry in kept.told(regression)["promoted"]] == [
        'rejected | its output says "…": false',
        "failed | exit | exit status # | bad row #",
    ]


def test_a_regression_that_cannot_be_replayed_is_not_green(kept: Kept) -> None:
    kept.script(set(), set())
    assert kept.replay(Wanted(promote=True)).passed
    kept.fixtures("regressions")[0].write_text("{")
    assert not kept.replay().passed


def test_a_strict_replay_passes_when_every_failure_is_fixed(kept: Kept) -> None:
    assert not kept.replay(Wanted(strict=True)).passed
    kept.script(set(), set())
    assert kept.replay(Wanted(strict=True)).passed


def test_the_simulator_promotes_nothing(kept: Kept) -> None:
    with pytest.raises(UsageError, match="fixes nothing"):
        kept.replay(Wanted(promote=True, simulate=True))


# --- what a step reads besides its item ---------------------------------------------------------

ABOVE = """\
steps:
  - id: first
    foreach: rows.jsonl
    run: printf '{"m":%s}' {{item.n}}
  - id: limit
    run: printf '{"top":%s}' 1 > limit.json
  - id: second
    needs: [limit]
    foreach: steps.first
    max_failures: 100%
    run: test {{item.m}} -eq {{origin.n}} && test {{chain.first.m}} -le {{outputs.limit.top}}
"""


def test_outputs_origin_and_chain_come_from_the_newest_run(tmp_path: Path) -> None:
    made = Kept(tmp_path)
    made.workflow(ABOVE)
    made.rows(1, 2, 3)
    made.run()
    assert [one.standing for one in made.replay().fixtures] == [Standing.STILL_FAILING] * 2
    made.workflow(ABOVE.replace("-le {{outputs.limit.top}}", "-gt {{outputs.limit.top}}"))
    assert [one.standing for one in made.replay().fixtures] == [Standing.FIXED] * 2
    shutil.rmtree(made.folder / ".penstock")
    assert {one.reason for one in made.replay().fixtures} == {
        "it needs outputs.limit, origin, which is known nowhere here: run the workflow here first"
    }


JUDGED = """\
steps:
  - id: first
    foreach: rows.jsonl
    run: printf '{"m":%s}' {{item.n}}
  - id: graded
    foreach: steps.first
    verify: {checks: ['output.m == origin.k', 'chain.first.m > 0']}
"""


def test_a_model_steps_fixture_holds_origin_and_chain_with_numbers_as_written(tmp_path: Path) -> None:
    made = Kept(tmp_path)
    made.workflow(JUDGED)
    made.write("rows.jsonl", '{"n": 1, "k": 1}\n{"n": 2, "k": 3.10}\n')
    made.run()
    (path,) = made.fixtures()
    assert (made.told(path)["origin"], made.told(path)["chain"]) == ('{"n":2,"k":3.10}', {"first": '{"m":2}'})
    shutil.rmtree(made.folder / ".penstock")
    assert [one.standing for one in made.replay().fixtures] == [Standing.STILL_FAILING]
    made.workflow(JUDGED.replace("== origin.k", "< origin.k"))
    assert [one.standing for one in made.replay().fixtures] == [Standing.FIXED]


def test_what_verify_passed_on_is_replayed_with_its_verdict(tmp_path: Path) -> None:
    made = Kept(tmp_path)
    below = "  - {id: use, foreach: steps.graded.accepted, run: 'test {{chain.graded.ok}}{{item.m}} = true9'}\n"
    made.workflow(JUDGED + below)
    made.write("rows.jsonl", '{"n": 1, "k": 1}\n')
    made.run()
    made.workflow(JUDGED + below.replace("true9", "true1"))
    assert [(one.step_id, one.standing) for one in made.replay().fixtures] == [("use", Standing.FIXED)]


def test_rows_that_are_texts_stay_texts(tmp_path: Path) -> None:
    made = Kept(tmp_path)
    head = "steps:\n  - id: a\n    foreach: ['two words', '12']\n"
    made.workflow(f"{head}    run: exit 1\n")
    made.run()
    made.workflow(f'{head}    where: \'item in ["two words", "12"]\'\n    run: test "{{{{item}}}}" = "$(cat)"\n')
    assert [one.standing for one in made.replay().fixtures] == [Standing.FIXED] * 2


# --- models ------------------------------------------------------------------------------------


def test_a_mended_contract_is_tried_on_what_was_bought_and_sends_nothing(asking: Kept) -> None:
    assert asking.asked() == 3
    asking.workflow(ASK.replace("output.n < 2", "output.n < 3"))
    assert asking.stands() == {"ask 2": Standing.FIXED, "ask 3": Standing.STILL_FAILING}
    assert asking.stands(Wanted(offline=True)) == {"ask 2": Standing.FIXED, "ask 3": Standing.STILL_FAILING}
    assert asking.asked() == 3


def test_what_only_the_journal_has_counts_as_bought(asking: Kept) -> None:
    shutil.rmtree(asking.folder / ".penstock" / "cache")
    asking.workflow(ASK.replace("output.n < 2", "output.n < 3"))
    assert asking.stands(Wanted(offline=True)) == {"ask 2": Standing.FIXED, "ask 3": Standing.STILL_FAILING}
    assert asking.asked() == 3


def test_a_new_prompt_is_not_replayed_offline_and_is_bought_once(asking: Kept) -> None:
    asking.workflow(ASK.replace("Say {{", "Tell {{").replace("output.n < 2", "output.n < 3"))
    found = asking.replay(Wanted(offline=True))
    assert {(one.standing, one.reason) for one in found.fixtures} == {
        (Standing.NOT_REPLAYED, "an answer that it needs was never bought: replay it without --offline")
    }
    assert asking.asked() == 3
    said = asking.succeeds("replay", "--json")
    assert (said.value["calls"], asking.asked()) == (2, 5)
    assert set(asking.stands(Wanted(offline=True)).values()) == {Standing.FIXED, Standing.STILL_FAILING}
    shutil.rmtree(asking.folder / ".penstock" / "replay")
    asking.succeeds("run", "--quiet")
    assert asking.asked() == 6  # the row that had not failed


def test_a_judges_own_words_change_no_signature(tmp_path: Path) -> None:
    made = Kept(tmp_path)
    judge = "      judge: {model: house, rubric: 'Be kind.', pass: 'score >= 4'}\n"
    made.workflow(ASK.replace("output.n < 2", "output.n < 9") + judge)
    made.write("model.py", MODEL)
    made.rows(1, 2, 3)
    made.succeeds("run", "--quiet")
    signs = {made.told(path)["signature"] for path in made.fixtures()}
    assert signs == {"rejected | judge | house: the answer does not meet its contract (judge)"}
    assert set(made.stands(Wanted(offline=True)).values()) == {Standing.STILL_FAILING}
    assert made.asked() == 6


def test_a_replay_by_the_simulator_needs_no_model(asking: Kept) -> None:
    found = asking.replay(Wanted(simulate=True))
    assert (found.simulated, len(found.fixtures), asking.asked()) == (True, 2, 3)


# --- the command -------------------------------------------------------------------------------


def test_the_command_tells_what_is_news_and_counts_the_rest(kept: Kept) -> None:
    kept.script({2}, set())
    fixed = next(path.stem for path in kept.fixtures() if kept.told(path)["verdict"] == "rejected")
    said = kept.succeeds("replay", "--quiet")
    assert (said.err, said.out) == (
        "",
        f"""\
  fixed          verify/{fixed}
      had  rejected | its output says "…": false
  still failing  verify  1 x
      had  failed | exit | exit status # | bad row #

  step    fixed  still failing
  verify      1              1

  next    penstock replay --promote (moves the 1 fixed to fixtures/regressions)
""",
    )
    assert "  moved   1 to fixtures/regressions" in kept.succeeds("replay", "--promote", "--quiet").out
    kept.script({2}, {3})
    broken = kept.penstock("replay", "--quiet")
    assert (broken.status, "  broken         verify/" in broken.out) == (1, True)
    assert kept.penstock("replay", "--strict", "--json").value["status"] == "failed"
    assert all(len(line) <= 80 for line in broken.out.splitlines())


def test_keys_and_a_workflow_may_be_named(kept: Kept) -> None:
    one, other = kept.fixtures()
    assert [told["key"] for told in _fixtures(kept, one.stem[:6])] == [one.stem]
    assert [told["key"] for told in _fixtures(kept, "workflow.yaml", str(other.relative_to(kept.folder)))] == [
        other.stem
    ]
    assert len(_fixtures(kept, ".", one.stem, other.stem)) == 2
    unknown = kept.penstock("replay", "nothing")
    assert (unknown.status, "no fixture is called nothing" in unknown.err) == (2, True)
    assert kept.penstock("replay", "--step", "nothing").status == 2


def _fixtures(kept: Kept, *words: str) -> list[dict[str, Any]]:
    told = kept.penstock("replay", "--json", *words).value["fixtures"]
    assert isinstance(told, list)
    return told


def test_without_fixtures_there_is_nothing_to_replay(tmp_path: Path) -> None:
    made = Kept(tmp_path)
    made.workflow(VERIFY)
    made.rows(1)
    said = made.succeeds("replay")
    assert said.out.startswith("no fixtures of workflow.yaml to replay")
    assert not (tmp_path / ".penstock").exists()


def test_a_replay_waits_for_nobody_while_a_run_goes_on(kept: Kept) -> None:
    kept.workflow(VERIFY.replace("run: ", "run: touch begun; sleep 20; "))
    with kept.running("run", "--quiet") as process:
        until((kept.folder / "begun").exists, process)
        with pytest.raises(OperatorError, match="is running in this folder"):
            kept.replay()


def test_a_secret_is_masked_in_a_fixture_and_is_itself_again_for_the_command(kept: Kept) -> None:
    secret = "correct horse 7"
    kept.environ["WORD"] = secret
    head = "secrets: [WORD]\nsteps:\n  - id: verify\n    foreach: rows.jsonl\n    max_failures: 100%\n"
    kept.workflow(f"{head}    run: echo {{{{item.n}}}} >&2; false\n")
    kept.write("rows.jsonl", json.dumps({"n": secret}))
    shutil.rmtree(kept.folder / "fixtures")
    kept.succeeds("run", "--quiet")
    (path,) = kept.fixtures()
    assert secret not in path.read_text()
    kept.workflow(f'{head}    secrets: [WORD]\n    run: test {{{{item.n}}}} = "$WORD"\n')
    said = kept.succeeds("replay", "--json").value
    assert [told["standing"] for told in said["fixtures"]] == ["fixed"]  # type: ignore[attr-defined]  # JSON
    left = [file for file in kept.folder.rglob("*") if file.is_file() and file.name != "rows.jsonl"]
    assert [file.name for file in left if secret.encode() in file.read_bytes()] == []


def test_a_replay_that_is_stopped_says_what_it_did_not_reach(kept: Kept) -> None:
    kept.workflow(
        VERIFY.replace("max_failures", "concurrency: 1\n    max_failures").replace(
            "run: ", "run: touch at{{i}}; sleep 1; "
        )
    )
    with kept.running("replay", "--json") as process:
        until(lambda: any(kept.folder.glob("at*")), process)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    told = json.loads(out)
    assert (process.returncode, told["status"]) == (130, "interrupted")
    assert [one["standing"] for one in told["fixtures"]].count("not_replayed") == 1
    assert len(kept.fixtures()) == 2


def test_what_a_killed_replay_bought_is_not_bought_again(asking: Kept) -> None:
    asking.workflow(ASK.replace("Say {{", "Tell {{").replace("    generate", "    concurrency: 1\n    generate"))
    asking.write("model.py", MODEL.replace("    if ", "    import time; time.sleep(0.5 * ('Tell' in text))\n    if "))
    with asking.running("replay", "--json") as process:
        until(lambda: asking.asked() == 5, process)  # the first answer is there, and the second question is put
        process.kill()
        process.wait()
    said = asking.penstock("replay", "--json")
    assert (said.value["calls"], asking.asked()) == (1, 6)
