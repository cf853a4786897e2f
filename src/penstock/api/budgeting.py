"""The budget of a run: its caps, what earlier lives have used of them, and what follows when one is used up."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from penstock.core.budgets import Amount, Caps
from penstock.core.canon import Json
from penstock.core.errors import Place, UsageError
from penstock.core.generation import Generate
from penstock.core.models import Model
from penstock.core.routing import Route
from penstock.core.workflow import Step, Workflow
from penstock.engine.notifying import notify
from penstock.engine.site import Site
from penstock.load.shapes import seconds
from penstock.models.bodies import LIMITS
from penstock.models.budget import Budget, Exhausted, Past
from penstock.models.pricing import price_of
from penstock.rules.sampled_steps import lineage
from penstock.rules.worst_case import unheld

AXES = {"cost_usd": "micros", "calls": "calls", "tokens": "tokens", "seconds": "seconds"}
ANTHROPIC_TOKENS = 4096
"""The limit that is sent to Anthropic, which demands one, where the author sets none."""


def with_caps(workflow: Workflow, raised: tuple[tuple[str, str], ...]) -> Workflow:
    """The workflow with the caps that `resume --budget` sets in place of the file's: `KEY=VALUE`, `STEP.KEY=VALUE`.

    UsageError for a word that means no cap.
    """
    for word, value in raised:
        place, _, axis = word.rpartition(".")
        if axis not in AXES or (place and place not in {step.id for step in workflow.steps}):
            named = ", ".join(AXES)
            raise UsageError(f"--budget {word}={value}: there is no such cap", f"write one of {named}, or STEP.calls")
        amount = _amount(word, axis, value)
        if place:
            steps = tuple(
                replace(step, budget=_raised(step.budget, axis, amount)) if step.id == place else step
                for step in workflow.steps
            )
            workflow = replace(workflow, steps=steps)
        else:
            workflow = replace(workflow, budget=_raised(workflow.budget, axis, amount))
    return workflow


def _amount(word: str, axis: str, value: str) -> int | float:
    try:
        if axis == "seconds" and value[-1:].isalpha():
            return seconds(value)
        number = Decimal(value.removeprefix("$"))
        if not number.is_finite():
            raise InvalidOperation
        scaled = number * 1_000_000 if axis == "cost_usd" else number
        if scaled <= 0 or (axis != "seconds" and scaled != scaled.to_integral_value()):
            raise InvalidOperation
    except (InvalidOperation, ValueError):
        what = "an amount in dollars" if axis == "cost_usd" else "a number above 0"
        raise UsageError(f"--budget {word}={value}: write {what}, such as --budget {word}=10") from None
    return float(scaled) if axis == "seconds" else int(scaled)


def _raised(caps: Caps | None, axis: str, amount: int | float) -> Caps:
    return replace(caps or Caps(Place("--budget", 1, 1)), **{AXES[axis]: amount})  # type: ignore[arg-type]  # by axis


def budget_of(site: Site) -> Budget | None:
    """What the run may still use; None where nothing says so."""
    workflow, database, run_no = site.workflow, site.journal.database, site.run_no
    steps = {step.id: step.budget for step in workflow.steps if step.budget is not None}
    if workflow.budget is None and not steps:
        return None
    used = {row["step_id"]: row for row in database.all("used_by_steps", {"run_no": run_no})}
    lives = {"run_no": run_no, "epoch": site.epoch}
    open_s = {row["step_id"]: float(row["seconds"]) for row in database.all("seconds_of_steps", lives)}
    pasts = {
        step_id: Past(
            Amount(row["calls"], row["tokens"], None if row["unknown"] else row["micros"]),
            Amount(0, row["exposed_tokens"], row["exposed_micros"]),
            open_s.get(step_id, 0.0),
        )
        for step_id, row in used.items()
    }
    seconds = database.one("seconds_of_lives", lives)
    whole = _sum(pasts, float(seconds[0]) if seconds is not None else 0.0)
    return Budget(site.clock, workflow.budget, steps, whole, pasts)


def _sum(pasts: Mapping[str, Past], seconds: float) -> Past:
    spent = [past.spent for past in pasts.values()]
    exposed = [past.exposed for past in pasts.values()]
    return Past(_total(spent), _total(exposed), seconds)


def _total(amounts: list[Amount]) -> Amount:
    known = [each.micros for each in amounts if each.micros is not None]
    micros = sum(known) if len(known) == len(amounts) else None
    return Amount(sum(each.calls for each in amounts), sum(each.tokens for each in amounts), micros)


def refuse_unheld(workflow: Workflow, steps: Collection[str], at: float) -> None:
    """Unbounded, before anything has begun, if a cap cannot be held for one of the models that these steps may ask."""
    for step, model, params in _asked(workflow, steps):
        limit = next((params[name] for name in LIMITS if params.get(name) is not None), None)
        sent = ANTHROPIC_TOKENS if limit is None and model.provider == "anthropic" else limit
        for caps in (workflow.budget, step.budget):
            refused = unheld(model, price_of(model, model.served, at, 0), sent, caps) if caps is not None else None
            if refused is not None:
                raise refused


def _asked(workflow: Workflow, steps: Collection[str]) -> Iterator[tuple[Step, Model, dict[str, Json]]]:
    """Each model that may be asked, with the parameters that it is sent, in a step that some cap holds for."""
    for step in workflow.steps:
        if step.id not in steps or (workflow.budget is None and step.budget is None):
            continue
        question, judge = step.question, step.contract.judge if step.contract else None
        stays = _may_stay(workflow, step)
        if question is not None:
            for asked in question.rules or (question,):
                whom = _whom(asked.models, question.forced, stays)
                yield from ((step, model, dict(asked.params)) for model in whom)
        if judge is not None:
            yield from ((step, model, dict(judge.params)) for model in _whom(judge.models, judge.forced, stays))


def _whom(models: tuple[Model, ...], forced: Model | None, stays: bool) -> tuple[Model, ...]:
    """Those who may be asked. A forced model stands for all others, but where items stay here it may not see them."""
    if forced is None:
        return models
    return (forced, *models) if stays else (forced,)


def _may_stay(workflow: Workflow, step: Step) -> bool:
    """Whether some of the step's items may be kept from models elsewhere."""
    line = lineage(workflow, step)
    rules = (rule for each in line if isinstance(each.spec, (Generate, Route)) for rule in each.spec.rules)
    return any(each.local for each in line) or any(rule.local for rule in rules)


def tell_of_end(site: Site, used_up: Exhausted) -> None:
    """Why the run pauses or fails, and what goes on with it; the command that the budget names is run."""
    place = f"{used_up.level.step_id}." if used_up.level.step_id else ""
    how = f"penstock resume {site.run_id} --budget {place}{used_up.level.axis}=…"
    site.journal.event(site.run_no, "budget", place.rstrip("."), str(used_up))
    ended = "paused" if used_up.caps.when_exceeded == "pause" else "stopped"
    again = how if ended == "paused" else f"{how} --failed"
    site.listener.note(f"{ended}, {used_up}\n  `{again}` goes on with a larger one")
    if used_up.caps.notify is None:
        return
    told = {"PENSTOCK_RUN_ID": site.run_id, "PENSTOCK_REASON": str(used_up)}
    complaint = notify(site.workflow, site.environ, used_up.caps.notify, told, "the budget's")
    if complaint is not None:
        site.listener.note(complaint)
