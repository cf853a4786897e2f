"""Who may ask: one token for each attempt at a command, which nobody can guess, worth something while that lives."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from penstock.core.calls import Call
from penstock.core.seams import Pass
from penstock.core.work import Passed, Task
from penstock.core.workflow import Step
from penstock.rules.billing import bill_of

TOKEN_BYTES = 24
"""192 bits of the system's own randomness."""
PREFIX = "penstock-"
"""A token tells what it is, and never begins with a dash, which a command would take for an option."""
CLOSING_S = 5.0
"""How long an attempt that has ended waits for calls that nobody reads the answers of: what they cost is charged to it.
They go on after that, and what they bring is kept."""

_KEYS: Mapping[str, str] = {
    "OPENAI_API_KEY": "{token}",
    "ANTHROPIC_API_KEY": "{token}",
    "OLLAMA_HOST": "{address}/{token}",
}
"""Where each client looks for its key. Ollama's looks for none, so the token travels in the path."""

_RIVALS: Mapping[str, str] = {
    "ANTHROPIC_AUTH_TOKEN": "{token}",
    "OLLAMA_API_KEY": "{token}",
    "ANTHROPIC_API_BASE": "{address}",
    "ANTHROPIC_API_URL": "{address}",
    "OLLAMA_API_BASE": "{address}/{token}",
    "ANTHROPIC_CUSTOM_HEADERS": "",
    "OPENAI_CUSTOM_HEADERS": "",
}
"""What some client would take before those, or send beside them: replaced where it is set, and else left unset."""


@dataclass(slots=True, eq=False)
class Holder:
    """An attempt that may ask. `calls` are those that ended, `local`: no model elsewhere may see what it says."""

    step_id: str
    task_number: int
    attempt: int
    local: bool
    timeout_s: float | None = None
    calls: list[Call] = field(default_factory=list)
    model: str | None = None
    exhausted: str | None = None
    flying: set[asyncio.Task[object]] = field(default_factory=set)
    _equal: dict[bytes, int] = field(default_factory=dict)

    def sample(self, key: bytes, again: bool) -> int:
        """How many equal requests this attempt has made before: each has an answer of its own, but for one that its
        client marked as a retry (`again`)."""
        count = self._equal.get(key, 0) + (not again or key not in self._equal)
        self._equal[key] = count
        return count - 1


class Passes:
    """The passes that are worth something now: a `Doorway`."""

    def __init__(self, address: str, environ: Mapping[str, str]) -> None:
        """`address` is `http://127.0.0.1:PORT`; `environ` the environment that commands find otherwise."""
        self._address = address
        self._environ = environ
        self._holders: dict[str, Holder] = {}
        self._variables = {
            "OPENAI_BASE_URL": f"{address}/v1",
            "OPENAI_API_BASE": f"{address}/v1",
            "ANTHROPIC_BASE_URL": address,
            "NO_PROXY": _bypassed(environ.get("NO_PROXY") or environ.get("no_proxy", "")),
            "no_proxy": _bypassed(environ.get("no_proxy") or environ.get("NO_PROXY", "")),
            "PENSTOCK_GATEWAY": address,
        }

    @property
    def variables(self) -> Mapping[str, str]:
        """Where the gateway is, in the words of the clients."""
        return self._variables

    def admit(self, task: Task, step: Step, attempt: int) -> Pass | None:
        """A pass for the attempt; None where the step says `gateway: off`."""
        if not step.gateway:
            return None
        holder = Holder(step.id, task.number, attempt, task.local or step.local, step.timeout_s)
        return self.issue(holder, (*step.secrets, *dict(step.env)))

    def issue(self, holder: Holder, names: Collection[str] = ()) -> IssuedPass:
        """A pass for this holder, who finds these variables in its environment beside those of everybody."""
        token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        self._holders[token] = holder
        rivals = {name: said for name, said in _RIVALS.items() if name in self._environ or name in names}
        said = {**_KEYS, **rivals}
        variables = {name: each.format(address=self._address, token=token) for name, each in said.items()}
        return IssuedPass(self, token, variables)

    def holder(self, token: str) -> Holder | None:
        """Whose token it is; None if it is nobody's, or not any more."""
        return self._holders.get(token)

    async def withdraw(self, token: str) -> Passed:
        """The token is worth nothing any more; what its calls came to."""
        holder = self._holders.pop(token)
        if holder.flying:
            await asyncio.wait(holder.flying, timeout=CLOSING_S)
        if not holder.calls and not holder.flying:
            return Passed(None, holder.exhausted)
        bill = bill_of(holder.calls, holder.model)
        if holder.flying:  # what those will have cost is not known yet
            bill = replace(bill, cost_micros=None, sent=bill.sent + len(holder.flying))
        return Passed(bill, holder.exhausted)


class IssuedPass:
    """A pass as its command gets it."""

    def __init__(self, passes: Passes, token: str, variables: Mapping[str, str]) -> None:
        self._passes = passes
        self.token = token
        self._variables = variables

    @property
    def variables(self) -> Mapping[bytes, bytes]:
        """The token, where each client looks for its key."""
        return {name.encode(): value.encode() for name, value in self._variables.items()}

    async def close(self) -> Passed:
        """The token is worth nothing any more; what its calls came to."""
        return await self._passes.withdraw(self.token)


def _bypassed(listed: str) -> str:
    """What no proxy is asked for: as before, and this machine. A `*` counts only while it stands alone."""
    return listed if listed.strip() == "*" else ",".join(filter(None, (listed, "127.0.0.1,localhost")))
