"""`penstock call` inside a run: through the run's gateway, over plain HTTP.

Nothing of the journal is touched here and as little as possible is imported: a script may call a thousand times.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from penstock.api.prompting.prompt import Answered, Prompt, held_to
from penstock.core.calls import Answer, Fault, Finish, Reply, Request
from penstock.core.errors import OperatorError
from penstock.core.models import Model

if TYPE_CHECKING:
    from penstock.models.wire import HttpRequest

_PROVIDERS = ("openai", "anthropic", "ollama")


def ask_inside(prompt: Prompt, gateway: str, token: str) -> Answered:
    """The answer, asked for in the provider's own words, so that the gateway need not translate; a name of `models` in
    OpenAI's. OperatorError where there is none. `gateway` is an address without a slash at its end."""
    provider, _, served = prompt.model.partition("/")
    if provider not in _PROVIDERS or not served:
        provider, served = "openai", prompt.model
    adapter = import_module(f"penstock.models.{provider}")
    base = {"openai": f"{gateway}/v1", "anthropic": gateway, "ollama": f"{gateway}/{token}"}[provider]
    schema = prompt.schema.value if prompt.schema else None
    request = Request(Model(prompt.model, provider, served), prompt.messages, dict(prompt.params), schema)
    answer = _posted(adapter.build(request, adapter.endpoint(base, token), frozenset()).http, gateway)
    result: Reply | Fault = adapter.parse(request, answer)
    if isinstance(result, Fault):
        raise OperatorError(result.message)
    told = dict(answer.headers).get("x-penstock-cache")
    cached = None if told is None else told == "hit"
    usage = result.usage
    return Answered(
        held_to(prompt, result),
        result.served,
        0 if cached else None,
        usage.input_tokens if usage else None,
        usage.output_tokens if usage else None,
        cached,
        result.finish is Finish.LENGTH,
    )


def _posted(http: HttpRequest, gateway: str) -> Answer:
    """The gateway's response, however long it takes: it knows the limits itself."""
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(http.url)
        connection = HTTPConnection(parts.hostname or "", parts.port)
        connection.request(http.method, parts.path, http.body, dict(http.headers))
        response = connection.getresponse()
        headers = tuple((name.lower(), value) for name, value in response.getheaders())
        return Answer(response.status, headers, response.read(), 0.0, 0.0)
    except (OSError, HTTPException, ValueError) as error:
        raise OperatorError(
            f"the gateway at {gateway} (PENSTOCK_GATEWAY) does not answer: {error or type(error).__name__}",
            "it lives as long as its run does: outside a run, unset PENSTOCK_GATEWAY",
        ) from error
