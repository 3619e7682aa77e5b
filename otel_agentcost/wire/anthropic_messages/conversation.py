"""The history in a request of Anthropic's Messages API, for loop detection. A `thread` is stored at Anthropic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentcost.core.loops import Item, TextMessage, ToolCall, ToolResult, make_tool_call
from otel_agentcost.wire.conversation_items import (
    MAX_CALLS,
    MessageList,
    add_images,
    add_text,
    are_blocks,
    as_list,
    content_text,
    identifier,
    tool_name,
)
from otel_agentcost.wire.fields import fields, get, text

__all__ = ["CONVERSATION"]


class _MessagesConversation(MessageList):
    def read(self, message: Any, items: list[Item]) -> None:
        """Append the items of one message to `items`."""
        message = fields(message)
        by_model = get(message, "role") == "assistant"
        content = get(message, "content")
        if isinstance(content, str):
            add_text(items, content, by_model=by_model)
            return
        new: list[Item] = []
        calls = 0
        for block in as_list(content):
            kind = text(block, "type") or ""
            if kind == "image" and not by_model:
                add_images(new or items, (block,))
            elif kind == "text":
                if words := text(block, "text"):
                    new.append(TextMessage(by_model, words))
            elif kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
                calls += 1
                if calls <= MAX_CALLS:
                    new.append(
                        make_tool_call(identifier(get(block, "id")), tool_name(get(block, "name")), get(block, "input"))
                    )
            elif kind.endswith("tool_result"):
                calls += 1
                if calls <= MAX_CALLS:
                    failed = get(block, "is_error") is True
                    result = content_text(get(block, "content"))
                    new.append(ToolResult(identifier(get(block, "tool_use_id")), result, failed))
        items += new

    def is_plain(self, message: Mapping[str, Any]) -> bool:
        """Return True if a message has a role and a text, or blocks of text, and nothing else."""
        blocks = set(message) == {"role", "content"} and are_blocks(message["content"], {"type": "text", "text": ""})
        return blocks or super().is_plain(message)

    def continues(self, body: Any) -> bool:
        """Return True if the request continues a thread."""
        return text(get(body, "thread"), "type") == "continue"

    def is_stored(self, body: Any) -> bool:
        """Return True if the request belongs to a thread."""
        return get(body, "thread") is not None

    def tool_calls(self, response: Any) -> list[ToolCall]:
        """Return the tool calls in a whole response."""
        items: list[Item] = []
        self.read({"role": "assistant", "content": get(response, "content")}, items)
        return [item for item in items if type(item) is ToolCall]


CONVERSATION: Final = _MessagesConversation("messages", user_first=True)
