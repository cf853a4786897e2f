"""Ollama's own `/api/chat`: https://docs.ollama.com/api/chat.

A prompt that is longer than the window (`num_ctx`) is cut without a word, unless `truncate: false` is sent, which
makes it a 400 (Ollama 0.12.6 and later); `shift: false` does the same for an answer that would push the prompt out.
Servers before that ignore both, so their counts are looked at as well, see `_is_cut`. An author who sends
`truncate: true` wants the prompt cut, and gets it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from penstock.core.calls import Answer, Fault, FaultClass, Finish, Reply, Request, Usage
from penstock.core.canon import Json, sayable
from penstock.models import bodies
from penstock.models.wire import Built, Endpoint, HttpRequest

BASE_URL = "http://127.0.0.1:11434"
PORT = 11434

_RESERVED = ("model", "messages", "stream", "options")
_TOP = frozenset(("format", "keep_alive", "think", "truncate", "shift", "tools", "logprobs", "top_logprobs"))
"""Parameters of the request itself; all others are options of the model."""

_FORMAT = re.compile(r"\bformat\b|grammar|json schema", re.IGNORECASE)
_THINK = re.compile(r"does not support thinking|think value", re.IGNORECASE)
_TOO_LARGE = re.compile(r"requires more system memory", re.IGNORECASE)
_WINDOWS = tuple(2**power for power in range(11, 19))


def endpoint(base_url: str | None, key: str | None) -> Endpoint:
    """This machine's, if no other is named. A host without a scheme is http, and without a port then 11434."""
    url = (base_url or BASE_URL).strip().rstrip("/").removesuffix("/api").removesuffix("/v1")
    if "://" not in url:
        host, slash, path = url.partition("/")
        port = "" if re.search(r":\d+$", host) else f":{PORT}"
        url = f"http://{host}{port}{slash}{path}"
    return Endpoint(re.sub(r"//(?:0\.0\.0\.0)?(?=[:/]|$)", "//127.0.0.1", url), key)


def build(request: Request, endpoint: Endpoint, dropped: frozenset[str]) -> Built:
    """A chat that is not streamed. The whole schema is the `format`: Ollama makes of it what it can."""
    wanted = bodies.wanted(request, _RESERVED, dropped)
    top = {name: value for name, value in wanted.items() if name in _TOP}
    options = _options(request, dropped)
    body: dict[str, Json] = {
        "model": request.model.served,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "stream": False,
        **{name: False for name in ("truncate", "shift") if name not in dropped},
        **({"format": request.schema} if request.schema is not None and "format" not in dropped else {}),
        **({"options": options} if options else {}),
        **top,
    }
    headers: tuple[tuple[str, str], ...] = (("accept", "application/json"), ("content-type", "application/json"))
    if endpoint.key is not None:
        headers = (*headers, ("authorization", f"Bearer {endpoint.key}"))
    return Built(HttpRequest(f"{endpoint.url}/api/chat", headers, bodies.encode(body)))


def parse(request: Request, answer: Answer) -> Reply | Fault:
    """The message. A prompt that was cut, or a window that is full, is an overflow though the status is 200."""
    body = bodies.decode(answer.body)
    whole = bodies.fields(body)
    if answer.status >= 300 or "error" in whole:
        return _fault(request, answer, body)
    message = whole.get("message")
    if not isinstance(message, dict) or whole.get("done") is False:
        return bodies.unreadable(answer, "is not whole" if isinstance(message, dict) else "has no message")
    read, wrote = bodies.count(whole.get("prompt_eval_count")), bodies.count(whole.get("eval_count"))
    cut_short = whole.get("done_reason") == "length"
    why = _is_cut(request, read) or _is_full(request, read, wrote, cut_short)
    usage = None if read is None or wrote is None else Usage(read, wrote)
    if why:
        return Fault(FaultClass.OVERFLOW, why, status=answer.status, billed=True, usage=usage)
    served = whole.get("model")
    return Reply(
        text=_text(message),
        finish=Finish.LENGTH if cut_short else Finish.STOP,
        usage=usage,
        served=served if isinstance(served, str) and served else request.model.served,
        logprob=bodies.mean_logprob(whole.get("logprobs")),
    )


def _options(request: Request, dropped: frozenset[str]) -> dict[str, Json]:
    given = bodies.fields(request.params.get("options"))
    loose = bodies.wanted(request, (*_RESERVED, *_TOP), dropped)
    options = {**given, **loose}
    if isinstance(options.get("stop"), str):
        options["stop"] = [options["stop"]]
    most = bodies.limit(request)
    if most is not None and "num_predict" not in dropped:
        options["num_predict"] = most
    return dict(sorted((name, value) for name, value in options.items() if name not in dropped))


def _is_cut(request: Request, read: int | None) -> str | None:
    """A sentence if the prompt was cut, None if there is no sign of it.

    A cut prompt counts as the whole window (Ollama to 0.12) or half of it and a few tokens (since). So a count has to
    look like one of these, and be less than the user's words as well: every tokeniser in use spends at least one
    token on a word between spaces, so a prompt that was read whole counts no fewer tokens than words, and no good
    answer is accused. The words of system messages and earlier answers are left out, since some models' templates
    drop them. Old servers leave a cached prefix out of the count, or leave out the count: a count that is low for that
    reason does not look like a window. Beside `num_ctx`, where the author sets it, the windows that servers choose by
    themselves are tried: 2,048 to 262,144.
    """
    if read is None or request.params.get("truncate") is True:
        return None
    window = _window(request)
    if window is not None and read >= window:
        return f"Ollama cut the prompt to its window of {window} tokens (num_ctx)."
    words = sum(len(message.content.split()) for message in request.messages if message.role == "user")
    for size in _WINDOWS if window is None else (*_WINDOWS, window):
        if read < words and (size - 2 <= read <= size or size // 2 <= read <= size // 2 + 8):
            return f"Ollama cut the prompt: it read {read} tokens of at least {words}; a larger num_ctx may help."
    return None


def _is_full(request: Request, read: int | None, wrote: int | None, cut_short: bool) -> str | None:
    """A sentence if the answer filled the window: its limit did not end it, or it has pushed out the prompt."""
    window = _window(request)
    if window is None or read is None or wrote is None or request.params.get("shift") is True:
        return None
    most = bodies.count(bodies.limit(request))
    filled = cut_short and read + wrote >= window - 1 and (most is None or wrote < most)
    if not filled and read + wrote <= window + 1:
        return None
    return f"Prompt ({read} tokens) and answer ({wrote}) fill Ollama's window of {window} tokens (num_ctx)."


def _window(request: Request) -> int | None:
    """The window that the author asks for; None where nobody does, or for a cloud model, which has its own."""
    if request.model.served.endswith("cloud"):
        return None
    given = bodies.fields(request.params.get("options")).get("num_ctx")
    return bodies.count(request.params.get("num_ctx", given)) or None


def _text(message: Mapping[str, Json]) -> str:
    content = message.get("content")
    if isinstance(content, str) and content:
        return sayable(content)
    calls = [bodies.fields(call) for call in bodies.elements(message.get("tool_calls"))]
    used = bodies.fields(calls[0].get("function")).get("arguments", "") if calls else ""
    return bodies.written(used)


def _fault(request: Request, answer: Answer, body: Json) -> Fault:
    said = bodies.complaint(answer, body)
    if bodies.overflows(said):
        return bodies.fault(answer, said, FaultClass.OVERFLOW)
    if _TOO_LARGE.search(said.message):
        return bodies.fault(answer, said, FaultClass.DENIED)
    if said.status == 404 and "model" in said.message:
        help = f"{said.message.rstrip('.')}. Run: ollama pull {request.model.served}"
        return bodies.fault(answer, bodies.Complaint(said.status, help, said.code), FaultClass.DENIED)
    if _THINK.search(said.message) and "think" in request.params:
        return bodies.fault(answer, said, FaultClass.DENIED, "think")
    if _FORMAT.search(said.message) and request.schema is not None:
        return bodies.fault(answer, said, FaultClass.DENIED, "format")
    param = bodies.blamed(said, bodies.wanted(request, _RESERVED, ())) if said.status == 400 else None
    return bodies.fault(answer, said, param=param)
