"""Values to text: what the commands print."""

from __future__ import annotations

import os
import shlex
import shutil
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from penstock.api.naming import is_alone
from penstock.cli.wrapping import wrapped
from penstock.core.sampling import GateReport
from penstock.core.views import Action, Decision, Plan, RunView, Spending, StepView, Tally
from penstock.core.workflow import Workflow

WIDEST = 100
"""What is wrapped is not wider than this on any terminal."""

MOST_CHARACTERS = 400
"""A line that somebody else wrote is shown as far as this."""


def printable(line: str) -> str:
    """A line without the signs that would move the cursor, change the terminal or turn the text round."""
    shown = "".join("\ufffd" if _acts(sign) else sign for sign in line[:MOST_CHARACTERS])
    return f"{shown}…" if len(line) > MOST_CHARACTERS else shown


def _acts(sign: str) -> bool:
    """Whether a terminal does something with a sign, other than show it. Joiners belong to their letters."""
    if sign.isprintable() or sign in "\t\u200c\u200d":
        return False
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def cropped(text: str, width: int) -> str:
    """The text, its end cut off if it is longer than `width` characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def seconds(value: float | None) -> str:
    """`40 ms`, `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`; empty for None."""
    if value is None:
        return ""
    if value < 0.0995:
        return f"{value * 1000:.0f} ms"
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(value_bytes: int) -> str:
    """`0 B`, `999 B`, `1.5 kB`, `12 MB`, in powers of a thousand."""
    value, units = float(value_bytes), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.1f} {units[0]}" if value < 9.95 and units[0] != "B" else f"{value:,.0f} {units[0]}"


def counts(tally: Tally) -> str:
    """`28 accepted, 2 rejected`: the verdicts that occur, and what was reused."""
    parts = [f"{tally.accepted:,} accepted"] if tally.accepted else []
    parts += [f"{tally.rejected:,} rejected"] if tally.rejected else []
    parts += [f"{tally.failed:,} failed"] if tally.failed else []
    parts += [f"{tally.skipped:,} skipped"] if tally.skipped else []
    parts += [f"{tally.cached:,} reused"] if tally.cached else []
    return ", ".join(parts)


def state(run: RunView) -> str:
    """The run's state; `superseded` for one that could have gone on, had no later run taken its place."""
    return "superseded" if run.superseded_by else run.state


def step_line(step: StepView, width: int, with_reason: bool = True) -> str:
    """One step that has ended or stands still: id, state, rows, seconds, reason."""
    rows = f"  {_done(step)}" if _done(step) else ""
    time = f"  {seconds(step.seconds)}" if step.seconds is not None else ""
    reason = f"  ({step.reason})" if step.reason and with_reason else ""
    cost = f"  {money(step.spent)}" if step.spent is not None and (step.spent.calls or step.spent.micros) else ""
    return f"  {step.id:<{width}}  {step.state:<9}{rows}{cost}{time}{reason}".rstrip()


def _done(step: StepView) -> str:
    """What became of the rows; empty for a step that has none by its nature."""
    if not step.foreach:
        return ""
    return counts(step.tally) or ("no rows" if step.state == "succeeded" else "")


def accounting(steps: Sequence[StepView]) -> list[str]:
    """The rows of each step with items: in = accepted + rejected + failed + skipped + pending; then of each branch."""
    shown = [step for step in steps if step.foreach]
    if not shown:
        return []
    head = ("rows", "in", "accepted", "rejected", "failed", "skipped", "accept rate")
    table = [head, *(_account(step) for step in shown)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    lines = [
        "  "
        + "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    routed = [step for step in shown if step.branches]
    return lines + ([""] if routed else []) + [f"  {step.id:<{widths[0]}}  {_branches(step)}" for step in routed]


def _branches(step: StepView) -> str:
    """`legal 12, sales 3`: where a `route` step's items went."""
    return ", ".join(f"{name} {count:,}" for name, count in step.branches)


def _account(step: StepView) -> tuple[str, ...]:
    tally = step.tally
    judged = tally.accepted + tally.rejected + tally.failed
    rate = f"{tally.accepted / judged:.3f}" if judged else "-"
    total = tally.done + tally.in_flight
    return (
        step.id,
        *(f"{count:,}" for count in (total, tally.accepted, tally.rejected, tally.failed, tally.skipped)),
        rate,
    )


def money(spent: Spending) -> str:
    """`$0.0123`, as precise as a small sum needs; what is not known is said."""
    dollars = spent.micros / 1_000_000
    known = f"${dollars:,.2f}" if dollars >= 10 else f"${dollars:.4f}" if dollars >= 0.01 else f"${dollars:.6f}"
    if not spent.unknown:
        return known if spent.micros else "$0"
    some = calls(spent.unknown)
    return f"{known} and the unknown cost of {some}" if spent.micros else "cost unknown"


def calls(count: int) -> str:
    """`1 call`, `1,320 calls`."""
    return "1 call" if count == 1 else f"{count:,} calls"


def bill(run: RunView) -> list[str]:
    """What the run's model calls came to, and where prices are from; nothing if no model was asked."""
    spent = run.spent
    if spent is None:
        return []
    played = " (simulated: nothing is billed)" if run.simulated else ""
    lines = [f"  calls   {spent.calls:,} model call{'s' if spent.calls != 1 else ''}, {money(spent)}{played}"]
    return lines + exposed(run) + ([f"  prices  {run.prices}"] if run.prices else []) + unknown_cost(run)


def exposed(run: RunView) -> list[str]:
    """The most that may have been billed beside what is known; nothing if nothing may."""
    count, most = run.exposed.calls, run.exposed
    if not count or (not most.micros and not most.unknown):
        return []
    unit = 10_000 if most.micros >= 10**7 else 100 if most.micros >= 10**4 else 1  # the last digit that `money` shows
    bound = Spending(count, -(-most.micros // unit) * unit)
    cost = "an amount that nothing bounds" if most.unknown else f"at most {money(bound)}"
    flying = "in flight" if run.state == "running" else "never heard of again"
    return [f"  exposed {cost} more may be billed for {calls(count)} {flying}"]


def unknown_cost(run: RunView) -> list[str]:
    """Which costs are not known, and what to do; nothing if all are."""
    spent = run.spent
    if spent is None or not spent.unknown:
        return []
    lines = [f"  COST    NOT KNOWN for {calls(spent.unknown)}: the run may have cost more than is told"]
    lines += [f"          no price is known for {name}: {_price_line(name)}" for name in run.unpriced]
    if not run.unpriced:
        lines.append("          they were lost or cut off: your account at the provider tells more")
    return lines


def _price_line(name: str) -> str:
    """The line that gives a model a price. One that is asked as PROVIDER/MODEL needs a name of its own for that."""
    if "/" not in name:
        return f"give models.{name}.price in the workflow"
    return f"name it: `models: {{NAME: {{model: {name}, price: {{input: …, output: …}}}}}}`"


def ending(run: RunView, fixtures: Path) -> list[str]:
    """The last lines of a run: its state, the row accounting, what failed, where the logs are, what to do next."""
    lines = [f"{run.state} in {seconds(run.seconds)}: run {run.id}"]
    table = accounting(run.steps)
    lines += ["", *table, ""] if table else []
    lines += bill(run) + _gate(run)
    failed = [step for step in run.steps if step.state == "failed"]
    lines += _paused(run)
    lines += [f"  failed  {step.id}: {printable(step.reason or '')}" for step in failed]
    lines.append(f"  log     {short(run.folder / 'log.jsonl')}")
    lines += _traces(run, [step for step in failed if step.tally.failed])
    bad = [step for step in run.steps if step.foreach and step.tally.rejected + step.tally.failed]
    if bad:
        lines.append(f"  kept    {', '.join(short(fixtures / step.id) for step in bad)} (rejected and failed rows)")
    not_kept = sum(step.not_kept for step in run.steps)
    if not_kept:
        lines.append(f"          {not_kept:,} more of the same kinds were counted and not kept")
    return lines + list(_advice(run))


def _gate(run: RunView) -> list[str]:
    """What the gate of a sample found, and who let the rest follow all the same."""
    if run.gate is None:
        return []
    width = min(shutil.get_terminal_size().columns, WIDEST)
    lines = wrapped(printable(run.gate.reason).removeprefix("sample: "), "  gate    ", width)
    if run.gate.expanded_by is None:
        return lines
    told = f"{printable(run.gate.expanded_by)} let the rest follow all the same (`resume --expand`)"
    return lines + wrapped(told, " " * len("  gate    "), width)


def _paused(run: RunView) -> list[str]:
    """Why a run waits, where it is no task that does."""
    told = run.gate is not None and run.reason == run.gate.reason
    return [f"  paused  {printable(run.reason)}"] if run.state == "waiting" and run.reason and not told else []


def _traces(run: RunView, failed: Sequence[StepView]) -> Iterable[str]:
    """Where it is written what the failed steps did: what their commands printed, what their models were asked."""
    out = run.folder / "out"
    printed = {path.stem for path in out.iterdir()} if out.is_dir() else set()
    if any(step.id in printed for step in failed):
        yield f"  output  {short(out)} (what the commands printed)"
    if any(step.spent is not None for step in failed):
        yield f"  asked   {short(run.folder / 'calls.jsonl')} (every model call, and what went wrong with it)"


def _advice(run: RunView) -> Iterable[str]:
    """What to do next, as a command that works where we are; nothing if all is well or the run is out of date."""
    if is_alone(run.workflow):
        return
    if run.superseded_by:
        yield f"  next    nothing: run {run.superseded_by} came after it, and it can no longer be resumed"
    elif run.gate is not None and run.reason == run.gate.reason and run.state in ("rejected", "waiting"):
        yield f"  next    {_command(run)} resume {run.id} --expand (the whole run follows all the same),"
        yield "          or mend the workflow, or give its `sample` more rows, and run it again"
    elif run.state == "interrupted":
        yield f"  next    {_command(run)} resume {run.id}"
    elif run.state == "waiting" and run.reason and run.reason.startswith("budget"):
        yield f"  next    {_command(run)} resume {run.id} --budget KEY=VALUE (a larger one)"
    elif _all_decided(run):
        yield f"  next    {_command(run)} resume {run.id}"
    elif any(step.state == "waiting" for step in run.steps):
        yield f"  next    {waiting_command(run)} (what a person is asked, and how to answer)"
    elif run.state == "failed":
        yield f"  next    {_command(run)} resume {run.id} --failed (does again what failed, and what stands on it)"


def _all_decided(run: RunView) -> bool:
    """Whether a run has waited for persons only, and each has spoken."""
    reasons = [step.reason or "" for step in run.steps if step.state == "waiting"]
    return run.state == "waiting" and bool(reasons) and all(reason.startswith("decided") for reason in reasons)


def waiting_command(run: RunView) -> str:
    """The command that shows what a run asks of a person."""
    return f"{_command(run)} waiting {run.id}"


def _command(run: RunView) -> str:
    return program(run.folder.parents[2])


def program(folder: Path) -> str:
    """`penstock`, with the workflow's folder if we are elsewhere."""
    return "penstock" if folder.samefile(Path()) else f"penstock -C {shlex.quote(short(folder))}"


def status(run: RunView) -> list[str]:
    """One run with its steps."""
    width = max((len(step.id) for step in run.steps), default=0)
    lines = [f"run {run.id}  {run.workflow} ({run.name})  {state(run)}  {seconds(run.seconds)}"]
    stands_still = {step.id for step in run.steps if step.state == "waiting" and run.superseded_by}
    lines += [step_line(step, width, step.id not in stands_still) for step in run.steps]
    table = accounting(run.steps)
    lines += ["", *table, ""] if table else []
    if run.in_flight and run.state == "interrupted":
        named = ", ".join(run.in_flight[:5]) + (" …" if len(run.in_flight) > 5 else "")
        lines.append(f"  {len(run.in_flight)} in flight when it was interrupted: {named}")
    lines += bill(run) + _gate(run) + _paused(run)
    lines.append(f"  log     {short(run.folder / 'log.jsonl')}")
    return [printable(line) for line in [*lines, *_advice(run)]]


def plan(plan: Plan) -> list[str]:
    """One line a step: what would be done, for how many items, and why."""
    width = max(len(decision.step_id) for decision in plan.decisions)
    return [_decision(decision, width) for decision in plan.decisions]


def _decision(decision: Decision, width: int) -> str:
    items = "" if decision.items is None else f"{decision.items:,}"
    some = decision.cached and decision.action is not Action.REUSE
    reused = f", {decision.cached:,} can be reused" if some else ""
    return f"  {decision.action.value:<5}  {decision.step_id:<{width}}  {items:>9}  {decision.reason}{reused}"


def tree(workflow: Workflow) -> list[str]:
    """The steps in the file's order, each with what it needs."""
    width = max(len(step.id) for step in workflow.steps)
    lines = []
    for step in workflow.steps:
        needs = ", ".join(need.step for need in step.needs)
        each = "*" if step.foreach is not None else " "
        lines.append(f"  {step.id:<{width}} {each}  {'<- ' + needs if needs else ''}".rstrip())
    return [*lines, "", "  * once for each row"] if any(step.foreach for step in workflow.steps) else lines


def mermaid(workflow: Workflow) -> list[str]:
    """A flowchart in Mermaid's language. Steps that stream from another are joined by a dotted arrow."""
    lines = ["flowchart TD"]
    for step in workflow.steps:
        shape = f'{step.id}[["{step.id}"]]' if step.foreach is not None else f'{step.id}["{step.id}"]'
        lines.append(f"  {shape}")
    for step in workflow.steps:
        arrow = "-->" if step.barrier else "-.->"
        lines += [f"  {need.step} {arrow} {step.id}" for need in step.needs]
    return lines


def step_json(step: StepView) -> dict[str, object]:
    """A step in the line that `--json` prints."""
    tally = step.tally
    judged = tally.accepted + tally.rejected + tally.failed
    return {
        "status": step.state,
        "reason": step.reason,
        "total": tally.done + tally.in_flight,
        "accepted": tally.accepted,
        "rejected": tally.rejected,
        "failed": tally.failed,
        "skipped": tally.skipped,
        "cached": tally.cached,
        "accept_rate": tally.accepted / judged if judged else None,
        "cost": step.spent.dollars if step.spent is not None else None,
        **({"branches": dict(step.branches)} if step.branches else {}),
    }


def gate_json(gate: GateReport) -> dict[str, object]:
    """What the gate of a sample found, in the line that `--json` prints. Money is dollars.

    What is counted is null where `require` is about no rate of one step.
    """
    counted = gate.counted is not None
    spent, rest = (None if micros is None else micros / 1_000_000 for micros in (gate.spent_micros, gate.rest_micros))
    return {
        "state": gate.state.value,
        "reason": gate.reason,
        "expanded_by": gate.expanded_by,
        "step": gate.counted,
        "judged": gate.judged if counted else None,
        "rejects": gate.rejects if counted else None,
        "lost": gate.lost if counted else None,
        "accept_rate_low": gate.rate_low if counted else None,
        "evidence": gate.evidence,
        "against": gate.against,
        "limit": gate.limit,
        "more_rows": gate.more_rows,
        "cost": spent,
        "cost_of_the_rest": rest,
    }


def run_json(run: RunView) -> dict[str, object]:
    """The line that `run --json`, `resume --json` and `status --json` print."""
    return {
        "run": run.id,
        "status": state(run),
        "steps": {step.id: step_json(step) for step in run.steps},
        "cost": run.spent.dollars if run.spent is not None else None,
        "calls": run.spent.calls if run.spent is not None else 0,
        "simulated": run.simulated,
        **({"gate": gate_json(run.gate)} if run.gate is not None else {}),
        "seconds": round(run.seconds, 3),
    }


def short(path: Path) -> str:
    """The path as a person in this folder would type it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("../..") else relative
