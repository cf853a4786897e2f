"""A model step, ready to be carried out: its templates and its contract compiled, its models and the client at hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from penstock.core.calls import FaultClass
from penstock.core.canon import Json, canonical
from penstock.core.generation import Contract, Generate, Judge, Rule, Rung, Schema, Template, Truncate, Verify
from penstock.core.models import Model
from penstock.core.routing import Route
from penstock.core.seams import CallRecorder
from penstock.core.work import Verdict
from penstock.core.workflow import Step
from penstock.models.bodies import LIMITS
from penstock.models.client import Client, Manner
from penstock.rules.conditions import references
from penstock.rules.contract import Checker, compile_contract, judge_schema
from penstock.rules.placement import is_local, told_elsewhere
from penstock.rules.prompts import Prompt, compile_template, mentioned
from penstock.rules.repair import Policy, Stop, policy_of
from penstock.rules.routing import ROUTED_NAMES

CHECKED_NAMES = frozenset({"item", "i", "key", "origin", "chain", "env", "outputs", "run", "output"})
DOUBTED_NAMES = CHECKED_NAMES | {"signals"}
JUDGE_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Home:
    """What may be tried where no model elsewhere may see the item: None if all are `elsewhere`, which says why."""

    policy: Policy | None
    elsewhere: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is put to models until an answer will do: the templates, the contract, and what may be tried.

    `schema` is what the server is asked to hold to, None for free text. `accept_when` is asked about an answer that
    meets the contract as long as another model is left; with `logprobs` servers are asked how likely it was.
    """

    purpose: str
    policy: Policy
    home: Home
    prompt: Prompt
    system: Prompt | None
    params: Mapping[str, Json]
    checker: Checker
    schema: Json | None
    rungs: tuple[Rung, ...] = ()
    accept_when: str | None = None
    logprobs: bool = False


@dataclass(frozen=True, slots=True)
class Bench:
    """The judge of a contract: the question that is put to it, and when its verdict lets an answer pass."""

    question: Question
    passes: str


@dataclass(frozen=True, slots=True)
class Asking:
    """One model step. `question` is None for `verify`, which asks for no answer. `roots` are the names that
    templates and conditions mention; `contract` is the contract's hash, under which verdicts are kept. With `rules`
    each of `routed` is what the rule of its place asks, and `question` stands for all of them together."""

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
    rules: tuple[Rule, ...] = ()
    routed: tuple[Question, ...] = ()


def prepare_asking(step: Step, client: Client, recorder: CallRecorder, at_once: int | None = None) -> Asking:
    """The step with everything compiled. Its texts were checked when the file was loaded.

    `at_once` is how many requests somebody wants in flight; None lets the servers' answers decide.
    """
    spec = step.spec if isinstance(step.spec, Verify) else step.question
    assert spec is not None
    contract = spec.contract
    checker = compile_contract(contract)
    rules = spec.rules if isinstance(spec, Generate) else ()
    purpose = "route" if isinstance(step.spec, Route) else "answer"
    question = _question(spec, checker, client, purpose) if isinstance(spec, Generate) else None
    routed = tuple(_question(_ruled(spec, rule), checker, client) for rule in rules if isinstance(spec, Generate))
    judge = _bench(contract.judge, client) if contract.judge is not None else None
    tries, timeout_s = dict(step.retry.kinds), step.timeout_s or 120.0
    manner = Manner(timeout_s, spec.cache, tries, step.retry.attempts, at_once or step.concurrency, spec.mask)
    return Asking(
        step_id=step.id,
        client=client,
        recorder=recorder,
        manner=manner,
        question=question,
        checker=checker,
        judge=judge,
        vars=dict(spec.vars),
        roots=_roots(spec, routed or (question,), judge),
        contract=_hash(contract),
        rules=rules,
        routed=routed,
    )


def placed(question: Question, local: bool) -> Question | Stop:
    """The question for those who may see the item: with `local`, for no model elsewhere. A Stop that names the models
    if there is none; nothing was asked then."""
    if not local:
        return question
    if question.home.policy is None:
        return Stop(Verdict.FAILED, FaultClass.DENIED, _NOBODY[question.purpose] + question.home.elsewhere)
    return replace(question, policy=question.home.policy)


def seated(judge: Bench | None, local: bool) -> Bench | Stop | None:
    """The judge likewise, None where a contract has none."""
    if judge is None:
        return None
    question = placed(judge.question, local)
    return question if isinstance(question, Stop) else replace(judge, question=question)


_NOBODY = {
    "answer": "the item is `placement: local`, and every model that may be asked is elsewhere: ",
    "route": "the item is `placement: local`, and every model that may choose its branch is elsewhere: ",
    "judge": "the item is `placement: local`, and every judge that may be asked is elsewhere: ",
}


def _ruled(spec: Generate, rule: Rule) -> Generate:
    """The step as the rule would have it."""
    own = replace(spec, models=rule.models, prompt=rule.prompt, system=rule.system, params=rule.params)
    return replace(own, rules=())


def _question(spec: Generate, checker: Checker, client: Client, purpose: str = "answer") -> Question:
    return Question(
        purpose,
        policy_of(spec),
        _home(spec.models, spec.forced, policy_of(spec), client),
        compile_template(spec.prompt),
        compile_template(spec.system) if spec.system else None,
        dict(spec.params),
        checker,
        spec.contract.schema.value if spec.contract.schema else None,
        spec.shrink,
        spec.accept_when,
        _asks_logprobs(spec.accept_when),
    )


def _bench(judge: Judge, client: Client) -> Bench:
    rubric = judge.rubric
    shows_it = any(path[0] == "output" for path in mentioned(compile_template(rubric)))
    text = rubric.text if shows_it else _with_answer(rubric)
    schema = Schema(judge_schema(), None, rubric.at)
    policy = Policy(_judges(judge), JUDGE_ATTEMPTS, max_tokens=_limit(judge))
    question = Question(
        "judge",
        policy,
        _home(judge.models, judge.forced, policy, client),
        compile_template(Template(f"{text}\n\n{_VERDICT}", rubric.file, rubric.at)),
        None,
        dict(judge.params),
        compile_contract(Contract(schema)),
        schema.value,
    )
    return Bench(question, judge.passes)


def _judges(judge: Judge) -> tuple[Model, ...]:
    return (judge.forced,) if judge.forced is not None else judge.models


def _home(models: tuple[Model, ...], forced: Model | None, policy: Policy, client: Client) -> Home:
    """The policy of those that are here. A forced model that is elsewhere is no choice: then it is the step's own."""
    if forced is not None and is_local(forced, client.address(forced)):
        return Home(policy, "")
    here = tuple(model for model in models if is_local(model, client.address(model)))
    return Home(replace(policy, models=here) if here else None, told_elsewhere(models, client.address))


def _asks_logprobs(accept_when: str | None) -> bool:
    if accept_when is None:
        return False
    found = references(accept_when, names=DOUBTED_NAMES)
    return any(one.root == "signals" and one.path[:1] in ((), ("logprob",)) for one in found)


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


def _roots(spec: Generate | Verify, asked: Iterable[Question | None], judge: Bench | None) -> frozenset[str]:
    """The names that templates, checks, rules and `accept_when` mention."""
    prompts = [one for one in (*asked, judge.question if judge else None) if one is not None]
    templates = [template for one in prompts for template in (one.prompt, one.system) if template is not None]
    found = {path[0] for template in templates for path in mentioned(template)}
    found |= {str(rung.path[0]) for one in prompts for rung in one.rungs if isinstance(rung, Truncate)}
    found |= {one.root for check in spec.contract.checks for one in references(check, names=CHECKED_NAMES)}
    if isinstance(spec, Generate):
        conditions = [rule.when for rule in spec.rules if rule.when is not None]
        found |= {one.root for when in conditions for one in references(when, names=ROUTED_NAMES)}
        if spec.accept_when is not None:
            found |= {one.root for one in references(spec.accept_when, names=DOUBTED_NAMES)}
    return frozenset(found)


def _hash(contract: Contract) -> bytes:
    judge = contract.judge
    told = {
        "schema": contract.schema.value if contract.schema else None,
        "checks": list(contract.checks),
        "judge": [judge.rubric.text, judge.passes, [model.name for model in _judges(judge)]] if judge else None,
    }
    return hashlib.sha256(canonical(told)).digest()
