"""The events of one of Anthropic's streams, put together to the message that they tell of."""

from __future__ import annotations

from penstock.core.calls import Answer
from penstock.core.canon import Json
from penstock.gateway.protocols import hearing
from penstock.gateway.protocols.shape import Heard, Inbound
from penstock.gateway.streams import Event, Passing, events, read_event
from penstock.models import anthropic as adapter
from penstock.models import bodies


class AnthropicStream:
    """One stream as it passes. What is added to each block is kept in pieces, by the block's index."""

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound
        self._passing = Passing(events(), read_event, self._told)
        self._blocks: dict[int, dict[str, Json]] = {}
        self._added: dict[int, list[str]] = {}
        self._model: Json = None
        self._usage: dict[str, int] = {}
        self._settled = False
        self._stop: Json = None
        self._error: Json = None
        self._complete = False

    def feed(self, chunk: bytes) -> bytes:
        """Takes the next bytes; what of them the client is to have now: all."""
        return self._passing.feed(chunk)

    def end(self) -> bytes:
        """What the client is still to have."""
        return self._passing.end()

    def heard(self, answer: Answer) -> Heard:
        """The message as far as it has come. Its usage counts once `message_delta` has told what was written."""
        if self._error is not None:
            whole: dict[str, Json] = {"type": "error", "error": self._error}
        else:
            usage = self._usage if self._settled else None
            content = [self._block(at) for at in sorted(self._blocks)]
            whole = {"type": "message", "model": self._model, "content": content}
            whole |= {"stop_reason": self._stop, "usage": usage}
        return hearing.hear_told(adapter, self._inbound, answer, "anthropic", whole, self._complete, bool(self._blocks))

    def _told(self, event: Event) -> bool:
        data = bodies.fields(event.data)
        at = bodies.count(data.get("index")) or 0
        match data.get("type"):
            case "message_start":
                message = bodies.fields(data.get("message"))
                self._model = message.get("model")
                self._use(message.get("usage"))
            case "content_block_start":
                self._blocks[at] = bodies.fields(data.get("content_block"))
            case "content_block_delta":
                delta = bodies.fields(data.get("delta"))
                said = delta.get("text", delta.get("partial_json"))
                if isinstance(said, str):
                    self._added.setdefault(at, []).append(said)
            case "message_delta":
                self._settled = True
                self._stop = bodies.fields(data.get("delta")).get("stop_reason") or self._stop
                self._use(data.get("usage"))
            case "message_stop":
                self._complete = True
            case "error":
                self._error = data.get("error")
        return True

    def _use(self, usage: Json) -> None:
        """Counts are totals, so the largest is the last. Servers that speak Anthropic's protocol put 0 where they do
        not know a count yet, or do not say it again."""
        for name, value in bodies.fields(usage).items():
            count = bodies.count(value)
            if count is not None:
                self._usage[name] = max(count, self._usage.get(name, 0))

    def _block(self, at: int) -> Json:
        block, added = self._blocks[at], "".join(self._added.get(at, []))
        match block.get("type"):
            case "text":
                return {**block, "text": f"{block.get('text') or ''}{added}"}
            case "tool_use" if added:
                return {**block, "input": added}
        return block
