"""OpenAI's chat completions, and every server that speaks them (Azure, vLLM, llama.cpp, OpenRouter, Groq, Gemini …).

Wire format: https://platform.openai.com/docs/api-reference/chat. The limit of the answer is `max_completion_tokens` at
OpenAI itself, whose reasoning models refuse `max_tokens`, and `max_tokens` elsewhere, which is what older servers know.
A server that refuses the one is asked with the other: once the refused name is among the dropped, `build` says the same
limit under its other name, and only when both are dropped under none. `response_format` may be dropped as well: the
schema is then enforced here alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from penstock.core.calls import Answer, Fault, FaultClass, Finish, Reply, Request, Usage
from penstock.core.canon import Json, sayable
from penstock.models import bodies
from penstock.models.lifting import lift_text
from penstock.models.lowering import OPENAI, lower
from penstock.models.wire import Built, Endpoint, HttpRequest, host_of

BASE_URL = "https://api.openai.com/v1"

_RESERVED = ("model", "messages", "stream", "stream_options")
_FINISHES = {"length": Finish.LENGTH, "max_tokens": Finish.LENGTH, "content_filter": Finish.REFUSED}
_BROKEN = frozenset(("error", "abort", "insufficient_system_resource"))
"""Reasons to finish that tell of a server in trouble: OpenRouter's, vLLM's and SGLang's, DeepSeek's."""

_QUOTA = re.compile(r"insufficient_quota|billing_hard_limit|billing_not_active|access_terminated")
_POLICY = re.compile(r"content_filter|content_policy|invalid_prompt|ResponsibleAI|content management policy")
_SCHEMA = re.compile(r"response_format|json_schema|structured output|guided_json|grammar", re.IGNORECASE)
_LOGPROBS = re.compile(r"\blogprobs\b", re.IGNORECASE)


def endpoint(base_url: str | None, key: str | None) -> Endpoint:
    """OpenAI's own, if no other is named."""
    return Endpoint((base_url or BASE_URL).rstrip("/"), key)


def build(request: Request, endpoint: Endpoint, dropped: frozenset[str]) -> Built:
    """A chat completion, with the schema as a strict `response_format` where the subset can say it.

    A schema that it cannot say is sent as it is with `strict: false`: a hint to OpenAI, and held to in full by servers
    that make a grammar of it.
    """
    body: dict[str, Json] = {
        "model": request.model.served,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
    }
    said: tuple[str, ...] = ()
    if request.schema is not None and "response_format" not in dropped:
        form, said = _response_format(request.schema)
        body |= form
    most = bodies.limit(request)
    names = [name for name in _limit_names(request, endpoint) if name not in dropped]
    if most is not None and names:
        body[names[0]] = most
    body |= bodies.wanted(request, _RESERVED, dropped)
    return Built(HttpRequest(_address(endpoint.url), _headers(endpoint), bodies.encode(body)), said)


def parse(request: Request, answer: Answer) -> Reply | Fault:
    """The first choice. A refusal's text is what the model said in place of an answer."""
    body = bodies.decode(answer.body)
    whole = bodies.fields(body)
    choices = bodies.elements(whole.get("choices"))
    choice = bodies.fields(choices[0]) if choices else {}
    if answer.status >= 300 or whole.get("error") or choice.get("error"):
        return _fault(request, answer, choice if choice.get("error") else body)
    if not choice:
        return bodies.unreadable(answer)
    finish = choice.get("finish_reason")
    message = choice.get("message")
    if finish in _BROKEN or not isinstance(message, dict):
        return bodies.unreadable(answer, f"ended with {finish}" if finish in _BROKEN else "has no message")
    refusal = message.get("refusal")
    served = whole.get("model")
    return Reply(
        text=sayable(refusal) if isinstance(refusal, str) and refusal else _text(request, message),
        finish=Finish.REFUSED if refusal else _FINISHES.get(str(finish), Finish.STOP),
        usage=_usage(whole.get("usage")),
        served=served if isinstance(served, str) and served else request.model.served,
        logprob=bodies.mean_logprob(bodies.fields(choice.get("logprobs")).get("content")),
    )


def _response_format(schema: Json) -> tuple[dict[str, Json], tuple[str, ...]]:
    lowered = lower(schema, OPENAI)
    if lowered.schema is None and not (isinstance(schema, dict) and schema.get("type") == "object"):
        return {}, lowered.said  # OpenAI refuses a root that is no object, strict or not
    strict = lowered.schema is not None
    named = {"name": "answer", "schema": lowered.encoded if strict else schema, "strict": strict}
    return {"response_format": {"type": "json_schema", "json_schema": named}}, lowered.said


def _limit_names(request: Request, endpoint: Endpoint) -> tuple[str, str]:
    newer = host_of(endpoint.url) == "api.openai.com" or "max_completion_tokens" in request.params
    return ("max_completion_tokens", "max_tokens") if newer else ("max_tokens", "max_completion_tokens")


def _address(base: str) -> str:
    """The base with the method's path before its query (Azure's `?api-version=`)."""
    path, mark, query = base.partition("?")
    return f"{path.rstrip('/')}/chat/completions{mark}{query}"


def _headers(endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    """The credential as Azure wants it, or as all others do."""
    plain = (("accept", "application/json"), ("content-type", "application/json"))
    if endpoint.key is None:
        return plain
    if host_of(endpoint.url).endswith(".azure.com"):
        return (*plain, ("api-key", endpoint.key))
    return (*plain, ("authorization", f"Bearer {endpoint.key}"))


def _text(request: Request, message: Mapping[str, Json]) -> str:
    """The content; of a model that called a tool unasked, the tool's arguments."""
    content = message.get("content")
    parts = [bodies.fields(part).get("text") for part in bodies.elements(content)]
    text = content if isinstance(content, str) else "".join(part for part in parts if isinstance(part, str))
    if not text:
        calls = [bodies.fields(call) for call in bodies.elements(message.get("tool_calls"))]
        calls += [{"function": message.get("function_call")}]
        text = bodies.written(bodies.fields(calls[0].get("function")).get("arguments", ""))
    text = sayable(text)
    return lift_text(text, request.schema) if request.schema is not None and _is_nullable(request.schema) else text


def _is_nullable(schema: Json) -> bool:
    return lower(schema, OPENAI).nullable


def _usage(value: Json) -> Usage | None:
    usage = bodies.fields(value)
    read, wrote = bodies.count(usage.get("prompt_tokens")), bodies.count(usage.get("completion_tokens"))
    if read is None or wrote is None:
        return None
    details = bodies.fields(usage.get("prompt_tokens_details"))
    cached = bodies.count(details.get("cached_tokens")) or bodies.count(usage.get("prompt_cache_hit_tokens")) or 0
    stored = bodies.count(details.get("cache_write_tokens")) or 0
    return Usage(read, wrote, min(cached, read), min(stored, read - min(cached, read)))


def _fault(request: Request, answer: Answer, body: Json) -> Reply | Fault:
    said = bodies.complaint(answer, body)
    if bodies.overflows(said):
        return bodies.fault(answer, said, FaultClass.OVERFLOW)
    if said.status == 429 and _QUOTA.search(said.code):
        return bodies.fault(answer, said, FaultClass.DENIED)
    if said.status in (400, 403, 422) and "logprobs" in request.params and _LOGPROBS.search(said.message):
        return bodies.fault(answer, said, param="logprobs")  # reasoning models have none; each server says it its way
    if said.status not in (400, 422):
        return bodies.fault(answer, said)
    if _POLICY.search(f"{said.code} {said.message}"):
        return bodies.fault(answer, said, FaultClass.REFUSED)
    failed = bodies.fields(bodies.fields(body).get("error")).get("failed_generation")
    if isinstance(failed, str):  # Groq tells of an answer that broke the schema in this way: the loop re-asks
        return Reply(sayable(failed), Finish.STOP, None, request.model.served)
    return bodies.fault(answer, said, param=_param(request, said))


def _param(request: Request, said: bodies.Complaint) -> str | None:
    if request.schema is not None and _SCHEMA.search(f"{said.param} {said.message}"):
        return "response_format"
    limits = ("max_tokens", "max_completion_tokens") if bodies.limit(request) is not None else ()
    return bodies.blamed(said, (*bodies.wanted(request, _RESERVED, ()), *limits))
