"""The history in a request of the Responses API, for loop detection. OpenAI may store it: see `is_stored`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentcost.core.loops import Item, ToolCall, ToolResult, make_tool_call
from otel_agentcost.wire.conversation_items import (
    MessageList,
    add_text,
    are_blocks,
    content_text,
    identifier,
    is_words,
    tool_name,
)
from otel_agentcost.wire.fields import fields, get, text
from otel_agentcost.wire.fields import items as items_of

__all__ = ["CONVERSATION"]

_CALLS: Final = frozenset({"function_call", "custom_tool_call", "mcp_call", "local_shell_call", "shell_call"})


class _ResponsesConversation(MessageList):
    def read(self, message: Any, items: list[Item]) -> None:
        """Append the items of one input or output item to `items`."""
        message = fields(message)
        kind = text(message, "type") or "message"
        if kind == "message":
            role = get(message, "role")
            if role in ("assistant", "user"):
                add_text(items, get(message, "content"), by_model=role == "assistant")
        elif kind in _CALLS:
            arguments = get(message, "arguments")
            arguments = get(message, "input") if arguments is None else arguments
            arguments = get(message, "action") if arguments is None else arguments
            id_ = identifier(get(message, "call_id")) or identifier(get(message, "id"))
            items.append(make_tool_call(id_, tool_name(get(message, "name")) or kind.removesuffix("_call"), arguments))
            if kind == "mcp_call":  # the provider ran it already
                error = get(message, "error")
                items.append(ToolResult(id_, content_text(get(message, "output") or error), error=bool(error)))
        elif kind.endswith("_call_output"):
            failed = get(message, "status") == "failed"
            result = content_text(get(message, "output"))
            items.append(ToolResult(identifier(get(message, "call_id")), result, error=failed))

    def pair(self, message: Any, items: list[Item]) -> None:
        """Append calls of every kind that have a `call_id`, and approvals."""
        kind = text(message, "type") or ""
        if kind == "mcp_approval_request":
            items.append(make_tool_call(identifier(get(message, "id")), kind, None))
        elif kind == "mcp_approval_response":
            items.append(ToolResult(identifier(get(message, "approval_request_id")), ""))
        elif kind.endswith("_call") and (id_ := identifier(get(message, "call_id"))):
            items.append(make_tool_call(id_, kind, None))
        elif kind.endswith("_output"):
            items.append(ToolResult(identifier(get(message, "call_id")) or identifier(get(message, "id")), ""))

    def is_plain(self, message: Mapping[str, Any]) -> bool:
        """Return True if an item is a message with a role and a text, and nothing else."""
        role, content = message.get("role"), message.get("content")
        if message.keys() - {"type"} != {"role", "content"} or message.get("type", "message") != "message":
            return False
        block = {"type": "output_text" if role == self.model_role else "input_text", "text": ""}
        return is_words(content) or are_blocks(content, block)

    def belongs_to_next(self, message: Any) -> bool:
        """Return True for reasoning: the item after it is refused without it."""
        return text(message, "type") == "reasoning"

    def continues(self, body: Any) -> bool:
        """Return True if the request continues an earlier response."""
        return get(body, "previous_response_id") is not None

    def is_stored(self, body: Any) -> bool:  # noqa: ARG002 (the request does not say for certain)
        """Return True: the next request may name this response instead of repeating it."""
        return True

    def tool_calls(self, response: Any) -> list[ToolCall]:
        """Return the tool calls in a whole response."""
        items: list[Item] = []
        for item in items_of(response, "output"):
            self.read(item, items)
        return [item for item in items if type(item) is ToolCall]


CONVERSATION: Final = _ResponsesConversation("input")
