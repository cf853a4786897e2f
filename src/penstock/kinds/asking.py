"""A model step, ready to be carried out: its templates and its contract compiled, its models and the client at hand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.core.canon import Json, canonical
from penstock.core.generation import Contract, Generate, Judge, Rung, Schema, Template, Truncate, Verify
from penstock.core.seams import CallRecorder
from penstock.core.workflow import Step
from penstock.models.bodies import LIMITS
from penstock.models.client import Client, Manner
from penstock.rules.conditions import references
from penstock.rules.contract import Checker, compile_contract, judge_schema
from penstock.rules.prompts import Prompt, compile_template, mentioned
from penstock.rules.repair import Policy, policy_of

CHECKED_NAMES = frozenset({"item", "i", "key", "origin", "chain", "env", "outputs", "run", "output"})
JUDGE_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Question:
    """What is put to models until an answer will do: the templates, the contract, and what may be tried.

    `schema` is what the server is asked to hold to, None for free text.
    """

    purpose: str
    policy: Policy
    prompt: Prompt
    system: Prompt | None
    params: Mapping[str, Json]
    checker: Checker
    schema: Json | None
    rungs: tuple[Rung, ...] = ()


@dataclass(frozen=True, slots=True)
class Bench:
    """The judge of a contract: the question that is put to it, and when its verdict lets an answer pass."""

    question: Question
    passes: str


@dataclass(frozen=True, slots=True)
class Asking:
    """One model step. `question` is None for `verify`, which asks for no answer. `roots` are the names that
    templates and checks mention; `contract` is the contract's hash, under which verdicts are kept."""

    step_id: str
    client: Client
    recorder: CallRecorder
    manner: Manner
    question: Question | None
    checker: Checker
    judge: Bench | None
    vars: Mapping[str, str]
    roots: frozenset[str]
    contract: bytes


def prepare_asking(step: Step, client: Client, recorder: CallRecorder, at_once: int | None = None) -> Asking:
    """The step with everything compiled. Its texts were checked when the file was loaded.

    `at_once` is how many requests somebody wants in flight; None lets the servers' answers decide.
    """
    spec = step.spec
    assert isinstance(spec, (Generate, Verify))
    contract = spec.contract
    checker = compile_contract(contract)
    question = _question(spec, checker) if isinstance(spec, Generate) else None
    judge = _bench(contract) if contract.judge is not None else None
    prompts = [one for one in (question, judge.question if judge else None) if one is not None]
    templates = [template for one in prompts for template in (one.prompt, one.system) if template is not None]
    mentions = {path[0] for template in templates for path in mentioned(template)}
    mentions |= {one.root for check in contract.checks for one in references(check, names=CHECKED_NAMES)}
    mentions |= {str(rung.path[0]) for rung in (question.rungs if question else ()) if isinstance(rung, Truncate)}
    tries, timeout_s = dict(step.retry.kinds), step.timeout_s or 120.0
    manner = Manner(timeout_s, spec.cache, tries, step.retry.attempts, at_once or step.concurrency, spec.mask)
    hashed = _hash(contract)
    return Asking(
        step.id, client, recorder, manner, question, checker, judge, dict(spec.vars), frozenset(mentions), hashed
    )


def _question(spec: Generate, checker: Checker) -> Question:
    return Question(
        "answer",
        policy_of(spec),
        compile_template(spec.prompt),
        compile_template(spec.system) if spec.system else None,
        dict(spec.params),
        checker,
        spec.contract.schema.value if spec.contract.schema else None,
        spec.shrink,
    )


def _bench(contract: Contract) -> Bench:
    judge = contract.judge
    assert judge is not None
    rubric = judge.rubric
    shows_it = any(path[0] == "output" for path in mentioned(compile_template(rubric)))
    text = rubric.text if shows_it else _with_answer(rubric)
    schema = Schema(judge_schema(), None, rubric.at)
    question = Question(
        "judge",
        Policy(judge.models, JUDGE_ATTEMPTS, max_tokens=_limit(judge)),
        compile_template(Template(f"{text}\n\n{_VERDICT}", rubric.file, rubric.at)),
        None,
        dict(judge.params),
        compile_contract(Contract(schema)),
        schema.value,
    )
    return Bench(question, judge.passes)


def _limit(judge: Judge) -> int | None:
    """The author's own token limit for the judge's answers, which Penstock's does not override."""
    limits = [value for name, value in judge.params if name in LIMITS and isinstance(value, int)]
    return limits[0] if limits else None


_VERDICT = (
    "Judge the answer by these rules alone. Give a score, and for each rule that it breaks the rule, the reason and a "
    'fix, as JSON: {"score": 0, "failures": [{"rule": "", "reason": "", "fix": ""}]}'
)


def _with_answer(rubric: Template) -> str:
    """A rubric that does not say where the answer stands has it at its end."""
    return f"{rubric.text}\n\nThe answer:\n{{{{ output }}}}"


def _hash(contract: Contract) -> bytes:
    judge = contract.judge
    told = {
        "schema": contract.schema.value if contract.schema else None,
        "checks": list(contract.checks),
        "judge": [judge.rubric.text, judge.passes, [model.name for model in judge.models]] if judge else None,
    }
    return hashlib.sha256(canonical(told)).digest()
