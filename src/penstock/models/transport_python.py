"""Functions of the user's as models: `python:pkg.module:function`.

The function is called with one argument, the request as models/python.py builds it: `{"model", "messages", "params",
"schema"}`. A plain function runs in a thread of its own, a coroutine function in the event loop. It may return

- a text, which is the answer;
- an object with `text` and `usage` (and, if it likes, `finish`, `served`, `logprob`) and nothing else: the answer with
  what it used, `{"input_tokens", "output_tokens"}` and perhaps `cache_read_tokens` and `cache_write_tokens`, or null;
- any other object or list, whose JSON is the answer.

Whatever it raises is a denied fault: a mistake in a program is there at the next try too. It may have cost something.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock.core.calls import Fault, FaultClass, TransportKind

_ANSWER_FIELDS = frozenset({"text", "usage", "finish", "served", "logprob"})
_TOKENS = ("input_tokens", "output_tokens")

Function = Callable[[object], Any]


class Functions:
    """The functions that were asked for, each imported once. To be used inside one event loop."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._loading: dict[str, asyncio.Future[Function | Fault]] = {}

    async def call(self, name: str, body: bytes, timeout_s: float) -> bytes | Fault:
        """The JSON response of models/python.py from the function `pkg.module:function`, or why there is none.

        A function that is too slow is left to itself: a thread cannot be stopped.
        """
        try:
            return await asyncio.wait_for(self._call(name, body), timeout_s)
        except asyncio.TimeoutError:
            message = f"python/{name} gave no answer within {timeout_s:g} s"
            return Fault(FaultClass.TRANSPORT, message, TransportKind.TIMEOUT, billed=True)

    async def _call(self, name: str, body: bytes) -> bytes | Fault:
        if name not in self._loading:
            self._loading[name] = _in_thread(lambda: function_of(name, self._folder))
        function = await asyncio.shield(self._loading[name])
        if isinstance(function, Fault):
            return function
        asked = json.loads(body)
        if inspect.iscoroutinefunction(function):
            returned = await _awaited(name, function, asked)
        else:
            returned = await _in_thread(lambda: _called(name, function, asked))
        if inspect.isawaitable(returned):  # from an object whose `__call__` is a coroutine function
            begun = returned
            returned = await _awaited(name, lambda _: begun, asked)
        return returned if isinstance(returned, Fault) else _response(name, returned)


def function_of(name: str, folder: Path | None) -> Function | Fault:
    """The function `pkg.module:function`, or why there is none. Its module is imported now, if it was not before."""
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        return Fault(FaultClass.DENIED, f"python/{name} names no function: write python/pkg.module:function")
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))  # last, so that a file there cannot hide a module that we need
    try:
        found: Any = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a user's module may raise anything, SystemExit included
        advice = f"put it beside the workflow file, or install it for {sys.executable}"
        advice = advice if isinstance(error, ModuleNotFoundError) else "try to import it in Python"
        return Fault(FaultClass.DENIED, f"the module {module_name} cannot be imported: {_told(error)}; {advice}")
    for part in path.split("."):
        if not hasattr(found, part):
            return Fault(FaultClass.DENIED, f"the module {module_name} has no {path}")
        found = getattr(found, part)
    return found if callable(found) else Fault(FaultClass.DENIED, f"{path} in {module_name} cannot be called")


def _in_thread(work: Callable[[], Any]) -> asyncio.Future[Any]:
    """What the work will return, which must not raise.

    A daemon thread each: those of asyncio's pool are few (cores + 4), and a function that hangs in one of them would
    keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(value: object) -> None:
        if not future.done():
            future.set_result(value)

    def run() -> None:
        value = work()
        with contextlib.suppress(RuntimeError):  # the loop has ended without us
            loop.call_soon_threadsafe(settle, value)

    threading.Thread(target=run, name="penstock-python-model", daemon=True).start()
    return future


def _called(name: str, function: Function, asked: object) -> object:
    try:
        return function(asked)
    except BaseException as error:  # noqa: BLE001 - a user's function may raise anything, SystemExit included
        return _raised(name, error)


async def _awaited(name: str, function: Function, asked: object) -> object:
    try:
        return await function(asked)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as above; a cancellation is ours
        return _raised(name, error)


def _raised(name: str, error: BaseException) -> Fault:
    return Fault(FaultClass.DENIED, f"python/{name} raised {_told(error)}", billed=True)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _response(name: str, returned: object) -> bytes | Fault:
    """The response that models/python.py reads."""
    if isinstance(returned, dict) and {"text", "usage"} <= returned.keys() <= _ANSWER_FIELDS:
        response = returned
        if not _is_usage(returned["usage"]):
            message = f"python/{name} returned a `usage` that is not {{input_tokens, output_tokens}} in whole numbers"
            return Fault(FaultClass.DENIED, message, billed=True)
    elif isinstance(returned, (str, dict, list, tuple)):
        response = {"text": returned}
    else:
        message = f"python/{name} returned {type(returned).__name__}, and a text, an object or a list was expected"
        return Fault(FaultClass.DENIED, message, billed=True)
    try:
        text = json.dumps(response, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        return Fault(FaultClass.DENIED, f"what python/{name} returned is no JSON: {error}", billed=True)
    return text.encode("utf-8", "backslashreplace")


def _is_usage(usage: object) -> bool:
    if not isinstance(usage, dict):
        return usage is None
    return all(type(usage.get(field)) is int and usage[field] >= 0 for field in _TOKENS)
