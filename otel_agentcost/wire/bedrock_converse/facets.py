"""The facets of the Converse API. They read its messages in Anthropic's form (`blocks`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote as escaped

from otel_agentcost.core.call import Call
from otel_agentcost.core.loops import Item
from otel_agentcost.wire.anthropic_messages.conversation import CONVERSATION as ANTHROPIC
from otel_agentcost.wire.bedrock_converse.blocks import (
    block_of,
    has_cache_point,
    message_of,
    request_of,
    tool_of,
)
from otel_agentcost.wire.bedrock_models import with_model
from otel_agentcost.wire.content import parts_of, tool_definition
from otel_agentcost.wire.conversation_items import MessageList, are_blocks, fingerprint
from otel_agentcost.wire.fields import entries, get, items, text
from otel_agentcost.wire.format import CannotRewrite, Change, Message, Part, Rewritten, Shape
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS
from otel_agentcost.wire.rewriting import LEAST_THINKING, copied, fit_thinking, lower
from otel_agentcost.wire.transcript import Pieces, Room

__all__ = ["CONTENT", "CONVERSATION", "LIMITS", "PROMPT", "REWRITING"]

LIMITS: Final = ("maxTokens", "max_new_tokens")
"""The output limit in `inferenceConfig`: the Converse API's name, and that of Nova's own bodies
(https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html)."""


class _Content:
    """The facet `content`."""

    def system_instructions(self, body: Any) -> Iterable[Part]:
        """Return the `system` prompt of a request."""
        return parts_of([each for block in items(body, "system") if (each := block_of(block)) is not None])

    def tool_definitions(self, body: Any) -> Iterable[Mapping[str, Any]]:
        """Return the tools that a request offers."""
        tools = items(get(body, "toolConfig"), "tools")
        return [tool_definition(each) for tool in tools if (each := tool_of(tool)) is not None]

    def input_messages(self, body: Any) -> Iterable[Message]:
        """Yield the messages of a request."""
        for message in items(body, "messages"):
            yield {"role": get(message, "role"), "parts": parts_of(message_of(message)["content"])}

    def output_messages(self, response: Any) -> Iterable[Message]:
        """Yield the one message of a response."""
        message = get(get(response, "output"), "message")
        if parts := parts_of(message_of(message)["content"]):
            yield {"role": "assistant", "parts": parts, "finish_reason": get(response, "stopReason")}

    def transcript(self) -> _Transcript:
        """Return a new collector for events."""
        return _Transcript()


class _Transcript:
    """Collects events into the blocks of one message."""

    __slots__ = ("_blocks", "_reason", "_room")

    def __init__(self) -> None:
        self._room = Room()
        self._blocks: dict[int, dict[str, Any]] = {}
        self._reason: str | None = None

    def feed(self, event: Any) -> None:
        """Read one event."""
        if (stop := get(event, "messageStop")) is not None:
            self._reason = text(stop, "stopReason")
        started, piece = get(event, "contentBlockStart"), get(event, "contentBlockDelta")
        if started is None and piece is None:
            return
        index = get(started or piece, "contentBlockIndex")
        index = index if type(index) is int else 0
        if index not in self._blocks and self._room.entry():
            self._blocks[index] = {
                "tool": get(get(started, "start"), "toolUse"),
                "text": [],
                "input": [],
                "thought": [],
            }
        if index in self._blocks and piece is not None:
            self._add(self._blocks[index], get(piece, "delta"))

    def _add(self, block: dict[str, Pieces], delta: Any) -> None:
        self._room.keep(block["text"], get(delta, "text"))
        self._room.keep(block["input"], get(get(delta, "toolUse"), "input"))
        self._room.keep(block["thought"], get(get(delta, "reasoningContent"), "text"))

    def response(self) -> Any:
        """Return the events up to now as one response."""
        content = [_whole(block) for _, block in sorted(self._blocks.items())]
        return {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": self._reason}


def _whole(block: Mapping[str, Any]) -> dict[str, Any]:
    if block["tool"] is not None:
        return {"toolUse": {**entries(block["tool"]), "input": "".join(block["input"])}}
    if block["thought"]:
        return {"reasoningContent": {"reasoningText": {"text": "".join(block["thought"])}}}
    return {"text": "".join(block["text"])}


class _Conversation(MessageList):
    """The facet `conversation`."""

    def read(self, message: Any, items: list[Item]) -> None:
        """Append the items of one message to `items`."""
        ANTHROPIC.read(message_of(message), items)

    def is_plain(self, message: Mapping[str, Any]) -> bool:
        """Return True if a message has a role and blocks of text, and nothing else."""
        return set(message) == {"role", "content"} and are_blocks(message.get("content"), {"text": ""})

    @staticmethod
    def fingerprint(message: Any) -> int:
        """Return the fingerprint of the message in Anthropic's form."""
        return fingerprint(message_of(message))


class _Prompt:
    """The facets `input_bound` and `prompt_tokens`."""

    def shape(self, body: Any) -> Shape:
        """Return the facts about a request that bound its cost. A stored prompt has no bound."""
        shape = INPUT_BOUND.shape(request_of(body))
        if not items(body, "messages") or get(body, "promptVariables"):
            shape = shape._replace(bound=None)
        return shape._replace(caches=True) if not shape.caches and has_cache_point(body) else shape

    def image_count(self, body: Any) -> int:
        """Return the number of images in a request."""
        return INPUT_BOUND.image_count(request_of(body))

    def count(self, body: Any, model: str | None, *, raw: bool = False) -> int:
        """Estimate the input tokens of a request."""
        return PROMPT_TOKENS.count(request_of(body), model, raw=raw)


class _Rewriting:
    """The facet `rewriting`."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body and the path of the request with `change` applied. Raises `CannotRewrite`."""
        body = copied(call)
        if change.model is not None:
            if ":prompt/" in (call.model or ""):
                raise CannotRewrite("its model is that of a stored prompt")
            path = with_model(path, escaped(change.model, safe=""))
            if "modelId" in body:
                body["modelId"] = change.model
        if (most := change.max_output_tokens) is None:
            return body, path
        settings = entries(body.get("inferenceConfig"))
        own = "max_new_tokens" if "/invoke" in path else "maxTokens"
        body["inferenceConfig"] = settings = dict(settings)
        most = lower(settings, LIMITS, most, default=own)
        if (more := body.get("additionalModelRequestFields")) is not None:
            body["additionalModelRequestFields"] = more = dict(entries(more))
            before = call.max_output_tokens
            fit_thinking(more, _THINKING, ("budget_tokens",), before=before, most=most, least=LEAST_THINKING)
        return body, path


_THINKING: Final = ("thinking", "reasoning_config")
"""Where Claude's budget for thinking is (https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html)."""

CONTENT: Final = _Content()
CONVERSATION: Final = _Conversation("messages", user_first=True, alternates=True)
PROMPT: Final = _Prompt()
REWRITING: Final = _Rewriting()
