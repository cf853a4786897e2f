"""Steps that ask for a person's word: asked, waited for, decided, and held against what was shown.

    pending  -- ask -->  waiting  -- a decision is there -->  succeeded or rejected

A step that waits has no task and holds no process: what was asked, and the decision, are rows that any process can
read and write (store/approvals.py). When the decision is there the step runs for a moment as any step without items
does, so that its outcome is counted, logged and written down by the same code.
"""

from __future__ import annotations

import asyncio
import textwrap
from dataclasses import dataclass
from functools import partial

from penstock.core.approval import Approve, Asked, Shown, Word
from penstock.core.canon import compact
from penstock.core.errors import ConditionError
from penstock.core.refusals import is_of_the_machine
from penstock.core.states import StepState
from penstock.core.views import StepView, Tally
from penstock.core.work import Form, Outcome, Record, Verdict
from penstock.core.workflow import Step
from penstock.engine.change_summary import change_summary
from penstock.engine.closing import End
from penstock.engine.notifying import notify
from penstock.engine.site import Site
from penstock.engine.step_run import StepRun
from penstock.rules.prompts import TemplateFault, compile_template, render
from penstock.store import approvals, shown
from penstock.store.logs import stamp

MESSAGE_CHARACTERS = 4000

LOOK_S = 0.4
"""The journal is asked for a decision so often at most, in seconds: less than the loop sleeps when nothing moves."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What was asked, and the word that answers it."""

    asked: Asked
    word: Word


class Approvals:
    """The live part of the steps of one run that ask for a person's word."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._looked_at: dict[str, float] = {}
        self._changes: dict[int, int] = {}
        self._telling: dict[int, tuple[Asked, asyncio.Future[str | None]]] = {}

    # --- asking --------------------------------------------------------------------------------

    def ask(self, step: Step) -> End | None:
        """The step waits for a word, and whoever should know is told; or the end that it came to before that.

        Where the word came while it was asked anew, nothing is asked: that word stands.
        """
        site, spec = self._site, step.spec
        assert isinstance(spec, Approve)
        try:
            message = _short(render(compile_template(spec.message), site.names.seen_by(step)).strip())
            things = self._look(spec.show)
        except (TemplateFault, ConditionError) as error:
            return End(StepState.FAILED, f"message: {error}")
        except OSError as error:
            if is_of_the_machine(error):
                raise
            return End(StepState.FAILED, f"show: {error.filename}: {error.strerror}")
        now = site.clock.now()
        deadline = now + spec.timeout_s if spec.timeout_s is not None else None
        ids, about = (site.run_no, site.steps[step.id]), change_summary(site, step)
        number = approvals.ask(site.journal, *ids, message, things, shown.digest(things), about, (now, deadline))
        asked = self._newest(step)
        if asked.number != number:
            return None
        self._changes[asked.number] = 0
        site.listener.step(StepView(step.id, StepState.WAITING.value, None, False, Tally()))
        self._tell(step, asked)
        return None

    def _look(self, names: tuple[str, ...]) -> tuple[Shown, ...]:
        site = self._site
        return shown.look(site.journal.database, site.layout.folder, site.steps, names)

    def _newest(self, step: Step) -> Asked:
        found = approvals.newest(self._site.journal.database, self._site.steps[step.id])
        assert found is not None
        return found[0]

    # --- waiting -------------------------------------------------------------------------------

    def decided(self, step: Step) -> Decided | End | None:
        """The decision on what the step asked; None while there is none, or it was looked for a moment ago. An end
        where it had to be asked anew and could not be.

        At the deadline it is the timer's rejection. What is shown is looked at when a life of the run begins, and when
        somebody who was about to decide found it changed: then it is asked anew.
        """
        now = self._site.clock.monotonic()
        if now - self._looked_at.get(step.id, -LOOK_S) < LOOK_S:
            return None
        self._looked_at[step.id] = now
        self._reap()
        found = approvals.newest(self._site.journal.database, self._site.steps[step.id])
        assert found is not None
        asked, word = found
        word = word or approvals.expire(self._site.journal.database, self._site.clock, asked)
        if word is not None:
            return Decided(asked, word)
        return self._look_again(step, asked)

    def _look_again(self, step: Step, asked: Asked) -> End | None:
        site = self._site
        changes = approvals.times_changed(site.journal.database, site.run_no, asked)
        if self._changes.get(asked.number) == changes:
            return None
        first = asked.number not in self._changes
        self._changes[asked.number] = changes
        differences = self._differences(asked)
        if differences:
            site.listener.note(f"{step.id} is asked again: what it shows has changed: {'; '.join(differences)}")
            return self.ask(step)
        if first:
            self._tell(step, asked)
        return None

    def _differences(self, asked: Asked) -> list[str]:
        site = self._site
        return shown.changes(site.journal.database, site.layout.folder, site.steps, asked)

    # --- telling a person ----------------------------------------------------------------------

    def _tell(self, step: Step, asked: Asked) -> None:
        """The listener hears what is asked; the author's command is run once, beside the loop."""
        site, spec = self._site, step.spec
        assert isinstance(spec, Approve)
        until = f" (until {stamp(asked.deadline_at)}, then it is rejected)" if asked.deadline_at is not None else ""
        message = textwrap.indent(textwrap.fill(asked.message, 74, break_on_hyphens=False), "  > ")
        how = f"  `penstock approve {site.run_id} {step.id} --as NAME`, or `penstock reject …`"
        site.listener.note(f"{step.id} {approvals.WAITS}{until}\n{message}\n{how}")
        if spec.notify is None or approvals.was_told(site.journal.database, site.run_no, asked):
            return
        told = {"PENSTOCK_RUN_ID": site.run_id, "PENSTOCK_STEP": step.id, "PENSTOCK_MESSAGE": asked.message}
        call = partial(notify, site.workflow, site.environ, spec.notify, told, f"{step.id}'s")
        self._telling[asked.number] = (asked, asyncio.get_running_loop().run_in_executor(None, call))

    async def told(self) -> None:
        """Every command that tells a person has ended, and what went wrong with one is said."""
        for _, telling in list(self._telling.values()):
            await asyncio.wait([telling])
        self._reap()

    def _reap(self) -> None:
        for number, (asked, telling) in list(self._telling.items()):
            if not telling.done():
                continue
            del self._telling[number]
            complaint = telling.result()
            approvals.note_told(self._site.journal, self._site.run_no, asked)
            if complaint is not None:
                self._site.listener.note(complaint)

    # --- going on ------------------------------------------------------------------------------

    def settle(self, run: StepRun, decided: Decided) -> None:
        """The outcome of the step, which has been opened for it, is in the journal; it stands if it was there."""
        word = decided.word
        record = {
            "approved": word.approved,
            "by": word.by,
            "comment": word.comment,
            "at": stamp(word.at),
            "via": word.via,
            "shown": [{"what": each.what, "sha256": each.sha256} for each in decided.asked.shown],
        }
        verdict = Verdict.ACCEPTED if word.approved else Verdict.REJECTED
        with self._site.journal.together():
            task = run.next_task()
            if task is not None:
                body = Record(Form.JSON, compact(record).encode())
                run.commit(Outcome(task, verdict, record=body, reason=_why(decided)))

    def refusal(self, step: Step) -> End | None:
        """How a step ends that stands on a person's word, where what was shown is no longer what it was."""
        workflow = self._site.workflow
        for above in sorted(workflow.before(step)):
            if not isinstance(workflow.step(above).spec, Approve):
                continue
            found = approvals.newest(self._site.journal.database, self._site.steps[above])
            if found is None or found[1] is None or not found[1].approved:
                continue
            differences = self._differences(found[0])
            if differences:
                # `resume --failed` asks again, but not in a run that only stands on the one that asked.
                how = "" if above in self._site.active else " (a new run of the whole asks again)"
                told = f"what {above} approved has changed since: {'; '.join(differences)}{how}"
                return End(StepState.FAILED, told)
        return None


def _short(message: str) -> str:
    """A message that a person can read: one that took in a whole file by mistake is cut."""
    return message if len(message) <= MESSAGE_CHARACTERS else f"{message[:MESSAGE_CHARACTERS]}…"


def _why(decided: Decided) -> str:
    word, asked = decided.word, decided.asked
    if word.via == approvals.TIMER:
        return f"rejected by its timer: nobody decided until {stamp(asked.deadline_at or word.at)}"
    said = f": {word.comment}" if word.comment else ""
    return f"{'approved' if word.approved else 'rejected'} by {word.by}{said}"
