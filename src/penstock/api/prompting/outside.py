"""`penstock call` outside a run: a run of its own with one task, which asks as a model step would."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from penstock.api.alone import Done, Post, carry, surroundings
from penstock.api.calling import voice
from penstock.api.naming import CALL
from penstock.api.prompting.prompt import Answered, Prompt, held_to
from penstock.core.calls import Call, Fault, FaultClass, Finish, Reply, Request
from penstock.core.errors import OperatorError
from penstock.core.models import Model
from penstock.core.seams import Listener
from penstock.core.views import Options
from penstock.core.work import Form, Record, Verdict
from penstock.gateway.upstreams import Upstreams
from penstock.load.forced import model_named
from penstock.models.adapters import ADAPTERS
from penstock.models.bodies import LIMITS
from penstock.models.budget import Exhausted
from penstock.models.client import Asked, Client, Manner, Whose
from penstock.rules.billing import bill_of
from penstock.rules.hosts import refused_host
from penstock.rules.worst_case import Unbounded

TIMEOUT_S = 120.0
_HELP = "set the key in the environment or in `.env`, add the host to `allow_hosts`, or name another model"
_TRIED_NEXT = frozenset({FaultClass.TRANSPORT, FaultClass.DENIED, FaultClass.REFUSED, FaultClass.OVERFLOW})


def ask_outside(prompt: Prompt, listener: Listener) -> Answered:
    """The answer; OperatorError where there is none. Either way the run that it was asked in has ended."""
    workflow = surroundings(None)
    several = dict(workflow.cascades).get(prompt.model, (prompt.model,))
    models = tuple(model_named(workflow, name, "--model") for name in several)
    known = tuple(dict.fromkeys((*workflow.models, *models)))
    asking = _Asking(prompt, models)
    view = carry(CALL, replace(workflow, models=known), Options(), listener, asking.work)
    if asking.answered is None:
        raise asking.error or OperatorError(f"run {view.id} ended before there was an answer")
    return asking.answered


@dataclass(slots=True)
class _Asking:
    """Asks one model after the other. What came of it is in `answered`, or in `error`."""

    prompt: Prompt
    models: tuple[Model, ...]
    answered: Answered | None = None
    error: OperatorError | None = None
    calls: list[Call] = field(default_factory=list)

    async def work(self, post: Post) -> Done:
        """The one task of the run."""
        async with voice(post.site, post.upstreams.endpoints) as spoken:
            try:
                reply, model = await self._reply(post, spoken.client, "use")
                if self._is_old_and_unfit(reply):
                    reply, model = await self._reply(post, spoken.client, "refresh")
            except (Exhausted, Unbounded, _Unanswered) as error:
                self.error = OperatorError(str(error), error.help)
                return Done(Verdict.FAILED, str(error), bill_of(self.calls, None), "call")
        masker = post.site.journal.database.masker
        reply = replace(reply, text=masker.restored(reply.text)) if masker else reply
        bill = bill_of(self.calls, reply.served if model.provider == "sim" else model.name)
        try:
            text = held_to(self.prompt, reply)
        except OperatorError as error:
            self.error = error
            return Done(Verdict.REJECTED, str(error).partition("\n")[0], bill)
        cached = not bill.sent
        cut = reply.finish is Finish.LENGTH
        self.answered = Answered(text, reply.served, bill.cost_micros, bill.tokens_in, bill.tokens_out, cached, cut)
        record = Record(Form.TEXT if self.prompt.schema is None else Form.JSON, text.encode("utf-8", "replace"))
        return Done(Verdict.ACCEPTED, bill=bill, record=record)

    def _is_old_and_unfit(self, reply: Reply) -> bool:
        """Whether it was bought for another schema, and does not meet this one."""
        if self.prompt.schema is None or not self.calls or not self.calls[-1].cached:
            return False
        try:
            held_to(self.prompt, reply)
        except OperatorError:
            return True
        return False

    async def _reply(self, post: Post, client: Client, cache: str) -> tuple[Reply, Model]:
        """The first reply, and whose it is. _Unanswered if nobody gives one."""
        there = post.upstreams
        why, help, models = "", None, self.models if there.forced is None else (there.forced,)
        for attempt, named in enumerate(models, 1):
            lack = _lack(named, there)
            if lack is not None:
                why, help = lack, _HELP
                continue
            model = _where_it_is(named, there)
            asked = await self._asked(post, client, model, attempt, cache)
            self.calls += asked.calls
            result = asked.result
            if isinstance(result, Reply) and (result.finish is not Finish.REFUSED or attempt == len(models)):
                return result, model
            why, help = f"{model.name}: {result.message if isinstance(result, Fault) else 'it refused'}", None
            if isinstance(result, Fault) and result.cls not in _TRIED_NEXT:
                break
        raise _Unanswered(why, help)

    async def _asked(self, post: Post, client: Client, model: Model, attempt: int, cache: str) -> Asked:
        params, schema = dict(self.prompt.params), self.prompt.schema
        limit = None if any(name in params for name in LIMITS) else model.max_tokens
        request = Request(model, self.prompt.messages, params, schema.value if schema else None, limit)
        whose = Whose(post.task_number, attempt, step_id=CALL)
        return await client.ask(request, whose, Manner(TIMEOUT_S, cache), post.upstreams.endpoint(model))


class _Unanswered(OperatorError):
    """No model gave an answer."""


def _lack(model: Model, there: Upstreams) -> str | None:
    """Why the model cannot be asked; None if it can."""
    lack = there.lack(model)
    if lack is not None:
        return f"{model.name} cannot be asked: {lack}"
    refused = refused_host(there.allow_hosts, there.endpoint(model).url)
    return None if refused is None else f"{model.name} cannot be asked: `allow_hosts` does not list {refused}"


def _where_it_is(model: Model, there: Upstreams) -> Model:
    """The model with its server's address where that is not the provider's own: prices are public only for that."""
    url = there.endpoint(model).url
    if model.base_url is not None or url == ADAPTERS[model.provider].endpoint(None, None).url:
        return model
    return replace(model, base_url=url)
