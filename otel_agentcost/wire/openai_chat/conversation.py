"""The history in a chat completion request, for loop detection."""

from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core.loops import Item, ToolResult, make_tool_call
from otel_agentcost.wire.conversation_items import (
    MAX_CALLS,
    MAX_TEXT,
    MessageList,
    add_text,
    content_text,
    identifier,
    tool_name,
)
from otel_agentcost.wire.fields import fields, get
from otel_agentcost.wire.fields import items as items_of

__all__ = ["CONVERSATION"]


class _ChatConversation(MessageList):
    def read(self, message: Any, items: list[Item]) -> None:
        """Append the items of one message to `items`."""
        message = fields(message)
        role, content = get(message, "role"), get(message, "content")
        if role in ("tool", "function"):
            name = identifier(get(message, "name")) if role == "function" else None
            result = content[:MAX_TEXT] if type(content) is str else content_text(content)
            items.append(ToolResult(identifier(get(message, "tool_call_id")), result, False, name))
            return
        if content and role in ("assistant", "user"):
            add_text(items, content, by_model=role == "assistant")
        for call in items_of(message, "tool_calls")[:MAX_CALLS]:
            function = get(call, "function") or get(call, "custom")
            arguments = get(function, "arguments")
            if arguments is None:
                arguments = get(function, "input")
            items.append(make_tool_call(identifier(get(call, "id")), tool_name(get(function, "name")), arguments))
        function = get(message, "function_call")
        if function is not None:
            items.append(make_tool_call(None, tool_name(get(function, "name")), get(function, "arguments")))


CONVERSATION: Final = _ChatConversation("messages")
